//! Flags for programs and browsers, by the OpenFeature Remote Evaluation Protocol 0.3.0.
//!
//! [`context`] reads what is sent, [`Question`] is who asks about what, [`single`] and [`Bulk`] answer, [`fault`] says what went wrong
//! in the protocol's words, [`events`] tells who waits that something changed. Pure but for that: bytes and a snapshot come in, a
//! status and JSON go out; sockets are `proxy`'s and `control`'s.
//!
//! Programs say in the body whom they ask about. Browsers don't: visitor, user and request are those of the request itself, so
//! that a page learns the variant that routing gives its visitor, and of no flag that isn't `public`.

pub mod context;
mod evaluate;
pub mod events;
pub mod fault;
#[cfg(test)]
mod tests;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};

pub use evaluate::{Bulk, Question, single};

use crate::snapshot::{
    Snapshot,
    changes::{Changes, Track},
};

/// Largest body of a question, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Flags decided before others have their turn: some 20 µs, or with the largest context of a program a few milliseconds.
pub const FLAGS_AT_ONCE: usize = 16;

/// Seconds after which a page that nobody looks at lets its stream go.
const INACTIVITY_SECS: u32 = 120;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A page of ours in a visitor's browser.
    Browsers,
    /// A backend, or whoever reaches the admin listener.
    Programs,
}

impl Audience {
    /// Where its questions are asked: below this.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Browsers => "/.banyan/ofrep/v1/",
            Self::Programs => "/ofrep/v1/",
        }
    }

    /// The marks of what it may read.
    #[must_use]
    pub const fn track(self, changes: &Changes) -> &Track {
        match self {
            Self::Browsers => &changes.public,
            Self::Programs => &changes.all,
        }
    }
}

/// What is asked, by the path after [`Audience::prefix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'p> {
    /// One flag.
    Single(&'p str),
    /// All of them.
    Bulk,
    /// To be told of changes.
    Events,
}

impl<'p> Wanted<'p> {
    /// Reads `rest`, a path without its prefix. `None`: there is no such thing.
    #[must_use]
    pub fn read(rest: &'p str) -> Option<Self> {
        match rest {
            "events" => Some(Self::Events),
            "evaluate/flags" | "evaluate/flags/" => Some(Self::Bulk),
            _ => {
                let key = rest.strip_prefix("evaluate/flags/")?;
                (!key.contains('/')).then_some(Self::Single(key))
            }
        }
    }
}

/// An answer: JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200, 400, 404, 413 or 500.
    pub status: StatusCode,
    /// What is said.
    pub text: String,
    /// What stands for exactly this text, for `ETag`: only where the protocol has one.
    pub tag: Option<String>,
}

impl Reply {
    fn new(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            text: body.to_string(),
            tag: None,
        }
    }

    /// Whether a client that has what `asked` (an `If-None-Match`) names has this already.
    #[must_use]
    pub fn is_known(&self, asked: &str) -> bool {
        let mut tags = asked.split(',').map(|tag| tag.trim());
        self.tag
            .as_deref()
            .is_some_and(|own| tags.any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == own))
    }
}

/// The answer to a bulk question: `flags` as [`Bulk`] evaluated them.
fn bulk(flags: &[Value], audience: Audience) -> Reply {
    let stream = json!({
        "type": "sse",
        "endpoint": { "requestUri": format!("{}events", audience.prefix()) },
        "inactivityDelaySec": INACTIVITY_SECS,
    });
    let body = json!({ "flags": flags, "metadata": {}, "eventStreams": [stream] });
    let mut reply = Reply::new(StatusCode::OK, &body);
    let hash = digest::digest(&digest::SHA256, reply.text.as_bytes());
    reply.tag = Some(format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash)));
    reply
}

/// The first value of a parameter of `query`, as it stands there: what is looked for needs no escapes.
#[must_use]
pub fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(given, _)| *given == name).map(|(_, value)| value)
}

/// The flags that `audience` may read.
fn count(audience: Audience, at: &Snapshot) -> usize {
    match audience {
        Audience::Browsers => at.serving.public.len(),
        Audience::Programs => at.flags.iter().len(),
    }
}
