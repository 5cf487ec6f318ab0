//! Why somebody may not come in, and every form in which that is told: status, challenge, fixed word, sentence.

use std::fmt;

use http::{HeaderValue, StatusCode};

use super::{
    lookup::{Question, Whom},
    requirement::{Need, What},
    session::NoSession,
    source::Source,
};

/// A request that the gate turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// The route asks who it is, and the request brings no credential.
    Missing,
    /// A credential of a kind that the route does not take.
    NotAccepted(Source),
    /// More than one `Authorization` field: two readers could take different ones.
    SeveralCredentials,
    /// A bearer token that is not worth anything here.
    BadToken(BadToken),
    /// No key of the issuer has been read yet, so no token can be judged.
    NoKeys,
    /// The token's signature is to be verified first, when its turn comes: this core has not seen the token before.
    Unverified,
    /// Somebody else has to be asked first who this is.
    Ask(Box<Question>),
    /// They were asked, and nobody knows: no answer in time, or none that says anything.
    Unanswered(Whom),
    /// A machine's key that is for other squads' routes.
    OtherSquad,
    /// Someone known, but without this, which the route or the operator asks for.
    Lacking(Box<Need>),
    /// Another site's page sent it with the visitor's cookies, or nobody says whose page did.
    CrossSite,
    /// A session is brought, and does not count.
    NoSession(NoSession),
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
    /// It lives longer than any token should ([`super::LIFETIME`]); mostly milliseconds written as seconds.
    LivesTooLong,
    /// Its time has not come.
    NotYetValid,
    /// It was issued in the future.
    IssuedInFuture,
    /// `nonce` is not that of the sign-in.
    Nonce,
    /// The claim with the roles is there but is no list of roles.
    Roles,
    /// `client_id` is missing or no name, or `azp` names another party.
    Client,
    /// `jti` is missing or no name.
    Number,
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
            Self::Nonce => ("token_nonce", "the token is from another sign-in"),
            Self::Roles => ("token_roles", "the token's roles are malformed"),
            Self::Client => ("token_client", "the token does not say which client asked for it"),
            Self::Number => ("token_number", "the token has no number of its own"),
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
            Self::NoSession(NoSession::Silent | NoSession::Unchecked) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Missing | Self::NoSession(_) | Self::NotAccepted(_) | Self::BadToken(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::SeveralCredentials => StatusCode::BAD_REQUEST,
            Self::NoKeys | Self::Unverified | Self::Ask(_) | Self::Unanswered(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Lacking(need) if need.is_of_sign_in() => StatusCode::UNAUTHORIZED, // RFC 9470 section 3
            Self::Lacking(_) | Self::CrossSite | Self::OtherSquad => StatusCode::FORBIDDEN,
        }
    }

    /// The challenge (RFC 6750 section 3, for the kind and age of a sign-in RFC 9470 section 3). It names an error only if a credential
    /// was brought; scopes are named, since clients can ask for them, and roles never.
    #[must_use]
    pub fn www_authenticate(&self) -> HeaderValue {
        let text = match self {
            Self::Missing
            | Self::NoSession(_)
            | Self::NoKeys
            | Self::Unverified
            | Self::CrossSite
            | Self::Ask(_)
            | Self::Unanswered(_) => return HeaderValue::from_static("Bearer realm=\"banyan\""),
            Self::NotAccepted(_) => {
                return HeaderValue::from_static(
                    "Bearer realm=\"banyan\", error=\"invalid_token\", error_description=\"this takes another kind of credential\"",
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
            Self::Lacking(need) => lacking(need),
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
            Self::NoSession(why) => why.as_str(),
            Self::NoKeys => "keys_missing",
            Self::Unverified => "token_unverified",
            Self::Ask(_) => "not_asked",
            Self::Unanswered(Whom::Legacy) => "legacy_unanswered",
            Self::Unanswered(Whom::Introspection) => "introspection_unanswered",
            Self::NotAccepted(_) => "credential_not_accepted",
            Self::OtherSquad => "key_squad",
            Self::Lacking(need) => need.missing(),
            Self::CrossSite => "cross_site",
        }
    }
}

/// A sentence for `explain` and the log. It may name roles of the route, never anything of the token.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("somebody must be signed in, and nobody is"),
            Self::NotAccepted(source) => write!(
                f,
                "a credential of the kind `{}` is not taken here",
                source.as_str()
            ),
            Self::SeveralCredentials => f.write_str("the request has more than one Authorization field"),
            Self::BadToken(why) => f.write_str(why.describe()),
            Self::NoSession(why) => f.write_str(why.describe()),
            Self::NoKeys => f.write_str("no key of the issuer has been read yet"),
            Self::Unverified => {
                f.write_str("the token's signature is to be verified first, and too many others are")
            }
            Self::Ask(question) => write!(f, "it would be asked first: {question}"),
            Self::Unanswered(Whom::Legacy) => {
                f.write_str("the legacy application does not say who the cookie belongs to")
            }
            Self::Unanswered(Whom::Introspection) => {
                f.write_str("the authorization server does not say what the token is worth")
            }
            Self::OtherSquad => f.write_str("the key is for routes of other squads"),
            Self::Lacking(need) => write!(f, "{need} is missing"),
            Self::CrossSite => {
                f.write_str("the request comes from another site, or does not say where it comes from")
            }
        }
    }
}

impl std::error::Error for Denied {}

fn lacking(need: &Need) -> String {
    // `config` lets no character into these names that would end the quotes; what slipped through is left out.
    let names = || {
        let plain = |name: &&String| {
            name.bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
        };
        let names: Vec<&str> = need.names.iter().filter(plain).map(String::as_str).collect();
        names.join(" ")
    };
    let begin = "Bearer realm=\"banyan\", error=";
    match &need.what {
        What::Age(within) => format!(
            "{begin}\"insufficient_user_authentication\", error_description=\"a more recent sign-in is needed\", max_age=\"{}\"",
            within.as_secs()
        ),
        What::Acr => format!(
            "{begin}\"insufficient_user_authentication\", error_description=\"a stronger sign-in is needed\", acr_values=\"{}\"",
            names()
        ),
        What::Scope => format!(
            "{begin}\"insufficient_scope\", error_description=\"the token has too little scope\", scope=\"{}\"",
            names()
        ),
        What::Role => {
            format!("{begin}\"insufficient_scope\", error_description=\"a role that this needs is missing\"")
        }
        What::Group(_) => {
            format!("{begin}\"insufficient_scope\", error_description=\"a group that this needs is missing\"")
        }
        What::Claim(_) => {
            format!("{begin}\"insufficient_scope\", error_description=\"a claim that this needs is missing\"")
        }
    }
}
