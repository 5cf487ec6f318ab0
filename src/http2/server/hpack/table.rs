//! The static table (RFC 7541 appendix A), and the dynamic one as a reader keeps it.

use std::collections::VecDeque;

use super::ENTRY_BYTES;
use crate::fields::Known;

/// A pseudo-header field (RFC 9113 section 8.3, RFC 8441 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pseudo {
    /// `:authority`.
    Authority,
    /// `:method`.
    Method,
    /// `:path`.
    Path,
    /// `:protocol`.
    Protocol,
    /// `:scheme`.
    Scheme,
    /// `:status`.
    Status,
}

/// What a field is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// A pseudo-header field.
    Pseudo(Pseudo),
    /// A name with a number.
    Known(Known),
    /// Any other: its text stands beside this.
    Text,
}

use Name::{Known as K, Pseudo as P};

type Static = (Name, &'static str, &'static str);

const fn known(name: Known) -> Static {
    (K(name), "", "")
}

/// The static table, without its place 0: name, its text if it has no number, value.
pub(super) const STATIC: &[Static; 61] = &[
    (P(Pseudo::Authority), "", ""),
    (P(Pseudo::Method), "", "GET"),
    (P(Pseudo::Method), "", "POST"),
    (P(Pseudo::Path), "", "/"),
    (P(Pseudo::Path), "", "/index.html"),
    (P(Pseudo::Scheme), "", "http"),
    (P(Pseudo::Scheme), "", "https"),
    (P(Pseudo::Status), "", "200"),
    (P(Pseudo::Status), "", "204"),
    (P(Pseudo::Status), "", "206"),
    (P(Pseudo::Status), "", "304"),
    (P(Pseudo::Status), "", "400"),
    (P(Pseudo::Status), "", "404"),
    (P(Pseudo::Status), "", "500"),
    known(Known::ACCEPT_CHARSET),
    (K(Known::ACCEPT_ENCODING), "", "gzip, deflate"),
    known(Known::ACCEPT_LANGUAGE),
    known(Known::ACCEPT_RANGES),
    known(Known::ACCEPT),
    known(Known::ACCESS_CONTROL_ALLOW_ORIGIN),
    known(Known::AGE),
    known(Known::ALLOW),
    known(Known::AUTHORIZATION),
    known(Known::CACHE_CONTROL),
    known(Known::CONTENT_DISPOSITION),
    known(Known::CONTENT_ENCODING),
    known(Known::CONTENT_LANGUAGE),
    known(Known::CONTENT_LENGTH),
    known(Known::CONTENT_LOCATION),
    known(Known::CONTENT_RANGE),
    known(Known::CONTENT_TYPE),
    known(Known::COOKIE),
    known(Known::DATE),
    known(Known::ETAG),
    known(Known::EXPECT),
    known(Known::EXPIRES),
    (Name::Text, "from", ""),
    known(Known::HOST),
    known(Known::IF_MATCH),
    known(Known::IF_MODIFIED_SINCE),
    known(Known::IF_NONE_MATCH),
    known(Known::IF_RANGE),
    known(Known::IF_UNMODIFIED_SINCE),
    known(Known::LAST_MODIFIED),
    known(Known::LINK),
    known(Known::LOCATION),
    known(Known::MAX_FORWARDS),
    known(Known::PROXY_AUTHENTICATE),
    known(Known::PROXY_AUTHORIZATION),
    known(Known::RANGE),
    known(Known::REFERER),
    (Name::Text, "refresh", ""),
    known(Known::RETRY_AFTER),
    known(Known::SERVER),
    known(Known::SET_COOKIE),
    known(Known::STRICT_TRANSPORT_SECURITY),
    known(Known::TRANSFER_ENCODING),
    known(Known::USER_AGENT),
    known(Known::VARY),
    known(Known::VIA),
    known(Known::WWW_AUTHENTICATE),
];

/// An entry of either table. The text of the name is empty where the name has a number or is a pseudo-header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'t> {
    pub(super) name: Name,
    pub(super) text: &'t [u8],
    pub(super) value: &'t [u8],
}

/// Where an entry lies among the bytes ever put in.
#[derive(Debug, Clone, Copy)]
struct Place {
    name: Name,
    at: u64,
    text_bytes: u32,
    value_bytes: u32,
    /// What it counts: for that, a name with a number has its bytes too.
    size: u32,
}

/// What a writer told its reader to remember, newest last. Empty, it holds no memory.
#[derive(Debug, Default)]
pub(super) struct Table {
    places: VecDeque<Place>,
    bytes: Vec<u8>,
    /// The place among all bytes ever put in at which `bytes` begins.
    begin: u64,
    size: usize,
}

impl Table {
    /// The entry at `index`, counted through both tables from 1 on. `None`: there is none.
    pub(super) fn get(&self, index: usize) -> Option<Entry<'_>> {
        let before = index.checked_sub(1)?;
        if let Some((name, text, value)) = STATIC.get(before) {
            return Some(Entry {
                name: *name,
                text: text.as_bytes(),
                value: value.as_bytes(),
            });
        }
        let age = before - STATIC.len();
        let place = self.places.get(self.places.len().checked_sub(age + 1)?)?;
        let at = usize::try_from(place.at - self.begin).ok()?;
        let (text_bytes, value_bytes) = (place.text_bytes as usize, place.value_bytes as usize);
        let both = self.bytes.get(at..at + text_bytes + value_bytes)?;
        let (text, value) = both.split_at_checked(text_bytes)?;
        Some(Entry {
            name: place.name,
            text,
            value,
        })
    }

    /// Puts an entry in, in place of old ones. One larger than the whole table only empties it (RFC 7541 section 4.4).
    pub(super) fn insert(&mut self, entry: Entry<'_>, size_max: usize) {
        let size = entry.value.len() + ENTRY_BYTES + name_bytes(entry.name, entry.text);
        self.shrink(size_max.saturating_sub(size));
        let sizes = (
            u32::try_from(entry.text.len()),
            u32::try_from(entry.value.len()),
            u32::try_from(size),
        );
        let (Ok(text_bytes), Ok(value_bytes), Ok(counted)) = sizes else {
            return;
        };
        if size > size_max {
            return;
        }
        self.compact();
        self.places.push_back(Place {
            name: entry.name,
            at: self.begin + self.bytes.len() as u64,
            text_bytes,
            value_bytes,
            size: counted,
        });
        self.bytes.extend_from_slice(entry.text);
        self.bytes.extend_from_slice(entry.value);
        self.size += size;
    }

    /// Drops the oldest entries until the others count no more than `size_max`.
    pub(super) fn shrink(&mut self, size_max: usize) {
        while self.size > size_max {
            let Some(oldest) = self.places.pop_front() else {
                return;
            };
            self.size -= oldest.size as usize;
        }
    }

    /// Gives up the bytes of entries that are gone, once they are half of all.
    fn compact(&mut self) {
        let oldest = self.places.front().map_or(u64::MAX, |place| place.at);
        let gone = usize::try_from(oldest.saturating_sub(self.begin)).unwrap_or(usize::MAX);
        let gone = gone.min(self.bytes.len());
        if gone * 2 > self.bytes.len() {
            self.bytes.drain(..gone);
            self.begin += gone as u64;
        }
    }
}

/// What a name counts in a table.
fn name_bytes(name: Name, text: &[u8]) -> usize {
    match name {
        Name::Known(known) => known.as_str().len(),
        Name::Pseudo(pseudo) => pseudo.as_str().len(),
        Name::Text => text.len(),
    }
}

impl Pseudo {
    /// The name, with its colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authority => ":authority",
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Protocol => ":protocol",
            Self::Scheme => ":scheme",
            Self::Status => ":status",
        }
    }

    /// The pseudo-header field of this name. `None`: there is none.
    #[must_use]
    pub fn find(name: &[u8]) -> Option<Self> {
        let all = [
            Self::Authority,
            Self::Method,
            Self::Path,
            Self::Protocol,
            Self::Scheme,
            Self::Status,
        ];
        all.into_iter().find(|pseudo| pseudo.as_str().as_bytes() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Name, Table};
    use crate::fields::Known;

    fn entry<'t>(text: &'t str, value: &'t str) -> Entry<'t> {
        Entry {
            name: Name::Text,
            text: text.as_bytes(),
            value: value.as_bytes(),
        }
    }

    #[test]
    fn the_newest_entry_comes_first_behind_the_static_ones() {
        let mut table = Table::default();
        assert_eq!(table.get(0), None);
        assert_eq!(table.get(62), None);
        table.insert(entry("a", "b"), 4096);
        table.insert(entry("c", ""), 4096);
        assert_eq!(table.get(62), Some(entry("c", "")));
        assert_eq!(table.get(63), Some(entry("a", "b")));
        assert_eq!(table.get(64), None);
        let last = table.get(61).unwrap();
        assert_eq!(last.name, Name::Known(Known::WWW_AUTHENTICATE));
    }

    #[test]
    fn old_entries_make_room_and_their_bytes_go() {
        let mut table = Table::default();
        for number in 0..1000 {
            let value = format!("{number:04}");
            table.insert(entry("name", &value), 200); // each counts 40
            assert_eq!(table.get(62), Some(entry("name", &value)));
            assert!(table.size <= 200 && table.bytes.len() <= 100);
        }
        assert!(table.get(66).is_some() && table.get(67).is_none());
        table.shrink(79);
        assert!(table.get(62).is_some() && table.get(63).is_none());
        table.insert(entry("x", &"y".repeat(200)), 200);
        assert_eq!((table.get(62), table.size), (None, 0));
    }

    #[test]
    fn a_name_with_a_number_counts_like_any_other() {
        let mut table = Table::default();
        let named = Entry {
            name: Name::Known(Known::COOKIE),
            text: b"",
            value: b"ab",
        };
        table.insert(named, 4096);
        assert_eq!((table.size, table.get(62)), (40, Some(named)));
    }
}
