//! Pins, from being set to being read again.

use http::HeaderValue;
use proptest::prelude::*;

use super::{
    super::{BadPins, Keys, PINS_COOKIE, PINS_MAX, Pin, Pins, Visitor},
    carrying, keys_of, pair,
};
use crate::clock::UnixTime;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn pin(flag: u32, variant: u32, epoch: u32) -> Pin {
    Pin { flag, variant, epoch }
}

fn of(pins: &[Pin]) -> Pins {
    let mut all = Pins::default();
    for pin in pins {
        all.put(*pin);
    }
    all
}

fn read(keys: &Keys, visitor: &Visitor, cookie: &str) -> Result<Pins, BadPins> {
    keys.pins(&carrying(&[cookie]), visitor)
}

fn written(keys: &Keys, pins: &Pins, visitor: &Visitor) -> String {
    pair(&keys.set_pins(pins, visitor))
}

#[test]
fn pins_are_read_as_they_were_set() {
    let keys = keys_of(&["a"]);
    let visitor = keys.mint([1; 16], NOW);
    let pins = of(&[pin(1, 2, 3), pin(u32::MAX, 0, u32::MAX), pin(0, 1, 0)]);
    let set: HeaderValue = keys.set_pins(&pins, &visitor);
    let text = set.to_str().unwrap();
    for wanted in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=15552000"] {
        assert!(text.contains(wanted), "{text}");
    }
    assert_eq!(read(&keys, &visitor, &pair(&set)), Ok(pins));
    assert_eq!(keys.pins(&carrying(&["a=b"]), &visitor), Ok(Pins::default()));
}

#[test]
fn the_oldest_pin_goes_when_there_are_too_many_and_a_flag_has_one() {
    let mut pins = Pins::default();
    for flag in 0..20 {
        pins.put(pin(flag, 7, 1));
    }
    pins.put(pin(10, 8, 2));
    let flags: Vec<u32> = pins.iter().map(|pin| pin.flag).collect();
    assert_eq!(flags.len(), PINS_MAX);
    assert_eq!((flags[0], flags[PINS_MAX - 1]), (4, 10));
    assert_eq!(pins.get(10), Some(pin(10, 8, 2)));
    assert_eq!(pins.get(3), None);
    let keys = keys_of(&["a"]);
    let visitor = keys.mint([1; 16], NOW);
    assert_eq!(read(&keys, &visitor, &written(&keys, &pins, &visitor)), Ok(pins));
}

#[test]
fn pins_count_for_their_visitor_alone() {
    let keys = keys_of(&["a"]);
    let (one, two) = (keys.mint([1; 16], NOW), keys.mint([2; 16], NOW));
    let cookie = written(&keys, &of(&[pin(1, 2, 3)]), &one);
    assert_eq!(read(&keys, &two, &cookie), Err(BadPins::Damaged));
}

#[test]
fn a_rotated_key_still_reads_and_a_forgotten_one_does_not() {
    let (old, both, new) = (keys_of(&["a"]), keys_of(&["b", "a"]), keys_of(&["b"]));
    let visitor = old.mint([1; 16], NOW);
    let pins = of(&[pin(1, 2, 3)]);
    let cookie = written(&old, &pins, &visitor);
    assert_eq!(read(&both, &visitor, &cookie), Ok(pins));
    assert_eq!(read(&new, &visitor, &cookie), Err(BadPins::UnknownKey));
}

#[test]
fn other_signed_texts_are_no_pins() {
    let keys = keys_of(&["a"]);
    let visitor = keys.mint([1; 16], NOW);
    let other = pair(&keys.set_cookie(&visitor, NOW));
    let value = other.split_once('=').unwrap().1;
    let cookie = format!("{PINS_COOKIE}={value}");
    assert_eq!(read(&keys, &visitor, &cookie), Err(BadPins::Damaged));
}

proptest! {
    #[test]
    fn a_changed_cookie_never_pins(at in 0_usize..90, to in "[ -~]") {
        let keys = keys_of(&["a"]);
        let visitor = keys.mint([1; 16], NOW);
        let pins = of(&[pin(1, 2, 3), pin(4, 5, 6)]);
        let good = written(&keys, &pins, &visitor);
        let value = good.split_once('=').unwrap().1;
        let mut bad = value.to_owned();
        let at = at % bad.len();
        bad.replace_range(at..=at, &to);
        prop_assume!(bad != value && !bad.contains([';', ' ']));
        let cookie = format!("{PINS_COOKIE}={bad}");
        prop_assert!(read(&keys, &visitor, &cookie).is_err());
    }

    #[test]
    fn any_text_is_no_pins(value in "[!-:<-~]{0,400}") {
        let keys = keys_of(&["a"]);
        let visitor = keys.mint([1; 16], NOW);
        let cookie = format!("{PINS_COOKIE}={value}");
        prop_assert!(read(&keys, &visitor, &cookie).is_err());
    }
}
