//! Requests and answers on their way through: a head whose fields lie where they came, and a body.

use std::fmt;

use http::{Method, StatusCode, Version};

use crate::{body::Body, fields::Fields, wire::Upgrade};

/// The head of a request.
#[derive(Clone)]
pub struct Head {
    /// Its method.
    pub method: Method,
    /// The version that the client spoke.
    pub version: Version,
    /// Its fields.
    pub headers: Fields,
    /// What its connection shall become.
    pub upgrade: Option<Upgrade>,
    target: Target,
}

/// Where a target lies.
#[derive(Debug, Clone)]
enum Target {
    /// In the bytes of the head.
    Received { at: u32, bytes: u32 },
    /// Beside them.
    Own(Box<str>),
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("target", &self.target())
            .field("version", &self.version)
            .field("headers", &self.headers)
            .field("upgrade", &self.upgrade)
            .finish()
    }
}

impl Head {
    /// A head with this target: path and query, or `*`.
    #[must_use]
    pub fn new(method: Method, target: impl Into<Box<str>>, version: Version, headers: Fields) -> Self {
        Self {
            method,
            version,
            headers,
            upgrade: None,
            target: Target::Own(target.into()),
        }
    }

    /// A head whose target lies at `at` of the bytes that the fields lie in. `None`: it doesn't, or it is no ASCII.
    pub(crate) fn received(
        method: Method,
        at: usize,
        bytes: usize,
        version: Version,
        headers: Fields,
    ) -> Option<Self> {
        let target = headers.received().get(at..at.checked_add(bytes)?)?;
        if !target.is_ascii() {
            return None;
        }
        let target = Target::Received {
            at: u32::try_from(at).ok()?,
            bytes: u32::try_from(bytes).ok()?,
        };
        Some(Self {
            method,
            version,
            headers,
            upgrade: None,
            target,
        })
    }

    /// Path and query as received, or `*`.
    #[must_use]
    pub fn target(&self) -> &str {
        match &self.target {
            Target::Own(text) => text,
            Target::Received { at, bytes } => {
                let (at, bytes) = (*at as usize, *bytes as usize);
                let text = self.headers.received().get(at..at + bytes).unwrap_or_default();
                str::from_utf8(text).unwrap_or_default()
            }
        }
    }

    /// Asks for another target.
    pub fn set_target(&mut self, target: impl Into<Box<str>>) {
        self.target = Target::Own(target.into());
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Body,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: Fields,
    /// Its body.
    pub body: Body,
}

impl Response {
    /// An answer without fields.
    #[must_use]
    pub fn new(status: StatusCode, body: Body) -> Self {
        Self {
            status,
            headers: Fields::new(),
            body,
        }
    }

    /// The same answer with another body.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Body) -> Body) -> Self {
        Self {
            body: change(self.body),
            ..self
        }
    }
}

impl From<http::Response<Body>> for Response {
    fn from(response: http::Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers.into(),
            body,
        }
    }
}

impl From<http::Request<Body>> for Request {
    fn from(request: http::Request<Body>) -> Self {
        let (mut head, body) = request.into_parts();
        let upgrade = head.extensions.remove::<Upgrade>();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let head = Head {
            upgrade,
            ..Head::new(head.method, target, head.version, head.headers.into())
        };
        Self { head, body }
    }
}

impl From<Response> for http::Response<Body> {
    fn from(response: Response) -> Self {
        let mut converted = Self::new(response.body);
        *converted.status_mut() = response.status;
        *converted.headers_mut() = response.headers.to_map();
        converted
    }
}

impl From<Request> for http::Request<Body> {
    fn from(request: Request) -> Self {
        let mut converted = Self::new(request.body);
        let target = http::uri::PathAndQuery::try_from(request.head.target());
        *converted.uri_mut() = target.map(Into::into).unwrap_or_default();
        *converted.method_mut() = request.head.method;
        *converted.version_mut() = request.head.version;
        *converted.headers_mut() = request.head.headers.to_map();
        if let Some(upgrade) = request.head.upgrade {
            converted.extensions_mut().insert(upgrade);
        }
        converted
    }
}
