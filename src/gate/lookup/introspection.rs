//! What an opaque token is worth, as its authorization server says (RFC 7662).

use std::{fmt, fmt::Write as _, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    super::{
        claims::{is_for, roles_at, time_of},
        denied::{BadToken, Denied},
        identity::{Identity, is_name},
        json,
        keys::sha256,
        source::Source,
    },
    Answers, Heard, Hidden, Question, Remembered, Terms, Whom,
    question::{To, Wording},
};
use crate::{clock::UnixTime, fields::Known, name::BackendName};

/// `[gate.introspection]`, with what `[gate]` says of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrospectionSettings {
    /// The endpoint's host, with a port unless it is the usual one.
    pub authority: String,
    /// Its path and query.
    pub target: String,
    /// The backend that stands for it.
    pub backend: BackendName,
    /// Who asks.
    pub client_id: String,
    /// Their secret.
    pub client_secret: Hidden,
    /// Whether an answer must say for whom the token is (`aud`).
    pub require_audience: bool,
    /// The `iss` that an answer must bear, if it bears one; empty: any.
    pub issuer: String,
    /// The `aud` values of which it must bear one.
    pub audiences: Vec<String>,
    /// JSON pointer of the roles.
    pub roles_claim: String,
    /// Clock difference allowed.
    pub leeway: Duration,
    /// How long it may take, and how long it counts.
    pub terms: Terms,
}

/// The endpoint, ready to be asked.
#[derive(Debug)]
pub struct Introspection {
    settings: IntrospectionSettings,
    /// SHA-256 of the settings, so that no others reuse an answer.
    digest: [u8; 32],
}

impl Introspection {
    /// An endpoint that is asked as `settings` say.
    #[must_use]
    pub fn new(settings: &IntrospectionSettings) -> Self {
        Self {
            digest: sha256(&[format!("{settings:?}").as_bytes()]),
            settings: settings.clone(),
        }
    }

    /// What it is asked by.
    #[must_use]
    pub const fn settings(&self) -> &IntrospectionSettings {
        &self.settings
    }

    /// Whose the token is, as was answered lately.
    ///
    /// # Errors
    /// [`Denied::Ask`] where it isn't known yet; [`Denied::BadToken`] where it is worth nothing.
    pub(in crate::gate) fn find(
        self: &Arc<Self>,
        token: &str,
        answers: &Answers,
        now: UnixTime,
    ) -> Result<Arc<Identity>, Denied> {
        let key = answers
            .key(
                Whom::Introspection,
                &self.digest,
                std::iter::once(token.as_bytes()),
            )
            .ok_or(Denied::Unanswered(Whom::Introspection))?;
        match answers.recall(&key, now) {
            Some(Remembered::Somebody(identity)) => Ok(identity),
            Some(Remembered::Nobody) => Err(Denied::BadToken(BadToken::Inactive)),
            Some(Remembered::Refused(why)) => Err(Denied::BadToken(why)),
            None => {
                let to = To::Introspection(Arc::clone(self));
                Err(Denied::Ask(Box::new(Question::new(to, key, token.to_owned()))))
            }
        }
    }

    pub(super) fn wording(&self, token: &str) -> Wording {
        let settings = &self.settings;
        // RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        let pair = format!(
            "{}:{}",
            form(&settings.client_id),
            form(&settings.client_secret.0)
        );
        Wording {
            is_post: true,
            target: settings.target.clone(),
            host: Some(settings.authority.clone()),
            fields: vec![
                (Known::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair))),
                (
                    Known::CONTENT_TYPE,
                    "application/x-www-form-urlencoded".to_owned(),
                ),
            ],
            body: format!("token={}&token_type_hint=access_token", form(token)),
        }
    }

    /// Only 200 says anything: 401 is about our own secret, and who redirects is not who was asked.
    pub(super) fn read(&self, status: u16, body: &[u8], asked: UnixTime) -> Heard {
        match status {
            200 => {}
            401 | 403 => return Heard::Unknown("client_refused"),
            301 | 302 | 303 | 307 | 308 => return Heard::Unknown("redirected"),
            _ => return Heard::Unknown("status"),
        }
        let Ok(answer) = json::parse(body) else {
            return Heard::Unknown("malformed");
        };
        // RFC 7662 section 2.2: a boolean, and nothing else will do.
        match answer.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Heard::Refused(BadToken::Inactive),
            _ => return Heard::Unknown("malformed"),
        }
        match self.judge(answer, asked) {
            Ok(identity) => Heard::Somebody(identity),
            Err(why) => Heard::Refused(why),
        }
    }

    fn judge(&self, claims: Value, now: UnixTime) -> Result<Identity, BadToken> {
        let settings = &self.settings;
        match claims.get("iss") {
            None => {}
            Some(Value::String(issuer)) if settings.issuer.is_empty() || *issuer == settings.issuer => {}
            Some(_) => return Err(BadToken::Issuer),
        }
        match claims.get("aud") {
            None if !settings.require_audience => {}
            _ if is_for(&claims, &settings.audiences) => {}
            _ => return Err(BadToken::Audience),
        }
        // A refresh token is active too, and is no key to anything here.
        for kind in ["token_type", "typ", "token_use"] {
            match claims.get(kind) {
                None | Some(Value::Null) => {}
                Some(Value::String(kind)) if is_access_token(kind) => {}
                Some(_) => return Err(BadToken::Type),
            }
        }
        if claims.get("cnf").is_some() {
            return Err(BadToken::Bound);
        }
        let expires = self.judge_times(&claims, now)?;
        let subject = claims
            .get("sub")
            .and_then(Value::as_str)
            .filter(|subject| is_name(subject))
            .ok_or(BadToken::Subject)?
            .to_owned();
        let roles = roles_at(&claims, &settings.roles_claim)?;
        Ok(Identity {
            subject,
            roles,
            claims,
            expires,
            source: Source::Bearer,
        })
    }

    /// The end, if the answer says one; it counts to the second, without leeway.
    fn judge_times(&self, claims: &Value, now: UnixTime) -> Result<UnixTime, BadToken> {
        let leeway = u64::try_from(self.settings.leeway.as_millis()).unwrap_or(u64::MAX);
        let latest = now.millis.saturating_add(leeway);
        let expires = time_of(claims, "exp")?.unwrap_or(UnixTime { millis: u64::MAX });
        if expires <= now {
            return Err(BadToken::Expired);
        }
        if time_of(claims, "nbf")?.is_some_and(|from| from.millis > latest) {
            return Err(BadToken::NotYetValid);
        }
        if time_of(claims, "iat")?.is_some_and(|at| at.millis > latest) {
            return Err(BadToken::IssuedInFuture);
        }
        Ok(expires)
    }
}

impl fmt::Display for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IntrospectionSettings {
            authority,
            target,
            terms,
            ..
        } = &self.settings;
        write!(
            f,
            "POST {target} of {authority}: what the token is worth; counts for {:?} at most, or {:?} if nothing",
            terms.remember, terms.remember_nobody
        )
    }
}

/// Words that authorization servers use for an access token that its bearer may use.
fn is_access_token(kind: &str) -> bool {
    [
        "bearer",
        "access_token",
        "access",
        "at+jwt",
        "application/at+jwt",
        "jwt",
    ]
    .iter()
    .any(|known| kind.eq_ignore_ascii_case(known))
}

/// `application/x-www-form-urlencoded`: what is not a letter, digit or `-._` is escaped.
fn form(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            byte => _ = write!(out, "%{byte:02X}"), // a String never refuses
        }
    }
    out
}
