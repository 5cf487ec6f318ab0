//! Which of a visitor's header fields pass, and what stands in for two that a backend can't do without.

use super::Which;
use crate::fields::{Fields, Key, Known, KnownSet};

/// Fields that no list takes away. Without them a request would be another one, or none at all:
const ALWAYS: KnownSet = KnownSet::of(&[
    // whom it is for
    Known::HOST,
    // how it is framed and what this connection does; `proxy::headers` judges these
    Known::CONNECTION,
    Known::CONTENT_LENGTH,
    Known::EXPECT,
    Known::KEEP_ALIVE,
    Known::MAX_FORWARDS,
    Known::PROXY_CONNECTION,
    Known::TE,
    Known::TRAILER,
    Known::TRANSFER_ENCODING,
    Known::UPGRADE,
    // what the connection shall become (RFC 6455 section 4.1)
    Known::SEC_WEBSOCKET_EXTENSIONS,
    Known::SEC_WEBSOCKET_KEY,
    Known::SEC_WEBSOCKET_PROTOCOL,
    Known::SEC_WEBSOCKET_VERSION,
    // how its body is read
    Known::CONTENT_DISPOSITION,
    Known::CONTENT_ENCODING,
    Known::CONTENT_LANGUAGE,
    Known::CONTENT_LOCATION,
    Known::CONTENT_RANGE,
    Known::CONTENT_TYPE,
    // on which condition it holds, and for which part: without `If-Match` a PUT would overwrite what it was not meant to
    Known::IF_MATCH,
    Known::IF_MODIFIED_SINCE,
    Known::IF_NONE_MATCH,
    Known::IF_RANGE,
    Known::IF_UNMODIFIED_SINCE,
    Known::RANGE,
    // RFC 9111 section 5.2: every proxy passes them on
    Known::CACHE_CONTROL,
    Known::PRAGMA,
    // what Banyan itself says, some of it by adding to what came
    Known::FORWARDED,
    Known::TRACEPARENT,
    Known::TRACESTATE,
    Known::VIA,
    Known::X_FORWARDED_FOR,
    Known::X_FORWARDED_HOST,
    Known::X_FORWARDED_PORT,
    Known::X_FORWARDED_PROTO,
    Known::X_REQUEST_ID,
    // their own list judges them
    Known::COOKIE,
]);

/// As [`ALWAYS`], fields without a number: how a body is read and checked.
const ALWAYS_TOO: [&str; 5] = [
    "content-digest",
    "content-md5",
    "digest",
    "grpc-encoding",
    "repr-digest",
];

/// What a backend gets for a `User-Agent` that does not pass: many applications fail without any, so CloudFront says its own, too.
pub const USER_AGENT: &str = "Banyan";

/// What a backend gets for an `Accept-Encoding` that does not pass: without any it could choose one that the visitor can't read
/// (RFC 9110 section 12.5.3).
pub const ACCEPT_ENCODING: &str = "identity";

/// Whether a field passes whatever the lists say.
#[must_use]
pub fn always_passes(name: &impl Key) -> bool {
    match name.known() {
        Some(known) => ALWAYS.has(known),
        None => ALWAYS_TOO.contains(&name.text()),
    }
}

/// Whether a field of the visitor's passes.
pub(super) fn passes(which: &Which, name: &impl Key) -> bool {
    which.lets(|names| names.has_header(name)) || always_passes(name)
}

/// Takes the fields away that don't pass.
pub(super) fn keep(which: &Which, fields: &mut Fields) {
    if *which == Which::All {
        return;
    }
    let wants_encoding = fields.contains_key(Known::ACCEPT_ENCODING);
    fields.retain(|name, _| passes(which, &name));
    if !passes(which, &Known::USER_AGENT) {
        fields.insert(Known::USER_AGENT, USER_AGENT);
    }
    if wants_encoding && !passes(which, &Known::ACCEPT_ENCODING) {
        fields.insert(Known::ACCEPT_ENCODING, ACCEPT_ENCODING);
    }
}
