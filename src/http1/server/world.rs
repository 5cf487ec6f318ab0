//! A service and a client in memory, for the tests of the server.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Version};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::watch,
    task::JoinHandle,
};

use super::serve;
use crate::{
    body::{Body, BodyError},
    fields::Fields,
    limits::Limits,
    message::{self, Request},
    stream::Stream,
    wire::{Drain, Interim, Malformed, Phase, Service},
};

/// What the service saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) lines: RefCell<Vec<String>>,
    pub(super) cancelled: Cell<usize>,
    pub(super) body_bytes: Cell<usize>,
}

/// A service that answers by path.
#[derive(Debug, Clone, Default)]
pub(super) struct TestService(pub(super) Rc<Seen>);

struct CancelFlag(Rc<Seen>, bool);

impl Drop for CancelFlag {
    fn drop(&mut self) {
        if !self.1 {
            self.0.cancelled.set(self.0.cancelled.get() + 1);
        }
    }
}

impl Service for TestService {
    async fn call(&self, request: Request, interim: &mut dyn Interim) -> message::Response {
        let mut flag = CancelFlag(Rc::clone(&self.0), false);
        let target = request.head.target().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let response = match path {
            "/echo" => Response::new(request.body),
            "/ignore" => Response::new(Body::full("ignored")),
            "/hang" => std::future::pending().await,
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                Response::new(Body::full("slow"))
            }
            "/hints" => {
                let mut headers = Fields::new();
                headers.insert("link", "</a.css>");
                interim.send(StatusCode::EARLY_HINTS, &headers);
                tokio::time::sleep(Duration::from_millis(100)).await;
                Response::new(Body::full("late"))
            }
            "/bytes" => Response::new(Pattern::body(query.parse().unwrap())),
            "/stuck" => Response::new(Body::Wrapped(Box::pin(Stuck))),
            "/trailers" => Response::new(Body::Wrapped(Box::pin(WithTrailers(0)))),
            "/short" => Response::builder()
                .header("content-length", "10")
                .body(Body::full("short"))
                .unwrap(),
            "/broken" => Response::new(Body::Wrapped(Box::pin(Broken(false)))),
            "/204" => Response::builder()
                .status(204)
                .header("content-length", "5")
                .body(Body::full("hello"))
                .unwrap(),
            "/304" => Response::builder()
                .status(304)
                .header("content-length", "5")
                .body(Body::Empty)
                .unwrap(),
            _ => self.note(request).await,
        };
        flag.1 = true;
        response.into()
    }

    fn refuse(&self, malformed: Malformed) -> message::Response {
        let line = format!("{} {}", malformed.status.as_u16(), malformed.what);
        self.0.lines.borrow_mut().push(line);
        Response::builder()
            .status(malformed.status)
            .body(Body::full(malformed.what))
            .unwrap()
            .into()
    }
}

impl TestService {
    /// Reads the whole body, and notes the request in its normal form.
    async fn note(&self, request: Request) -> Response<Body> {
        let Request { head, mut body } = request;
        let version = if head.version == Version::HTTP_10 {
            "1.0"
        } else {
            "1.1"
        };
        let host = head.headers.get("host").unwrap().to_str().unwrap();
        let mut line = format!("{} {} {version} {host}", head.method, head.target());
        if let Some(upgrade) = &head.upgrade {
            line += &format!(" upgrade={}", upgrade.protocol());
        }
        assert!(!head.headers.contains_key("transfer-encoding"));
        let mut data = Vec::new();
        let mut status = 200;
        while let Some(frame) = body.frame().await {
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(bytes)) => {
                    self.0.body_bytes.set(self.0.body_bytes.get() + bytes.len());
                    data.extend_from_slice(&bytes);
                }
                Ok(Err(frame)) => {
                    for (name, value) in &frame.into_trailers().unwrap() {
                        line += &format!(" trailers={name}:{}", value.to_str().unwrap());
                    }
                }
                Err(error) => {
                    data.clear();
                    status = 400;
                    match error {
                        BodyError::Malformed(what) => line += &format!(" body-malformed {what}"),
                        BodyError::Incomplete => line += " body-incomplete",
                        BodyError::TimedOut => status = 408,
                        other => line += &format!(" {other}"),
                    }
                    break;
                }
            }
        }
        if !data.is_empty() {
            let text = String::from_utf8_lossy(&data).replace(['\r', '\n'], ".");
            let at = line.find(" trailers=").unwrap_or(line.len());
            line.insert_str(at, &format!(" body={}:{text}", data.len()));
        }
        self.0.lines.borrow_mut().push(line);
        Response::builder()
            .status(status)
            .body(Body::full("noted"))
            .unwrap()
    }
}

/// So many bytes, made while they are asked for.
#[derive(Debug)]
pub(super) struct Pattern(u64);

impl Pattern {
    fn body(length: u64) -> Body {
        Body::Wrapped(Box::pin(Self(length)))
    }
}

static PATTERN: [u8; 32 * 1024] = [b'x'; 32 * 1024];

macro_rules! test_body {
    ($type:ty, |$self:ident| $frame:expr) => {
        impl http_body::Body for $type {
            type Data = Bytes;
            type Error = BodyError;
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
                let $self = self.get_mut();
                $frame
            }
        }
    };
}

test_body!(Pattern, |this| {
    let count = this.0.min(PATTERN.len() as u64);
    this.0 -= count;
    let piece = Bytes::from_static(&PATTERN[..count as usize]);
    std::task::Poll::Ready((count > 0).then_some(Ok(http_body::Frame::data(piece))))
});

struct Stuck;
test_body!(Stuck, |_this| std::task::Poll::Pending);

struct Broken(bool);
test_body!(Broken, |this| {
    let first = !std::mem::replace(&mut this.0, true);
    std::task::Poll::Ready(Some(if first {
        Ok(http_body::Frame::data(Bytes::from_static(b"part")))
    } else {
        Err(BodyError::Incomplete)
    }))
});

struct WithTrailers(u8);
test_body!(WithTrailers, |this| {
    this.0 += 1;
    std::task::Poll::Ready(match this.0 {
        1 => Some(Ok(http_body::Frame::data(Bytes::from_static(b"data")))),
        2 => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "1".try_into().unwrap());
            Some(Ok(http_body::Frame::trailers(trailers)))
        }
        _ => None,
    })
});

/// A client on a served connection.
pub(super) struct World {
    pub(super) client: DuplexStream,
    pub(super) seen: Rc<Seen>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) server: JoinHandle<()>,
}

/// Bounds that a test reaches quickly.
pub(super) fn small_limits() -> Limits {
    Limits {
        head_bytes_max: 4096,
        uri_bytes_max: 1000,
        headers_max: 20,
        ..Limits::default()
    }
}

impl World {
    /// Serves a pipe that holds `pipe` bytes each way.
    pub(super) fn with(limits: Limits, pipe: usize) -> Self {
        let (client, server) = tokio::io::duplex(pipe);
        let service = TestService::default();
        let seen = Rc::clone(&service.0);
        let (phase, drain) = Drain::channel();
        let server = tokio::task::spawn_local(async move {
            serve(Stream::Memory(server), &service, &limits, drain).await;
        });
        Self {
            client,
            seen,
            phase,
            server,
        }
    }

    pub(super) fn new() -> Self {
        Self::with(small_limits(), 64 * 1024)
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// What comes until there is `end` in it, or the end.
    pub(super) async fn hear_until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(end) {
            let mut piece = [0; 1];
            if self.client.read(&mut piece).await.unwrap() == 0 {
                break;
            }
            all.push(piece[0]);
        }
        String::from_utf8(all).unwrap()
    }

    /// All that comes until the server ends its side.
    pub(super) async fn hear_all(&mut self) -> String {
        let mut all = Vec::new();
        self.client.read_to_end(&mut all).await.unwrap();
        String::from_utf8(all).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.seen.lines.borrow().clone()
    }
}

/// Runs a test on a paused clock, as a core runs.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}
