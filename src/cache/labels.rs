//! What an answer can be dropped by beside its address: groups (RFC 9875) and tags; and which groups an answer drops.

use smallvec::SmallVec;

use super::dictionary;
use crate::fields::{Fields, Value};

/// Members of one list, and bytes of one member, that RFC 9875 section 2 has every cache take.
const GROUPS_MAX: usize = 128;
const GROUP_BYTES_MAX: usize = 128;

/// The groups that an answer is in. What is no list of strings names none.
#[must_use]
pub fn groups(fields: &Fields) -> SmallVec<[Box<str>; 2]> {
    listed(fields, "cache-groups")
}

/// The groups that an answer to an unsafe method drops.
#[must_use]
pub fn dropped_groups(fields: &Fields) -> SmallVec<[Box<str>; 2]> {
    listed(fields, "cache-group-invalidation")
}

fn listed(fields: &Fields, name: &str) -> SmallVec<[Box<str>; 2]> {
    let values: Result<Vec<&str>, _> = fields.get_all(name).map(Value::to_str).collect();
    let values = values.unwrap_or_default();
    let strings = dictionary::strings(&values.join(", ")).unwrap_or_default();
    strings
        .into_iter()
        .take(GROUPS_MAX)
        .filter(|group| group.len() <= GROUP_BYTES_MAX)
        .map(String::into_boxed_str)
        .collect()
}

/// The tags that an answer bears: `Surrogate-Key` with blanks between them, `Cache-Tag` with commas.
#[must_use]
pub fn tags(fields: &Fields) -> SmallVec<[Box<str>; 4]> {
    let mut tags = SmallVec::new();
    for (name, mark) in [("surrogate-key", ' '), ("cache-tag", ',')] {
        let values = fields.get_all(name).filter_map(|value| value.to_str().ok());
        let words = values.flat_map(|value| value.split(mark)).map(str::trim);
        tags.extend(words.filter(|word| !word.is_empty()).map(Box::from));
    }
    tags
}
