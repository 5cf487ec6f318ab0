//! Where one WebSocket frame ends and the next begins (RFC 6455 section 5.2), without a look at what is inside.

/// The status "service restart" (RFC 6455 section 7.4.2's registry): clients come back, to another router.
const SERVICE_RESTART: u16 = 1012;

/// The longest header: two bytes, an eight-byte length, a mask.
const HEADER_BYTES_MAX: usize = 14;

/// Follows one direction of a WebSocket.
#[derive(Debug, Default)]
pub(super) struct FrameTracker {
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    payload_left: u64,
    close_begun: bool,
    close_seen: bool,
}

impl FrameTracker {
    /// Whether a new frame may begin here.
    pub(super) fn at_boundary(&self) -> bool {
        self.header_len == 0 && self.payload_left == 0
    }

    /// Whether a whole Close frame has gone by. After it nothing may follow (section 5.5.1).
    pub(super) fn close_seen(&self) -> bool {
        self.close_seen
    }

    /// Takes in `bytes`, all of them or, with `stop`, up to the next boundary (none if it is here). Returns how many.
    pub(super) fn advance(&mut self, bytes: &[u8], stop: bool) -> usize {
        let mut rest = bytes;
        while !(rest.is_empty() || stop && self.at_boundary()) {
            if self.payload_left > 0 {
                let n = usize::try_from(self.payload_left).map_or(rest.len(), |left| left.min(rest.len()));
                rest = rest.split_at(n).1;
                self.payload_left -= n as u64;
                self.frame_may_end();
            } else if let Some((first, behind)) = rest.split_first() {
                rest = behind;
                self.header_byte(*first);
            }
        }
        bytes.len() - rest.len()
    }

    fn header_byte(&mut self, byte: u8) {
        if let Some(place) = self.header.get_mut(self.header_len) {
            *place = byte;
        }
        self.header_len += 1;
        let [first, second, rest @ ..] = &self.header;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if self.header_len < 2 || self.header_len < 2 + extended + mask {
            return;
        }
        self.payload_left = match extended {
            0 => u64::from(second & 0x7f),
            _ => rest
                .iter()
                .take(extended)
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        self.close_begun = first & 0x0f == 0x8;
        self.header_len = 0;
        self.frame_may_end();
    }

    fn frame_may_end(&mut self) {
        if self.payload_left == 0 && self.close_begun {
            self.close_seen = true;
        }
    }
}

/// A Close frame from a server to its client.
pub(super) fn close_to_client() -> Vec<u8> {
    let [high, low] = SERVICE_RESTART.to_be_bytes();
    vec![0x88, 0x02, high, low]
}

/// A Close frame from a client to its server, masked (section 5.3).
pub(super) fn close_to_server(mask: [u8; 4]) -> Vec<u8> {
    let [high, low] = SERVICE_RESTART.to_be_bytes();
    let [a, b, c, d] = mask;
    vec![0x88, 0x82, a, b, c, d, high ^ a, low ^ b]
}
