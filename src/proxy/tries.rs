//! Whether a failed attempt may be followed by another, and after which pause.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use smallvec::SmallVec;

use super::{
    edge::Edge,
    forward::{Failed, Outgoing},
    refusal::{Refusal, Retry},
};
use crate::{
    backend::Backend,
    body::Body,
    clock,
    observe::metrics::{Family, Label},
    snapshot::Rule,
};

/// What was tried so far.
#[derive(Default)]
pub(super) struct Tries {
    /// Servers, by their places, since everyone had a turn.
    pub(super) servers: SmallVec<[usize; 4]>,
    pub(super) attempts: u32,
    /// A kept connection turned out to be closed.
    pub(super) stale: bool,
}

/// Who may be asked next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Who was asked before: only the connection was no good.
    Same,
    /// Only who was not asked yet.
    Other,
    /// Anybody, who was not asked yet first.
    Any,
}

impl Tries {
    /// The body for another attempt after `failed`, once the pause before it is over, and who may be asked.
    pub(super) async fn next(
        &mut self,
        failed: Failed,
        outgoing: &Outgoing<'_>,
        backend: &Backend,
        deadline: Option<Instant>,
        edge: &Edge,
    ) -> Result<(Body, Who), Refusal> {
        let settings = &backend.settings;
        let named = Refusal {
            backend: Some(settings.name.shared()),
            ..failed.refusal
        };
        // once, a connection that had been closed costs neither an attempt nor a retry: nobody is to blame for it
        let free = failed.stale && !std::mem::replace(&mut self.stale, true);
        let left = free || self.attempts < settings.attempts;
        let body = failed
            .body
            .filter(|_| left && self.may_retry(&named, &outgoing.head.method, backend));
        let Some(body) = body else {
            return Err(named);
        };
        if free {
            self.attempts -= 1;
            return Ok((body, Who::Same));
        }
        if failed.full {
            return Ok((body, Who::Other)); // nobody was asked anything: that is no retry, and nothing to wait for
        }
        match may_pause(
            outgoing.rule,
            deadline,
            self.attempts,
            edge,
            &settings.name.shared(),
        )
        .await
        {
            true => Ok((body, Who::Any)),
            false => Err(named),
        }
    }

    fn may_retry(&self, refusal: &Refusal, method: &Method, backend: &Backend) -> bool {
        match refusal.retry {
            Retry::Never => false,
            Retry::Unsent => true,
            Retry::IfIdempotent => method.is_idempotent(),
            Retry::IfIdempotentElsewhere => {
                method.is_idempotent() && self.servers.len() + 1 < backend.roster().servers.len()
            }
        }
    }
}

/// The longest pause before a first retry; it doubles with each, up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// The longest pause before any retry.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Takes a retry out of the route's budget and waits for a moment, of any length up to the longest: so those who failed together don't
/// come back together. `false`: there is no retry left, or no time.
async fn may_pause(
    rule: Option<&Rule>,
    deadline: Option<Instant>,
    attempts: u32,
    edge: &Edge,
    backend: &Arc<str>,
) -> bool {
    let random = u64::from_ne_bytes(edge.random8());
    let pause = pause(attempts, random);
    let in_time = |deadline: Instant| clock::steady() + pause < deadline;
    if !deadline.is_none_or(in_time) {
        return false;
    }
    if rule.is_some_and(|rule| !rule.shield.retries.withdraw()) {
        edge.observe
            .count(Family::RetriesRefused, &[Label::Name(backend)], 1);
        return false;
    }
    tokio::time::sleep(pause).await;
    true
}

/// The pause after so many attempts, anywhere between nothing and the longest, as `random` says.
fn pause(attempts: u32, random: u64) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(8));
    let most = u64::from(doubled.min(PAUSE_MAX).subsec_micros());
    Duration::from_micros(((u128::from(random) * u128::from(most + 1)) >> 64) as u64)
}

/// An answer that is no server's failure adds to what the route may try again.
pub(super) fn reward(rule: Option<&Rule>, status: StatusCode) {
    if let Some(rule) = rule.filter(|_| !status.is_server_error()) {
        rule.shield.retries.deposit(rule.policy.protection.retries);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PAUSE_FIRST, PAUSE_MAX, pause};

    proptest! {
        /// Any length may come, none is longer than it may be.
        #[test]
        fn a_pause_is_anywhere_up_to_its_longest(attempts in 1u32..20, random: u64) {
            let longest = pause(attempts, u64::MAX);
            prop_assert!(pause(attempts, random) <= longest);
            prop_assert!(longest <= PAUSE_MAX && longest >= PAUSE_FIRST);
            prop_assert!(pause(attempts, 0).is_zero());
            prop_assert!(longest >= pause(attempts.saturating_sub(1), u64::MAX));
        }
    }
}
