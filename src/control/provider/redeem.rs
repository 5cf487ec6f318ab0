//! The token endpoint: what is sent there, and how its answer is judged.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::jwks::{self, Trust},
    call::{Call, call},
};
use crate::{
    clock,
    gate::{
        BadToken, KeySet,
        session::{About, Session, SessionSettings, form, judge_renewed, judge_signed_in},
    },
    snapshot::{
        GateAtWork,
        provider::{Provider, Redeem, Unvouched, Vouched},
    },
};

/// From one search for a key that isn't known to the next: made-up names can't make us a nuisance.
pub(super) const KEYS_PAUSE: Duration = Duration::from_secs(5);
/// Most bytes of a refresh token: a longer one has no room in a cookie anyway.
const REFRESH_BYTES_MAX: usize = 4_096;

/// One provider, asked by one program.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) provider: Arc<Provider>,
    pub(super) trust: Trust,
    gate: GateAtWork,
    /// When a key that wasn't known was last searched for.
    searched: Cell<Option<Instant>>,
}

/// What a token endpoint answers (RFC 6749 sections 5.1 and 5.2). Of the access token nothing is wanted.
#[derive(Deserialize)]
struct Answer {
    token_type: Option<String>,
    id_token: Option<String>,
    refresh_token: Option<String>,
    error: Option<String>,
}

impl Desk {
    pub(super) fn new(provider: Arc<Provider>, gate: GateAtWork, trust: Trust) -> Self {
        Self {
            provider,
            trust,
            gate,
            searched: Cell::new(None),
        }
    }

    fn session(&self) -> Option<&SessionSettings> {
        self.provider.settings.session.as_ref()
    }

    /// How often a session is checked.
    pub(super) fn check(&self) -> Duration {
        self.session().map_or(Duration::ZERO, |session| session.check)
    }

    /// Redeems a code.
    pub(super) async fn redeem(&self, redeem: &Redeem) -> Result<Vouched, Unvouched> {
        let answer = self
            .post(vec![
                ("grant_type", "authorization_code"),
                ("code", &redeem.code),
                ("redirect_uri", &redeem.redirect_uri),
                ("code_verifier", &redeem.verifier),
            ])
            .await?;
        let token = answer.id_token.as_deref().ok_or(Unvouched::Malformed)?;
        let client = &self.session().ok_or(Unvouched::Silent)?.client_id;
        let judge = |keys: &KeySet| {
            let settings = &self.provider.settings;
            judge_signed_in(settings, client, token, &redeem.nonce, keys, clock::wall())
        };
        let claims = self.judged(judge).await?;
        Ok(vouched(Some(claims), answer.refresh_token))
    }

    /// Checks a session with `token`, which may be newer than its own.
    pub(super) async fn renew(&self, session: &Session, token: &str) -> Result<Vouched, Unvouched> {
        let answer = self
            .post(vec![("grant_type", "refresh_token"), ("refresh_token", token)])
            .await?;
        let client = &self.session().ok_or(Unvouched::Silent)?.client_id;
        let claims = match answer.id_token.as_deref() {
            Some(id_token) => {
                let subject = &session.identity.subject;
                let judge = |keys: &KeySet| {
                    let settings = &self.provider.settings;
                    judge_renewed(settings, client, id_token, subject, keys, clock::wall())
                };
                Some(self.judged(judge).await?)
            }
            None => None,
        };
        // Where the provider gives no new one, the old one goes on; but it may be newer than that of the cookie.
        let refresh = answer.refresh_token.or_else(|| Some(token.to_owned()));
        Ok(vouched(claims, refresh))
    }

    async fn post(&self, mut pairs: Vec<(&str, &str)>) -> Result<Answer, Unvouched> {
        let about = self.provider.about().await.ok_or(Unvouched::Silent)?;
        let session = self.session().ok_or(Unvouched::Silent)?;
        let authorization = authorize(session, &about, &mut pairs);
        let form = form::write(&pairs);
        let post = Call::Post(&form, authorization.as_deref());
        match call(&about.token, post, &self.trust).await {
            Ok((status, bytes)) => judge_answer(status, &bytes),
            Err(error) => {
                tracing::error!(%error, "the identity provider can't be asked");
                Err(Unvouched::Silent)
            }
        }
    }

    /// Judges a token by the keys that are known, and, if it names another one, once more by newer keys.
    async fn judged(&self, judge: impl Fn(&KeySet) -> Result<Value, BadToken>) -> Result<Value, Unvouched> {
        let first = match self.gate.keys.load().is_empty() {
            true => Err(BadToken::UnknownKey),
            false => judge(&self.gate.keys.load()),
        };
        let judged = match first {
            Err(BadToken::UnknownKey) => {
                self.look_for_keys().await;
                if self.gate.keys.load().is_empty() {
                    return Err(Unvouched::Silent);
                }
                judge(&self.gate.keys.load())
            }
            judged => judged,
        };
        judged.map_err(|why| {
            tracing::warn!(
                why = why.as_str(),
                "an ID token of the identity provider is refused"
            );
            Unvouched::Token(why)
        })
    }

    /// Reads the keys again, unless that was just done.
    pub(super) async fn look_for_keys(&self) {
        let now = clock::steady();
        let just_now = |at: Instant| now.saturating_duration_since(at) < KEYS_PAUSE;
        if self.searched.get().is_some_and(just_now) {
            return;
        }
        self.searched.set(Some(now));
        match jwks::fetch(&self.gate.source, &self.trust).await {
            Ok((keys, _)) => self.gate.keys.store(Arc::new(keys)),
            Err(error) => tracing::error!(%error, "the gate's keys can't be fetched; the last ones serve on"),
        }
    }
}

/// Says who asks: by `Authorization`, which is given back, or in the form.
fn authorize<'p>(
    session: &'p SessionSettings,
    about: &About,
    pairs: &mut Vec<(&str, &'p str)>,
) -> Option<String> {
    let client = &session.client_id;
    match &session.client_secret {
        Some(secret) if !about.secret_in_form => {
            // RFC 6749 section 2.3.1: both are encoded as in a form first
            let text = format!("{}:{}", form::encoded(client), form::encoded(secret));
            Some(format!("Basic {}", STANDARD.encode(text)))
        }
        Some(secret) => {
            pairs.extend([("client_id", client.as_str()), ("client_secret", secret.as_str())]);
            None
        }
        None => {
            pairs.push(("client_id", client));
            None
        }
    }
}

fn judge_answer(status: StatusCode, bytes: &Bytes) -> Result<Answer, Unvouched> {
    let read = serde_json::from_slice::<Answer>(bytes);
    if status == StatusCode::OK {
        let answer = read.map_err(|_| Unvouched::Malformed)?;
        let bearer = answer.token_type.as_deref();
        return match bearer.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
            true => Ok(answer),
            false => Err(Unvouched::Malformed),
        };
    }
    let error = read.ok().and_then(|answer| answer.error).unwrap_or_default();
    if status.is_client_error() && error == "invalid_grant" {
        return Err(Unvouched::Refused);
    }
    // The words of RFC 6749 section 5.2 alone are written down: the rest is whatever the other side likes.
    let known = [
        "invalid_request",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let error = known.iter().find(|word| **word == error).unwrap_or(&"");
    tracing::error!(%status, error, "the identity provider's token endpoint is at fault, or refuses this edge");
    Err(Unvouched::Silent)
}

fn vouched(claims: Option<Value>, refresh: Option<String>) -> Vouched {
    Vouched {
        claims: claims.map(Arc::new),
        refresh: refresh.filter(|token| !token.is_empty() && token.len() <= REFRESH_BYTES_MAX),
        at: clock::wall(),
    }
}
