//! The addresses of a server's name: found by the control plane, read where connections are opened.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

/// Addresses, in the order that they are tried.
pub type Addresses = Arc<[IpAddr]>;

/// What a name stands for just now.
#[derive(Debug)]
pub struct Names {
    /// Where connections are opened to.
    current: ArcSwap<Box<[IpAddr]>>,
    /// Where connections may go on: those above, and those that were among them until a while ago.
    lasting: ArcSwap<Box<[IpAddr]>>,
    /// Counts up whenever an address stops being among `lasting`.
    departures: AtomicU64,
    /// Connections so far: each begins at the next address.
    turn: AtomicU64,
    /// Somebody has asked for it, with whatever outcome.
    asked: AtomicBool,
    found: Notify,
}

impl Names {
    /// Of one address, or of none that is known yet.
    #[must_use]
    pub fn new(only: Option<IpAddr>) -> Self {
        let list = || -> Box<[IpAddr]> { only.into_iter().collect() };
        Self {
            current: ArcSwap::from_pointee(list()),
            lasting: ArcSwap::from_pointee(list()),
            departures: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            asked: AtomicBool::new(only.is_some()),
            found: Notify::new(),
        }
    }

    /// The addresses, the first another one each time; empty while none is known.
    #[must_use]
    pub fn get(&self) -> Addresses {
        let current = self.current.load();
        let mut list: Vec<IpAddr> = current.to_vec();
        if list.len() > 1 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let by = usize::try_from(turn % list.len() as u64).unwrap_or_default();
            list.rotate_left(by);
        }
        list.into()
    }

    /// All of them, as the last answer had them.
    #[must_use]
    pub fn all(&self) -> Vec<IpAddr> {
        self.current.load().to_vec()
    }

    /// As [`Names::get`], once the name has been asked for.
    pub async fn wait(&self) -> Addresses {
        loop {
            let told = self.found.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            let list = self.get();
            if !list.is_empty() || self.asked.load(Ordering::Acquire) {
                return list;
            }
            told.await;
        }
    }

    /// Puts a new answer in force. Connections to what is not in `lasting` end when their exchanges do.
    pub fn set(&self, current: &[IpAddr], lasting: &[IpAddr]) {
        let before = self.lasting.swap(Arc::new(lasting.into()));
        self.current.store(Arc::new(current.into()));
        if before.iter().any(|was| !lasting.contains(was)) {
            self.departures.fetch_add(1, Ordering::Release);
        }
        self.told();
    }

    /// The name was asked for: nobody need wait any longer, even if nothing was found.
    pub fn told(&self) {
        self.asked.store(true, Ordering::Release);
        self.found.notify_waiters();
    }

    /// Whether the name was asked for, with whatever outcome.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Changes whenever connections may have to end.
    #[must_use]
    pub fn departures(&self) -> u64 {
        self.departures.load(Ordering::Acquire)
    }

    /// Whether connections there may go on. Those over memory always may.
    #[must_use]
    pub fn lasts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_none_or(|peer| self.lasting.load().contains(&peer))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::Names;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn each_connection_begins_at_the_next_address() {
        let names = Names::new(None);
        names.set(&[ip(1), ip(2), ip(3)], &[ip(1), ip(2), ip(3)]);
        let firsts: Vec<IpAddr> = (0..4).map(|_| names.get()[0]).collect();
        assert_eq!(firsts, [ip(1), ip(2), ip(3), ip(1)]);
    }

    #[test]
    fn connections_end_only_where_an_address_is_gone_for_good() {
        let names = Names::new(None);
        names.set(&[ip(1), ip(2)], &[ip(1), ip(2)]);
        let before = names.departures();
        names.set(&[ip(2)], &[ip(1), ip(2)]);
        assert!(names.departures() == before && names.lasts(Some(ip(1))));
        names.set(&[ip(2)], &[ip(2)]);
        assert!(names.departures() != before && !names.lasts(Some(ip(1))));
        assert!(names.lasts(Some(ip(2))) && names.lasts(None));
    }

    #[tokio::test]
    async fn who_waits_for_a_name_is_told() {
        let names = std::sync::Arc::new(Names::new(None));
        let waiting = tokio::spawn({
            let names = std::sync::Arc::clone(&names);
            async move { names.wait().await }
        });
        tokio::task::yield_now().await;
        names.set(&[ip(9)], &[ip(9)]);
        assert_eq!(*waiting.await.unwrap(), [ip(9)]);
        let lost = Names::new(None);
        lost.told();
        assert!(lost.wait().await.is_empty());
    }
}
