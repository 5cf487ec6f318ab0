//! The load: who asks what, how often, and what came of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::{self, Write as _},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::{
    Method,
    client::conn::{http1, http2},
    ext::Protocol,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    task::{JoinHandle, spawn_local},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use super::{
    backends::{BIG, PAGE},
    client::{Body, Dialer, Done, failed, of_length, pause, whole},
    rude,
    site::{Files, Site},
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two saves of routes and flags.
const SAVE_EVERY: Duration = Duration::from_secs(3);
/// Kept HTTP/1.1 connections for small requests.
const KEPT: u32 = 16;
/// HTTP/2 connections for small requests, and exchanges at once on each.
const SHARED: u32 = 4;
const STREAMS: u32 = 16;
/// Kept connections, by requests, until they are closed and opened anew.
const REQUESTS_KEPT: u32 = 500;
/// Bytes of an upload.
const UPLOAD: usize = 512 * 1024;
/// What fails may be told of so often.
const TOLD_MAX: usize = 10;

/// What all of the load shares.
pub(super) struct Load {
    pub(super) dialer: Dialer,
    rate: f64,
    stopped: Cell<bool>,
    tally: RefCell<Tally>,
}

/// What came of all requests so far, by what was tried.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    done: BTreeMap<&'static str, (u64, u64)>,
    told: Vec<String>,
}

/// What is tried.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    name: &'static str,
    /// It goes to the backend that is restarted.
    may_fail: bool,
}

/// Something that has to work.
pub(super) const fn must(name: &'static str) -> Kind {
    Kind {
        name,
        may_fail: false,
    }
}

/// Something that works unless the backend is just being restarted.
const fn may(name: &'static str) -> Kind {
    Kind { name, may_fail: true }
}

impl Tally {
    fn note(&mut self, kind: Kind, done: Done) {
        let (all, failed) = self.done.entry(kind.name).or_default();
        *all += 1;
        let Err(why) = done else { return };
        *failed += 1;
        if !kind.may_fail && self.told.len() < TOLD_MAX {
            self.told.push(format!("{}: {why}", kind.name));
        }
    }

    /// What failed although it had to work.
    pub(super) fn failures(&self) -> u64 {
        let must = self.done.iter().filter(|(name, _)| !name.starts_with("moody"));
        must.map(|(_, (_, failed))| failed).sum()
    }

    /// The share of failures among requests to the backend that is restarted, in percent.
    pub(super) fn moody_percent(&self) -> u64 {
        let moody = self.done.iter().filter(|(name, _)| name.starts_with("moody"));
        let (all, failed) = moody.fold((0, 0), |(all, bad), (_, (more, worse))| (all + more, bad + worse));
        failed * 100 / all.max(1)
    }

    /// Every kind on a line, and the first failures.
    pub(super) fn whole(&self) -> String {
        let mut text = String::new();
        for (name, (all, failed)) in &self.done {
            let _ = writeln!(text, "{name:<24} {all:>9} {failed:>6} failed");
        }
        text + &self.told.join("\n")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u64 = self.done.values().map(|(all, _)| all).sum();
        let failed: u64 = self.done.values().map(|(_, failed)| failed).sum();
        let unexpected = self.failures();
        write!(
            f,
            "  {all} done, {} moody failures, {unexpected} unexpected",
            failed - unexpected
        )
    }
}

impl Load {
    /// A load that has not begun.
    pub(super) fn new(site: &Site, rate: f64) -> Self {
        Self {
            dialer: Dialer::new(site.https, &site.authority()),
            rate,
            stopped: Cell::default(),
            tally: RefCell::default(),
        }
    }

    /// What came of it so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Begins nothing new from here on.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    /// One request to each backend, so that what is made once is there.
    pub(super) async fn first_request(&self) -> Done {
        for path in ["/page-1", "/streams/one", "/moody/one", "/flagged/one"] {
            let mut sender = self.dialer.http1().await?;
            let request = self.dialer.request1(Method::GET, path, Bytes::new());
            whole(sender.send_request(request).await.map_err(failed("first"))?).await?;
        }
        Ok(())
    }

    /// Begins all of it.
    pub(super) fn start(self: &Rc<Self>, site: &Site) -> Vec<JoinHandle<()>> {
        let mut tasks = vec![spawn_local(Rc::clone(self).save(site.files()))];
        for number in 0..KEPT {
            let one = Kept::new(self, number, ["/page-", "/flagged/", "/streams/"]);
            tasks.push(self.each(must("small, HTTP/1.1"), 0.4 / f64::from(KEPT), one, Kept::ask));
        }
        for _ in 0..SHARED {
            let shared = Rc::new(Shared::new(self));
            for number in 0..STREAMS {
                let one = Stream::new(&shared, number, ["/page-", "/flagged/", "/streams/"]);
                let share = 0.4 / f64::from(SHARED * STREAMS);
                tasks.push(self.each(must("small, HTTP/2"), share, one, Stream::ask));
            }
        }
        for number in 0..4 {
            let one = Kept::new(self, number, ["/moody/"; 3]);
            tasks.push(self.each(may("moody, HTTP/1.1"), 0.05, one, Kept::ask));
            let one = Stream::new(&Rc::new(Shared::new(self)), number, ["/moody/"; 3]);
            tasks.push(self.each(may("moody, HTTP/2"), 0.05, one, Stream::ask));
        }
        for _ in 0..2 {
            tasks.push(self.paced(must("short connections"), 50, Self::short));
            tasks.push(self.paced(must("WebSocket, HTTP/1.1"), 200, Self::web_socket));
            tasks.push(self.paced(must("WebSocket, HTTP/2"), 200, Self::web_socket2));
            tasks.push(self.paced(must("upload, HTTP/1.1"), 400, Self::upload));
            tasks.push(self.paced(must("upload, HTTP/2"), 400, Self::upload2));
            tasks.push(self.paced(must("download, HTTP/1.1"), 400, Self::download));
            tasks.push(self.paced(must("download, HTTP/2"), 400, Self::download2));
            tasks.push(self.paced(may("moody, download"), 400, Self::moody_download));
        }
        rude::start(self, &mut tasks);
        tasks
    }

    /// Does one thing again and again, at a share of the rate of small requests.
    fn each<T: 'static>(
        self: &Rc<Self>,
        kind: Kind,
        share: f64,
        mut of: T,
        one: impl AsyncFn(&mut T) -> Done + 'static,
    ) -> JoinHandle<()> {
        let load = Rc::clone(self);
        let pause = Duration::from_secs_f64(1.0 / (self.rate * share));
        spawn_local(async move {
            let mut ticks = interval(pause);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !load.stopped.get() {
                ticks.tick().await;
                let done = timeout(PATIENCE, one(&mut of)).await;
                let done = done.unwrap_or_else(|_| Err(format!("not done in {PATIENCE:?}")));
                load.tally.borrow_mut().note(kind, done);
            }
        })
    }

    /// Does one thing again and again, with so many milliseconds from one beginning to the next at least.
    pub(super) fn paced(
        self: &Rc<Self>,
        kind: Kind,
        millis: u32,
        one: impl AsyncFn(&Self) -> Done + 'static,
    ) -> JoinHandle<()> {
        let share = 1000.0 / f64::from(millis) / self.rate;
        self.each(kind, share, Rc::clone(self), async move |load| one(load).await)
    }

    async fn save(self: Rc<Self>, files: Files) {
        let mut version = 0;
        while !self.stopped.get() {
            tokio::time::sleep(SAVE_EVERY).await;
            version += 1;
            files.save(version);
        }
    }

    async fn short(&self) -> Done {
        let mut sender = self.dialer.http1().await?;
        let request = self.dialer.request1(Method::GET, "/page-7", Bytes::new());
        let response = sender.send_request(request).await.map_err(failed("send"))?;
        of_length(whole(response).await?, PAGE)
    }

    async fn upload(&self) -> Done {
        let mut sender = self.dialer.http1().await?;
        let body = Bytes::from(vec![b'u'; UPLOAD]);
        let request = self.dialer.request1(Method::POST, "/upload", body);
        let response = sender.send_request(request).await.map_err(failed("send"))?;
        of_length(whole(response).await?, UPLOAD.to_string().len())
    }

    async fn upload2(&self) -> Done {
        let mut sender = self.dialer.http2().await?;
        let body = Bytes::from(vec![b'u'; UPLOAD]);
        let request = self.dialer.request(Method::POST, "/streams/upload", body);
        let response = sender.send_request(request).await.map_err(failed("send"))?;
        of_length(whole(response).await?, UPLOAD.to_string().len())
    }

    async fn download(&self) -> Done {
        let mut sender = self.dialer.http1().await?;
        let request = self.dialer.request1(Method::GET, "/big", Bytes::new());
        let response = sender.send_request(request).await.map_err(failed("send"))?;
        of_length(whole(response).await?, BIG)
    }

    async fn download2(&self) -> Done {
        self.download_of("/streams/big").await
    }

    async fn moody_download(&self) -> Done {
        self.download_of("/moody/big").await
    }

    async fn download_of(&self, path: &str) -> Done {
        let mut sender = self.dialer.http2().await?;
        let request = self.dialer.request(Method::GET, path, Bytes::new());
        let response = sender.send_request(request).await.map_err(failed("send"))?;
        of_length(whole(response).await?, BIG)
    }

    async fn web_socket(&self) -> Done {
        let mut tls = self.dialer.tls(None).await?;
        let key = "dGhlIHNhbXBsZSBub25jZQ=="; // RFC 6455 section 1.3
        let head = format!(
            "GET /live HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n"
        );
        tls.write_all(head.as_bytes()).await.map_err(failed("send"))?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tls.read_u8().await.map_err(failed("head"))?);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(String::from_utf8_lossy(&head).into_owned());
        }
        talk(tls).await
    }

    async fn web_socket2(&self) -> Done {
        let mut sender = self.dialer.http2().await?;
        // The server's settings must have come before it may be asked for a tunnel.
        let request = self.dialer.request(Method::GET, "/page-1", Bytes::new());
        whole(sender.send_request(request).await.map_err(failed("send"))?).await?;
        let mut request = self
            .dialer
            .request(Method::CONNECT, "/streams/live", Bytes::new());
        request
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        let version = "13".parse().map_err(failed("version"))?;
        request.headers_mut().insert("sec-websocket-version", version);
        let response = sender.send_request(request).await.map_err(failed("connect"))?;
        if response.status() != 200 {
            return Err(format!("status {}", response.status()));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(failed("tunnel"))?;
        talk(TokioIo::new(upgraded)).await
    }
}

/// Some messages of several sizes and a close, with the client's end of a WebSocket.
async fn talk(io: impl AsyncRead + AsyncWrite + Unpin) -> Done {
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    for size in [1, 100, 10_000, 100_000, 10] {
        let message = Message::binary(vec![b'w'; size]);
        socket.send(message.clone()).await.map_err(failed("message"))?;
        match socket.next().await {
            Some(Ok(echo)) if echo == message => {}
            other => {
                return Err(format!("no echo of {size}: {other:?}")
                    .chars()
                    .take(200)
                    .collect());
            }
        }
        pause(50).await;
    }
    socket.close(None).await.map_err(failed("close"))?;
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}

/// A path of one of three kinds, which change from one to the next.
fn path(kinds: [&'static str; 3], number: u32) -> String {
    let at = usize::try_from(number).unwrap_or_default() % kinds.len();
    let kind = kinds.get(at).copied().unwrap_or("/page-");
    format!("{kind}{}", number % 200)
}

/// A kept HTTP/1.1 connection.
struct Kept {
    load: Rc<Load>,
    sender: Option<http1::SendRequest<Body>>,
    kinds: [&'static str; 3],
    asked: u32,
}

impl Kept {
    fn new(load: &Rc<Load>, number: u32, kinds: [&'static str; 3]) -> Self {
        Self {
            load: Rc::clone(load),
            sender: None,
            kinds,
            asked: number * 31, // not all at once are closed
        }
    }

    async fn ask(&mut self) -> Done {
        let mut sender = match self
            .sender
            .take()
            .filter(|_| !self.asked.is_multiple_of(REQUESTS_KEPT))
        {
            Some(sender) => sender,
            None => self.load.dialer.http1().await?,
        };
        self.asked += 1;
        let path = path(self.kinds, self.asked);
        let request = self.load.dialer.request1(Method::GET, &path, Bytes::new());
        let response = sender.send_request(request).await.map_err(failed("send"))?;
        of_length(whole(response).await?, PAGE)?;
        sender.ready().await.map_err(failed("kept"))?;
        self.sender = Some(sender);
        Ok(())
    }
}

/// An HTTP/2 connection that several ask on, and the next one once that has gone away.
struct Shared {
    load: Rc<Load>,
    /// How many went away, and the one in use.
    sender: tokio::sync::Mutex<(u32, Option<http2::SendRequest<Body>>)>,
}

impl Shared {
    fn new(load: &Rc<Load>) -> Self {
        Self {
            load: Rc::clone(load),
            sender: tokio::sync::Mutex::default(),
        }
    }

    /// The connection in use, and its number.
    async fn sender(&self) -> Done<(u32, http2::SendRequest<Body>)> {
        let mut kept = self.sender.lock().await;
        if let Some(sender) = kept.1.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((kept.0, sender.clone()));
        }
        let sender = self.load.dialer.http2().await?;
        kept.1 = Some(sender.clone());
        Ok((kept.0, sender))
    }

    /// Takes that connection out of use, unless somebody did.
    async fn forget(&self, number: u32) {
        let mut kept = self.sender.lock().await;
        if kept.0 == number {
            *kept = (number + 1, None);
        }
    }
}

/// One of those.
struct Stream {
    shared: Rc<Shared>,
    kinds: [&'static str; 3],
    asked: u32,
}

impl Stream {
    fn new(shared: &Rc<Shared>, number: u32, kinds: [&'static str; 3]) -> Self {
        Self {
            shared: Rc::clone(shared),
            kinds,
            asked: number * 31,
        }
    }

    async fn ask(&mut self) -> Done {
        self.asked += 1;
        let path = path(self.kinds, self.asked);
        loop {
            let (number, mut sender) = self.shared.sender().await?;
            let request = self.shared.load.dialer.request(Method::GET, &path, Bytes::new());
            match sender.send_request(request).await {
                Ok(response) => return of_length(whole(response).await?, PAGE),
                // The router ends a connection after so many requests: what came too late is asked on the next one.
                Err(error) if has_gone_away(&error) => self.shared.forget(number).await,
                Err(error) => return Err(failed("send")(error)),
            }
        }
    }
}

/// Whether the far end said that it takes no more requests on this connection (GOAWAY with NO_ERROR), and did not take this one.
fn has_gone_away(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    error.is_canceled()
        || cause.is_some_and(|cause| cause.is_go_away() && cause.reason() == Some(h2::Reason::NO_ERROR))
}
