//! A scripted server in memory, for the tests of the client.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{Connection, Home};
use crate::{
    body::Body,
    fields::Fields,
    message::{self, Head, Response},
    stream::Stream,
    wire::{ExchangeTimeouts, Interim, SendError},
};

/// Keeps what comes home.
#[derive(Default)]
pub(super) struct Pool(pub(super) RefCell<Vec<Connection>>);

impl Home for Pool {
    fn keep(&self, connection: Connection) {
        self.0.borrow_mut().push(connection);
    }
}

/// Notes interim answers.
#[derive(Default)]
pub(super) struct Notes(pub(super) Vec<String>);

impl Interim for Notes {
    fn send(&mut self, status: StatusCode, headers: &Fields) {
        self.0.push(format!("{} {}", status.as_u16(), headers.len()));
    }
}

pub(super) const TIMEOUTS: ExchangeTimeouts = ExchangeTimeouts {
    first_byte: Duration::from_secs(5),
    between_bytes: Duration::from_secs(3),
};

/// A connection and its far end.
pub(super) fn pair(pipe: usize) -> (Connection, DuplexStream) {
    let (near, far) = tokio::io::duplex(pipe);
    (Connection::new(Stream::Memory(near), 4096, 20), far)
}

pub(super) fn head(method: &str, fields: &[(&str, &str)]) -> Head {
    let mut request = Request::builder().method(method).uri("/x?y").header("host", "a");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    message::Request::from(request.body(Body::Empty).unwrap()).head
}

/// Sends over `connection` with nobody waiting for interim answers.
pub(super) async fn send(
    connection: Connection,
    head: &Head,
    body: Body,
    pool: &Rc<Pool>,
) -> Result<Response, SendError> {
    let home: Rc<dyn Home> = Rc::<Pool>::clone(pool);
    connection
        .send(head, body, &mut Notes::default(), TIMEOUTS, home)
        .await
}

/// Reads until `end` has come.
pub(super) async fn hear_until(far: &mut DuplexStream, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let byte = far.read_u8().await.unwrap();
        all.push(byte);
    }
    String::from_utf8(all).unwrap()
}

/// Answers one request without a body.
pub(super) async fn answer(far: &mut DuplexStream, text: &[u8]) -> String {
    let heard = hear_until(far, "\r\n\r\n").await;
    far.write_all(text).await.unwrap();
    heard
}

/// Reads a body to its end: the data, the trailers, and how it ended.
pub(super) async fn read(mut body: Body) -> String {
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => text += &String::from_utf8_lossy(&data),
            Ok(Err(frame)) => {
                for (name, value) in &frame.into_trailers().unwrap() {
                    text += &format!("|{name}:{}", value.to_str().unwrap());
                }
            }
            Err(error) => return format!("{text}!{error}"),
        }
    }
    text
}

/// A body that is fed by hand.
pub(super) struct Fed(
    pub(super) tokio::sync::mpsc::UnboundedReceiver<bytes::Bytes>,
    pub(super) Rc<Cell<usize>>,
);

impl http_body::Body for Fed {
    type Data = bytes::Bytes;
    type Error = crate::body::BodyError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        let this = self.get_mut();
        this.1.set(this.1.get() + 1);
        this.0
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

/// Runs a test on a paused clock, as a core runs.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}
