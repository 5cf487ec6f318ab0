//! Which requests are for hashed assets: files whose name changes with their content, so that any version that has one has the same.

use http::{Method, StatusCode};

use crate::fields::{Fields, Known};

/// Which requests of a route are for hashed assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assets {
    /// Those whose names say so, see [`is_hashed`].
    Hashed,
    /// All of them.
    All,
    /// None.
    Off,
}

impl Assets {
    /// Whether a request is for one. Only what may be asked twice is: GET and HEAD.
    #[must_use]
    pub fn takes(self, method: &Method, path: &str) -> bool {
        let asked = matches!(*method, Method::GET | Method::HEAD);
        asked
            && match self {
                Self::Hashed => is_hashed(path),
                Self::All => true,
                Self::Off => false,
            }
    }
}

/// Folders in which builds put nothing but hashed files: of Next.js, Nuxt, `SvelteKit` and Astro.
const FOLDERS: [&str; 4] = ["/_next/static/", "/_nuxt/", "/_app/immutable/", "/_astro/"];

/// Endings of the files that pages are made of.
const ENDINGS: [&str; 24] = [
    "js",
    "mjs",
    "cjs",
    "css",
    "map",
    "wasm",
    "woff2",
    "woff",
    "ttf",
    "otf",
    "eot",
    "svg",
    "png",
    "jpg",
    "jpeg",
    "gif",
    "webp",
    "avif",
    "ico",
    "mp4",
    "webm",
    "mp3",
    "ogg",
    "webmanifest",
];

/// What a build writes into a name has at least so many characters: Rollup, Vite and esbuild write 8, webpack 20.
const HASH_CHARS_MIN: usize = 8;

/// Whether a path is a hashed file's: it ends as scripts, styles, fonts, images and the like do, and its name has a part of 8
/// characters or more that is no word (`main.3fa91c2b.js`, `index-DiwrgTda.css`), or it is in a folder where builds put nothing else.
#[must_use]
pub fn is_hashed(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let Some((stem, ending)) = file.rsplit_once('.') else {
        return false;
    };
    if !ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)) {
        return false;
    }
    let kept_apart = FOLDERS.iter().any(|known| {
        let inside = known.trim_end_matches('/');
        folder.contains(known) || folder.ends_with(inside)
    });
    let mut words = stem.split(|c: char| !c.is_ascii_alphanumeric());
    kept_apart || words.any(is_hash) || ends_in_hash(stem)
}

/// Letters and digits with a digit among them. Capitals say nothing: `remoteEntry` is a word.
fn is_hash(word: &str) -> bool {
    word.len() >= HASH_CHARS_MIN && word.bytes().any(|byte| byte.is_ascii_digit())
}

/// Exactly so many characters behind the last mark, as Rollup and Vite write them: base64 for addresses, which has `-` and `_` in it
/// (`index-BX_kd9-1`), and in one of four no digit, but capitals (`index-DiwrgTda`).
fn ends_in_hash(stem: &str) -> bool {
    let Some((before, hash)) = stem
        .len()
        .checked_sub(HASH_CHARS_MIN)
        .and_then(|at| stem.split_at_checked(at))
    else {
        return false;
    };
    let capital = hash.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let no_word = capital || hash.bytes().any(|byte| byte.is_ascii_digit());
    before.ends_with(['-', '.']) && hash.bytes().all(is_base64) && no_word
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// What an answer to such a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The file, or news of it.
    Here,
    /// Nothing: 404, 410, or a page in its place, as applications answer whose unknown paths are all their first page's.
    Missing,
    /// Nobody can tell: the server is not there just now.
    Unknown,
}

impl Found {
    /// Reads the head of an answer.
    #[must_use]
    pub fn of(status: StatusCode, fields: &Fields) -> Self {
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::Missing,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Self::Unknown
            }
            status if status.is_success() && is_page(fields) => Self::Missing,
            _ => Self::Here,
        }
    }
}

/// Whether an answer may stand in for one that another place did not have.
#[must_use]
pub fn may_stand_in(status: StatusCode, fields: &Fields) -> bool {
    (status.is_success() || status == StatusCode::NOT_MODIFIED) && Found::of(status, fields) == Found::Here
}

fn is_page(fields: &Fields) -> bool {
    let media = fields.get(Known::CONTENT_TYPE);
    media.is_some_and(|media| {
        let media = media.as_bytes().split(|byte| *byte == b';').next();
        media.is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(b"text/html"))
    })
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::{Assets, Found, is_hashed, may_stand_in};
    use crate::fields::{Fields, Known};

    #[test]
    fn names_tell_hashed_files_from_others() {
        for path in [
            "/static/main.3fa91c2b.js",
            "/static/main.3fa91c2b.chunk.css?dpl=v1",
            "/assets/index-DiwrgTda.js",
            "/assets/index-BX_kd9-1.js",
            "/a/app-ABCDEFG2.mjs",
            "/_next/static/chunks/pages/_app.js",
            "/_next/static/x/_buildManifest.js",
            "/_nuxt/entry.js",
            "/fonts/inter.c9aa31d8f0e2.woff2",
            "/1234abcd.PNG",
        ] {
            assert!(is_hashed(path), "{path}");
        }
        for path in [
            "/",
            "/main.js",
            "/jquery-3.7.1.min.js",
            "/remoteEntry.js",
            "/HelloWorldPage.css",
            "/courses/3fa91c2b",
            "/api/3fa91c2b.json",
            "/docs/getting-started.html",
            "/static/3fa91c2b/app.js",
            "/global-settings.css",
            "/favicon.ico",
            "/_next/data/build/x.json",
            "/3fa91c2b.js/",
            "",
        ] {
            assert!(!is_hashed(path), "{path}");
        }
    }

    #[test]
    fn only_what_may_be_asked_twice_is_looked_for() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert!(!Assets::All.takes(&method, "/a.3fa91c2b.js"), "{method}");
        }
        assert!(Assets::All.takes(&Method::HEAD, "/anything"));
        assert!(!Assets::Hashed.takes(&Method::GET, "/anything"));
        assert!(!Assets::Off.takes(&Method::GET, "/a.3fa91c2b.js"));
    }

    #[test]
    fn a_page_in_an_assets_place_is_as_good_as_nothing() {
        let check = |status: u16, media: &str, wanted: Found, stands_in: bool| {
            let (status, mut fields) = (StatusCode::from_u16(status).unwrap(), Fields::new());
            fields.insert(Known::CONTENT_TYPE, media);
            assert_eq!(Found::of(status, &fields), wanted, "{status} {media}");
            assert_eq!(may_stand_in(status, &fields), stands_in, "{status} {media}");
        };
        check(200, "text/javascript", Found::Here, true);
        check(206, "font/woff2", Found::Here, true);
        check(304, "", Found::Here, true);
        check(200, "text/HTML; charset=utf-8", Found::Missing, false);
        check(404, "text/javascript", Found::Missing, false);
        check(410, "text/plain", Found::Missing, false);
        check(503, "text/html", Found::Unknown, false);
        check(302, "text/html", Found::Here, false);
        check(403, "text/html", Found::Here, false);
    }
}
