//! Conditions of requests judged by what is kept (RFC 9111 section 4.3.2), conditions for the backend (4.3.1), what a 304 changes (4.3.4).

use super::date;
use crate::{
    clock::UnixTime,
    fields::{Fields, Known, KnownSet, Value},
};

/// Conditions on which a client wants no body.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    none_match: Option<Vec<Vec<u8>>>,
    modified_since: Option<UnixTime>,
}

/// Conditions that a fetch for the cache has none of: its answer is for everybody.
pub const CONDITIONS: KnownSet = KnownSet::of(&[
    Known::IF_MATCH,
    Known::IF_MODIFIED_SINCE,
    Known::IF_NONE_MATCH,
    Known::IF_RANGE,
    Known::IF_UNMODIFIED_SINCE,
]);

impl Conditions {
    /// Those of a request.
    #[must_use]
    pub fn of(request: &Fields) -> Self {
        let has_tags = request.contains_key(Known::IF_NONE_MATCH);
        let tags = has_tags.then(|| {
            let values = request.get_all(Known::IF_NONE_MATCH).map(Value::as_bytes);
            let tags = values.flat_map(|value| value.split(|byte| *byte == b','));
            tags.map(|tag| opaque(tag.trim_ascii()).to_vec()).collect()
        });
        let since = request.get(Known::IF_MODIFIED_SINCE);
        Self {
            none_match: tags,
            modified_since: since.and_then(|value| date::parse(value.as_bytes())),
        }
    }

    /// Whether the client has the answer with `fields`, which came at `answered`: it gets a 304 (RFC 9110 section 13.2.2).
    #[must_use]
    pub fn are_met(&self, fields: &Fields, answered: UnixTime) -> bool {
        if let Some(tags) = &self.none_match {
            let own = fields.get(Known::ETAG).map(|tag| opaque(tag.as_bytes()));
            return tags
                .iter()
                .any(|tag| tag == b"*" || own.is_some_and(|own| own == tag.as_slice()));
        }
        let Some(since) = self.modified_since else {
            return false;
        };
        let dated = [Known::LAST_MODIFIED, Known::DATE].into_iter();
        let changed = dated
            .filter_map(|name| fields.get(name))
            .find_map(|value| date::parse(value.as_bytes()));
        changed.unwrap_or(answered) <= since
    }
}

/// A tag without its weakness: both compare weakly here.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Adds to a request what lets its backend say that `kept` still holds. False: there is nothing to ask by.
pub fn validate(request: &mut Fields, kept: &Fields) -> bool {
    let pairs = [
        (Known::ETAG, Known::IF_NONE_MATCH),
        (Known::LAST_MODIFIED, Known::IF_MODIFIED_SINCE),
    ];
    let mut any = false;
    for (validator, condition) in pairs {
        if let Some(value) = kept.get(validator) {
            request.insert(condition, value);
            any = true;
        }
    }
    any
}

/// Fields of a kept answer that news of it do not change (RFC 9111 section 3.2): they are of the bytes that are kept.
const OF_THE_BYTES: KnownSet = KnownSet::of(&[
    Known::CONTENT_LENGTH,
    Known::CONTENT_ENCODING,
    Known::CONTENT_RANGE,
    Known::CONTENT_TYPE,
    Known::ETAG,
]);

/// The fields of a kept answer with the news of a 304, whose own fields are those that may be kept.
#[must_use]
pub fn freshened(kept: &Fields, news: &Fields) -> Fields {
    let mut fields = kept.clone();
    let changes = |name: &crate::fields::Name<'_>| !name.is_in(OF_THE_BYTES) || !kept.contains_key(name);
    fields.retain(|name, _| !(changes(&name) && news.contains_key(name)));
    for (name, value) in news.iter().filter(|(name, _)| changes(name)) {
        if name != Known::CONTENT_LENGTH {
            fields.append(name, value);
        }
    }
    fields
}

/// Fields that a 304 is sent with (RFC 9110 section 15.4.5), beside those that no metadata of a body are.
pub fn strip_for_304(fields: &mut Fields) {
    let gone = KnownSet::of(&[
        Known::CONTENT_LENGTH,
        Known::CONTENT_ENCODING,
        Known::CONTENT_LANGUAGE,
        Known::CONTENT_RANGE,
        Known::CONTENT_TYPE,
    ]);
    fields.remove_all(gone);
}
