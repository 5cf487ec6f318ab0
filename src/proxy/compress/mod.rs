//! Compresses an answer where its route says so: `encoder` has the three encodings, `body` drives one, `place` bounds how many.

mod body;
mod encoder;
mod place;

use http::{Method, StatusCode};
use http_body::Body as _;

pub use self::place::Places;
use self::{body::Compressed, encoder::Encoder};
use super::edge::Edge;
use crate::{
    body::Body,
    message::Response,
    policy::compress::{self, Asked, Compression, Verdict},
    snapshot::Snapshot,
};

/// Compresses `response` if its route, its head and what the client said agree on it, and a place is free.
pub fn compress(
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
