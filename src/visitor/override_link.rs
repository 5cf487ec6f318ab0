//! Override links: a sealed token that puts a browser on variants for a while, so that they can be tested in production.
//!
//! A token is `1.<key id>.<nonce and sealed text>`, AES-256-GCM-SIV with a key of this one purpose. The same token is in the
//! link, in the cookie that the link sets, and in the `Banyan-Override` field of programs.

use std::{fmt, sync::LazyLock, time::Duration};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use memchr::memmem::Finder;

use super::{
    Kept, Keys, LinkId, Revoked, cookies,
    keys::{KEY_ID_BYTES_MAX, is_key_id},
};
use crate::{
    clock::UnixTime,
    fields::{Fields, Known},
};

/// The override cookie's name.
pub const OVERRIDE_COOKIE: &str = "__Host-banyan-override";
/// Where links lead on public hosts, what a browser is put on is shown, and below it the way out.
pub const OVERRIDE_PATH: &str = "/.banyan/override";
/// Flags of one link.
pub const FLAGS_MAX: usize = 8;
/// How long a link counts unless said otherwise: a working day.
pub const FOR_DEFAULT: Duration = Duration::from_secs(8 * 3600);
/// The longest that a link may count.
pub const FOR_MAX: Duration = Duration::from_secs(7 * 86_400);
/// The longest address that a link leads on to.
pub const TO_BYTES_MAX: usize = 512;
/// The longest token; every one that is made is shorter. A browser keeps 4,096 bytes of a cookie.
pub const TOKEN_BYTES_MAX: usize = 2_600;

const VERSION: &str = "1";
/// Copies of the cookie that are looked at in one request.
const COPIES_MAX: usize = 2;
/// What the key is for.
const SEALING: &str = "banyan override 1";
/// The longest name of a flag, a variant or a host.
const NAME_BYTES_MAX: usize = 253;

/// Seals and opens tokens.
pub(super) struct Seal(LessSafeKey);

impl Seal {
    /// The key of this purpose that belongs to a secret.
    pub(super) fn derived(secret: &hmac::Key) -> Option<Self> {
        let key = hmac::sign(secret, SEALING.as_bytes());
        let key = UnboundKey::new(&AES_256_GCM_SIV, key.as_ref()).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }
}

/// What a link shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish<'a> {
    /// Flags with their variants, 1 to [`FLAGS_MAX`]. That they exist is for the caller to know.
    pub flags: Vec<(&'a str, &'a str)>,
    /// The host that it is for, lower case, without port.
    pub host: &'a str,
    /// Where it leads on to: a local address; [`OVERRIDE_PATH`] shows what is forced.
    pub to: &'a str,
    /// How long it counts, 1 s to [`FOR_MAX`].
    pub lasts: Duration,
}

/// Why a link can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadWish {
    /// No flag, too many, one twice, or a name that is none.
    #[error("a link is for 1 to {FLAGS_MAX} flags, each once")]
    Flags,
    /// The host is none.
    #[error("that is no host name")]
    Host,
    /// It leads elsewhere.
    #[error(
        "a link leads on to an address of the same host: `/`, then at most {} visible ASCII characters without `\\`, \
         and not to `/.banyan`",
        TO_BYTES_MAX - 1
    )]
    To,
    /// It counts too long, or not at all.
    #[error("a link counts from one second to seven days")]
    For,
    /// It can't be sealed.
    #[error("the token can't be sealed")]
    Seal,
}

/// A link that was made. The token is a secret: who has it is put on its variants.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    /// What opens it.
    pub token: String,
    /// Its id, to call it back; this one is no secret.
    pub link: LinkId,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

/// The variants that a browser is put on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    flags: Vec<(Box<str>, Box<str>)>,
    /// The link that does it.
    pub link: LinkId,
    /// Where the link leads on to; see [`is_local`].
    pub to: Box<str>,
    host: Box<str>,
}

/// Why a token is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadOverride {
    /// Not of the right form, or changed on its way.
    Damaged,
    /// Sealed by a key that isn't known (any more).
    UnknownKey,
    /// It has ended.
    Expired,
    /// It is for another host.
    OtherHost,
    /// It was called back.
    Revoked,
}

impl BadOverride {
    /// The word for metric labels and explain.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::UnknownKey => "unknown_key",
            Self::Expired => "expired",
            Self::OtherHost => "other_host",
            Self::Revoked => "revoked",
        }
    }
}

impl Forced {
    /// The variant that a flag is forced to.
    #[must_use]
    pub fn variant_of(&self, flag: &str) -> Option<&str> {
        self.flags()
            .find(|(key, _)| *key == flag)
            .map(|(_, variant)| variant)
    }

    /// All flags with their variants.
    pub fn flags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.flags.iter().map(|(flag, variant)| (&**flag, &**variant))
    }

    /// Lines: the link's id, the host, where to, then `flag=variant`.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let link = lines.next()?.parse().ok()?;
        let (host, to) = (lines.next()?, lines.next()?);
        let flags = lines.map(|line| {
            let (flag, variant) = line.split_once('=')?;
            Some((flag.into(), variant.into()))
        });
        let flags: Vec<_> = flags.collect::<Option<_>>()?;
        (flags.len() <= FLAGS_MAX).then_some(Self {
            flags,
            link,
            to: to.into(),
            host: host.into(),
        })
    }
}

impl Keys {
    /// Makes a link. `entropy` must come from a cryptographic source.
    ///
    /// # Errors
    /// [`BadWish`].
    pub fn mint_override(
        &self,
        wish: &Wish<'_>,
        now: UnixTime,
        entropy: [u8; 20],
    ) -> Result<Minted, BadWish> {
        let name = |name: &str| {
            (1..=NAME_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_graphic() && b != b'=')
        };
        let twice = |(at, (flag, _)): (usize, &(&str, &str))| {
            wish.flags.iter().take(at).any(|(other, _)| other == flag)
        };
        let named = wish
            .flags
            .iter()
            .all(|(flag, variant)| name(flag) && name(variant));
        if !named || !(1..=FLAGS_MAX).contains(&wish.flags.len()) || wish.flags.iter().enumerate().any(twice)
        {
            return Err(BadWish::Flags);
        }
        if !name(wish.host) || wish.host.bytes().any(|b| b.is_ascii_uppercase() || b == b'/') {
            return Err(BadWish::Host);
        }
        if !is_local(wish.to) {
            return Err(BadWish::To);
        }
        if wish.lasts.as_secs() == 0 || wish.lasts > FOR_MAX {
            return Err(BadWish::For);
        }
        let ends =
            u32::try_from(now.secs().saturating_add(wish.lasts.as_secs())).map_err(|_| BadWish::For)?;
        let [r0, r1, r2, r3, r4, r5, r6, r7, nonce @ ..] = entropy;
        let link = LinkId::new(ends, [r0, r1, r2, r3, r4, r5, r6, r7]);
        let mut text = format!("{link}\n{}\n{}", wish.host, wish.to);
        for (flag, variant) in &wish.flags {
            text.push('\n');
            text.push_str(flag);
            text.push('=');
            text.push_str(variant);
        }
        let mut sealed = text.into_bytes();
        let key = &self.signing;
        let aad = Aad::from(SEALING.as_bytes());
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        key.seal
            .0
            .seal_in_place_append_tag(nonce_used, aad, &mut sealed)
            .map_err(|_| BadWish::Seal)?;
        let bytes = [&nonce[..], &sealed].concat();
        let token = format!("{VERSION}.{}.{}", key.id, URL_SAFE_NO_PAD.encode(bytes));
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BadWish::Flags);
        }
        Ok(Minted { token, link })
    }

    /// What a token forces on `host` now.
    ///
    /// # Errors
    /// [`BadOverride`] says why nothing.
    pub fn open_override(
        &self,
        token: &str,
        host: &str,
        now: UnixTime,
        revoked: &Revoked,
    ) -> Result<Forced, BadOverride> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BadOverride::Damaged);
        }
        let form = || {
            let mut parts = token.splitn(3, '.');
            let (version, key_id, sealed) = (parts.next()?, parts.next()?, parts.next()?);
            (version == VERSION && is_key_id(key_id)).then_some((key_id, sealed))
        };
        let (key_id, sealed) = form().ok_or(BadOverride::Damaged)?;
        let key = self.by_id(key_id).ok_or(BadOverride::UnknownKey)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| BadOverride::Damaged)?;
        let (nonce, sealed) = bytes
            .split_first_chunk_mut::<NONCE_LEN>()
            .ok_or(BadOverride::Damaged)?;
        let aad = Aad::from(SEALING.as_bytes());
        let text = key
            .seal
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, sealed)
            .map_err(|_| BadOverride::Damaged)?;
        let text = str::from_utf8(text).map_err(|_| BadOverride::Damaged)?;
        let forced = Forced::parse(text).ok_or(BadOverride::Damaged)?;
        if forced.link.has_ended(now) {
            Err(BadOverride::Expired)
        } else if *forced.host != *host {
            Err(BadOverride::OtherHost)
        } else if revoked.has(forced.link) {
            Err(BadOverride::Revoked)
        } else {
            Ok(forced)
        }
    }

    /// The `Set-Cookie` value that puts a browser on what `token` forces, until the link ends.
    #[must_use]
    pub fn set_override(&self, token: &str, forced: &Forced, now: UnixTime) -> HeaderValue {
        let left = forced.link.ends().secs().saturating_sub(now.secs());
        self.cookie(
            OVERRIDE_COOKIE,
            &format!("{token}; Max-Age={left}"),
            Kept::Session,
        )
    }

    /// The `Set-Cookie` value that ends every override of a browser.
    #[must_use]
    pub fn end_override(&self) -> HeaderValue {
        self.cookie(OVERRIDE_COOKIE, "; Max-Age=0", Kept::Session)
    }
}

/// The tokens that a request bears: the cookie's first, then the field's.
pub fn override_tokens(headers: &Fields) -> impl Iterator<Item = &str> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(OVERRIDE_COOKIE));
    let present = headers.present();
    // nearly nobody has one, and this is much faster than a look at each cookie
    let cookie = present.has(Known::COOKIE)
        && headers
            .get_all(Known::COOKIE)
            .any(|field| NAME.find(field.as_bytes()).is_some());
    let field = present
        .has(Known::BANYAN_OVERRIDE)
        .then(|| headers.get(Known::BANYAN_OVERRIDE))
        .flatten();
    let in_cookies = cookie.then(|| {
        cookies(headers)
            .filter(|(name, _)| *name == OVERRIDE_COOKIE)
            .take(COPIES_MAX)
    });
    let in_cookies = in_cookies.into_iter().flatten().map(|(_, value)| value);
    in_cookies.chain(field.and_then(|field| field.to_str().ok()))
}

/// Whether a browser that is sent to `to` stays on its host, and not within `/.banyan` but at [`OVERRIDE_PATH`].
///
/// Browsers read `//`, `/\` and such with tabs and line ends in between as another host (URL Standard section 4.4), some servers
/// undo escapes before they look.
#[must_use]
pub fn is_local(to: &str) -> bool {
    let path = to.split(['?', '#']).next().unwrap_or_default();
    let lower = path.to_ascii_lowercase();
    let own = lower == "/.banyan" || lower.starts_with("/.banyan/");
    to.len() <= TO_BYTES_MAX
        && to.starts_with('/')
        && to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !path.contains("//")
        && !["%2f", "%5c", "%2e"].iter().any(|escape| lower.contains(escape))
        && (!own || to == OVERRIDE_PATH)
}

const _: () = assert!(
    KEY_ID_BYTES_MAX + 4 + 4 * (NONCE_LEN + 16 + 24 + NAME_BYTES_MAX + TO_BYTES_MAX + 128 * FLAGS_MAX) / 3
        < TOKEN_BYTES_MAX
);
