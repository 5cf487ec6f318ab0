//! Clients that go away in the middle, and slow ones.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::client::TlsStream;

use super::{
    backends::BIG,
    client::{Done, failed, of_length, pause},
    load::{Load, must},
};

/// Begins all of them.
pub(super) fn start(load: &Rc<Load>, tasks: &mut Vec<JoinHandle<()>>) {
    tasks.push(load.paced(must("gone, no handshake"), 100, no_handshake));
    tasks.push(load.paced(must("gone, mid-head"), 100, mid_head));
    tasks.push(load.paced(must("gone, mid-body"), 100, mid_body));
    tasks.push(load.paced(must("gone, mid-answer"), 100, mid_answer));
    tasks.push(load.paced(must("gone, by reset"), 100, by_reset));
    tasks.push(load.paced(must("gone, stream reset"), 100, stream_reset));
    for _ in 0..4 {
        tasks.push(load.paced(must("slow, head"), 100, slow_head));
        tasks.push(load.paced(must("slow, reader"), 100, slow_reader));
        tasks.push(load.paced(must("slow, upload"), 100, slow_upload));
        tasks.push(load.paced(must("slow, never ends"), 100, never_ends));
    }
}

async fn begun(load: &Load, text: &str) -> Done<TlsStream<TcpStream>> {
    let mut tls = load.dialer.tls(None).await?;
    tls.write_all(text.as_bytes()).await.map_err(failed("send"))?;
    Ok(tls)
}

async fn no_handshake(load: &Load) -> Done {
    let mut tcp = load.dialer.tcp(None).await.map_err(failed("connect"))?;
    tcp.write_all(&[22, 3, 1, 2]).await.map_err(failed("send"))
}

async fn mid_head(load: &Load) -> Done {
    begun(load, "GET /page-1 HTTP/1.1\r\nhost: local").await?;
    Ok(())
}

async fn mid_body(load: &Load) -> Done {
    let head = "POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n";
    let mut tls = begun(load, head).await?;
    tls.write_all(&[b'u'; 50_000]).await.map_err(failed("send"))?;
    pause(5).await;
    Ok(())
}

async fn mid_answer(load: &Load) -> Done {
    let mut tls = begun(load, "GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let read = tls.read_exact(&mut [0; 64 * 1024]).await;
    read.map_err(failed("answer"))?;
    Ok(())
}

async fn by_reset(load: &Load) -> Done {
    let mut tls = begun(load, "GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let read = tls.read_exact(&mut [0; 16 * 1024]).await;
    read.map_err(failed("answer"))?;
    let tcp = tls.get_ref().0;
    let linger = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    linger.map_err(failed("linger"))
}

async fn stream_reset(load: &Load) -> Done {
    let mut sender = load.dialer.http2().await?;
    for _ in 0..10 {
        let request = load.dialer.request(Method::GET, "/streams/big", Bytes::new());
        let mut response = sender.send_request(request).await.map_err(failed("send"))?;
        let first = response.body_mut().frame().await;
        first.ok_or("an empty answer")?.map_err(failed("answer"))?;
    }
    Ok(())
}

async fn slow_head(load: &Load) -> Done {
    let mut tls = load.dialer.tls(None).await?;
    for piece in "GET /page-1 HTTP/1.1\r\nhost: localhost\r\n\r\n"
        .as_bytes()
        .chunks(2)
    {
        tls.write_all(piece).await.map_err(failed("send"))?;
        pause(50).await;
    }
    let mut start = [0; 13];
    tls.read_exact(&mut start).await.map_err(failed("answer"))?;
    match &start {
        b"HTTP/1.1 200 " => Ok(()),
        other => Err(String::from_utf8_lossy(other).into_owned()),
    }
}

async fn slow_reader(load: &Load) -> Done {
    let mut tls = load.dialer.tls(Some(16 * 1024)).await?;
    let head = "GET /big HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    tls.write_all(head.as_bytes()).await.map_err(failed("send"))?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 32 * 1024]);
    loop {
        match tls.read(&mut buffer).await.map_err(failed("answer"))? {
            0 => break,
            more => bytes.extend_from_slice(buffer.get(..more).unwrap_or_default()),
        }
        pause(50).await;
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    of_length(bytes.len() - end.ok_or("no head")? - 4, BIG)
}

async fn slow_upload(load: &Load) -> Done {
    let head = "POST /upload HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut tls = begun(load, head).await?;
    for _ in 0..10 {
        tls.write_all(b"5\r\nhello\r\n").await.map_err(failed("send"))?;
        pause(200).await;
    }
    tls.write_all(b"0\r\n\r\n").await.map_err(failed("send"))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n50") {
        answer.push(tls.read_u8().await.map_err(failed("answer"))?);
    }
    Ok(())
}

/// Half a head, and then silence: the router closes in time.
async fn never_ends(load: &Load) -> Done {
    let mut tls = begun(load, "GET /page-1 HTTP/1.1\r\nhost: local").await?;
    let mut answer = Vec::new();
    let _ = tls.read_to_end(&mut answer).await; // a reset is a close too
    match answer.starts_with(b"HTTP/1.1 408 ") {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&answer).into_owned()),
    }
}
