//! Media types that are worth compressing.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use crate::fields::{Fields, Known, Value};

/// A list of media types. Cloning shares it.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaTypes(Arc<[MediaRange]>);

/// `text/html`, or `text/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MediaRange {
    /// This one, in lower case.
    Exactly(Box<str>),
    /// All that begin so, the slash included, in lower case.
    All(Box<str>),
}

/// Why a text can't stand in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadType {
    /// It is not `type/subtype` or `type/*`.
    #[error("it is not of the form `text/html` or `text/*`")]
    Form,
    /// It names server-sent events, whose every byte is to arrive at once.
    #[error("events are never compressed")]
    Events,
}

impl MediaTypes {
    /// A list of these.
    ///
    /// # Errors
    /// The first that is none, with the reason.
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, (&'t str, BadType)> {
        let ranges = texts
            .into_iter()
            .map(|text| range(text).map_err(|why| (text, why)));
        ranges.collect::<Result<Arc<[MediaRange]>, _>>().map(Self)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an answer with these fields is of one of the types. One that names two is of none.
    pub(super) fn take(&self, fields: &Fields) -> bool {
        let mut values = fields.get_all(Known::CONTENT_TYPE).map(Value::as_bytes);
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let media = value.split(|byte| *byte == b';').next().unwrap_or_default();
        let media = media.trim_ascii();
        !media.eq_ignore_ascii_case(EVENTS) && self.0.iter().any(|range| range.takes(media))
    }
}

impl Default for MediaTypes {
    fn default() -> Self {
        static USUAL: LazyLock<MediaTypes> = LazyLock::new(|| {
            let all = CLOUDFRONT.into_iter().chain(MORE);
            MediaTypes(all.map(|text| MediaRange::Exactly(text.into())).collect())
        });
        USUAL.clone()
    }
}

impl fmt::Debug for MediaTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("usual");
        }
        f.debug_list().entries(self.0.iter()).finish()
    }
}

impl MediaRange {
    fn takes(&self, media: &[u8]) -> bool {
        match self {
            Self::Exactly(text) => media.eq_ignore_ascii_case(text.as_bytes()),
            Self::All(begin) => media
                .get(..begin.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(begin.as_bytes())),
        }
    }
}

fn range(text: &str) -> Result<MediaRange, BadType> {
    let (kind, subtype) = text.split_once('/').ok_or(BadType::Form)?;
    if !is_token(kind) || kind == "*" {
        return Err(BadType::Form);
    }
    if subtype == "*" {
        return Ok(MediaRange::All(format!("{}/", kind.to_ascii_lowercase()).into()));
    }
    if !is_token(subtype) || subtype.contains('*') {
        return Err(BadType::Form);
    }
    if text.as_bytes().eq_ignore_ascii_case(EVENTS) {
        return Err(BadType::Events);
    }
    Ok(MediaRange::Exactly(text.to_ascii_lowercase().into()))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

/// Server-sent events.
const EVENTS: &[u8] = b"text/event-stream";

/// What CloudFront compresses ("File types that CloudFront compresses" in its developer guide).
const CLOUDFRONT: [&str; 46] = [
    "text/html",
    "text/css",
    "text/javascript",
    "application/javascript",
    "application/json",
    "image/svg+xml",
    "text/plain",
    "text/xml",
    "application/dash+xml",
    "application/eot",
    "application/font",
    "application/font-sfnt",
    "application/opentype",
    "application/otf",
    "application/pkcs7-mime",
    "application/protobuf",
    "application/rss+xml",
    "application/truetype",
    "application/ttf",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xhtml+xml",
    "application/xml",
    "application/x-font-opentype",
    "application/x-font-truetype",
    "application/x-font-ttf",
    "application/x-httpd-cgi",
    "application/x-javascript",
    "application/x-mpegurl",
    "application/x-opentype",
    "application/x-otf",
    "application/x-perl",
    "application/x-ttf",
    "font/eot",
    "font/opentype",
    "font/otf",
    "font/ttf",
    "text/csv",
    "text/js",
    "text/richtext",
    "text/tab-separated-values",
    "text/x-component",
    "text/x-java-source",
    "text/x-script",
    "vnd.apple.mpegurl", // so it stands there
];

/// What else is text and came later.
const MORE: [&str; 15] = [
    "application/problem+json",
    "application/problem+xml",
    "application/ld+json",
    "application/manifest+json",
    "application/atom+xml",
    "application/geo+json",
    "application/graphql-response+json",
    "application/vnd.api+json",
    "application/x-ndjson",
    "image/bmp",
    "text/calendar",
    "text/markdown",
    "text/vcard",
    "text/vtt",
    "text/x-markdown",
];
