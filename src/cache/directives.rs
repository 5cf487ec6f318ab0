//! `Cache-Control` read as RFC 9111 section 5.2.2 says, `CDN-Cache-Control` as RFC 9213 says.

use std::time::Duration;

use super::dictionary::{self, Item};
use crate::fields::{Fields, Known, Value};

/// Longest time that a directive can say: what is more is this (RFC 9111 section 1.2.2 asks for at least as much).
pub const DELTA_MAX: u64 = 2_147_483_648;

/// What an answer's backend says of keeping it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache` without fields: it is validated before every use.
    pub no_cache: bool,
    /// `private` without fields: it is for one visitor.
    pub private: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate` or `proxy-revalidate`: never served stale.
    pub must_revalidate: bool,
    /// `must-understand`: kept only if its status is understood, and then even with `no-store`.
    pub must_understand: bool,
    /// `s-maxage`.
    pub s_maxage: Option<Duration>,
    /// `max-age`.
    pub max_age: Option<Duration>,
    /// `stale-while-revalidate` (RFC 5861).
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861).
    pub stale_if_error: Option<Duration>,
    /// Fields that `no-cache="…"` or `private="…"` names: they are not kept.
    pub not_kept: Vec<String>,
    /// It was `CDN-Cache-Control` that said so: `Expires` is not heard, either (RFC 9213 section 2.2).
    pub targeted: bool,
}

impl Directives {
    /// What the fields of an answer say to this cache: `CDN-Cache-Control` if it is there and well formed, else `Cache-Control`.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        targeted(fields).unwrap_or_else(|| plain(fields))
    }

    /// Whether they say outright that anybody may be answered with it, also who has credentials (RFC 9111 section 3.5).
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.is_some()
    }

    /// Whether a stale answer must never be served (RFC 9111 section 4.2.4).
    #[must_use]
    pub const fn forbids_stale(&self) -> bool {
        self.no_cache || self.must_revalidate || self.s_maxage.is_some()
    }

    fn take(&mut self, name: &str, value: Option<&str>) {
        let bad_is_stale = || Some(value.and_then(delta).unwrap_or(Duration::ZERO));
        match name {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache |= self.names_fields(value),
            "private" => self.private |= self.names_fields(value),
            "public" => self.public = true,
            "must-revalidate" | "proxy-revalidate" => self.must_revalidate = true,
            "must-understand" => self.must_understand = true,
            // the first counts (RFC 9111 section 4.2.1); what can't be read makes the answer stale
            "s-maxage" if self.s_maxage.is_none() => self.s_maxage = bad_is_stale(),
            "max-age" if self.max_age.is_none() => self.max_age = bad_is_stale(),
            "stale-while-revalidate" => self.stale_while_revalidate = value.and_then(delta),
            "stale-if-error" => self.stale_if_error = bad_is_stale(),
            _ => {}
        }
    }

    /// Notes the fields that a directive names. True: it names none, and is about the whole answer.
    fn names_fields(&mut self, value: Option<&str>) -> bool {
        let named = value.unwrap_or_default().split(',').map(str::trim);
        let before = self.not_kept.len();
        self.not_kept
            .extend(named.filter(|name| !name.is_empty()).map(str::to_ascii_lowercase));
        self.not_kept.len() == before
    }
}

/// What a request's `Cache-Control` says that a shared cache can't leave unheard. All else is the client's wish, which must not
/// make the backend's work: RFC 9111 section 5.2.1 calls it advice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `no-store`: nothing of this exchange is kept.
    pub no_store: bool,
    /// `only-if-cached`: 504 rather than a request to the backend.
    pub only_if_cached: bool,
}

impl Wishes {
    /// What the fields of a request say.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        let mut wishes = Self::default();
        each(fields, |name, _| match name {
            "no-store" => wishes.no_store = true,
            "only-if-cached" => wishes.only_if_cached = true,
            _ => {}
        });
        wishes
    }
}

fn plain(fields: &Fields) -> Directives {
    let mut directives = Directives::default();
    each(fields, |name, value| directives.take(name, value));
    directives
}

/// Calls `with` for each directive of `Cache-Control`, its name in lower case.
fn each(fields: &Fields, mut with: impl FnMut(&str, Option<&str>)) {
    for value in fields.get_all(Known::CACHE_CONTROL) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for directive in split(&text) {
            let (name, value) = match directive.split_once('=') {
                Some((name, value)) => (name, Some(unquoted(value))),
                None => (directive, None),
            };
            with(&name.to_ascii_lowercase(), value.as_deref());
        }
    }
}

/// The members of a list; commas within quotes are no commas.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' => return !quoted,
            _ => {}
        }
        false
    })
    .map(str::trim)
    .filter(|member| !member.is_empty())
}

fn unquoted(value: &str) -> String {
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) => inside.replace('\\', ""),
        None => value.to_owned(),
    }
}

/// Seconds as digits alone.
fn delta(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = text.parse().unwrap_or(DELTA_MAX); // too many digits are too many seconds
    Some(Duration::from_secs(seconds.min(DELTA_MAX)))
}

/// RFC 9213 section 2.1: a dictionary of structured fields. What is none is as if it were not there, and so is an empty one.
fn targeted(fields: &Fields) -> Option<Directives> {
    let mut values = fields.get_all("cdn-cache-control").map(Value::to_str).peekable();
    values.peek()?;
    let text = values.collect::<Result<Vec<_>, _>>().ok()?.join(", ");
    let members = dictionary::parse(&text)?;
    if members.is_empty() {
        return None;
    }
    let mut directives = Directives {
        targeted: true,
        ..Directives::default()
    };
    for (name, item) in members {
        match item {
            Item::True => directives.take(&name, None),
            Item::Integer(number) => directives.take(&name, Some(&number.to_string())),
            Item::Text(text) if name == "no-cache" || name == "private" => {
                directives.take(&name, Some(&text));
            }
            Item::Text(_) | Item::Other => {} // a wrong type is ignored
        }
    }
    Some(directives)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DELTA_MAX, Directives};
    use crate::fields::Fields;

    fn said(lines: &[(&str, &str)]) -> Directives {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(*name, value);
        }
        Directives::of(&fields)
    }

    #[test]
    fn the_first_of_two_counts_and_what_is_no_number_is_stale() {
        let secs = |text| said(&[("cache-control", text)]).max_age.map(|age| age.as_secs());
        assert_eq!(secs("max-age=1800, max-age=1"), Some(1800));
        assert_eq!(secs("MaX-aGe=\"3600\""), Some(3600));
        assert_eq!(secs("max-age=-1"), Some(0));
        assert_eq!(secs("max-age=99999999999999999999999"), Some(DELTA_MAX));
        assert_eq!(secs("foo=\"max-age=1, x\", bar"), None);
    }

    #[test]
    fn named_fields_are_not_kept_and_the_rest_is() {
        let directives = said(&[("cache-control", "no-cache=\"A, b\", max-age=1")]);
        assert!(!directives.no_cache);
        assert_eq!(directives.not_kept, ["a", "b"]);
        assert!(said(&[("cache-control", "private=\"\"")]).private);
    }

    #[test]
    fn what_is_said_to_caches_like_this_one_counts_alone_if_it_can_be_read() {
        let both = |text| said(&[("cache-control", "no-store"), ("cdn-cache-control", text)]);
        assert_eq!(both("max-age=5, foo;a=1").max_age, Some(Duration::from_secs(5)));
        assert!(!both("max-age=5").no_store);
        for bad in ["max-age=10000, &&&&&", "", "max-age = 5", "MaX-aGe=1", "a=(1 2"] {
            assert!(both(bad).no_store, "{bad}");
        }
        assert_eq!(both("max-age=\"5\", a=(1 \"x\");q, b=:YQ==:").max_age, None);
    }
}
