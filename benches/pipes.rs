//! What is measured, with memory in place of sockets: a server, a client, and the whole router between the two.

use std::{
    cell::RefCell,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
use banyan::{
    backend::connect::Connected,
    body::Body,
    clock,
    fields::Fields,
    gate::assertion::Signer,
    http1, http2,
    limits::Limits,
    message::{Head, Request, Response},
    observe::{Observer, log, metrics::Facts, record::Listener},
    proxy::{
        edge::{Edge, Parts, Peer},
        exchange::Exchanges,
    },
    snapshot::{
        Snapshot,
        live::{Live, View},
    },
    stream::Stream,
    wire::{Drain, ExchangeTimeouts, Interim, Malformed, NoInterim, Phase, Service},
};
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use tokio::{io::DuplexStream, runtime::Runtime, sync::watch, task::LocalSet};

use super::{
    raw::{self, BODY, Line},
    site,
};

const PIPE_BYTES: usize = 64 * 1024;
/// Routes of the site: what a large company has.
const ROUTES: usize = 200;

/// What is answered from the cache.
const KEPT: &str = "/kept/one?page=2";

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// Taking a request and answering it from memory.
    Server(Line),
    /// Asking and reading the answer.
    Client(Line),
    /// The whole router: from the client's version to the backend's, with access log and metrics.
    Router(Line, Line),
    /// The whole router, answering from its cache.
    Hit(Line),
    /// The whole router, asked over HTTP/1.1 by somebody whom it has seen before, for a route that asks who it is.
    Guarded(By),
    /// The very same request for a route that asks nobody.
    Open(By),
}

/// How somebody is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    /// An access token.
    Token,
    /// The cookie of a session.
    Session,
}

/// It, at work.
pub(super) struct Bench {
    runtime: Runtime,
    local: LocalSet,
    asking: Asking,
    _phase: watch::Sender<Phase>,
    _observer: Option<Observer>,
}

enum Asking {
    Raw(raw::Client),
    Http1(Rc<Kept>, Head),
    Http2(http2::client::Client, Head),
}

impl Bench {
    /// Sets everything up and makes a few exchanges, so that what is made once is made.
    pub(super) fn new(what: What) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let local = LocalSet::new();
        let (phase, drain) = Drain::channel();
        let mut observer = None;
        let asking = local.block_on(&runtime, async {
            match what {
                What::Server(line) => {
                    let (near, far) = tokio::io::duplex(PIPE_BYTES);
                    serve(line, far, Hello, drain);
                    let client = raw::Client::begin(near, line, "/", None).await;
                    Asking::Raw(client.expect("a server"))
                }
                What::Client(line) => client(line).await,
                What::Router(front, _) | What::Hit(front) => {
                    let (back, path) = match what {
                        What::Router(_, back) => (back, site::template(ROUTES / 2 / 3 * 3)),
                        _ => (Line::Http1, KEPT.to_owned()),
                    };
                    let (exchanges, watching) = router(back, drain.clone()).await;
                    observer = Some(watching);
                    let (near, far) = tokio::io::duplex(PIPE_BYTES);
                    serve(front, far, exchanges, drain);
                    Asking::Raw(
                        raw::Client::begin(near, front, &path, None)
                            .await
                            .expect("a router"),
                    )
                }
                What::Guarded(by) | What::Open(by) => {
                    let (exchanges, watching) = router(Line::Http1, drain.clone()).await;
                    observer = Some(watching);
                    let field = credential(by, &exchanges.edge.view.load());
                    let (near, far) = tokio::io::duplex(PIPE_BYTES);
                    serve(Line::Http1, far, exchanges, drain);
                    let path = match what {
                        What::Open(_) => "/public/orders",
                        _ => "/account/orders",
                    };
                    let field = Some((field.0, &*field.1));
                    let client = raw::Client::begin(near, Line::Http1, path, field).await;
                    Asking::Raw(client.expect("a router"))
                }
            }
        });
        let mut bench = Self {
            runtime,
            local,
            asking,
            _phase: phase,
            _observer: observer,
        };
        bench.exchanges(100);
        bench
    }

    /// Makes exchanges one after the other.
    pub(super) fn exchanges(&mut self, count: u32) {
        let asking = &mut self.asking;
        self.local.block_on(&self.runtime, async {
            for _ in 0..count {
                asking.exchange().await;
            }
        });
    }
}

impl Asking {
    async fn exchange(&mut self) {
        let timeouts = ExchangeTimeouts {
            first_byte: Duration::from_secs(30),
            between_bytes: Duration::from_secs(30),
        };
        let answer = match self {
            Self::Raw(client) => return client.exchange().await.expect("an answer"),
            Self::Http1(kept, head) => {
                let connection = kept.0.take().expect("a connection that came back");
                let home = Rc::clone(kept);
                let nobody = &mut NoInterim;
                connection.send(head, Body::Empty, nobody, timeouts, home).await
            }
            Self::Http2(client, head) => {
                let nobody = &mut NoInterim;
                client.send(head, "https", Body::Empty, nobody, timeouts).await
            }
        };
        let answer = answer.map_err(|error| error.cause);
        let mut body = answer.expect("an answer").body;
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame.expect("a piece").data_ref().map_or(0, Bytes::len);
        }
        assert_eq!(length, BODY.len());
    }
}

/// The field by which somebody is known.
fn credential(by: By, at: &Snapshot) -> (&'static str, String) {
    let now = clock::wall();
    match by {
        By::Token => ("authorization", format!("Bearer {}", site::token(at, now))),
        By::Session => ("cookie", site::session(at, now)),
    }
}

fn serve<S: Service + 'static>(line: Line, stream: DuplexStream, service: S, drain: Drain) {
    let limits = Limits {
        requests_per_connection_max: u64::MAX,
        ..Limits::default()
    };
    let stream = Stream::Memory(stream);
    tokio::task::spawn_local(async move {
        match line {
            Line::Http1 => http1::server::serve(stream, &service, &limits, drain).await,
            Line::Http2 => http2::server::serve(stream, Rc::new(service), &limits, drain).await,
        }
    });
}

async fn client(line: Line) -> Asking {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    tokio::task::spawn_local(raw::answer(far, line));
    let (stream, limits) = (Stream::Memory(near), Limits::default());
    let mut fields = Fields::new();
    fields.insert("host", "www.example.com");
    let head = Head::new(Method::GET, "/", Version::HTTP_11, fields);
    match line {
        Line::Http1 => {
            let (bytes, fields) = (limits.response_head_bytes_max, limits.headers_max);
            let connection = http1::client::Connection::new(stream, bytes, fields);
            Asking::Http1(Rc::new(Kept(RefCell::new(Some(connection)))), head)
        }
        Line::Http2 => {
            let settings = banyan::backend::pool::client_settings(&limits);
            let begun = http2::client::handshake(stream, settings).await;
            let (client, work) = begun.expect("HTTP/2");
            tokio::task::spawn_local(work);
            Asking::Http2(client, head)
        }
    }
}

/// A core of the router whose one connection to the backend is there already.
pub(super) async fn router(back: Line, drain: Drain) -> (Exchanges, Observer) {
    let snapshot = site::snapshot(&site::settings(&site::templates(ROUTES)));
    let target = log::Target::File(PathBuf::from("/dev/null"));
    let log = Some((log::Format::Json, target));
    let mut observer = Observer::start(log, Arc::new(Facts::default())).expect("an access log");
    let (core, _scrapes) = observer.core();
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let parts = Parts {
        view: View::new(Arc::new(Live::new(Arc::new(snapshot)))),
        observe: Rc::new(core),
        signer: Arc::new(Signer::from_pkcs8(key.as_ref()).expect("a key")),
        flights: Arc::default(),
        cache: banyan::cache::store::Store::new(&banyan::cache::store::StoreSettings::default()),
        drain,
        https_port: None,
    };
    let edge = Rc::new(Edge::new(parts));
    connect(&edge, &edge.view.load(), back).await;
    let peer = Peer {
        listener: Listener::Https,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)),
        port: 443,
        tls: None,
    };
    (Exchanges { edge, peer }, observer)
}

async fn connect(edge: &Edge, at: &Snapshot, line: Line) {
    let backend = at
        .backends
        .iter()
        .find(|backend| backend.settings.name.as_str() == "new");
    let backend = backend.expect("the backend of the templates");
    let roster = backend.roster();
    let server = roster.servers.first().expect("its server");
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    tokio::task::spawn_local(raw::answer(far, line));
    let connected = Connected {
        stream: Stream::Memory(near),
        http2: line == Line::Http2,
        peer: None,
    };
    let adopted = edge.pools.of(server).adopt(connected, backend, &at.limits).await;
    adopted.expect("a connection");
}

/// Keeps a connection between two exchanges.
struct Kept(RefCell<Option<http1::client::Connection>>);

impl http1::client::Home for Kept {
    fn keep(&self, connection: http1::client::Connection) {
        *self.0.borrow_mut() = Some(connection);
    }
}

/// Answers everything alike.
struct Hello;

impl Service for Hello {
    async fn call(&self, _request: Request, _interim: &mut dyn Interim) -> Response {
        Response::new(StatusCode::OK, Body::full(Bytes::from_static(&BODY)))
    }

    fn refuse(&self, malformed: Malformed) -> Response {
        Response::new(malformed.status, Body::Empty)
    }
}
