//! HTTP spoken in ready-made bytes, on both ends of what is measured: the ends themselves allocate nothing.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// Which version a side speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// An answer's body.
pub(super) const BODY: [u8; 1024] = [b'x'; 1024];

/// What a browser sends beside method, target and host.
const FIELDS: [(&str, &str); 6] = [
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("sec-fetch-mode", "cors"),
    ("cookie", "theme=dark; basket=3"),
];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const SETTINGS_ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
/// Opens the connection's window as far as it goes: two million answers fit.
const WINDOW_UPDATE: &[u8] = &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0, 0];

mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const GOAWAY: u8 = 7;
}

const END_STREAM: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = 5;
const END_HEADERS: u8 = 4;

/// A stream with what was read of it and not yet taken.
#[derive(Debug)]
struct Wire {
    stream: DuplexStream,
    read: Box<[u8]>,
    filled: usize,
    out: Vec<u8>,
}

impl Wire {
    fn new(stream: DuplexStream) -> Self {
        Self {
            stream,
            read: vec![0; 32 * 1024].into_boxed_slice(),
            filled: 0,
            out: Vec::with_capacity(4 * 1024),
        }
    }

    /// Reads until there are `count` bytes.
    async fn need(&mut self, count: usize) -> io::Result<()> {
        while self.filled < count {
            match self.stream.read(&mut self.read[self.filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => self.filled += more,
            }
        }
        Ok(())
    }

    /// Reads until a head is there; returns its length.
    async fn head(&mut self) -> io::Result<usize> {
        loop {
            let head = self.read[..self.filled]
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            match head {
                Some(at) => return Ok(at + 4),
                None => self.need(self.filled + 1).await?,
            }
        }
    }

    fn take(&mut self, count: usize) {
        self.read.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    /// The next frame that says something: its kind, flags and stream. SETTINGS are agreed to on the way.
    async fn frame(&mut self) -> io::Result<(u8, u8, [u8; 4])> {
        loop {
            self.need(9).await?;
            let [a, b, c, frame, flags, ref stream @ ..] = self.read[..9] else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let stream: [u8; 4] = stream.try_into().unwrap_or_default();
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            self.need(9 + length).await?;
            self.take(9 + length);
            match frame {
                kind::SETTINGS if flags == 0 => self.stream.write_all(SETTINGS_ACK).await?,
                kind::DATA | kind::HEADERS => {
                    return Ok((frame, flags, stream));
                }
                kind::GOAWAY => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
        }
    }

    /// Writes one frame.
    fn put(&mut self, frame: u8, flags: u8, stream: [u8; 4], payload: &[u8]) {
        let [_, length @ ..] = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
        self.out.extend_from_slice(&length);
        self.out.extend_from_slice(&[frame, flags]);
        self.out.extend_from_slice(&stream);
        self.out.extend_from_slice(payload);
    }

    async fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }
}

/// Who asks.
#[derive(Debug)]
pub(super) struct Client {
    wire: Wire,
    line: Line,
    request: Vec<u8>,
    stream: u32,
}

impl Client {
    /// A client of `stream` that asks for `path` again and again, with one more field if it has `more`.
    pub(super) async fn begin(
        stream: DuplexStream,
        line: Line,
        path: &str,
        more: Option<(&str, &str)>,
    ) -> io::Result<Self> {
        let mut wire = Wire::new(stream);
        let fields: Vec<_> = FIELDS.into_iter().chain(more).collect();
        let request = match line {
            Line::Http1 => text(
                format!("GET {path} HTTP/1.1\r\nhost: www.example.com\r\n"),
                &fields,
            ),
            Line::Http2 => {
                wire.out.extend_from_slice(PREFACE);
                wire.out.extend_from_slice(SETTINGS);
                wire.out.extend_from_slice(WINDOW_UPDATE);
                wire.send().await?;
                let pseudo = [(1, "www.example.com"), (4, path)];
                block(&[0x82, 0x87], &pseudo, &fields) // GET and https in the static table (RFC 7541 appendix A)
            }
        };
        Ok(Self {
            wire,
            line,
            request,
            stream: 1,
        })
    }

    /// One request and its whole answer.
    pub(super) async fn exchange(&mut self) -> io::Result<()> {
        match self.line {
            Line::Http1 => {
                self.wire.stream.write_all(&self.request).await?;
                let head = self.wire.head().await?;
                self.wire.need(head + BODY.len()).await?;
                self.wire.take(head + BODY.len());
            }
            Line::Http2 => {
                let stream = self.stream.to_be_bytes();
                self.stream += 2;
                self.wire
                    .put(kind::HEADERS, END_STREAM_AND_HEADERS, stream, &self.request);
                self.wire.send().await?;
                while self.wire.frame().await?.1 & END_STREAM == 0 {}
            }
        }
        Ok(())
    }
}

/// Answers every request of `stream` alike, until the other side closes.
pub(super) async fn answer(stream: DuplexStream, line: Line) {
    let _closed = match line {
        Line::Http1 => answer_http1(Wire::new(stream)).await,
        Line::Http2 => answer_http2(Wire::new(stream)).await,
    };
}

async fn answer_http1(mut wire: Wire) -> io::Result<()> {
    let fields = [("content-type", "text/html"), ("content-length", "1024")];
    let mut answer = text("HTTP/1.1 200 OK\r\n".to_owned(), &fields);
    answer.extend_from_slice(&BODY);
    loop {
        let head = wire.head().await?;
        wire.take(head);
        wire.stream.write_all(&answer).await?;
    }
}

async fn answer_http2(mut wire: Wire) -> io::Result<()> {
    wire.out.extend_from_slice(SETTINGS);
    wire.send().await?;
    wire.need(PREFACE.len()).await?;
    wire.take(PREFACE.len());
    let head = block(
        &[0x88],
        &[],
        &[("content-type", "text/html"), ("content-length", "1024")],
    );
    loop {
        let (frame, flags, stream) = wire.frame().await?;
        if (frame, flags & END_STREAM) == (kind::HEADERS, END_STREAM) {
            wire.put(kind::HEADERS, END_HEADERS, stream, &head);
            wire.put(kind::DATA, END_STREAM, stream, &BODY);
            wire.send().await?;
        }
    }
}

fn text(start: String, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let mut text = start + &fields.collect::<String>();
    text.push_str("\r\n");
    text.into_bytes()
}

/// A header block without compression: `indexed` as it is, then fields with names of the static table, then others
/// (RFC 7541 section 6.2.2).
fn block(indexed: &[u8], known: &[(u8, &str)], fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = indexed.to_vec();
    for (name, value) in known {
        block.push(*name);
        push_text(&mut block, value);
    }
    for (name, value) in fields {
        block.push(0);
        push_text(&mut block, name);
        push_text(&mut block, value);
    }
    block
}

/// Its length as RFC 7541 section 5.1 writes it, in seven bits and what follows them, then the text.
fn push_text(block: &mut Vec<u8>, text: &str) {
    match text.len().checked_sub(127) {
        None => block.push(u8::try_from(text.len()).unwrap_or_default()),
        Some(mut rest) => {
            block.push(127);
            while rest >= 128 {
                block.push(u8::try_from(rest % 128).unwrap_or_default() | 128);
                rest /= 128;
            }
            block.push(u8::try_from(rest).unwrap_or_default());
        }
    }
    block.extend_from_slice(text.as_bytes());
}
