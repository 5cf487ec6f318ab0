//! Request heads: everything that must hold before a request is one.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{Method, StatusCode, Version};

use super::{
    Bounds,
    fields::{self, Expectation, Noted, Transfer},
    host,
    scan::{Extent, ScanError, Scanner, Section},
    target::{self, Reduced},
};
use crate::{
    fields::{Fields, Known},
    message::Head,
    wire::{Malformed, Upgrade},
};

/// Fields that are tokenised on the stack; more take the heap.
pub(super) const FIELDS_ON_STACK: usize = 64;

/// How a request's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// None, or `content-length: 0`.
    Empty,
    /// `content-length`.
    Length(u64),
    /// `transfer-encoding: chunked`.
    Chunked,
}

/// A request head that passed.
#[derive(Debug)]
pub struct RequestHead {
    /// Method, target in origin-form, version, fields (`transfer-encoding` is taken out), and the [`Upgrade`] it asks for.
    pub head: Head,
    /// How its body is framed.
    pub body: BodyKind,
    /// Whether the client wants the connection to go on.
    pub persistent: bool,
    /// Whether it waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Whether it said `te: trailers`.
    pub takes_trailers: bool,
}

/// Takes request heads off a buffer, one after the other.
#[derive(Debug)]
pub struct RequestParser {
    scanner: Scanner,
}

impl Default for RequestParser {
    fn default() -> Self {
        Self {
            scanner: Scanner::new(Section::Request),
        }
    }
}

impl RequestParser {
    /// Takes a whole head off the front of `input`. `None`: more bytes are needed, and `input` is untouched.
    ///
    /// Between two calls `input` may only grow. What was looked at is not looked at again.
    ///
    /// # Errors
    /// [`Malformed`]: what is wrong. The connection must be closed, since nobody knows where the next request would start.
    pub fn parse(&mut self, input: &mut BytesMut, bounds: &Bounds) -> Result<Option<RequestHead>, Malformed> {
        let Some(extent) = self.scanner.scan(input, bounds).map_err(refuse_scan)? else {
            return Ok(None);
        };
        let mut head = take(input, extent.end);
        let _ = head.split_to(extent.start);
        tokenise(head, extent, bounds).map(Some)
    }
}

const fn refuse_scan(error: ScanError) -> Malformed {
    match error {
        ScanError::TooLarge => Malformed {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            what: "head-too-large",
        },
        ScanError::TooManyFields => Malformed {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            what: "too-many-fields",
        },
        ScanError::StartLineTooLong => URI_TOO_LONG,
        ScanError::Syntax(what) => Malformed::bad(what),
    }
}

const URI_TOO_LONG: Malformed = Malformed {
    status: StatusCode::URI_TOO_LONG,
    what: "target-too-long",
};

/// The first `end` bytes, without a word to share where they are all.
pub(super) fn take(input: &mut BytesMut, end: usize) -> BytesMut {
    if end == input.len() {
        std::mem::take(input)
    } else {
        input.split_to(end)
    }
}

fn tokenise(head: BytesMut, extent: Extent, bounds: &Bounds) -> Result<RequestHead, Malformed> {
    let mut on_stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut on_heap = Vec::new();
    let room = match on_stack.get_mut(..extent.fields) {
        Some(room) => room,
        None => {
            on_heap.resize_with(extent.fields, MaybeUninit::uninit);
            on_heap.as_mut_slice()
        }
    };
    let mut tokens = httparse::Request::new(&mut []);
    match tokens.parse_with_uninit_headers(&head, room) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Malformed::bad("start-line")),
        Err(error) => return Err(refuse_token(error, &head)),
    }
    let (Some(method), Some(target), Some(minor)) = (tokens.method, tokens.path, tokens.version) else {
        return Err(Malformed::bad("start-line"));
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Malformed::bad("start-line"))?;
    if target.len() > bounds.uri_bytes_max {
        return Err(URI_TOO_LONG);
    }
    refuse_method(&method)?;
    let (received, noted) = fields::collect(&head, tokens.headers).map_err(Malformed::bad)?;
    let target = (target.as_ptr().addr() - head.as_ptr().addr(), target.len());
    let headers = received.into_fields(head);
    let version = if minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    assemble(method, target, version, headers, noted)
}

fn refuse_token(error: httparse::Error, head: &[u8]) -> Malformed {
    match error {
        httparse::Error::HeaderName => Malformed::bad("field-name"),
        httparse::Error::HeaderValue => Malformed::bad("field-value"),
        httparse::Error::Version if names_a_version(head) => Malformed {
            status: StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            what: "version",
        },
        httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::TooManyHeaders
        | httparse::Error::Version => Malformed::bad("start-line"),
    }
}

/// Whether the start line has three words, and the last is `HTTP/<digit>.<digit>`: then it is a version, only not ours.
fn names_a_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.splitn(3, |byte| *byte == b' ').skip(2);
    words.next().is_some_and(|version| {
        matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit())
    })
}

/// CONNECT would make us an open relay, TRACE would show a page its own cookies (RFC 9110 sections 9.3.6, 9.3.8).
fn refuse_method(method: &Method) -> Result<(), Malformed> {
    let what = match *method {
        Method::CONNECT => "connect",
        Method::TRACE => "trace",
        _ => return Ok(()),
    };
    Err(Malformed {
        status: StatusCode::METHOD_NOT_ALLOWED,
        what,
    })
}

fn assemble(
    method: Method,
    target: (usize, usize),
    version: Version,
    mut headers: Fields,
    noted: Noted,
) -> Result<RequestHead, Malformed> {
    match noted.hosts {
        0 => return Err(Malformed::bad("host-missing")),
        1 => {}
        _ => return Err(Malformed::bad("host-repeated")),
    }
    let body = framing(version, noted)?;
    let reduced = {
        let (at, bytes) = target;
        let named = headers
            .get(Known::HOST)
            .and_then(|value| host::authority(value.as_bytes()));
        let text = headers.received().get(at..at + bytes).unwrap_or_default();
        target::reduce(&method, text, named.ok_or(Malformed::bad("host"))?)?
    };
    if body == BodyKind::Chunked {
        headers.remove(Known::TRANSFER_ENCODING);
    }
    let modern = version == Version::HTTP_11;
    if modern && noted.expectation == Some(Expectation::Unknown) {
        return Err(Malformed {
            status: StatusCode::EXPECTATION_FAILED,
            what: "expect",
        });
    }
    let upgrade = if modern && body == BodyKind::Empty {
        asked_upgrade(noted, &method, &headers)
    } else {
        None
    };
    let mut head = match reduced {
        Reduced::Piece { from } => {
            let (at, bytes) = target;
            Head::received(method, at + from, bytes - from, version, headers)
                .ok_or(Malformed::bad("target-octet"))?
        }
        Reduced::Other(target) => Head::new(method, target, version, headers),
    };
    head.upgrade = upgrade;
    Ok(RequestHead {
        head,
        body,
        persistent: !noted.connection.close && (modern || noted.connection.keep_alive),
        expects_continue: modern && body != BodyKind::Empty && noted.expectation.is_some(),
        takes_trailers: modern && noted.takes_trailers,
    })
}

/// RFC 9112 section 6, without any of the leniency that it grants.
fn framing(version: Version, noted: Noted) -> Result<BodyKind, Malformed> {
    match (noted.transfer, noted.content_length) {
        (Some(_), Some(_)) => Err(Malformed::bad("length-and-encoding")),
        (Some(_), None) if version == Version::HTTP_10 => Err(Malformed::bad("transfer-encoding-1.0")),
        (Some(Transfer::Unknown | Transfer::Unregistered), None) => Err(Malformed {
            status: StatusCode::NOT_IMPLEMENTED,
            what: "transfer-encoding",
        }),
        (Some(Transfer::Chunked), None) => Ok(BodyKind::Chunked),
        (None, None | Some(0)) => Ok(BodyKind::Empty),
        (None, Some(length)) => Ok(BodyKind::Length(length)),
    }
}

/// A GET that asks for a WebSocket, by one field that `connection` names too (RFC 6455 section 4.1). Anything else is a request
/// like any other: a server may always ignore `upgrade` (RFC 9110 section 7.8). `h2c` and its spellings would smuggle requests
/// past us, and another method than GET would be judged as one thing and done as another.
fn asked_upgrade(noted: Noted, method: &Method, headers: &Fields) -> Option<Upgrade> {
    if !noted.connection.upgrade || noted.upgrades != 1 || method != Method::GET {
        return None;
    }
    let protocol = headers.get(Known::UPGRADE)?.to_str().ok()?;
    protocol
        .eq_ignore_ascii_case("websocket")
        .then(|| Upgrade::Http1("websocket".to_owned()))
}
