//! A request's head while its fields are decoded, and what becomes of it: a request, or why not.

mod judge;

use std::ops::Range;

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode, uri};

use super::{
    super::head::Rejected,
    hpack::{Name, Pseudo, Sink, Undecodable},
};
use crate::{
    fields::{Known, KnownSet, Received},
    limits::Limits,
    message::Head,
    wire::Malformed,
};

/// What a field counts beside its name and value: as HTTP/1.1 would write it.
const LINE_BYTES: usize = 4;

/// The longest method that is one.
const METHOD_BYTES_MAX: usize = 256;

/// The longest protocol that is one.
const PROTOCOL_BYTES_MAX: usize = 64;

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    head_bytes_max: usize,
    headers_max: usize,
    uri_bytes_max: usize,
}

impl Bounds {
    pub(super) const fn of(limits: &Limits) -> Self {
        Self {
            head_bytes_max: limits.head_bytes_max,
            headers_max: limits.headers_max,
            uri_bytes_max: limits.uri_bytes_max,
        }
    }

    /// What a client is told not to exceed: fields count 32 bytes more here than in HTTP/1.1 (RFC 9113 section 6.5.2), and what
    /// is beyond our own limit should reach us, to be answered.
    pub(super) fn list_bytes(self) -> u32 {
        u32::try_from(self.block_bytes_max()).unwrap_or(u32::MAX)
    }

    /// Bytes of a header block that are kept until its end comes. A field takes at most 11 bytes more in a block than its name and
    /// value have, unless its coding makes it longer on purpose: no block of who keeps to [`Bounds::list_bytes`] is longer.
    pub(super) const fn block_bytes_max(self) -> usize {
        self.head_bytes_max * 2 + self.headers_max * 32
    }
}

/// A head that passed.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) head: Head,
    /// Its `content-length`.
    pub(super) length: Option<u64>,
    /// Whether the client waits for `100 Continue`.
    pub(super) expects: bool,
}

/// Fields that have no place in HTTP/2 (RFC 9113 section 8.2.2).
const FORBIDDEN: KnownSet = KnownSet::of(&[
    Known::CONNECTION,
    Known::KEEP_ALIVE,
    Known::PROXY_CONNECTION,
    Known::TRANSFER_ENCODING,
    Known::UPGRADE,
]);

/// Fields that are looked at while they go by.
const WEIGHED: KnownSet = KnownSet::of(&[
    Known::CONTENT_LENGTH,
    Known::COOKIE,
    Known::EXPECT,
    Known::HOST,
    Known::TE,
])
.and(FORBIDDEN);

#[derive(Debug)]
enum Scheme {
    Web,
    Other,
    Malformed,
}

/// Collects the fields of one header block. Beyond its bounds it goes on reading, for what the connection remembers, but keeps
/// nothing more.
#[derive(Debug)]
pub(super) struct Collected {
    bounds: Bounds,
    bytes: BytesMut,
    lines: Received,
    trailing: bool,
    fields: usize,
    size: usize,
    /// The first thing that makes the message malformed (RFC 9113 section 8.1.1).
    malformed: Option<&'static str>,
    /// The first bound that was reached.
    too_large: Option<Malformed>,
    blank: bool,
    method: Option<Method>,
    scheme: Option<Scheme>,
    path: Option<(usize, usize)>,
    authority: Option<(usize, usize)>,
    protocol: Option<Box<[u8]>>,
    hosts: usize,
    host: Option<(usize, usize)>,
    unlike_host: bool,
    length: Option<Result<u64, &'static str>>,
    expects: Option<bool>,
    cookie: Option<(usize, usize, usize)>,
}

impl Collected {
    /// Room for a head like `bytes` and `fields` tell; it grows.
    pub(super) fn with_capacity(bounds: Bounds, trailing: bool, bytes: usize, fields: usize) -> Self {
        Self {
            bounds,
            bytes: BytesMut::with_capacity(bytes),
            lines: Received::with_capacity(fields),
            trailing,
            fields: 0,
            size: 0,
            malformed: None,
            too_large: None,
            blank: false,
            method: None,
            scheme: None,
            path: None,
            authority: None,
            protocol: None,
            hosts: 0,
            host: None,
            unlike_host: false,
            length: None,
            expects: None,
            cookie: None,
        }
    }

    /// Bytes and fields that were kept: what the next head of the connection will need, too.
    pub(super) fn extent(&self) -> (usize, usize) {
        (self.bytes.len().min(self.bounds.head_bytes_max), self.lines.len())
    }

    /// Whether it answers HEAD, as far as is known.
    pub(super) fn asks_head(&self) -> bool {
        self.method == Some(Method::HEAD)
    }

    fn text(&self, (at, bytes): (usize, usize)) -> &[u8] {
        self.bytes.get(at..at + bytes).unwrap_or_default()
    }

    fn pseudo(&mut self, pseudo: Pseudo, value: Range<usize>) -> Result<(), Undecodable> {
        if self.trailing || self.fields > 0 {
            self.malformed.get_or_insert("pseudo-header field out of place");
        }
        let begin = value.start;
        if self.malformed.is_some() {
            self.bytes.truncate(begin);
            return Ok(());
        }
        let place = (begin, value.len());
        let text = self.bytes.get(value).unwrap_or_default();
        let mut kept = false;
        let repeated = match pseudo {
            Pseudo::Method => {
                if text.len() > METHOD_BYTES_MAX {
                    self.malformed = Some("method too long");
                }
                let method = Method::from_bytes(text).map_err(|_| Undecodable(":method"))?;
                self.method.replace(method).is_some()
            }
            Pseudo::Scheme => self.scheme.replace(scheme(text)).is_some(),
            Pseudo::Protocol => {
                if text.len() > PROTOCOL_BYTES_MAX {
                    self.malformed = Some("malformed :protocol");
                }
                self.protocol.replace(text.into()).is_some()
            }
            Pseudo::Path => {
                kept = text.len() <= self.bounds.uri_bytes_max;
                if !kept {
                    self.too_large.get_or_insert(Malformed {
                        status: StatusCode::URI_TOO_LONG,
                        what: "target too long",
                    });
                }
                self.path.replace(place).is_some()
            }
            Pseudo::Authority => {
                self.size += place.1;
                kept = self.within_size();
                if kept && self.lines.place(Some(Known::HOST), (0, 0), place).is_err() {
                    self.malformed.get_or_insert(":authority");
                }
                self.authority.replace(place).is_some()
            }
            Pseudo::Status => {
                self.malformed.get_or_insert(":status in a request");
                false
            }
        };
        if repeated {
            self.malformed.get_or_insert("repeated pseudo-header field");
        }
        if !kept {
            self.bytes.truncate(begin);
        }
        Ok(())
    }

    fn within_size(&mut self) -> bool {
        let what = if self.fields > self.bounds.headers_max {
            "too many fields"
        } else if self.size > self.bounds.head_bytes_max {
            "head too large"
        } else {
            return true;
        };
        self.too_large.get_or_insert(Malformed {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            what,
        });
        false
    }

    /// Looks at a field that matters. False: it is not to be kept as a line of its own.
    fn weigh(&mut self, name: Known, value: Range<usize>) -> bool {
        let begin = value.start;
        let place = (begin, value.len());
        let text = self.bytes.get(value).unwrap_or_default();
        if FORBIDDEN.has(name) || (name == Known::TE && text != b"trailers") {
            self.malformed.get_or_insert("field of one connection");
        } else if self.trailing {
            return true;
        } else if name == Known::CONTENT_LENGTH {
            let length = match self.length {
                None => content_length(text).ok_or("malformed content-length"),
                Some(_) => Err("repeated content-length"),
            };
            self.length = Some(length);
        } else if name == Known::EXPECT {
            self.expects
                .get_or_insert_with(|| text.eq_ignore_ascii_case(b"100-continue"));
        } else if name == Known::HOST {
            self.hosts += 1;
            if let Some(authority) = self.authority {
                self.unlike_host |= !self.text(authority).eq_ignore_ascii_case(self.text(place));
                return false;
            }
            self.host = Some(place);
        } else if name == Known::COOKIE {
            return self.crumb(place);
        }
        true
    }

    /// RFC 9113 section 8.2.3: crumbs become one field before anybody else sees them. True: this is the first.
    fn crumb(&mut self, (at, bytes): (usize, usize)) -> bool {
        const BETWEEN: &[u8] = b"; ";
        let Some((line, first, length)) = self.cookie else {
            self.cookie = Some((self.lines.len(), at, bytes));
            return true;
        };
        let moved = if first + length == at {
            first
        } else {
            // Something came between: the field moves behind it.
            self.size += length; // and costs its room again, so that this ends, too
            let before = self.text((first, length)).to_vec();
            self.bytes.extend_from_slice(&before);
            at
        };
        self.bytes.extend_from_slice(BETWEEN);
        if let Some(turned) = self.bytes.get_mut(at..) {
            turned.rotate_left(bytes); // the crumb comes last
        }
        let first = moved;
        let length = self.bytes.len() - first;
        if self.lines.move_value(line, (first, length)).is_err() {
            self.malformed.get_or_insert("cookie");
        }
        self.cookie = Some((line, first, length));
        false
    }

    /// The trailers.
    ///
    /// # Errors
    /// `Err(Some(_))`: they make the message malformed. `Err(None)`: whoever reads the body is told.
    pub(super) fn finish_trailers(self) -> Result<Result<HeaderMap, &'static str>, Rejected> {
        if let Some(what) = self.malformed {
            return Err(Rejected::Reset(what));
        }
        if self.too_large.is_some() {
            return Ok(Err("trailers too large"));
        }
        Ok(Ok(self.lines.into_fields(self.bytes).to_map()))
    }
}

impl Sink for Collected {
    fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    fn wants_values(&self) -> bool {
        let within = self.fields <= self.bounds.headers_max && self.size <= self.bounds.head_bytes_max;
        self.malformed.is_none() && (self.fields == 0 || within)
    }

    fn field(&mut self, name: Name, text: Range<usize>, value: Range<usize>) -> Result<(), Undecodable> {
        let begin = text.start;
        let known = match name {
            Name::Pseudo(pseudo) => return self.pseudo(pseudo, value),
            Name::Known(known) => Some(known),
            Name::Text => None,
        };
        self.fields += 1;
        let name_bytes = known.map_or_else(|| text.len(), |known| known.as_str().len());
        self.size += name_bytes + value.len() + LINE_BYTES;
        let value_bytes = self.bytes.get(value.clone()).unwrap_or_default();
        let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        self.blank |= is_blank(value_bytes.first()) || is_blank(value_bytes.last());
        let weighed = known.filter(|known| WEIGHED.has(*known));
        if !self.within_size() || weighed.is_some_and(|known| !self.weigh(known, value.clone())) {
            // a crumb of a cookie has found its place by itself
            if weighed != Some(Known::COOKIE) || self.too_large.is_some() {
                self.bytes.truncate(begin);
            }
            return Ok(());
        }
        let line = self
            .lines
            .place(known, (begin, text.len()), (value.start, value.len()));
        line.map(|_| ()).map_err(|()| Undecodable("field name"))
    }
}

/// Exactly `1*DIGIT` that fits 64 bits (RFC 9110 section 8.6): no list, no sign, no space.
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok()
}

fn scheme(text: &[u8]) -> Scheme {
    match text {
        b"https" | b"http" => Scheme::Web,
        _ if uri::Scheme::try_from(text).is_ok() => Scheme::Other,
        _ => Scheme::Malformed,
    }
}
