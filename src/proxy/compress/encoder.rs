//! The three encodings behind one call: bytes in, and on request everything out.

use brotli::enc::{
    BrotliEncoderParams, StandardAlloc,
    encode::{BrotliEncoderOperation, BrotliEncoderStateStruct},
};
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::stream::raw::{CParameter, InBuffer, Operation, OutBuffer};

use crate::policy::compress::Encoding;

// How hard each works, and how far back it looks. Measured on 13 pages, scripts, styles and JSON files of 0.5 to 270 KiB, flushed
// every 32 KiB, on one core: Brotli 6.1 to 1 at 65 MB/s in 2.1 MiB of memory, Zstandard 5.3 to 1 at 380 MB/s in 1.8 MiB, gzip 5.6 to 1 at
// 150 MB/s in 0.4 MiB.

/// 4 is half as fast again, and 5.6 to 1; 6 gives a hundredth for a quarter of the speed, and takes a MiB more.
const BROTLI_QUALITY: i32 = 5;
/// Twice the window gains on long pages only, for half a MiB. Never 16 or less: there the library takes 32 MiB and 9 ms for 4 KiB.
const BROTLI_WINDOW_BITS: i32 = 18;
/// 5 and 6 reach gzip's ratio, in twice the memory.
const ZSTD_LEVEL: i32 = 3;
const ZSTD_WINDOW_BITS: u32 = 18;
/// 6 gives half a hundredth for a fifth of the speed.
const GZIP_LEVEL: u32 = 5;
/// All that gzip has.
const GZIP_WINDOW_BITS: u8 = 15;

/// What is done after the bytes have been taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing: more will come.
    GoOn,
    /// Everything so far comes out, so that the client can decode it.
    Flush,
    /// Everything comes out, and nothing else ever will.
    Finish,
}

/// An encoder has failed. What came out of it is not to be ended as if it were whole.
#[derive(Debug, thiserror::Error)]
#[error("{0} failed")]
pub(super) struct EncoderError(pub(super) &'static str);

/// Encodes one body.
pub(super) enum Encoder {
    Brotli(Box<BrotliEncoderStateStruct<StandardAlloc>>),
    Zstd(zstd::stream::raw::Encoder<'static>),
    Gzip(Compress),
}

impl Encoder {
    /// An encoder for a body of `length` bytes, if that is known: Zstandard takes less memory for a small one.
    ///
    /// # Errors
    /// There is no memory for it, or the library refuses its settings.
    pub(super) fn new(encoding: Encoding, length: Option<u64>) -> Result<Self, EncoderError> {
        Ok(match encoding {
            Encoding::Brotli => {
                let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
                state.params = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW_BITS,
                    ..BrotliEncoderParams::default()
                };
                Self::Brotli(Box::new(state))
            }
            Encoding::Zstd => {
                let mut encoder = zstd::stream::raw::Encoder::new(ZSTD_LEVEL).map_err(|_| ZSTD)?;
                encoder
                    .set_parameter(CParameter::WindowLog(ZSTD_WINDOW_BITS))
                    .map_err(|_| ZSTD)?;
                encoder.set_pledged_src_size(length).map_err(|_| ZSTD)?;
                Self::Zstd(encoder)
            }
            Encoding::Gzip => Self::Gzip(Compress::new_gzip(Compression::new(GZIP_LEVEL), GZIP_WINDOW_BITS)),
        })
    }

    /// Takes all of `input` in, and appends to `out` what comes out.
    ///
    /// # Errors
    /// The encoder is of no further use.
    pub(super) fn run(&mut self, input: &[u8], then: Then, out: &mut Vec<u8>) -> Result<(), EncoderError> {
        match self {
            Self::Brotli(state) => brotli(state, input, then, out),
            Self::Zstd(encoder) => zstd(encoder, input, then, out),
            Self::Gzip(encoder) => gzip(encoder, input, then, out),
        }
    }
}

fn brotli(
    state: &mut BrotliEncoderStateStruct<StandardAlloc>,
    input: &[u8],
    then: Then,
    out: &mut Vec<u8>,
) -> Result<(), EncoderError> {
    let operation = || match then {
        Then::GoOn => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        Then::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        Then::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
    };
    let (mut left, mut at) = (input.len(), 0);
    loop {
        let before = left;
        let mut piece = [0; OUT_BYTES];
        let (mut room, mut made) = (piece.len(), 0);
        let fine = state.compress_stream(
            operation(),
            &mut left,
            input,
            &mut at,
            &mut room,
            &mut piece,
            &mut made,
            &mut None,
            &mut |_, _, _, _| (),
        );
        if !fine {
            return Err(BROTLI);
        }
        out.extend_from_slice(piece.get(..made).unwrap_or_default());
        let open = then == Then::Finish && !state.is_finished();
        if left == 0 && !state.has_more_output() && !open {
            return Ok(());
        }
        if left == before && made == 0 {
            return Err(BROTLI); // it would go on like that for ever
        }
    }
}

fn zstd(
    encoder: &mut zstd::stream::raw::Encoder<'static>,
    input: &[u8],
    then: Then,
    out: &mut Vec<u8>,
) -> Result<(), EncoderError> {
    let mut input = InBuffer::around(input);
    while input.pos() < input.src.len() {
        let (before, from) = (input.pos(), room(out));
        encoder
            .run(&mut input, &mut OutBuffer::around_pos(out, from))
            .map_err(|_| ZSTD)?;
        if input.pos() == before && out.len() == from {
            return Err(ZSTD);
        }
    }
    if then == Then::GoOn {
        return Ok(());
    }
    loop {
        let from = room(out);
        let mut rest = OutBuffer::around_pos(out, from);
        let left = match then {
            Then::Finish => encoder.finish(&mut rest, true),
            Then::GoOn | Then::Flush => encoder.flush(&mut rest),
        };
        if left.map_err(|_| ZSTD)? == 0 {
            return Ok(());
        }
        if out.len() == from {
            return Err(ZSTD);
        }
    }
}

fn gzip(encoder: &mut Compress, input: &[u8], then: Then, out: &mut Vec<u8>) -> Result<(), EncoderError> {
    let flush = match then {
        Then::GoOn => FlushCompress::None,
        Then::Flush => FlushCompress::Sync,
        Then::Finish => FlushCompress::Finish,
    };
    let mut rest = input;
    loop {
        let (before, from) = (encoder.total_in(), room(out));
        let status = encoder.compress_vec(rest, out, flush).map_err(|_| GZIP)?;
        let taken = usize::try_from(encoder.total_in() - before).unwrap_or(usize::MAX);
        rest = rest.get(taken..).unwrap_or_default();
        let all_out = match then {
            Then::GoOn => true,
            Then::Flush => out.len() < out.capacity(), // zlib's word for "there is no more"
            Then::Finish => status == Status::StreamEnd,
        };
        if rest.is_empty() && all_out {
            return Ok(());
        }
        if taken == 0 && out.len() == from {
            return Err(GZIP);
        }
    }
}

/// Makes room behind what is in `out`, and says where that ends.
fn room(out: &mut Vec<u8>) -> usize {
    out.reserve(OUT_BYTES);
    out.len()
}

/// Bytes that an encoder may write at a time.
const OUT_BYTES: usize = 4 * 1024;

const BROTLI: EncoderError = EncoderError("brotli");
const ZSTD: EncoderError = EncoderError("zstd");
const GZIP: EncoderError = EncoderError("gzip");

#[cfg(test)]
#[path = "encoder_tests.rs"]
pub(super) mod tests;
