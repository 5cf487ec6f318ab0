//! What all distributions come to together: names that two of them have, and patterns that are too much for one edge.

use super::{finding::Findings, names::plain, plan::Squad};
use crate::{
    name::{Place, SquadName},
    route::{Claim, Clash, Conditions, PathRule, Table, host_takes},
};

/// Whether some name is one of both.
pub(super) fn overlap(a: &[String], b: &[String]) -> bool {
    a.iter().any(|one| {
        b.iter()
            .any(|other| host_takes(one, other) || host_takes(other, one))
    })
}

/// No name may lead to two distributions, but by a `*.` that stands after it.
pub(super) fn apart(squads: &[Squad], findings: &mut Findings) {
    for (at, squad) in squads.iter().enumerate() {
        for earlier in squads.get(..at).unwrap_or_default() {
            for host in &squad.hosts {
                let taken = earlier.hosts.iter().find(|wide| host_takes(wide, host));
                if let Some(wide) = taken {
                    findings.turn_to(&squad.title);
                    findings.error(
                        "same-host",
                        format!(
                            "`{}` of {} is also taken by `{}` of {} ({})",
                            plain(host),
                            squad.source,
                            plain(wide),
                            earlier.title,
                            earlier.source
                        ),
                        "import the two into folders of their own",
                    );
                }
            }
        }
    }
}

/// Whether the routes can stand in one table; `banyan check` asks the same.
pub(super) fn fits(squads: &[Squad], findings: &mut Findings) {
    let (claims, whose): (Vec<Claim>, Vec<(&Squad, usize)>) =
        squads.iter().flat_map(|squad| claims(squad).into_iter()).unzip();
    let (_, clashes) = Table::build(&claims);
    for clash in clashes {
        let Clash::TooLarge { route, steps, most } = clash else {
            continue; // what is told of two behaviours is the lint's
        };
        let Some((squad, behaviour)) = whose.get(route.index()) else {
            continue;
        };
        findings.turn_to(&squad.title);
        findings.error(
            "patterns-too-large",
            format!("all patterns together have {steps} steps behind a `*`, at most {most} fit; behaviour {behaviour} has most of them"),
            "write fewer characters behind the first `*` of patterns, or fewer patterns",
        );
    }
}

/// The claims of a squad's routes, each with its behaviour.
fn claims(squad: &Squad) -> Vec<(Claim, (&Squad, usize))> {
    let Ok(name) = SquadName::new(&squad.name) else {
        return Vec::new();
    };
    let claim = |route: &super::plan::Route| Claim {
        place: Place {
            file: squad.source.as_str().into(),
            line: 1,
        },
        squad: name.clone(),
        hosts: if squad.names_hosts {
            squad.hosts.clone()
        } else {
            Vec::new()
        },
        path: match &route.pattern {
            Some(pattern) => PathRule::Pattern(pattern.clone()),
            None => PathRule::Template("/*".to_owned()),
        },
        order: route.order,
        conditions: Conditions::default(),
    };
    let routes = squad.routes.iter();
    routes
        .map(|route| (claim(route), (squad, route.behaviour)))
        .collect()
}
