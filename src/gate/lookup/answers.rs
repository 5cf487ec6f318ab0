//! What one core was told lately, within bounds: who is signed in, and who is not.

use std::{cell::RefCell, fmt, sync::Arc};

use aws_lc_rs::{hmac, rand::SystemRandom};

use super::{
    super::{denied::BadToken, identity::Identity, memory::Recent},
    Question, Whom,
};
use crate::clock::UnixTime;

/// Most answers of each kind (somebody, nobody) remembered per core. The ones not asked for longest are forgotten.
pub const ANSWERS_MAX: usize = 4096;

/// Most bytes of remembered answers of each kind per core.
pub const ANSWERS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How far a clock may be set back before what was remembered is asked again, in milliseconds; also longer than any question takes.
const STEP_BACK_MS_MAX: u64 = 60_000;

/// What a question came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Somebody is signed in.
    Somebody(Identity),
    /// Nobody is: in which of a few ways it was said.
    Nobody(&'static str),
    /// The token is worth nothing.
    Refused(BadToken),
    /// Nobody knows: why, from a fixed set.
    Unknown(&'static str),
}

impl Heard {
    /// One word for metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Somebody(_) => "somebody",
            Self::Nobody(how) => how,
            Self::Refused(why) => why.as_str(),
            Self::Unknown(why) => why,
        }
    }
}

/// What is remembered of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Remembered {
    /// Somebody is signed in.
    Somebody(Arc<Identity>),
    /// Nobody is.
    Nobody,
    /// The token is worth nothing.
    Refused(BadToken),
}

struct Kept<T> {
    what: T,
    from: UnixTime,
    until: UnixTime,
}

impl<T> Kept<T> {
    fn counts(&self, now: UnixTime) -> bool {
        now < self.until && self.from.millis <= now.millis.saturating_add(STEP_BACK_MS_MAX)
    }
}

type Memory<T> = RefCell<Recent<[u8; 32], Kept<T>>>;

/// Answers of one core, each under a keyed hash of what was asked about: neither cookies nor tokens are kept.
///
/// Those who are nobody lie apart, so that made-up cookies push out no user.
pub struct Answers {
    /// Random, of this core alone. `None`: the system has no random numbers, so nothing can be asked.
    secret: Option<hmac::Key>,
    somebody: Memory<Arc<Identity>>,
    nobody: Memory<Option<BadToken>>,
}

impl Answers {
    /// No answers yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            secret: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok(),
            somebody: RefCell::new(Recent::new(ANSWERS_MAX, ANSWERS_BYTES_MAX)),
            nobody: RefCell::new(Recent::new(ANSWERS_MAX, ANSWERS_BYTES_MAX)),
        }
    }

    /// How many are remembered: of somebody, and of nobody. Each is at most [`ANSWERS_MAX`].
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.somebody.borrow().len(), self.nobody.borrow().len())
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// The key of what is asked of `whom`, who is asked as `digest` says, about `parts`. `None`: nothing can be asked.
    pub(super) fn key<'p>(
        &self,
        whom: Whom,
        digest: &[u8; 32],
        parts: impl Iterator<Item = &'p [u8]>,
    ) -> Option<[u8; 32]> {
        let mut context = hmac::Context::with_key(self.secret.as_ref()?);
        context.update(whom.as_str().as_bytes());
        context.update(digest);
        for part in parts {
            let bytes = u64::try_from(part.len()).ok()?;
            context.update(&bytes.to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().try_into().ok()
    }

    /// What was answered to the question of this key, as long as it counts.
    pub(super) fn recall(&self, key: &[u8; 32], now: UnixTime) -> Option<Remembered> {
        if let Some(kept) = self
            .somebody
            .borrow_mut()
            .recall(key)
            .filter(|kept| kept.counts(now))
        {
            return Some(Remembered::Somebody(Arc::clone(&kept.what)));
        }
        let mut nobody = self.nobody.borrow_mut();
        let kept = nobody.recall(key).filter(|kept| kept.counts(now))?;
        Some(kept.what.map_or(Remembered::Nobody, Remembered::Refused))
    }

    /// Remembers what `question`, asked at `asked`, came to. What nobody knows is not remembered.
    pub fn note(&self, question: &Question, heard: Heard, asked: UnixTime) {
        let terms = question.terms();
        let after = |time: std::time::Duration| UnixTime {
            millis: asked
                .millis
                .saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        };
        let why = match heard {
            Heard::Unknown(_) => return,
            Heard::Somebody(mut identity) => {
                let until = after(terms.remember).min(identity.expires);
                identity.expires = until;
                let bytes = question.bytes().saturating_add(weight(&identity));
                let kept = Kept {
                    what: Arc::new(identity),
                    from: asked,
                    until,
                };
                self.somebody.borrow_mut().keep(*question.key(), kept, bytes);
                return;
            }
            Heard::Nobody(_) => None,
            Heard::Refused(why) => Some(why),
        };
        let kept = Kept {
            what: why,
            from: asked,
            until: after(terms.remember_nobody),
        };
        self.nobody
            .borrow_mut()
            .keep(*question.key(), kept, question.bytes());
    }
}

/// About how many bytes an identity takes: its claims came as text and are a few times that.
fn weight(identity: &Identity) -> usize {
    let roles: usize = identity.roles.iter().map(String::len).sum();
    identity.subject.len() + roles + identity.claims.to_string().len()
}

impl Default for Answers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("len", &self.len()).finish()
    }
}
