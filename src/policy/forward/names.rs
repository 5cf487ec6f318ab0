//! A list of names, some with wildcards, made ready to be asked many times a request.

use std::fmt;

use crate::{
    fields::{Key, Known, KnownSet},
    route::decoded,
};

/// Names in one list.
pub const NAMES_MAX: usize = 100;

/// Names with wildcards in one list: each of them looks at every byte of every name that a visitor sends.
pub const WILD_NAMES_MAX: usize = 16;

/// Bytes of a name.
pub const NAME_BYTES_MAX: usize = 255;

/// Characters of a name with wildcards, the `*` aside: one bit of a word each, and one for the end.
pub const WILD_CHARACTERS_MAX: usize = 63;

/// What the names of a list name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Header fields, in whatever case.
    Headers,
    /// Cookies, byte for byte.
    Cookies,
    /// Query parameters, by what they decode to: who reads `%61dmin` as `admin` behind us is not told otherwise here.
    Query,
}

/// Why a text is no name for a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing, or more than [`NAME_BYTES_MAX`].
    #[error("a name has 1 to {NAME_BYTES_MAX} characters")]
    Length,
    /// A character that ends such a name wherever it stands.
    #[error("`{0}` can't be in such a name")]
    Character(char),
    /// Too long for its wildcards.
    #[error("with `*` or `?` a name has at most {WILD_CHARACTERS_MAX} other characters")]
    WildLength,
    /// Lists have bounds.
    #[error("a list has at most {NAMES_MAX} names, {WILD_NAMES_MAX} of them with `*` or `?`")]
    TooMany,
}

/// The names of a list, compiled.
#[derive(Clone, PartialEq, Eq)]
pub struct Names {
    /// As written, for people.
    written: Vec<String>,
    /// Header fields that have a number.
    known: KnownSet,
    /// Names without wildcards, sorted.
    exact: Vec<Vec<u8>>,
    wild: Vec<Wild>,
}

impl Names {
    /// Compiles a list.
    ///
    /// # Errors
    /// The first name that is none, by its place in the list.
    pub fn compile<S: AsRef<str>>(of: Of, list: &[S]) -> Result<Self, (usize, BadName)> {
        let mut names = Self {
            written: Vec::with_capacity(list.len()),
            known: KnownSet::EMPTY,
            exact: Vec::new(),
            wild: Vec::new(),
        };
        for (at, text) in list.iter().map(AsRef::as_ref).enumerate() {
            names.add(of, text).map_err(|bad| (at, bad))?;
        }
        names.exact.sort_unstable();
        names.exact.dedup();
        Ok(names)
    }

    fn add(&mut self, of: Of, text: &str) -> Result<(), BadName> {
        check(of, text)?;
        if self.written.len() == NAMES_MAX {
            return Err(BadName::TooMany);
        }
        self.written.push(text.to_owned());
        let text = match of {
            Of::Headers => text.to_ascii_lowercase(),
            Of::Cookies | Of::Query => text.to_owned(),
        };
        if text.contains(['*', '?']) {
            if self.wild.len() == WILD_NAMES_MAX {
                return Err(BadName::TooMany);
            }
            self.wild.push(Wild::compile(of, &text)?);
            return Ok(());
        }
        match (of, Known::find(text.as_bytes())) {
            (Of::Headers, Some(known)) => self.known.add(known),
            (Of::Headers | Of::Cookies, _) => self.exact.push(text.into_bytes()),
            (Of::Query, _) => self.exact.push(decoded(&text).into_owned()),
        }
        Ok(())
    }

    /// Whether a header field is in the list.
    #[must_use]
    pub fn has_header(&self, name: &impl Key) -> bool {
        match name.known() {
            Some(known) => self.known.has(known) || self.fits_wild(name.text().as_bytes()),
            None => self.has(name.text().as_bytes()),
        }
    }

    /// Whether a cookie, or a query parameter by its decoded name, is in the list.
    #[must_use]
    pub fn has(&self, name: &[u8]) -> bool {
        let found = self.exact.binary_search_by(|exact| exact.as_slice().cmp(name));
        found.is_ok() || self.fits_wild(name)
    }

    fn fits_wild(&self, name: &[u8]) -> bool {
        self.wild.iter().any(|wild| wild.fits(name))
    }

    /// The names as they were written.
    #[must_use]
    pub fn written(&self) -> &[String] {
        &self.written
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.written).finish()
    }
}

/// What can't be in a name: no visitor could ever send it there.
fn check(of: Of, text: &str) -> Result<(), BadName> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(BadName::Length);
    }
    let bad = |c: char| match of {
        // a token (RFC 9110 section 5.6.2), and `?`
        Of::Headers => !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~?".contains(c)),
        Of::Cookies => c.is_control() || c.is_whitespace() || matches!(c, ';' | '='),
        Of::Query => c.is_control() || c.is_whitespace() || matches!(c, '&' | '=' | '#'),
    };
    text.chars()
        .find(|c| bad(*c))
        .map_or(Ok(()), |c| Err(BadName::Character(c)))
}

/// A name with wildcards: `*` for any characters, `?` for one.
///
/// Bit `n` of a state says that the first `n` characters have been met. All states are taken a byte further at once, so that a name
/// costs its length, whatever it and the wildcards are.
#[derive(Clone, PartialEq, Eq)]
struct Wild {
    /// For each byte: the characters that it can be.
    meets: Box<[u64; 256]>,
    /// The states that a `*` keeps as they are.
    stays: u64,
    /// The state at the end.
    end: u64,
}

impl Wild {
    fn compile(of: Of, text: &str) -> Result<Self, BadName> {
        let mut wild = Self {
            meets: Box::new([0; 256]),
            stays: 0,
            end: 1,
        };
        // what lies between two wildcards may be escaped; the wildcards themselves are not
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let plain = rest.find(['*', '?']).unwrap_or(rest.len());
            let (part, after) = rest.split_at(plain.max(1));
            match first {
                '*' => wild.stays |= wild.end,
                '?' => wild.step(|_| true)?,
                _ if of == Of::Query => decoded(part)
                    .iter()
                    .try_for_each(|byte| wild.step(|b| b == *byte))?,
                _ => part.bytes().try_for_each(|byte| wild.step(|b| b == byte))?,
            }
            rest = after;
        }
        Ok(wild)
    }

    /// One more character: any byte that `takes` likes.
    fn step(&mut self, takes: impl Fn(u8) -> bool) -> Result<(), BadName> {
        if self.end == 1 << WILD_CHARACTERS_MAX {
            return Err(BadName::WildLength);
        }
        for (byte, meets) in (0..=u8::MAX).zip(self.meets.iter_mut()) {
            if takes(byte) {
                *meets |= self.end;
            }
        }
        self.end <<= 1;
        Ok(())
    }

    fn fits(&self, name: &[u8]) -> bool {
        let mut states = 1_u64;
        for byte in name {
            let meets = self.meets.get(usize::from(*byte)).copied().unwrap_or_default();
            states = ((states & meets) << 1) | (states & self.stays);
            if states == 0 {
                return false;
            }
        }
        states & self.end != 0
    }
}
