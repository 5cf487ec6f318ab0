//! Which server takes the next exchange: the less loaded of two that chance names.
//!
//! Two choices keep the fullest server within `ln ln n` of the mean, without any core knowing what the others do (Mitzenmacher,
//! "The power of two choices in randomized load balancing", IEEE TPDS 12(10), 2001).

/// Chooses one of `count` servers.
///
/// `usable` says which may be chosen; when none may, all may, since a wrong health check must not take a whole backend down.
/// `load` is what a server has under way. `random` is any 64 random bits. `None` only when `count` is 0.
pub fn pick(
    count: usize,
    usable: impl Fn(usize) -> bool,
    load: impl Fn(usize) -> u32,
    random: u64,
) -> Option<usize> {
    let good = (0..count).filter(|&at| usable(at)).count();
    if good == 0 {
        return two(count, count, |_| true, load, random);
    }
    two(count, good, usable, load, random)
}

fn two(
    count: usize,
    good: usize,
    usable: impl Fn(usize) -> bool,
    load: impl Fn(usize) -> u32,
    random: u64,
) -> Option<usize> {
    let nth = |n: usize| (0..count).filter(|&at| usable(at)).nth(n);
    if good <= 1 {
        return nth(0);
    }
    let first = place(random as u32, good);
    let other = place((random >> 32) as u32, good - 1);
    let second = if other >= first { other + 1 } else { other };
    let (a, b) = (nth(first)?, nth(second)?);
    Some(if load(b) < load(a) { b } else { a })
}

/// Maps 32 random bits onto `0..below` by multiply and shift.
fn place(random: u32, below: usize) -> usize {
    ((u64::from(random) * below as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::pick;

    #[test]
    fn nobody_to_choose_from_gives_nobody() {
        assert_eq!(pick(0, |_| true, |_| 0, 7), None);
    }

    #[test]
    fn the_less_loaded_of_two_is_chosen() {
        for random in [0, u64::MAX, 0x8000_0000_0000_0001] {
            assert_eq!(
                pick(2, |_| true, |at| if at == 0 { 5 } else { 1 }, random),
                Some(1)
            );
        }
    }

    #[test]
    fn when_all_are_out_all_may_be_chosen() {
        assert!(pick(3, |_| false, |_| 0, 99).is_some());
    }

    proptest! {
        #[test]
        fn only_usable_servers_are_chosen(count in 1usize..20, mask: u32, random: u64) {
            let usable = |at: usize| mask & (1 << at) != 0;
            let chosen = pick(count, usable, |_| 0, random).unwrap();
            prop_assert!(chosen < count);
            if (0..count).any(usable) {
                prop_assert!(usable(chosen));
            }
        }
    }
}
