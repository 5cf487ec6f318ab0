//! Who may be given a visitor cookie: people who open a page, not crawlers, prefetches or page parts.

use http::Method;

use crate::fields::{Fields, Known};

/// What declared crawlers and link previewers have in their `User-Agent`, lower case. A crawler that flips between
/// variants would index both and spoil the guard's counts, so it stays on the default.
const CRAWLERS: &[&str] = &[
    "bot",
    "crawler",
    "spider",
    "slurp",
    "facebookexternalhit",
    "facebookcatalog",
    "mediapartners-google",
    "google-inspectiontool",
    "lighthouse",
    "pagespeed",
    "bingpreview",
    "yeti/",
    "daum",
    "embedly",
    "whatsapp",
    "kakaotalk-scrap",
    "skypeuripreview",
    "ia_archiver",
    "archive.org",
    "headlesschrome-prerender",
    "prerender",
    "uptime",
    "pingdom",
    "statuscake",
];

/// Phones named `CUBOT …` send this; their owners are people.
const NOT_CRAWLERS: &str = "cubot";

/// Whether a request without a visitor cookie may be given one.
///
/// Only page navigations may: `Sec-Fetch-Mode: navigate` (Fetch Metadata), or from clients that don't send that field a
/// GET or HEAD whose `Accept` is absent, has `*/*` or `text/html`. Never a prefetch, never a declared crawler.
#[must_use]
pub fn may_mint(method: &Method, headers: &Fields) -> bool {
    let navigates = match headers.get(Known::SEC_FETCH_MODE) {
        Some(mode) => mode.as_bytes().eq_ignore_ascii_case(b"navigate"),
        None => (method == Method::GET || method == Method::HEAD) && accepts_pages(headers),
    };
    navigates && !is_prefetch(headers) && !is_crawler(headers)
}

/// Whether the `User-Agent` says that this is a crawler or link previewer.
#[must_use]
pub fn is_crawler(headers: &Fields) -> bool {
    headers.get_all(Known::USER_AGENT).any(|agent| {
        let agent = agent.as_bytes();
        let person = contains(agent, NOT_CRAWLERS);
        CRAWLERS
            .iter()
            .any(|word| contains(agent, word) && !(person && *word == "bot"))
    })
}

fn is_prefetch(headers: &Fields) -> bool {
    [Known::SEC_PURPOSE, Known::PURPOSE]
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .any(|purpose| contains(purpose.as_bytes(), "prefetch") || contains(purpose.as_bytes(), "prerender"))
}

fn accepts_pages(headers: &Fields) -> bool {
    let mut accepts = headers.get_all(Known::ACCEPT).peekable();
    accepts.peek().is_none()
        || accepts
            .any(|accept| contains(accept.as_bytes(), "*/*") || contains(accept.as_bytes(), "text/html"))
}

/// Whether `word`, lower case, is in `text` in any case. Allocates nothing.
fn contains(text: &[u8], word: &str) -> bool {
    text.windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}
