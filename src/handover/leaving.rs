//! How far a program that has handed over is with its last connections, over all cores.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use serde::{Deserialize, Serialize};

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
