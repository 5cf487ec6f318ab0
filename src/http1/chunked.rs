//! The chunked transfer coding, decoded strictly (RFC 9112 section 7.1). No socket, no clock.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::head::{Bounds, Extent, ScanError, Scanner, Section, forbidden_in_trailers};

/// Bytes of a size line, extensions and line end included. Nobody sends more than 20.
const SIZE_LINE_MAX: usize = 256;
/// Bytes of chunk extensions in one body, all chunks together (CVE-2023-39326 lived without).
const EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// What trails a body may cost.
const TRAILERS: Bounds = Bounds {
    head_bytes_max: 8 * 1024,
    uri_bytes_max: 0,
    headers_max: 32,
};

/// The next thing in a body.
#[derive(Debug)]
pub enum Piece {
    /// More bytes must come first.
    NeedMore,
    /// Content.
    Data(Bytes),
    /// What trails the content; then the body is over.
    Trailers(HeaderMap),
    /// The body is over.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// A decoder for one body.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    extension_bytes: usize,
    scanner: Scanner,
}

impl Default for Chunked {
    fn default() -> Self {
        Self {
            state: State::Size,
            extension_bytes: 0,
            scanner: Scanner::new(Section::Trailers),
        }
    }
}

impl Chunked {
    /// Takes the next piece off the front of `input`, which may only grow between two calls.
    ///
    /// # Errors
    /// A fixed word for what is wrong; nothing behind it can be trusted.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Piece, &'static str> {
        loop {
            match self.state {
                State::Size => match self.size_line(input)? {
                    None => return Ok(Piece::NeedMore),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Data(size),
                },
                State::Data(left) => {
                    if input.is_empty() {
                        return Ok(Piece::NeedMore);
                    }
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let left = left - count as u64;
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data(left)
                    };
                    return Ok(Piece::Data(input.split_to(count).freeze()));
                }
                State::DataEnd => {
                    match (input.first(), input.get(1)) {
                        (Some(b'\r'), Some(b'\n')) => {}
                        (None, _) | (Some(b'\r'), None) => return Ok(Piece::NeedMore),
                        _ => return Err("chunk-end"),
                    }
                    let _ = input.split_to(2);
                    self.state = State::Size;
                }
                State::Trailers => return self.trailers(input),
                State::Done => return Ok(Piece::End),
            }
        }
    }

    /// Whether the last byte of the body has been taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn size_line(&mut self, input: &mut BytesMut) -> Result<Option<u64>, &'static str> {
        let window = input.get(..SIZE_LINE_MAX.min(input.len())).unwrap_or_default();
        let Some(end) = memchr(b'\n', window) else {
            if window.len() == SIZE_LINE_MAX {
                return Err("chunk-line-too-long");
            }
            return Ok(None);
        };
        let (size, extension_bytes) = {
            let line = window.get(..end).unwrap_or_default();
            let Some((b'\r', line)) = line.split_last() else {
                return Err("chunk-bare-lf");
            };
            size(line)?
        };
        self.extension_bytes += extension_bytes;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err("chunk-extensions-too-large");
        }
        let _ = input.split_to(end + 1);
        Ok(Some(size))
    }

    fn trailers(&mut self, input: &mut BytesMut) -> Result<Piece, &'static str> {
        let extent = match self.scanner.scan(input, &TRAILERS) {
            Ok(Some(extent)) => extent,
            Ok(None) => return Ok(Piece::NeedMore),
            Err(ScanError::Syntax(what)) => return Err(what),
            Err(_) => return Err("trailers-too-large"),
        };
        let lines = input.split_to(extent.end).freeze();
        self.state = State::Done;
        if extent.fields == 0 {
            return Ok(Piece::End);
        }
        trailers(&lines, extent).map(Piece::Trailers)
    }
}

/// `1*16HEXDIG` and what extends it, checked and thrown away.
fn size(line: &[u8]) -> Result<(u64, usize), &'static str> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, extension) = line.split_at_checked(digits).ok_or("chunk-size")?;
    if digits.is_empty() || digits.len() > 16 {
        return Err("chunk-size");
    }
    let text = std::str::from_utf8(digits).map_err(|_| "chunk-size")?;
    let size = u64::from_str_radix(text, 16).map_err(|_| "chunk-size")?;
    match extension.first() {
        None => {}
        Some(b';') => extensions(extension)?,
        Some(_) => return Err("chunk-size"),
    }
    Ok((size, extension.len()))
}

/// `*( ";" token [ "=" ( token / quoted-string ) ] )`: without the white space that RFC 9112 calls bad and readers read differently.
fn extensions(mut rest: &[u8]) -> Result<(), &'static str> {
    const WRONG: &str = "chunk-extension";
    while let Some((b';', after)) = rest.split_first() {
        rest = token(after).ok_or(WRONG)?;
        let Some((b'=', after)) = rest.split_first() else {
            continue;
        };
        rest = match after.split_first() {
            Some((b'"', quoted)) => quoted_string(quoted),
            _ => token(after),
        }
        .ok_or(WRONG)?;
    }
    if rest.is_empty() { Ok(()) } else { Err(WRONG) }
}

/// What is behind the token at the front of `text`.
fn token(text: &[u8]) -> Option<&[u8]> {
    let length = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
        .count();
    text.get(length..).filter(|_| length > 0)
}

/// What is behind the quoted string at the front of `text`, whose opening quote is gone already.
fn quoted_string(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = match byte {
            b'"' => return Some(after),
            b'\\' => match after.split_first()? {
                (b'\t' | b' '..=b'~', after) => after,
                _ => return None,
            },
            b'\t' | b' '..=b'~' => after,
            _ => return None,
        };
    }
}

fn trailers(lines: &Bytes, extent: Extent) -> Result<HeaderMap, &'static str> {
    let mut room = [httparse::EMPTY_HEADER; TRAILERS.headers_max];
    let Ok(httparse::Status::Complete((length, tokens))) = httparse::parse_headers(lines, &mut room) else {
        return Err("trailer");
    };
    if length != lines.len() {
        return Err("trailer");
    }
    let mut map = HeaderMap::with_capacity(extent.fields);
    for token in tokens {
        let name = HeaderName::from_bytes(token.name.as_bytes()).map_err(|_| "trailer")?;
        if forbidden_in_trailers(&name) {
            return Err("trailer-forbidden");
        }
        let value = HeaderValue::from_maybe_shared(lines.slice_ref(token.value)).map_err(|_| "trailer")?;
        map.append(name, value);
    }
    Ok(map)
}
