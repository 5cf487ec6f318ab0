//! Every answer that Banyan makes itself: status beside text, HTML for browsers, problem JSON (RFC 9457) for others.

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::{override_page::escape, refusal::Refusal};
use crate::{
    body::Body,
    fields::{Fields, Known, Value},
    message::Response,
};

/// Makes the answer to a refused request, with `Proxy-Status` (RFC 9209). `request` is what the client sent (its `Accept` chooses the form), `request_id`
/// is what it can quote to an operator.
#[must_use]
pub fn for_refusal(refusal: &Refusal, request: &Fields, request_id: &str) -> Response {
    let (kind, text) = if wants_html(request) {
        ("text/html; charset=utf-8", html(refusal, request_id))
    } else {
        ("application/problem+json", problem(refusal, request_id))
    };
    let mut response = Response::new(refusal.status, Body::full(text));
    let headers = &mut response.headers;
    headers.insert(Known::CONTENT_TYPE, kind);
    headers.insert(Known::CACHE_CONTROL, "no-store");
    headers.insert(Known::PROXY_STATUS, proxy_status(refusal));
    if let Some(challenge) = &refusal.challenge {
        headers.insert(Known::WWW_AUTHENTICATE, challenge);
    }
    let usual = (refusal.status == StatusCode::SERVICE_UNAVAILABLE).then_some(USUAL_WAIT);
    if let Some(wait) = refusal.wait.or(usual) {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(Known::RETRY_AFTER, seconds.max(1).to_string());
    }
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        let known = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        let allow = refusal.allow.as_ref().map(HeaderValue::as_bytes);
        headers.insert(Known::ALLOW, allow.unwrap_or(known.as_bytes()));
    }
    response
}

/// When to come back where nobody knows better.
const USUAL_WAIT: Duration = Duration::from_secs(5);

fn proxy_status(refusal: &Refusal) -> String {
    let next_hop = refusal
        .backend
        .as_deref()
        .map(|name| format!("; next-hop=\"{name}\""))
        .unwrap_or_default();
    format!(
        "banyan; error={}; details=\"{}\"{next_hop}",
        refusal.reason, refusal.details
    )
}

/// Whether the client is a browser that shows what it gets: `text/html` by name in `Accept`, not liked less than JSON, and no fetch
/// by a script.
pub(super) fn wants_html(request: &Fields) -> bool {
    let mode = request.get(Known::SEC_FETCH_MODE).map(Value::as_bytes);
    if mode.is_some_and(|mode| mode != b"navigate") {
        return false;
    }
    let (mut html, mut json) = (0, 0);
    let accepts = request
        .get_all(Known::ACCEPT)
        .filter_map(|value| value.to_str().ok());
    for part in accepts.flat_map(|value| value.split(',')) {
        let mut parts = part.split(';');
        let kind = parts.next().unwrap_or_default().trim();
        let liked = if kind.eq_ignore_ascii_case("text/html") {
            &mut html
        } else if kind.eq_ignore_ascii_case("application/json")
            || kind.eq_ignore_ascii_case("application/problem+json")
        {
            &mut json
        } else {
            continue;
        };
        *liked = (*liked).max(weight(parts));
    }
    html > 0 && html >= json
}

/// How much a kind of content is liked, in thousandths (RFC 9110 section 12.4.2). What can't be read counts as unsaid.
fn weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u32 {
    let told = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some(told) = told else { return 1000 };
    let (whole, fraction) = told.split_once('.').unwrap_or((told, ""));
    if whole != "0" || fraction.len() > 3 {
        return 1000;
    }
    format!("{fraction:0<3}").parse().unwrap_or(1000)
}

fn problem(refusal: &Refusal, request_id: &str) -> String {
    let (title, detail) = words(refusal);
    let mut problem = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": refusal.status.as_u16(),
        "detail": detail,
        "reason": refusal.reason,
        "details": refusal.details,
        "request_id": request_id,
    });
    if let (Some(missing), Some(members)) = (&refusal.missing, problem.as_object_mut()) {
        members.insert("missing".to_owned(), (&**missing).into());
    }
    problem.to_string()
}

fn html(refusal: &Refusal, request_id: &str) -> String {
    let (title, detail) = words(refusal);
    let code = refusal.status.as_u16();
    let missing = refusal
        .missing
        .as_ref()
        .map_or_else(String::new, |missing| format!("<p>{}.</p>", escape(missing)));
    // `request_id` is made of visible ASCII without markup characters: `observe::trace` takes no other.
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style>\
         <main><p class=\"code\">{code}</p><h1>{title}</h1><p>{detail}</p>{missing}<p class=\"id\">Request {request_id}</p></main></html>\n"
    )
}

pub(super) const STYLE: &str = ":root{color-scheme:light dark}body{margin:0;min-height:100vh;display:grid;place-items:center;\
    font:16px/1.6 system-ui,sans-serif;background:light-dark(#f6f7f5,#151815);color:light-dark(#1d2420,#e6ebe6)}\
    main{max-width:34rem;padding:2rem}h1{font-size:1.6rem;margin:.2rem 0 .6rem}.code{font-size:1rem;margin:0;\
    color:light-dark(#3d6b4f,#8fc7a3);font-weight:600;letter-spacing:.05em}.id{font-size:.8rem;opacity:.65;\
    font-family:ui-monospace,monospace;overflow-wrap:anywhere}";

/// What people are told while the identity provider can't be asked.
pub(super) const SIGN_IN_SILENT: (&str, &str) = (
    "Sign-in doesn't work just now",
    "Please try again in a few seconds.",
);

fn is_of_sign_in(refusal: &Refusal) -> bool {
    matches!(
        refusal.details,
        "provider_silent" | "session_unchecked" | "keys_missing"
    )
}

const NOT_SERVED: (&str, &str) = ("That can't be done here", "This method is not served.");

/// Title and sentence for a person who can't know what a status is.
fn words(refusal: &Refusal) -> (&'static str, &'static str) {
    match refusal.status.as_u16() {
        400 => (
            "That request can't be read",
            "Something in the address or the request is not valid.",
        ),
        401 if refusal.missing.is_some() => (
            "Please sign in again",
            "This page asks for another sign-in than the one you have.",
        ),
        401 => ("Please sign in", "This page is for people who are signed in."),
        403 if refusal.details == "plain-http" => (
            "Only over https",
            "This page is served over https; write https:// before its address.",
        ),
        403 if refusal.details == "method" => NOT_SERVED,
        403 if refusal.details == "cross_site" => (
            "Not from there",
            "The request did not come from a page of this site.",
        ),
        403 => (
            "Not for you",
            "This page asks for a right, or a valid link, that you don't have.",
        ),
        404 => ("Nothing here", "There is no page at this address."),
        405 => NOT_SERVED,
        408 => (
            "That took too long",
            "The request did not arrive in time. Please try again.",
        ),
        413 | 414 | 431 => (
            "That is too large",
            "The request is larger than this site accepts.",
        ),
        417 => (
            "That can't be promised",
            "The request expects something that this site doesn't do.",
        ),
        421 => ("Wrong door", "This server doesn't answer for that name."),
        501 | 505 => (
            "Not spoken here",
            "The request uses a part of the protocol that this site doesn't speak.",
        ),
        503 if is_of_sign_in(refusal) => SIGN_IN_SILENT,
        503 => ("Too busy just now", "Please try again in a few seconds."),
        504 => (
            "No answer in time",
            "The page behind this address took too long. Please try again.",
        ),
        508 => (
            "Going round in circles",
            "The request came back to where it started.",
        ),
        429 => (
            "One moment, please",
            "There were too many requests. Please try again in a moment.",
        ),
        500 | 502 => (
            "Something broke",
            "The page behind this address could not be reached. Please try again.",
        ),
        _ => ("That didn't work", "The request could not be served."),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::for_refusal;
    use crate::{fields::Fields, proxy::refusal::Refusal};

    #[track_caller]
    fn check(accept: Option<&'static str>, mode: Option<&'static str>, expected: &str) {
        let mut request = Fields::new();
        if let Some(value) = accept {
            request.insert("accept", value);
        }
        if let Some(value) = mode {
            request.insert("sec-fetch-mode", value);
        }
        let answer = for_refusal(&Refusal::no_route(), &request, "r1");
        assert_eq!(answer.headers.get("content-type").unwrap(), expected);
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(
            answer.headers.get("proxy-status").unwrap(),
            "banyan; error=destination_not_found; details=\"no-route\""
        );
    }

    #[test]
    fn browsers_get_html_and_others_problem_json() {
        let json = "application/problem+json";
        let html = "text/html; charset=utf-8";
        check(None, None, json);
        check(Some("*/*"), None, json);
        check(Some("application/json"), None, json);
        check(Some("text/html,application/xhtml+xml"), None, html);
        check(Some("text/html"), Some("navigate"), html);
        check(Some("text/html"), Some("cors"), json);
        check(Some("text/html;q=0, application/json"), None, json);
        check(Some("text/html; q=0.000"), None, json);
        check(Some("application/json, text/html;q=0.5"), None, json);
        check(
            Some("application/problem+json;q=0.9, text/html;q=0.85"),
            None,
            json,
        );
        check(Some("application/json;q=0.5, text/html;q=0.5"), None, html);
        check(Some("application/json;q=0.9, text/html"), Some("navigate"), html);
        check(Some("text/html;q=new, application/json"), None, html);
    }
}
