//! What an access-log line looks like: flat JSON, NCSA combined, or as `cloudfront` has it.

use std::time::Duration;

use http::{HeaderValue, Version};

use super::{
    Format, cloudfront,
    stamp::{write_ncsa_time, write_rfc3339, write_six_digits},
    text::{escape_json, escape_ncsa, is_plain, write_address, write_number},
};
use crate::{
    clock,
    observe::{
        record::{FlagFacts, Lacking, Listener, Outcome, Record},
        trace::{SpanId, TraceId},
    },
};

/// Bytes that a line of usual size has room for at once.
const LINE_BYTES: usize = 1024;

/// Writes lines in one format. It remembers the second that it wrote last, since most lines share it.
#[derive(Debug)]
pub struct Lines {
    format: Format,
    second: u64,
    stamp: Vec<u8>,
}

/// The middle of a JSON line, from the route to who cut the exchange short: what exchanges of one kind have in common.
#[derive(Debug)]
pub(in crate::observe) struct Middle {
    before_user: Box<[u8]>,
    after_user: Box<[u8]>,
}

impl Lines {
    /// A writer of lines.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            format,
            second: u64::MAX,
            stamp: Vec::with_capacity(32),
        }
    }

    pub(super) const fn format(&self) -> &Format {
        &self.format
    }

    /// Appends the line of one exchange, with its newline.
    pub fn write(&mut self, record: &Record, to: &mut Vec<u8>) {
        self.write_around(record, None, to);
    }

    /// The same with the middle that is known already.
    pub(in crate::observe) fn write_around(
        &mut self,
        record: &Record,
        middle: Option<&Middle>,
        to: &mut Vec<u8>,
    ) {
        let second = match self.format {
            Format::Json | Format::Combined => record.began_at_us / 1_000_000,
            Format::CloudFront { .. } => cloudfront::second(record),
        };
        if second != self.second {
            self.stamp.clear();
            match &self.format {
                Format::Json => {
                    self.stamp.extend_from_slice(b"{\"time\":\"");
                    write_rfc3339(second, &mut self.stamp);
                    self.stamp.push(b'.');
                }
                Format::Combined => write_ncsa_time(second, &mut self.stamp),
                Format::CloudFront { location } => cloudfront::write_stamp(second, location, &mut self.stamp),
            }
            self.second = second;
        }
        to.reserve(LINE_BYTES);
        match self.format {
            Format::Json => write_json(record, &self.stamp, middle, to),
            Format::Combined => write_combined(record, &self.stamp, to),
            Format::CloudFront { .. } => cloudfront::write(record, &self.stamp, to),
        }
    }

    /// The middle of this record's line, and of all that agree in it.
    pub(in crate::observe) fn middle(&self, record: &Record) -> Option<Middle> {
        (self.format == Format::Json).then(|| {
            let (mut before_user, mut after_user) = (Vec::new(), Vec::new());
            json_decision(record, &mut Object { to: &mut before_user });
            json_answer(record, &mut Object { to: &mut after_user });
            Middle {
                before_user: before_user.into(),
                after_user: after_user.into(),
            }
        })
    }
}

/// A member's name with its comma, quotes and colon: one copy instead of three.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// The same with the quote that opens a text.
macro_rules! quoted {
    ($name:literal) => {
        concat!(",\"", $name, "\":\"")
    };
}

/// One flat object. What a reader always asks for is there even when it is unknown, as `null`; all else only when known.
fn write_json(record: &Record, stamp: &[u8], middle: Option<&Middle>, to: &mut Vec<u8>) {
    to.extend_from_slice(stamp);
    write_six_digits(record.began_at_us % 1_000_000, to);
    to.extend_from_slice(b"Z\"");
    let mut object = Object { to };
    object.ascii(quoted!("request_id"), record.request_id.as_ref());
    if let Some((trace, span)) = &record.trace {
        object.ids(*trace, *span);
    } else {
        object.null(key!("trace_id"));
    }
    json_request(record, &mut object);
    match middle {
        Some(middle) => object.to.extend_from_slice(&middle.before_user),
        None => json_decision(record, &mut object),
    }
    object.text(quoted!("user"), record.user.as_deref());
    match middle {
        Some(middle) => object.to.extend_from_slice(&middle.after_user),
        None => json_answer(record, &mut object),
    }
    json_measures(record, &mut object);
    object.to.extend_from_slice(b"}\n");
}

fn json_request(record: &Record, object: &mut Object<'_>) {
    match (record.listener, record.version) {
        (Listener::Https, Version::HTTP_11) => {
            object.name(",\"listener\":\"https\",\"protocol\":\"HTTP/1.1\"")
        }
        (Listener::Https, Version::HTTP_2) => object.name(",\"listener\":\"https\",\"protocol\":\"HTTP/2\""),
        _ => {
            object.word(quoted!("listener"), record.listener.as_str());
            object.word(quoted!("protocol"), record.protocol());
        }
    }
    if let Some(tls) = &record.tls {
        object.word(quoted!("tls"), tls.version);
        object.text(quoted!("sni"), tls.server_name.as_deref());
    }
    object.name(quoted!("client"));
    write_address(record.client, object.to);
    object.to.push(b'"');
    object.verbatim(quoted!("method"), record.method.as_str().as_bytes()); // a token, RFC 9110 section 9.1
    object.ascii(quoted!("host"), record.host.as_ref());
    object.text(quoted!("path"), record.path());
    object.text(quoted!("query"), record.query());
}

fn json_decision(record: &Record, object: &mut Object<'_>) {
    object.text_or_null(key!("route"), record.route.as_deref());
    object.text_or_null(key!("squad"), record.squad.as_deref());
    match &record.flag {
        Some(flag) => {
            object.text(quoted!("flag"), Some(&flag.flag));
            object.text(quoted!("variant"), Some(&flag.variant));
            object.word(quoted!("flag_reason"), flag.reason);
            object.feature_flag(flag);
        }
        None => {
            object.null(key!("flag"));
            object.null(key!("variant"));
            object.null(key!("flag_reason"));
        }
    }
    if !record.flags.is_empty() {
        object.flags(quoted!("flags"), &record.flags);
    }
    object.text(quoted!("visitor"), record.visitor);
    object.text(quoted!("gate"), record.gate);
    object.text(quoted!("would_deny"), record.would_deny);
}

fn json_answer(record: &Record, object: &mut Object<'_>) {
    object.text_or_null(key!("backend"), record.backend.as_deref());
    if let Some(failover) = &record.failover {
        object.text(quoted!("failover_from"), Some(&failover.from));
        object.word(quoted!("failover_cause"), failover.cause);
    }
    object.text_or_null(key!("server"), record.server.as_deref());
    object.number(key!("attempts"), u64::from(record.attempts));
    match record.status {
        Some(status) => object.number(key!("status"), u64::from(status.as_u16())),
        None => object.null(key!("status")),
    }
    if let Some(page) = record.error_page {
        object.number(key!("error_status"), u64::from(page.error.as_u16()));
        object.word(quoted!("error_page"), page.shown.unwrap_or("failed"));
    }
    if let Some(cache) = record.cache.get() {
        object.word(quoted!("cache"), cache.result);
        object.text(quoted!("cache_fwd"), cache.forwarded);
        object.text(quoted!("cache_detail"), cache.detail);
    }
    object.word(quoted!("outcome"), record.outcome.as_str());
    object.text_or_null(key!("reason"), record.outcome.reason());
    object.text(quoted!("side"), record.outcome.side().map(|side| side.as_str()));
    object.text(quoted!("details"), record.details);
    if let Outcome::Malformed(what) = record.outcome {
        object.text(quoted!("malformed"), Some(what));
    }
    object.text(quoted!("aborted"), record.aborted.map(|side| side.as_str()));
}

fn json_measures(record: &Record, object: &mut Object<'_>) {
    let timings = &record.timings;
    object.micros(key!("decide_us"), timings.decide);
    object.micros(key!("queue_us"), timings.queue);
    object.micros(key!("connect_us"), timings.connect);
    object.micros(key!("first_byte_us"), timings.first_byte);
    object.micros(key!("total_us"), Some(timings.total));
    if record.drained {
        object.name(concat!(key!("drained"), "true"));
    }
    if let Some(on) = &record.of_version {
        object.text(quoted!("version"), Some(&on.version));
        object.word(quoted!("version_by"), on.by);
    }
    match &record.lacking {
        Some(Lacking::At(backend)) => object.text(quoted!("asset_missing_at"), Some(backend)),
        Some(Lacking::Everywhere) => object.word(quoted!("asset_missing_at"), "everywhere"),
        None => {}
    }
    object.text(quoted!("room"), record.room);
    object.text(quoted!("drill"), record.drill);
    object.text(quoted!("hedge"), record.hedge);
    object.number(key!("bytes_in"), record.bytes_in);
    object.number(key!("bytes_out"), record.bytes_out);
    object.ascii(quoted!("user_agent"), record.user_agent.as_ref());
    object.ascii(quoted!("referer"), record.referer.as_ref());
}

/// A JSON object that has its first member already.
struct Object<'a> {
    to: &'a mut Vec<u8>,
}

impl Object<'_> {
    #[inline]
    fn name(&mut self, name: &str) {
        self.to.extend_from_slice(name.as_bytes());
    }

    /// A value that needs no escaping.
    #[inline]
    fn verbatim(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.to.extend_from_slice(value);
        self.to.push(b'"');
    }

    /// Both at once.
    fn ids(&mut self, trace: TraceId, span: SpanId) {
        let mut text =
            *b",\"trace_id\":\"00000000000000000000000000000000\",\"span_id\":\"0000000000000000\"";
        if let Some(place) = text.get_mut(13..45) {
            place.copy_from_slice(&trace.hex());
        }
        if let Some(place) = text.get_mut(58..74) {
            place.copy_from_slice(&span.hex());
        }
        self.to.extend_from_slice(&text);
    }

    /// A word from our own sources.
    fn word(&mut self, name: &str, value: &'static str) {
        self.verbatim(name, value.as_bytes());
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.name(name);
            escape_json(value.as_bytes(), self.to);
            self.to.push(b'"');
        }
    }

    fn text_or_null(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else {
            return self.null(name);
        };
        self.name(name);
        self.to.push(b'"');
        escape_json(value.as_bytes(), self.to);
        self.to.push(b'"');
    }

    /// A field's value, which should be ASCII but need not be text at all: what is not UTF-8 becomes U+FFFD.
    fn ascii(&mut self, name: &str, value: Option<&HeaderValue>) {
        let Some(value) = value else { return };
        self.name(name);
        if is_plain(value.as_bytes()) {
            self.to.extend_from_slice(value.as_bytes());
        } else {
            for chunk in value.as_bytes().utf8_chunks() {
                escape_json(chunk.valid().as_bytes(), self.to);
                if !chunk.invalid().is_empty() {
                    self.to.extend_from_slice("\u{fffd}".as_bytes());
                }
            }
        }
        self.to.push(b'"');
    }

    /// The same in OpenTelemetry's words (semantic conventions for feature flags), which has reasons and errors in lower case.
    fn feature_flag(&mut self, flag: &FlagFacts) {
        self.text(quoted!("feature_flag.key"), Some(&flag.flag));
        self.name(",\"feature_flag.provider.name\":\"banyan\"");
        self.text(quoted!("feature_flag.result.variant"), Some(&flag.variant));
        let reason = flag.reason.to_ascii_lowercase();
        self.text(quoted!("feature_flag.result.reason"), Some(&reason));
        let error = flag.error.map(str::to_ascii_lowercase);
        self.text(quoted!("error.type"), error.as_deref());
    }

    fn flags(&mut self, name: &str, flags: &[FlagFacts]) {
        self.name(name);
        for (at, flag) in flags.iter().enumerate() {
            if at > 0 {
                self.to.extend_from_slice(b", ");
            }
            escape_json(flag.flag.as_bytes(), self.to);
            self.to.push(b'=');
            escape_json(flag.variant.as_bytes(), self.to);
        }
        self.to.push(b'"');
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        write_number(value, self.to);
    }

    fn micros(&mut self, name: &str, value: Option<Duration>) {
        if let Some(value) = value {
            self.number(name, clock::micros(value));
        }
    }

    fn null(&mut self, name: &str) {
        self.name(name);
        self.to.extend_from_slice(b"null");
    }
}

/// `client - user [time] "request" status bytes "referer" "agent"`, as Apache documents it.
fn write_combined(record: &Record, stamp: &[u8], to: &mut Vec<u8>) {
    write_address(record.client, to);
    to.extend_from_slice(b" - ");
    quoted_ncsa(record.user.as_deref().map(str::as_bytes), to);
    to.extend_from_slice(b" [");
    to.extend_from_slice(stamp);
    to.extend_from_slice(b"] \"");
    if let Some(target) = &record.target {
        escape_ncsa(record.method.as_str().as_bytes(), to);
        to.push(b' ');
        escape_ncsa(target.as_bytes(), to);
        to.push(b' ');
        let protocol = match record.protocol() {
            "HTTP/2" => "HTTP/2.0", // what Apache and nginx write, and log readers expect
            "HTTP/3" => "HTTP/3.0",
            other => other,
        };
        to.extend_from_slice(protocol.as_bytes());
    } else {
        to.push(b'-');
    }
    to.extend_from_slice(b"\" ");
    match record.status {
        Some(status) => to.extend_from_slice(status.as_str().as_bytes()),
        None => to.extend_from_slice(b"499"), // nginx's word for a client that did not wait
    }
    to.push(b' ');
    match record.bytes_out {
        0 => to.push(b'-'),
        bytes => write_number(bytes, to),
    }
    for field in [&record.referer, &record.user_agent] {
        to.extend_from_slice(b" \"");
        quoted_ncsa(field.as_ref().map(HeaderValue::as_bytes), to);
        to.push(b'"');
    }
    to.push(b'\n');
}

fn quoted_ncsa(text: Option<&[u8]>, to: &mut Vec<u8>) {
    match text {
        Some(text) if !text.is_empty() => escape_ncsa(text, to),
        _ => to.push(b'-'),
    }
}
