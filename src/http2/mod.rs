//! HTTP/2 on the wire: towards clients all our own, towards servers over the `h2` crate.
//!
//! - `server` serves one connection of a client; `rate` counts what that may do only so often.
//! - `client` sends requests over one connection to a server; `body` receives its answers' bodies, `send` sends ours, both under
//!   flow control; `response` judges an answer's head: what `h2` lets through and we don't. `socket` stands between `h2` and the
//!   byte stream: it gathers writes and sees each frame's header (`frames`).
//! - `head` is what both ask of a head.
//!
//! What one connection of a client may hold in memory: [`CONNECTION_WINDOW_BYTES`] of bodies received and not yet taken, one piece
//! of answer for each of `streams_max` streams, 64 KiB of gathered writes and a little more, one header block being received:
//! twice `head_bytes_max` and a little more.
//! One to a server: the same window, [`SEND_BYTES_MAX`] of request for each exchange, 64 KiB of gathered writes.

mod body;
pub mod client;
mod frames;
mod head;
mod rate;
mod response;
mod send;
pub mod server;
mod socket;
mod waiting;

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod ending_tests;
#[cfg(test)]
mod flood_tests;
#[cfg(test)]
mod malformed_tests;
#[cfg(test)]
mod pressure_tests;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod testing;

pub use self::{body::ReceivedBody, server::RequestBody};

/// Bytes of one body that a peer may send ahead of the reader. At 50 ms to the client that is 5 MiB/s for one upload.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes of all bodies of a connection that a peer may send ahead of the readers: the most that they hold in memory.
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes of one body that wait inside `h2` for the peer's window or the socket. The sender of the body waits beyond that.
pub const SEND_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the table that compresses a peer's heads: the protocol's own default.
pub const HEADER_TABLE_BYTES: u32 = 4096;

/// What connection-specific fields are called (RFC 9113 section 8.2.2). They have no place in HTTP/2, in either direction.
const CONNECTION_FIELDS: [http::HeaderName; 5] = [
    http::header::CONNECTION,
    http::HeaderName::from_static("keep-alive"),
    http::HeaderName::from_static("proxy-connection"),
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
];

/// Removes what `h2` would refuse to send.
fn strip_connection_fields(headers: &mut http::HeaderMap) {
    for name in CONNECTION_FIELDS {
        headers.remove(name);
    }
    if headers.get(http::header::TE).is_some_and(|te| te != "trailers") {
        headers.remove(http::header::TE);
    }
}
