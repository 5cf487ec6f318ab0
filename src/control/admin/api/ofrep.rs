//! Flags for programs, by OpenFeature's protocol, and a stream of changes.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::BoxFuture, stream};
use http::{StatusCode, header};
use std::{convert::Infallible, time::Duration};
use tokio::sync::Semaphore;

use super::super::{
    answer::{Answer, JSON},
    endpoints::{Asked, Needed, Order, Parameter},
    refusal::Refusal,
};
use crate::{
    clock,
    control::plane::View,
    ofrep::{
        Audience, Bulk, Question, Reply,
        context::Context,
        events::{self, caught_up},
        fault::Fault,
        single,
    },
};

/// What may be said beside the context of a question about all flags.
pub(in super::super) const BULK: &[Parameter] = &[Parameter {
    name: "flagConfigEtag",
    summary: "The `etag` of the event that led here.",
    needed: Needed::Maybe,
}];

/// How questions fail.
pub(in super::super) const OTHERWISE: &[(u16, &str)] = &[
    (
        400,
        "The context can't be used, or the flag failed: `errorCode` says which.",
    ),
    (404, "There is no such flag."),
];

/// Streams open at once: a quarter of the connections, so that who watches keeps nobody from acting.
const STREAMS_MAX: usize = 16;

static STREAMS: Semaphore = Semaphore::const_new(STREAMS_MAX);

/// `POST /ofrep/v1/evaluate/flags/{key}`.
pub(in super::super) fn one(
    view: View,
    asked: Asked,
    order: Order,
) -> BoxFuture<'static, Result<Answer, Refusal>> {
    async move {
        let context = match Context::read(&order.body) {
            Ok(context) => context,
            Err(fault) => return Ok(told(fault.reply(Some(&asked.key)))),
        };
        let (reply, _) = single(&question(&context), &asked.key, &view.live.current());
        Ok(told(reply))
    }
    .boxed()
}

/// `POST /ofrep/v1/evaluate/flags`.
pub(in super::super) fn all(
    view: View,
    asked: Asked,
    order: Order,
) -> BoxFuture<'static, Result<Answer, Refusal>> {
    async move {
        let context = match Context::read(&order.body) {
            Ok(context) => context,
            Err(fault) => return Ok(told(fault.reply(None))),
        };
        let caught_up = match asked.one("flagConfigEtag") {
            Some(mark) => caught_up(view.live.changes(), Audience::Programs, mark).await,
            None => true,
        };
        let at = view.live.current();
        let question = question(&context);
        let mut bulk = Bulk::default();
        let mut reply = loop {
            match bulk.go_on(&question, &at) {
                Some(reply) => break reply,
                None => tokio::task::yield_now().await,
            }
        };
        reply.tag = reply.tag.filter(|_| caught_up); // while this edge is behind another, nothing is known as unchanged
        Ok(told(reply))
    }
    .boxed()
}

/// `GET /ofrep/v1/events`.
pub(in super::super) fn events(view: &View, asked: &Asked) -> Result<Response, Refusal> {
    let Ok(seat) = STREAMS.try_acquire() else {
        let fault = Fault::TooMany { alone: false };
        let fields = [
            (header::RETRY_AFTER, fault.retry_after().unwrap_or_default()),
            (header::CONTENT_TYPE, JSON),
        ];
        return Ok((fault.status(), fields, fault.reply(None).text).into_response());
    };
    let known = asked.last_event.as_deref();
    let events = events::Stream::new(view.live.changes(), Audience::Programs, known, Duration::ZERO);
    let pieces = stream::unfold((events, seat), async |(mut events, seat)| {
        let piece = events.next().await?;
        Some((Ok::<_, Infallible>(piece), (events, seat)))
    });
    let body = Body::from_stream(pieces);
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, events::MEDIA)], body).into_response())
}

fn question(context: &Context) -> Question<'_> {
    Question {
        audience: Audience::Programs,
        subject: context.subject(clock::wall()),
    }
}

fn told(reply: Reply) -> Answer {
    Answer {
        status: reply.status,
        media: JSON,
        text: reply.text.into(),
        tag: reply.tag,
        always: false,
    }
}
