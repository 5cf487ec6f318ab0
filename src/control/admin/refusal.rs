//! Why the admin listener says no: status and sentence side by side, told as RFC 9457 problem JSON.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{api::history::Told, door::BODY_BYTES_MAX};
use crate::control::edit;

/// What a client did that can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A name that may belong to somebody else's web page (DNS rebinding).
    #[error(
        "this listener answers only to an IP address, `localhost` or a name below it, and the names of `[admin] hosts`; {0:?} may be \
         a name that a web page pointed here. Ask by address"
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
    /// It can't be done just now.
    #[error("{0}")]
    Failed(String),
    /// Nobody in particular asks, and somebody must.
    #[error("sign in first: bring a token as `Authorization: Bearer …`, or open /login in a browser")]
    SignIn,
    /// A token that is none, has ended or was withdrawn.
    #[error("this token is not known here, or has ended")]
    BadCredential,
    /// A printed link that was used before, or is too old.
    #[error("this link has been used or has ended; start Banyan again for a new one, or bring a token")]
    BadLink,
    /// More than one `Authorization`.
    #[error("a request has one `Authorization` field at most")]
    SeveralCredentials,
    /// Somebody known, without the scope that this needs.
    #[error("this needs the scope `{0}`")]
    Scope(String),
    /// A change by a browser's session that another page may have asked for.
    #[error("a browser's session changes something only from this listener's own pages")]
    Foreign,
    /// Wrong tokens, too many of them in a row.
    #[error("too many wrong tokens came from this address; wait a minute")]
    TooManyAttempts,
    /// The issuer's keys were never read, so nobody can say whether a token is good.
    #[error("the identity provider's keys could not be read yet, so its tokens can't be checked")]
    KeysMissing,
    /// The issuer doesn't answer, so nobody can be signed in or checked there.
    #[error("the identity provider does not answer; try again in a few seconds")]
    ProviderSilent,
    /// What a browser brought back from the issuer is worth nothing; with a word that says why.
    #[error("the sign-in at the identity provider did not work ({0})")]
    Declined(&'static str),
    /// A way back from the issuer that this browser never set out on.
    #[error("this sign-in has ended: it took too long, was finished before, or began in another browser")]
    NotUnderWay,
    /// A body that isn't said to be a form.
    #[error("a form must be `Content-Type: application/x-www-form-urlencoded`")]
    NotForm,
    /// A change that doesn't say what it changes.
    #[error(
        "send `If-Match` with the flag's version in quotes, as its `ETag` has it: a change is made of what was seen"
    )]
    Precondition,
    /// A change of something that somebody else has changed.
    #[error("{0}")]
    Conflict(String, Box<Conflict>),
    /// A change that can't be made, or would not be valid.
    #[error("{0}; nothing was written")]
    Unfit(String, Vec<Invalid>),
    /// Something that isn't to be had now.
    #[error("{0}; nothing was changed")]
    Unavailable(String),
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
    /// Problems that the file would have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Invalid>,
    /// Both sides, where two changes met.
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict: Option<Box<Conflict>>,
}

/// A problem that a changed file would have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(super) struct Invalid {
    /// A stable word for this sort of problem.
    kind: &'static str,
    /// File and line, in the text as it would be.
    place: String,
    /// What is wrong.
    what: String,
    /// How to mend it.
    hint: Option<String>,
}

/// Two changes that met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(super) struct Conflict {
    /// The version that the change was made for; none: the newest.
    given: Option<String>,
    /// The version that the file has.
    version: String,
    /// What the file says.
    theirs: Option<String>,
    /// What it would say, had nobody else changed it; none: that version is not remembered.
    yours: Option<String>,
    /// The change that came first.
    last: Option<Told>,
}

impl From<edit::Refused> for Refusal {
    fn from(refused: edit::Refused) -> Self {
        let said = refused.to_string();
        match refused {
            edit::Refused::Clash(clash) => {
                let conflict = Conflict {
                    given: clash.given.map(|version| version.to_string()),
                    version: clash.now.to_string(),
                    theirs: clash.theirs,
                    yours: clash.yours,
                    last: clash.last.map(Told::of),
                };
                Self::Conflict(said, Box::new(conflict))
            }
            edit::Refused::Invalid(_, problems) => {
                let told = problems.into_iter().map(|problem| Invalid {
                    kind: problem.kind,
                    place: format!("{}:{}", problem.file, problem.line),
                    what: problem.what,
                    hint: problem.hint,
                });
                Self::Unfit(said, told.collect())
            }
            edit::Refused::Unfit(..) => Self::Unfit(said, Vec::new()),
            edit::Refused::Unwritable(..) | edit::Refused::History(_) => Self::Unavailable(said),
        }
    }
}

impl Refusal {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::StrangeHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::NoHost
            | Self::Parameter(_)
            | Self::Body(_)
            | Self::SeveralCredentials
            | Self::NotUnderWay => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJson | Self::NotForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Lengthless => StatusCode::LENGTH_REQUIRED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound | Self::Unknown(..) => StatusCode::NOT_FOUND,
            Self::SignIn | Self::BadCredential | Self::BadLink => StatusCode::UNAUTHORIZED,
            Self::Scope(_) | Self::Foreign | Self::Declined(_) => StatusCode::FORBIDDEN,
            Self::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Self::KeysMissing | Self::ProviderSilent => StatusCode::SERVICE_UNAVAILABLE,
            Self::Precondition => StatusCode::PRECONDITION_REQUIRED,
            Self::Conflict(..) => StatusCode::CONFLICT,
            Self::Unfit(..) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// For metrics.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::SignIn => "nobody",
            Self::BadCredential
            | Self::BadLink
            | Self::KeysMissing
            | Self::ProviderSilent
            | Self::Declined(_)
            | Self::NotUnderWay => "unknown",
            Self::Scope(_) => "scope",
            Self::TooManyAttempts => "too_many",
            _ => "refused",
        }
    }

    /// What tells a client how to do better: the challenge of RFC 6750 section 3, and when to come again.
    pub(super) fn add_fields(&self, headers: &mut HeaderMap) {
        let challenge = match self {
            Self::SignIn => "Bearer realm=\"banyan\"".to_owned(),
            Self::BadCredential | Self::BadLink => {
                "Bearer realm=\"banyan\", error=\"invalid_token\"".to_owned()
            }
            Self::Scope(scope) => {
                format!("Bearer realm=\"banyan\", error=\"insufficient_scope\", scope=\"{scope}\"")
            }
            Self::TooManyAttempts | Self::KeysMissing => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
                return;
            }
            Self::ProviderSilent => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                return;
            }
            _ => return,
        };
        // A scope that is no field value, such as one with a strange flag's key, is told in the body alone.
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
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
            problems: match &self {
                Self::Unfit(_, problems) => problems.clone(),
                _ => Vec::new(),
            },
            conflict: match &self {
                Self::Conflict(_, conflict) => Some(conflict.clone()),
                _ => None,
            },
        };
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        self.add_fields(response.headers_mut());
        response
    }
}
