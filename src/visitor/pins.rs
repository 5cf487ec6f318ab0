//! The pins cookie: `1.<key id>.<pin>~<pin>….<signature>`, the variants that a visitor keeps although a rollout moves on.

use aws_lc_rs::constant_time;
use http::HeaderValue;

use super::{
    Keys, Visitor, cookies,
    keys::{COPIES_MAX, is_key_id},
};
use crate::fields::Fields;

/// The pins cookie's name.
pub const PINS_COOKIE: &str = "__Host-banyan-pins";

/// Pins that a browser carries. A further one takes the place of the oldest.
pub const PINS_MAX: usize = 16;

const VERSION: &str = "1";
/// Two 32-bit numbers in hexadecimal.
const NUMBERS_BYTES: usize = 16;
/// Digits of the highest epoch.
const EPOCH_BYTES_MAX: usize = 10;
/// The longest body that is looked at: all pins, with what separates them.
const PINS_BYTES_MAX: usize = PINS_MAX * (NUMBERS_BYTES + EPOCH_BYTES_MAX + 1);

/// A variant that a visitor keeps. What the numbers stand for is the flags' affair: names stay out of the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Which flag.
    pub flag: u32,
    /// Which of its variants.
    pub variant: u32,
    /// The flag's epoch when the pin was made: a later one voids it.
    pub epoch: u32,
}

/// The pins of a visitor, the oldest first, one for each flag, at most [`PINS_MAX`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins(Vec<Pin>);

/// Why a pins cookie is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPins {
    /// Not of the right form, wrongly signed, or another visitor's.
    Damaged,
    /// Signed by a key that isn't known (any more).
    UnknownKey,
}

impl BadPins {
    /// The word for metric labels and explain.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::UnknownKey => "unknown_key",
        }
    }
}

impl Pins {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pin of a flag.
    #[must_use]
    pub fn get(&self, flag: u32) -> Option<Pin> {
        self.0.iter().find(|pin| pin.flag == flag).copied()
    }

    /// All pins, the oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Pin> {
        self.0.iter().copied()
    }

    /// Adds a pin, in place of the flag's older one; the oldest of all goes where there are too many.
    pub fn put(&mut self, pin: Pin) {
        self.0.retain(|other| other.flag != pin.flag);
        if self.0.len() >= PINS_MAX {
            self.0.remove(0);
        }
        self.0.push(pin);
    }

    /// Keeps those that `holds` says yes to.
    pub fn retain(&mut self, mut holds: impl FnMut(Pin) -> bool) {
        self.0.retain(|pin| holds(*pin));
    }

    fn write(&self) -> String {
        let pins = self.0.iter();
        let texts: Vec<String> = pins
            .map(|pin| format!("{:08x}{:08x}{}", pin.flag, pin.variant, pin.epoch))
            .collect();
        texts.join("~")
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > PINS_BYTES_MAX {
            return None;
        }
        let mut pins = Self::default();
        for pin in text.split('~') {
            let pin = Pin::parse(pin)?;
            if pins.0.len() == PINS_MAX || pins.get(pin.flag).is_some() {
                return None;
            }
            pins.0.push(pin);
        }
        Some(pins)
    }
}

impl Pin {
    fn parse(text: &str) -> Option<Self> {
        let (numbers, epoch) = text.split_at_checked(NUMBERS_BYTES)?;
        let (flag, variant) = numbers.split_at_checked(NUMBERS_BYTES / 2)?;
        Some(Self {
            flag: hex(flag)?,
            variant: hex(variant)?,
            epoch: decimal(epoch)?,
        })
    }
}

fn hex(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

fn decimal(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    digits.then(|| text.parse().ok()).flatten()
}

impl Keys {
    /// The pins that this visitor carries; none without the cookie. Of several copies the first good one counts.
    ///
    /// # Errors
    /// [`BadPins`]: there is a cookie, and none that counts.
    pub fn pins(&self, headers: &Fields, visitor: &Visitor) -> Result<Pins, BadPins> {
        let copies = cookies(headers)
            .filter(|(name, _)| *name == PINS_COOKIE)
            .take(COPIES_MAX);
        let mut found = Ok(Pins::default());
        for (_, value) in copies {
            match self.check_pins(value, visitor) {
                Ok(pins) => return Ok(pins),
                Err(bad) => found = found.and(Err(bad)),
            }
        }
        found
    }

    /// The `Set-Cookie` value that gives the browser of this visitor these pins, signed by the first key. It is kept as long as
    /// the visitor's own cookie.
    #[must_use]
    pub fn set_pins(&self, pins: &Pins, visitor: &Visitor) -> HeaderValue {
        let body = format!("{VERSION}.{}.{}", self.signing.id, pins.write());
        let signature = self.signing.sign(PINS_COOKIE, &[visitor.id(), ".", &body]);
        let value = format!("{body}.{}", str::from_utf8(&signature).unwrap_or_default());
        self.cookie(PINS_COOKIE, &value, visitor.kept())
    }

    fn check_pins(&self, value: &str, visitor: &Visitor) -> Result<Pins, BadPins> {
        let form = || {
            let (body, signature) = value.rsplit_once('.')?;
            let mut parts = body.split('.');
            let (version, key_id, pins) = (parts.next()?, parts.next()?, parts.next()?);
            let whole = parts.next().is_none() && version == VERSION && is_key_id(key_id);
            whole.then_some((body, key_id, pins, signature))
        };
        let (body, key_id, pins, signature) = form().ok_or(BadPins::Damaged)?;
        let pins = Pins::parse(pins).ok_or(BadPins::Damaged)?;
        let key = self.by_id(key_id).ok_or(BadPins::UnknownKey)?;
        let right = key.sign(PINS_COOKIE, &[visitor.id(), ".", body]);
        constant_time::verify_slices_are_equal(&right, signature.as_bytes())
            .map(|()| pins)
            .map_err(|_| BadPins::Damaged)
    }
}
