//! Facts that only the access log's format `cloudfront` shows: kept of an exchange where lines have that format, and nowhere else.

use http::HeaderValue;

use crate::{
    fields::{Fields, Known},
    message::{Head, Response},
};

/// What few formats ask for. Head sizes are those of HTTP/1.1 without what the connection itself adds to an answer (`Date`,
/// framing): what HTTP/2's compression makes of them is known to the connection alone.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// The port that the client came from; `None` behind a trusted proxy, which does not tell.
    pub client_port: Option<u16>,
    /// `X-Forwarded-For` as it came.
    pub forwarded_for: Option<HeaderValue>,
    /// Bytes of the request's head.
    pub head_bytes_in: u64,
    /// Bytes of the answer's head.
    pub head_bytes_out: u64,
    /// The answer's `Content-Type`.
    pub content_type: Option<HeaderValue>,
    /// The length that the answer announces.
    pub content_length: Option<u64>,
    /// First and last byte that a part of something holds (`Content-Range`).
    pub range: Option<(u64, u64)>,
}

impl Details {
    /// Of a request that came from `client_port`.
    #[must_use]
    pub fn of(head: &Head, client_port: Option<u16>) -> Self {
        let mut forwarded_for = Vec::new();
        for value in head.headers.get_all(Known::X_FORWARDED_FOR) {
            if !forwarded_for.is_empty() {
                forwarded_for.extend_from_slice(b", ");
            }
            forwarded_for.extend_from_slice(value.as_bytes());
        }
        let line = head.method.as_str().len() + head.target().len() + b"  HTTP/1.1\r\n".len();
        Self {
            client_port,
            forwarded_for: HeaderValue::from_bytes(&forwarded_for)
                .ok()
                .filter(|value| !value.is_empty()),
            head_bytes_in: head_bytes(line, &head.headers),
            ..Self::default()
        }
    }

    /// Takes what the head of the answer says.
    pub fn note_answer(&mut self, answer: &Response) {
        let fields = &answer.headers;
        let reason = answer.status.canonical_reason().unwrap_or_default();
        self.head_bytes_out = head_bytes(b"HTTP/1.1 000 \r\n".len() + reason.len(), fields);
        self.content_type = fields
            .get(Known::CONTENT_TYPE)
            .and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
        let told = fields
            .get(Known::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        self.content_length = told.or_else(|| http_body::Body::size_hint(&answer.body).exact());
        self.range = fields
            .get(Known::CONTENT_RANGE)
            .and_then(|value| range(value.to_str().ok()?));
    }
}

fn head_bytes(line: usize, fields: &Fields) -> u64 {
    let lines = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + b": \r\n".len());
    (line + lines.sum::<usize>() + b"\r\n".len()) as u64
}

/// `bytes 0-99/1234` (RFC 9110 section 14.4).
fn range(value: &str) -> Option<(u64, u64)> {
    let (range, _) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode, Version};

    use super::{Details, range};
    use crate::{
        body::Body,
        fields::Fields,
        message::{Head, Response},
    };

    #[test]
    fn heads_are_as_long_as_http_1_writes_them() {
        let mut fields = Fields::new();
        fields.append("host", "a");
        fields.append("x-forwarded-for", "192.0.2.1");
        fields.append("x-forwarded-for", "192.0.2.2");
        let head = Head::new(Method::GET, "/x?y", Version::HTTP_2, fields);
        let mut details = Details::of(&head, Some(7));
        let wire = "GET /x?y HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\n\r\n";
        assert_eq!(details.head_bytes_in, wire.len() as u64);
        assert_eq!(details.forwarded_for.as_ref().unwrap(), "192.0.2.1, 192.0.2.2");
        let mut answer = Response::new(StatusCode::PARTIAL_CONTENT, Body::full("0123"));
        answer.headers.append("content-range", "bytes 4-7/9");
        details.note_answer(&answer);
        let wire = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 4-7/9\r\n\r\n";
        assert_eq!(details.head_bytes_out, wire.len() as u64);
        assert_eq!((details.content_length, details.range), (Some(4), Some((4, 7))));
        assert_eq!(details.client_port, Some(7));
    }

    #[test]
    fn ranges_are_read_or_left() {
        assert_eq!(range("bytes 0-99/*"), Some((0, 99)));
        for other in [
            "",
            "bytes */1234",
            "items 1-2/3",
            "bytes 1-2",
            "bytes -2/3",
            "bytes a-b/c",
        ] {
            assert_eq!(range(other), None, "{other}");
        }
    }
}
