//! What a route says of requests before all else: over which protocol, by which methods, and under which path they travel on.

use std::fmt;

use http::{Method, StatusCode, Version};

use crate::route::{Ambiguous, EncodedSlash, canonical};

/// What a route says of requests. The default takes https only, every method, and changes no path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestPolicy {
    /// What becomes of requests over plain HTTP.
    pub https: Https,
    /// Methods that are served; `None`: all.
    pub methods: Option<AllowedMethods>,
    /// The path that is forwarded.
    pub path: PathChange,
}

// === https ===

/// What a route wants of requests over plain HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Https {
    /// They are sent to https.
    #[default]
    Redirect,
    /// They are refused.
    Only,
    /// They are served. Only for routes that ask nobody who they are.
    Allow,
}

/// What becomes of one request over plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverPlain {
    /// It is served.
    Passes,
    /// It is sent to the same address on https, with this status.
    Redirected(StatusCode),
    /// It is refused.
    Refused,
}

impl Https {
    /// What becomes of a request by `method` over plain HTTP of `version`, as `CloudFront` answers it.
    #[must_use]
    pub fn over_plain(self, method: &Method, version: Version) -> OverPlain {
        match self {
            Self::Allow => OverPlain::Passes,
            Self::Only => OverPlain::Refused,
            Self::Redirect if matches!(*method, Method::GET | Method::HEAD) => {
                OverPlain::Redirected(StatusCode::MOVED_PERMANENTLY)
            }
            Self::Redirect if version >= Version::HTTP_11 => {
                OverPlain::Redirected(StatusCode::TEMPORARY_REDIRECT)
            }
            Self::Redirect => OverPlain::Refused, // before HTTP/1.1 no redirect keeps the method
        }
    }

    /// As files write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Only => "only",
            Self::Allow => "allow",
        }
    }
}

// === methods ===

/// The methods that a route serves; it takes the others too, to refuse them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedMethods {
    /// `GET` stands for `HEAD` as well.
    pub methods: Vec<Method>,
    /// What the others get.
    pub refused: MethodRefusal,
}

/// How a method is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MethodRefusal {
    /// 405, with `Allow` (RFC 9110 section 15.5.6).
    #[default]
    NotAllowed,
    /// 403, as `CloudFront` says it.
    Forbidden,
}

impl MethodRefusal {
    /// The status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Forbidden => StatusCode::FORBIDDEN,
        }
    }
}

impl AllowedMethods {
    /// Whether `method` is served.
    #[must_use]
    pub fn allows(&self, method: &Method) -> bool {
        self.methods.contains(method) || (method == Method::HEAD && self.methods.contains(&Method::GET))
    }
}

/// The value of `Allow` for methods of which `GET` stands for `HEAD` as well.
#[must_use]
pub fn allow(methods: &[Method]) -> String {
    let mut names: Vec<&str> = Vec::with_capacity(methods.len() + 1);
    for method in methods {
        let head = (method == Method::GET).then_some("HEAD");
        for name in [Some(method.as_str()), head].into_iter().flatten() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.join(", ")
}

// === path ===

/// What becomes of a path between its judgement and the backend. The outcome of a canonical path is a canonical path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PathChange {
    /// Nothing.
    #[default]
    Kept,
    /// Another path stands in its place.
    Replaced(Box<str>),
    /// Its beginning changes.
    Begins {
        /// Taken off where it is the path's first segments; other paths keep their beginning.
        strip: Option<Box<str>>,
        /// Then put in front.
        add: Option<Box<str>>,
    },
}

impl PathChange {
    /// The path that is forwarded instead of `path`, which is canonical; `None`: the same.
    #[must_use]
    pub fn apply(&self, path: &str) -> Option<String> {
        match self {
            Self::Kept => None,
            Self::Replaced(other) => Some(other.as_ref().to_owned()),
            Self::Begins { strip, add } => {
                let left = strip.as_deref().and_then(|strip| without(path, strip));
                match (left, add) {
                    (None, None) => None,
                    (left, add) => Some(add.as_deref().unwrap_or_default().to_owned() + left.unwrap_or(path)),
                }
            }
        }
    }
}

/// `path` without its first segments, if they are those of `prefix`.
fn without<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    match path.strip_prefix(prefix)? {
        "" => Some("/"),
        rest => rest.starts_with('/').then_some(rest),
    }
}

/// Longest path or prefix that a setting may say, in bytes.
pub const PATH_BYTES_MAX: usize = 1024;

/// Why a text can't be (the beginning of) the path that is forwarded, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It doesn't start with `/`.
    #[error("a path starts with `/`; write `/{0}`")]
    Relative(String),
    /// It is longer than [`PATH_BYTES_MAX`].
    #[error("it may have at most {PATH_BYTES_MAX} bytes, and has {0}")]
    TooLong(usize),
    /// It holds a query.
    #[error("a path has no `?`; the request's own query is kept")]
    Query,
    /// It holds `{`, `}` or `*`.
    #[error("it is taken as it is, without `{{name}}` and `*`")]
    Wildcard,
    /// It is a prefix that ends in `/`.
    #[error("the next segment brings its own `/`; write `{0}`")]
    LastSlash(String),
    /// It is a prefix without any segment.
    #[error("`/` alone changes nothing")]
    Nothing,
    /// It isn't in canonical form.
    #[error("only canonical paths are forwarded; write `{0}`")]
    NotCanonical(String),
    /// It has more than one reading.
    #[error("{0}")]
    Ambiguous(Ambiguous),
}

/// Whether `text` can be the path that is forwarded.
///
/// # Errors
/// [`PathError`].
pub fn check_path(text: &str) -> Result<(), PathError> {
    if text.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong(text.len()));
    }
    if !text.starts_with('/') {
        return Err(PathError::Relative(text.to_owned()));
    }
    if text.contains('?') {
        return Err(PathError::Query);
    }
    if text.contains(['{', '}', '*']) {
        return Err(PathError::Wildcard);
    }
    let spelt = canonical(text, EncodedSlash::Refuse).map_err(PathError::Ambiguous)?;
    if spelt == text {
        Ok(())
    } else {
        Err(PathError::NotCanonical(spelt.into_owned()))
    }
}

/// Whether `text` can be put in front of paths, or taken off.
///
/// # Errors
/// [`PathError`].
pub fn check_prefix(text: &str) -> Result<(), PathError> {
    check_path(text)?;
    match text.strip_suffix('/') {
        Some("") => Err(PathError::Nothing),
        Some(shorter) => Err(PathError::LastSlash(shorter.to_owned())),
        None => Ok(()),
    }
}

// === in words ===

impl RequestPolicy {
    /// What differs from the default, a few words for each.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        let https = (self.https != Https::default()).then(|| format!("https {}", self.https.as_str()));
        let methods = self.methods.as_ref().map(ToString::to_string);
        let path = (self.path != PathChange::Kept).then(|| self.path.to_string());
        [https, methods, path].into_iter().flatten().collect()
    }
}

impl fmt::Display for AllowedMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "serves {}, else {}",
            allow(&self.methods),
            self.refused.status().as_u16()
        )
    }
}

impl fmt::Display for PathChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("forwards the path"),
            Self::Replaced(path) => write!(f, "forwards {path}"),
            Self::Begins {
                strip: Some(strip),
                add: Some(add),
            } => write!(f, "forwards {add} for {strip}"),
            Self::Begins {
                strip: Some(strip),
                add: None,
            } => write!(f, "strips {strip}"),
            Self::Begins {
                strip: None,
                add: Some(add),
            } => write!(f, "adds {add}"),
            Self::Begins {
                strip: None,
                add: None,
            } => f.write_str("forwards the path"),
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
