//! What a route does to the fields of its answers: `[routes.response]` and `[routes.cors]`, in CloudFront's order.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderName, HeaderValue, Method};

use super::cors::{Cors, Verdict};
use crate::fields::{Fields, Known, Value};

/// What a route says of its answers. A route that says nothing has none.
///
/// The order is CloudFront's: take away, then CORS, then security, then the route's own fields. What a backend answered gets all of it;
/// what Banyan answers itself (a refusal, a redirect, a preflight) gets CORS, security, HSTS and `Server-Timing`, so that a script
/// from elsewhere can read why it was refused and no answer is less safe than the others, but none of the route's own fields,
/// which are about the backend's pages.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResponseRules {
    /// Fields of the backend's that go. At most [`RESPONSE_FIELDS_MAX`], as in each list.
    pub remove: Vec<HeaderName>,
    /// Who else may read the answers.
    pub cors: Option<Cors>,
    /// The preset of security fields.
    pub security: Option<Security>,
    /// `Strict-Transport-Security`.
    pub hsts: Option<Hsts>,
    /// Fields in place of the backend's.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields where the backend sent none.
    pub default: Vec<(HeaderName, HeaderValue)>,
    /// Fields beside the backend's.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// The share of answers with `Server-Timing`, in thousandths of a percent (0 to 100,000).
    pub server_timing: u32,
}

/// Most fields in each list of a route.
pub const RESPONSE_FIELDS_MAX: usize = 64;

/// Most bytes of names and values that a route's own fields may add to an answer: clients take heads of 16 KiB and little more.
pub const RESPONSE_BYTES_MAX: usize = 8 * 1024;

/// A preset of security fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// What CloudFront's managed `SecurityHeadersPolicy` sends.
    Standard,
}

impl Security {
    /// Sent whatever the backend says.
    const ALWAYS: [(Known, &str); 1] = [(Known::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    /// Sent where the backend sends none.
    const UNSAID: [(Known, &str); 3] = [
        (Known::X_FRAME_OPTIONS, "SAMEORIGIN"),
        (Known::REFERRER_POLICY, "strict-origin-when-cross-origin"),
        (Known::X_XSS_PROTECTION, "1; mode=block"),
    ];
    /// Sent over TLS where neither the route nor the backend says anything of it.
    const HSTS: &str = "max-age=31536000";

    /// Its name in the files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
        }
    }
}

/// `Strict-Transport-Security` (RFC 6797 section 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hsts {
    /// The field's value.
    pub value: Box<str>,
    /// In place of the backend's.
    pub overrides: bool,
}

impl Hsts {
    /// The rule with its value written out. No time at all has browsers forget what they were told.
    #[must_use]
    pub fn new(max_age: Duration, subdomains: bool, preload: bool, overrides: bool) -> Self {
        let mut value = format!("max-age={}", max_age.as_secs());
        for (said, directive) in [(subdomains, "; includeSubDomains"), (preload, "; preload")] {
            value.push_str(if said { directive } else { "" });
        }
        Self {
            value: value.into(),
            overrides,
        }
    }
}

/// Who made an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// A backend.
    ByBackend,
    /// Banyan: a refusal, a redirect, a preflight.
    ByBanyan,
}

/// What the rules have to know of an exchange.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Who made the answer.
    pub made: Made,
    /// It leaves over TLS.
    pub secure: bool,
    /// Who may read it.
    pub verdict: &'a Verdict,
    /// Cookies whose names begin like this are Banyan's, and stay.
    pub own_cookies: &'a str,
}

impl ResponseRules {
    /// Writes into an answer's fields what the route says.
    pub fn apply(&self, answered: &Answered<'_>, fields: &mut Fields) {
        let by_backend = answered.made == Made::ByBackend;
        if by_backend {
            for name in &self.remove {
                remove(fields, name, answered.own_cookies);
            }
        }
        if let Some(cors) = &self.cors {
            cors.write(answered.verdict, answered.made, fields);
        }
        self.secure(answered, fields);
        if by_backend {
            self.write_own(fields);
        }
        if let Some(cors) = &self.cors {
            cors.write_vary(fields); // after the route's own `Vary`, which it must not take away
        }
    }

    fn secure(&self, answered: &Answered<'_>, fields: &mut Fields) {
        if self.security.is_some() {
            for (name, value) in Security::ALWAYS {
                fields.insert(name, value);
            }
            let own = |name: Known| self.default.iter().any(|(own, _)| own.as_str() == name.as_str());
            let by_backend = answered.made == Made::ByBackend;
            for (name, value) in Security::UNSAID {
                let said = fields.contains_key(name) || by_backend && own(name);
                if !said {
                    fields.insert(name, value);
                }
            }
        }
        // RFC 6797 section 7.2: never without TLS
        let (true, Some((value, overrides))) = (answered.secure, self.hsts()) else {
            return;
        };
        if overrides || !fields.contains_key(Known::STRICT_TRANSPORT_SECURITY) {
            fields.insert(Known::STRICT_TRANSPORT_SECURITY, value);
        }
    }

    /// The value of `Strict-Transport-Security`, and whether it takes the place of the backend's.
    fn hsts(&self) -> Option<(&str, bool)> {
        match (&self.hsts, self.security) {
            (Some(hsts), _) => Some((&hsts.value, hsts.overrides)),
            (None, Some(Security::Standard)) => Some((Security::HSTS, false)),
            (None, None) => None,
        }
    }

    fn write_own(&self, fields: &mut Fields) {
        for (name, value) in &self.set {
            fields.insert(name, value);
        }
        for (name, value) in &self.default {
            if !fields.contains_key(name) {
                fields.append(name, value);
            }
        }
        for (name, value) in &self.add {
            fields.append(name, value);
        }
    }

    /// Whether the answer to the request of this number is among those with `Server-Timing`.
    ///
    /// The number alone decides, so that log, trace and answer agree on who is in the share.
    #[must_use]
    pub fn is_timed(&self, request_id: &[u8]) -> bool {
        match self.server_timing {
            0 => false,
            share => place(request_id) < share,
        }
    }

    /// Who may read the answer to a request, which is no preflight.
    #[must_use]
    pub fn judge(&self, method: &Method, request: &Fields) -> Verdict {
        self.cors
            .as_ref()
            .map_or(Verdict::Silent, |cors| cors.judge(method, request))
    }

    /// What it does to the answer of a request, a line for each thing, for people.
    #[must_use]
    pub fn lines(&self, method: &Method, request: &Fields) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.remove.iter().map(|name| format!("takes `{name}` away")));
        if let Some(cors) = &self.cors {
            lines.push(cors.line());
            match cors.judge(method, request) {
                Verdict::Silent => {}
                Verdict::Anyone => lines.push("access-control-allow-origin: *".to_owned()),
                Verdict::Asker(asker) => lines.push(format!("access-control-allow-origin: {asker}")),
            }
        }
        if let Some(security) = self.security {
            lines.push(format!("security fields of the preset `{}`", security.as_str()));
        }
        if let Some((value, overrides)) = self.hsts() {
            let unless = if overrides {
                ""
            } else {
                ", unless the backend says it"
            };
            lines.push(format!("strict-transport-security: {value}, over TLS{unless}"));
        }
        let own = [
            (&self.set, ""),
            (&self.default, ", unless the backend says it"),
            (&self.add, ", beside the backend's"),
        ];
        for (list, how) in own {
            let each = list
                .iter()
                .map(|(name, value)| (name, value.to_str().unwrap_or_default()));
            lines.extend(each.map(|(name, value)| format!("{name}: {value}{how}")));
        }
        if self.server_timing > 0 {
            let (whole, rest) = (self.server_timing / 1_000, self.server_timing % 1_000);
            lines.push(format!("server-timing on {whole}.{rest:03} % of answers"));
        }
        lines
    }
}

/// Takes a field away; of cookies all but Banyan's.
fn remove(fields: &mut Fields, name: &HeaderName, own_cookies: &str) {
    if *name != http::header::SET_COOKIE {
        return fields.remove(name);
    }
    let own = |value: Value<'_>| value.as_bytes().starts_with(own_cookies.as_bytes());
    fields.retain(|name, value| name != Known::SET_COOKIE || own(value));
}

/// Where the time of an exchange went, as `Server-Timing` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// From the first byte of the request's head to the answer's head.
    pub total: Duration,
    /// What of it the backend took, from connecting to its answer's head. `None`: none answered.
    pub backend: Option<Duration>,
}

impl Spent {
    /// Adds `Server-Timing: banyan;dur=…, backend;dur=…`, in milliseconds (Server Timing, section 3), beside the backend's own.
    pub fn write(&self, fields: &mut Fields) {
        let mut text = String::with_capacity(48);
        let parts = [("banyan", Some(self.total)), (", backend", self.backend)];
        for (name, spent) in parts.into_iter().filter_map(|(name, spent)| Some((name, spent?))) {
            let us = spent.as_micros();
            _ = write!(text, "{name};dur={}.{:03}", us / 1_000, us % 1_000);
        }
        fields.append(Known::SERVER_TIMING, text);
    }
}

/// A number's place from 0 to 99,999: FNV-1a, its bits mixed (the last step of `SplitMix64`) so that the high ones count.
fn place(request_id: &[u8]) -> u32 {
    let mut bits = request_id.iter().fold(0xcbf2_9ce4_8422_2325_u64, |bits, byte| {
        (bits ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    let place = (u128::from(bits) * 100_000) >> 64;
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Whether a route may touch a field of answers, and in which ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// `remove`.
    Remove,
    /// `set`.
    Set,
    /// `default`.
    Default,
    /// `add`.
    Add,
}

/// Why a route may not touch a field of answers in this way: a sentence's end, and what to do instead. `None`: it may.
///
/// | fields | why |
/// |---|---|
/// | `Connection`, `Keep-Alive`, `Proxy-Connection`, `Proxy-Authenticate`, `Proxy-Authorization`, `TE`, `Trailer`, `Transfer-Encoding`, `Upgrade`, `HTTP2-Settings`, `Content-Length` | framing, hop by hop |
/// | `Content-Encoding`, `Content-Range` | how the body is to be read |
/// | `Date`, `Via`, `Proxy-Status`, `X-Request-Id`, `Banyan-*` | Banyan's own word |
/// | `Strict-Transport-Security` (but `remove`) | `hsts`, which knows about TLS |
/// | `Access-Control-*` of answers (but `remove`) | `[routes.cors]`, which answers preflights and keeps `Vary` right |
/// | `Set-Cookie` (but `remove` and `add`) | one field for each cookie |
#[must_use]
pub fn why_not(name: &HeaderName, touch: Touch) -> Option<(&'static str, &'static str)> {
    let text = name.as_str();
    let known = Known::find(text.as_bytes());
    let is_in = |names: &[Known]| known.is_some_and(|known| names.contains(&known));
    if is_in(&FRAMING) {
        return Some((
            "says how a message travels on one connection",
            "take it out: Banyan writes it for each client as its connection needs it",
        ));
    }
    if is_in(&READING) {
        return Some((
            "says how the body is to be read",
            "take it out: it has to stay what the backend says of the body that it sends",
        ));
    }
    if is_in(&OWN) || text.starts_with("banyan-") {
        return Some((
            "is Banyan's own word",
            "take it out: what it says would not be true",
        ));
    }
    match touch {
        Touch::Remove => None,
        _ if is_in(&[Known::STRICT_TRANSPORT_SECURITY]) => Some((
            "may be said over TLS only",
            "write `hsts = { max_age = \"365d\" }`, which knows what an answer leaves over",
        )),
        _ if super::cors::is_verdict(text) => Some((
            "says who may read an answer",
            "write it under `[routes.cors]`, which answers preflights too and tells caches",
        )),
        Touch::Set | Touch::Default if is_in(&[Known::SET_COOKIE]) => Some((
            "is a field for each cookie",
            "write it under `add`, beside the backend's cookies",
        )),
        Touch::Set | Touch::Default | Touch::Add => None,
    }
}

const FRAMING: [Known; 11] = [
    Known::CONNECTION,
    Known::KEEP_ALIVE,
    Known::PROXY_CONNECTION,
    Known::PROXY_AUTHENTICATE,
    Known::PROXY_AUTHORIZATION,
    Known::TE,
    Known::TRAILER,
    Known::TRANSFER_ENCODING,
    Known::UPGRADE,
    Known::HTTP2_SETTINGS,
    Known::CONTENT_LENGTH,
];

const READING: [Known; 2] = [Known::CONTENT_ENCODING, Known::CONTENT_RANGE];

const OWN: [Known; 4] = [Known::DATE, Known::VIA, Known::PROXY_STATUS, Known::X_REQUEST_ID];

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
