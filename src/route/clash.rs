//! Claims that can't stand together: equal ones, ones that nothing can reach, ones outside what their squad may claim.
//!
//! Everything said here is certain; where a question can't be decided, a claim isn't called unreachable, and isn't called allowed.

use super::{
    PathRule,
    condition::{Weight, exclude_each_other, implies},
    ordered::FLOATING_MAX,
    pathset::{Inside, PathSet},
    pattern::Pattern,
    table::{RouteId, Rule, Table},
    template::Template,
};
use crate::courtesy::give_way;

/// Most pairs of routes with equal templates and equally many conditions that are compared: 2,000 routes on one path.
const TWINS_MAX: usize = 2_000_000;

/// Most pairs of ordered routes with equal order whose paths are compared.
const PAIRS_MAX: usize = 200_000;

/// Most earlier routes that are looked at for each route that may be unreachable.
const EARLIER_MAX: usize = 64;

/// Something wrong with one claim or two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clash {
    /// Nothing tells the two apart: both would take `example`.
    Equal {
        /// The one written first; the table uses it.
        first: RouteId,
        /// The other.
        second: RouteId,
        /// A path that both take.
        example: String,
    },
    /// Every request that it could take is taken by a route with a lower order.
    Unreachable {
        /// The one that gets nothing.
        route: RouteId,
        /// The one that takes everything first.
        by: RouteId,
        /// A path that both take.
        example: String,
    },
    /// No canonical path fits, so it never takes a request (`/a//b`).
    Nothing {
        /// Which one.
        route: RouteId,
    },
    /// The patterns of all ordered routes together would make an automaton that no path should have to go through.
    TooLarge {
        /// The one that takes the most room.
        route: RouteId,
        /// Steps behind a wildcard, in all of them.
        steps: usize,
        /// Most that there may be.
        most: usize,
    },
    /// A pattern says no order; `CloudFront`'s patterns have no other precedence.
    NoOrder {
        /// Which one.
        route: RouteId,
    },
    /// The path or pattern can't be read.
    Wrong {
        /// Which one.
        route: RouteId,
        /// What is wrong and how to mend it, as a sentence.
        why: String,
    },
}

/// Finds out whether all ordered routes together are too much for one automaton. `ordered` is in the order of trial.
pub(super) fn too_large(table: &Table, ordered: &[RouteId], clashes: &mut Vec<Clash>) {
    let steps = table.ordered().floating();
    if steps <= FLOATING_MAX {
        return;
    }
    let size = |id: &RouteId| {
        let rule = table.route(*id).and_then(|route| route.rule.as_ref());
        rule.map_or(0, |rule| rule.set().floating())
    };
    if let Some(route) = ordered.iter().copied().max_by_key(size) {
        clashes.push(Clash::TooLarge {
            route,
            steps,
            most: FLOATING_MAX,
        });
    }
}

/// Finds claims that nothing tells apart. `ordered` is in the order of trial.
pub(super) fn equal(table: &Table, ordered: &[RouteId], clashes: &mut Vec<Clash>) {
    let mut pairs = 0;
    for group in table.groups() {
        for peers in group.chunk_by(|a, b| weight(table, *a) == weight(table, *b)) {
            for (at, second) in peers.iter().enumerate() {
                pairs += at;
                if pairs > TWINS_MAX {
                    break;
                }
                let twin = peers
                    .iter()
                    .take(at)
                    .find(|first| !apart(table, **first, *second));
                if let Some(first) = twin {
                    clashes.push(Clash::Equal {
                        first: *first,
                        second: *second,
                        example: example_of(table, *second),
                    });
                }
            }
        }
    }
    equal_ordered(table, ordered, clashes);
}

fn example_of(table: &Table, id: RouteId) -> String {
    let rule = table.route(id).and_then(|route| route.rule.as_ref());
    rule.map_or_else(String::new, example_of_rule)
}

fn weight(table: &Table, id: RouteId) -> Option<Weight> {
    table.route(id).map(super::table::Route::weight)
}

fn apart(table: &Table, a: RouteId, b: RouteId) -> bool {
    match (table.route(a), table.route(b)) {
        (Some(a), Some(b)) => exclude_each_other(a.asks(), b.asks()),
        _ => true,
    }
}

/// Ordered routes with one order and one weight must have no path in common. Sorted by their fixed starts, a route is
/// compared only with those whose start begins its own.
fn equal_ordered(table: &Table, ordered: &[RouteId], clashes: &mut Vec<Clash>) {
    let rank = |id: &RouteId| table.route(*id).map(|route| (route.order, route.weight()));
    let mut pairs = 0;
    for peers in ordered
        .chunk_by(|a, b| rank(a) == rank(b))
        .filter(|peers| peers.len() > 1)
    {
        let mut starts: Vec<(Vec<u8>, RouteId, PathSet)> = peers
            .iter()
            .filter_map(|id| {
                let set = table.route(*id)?.rule.as_ref()?.set();
                Some((set.fixed_start(), *id, set))
            })
            .collect();
        starts.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let mut open: Vec<&(Vec<u8>, RouteId, PathSet)> = Vec::new();
        for one in &starts {
            open.retain(|before| one.0.starts_with(&before.0));
            for before in &open {
                if apart(table, before.1, one.1) {
                    continue;
                }
                pairs += 1;
                if pairs > PAIRS_MAX {
                    return;
                }
                if let Some(example) = before.2.common_path(&one.2) {
                    let (first, second) = (before.1.min(one.1), before.1.max(one.1));
                    clashes.push(Clash::Equal {
                        first,
                        second,
                        example,
                    });
                    break;
                }
            }
            open.push(one);
        }
    }
}

/// Finds claims that never take a request: an earlier ordered route takes all of theirs, or no canonical path fits them.
#[must_use]
pub fn unreachable(table: &Table) -> Vec<Clash> {
    if table.ordered().floating() > FLOATING_MAX {
        return Vec::new(); // refused as a whole; without the automaton every pair would have to be looked at
    }
    table
        .ids()
        .filter_map(|id| unreachable_route(table, id))
        .collect()
}

fn unreachable_route(table: &Table, id: RouteId) -> Option<Clash> {
    give_way();
    let route = table.route(id)?;
    let rule = route.rule.as_ref()?;
    let Some(example) = quick_example(rule).or_else(|| rule.set().example()) else {
        return Some(Clash::Nothing { route: id });
    };
    // whoever covers the whole claim takes its example too, so one run of the automaton names all who might
    let ranks = table.ordered().ranks(&example);
    let earlier = ranks
        .iter()
        .filter_map(|rank| table.ordered().route(*rank))
        .take_while(|other| *other != id)
        .take(EARLIER_MAX);
    for by in earlier {
        let other = table.route(by)?;
        let same_rank = (other.order, other.weight()) == (route.order, route.weight());
        if same_rank || !implies(route.asks(), other.asks()) {
            continue; // of the same rank they are equal claims, and told as such
        }
        let wide = other.rule.as_ref()?.set();
        if rule.set().inside(&[&wide]) == Inside::Yes {
            return Some(Clash::Unreachable {
                route: id,
                by,
                example,
            });
        }
    }
    None
}

/// Whether every path that the claim takes is inside `allowed`, a template (`/courses/*`) or a pattern. `false` also when it
/// can't be decided or one of them can't be read.
#[must_use]
pub fn covers(allowed: &str, claim: &PathRule) -> bool {
    outside(&[allowed], claim).is_none()
}

/// A path that the claim takes and none of `allowed` does; `None` when the claim is inside them all together.
/// When it can't be decided, any path of the claim.
#[must_use]
pub fn outside(allowed: &[&str], claim: &PathRule) -> Option<String> {
    let Ok(rule) = Rule::parse(claim) else {
        return Some(claim.as_str().to_owned());
    };
    let allowed: Vec<PathSet> = allowed.iter().filter_map(|text| allowed_set(text)).collect();
    let references: Vec<&PathSet> = allowed.iter().collect();
    match rule.set().inside(&references) {
        Inside::Yes => None,
        Inside::No(example) => Some(example),
        Inside::Undecided => Some(example_of_rule(&rule)),
    }
}

/// Whether it is certain that no path of the claim begins with the segments of `start`, a canonical path without a last slash.
#[must_use]
pub fn never_starts_with(claim: &PathRule, start: &str) -> bool {
    let mut below = PathSet::default();
    below.literal(start);
    below.rest();
    Rule::parse(claim).is_ok_and(|rule| rule.set().is_apart(&below))
}

fn allowed_set(text: &str) -> Option<PathSet> {
    match Template::parse(text) {
        Ok(template) => Some(template.set()),
        Err(_) => Pattern::parse(text).ok().map(|pattern| pattern.set().clone()),
    }
}

/// A path that the rule takes; its own text when there is none or it can't be read.
#[must_use]
pub fn example_url(path: &PathRule) -> String {
    Rule::parse(path).map_or_else(|_| path.as_str().to_owned(), |rule| example_of_rule(&rule))
}

fn example_of_rule(rule: &Rule) -> String {
    quick_example(rule)
        .or_else(|| rule.set().example())
        .unwrap_or_else(|| match rule {
            Rule::Template(template) => template.as_str().to_owned(),
            Rule::Pattern(pattern) => pattern.as_str().to_owned(),
        })
}

/// A template's names make a path that people understand.
fn quick_example(rule: &Rule) -> Option<String> {
    match rule {
        Rule::Template(template) => Some(template.example()),
        Rule::Pattern(_) => None,
    }
}

#[cfg(test)]
#[path = "clash_tests.rs"]
mod tests;
