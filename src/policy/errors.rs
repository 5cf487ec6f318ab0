//! Pages that browsers are shown instead of errors: which one for which status, and what of both answers is sent.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::StatusCode;

use crate::{
    fields::{Fields, Known, KnownSet, Name},
    name::Place,
};

/// Most bytes of a page, whether it is a file or a backend's answer.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;

/// The `[[errors]]` of a site or the `[[routes.errors]]` of a route, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorPages(Vec<ErrorPage>);

/// One page and the errors that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// Where it is written.
    pub place: Place,
    /// The errors, 400 to 599.
    pub statuses: Vec<StatusCode>,
    /// What is shown.
    pub shows: Shows,
    /// What the client is told; `None`: the error's own status.
    pub answer_status: Option<StatusCode>,
}

/// Where a page comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shows {
    /// The route that takes this path and query is asked.
    Page(Arc<str>),
    /// It is here.
    File(PageFile),
}

/// A file that is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PageFile {
    /// Its name as written.
    pub name: Arc<str>,
    /// Its `Content-Type`.
    pub media_type: &'static str,
    /// What is in it.
    pub bytes: Bytes,
}

/// Says which text it is, not the text: what changed between two versions is told by this.
impl fmt::Debug for PageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // FNV-1a: nobody gains by two texts that share it
        let hash = self.bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        f.debug_struct("PageFile")
            .field("name", &self.name)
            .field("bytes", &self.bytes.len())
            .field("hash", &hash)
            .finish_non_exhaustive()
    }
}

impl ErrorPages {
    /// These, in this order.
    #[must_use]
    pub fn new(pages: Vec<ErrorPage>) -> Self {
        Self(pages)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, ErrorPage> {
        self.0.iter()
    }

    /// The first that is for `status`.
    #[must_use]
    pub fn find(&self, status: StatusCode) -> Option<&ErrorPage> {
        self.0.iter().find(|page| page.statuses.contains(&status))
    }
}

impl PageFile {
    /// The fields of its answer. Nobody keeps it: the next request may well be answered.
    #[must_use]
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        fields.insert(Known::CONTENT_TYPE, self.media_type);
        fields.insert(Known::CACHE_CONTROL, "no-store");
        fields
    }
}

/// Endings of files that may be shown, with what they are. Keys, settings and certificates have others, so none is shown by mistake.
pub const MEDIA_TYPES: [(&str, &str); 6] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("json", "application/json"),
    ("xml", "application/xml; charset=utf-8"),
    ("svg", "image/svg+xml; charset=utf-8"),
];

/// What a file of this name is. `None`: none that may be shown.
#[must_use]
pub fn media_type(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    MEDIA_TYPES
        .iter()
        .find(|(known, _)| ending.eq_ignore_ascii_case(known))
        .map(|(_, media_type)| *media_type)
}

/// Makes the fields of an error those of the page that is shown instead.
///
/// What describes the error's content goes, the rest stays: `Retry-After`, `WWW-Authenticate`, `Allow`, `Proxy-Status` say what
/// happened, whatever it looks like. So do the backend's cookies: one that ends or renews a session with its error must
/// reach the browser, or the two disagree about who is signed in. Nobody may keep such an answer, whatever the page says of itself.
///
/// Of the page come all fields but those that hold for its own address only: its validators would be compared with what
/// is at the address that failed. Its cookies stay out as well: it was asked as nobody, and a session that was begun for nobody would
/// replace the visitor's own.
pub fn dress(error: &mut Fields, page: &Fields) {
    error.retain(|name, _| !describes_content(name));
    let worn = || page.iter().filter(|(name, _)| !stays_behind(*name));
    for (name, _) in worn() {
        error.remove(name);
    }
    for (name, value) in worn() {
        error.append(name, value);
    }
    error.append(Known::VARY, "accept, sec-fetch-mode"); // scripts get the error itself
    if error.contains_key(Known::SET_COOKIE) {
        error.insert(Known::CACHE_CONTROL, "no-store");
    }
}

fn describes_content(name: Name<'_>) -> bool {
    const KNOWN: KnownSet = KnownSet::of(&[
        Known::ACCEPT_RANGES,
        Known::AGE,
        Known::CACHE_CONTROL,
        Known::ETAG,
        Known::EXPIRES,
        Known::LAST_MODIFIED,
        Known::LINK,
        Known::PRAGMA,
        Known::TRAILER,
        Known::VARY,
    ]);
    const OTHERS: [&str; 5] = [
        "cdn-cache-control",
        "digest",
        "refresh",
        "repr-digest",
        "surrogate-control",
    ];
    let text = name.as_str();
    name.is_in(KNOWN) || text.starts_with("content-") || OTHERS.contains(&text)
}

fn stays_behind(name: Name<'_>) -> bool {
    const KNOWN: KnownSet = KnownSet::of(&[
        Known::ACCEPT_RANGES,
        Known::ALLOW,
        Known::CONTENT_LENGTH,
        Known::CONTENT_LOCATION,
        Known::CONTENT_RANGE,
        Known::DATE,
        Known::ETAG,
        Known::LAST_MODIFIED,
        Known::LOCATION,
        Known::PROXY_STATUS,
        Known::RETRY_AFTER,
        Known::SERVER_TIMING,
        Known::SET_COOKIE,
        Known::TRAILER,
        Known::WWW_AUTHENTICATE,
        Known::X_REQUEST_ID,
    ]);
    name.is_in(KNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(*name, *value);
        }
        fields
    }

    #[track_caller]
    fn check(error: &[(&str, &str)], page: &[(&str, &str)], sent: &[(&str, &str)]) {
        let mut dressed = fields(error);
        dress(&mut dressed, &fields(page));
        let lines: Vec<(String, String)> = dressed
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
            .collect();
        let lines: Vec<(&str, &str)> = lines.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(lines, sent);
    }

    #[test]
    fn the_page_describes_itself_and_the_error_says_what_happened() {
        check(
            &[
                ("content-type", "application/json"),
                ("content-length", "9"),
                ("content-security-policy", "default-src 'none'"),
                ("etag", "\"error\""),
                ("cache-control", "max-age=9"),
                ("vary", "origin"),
                ("cdn-cache-control", "max-age=9"),
                ("retry-after", "5"),
                ("www-authenticate", "Bearer"),
                ("proxy-status", "banyan; error=x"),
                ("x-squad", "learn"),
            ],
            &[
                ("content-type", "text/html"),
                ("content-length", "100"),
                ("cache-control", "max-age=60"),
                ("last-modified", "Fri, 20 Nov 2026 09:08:07 GMT"),
                ("etag", "\"page\""),
                ("accept-ranges", "bytes"),
                ("retry-after", "99"),
                ("proxy-status", "other; error=y"),
                ("set-cookie", "session=nobody"),
                ("vary", "accept-language"),
                ("link", "</a.css>; rel=preload"),
                ("link", "</b.css>; rel=preload"),
                ("x-squad", "pages"),
            ],
            &[
                ("retry-after", "5"),
                ("www-authenticate", "Bearer"),
                ("proxy-status", "banyan; error=x"),
                ("content-type", "text/html"),
                ("cache-control", "max-age=60"),
                ("vary", "accept-language"),
                ("link", "</a.css>; rel=preload"),
                ("link", "</b.css>; rel=preload"),
                ("x-squad", "pages"),
                ("vary", "accept, sec-fetch-mode"),
            ],
        );
    }

    #[test]
    fn an_answer_with_a_cookie_is_kept_by_nobody() {
        check(
            &[("set-cookie", "session=; Max-Age=0")],
            &[
                ("content-type", "text/html"),
                ("cache-control", "public, max-age=60"),
            ],
            &[
                ("set-cookie", "session=; Max-Age=0"),
                ("content-type", "text/html"),
                ("vary", "accept, sec-fetch-mode"),
                ("cache-control", "no-store"),
            ],
        );
    }

    #[test]
    fn the_first_page_for_a_status_is_shown() {
        let page = |statuses: &[u16], path: &str| ErrorPage {
            place: Place {
                file: Arc::from("routes/learn.toml"),
                line: 1,
            },
            statuses: statuses
                .iter()
                .map(|status| StatusCode::from_u16(*status).unwrap())
                .collect(),
            shows: Shows::Page(Arc::from(path)),
            answer_status: None,
        };
        let pages = ErrorPages::new(vec![page(&[404, 410], "/a"), page(&[410, 503], "/b")]);
        let shown = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            pages.find(status).map(|page| page.shows.clone())
        };
        assert_eq!(shown(410), Some(Shows::Page(Arc::from("/a"))));
        assert_eq!(shown(503), Some(Shows::Page(Arc::from("/b"))));
        assert_eq!(shown(500), None);
    }

    #[test]
    fn keys_and_settings_are_no_pages() {
        assert_eq!(media_type("errors/404.HTML"), Some("text/html; charset=utf-8"));
        assert_eq!(media_type("a.b/404.svg"), Some("image/svg+xml; charset=utf-8"));
        for name in [
            "banyan.toml",
            "certs/www.pem",
            "state/identity.key",
            "errors/404",
            "",
            "html",
        ] {
            assert_eq!(media_type(name), None, "{name}");
        }
    }
}
