//! The fields of a head: where each lies in the bytes that came, and what was added; nothing is copied to be looked at.
//!
//! A message with twelve fields costs one list here, where a map of names and values would cost an allocation, a hash and a
//! counted reference for each. Names that anybody looks up have a number ([`Known`]), so that asking for a field that is not
//! there is one bit. Order is kept. Names are in lower case, whatever the sender wrote.

mod known;
mod line;

use std::fmt;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) use self::known::KNOWN;
pub use self::known::{Known, KnownSet};
use self::line::Line;
pub(crate) use self::line::Received;

/// Most bytes of a name.
pub const NAME_BYTES_MAX: usize = u16::MAX as usize;

/// The fields of a message.
#[derive(Clone, Default)]
pub struct Fields {
    /// The head as it came; names that have no number are in lower case.
    received: BytesMut,
    /// Names and values that were set since.
    added: Vec<u8>,
    lines: Vec<Line>,
    present: KnownSet,
}

/// What a field can be asked for by.
pub trait Key {
    /// Its number, if it has one.
    fn known(&self) -> Option<Known>;
    /// Its text, in lower case.
    fn text(&self) -> &str;
}

impl Key for Known {
    fn known(&self) -> Option<Known> {
        Some(*self)
    }
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl Key for HeaderName {
    fn known(&self) -> Option<Known> {
        Known::find(self.as_str().as_bytes())
    }
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl Key for str {
    fn known(&self) -> Option<Known> {
        Known::find(self.as_bytes())
    }
    fn text(&self) -> &str {
        self
    }
}

impl Key for Name<'_> {
    fn known(&self) -> Option<Known> {
        self.known
    }
    fn text(&self) -> &str {
        self.text
    }
}

impl<K: Key + ?Sized> Key for &K {
    fn known(&self) -> Option<Known> {
        (**self).known()
    }
    fn text(&self) -> &str {
        (**self).text()
    }
}

/// A field's name, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'f> {
    /// Its number, if it has one.
    pub known: Option<Known>,
    text: &'f str,
}

impl<'f> Name<'f> {
    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'f str {
        self.text
    }

    /// Whether it is one of `names`.
    #[must_use]
    pub fn is_in(self, names: KnownSet) -> bool {
        self.known.is_some_and(|known| names.has(known))
    }
}

impl PartialEq<Known> for Name<'_> {
    fn eq(&self, other: &Known) -> bool {
        self.known == Some(*other)
    }
}

/// A field's value.
#[derive(Clone, Copy)]
pub struct Value<'f>(&'f [u8]);

/// A value with bytes outside visible ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotText;

impl<'f> Value<'f> {
    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'f [u8] {
        self.0
    }

    /// Its text, if it is visible ASCII, spaces and tabs.
    ///
    /// # Errors
    /// [`NotText`].
    pub fn to_str(self) -> Result<&'f str, NotText> {
        let visible = self.0.iter().all(|byte| matches!(byte, 0x20..=0x7e | b'\t'));
        match (visible, str::from_utf8(self.0)) {
            (true, Ok(text)) => Ok(text),
            _ => Err(NotText),
        }
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.0), f)
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value<'_> {
    fn eq(&self, other: &T) -> bool {
        self.0 == other.as_ref()
    }
}

impl Fields {
    /// No fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same fields, with room for so many more bytes and lines.
    #[must_use]
    pub fn with_room(&self, bytes: usize, lines: usize) -> Self {
        let mut all = Self {
            received: self.received.clone(),
            added: Vec::with_capacity(self.added.len() + bytes),
            lines: Vec::with_capacity(self.lines.len() + lines),
            present: self.present,
        };
        all.added.extend_from_slice(&self.added);
        all.lines.extend_from_slice(&self.lines);
        all
    }

    /// How many field lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The known names that are present.
    #[must_use]
    pub fn present(&self) -> KnownSet {
        self.present
    }

    /// The first value of a field.
    #[must_use]
    pub fn get(&self, key: impl Key) -> Option<Value<'_>> {
        self.get_all(key).next()
    }

    /// Every value of a field, in order.
    pub fn get_all<K: Key>(&self, key: K) -> impl DoubleEndedIterator<Item = Value<'_>> + use<'_, K> {
        let known = key.known();
        let lines: &[Line] = match known {
            Some(known) if !self.present.has(known) => &[],
            _ => &self.lines,
        };
        lines
            .iter()
            .filter(move |line| self.is_of(line, known, &key))
            .map(|line| Value(self.value(line)))
    }

    /// Whether a field is there.
    #[must_use]
    pub fn contains_key(&self, key: impl Key) -> bool {
        match key.known() {
            Some(known) => self.present.has(known),
            None => self.get(key).is_some(),
        }
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Name<'_>, Value<'_>)> {
        self.lines
            .iter()
            .map(|line| (self.name(line), Value(self.value(line))))
    }

    /// Sets a field, in place of all that it had. A value that no field may have takes the field away.
    pub fn insert(&mut self, key: impl Key, value: impl AsRef<[u8]>) {
        self.insert_with(key, |text| text.extend_from_slice(value.as_ref()));
    }

    /// As [`Fields::insert`], with what `write` appends. It must only append.
    pub fn insert_with(&mut self, key: impl Key, write: impl FnOnce(&mut Vec<u8>)) {
        self.remove(&key);
        self.append_with(key, write);
    }

    /// Adds one more line of a field. A value that no field may have is left out.
    pub fn append(&mut self, key: impl Key, value: impl AsRef<[u8]>) {
        self.append_with(key, |text| text.extend_from_slice(value.as_ref()));
    }

    /// As [`Fields::append`], with what `write` appends. It must only append.
    pub fn append_with(&mut self, key: impl Key, write: impl FnOnce(&mut Vec<u8>)) {
        if self.added.capacity() == 0 {
            self.added.reserve(ADDED_BYTES);
        }
        let known = key.known();
        let begin = self.added.len();
        if known.is_none() {
            self.added.extend_from_slice(key.text().as_bytes());
        }
        let value = self.added.len();
        write(&mut self.added);
        let written = self.added.get(value..).unwrap_or_default();
        match Line::added(known, begin, value, self.added.len()) {
            Some(line) if is_value(written) => {
                self.lines.push(line);
                if let Some(known) = known {
                    self.present.add(known);
                }
            }
            _ => self.added.truncate(begin),
        }
    }

    /// Gives each line of a field the value that `write` appends, which is told the old one. A line left without any goes.
    pub fn rewrite(&mut self, known: Known, mut write: impl FnMut(&[u8], &mut Vec<u8>)) {
        let Self {
            received,
            added,
            lines,
            present,
        } = self;
        let mut left = 0_usize;
        lines.retain_mut(|line| {
            if line.known() != Some(known) {
                return true;
            }
            let begin = added.len();
            if line.is_added() {
                let old = line.value(added).to_vec();
                write(&old, added);
            } else {
                write(line.value(received), added);
            }
            let written = added.get(begin..).unwrap_or_default();
            let wanted = !written.is_empty() && is_value(written);
            match Line::added(Some(known), begin, begin, added.len()).filter(|_| wanted) {
                Some(new) => *line = new,
                None => {
                    added.truncate(begin);
                    return false;
                }
            }
            left += 1;
            true
        });
        if left == 0 {
            present.take(known);
        }
    }

    /// Takes all lines of a field away.
    pub fn remove(&mut self, key: impl Key) {
        match key.known() {
            Some(known) if self.present.has(known) => {
                self.lines.retain(|line| line.known() != Some(known));
                self.present.take(known);
            }
            Some(_) => {}
            None => self.retain(|name, _| !(name.known.is_none() && name.text == key.text())),
        }
    }

    /// Takes away all lines of the fields that `names` has.
    pub fn remove_all(&mut self, names: KnownSet) {
        if self.present.meets(names) {
            self.retain(|name, _| !name.is_in(names));
        }
    }

    /// Keeps the lines that `keep` likes.
    pub fn retain(&mut self, mut keep: impl FnMut(Name<'_>, Value<'_>) -> bool) {
        let mut lines = std::mem::take(&mut self.lines);
        self.present = KnownSet::EMPTY;
        lines.retain(|line| {
            let kept = keep(self.name(line), Value(self.value(line)));
            if let (true, Some(known)) = (kept, line.known()) {
                self.present.add(known);
            }
            kept
        });
        self.lines = lines;
    }

    /// The text that the lines begin behind: a start line, for who has noted where it stands.
    #[must_use]
    pub(crate) fn received(&self) -> &[u8] {
        &self.received
    }

    /// As a map, for who wants one. The values share one piece of memory.
    #[must_use]
    pub fn to_map(&self) -> HeaderMap {
        let mut values = BytesMut::with_capacity(self.lines.iter().map(Line::value_len).sum());
        for line in &self.lines {
            values.extend_from_slice(self.value(line));
        }
        let mut values = values.freeze();
        let mut map = HeaderMap::with_capacity(self.len());
        for line in &self.lines {
            let value = HeaderValue::from_maybe_shared(values.split_to(line.value_len()));
            let Name { known, text } = self.name(line);
            let name = match known {
                Some(known) => Ok(HeaderName::from_static(known.as_str())),
                None => HeaderName::from_bytes(text.as_bytes()),
            };
            if let (Ok(name), Ok(value)) = (name, value) {
                map.append(name, value);
            }
        }
        map
    }

    fn is_of(&self, line: &Line, known: Option<Known>, key: &impl Key) -> bool {
        match known {
            Some(_) => line.known() == known,
            None => line.known().is_none() && self.name(line).text == key.text(),
        }
    }

    fn name(&self, line: &Line) -> Name<'_> {
        let known = line.known();
        let text = match known {
            Some(known) => known.as_str(),
            None => str::from_utf8(line.name(self.bytes_of(line))).unwrap_or_default(),
        };
        Name { known, text }
    }

    fn value(&self, line: &Line) -> &[u8] {
        line.value(self.bytes_of(line))
    }

    fn bytes_of(&self, line: &Line) -> &[u8] {
        if line.is_added() {
            &self.added
        } else {
            &self.received
        }
    }
}

/// Room for what a proxy adds to a request: forwarding fields, trace, flags.
const ADDED_BYTES: usize = 480;

/// Field values have no control characters but tabs (RFC 9110 section 5.5).
fn is_value(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127))
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        let mut fields = Self::new();
        let bytes = map
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        fields.added.reserve(bytes);
        fields.lines.reserve(map.len());
        for (name, value) in map {
            fields.append(name, value);
        }
        fields
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        Self::from(&map)
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.iter().map(|(name, value)| (name.text, value));
        f.debug_map().entries(lines).finish()
    }
}

#[cfg(test)]
mod tests;
