//! What of a request a backend's ring of servers is asked with.

use std::{net::IpAddr, sync::Arc};

use crate::{
    backend::{Pick, pick::Key, ring::hashed},
    gate::Identity,
    message::Head,
    visitor::cookies,
};

/// The key of a request, where its backend hashes and the request has what is hashed.
///
/// Cookies and fields are those that are forwarded: what a route keeps back leads nowhere.
pub(super) fn key(pick: &Pick, head: &Head, identity: Option<&Arc<Identity>>, client: IpAddr) -> Option<u64> {
    let Pick::Hash(key) = pick else {
        return None;
    };
    match key {
        Key::Cookie(name) => {
            let mut all = cookies(&head.headers);
            all.find(|(own, _)| *own == &**name)
                .map(|(_, value)| hashed(value.as_bytes()))
        }
        Key::Header(name) => head.headers.get(name).map(|value| hashed(value.as_bytes())),
        Key::Identity => identity.map(|identity| hashed(identity.subject.as_bytes())),
        Key::Address => Some(match client {
            IpAddr::V4(four) => hashed(&four.octets()),
            IpAddr::V6(six) => hashed(&six.octets()),
        }),
    }
}
