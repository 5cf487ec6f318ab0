//! A route that redirects: where to, made of what is written and of what the path's names stand for, and never on another host than
//! the one that is written.

use std::fmt::{self, Write as _};

use http::{StatusCode, uri::Authority};

use crate::route::{Ambiguous, EncodedSlash, PathRule, Template, canonical};

/// Longest target of a redirect as it is written, in bytes.
pub const TO_BYTES_MAX: usize = 2048;

/// Statuses that a redirect may have (RFC 9110 section 15.4).
pub const STATUSES: [StatusCode; 5] = [
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::SEE_OTHER,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::PERMANENT_REDIRECT,
];

/// What a route answers instead of asking a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    status: StatusCode,
    text: Box<str>,
    /// Scheme and host; empty: the ones that were asked.
    base: Box<str>,
    path: Vec<Piece>,
    query: Option<Vec<Piece>>,
}

/// A part of where a redirect leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// What a name of the path stands for; [`REST`] is what its last `/*` stands for.
    Name(Box<str>),
}

/// What [`Template::params`] calls a last `/*`.
const REST: &str = "*";

/// Why a text can't be where a redirect leads, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// It is longer than [`TO_BYTES_MAX`].
    #[error("it may have at most {TO_BYTES_MAX} bytes, and has {0}")]
    TooLong(usize),
    /// It is neither a path nor an address.
    #[error("it starts with `/`, for the same host, or with `https://` or `http://` and a host")]
    NoAddress,
    /// It starts with `//`: a browser would take what follows for a host.
    #[error("`//` would lead to another host; write `/` once, or the whole address with `https://`")]
    TwoSlashes,
    /// Its host isn't one.
    #[error("`{0}` is no host; the host of a redirect is written out, without `{{name}}`")]
    BadHost(String),
    /// It names a user, perhaps with a password; neither is shown.
    #[error("an address that is sent to everyone has no user in it")]
    User,
    /// It has a fragment.
    #[error("`#` can't be kept apart from the request's query; leave it out")]
    Fragment,
    /// A brace without its other.
    #[error("`{{` and `}}` stand around a name of the path, as in `{{slug}}`")]
    Brace,
    /// No such name in the route's path.
    #[error("the route's path has no `{{{0}}}`{1}")]
    UnknownName(String, String),
    /// `{rest}` where more follows, or not after a slash.
    #[error("`{{rest}}` may be nothing, so it stands last in the path, after a `/`")]
    RestInside,
    /// `{rest}` could mean two things.
    #[error("`{{rest}}` is both a segment of the path and what its `/*` takes; rename the segment")]
    TwoRests,
    /// Its path isn't in canonical form.
    #[error("its path is written canonically: `{0}`")]
    NotCanonical(String),
    /// Its path has more than one reading.
    #[error("{0}")]
    Ambiguous(Ambiguous),
    /// Its query has a character that none may have.
    #[error("its query holds a character that must be percent-encoded")]
    BadQuery,
}

impl Redirect {
    /// Reads where a route with this path leads.
    ///
    /// # Errors
    /// [`RedirectError`] says what is wrong and how to mend it.
    pub fn parse(to: &str, status: StatusCode, path: &PathRule) -> Result<Self, RedirectError> {
        if to.len() > TO_BYTES_MAX {
            return Err(RedirectError::TooLong(to.len()));
        }
        if to.contains('#') {
            return Err(RedirectError::Fragment);
        }
        let names = Names::of(path);
        let (base, rest) = base(to)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        let pieces = names.pieces(path)?;
        check_rest(&pieces)?;
        check_spelling(&pieces)?;
        let query = query.map(|query| names.query(query)).transpose()?;
        Ok(Self {
            status,
            text: to.into(),
            base: base.into(),
            path: pieces,
            query,
        })
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Where it leads, as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The `Location` for a request: `params` is what the names of its canonical path stand for, `query` is its own, without `?`.
    ///
    /// Every byte is visible ASCII, whatever was sent.
    ///
    /// # Errors
    /// [`Ambiguous`] where what was put together could be read in two ways.
    pub fn location(&self, params: &[(&str, &str)], query: Option<&str>) -> Result<String, Ambiguous> {
        let value = |name: &str| {
            let found = params.iter().find(|(known, _)| *known == name);
            found.map_or("", |(_, value)| *value)
        };
        let mut path = String::with_capacity(self.text.len());
        for piece in &self.path {
            path.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Name(name) => value(name),
            });
        }
        let mut location = String::from(&*self.base);
        location.push_str(&canonical(&path, EncodedSlash::Keep)?);
        let mut sign = '?';
        if let Some(own) = &self.query {
            location.push(sign);
            sign = '&';
            for piece in own {
                match piece {
                    Piece::Text(text) => location.push_str(text),
                    Piece::Name(name) => escape_for_query(value(name), &mut location),
                }
            }
        }
        if let Some(query) = query {
            location.push(sign);
            keep_visible(query, &mut location);
        }
        Ok(location)
    }
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.status.as_u16(), self.text)
    }
}

/// Scheme and host (nothing for the ones that were asked), and what follows.
fn base(to: &str) -> Result<(&str, &str), RedirectError> {
    if to.starts_with("//") {
        return Err(RedirectError::TwoSlashes);
    }
    if to.starts_with('/') {
        return Ok(("", to));
    }
    let scheme = ["https://", "http://"]
        .into_iter()
        .find(|scheme| to.starts_with(scheme));
    let scheme = scheme.ok_or(RedirectError::NoAddress)?.len();
    let length = to.get(scheme..).and_then(|rest| rest.find(['/', '?']));
    let end = length.map_or(to.len(), |length| scheme + length);
    let (base, rest) = to.split_at_checked(end).ok_or(RedirectError::NoAddress)?;
    let host = base.get(scheme..).unwrap_or_default();
    if host.contains('@') {
        return Err(RedirectError::User);
    }
    let fixed = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
    let is_host = |authority: Authority| {
        let name = authority.host();
        !name.is_empty() && (name == authority.as_str() || authority.port_u16().is_some())
    };
    if fixed && host.parse().is_ok_and(is_host) {
        Ok((base, rest))
    } else {
        Err(RedirectError::BadHost(host.to_owned()))
    }
}

/// The names that a route's path has.
struct Names {
    segments: Vec<String>,
    takes_rest: bool,
}

impl Names {
    fn of(path: &PathRule) -> Self {
        let template = match path {
            PathRule::Template(text) => Template::parse(text).ok(),
            PathRule::Pattern(_) => None,
        };
        let names = template.iter().flat_map(Template::names);
        Self {
            segments: names.map(str::to_owned).collect(),
            takes_rest: template.as_ref().is_some_and(Template::takes_rest),
        }
    }

    fn pieces(&self, text: &str) -> Result<Vec<Piece>, RedirectError> {
        let mut pieces = Vec::new();
        let mut left = text;
        while let Some((before, from)) = left.split_once('{') {
            let (name, after) = from.split_once('}').ok_or(RedirectError::Brace)?;
            push_text(before, &mut pieces)?;
            pieces.push(Piece::Name(self.resolve(name)?.into()));
            left = after;
        }
        push_text(left, &mut pieces)?;
        Ok(pieces)
    }

    fn query(&self, text: &str) -> Result<Vec<Piece>, RedirectError> {
        let pieces = self.pieces(text)?;
        let odd = |piece: &Piece| matches!(piece, Piece::Text(text) if !text.bytes().all(is_plain_in_query));
        if pieces.iter().any(odd) {
            return Err(RedirectError::BadQuery);
        }
        Ok(pieces)
    }

    fn resolve<'n>(&self, name: &'n str) -> Result<&'n str, RedirectError> {
        let segment = self.segments.iter().any(|known| known == name);
        match (name, segment) {
            ("rest", true) if self.takes_rest => Err(RedirectError::TwoRests),
            ("rest", false) if self.takes_rest => Ok(REST),
            (_, true) => Ok(name),
            (_, false) => Err(RedirectError::UnknownName(name.to_owned(), self.known())),
        }
    }

    fn known(&self) -> String {
        let rest = self.takes_rest.then_some("rest");
        let names = self.segments.iter().map(String::as_str).chain(rest);
        let names: Vec<String> = names.map(|name| format!("`{{{name}}}`")).collect();
        if names.is_empty() {
            return String::new();
        }
        format!("; it has {}", names.join(", "))
    }
}

fn push_text(text: &str, pieces: &mut Vec<Piece>) -> Result<(), RedirectError> {
    if text.contains('}') {
        return Err(RedirectError::Brace);
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    Ok(())
}

/// `{rest}` may be nothing: inside of a path it would leave `//`, which a browser may take for the beginning of a host.
fn check_rest(pieces: &[Piece]) -> Result<(), RedirectError> {
    let is_rest = |piece: &Piece| matches!(piece, Piece::Name(name) if &**name == REST);
    let Some(at) = pieces.iter().position(is_rest) else {
        return Ok(());
    };
    let before = at.checked_sub(1).and_then(|before| pieces.get(before));
    let after_slash = matches!(before, Some(Piece::Text(text)) if text.ends_with('/'));
    if after_slash && at + 1 == pieces.len() {
        Ok(())
    } else {
        Err(RedirectError::RestInside)
    }
}

/// With a plain word for every name the path must be canonical.
fn check_spelling(pieces: &[Piece]) -> Result<(), RedirectError> {
    let stand_in = |piece: &Piece| match piece {
        Piece::Text(text) => text.to_string(),
        Piece::Name(_) => STAND_IN.to_owned(),
    };
    let path: String = pieces.iter().map(stand_in).collect();
    let wanted = canonical(&path, EncodedSlash::Keep).map_err(RedirectError::Ambiguous)?;
    if wanted == path {
        return Ok(());
    }
    // names come back in their order; one that dot segments took away leaves the plain spelling to show
    let mut shown = wanted.into_owned();
    for piece in pieces {
        if let Piece::Name(name) = piece {
            let name = if &**name == REST { "rest" } else { name };
            shown = shown.replacen(STAND_IN, &format!("{{{name}}}"), 1);
        }
    }
    Err(RedirectError::NotCanonical(shown))
}

/// Stands for a name while a path is compared with its canonical form.
const STAND_IN: &str = "(((x)))";

/// What a query may hold as it is.
fn is_plain_in_query(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
}

/// Appends a captured text, which has only characters of paths and escapes, so that it stays one value.
fn escape_for_query(value: &str, out: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'&' | b'=' | b'+' | b';' => push_escape(byte, out),
            byte => out.push(char::from(byte)),
        }
    }
}

/// Appends a query as it came, but for bytes that would end it or that no header field may have.
fn keep_visible(query: &str, out: &mut String) {
    for byte in query.bytes() {
        match byte {
            b'#' => push_escape(byte, out),
            byte if byte.is_ascii_graphic() => out.push(char::from(byte)),
            byte => push_escape(byte, out),
        }
    }
}

fn push_escape(byte: u8, out: &mut String) {
    let _ = write!(out, "%{byte:02X}"); // a String takes every write
}

#[cfg(test)]
#[path = "redirect_tests.rs"]
mod tests;
