//! What becomes of a collected head: a request, or why not.

use http::{Method, StatusCode, Version, uri};

use super::{
    super::super::head::{Rejected, authority_is_valid},
    Collected, Passed, Scheme,
};
use crate::{
    message::Head,
    wire::{Malformed, Upgrade},
};

const fn answer(status: StatusCode, what: &'static str) -> Rejected {
    Rejected::Answer(Malformed { status, what })
}

const fn bad(what: &'static str) -> Rejected {
    Rejected::Answer(Malformed::bad(what))
}

impl Collected {
    /// The request, if the head is one.
    ///
    /// # Errors
    /// The first thing that is wrong with it. What makes a message malformed comes first, then bounds, then all else.
    pub(in super::super) fn finish(self, end_stream: bool) -> Result<Passed, Rejected> {
        let method = self.well_formed()?;
        if end_stream && matches!(self.length, Some(Ok(1..))) {
            return Err(Rejected::Reset("content-length without DATA"));
        }
        if let Some(malformed) = self.too_large {
            return Err(Rejected::Answer(malformed));
        }
        if self.blank {
            return Err(Rejected::Reset("space around a value"));
        }
        let length = self.length.transpose().map_err(Rejected::Reset)?;
        let upgrade = match &self.protocol {
            Some(protocol) => Some(extended_connect(protocol, length.is_some())?),
            None if method == Method::CONNECT => {
                return Err(answer(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "CONNECT without a protocol",
                ));
            }
            None => None,
        };
        if method == Method::TRACE {
            return Err(answer(StatusCode::METHOD_NOT_ALLOWED, "TRACE"));
        }
        if self.expects == Some(false) {
            return Err(answer(StatusCode::EXPECTATION_FAILED, "unknown expectation"));
        }
        self.one_host()?;
        if !matches!(self.scheme, Some(Scheme::Web)) {
            return Err(bad("unknown scheme"));
        }
        let path = self.path.ok_or(Rejected::Reset("no :path"))?;
        let text = self.text(path);
        let starred = text == b"*" && method == Method::OPTIONS;
        if !(is_plain_target(text) || starred || is_other_target(text)) {
            return Err(bad("malformed :path"));
        }
        let expects = self.expects.is_some();
        let fields = self.lines.into_fields(self.bytes);
        let head = Head::received(method, path.0, path.1, Version::HTTP_2, fields);
        let mut head = head.ok_or(bad("malformed :path"))?;
        head.upgrade = upgrade;
        Ok(Passed {
            head,
            length,
            expects,
        })
    }

    /// What RFC 9113 section 8.3.1 asks of the pseudo-header fields. Returns the method.
    fn well_formed(&self) -> Result<Method, Rejected> {
        if let Some(what) = self.malformed {
            return Err(Rejected::Reset(what));
        }
        let method = self.method.clone().ok_or(Rejected::Reset("no :method"))?;
        let connects = method == Method::CONNECT;
        if self.protocol.is_some() && !connects {
            return Err(Rejected::Reset(":protocol without CONNECT"));
        }
        let targets = [self.scheme.is_some(), self.path.is_some()];
        let wanted = !connects || self.protocol.is_some();
        if targets != [wanted; 2] {
            return Err(Rejected::Reset(":scheme or :path"));
        }
        if matches!(self.scheme, Some(Scheme::Malformed)) {
            return Err(Rejected::Reset("malformed :scheme"));
        }
        if let Some(path) = self.path
            && self.too_large.is_none()
        {
            let text = self.text(path);
            if !is_plain_target(text) && uri::PathAndQuery::try_from(text).is_err() || text.is_empty() {
                return Err(Rejected::Reset("malformed :path"));
            }
        }
        if let Some(authority) = self.authority
            && self.too_large.is_none()
        {
            let text = self.text(authority);
            // `http` knows no escapes there, and knows some that are no authority of ours: `one_host` refuses those.
            let plain = authority_is_valid(text) && !text.contains(&b'%');
            if !plain && uri::Authority::try_from(text).is_err() {
                return Err(Rejected::Reset("malformed :authority"));
            }
        }
        Ok(method)
    }

    /// One authority, wherever it stands, is the only `host` (RFC 9113 section 8.3.1).
    fn one_host(&self) -> Result<(), Rejected> {
        if self.hosts > 1 {
            return Err(bad("repeated host"));
        }
        if self.unlike_host {
            return Err(bad("host unlike :authority"));
        }
        if self.hosts == 0 && self.authority.is_none() {
            return Err(bad("no authority"));
        }
        let valid = match (self.authority, self.host) {
            (Some(host), _) | (None, Some(host)) => authority_is_valid(self.text(host)),
            (None, None) => false,
        };
        if valid {
            Ok(())
        } else {
            Err(bad("malformed authority"))
        }
    }
}

/// A path with octets that nobody objects to.
fn is_plain_target(text: &[u8]) -> bool {
    text.first() == Some(&b'/')
        && text.iter().all(|byte| {
            byte.is_ascii_graphic()
                && !matches!(
                    byte,
                    b'#' | b'<' | b'>' | b'"' | b'`' | b'\\' | b'^' | b'{' | b'}'
                )
        })
}

/// A path with octets that `http` takes nevertheless, and takes as they are.
fn is_other_target(text: &[u8]) -> bool {
    text.first() == Some(&b'/')
        && text.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
        && uri::PathAndQuery::try_from(text).is_ok()
}

/// RFC 8441 section 4: the protocol is a token, as in `Upgrade`.
fn extended_connect(protocol: &[u8], has_length: bool) -> Result<Upgrade, Rejected> {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(byte);
    if protocol.is_empty() || !protocol.iter().all(token) {
        return Err(Rejected::Reset("malformed :protocol"));
    }
    if has_length {
        return Err(bad("content-length on a CONNECT"));
    }
    // Another protocol, `h2c` above all, would open a way past routes and gate (RFC 9220 section 3 names 501 for this).
    if !protocol.eq_ignore_ascii_case(b"websocket") {
        return Err(answer(StatusCode::NOT_IMPLEMENTED, "connect-protocol"));
    }
    Ok(Upgrade::Http2("websocket".to_owned()))
}
