//! A WebSocket that says everything back (RFC 6455), just enough for the demo.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::server::{Asked, Reply, reply};

/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Longest frame that is said back, in bytes. A longer one ends the conversation with 1009.
const FRAME_BYTES_MAX: u64 = 64 * 1024;

const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FIN: u8 = 0x80;

/// Answers 101 and says back what comes, until the client closes.
pub(super) fn echo(mut asked: Asked) -> Reply {
    let key = asked.header("sec-websocket-key");
    let wants = asked.header("upgrade").eq_ignore_ascii_case("websocket") && !key.is_empty();
    let accept = digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}{GUID}").as_bytes(),
    );
    let Ok(accept) = HeaderValue::from_str(&STANDARD.encode(accept)) else {
        return reply(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "");
    };
    if !wants {
        let mut refusal = reply(
            StatusCode::UPGRADE_REQUIRED,
            "text/plain",
            "this is a WebSocket\n",
        );
        refusal
            .headers_mut()
            .insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return refusal;
    }
    let upgrade = hyper::upgrade::on(&mut asked.request);
    tokio::spawn(async move {
        if let Ok(stream) = upgrade.await {
            let _ = converse(TokioIo::new(stream)).await; // a client that went away is no news
        }
    });
    let mut switching = reply(StatusCode::SWITCHING_PROTOCOLS, "text/plain", "");
    let headers = switching.headers_mut();
    headers.clear();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    switching
}

/// Reads frame by frame (RFC 6455 section 5.2), fragments included, and writes each back unmasked.
async fn converse(stream: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let (read, mut write) = io::split(stream);
    let mut read = std::pin::pin!(read);
    loop {
        let [first, second] = [read.read_u8().await?, read.read_u8().await?];
        let length = match second & 0x7F {
            126 => u64::from(read.read_u16().await?),
            127 => read.read_u64().await?,
            short => u64::from(short),
        };
        if length > FRAME_BYTES_MAX {
            return write.write_all(&[FIN | CLOSE, 2, 0x03, 0xF1]).await; // 1009: too big
        }
        if second & 0x80 == 0 {
            return write.write_all(&[FIN | CLOSE, 2, 0x03, 0xEA]).await; // 1002: a client must mask
        }
        let mut mask = [0; 4];
        read.read_exact(&mut mask).await?;
        let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
        read.read_exact(&mut payload).await?;
        payload
            .iter_mut()
            .zip(mask.iter().cycle())
            .for_each(|(byte, mask)| *byte ^= mask);
        match first & 0x0F {
            PING => frame(&mut write, FIN | PONG, &payload).await?,
            PONG => {}
            CLOSE => return frame(&mut write, first, &payload).await,
            _ => frame(&mut write, first, &payload).await?,
        }
    }
}

async fn frame(write: &mut (impl AsyncWrite + Unpin), first: u8, payload: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(payload.len() + 10);
    bytes.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..=125), _) => bytes.push(short),
        (_, Ok(medium)) => {
            bytes.push(126);
            bytes.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    write.write_all(&bytes).await?;
    write.flush().await
}
