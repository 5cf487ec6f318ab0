//! How a core ends: it waits for its last connections, and counts them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::{limits::Limits, wire::Phase};

/// How often a core that drains counts its connections.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long cut-off connections have to close after a drain's window.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// Counted by the cores, told to the successor.
#[derive(Debug, Clone, Default)]
pub struct Leaving(Arc<[AtomicI64; 3]>);

/// What it has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Connections open now.
    pub open: u64,
    /// Connections that were finished in peace.
    pub drained: u64,
    /// Connections that were cut off when the window was over.
    pub cut: u64,
}

/// One core's part of it.
#[derive(Debug)]
pub struct Share {
    whole: Leaving,
    open: i64,
}

const OPEN: usize = 0;
const DRAINED: usize = 1;
const CUT: usize = 2;

impl Leaving {
    /// What all cores have told.
    #[must_use]
    pub fn left(&self) -> Left {
        let [open, drained, cut] = [OPEN, DRAINED, CUT].map(|at| {
            let number = self.0.get(at).map_or(0, |count| count.load(Ordering::Relaxed));
            u64::try_from(number).unwrap_or(0)
        });
        Left { open, drained, cut }
    }

    /// A core that has so many connections open begins to leave.
    #[must_use]
    pub fn share(&self, open: usize) -> Share {
        let mut share = Share {
            whole: self.clone(),
            open: 0,
        };
        share.add(OPEN, signed(open));
        share.open = signed(open);
        share
    }

    /// So many connections are taken from sockets that are closed now.
    fn add(&self, at: usize, amount: i64) {
        if let Some(count) = self.0.get(at) {
            count.fetch_add(amount, Ordering::Relaxed);
        }
    }
}

impl Share {
    /// So many are open by now.
    pub fn note(&mut self, open: usize) {
        self.settle(open, DRAINED);
    }

    /// The window is over: what is still open is cut.
    pub fn cut(&mut self, open: usize) {
        self.note(open);
        self.settle(0, CUT);
    }

    fn settle(&mut self, open: usize, to: usize) {
        let gone = self.open - signed(open);
        self.add(OPEN, -gone);
        self.add(to, gone.max(0));
        self.open = signed(open);
    }

    fn add(&self, at: usize, amount: i64) {
        self.whole.add(at, amount);
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Waits until every connection has ended, the window is over, or somebody says stop; not at all when that was said at once.
pub async fn wind_down(
    order: Phase,
    phase: &watch::Sender<Phase>,
    room: &Semaphore,
    seats: usize,
    orders: &mut mpsc::Receiver<Phase>,
    limits: &Limits,
    leaving: &Leaving,
) {
    let everyone = u32::try_from(seats).unwrap_or(u32::MAX);
    let open = || seats.saturating_sub(room.available_permits());
    let mut share = leaving.share(open());
    let window = match order {
        Phase::Draining => limits.drain_timeout,
        Phase::HandedOver => limits.handover_window,
        Phase::Serving | Phase::Stopped => Duration::ZERO,
    };
    if !window.is_zero() {
        let mut over = std::pin::pin!(tokio::time::sleep(window));
        let mut looks = tokio::time::interval(LOOK_EVERY);
        while open() > 0 {
            tokio::select! {
                () = &mut over => break,
                _ = orders.recv() => break,
                _ = looks.tick() => share.note(open()),
                _ = room.acquire_many(everyone) => {}
            }
        }
    }
    share.cut(open());
    let _ = phase.send(Phase::Stopped);
    let _ = tokio::time::timeout(LAST_BREATH, room.acquire_many(everyone)).await;
}

#[cfg(test)]
mod tests {
    use super::{Leaving, Left};

    #[test]
    fn every_connection_is_open_drained_or_cut() {
        let leaving = Leaving::default();
        let (mut one, mut other) = (leaving.share(5), leaving.share(2));
        one.note(3);
        other.note(0);
        let left = |open, drained, cut| Left { open, drained, cut };
        assert_eq!(leaving.left(), left(3, 4, 0));
        one.cut(1);
        assert_eq!(leaving.left(), left(0, 6, 1));
    }
}
