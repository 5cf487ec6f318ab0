//! Once a second: ends drills whose time is over, and tells metrics how many there are. Begin and end of each are in the log.

use crate::{clock, drill::Drill, observe::metrics::Facts, snapshot::Snapshot};

/// Looks after all drills.
pub(super) fn keep(at: &Snapshot, facts: &Facts) {
    let now = clock::wall();
    for drill in at.drills.take_ended(now) {
        log_end(&drill, "its time is over");
    }
    facts.drills(at.drills.active(now).len());
}

/// A drill began.
pub(in crate::control) fn log_begin(drill: &Drill) {
    let Drill {
        id, at, what, who, ..
    } = drill;
    let seconds = drill.ends.secs().saturating_sub(drill.began.secs());
    tracing::warn!(id, %at, %what, who = &**who, seconds, reason = drill.reason, "a drill begins: faults are put in on purpose");
}

/// A drill ended.
pub(in crate::control) fn log_end(drill: &Drill, why: &str) {
    let Drill { id, at, what, .. } = drill;
    tracing::warn!(id, %at, %what, met = drill.met(), why, "a drill ended");
}
