//! Where a body ends: by length, by the last chunk, or with the connection.

use bytes::BytesMut;
use http_body::SizeHint;

use super::chunked::{Chunked, Piece};

/// The framing of a body that is being received.
#[derive(Debug)]
pub(super) enum Decoder {
    /// So many bytes are left.
    Length(u64),
    /// Until the last chunk.
    Chunked(Chunked),
    /// Until the sender closes (responses only).
    UntilClose,
}

impl Decoder {
    /// Takes the next piece off the front of `input`.
    ///
    /// # Errors
    /// A fixed word for what is wrong with the framing.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Piece, &'static str> {
        match self {
            Self::Length(0) => Ok(Piece::End),
            Self::Length(_) | Self::UntilClose if input.is_empty() => Ok(Piece::NeedMore),
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= count as u64;
                Ok(Piece::Data(input.split_to(count).freeze()))
            }
            Self::Chunked(chunked) => chunked.decode(input),
            Self::UntilClose => Ok(Piece::Data(input.split().freeze())),
        }
    }

    /// Whether the last byte has been taken.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::UntilClose => SizeHint::default(),
        }
    }
}
