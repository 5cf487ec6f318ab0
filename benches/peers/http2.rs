//! An HTTP/2 client that costs little: header blocks made once (RFC 7541), frames read and written in batches.

use std::{io, ops::Range};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    browser::{HOST, What, fields},
    wire::Wire,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a browser announces: no push, and six MiB for each stream.
const SETTINGS: &[u8] = &[
    0, 0, 12, 4, 0, 0, 0, 0, 0, //
    0, 2, 0, 0, 0, 0, //
    0, 4, 0, 0x60, 0, 0,
];
const SETTINGS_ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
/// The connection's window is opened by this at the start, and again whenever as much has come.
const WINDOW: u32 = 8 * 1024 * 1024;
/// The largest payload that any peer takes.
const FRAME_BYTES: usize = 16 * 1024;
/// Bytes of uploads written at once.
const BATCH: usize = 64 * 1024;
/// The first place in the dynamic table: the newest entry.
const DYNAMIC: usize = 62;

mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
}

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A request whose body is still on its way.
struct Upload {
    stream: u32,
    window: i64,
    left: usize,
}

/// A connection that asks for one thing, on as many streams as wanted.
pub(super) struct Http2 {
    wire: Wire,
    /// The header block that teaches the peer all fields, and the one that names them after that.
    blocks: [Vec<u8>; 2],
    body: usize,
    next_stream: u32,
    read: Vec<u8>,
    filled: usize,
    out: Vec<u8>,
    uploads: Vec<Upload>,
    window: i64,
    stream_window: i64,
    unacknowledged: u32,
    answers: usize,
    bytes: usize,
}

impl Http2 {
    /// On a new connection. Preface and settings go out with the first request.
    pub(super) fn new(wire: Wire, what: What, cookie: &str) -> Self {
        let mut out = Vec::with_capacity(2 * BATCH);
        out.extend_from_slice(PREFACE);
        out.extend_from_slice(SETTINGS);
        put(&mut out, kind::WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        Self {
            wire,
            blocks: blocks(what, cookie),
            body: what.request_bytes(),
            next_stream: 1,
            read: vec![0; 64 * 1024],
            filled: 0,
            out,
            uploads: Vec::new(),
            window: 65_535,
            stream_window: 65_535,
            unacknowledged: 0,
            answers: 0,
            bytes: 0,
        }
    }

    /// The connection alone, to be kept open.
    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }

    /// Begins a request; it goes out with the next [`Self::pump`].
    pub(super) fn ask(&mut self) {
        let stream = self.next_stream;
        self.next_stream += 2;
        let block = &self.blocks[usize::from(stream > 1)];
        if self.body == 0 {
            put(
                &mut self.out,
                kind::HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                block,
            );
        } else {
            put(&mut self.out, kind::HEADERS, END_HEADERS, stream, block);
            self.uploads.push(Upload {
                stream,
                window: self.stream_window,
                left: self.body,
            });
        }
    }

    /// Writes what waits, then reads once unless there is more to write; returns how many answers ended, and their bytes.
    pub(super) async fn pump(&mut self) -> io::Result<(usize, usize)> {
        self.put_uploads();
        if !self.out.is_empty() {
            self.wire.write_all(&self.out).await?;
            self.wire.flush().await?;
            self.out.clear();
        }
        (self.answers, self.bytes) = (0, 0);
        if self.window > 0 && self.uploads.iter().any(|upload| upload.window > 0) {
            return Ok((0, 0));
        }
        match self.wire.read(&mut self.read[self.filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => self.filled += more,
        }
        let mut at = 0;
        while let Some(frame) = self.read[at..self.filled].first_chunk::<9>() {
            let [a, b, c, kind, flags, stream @ ..] = *frame;
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let payload = at + 9..at + 9 + length;
            if payload.end > self.filled {
                break;
            }
            at = payload.end;
            self.take(kind, flags, u32::from_be_bytes(stream), payload)?;
        }
        self.read.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok((self.answers, self.bytes))
    }

    fn put_uploads(&mut self) {
        let body = [b'u'; FRAME_BYTES];
        for upload in &mut self.uploads {
            while self.out.len() < BATCH && upload.left > 0 {
                let room = usize::try_from(upload.window.min(self.window)).unwrap_or_default();
                let now = upload.left.min(room).min(FRAME_BYTES);
                if now == 0 {
                    break;
                }
                upload.left -= now;
                upload.window -= now as i64;
                self.window -= now as i64;
                let end = if upload.left == 0 { END_STREAM } else { 0 };
                put(&mut self.out, kind::DATA, end, upload.stream, &body[..now]);
            }
        }
        self.uploads.retain(|upload| upload.left > 0);
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: Range<usize>) -> io::Result<()> {
        let bytes = &self.read[payload];
        match kind {
            kind::DATA => {
                self.bytes += bytes.len();
                self.unacknowledged += bytes.len() as u32;
                if self.unacknowledged >= WINDOW / 2 {
                    put(
                        &mut self.out,
                        kind::WINDOW_UPDATE,
                        0,
                        0,
                        &self.unacknowledged.to_be_bytes(),
                    );
                    self.unacknowledged = 0;
                }
            }
            kind::HEADERS if flags & END_STREAM == 0 => check_status(bytes)?,
            kind::SETTINGS if flags & ACK == 0 => {
                let settings = bytes.to_vec(); // few
                for setting in settings.chunks_exact(6) {
                    self.obey(setting)?;
                }
                self.out.extend_from_slice(SETTINGS_ACK);
            }
            kind::PING if flags & ACK == 0 => put(&mut self.out, kind::PING, ACK, 0, bytes),
            kind::WINDOW_UPDATE => {
                let more = i64::from(number(bytes));
                if stream == 0 {
                    self.window += more;
                } else if let Some(upload) = self.uploads.iter_mut().find(|it| it.stream == stream) {
                    upload.window += more;
                }
            }
            kind::RST_STREAM => return Err(io::Error::other(format!("RST_STREAM {}", number(bytes)))),
            kind::GOAWAY => return Err(io::Error::other(format!("GOAWAY {bytes:?}"))),
            _ => {}
        }
        if flags & END_STREAM != 0 && (kind == kind::DATA || kind == kind::HEADERS) {
            self.answers += 1;
        }
        Ok(())
    }

    fn obey(&mut self, setting: &[u8]) -> io::Result<()> {
        let value = i64::from(number(&setting[2..]));
        match setting[1] {
            1 if value < 4096 => return Err(io::Error::other("a header table below 4096 bytes")),
            4 => {
                for upload in &mut self.uploads {
                    upload.window += value - self.stream_window;
                }
                self.stream_window = value;
            }
            _ => {}
        }
        Ok(())
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |four| u32::from_be_bytes(*four))
}

/// Writes one frame.
fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A block begins with its status, after changes of the table's size; 200 is one byte (RFC 7541 appendix A).
fn check_status(block: &[u8]) -> io::Result<()> {
    let mut at = 0;
    while block.get(at).is_some_and(|byte| byte & 0xe0 == 0x20) {
        let long = block[at] & 0x1f == 0x1f;
        at += 1;
        while long && block.get(at).is_some_and(|byte| byte & 0x80 != 0) {
            at += 1;
        }
        at += usize::from(long);
    }
    match block.get(at) {
        Some(0x88) => Ok(()),
        other => Err(io::Error::other(format!(
            "a status other than 200 ({other:02x?})"
        ))),
    }
}

/// The block of a connection's first request, whose fields the peer keeps, and that of all others, which names them.
/// Method and scheme are in the static table; the path is sent each time, as browsers do.
fn blocks(what: What, cookie: &str) -> [Vec<u8>; 2] {
    let (method, path) = what.target();
    let mut start = vec![if method == "GET" { 0x82 } else { 0x83 }, 0x87, 0x04];
    push_text(&mut start, path);
    let mut all = vec![("", HOST.to_owned())];
    all.extend(fields(what, cookie));
    let (mut first, mut later) = (start.clone(), start);
    for (at, (name, value)) in all.iter().enumerate() {
        if name.is_empty() {
            first.push(0x41); // `:authority` stands first in the static table
        } else {
            first.push(0x40);
            push_text(&mut first, name);
        }
        push_text(&mut first, value);
        later.push(0x80 | (DYNAMIC + all.len() - 1 - at) as u8);
    }
    [first, later]
}

/// A length in seven bits and more (RFC 7541 section 5.1), then the text as it is.
fn push_text(block: &mut Vec<u8>, text: &str) {
    match text.len() {
        short @ ..127 => block.push(short as u8),
        long => {
            let mut rest = long - 127;
            block.push(127);
            while rest >= 128 {
                block.push(0x80 | (rest & 0x7f) as u8);
                rest >>= 7;
            }
            block.push(rest as u8);
        }
    }
    block.extend_from_slice(text.as_bytes());
}
