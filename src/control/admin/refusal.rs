//! Why the admin listener says no: status and sentence side by side, told as RFC 9457 problem JSON.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::door::BODY_BYTES_MAX;

/// What a client did that can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A name that may belong to somebody else's web page (DNS rebinding).
    #[error(
        "this listener answers only to an IP address, `localhost` or a name below it; {0:?} may be a name that a web page \
         pointed here. Ask by address"
    )]
    StrangeHost(String),
    /// No `Host`, or several.
    #[error("a request needs exactly one `Host` field")]
    NoHost,
    /// A method that isn't for this address.
    #[error("this method is not for this address; `/api/openapi.json` says which one is")]
    Method,
    /// A body that isn't said to be JSON.
    #[error("a body must be `Content-Type: application/json`")]
    NotJson,
    /// A body that can't be read.
    #[error("the body can't be read: {0}")]
    Body(String),
    /// A body of unknown length.
    #[error("a body must say its length")]
    Lengthless,
    /// A body over the bound.
    #[error("a body may have {BODY_BYTES_MAX} bytes at most")]
    TooLarge,
    /// All seats for listeners are taken.
    #[error("as many as may listen at once listen already; come again later")]
    Full,
    /// No such path.
    #[error("there is nothing here")]
    NotFound,
    /// No such thing of this kind.
    #[error("there is no {0} `{1}` in the snapshot in force")]
    Unknown(&'static str, String),
    /// A parameter that makes no sense.
    #[error("{0}")]
    Parameter(String),
    /// Banyan's own fault.
    #[error("the answer can't be written: {0}")]
    Internal(String),
}

/// RFC 9457.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says which sort of problem it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong with this request.
    detail: String,
}

impl Refusal {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::StrangeHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::NoHost | Self::Parameter(_) | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Lengthless => StatusCode::LENGTH_REQUIRED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound | Self::Unknown(..) => StatusCode::NOT_FOUND,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let problem = Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: self.to_string(),
        };
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}
