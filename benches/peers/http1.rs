//! An HTTP/1.1 client that costs little: one request in ready-made bytes, again and again.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    browser::{HOST, What, fields},
    wire::Wire,
};

/// Bytes of an upload written at once.
const PIECE: usize = 64 * 1024;

/// A connection that asks for one thing.
pub(super) struct Http1 {
    wire: Wire,
    request: Vec<u8>,
    body: usize,
    buffer: Vec<u8>,
    filled: usize,
}

/// How an answer's body ends.
enum End {
    After(usize),
    Chunked,
}

impl Http1 {
    /// On a new connection.
    pub(super) fn new(wire: Wire, what: What, cookie: &str) -> Self {
        let (method, path) = what.target();
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {HOST}\r\n");
        for (name, value) in fields(what, cookie) {
            request.extend([name, ": ", &value, "\r\n"]);
        }
        request.push_str("\r\n");
        Self {
            wire,
            request: request.into_bytes(),
            body: what.request_bytes(),
            buffer: vec![0; 64 * 1024],
            filled: 0,
        }
    }

    /// The connection alone, to be kept open.
    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }

    /// Asks once and reads the whole answer; returns the bytes of its body.
    pub(super) async fn exchange(&mut self) -> io::Result<usize> {
        self.filled = 0;
        self.wire.write_all(&self.request).await?;
        let mut left = self.body;
        let piece = [b'u'; 1024].repeat(if left > 0 { PIECE / 1024 } else { 0 });
        while left > 0 {
            let now = left.min(PIECE);
            self.wire.write_all(&piece[..now]).await?;
            left -= now;
        }
        self.wire.flush().await?;
        let (head, end) = self.head().await?;
        let mut body = self.filled - head;
        match end {
            End::After(length) => {
                while body < length {
                    body += self.read(0).await?;
                }
                if body > length {
                    return Err(io::Error::other("more bytes than one answer"));
                }
            }
            End::Chunked => {
                let mut at = self.filled;
                while !self.buffer[..at].ends_with(b"0\r\n\r\n") {
                    let keep = at.min(4);
                    self.buffer.copy_within(at - keep..at, 0);
                    let more = self.read(keep).await?;
                    body += more;
                    at = keep + more;
                }
            }
        }
        Ok(body)
    }

    /// The last answer's head as text, as far as it is still there: after a small answer, all of it.
    pub(super) fn last_head(&self) -> String {
        let read = &self.buffer[..self.filled];
        let end = memchr::memmem::find(read, b"\r\n\r\n").unwrap_or_default();
        String::from_utf8_lossy(&read[..end]).into_owned()
    }

    async fn read(&mut self, at: usize) -> io::Result<usize> {
        match self.wire.read(&mut self.buffer[at..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            more => Ok(more),
        }
    }

    /// Reads until a head is there; returns its length and how its body ends.
    async fn head(&mut self) -> io::Result<(usize, End)> {
        loop {
            let more = self.read(self.filled).await?;
            self.filled += more;
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut answer = httparse::Response::new(&mut fields);
            let read = &self.buffer[..self.filled];
            let parsed = answer.parse(read).map_err(io::Error::other)?;
            let httparse::Status::Complete(length) = parsed else {
                continue;
            };
            if answer.code != Some(200) {
                let head = String::from_utf8_lossy(&read[..length]).into_owned();
                return Err(io::Error::other(head));
            }
            let field = |name: &str| {
                let mut fields = answer.headers.iter();
                let field = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
                std::str::from_utf8(field.value).ok()
            };
            let end = match field("content-length").and_then(|value| value.parse().ok()) {
                Some(body) => End::After(body),
                None if field("transfer-encoding").is_some() => End::Chunked,
                None => return Err(io::Error::other("an answer without an end")),
            };
            return Ok((length, end));
        }
    }
}
