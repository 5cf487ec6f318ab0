//! A socket reads all that is there, and gives it out as it is asked.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{AHEAD_BYTES, Socket};

async fn pair() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (Socket::new(listener.accept().await.unwrap().0), far)
}

#[tokio::test]
async fn what_is_not_asked_for_waits_and_nothing_is_held_afterwards() {
    let (mut near, mut far) = pair().await;
    far.write_all(b"hello there").await.unwrap();
    let mut five = [0; 5];
    near.read_exact(&mut five).await.unwrap();
    assert_eq!(&five, b"hello");
    assert_eq!(near.ahead.len(), 6);
    let mut more = [0; 16];
    assert_eq!(near.read(&mut more).await.unwrap(), 6);
    assert_eq!(&more[..6], b" there");
    assert_eq!(near.ahead.capacity(), 0);
    far.shutdown().await.unwrap();
    assert_eq!(near.read(&mut more).await.unwrap(), 0);
}

#[tokio::test]
async fn a_look_ahead_takes_nothing() {
    let (mut near, mut far) = pair().await;
    far.write_all(b"GET").await.unwrap();
    assert_eq!(near.peek().await.unwrap(), b"GET");
    assert_eq!(near.peek().await.unwrap(), b"GET");
    let mut three = [0; 3];
    near.read_exact(&mut three).await.unwrap();
    assert_eq!(&three, b"GET");
    drop(far);
    assert!(near.peek().await.unwrap().is_empty());
}

#[tokio::test]
async fn much_arrives_whole_and_in_order_through_small_reads() {
    let (mut near, mut far) = pair().await;
    let sent: Vec<u8> = (0..3 * AHEAD_BYTES).map(|at| (at % 251) as u8).collect();
    let expected = sent.clone();
    let writing = tokio::spawn(async move { far.write_all(&sent).await });
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    while received.len() < expected.len() {
        let count = near.read(&mut piece).await.unwrap();
        received.extend_from_slice(&piece[..count]);
        assert!(near.filled <= AHEAD_BYTES);
    }
    assert_eq!(received, expected);
    writing.await.unwrap().unwrap();
}
