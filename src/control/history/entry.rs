//! What is remembered of one change of a flag's file.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;

/// Bytes of a file's text that are kept with an entry. A longer one is remembered by its version alone, and can't be taken back.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a reason. More is cut off.
pub const REASON_BYTES_MAX: usize = 1000;
/// Bytes of a name. More is cut off.
pub const WHO_BYTES_MAX: usize = 200;

/// Bytes of a hash that make a version: 96 bits, as nobody gains by a collision.
const VERSION_BYTES: usize = 12;

/// Which text a file has: a hash of its bytes, or `none` where there is no file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// The version of a text; `None`: there is no file.
    #[must_use]
    pub fn of(text: Option<&str>) -> Self {
        let Some(text) = text else {
            return Self("none".to_owned());
        };
        let hash = digest(&SHA256, text.as_bytes());
        let mut version = String::with_capacity(2 * VERSION_BYTES);
        for byte in hash.as_ref().iter().take(VERSION_BYTES) {
            let _ = write!(version, "{byte:02x}");
        }
        Self(version)
    }

    /// A version as a client names it, whether or not there is one.
    #[must_use]
    pub fn given(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it is shown and sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file's text at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Which one.
    pub version: Version,
    /// The text; `None`: there was no file, or more than [`TEXT_BYTES_MAX`].
    pub text: Option<String>,
}

impl Text {
    /// What is kept of a text; `None`: there is no file.
    #[must_use]
    pub fn of(text: Option<&str>) -> Self {
        Self {
            version: Version::of(text),
            text: text
                .filter(|text| text.len() <= TEXT_BYTES_MAX)
                .map(str::to_owned),
        }
    }

    /// Whether there was a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.version.as_str() != "none"
    }
}

/// How a change came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// By the admin API.
    Api,
    /// By the page of the admin listener.
    Page,
    /// By `banyan flag`.
    Cli,
    /// Somebody saved the file.
    File,
}

/// Who changes what for which reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// When, in milliseconds since 1970.
    pub at_millis: u64,
    /// The flag's key; for a flagd set in which several changed, the file's name.
    pub flag: String,
    /// Path relative to the folder of `banyan.toml`.
    pub file: String,
    /// A user's id, a token's name, or the file's owner.
    pub who: String,
    /// How it came.
    pub how: How,
    /// Why, in the words of who did it; empty: not said.
    pub reason: String,
}

impl Deed {
    /// A deed with its texts within their bounds.
    #[must_use]
    pub fn new(at: UnixTime, flag: &str, file: &str, who: &str, how: How, reason: &str) -> Self {
        Self {
            at_millis: at.millis,
            flag: flag.to_owned(),
            file: file.to_owned(),
            who: bounded(who, WHO_BYTES_MAX),
            how,
            reason: bounded(reason, REASON_BYTES_MAX),
        }
    }
}

/// Control characters would forge lines in logs and terminals.
fn bounded(text: &str, bytes_max: usize) -> String {
    let mut kept = String::new();
    for char in text.trim().chars() {
        let char = if char.is_control() { ' ' } else { char };
        if kept.len() + char.len_utf8() > bytes_max {
            break;
        }
        kept.push(char);
    }
    kept
}

/// One change that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number; later ones are higher, from 1.
    pub id: u64,
    /// Who, when, why.
    pub deed: Deed,
    /// The file before.
    pub before: Text,
    /// The file after.
    pub after: Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_of_the_bytes_and_none_is_no_file() {
        assert_eq!(Version::of(Some("a")), Version::of(Some("a")));
        assert_ne!(Version::of(Some("a")), Version::of(Some("a\n")));
        assert_ne!(Version::of(Some("")), Version::of(None));
        assert_eq!(Version::of(Some("a")).as_str().len(), 24);
        assert!(!Text::of(None).is_file() && Text::of(Some("")).is_file());
    }

    #[test]
    fn texts_names_and_reasons_are_bounded() {
        let long = "ä".repeat(TEXT_BYTES_MAX);
        assert_eq!(Text::of(Some(&long)).text, None);
        assert!(Text::of(Some(&long)).is_file());
        let deed = Deed::new(
            UnixTime::from_secs(1),
            "f",
            "flags/f.toml",
            &long,
            How::Api,
            &long,
        );
        assert!(deed.who.len() <= WHO_BYTES_MAX && deed.reason.len() <= REASON_BYTES_MAX);
        let deed = Deed::new(
            UnixTime::from_secs(1),
            "f",
            "flags/f.toml",
            " a\nb ",
            How::Api,
            "x\x1b[2J",
        );
        assert_eq!((deed.who.as_str(), deed.reason.as_str()), ("a b", "x [2J"));
    }
}
