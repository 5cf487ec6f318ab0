//! Bytes go through TLS as they are, in one record where one is enough.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{PIECE_BYTES, PIECES_MAX, Secure};

/// What stands in for TLS: it gives out what was put in, and notes the pieces of each write.
#[derive(Default)]
struct Fake {
    plaintext: VecDeque<io::Result<Vec<u8>>>,
    writes: Vec<Vec<usize>>,
}

impl AsyncRead for Fake {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        unreachable!("the plaintext is taken from where it lies")
    }
}

impl AsyncBufRead for Fake {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if let Some(error) = this.plaintext.pop_front_if(|first| first.is_err()) {
            return Poll::Ready(error.map(|_| &[][..]));
        }
        match this.plaintext.front() {
            Some(Ok(data)) => Poll::Ready(Ok(data)),
            _ => Poll::Pending,
        }
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        let this = self.get_mut();
        let Some(Ok(first)) = this.plaintext.front_mut() else {
            return;
        };
        first.drain(..count);
        if first.is_empty() && count > 0 {
            this.plaintext.pop_front();
        }
    }
}

impl AsyncWrite for Fake {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().writes.push(vec![buf.len()]);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let lengths: Vec<usize> = bufs.iter().map(|buf| buf.len()).collect();
        let all = lengths.iter().sum();
        self.get_mut().writes.push(lengths);
        Poll::Ready(Ok(all))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn reading(plaintext: Vec<io::Result<Vec<u8>>>) -> Secure<Fake> {
    Secure::new(Fake {
        plaintext: plaintext.into(),
        ..Fake::default()
    })
}

#[tokio::test]
async fn one_read_takes_all_that_is_decrypted() {
    let sent: Vec<u8> = (0..3 * PIECE_BYTES).map(|at| (at % 251) as u8).collect();
    let (first, second) = sent.split_at(PIECE_BYTES + 5);
    let mut near = reading(vec![Ok(first.to_vec()), Ok(second.to_vec())]);
    let mut received = vec![0; sent.len() - 7];
    assert_eq!(near.read(&mut received).await.unwrap(), sent.len() - 7);
    assert_eq!(received, sent[..sent.len() - 7]);
    assert_eq!(near.read(&mut received).await.unwrap(), 7);
    assert_eq!(received[..7], sent[sent.len() - 7..]);
}

#[tokio::test]
async fn an_error_behind_bytes_is_told_by_the_next_read_and_an_end_is_an_end() {
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    let mut near = reading(vec![Ok(b"last words".to_vec()), Err(reset()), Ok(Vec::new())]);
    let mut received = [0; 64];
    assert_eq!(near.read(&mut received).await.unwrap(), 10);
    let error = near.read(&mut received).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(near.read(&mut received).await.unwrap(), 0);
}

#[tokio::test]
async fn large_pieces_are_handed_on_in_small_ones() {
    let mut near = reading(Vec::new());
    near.write_all(b"small").await.unwrap();
    let large = vec![b'x'; 2 * PIECE_BYTES + 1];
    near.write_all(&large).await.unwrap();
    let parts = [io::IoSlice::new(b"head"), io::IoSlice::new(&large)];
    assert_eq!(near.write_vectored(&parts).await.unwrap(), 4 + large.len());
    let endless = vec![b'x'; (PIECES_MAX + 3) * PIECE_BYTES];
    assert_eq!(near.write(&endless).await.unwrap(), PIECES_MAX * PIECE_BYTES);
    assert_eq!(
        near.tls.writes,
        [
            vec![5],
            vec![PIECE_BYTES, PIECE_BYTES, 1],
            vec![4, PIECE_BYTES, PIECE_BYTES, 1],
            vec![PIECE_BYTES; PIECES_MAX],
        ]
    );
}
