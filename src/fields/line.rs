//! One field line: where its name and its value lie.

use bytes::BytesMut;

use super::{Fields, Known, KnownSet, NAME_BYTES_MAX};

/// Where a line's name and value lie, in 16 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// A number, or [`UNKNOWN`]: an `Option` would make it 20 bytes.
    known: u8,
    added: bool,
    name_bytes: u16,
    name_at: u32,
    value_at: u32,
    value_bytes: u32,
}

const UNKNOWN: u8 = u8::MAX;
const _: () = assert!(size_of::<Line>() == 16);

impl Line {
    fn new(known: Option<Known>, added: bool, name: (usize, usize), value: (usize, usize)) -> Option<Self> {
        Some(Self {
            known: known.map_or(UNKNOWN, Known::number),
            added,
            name_bytes: u16::try_from(name.1).ok()?,
            name_at: u32::try_from(name.0).ok()?,
            value_at: u32::try_from(value.0).ok()?,
            value_bytes: u32::try_from(value.1).ok()?,
        })
    }

    /// A line that was added: from `begin` its name, if that has no number, then its value up to `end`.
    pub(super) fn added(known: Option<Known>, begin: usize, value: usize, end: usize) -> Option<Self> {
        Self::new(known, true, (begin, value - begin), (value, end - value))
    }

    pub(super) fn known(&self) -> Option<Known> {
        (self.known != UNKNOWN).then(|| Known::of_number(self.known))
    }

    pub(super) const fn is_added(&self) -> bool {
        self.added
    }

    pub(super) const fn value_len(&self) -> usize {
        self.value_bytes as usize
    }

    pub(super) fn name<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        piece(bytes, self.name_at, u32::from(self.name_bytes))
    }

    pub(super) fn value<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        piece(bytes, self.value_at, self.value_bytes)
    }
}

fn piece(bytes: &[u8], at: u32, count: u32) -> &[u8] {
    let (at, count) = (at as usize, count as usize);
    bytes.get(at..at + count).unwrap_or_default()
}

/// Notes the lines of a head while it is read, and becomes its [`Fields`].
#[derive(Debug)]
pub(crate) struct Received {
    lines: Vec<Line>,
    present: KnownSet,
    /// Whether a name without a number is not in lower case yet.
    mixed_case: bool,
}

/// Lines that a proxy adds.
const LINES_ADDED: usize = 12;

impl Received {
    pub(crate) fn with_capacity(lines: usize) -> Self {
        Self {
            lines: Vec::with_capacity(lines + LINES_ADDED),
            present: KnownSet::EMPTY,
            mixed_case: false,
        }
    }

    /// Notes a line whose parts are slices of `head`. Returns the name's number. `Err`: too long to be noted, or no slice of it.
    pub(crate) fn note(&mut self, head: &[u8], name: &[u8], value: &[u8]) -> Result<Option<Known>, ()> {
        let known = Known::find(name);
        let at = |part: &[u8]| part.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
        let (name_at, value_at) = (at(name), if value.is_empty() { 0 } else { at(value) });
        let inside = name_at + name.len() <= head.len() && value_at + value.len() <= head.len();
        let line = Line::new(known, false, (name_at, name.len()), (value_at, value.len())).ok_or(())?;
        if name.len() > NAME_BYTES_MAX || !inside {
            return Err(());
        }
        match known {
            Some(known) => self.present.add(known),
            None => self.mixed_case |= name.iter().any(u8::is_ascii_uppercase),
        }
        self.lines.push(line);
        Ok(known)
    }

    /// Notes a line whose parts, each as its place and its length, will lie in the bytes for [`Received::into_fields`]. A name
    /// with a number needs no bytes; any other is in lower case. Returns which line it is. `Err`: too long to be noted.
    pub(crate) fn place(
        &mut self,
        known: Option<Known>,
        name: (usize, usize),
        value: (usize, usize),
    ) -> Result<usize, ()> {
        if name.1 > NAME_BYTES_MAX {
            return Err(());
        }
        self.lines.push(Line::new(known, false, name, value).ok_or(())?);
        if let Some(known) = known {
            self.present.add(known);
        }
        Ok(self.lines.len() - 1)
    }

    /// Gives a placed line another value. `Err`: there is no such line, or the value is too long.
    pub(crate) fn move_value(&mut self, line: usize, value: (usize, usize)) -> Result<(), ()> {
        let line = self.lines.get_mut(line).ok_or(())?;
        line.value_at = u32::try_from(value.0).map_err(|_| ())?;
        line.value_bytes = u32::try_from(value.1).map_err(|_| ())?;
        Ok(())
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The fields of `head`, whose lines these are.
    pub(crate) fn into_fields(self, mut head: BytesMut) -> Fields {
        if self.mixed_case {
            for line in self.lines.iter().filter(|line| line.known == UNKNOWN) {
                let (at, count) = (line.name_at as usize, usize::from(line.name_bytes));
                if let Some(name) = head.get_mut(at..at + count) {
                    name.make_ascii_lowercase();
                }
            }
        }
        Fields {
            received: head,
            added: Vec::new(),
            lines: self.lines,
            present: self.present,
        }
    }
}
