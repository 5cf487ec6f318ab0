//! What of a decision the cache goes by, for traffic and for explain.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    Rule, Snapshot,
    decide::{Ask, Choices, Decision, decide},
};
use crate::{
    clock::UnixTime,
    fields::{Fields, Known},
    name::VariantName,
    policy::{caching::Caching, forward::Which},
};

/// Why a request goes past the cache, in the word that `Cache-Status` says. `None`: it may be answered from it.
#[must_use]
pub fn bypass(caching: Option<&Caching>, decision: &Decision<'_>, fields: &Fields) -> Option<&'static str> {
    let caching = caching?;
    let authorized = decision.identity.is_some() || fields.contains_key(Known::AUTHORIZATION);
    let unless = [Known::IF_MATCH, Known::IF_UNMODIFIED_SINCE];
    if decision.is_forced() {
        Some("override")
    } else if authorized && !caching.shares_authorized {
        Some("authorization")
    } else if caching.is_personal(fields) {
        Some("personal-cookie")
    } else {
        let precondition = unless.iter().any(|name| fields.contains_key(*name));
        precondition.then_some("precondition")
    }
}

/// The path as it was judged, with what of the query is in the key.
#[must_use]
pub fn target(caching: Option<&Caching>, path: &str, query: Option<&str>) -> String {
    let query = query.unwrap_or_default();
    let kept = caching.map_or_else(|| Some(query.into()), |caching| caching.query(query));
    match kept.filter(|kept| !kept.is_empty()) {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// What each flag of the route says, by name; `none` where it gives no variant.
#[must_use]
pub fn variants(choices: &Choices, at: &Snapshot) -> SmallVec<[(Arc<str>, Arc<str>); 2]> {
    let told = choices.iter().filter_map(|(id, choice)| {
        let flag = at.flags.get(*id)?;
        let variant = choice.variant.and_then(|place| flag.variant(place));
        let variant = variant.map_or_else(|| Arc::from("none"), VariantName::shared);
        Some((flag.key().shared(), variant))
    });
    told.collect()
}

/// What the cache goes by for a request, whatever it keeps.
#[derive(Debug)]
pub struct Sought {
    /// The route.
    pub route: Arc<str>,
    /// The path as it was judged, and what of the query is in the key.
    pub target: String,
    /// All that the key is made of, for people: of fields and cookies their names.
    pub key: Vec<String>,
    /// The variants in it.
    pub flags: SmallVec<[(Arc<str>, Arc<str>); 2]>,
    /// Fields and cookies are in the key, whose values nobody is told.
    pub by_values: bool,
    /// Why it goes on to the backend in any case, as `Cache-Status` says it: the word, and more of it.
    pub past: Option<(&'static str, Option<&'static str>)>,
    /// Its fields, without those that its answer may not depend on; `Accept-Encoding` as it came, or `identity` where Banyan compresses.
    pub fields: Fields,
}

/// What the cache would go by for a request; `None`: it has nothing to do with it.
#[must_use]
pub fn sought(ask: &Ask<'_, '_>, now: UnixTime, at: &Snapshot) -> Option<Sought> {
    let decision = decide(ask, now, at, &mut ()).ok()?;
    let rule = at.rule(decision.route)?;
    let caching = rule.policy.cache.as_deref()?;
    let past = match matches!(ask.method.as_str(), "GET" | "HEAD") {
        false => Some(("method", None)),
        true => bypass(Some(caching), &decision, ask.headers).map(|why| ("bypass", Some(why))),
    };
    let mut fields = ask.headers.clone();
    caching.narrow(&mut fields);
    if rule.policy.compress.is_some() {
        fields.insert(Known::ACCEPT_ENCODING, "identity"); // one answer, compressed for each client
    }
    Some(Sought {
        route: Arc::clone(&rule.name),
        target: target(Some(caching), &decision.path, decision.query),
        key: key(ask, &decision, caching, at),
        flags: variants(&decision.choices, at),
        by_values: !caching.headers.is_empty() || caching.cookies != Which::Nothing,
        past,
        fields,
    })
}

/// All that a key is made of, for people.
fn key(ask: &Ask<'_, '_>, decision: &Decision<'_>, caching: &Caching, at: &Snapshot) -> Vec<String> {
    let address = target(Some(caching), &decision.path, decision.query);
    let mut key = vec![format!("{}{address}", ask.host)];
    let variants = variants(&decision.choices, at);
    key.extend(variants.iter().map(|(flag, variant)| format!("{flag}={variant}")));
    let version = decision.version.and_then(|on| at.member(on));
    key.extend(version.map(|version| format!("version {}", version.name)));
    let headers = caching.headers.iter();
    key.extend(headers.map(|name| format!("header {name}")));
    if caching.cookies != Which::Nothing {
        key.push(format!("cookies {}", caching.cookies));
    }
    key
}

/// What explain says of it: the key, what will be said, what does not reach the backend. Never values.
pub(super) fn told(ask: &Ask<'_, '_>, decision: &Decision<'_>, rule: &Rule, at: &Snapshot) -> Vec<String> {
    let Some(caching) = rule.policy.cache.as_deref() else {
        return Vec::new();
    };
    if !matches!(ask.method.as_str(), "GET" | "HEAD") {
        let drops = match ask.method.is_safe() {
            true => "",
            false => {
                "; success drops what is kept under this address and those that Location and Content-Location name"
            }
        };
        return vec![format!("Cache-Status: banyan; fwd=method{drops}")];
    }
    if let Some(why) = bypass(Some(caching), decision, ask.headers) {
        return vec![format!("Cache-Status: banyan; fwd=bypass; detail={why}")];
    }
    let key = key(ask, decision, caching, at);
    let mut lines = vec![
        format!("key {}", key.join("; ")),
        "Cache-Status: banyan; hit if it is kept and fresh, else fwd=uri-miss, vary-miss or stale".to_owned(),
    ];
    let left_out = caching.left_out(ask.headers);
    if !left_out.is_empty() {
        lines.push(format!(
            "not in the key, so not sent to the backend: {}",
            left_out.join(", ")
        ));
    }
    lines
}
