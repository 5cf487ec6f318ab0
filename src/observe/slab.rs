//! Short field values side by side in one piece of memory, so that making one allocates nothing.

use bytes::BytesMut;
use http::HeaderValue;

/// Bytes of a piece: a few dozen ids. One id that somebody keeps (a tunnel's record) keeps the whole piece.
const PIECE_BYTES: usize = 2048;

/// What is left of the piece in use. It goes when the last value in it does.
#[derive(Debug, Default)]
pub(super) struct Slab(BytesMut);

impl Slab {
    /// A value of visible ASCII; an empty one if it is anything else.
    pub(super) fn value(&mut self, text: &[u8]) -> HeaderValue {
        if self.0.capacity() < text.len() {
            self.0 = BytesMut::with_capacity(PIECE_BYTES.max(text.len()));
        }
        self.0.extend_from_slice(text);
        let bytes = self.0.split().freeze();
        HeaderValue::from_maybe_shared(bytes).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_many_pieces_stay_what_they_are() {
        let mut slab = Slab::default();
        let texts: Vec<String> = (0..500).map(|at| format!("id-{at:029}")).collect();
        let values: Vec<HeaderValue> = texts.iter().map(|text| slab.value(text.as_bytes())).collect();
        assert_eq!(texts, values);
        assert_eq!(slab.value(&[b'x'; 5000]).len(), 5000);
        assert!(slab.value(b"a\nb").is_empty());
    }
}
