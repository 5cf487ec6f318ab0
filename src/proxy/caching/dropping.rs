//! What an unsafe method makes invalid when it succeeds (RFC 9111 section 4.4), and the groups that its answer drops (RFC 9875).

use super::{Way, key::Noted};
use crate::{
    cache::{
        labels,
        store::{How, Store, What},
    },
    fields::{Fields, Known},
    proxy::{exchange::Passed, forward::Outgoing, refusal::Refusal},
    route::target::{EncodedSlash, canonical, split_target},
};

/// Sends a request that the cache can't answer, and drops what its success changes.
pub(super) async fn send(noted: &Noted, outgoing: Outgoing<'_>, mut way: Way<'_>) -> Result<Passed, Refusal> {
    let safe = outgoing.head.method.is_safe();
    let (response, under_way) = way.ask(outgoing).await?;
    let status = response.status;
    if !safe && (status.is_success() || status.is_redirection()) {
        let store = way.edge.cache.store();
        drop_address(store, &noted.host, &noted.target);
        for target in named(&response.headers, &noted.host, &noted.target) {
            drop_address(store, &noted.host, &target);
        }
        for group in labels::dropped_groups(&response.headers) {
            let (host, name) = (&*noted.host, &*group);
            store.purge(&What::Group { host, name }, How::Hard);
        }
        store.purges_written().await; // who is told of the change never meets what was before it, not even after a restart
    }
    Ok((response, Some(under_way)))
}

fn drop_address(store: &Store, host: &str, target: &str) {
    let host = Some(host);
    store.purge(&What::Url { host, target }, How::Hard);
}

/// Addresses on the same host that `Location` and `Content-Location` name.
fn named(fields: &Fields, host: &str, base: &str) -> Vec<String> {
    let names = [Known::LOCATION, Known::CONTENT_LOCATION];
    let values = names
        .into_iter()
        .filter_map(|name| fields.get(name)?.to_str().ok());
    values.filter_map(|value| resolved(value, host, base)).collect()
}

/// A reference as path and query on `host`. `None`: it is elsewhere, or can't be read.
fn resolved(reference: &str, host: &str, base: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    let absolute = reference
        .strip_prefix("https:")
        .or_else(|| reference.strip_prefix("http:"))
        .unwrap_or(reference);
    let rest = match absolute.strip_prefix("//") {
        Some(rest) => {
            let (authority, _) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
            if !name.eq_ignore_ascii_case(host) {
                return None; // others' answers are not this one's to drop
            }
            rest.strip_prefix(authority)?.to_owned()
        }
        None if absolute.starts_with('/') => absolute.to_owned(),
        None if absolute.is_empty() => return None,
        None => {
            let path = base.split('?').next().unwrap_or_default();
            let folder = path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or("/");
            format!("{folder}{absolute}")
        }
    };
    let rest = if rest.starts_with('/') {
        rest
    } else {
        format!("/{rest}")
    };
    let (path, query) = split_target(&rest);
    let path = canonical(path, EncodedSlash::Keep).ok()?;
    Some(match query {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn references_are_resolved_on_the_same_host_alone() {
        let of = |reference| resolved(reference, "a.example", "/x/y?q");
        assert_eq!(of("z").as_deref(), Some("/x/z"));
        assert_eq!(of("/z?a=b#c").as_deref(), Some("/z?a=b"));
        assert_eq!(of("https://A.example:8443/z").as_deref(), Some("/z"));
        assert_eq!(of("//a.example").as_deref(), Some("/"));
        assert_eq!(of("../z").as_deref(), Some("/z"));
        assert_eq!(of("https://b.example/z"), None);
        assert_eq!(of(""), None);
    }
}
