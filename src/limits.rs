//! Every bound: its name, default, unit, and what happens when it is reached.

use std::time::Duration;

/// Bounds of a public or private listener, `[limits]` in `banyan.toml`.
///
/// Each has a default that a site of a few hundred thousand visitors a day can keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head, names and values and line ends together. More is 431.
    pub head_bytes_max: usize,
    /// Fields in a request head. More is 431.
    pub headers_max: usize,
    /// Bytes of a request target. More is 414.
    pub uri_bytes_max: usize,
    /// Bytes of a backend's response head. More is 502.
    pub response_head_bytes_max: usize,
    /// Connections open at once on one listener socket group. More wait in the kernel's queue.
    pub connections_max: usize,
    /// HTTP/2 streams open at once on one connection. More are refused by `REFUSED_STREAM`.
    pub streams_max: u32,
    /// HTTP/2 streams that a client may reset per second, averaged over ten seconds, before its connection is closed (CVE-2023-44487).
    pub resets_per_second_max: u32,
    /// Time for a TLS handshake. Then the socket is closed.
    pub handshake_timeout: Duration,
    /// Time for a whole request head once its first byte has come. Then 408 and a closed socket.
    pub head_timeout: Duration,
    /// Time between two pieces of a request body. Then 408 and a closed socket.
    pub body_timeout: Duration,
    /// Time that a client may leave its answer unread. Then the connection or stream is closed.
    pub write_timeout: Duration,
    /// Time that a connection may stay open between two requests.
    pub idle_timeout: Duration,
    /// Time that a WebSocket or other tunnel may be silent both ways.
    pub tunnel_idle_timeout: Duration,
    /// Time between the moment when `/readyz` fails and the one when listeners close: what a load balancer needs to notice.
    pub drain_delay: Duration,
    /// Time that a drain waits for what is under way before it cuts it off.
    pub drain_timeout: Duration,
    /// As `drain_timeout`, where a new program serves already: `[handover] window`.
    pub handover_window: Duration,
    /// Requests on one HTTP/1.1 or HTTP/2 connection before it is closed in peace.
    pub requests_per_connection_max: u64,
    /// Answers that one core compresses at one time, in up to 2.1 MiB each. Further ones go out as they are.
    pub compressing_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 * 1024, // browsers send 1-4 KiB; a pile of cookies 16 KiB
            headers_max: 100,          // what nginx and Apache live with
            uri_bytes_max: 8 * 1024,   // RFC 9110 section 4.1 asks for at least 8,000
            response_head_bytes_max: 64 * 1024,
            connections_max: 20_000,
            streams_max: 128,           // RFC 9113 section 6.5.2 asks for at least 100
            resets_per_second_max: 100, // a page that cancels every image stays far below
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            tunnel_idle_timeout: Duration::from_secs(3600),
            drain_delay: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(30),
            handover_window: Duration::from_secs(30),
            requests_per_connection_max: 100_000,
            compressing_max: 64, // 135 MiB on each core (`proxy::compress::encoder`)
        }
    }
}
