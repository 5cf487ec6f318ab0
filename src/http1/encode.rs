//! Writing heads: start lines, fields, chunk sizes, the date.

use std::cell::RefCell;

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::{
    clock,
    fields::{Known, KnownSet},
};

/// Writes one field line.
pub(super) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes all of trailing `fields`.
pub(super) fn fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
}

/// Writes `content-length`.
pub(super) fn content_length(out: &mut Vec<u8>, length: u64) {
    field(
        out,
        b"content-length",
        itoa::Buffer::new().format(length).as_bytes(),
    );
}

/// Writes a status line. Always HTTP/1.1, whatever the request's version was (RFC 9110 section 6.2).
pub(super) fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a chunk's size line.
pub(super) fn chunk_size(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let nibble = (size >> (digit * 4)) & 15;
        out.push(b"0123456789abcdef".get(nibble).copied().unwrap_or(b'0'));
    }
    out.extend_from_slice(b"\r\n");
}

/// Fields that belong to one connection and must be written by nobody but the connection itself (RFC 9110 section 7.6.1).
pub(super) const CONNECTION_FIELDS: KnownSet = KnownSet::of(&[
    Known::CONNECTION,
    Known::TRANSFER_ENCODING,
    Known::UPGRADE,
    Known::KEEP_ALIVE,
    Known::PROXY_CONNECTION,
]);

thread_local! {
    static DATE: RefCell<(u64, Option<HeaderValue>)> = const { RefCell::new((0, None)) };
}

/// Writes the `date` field. Its text is made once a second on each core.
pub(super) fn date(out: &mut Vec<u8>) {
    let now = clock::wall().secs();
    DATE.with_borrow_mut(|(made, text)| {
        if *made != now || text.is_none() {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(now);
            *text = HeaderValue::try_from(httpdate::fmt_http_date(time)).ok();
            *made = now;
        }
        if let Some(text) = text {
            field(out, b"date", text.as_bytes());
        }
    });
}
