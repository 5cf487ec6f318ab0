//! Who and what a decision is about, and how rules see it.

use datalogic_rs::{
    DataValue,
    bumpalo::{Bump, collections::Vec},
};
use http::Method;
use serde_json::{Map, Value};

use super::given;
use crate::{clock::UnixTime, fields::Fields, visitor};

/// Header fields, query parameters, cookies, and entries of a claim that rules can see, each. The rest is not looked at,
/// so that a hostile request can't make a rule slow.
pub const CONTEXT_ENTRIES_MAX: usize = 100;

/// Levels of claims that rules can see.
pub(super) const CLAIM_DEPTH_MAX: usize = 32;

/// What a flag decides about. Borrowed from the request; making one costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'r> {
    /// The visitor's id, from its cookie. `None`: a crawler, or something that isn't a page's.
    pub visitor: Option<&'r str>,
    /// Who is signed in, by the gate.
    pub person: Option<Person<'r>>,
    /// Host asked, lower case, without port.
    pub host: &'r str,
    /// Normalised path.
    pub path: &'r str,
    /// Query as received, without `?`.
    pub query: Option<&'r str>,
    /// Method.
    pub method: &'r Method,
    /// Header fields as received.
    pub headers: &'r Fields,
    /// The time of the decision.
    pub now: UnixTime,
    /// What an override link puts the browser on.
    pub forced: Option<&'r visitor::Forced>,
    /// What keeps the visitor on variants.
    pub pins: Option<&'r visitor::Pins>,
    /// Top-level names that a backend gives with its question. `None`: a visitor's own request.
    pub given: Option<&'r Map<String, Value>>,
}

/// Someone signed in.
#[derive(Debug, Clone, Copy)]
pub struct Person<'r> {
    /// Subject of the token.
    pub id: &'r str,
    /// Roles that the gate found.
    pub roles: &'r [String],
    /// All claims of the token, an object.
    pub claims: Option<&'r Value>,
}

/// The costly parts of the context that a rule doesn't mention aren't built for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Needs {
    claims: bool,
    headers: bool,
    query: bool,
    cookies: bool,
}

impl Needs {
    /// What `rule`, as compact JSON, may look at. Where a rule computes what it looks at, everything.
    pub(super) fn of(rule: &str) -> Self {
        const COMPUTED: [&str; 9] = [
            r#""var":{"#,
            r#""var":[{"#,
            r#""var":"""#,
            r#""var":["""#,
            r#""var":[]"#,
            r#""val":"#,
            r#""missing"#,
            r#""request""#,
            r#""user""#,
        ];
        let all = COMPUTED.iter().any(|pattern| rule.contains(pattern));
        let needs = |part| all || rule.contains(part);
        Self {
            claims: needs("claims"),
            headers: needs("headers"),
            query: needs("query"),
            cookies: needs("cookies"),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self {
            claims: self.claims || other.claims,
            headers: self.headers || other.headers,
            query: self.query || other.query,
            cookies: self.cookies || other.cookies,
        }
    }
}

/// The context that rules see. A name that isn't there reads as null; of repeated names the first counts, but fields of a
/// header that came several times are joined with `, ` (RFC 9110 section 5.3).
pub(super) fn context<'a>(
    subject: &Subject<'a>,
    flag_key: &'a str,
    targeting_key: Option<&'a str>,
    needs: Needs,
    arena: &'a Bump,
) -> DataValue<'a> {
    let text = |text: Option<&'a str>| text.map_or(DataValue::Null, DataValue::String);
    let object = |entries: &[(&'a str, DataValue<'a>)]| DataValue::Object(arena.alloc_slice_copy(entries));
    let person = subject.person;
    let roles = person.map_or(&[][..], |person| person.roles);
    let claims = person.and_then(|person| person.claims).filter(|_| needs.claims);
    let now = i64::try_from(subject.now.secs()).unwrap_or(i64::MAX);
    let user = object(&[
        ("id", text(person.map(|person| person.id))),
        (
            "roles",
            DataValue::Array(arena.alloc_slice_fill_iter(roles.iter().map(|role| DataValue::String(role)))),
        ),
        (
            "claims",
            claims.map_or_else(|| object(&[]), |claims| claim(claims, arena, CLAIM_DEPTH_MAX)),
        ),
    ]);
    let part = |needed: bool, build: &dyn Fn() -> DataValue<'a>| if needed { build() } else { object(&[]) };
    let request = object(&[
        ("host", DataValue::String(subject.host)),
        ("path", DataValue::String(subject.path)),
        ("method", DataValue::String(subject.method.as_str())),
        (
            "headers",
            part(needs.headers, &|| headers(subject.headers, arena)),
        ),
        (
            "query",
            part(needs.query, &|| query(subject.query.unwrap_or(""), arena)),
        ),
        (
            "cookies",
            part(needs.cookies, &|| cookies(subject.headers, arena)),
        ),
    ]);
    let own = [
        ("targetingKey", text(targeting_key)),
        (
            "$flagd",
            object(&[
                ("flagKey", DataValue::String(flag_key)),
                ("timestamp", DataValue::from_i64(now)),
            ]),
        ),
        ("user", user),
        ("visitor", object(&[("id", text(subject.visitor))])),
        ("request", request),
    ];
    match subject.given {
        None => object(&own),
        Some(given) => given::laid_over(own, given, arena),
    }
}

fn headers<'a>(headers: &'a Fields, arena: &'a Bump) -> DataValue<'a> {
    let mut entries = Vec::new_in(arena);
    for (at, (name, _)) in headers.iter().enumerate() {
        if entries.len() == CONTEXT_ENTRIES_MAX {
            break;
        }
        let is_first = headers.iter().take(at).all(|(before, _)| before != name);
        if !is_first {
            continue;
        }
        let mut values = headers
            .get_all(name)
            .filter_map(|value| str::from_utf8(value.as_bytes()).ok());
        let Some(first) = values.next() else { continue };
        let value = match values.next() {
            None => first,
            Some(second) => {
                let mut joined = datalogic_rs::bumpalo::collections::String::from_str_in(first, arena);
                for more in std::iter::once(second).chain(values) {
                    joined.push_str(", ");
                    joined.push_str(more);
                }
                joined.into_bump_str()
            }
        };
        entries.push((name.as_str(), DataValue::String(value)));
    }
    DataValue::Object(entries.into_bump_slice())
}

fn cookies<'a>(headers: &'a Fields, arena: &'a Bump) -> DataValue<'a> {
    let pairs = visitor::cookies(headers).take(CONTEXT_ENTRIES_MAX);
    let entries = Vec::from_iter_in(pairs.map(|(name, value)| (name, DataValue::String(value))), arena);
    DataValue::Object(entries.into_bump_slice())
}

fn query<'a>(query: &'a str, arena: &'a Bump) -> DataValue<'a> {
    let pairs = query
        .split('&')
        .filter(|piece| !piece.is_empty())
        .take(CONTEXT_ENTRIES_MAX);
    let entries = pairs.map(|piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (decoded(name, arena), DataValue::String(decoded(value, arena)))
    });
    DataValue::Object(Vec::from_iter_in(entries, arena).into_bump_slice())
}

/// Undoes `+` and `%` escapes as forms write them. A text that isn't UTF-8 afterwards stays as it was.
fn decoded<'a>(text: &'a str, arena: &'a Bump) -> &'a str {
    if !text.contains(['%', '+']) {
        return text;
    }
    let mut bytes = Vec::with_capacity_in(text.len(), arena);
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match (first, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            (byte, _) => *byte,
        });
    }
    str::from_utf8(bytes.into_bump_slice()).unwrap_or(text)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// JSON as rules see it, at most `levels` deep.
pub(super) fn claim<'a>(value: &'a Value, arena: &'a Bump, levels: usize) -> DataValue<'a> {
    match value {
        Value::Null => DataValue::Null,
        Value::Bool(value) => DataValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => DataValue::from_i64(whole),
            None => DataValue::from_f64(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => DataValue::String(text),
        Value::Array(_) | Value::Object(_) if levels == 0 => DataValue::Null,
        Value::Array(items) => {
            let items = items
                .iter()
                .take(CONTEXT_ENTRIES_MAX)
                .map(|item| claim(item, arena, levels - 1));
            DataValue::Array(Vec::from_iter_in(items, arena).into_bump_slice())
        }
        Value::Object(entries) => {
            let entries = entries.iter().take(CONTEXT_ENTRIES_MAX);
            let entries = entries.map(|(name, item)| (name.as_str(), claim(item, arena, levels - 1)));
            DataValue::Object(Vec::from_iter_in(entries, arena).into_bump_slice())
        }
    }
}
