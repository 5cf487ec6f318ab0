//! A peer that writes frames by hand, and services to serve it with.

use std::{cell::RefCell, collections::VecDeque, future::Future, pin::Pin, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::{JoinHandle, LocalSet, spawn_local},
    time::{Instant, sleep, timeout},
};

use super::server;
use crate::{
    body::Body,
    fields::Fields,
    limits::Limits,
    message::{self, Request},
    stream::Stream,
    wire::{Drain, Interim, Malformed, Phase, Service},
};

pub(super) type Answer = Pin<Box<dyn Future<Output = Response<Body>>>>;

/// A service made of a function. A request with a `hint` field gets a 103 first.
pub(super) struct Function(pub(super) Box<dyn Fn(Request) -> Answer>);

impl Service for Function {
    async fn call(&self, request: Request, interim: &mut dyn Interim) -> message::Response {
        if request.head.headers.contains_key("hint") {
            let mut headers = Fields::new();
            headers.insert("link", "</a.css>; rel=preload");
            interim.send(StatusCode::EARLY_HINTS, &headers);
        }
        (self.0)(request).await.into()
    }

    fn refuse(&self, malformed: Malformed) -> message::Response {
        message::Response::new(malformed.status, Body::full(malformed.what))
    }
}

pub(super) fn service<F, A>(call: F) -> Rc<Function>
where
    F: Fn(Request) -> A + 'static,
    A: Future<Output = Response<Body>> + 'static,
{
    Rc::new(Function(Box::new(move |request| Box::pin(call(request)))))
}

/// Reads the whole body, then answers 200 with the target, host and cookie; 400 if the body breaks.
pub(super) async fn recite(mut request: Request) -> Response<Body> {
    let mut answer = Response::new(Body::Empty);
    while let Some(frame) = request.body.frame().await {
        if frame.is_err() {
            *answer.status_mut() = StatusCode::BAD_REQUEST;
        }
    }
    let field = |name: &str| {
        request
            .head
            .headers
            .get(name)
            .map_or("-", |value| value.to_str().unwrap())
            .to_owned()
    };
    *answer.body_mut() = Body::full(format!(
        "{} {} {}",
        request.head.target(),
        field("host"),
        field("cookie")
    ));
    answer
}

/// A server on a pipe: the client's end, the switch for its drain, and its task.
pub(super) fn start(
    service: Rc<Function>,
    limits: Limits,
) -> (DuplexStream, watch::Sender<Phase>, JoinHandle<()>) {
    let (near, far) = duplex(64 * 1024);
    let (phase, drain) = Drain::channel();
    let task = spawn_local(async move { server::serve(Stream::Memory(far), service, &limits, drain).await });
    (near, phase, task)
}

/// One frame as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireFrame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals without Huffman or table, so that anything can be said.
pub(super) fn header_block<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    fn length(bytes: &mut Vec<u8>, length: usize) {
        if length < 127 {
            bytes.push(length as u8);
            return;
        }
        bytes.push(127);
        let mut rest = length - 127;
        while rest >= 128 {
            bytes.push((rest % 128 + 128) as u8);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        length(&mut bytes, name.len());
        bytes.extend(name.as_bytes());
        length(&mut bytes, value.len());
        bytes.extend(value.as_bytes());
    }
    bytes
}

pub(super) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/"),
    (":authority", "example.com"),
];

/// A client that writes frames by hand.
pub(super) struct RawClient<Io = DuplexStream> {
    pub(super) io: Io,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> RawClient<Io> {
    /// Sends the preface and an empty SETTINGS.
    pub(super) async fn greet(mut io: Io) -> Self {
        io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        io.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        Self { io }
    }

    /// False: the server has closed.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.io.write_all(bytes).await.is_ok()
    }

    /// The next frame; `None` at the end.
    pub(super) async fn receive(&mut self) -> Option<WireFrame> {
        let mut header = [0; 9];
        self.io.read_exact(&mut header).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
        self.io.read_exact(&mut payload).await.ok()?;
        Some(WireFrame {
            kind: header[3],
            flags: header[4],
            stream: u32::from_be_bytes([header[5], header[6], header[7], header[8]]),
            payload,
        })
    }

    /// The next frame of `kind`; those before it are passed over.
    pub(super) async fn next(&mut self, kind: u8) -> WireFrame {
        loop {
            let frame = self.receive().await.expect("the connection is over");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// What became of `stream`: "status N", "reset CODE", "goaway CODE" or "closed".
    pub(super) async fn outcome(&mut self, stream: u32) -> String {
        while let Some(frame) = self.receive().await {
            match (frame.kind, frame.stream == stream) {
                (1, true) => return format!("status {}", status(&frame.payload)),
                (3, true) => return format!("reset {}", code(&frame.payload)),
                (7, _) if frame.payload[4..8] != [0; 4] => {
                    return format!("goaway {}", code(&frame.payload[4..]));
                }
                _ => {}
            }
        }
        "closed".to_owned()
    }
}

fn code(bytes: &[u8]) -> String {
    let code = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    format!("{:?}", h2::Reason::from(code))
}

/// The status of a header block that begins as `h2` begins it (RFC 7541 appendices A and B).
fn status(block: &[u8]) -> u16 {
    match block[0] {
        byte @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)],
        _ => {
            let bits = block[2..5]
                .iter()
                .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            let mut bits = bits << 8;
            let mut status = 0;
            for _ in 0..3 {
                let digit = match bits >> 27 {
                    short @ 0..=2 => {
                        bits <<= 5;
                        short
                    }
                    _ => {
                        let digit = (bits >> 26) - 0b01_1001 + 3;
                        bits <<= 6;
                        digit
                    }
                };
                status = status * 10 + digit;
            }
            status as u16
        }
    }
}

/// Pieces on demand, as a body; counts what was asked for.
pub(super) struct Pieces {
    pub(super) left: VecDeque<Bytes>,
    pub(super) asked: Rc<RefCell<usize>>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = crate::body::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        *self.asked.borrow_mut() += 1;
        std::task::Poll::Ready(
            self.left
                .pop_front()
                .map(|piece| Ok(http_body::Frame::data(piece))),
        )
    }
}

/// The runtime's clock, which may be paused.
pub(super) fn now() -> Instant {
    sleep(Duration::ZERO).deadline()
}

/// Runs `test` where local tasks can be spawned, and not for ever.
pub(super) async fn local<T>(test: impl Future<Output = T>) -> T {
    let test = timeout(Duration::from_secs(3600), test);
    LocalSet::new().run_until(test).await.expect("the test hangs")
}
