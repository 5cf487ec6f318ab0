//! One question to the identity provider over HTTP: bounded in time and size, no redirects, a connection of its own.

use std::{io, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::super::jwks::{FetchError, HEAD_BYTES_MAX, Trust, connect};
use crate::gate::session::ABOUT_BYTES_MAX;

/// Time for one question, from looking up the name to the last byte.
pub(super) const CALL_TIME_MAX: Duration = Duration::from_secs(4);

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call<'a> {
    /// What is there.
    Get,
    /// A form, perhaps with `Authorization`.
    Post(&'a str, Option<&'a str>),
}

/// Asks `url` once.
pub(super) async fn call(
    url: &str,
    call: Call<'_>,
    trust: &Trust,
) -> Result<(StatusCode, Bytes), FetchError> {
    let asking = tokio::time::timeout(CALL_TIME_MAX, Box::pin(ask(url, call, trust)));
    asking.await.map_err(|_| FetchError::TimedOut)?
}

async fn ask(url: &str, call: Call<'_>, trust: &Trust) -> Result<(StatusCode, Bytes), FetchError> {
    let uri: Uri = url.parse().map_err(|_| FetchError::Address("is malformed"))?;
    let request = request(&uri, call)?;
    let stream = connect(&uri, trust).await?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let answer = pin!(async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ABOUT_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| FetchError::Connect(io::Error::other(error)))?;
        Ok((status, body.to_bytes()))
    });
    // The connection moves the bytes. When it has ended, what it has read is still to be taken.
    match select(answer, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    }
}

fn request(uri: &Uri, call: Call<'_>) -> Result<Request<Full<Bytes>>, FetchError> {
    let authority = uri.authority().ok_or(FetchError::Address("has no host"))?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let builder = Request::builder()
        .uri(target)
        .header(header::HOST, authority.as_str())
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "banyan")
        .header(header::CONNECTION, "close");
    let request = match call {
        Call::Get => builder.method(Method::GET).body(Full::default()),
        Call::Post(form, authorization) => {
            let builder = builder
                .method(Method::POST)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            let builder = match authorization {
                Some(value) => builder.header(header::AUTHORIZATION, value),
                None => builder,
            };
            builder.body(Full::from(Bytes::copy_from_slice(form.as_bytes())))
        }
    };
    request.map_err(|_| FetchError::Address("is malformed"))
}
