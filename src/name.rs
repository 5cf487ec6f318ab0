//! Validated names: what a squad, backend, flag or variant may be called.

use std::{borrow::Borrow, fmt, sync::Arc};

/// Longest name of anything, in bytes: it fits a metric label, a file name and a header value.
pub const NAME_BYTES_MAX: usize = 63;

/// Why a text can't be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing was given.
    #[error("a name can't be empty")]
    Empty,
    /// It is longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// It holds a character outside `a-z 0-9 - _ .`, or starts with one that isn't a letter or digit.
    #[error(
        "a name is made of a-z, 0-9, `-`, `_` and `.`, and starts with a letter or digit; {0:?} is not allowed here"
    )]
    Character(char),
}

/// Whether a name may have capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capitals {
    /// flagd's sets have keys such as `headerColor`.
    Allowed,
    /// File names and metric labels read better without.
    Refused,
}

fn checked(text: &str, capitals: Capitals) -> Result<Arc<str>, BadName> {
    if text.is_empty() {
        return Err(BadName::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(BadName::TooLong(text.len()));
    }
    for (at, c) in text.char_indices() {
        let letter = c.is_ascii_lowercase() || (capitals == Capitals::Allowed && c.is_ascii_uppercase());
        let inside = letter || c.is_ascii_digit() || (at > 0 && matches!(c, '-' | '_' | '.'));
        if !inside {
            return Err(BadName::Character(c));
        }
    }
    Ok(Arc::from(text))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $capitals:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks `text` and takes it as a name.
            ///
            /// # Errors
            /// [`BadName`] tells which rule it breaks.
            pub fn new(text: &str) -> Result<Self, BadName> {
                checked(text, $capitals).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name as shared text, for labels that outlive a snapshot.
            #[must_use]
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A squad: it owns routes, and its file is `routes/<squad>.toml`.
    SquadName, Capitals::Refused
);
name!(
    /// A backend: a named group of servers.
    BackendName, Capitals::Refused
);
name!(
    /// A version of a backend, `[[backends.<name>.versions]]`: a tag, or the id that a build gave itself.
    VersionName, Capitals::Allowed
);
name!(
    /// A flag: its file is `flags/<key>.toml`.
    FlagKey, Capitals::Allowed
);
name!(
    /// A layer of `banyan.toml`: flags of which a visitor meets one at most.
    LayerName, Capitals::Refused
);
name!(
    /// A waiting room, `[rooms.<name>]`.
    RoomName, Capitals::Refused
);

/// What stands between a backend's name and that of one of its versions; no name that somebody writes has it.
const VERSION_MARK: char = '@';

impl BackendName {
    /// The name of one version's servers: `learn-web@v2`.
    #[must_use]
    pub fn at_version(&self, version: &VersionName) -> Self {
        Self(Arc::from(format!("{self}{VERSION_MARK}{version}")))
    }
}

/// A backend's name as its file has it, and the version that `name` adds to it: `learn-web`, and `v2` of `learn-web@v2`.
#[must_use]
pub fn unversioned(name: &str) -> (&str, Option<&str>) {
    match name.split_once(VERSION_MARK) {
        Some((backend, version)) => (backend, Some(version)),
        None => (name, None),
    }
}

/// A variant of a flag. Any text up to [`NAME_BYTES_MAX`] bytes of visible ASCII, since flagd's sets bring their own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariantName(Arc<str>);

impl VariantName {
    /// Checks `text` and takes it as a variant's name.
    ///
    /// # Errors
    /// [`BadName`] tells which rule it breaks.
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.is_empty() {
            return Err(BadName::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(BadName::TooLong(text.len()));
        }
        match text
            .chars()
            .find(|c| !c.is_ascii_graphic() || matches!(c, ',' | ';' | '=' | '"'))
        {
            Some(c) => Err(BadName::Character(c)),
            None => Ok(Self(Arc::from(text))),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as shared text.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for VariantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for VariantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for VariantName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Where something was written: a file, as the person who edits it would name it, and a line counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Path relative to the folder of `banyan.toml`.
    pub file: Arc<str>,
    /// Line, counted from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
