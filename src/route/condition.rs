//! What must hold beside the path: does it, how much does it ask, and can two sets of conditions hold at once.

use std::{borrow::Cow, fmt};

use http::{HeaderName, Method};

use super::{Conditions, ValueTest, target::escape_value};
use crate::fields::{Fields, Known};

/// What is asked of a route table: the parts of a request that routes look at.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// Host asked, without port. Compared without regard to case.
    pub host: &'a str,
    /// Method.
    pub method: &'a Method,
    /// Path in canonical form (see [`super::target::canonical`]).
    pub path: &'a str,
    /// Query without `?`, as received.
    pub query: Option<&'a str>,
    /// Header fields.
    pub headers: &'a Fields,
}

/// Why a route whose path fits was passed over: the first condition that doesn't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why<'t> {
    /// It wants another host.
    Host,
    /// It wants another method.
    Method,
    /// This header field isn't what it wants.
    Header(&'t HeaderName),
    /// This query parameter isn't what it wants.
    Query(&'t str),
    /// This cookie isn't what it wants.
    Cookie(&'t str),
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("it wants another host"),
            Self::Method => f.write_str("it wants another method"),
            Self::Header(name) => write!(f, "header `{name}` is not what it wants"),
            Self::Query(name) => write!(f, "query parameter `{name}` is not what it wants"),
            Self::Cookie(name) => write!(f, "cookie `{name}` is not what it wants"),
        }
    }
}

// === does it hold ===

/// The first condition that doesn't hold, if any.
pub(super) fn first_unmet<'t>(
    hosts: &'t [String],
    conditions: &'t Conditions,
    probe: &Probe<'_>,
) -> Option<Why<'t>> {
    if !host_taken(hosts, probe.host) {
        return Some(Why::Host);
    }
    if !method_taken(&conditions.methods, probe.method) {
        return Some(Why::Method);
    }
    first_unmet_value(conditions, probe)
}

/// Whether everything holds but the method.
pub(super) fn only_the_method_is_wrong(hosts: &[String], conditions: &Conditions, probe: &Probe<'_>) -> bool {
    host_taken(hosts, probe.host)
        && !method_taken(&conditions.methods, probe.method)
        && first_unmet_value(conditions, probe).is_none()
}

fn first_unmet_value<'t>(conditions: &'t Conditions, probe: &Probe<'_>) -> Option<Why<'t>> {
    for (name, test) in &conditions.headers {
        let values = probe.headers.get_all(name);
        if !test_holds(test, values.map(|value| Cow::Borrowed(value.as_bytes()))) {
            return Some(Why::Header(name));
        }
    }
    for (name, test) in &conditions.query {
        if !test_holds(test, query_values(probe.query.unwrap_or_default(), name)) {
            return Some(Why::Query(name));
        }
    }
    for (name, test) in &conditions.cookies {
        if !test_holds(test, cookie_values(probe.headers, name)) {
            return Some(Why::Cookie(name));
        }
    }
    None
}

/// Whether a request fulfils this of which host, method, path and query are known, but not what fields and cookies it will have.
/// `None`: those decide.
pub(super) fn holds_before_fields(
    hosts: &[String],
    conditions: &Conditions,
    probe: &Probe<'_>,
) -> Option<bool> {
    let known = (hosts.is_empty() || hosts.iter().any(|host| host_takes(host, probe.host)))
        && method_taken(&conditions.methods, probe.method)
        && conditions
            .query
            .iter()
            .all(|(name, test)| test_holds(test, query_values(probe.query.unwrap_or_default(), name)));
    match known {
        true if !conditions.headers.is_empty() || !conditions.cookies.is_empty() => None,
        known => Some(known),
    }
}

/// Whether a host as it is written takes the host asked: exactly, or `*.` for exactly one more label.
#[must_use]
pub fn host_takes(wanted: &str, asked: &str) -> bool {
    match wanted.strip_prefix("*.") {
        Some(parent) => match asked.split_once('.') {
            Some((label, rest)) => !label.is_empty() && rest.eq_ignore_ascii_case(parent),
            None => false,
        },
        None => wanted.eq_ignore_ascii_case(asked),
    }
}

fn host_taken(wanted: &[String], asked: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|host| host_takes(host, asked))
}

fn method_taken(methods: &[Method], asked: &Method) -> bool {
    methods.is_empty() || methods.contains(asked) || (asked == Method::HEAD && methods.contains(&Method::GET))
}

/// Any occurrence may fulfil a test; none at all fulfils `Absent` only.
fn test_holds<'a>(test: &ValueTest, mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> bool {
    match test {
        ValueTest::Present => values.next().is_some(),
        ValueTest::Absent => values.next().is_none(),
        ValueTest::Like(wanted) => values.any(|value| is_like(wanted.as_bytes(), &value)),
        ValueTest::OneOf(list) => {
            values.any(|value| list.iter().any(|wanted| is_like(wanted.as_bytes(), &value)))
        }
    }
}

/// Compares with `*` (any text) and `?` (one character); goes back to the last `*` only, so the work is bounded by the
/// product of both lengths.
fn is_like(wanted: &[u8], value: &[u8]) -> bool {
    let (mut w, mut v) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while let Some(&byte) = value.get(v) {
        match wanted.get(w) {
            Some(b'*') => {
                last_star = Some((w, v));
                w += 1;
                continue;
            }
            Some(b'?') => {
                w += 1;
                v = next_character(value, v);
                continue;
            }
            Some(&same) if same == byte => {
                w += 1;
                v += 1;
                continue;
            }
            Some(_) | None => {}
        }
        let Some((star, from)) = last_star else {
            return false;
        };
        last_star = Some((star, from + 1));
        (w, v) = (star + 1, from + 1);
    }
    wanted.iter().skip(w).all(|byte| *byte == b'*')
}

/// The place after the UTF-8 character at `at`.
fn next_character(value: &[u8], at: usize) -> usize {
    let follows = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    at + 1 + value.iter().skip(at + 1).take_while(follows).count()
}

/// Every decoded value of the query parameter `name`.
fn query_values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (!pair.is_empty() && *decoded(key) == *name.as_bytes()).then(|| decoded(value))
    })
}

/// Percent-decoded once, `+` read as a space; a bad escape stays as it is.
#[must_use]
pub fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        match byte {
            b'+' => out.push(b' '),
            b'%' => match escape_value(ahead.next(), ahead.next()) {
                Some(value) => {
                    out.push(value);
                    bytes = ahead;
                }
                None => out.push(byte),
            },
            plain => out.push(plain),
        }
    }
    Cow::Owned(out)
}

/// Every value of the cookie `name`, over all `cookie` fields.
fn cookie_values<'a>(headers: &'a Fields, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    headers.get_all(Known::COOKIE).flat_map(move |field| {
        field
            .as_bytes()
            .split(|byte| *byte == b';')
            .filter_map(move |crumb| {
                let value = crumb
                    .trim_ascii()
                    .strip_prefix(name.as_bytes())?
                    .strip_prefix(b"=")?;
                Some(Cow::Borrowed(value))
            })
    })
}

// === how much does it ask ===

/// How much a route asks beside its path. Of two with the same path the higher is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weight {
    /// How many conditions, hosts being one.
    conditions: usize,
    /// Whether its hosts are written out, which is narrower than `*.example.com`.
    exact_hosts: bool,
}

impl Weight {
    pub(super) fn of(hosts: &[String], conditions: &Conditions) -> Self {
        Self {
            conditions: usize::from(!hosts.is_empty())
                + usize::from(!conditions.methods.is_empty())
                + conditions.headers.len()
                + conditions.query.len()
                + conditions.cookies.len(),
            exact_hosts: !hosts.is_empty() && !hosts.iter().any(|host| host.starts_with("*.")),
        }
    }
}

// === two at once ===

/// Whether it is certain that no request fulfils both: other hosts, other methods, or one name with values that exclude each other.
///
/// A request that repeats a header field, parameter or cookie with both values is left aside; the first route written takes it.
pub(super) fn exclude_each_other(a: (&[String], &Conditions), b: (&[String], &Conditions)) -> bool {
    let hosts_apart = !a.0.is_empty()
        && !b.0.is_empty()
        && !a
            .0
            .iter()
            .any(|mine| b.0.iter().any(|theirs| hosts_meet(mine, theirs)));
    let methods_apart = !a.1.methods.is_empty()
        && !b.1.methods.is_empty()
        && !a.1.methods.iter().any(|mine| method_taken(&b.1.methods, mine))
        && !b
            .1
            .methods
            .iter()
            .any(|theirs| method_taken(&a.1.methods, theirs));
    hosts_apart
        || methods_apart
        || tests_apart(&a.1.headers, &b.1.headers)
        || tests_apart(&a.1.query, &b.1.query)
        || tests_apart(&a.1.cookies, &b.1.cookies)
}

fn hosts_meet(a: &str, b: &str) -> bool {
    host_takes(a, b) || host_takes(b, a) || a.eq_ignore_ascii_case(b)
}

fn tests_apart<N: PartialEq>(a: &[(N, ValueTest)], b: &[(N, ValueTest)]) -> bool {
    a.iter().any(|(name, mine)| {
        b.iter()
            .any(|(other, theirs)| name == other && values_apart(mine, theirs))
    })
}

fn values_apart(a: &ValueTest, b: &ValueTest) -> bool {
    match (a, b) {
        (ValueTest::Absent, ValueTest::Absent) => false,
        (ValueTest::Absent, _) | (_, ValueTest::Absent) => true,
        (ValueTest::Present, _) | (_, ValueTest::Present) => false,
        _ => !wanted(a)
            .iter()
            .any(|mine| wanted(b).iter().any(|theirs| texts_meet(mine, theirs))),
    }
}

fn wanted(test: &ValueTest) -> &[String] {
    match test {
        ValueTest::Like(text) => std::slice::from_ref(text),
        ValueTest::OneOf(list) => list,
        ValueTest::Present | ValueTest::Absent => &[],
    }
}

/// Whether one value may fit both texts; two texts with wildcards are taken to meet unless their fixed starts differ.
fn texts_meet(a: &str, b: &str) -> bool {
    const WILD: [char; 2] = ['*', '?'];
    match (a.find(WILD), b.find(WILD)) {
        (None, None) => a == b,
        (Some(_), None) => is_like(a.as_bytes(), b.as_bytes()),
        (None, Some(_)) => is_like(b.as_bytes(), a.as_bytes()),
        (Some(mine), Some(theirs)) => {
            let fixed = mine.min(theirs);
            a.as_bytes().get(..fixed) == b.as_bytes().get(..fixed)
        }
    }
}

/// Whether it is certain that whoever fulfils `narrow` also fulfils `wide`.
pub(super) fn implies(narrow: (&[String], &Conditions), wide: (&[String], &Conditions)) -> bool {
    let hosts = wide.0.is_empty()
        || (!narrow.0.is_empty()
            && narrow.0.iter().all(|mine| {
                wide.0
                    .iter()
                    .any(|theirs| mine == theirs || (!mine.starts_with("*.") && host_takes(theirs, mine)))
            }));
    let methods = wide.1.methods.is_empty()
        || (!narrow.1.methods.is_empty()
            && narrow
                .1
                .methods
                .iter()
                .all(|mine| method_taken(&wide.1.methods, mine)));
    hosts
        && methods
        && wide.1.headers.iter().all(|test| narrow.1.headers.contains(test))
        && wide.1.query.iter().all(|test| narrow.1.query.contains(test))
        && wide.1.cookies.iter().all(|test| narrow.1.cookies.contains(test))
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
