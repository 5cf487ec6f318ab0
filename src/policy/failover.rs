//! When a request whose backend failed goes to a second one.

use http::{Method, StatusCode};

use crate::{name::BackendName, shield::rate::Rate};

/// A route's second backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// Who is asked when the first fails.
    pub backend: BackendName,
    /// Answers of the first that count as a failure.
    pub on: Statuses,
    /// It is a way back to what the route replaces, on terms of its own.
    pub fallback: Option<Fallback>,
}

/// On which terms requests fall back to what a route replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// Bytes of a request's body that are kept to be sent again, at most [`KEPT_BYTES_MAX`]. A larger one has no fallback.
    pub body_max: usize,
    /// Requests that may fall back in so long: the others get the error, so that a dead backend can't bring its load to the second.
    pub rate: Rate,
    /// Requests under way there at once.
    pub at_once: u32,
}

/// Bytes of a request's body that are kept unless said otherwise: forms, not uploads.
pub const KEPT_BYTES: usize = 64 * 1024;
/// The most that can be said.
pub const KEPT_BYTES_MAX: usize = 1024 * 1024;
/// Requests that may fall back each second unless said otherwise.
pub const FALLBACKS_A_SECOND: u32 = 100;
/// Requests that are under way at a fallback at once unless said otherwise.
pub const FALLBACKS_AT_ONCE: u32 = 100;

impl Fallback {
    /// Statuses by which a server says that it isn't there, unless a route names others.
    #[must_use]
    pub fn statuses() -> Statuses {
        Statuses::none().with(502).with(503).with(504)
    }
}

impl std::fmt::Display for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rate, at_once, body) = (self.rate, self.at_once, self.body_max);
        write!(f, "{rate}, {at_once} under way, bodies up to {body} bytes")
    }
}

impl Failover {
    /// Whether a request of this method may be asked of the second once a server of the first may have seen it. `false`: only if
    /// none has.
    #[must_use]
    pub fn may_repeat(&self, method: &Method) -> bool {
        match self.fallback {
            Some(_) => method.is_idempotent(),
            None => may_go_twice(method),
        }
    }

    /// Whether a request of this method has a second backend at all.
    #[must_use]
    pub fn takes(&self, method: &Method) -> bool {
        self.fallback.is_some() || may_go_twice(method)
    }
}

/// A set of those statuses that a route may fail over on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Statuses(u16);

impl Default for Statuses {
    /// The server says itself that it failed.
    fn default() -> Self {
        Self::none().with(500).with(502).with(503).with(504)
    }
}

impl std::fmt::Debug for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Statuses {
    /// Every status that a route may fail over on (CloudFront's list), each with the word for it in metrics and log.
    pub const ALLOWED: [(u16, &'static str); 9] = [
        (400, "status_400"),
        (403, "status_403"),
        (404, "status_404"),
        (416, "status_416"),
        (429, "status_429"),
        (500, "status_500"),
        (502, "status_502"),
        (503, "status_503"),
        (504, "status_504"),
    ];

    /// No status: only a backend that does not answer at all fails.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// With one more. One that is not allowed changes nothing.
    #[must_use]
    pub fn with(self, status: u16) -> Self {
        let place = Self::ALLOWED.iter().position(|(allowed, _)| *allowed == status);
        Self(place.map_or(self.0, |place| self.0 | 1 << place))
    }

    /// The statuses, ascending.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.words().map(|(status, _)| status)
    }

    /// The word for `status`, if it is one of these.
    #[must_use]
    pub fn word(self, status: StatusCode) -> Option<&'static str> {
        if status.is_success() {
            return None;
        }
        self.words()
            .find_map(|(known, word)| (known == status.as_u16()).then_some(word))
    }

    fn words(self) -> impl Iterator<Item = (u16, &'static str)> {
        let there = move |place: usize| self.0 & (1 << place) != 0;
        let all = Self::ALLOWED.into_iter().enumerate();
        all.filter(move |(place, _)| there(*place))
            .map(|(_, status)| status)
    }
}

/// Whether a request of this method may be asked of two backends: it changes nothing (RFC 9110 section 9.2.1). CloudFront takes the
/// same three.
#[must_use]
pub fn may_go_twice(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::{Statuses, may_go_twice};

    #[test]
    fn only_listed_statuses_are_failures() {
        let failures = |on: Statuses| -> Vec<u16> {
            (100..600)
                .filter(|code| on.word(StatusCode::from_u16(*code).unwrap()).is_some())
                .collect()
        };
        assert_eq!(failures(Statuses::default()), [500, 502, 503, 504]);
        assert_eq!(failures(Statuses::none()), [] as [u16; 0]);
        assert_eq!(
            failures(Statuses::none().with(404).with(429).with(200)),
            [404, 429]
        );
        let all = Statuses::ALLOWED
            .iter()
            .fold(Statuses::none(), |on, (status, _)| on.with(*status));
        assert_eq!(failures(all), [400, 403, 404, 416, 429, 500, 502, 503, 504]);
        assert_eq!(all.iter().collect::<Vec<_>>(), failures(all));
        assert_eq!(format!("{:?}", Statuses::default()), "{500, 502, 503, 504}");
        for (status, word) in Statuses::ALLOWED {
            assert_eq!(word, format!("status_{status}"));
        }
    }

    #[test]
    fn only_safe_methods_go_twice() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(may_go_twice(&method), "{method}");
        }
        for method in [
            "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "QUERY", "get",
        ] {
            assert!(
                !may_go_twice(&Method::from_bytes(method.as_bytes()).unwrap()),
                "{method}"
            );
        }
    }
}
