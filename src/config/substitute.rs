//! Puts the environment into string values: `${NAME}`, `${NAME:-default}`, and `$${` for a plain `${`.

use std::{borrow::Cow, ops::Range};

use toml::de::DeValue;

use super::report::Report;

/// Replaces every variable in every string of `value`. Keys are left alone.
pub(super) fn substitute(value: &mut DeValue<'_>, env: &dyn Fn(&str) -> Option<String>, report: &mut Report) {
    replace_in(value, &mut Vec::new(), 0..0, env, report);
}

fn replace_in(
    value: &mut DeValue<'_>,
    path: &mut Vec<String>,
    span: Range<usize>,
    env: &dyn Fn(&str) -> Option<String>,
    report: &mut Report,
) {
    match value {
        DeValue::String(text) if text.contains("${") => {
            *text = Cow::Owned(replaced(text, &path.join("."), &span, env, report));
        }
        DeValue::Array(list) => {
            for element in list.iter_mut() {
                let at = element.span();
                replace_in(element.get_mut(), path, at, env, report);
            }
        }
        DeValue::Table(table) => {
            for (key, value) in table.iter_mut() {
                path.push(key.get_ref().to_string());
                let at = value.span();
                replace_in(value.get_mut(), path, at, env, report);
                path.pop();
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

fn replaced(
    text: &str,
    key: &str,
    span: &Range<usize>,
    env: &dyn Fn(&str) -> Option<String>,
    report: &mut Report,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            report
                .error(
                    "bad-variable",
                    span.clone(),
                    format!("a `${{` in `{key}` is never closed"),
                )
                .hint("write `${NAME}`, or `$${` for the two characters themselves");
            return out;
        };
        out.push_str(&looked_up(inside, key, span, env, report));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn looked_up(
    inside: &str,
    key: &str,
    span: &Range<usize>,
    env: &dyn Fn(&str) -> Option<String>,
    report: &mut Report,
) -> String {
    let (name, default) = inside
        .split_once(":-")
        .map_or((inside, None), |(name, default)| (name, Some(default)));
    let first_is_digit = name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || first_is_digit || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        report
            .error(
                "bad-variable",
                span.clone(),
                format!("`${{{inside}}}` in `{key}` does not name a variable"),
            )
            .hint("write `${NAME}` or `${NAME:-default}`, or `$${` for the two characters themselves");
        return String::new();
    }
    if let Some(value) = env(name) {
        report.substituted.push((name.to_owned(), value.clone()));
        return value;
    }
    if let Some(default) = default {
        return default.to_owned();
    }
    report
        .error(
            "unset-variable",
            span.clone(),
            format!("`{key}` wants the environment variable `{name}`, which is not set"),
        )
        .hint(format!("set `{name}`, or write `${{{name}:-default}}`"));
    String::new()
}
