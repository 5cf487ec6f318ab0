//! Laws of body framing: what is written in chunks is read back, however the bytes are cut.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use super::{
    chunked::{Chunked, Piece},
    outbox::{Outbox, Wrap},
};
use crate::stream::Stream;

/// What an outbox writes for `pieces`, in chunks.
fn encode(pieces: &[Vec<u8>], trailers: Option<&HeaderMap>) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut stream = Stream::Memory(near);
        let mut outbox = Outbox::default();
        for piece in pieces {
            outbox.push(Bytes::from(piece.clone()), Wrap::Chunk);
            if !outbox.has_room() {
                std::future::poll_fn(|cx| outbox.poll_send(&mut stream, cx))
                    .await
                    .unwrap();
            }
        }
        outbox.push_last_chunk(trailers);
        std::future::poll_fn(|cx| outbox.poll_send(&mut stream, cx))
            .await
            .unwrap();
        assert!(outbox.is_empty());
        drop(stream);
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len() as u64, outbox.written());
        all
    })
}

/// Data, trailers, and what is left over.
type Decoded = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

/// What a decoder makes of `wire` that arrives in pieces which end at `cuts`.
fn decode(wire: &[u8], cuts: &[usize]) -> Result<Decoded, &'static str> {
    let mut decoder = Chunked::default();
    let mut input = BytesMut::new();
    let mut data = Vec::new();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([wire.len()]) {
        input.extend_from_slice(&wire[from..cut]);
        from = cut;
        loop {
            let trailers = match decoder.decode(&mut input)? {
                Piece::NeedMore => break,
                Piece::Data(piece) => {
                    data.extend_from_slice(&piece);
                    continue;
                }
                Piece::Trailers(trailers) => Some(trailers),
                Piece::End => None,
            };
            assert!(decoder.is_done());
            input.extend_from_slice(&wire[from..]);
            return Ok((data, trailers, input.to_vec()));
        }
    }
    Err("more is needed")
}

fn cuts(wire: &[u8], at: &[prop::sample::Index]) -> Vec<usize> {
    let mut cuts: Vec<_> = at.iter().map(|at| at.index(wire.len().max(1))).collect();
    cuts.sort_unstable();
    cuts
}

proptest! {
    #[test]
    fn chunks_are_read_back_however_they_are_cut(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6000), 0..8),
        with_trailers in any::<bool>(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".try_into().unwrap());
        let trailers = with_trailers.then_some(trailers);
        let mut wire = encode(&pieces, trailers.as_ref());
        wire.extend_from_slice(b"GET");
        let decoded = decode(&wire, &cuts(&wire, &at));
        prop_assert_eq!(decoded, Ok((pieces.concat(), trailers, b"GET".to_vec())));
    }

    #[test]
    fn nonsense_reads_the_same_however_it_is_cut(
        wire in prop::collection::vec(prop::sample::select(b"0123aAfF;=\"\\\r\n x:".to_vec()), 0..64),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        prop_assert_eq!(decode(&wire, &cuts(&wire, &at)), decode(&wire, &[]));
    }
}
