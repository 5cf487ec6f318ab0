//! So many at once on a core, and so many of them for one address.

use std::{cell::RefCell, collections::HashMap, net::IpAddr, net::Ipv6Addr, rc::Rc};

/// Who sits. As many entries as seats are taken, at most.
#[derive(Debug, Default)]
pub struct Seats {
    taken: RefCell<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A seat; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Rc<Seats>,
    address: IpAddr,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    All,
    /// This address has its share.
    Address,
}

impl Seats {
    /// A seat for `address`, where at most `max` sit, and `each_max` of one address.
    ///
    /// # Errors
    /// [`Full`].
    pub fn take(self: &Rc<Self>, address: IpAddr, max: usize, each_max: usize) -> Result<Seat, Full> {
        let address = neighbourhood(address);
        let mut taken = self.taken.borrow_mut();
        if taken.all >= max {
            return Err(Full::All);
        }
        if taken.by_address.get(&address).is_some_and(|own| *own >= each_max) {
            return Err(Full::Address);
        }
        taken.all += 1;
        *taken.by_address.entry(address).or_default() += 1;
        Ok(Seat {
            seats: Rc::clone(self),
            address,
        })
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.borrow().all
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.borrow_mut();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by_address.get_mut(&self.address) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// One household has a whole /64 of IPv6 (RFC 6177), so that counts as one.
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{Full, Seats};

    #[test]
    fn seats_end_for_one_address_and_for_all_and_come_back() {
        let seats = Rc::new(Seats::default());
        let take = |address: &str| seats.take(address.parse().unwrap(), 3, 2);
        let first = take("2001:db8::1").unwrap();
        let second = take("2001:db8::ffff:2").unwrap();
        assert_eq!(
            take("2001:db8::3").unwrap_err(),
            Full::Address,
            "one /64 is one address"
        );
        let third = take("2001:db8:0:1::1").unwrap();
        assert_eq!(take("192.0.2.1").unwrap_err(), Full::All);
        drop((first, third));
        assert_eq!(seats.taken(), 1);
        let _mapped = take("::ffff:192.0.2.1").unwrap();
        let _same = take("192.0.2.1").unwrap();
        drop(second);
        assert_eq!(take("192.0.2.1").unwrap_err(), Full::Address);
    }
}
