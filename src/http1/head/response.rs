//! Response heads: what a backend may say, and how its body is framed.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{StatusCode, Version};

use super::{
    Bounds,
    fields::{self, Noted, Transfer},
    request::{FIELDS_ON_STACK, take},
    scan::{Extent, ScanError, Scanner, Section},
};
use crate::fields::{Fields, Known};

/// Why a response head is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseRefusal {
    /// Larger than the bounds allow.
    TooLarge,
    /// Not HTTP/1, or readable in two ways: a fixed word.
    Malformed(&'static str),
}

/// A response head that passed.
#[derive(Debug)]
pub struct ResponseHead {
    /// Its status.
    pub status: StatusCode,
    /// Its fields; `transfer-encoding` is taken out.
    pub headers: Fields,
    /// Whether the body is chunked.
    pub chunked: bool,
    /// The body's length, if the head tells it.
    pub content_length: Option<u64>,
    /// Whether the server lets the connection go on.
    pub persistent: bool,
}

/// Takes response heads off a buffer, interim ones and the final one.
#[derive(Debug)]
pub struct ResponseParser {
    scanner: Scanner,
}

impl Default for ResponseParser {
    fn default() -> Self {
        Self {
            scanner: Scanner::new(Section::Response),
        }
    }
}

impl ResponseParser {
    /// Takes a whole head off the front of `input`. `None`: more bytes are needed, and `input` is untouched.
    ///
    /// # Errors
    /// [`ResponseRefusal`]; the connection can't be used any more.
    pub fn parse(
        &mut self,
        input: &mut BytesMut,
        bounds: &Bounds,
    ) -> Result<Option<ResponseHead>, ResponseRefusal> {
        let Some(extent) = self.scanner.scan(input, bounds).map_err(refuse_scan)? else {
            return Ok(None);
        };
        tokenise(take(input, extent.end), extent)
            .map(Some)
            .map_err(ResponseRefusal::Malformed)
    }
}

const fn refuse_scan(error: ScanError) -> ResponseRefusal {
    match error {
        ScanError::TooLarge | ScanError::TooManyFields | ScanError::StartLineTooLong => {
            ResponseRefusal::TooLarge
        }
        ScanError::Syntax(what) => ResponseRefusal::Malformed(what),
    }
}

fn tokenise(head: BytesMut, extent: Extent) -> Result<ResponseHead, &'static str> {
    let mut on_stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut on_heap = Vec::new();
    let room = match on_stack.get_mut(..extent.fields) {
        Some(room) => room,
        None => {
            on_heap.resize_with(extent.fields, MaybeUninit::uninit);
            on_heap.as_mut_slice()
        }
    };
    let mut tokens = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut tokens, &head, room) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err("start-line"),
        Err(httparse::Error::HeaderName) => return Err("field-name"),
        Err(httparse::Error::HeaderValue) => return Err("field-value"),
        Err(_) => return Err("start-line"),
    }
    let (Some(code), Some(minor)) = (tokens.code, tokens.version) else {
        return Err("start-line");
    };
    if !(100..=599).contains(&code) {
        return Err("status");
    }
    let status = StatusCode::from_u16(code).map_err(|_| "status")?;
    let (received, noted) = fields::collect(&head, tokens.headers)?;
    let headers = received.into_fields(head);
    let version = if minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    assemble(status, version, headers, noted)
}

fn assemble(
    status: StatusCode,
    version: Version,
    mut headers: Fields,
    noted: Noted,
) -> Result<ResponseHead, &'static str> {
    let modern = version == Version::HTTP_11;
    match (noted.transfer, noted.content_length) {
        (Some(_), Some(_)) => return Err("length-and-encoding"),
        (Some(_), None) if !modern => return Err("transfer-encoding-1.0"),
        (Some(Transfer::Unknown), None) => return Err("transfer-encoding"),
        (Some(_), None) if status.is_informational() || status == StatusCode::NO_CONTENT => {
            return Err("body-not-allowed"); // RFC 9112 section 6.1
        }
        // RFC 9112 section 6.3: without `chunked` its body ends with the connection
        (Some(Transfer::Chunked | Transfer::Unregistered), None) => {
            headers.remove(Known::TRANSFER_ENCODING);
        }
        (None, _) => {}
    }
    Ok(ResponseHead {
        status,
        headers,
        chunked: noted.transfer == Some(Transfer::Chunked),
        content_length: noted.content_length,
        persistent: !noted.connection.close && (modern || noted.connection.keep_alive),
    })
}
