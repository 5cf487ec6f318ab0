//! Why somebody may not come in, and every form in which that is told: status, challenge, fixed word, sentence.

use std::fmt;

use http::{HeaderValue, StatusCode};

use super::{
    lookup::{Question, Whom},
    source::Source,
};

/// A request that the gate turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// The route asks who it is, and the request brings no bearer token.
    Missing,
    /// More than one `Authorization` field: two readers could take different ones.
    SeveralCredentials,
    /// A bearer token that is not worth anything here.
    BadToken(BadToken),
    /// No key of the issuer has been read yet, so no token can be judged.
    NoKeys,
    /// Somebody else has to be asked first who this is.
    Ask(Box<Question>),
    /// They were asked, and nobody knows: no answer in time, or none that says anything.
    Unanswered(Whom),
    /// The route accepts no credential of this kind.
    NotAccepted(Source),
    /// A machine's key that is for other squads' routes.
    OtherSquad,
    /// Someone known, but without any of the roles that the route asks for.
    MissingRole {
        /// The roles of which one would do.
        wanted: Vec<String>,
    },
}

/// What is wrong with a token. Names no part of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadToken {
    /// Not three parts of base64url, or not JSON objects inside, or a member that appears twice.
    Malformed,
    /// Longer than [`super::TOKEN_BYTES_MAX`].
    TooLarge,
    /// An algorithm that is never accepted, or another one than the key is for.
    Algorithm,
    /// It names extensions that must be understood (`crit`, `b64`; RFC 7515 section 4.1.11), and none is.
    Critical,
    /// It says that it is something else than an access token (`typ`).
    Type,
    /// No key of the issuer fits.
    UnknownKey,
    /// The signature is not the key's.
    Signature,
    /// `iss` is missing or is not the one issuer.
    Issuer,
    /// `aud` is missing or malformed, names none of ours, or names several without `azp`.
    Audience,
    /// `sub` is missing, empty, too long, or holds control characters.
    Subject,
    /// `exp`, `nbf` or `iat` is missing where it is required, or is no time.
    Time,
    /// Its time is over.
    Expired,
    /// It lives longer than any token should ([`super::LIFETIME_MAX`]); mostly milliseconds written as seconds.
    LivesTooLong,
    /// Its time has not come.
    NotYetValid,
    /// It was issued in the future.
    IssuedInFuture,
    /// The claim with the roles is there but is no list of roles.
    Roles,
    /// It is bound to a key that its bearer must prove to hold (`cnf`; RFC 7800, RFC 9449), and nobody checks that here.
    Bound,
    /// Who issued it says that it is not, or no longer, worth anything.
    Inactive,
    /// It has the form of a machine's key, and is none of this site.
    UnknownMachine,
}

impl BadToken {
    /// A fixed word, for logs, metric labels and `Proxy-Status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.words().0
    }

    /// What the client is told, in characters that RFC 6750 section 3 allows in `error_description`.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        self.words().1
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed => ("token_malformed", "the token is malformed"),
            Self::TooLarge => ("token_too_large", "the token is too large"),
            Self::Algorithm => ("token_algorithm", "the token's algorithm is not accepted"),
            Self::Critical => (
                "token_critical",
                "the token needs an extension that is not supported",
            ),
            Self::Type => ("token_type", "the token is not an access token"),
            Self::UnknownKey => ("token_key_unknown", "the token's key is not known"),
            Self::Signature => ("token_signature", "the token's signature is wrong"),
            Self::Issuer => ("token_issuer", "the token is from another issuer"),
            Self::Audience => ("token_audience", "the token is for another audience"),
            Self::Subject => (
                "token_subject",
                "the token's subject is missing or not acceptable",
            ),
            Self::Time => ("token_time", "a time in the token is missing or malformed"),
            Self::Expired => ("token_expired", "the token has expired"),
            Self::LivesTooLong => ("token_lives_too_long", "the token's lifetime is too long"),
            Self::NotYetValid => ("token_not_yet_valid", "the token is not valid yet"),
            Self::IssuedInFuture => ("token_issued_in_future", "the token was issued in the future"),
            Self::Roles => ("token_roles", "the token's roles are malformed"),
            Self::Bound => (
                "token_bound",
                "the token is bound to a key, which is not supported",
            ),
            Self::Inactive => ("token_inactive", "the token is not active"),
            Self::UnknownMachine => ("key_unknown", "the key is not known"),
        }
    }
}

impl Denied {
    /// 401, 403, or 400 (RFC 6750 section 3.1); 503 while there are no keys, since the token may well be good.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::BadToken(_) | Self::NotAccepted(_) => StatusCode::UNAUTHORIZED,
            Self::SeveralCredentials => StatusCode::BAD_REQUEST,
            Self::NoKeys | Self::Ask(_) | Self::Unanswered(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::OtherSquad | Self::MissingRole { .. } => StatusCode::FORBIDDEN,
        }
    }

    /// The challenge (RFC 6750 section 3). It names an error only if a credential was brought, and never a role.
    #[must_use]
    pub fn www_authenticate(&self) -> HeaderValue {
        let text = match self {
            Self::Missing | Self::NoKeys | Self::Ask(_) | Self::Unanswered(_) => {
                return HeaderValue::from_static("Bearer realm=\"banyan\"");
            }
            Self::NotAccepted(_) => {
                return HeaderValue::from_static(
                    "Bearer realm=\"banyan\", error=\"invalid_token\", error_description=\"this kind of credential is not accepted here\"",
                );
            }
            Self::OtherSquad => {
                return HeaderValue::from_static(
                    "Bearer realm=\"banyan\", error=\"insufficient_scope\", error_description=\"the key is for other routes\"",
                );
            }
            Self::SeveralCredentials => {
                return HeaderValue::from_static(
                    "Bearer realm=\"banyan\", error=\"invalid_request\", error_description=\"more than one Authorization field\"",
                );
            }
            Self::MissingRole { .. } => {
                return HeaderValue::from_static(
                    "Bearer realm=\"banyan\", error=\"insufficient_scope\", error_description=\"none of the roles that this needs\"",
                );
            }
            Self::BadToken(why) => format!(
                "Bearer realm=\"banyan\", error=\"invalid_token\", error_description=\"{}\"",
                why.describe()
            ),
        };
        // The descriptions are fixed ASCII, so the fallback is never taken.
        HeaderValue::try_from(text)
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer realm=\"banyan\", error=\"invalid_token\""))
    }

    /// A fixed word, for logs, metric labels and `Proxy-Status`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "credential_missing",
            Self::SeveralCredentials => "several_credentials",
            Self::BadToken(why) => why.as_str(),
            Self::NoKeys => "keys_missing",
            Self::Ask(_) => "not_asked",
            Self::Unanswered(Whom::Legacy) => "legacy_unanswered",
            Self::Unanswered(Whom::Introspection) => "introspection_unanswered",
            Self::NotAccepted(_) => "not_accepted",
            Self::OtherSquad => "key_squad",
            Self::MissingRole { .. } => "role_missing",
        }
    }
}

/// A sentence for `explain` and the log. It may name roles of the route, never anything of the token.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the route asks for a bearer token, and there is none"),
            Self::SeveralCredentials => f.write_str("the request has more than one Authorization field"),
            Self::BadToken(why) => f.write_str(why.describe()),
            Self::NoKeys => f.write_str("no key of the issuer has been read yet"),
            Self::Ask(question) => write!(f, "it would be asked first: {question}"),
            Self::Unanswered(Whom::Legacy) => {
                f.write_str("the legacy application does not say who the cookie belongs to")
            }
            Self::Unanswered(Whom::Introspection) => {
                f.write_str("the authorization server does not say what the token is worth")
            }
            Self::NotAccepted(source) => write!(f, "the route does not accept a {}", source.as_str()),
            Self::OtherSquad => f.write_str("the key is for routes of other squads"),
            Self::MissingRole { wanted } => match wanted.as_slice() {
                [one] => write!(f, "the role `{one}` is missing"),
                several => write!(f, "one of the roles `{}` is missing", several.join("`, `")),
            },
        }
    }
}

impl std::error::Error for Denied {}
