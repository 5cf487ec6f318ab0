//! Where an id stands between 0 and 100 %: flagd's published hashings.

use datalogic_rs::{DataValue, bumpalo::Bump};

use super::{Bucketing, cbor, murmur3::Murmur3};

/// Places there are: thousandths of a percent.
pub(super) const PLACES: u32 = 100_000;

/// The hash of a flag's key, ready to go on with an id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Salt {
    bucketing: Bucketing,
    started: Murmur3,
}

impl Salt {
    pub(super) fn new(bucketing: Bucketing, flag_key: &str) -> Self {
        let start = Murmur3::default();
        let started = match bucketing {
            Bucketing::Murmur3V2 => start.and(flag_key.as_bytes()),
            Bucketing::Murmur3CborV3 => {
                let head = cbor::Head::text(flag_key);
                start
                    .and(&cbor::PAIR)
                    .and(head.as_bytes())
                    .and(flag_key.as_bytes())
            }
        };
        Self { bucketing, started }
    }

    /// The hash of flag key and `id`.
    pub(super) fn hash(&self, id: &str) -> u32 {
        match self.bucketing {
            Bucketing::Murmur3V2 => self.started.and(id.as_bytes()).finish(),
            Bucketing::Murmur3CborV3 => self
                .started
                .and(cbor::Head::text(id).as_bytes())
                .and(id.as_bytes())
                .finish(),
        }
    }

    /// The place of `id`, from 0 to 99,999.
    pub(super) fn place(&self, id: &str) -> u32 {
        scale(self.hash(id), PLACES)
    }
}

/// The hash of a value that a rule names itself. `None`: that hashing doesn't take it.
pub(super) fn hash_value(bucketing: Bucketing, value: &DataValue<'_>, arena: &Bump) -> Option<u32> {
    match (bucketing, value) {
        (_, DataValue::Null) => None,
        (Bucketing::Murmur3V2, value) => value.as_str().map(|text| Murmur3::of(text.as_bytes())),
        (Bucketing::Murmur3CborV3, value) => Some(Murmur3::of(cbor::encode(value, arena))),
    }
}

/// Maps a hash to `0..total`: multiply and shift, so no value is likelier than another by more than one in 2^32 / total.
pub(super) fn scale(hash: u32, total: u32) -> u32 {
    ((u64::from(hash) * u64::from(total)) >> 32) as u32
}
