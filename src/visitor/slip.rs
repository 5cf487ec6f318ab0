//! The slip that a visitor has of a waiting room: `1.<key id>.<kind>.<epoch>.<number>.<number>.<signature>`, in a cookie of that room.
//!
//! What the numbers say is the room's affair. The signature is made of the cookie's name, and so of the room, and of the visitor's id: a
//! slip that somebody else presents, or at another room, counts for nothing.

use aws_lc_rs::constant_time;
use http::HeaderValue;

use super::{
    Kept, Keys, OWN_PREFIX, Visitor, cookies,
    keys::{COPIES_MAX, is_key_id},
};
use crate::fields::Fields;

const VERSION: &str = "1";

/// What a slip says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slip {
    /// A lower-case letter.
    pub kind: u8,
    /// Whose numbers these are.
    pub epoch: u64,
    /// The numbers.
    pub numbers: [u64; 2],
}

/// There is a slip, and none that counts: not of the right form, changed, somebody else's, or of a key that isn't known (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSlip;

impl Slip {
    fn write(self) -> String {
        let [first, second] = self.numbers;
        let kind = char::from(self.kind);
        format!("{kind}.{:016x}.{first}.{second}", self.epoch)
    }

    fn parse<'t>(mut parts: impl Iterator<Item = &'t str>) -> Option<Self> {
        let (kind, epoch) = (parts.next()?, parts.next()?);
        let numbers = [parts.next()?.parse().ok()?, parts.next()?.parse().ok()?];
        let &[kind @ b'a'..=b'z'] = kind.as_bytes() else {
            return None;
        };
        let slip = Self {
            kind,
            epoch: u64::from_str_radix(epoch, 16).ok()?,
            numbers,
        };
        parts.next().is_none().then_some(slip)
    }
}

impl Keys {
    /// The slip that one of these visitors has of `room`. Of several copies the first good one counts.
    ///
    /// # Errors
    /// [`BadSlip`].
    pub fn slip(&self, headers: &Fields, room: &str, of: &[Visitor]) -> Result<Option<Slip>, BadSlip> {
        let name = cookie_name(room);
        let copies = cookies(headers)
            .filter(|(other, _)| *other == name)
            .take(COPIES_MAX);
        let mut found = Ok(None);
        for (_, value) in copies {
            match self.check_slip(value, &name, of) {
                Some(slip) => return Ok(Some(slip)),
                None => found = Err(BadSlip),
            }
        }
        found
    }

    /// The `Set-Cookie` value that gives this visitor a slip of `room`, signed by the first key.
    #[must_use]
    pub fn set_slip(&self, slip: Slip, room: &str, visitor: &Visitor) -> HeaderValue {
        let name = cookie_name(room);
        let body = format!("{VERSION}.{}.{}", self.signing.id, slip.write());
        let signature = self.signing.sign(&name, &[visitor.id(), ".", &body]);
        let value = format!("{body}.{}", str::from_utf8(&signature).unwrap_or_default());
        self.cookie(&name, &value, Kept::Session)
    }

    fn check_slip(&self, value: &str, name: &str, of: &[Visitor]) -> Option<Slip> {
        let (body, signature) = value.rsplit_once('.')?;
        let mut parts = body.split('.');
        let (version, key_id) = (parts.next()?, parts.next()?);
        let slip = Slip::parse(parts)?;
        if version != VERSION || !is_key_id(key_id) {
            return None;
        }
        let key = self.by_id(key_id)?;
        let signed_for = |visitor: &Visitor| {
            let right = key.sign(name, &[visitor.id(), ".", body]);
            constant_time::verify_slices_are_equal(&right, signature.as_bytes()).is_ok()
        };
        of.iter().any(signed_for).then_some(slip)
    }
}

fn cookie_name(room: &str) -> String {
    format!("{OWN_PREFIX}-room-{room}")
}
