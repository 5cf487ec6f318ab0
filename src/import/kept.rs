//! `[routes.cache]` of a behaviour: how long answers are kept, by what requests are told apart, and what reaches the backend beside.

use super::{
    behaviour::{Around, warn},
    caching::Caching,
    finding::Severity,
    forward::Settings,
    plan::{Choice, Forward, Host, Kept},
    policy::{CachePolicy, RequestPolicy, Selection},
    shape::{Behaviour, ForwardedValues},
};

/// What a behaviour keeps; `None`: nothing.
pub(super) fn kept(
    number: usize,
    behaviour: &Behaviour,
    caching: &Caching<'_>,
    (forward, host): (&Forward, Host),
    around: &mut Around<'_, '_>,
) -> Option<Kept> {
    let (min, default, max) = caching.ttl(behaviour);
    if max == 0 {
        return None;
    }
    let (listed, cookies, query) = match caching.settings() {
        Settings::Policies { cache, request } => by_policies(number, cache, request, forward, around),
        Settings::Legacy(values) => by_values(number, values, forward, around),
    };
    let has = |list: &[String], name: &str| list.iter().any(|one| one.eq_ignore_ascii_case(name));
    if has(&listed, "Authorization") {
        warn(
            around.findings,
            number,
            "authorization-key",
            "CloudFront kept an answer for each Authorization; in Banyan a request with one goes past the cache",
            "write `authorization = \"shared\"` in `[routes.cache]` if answers that say `public` are for everybody",
        );
    }
    let own = |name: &String| match name.get(..OWN_PREFIX.len()) {
        Some(start) if start.eq_ignore_ascii_case(OWN_PREFIX) => has(&forward.viewer, name),
        _ => true,
    };
    let mut headers: Vec<String> = listed
        .into_iter()
        .filter(|name| !has(&NEVER.map(str::to_owned), name) && own(name))
        .map(|name| name.to_ascii_lowercase())
        .collect();
    headers.sort_unstable();
    headers.dedup();
    let unkeyed = unkeyed(forward, &headers);
    told(number, min, cookies != Choice::None, host, around);
    Some(Kept {
        min,
        default: default.clamp(min, max.max(min)),
        max: max.max(min),
        headers,
        cookies,
        query,
        unkeyed,
    })
}

type Key = (Vec<String>, Choice, Choice);

/// What the origin request policy sends beside is in the key too, but for headers: an answer may depend on it.
fn by_policies(
    number: usize,
    cache: Option<&CachePolicy>,
    request: Option<&RequestPolicy>,
    forward: &Forward,
    around: &mut Around<'_, '_>,
) -> Key {
    let nothing = Selection::None;
    let keyed = cache.map_or(&nothing, |cache| &cache.headers);
    let listed = match keyed {
        Selection::Only(list) => list.clone(),
        Selection::None | Selection::All | Selection::Except(_) | Selection::AllAnd(_) => Vec::new(),
    };
    let beside = |of: fn(&RequestPolicy) -> &Selection, kept: Option<&Selection>| {
        let asked = request.map_or(&Selection::None, of);
        *asked != Selection::None && kept != Some(asked) && kept != Some(&Selection::All)
    };
    let wider: Vec<&str> = [
        (
            "cookies",
            beside(|request| &request.cookies, cache.map(|cache| &cache.cookies)),
        ),
        (
            "parameters",
            beside(|request| &request.query, cache.map(|cache| &cache.query)),
        ),
    ]
    .into_iter()
    .filter_map(|(what, wider)| wider.then_some(what))
    .collect();
    if !wider.is_empty() {
        warn(
            around.findings,
            number,
            "wider-key",
            format!(
                "the origin request policy sends {} that CloudFront's key lacks; in Banyan what the backend gets is in the key: fewer hits, and nobody gets what was made for another",
                wider.join(" and ")
            ),
            "list in `[routes.cache]` what answers depend on; the backend gets no others then",
        );
    }
    (listed, forward.cookies.clone(), forward.query.clone())
}

/// The older settings name parameters of the key beside those that are forwarded.
fn by_values(number: usize, values: &ForwardedValues, forward: &Forward, around: &mut Around<'_, '_>) -> Key {
    let keys = &values.query_string_cache_keys.items;
    let query = if keys.is_empty() || forward.query == Choice::None {
        forward.query.clone()
    } else {
        warn(
            around.findings,
            number,
            "narrower-query",
            "CloudFront sent the origin every parameter, and kept one answer whatever those outside its list were; in Banyan the backend gets those of the list",
            "add to `query` in `[routes.cache]` what the backend wants to see",
        );
        let mut keys = keys.clone();
        keys.sort_unstable();
        keys.dedup();
        Choice::Only(keys)
    };
    (values.headers.items.clone(), forward.cookies.clone(), query)
}

/// What the backend gets as it got it from `CloudFront`, beside the key.
fn unkeyed(forward: &Forward, keyed: &[String]) -> Choice {
    let is_keyed = |name: &str| keyed.iter().any(|own| own.eq_ignore_ascii_case(name));
    let mut list = match &forward.headers {
        Choice::All => return Choice::All,
        Choice::Except(list) => return Choice::Except(list.clone()),
        Choice::None => Vec::new(),
        Choice::Only(list) => list.clone(),
    };
    list.extend(forward.viewer.iter().cloned());
    list.push(FORWARDED_FOR.to_owned());
    list.retain(|name| !is_keyed(name));
    list.sort_by_key(|name| name.to_ascii_lowercase());
    list.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
    Choice::Only(list)
}

fn told(number: usize, min: u64, cookies: bool, host: Host, around: &mut Around<'_, '_>) {
    around.findings.at(
        number,
        Severity::Note,
        "kept",
        "answers are kept in Banyan's memory, as `[cache]` of banyan.toml bounds it, which a start finds empty",
        "see that `memory` holds what is asked for often; `banyan cache stats` tells how full it is",
    );
    if min > 0 {
        warn(
            around.findings,
            number,
            "min-ttl",
            format!(
                "CloudFront kept every answer for at least {min} s, also those with `no-store`, `no-cache` or `private`; Banyan keeps none of those"
            ),
            "let the backend say `public` where everybody may have an answer",
        );
    }
    if cookies {
        around.findings.at(
            number,
            Severity::Note,
            "set-cookie",
            "CloudFront kept an answer's Set-Cookie and gave everybody the same cookie; Banyan doesn't keep such answers",
            "write `set_cookie = \"keep\"` in `[routes.cache]` if that is meant",
        );
    }
    if around.shared && host == Host::Server {
        warn(
            around.findings,
            number,
            "host-not-in-key",
            "the names of the distribution shared what CloudFront kept, since Host is not in its key; Banyan keeps an answer for each name",
            "nothing, unless the backend can't bear to be asked once for each",
        );
    }
}

const OWN_PREFIX: &str = "CloudFront-";
const FORWARDED_FOR: &str = "X-Forwarded-For";

/// In Banyan's key already, judged by lists of their own, or never shared.
const NEVER: [&str; 7] = [
    "*",
    "Accept-Encoding",
    "Authorization",
    "Cookie",
    "Host",
    "Range",
    "Set-Cookie",
];
