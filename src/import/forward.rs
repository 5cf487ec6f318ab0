//! What of a request reaches the backend: what cache policy, origin request policy or the older settings come to together.

use super::{
    plan::{Choice, Forward, Host},
    policy::{CachePolicy, RequestPolicy, Selection},
    shape::ForwardedValues,
};

/// What a behaviour goes by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Settings<'p> {
    /// Policies; a missing one forwards nothing.
    Policies {
        cache: Option<&'p CachePolicy>,
        request: Option<&'p RequestPolicy>,
    },
    /// `ForwardedValues`.
    Legacy(&'p ForwardedValues),
}

/// What is forwarded, and whose name the backend is asked by.
pub(super) fn forward(settings: Settings<'_>) -> (Forward, Host) {
    match settings {
        Settings::Policies { cache, request } => by_policies(cache, request),
        Settings::Legacy(values) => by_values(values),
    }
}

fn by_policies(cache: Option<&CachePolicy>, request: Option<&RequestPolicy>) -> (Forward, Host) {
    let (no_cache, no_request) = (CachePolicy::default(), RequestPolicy::default());
    let (cache, request) = (cache.unwrap_or(&no_cache), request.unwrap_or(&no_request));
    let keyed = names(&cache.headers);
    let (mut headers, listed) = match &request.headers {
        Selection::All => (Choice::All, Vec::new()),
        Selection::AllAnd(own) => (Choice::All, own.clone()),
        Selection::Except(list) => {
            let left = without(list, keyed);
            (except(left), Vec::new())
        }
        Selection::None | Selection::Only(_) => {
            let asked = names(&request.headers);
            let own = if cache.gzip || cache.brotli {
                &["Accept-Encoding"][..]
            } else {
                &[]
            };
            let all = keyed.iter().chain(asked).map(String::as_str);
            (
                Choice::Only(sorted(all.chain(ALWAYS).chain(own.iter().copied()))),
                asked.to_vec(),
            )
        }
    };
    let host = host_of(&headers, keyed);
    let viewer = sorted(
        keyed
            .iter()
            .chain(&listed)
            .map(String::as_str)
            .filter(|name| is_own(name)),
    );
    strip(&mut headers);
    let forward = Forward {
        headers,
        cookies: together(&cache.cookies, &request.cookies),
        query: together(&cache.query, &request.query),
        viewer,
    };
    (forward, host)
}

/// All headers but what is replaced or removed, unless it is listed; cookies and query by switches of their own.
fn by_values(values: &ForwardedValues) -> (Forward, Host) {
    let listed = &values.headers.items;
    let all = listed.iter().any(|name| name == "*");
    let removed: Vec<String> = LEGACY_REMOVED.map(str::to_owned).to_vec();
    let headers = if all {
        Choice::All
    } else {
        except(without(&removed, listed))
    };
    let host = if all || contains(listed, "Host") {
        Host::Visitor
    } else {
        Host::Server
    };
    let cookies = values.cookies.get();
    let cookies = match cookies.and_then(|cookies| cookies.forward.as_deref()) {
        Some("all") => Choice::All,
        Some("whitelist") => only(cookies.map_or(&[], |cookies| &cookies.whitelisted_names.items)),
        _ => Choice::None,
    };
    let query = if values.query_string.unwrap_or_default() {
        Choice::All
    } else {
        Choice::None
    };
    let own = listed.iter().map(String::as_str).filter(|name| is_own(name));
    let forward = Forward {
        headers,
        cookies,
        query,
        viewer: sorted(own),
    };
    (forward, host)
}

/// Cookies or query parameters of both policies: reference section 2.2, the table.
fn together(cache: &Selection, request: &Selection) -> Choice {
    use Selection::{All, AllAnd, Except, None, Only};
    match (cache, request) {
        (All | AllAnd(_), _) | (_, All | AllAnd(_)) => Choice::All,
        (None, None) => Choice::None,
        (None, Only(list)) | (Only(list), None) => only(list),
        (None, Except(list)) | (Except(list), None) => except(list.clone()),
        (Only(a), Only(b)) => Choice::Only(sorted_exactly(a.iter().chain(b))),
        (Only(kept), Except(list)) => {
            except(list.iter().filter(|name| !kept.contains(name)).cloned().collect())
        }
        (Except(list), Only(kept)) => {
            except(list.iter().filter(|name| !kept.contains(name)).cloned().collect())
        }
        (Except(a), Except(b)) => except(sorted_exactly(a.iter().chain(b))),
    }
}

fn names(selection: &Selection) -> &[String] {
    match selection {
        Selection::Only(list) => list,
        Selection::None | Selection::All | Selection::Except(_) | Selection::AllAnd(_) => &[],
    }
}

fn only(list: &[String]) -> Choice {
    if list.is_empty() {
        Choice::None
    } else {
        Choice::Only(sorted_exactly(list.iter()))
    }
}

fn except(list: Vec<String>) -> Choice {
    if list.is_empty() {
        Choice::All
    } else {
        Choice::Except(list)
    }
}

/// The visitor's `Host` goes on where it is listed or where everything does.
fn host_of(headers: &Choice, keyed: &[String]) -> Host {
    let visitor = match headers {
        Choice::All => true,
        Choice::None => false,
        Choice::Only(list) => contains(list, "Host"),
        Choice::Except(list) => contains(keyed, "Host") || !contains(list, "Host"),
    };
    if visitor { Host::Visitor } else { Host::Server }
}

/// Takes out what lists don't decide: `Host` is the backend's, cookies have a list of their own, `CloudFront-*` are added, not forwarded.
fn strip(headers: &mut Choice) {
    if let Choice::Only(list) | Choice::Except(list) = headers {
        list.retain(|name| !contains(&NOT_LISTED, name) && !is_own(name));
        if list.is_empty() {
            *headers = match headers {
                Choice::Except(_) => Choice::All,
                _ => Choice::None,
            };
        }
    }
}

fn is_own(name: &str) -> bool {
    name.get(..OWN_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX))
}

fn contains<S: AsRef<str>>(list: &[S], name: &str) -> bool {
    list.iter().any(|one| one.as_ref().eq_ignore_ascii_case(name))
}

fn without(list: &[String], kept: &[String]) -> Vec<String> {
    list.iter()
        .filter(|name| !contains(kept, name))
        .cloned()
        .collect()
}

/// Header names: sorted, each once whatever its case.
fn sorted<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut list: Vec<String> = names.map(str::to_owned).collect();
    list.sort_by_key(|name| name.to_ascii_lowercase());
    list.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
    list
}

/// Names of cookies and parameters, whose case matters.
fn sorted_exactly<'n>(names: impl Iterator<Item = &'n String>) -> Vec<String> {
    let mut list: Vec<String> = names.cloned().collect();
    list.sort_unstable();
    list.dedup();
    list
}

const OWN_PREFIX: &str = "CloudFront-";

const NOT_LISTED: [&str; 3] = ["Host", "Cookie", "Set-Cookie"];

/// What reaches the backend whatever a policy says. Others of the kind (`Content-*`, `Range`, `Cache-Control`, most `If-*`) need not be
/// listed: no list of Banyan's takes them away.
const ALWAYS: [&str; 1] = ["If-None-Match"];

/// What the older settings take away or replace unless it is listed. Hop-by-hop fields and `X-Forwarded-Proto` are left out:
/// Banyan never forwards them.
const LEGACY_REMOVED: [&str; 8] = [
    "Accept",
    "Accept-Charset",
    "Accept-Language",
    "Authorization",
    "Referer",
    "User-Agent",
    "X-HTTP-Method-Override",
    "X-Real-IP",
];

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
