//! The handshake fields that WebSocket has over HTTP/1.1 and lacks over HTTP/2 (RFC 6455 section 4, RFC 8441 section 5).

use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::STANDARD};

/// A fresh `sec-websocket-key`. `None` if the machine has no randomness to give.
pub(crate) fn key() -> Option<String> {
    let mut nonce = [0_u8; 16];
    rand::fill(&mut nonce).ok()?;
    Some(STANDARD.encode(nonce))
}

/// The `sec-websocket-accept` that answers `key`.
pub(crate) fn accept(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(context.finish())
}

#[cfg(test)]
mod tests {
    /// The example of RFC 6455 section 1.3.
    #[test]
    fn accept_answers_the_key_of_the_rfc() {
        assert_eq!(
            super::accept(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
