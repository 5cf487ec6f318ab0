//! Lines as CloudFront's standard log has them: 33 fields in its order, tab-separated, so that tools for it go on working.
//!
//! What stands where, and where it is less than CloudFront's:
//! - `date`, `time`: the end of the exchange. `x-edge-location`: `[log] location`, or the host name.
//! - `sc-bytes`, `cs-bytes`: bodies and heads, the heads as HTTP/1.1 writes them.
//! - `cs(Host)`: the host asked for, lower case, no port; `x-host-header`: the same as it came.
//! - `cs(Cookie)`: always `-`. Cookies hold sessions; CloudFront logs them only when told to.
//! - `x-edge-result-type`, also as the detailed type and that of the answer: see [`results`].
//! - `fle-status`, `fle-encrypted-fields`: always `-`.
//! - `time-to-first-byte`: until the backend's head was there; of Banyan's own answers `time-taken`.

use std::{fs, net::IpAddr, time::Duration};

use http::{HeaderValue, StatusCode, Version};

use super::text::{write_address, write_hex, write_number};
use crate::{
    clock,
    observe::record::{Listener, Outcome, Record, Side},
};

/// What the first two lines of a file say.
pub(super) const FILE_HEAD: &str = "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status \
    cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes \
    time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status \
    fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start \
    sc-range-end\n";

/// This machine's name, for `x-edge-location`.
#[must_use]
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "banyan".to_owned(),
        name => name.to_owned(),
    }
}

/// What lines of one second begin with: date, time and location.
pub(super) fn write_stamp(second: u64, location: &str, stamp: &mut Vec<u8>) {
    super::stamp::write_date_and_time(second, stamp);
    stamp.push(b'\t');
    Line { to: stamp }.text(Some(location));
}

/// The second in which an exchange ended.
pub(super) fn second(record: &Record) -> u64 {
    let end = record
        .began_at_us
        .saturating_add(clock::micros(record.timings.total));
    end / 1_000_000
}

/// The rest of a line, behind [`write_stamp`].
pub(super) fn write(record: &Record, stamp: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(stamp);
    let details = record.details_of_wire.as_deref();
    let results = results(record);
    let mut line = Line { to };
    line.number(record.bytes_out + details.map_or(0, |details| details.head_bytes_out));
    line.address(record.client);
    line.text(record.target.is_some().then_some(record.method.as_str()));
    line.host(record.host.as_ref());
    line.text(record.path());
    line.word(record.status.as_ref().map_or("000", StatusCode::as_str));
    line.field(record.referer.as_ref());
    line.field(record.user_agent.as_ref());
    line.text(record.query());
    line.nothing(); // cs(Cookie)
    line.word(results.whole);
    line.field(record.request_id.as_ref());
    line.field(record.host.as_ref());
    line.word(scheme(record));
    line.number(record.bytes_in + details.map_or(0, |details| details.head_bytes_in));
    line.seconds(record.timings.total);
    line.field(details.and_then(|details| details.forwarded_for.as_ref()));
    let tls = record.tls.as_deref();
    line.text(tls.map(|tls| tls_version(tls.version)));
    line.text(tls.and_then(|tls| tls.cipher));
    line.word(results.answer);
    line.word(match record.version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => record.protocol(),
    });
    line.nothing(); // fle-status
    line.nothing(); // fle-encrypted-fields
    line.number_or_nothing(details.and_then(|details| details.client_port.map(u64::from)));
    line.seconds(record.first_byte_time());
    line.word(results.detail);
    line.field(details.and_then(|details| details.content_type.as_ref()));
    line.number_or_nothing(details.and_then(|details| details.content_length));
    let range = details.and_then(|details| details.range);
    line.number_or_nothing(range.map(|(first, _)| first));
    line.number_or_nothing(range.map(|(_, last)| last));
    line.end();
}

fn scheme(record: &Record) -> &'static str {
    match (record.listener, record.outcome) {
        (Listener::Https, Outcome::Tunnelled) => "wss",
        (_, Outcome::Tunnelled) => "ws",
        (listener, _) => listener.scheme(),
    }
}

fn tls_version(version: &str) -> &str {
    match version {
        "1.2" => "TLSv1.2",
        "1.3" => "TLSv1.3",
        other => other,
    }
}

/// What the cache was to it, where it answered.
fn from_cache(record: &Record) -> Option<&'static str> {
    match record.cache.get()?.result {
        "hit" | "stale" | "collapsed" => Some("Hit"),
        "revalidated" => Some("RefreshHit"),
        _ => None,
    }
}

/// An outcome in CloudFront's words.
struct Results {
    /// `x-edge-result-type`.
    whole: &'static str,
    /// `x-edge-response-result-type`: before the client could break it off.
    answer: &'static str,
    /// `x-edge-detailed-result-type`.
    detail: &'static str,
}

/// | ours | CloudFront's |
/// |---|---|
/// | forwarded or tunnelled | `Miss` |
/// | answered from the cache, fresh, stale or together with another | `Hit` |
/// | the same, once the backend had said that it still counts | `RefreshHit` |
/// | sent from http to https | `Redirect` |
/// | answered by Banyan on purpose | `FunctionGeneratedResponse` |
/// | a server's connections are all taken | `LimitExceeded` |
/// | a status of 400 or more, or a page in place of one; refused; malformed | `Error`, with the cause as its detail |
/// | the client went away | `Error`, status `000` if there was no answer |
fn results(record: &Record) -> Results {
    let status = record.error_page.map(|page| page.error).or(record.status);
    let failed = status.is_none_or(|status| status.as_u16() >= 400);
    let answer = match record.outcome {
        Outcome::Refused {
            reason: "connection_limit_reached",
            ..
        } => "LimitExceeded",
        Outcome::Refused { .. } | Outcome::Malformed(_) | Outcome::Abandoned => "Error",
        Outcome::Forwarded | Outcome::Tunnelled if !failed => from_cache(record).unwrap_or("Miss"),
        Outcome::Answered if !failed && record.listener == Listener::Http => "Redirect",
        Outcome::Answered if !failed => "FunctionGeneratedResponse",
        Outcome::Forwarded | Outcome::Tunnelled | Outcome::Answered => "Error",
    };
    let whole = if record.aborted.is_some() { "Error" } else { answer };
    let detail = match (record.outcome, record.aborted) {
        (Outcome::Abandoned, _) => "ClientHungUpRequest",
        (Outcome::Malformed(_), _) => "InvalidRequest",
        (Outcome::Refused { reason, side }, _) if answer == "Error" => cause(reason, side),
        (_, Some(Side::Client)) => "ClientCommError",
        (_, Some(Side::Backend | Side::Banyan)) => "OriginCommError",
        (_, None) => answer,
    };
    Results {
        whole,
        answer,
        detail,
    }
}

/// Error types of RFC 9209 as CloudFront calls the like.
fn cause(reason: &str, side: Side) -> &'static str {
    match reason {
        "dns_error" => "OriginDnsError",
        "connection_refused"
        | "connection_timeout"
        | "destination_ip_unroutable"
        | "destination_unavailable"
        | "tls_certificate_error"
        | "tls_alert_received"
        | "tls_protocol_error" => "OriginConnectError",
        "connection_terminated" | "http_response_timeout" => "OriginCommError",
        "http_response_header_section_size" => "OriginHeaderTooBigError",
        "http_protocol_error" | "http_upgrade_failed" => "OriginInvalidResponseError",
        "http_request_error" if side == Side::Client => "InvalidRequest",
        _ => "Error",
    }
}

/// A line that grows field by field; each ends with a tab until the last one's becomes the line's end.
struct Line<'a> {
    to: &'a mut Vec<u8>,
}

impl Line<'_> {
    /// Bytes of whatever kind.
    fn bytes(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) if !value.is_empty() => escape(value, self.to),
            _ => self.to.push(b'-'),
        }
        self.to.push(b'\t');
    }

    fn text(&mut self, value: Option<&str>) {
        self.bytes(value.map(str::as_bytes));
    }

    fn field(&mut self, value: Option<&HeaderValue>) {
        self.bytes(value.map(HeaderValue::as_bytes));
    }

    /// A word that needs no escaping.
    fn word(&mut self, word: &str) {
        self.to.extend_from_slice(word.as_bytes());
        self.to.push(b'\t');
    }

    fn nothing(&mut self) {
        self.to.extend_from_slice(b"-\t");
    }

    fn number(&mut self, value: u64) {
        write_number(value, self.to);
        self.to.push(b'\t');
    }

    fn number_or_nothing(&mut self, value: Option<u64>) {
        match value {
            Some(value) => self.number(value),
            None => self.nothing(),
        }
    }

    /// With three digits behind the point.
    fn seconds(&mut self, time: Duration) {
        let thousandths = clock::micros(time).saturating_add(500) / 1000;
        write_number(thousandths / 1000, self.to);
        self.to.push(b'.');
        for unit in [100, 10, 1] {
            write_number(thousandths / unit % 10, self.to);
        }
        self.to.push(b'\t');
    }

    fn address(&mut self, address: IpAddr) {
        write_address(address, self.to);
        self.to.push(b'\t');
    }

    /// The name that a `Host` field says, without its port.
    fn host(&mut self, host: Option<&HeaderValue>) {
        let bytes = host.map(HeaderValue::as_bytes).unwrap_or_default();
        let end = match bytes.first() {
            Some(b'[') => bytes.iter().position(|byte| *byte == b']').map(|at| at + 1),
            _ => bytes.iter().position(|byte| *byte == b':'),
        };
        let begin = self.to.len();
        self.bytes(bytes.get(..end.unwrap_or(bytes.len())));
        if let Some(written) = self.to.get_mut(begin..)
            && !written.contains(&b'%')
        {
            written.make_ascii_lowercase();
        }
    }

    fn end(self) {
        if let Some(last) = self.to.last_mut() {
            *last = b'\n';
        }
    }
}

/// CloudFront's own list of characters that it writes as `%HH`: control characters, the space, what is not ASCII, and what
/// RFC 1738 calls unsafe; with the percent sign itself, so that what is written reads back.
fn escape(text: &[u8], to: &mut Vec<u8>) {
    const fn is_escaped(byte: u8) -> bool {
        matches!(
            byte,
            0..=b' ' | b'"' | b'#' | b'%' | b'\'' | b'<' | b'>' | b'[' | b'\\' | b']' | b'^' | b'`' | b'{'..=0xff
        )
    }
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| is_escaped(*byte)) {
        let (clean, odd) = rest.split_at(at);
        to.extend_from_slice(clean);
        let Some((byte, after)) = odd.split_first() else {
            return;
        };
        to.push(b'%');
        write_hex(*byte, to);
        rest = after;
    }
    to.extend_from_slice(rest);
}

#[cfg(test)]
#[path = "cloudfront_tests.rs"]
mod tests;
