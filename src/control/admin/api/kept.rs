//! What the cache keeps under an address, and what would become of a request for it now.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{
        answer::Answer,
        endpoints::{Asked, Endpoint},
        refusal::Refusal,
        table::{EXPLAIN as PARAMETERS, json, of},
    },
    explain::with_ask,
};
use crate::{
    cache::{
        status::{Forwarded, Told},
        store::{Entry, How, What, path::Path},
        vary,
    },
    clock::{self, UnixTime},
    control::plane::View,
    fields::Known,
    snapshot::cached::{Sought, sought},
};

/// Answers under one address that are shown.
const FOUND_MAX: usize = 100;

/// What is kept under an address.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Kept {
    /// The host that was looked for; none: every host.
    host: Option<String>,
    /// The path and query that were looked for.
    target: String,
    /// What would become of such a request now.
    foretold: Foretold,
    /// The answers, at most 100.
    answers: Vec<KeptAnswer>,
}

/// What would become of a request, by what is kept just now.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in super::super) struct Foretold {
    /// The route that would take it, if that keeps answers.
    route: Option<String>,
    /// What its key is made of: host, path and query, variants, names of fields and cookies.
    key: Vec<String>,
    /// What `Cache-Status` would say; none where the cache has nothing to do with it.
    cache_status: Option<String>,
    /// Why.
    why: String,
}

/// An answer that is kept.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct KeptAnswer {
    /// Its host.
    host: String,
    /// What its key holds beside host, path and query.
    key: String,
    /// Fields of the request that it was chosen by (`Vary`). Their values are nobody's business.
    vary: Vec<String>,
    /// Its status.
    status: u16,
    /// Its media type.
    media: Option<String>,
    /// Bytes of its body.
    bytes: u64,
    /// Bytes that it counts for.
    size: u64,
    /// Seconds since the backend made it.
    age: u64,
    /// Seconds that it is fresh for, counted as `age` is.
    lifetime: u64,
    /// `fresh`, `stale`, `purged`: stale by a purge, or `gone`: purged hard, never served.
    state: &'static str,
    /// The route that it came by.
    route: Option<String>,
    /// Whose that is.
    squad: Option<String>,
    /// Flags that it depends on, as `flag=variant`.
    flags: Vec<String>,
    /// Its groups.
    groups: Vec<String>,
    /// Its tags.
    tags: Vec<String>,
}

/// `GET /api/cache/explain`.
pub(in super::super) const EXPLAIN: Endpoint = Endpoint {
    parameters: PARAMETERS,
    otherwise: &[(400, "The address makes no sense.")],
    ..json(
        "/api/cache/explain",
        "What would become of a request in the cache and why, and what is kept under its address, with its age and what it can be \
         purged by; of all hosts where the address names none.",
        of::<Kept>,
        explained,
    )
};

fn explained(view: &View, asked: &Asked) -> Result<Answer, Refusal> {
    let url = asked
        .one("url")
        .ok_or_else(|| Refusal::Parameter("say which `url`".to_owned()))?;
    let (host, target) = address(url);
    let path = Path::read(target).map_err(|why| Refusal::Parameter(format!("{url:?}: {why}")))?;
    let What::Url { target, .. } = path.what(None) else {
        return Err(Refusal::Parameter("an address has no `*` at its end".to_owned()));
    };
    let host = host.map(str::to_ascii_lowercase);
    let found = view.cache.store().find(host.as_deref(), target, FOUND_MAX);
    let (now, at) = (clock::wall(), view.live.current());
    let foretold = with_ask(asked, None, now, &at, |ask| {
        let sought = sought(ask, now, &at);
        foretell(sought.as_ref(), ask.host, view, now)
    })?;
    let kept = Kept {
        foretold,
        target: target.to_owned(),
        answers: found
            .iter()
            .map(|(entry, how)| KeptAnswer::of(entry, *how, now))
            .collect(),
        host,
    };
    Answer::json(at.version, &kept)
}

/// What would become of a request that the cache would look for so.
fn foretell(sought: Option<&Sought>, host: &str, view: &View, now: UnixTime) -> Foretold {
    let Some(sought) = sought else {
        return Foretold {
            why: "no route that keeps answers takes it; `/api/explain` says what does".to_owned(),
            ..Foretold::default()
        };
    };
    let (told, why) = match sought.past {
        Some((word, detail)) => {
            let detail = detail.map_or_else(String::new, |detail| format!("; detail={detail}"));
            (
                format!("banyan; fwd={word}{detail}"),
                past(word, &detail).to_owned(),
            )
        }
        None => by_what_is_kept(sought, host, view, now),
    };
    Foretold {
        route: Some(sought.route.to_string()),
        key: sought.key.clone(),
        cache_status: Some(told),
        why,
    }
}

fn past(word: &str, detail: &str) -> &'static str {
    match (word, detail.rsplit('=').next().unwrap_or_default()) {
        ("method", _) => "only GET and HEAD are answered from the cache",
        (_, "override") => "it is put on a variant by an override link",
        (_, "authorization") => "it has credentials, and the route does not say `authorization = \"shared\"`",
        (_, "personal-cookie") => "it has one of the route's `personal_cookies`",
        _ => "its precondition is the backend's to judge",
    }
}

/// What the look would find, as far as names tell: values of fields and cookies in a key are nobody's business.
fn by_what_is_kept(sought: &Sought, host: &str, view: &View, now: UnixTime) -> (String, String) {
    let found = view.cache.store().find(Some(host), &sought.target, FOUND_MAX);
    let mut flags: Vec<_> = sought.flags.iter().collect();
    flags.sort();
    let same_key = |entry: &Entry| {
        let mut own: Vec<_> = entry.labels().flags.iter().collect();
        own.sort();
        entry.labels().route.as_ref() == Some(&sought.route) && own == flags
    };
    let kept: Vec<&(Arc<Entry>, Option<How>)> = found
        .iter()
        .filter(|(entry, how)| *how != Some(How::Hard) && same_key(entry))
        .collect();
    let mut fields = sought.fields.clone();
    fields.insert(Known::ACCEPT_ENCODING, vary::accept_encoding(&fields));
    let chosen = kept
        .iter()
        .find(|(entry, _)| vary::matches(entry.selected(), &fields));
    let told = |told: Told, why: &str| {
        let values = if sought.by_values {
            ", if the values of the fields and cookies in the key are those that it was kept for"
        } else {
            ""
        };
        (told.text(), format!("{why}{values}"))
    };
    match (chosen, kept.is_empty()) {
        (None, true) => told(
            Told::forwarded(Forwarded::UriMiss, None),
            "nothing is kept under this key",
        ),
        (None, false) => told(
            Told::forwarded(Forwarded::VaryMiss, None),
            "what is kept is for requests with other fields, as `Vary` named them",
        ),
        (Some((entry, how)), _) => {
            let (times, terms) = (entry.times(), entry.terms());
            let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
            let ttl = seconds(times.lifetime).saturating_sub(seconds(times.age(now)));
            let within = times.age(now) < times.lifetime.saturating_add(times.while_revalidate);
            let waits =
                within && !terms.must_revalidate && (how.is_some() || !times.while_revalidate.is_zero());
            if terms.no_cache {
                told(
                    Told::forwarded(Forwarded::Stale, None),
                    "what is kept is asked about each time (`no-cache`)",
                )
            } else if how.is_none() && times.is_fresh(now) {
                told(Told::hit(ttl), "what is kept is fresh")
            } else if waits {
                let hit = Told {
                    detail: Some("stale-while-revalidate"),
                    ..Told::hit(ttl)
                };
                told(
                    hit,
                    "what is kept is stale, or purged softly, and is served while another is fetched",
                )
            } else {
                told(
                    Told::forwarded(Forwarded::Stale, None),
                    "what is kept is stale: the backend is asked whether it still counts",
                )
            }
        }
    }
}

/// Host and target of an address as a browser has it, or only its path and query.
fn address(url: &str) -> (Option<&str>, &str) {
    let Some((_, rest)) = url.split_once("://").filter(|_| !url.starts_with('/')) else {
        return (None, url);
    };
    let (host, target) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at_checked(at).unwrap_or((rest, "/")),
        None => (rest, "/"),
    };
    let end = host.rfind(']').unwrap_or_default(); // a port comes after an IPv6 address
    let port = host.rfind(':').filter(|colon| *colon >= end);
    let host = port.and_then(|colon| host.get(..colon)).unwrap_or(host);
    (Some(host.trim_matches(['[', ']'])), target)
}

impl KeptAnswer {
    fn of(entry: &Entry, how: Option<How>, now: UnixTime) -> Self {
        let (labels, times) = (entry.labels(), entry.times());
        let owned = |texts: &[Box<str>]| texts.iter().map(|text| text.to_string()).collect();
        let media = entry.fields().get("content-type");
        Self {
            host: entry.host().to_owned(),
            key: entry.rest().to_owned(),
            vary: entry
                .selected()
                .iter()
                .map(|(name, _)| name.to_string())
                .collect(),
            status: entry.status().as_u16(),
            media: media.and_then(|media| media.to_str().ok().map(str::to_owned)),
            bytes: entry.body().len(),
            size: entry.size(),
            age: times.age(now).as_secs(),
            lifetime: times.lifetime.as_secs(),
            state: match how {
                Some(How::Hard) => "gone",
                Some(How::Soft) => "purged",
                None if times.is_fresh(now) => "fresh",
                None => "stale",
            },
            route: labels.route.as_deref().map(str::to_owned),
            squad: labels.squad.as_deref().map(str::to_owned),
            flags: labels
                .flags
                .iter()
                .map(|(flag, variant)| format!("{flag}={variant}"))
                .collect(),
            groups: owned(&labels.groups),
            tags: owned(&labels.tags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_is_a_browsers_or_a_path() {
        let cases = [
            ("/a?b=1", None, "/a?b=1"),
            ("/a?to=https://b.example/", None, "/a?to=https://b.example/"),
            ("https://a.example", Some("a.example"), "/"),
            ("https://a.example:8443/x", Some("a.example"), "/x"),
            ("http://[::1]:8080/x", Some("::1"), "/x"),
            ("http://[::1]/x", Some("::1"), "/x"),
        ];
        for (url, host, target) in cases {
            assert_eq!(address(url), (host, target), "{url}");
        }
    }
}
