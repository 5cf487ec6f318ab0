//! `[limits]`: one key for each bound of `crate::limits::Limits`, by the same name.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{DurationText, SizeText};
use crate::limits::Limits;

/// `[limits]`: bounds of clients' connections and requests.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsFile {
    /// Size of a request head: names, values and line ends together. More is answered 431.
    head_bytes_max: SizeText,
    /// Fields in a request head. More is answered 431.
    headers_max: NonZeroUsize,
    /// Size of a request target. More is answered 414.
    uri_bytes_max: SizeText,
    /// Size of a backend's response head. More is answered 502.
    response_head_bytes_max: SizeText,
    /// Connections open at once. More wait in the kernel's queue.
    connections_max: NonZeroUsize,
    /// HTTP/2 streams open at once on one connection. More are refused.
    streams_max: NonZeroU32,
    /// HTTP/2 streams that a client may reset per second before its connection is closed.
    resets_per_second_max: NonZeroU32,
    /// Time for a TLS handshake. Then the socket is closed.
    handshake_timeout: DurationText,
    /// Time for a whole request head once its first byte has come. Then 408 and a closed socket.
    head_timeout: DurationText,
    /// Time between two pieces of a request body. Then 408 and a closed socket.
    body_timeout: DurationText,
    /// Time that a client may leave its answer unread. Then the connection or stream is closed.
    write_timeout: DurationText,
    /// Time that a connection may stay open between two requests.
    idle_timeout: DurationText,
    /// Time that a WebSocket or other tunnel may be silent both ways.
    tunnel_idle_timeout: DurationText,
    /// Time between the moment when `/readyz` fails and the one when listeners close, at the end of the program.
    drain_delay: DurationText,
    /// Time that a drain waits for what is under way before it cuts it off.
    drain_timeout: DurationText,
    /// Requests on one connection before it is closed in peace.
    requests_per_connection_max: NonZeroU64,
    /// Answers that one core compresses at one time, in up to 2.1 MiB each. Further ones go out as they are.
    compressing_max: NonZeroUsize,
}

impl Default for LimitsFile {
    /// The numbers and the reasons for them are in `crate::limits`.
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            head_bytes_max: SizeText(limits.head_bytes_max),
            headers_max: NonZeroUsize::new(limits.headers_max).unwrap_or(NonZeroUsize::MIN),
            uri_bytes_max: SizeText(limits.uri_bytes_max),
            response_head_bytes_max: SizeText(limits.response_head_bytes_max),
            connections_max: NonZeroUsize::new(limits.connections_max).unwrap_or(NonZeroUsize::MIN),
            streams_max: NonZeroU32::new(limits.streams_max).unwrap_or(NonZeroU32::MIN),
            resets_per_second_max: NonZeroU32::new(limits.resets_per_second_max).unwrap_or(NonZeroU32::MIN),
            handshake_timeout: DurationText(limits.handshake_timeout),
            head_timeout: DurationText(limits.head_timeout),
            body_timeout: DurationText(limits.body_timeout),
            write_timeout: DurationText(limits.write_timeout),
            idle_timeout: DurationText(limits.idle_timeout),
            tunnel_idle_timeout: DurationText(limits.tunnel_idle_timeout),
            drain_delay: DurationText(limits.drain_delay),
            drain_timeout: DurationText(limits.drain_timeout),
            requests_per_connection_max: NonZeroU64::new(limits.requests_per_connection_max)
                .unwrap_or(NonZeroU64::MIN),
            compressing_max: NonZeroUsize::new(limits.compressing_max).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

impl LimitsFile {
    /// The bounds that the file asks for.
    pub(super) fn settle(&self) -> Limits {
        Limits {
            head_bytes_max: self.head_bytes_max.0,
            headers_max: self.headers_max.get(),
            uri_bytes_max: self.uri_bytes_max.0,
            response_head_bytes_max: self.response_head_bytes_max.0,
            connections_max: self.connections_max.get(),
            streams_max: self.streams_max.get(),
            resets_per_second_max: self.resets_per_second_max.get(),
            handshake_timeout: self.handshake_timeout.0,
            head_timeout: self.head_timeout.0,
            body_timeout: self.body_timeout.0,
            write_timeout: self.write_timeout.0,
            idle_timeout: self.idle_timeout.0,
            tunnel_idle_timeout: self.tunnel_idle_timeout.0,
            drain_delay: self.drain_delay.0,
            drain_timeout: self.drain_timeout.0,
            handover_window: self.drain_timeout.0, // `[handover]` may say more
            requests_per_connection_max: self.requests_per_connection_max.get(),
            compressing_max: self.compressing_max.get(),
        }
    }
}
