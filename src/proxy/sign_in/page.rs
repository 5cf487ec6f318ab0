//! What people see when a sign-in doesn't work, or a sign-out did; and the fields that every page of sign-ins bears.

use http::StatusCode;

use super::{
    super::answer::{SIGN_IN_SILENT, STYLE},
    LOGIN_PATH,
};
use crate::{
    body::Body,
    fields::{Fields, Known},
    gate::session::{Wish, form},
    message::Response,
    observe::record::{Outcome, Record, Side},
};

/// Notes why a page refused what it was asked.
pub(super) fn note(record: &mut Record, why: &'static str) {
    record.outcome = Outcome::Refused {
        reason: "http_request_denied",
        side: Side::Client,
    };
    record.details = Some(why);
}

/// The page after a sign-in that didn't work; `to` is where it would have led on to, as `wish` says.
pub(super) fn failed(status: StatusCode, why: &'static str, to: &str, wish: &Wish) -> Response {
    let (title, sentence) = match why {
        "declined" => ("You are not signed in", "The sign-in was not finished."),
        "state" => (
            "This sign-in has ended",
            "It took too long, was finished before, or began in another browser.",
        ),
        "sign_in_too_weak" => (
            "That sign-in is not enough here",
            "This page asks for a stronger kind of sign-in than yours.",
        ),
        "sign_in_too_old" => (
            "That sign-in is not enough here",
            "This page asks for a more recent sign-in than yours.",
        ),
        "provider_silent" | "busy" => SIGN_IN_SILENT,
        _ => ("The sign-in didn't work", "Please try again."),
    };
    // a form's encoding has no character that means something in an attribute
    let again = login(to, wish).replace('&', "&amp;");
    let code = status.as_u16();
    let mut response = page(
        status,
        title,
        &format!(
            "<p class=\"code\">{code}</p><h1>{title}</h1><p>{sentence}</p><p><a href=\"{again}\">Sign in</a> · \
             <a href=\"/\">To the site</a></p><p class=\"id\">{why}</p>"
        ),
    );
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        response.headers.insert(Known::RETRY_AFTER, "5");
    }
    response
}

/// Where a sign-in begins that leads on to `to`, as `wish` says.
pub(super) fn login(to: &str, wish: &Wish) -> String {
    let wished = wish.pairs();
    let mut pairs = vec![("to", to)];
    pairs.extend(wished.iter().map(|(name, value)| (*name, value.as_str())));
    form::with_query(LOGIN_PATH, &pairs)
}

/// The page after a sign-out.
pub(super) fn signed_out() -> Response {
    let title = "You are signed out";
    let text = format!("<h1>{title}</h1><p><a href=\"/\">To the site</a></p>");
    page(StatusCode::OK, title, &text)
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let mut response = Response::new(
        status,
        Body::full(format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style><main>{text}</main></html>\n"
        )),
    );
    response
        .headers
        .insert(Known::CONTENT_TYPE, "text/html; charset=utf-8");
    response
}

/// No cache keeps it, no page frames it, no other site learns its address.
pub(super) fn write_fields(fields: &mut Fields) {
    fields.insert(Known::CACHE_CONTROL, "no-store");
    fields.insert(
        Known::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    );
    fields.insert(Known::REFERRER_POLICY, "no-referrer");
    fields.insert(Known::X_CONTENT_TYPE_OPTIONS, "nosniff");
    fields.insert("x-robots-tag", "noindex");
}
