//! What a backend gives with its question, as rules see it.

use datalogic_rs::{
    DataValue,
    bumpalo::{Bump, collections::Vec},
};
use serde_json::{Map, Value};

use super::subject::{CLAIM_DEPTH_MAX, CONTEXT_ENTRIES_MAX, claim};

/// Names that only Banyan says: whose place counts, and flagd's own.
const OWN: [&str; 2] = ["targetingKey", "$flagd"];

/// `own` names with `given` ones laid over them.
pub(super) fn laid_over<'a, const N: usize>(
    own: [(&'a str, DataValue<'a>); N],
    given: &'a Map<String, Value>,
    arena: &'a Bump,
) -> DataValue<'a> {
    let given_value = |name: &str| given.get(name).filter(|_| !OWN.contains(&name));
    let seen = |value: &'a Value| claim(value, arena, CLAIM_DEPTH_MAX);
    let mut entries = Vec::with_capacity_in(N + given.len().min(CONTEXT_ENTRIES_MAX), arena);
    entries.extend(own.map(|(name, value)| (name, given_value(name).map_or(value, seen))));
    let others = given
        .iter()
        .filter(|(name, _)| own.iter().all(|(own, _)| own != name))
        .take(CONTEXT_ENTRIES_MAX);
    entries.extend(others.map(|(name, value)| (name.as_str(), seen(value))));
    DataValue::Object(entries.into_bump_slice())
}
