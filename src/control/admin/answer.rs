//! An answer on its way out: text with a media type, and an `ETag` that spares who asks again the reading.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::refusal::Refusal;

/// Media types of what is served.
pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const SVG: &str = "image/svg+xml";

/// What is said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) media: &'static str,
    pub(super) text: Cow<'static, str>,
    /// Compared with `If-None-Match`; `None`: always sent.
    pub(super) tag: Option<String>,
    /// Sent whole even to who has the tag: it names a part of what is told, not all of it.
    pub(super) always: bool,
}

impl Answer {
    /// Text that is always sent whole.
    pub(super) fn text(media: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::OK,
            media,
            text: text.into(),
            tag: None,
            always: false,
        }
    }

    /// JSON made from snapshot `version`.
    pub(super) fn json(version: u64, value: &impl Serialize) -> Result<Self, Refusal> {
        let text = serde_json::to_string(value).map_err(|error| Refusal::Internal(error.to_string()))?;
        Ok(Self::text(JSON, text).tagged(version))
    }

    /// Bears a tag made of the snapshot's version and the text itself: health changes without a version, and versions begin
    /// anew when the program does.
    pub(super) fn tagged(mut self, version: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        self.tag = Some(format!("\"{version}-{:016x}\"", hasher.finish()));
        self
    }

    /// As the client that sent `asked` gets it.
    pub(super) fn to(self, asked: &HeaderMap) -> Response {
        let known = !self.always && self.tag.as_deref().is_some_and(|tag| knows(asked, tag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            (
                self.status,
                [(header::CONTENT_TYPE, HeaderValue::from_static(self.media))],
                self.text,
            )
                .into_response()
        };
        if let Some(tag) = self.tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// RFC 9110 section 13.1.2: a list of tags, compared weakly, or `*`.
fn knows(asked: &HeaderMap, tag: &str) -> bool {
    let fields = asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|field| field.to_str().ok());
    let mut tags = fields.flat_map(|field| field.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
