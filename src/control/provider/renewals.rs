//! Sees that a session is checked once, however many requests on however many cores wait for it: a refresh token that is used twice
//! ends the whole session at many providers (RFC 9700 section 4.14.2).

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use tokio::sync::oneshot;

use crate::{
    clock::UnixTime,
    gate::{Recent, session::Session},
    snapshot::provider::{Unvouched, Vouched},
};

/// Checks whose outcome is remembered: a browser may come with its old cookie long after the new one went out and never arrived.
pub(super) const OUTCOMES_MAX: usize = 16_384;
/// Bytes of what is remembered, about.
pub(super) const OUTCOMES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many checks one cookie may be behind.
const BEHIND_MAX: usize = 16;

type Said = Result<Vouched, Unvouched>;
type Answer = oneshot::Sender<Said>;
type Key = [u8; 32];

/// Checks under way, and what came of earlier ones.
pub(super) struct Renewals {
    under_way: HashMap<Key, Vec<Answer>>,
    outcomes: Recent<Key, Said>,
}

impl Default for Renewals {
    fn default() -> Self {
        Self {
            under_way: HashMap::new(),
            outcomes: Recent::new(OUTCOMES_MAX, OUTCOMES_BYTES_MAX),
        }
    }
}

impl fmt::Debug for Renewals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewals")
            .field("under_way", &self.under_way.len())
            .field("outcomes", &self.outcomes.len())
            .finish()
    }
}

impl Renewals {
    /// Answers from what is known, or has `answer` wait for a check under way. Where one must begin, gives the token to ask with; then
    /// [`Renewals::done`] must follow.
    pub(super) fn ask(
        &mut self,
        session: &Arc<Session>,
        answer: Answer,
        check: Duration,
        now: UnixTime,
    ) -> Option<String> {
        let Some(token) = session.refresh_token() else {
            let _ = answer.send(Err(Unvouched::Refused));
            return None;
        };
        let mut token = token.to_owned();
        for _ in 0..BEHIND_MAX {
            match self.outcomes.recall(&key(&token)) {
                Some(Ok(vouched)) if is_fresh(vouched.at, check, now) => {
                    let _ = answer.send(Ok(vouched.clone()));
                    return None;
                }
                // its successor is what counts now
                Some(Ok(Vouched {
                    refresh: Some(next), ..
                })) if *next != token => token.clone_from(next),
                Some(Err(why)) => {
                    let _ = answer.send(Err(*why));
                    return None;
                }
                _ => break,
            }
        }
        let waiting = self.under_way.entry(key(&token)).or_default();
        waiting.retain(|other| !other.is_closed());
        let begins = waiting.is_empty();
        waiting.push(answer);
        begins.then_some(token)
    }

    /// Whether nobody waits any longer for the check of `token`, which then need not be made.
    pub(super) fn is_forsaken(&mut self, token: &str) -> bool {
        let key = key(token);
        let forsaken = self
            .under_way
            .get(&key)
            .is_none_or(|waiting| waiting.iter().all(oneshot::Sender::is_closed));
        if forsaken {
            self.under_way.remove(&key);
        }
        forsaken
    }

    /// Tells everybody who waits, and remembers it unless the provider was silent.
    pub(super) fn done(&mut self, token: &str, said: &Said) {
        let key = key(token);
        for answer in self.under_way.remove(&key).unwrap_or_default() {
            let _ = answer.send(said.clone());
        }
        match said {
            Ok(vouched) => {
                let claims = vouched
                    .claims
                    .as_ref()
                    .map_or(0, |claims| claims.to_string().len());
                let refresh = vouched.refresh.as_ref().map_or(0, String::len);
                self.outcomes.keep(key, said.clone(), 128 + 2 * claims + refresh);
            }
            Err(Unvouched::Refused) => self.outcomes.keep(key, said.clone(), 128),
            Err(_) => {}
        }
    }
}

fn is_fresh(at: UnixTime, check: Duration, now: UnixTime) -> bool {
    let check = u64::try_from(check.as_millis()).unwrap_or(u64::MAX);
    now.millis < at.millis.saturating_add(check)
}

fn key(token: &str) -> Key {
    let sum = digest::digest(&digest::SHA256, token.as_bytes());
    sum.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use serde_json::json;
    use tokio::sync::oneshot::{self, error::TryRecvError};

    use super::{Renewals, Unvouched, Vouched};
    use crate::{
        clock::UnixTime,
        gate::{
            Accept, GateSettings, KeySource, LIFETIME, TokenProfile,
            session::{Session, SessionSettings, Sessions},
        },
        visitor::SigningKey,
    };

    const CHECK: Duration = Duration::from_secs(10);

    fn session(refresh: &str) -> Arc<Session> {
        let settings = SessionSettings {
            client_id: "banyan".to_owned(),
            client_secret: None,
            scopes: Vec::new(),
            absolute: Duration::from_secs(1000),
            idle: Duration::from_secs(100),
            check: CHECK,
            keys: vec![SigningKey {
                id: "a".to_owned(),
                secret: vec![7; 32],
            }],
        };
        let gate = GateSettings {
            issuer: "https://id.test".to_owned(),
            audiences: vec!["banyan".to_owned()],
            keys: KeySource::File("keys.json".into()),
            roles_claim: "/roles".to_owned(),
            leeway: Duration::ZERO,
            default_auth: None,
            default_accept: Accept::default(),
            groups_claim: "/groups".to_owned(),
            profile: TokenProfile::default(),
            max_lifetime: LIFETIME,
            demands: Vec::new(),
            strip: Vec::new(),
            session: None,
            ca: None,
            legacy: None,
            introspection: None,
        };
        let sessions = Sessions::new(&gate, &settings, &[], Arc::default());
        let (at, random) = ((UnixTime::default(), UnixTime::default()), ([1; 16], [2; 12]));
        let claims = json!({ "sub": "alice" });
        let begun = sessions.begin("host", &claims, Some(refresh.to_owned()), at, random);
        begun.unwrap().session
    }

    fn said(at: u64, refresh: &str) -> Result<Vouched, Unvouched> {
        Ok(Vouched {
            claims: None,
            refresh: Some(refresh.to_owned()),
            at: UnixTime::from_secs(at),
        })
    }

    #[test]
    fn a_token_is_used_once_and_its_successor_after_it() {
        let (mut renewals, old) = (Renewals::default(), session("one"));
        let ask = |renewals: &mut Renewals, now: u64| {
            let (answer, asked) = oneshot::channel();
            (renewals.ask(&old, answer, CHECK, UnixTime::from_secs(now)), asked)
        };
        let (begins, mut first) = ask(&mut renewals, 10);
        assert_eq!(begins.as_deref(), Some("one"));
        let (waits, mut second) = ask(&mut renewals, 10);
        assert_eq!(waits, None);
        assert!(matches!(second.try_recv(), Err(TryRecvError::Empty)));
        renewals.done("one", &said(10, "two"));
        assert!(first.try_recv().unwrap().is_ok() && second.try_recv().unwrap().is_ok());
        // an answer that got lost: the old cookie comes again, and again after the next check is due
        let (known, mut third) = ask(&mut renewals, 19);
        assert_eq!((known, third.try_recv().unwrap().is_ok()), (None, true));
        let (begins, _fourth) = ask(&mut renewals, 20);
        assert_eq!(begins.as_deref(), Some("two"));
        renewals.done("two", &Err(Unvouched::Silent));
        let (again, _fifth) = ask(&mut renewals, 21);
        assert_eq!(again.as_deref(), Some("two"), "silence says nothing");
        renewals.done("two", &Err(Unvouched::Refused));
        let (over, mut sixth) = ask(&mut renewals, 22);
        assert_eq!(
            (over, sixth.try_recv().unwrap().err()),
            (None, Some(Unvouched::Refused))
        );
    }

    #[test]
    fn what_nobody_waits_for_is_not_done() {
        let (mut renewals, old) = (Renewals::default(), session("one"));
        let (answer, asked) = oneshot::channel();
        assert!(renewals.ask(&old, answer, CHECK, UnixTime::default()).is_some());
        assert!(!renewals.is_forsaken("one"));
        drop(asked);
        assert!(renewals.is_forsaken("one"));
        let (answer, _asked) = oneshot::channel();
        assert!(
            renewals.ask(&old, answer, CHECK, UnixTime::default()).is_some(),
            "the next one begins anew"
        );
    }
}
