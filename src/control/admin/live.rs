//! `GET /api/live`: what flags decide and how backends answer, each second, as server-sent events.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::json;

use super::{endpoints::Asked, refusal::Refusal, stay::STREAM_AGE_MAX};
use crate::{
    control::{
        live::{Changed, Figures, Health, Pulse, Tallied},
        plane::View,
    },
    observe::log::rfc3339,
};

/// Media type of server-sent events.
pub(super) const EVENTS: &str = "text/event-stream";
/// How long a client waits before it comes again, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// `GET /api/live`.
pub(super) fn answer(view: &View, asked: &Asked) -> Result<Response, Refusal> {
    let seats = Arc::clone(&view.pulse.seats);
    let seat = seats.try_acquire_owned().map_err(|_| Refusal::Full)?;
    let head = format!("retry: {RETRY_MS}\n\n{}", live(&view.pulse.figures()));
    let first = stream::once(std::future::ready(head));
    let body = if asked.one("once") == Some("true") {
        whole(first)
    } else {
        let ear = (Arc::clone(&view.pulse), view.pulse.bell());
        let told = stream::unfold(ear, |(pulse, mut bell)| async move {
            let rung = bell.changed().await;
            rung.is_ok().then(|| (events(&pulse), (pulse, bell)))
        });
        let told = told.take_until(tokio::time::sleep(STREAM_AGE_MAX));
        whole(first.chain(told.map(move |text| {
            let _ = &seat; // held as long as somebody listens
            text
        })))
    };
    let mut answer = body.into_response();
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    fields.insert(header::CONNECTION, HeaderValue::from_static("close")); // its seat among connections is another's by now
    Ok(answer)
}

fn whole(texts: impl Stream<Item = String> + Send + 'static) -> Body {
    Body::from_stream(texts.map(|text| Ok::<_, Infallible>(Bytes::from(text))))
}

fn events(pulse: &Pulse) -> String {
    let figures = pulse.figures();
    let mut text = String::new();
    match &figures.changed {
        Changed::None => {}
        Changed::Some(keys) => {
            for key in keys {
                text += &event("flag", &json!({ "key": key, "snapshot": figures.version }));
            }
        }
        Changed::Many => text += &event("flag", &json!({ "key": null, "snapshot": figures.version })),
    }
    text += &live(&figures);
    if figures.point {
        text += &event("point", &json!({ "beat": figures.beat }));
    }
    text
}

fn live(figures: &Figures) -> String {
    event("live", &Told::of(figures))
}

fn event(name: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default(); // one line, as JSON escapes the others
    format!("event: {name}\ndata: {data}\n\n")
}

/// An event `live`.
#[derive(Debug, Serialize)]
struct Told<'f> {
    at: String,
    /// Seconds of which `minute` is made: fewer right after the start.
    minute_seconds: usize,
    left_out: bool,
    flags: BTreeMap<&'f str, Spans<Variants<'f>>>,
    backends: BTreeMap<&'f str, Spans<Answers>>,
}

#[derive(Debug, Default, Serialize)]
struct Spans<T> {
    second: T,
    minute: T,
}

/// Decisions by variant, and there by reason.
type Variants<'f> = BTreeMap<&'f str, BTreeMap<&'f str, u64>>;

/// How a backend answered.
#[derive(Debug, Default, Serialize)]
struct Answers {
    requests: u64,
    failed: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl<'f> Told<'f> {
    fn of(figures: &'f Figures) -> Self {
        let mut told = Self {
            at: rfc3339(figures.second.at.secs()),
            minute_seconds: figures.minute_seconds,
            left_out: figures.minute.left_out,
            flags: BTreeMap::new(),
            backends: BTreeMap::new(),
        };
        told.take(
            &figures.minute,
            |spans| &mut spans.minute,
            |spans| &mut spans.minute,
        );
        told.take(
            &figures.second.what,
            |spans| &mut spans.second,
            |spans| &mut spans.second,
        );
        told
    }

    fn take(
        &mut self,
        from: &'f Tallied,
        variants: impl for<'s> Fn(&'s mut Spans<Variants<'f>>) -> &'s mut Variants<'f>,
        answers: impl Fn(&mut Spans<Answers>) -> &mut Answers,
    ) {
        for ((flag, variant, reason), count) in &from.decisions {
            let variants = variants(self.flags.entry(flag).or_default());
            variants.entry(variant).or_default().insert(reason, *count);
        }
        for (backend, health) in &from.backends {
            *answers(self.backends.entry(backend).or_default()) = Answers::of(health);
        }
    }
}

impl Answers {
    fn of(health: &Health) -> Self {
        Self {
            requests: health.requests,
            failed: health.failed,
            p50_ms: millis(health, 0.5),
            p99_ms: millis(health, 0.99),
        }
    }
}

/// A quantile of a backend's times in milliseconds, to a tenth.
pub(super) fn millis(health: &Health, share: f64) -> Option<f64> {
    health
        .times
        .quantile(share)
        .map(|seconds| (seconds * 10_000.0).round() / 10.0)
}
