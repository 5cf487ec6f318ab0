//! TLS on both sides: certificates by SNI, handshakes with clients, the development CA, trust towards servers.
//!
//! Read in this order: [`pair`] one certificate with its key, [`certs`] all of them and which one a client gets,
//! [`acceptor`] the handshake, [`development`] certificates made on the spot, [`client`] https to backends.
//! Invariant: what rustls is told is built once; only the [`certs::CertStore`] behind it is swapped, so open
//! connections, session tickets and resumption never notice a renewal.

pub mod acceptor;
pub mod certs;
pub mod client;
pub mod development;
pub mod pair;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use acceptor::{ServerTls, TlsError, TlsFacts, TlsVersion};
pub use certs::CertStore;
pub use client::client_config;
pub use pair::{CertProblem, Level};

/// HTTP/2 over TLS, as ALPN names it (RFC 9113 section 3.1).
pub const ALPN_H2: &[u8] = b"h2";
/// HTTP/1.1 over TLS, as ALPN names it (RFC 7301 section 6).
pub const ALPN_HTTP1: &[u8] = b"http/1.1";

/// aws-lc-rs with its default suites; X25519MLKEM768 is the first choice for the key exchange (`prefer-post-quantum`).
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod acceptor_tests;
#[cfg(test)]
mod certs_tests;
#[cfg(test)]
mod development_tests;
#[cfg(test)]
mod made;
