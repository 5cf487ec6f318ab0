//! Why Banyan answered itself: one word for the answer, the metric and the log.

use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};

use crate::{
    backend::{Backend, breaker::Millis, connect::ConnectError},
    body::BodyError,
    gate::Denied,
    observe::record::{Outcome, Side},
    policy::access::Barred,
    route::target::Ambiguous,
    wire::{Malformed, SendCause},
};

/// An exchange that ended in an answer of Banyan's own.
#[derive(Debug)]
pub struct Refusal {
    /// What the client is told.
    pub status: StatusCode,
    /// An error type of RFC 9209 section 2.3.
    pub reason: &'static str,
    /// What exactly, in a few words from a fixed set; shown as `details` and never holding a client's or server's bytes.
    pub details: &'static str,
    /// Whose doing it was.
    pub side: Side,
    /// Whether another server may be asked.
    pub retry: Retry,
    /// The cause, for the log alone.
    pub cause: Option<Box<dyn std::error::Error>>,
    /// What somebody who is known lacks, in words for people: names of roles, groups, scopes or claims.
    pub missing: Option<Box<str>>,
    /// `WWW-Authenticate`, where the gate said no.
    pub challenge: Option<HeaderValue>,
    /// `Allow`, where a method was refused with 405 and others are known to be served.
    pub allow: Option<HeaderValue>,
    /// The backend that was meant, if it came that far.
    pub backend: Option<std::sync::Arc<str>>,
    /// `Retry-After`, where it is known better than for most.
    pub wait: Option<Duration>,
}

/// When there may be room again.
const FULL_WAIT: Duration = Duration::from_secs(1);

/// When to come back after a breaker's next probe, which is `wait` from now or under way: up to half as long and a second later, so that
/// not all come at once.
fn after_probe(wait: Option<Duration>, random: u64) -> Duration {
    let wait = wait.unwrap_or(FULL_WAIT);
    let most = wait.as_millis() / 2 + 1_000;
    let more = (u128::from(random) * (most + 1)) >> 64;
    wait + Duration::from_millis(u64::try_from(more).unwrap_or_default())
}

/// Whether an exchange may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No.
    Never,
    /// Nothing has reached a server: any request may.
    Unsent,
    /// Something may have reached a server: only an idempotent request may (RFC 9110 section 9.2.2).
    IfIdempotent,
    /// The same, and only at a server that was not asked yet: this one hangs up on it.
    IfIdempotentElsewhere,
}

impl Refusal {
    /// A refusal by the client's doing.
    #[must_use]
    pub const fn client(status: StatusCode, details: &'static str) -> Self {
        Self::new(status, "http_request_error", details, Side::Client)
    }

    const fn new(status: StatusCode, reason: &'static str, details: &'static str, side: Side) -> Self {
        Self {
            status,
            reason,
            details,
            side,
            retry: Retry::Never,
            cause: None,
            missing: None,
            challenge: None,
            allow: None,
            backend: None,
            wait: None,
        }
    }

    /// No route takes the request.
    #[must_use]
    pub const fn no_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "destination_not_found",
            "no-route",
            Side::Client,
        )
    }

    /// The edge does not answer for this host (RFC 9110 section 15.5.20).
    #[must_use]
    pub const fn unknown_host() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "http_request_error",
            "unknown-host",
            Side::Client,
        )
    }

    /// What is only served over https was asked for over plain HTTP.
    #[must_use]
    pub const fn plain_http() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "http_request_denied",
            "plain-http",
            Side::Client,
        )
    }

    /// An override link that doesn't count, and why.
    #[must_use]
    pub const fn link(why: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "http_request_denied", why, Side::Client)
    }

    /// The method is not among those that are served there; `allow` lists them.
    #[must_use]
    pub fn method(status: StatusCode, allow: &str) -> Self {
        let refusal = Self::new(status, "http_request_denied", "method", Side::Client);
        Self {
            allow: HeaderValue::from_str(allow).ok(),
            ..refusal
        }
    }

    /// Requests go round in circles through Banyan.
    #[must_use]
    pub const fn looping() -> Self {
        Self::new(
            StatusCode::LOOP_DETECTED,
            "proxy_loop_detected",
            "loop",
            Side::Banyan,
        )
    }

    /// The backend as a whole is left alone for a while: nobody is asked. `random` spreads over time who comes back.
    #[must_use]
    pub fn breaker_open(backend: &Backend, now: Instant, random: u64) -> Self {
        let refusal = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "destination_unavailable",
            "breaker-open",
            Side::Backend,
        );
        Self {
            backend: Some(backend.settings.name.shared()),
            retry: Retry::Unsent,
            wait: Some(after_probe(
                backend.state.breaker.get().wait(Millis::of(now)),
                random,
            )),
            ..refusal
        }
    }

    /// The backend has no server at all that could be asked.
    #[must_use]
    pub const fn no_server() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "destination_unavailable",
            "no-server",
            Side::Backend,
        )
    }

    /// The whole exchange took longer than its backend may.
    #[must_use]
    pub const fn too_long() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "http_response_timeout",
            "total",
            Side::Backend,
        )
    }

    /// There is no room for it just now: `why` says where.
    #[must_use]
    pub fn full(why: &'static str) -> Self {
        let refusal = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "connection_limit_reached",
            why,
            Side::Banyan,
        );
        Self {
            wait: Some(FULL_WAIT),
            ..refusal
        }
    }

    /// A visitor or address asks too much: `why` says of what, `wait` for how long it should not.
    #[must_use]
    pub fn too_many(why: &'static str, wait: Duration) -> Self {
        let refusal = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "http_request_denied",
            why,
            Side::Client,
        );
        Self {
            wait: Some(wait),
            ..refusal
        }
    }

    /// A drill answers in the backend's place.
    #[must_use]
    pub const fn drill(status: StatusCode) -> Self {
        Self::new(status, "destination_unavailable", "drill", Side::Banyan)
    }

    /// A bug: it was caught, this exchange alone pays for it.
    #[must_use]
    pub const fn internal(details: &'static str) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "proxy_internal_error",
            details,
            Side::Banyan,
        )
    }

    /// How it ends a record.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        Outcome::Refused {
            reason: self.reason,
            side: self.side,
        }
    }

    /// The same with its cause.
    #[must_use]
    pub fn because(self, cause: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..self
        }
    }

    fn backend(status: StatusCode, reason: &'static str, details: &'static str) -> Self {
        Self::new(status, reason, details, Side::Backend)
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::client(malformed.status, malformed.what)
    }
}

impl From<Ambiguous> for Refusal {
    fn from(ambiguous: Ambiguous) -> Self {
        Self::client(StatusCode::BAD_REQUEST, ambiguous.as_str())
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let refusal = Self::new(
            denied.status(),
            "http_request_denied",
            denied.as_str(),
            Side::Client,
        );
        let lacks = matches!(denied, Denied::Lacking(_));
        Self {
            missing: lacks.then(|| denied.to_string().into()),
            challenge: (denied != Denied::CrossSite).then(|| denied.www_authenticate()),
            ..refusal
        }
    }
}

impl From<Barred> for Refusal {
    fn from(barred: Barred) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "http_request_denied",
            barred.as_str(),
            Side::Client,
        )
    }
}

impl From<ConnectError> for Refusal {
    fn from(error: ConnectError) -> Self {
        let (status, reason) = match &error {
            ConnectError::Dns(..) => (StatusCode::BAD_GATEWAY, "dns_error"),
            ConnectError::Refused(_) => (StatusCode::BAD_GATEWAY, "connection_refused"),
            ConnectError::TimedOut(_) | ConnectError::TlsTimedOut(_) => {
                (StatusCode::GATEWAY_TIMEOUT, "connection_timeout")
            }
            ConnectError::Tls(cause) => (StatusCode::BAD_GATEWAY, tls_reason(cause)),
            ConnectError::FullWhole(_) => return Self::full("connections").because(error),
            ConnectError::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "connection_limit_reached"),
            ConnectError::Io(_) => (StatusCode::BAD_GATEWAY, "destination_ip_unroutable"),
            ConnectError::Http2(_) => (StatusCode::BAD_GATEWAY, "http_protocol_error"),
        };
        let details = match &error {
            ConnectError::TlsTimedOut(_) => "tls-timeout",
            ConnectError::Full(_) => "connections",
            _ => "connect",
        };
        let refusal = Self::backend(status, reason, details);
        Self {
            retry: Retry::Unsent,
            wait: matches!(error, ConnectError::Full(_)).then_some(FULL_WAIT),
            ..refusal
        }
        .because(error)
    }
}

fn tls_reason(error: &std::io::Error) -> &'static str {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => "tls_certificate_error",
        Some(rustls::Error::AlertReceived(_)) => "tls_alert_received",
        _ => "tls_protocol_error",
    }
}

impl From<SendCause> for Refusal {
    fn from(cause: SendCause) -> Self {
        let bad = StatusCode::BAD_GATEWAY;
        let refusal = match &cause {
            SendCause::Closed(_) => Self::backend(bad, "connection_terminated", "closed-early"),
            SendCause::FirstByteTimeout => {
                Self::backend(StatusCode::GATEWAY_TIMEOUT, "http_response_timeout", "first-byte")
            }
            SendCause::Malformed(what) => Self::backend(bad, "http_protocol_error", what),
            SendCause::HeadTooLarge => Self::backend(
                bad,
                "http_response_header_section_size",
                "response-head-too-large",
            ),
            SendCause::Unsupported(what) => Self::backend(bad, "http_upgrade_failed", what),
            SendCause::RequestBody(BodyError::TimedOut) => {
                Self::client(StatusCode::REQUEST_TIMEOUT, "request-body-timeout")
            }
            SendCause::RequestBody(_) => Self::client(StatusCode::BAD_REQUEST, "request-body"),
            SendCause::Http2(_) => Self::backend(bad, "http_protocol_error", "http2"),
        };
        refusal.because(cause)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::after_probe;

    proptest! {
        /// Nobody is told to come back before the next probe, nor much later, and not all at the same time.
        #[test]
        fn who_is_refused_comes_back_after_the_probe(millis in 0u64..600_000, random: u64) {
            let wait = Duration::from_millis(millis);
            let told = after_probe(Some(wait), random);
            prop_assert!(told >= wait && told <= wait + wait / 2 + Duration::from_secs(1));
            prop_assert!(after_probe(Some(wait), u64::MAX) > after_probe(Some(wait), 0));
        }
    }
}
