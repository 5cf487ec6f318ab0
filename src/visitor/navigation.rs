//! Who may be given a visitor cookie: people who open a page, not crawlers, prefetches or page parts.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Match};
use http::Method;

use crate::fields::{Fields, Known};

/// What declared crawlers, link previewers and watchers have in their `User-Agent`, lower case. A crawler that
/// flips between variants would index both and spoil what is counted, so it stays on the default.
const CRAWLERS: &[&str] = &[
    "+http", // a page about itself: what a machine tells whoever wonders
    "bot",
    "crawler",
    "spider",
    "slurp",
    "facebookexternalhit",
    "facebookcatalog",
    "meta-external",
    "mediapartners-google",
    "apis-google",
    "feedfetcher",
    "googleother",
    "google-inspectiontool",
    "google-read-aloud",
    "google-site-verification",
    "google-safety",
    "lighthouse",
    "pagespeed",
    "bingpreview",
    "yeti/",
    "daum/", // not `daumapps/`: people read in that
    "daumoa",
    "embedly",
    "iframely",
    "whatsapp",
    "kakaotalk-scrap",
    "skypeuripreview",
    "snap url preview",
    "vkshare",
    "w3c_validator",
    "ia_archiver",
    "archive.org",
    "prerender",
    "chatgpt-user",
    "claude-user",
    "perplexity-user",
    "uptime",
    "pingdom",
    "statuscake",
];

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
///
/// Each request of a route with flags is asked, so all words are looked for at once.
#[must_use]
pub fn is_crawler(headers: &Fields) -> bool {
    headers
        .get_all(Known::USER_AGENT)
        .any(|agent| names_crawler(agent.as_bytes()))
}

fn names_crawler(agent: &[u8]) -> bool {
    // phones named `CUBOT …` send this; their owners are people
    let in_cubot = |found: &Match| {
        let before = agent.get(..found.start()).and_then(<[u8]>::last_chunk::<2>);
        before.is_some_and(|end| end.eq_ignore_ascii_case(b"cu"))
            && CRAWLERS.get(found.pattern().as_usize()) == Some(&"bot")
    };
    WORDS
        .as_ref()
        .is_some_and(|words| words.find_iter(agent).any(|found| !in_cubot(&found)))
}

/// One automaton for all of [`CRAWLERS`]: a step for each byte. `None` if it could not be built, which a test rules out.
static WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let mut builder = AhoCorasick::builder();
    builder
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA));
    builder.build(CRAWLERS).ok()
});

/// Whether a request is for a part of a page, or ahead of time: nobody looks at its answer by itself. Scripts' own calls are none.
#[must_use]
pub fn is_page_part(headers: &Fields) -> bool {
    const PARTS: [&[u8]; 14] = [
        b"audio",
        b"audioworklet",
        b"embed",
        b"font",
        b"image",
        b"manifest",
        b"object",
        b"paintworklet",
        b"script",
        b"serviceworker",
        b"sharedworker",
        b"style",
        b"track",
        b"video",
    ];
    let part = |to: &[u8]| PARTS.contains(&to) || matches!(to, b"worker" | b"report" | b"xslt");
    let meant_for = headers.get("sec-fetch-dest").map(crate::fields::Value::as_bytes);
    meant_for.is_some_and(part) || is_prefetch(headers)
}

/// Whether a browser fetches this in case that somebody wants it.
#[must_use]
pub fn is_prefetch(headers: &Fields) -> bool {
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
