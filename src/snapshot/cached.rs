//! What of a decision the cache goes by, for traffic and for explain.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    Rule, Snapshot,
    decide::{Ask, Choices, Decision},
};
use crate::{
    fields::{Fields, Known},
    name::VariantName,
    policy::caching::Caching,
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
    let mut key = vec![format!(
        "{}{}",
        ask.host,
        target(Some(caching), &decision.path, decision.query)
    )];
    let variants = variants(&decision.choices, at);
    key.extend(variants.iter().map(|(flag, variant)| format!("{flag}={variant}")));
    let version = decision.version.and_then(|on| at.member(on));
    key.extend(version.map(|version| format!("version {}", version.name)));
    let headers = caching.headers.iter();
    key.extend(headers.map(|name| format!("header {name}")));
    if caching.cookies != crate::policy::forward::Which::Nothing {
        key.push(format!("cookies {}", caching.cookies));
    }
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
