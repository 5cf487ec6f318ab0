//! Browsers that have signed in: few, in memory, each with an end. A restart ends them all.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::tokens::{Secret, same};
use crate::{
    clock::{Moment, UnixTime},
    gate,
};

/// Sessions at one time. One more ends the one that was idle for longest.
pub(super) const SESSIONS_MAX: usize = 256;

/// A session ends this long after it began, whatever is done with it: a working day.
pub(super) const AGE_MAX: Duration = Duration::from_secs(12 * 3600);

/// A session ends when nothing is asked in it for so long. A page that is open asks all the time.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(3600);

/// On what somebody came in. It is looked at anew with each request: what is withdrawn is withdrawn from sessions too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ground {
    /// The token of this hash.
    Token([u8; 32]),
    /// What `<state>/cli.token` holds.
    Cli,
    /// The link that was printed at the start.
    Link,
    /// A token of the gate's issuer.
    Roles {
        subject: String,
        roles: Vec<String>,
        expires: UnixTime,
    },
    /// A sign-in at the gate's issuer.
    Person(Person),
}

/// Somebody who signed in at the gate's issuer.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// The issuer that vouched for them.
    pub(super) issuer: Arc<str>,
    /// What it said, and when it last did.
    pub(super) session: Arc<gate::session::Session>,
}

impl PartialEq for Person {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.session, &other.session)
    }
}

impl Eq for Person {}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<Session>);

#[derive(Debug)]
struct Session {
    /// Of the secret in the browser's cookie.
    hash: [u8; 32],
    ground: Ground,
    began: Instant,
    seen: Instant,
}

impl Sessions {
    /// Begins one; the secret is for the browser's cookie.
    pub(super) fn open(&mut self, ground: Ground, now: Moment) -> io::Result<Secret> {
        let secret = Secret::random()?;
        self.0.retain(|session| !session.is_over(now.steady));
        if self.0.len() >= SESSIONS_MAX
            && let Some((idlest, _)) = self.0.iter().enumerate().min_by_key(|(_, session)| session.seen)
        {
            self.0.swap_remove(idlest);
        }
        self.0.push(Session {
            hash: secret.hash(),
            ground,
            began: now.steady,
            seen: now.steady,
        });
        Ok(secret)
    }

    /// On what the session of this cookie stands, if there is one still; it is not idle now.
    pub(super) fn find(&mut self, hash: &[u8; 32], now: Moment) -> Option<&Ground> {
        self.0.retain(|session| !session.is_over(now.steady));
        let session = self.0.iter_mut().find(|session| same(&session.hash, hash))?;
        session.seen = now.steady;
        Some(&session.ground)
    }

    /// Has those who stand on `before` stand on `after` from now on; on nothing: their sessions end.
    pub(super) fn change(&mut self, before: &Ground, after: Option<&Ground>) {
        match after {
            Some(after) => {
                for session in self.0.iter_mut().filter(|session| session.ground == *before) {
                    session.ground = after.clone();
                }
            }
            None => self.0.retain(|session| session.ground != *before),
        }
    }

    /// Ends one.
    pub(super) fn close(&mut self, hash: &[u8; 32]) {
        self.0.retain(|session| !same(&session.hash, hash));
    }
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= AGE_MAX
            || now.saturating_duration_since(self.seen) >= IDLE_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AGE_MAX, Ground, IDLE_MAX, SESSIONS_MAX, Sessions};
    use crate::{clock, control::admin::tokens::hash};

    #[test]
    fn a_session_ends_when_idle_when_old_and_when_told_to() {
        let now = clock::now();
        let at = |after: Duration| now.later(now.steady + after);
        let moment = Duration::from_secs(1);

        let mut sessions = Sessions::default();
        let cookie = sessions.open(Ground::Link, now).unwrap().hash();
        assert_eq!(sessions.find(&cookie, at(IDLE_MAX - moment)), Some(&Ground::Link));
        assert_eq!(sessions.find(&hash("another"), now), None);
        assert!(
            sessions.find(&cookie, at(IDLE_MAX * 2 - moment)).is_none(),
            "idle"
        );
        assert!(sessions.find(&cookie, now).is_none(), "it stays ended");

        let cookie = sessions.open(Ground::Link, now).unwrap().hash();
        let mut after = Duration::ZERO;
        while after + IDLE_MAX / 2 < AGE_MAX {
            after += IDLE_MAX / 2;
            assert!(sessions.find(&cookie, at(after)).is_some(), "{after:?}");
        }
        assert!(sessions.find(&cookie, at(AGE_MAX)).is_none(), "old");

        let cookie = sessions.open(Ground::Link, now).unwrap().hash();
        sessions.close(&cookie);
        assert!(sessions.find(&cookie, now).is_none(), "closed");
    }

    #[test]
    fn one_more_session_ends_the_idlest() {
        let now = clock::now();
        let mut sessions = Sessions::default();
        let cookies: Vec<_> = (0..SESSIONS_MAX)
            .map(|_| sessions.open(Ground::Cli, now).unwrap().hash())
            .collect();
        let later = now.later(now.steady + Duration::from_secs(1));
        for cookie in cookies.iter().skip(1) {
            assert!(sessions.find(cookie, later).is_some());
        }
        let newest = sessions.open(Ground::Cli, later).unwrap().hash();
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
        assert!(sessions.find(&newest, later).is_some());
        assert!(sessions.find(&cookies[0], later).is_none());
    }

    #[test]
    fn no_secret_is_shown() {
        let mut sessions = Sessions::default();
        let cookie = sessions.open(Ground::Link, clock::now()).unwrap();
        assert_eq!(format!("{cookie:?}"), "***");
        assert!(!format!("{sessions:?}").contains(cookie.reveal()));
    }
}
