//! Changes a flag of a flagd set: its state alone, every other byte of the file stays.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// `text` with the state of flag `key` set. `None`: there is no such flag with a state.
pub(super) fn with_state(text: &str, key: &str, enabled: bool) -> Option<String> {
    let flags = inside(text, "flags")?;
    let flag = inside(flags, key)?;
    let state = inside(flag, "state")?;
    let from = state.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let (before, after) = (text.get(..from)?, text.get(from + state.len()..)?);
    let word = if enabled { "\"ENABLED\"" } else { "\"DISABLED\"" };
    Some(format!("{before}{word}{after}"))
}

/// Keys of the flags in `text`, with what is written of each.
pub(super) fn flags(text: &str) -> BTreeMap<String, &str> {
    let inside = inside(text, "flags").unwrap_or("{}");
    let flags: BTreeMap<String, &RawValue> = serde_json::from_str(inside).unwrap_or_default();
    flags.into_iter().map(|(key, flag)| (key, flag.get())).collect()
}

/// The member of that name of an object, as it is written.
fn inside<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    let members: BTreeMap<String, &'t RawValue> = serde_json::from_str(object).ok()?;
    members.get(name).map(|member| member.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = r#"{ "flags": {
  "b": { "variants": {"on": true}, "state":   "ENABLED" , "defaultVariant":"on" },
  "a\u0062": {"state":"DISABLED", "metadata": {"state": "ENABLED"}}
} }"#;

    #[test]
    fn only_the_state_of_that_flag_changes() {
        let killed = with_state(SET, "b", false).unwrap();
        assert_eq!(killed, SET.replacen("   \"ENABLED\"", "   \"DISABLED\"", 1));
        assert_eq!(with_state(&killed, "b", true).unwrap(), SET);
        let restored = with_state(SET, "ab", true).unwrap();
        assert_eq!(
            restored,
            SET.replace("{\"state\":\"DISABLED\"", "{\"state\":\"ENABLED\"")
        );
        assert_eq!(with_state(SET, "c", true), None);
        assert_eq!(with_state("{", "c", true), None);
    }

    #[test]
    fn flags_are_told_apart() {
        assert_eq!(flags(SET).keys().collect::<Vec<_>>(), ["ab", "b"]);
        assert!(flags("nonsense").is_empty());
    }
}
