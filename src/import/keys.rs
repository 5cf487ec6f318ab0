//! The keys that are written, in one place: what the files call things, and the fields that Banyan knows.

use crate::{
    backend::wording::{FixedField, NoFixedField},
    policy::viewer::ViewerHeader,
};

/// Keys of `[backends.<name>]`.
pub(super) mod backend {
    pub(crate) const SERVERS: &str = "servers";
    pub(crate) const PATH: &str = "path";
    pub(crate) const HOST: &str = "host";
    pub(crate) const HEADERS: &str = "headers";
    pub(crate) const CONNECT_TIMEOUT: &str = "connect_timeout";
    pub(crate) const FIRST_BYTE_TIMEOUT: &str = "first_byte_timeout";
    pub(crate) const BETWEEN_BYTES_TIMEOUT: &str = "between_bytes_timeout";
    pub(crate) const IDLE_TIMEOUT: &str = "idle_timeout";
    pub(crate) const TOTAL_TIMEOUT: &str = "total_timeout";
    pub(crate) const ATTEMPTS: &str = "attempts";
}

/// Keys and tables of `[[routes]]`.
pub(super) mod route {
    pub(crate) const PATTERN: &str = "pattern";
    pub(crate) const PATH: &str = "path";
    pub(crate) const ORDER: &str = "order";
    pub(crate) const HOSTS: &str = "hosts";
    pub(crate) const BACKEND: &str = "backend";
    pub(crate) const FAILOVER: &str = "failover";
    pub(crate) const HTTPS: &str = "https";
    pub(crate) const ALLOWED_METHODS: &str = "allowed_methods";
    pub(crate) const REFUSED_METHOD_STATUS: &str = "refused_method_status";
    pub(crate) const REWRITE: &str = "rewrite";
    pub(crate) const COMPRESS: &str = "compress";

    pub(crate) const FORWARD: &str = "routes.forward";
    pub(crate) const VIEWER: &str = "routes.viewer";
    pub(crate) const CACHE: &str = "routes.cache";
    pub(crate) const RESPONSE: &str = "routes.response";
    pub(crate) const CORS: &str = "routes.cors";
    pub(crate) const ERRORS: &str = "routes.errors";
    pub(crate) const SIGNED: &str = "routes.signed";
    pub(crate) const GEO: &str = "routes.geo";
}

/// Keys of `[routes.forward]`.
pub(super) mod forward {
    /// Also of `[routes.viewer]`.
    pub(crate) const HEADERS: &str = "headers";
    pub(crate) const COOKIES: &str = "cookies";
    pub(crate) const QUERY: &str = "query";
    pub(crate) const ONLY: &str = "only";
    pub(crate) const EXCEPT: &str = "except";
}

/// Keys of `[routes.cache]`, beside those of `[routes.forward]`.
pub(super) mod cache {
    pub(crate) const TTL: &str = "ttl";
    pub(crate) const UNKEYED: &str = "unkeyed_headers";
    pub(crate) const STALE_IF_ERROR: &str = "stale_if_error";
}

/// How long an answer stands in for an origin that fails: `CloudFront` serves it as long as it has it.
pub(super) const STALE_IF_ERROR_SECONDS: u64 = 86_400;

/// Keys of `[routes.response]` and `[routes.cors]`.
pub(super) mod response {
    pub(crate) const REMOVE: &str = "remove";
    pub(crate) const SECURITY: &str = "security";
    pub(crate) const SET: &str = "set";
    pub(crate) const DEFAULT: &str = "default";
    pub(crate) const HSTS: &str = "hsts";
    pub(crate) const SERVER_TIMING: &str = "server_timing";
    pub(crate) const ORIGINS: &str = "origins";
    pub(crate) const METHODS: &str = "methods";
    pub(crate) const HEADERS: &str = "headers";
    pub(crate) const EXPOSE: &str = "expose";
    pub(crate) const CREDENTIALS: &str = "credentials";
    pub(crate) const MAX_AGE: &str = "max_age";
    pub(crate) const OVERRIDE: &str = "override";
}

/// Keys of `[[errors]]` and `[[routes.errors]]`.
pub(super) mod errors {
    pub(crate) const STATUS: &str = "status";
    pub(crate) const PAGE: &str = "page";
    pub(crate) const ANSWER_STATUS: &str = "answer_status";
}

/// What `CloudFront` answers to a method that a behaviour doesn't allow.
pub(super) const REFUSED_METHOD_STATUS: u16 = 403;

/// Fewest and most bytes of an answer that `CloudFront` compresses.
pub(super) const COMPRESSED_BYTES: (u64, u64) = (1_000, 10_000_000);

/// Whether Banyan itself says this field to backends, or leaves it to visitors, so that no backend's table can.
pub(super) fn is_fixed_request_field(name: &str) -> bool {
    matches!(FixedField::new(name, "x"), Err(NoFixedField::NotYours(_)))
}

/// A field about the visitor as Banyan spells it, and whether it needs the database; `None`: Banyan doesn't add it.
pub(super) fn viewer_field(name: &str) -> Option<(&'static str, bool)> {
    ViewerHeader::named(name).map(|header| (header.name(), header.needs_database()))
}
