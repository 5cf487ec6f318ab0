//! How a backend's requests are worded, as its table says it: `path`, `host` and `headers`.

use std::collections::BTreeMap;

use super::{
    report::Report,
    values::{SecretText, Spot},
};
use crate::{
    backend::{
        Wording,
        wording::{FIXED_FIELDS_MAX, FixedField, HostNamed, NoFixedField},
    },
    route::target::{EncodedSlash, canonical},
};

/// Bytes of what is put in front of paths; CloudFront's bound too.
const PATH_BYTES_MAX: usize = 255;

/// Judges what a backend's table says of its requests. `None`: it says nothing, or nothing that can be used.
pub(super) fn wording(
    path: Option<&Spot<String>>,
    host: &Spot<String>,
    headers: &BTreeMap<Spot<String>, SecretText>,
    report: &mut Report,
) -> Option<Wording> {
    let wording = Wording {
        path: path.and_then(|path| in_front(path, report)),
        host: host_named(host, report),
        fields: fields(headers, report),
    };
    let says_something =
        wording.path.is_some() || wording.host != HostNamed::Visitor || !wording.fields.is_empty();
    says_something.then_some(wording)
}

fn in_front(path: &Spot<String>, report: &mut Report) -> Option<Box<str>> {
    let text = path.value.as_str();
    let bare = text.trim_end_matches('/');
    let (why, hint) = match canonical(text, EncodedSlash::Refuse) {
        _ if bare.is_empty() => ("it adds nothing".to_owned(), "take it out".to_owned()),
        Err(ambiguous) => (
            ambiguous.to_string(),
            "write it as `/public`: plain segments behind a `/`".to_owned(),
        ),
        Ok(_) if text.contains('?') => (
            "it has a query".to_owned(),
            "only a path can stand in front of paths".to_owned(),
        ),
        Ok(_) if bare != text => (
            "every path behind it begins with a `/` already".to_owned(),
            format!("write `{bare}`"),
        ),
        Ok(canonical) if canonical != text => (
            "it has a simpler spelling".to_owned(),
            format!("write `{canonical}`"),
        ),
        Ok(_) if text.len() > PATH_BYTES_MAX => (
            format!("it has {} bytes", text.len()),
            format!("at most {PATH_BYTES_MAX}"),
        ),
        Ok(_) => return Some(text.into()),
    };
    let what = format!("`{text}` can't stand in front of paths: {why}");
    report.error("bad-path", path.span.clone(), what).hint(hint);
    None
}

fn host_named(host: &Spot<String>, report: &mut Report) -> HostNamed {
    match host.value.as_str() {
        "visitor" => HostNamed::Visitor,
        "server" => HostNamed::Server,
        name if is_host(name) => HostNamed::Name(name.to_ascii_lowercase().into()),
        name => {
            let what = format!("`{name}` is not a host");
            report
                .error("bad-host", host.span.clone(), what)
                .hint("write `visitor` (what the visitor asked for), `server` (the server's own name) or a name such as `api.example.com`");
            HostNamed::Visitor
        }
    }
}

/// A name or an IPv4 address, perhaps with a port.
fn is_host(text: &str) -> bool {
    let (name, port) = text
        .split_once(':')
        .map_or((text, None), |(name, port)| (name, Some(port)));
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let port_is_good = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    name.len() <= 253 && name.split('.').all(label) && port_is_good
}

fn fields(headers: &BTreeMap<Spot<String>, SecretText>, report: &mut Report) -> Vec<FixedField> {
    if let Some((name, _)) = headers.iter().nth(FIXED_FIELDS_MAX) {
        let what = format!("`headers` has {} fields", headers.len());
        report
            .error("bad-header", name.span.clone(), what)
            .hint(format!("at most {FIXED_FIELDS_MAX}"));
    }
    let mut fields: Vec<FixedField> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        match FixedField::new(&name.value, &value.0) {
            Ok(field) if fields.iter().any(|other| other.name() == field.name()) => {
                let what = format!("`{}` is set twice", name.value);
                report
                    .error("bad-header", name.span.clone(), what)
                    .hint("names differ by more than capitals");
            }
            Ok(field) => fields.push(field),
            Err(why) => {
                let what = format!("`{}` can't be set here: {why}", name.value);
                let hint = match why {
                    NoFixedField::BadName => "letters, digits and `-`",
                    NoFixedField::NotYours(_) => "take it out, or use another name",
                    NoFixedField::BadValue | NoFixedField::TooLong => "the value is not shown here",
                    NoFixedField::Empty => {
                        "give it a value, or take it out; an environment variable may be empty"
                    }
                };
                report.error("bad-header", name.span.clone(), what).hint(hint);
            }
        }
    }
    fields
}
