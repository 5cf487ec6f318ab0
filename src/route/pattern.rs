//! `CloudFront`'s path patterns, to the letter: `*` crosses slashes, `?` is one character, both ends are anchored.

use super::pathset::{Inside, PathSet};

/// Longest pattern in characters, as `CloudFront` has it.
pub const PATTERN_CHARS_MAX: usize = 255;

/// A checked pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    set: PathSet,
}

/// Why a text isn't a pattern, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing was given.
    #[error("a pattern can't be empty; write `*` for every path")]
    Empty,
    /// It is longer than [`PATTERN_CHARS_MAX`].
    #[error("a pattern has at most {PATTERN_CHARS_MAX} characters, this one has {0}; shorten it with `*`")]
    TooLong(usize),
    /// `CloudFront` doesn't know this character in a pattern.
    #[error(
        "{0:?} can't stand in a pattern; write `?` for any one character, `*` for any text, or use `path`"
    )]
    Character(char),
}

impl Pattern {
    /// Checks and takes a pattern. A leading `/` is optional, `&amp;` is read as `&`.
    ///
    /// It is matched with canonical paths, where an escape such as `%20` counts as three characters and `"` is written `%22`.
    ///
    /// # Errors
    /// [`PatternError`] says what is wrong and how to mend it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let plain = text.replace("&amp;", "&");
        let length = plain.chars().count();
        if length == 0 {
            return Err(PatternError::Empty);
        }
        if length > PATTERN_CHARS_MAX {
            return Err(PatternError::TooLong(length));
        }
        if let Some(c) = plain.chars().find(|c| !is_allowed(*c)) {
            return Err(PatternError::Character(c));
        }
        let mut set = PathSet::default();
        set.literal("/");
        for c in plain.strip_prefix('/').unwrap_or(&plain).chars() {
            match c {
                '*' => set.any_bytes(),
                '?' => set.any_byte(),
                '"' => set.literal("%22"),
                c => set.literal(c.encode_utf8(&mut [0; 4])),
            }
        }
        Ok(Self {
            text: text.into(),
            set,
        })
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a canonical path is taken.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        self.set.takes(path)
    }

    /// A short canonical path that it takes; `None` when there is none (`/a//b`).
    #[must_use]
    pub fn example(&self) -> Option<String> {
        self.set.example()
    }

    /// A short canonical path that both take; `None` when there is none, or none was found within the bound of the search.
    #[must_use]
    pub fn common_path(&self, other: &Self) -> Option<String> {
        self.set.common_path(&other.set)
    }

    /// Whether `other` takes every canonical path that this one takes. `false` also when it can't be decided within the bound.
    #[must_use]
    pub fn is_inside(&self, other: &Self) -> bool {
        self.set.inside(&[&other.set]) == Inside::Yes
    }

    /// The paths that it takes.
    pub(super) fn set(&self) -> &PathSet {
        &self.set
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(
            c,
            '_' | '-' | '.' | '*' | '$' | '/' | '~' | '"' | '\'' | '@' | ':' | '+' | '&' | '?'
        )
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
