//! Writes a request's head, and remembers what the answer must be measured by.

use http::Method;
use http_body::Body as _;

use super::super::encode;
use crate::{
    body::Body,
    fields::{Known, KnownSet},
    message::Head,
    wire::Upgrade,
};

/// Fields of a head that are written apart, or not at all.
const APART: KnownSet = encode::CONNECTION_FIELDS.and(KnownSet::of(&[Known::HOST, Known::CONTENT_LENGTH]));

/// How the request's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What a request asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) head_only: bool,
    pub(super) framing: Framing,
    pub(super) waits_for_continue: bool,
    pub(super) upgrade: Option<Upgrade>,
    /// The answer to a `sec-websocket-key` that we made up for an HTTP/2 client, which has none.
    pub(super) websocket_accept: Option<String>,
}

/// Writes the head of a request with `body`.
pub(super) fn write(out: &mut Vec<u8>, head: &Head, body: &Body) -> Asked {
    let upgrade = head.upgrade.clone();
    let framing = framing(head, body);
    out.reserve(256 + head.headers.len() * 48);
    // an extended CONNECT becomes the GET that HTTP/1.1 begins a WebSocket with (RFC 8441 section 5)
    let method = match upgrade {
        Some(Upgrade::Http2(_)) => &Method::GET,
        Some(Upgrade::Http1(_)) | None => &head.method,
    };
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(host) = head.headers.get(Known::HOST) {
        encode::field(out, b"host", host.as_bytes());
    }
    let mut waits_for_continue = false;
    for (name, value) in head.headers.iter() {
        if name.is_in(APART) {
            continue;
        }
        if name == Known::EXPECT {
            if framing == Framing::None {
                continue;
            }
            waits_for_continue = true;
        }
        encode::field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    match framing {
        Framing::Length(length) => encode::content_length(out, length),
        Framing::Chunked => encode::field(out, b"transfer-encoding", b"chunked"),
        // RFC 9110 section 8.6: so that nobody waits for a body
        Framing::None if matches!(head.method, Method::POST | Method::PUT | Method::PATCH) => {
            encode::content_length(out, 0);
        }
        Framing::None => {}
    }
    let websocket_accept = upgrade
        .as_ref()
        .and_then(|upgrade| write_upgrade(out, head, upgrade));
    if websocket_accept.is_none() && head.headers.contains_key(Known::TE) && upgrade.is_none() {
        encode::field(out, b"connection", b"te"); // RFC 9110 section 10.1.4
    }
    out.extend_from_slice(b"\r\n");
    Asked {
        head_only: *method == Method::HEAD,
        framing,
        waits_for_continue,
        upgrade,
        websocket_accept,
    }
}

fn framing(head: &Head, body: &Body) -> Framing {
    let told = head.headers.get(Known::CONTENT_LENGTH);
    match told.and_then(|value| value.to_str().ok()?.parse().ok()) {
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => match body {
            Body::Empty | Body::Tunnel(_) => Framing::None,
            Body::Full(bytes) => Framing::Length(bytes.len() as u64),
            body if body.is_end_stream() => Framing::None,
            _ => Framing::Chunked,
        },
    }
}

/// Asks for the upgrade. Returns the `sec-websocket-accept` to hold the server to, if the key is ours.
fn write_upgrade(out: &mut Vec<u8>, head: &Head, upgrade: &Upgrade) -> Option<String> {
    encode::field(out, b"connection", b"upgrade");
    encode::field(out, b"upgrade", upgrade.protocol().as_bytes());
    let keyless = matches!(upgrade, Upgrade::Http2(protocol) if protocol == "websocket");
    if !keyless || head.headers.contains_key(Known::SEC_WEBSOCKET_KEY) {
        return None;
    }
    let key = crate::websocket::key()?;
    encode::field(out, b"sec-websocket-key", key.as_bytes());
    Some(crate::websocket::accept(key.as_bytes()))
}
