//! Flow control, both ways (RFC 9113 section 5.2): what may be sent, and what a peer is allowed to send.

use super::frame::WINDOW_MAX;

/// What we may send. Below zero after the peer has made all windows smaller.
#[derive(Debug, Clone, Copy)]
pub(super) struct SendWindow(i64);

/// A window beyond the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overflow;

impl SendWindow {
    pub(super) const fn new(bytes: u32) -> Self {
        Self(bytes as i64)
    }

    /// Bytes that may be sent now.
    pub(super) fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// `bytes` were sent.
    pub(super) fn use_up(&mut self, bytes: usize) {
        self.0 -= i64::try_from(bytes).unwrap_or(WINDOW_MAX);
    }

    /// The peer gives (or, with new settings, takes) room.
    pub(super) fn add(&mut self, bytes: i64) -> Result<(), Overflow> {
        let sum = self.0 + bytes;
        if sum > WINDOW_MAX {
            return Err(Overflow);
        }
        self.0 = sum;
        Ok(())
    }
}

/// What the peer may send. Room is given back in large pieces, and only for what was taken by who reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceiveWindow {
    size: u32,
    /// What the peer may still send.
    left: u32,
    /// What was taken and not given back yet.
    owed: u32,
}

impl ReceiveWindow {
    pub(super) const fn new(size: u32) -> Self {
        Self {
            size,
            left: size,
            owed: 0,
        }
    }

    /// `bytes` came. `Err`: more than was allowed.
    pub(super) fn receive(&mut self, bytes: usize) -> Result<(), Overflow> {
        let bytes = u32::try_from(bytes).map_err(|_| Overflow)?;
        self.left = self.left.checked_sub(bytes).ok_or(Overflow)?;
        Ok(())
    }

    /// `bytes` were taken by their reader. Returns what to tell the peer, once it is half a window.
    pub(super) fn release(&mut self, bytes: usize) -> Option<u32> {
        let held = self.size - self.left - self.owed;
        self.owed += u32::try_from(bytes).unwrap_or(u32::MAX).min(held);
        if self.owed < self.size / 2 {
            return None;
        }
        self.left += self.owed;
        Some(std::mem::take(&mut self.owed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Overflow, ReceiveWindow, SendWindow, WINDOW_MAX};

    #[test]
    fn a_window_shrinks_below_zero_and_grows_no_further_than_allowed() {
        let mut window = SendWindow::new(100);
        window.use_up(90);
        assert_eq!(window.add(-50), Ok(()));
        assert_eq!(window.room(), 0);
        assert_eq!(window.add(45), Ok(()));
        assert_eq!(window.room(), 5);
        assert_eq!(window.add(WINDOW_MAX), Err(Overflow));
        assert_eq!(window.add(WINDOW_MAX - 5), Ok(()));
    }

    proptest! {
        #[test]
        fn whatever_was_taken_is_given_back_in_the_end(steps: Vec<(u16, u16)>) {
            let mut window = ReceiveWindow::new(50_000);
            let (mut peer, mut held) = (50_000_i64, 0_usize);
            for (sent, taken) in steps {
                let sent = usize::from(sent);
                prop_assert_eq!(window.receive(sent).is_ok(), sent as i64 <= peer);
                if sent as i64 <= peer {
                    peer -= sent as i64;
                    held += sent;
                }
                let taken = usize::from(taken).min(held);
                held -= taken;
                if let Some(given) = window.release(taken) {
                    prop_assert!(given >= 25_000);
                    peer += i64::from(given);
                }
                prop_assert!(peer + held as i64 <= 50_000);
                prop_assert!(peer + held as i64 > 25_000);
            }
        }
    }
}
