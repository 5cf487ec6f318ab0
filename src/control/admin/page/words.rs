//! JsonLogic in plain words, so that a rule can be read by whoever answers for it. The JSON stands beside it and is the truth.

use serde_json::{Map, Value};

/// Characters of a sentence; what is longer is only shown as JSON.
const CHARACTERS_MAX: usize = 600;
/// Steps of one targeting expression that are told.
const STEPS_MAX: usize = 20;
/// Conditions inside one another that are told.
const DEPTH_MAX: usize = 12;

/// A condition in words. `None`: there are no short ones for it.
pub(super) fn condition(logic: &Value) -> Option<String> {
    let text = test(logic, 0)?;
    (text.chars().count() <= CHARACTERS_MAX).then_some(text)
}

/// A targeting expression as steps: when, and then what. `None`: it is none of the usual shapes.
pub(super) fn steps(targeting: &Value) -> Option<Vec<(String, String)>> {
    let Some(("if" | "?:", Value::Array(parts))) = operation(targeting) else {
        return Some(vec![("everyone".to_owned(), outcome(targeting)?)]);
    };
    let mut steps = Vec::new();
    let mut parts = parts.iter();
    while let Some(first) = parts.next() {
        match parts.next() {
            Some(then) => steps.push((format!("if {}", condition(first)?), outcome(then)?)),
            None => match operation(first) {
                Some(("if" | "?:", _)) => steps.extend(self::steps(first)?),
                _ => steps.push(("otherwise".to_owned(), outcome(first)?)),
            },
        }
        if steps.len() > STEPS_MAX {
            return None;
        }
    }
    Some(steps)
}

fn outcome(value: &Value) -> Option<String> {
    match value {
        Value::String(variant) => return Some(variant.clone()),
        Value::Null => return Some("the default".to_owned()),
        _ => {}
    }
    let ("fractional", Value::Array(parts)) = operation(value)? else {
        return None;
    };
    let mut shares = Vec::new();
    for part in parts {
        let Value::Array(pair) = part else { continue };
        let weight = pair.get(1).map_or(1.0, |weight| weight.as_f64().unwrap_or(0.0));
        shares.push((pair.first()?.as_str()?, weight));
    }
    let all: f64 = shares.iter().map(|(_, weight)| weight).sum();
    let told = shares.iter().map(|(variant, weight)| {
        let percent = if all > 0.0 { weight * 100.0 / all } else { 0.0 };
        format!("{variant} {} %", (percent * 1000.0).round() / 1000.0)
    });
    Some(told.collect::<Vec<_>>().join(", "))
}

fn operation(logic: &Value) -> Option<(&str, &Value)> {
    let mut entries = logic
        .as_object()
        .filter(|map: &&Map<_, _>| map.len() == 1)?
        .iter();
    entries.next().map(|(name, arguments)| (name.as_str(), arguments))
}

fn test(logic: &Value, depth: usize) -> Option<String> {
    match logic {
        Value::Bool(true) => return Some("always".to_owned()),
        Value::Bool(false) => return Some("never".to_owned()),
        _ if depth > DEPTH_MAX => return None,
        _ => {}
    }
    let (name, arguments) = operation(logic)?;
    let list: Vec<&Value> = match arguments {
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    };
    match (name, list.as_slice()) {
        ("and", all) => joined(all, " and ", depth),
        ("or", any) => joined(any, " or ", depth),
        ("!", [one]) => match operation(one) {
            Some(("var" | "val", _)) => Some(format!("{} is absent or empty", thing(one)?)),
            _ => Some(format!("not ({})", test(one, depth + 1)?)),
        },
        ("!!", [one]) | ("var" | "val", [one]) => {
            let subject = if name == "!!" { *one } else { logic };
            Some(format!("{} is there", thing(subject)?))
        }
        ("in", [needle, hay]) => contains(needle, hay),
        ("starts_with", [text, affix]) => Some(format!("{} begins with {}", thing(text)?, thing(affix)?)),
        ("ends_with", [text, affix]) => Some(format!("{} ends with {}", thing(text)?, thing(affix)?)),
        ("sem_ver", [version, how, other]) => {
            let how = match how.as_str()? {
                "^" => "has the major version of",
                "~" => "has the minor version of",
                how => verb(how)?,
            };
            Some(format!("version {} {how} {}", thing(version)?, thing(other)?))
        }
        (how, [low, middle, high]) if matches!(how, "<" | "<=") => {
            let inclusive = if how == "<=" { "" } else { ", both excluded" };
            let (low, middle, high) = (thing(low)?, thing(middle)?, thing(high)?);
            Some(format!("{middle} is between {low} and {high}{inclusive}"))
        }
        ("==" | "===", [one, Value::Null]) => Some(format!("{} is absent", thing(one)?)),
        ("!=" | "!==", [one, Value::Null]) => Some(format!("{} is there", thing(one)?)),
        (how, [one, other]) => Some(format!("{} {} {}", thing(one)?, verb(how)?, thing(other)?)),
        _ => None,
    }
}

fn verb(how: &str) -> Option<&'static str> {
    Some(match how {
        "==" | "===" | "=" => "is",
        "!=" | "!==" => "is not",
        "<" => "is below",
        "<=" => "is at most",
        ">" => "is above",
        ">=" => "is at least",
        _ => return None,
    })
}

fn joined(parts: &[&Value], with: &str, depth: usize) -> Option<String> {
    let told: Option<Vec<String>> = parts
        .iter()
        .map(|part| {
            let text = test(part, depth + 1)?;
            let mixed =
                matches!(operation(part), Some(("and" | "or", Value::Array(inner))) if inner.len() > 1);
            Some(if mixed && parts.len() > 1 {
                format!("({text})")
            } else {
                text
            })
        })
        .collect();
    told.map(|told| told.join(with))
}

/// `in`: a text in a list, a role among roles, or a piece of a text.
fn contains(needle: &Value, hay: &Value) -> Option<String> {
    if let Value::Array(list) = hay {
        let any: Option<Vec<String>> = list.iter().map(thing).collect();
        return Some(format!("{} is one of {}", thing(needle)?, any?.join(", ")));
    }
    Some(match name_of(hay)?.as_str() {
        "user.roles" => format!("the user has the role {}", thing(needle)?),
        _ => format!("{} contains {}", thing(hay)?, thing(needle)?),
    })
}

fn name_of(logic: &Value) -> Option<String> {
    match operation(logic)? {
        ("var", Value::String(name)) => Some(name.clone()),
        ("var", Value::Array(list)) => list.first()?.as_str().map(ToOwned::to_owned),
        ("val", Value::String(name)) => Some(name.clone()),
        ("val", Value::Array(list)) => {
            let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            names.map(|names| names.join("."))
        }
        _ => None,
    }
}

/// A value, or what a variable stands for.
fn thing(logic: &Value) -> Option<String> {
    match logic {
        Value::String(text) => return Some(format!("“{text}”")),
        Value::Number(number) => return Some(number.to_string()),
        Value::Bool(yes) => return Some(yes.to_string()),
        Value::Null => return Some("nothing".to_owned()),
        Value::Array(_) => return None,
        Value::Object(_) => {}
    }
    let name = name_of(logic)?;
    let within = |start: &str, what: &str| name.strip_prefix(start).map(|rest| format!("{what} {rest}"));
    let fixed = match name.as_str() {
        "visitor.id" => "the visitor's id",
        "user.id" => "the user",
        "user.roles" => "the user's roles",
        "request.host" => "the host",
        "request.path" => "the path",
        "request.method" => "the method",
        "targetingKey" => "the targeting key",
        "$flagd.flagKey" => "the flag's key",
        "$flagd.timestamp" => "the time (seconds since 1970)",
        _ => {
            return within("user.claims.", "the user's claim")
                .or_else(|| within("request.headers.", "the header"))
                .or_else(|| within("request.query.", "the query's"))
                .or_else(|| within("request.cookies.", "the cookie"))
                .or(Some(name));
        }
    };
    Some(fixed.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_read_as_sentences() {
        let table = [
            (
                json!({ "in": ["staff", { "var": "user.roles" }] }),
                "the user has the role “staff”",
            ),
            (
                json!({ "==": [{ "var": "request.query.preview" }, "new"] }),
                "the query's preview is “new”",
            ),
            (
                json!({ "in": [{ "var": "request.host" }, ["a", "b"]] }),
                "the host is one of “a”, “b”",
            ),
            (
                json!({ "and": [{ "!": { "var": "user.id" } }, { "or": [{ "starts_with": [{ "var": "request.path" }, "/a"] }, { "<": [1, { "var": "x" }, 3] }] }] }),
                "the user is absent or empty and (the path begins with “/a” or x is between 1 and 3, both excluded)",
            ),
            (
                json!({ "sem_ver": [{ "var": "request.headers.x-app" }, ">=", "2.1.0"] }),
                "version the header x-app is at least “2.1.0”",
            ),
            (
                json!({ "==": [{ "val": ["user", "claims", "plan"] }, null] }),
                "the user's claim plan is absent",
            ),
            (json!(true), "always"),
        ];
        for (logic, wanted) in table {
            assert_eq!(condition(&logic).as_deref(), Some(wanted), "{logic}");
        }
    }

    #[test]
    fn what_has_no_short_words_has_none() {
        let mut deep = json!({ "var": "x" });
        for _ in 0..50 {
            deep = json!({ "!": [{ "and": [deep] }] });
        }
        let long = json!({ "==": [{ "var": "x" }, "y".repeat(CHARACTERS_MAX)] });
        for logic in [
            json!({ "reduce": [1, 2, 3] }),
            deep,
            long,
            json!("x"),
            json!({}),
            json!({ "a": 1, "b": 2 }),
        ] {
            assert_eq!(condition(&logic), None, "{logic}");
        }
    }

    #[test]
    fn targeting_is_told_step_by_step() {
        let logic = json!({ "if": [
            { "ends_with": [{ "var": "email" }, "@example.com"] }, "new",
            { "if": [{ "var": "user.id" }, null, { "fractional": [["new", 1], ["old", 3]] }] },
        ] });
        let wanted = [
            ("if email ends with “@example.com”", "new"),
            ("if the user is there", "the default"),
            ("otherwise", "new 25 %, old 75 %"),
        ];
        let told = steps(&logic).unwrap();
        let told: Vec<(&str, &str)> = told
            .iter()
            .map(|(when, then)| (when.as_str(), then.as_str()))
            .collect();
        assert_eq!(told, wanted);
        assert_eq!(steps(&json!({ "cat": ["a", "b"] })), None);
    }
}
