//! What is asked: a page navigation as a browser sends it, and the sizes of what comes and goes.

use serde::{Deserialize, Serialize};

/// The host that every proxy serves.
pub(super) const HOST: &str = "www.example.com";

/// Bytes of a small answer.
pub(super) const SMALL: usize = 1024;

/// Bytes of a picture or a script.
pub(super) const MIDDLE: usize = 64 * 1024;

/// Bytes of a large answer, or of an upload.
pub(super) const LARGE: usize = 1024 * 1024;

/// Which exchange is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum What {
    /// GET, and [`SMALL`] bytes back.
    Small,
    /// GET, and [`LARGE`] bytes back.
    Down,
    /// POST of [`LARGE`] bytes, and [`SMALL`] bytes back.
    Up,
    /// GET of what a cache has, and [`SMALL`] bytes back.
    Kept,
    /// GET of what a cache has, and [`MIDDLE`] bytes back.
    KeptMiddle,
}

impl What {
    /// The method and path asked: the flagged route of 200.
    pub(super) const fn target(self) -> (&'static str, &'static str) {
        match self {
            Self::Small => ("GET", "/moving/learn-rust?page=2"),
            Self::Down => ("GET", "/moving/large?page=2"),
            Self::Up => ("POST", "/moving/upload?page=2"),
            Self::Kept => ("GET", "/kept/learn-rust?page=2"),
            Self::KeptMiddle => ("GET", "/kept/middle?page=2"),
        }
    }

    /// Bytes of the answer's body.
    pub(super) const fn answer_bytes(self) -> usize {
        match self {
            Self::Small | Self::Up | Self::Kept => SMALL,
            Self::KeptMiddle => MIDDLE,
            Self::Down => LARGE,
        }
    }

    /// Bytes of the request's body.
    pub(super) const fn request_bytes(self) -> usize {
        match self {
            Self::Small | Self::Down | Self::Kept | Self::KeptMiddle => 0,
            Self::Up => LARGE,
        }
    }
}

/// What a browser sends beside method, target, host and cookie.
const FIELDS: [(&str, &str); 9] = [
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://www.example.com/courses"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("priority", "u=0, i"),
];

/// All fields but the host: eleven with it, and the length of a body.
pub(super) fn fields(what: What, cookie: &str) -> Vec<(&'static str, String)> {
    let mut fields: Vec<(&'static str, String)> = FIELDS
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    let own = if cookie.is_empty() {
        String::new()
    } else {
        format!("; {cookie}")
    };
    fields.push(("cookie", format!("theme=dark; basket=3{own}")));
    if what.request_bytes() > 0 {
        fields.push(("content-length", what.request_bytes().to_string()));
    }
    fields
}
