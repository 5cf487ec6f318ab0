//! Behaviours beside each other: one that takes all of another's paths, an open one before a protected one, `/x/*` without `/x`.

use super::{
    finding::{Findings, Severity},
    names::plain,
};
use crate::route::Pattern;

/// A behaviour, as far as it matters here, in the order of trial; the default behaviour is the last.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) number: usize,
    pub(super) pattern: Pattern,
    /// Where it leads.
    pub(super) target: String,
    pub(super) protected: bool,
}

/// The first that takes `path`, a canonical one.
pub(super) fn winner<'p>(placed: &'p [Placed], path: &str) -> Option<&'p Placed> {
    placed.iter().find(|one| one.pattern.takes(path))
}

/// Tells all of it.
pub(super) fn lint(placed: &[Placed], findings: &mut Findings) {
    let mut left = COMPARED_MAX;
    for (at, one) in placed.iter().enumerate() {
        let earlier = placed.get(..at).unwrap_or_default();
        if !shadowed(one, earlier, &mut left, findings) {
            overlapped(one, earlier, &mut left, findings);
        }
        misses(one, placed, findings);
    }
    if left == 0 {
        findings.warning(
            "not-compared",
            "there are so many behaviours, or so many wildcards in them, that not all pairs were compared",
            "look yourself whether an open one stands before a protected one",
        );
    }
}

/// What comparing may cost in all: a pair of usual patterns costs one, a pair with many wildcards [`HARD`].
const COMPARED_MAX: usize = 10_000;

/// A pair with more wildcards than [`EASY_MAX`] may take a second, where a usual one takes a millisecond.
const HARD: usize = 1_000;
const EASY_MAX: usize = 8;

/// Takes the cost of comparing two from what is left.
fn may_compare(one: &Pattern, other: &Pattern, left: &mut usize) -> bool {
    let texts = [one.as_str(), other.as_str()];
    let wildcards: usize = texts.iter().map(|text| text.matches(['*', '?']).count()).sum();
    let cost = if wildcards > EASY_MAX { HARD } else { 1 };
    let may = *left >= cost;
    *left = if may { *left - cost } else { 0 };
    may
}

fn label(one: &Placed) -> String {
    format!("{} `{}`", one.number, plain(one.pattern.as_str()))
}

/// Whether nothing is left for it.
fn shadowed(one: &Placed, earlier: &[Placed], left: &mut usize, findings: &mut Findings) -> bool {
    let Some(example) = one.pattern.example() else {
        findings.at(
            one.number,
            Severity::Warning,
            "no-path",
            format!(
                "behaviour {} takes nothing: no path in its plain form fits",
                label(one)
            ),
            "paths are matched without `//`, dot segments and needless escapes; take it out",
        );
        return true;
    };
    // who takes everything takes the example too
    let by = earlier
        .iter()
        .filter(|other| other.pattern.takes(&example))
        .find(|other| {
            may_compare(&one.pattern, &other.pattern, left) && one.pattern.is_inside(&other.pattern)
        });
    let Some(by) = by else { return false };
    let what = format!(
        "behaviour {} never gets a request: {}, which stands before it, takes all of its paths (such as `{example}`)",
        label(one),
        label(by)
    );
    let hint = if one.protected && !by.protected {
        "what it should protect is open; move it before the other (a lower `order`)"
    } else {
        "move it before the other (a lower `order`), or take it out"
    };
    findings.at(one.number, Severity::Warning, "shadowed", what, hint);
    true
}

/// Open ones that take a part of a protected one's paths.
fn overlapped(one: &Placed, earlier: &[Placed], left: &mut usize, findings: &mut Findings) {
    if !one.protected {
        return;
    }
    for other in earlier.iter().filter(|other| !other.protected) {
        let common = if may_compare(&one.pattern, &other.pattern, left) {
            other.pattern.common_path(&one.pattern)
        } else {
            None
        };
        if let Some(example) = common {
            findings.at(
                one.number,
                Severity::Warning,
                "open-before-protected",
                format!(
                    "{} is protected, but {} stands before it and is open: anybody gets `{example}`",
                    label(one),
                    label(other)
                ),
                "give the protected one the lower `order`, or protect both",
            );
        }
    }
}

/// `/x/*` doesn't take `/x`: told when that goes somewhere else.
fn misses(one: &Placed, placed: &[Placed], findings: &mut Findings) {
    let Some(parent) = one.pattern.as_str().strip_suffix("/*") else {
        return;
    };
    let path = Pattern::parse(parent).ok().and_then(|parent| parent.example());
    let Some(path) = path.filter(|path| path != "/") else {
        return;
    };
    let Some(other) = winner(placed, &path) else {
        return;
    };
    if other.number == one.number || (&other.target, other.protected) == (&one.target, one.protected) {
        return;
    }
    let pattern = plain(one.pattern.as_str());
    let hint = if one.protected && !other.protected {
        format!("if `{path}` shows what `{pattern}` protects, protect it too")
    } else {
        format!("add a route for `{}` if it belongs to the same", plain(parent))
    };
    findings.at(
        one.number,
        Severity::Warning,
        "without-parent",
        format!(
            "{} doesn't take `{path}`, which goes to {} (`{}` instead of `{}`)",
            label(one),
            label(other),
            plain(&other.target),
            plain(&one.target)
        ),
        hint,
    );
}
