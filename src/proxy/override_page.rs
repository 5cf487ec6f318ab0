//! `/.banyan/override` on public hosts: a link puts a browser on variants, the page shows which, a button ends it.

use http::{Method, StatusCode};

use super::{
    access, answer::STYLE, carried, edge::Edge, follow::Following, redirect, refusal::Refusal, rooms,
};
use crate::{
    body::Body,
    clock::UnixTime,
    fields::{Fields, Known, Value},
    flag::FlagState,
    message::{Head, Response},
    observe::{log::rfc3339, record::Outcome},
    snapshot::{
        Snapshot,
        decide::{Ask, Entrance},
        visit::{Carried, forced_by},
    },
    visitor::{Forced, OVERRIDE_PATH, is_local},
};

/// Answers what is asked of Banyan's own pages: the override, and where somebody stands in a waiting room.
pub(super) fn own(
    head: &Head,
    ask: &Ask<'_, '_>,
    at: &Snapshot,
    edge: &Edge,
    following: &mut Following,
) -> Option<Result<Response, Refusal>> {
    answer(head, ask, at, edge, following).or_else(|| rooms::answer(head, ask, at, following))
}

/// Answers what is asked of the override itself. `None`: it is no business of this page.
fn answer(
    head: &Head,
    ask: &Ask<'_, '_>,
    at: &Snapshot,
    edge: &Edge,
    following: &mut Following,
) -> Option<Result<Response, Refusal>> {
    let (path, query) = ask.target.split_once('?').unwrap_or((ask.target, ""));
    let below = path.strip_prefix(OVERRIDE_PATH)?;
    if ask.entrance != Entrance::Public || !at.answers_for(ask.host) || !matches!(below, "" | "/exit") {
        return None;
    }
    let now = following.record.began_at().wall();
    let link = query.split('&').find_map(|piece| piece.strip_prefix("t="));
    access::conceal_query(&mut following.record); // whoever reads a token can use it until it ends
    following.record.outcome = Outcome::Answered;
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let answered = match (below, link) {
        ("", Some(token)) if reads => open(token, ask.host, now, at, edge),
        (_, _) if reads => Ok(page(ask, now, at, edge)),
        ("/exit", _) if head.method == Method::POST => end(&head.headers, ask.host, at),
        ("/exit", _) => Err(method("GET, HEAD, POST")),
        (_, _) => Err(method("GET, HEAD")),
    };
    Some(answered.map(|mut response| {
        write_fields(&mut response.headers);
        response
    }))
}

fn method(allow: &str) -> Refusal {
    Refusal::method(StatusCode::METHOD_NOT_ALLOWED, allow)
}

/// Somebody follows a link.
fn open(token: &str, host: &str, now: UnixTime, at: &Snapshot, edge: &Edge) -> Result<Response, Refusal> {
    let opened = at.visitors.open_override(token, host, now, &at.revoked.load());
    let forced = opened.map_err(|bad| {
        let carried = Carried {
            bad_override: Some(bad),
            ..Carried::default()
        };
        carried::note(&carried, edge);
        Refusal::link(bad.as_str())
    })?;
    // it was local when the link was made; that is looked at again where it counts
    let to = if is_local(&forced.to) {
        &*forced.to
    } else {
        OVERRIDE_PATH
    };
    let mut response = redirect::to(StatusCode::SEE_OTHER, to);
    let cookie = at.visitors.set_override(token, &forced, now);
    response.headers.append(Known::SET_COOKIE, cookie);
    Ok(response)
}

/// Somebody has had enough. A page of another site may not press the button.
fn end(fields: &Fields, host: &str, at: &Snapshot) -> Result<Response, Refusal> {
    let own_page = match fields.get("sec-fetch-site").map(Value::as_bytes) {
        Some(site) => matches!(site, b"same-origin" | b"none"),
        None => fields.get(Known::ORIGIN).is_none_or(|from| is_host(from, host)),
    };
    if !own_page {
        return Err(Refusal::link("other-site"));
    }
    let mut response = redirect::to(StatusCode::SEE_OTHER, OVERRIDE_PATH);
    response
        .headers
        .append(Known::SET_COOKIE, at.visitors.end_override());
    Ok(response)
}

/// Whether `https://…` names `host`, whatever its port.
fn is_host(from: Value<'_>, host: &str) -> bool {
    let named = from.to_str().ok().and_then(|text| text.strip_prefix("https://"));
    named.is_some_and(|named| {
        let port = named.strip_prefix(host);
        port.is_some_and(|port| port.is_empty() || port.starts_with(':'))
    })
}

fn page(ask: &Ask<'_, '_>, now: UnixTime, at: &Snapshot, edge: &Edge) -> Response {
    let carried = forced_by(ask.headers, ask.host, now, at);
    carried::note(&carried, edge);
    let text = match &carried.forced {
        Some(forced) => in_force(forced, now, at),
        None => "<p class=\"code\">Banyan</p><h1>Nothing is forced here</h1>\
                 <p>This browser gets what everyone gets.</p><p><a href=\"/\">To the site</a></p>"
            .to_owned(),
    };
    let mut response = Response::new(
        StatusCode::OK,
        Body::full(format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>Testing in production</title><style>{STYLE}{MORE_STYLE}</style><main>{text}</main></html>\n"
        )),
    );
    response
        .headers
        .insert(Known::CONTENT_TYPE, "text/html; charset=utf-8");
    response
}

fn in_force(forced: &Forced, now: UnixTime, at: &Snapshot) -> String {
    let ends = forced.link.ends();
    let minutes = ends.secs().saturating_sub(now.secs()).div_ceil(60);
    let mut rows = String::new();
    for (key, variant) in forced.flags() {
        let flag = at.flags.by_key(key).and_then(|id| at.flags.get(id));
        let note = match flag {
            Some(flag) if flag.state() == FlagState::Disabled => " (switched off for everyone)",
            Some(flag) if flag.variants().iter().any(|name| name.as_str() == variant) => "",
            Some(_) | None => " (no longer there)",
        };
        rows.push_str(&format!(
            "<li><b>{}</b> is <b>{}</b>{note}</li>",
            escape(key),
            escape(variant)
        ));
    }
    format!(
        "<p class=\"code\">Banyan</p><h1>This browser tests in production</h1><ul>{rows}</ul>\
         <p>Until {} (UTC; {} h {} min more), or until you leave.</p>\
         <form method=\"post\" action=\"{OVERRIDE_PATH}/exit\"><button>Leave, and get what everyone gets</button></form>\
         <p><a href=\"/\">To the site</a></p>",
        rfc3339(ends.secs()),
        minutes / 60,
        minutes % 60,
    )
}

/// Names are made of harmless characters; that is not to be relied on here.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

fn write_fields(fields: &mut Fields) {
    fields.insert(Known::CACHE_CONTROL, "no-store");
    fields.insert(
        Known::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    );
    for (name, value) in [
        ("referrer-policy", "no-referrer"), // the token is in the address
        ("x-content-type-options", "nosniff"),
        ("x-robots-tag", "noindex"),
    ] {
        fields.insert(name, value);
    }
}

const MORE_STYLE: &str = "ul{padding-left:1.2rem;overflow-wrap:anywhere}button{font:inherit;padding:.6rem 1rem;border-radius:.4rem;\
    border:1px solid;background:transparent;color:inherit;cursor:pointer}";
