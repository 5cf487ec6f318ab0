//! Names of fields that are looked up, stripped or set on the way: each is a number, found once while a head is read.

/// A field name that has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Known(u8);

macro_rules! known {
    ($($constant:ident = $name:literal),+ $(,)?) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "numbers the constants below, nothing else")]
        #[derive(Clone, Copy)]
        #[repr(u8)]
        enum Number { $($constant),+ }

        impl Known {
            $(
                #[doc = concat!("`", $name, "`.")]
                pub const $constant: Self = Self(Number::$constant as u8);
            )+
        }

        const NAMES: &[&str] = &[$($name),+];
    };
}

known! {
    ACCEPT = "accept",
    ACCEPT_CHARSET = "accept-charset",
    ACCEPT_ENCODING = "accept-encoding",
    ACCEPT_LANGUAGE = "accept-language",
    ACCEPT_RANGES = "accept-ranges",
    ACCESS_CONTROL_ALLOW_CREDENTIALS = "access-control-allow-credentials",
    ACCESS_CONTROL_ALLOW_ORIGIN = "access-control-allow-origin",
    AGE = "age",
    ALLOW = "allow",
    ALT_SVC = "alt-svc",
    AUTHORIZATION = "authorization",
    BANYAN_FLAGS = "banyan-flags",
    BANYAN_FORCED = "banyan-forced",
    BANYAN_IDENTITY = "banyan-identity",
    BANYAN_OVERRIDE = "banyan-override",
    BANYAN_ROLES = "banyan-roles",
    BANYAN_USER = "banyan-user",
    CACHE_CONTROL = "cache-control",
    CONNECTION = "connection",
    CONTENT_DISPOSITION = "content-disposition",
    CONTENT_ENCODING = "content-encoding",
    CONTENT_LANGUAGE = "content-language",
    CONTENT_LENGTH = "content-length",
    CONTENT_LOCATION = "content-location",
    CONTENT_RANGE = "content-range",
    CONTENT_SECURITY_POLICY = "content-security-policy",
    CONTENT_TYPE = "content-type",
    COOKIE = "cookie",
    DATE = "date",
    DNT = "dnt",
    ETAG = "etag",
    EXPECT = "expect",
    EXPIRES = "expires",
    FORWARDED = "forwarded",
    HOST = "host",
    HTTP2_SETTINGS = "http2-settings",
    IF_MATCH = "if-match",
    IF_MODIFIED_SINCE = "if-modified-since",
    IF_NONE_MATCH = "if-none-match",
    IF_RANGE = "if-range",
    IF_UNMODIFIED_SINCE = "if-unmodified-since",
    KEEP_ALIVE = "keep-alive",
    LAST_MODIFIED = "last-modified",
    LINK = "link",
    LOCATION = "location",
    MAX_FORWARDS = "max-forwards",
    ORIGIN = "origin",
    PRAGMA = "pragma",
    PRIORITY = "priority",
    PROXY = "proxy",
    PROXY_AUTHENTICATE = "proxy-authenticate",
    PROXY_AUTHORIZATION = "proxy-authorization",
    PROXY_CONNECTION = "proxy-connection",
    PROXY_STATUS = "proxy-status",
    PURPOSE = "purpose",
    RANGE = "range",
    REFERER = "referer",
    REFERRER_POLICY = "referrer-policy",
    RETRY_AFTER = "retry-after",
    SEC_CH_UA = "sec-ch-ua",
    SEC_CH_UA_MOBILE = "sec-ch-ua-mobile",
    SEC_CH_UA_PLATFORM = "sec-ch-ua-platform",
    SEC_FETCH_DEST = "sec-fetch-dest",
    SEC_FETCH_MODE = "sec-fetch-mode",
    SEC_FETCH_SITE = "sec-fetch-site",
    SEC_FETCH_USER = "sec-fetch-user",
    SEC_PURPOSE = "sec-purpose",
    SEC_WEBSOCKET_ACCEPT = "sec-websocket-accept",
    SEC_WEBSOCKET_EXTENSIONS = "sec-websocket-extensions",
    SEC_WEBSOCKET_KEY = "sec-websocket-key",
    SEC_WEBSOCKET_PROTOCOL = "sec-websocket-protocol",
    SEC_WEBSOCKET_VERSION = "sec-websocket-version",
    SERVER = "server",
    SERVER_TIMING = "server-timing",
    SET_COOKIE = "set-cookie",
    STRICT_TRANSPORT_SECURITY = "strict-transport-security",
    TE = "te",
    TRACEPARENT = "traceparent",
    TRACESTATE = "tracestate",
    TRAILER = "trailer",
    TRANSFER_ENCODING = "transfer-encoding",
    TRUE_CLIENT_IP = "true-client-ip",
    UPGRADE = "upgrade",
    UPGRADE_INSECURE_REQUESTS = "upgrade-insecure-requests",
    USER_AGENT = "user-agent",
    VARY = "vary",
    VIA = "via",
    WWW_AUTHENTICATE = "www-authenticate",
    X_CLIENT_IP = "x-client-ip",
    X_CLUSTER_CLIENT_IP = "x-cluster-client-ip",
    X_CONTENT_TYPE_OPTIONS = "x-content-type-options",
    X_FORWARDED_FOR = "x-forwarded-for",
    X_FORWARDED_HOST = "x-forwarded-host",
    X_FORWARDED_PORT = "x-forwarded-port",
    X_FORWARDED_PROTO = "x-forwarded-proto",
    X_FRAME_OPTIONS = "x-frame-options",
    X_MIDDLEWARE_SUBREQUEST = "x-middleware-subrequest",
    X_ORIGINAL_HOST = "x-original-host",
    X_ORIGINAL_URL = "x-original-url",
    X_POWERED_BY = "x-powered-by",
    X_REAL_IP = "x-real-ip",
    X_REQUESTED_WITH = "x-requested-with",
    X_REQUEST_ID = "x-request-id",
    X_REWRITE_URL = "x-rewrite-url",
    X_XSS_PROTECTION = "x-xss-protection",
}

/// How many names have a number.
pub(crate) const KNOWN: usize = NAMES.len();

/// Places of the look-up table: a power of two, several times the names, so that most are found at the first.
const PLACES: usize = 512;
const EMPTY: u8 = u8::MAX;
const PLACED: [u8; PLACES] = place_all();

impl Known {
    /// The number of `name`, a token (RFC 9110 section 5.6.2) in whatever case it is written.
    #[must_use]
    pub fn find(name: &[u8]) -> Option<Self> {
        let mut place = place_of(name);
        loop {
            let number = PLACED.get(place).copied().unwrap_or(EMPTY);
            let known = NAMES.get(usize::from(number))?;
            if same(known.as_bytes(), name) {
                return Some(Self(number));
            }
            place = (place + 1) % PLACES;
        }
    }

    /// Its number.
    pub(crate) const fn number(self) -> u8 {
        self.0
    }

    /// The name with this number, which came from [`Known::number`].
    pub(super) const fn of_number(number: u8) -> Self {
        Self(number)
    }

    /// The name, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

/// Whether `name` is `known`, which is in lower case. Eight bytes at a time: this is asked for each line of each head.
fn same(known: &[u8], name: &[u8]) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    if known.len() != name.len() {
        return false;
    }
    let ((known, known_rest), (name, name_rest)) = (known.as_chunks::<8>(), name.as_chunks::<8>());
    // names have letters, digits and dashes only; what else becomes one of them by this bit is no token
    let alike =
        |known: &[u8; 8], name: &[u8; 8]| u64::from_ne_bytes(*known) == u64::from_ne_bytes(*name) | CASE;
    known.iter().zip(name).all(|(known, name)| alike(known, name))
        && known_rest
            .iter()
            .zip(name_rest)
            .all(|(known, name)| *known == name | 0x20)
}

/// Where to look first: length, first, middle and last byte tell almost all names apart.
#[expect(
    clippy::indexing_slicing,
    reason = "runs at compile time too, where `get` can't; each index is below a length that is not 0"
)]
const fn place_of(name: &[u8]) -> usize {
    if name.is_empty() {
        return 0;
    }
    let first = (name[0] | 0x20) as usize;
    let middle = (name[name.len() / 2] | 0x20) as usize;
    let last = (name[name.len() - 1] | 0x20) as usize;
    (name.len() * 37 + first * 5 + middle * 11 + last * 53) % PLACES
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs at compile time only: a wrong index would not compile"
)]
const fn place_all() -> [u8; PLACES] {
    let mut placed = [EMPTY; PLACES];
    let mut number = 0;
    while number < NAMES.len() {
        let mut place = place_of(NAMES[number].as_bytes());
        while placed[place] != EMPTY {
            place = (place + 1) % PLACES;
        }
        placed[place] = number as u8;
        number += 1;
    }
    placed
}

/// Any number of known names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownSet(u128);

const _: () = assert!(
    NAMES.len() <= u128::BITS as usize,
    "a set has a bit for each name"
);

impl KnownSet {
    /// No name.
    pub const EMPTY: Self = Self(0);

    /// These names.
    #[must_use]
    pub const fn of(names: &[Known]) -> Self {
        let mut bits = 0;
        let mut rest = names;
        while let [first, others @ ..] = rest {
            bits |= 1 << first.0;
            rest = others;
        }
        Self(bits)
    }

    /// Whether `name` is one of them.
    #[must_use]
    pub const fn has(self, name: Known) -> bool {
        self.0 & (1 << name.0) != 0
    }

    /// Whether any name is in both.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Adds a name.
    pub const fn add(&mut self, name: Known) {
        self.0 |= 1 << name.0;
    }

    /// Takes a name out.
    pub const fn take(&mut self, name: Known) {
        self.0 &= !(1 << name.0);
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, NAMES};

    #[test]
    fn every_name_is_found_in_any_case_and_nothing_else_is() {
        for name in NAMES {
            let found = Known::find(name.as_bytes()).map(Known::as_str);
            assert_eq!(found, Some(*name));
            let upper = name.to_ascii_uppercase();
            assert_eq!(Known::find(upper.as_bytes()).map(Known::as_str), Some(*name));
            assert_eq!(*name, name.to_ascii_lowercase());
            for other in [
                format!("{name}x"),
                format!("x{name}"),
                name.replace('-', "_") + "_",
            ] {
                assert_eq!(Known::find(other.as_bytes()), None, "{other}");
            }
        }
        assert_eq!(Known::find(b""), None);
    }
}
