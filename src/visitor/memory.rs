//! Cookies whose signature was found good before: a browser sends the same one with every request.
//!
//! Each core has its own memory. It holds answers of a pure function, so nothing that anybody can see depends on it but time.

use std::cell::RefCell;

use aws_lc_rs::constant_time;

/// Cookies that a core remembers. A new one takes the place of an old one.
pub const COOKIES_REMEMBERED: usize = 1024;
/// The longest cookie that is remembered: every one that we sign is shorter.
const COOKIE_BYTES: usize = 96;

thread_local! {
    static REMEMBERED: RefCell<Vec<Remembered>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy)]
struct Remembered {
    /// Which keys found it good; 0: nobody has.
    keys: u64,
    length: usize,
    cookie: [u8; COOKIE_BYTES],
}

impl Remembered {
    const NOTHING: Self = Self {
        keys: 0,
        length: 0,
        cookie: [0; COOKIE_BYTES],
    };
}

/// Whether the keys with this number have found this very cookie good before.
pub(super) fn knows(keys: u64, cookie: &str) -> bool {
    REMEMBERED.with_borrow(|all| {
        let Some(entry) = all.get(place(cookie)).filter(|entry| entry.keys == keys) else {
            return false;
        };
        // as careful as with the signature itself: how long it takes must not tell how much was right
        let known = entry.cookie.get(..entry.length).unwrap_or_default();
        constant_time::verify_slices_are_equal(known, cookie.as_bytes()).is_ok()
    })
}

/// Remembers that the keys with this number have found this cookie good.
pub(super) fn keep(keys: u64, cookie: &str) {
    let mut entry = Remembered {
        keys,
        length: cookie.len(),
        ..Remembered::NOTHING
    };
    let Some(room) = entry.cookie.get_mut(..cookie.len()) else {
        return;
    };
    room.copy_from_slice(cookie.as_bytes());
    REMEMBERED.with_borrow_mut(|all| {
        if all.is_empty() {
            all.resize(COOKIES_REMEMBERED, Remembered::NOTHING);
        }
        if let Some(old) = all.get_mut(place(cookie)) {
            *old = entry;
        }
    });
}

/// The signature stands at the end, and no two cookies share one: its last characters are as good as random.
fn place(cookie: &str) -> usize {
    let last = cookie.as_bytes().last_chunk::<4>().copied().unwrap_or_default();
    u32::from_ne_bytes(last).wrapping_mul(0x9E37_79B1) as usize >> 8 & (COOKIES_REMEMBERED - 1)
}
