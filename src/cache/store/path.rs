//! Invalidation paths as CloudFront has them: `/a/b.html`, `/a/b.html?size=1`, `/images/*`, `/*`.
//!
//! A path begins with `/` and is taken literally, in its case, with its query: `/a` is neither `/a/` nor `/a?b=1`. `*` may only be its
//! last character, and stands for any text, query included. All variants by cookie, header and flag go with it. Unlike there,
//! `~` and `%7E` are the same and both work: paths are brought into the form that keys have.

use std::borrow::Cow;

use super::What;
use crate::route::target::{Ambiguous, EncodedSlash, canonical, split_target};

/// Characters of a path.
pub const PATH_CHARS_MAX: usize = 4_000;
/// Paths of one order.
pub const PATHS_MAX: usize = 3_000;
/// Paths of one order that end in `*`: CloudFront has fifteen under way at a time, and here each is remembered for a while.
pub const WILDCARDS_MAX: usize = 500;

/// Why it is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It begins with something else.
    #[error("a path begins with `/`")]
    Relative,
    /// It is too long.
    #[error("a path has {PATH_CHARS_MAX} characters at most")]
    Long,
    /// A `*` that isn't the last character.
    #[error("`*` may only be the last character; write `%2A` where it is a part of the address")]
    Wildcard,
    /// Letters that an address can't have.
    #[error("characters beyond ASCII and spaces are escaped in an address: write `%20` for a space")]
    Unescaped,
    /// A path with two readings.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
}

/// An invalidation path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<'p> {
    /// As keys have it, without the `*`.
    text: Cow<'p, str>,
    /// It ended in `*`.
    open: bool,
}

impl<'p> Path<'p> {
    /// Reads one.
    ///
    /// # Errors
    /// [`BadPath`].
    pub fn read(text: &'p str) -> Result<Self, BadPath> {
        if !text.starts_with('/') {
            return Err(BadPath::Relative);
        }
        if text.chars().count() > PATH_CHARS_MAX {
            return Err(BadPath::Long);
        }
        let (text, open) = match text.strip_suffix('*') {
            Some(begin) => (begin, true),
            None => (text, false),
        };
        if text.contains('*') {
            return Err(BadPath::Wildcard);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadPath::Unescaped);
        }
        let (path, query) = split_target(text);
        let text = match (canonical(path, EncodedSlash::Keep)?, query) {
            (Cow::Borrowed(_), _) => Cow::Borrowed(text),
            (Cow::Owned(path), None) => Cow::Owned(path),
            (Cow::Owned(path), Some(query)) => Cow::Owned(format!("{path}?{query}")),
        };
        Ok(Self { text, open })
    }

    /// Whether it ends in `*`.
    #[must_use]
    pub const fn is_wildcard(&self) -> bool {
        self.open
    }

    /// What it purges, on one host or on all.
    #[must_use]
    pub fn what<'w>(&'w self, host: Option<&'w str>) -> What<'w> {
        match (self.open, &*self.text, host) {
            (true, "/", Some(host)) => What::Host(host),
            (true, "/", None) => What::All,
            (true, prefix, host) => What::Prefix { host, prefix },
            (false, target, host) => What::Url { host, target },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cloudfronts() {
        let long = format!("/{}", "a".repeat(PATH_CHARS_MAX));
        let url = |target| Ok(What::Url { host: None, target });
        let prefix = |prefix| Ok(What::Prefix { host: None, prefix });
        let cases = [
            ("/", url("/")),
            ("/index.html", url("/index.html")),
            ("/Index.html", url("/Index.html")),
            ("/a/", url("/a/")),
            ("/a?b=1&c=*x", Err(BadPath::Wildcard)),
            ("/a?b=1", url("/a?b=1")),
            ("/a?b=1*", prefix("/a?b=1")),
            ("/a?", url("/a?")),
            ("/images/*", prefix("/images/")),
            ("/images/a*", prefix("/images/a")),
            ("/*", Ok(What::All)),
            ("*", Err(BadPath::Relative)),
            ("/*/a", Err(BadPath::Wildcard)),
            ("/a**", Err(BadPath::Wildcard)),
            ("/a.*?b", Err(BadPath::Wildcard)),
            ("", Err(BadPath::Relative)),
            ("index.html", Err(BadPath::Relative)),
            ("https://example.com/a", Err(BadPath::Relative)),
            ("/%7euser/", url("/~user/")),
            ("/~user/", url("/~user/")),
            ("/a//b", url("/a/b")),
            ("/a%2fb", url("/a%2Fb")),
            ("/a b", Err(BadPath::Unescaped)),
            ("/käse", Err(BadPath::Unescaped)),
            ("/a#b", Err(BadPath::Ambiguous(Ambiguous::Fragment))),
            (&long, Err(BadPath::Long)),
        ];
        for (text, wanted) in cases {
            let path = Path::read(text);
            let read = path.as_ref().map(|path| path.what(None)).map_err(Clone::clone);
            assert_eq!(read, wanted, "{text}");
        }
        let all = Path::read("/*").unwrap();
        assert_eq!(all.what(Some("a.example")), What::Host("a.example"));
    }
}
