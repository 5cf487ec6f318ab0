//! What somebody is told who waits: a page that keeps itself up to date, JSON for programs, in the same words.

use std::{sync::LazyLock, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use serde_json::json;

use super::{answer::STYLE, rooms::ROOMS_PATH};
use crate::{
    body::Body,
    clock::UnixTime,
    fields::Known,
    message::Response,
    observe::log::rfc3339,
    room::{Estimate, Room, Wait},
};

/// How somebody waits, with the words for it.
#[derive(Debug)]
pub(super) struct Told<'r> {
    room: &'r str,
    title: &'static str,
    place: String,
    estimate: String,
    note: &'static str,
    number: Option<u64>,
    expected: Option<Estimate>,
    opens: Option<UnixTime>,
    retry_after: u64,
    in_line: bool,
}

impl<'r> Told<'r> {
    pub(super) fn of(room: &'r Room, wait: &Wait, now: UnixTime) -> Self {
        let retry_after = wait.look_again.as_secs().max(1);
        let told = Self {
            room: room.settings.name.as_str(),
            title: "You are in line",
            place: String::new(),
            estimate: String::new(),
            note: "",
            number: wait.ahead.map(|ahead| ahead + 1),
            expected: wait.estimate,
            opens: wait.opens,
            retry_after,
            in_line: wait.ahead.is_some(),
        };
        let note = if wait.again {
            "Your place was kept for a while and then given to the next in line, so this is a new one."
        } else {
            "You keep your place when you reload this page, or close it and come back in this browser."
        };
        match (wait.ahead, wait.opens) {
            (Some(ahead), _) => Self {
                place: match ahead {
                    0 => "You are next.".to_owned(),
                    1 => "One person is before you.".to_owned(),
                    _ => format!("{ahead} people are before you."),
                },
                estimate: expected(wait.estimate),
                note,
                ..told
            },
            (None, Some(opens)) => Self {
                title: "Not open yet",
                place: format!("It opens in {}.", span(opens.millis.saturating_sub(now.millis))),
                estimate: "Everyone who is here by then gets a place by lot, so there is no need to hurry."
                    .to_owned(),
                note,
                ..told
            },
            (None, None) => Self {
                title: "Too busy just now",
                place: "Please try again in a few seconds.".to_owned(),
                ..told
            },
        }
    }
}

/// A range in words that nobody reads more out of than is in it.
fn expected(estimate: Option<Estimate>) -> String {
    let Some(Estimate { from, to }) = estimate else {
        return "How long that takes can't be told yet.".to_owned();
    };
    let minutes = |time: Duration| time.as_secs().div_ceil(60);
    let (low, high) = (from.as_secs() / 60, minutes(to));
    match (low, high) {
        (_, 0 | 1) => "That takes about a minute at most.".to_owned(),
        (0, high @ ..120) => format!("That takes up to about {high} minutes."),
        (low, high @ ..120) if low == high => format!("That takes about {high} minutes."),
        (low, high @ ..120) => format!("That takes about {low} to {high} minutes."),
        (low, high) => {
            let (low, high) = (low / 60, high.div_ceil(60));
            match low {
                0 => format!("That takes up to about {high} hours."),
                low => format!("That takes about {low} to {high} hours."),
            }
        }
    }
}

fn span(millis: u64) -> String {
    let minutes = millis.div_ceil(60_000);
    match minutes {
        0 | 1 => "less than a minute".to_owned(),
        2..120 => format!("about {minutes} minutes"),
        120..2_880 => format!("about {} hours", minutes / 60),
        _ => format!("about {} days", minutes / 1_440),
    }
}

/// The page. Without a script it reloads itself; with one it asks for its place, and reloads when it is called.
pub(super) fn html(told: &Told<'_>, method: &Method) -> Response {
    let Told {
        room,
        title,
        place,
        estimate,
        note,
        retry_after,
        in_line,
        ..
    } = told;
    let opens = told.opens.map(|opens| rfc3339(opens.secs())).unwrap_or_default();
    let when = told
        .opens
        .map(|_| {
            format!(
                "<p class=\"when\"><time datetime=\"{opens}\">{}</time></p>",
                clock_text(&opens)
            )
        })
        .unwrap_or_default();
    let looks = *in_line || told.opens.is_some();
    // a page that answers a form must not send it again by itself
    let again = if looks && *method == Method::GET {
        format!("<noscript><meta http-equiv=\"refresh\" content=\"{retry_after}\"></noscript>")
    } else {
        String::new()
    };
    let script = if looks {
        format!("<script>{SCRIPT}</script>")
    } else {
        String::new()
    };
    let waits = if looks {
        "<p class=\"wait\" aria-hidden=\"true\"><i></i><i></i><i></i></p>\
         <p class=\"quiet\">This page looks by itself and goes on when it is your turn. <a href=\"\">Look now</a></p>"
    } else {
        "<p class=\"quiet\"><a href=\"\">Try again</a></p>"
    };
    // names of rooms are made of a-z, 0-9, `-`, `_` and `.`: nothing of this page comes from a client
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>{again}\
         <style>{STYLE}{MORE_STYLE}</style></head><body data-look=\"{ROOMS_PATH}{room}\" data-again=\"{retry_after}\">\
         <main><p class=\"code\">Waiting room</p><h1>{title}</h1>\
         <div role=\"status\" aria-live=\"polite\"><p class=\"place\" id=\"place\">{place}</p>{when}<p id=\"estimate\">{estimate}</p></div>\
         <p>{note}</p>{waits}</main>{script}</body></html>\n"
    );
    let mut response = held_back(told, text);
    response
        .headers
        .insert(Known::CONTENT_TYPE, "text/html; charset=utf-8");
    response.headers.insert(Known::CONTENT_SECURITY_POLICY, &*POLICY);
    for (name, value) in [("x-content-type-options", "nosniff"), ("x-robots-tag", "noindex")] {
        response.headers.insert(name, value);
    }
    response
}

/// For programs and scripts' own calls (RFC 9457).
pub(super) fn problem(told: &Told<'_>) -> Response {
    let mut text = members(told);
    for (name, value) in [
        ("type", json!("about:blank")),
        ("title", json!(told.title)),
        ("status", json!(503)),
        (
            "detail",
            json!(format!("{} {}", told.place, told.estimate).trim_end()),
        ),
        ("reason", json!("waiting-room")),
    ] {
        text.insert(name.to_owned(), value);
    }
    let mut response = held_back(told, serde_json::Value::Object(text).to_string());
    response
        .headers
        .insert(Known::CONTENT_TYPE, "application/problem+json");
    response
}

/// Where a page's visitor stands.
pub(super) fn standing(state: &'static str, told: Option<&Told<'_>>) -> String {
    let mut text = told.map_or_else(serde_json::Map::new, members);
    text.insert("state".to_owned(), json!(state));
    serde_json::Value::Object(text).to_string()
}

fn members(told: &Told<'_>) -> serde_json::Map<String, serde_json::Value> {
    let estimate = told.expected.map(
        |estimate| json!({ "from_seconds": estimate.from.as_secs(), "to_seconds": estimate.to.as_secs() }),
    );
    let all = [
        ("room", json!(told.room)),
        ("place", json!(told.number)),
        ("estimate", json!(estimate)),
        ("opens", json!(told.opens.map(|opens| rfc3339(opens.secs())))),
        ("retry_after", json!(told.retry_after)),
        ("words", json!({ "place": told.place, "estimate": told.estimate })),
    ];
    all.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn held_back(told: &Told<'_>, text: String) -> Response {
    let mut response = Response::new(StatusCode::SERVICE_UNAVAILABLE, Body::full(text));
    let headers = &mut response.headers;
    headers.insert(Known::RETRY_AFTER, told.retry_after.to_string());
    headers.insert(Known::CACHE_CONTROL, "no-store");
    headers.insert(Known::PROXY_STATUS, "banyan; details=\"waiting-room\"");
    response
}

/// `2026-12-01T08:00:00Z` as people write it.
fn clock_text(rfc3339: &str) -> String {
    rfc3339.replace('T', " ").replace('Z', " UTC")
}

const SCRIPT: &str = "(()=>{const d=document,b=d.body.dataset;let wait=+b.again;\
const set=(id,text)=>{const e=d.getElementById(id);if(e&&e.textContent!==text)e.textContent=text};\
d.querySelectorAll('time').forEach(t=>{t.textContent=new Date(t.dateTime).toLocaleString([],{dateStyle:'full',timeStyle:'short'})});\
const look=async()=>{try{const r=await fetch(b.look,{cache:'no-store'});if(r.ok){const s=await r.json();\
if(s.state!=='waiting'){location.replace(location.pathname+location.search);return}\
set('place',s.words.place);set('estimate',s.words.estimate);wait=s.retry_after}}catch{}\
setTimeout(look,wait*1e3*(1+Math.random()/5))};setTimeout(look,wait*1e3)})()";

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, SCRIPT.as_bytes()));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'self'"
    )
});

const MORE_STYLE: &str = ".place{font-size:1.15rem;font-weight:600;margin:.2rem 0}#estimate{margin:.2rem 0 1rem}\
    .quiet{font-size:.9rem;opacity:.75}.when{margin:.2rem 0}a{color:inherit}\
    .wait{display:flex;gap:.5rem;margin:1.4rem 0}.wait i{width:.6rem;height:.6rem;border-radius:50%;\
    background:light-dark(#3d6b4f,#8fc7a3);animation:wait 1.8s ease-in-out infinite}.wait i:nth-child(2){animation-delay:.3s}\
    .wait i:nth-child(3){animation-delay:.6s}@keyframes wait{0%,70%,100%{opacity:.25}30%{opacity:1}}\
    @media (prefers-reduced-motion:reduce){.wait i{animation:none;opacity:.6}}";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{expected, span};
    use crate::room::Estimate;

    #[test]
    fn estimates_are_ranges_in_words() {
        let told = |from, to| {
            expected(Some(Estimate {
                from: Duration::from_secs(from),
                to: Duration::from_secs(to),
            }))
        };
        assert_eq!(told(5, 50), "That takes about a minute at most.");
        assert_eq!(told(30, 200), "That takes up to about 4 minutes.");
        assert_eq!(told(125, 290), "That takes about 2 to 5 minutes.");
        assert_eq!(told(3_000, 20_000), "That takes up to about 6 hours.");
        assert_eq!(told(7_300, 20_000), "That takes about 2 to 6 hours.");
        assert!(expected(None).contains("can't be told"));
        assert_eq!(span(1), "less than a minute");
        assert_eq!(span(600_000), "about 10 minutes");
        assert_eq!(span(3 * 86_400_000), "about 3 days");
    }
}
