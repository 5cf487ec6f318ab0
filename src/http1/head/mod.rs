//! Heads of messages: where one ends, what it says, and everything that makes it unacceptable. No socket, no clock.
//!
//! A head is looked at twice. `Scanner` finds its end, line by line, while it still arrives: every line feed behind a
//! carriage return, no folded lines, no line before the first, and the bounds. What it lets through is one whole head, which
//! `httparse` cuts into tokens (its lenient options stay off) and `fields` weighs.

mod fields;
mod host;
mod request;
mod response;
mod scan;
mod target;

pub(crate) use self::{
    fields::forbidden_in_trailers,
    scan::{Extent, ScanError, Scanner, Section},
};
pub use self::{
    request::{BodyKind, RequestHead, RequestParser},
    response::{ResponseHead, ResponseParser, ResponseRefusal},
};

/// What a head may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the whole head.
    pub head_bytes_max: usize,
    /// Bytes of a request target.
    pub uri_bytes_max: usize,
    /// Field lines.
    pub headers_max: usize,
}
