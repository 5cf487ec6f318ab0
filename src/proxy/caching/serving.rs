//! An answer made of what is kept: whole, a part, or the word that the client has it already.

use http::{Method, StatusCode};

use super::arriving::Arriving;
use crate::{
    body::Body,
    cache::{
        conditional::{Conditions, strip_for_304},
        range::{self, Part},
        status::Told,
        store::{Chunks, Entry, Times},
    },
    clock::UnixTime,
    fields::{Fields, Known, Value},
    message::{Head, Response},
};

/// What a client wants beside what everybody wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// It asked by HEAD.
    pub head_only: bool,
    conditions: Conditions,
    /// `Range` as it came.
    pub range: Option<Vec<u8>>,
    /// `If-Range` as it came.
    pub if_range: Option<Vec<u8>>,
}

impl Wanted {
    /// What a request wants.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        let one = |name| {
            head.headers
                .get(name)
                .map(|value: Value<'_>| value.as_bytes().to_vec())
        };
        Self {
            head_only: head.method == Method::HEAD,
            conditions: Conditions::of(&head.headers),
            range: one(Known::RANGE),
            if_range: one(Known::IF_RANGE),
        }
    }

    /// Puts back into a request that it is for a part.
    pub fn ask_for_part(&self, fields: &mut Fields) {
        for (name, value) in [(Known::RANGE, &self.range), (Known::IF_RANGE, &self.if_range)] {
            if let Some(value) = value {
                fields.insert(name, value);
            }
        }
    }

    /// Answers with a kept entry.
    #[must_use]
    pub fn from_entry(&self, entry: &Entry, told: Told, now: UnixTime) -> Response {
        let body = entry.body();
        let mut response = Response::new(entry.status(), Body::Empty);
        response.headers = entry.fields().with_room(ADDED_BYTES, ADDED_LINES);
        age(&mut response.headers, entry.times(), now);
        self.fit(&mut response, entry.times(), Some(body));
        tell(&mut response.headers, told);
        response
    }

    /// Answers with one that is arriving. `None`: its beginning has gone already.
    #[must_use]
    pub fn from_arriving(
        &self,
        arriving: &std::sync::Arc<Arriving>,
        told: Told,
        now: UnixTime,
    ) -> Option<Response> {
        let mut response = Response::new(arriving.status, arriving.read()?);
        response.headers = arriving.fields.clone();
        age(&mut response.headers, &arriving.times, now);
        self.fit(&mut response, &arriving.times, None);
        tell(&mut response.headers, told);
        Some(response)
    }

    /// Makes of the whole answer what the client wants of it. `kept` is its body where it is all here; a body that is still on its
    /// way is sent whole.
    pub fn fit(&self, response: &mut Response, times: &Times, kept: Option<&Chunks>) {
        if response.status == StatusCode::OK && self.conditions.are_met(&response.headers, times.answered) {
            response.status = StatusCode::NOT_MODIFIED;
            strip_for_304(&mut response.headers);
            response.body = Body::Empty;
            return;
        }
        if self.head_only {
            if let Some(kept) = kept {
                response
                    .headers
                    .insert(Known::CONTENT_LENGTH, kept.len().to_string());
            }
            response.body = Body::Empty;
            return;
        }
        let Some(kept) = kept else { return };
        let whole = kept.len();
        let part = match &self.range {
            Some(range)
                if response.status == StatusCode::OK
                    && range::holds(self.if_range.as_deref(), &response.headers) =>
            {
                range::asked(range, whole)
            }
            _ => Part::Whole,
        };
        let fields = &mut response.headers;
        match part {
            Part::Whole => response.body = kept.body(),
            Part::Bytes(from, to) => {
                response.status = StatusCode::PARTIAL_CONTENT;
                let last = to.saturating_sub(1);
                fields.insert(Known::CONTENT_RANGE, format!("bytes {from}-{last}/{whole}"));
                fields.insert(Known::CONTENT_LENGTH, (to - from).to_string());
                response.body = kept.range(from, to);
            }
            Part::Beyond => {
                response.status = StatusCode::RANGE_NOT_SATISFIABLE;
                strip_for_304(fields);
                fields.insert(Known::CONTENT_RANGE, format!("bytes */{whole}"));
                response.body = Body::Empty;
            }
        }
    }
}

/// Answers with all of a kept entry.
#[must_use]
pub(super) fn whole(entry: &Entry, told: Told, now: UnixTime) -> Response {
    let mut response = Response::new(entry.status(), entry.body().body());
    response.headers = entry.fields().with_room(ADDED_BYTES, ADDED_LINES);
    age(&mut response.headers, entry.times(), now);
    tell(&mut response.headers, told);
    response
}

/// Room for what is added to the fields of a kept answer: age, what the cache did, the request's number, a cookie.
const ADDED_BYTES: usize = 384;
const ADDED_LINES: usize = 6;

fn age(fields: &mut Fields, times: &Times, now: UnixTime) {
    let age = times.age(now).as_secs();
    fields.insert_with(Known::AGE, |text| {
        text.extend_from_slice(itoa::Buffer::new().format(age).as_bytes());
    });
}

/// Says what the cache did, after what caches nearer to the backend said.
pub fn tell(fields: &mut Fields, told: Told) {
    fields.append_with("cache-status", |text| told.write(text));
}

/// Seconds of freshness that are left.
#[must_use]
pub fn ttl(times: &Times, now: UnixTime) -> i64 {
    let whole = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    whole(times.lifetime).saturating_sub(whole(times.age(now)))
}
