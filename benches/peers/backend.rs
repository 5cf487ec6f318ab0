//! The backend of all peers: HTTP/1.1 in ready-made bytes, kept-alive connections, one thread.

use std::{cell::Cell, io, net::SocketAddr, rc::Rc};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
};

use super::{
    browser::{LARGE, MIDDLE, SMALL},
    end_with_parent, runtime,
};

/// Eleven fields with the length, as an application sends them.
const FIELDS: &str = "date: Sat, 21 Nov 2026 08:00:00 GMT\r\nserver: pages\r\ncontent-type: text/html; charset=utf-8\r\n\
cache-control: private, no-cache\r\netag: \"5f3c-63a1b2c3d4e5f\"\r\nlast-modified: Fri, 20 Nov 2026 17:30:00 GMT\r\n\
vary: accept-encoding\r\nx-content-type-options: nosniff\r\nreferrer-policy: strict-origin-when-cross-origin\r\n\
content-language: en\r\n";

/// The same of an answer that everybody may keep.
const KEPT: &str = "server: pages\r\ncontent-type: text/html; charset=utf-8\r\ncache-control: public, max-age=86400\r\n\
etag: \"5f3c-63a1b2c3d4e5f\"\r\nlast-modified: Fri, 20 Nov 2026 17:30:00 GMT\r\nvary: accept-encoding\r\n\
x-content-type-options: nosniff\r\nreferrer-policy: strict-origin-when-cross-origin\r\ncontent-language: en\r\n";

/// Times that it answers what should be kept: who asks oftener keeps nothing, and is told so.
const KEPT_MAX: u32 = 10_000;
const TOO_OFTEN: &[u8] = b"HTTP/1.1 500 Not Kept\r\ncontent-length: 0\r\n\r\n";

/// What is answered, and how often what should be kept was asked for.
struct Answers {
    passed: [Vec<u8>; 2],
    kept: [Vec<u8>; 2],
    asked: Cell<u32>,
}

impl Answers {
    fn to(&self, head: &[u8]) -> &[u8] {
        let has = |path: &[u8]| memmem::find(head, path).is_some();
        if !has(b" /kept/") {
            return &self.passed[usize::from(has(b"/moving/large"))];
        }
        self.asked.set(self.asked.get() + 1);
        if self.asked.get() > KEPT_MAX {
            return TOO_OFTEN;
        }
        &self.kept[usize::from(has(b"/kept/middle"))]
    }
}

/// Prints the address that it serves, and serves until whoever started it is gone.
pub(super) fn run() {
    LocalSet::new().block_on(&runtime(), async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        end_with_parent();
        let answers = Rc::new(Answers {
            passed: [answer(FIELDS, SMALL), answer(FIELDS, LARGE)],
            kept: [answer(KEPT, SMALL), answer(KEPT, MIDDLE)],
            asked: Cell::default(),
        });
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let answers = Rc::clone(&answers);
            spawn_local(async move {
                // a proxy that goes away ends its connection
                let _ = serve(stream, &answers).await;
            });
        }
    });
}

fn answer(fields: &str, body: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {body}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + body, b'x');
    answer
}

async fn serve(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut filled) = (vec![0; 16 * 1024], 0);
    loop {
        let read = &buffer[..filled];
        let Some(end) = memmem::find(read, b"\r\n\r\n").map(|at| at + 4) else {
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                more => filled += more,
            }
            continue;
        };
        let head = &read[..end];
        let answer = answers.to(head);
        if head.starts_with(b"POST") {
            match length(head) {
                Some(length) => swallow(&mut stream, length.saturating_sub(filled - end)).await?,
                None => swallow_chunks(&mut stream, &read[end..]).await?,
            }
            filled = 0;
        } else {
            buffer.copy_within(end..filled, 0);
            filled -= end;
        }
        stream.write_all(answer).await?;
    }
}

fn length(head: &[u8]) -> Option<usize> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    request.parse(head).ok()?;
    let mut fields = request.headers.iter();
    let length = fields.find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    std::str::from_utf8(length.value).ok()?.parse().ok()
}

async fn swallow(stream: &mut TcpStream, mut left: usize) -> io::Result<()> {
    let mut scratch = vec![0; 64 * 1024];
    while left > 0 {
        match stream.read(&mut scratch).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => left = left.saturating_sub(more),
        }
    }
    Ok(())
}

/// Reads until the last chunk; what is uploaded holds no `0` itself.
async fn swallow_chunks(stream: &mut TcpStream, read: &[u8]) -> io::Result<()> {
    let mut scratch = vec![0; 64 * 1024];
    let mut filled = read.len();
    scratch[..filled].copy_from_slice(read);
    while !scratch[..filled].ends_with(b"\r\n0\r\n\r\n") {
        let keep = filled.min(6);
        scratch.copy_within(filled - keep..filled, 0);
        match stream.read(&mut scratch[keep..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => filled = keep + more,
        }
    }
    Ok(())
}
