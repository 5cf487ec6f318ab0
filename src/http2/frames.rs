//! What a server sends us, seen frame by frame before `h2` gets it.

use super::server::frame::{HEADER_BYTES, Header, flag, kind};

/// Watches the frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// Payload bytes that still belong to what has been judged.
    left: usize,
    /// The peer's first SETTINGS came.
    pub(super) settings_seen: bool,
    /// The peer takes no new streams.
    pub(super) going_away: bool,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            left: 0,
            settings_seen: false,
            going_away: false,
        }
    }

    /// Judges `bytes` and returns how many of them may be passed on: all but a frame's header that is cut.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let here = bytes.len() - at;
            let skipped = self.left.min(here);
            self.left -= skipped;
            at += skipped;
            let Some(header) = bytes.get(at..).and_then(Header::parse) else {
                return at;
            };
            self.note(&header);
            self.left = HEADER_BYTES + header.length;
        }
    }

    fn note(&mut self, header: &Header) {
        self.going_away |= header.kind == kind::GOAWAY;
        self.settings_seen |= header.kind == kind::SETTINGS && !header.has(flag::ACK);
    }
}
