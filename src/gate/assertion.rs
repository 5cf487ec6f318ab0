//! What a backend is told about who it is, signed, so that it need not trust the network between.

use std::{cell::RefCell, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    hmac, rand,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde_json::json;

use super::{identity::Identity, keys::sha256, memory::Recent};
use crate::{
    clock::UnixTime,
    fields::{Fields, Known},
    name::BackendName,
};

/// The subject, percent-encoded where it must be.
pub const USER: Known = Known::BANYAN_USER;
/// The roles, joined by `, `.
pub const ROLES: Known = Known::BANYAN_ROLES;
/// The signed statement.
pub const IDENTITY: Known = Known::BANYAN_IDENTITY;

/// The `iss` of every assertion.
pub const ISSUER: &str = "banyan";

/// How long an assertion is valid. It is used for the first half of that.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// Most assertions remembered per core.
pub const ASSERTIONS_MAX: usize = 4096;

/// Most bytes of assertions remembered per core.
pub const ASSERTIONS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What signs assertions, and what hides in logs who somebody is. The keys change from time to time: the control plane swaps them.
pub struct Signer {
    keys: ArcSwap<SigningKeys>,
    subjects: hmac::Key,
}

/// The key that signs (Ed25519), and the public halves of all that backends should know: those before it and after it too.
pub struct SigningKeys {
    signing: SigningKey,
    /// As a JWKS (RFC 7517).
    published: String,
}

struct SigningKey {
    key: Ed25519KeyPair,
    /// The JWK thumbprint (RFC 7638).
    kid: String,
    /// The token's first part, the same for all.
    header: String,
}

/// The bytes are no Ed25519 key in PKCS#8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no Ed25519 key in PKCS#8")]
pub struct BadSigningKey;

impl SigningKey {
    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, BadSigningKey> {
        let key = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| BadSigningKey)?;
        let x = URL_SAFE_NO_PAD.encode(key.public_key());
        // RFC 8037 appendix A.3: the required members in this order and without spaces.
        let thumbprint = sha256(&[format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes()]);
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let header = json!({ "alg": "EdDSA", "typ": "banyan+jwt", "kid": kid });
        Ok(Self {
            key,
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
            kid,
        })
    }

    fn public(&self) -> serde_json::Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid, "alg": "EdDSA", "use": "sig" })
    }
}

impl SigningKeys {
    /// The key that signs, and others that backends should know.
    ///
    /// # Errors
    /// [`BadSigningKey`] if one of them is no Ed25519 key in PKCS#8 DER.
    pub fn from_pkcs8(signing: &[u8], others: &[Vec<u8>]) -> Result<Self, BadSigningKey> {
        let signing = SigningKey::from_pkcs8(signing)?;
        let mut published = vec![signing.public()];
        for other in others {
            published.push(SigningKey::from_pkcs8(other)?.public());
        }
        Ok(Self {
            signing,
            published: json!({ "keys": published }).to_string(),
        })
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys")
            .field("kid", &self.signing.kid)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer with the given key alone.
    ///
    /// # Errors
    /// [`BadSigningKey`] if `pkcs8` is no Ed25519 key in PKCS#8 DER.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, BadSigningKey> {
        let keys = SigningKeys::from_pkcs8(pkcs8, &[])?;
        Ok(Self::new(keys, &sha256(&[b"subjects", pkcs8])))
    }

    /// A signer with these keys. `secret` makes the names that logs have for people.
    #[must_use]
    pub fn new(keys: SigningKeys, secret: &[u8]) -> Self {
        Self {
            keys: ArcSwap::from_pointee(keys),
            subjects: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    /// Signs with these from here on.
    pub fn adopt(&self, keys: SigningKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// The public keys as a JWKS (RFC 7517), for backends: that which signs comes first.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.keys.load().published.clone()
    }

    /// A name for the log: the same for the same subject, and nobody without the secret can tell whose (128 bits of HMAC-SHA-256).
    #[must_use]
    pub fn pseudonym(&self, identity: &Identity) -> Arc<str> {
        let tag = hmac::sign(&self.subjects, identity.subject.as_bytes());
        let half = tag.as_ref().get(..16).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(half).into()
    }

    /// Signs who it is, for one backend only: a backend can't pass it on as its own to another.
    #[must_use]
    pub fn sign(&self, identity: &Identity, backend: &BackendName, now: UnixTime) -> String {
        let keys = self.keys.load();
        let signing = &keys.signing;
        let claims = json!({
            "iss": ISSUER,
            "aud": backend.as_str(),
            "sub": identity.subject,
            "roles": identity.roles_told().collect::<Vec<_>>(),
            "iat": now.secs(),
            "exp": now.secs().saturating_add(LIFETIME.as_secs()),
            "jti": number(),
            "source": identity.source.as_str(),
        });
        let mut token = format!(
            "{}.{}",
            signing.header,
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = signing.key.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        token
    }

    /// Writes `Banyan-User`, `Banyan-Roles` and `Banyan-Identity`, over whatever is there.
    /// Whoever calls it has removed the client's fields with [`super::is_reserved_header`] before, and does so for nobody too.
    pub fn announce(
        &self,
        headers: &mut Fields,
        identity: &Arc<Identity>,
        backend: &BackendName,
        now: UnixTime,
        memory: &AssertionMemory,
    ) {
        let key = (Arc::as_ptr(identity).addr(), backend.clone());
        let mut recent = memory.told.borrow_mut();
        if let Some(told) = recent.recall(&key)
            && Arc::ptr_eq(&told.identity, identity)
            && is_fresh(told.from, now)
        {
            return told.write(headers);
        }
        let token = self.sign(identity, backend, now);
        let told = Told {
            identity: Arc::clone(identity),
            user: identity.user_field(),
            roles: identity.roles_field(),
            // A token is base64url and dots, so it is always a field value.
            statement: HeaderValue::try_from(token).unwrap_or_else(|_| HeaderValue::from_static("")),
            from: now,
        };
        told.write(headers);
        let bytes = told.bytes();
        recent.keep(key, told, bytes);
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("keys", &self.keys.load())
            .finish_non_exhaustive()
    }
}

/// 128 random bits, so that a backend can tell one assertion from another.
fn number() -> String {
    let mut bits = [0; 16];
    // It fails on no system that runs this; were it to, the assertions would have one number, and still be signed and short-lived.
    let _ = rand::fill(&mut bits);
    URL_SAFE_NO_PAD.encode(bits)
}

/// How people are called in the log, by the address of their identity, which is kept so that no other comes to lie there.
type Names = Recent<usize, (Arc<Identity>, Arc<str>)>;

/// What this core told of people lately. It belongs to one [`Signer`].
pub struct AssertionMemory {
    told: RefCell<Recent<(usize, BackendName), Told>>,
    names: RefCell<Names>,
}

/// What a backend is told of somebody.
struct Told {
    /// Kept so that no other identity can come to lie at the same address, which is the key.
    identity: Arc<Identity>,
    user: HeaderValue,
    roles: Option<HeaderValue>,
    statement: HeaderValue,
    /// When that was signed.
    from: UnixTime,
}

impl AssertionMemory {
    /// An empty memory.
    #[must_use]
    pub fn new() -> Self {
        let empty = || RefCell::new(Recent::new(ASSERTIONS_MAX, ASSERTIONS_BYTES_MAX));
        Self {
            told: empty(),
            names: RefCell::new(Recent::new(ASSERTIONS_MAX, ASSERTIONS_BYTES_MAX)),
        }
    }

    /// [`Signer::pseudonym`], worked out once.
    pub fn pseudonym(&self, signer: &Signer, identity: &Arc<Identity>) -> Arc<str> {
        let (mut names, key) = (self.names.borrow_mut(), Arc::as_ptr(identity).addr());
        if let Some((known, name)) = names.recall(&key)
            && Arc::ptr_eq(known, identity)
        {
            return Arc::clone(name);
        }
        let name = signer.pseudonym(identity);
        let bytes = name.len() + identity.subject.len();
        names.keep(key, (Arc::clone(identity), Arc::clone(&name)), bytes);
        name
    }
}

impl Told {
    fn write(&self, headers: &mut Fields) {
        headers.insert(USER, &self.user);
        match &self.roles {
            Some(roles) => headers.insert(ROLES, roles),
            None => headers.remove(ROLES),
        };
        headers.insert(IDENTITY, &self.statement);
    }

    fn bytes(&self) -> usize {
        self.user.len() + self.roles.as_ref().map_or(0, HeaderValue::len) + self.statement.len()
    }
}

/// Whether an assertion made at `from` is in the first half of its life. A clock that was set back ends it.
fn is_fresh(from: UnixTime, now: UnixTime) -> bool {
    now.millis
        .checked_sub(from.millis)
        .is_some_and(|age| u128::from(age) < LIFETIME.as_millis() / 2)
}

impl Default for AssertionMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AssertionMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionMemory")
            .field("len", &self.told.borrow().len())
            .finish()
    }
}
