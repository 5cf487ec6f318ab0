//! How requests to a backend are worded: what stands in front of their paths, which host they name, which fields they always bear.

use std::fmt;

use http::{HeaderName, HeaderValue};

use super::Server;
use crate::{
    fields::{Fields, Known, KnownSet},
    message::Head,
};

/// What a backend's file says of the requests that go there. A backend of which it says nothing has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wording {
    /// Put in front of every path: canonical, `/` at its begin and not at its end. Nothing: no path.
    pub path: Option<Box<str>>,
    /// The host that requests name.
    pub host: HostNamed,
    /// Fields that requests bear, over the visitor's of the same names.
    pub fields: Vec<FixedField>,
}

/// The host that a backend's requests name, in `Host` or `:authority`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostNamed {
    /// What the visitor asked for.
    Visitor,
    /// The chosen server's own name, with its port unless that is the usual one.
    Server,
    /// Always this.
    Name(Box<str>),
}

impl HostNamed {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Visitor => "visitor",
            Self::Server => "server",
            Self::Name(name) => name,
        }
    }
}

/// A field with its value, which is a secret: it reaches servers and nothing else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FixedField {
    name: HeaderName,
    value: HeaderValue,
}

impl fmt::Debug for FixedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ***", self.name)
    }
}

/// Why a field can't be one that a backend's requests always bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoFixedField {
    /// The name is no name of a field.
    #[error("it can't be the name of a header field")]
    BadName,
    /// Somebody else says it: who, in words.
    #[error("{0}")]
    NotYours(&'static str),
    /// The value is no value of a field, or has blanks around it.
    #[error("its value is no visible ASCII text without blanks around it")]
    BadValue,
    /// There is no value.
    #[error("its value is empty")]
    Empty,
    /// The value is longer than [`VALUE_BYTES_MAX`].
    #[error("its value has more than 4096 bytes")]
    TooLong,
}

/// Fields that one backend's requests may always bear.
pub const FIXED_FIELDS_MAX: usize = 30;

/// Bytes of such a field's value.
pub const VALUE_BYTES_MAX: usize = 4096;

impl FixedField {
    /// A field of a backend's requests.
    ///
    /// # Errors
    /// [`NoFixedField`]. No value is in it.
    pub fn new(name: &str, value: &str) -> Result<Self, NoFixedField> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| NoFixedField::BadName)?;
        if let Some(whose) = whose(name.as_str()) {
            return Err(NoFixedField::NotYours(whose));
        }
        if value.trim().is_empty() {
            return Err(NoFixedField::Empty);
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(NoFixedField::TooLong);
        }
        if value.trim() != value || !value.is_ascii() {
            return Err(NoFixedField::BadValue);
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| NoFixedField::BadValue)?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }

    /// Its name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl Wording {
    /// Words a request that is about to go to one of the backend's servers. To be called once for a request, before
    /// [`Self::address`].
    pub fn word(&self, head: &mut Head) {
        if let Some(path) = &self.path {
            let target = [path, head.target()].concat();
            head.set_target(target);
        }
        let fields = &mut head.headers;
        if self.host != HostNamed::Visitor && !fields.contains_key(Known::X_FORWARDED_HOST) {
            // a trusted proxy may have said the protocol alone; then nothing but `Host` tells what the visitor asked for
            let asked = fields.get(Known::HOST).map(|host| host.as_bytes().to_vec());
            fields.insert(Known::X_FORWARDED_HOST, asked.unwrap_or_default());
        }
        self.put_fields(fields);
    }

    /// Names the host, as `server` wants it. Each server that is tried is another one.
    pub fn address(&self, fields: &mut Fields, server: &Server) {
        match &self.host {
            HostNamed::Visitor => {}
            HostNamed::Server => fields.insert(Known::HOST, &*server.authority),
            HostNamed::Name(name) => fields.insert(Known::HOST, &**name),
        }
    }

    /// Sets the fields that requests always bear, in place of the visitor's and of whatever CGI and WSGI servers take for the same.
    pub fn put_fields(&self, fields: &mut Fields) {
        if self.fields.is_empty() {
            return;
        }
        fields.retain(|name, _| !self.fields.iter().any(|own| reads_as(name.as_str(), own.name())));
        for own in &self.fields {
            fields.append(&own.name, &own.value);
        }
    }

    /// Names of the fields that requests always bear.
    #[must_use]
    pub fn field_names(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.name().to_owned()).collect()
    }
}

/// Whether servers that read what is no letter or digit as `-` can't tell one name from the other.
fn reads_as(one: &str, other: &str) -> bool {
    one.len() == other.len() && folded(one).eq(folded(other))
}

fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| match byte {
        byte if byte.is_ascii_alphanumeric() => byte.to_ascii_lowercase(),
        _ => b'-',
    })
}

/// Fields of one connection, or of one message's framing.
const OF_CONNECTION: KnownSet = KnownSet::of(&[
    Known::CONNECTION,
    Known::CONTENT_LENGTH,
    Known::EXPECT,
    Known::HTTP2_SETTINGS,
    Known::KEEP_ALIVE,
    Known::PROXY_AUTHENTICATE,
    Known::PROXY_AUTHORIZATION,
    Known::PROXY_CONNECTION,
    Known::SEC_WEBSOCKET_ACCEPT,
    Known::SEC_WEBSOCKET_EXTENSIONS,
    Known::SEC_WEBSOCKET_KEY,
    Known::SEC_WEBSOCKET_PROTOCOL,
    Known::SEC_WEBSOCKET_VERSION,
    Known::TE,
    Known::TRAILER,
    Known::TRANSFER_ENCODING,
    Known::UPGRADE,
]);

/// What Banyan tells backends itself, and what it never lets pass.
const OF_BANYAN: KnownSet = KnownSet::of(&[
    Known::BANYAN_FLAGS,
    Known::BANYAN_FORCED,
    Known::BANYAN_IDENTITY,
    Known::BANYAN_OVERRIDE,
    Known::BANYAN_ROLES,
    Known::BANYAN_USER,
    Known::FORWARDED,
    Known::MAX_FORWARDS,
    Known::PROXY,
    Known::TRACEPARENT,
    Known::TRACESTATE,
    Known::TRUE_CLIENT_IP,
    Known::VIA,
    Known::X_CLIENT_IP,
    Known::X_CLUSTER_CLIENT_IP,
    Known::X_FORWARDED_FOR,
    Known::X_FORWARDED_HOST,
    Known::X_FORWARDED_PORT,
    Known::X_FORWARDED_PROTO,
    Known::X_MIDDLEWARE_SUBREQUEST,
    Known::X_ORIGINAL_HOST,
    Known::X_ORIGINAL_URL,
    Known::X_REAL_IP,
    Known::X_REQUEST_ID,
    Known::X_REWRITE_URL,
]);

/// What only a visitor can mean.
const OF_VISITOR: KnownSet = KnownSet::of(&[
    Known::CACHE_CONTROL,
    Known::COOKIE,
    Known::IF_MATCH,
    Known::IF_MODIFIED_SINCE,
    Known::IF_NONE_MATCH,
    Known::IF_RANGE,
    Known::IF_UNMODIFIED_SINCE,
    Known::PRAGMA,
    Known::RANGE,
]);

/// Who says a field that a backend's file can't say, in words. CloudFront's list for what it calls custom headers, and Banyan's own.
///
/// `X-Edge-*`, which that list has for CloudFront's own sake, means nothing to Banyan and may be set.
fn whose(name: &str) -> Option<&'static str> {
    let name: String = folded(name).map(char::from).collect();
    let known = Known::find(name.as_bytes());
    let is_in = |set: KnownSet| known.is_some_and(|known| set.has(known));
    if known == Some(Known::HOST) {
        Some("the backend's `host` says which one it gets")
    } else if is_in(OF_CONNECTION) {
        Some("it belongs to one connection or message")
    } else if is_in(OF_BANYAN) || name.starts_with("banyan-") {
        Some("it is Banyan's own to say")
    } else if is_in(OF_VISITOR) || name == "request-range" {
        Some("only the visitor can mean it")
    } else if name.starts_with("x-amz-") {
        Some("it belongs to Amazon's services")
    } else {
        None
    }
}

#[cfg(test)]
#[path = "wording_tests.rs"]
mod tests;
