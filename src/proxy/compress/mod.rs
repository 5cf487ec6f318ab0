//! Compresses an answer where its route says so: `encoder` has the three encodings, `body` drives one, `place` bounds how many.

mod body;
mod encoder;
mod place;

use http::{Method, StatusCode};
use http_body::Body as _;

pub use self::place::Places;
use self::{body::Compressed, encoder::Encoder};
use super::{edge::Edge, follow::Following};
use crate::{
    body::Body,
    message::{Head, Response},
    policy::compress::{self, Asked, Compression, Verdict},
    route::RouteId,
    snapshot::Snapshot,
};

/// Notes how the client wants its answer, while the request's head is as it came. Nothing, for a route that compresses nothing.
pub fn note(route: Option<RouteId>, head: &Head, at: &Snapshot, following: &mut Following) {
    if let Some((route, compression)) = route.and_then(|route| Some((route, of(route, at)?))) {
        following.compressing = Some((route, Asked::of(compression, head.version, &head.headers)));
    }
}

/// Compresses `response` if its route, its head and what the client said agree on it, and a place is free. It comes last: what is
/// said of the answer before is said of its bytes as they were.
pub fn finish(response: &mut Response, method: &Method, following: &Following, edge: &Edge, at: &Snapshot) {
    if let Some((route, asked)) = &following.compressing
        && let Some(compression) = of(*route, at)
    {
        compress(response, method, asked, compression, edge, at);
    }
}

fn of(route: RouteId, at: &Snapshot) -> Option<&Compression> {
    at.rule(route)?.policy.compress.as_ref()
}

fn compress(
    response: &mut Response,
    method: &Method,
    asked: &Asked,
    compression: &Compression,
    edge: &Edge,
    at: &Snapshot,
) {
    if matches!(response.body, Body::Tunnel(_)) {
        return;
    }
    let fields = &mut response.headers;
    if response.status == StatusCode::NOT_MODIFIED {
        return compress::freshen(fields, asked, compression);
    }
    // the head that is the answer to HEAD is that of a body which isn't there (RFC 9110 section 9.3.2)
    let head_only = *method == Method::HEAD;
    let length = response.body.size_hint().exact().filter(|_| !head_only);
    let (encoding, length) = match compression.judge(asked, response.status, fields, length) {
        Verdict::Untouched => return,
        Verdict::AsItIs => return compress::vary(fields),
        Verdict::Compress { encoding, length } => (encoding, length),
    };
    compress::vary(fields);
    if head_only {
        return compress::encode(fields, encoding);
    }
    let most = at.limits.compressing_max;
    let Some(place) = edge.compressing.take(most, encoding, &edge.observe) else {
        return;
    };
    let encoder = match Encoder::new(encoding, length) {
        Ok(encoder) => encoder,
        Err(error) => {
            tracing::debug!(%error, "an answer goes out as it is");
            return;
        }
    };
    compress::encode(fields, encoding);
    let inner = std::mem::replace(&mut response.body, Body::Empty);
    response.body = Compressed::body(inner, encoder, place);
}
