//! The facts of one exchange, filled in stage by stage, and read once by log and metrics.

use std::{
    cell::Cell,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, StatusCode, Version};

use super::{
    details::Details,
    trace::{SpanId, TraceId},
};
use crate::{
    clock::Moment,
    fields::{Fields, Known},
    message::{Head, Response},
};

/// Which kind of listener took the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Listener {
    /// TLS, from the public.
    Https,
    /// Plain, from the public.
    Http,
    /// Plain, from backends inside the network.
    Private,
}

impl Listener {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Https, Self::Http, Self::Private];

    /// As settings, metrics and log write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Private => "private",
        }
    }

    /// The scheme that its clients speak (`url.scheme` in OpenTelemetry's words).
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http | Self::Private => "http",
        }
    }
}

/// Who is to blame for what ended an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Who asked.
    Client,
    /// Who should have answered.
    Backend,
    /// Banyan itself: its limits, its settings, its faults.
    Banyan,
}

impl Side {
    /// As metrics and log write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Banyan => "banyan",
        }
    }
}

/// How an exchange came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A backend's answer was passed on.
    Forwarded,
    /// Both sides agreed on another protocol, and a tunnel was open until the end.
    Tunnelled,
    /// Banyan answered on purpose: a redirect, `/.banyan/…`.
    Answered,
    /// Banyan answered because it could or would not pass the request on.
    Refused {
        /// An error type of RFC 9209 section 2.3, or Banyan's own word where that has none.
        reason: &'static str,
        /// Who is to blame.
        side: Side,
    },
    /// The message was not HTTP, or not only one reading of it: a few words from a fixed set.
    Malformed(&'static str),
    /// The client went away before there was an answer.
    Abandoned,
}

impl Outcome {
    /// As the log writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Tunnelled => "tunnelled",
            Self::Answered => "answered",
            Self::Refused { .. } => "refused",
            Self::Malformed(_) => "malformed",
            Self::Abandoned => "abandoned",
        }
    }

    /// Why Banyan answered itself, if it did: one word for log, metric and `Proxy-Status`.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Refused { reason, .. } => Some(reason),
            Self::Malformed(_) => Some("http_request_error"), // RFC 9209 section 2.3.16
            Self::Forwarded | Self::Tunnelled | Self::Answered | Self::Abandoned => None,
        }
    }

    /// Who is to blame for a refusal.
    #[must_use]
    pub const fn side(self) -> Option<Side> {
        match self {
            Self::Refused { side, .. } => Some(side),
            Self::Malformed(_) | Self::Abandoned => Some(Side::Client),
            Self::Forwarded | Self::Tunnelled | Self::Answered => None,
        }
    }
}

/// What TLS agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as OpenSSL calls it.
    pub cipher: Option<&'static str>,
    /// The name that the client asked for.
    pub server_name: Option<Arc<str>>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// An error for which there is a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorPage {
    /// The error's own status.
    pub error: StatusCode,
    /// Where the page came from, `file` or `page`. `None`: it failed, and the error was sent as it was.
    pub shown: Option<&'static str>,
}

/// What one flag decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagFacts {
    /// Its key.
    pub flag: Arc<str>,
    /// The variant that it gave.
    pub variant: Arc<str>,
    /// Why, from a fixed set (`TARGETING_MATCH`, `SPLIT`, …).
    pub reason: &'static str,
    /// What went wrong, from a fixed set (`PARSE_ERROR`, …), where the reason is `ERROR`.
    pub error: Option<&'static str>,
}

/// A first backend that failed, so that a second one was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// The first backend.
    pub from: Arc<str>,
    /// How it failed: an error type of RFC 9209 section 2.3, or `status_503` and the like.
    pub cause: &'static str,
    /// How many of its servers were tried.
    pub attempts: u32,
}

/// What the cache was to an exchange by a route that keeps answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheFacts {
    /// A word from a fixed set: `hit`, `miss`, `stale`, `revalidated`, `collapsed`, `bypass`.
    pub result: &'static str,
    /// Why the request was passed on (RFC 9211 section 2.2), if it was.
    pub forwarded: Option<&'static str>,
    /// More of that in a word from a fixed set, as `Cache-Status` says it.
    pub detail: Option<&'static str>,
}

/// The version of its backend that an exchange is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfVersion {
    /// Its name.
    pub version: Arc<str>,
    /// Why this one, a fixed word (`header`, `query`, `path`, `cookie`, `new`, `moved`).
    pub by: &'static str,
}

/// A hashed asset that the backend that was asked first does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacking {
    /// That backend; [`Record::backend`] had it.
    At(Arc<str>),
    /// Nobody has it.
    Everywhere,
}

/// Where the time went. Each is measured from the end of the stage before; absent when the stage was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// From the whole head to the decision.
    pub decide: Option<Duration>,
    /// Waiting for a seat at the backend.
    pub queue: Option<Duration>,
    /// Opening a connection, TLS included; absent when one was kept.
    pub connect: Option<Duration>,
    /// From the request's head on its way to the answer's head.
    pub first_byte: Option<Duration>,
    /// From the first byte of the request's head to the last byte of the answer.
    pub total: Duration,
}

impl Timings {
    /// Takes over what an attempt measured.
    pub const fn take_sent(&mut self, attempt: Self) {
        self.connect = attempt.connect;
        self.first_byte = attempt.first_byte;
    }
}

/// The facts of one exchange.
///
/// It is filled by whoever learns a fact, and read once, by [`Core::finish`](super::Core::finish). Texts are shared with the
/// snapshot or with the request's own buffer, so that filling it copies almost nothing.
#[derive(Debug, Clone)]
pub struct Record {
    /// The steady clock when the request's head began.
    pub began: Instant,
    /// The wall clock then, in microseconds since 1970.
    pub began_at_us: u64,
    /// Which listener.
    pub listener: Listener,
    /// What the client spoke.
    pub version: Version,
    /// What TLS agreed on, if there was any.
    pub tls: Option<Rc<TlsFacts>>,
    /// Who asked: the peer, or whom a trusted peer named.
    pub client: IpAddr,
    /// The request's method.
    pub method: Method,
    /// The host asked for, as it came.
    pub host: Option<HeaderValue>,
    /// Path and query as they came. Absent when the message was malformed before.
    pub target: Option<Box<str>>,
    /// `X-Request-Id`, the client's or ours.
    pub request_id: Option<HeaderValue>,
    /// The trace and our span in it.
    pub trace: Option<(TraceId, SpanId)>,
    /// The route's path or pattern as written.
    pub route: Option<Arc<str>>,
    /// Who owns it.
    pub squad: Option<Arc<str>>,
    /// What the flag on the route decided: it picked the backend.
    pub flag: Option<FlagFacts>,
    /// What further flags of the route decided.
    pub flags: Vec<FlagFacts>,
    /// State of the visitor cookie, a fixed word (`known`, `new`, `forged`, …).
    pub visitor: Option<&'static str>,
    /// What the gate said, a fixed word (`open`, `passed`, `denied`, …).
    pub gate: Option<&'static str>,
    /// Why the gate would have denied it, were the route not in a dry run: a fixed word.
    pub would_deny: Option<&'static str>,
    /// Who is signed in: a name that only says whether two requests are of the same one.
    pub user: Option<Arc<str>>,
    /// The backend chosen; after a fail-over, the second one.
    pub backend: Option<Arc<str>>,
    /// Its version, where it has several.
    pub of_version: Option<Box<OfVersion>>,
    /// The asset that was asked for is missing.
    pub lacking: Option<Lacking>,
    /// The first backend's failure, where a second one was asked.
    pub failover: Option<Box<Failover>>,
    /// The server of it that answered, or was tried last.
    pub server: Option<Arc<str>>,
    /// How many servers were tried, of both backends after a fail-over.
    pub attempts: u32,
    /// What the client was told. Absent when it went away before.
    pub status: Option<StatusCode>,
    /// How it came out.
    pub outcome: Outcome,
    /// What exactly was wrong with a refused request, a few words from a fixed set.
    pub details: Option<&'static str>,
    /// Who cut the exchange short after the answer's head, if anyone.
    pub aborted: Option<Side>,
    /// It was called back after its head, because the side that its flag had picked was switched off.
    pub drained: bool,
    /// What its waiting room said, a fixed word (`inside`, `waiting`, `bypass`).
    pub room: Option<&'static str>,
    /// What the cache was to it, where its route has one. A cell: who looks there only borrows the record.
    pub cache: Cell<Option<CacheFacts>>,
    /// The fault that a drill put in, a fixed word (`delay`, `abort`, `cut`, `throttle`).
    pub drill: Option<&'static str>,
    /// A second server was asked as well because the first took long: what came of it, a fixed word (`won`, `lost`, `failed`).
    pub hedge: Option<&'static str>,
    /// Where the time went.
    pub timings: Timings,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// `User-Agent`.
    pub user_agent: Option<HeaderValue>,
    /// `Referer`.
    pub referer: Option<HeaderValue>,
    /// The error that a page was looked for, if there was one.
    pub error_page: Option<ErrorPage>,
    /// What few formats of the log show, where one of them is written.
    pub details_of_wire: Option<Box<Details>>,
}

impl Record {
    /// A record of which nothing but the beginning is known.
    #[must_use]
    pub fn begin(began: Instant, began_at_us: u64, listener: Listener, client: IpAddr) -> Self {
        Self {
            began,
            began_at_us,
            listener,
            version: Version::HTTP_11,
            tls: None,
            client,
            method: Method::GET,
            host: None,
            target: None,
            request_id: None,
            trace: None,
            route: None,
            squad: None,
            flag: None,
            flags: Vec::new(),
            visitor: None,
            gate: None,
            would_deny: None,
            user: None,
            backend: None,
            of_version: None,
            lacking: None,
            failover: None,
            server: None,
            attempts: 0,
            status: None,
            details: None,
            outcome: Outcome::Abandoned, // until someone knows better
            aborted: None,
            drained: false,
            room: None,
            cache: Cell::new(None),
            drill: None,
            hedge: None,
            timings: Timings::default(),
            bytes_in: 0,
            bytes_out: 0,
            user_agent: None,
            referer: None,
            error_page: None,
            details_of_wire: None,
        }
    }

    /// Takes what the head of a request says: method, version, target, host, agent and referer.
    pub fn note_head(&mut self, head: &Head) {
        self.method = head.method.clone();
        self.version = head.version;
        self.target = Some(head.target().into());
        self.host = copied(&head.headers, Known::HOST);
        self.user_agent = copied(&head.headers, Known::USER_AGENT);
        self.referer = copied(&head.headers, Known::REFERER);
    }

    /// Takes what the head of the answer says, just before it goes out.
    pub fn note_answer(&mut self, answer: &Response) {
        self.status = Some(answer.status);
        if let Some(details) = &mut self.details_of_wire {
            details.note_answer(answer);
        }
    }

    /// The path asked for, as it came.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        let target = self.target.as_deref()?;
        Some(target.split_once('?').map_or(target, |(path, _)| path))
    }

    /// The query asked for, as it came.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        Some(self.target.as_deref()?.split_once('?')?.1)
    }

    /// When the request's head began, on both clocks.
    #[must_use]
    pub const fn began_at(&self) -> Moment {
        Moment {
            steady: self.began,
            wall_micros: self.began_at_us,
        }
    }

    /// The exchange ended now.
    pub fn close(&mut self, now: Instant) {
        self.timings.total = now.saturating_duration_since(self.began);
    }

    /// How long the client waited: to the last byte, or, where a tunnel was opened, until it was open. A tunnel's life is no waiting.
    #[must_use]
    pub fn answer_time(&self) -> Duration {
        match self.outcome {
            Outcome::Tunnelled => self.stages(),
            _ => self.timings.total,
        }
    }

    /// How long the client waited for the first byte: until the backend's head was there; an answer of Banyan's own goes out whole.
    #[must_use]
    pub fn first_byte_time(&self) -> Duration {
        match self.outcome {
            Outcome::Forwarded | Outcome::Tunnelled => self.stages(),
            _ => self.timings.total,
        }
    }

    fn stages(&self) -> Duration {
        let stages = [
            self.timings.decide,
            self.timings.queue,
            self.timings.connect,
            self.timings.first_byte,
        ];
        stages.into_iter().flatten().sum()
    }

    /// The method as metrics write it: one of RFC 9110 and RFC 5789, `_OTHER` for all else, so that a client cannot make labels.
    #[must_use]
    pub fn method_class(&self) -> &'static str {
        method_class(&self.method)
    }

    /// What an answer came to, before a page took an error's place: `1xx` to `5xx`; `none` when the client left before there was one.
    #[must_use]
    pub fn answer_class(&self) -> &'static str {
        let error = self.error_page.map(|page| page.error);
        match error.or(self.status).map(|status| status.as_u16() / 100) {
            None => "none",
            Some(1) => "1xx",
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(_) => "5xx",
        }
    }

    /// The protocol as the log writes it.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_09 => "HTTP/0.9",
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_3 => "HTTP/3",
            _ => "HTTP/1.1",
        }
    }
}

fn copied(fields: &Fields, name: Known) -> Option<HeaderValue> {
    HeaderValue::from_bytes(fields.get(name)?.as_bytes()).ok()
}

/// OpenTelemetry's `http.request.method`: known names, and `_OTHER`.
fn method_class(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}
