//! What a rule for staff may look at: who is signed in, and nothing that a visitor could write into an address.

use serde_json::Value;

/// Operators whose second argument sees one element of a list after the other, not the context.
const OVER_ELEMENTS: [&str; 6] = ["map", "filter", "all", "some", "none", "reduce"];

/// Operators that look at more than they are given.
const NOT_FOR_STAFF: [&str; 4] = ["fractional", "missing", "missing_some", "now"];

/// Checks that `condition` looks at `user` alone.
///
/// # Errors
/// A clause that says what else it looks at.
pub(super) fn check(condition: &Value) -> Result<(), String> {
    look(condition, Sees::Context)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sees {
    Context,
    Element,
}

fn look(rule: &Value, sees: Sees) -> Result<(), String> {
    match rule {
        Value::Array(items) => items.iter().try_for_each(|item| look(item, sees)),
        Value::Object(entries) => entries
            .iter()
            .try_for_each(|(operator, args)| operation(operator, args, sees)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn operation(operator: &str, args: &Value, sees: Sees) -> Result<(), String> {
    let list = args
        .as_array()
        .map_or_else(|| std::slice::from_ref(args), Vec::as_slice);
    match operator {
        "var" => path(list.first(), sees, |name| {
            name == "user" || name.starts_with("user.")
        })
        .and_then(|()| list.iter().skip(1).try_for_each(|other| look(other, sees))),
        // a list in front climbs out of an element into the whole context
        "val" => path(list.first(), sees, |name| name == "user")
            .and_then(|()| list.iter().skip(1).try_for_each(|other| look(other, sees))),
        _ if NOT_FOR_STAFF.contains(&operator) => Err(format!("a rule for staff can't use `{operator}`")),
        _ if OVER_ELEMENTS.contains(&operator) => {
            let sees = |at| if at == 1 { Sees::Element } else { sees };
            list.iter()
                .enumerate()
                .try_for_each(|(at, arg)| look(arg, sees(at)))
        }
        _ => look(args, sees),
    }
}

/// The name that is looked up, or the first part of it.
fn path(name: Option<&Value>, sees: Sees, is_user: impl Fn(&str) -> bool) -> Result<(), String> {
    match (name, sees) {
        (Some(Value::String(name)), Sees::Context) if is_user(name) => Ok(()),
        (Some(Value::String(_) | Value::Number(_)) | None, Sees::Element) => Ok(()),
        (Some(Value::String(name)), Sees::Context) if !name.is_empty() => Err(format!(
            "a rule for staff looks at `user` alone, this one at `{name}`"
        )),
        _ => Err("a rule for staff names what it looks at, which begins with `user`".to_owned()),
    }
}
