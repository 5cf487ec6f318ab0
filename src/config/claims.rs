//! What the route table says about claims, one at a time and all together.

use crate::route::{Claim, Clash, PathRule, Pattern, RouteId, Table, Template, outside, unreachable};

/// Whether a text can say what a squad may claim: a template, or a pattern.
pub(super) fn check_template(text: &str) -> Result<(), String> {
    match (Template::parse(text), Pattern::parse(text)) {
        (Err(reason), Err(_)) => Err(reason.to_string()),
        (Err(reason), Ok(_)) if !text.contains(['*', '?']) || !text.starts_with('/') => {
            Err(reason.to_string())
        }
        _ => Ok(()),
    }
}

/// Whether a route's path or pattern can be read.
pub(super) fn check(rule: &PathRule) -> Result<(), String> {
    match rule {
        PathRule::Template(text) => Template::parse(text)
            .map(drop)
            .map_err(|reason| reason.to_string()),
        PathRule::Pattern(text) => Pattern::parse(text)
            .map(drop)
            .map_err(|reason| reason.to_string()),
    }
}

/// A path that `rule` takes and none of `allowed` does.
pub(super) fn beyond(allowed: &[String], rule: &PathRule) -> Option<String> {
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    outside(&allowed, rule)
}

/// Two claims that can't both be meant, by index, or one that takes nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing tells the two apart.
    Equal {
        first: usize,
        second: usize,
        example: String,
    },
    /// Every request of `route` goes to `by`.
    Shadowed {
        route: usize,
        by: usize,
        example: String,
    },
    /// No request fits.
    Nothing { route: usize },
    /// All patterns together are too much; this one most of all.
    TooLarge { route: usize, steps: usize, most: usize },
    /// The table can't read it.
    Wrong { route: usize, why: String },
}

/// Builds the table of all claims and says what is wrong with them together.
pub(super) fn judge(claims: &[Claim]) -> Vec<Verdict> {
    let (table, mut clashes) = Table::build(claims);
    clashes.extend(unreachable(&table));
    let at = RouteId::index;
    clashes
        .into_iter()
        .filter_map(|clash| match clash {
            Clash::Equal {
                first,
                second,
                example,
            } => Some(Verdict::Equal {
                first: at(first),
                second: at(second),
                example,
            }),
            Clash::Unreachable { route, by, example } => Some(Verdict::Shadowed {
                route: at(route),
                by: at(by),
                example,
            }),
            Clash::Nothing { route } => Some(Verdict::Nothing { route: at(route) }),
            Clash::TooLarge { route, steps, most } => Some(Verdict::TooLarge {
                route: at(route),
                steps,
                most,
            }),
            Clash::Wrong { route, why } => Some(Verdict::Wrong {
                route: at(route),
                why,
            }),
            // said already, where the route is read
            Clash::NoOrder { .. } => None,
        })
        .collect()
}
