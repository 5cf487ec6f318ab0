//! What the operator demands of a part of the site, whatever a route there says: prefixes of paths, matched as the most forgiving
//! backend would read them, so that no spelling of a path gets around one.

use std::borrow::Cow;

use super::requirement::Requirement;
use crate::name::Place;

/// `[[gate.demand]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The path as written: `/admin/*`, or one path.
    pub path: String,
    /// Host names that it is for, lower case; empty: all.
    pub hosts: Vec<String>,
    /// What is asked there. Never `report_only`.
    pub requirement: Requirement,
    /// Where it is written.
    pub place: Place,
}

impl Demand {
    /// Whether `text` can be the path of one. The error completes "… is no path of a demand: …".
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_path(text: &str) -> Result<(), &'static str> {
        let path = text.strip_suffix("/*").unwrap_or(text);
        if !text.starts_with('/') {
            return Err("it does not start with a slash");
        }
        if path.contains(['*', '?', '{', '}']) {
            return Err("only a last `/*` stands for more");
        }
        if path.contains(['%', ';', '\\', '#']) || path.contains("//") || !path.is_ascii() {
            return Err("it has characters that paths are compared without");
        }
        Ok(())
    }

    /// Whether it is about this path (canonical) on this host (lower case).
    fn takes(&self, folded: &Folded<'_>, host: &str) -> bool {
        (self.hosts.is_empty() || self.hosts.iter().any(|own| is_host(own, host)))
            && folded.is_under(&self.path)
    }
}

fn is_host(own: &str, host: &str) -> bool {
    match own.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => own == host,
    }
}

/// Those of `demands` that are about this path (canonical) on this host.
pub(super) fn about<'d>(
    demands: &'d [Demand],
    path: &str,
    host: &str,
) -> impl Iterator<Item = &'d Demand> + use<'d> {
    let found: smallvec::SmallVec<[&'d Demand; 4]> = if demands.is_empty() {
        smallvec::SmallVec::new()
    } else {
        let folded = Folded::of(path);
        demands
            .iter()
            .filter(|demand| demand.takes(&folded, host))
            .collect()
    };
    found.into_iter()
}

/// How often a path is decoded before it is compared. Backends behind backends decode twice; nobody is known to decode four times.
const DECODED_MAX: usize = 4;

/// Dots and slashes in more bytes than UTF-8 allows (RFC 3629 section 3), which decoders have taken for what they stand for (CVE-2008-2938).
const OVERLONG: [(&str, &str); 6] = [
    ("%c0%ae", "."),
    ("%c0%af", "/"),
    ("%c1%9c", "\\"),
    ("%e0%80%ae", "."),
    ("%e0%80%af", "/"),
    ("%e0%81%9c", "\\"),
];

/// A path as the most forgiving backend reads it: capitals are small letters, what is encoded is decoded, `\` is `/`, parameters of
/// segments (`;x=1`) are left out, several slashes are one. Some climb at `..` that appears so, some don't: it is read both ways.
struct Folded<'p> {
    literal: Cow<'p, str>,
    climbed: Option<String>,
}

impl<'p> Folded<'p> {
    fn of(path: &'p str) -> Self {
        let plain = |byte: u8| !matches!(byte, b'%' | b';' | b'\\' | b'A'..=b'Z');
        if path.bytes().all(plain) && !path.contains("//") && !path.contains("/.") {
            return Self {
                literal: Cow::Borrowed(path),
                climbed: None,
            };
        }
        let mut text = Cow::Borrowed(path);
        for _ in 0..DECODED_MAX {
            match decoded(&text) {
                Some(decoded) => text = Cow::Owned(decoded),
                None => break,
            }
        }
        let mut text = text.to_ascii_lowercase();
        if text.contains("%c") || text.contains("%e") {
            for (code, plain) in OVERLONG {
                text = text.replace(code, plain);
            }
        }
        let text = text.replace('\\', "/");
        let (mut literal, mut climbed) = (Vec::new(), Vec::new());
        for segment in text.split('/') {
            let name = segment.split(';').next().unwrap_or_default();
            if matches!(name, "" | ".") {
                continue;
            }
            literal.push(name);
            if name == ".." {
                climbed.pop();
            } else {
                climbed.push(name);
            }
        }
        let whole = |segments: &[&str]| ["/", &segments.join("/")].concat();
        Self {
            climbed: (climbed != literal).then(|| whole(&climbed)),
            literal: Cow::Owned(whole(&literal)),
        }
    }

    fn is_under(&self, demanded: &str) -> bool {
        is_under(&self.literal, demanded)
            || self.climbed.as_ref().is_some_and(|path| is_under(path, demanded))
    }
}

fn is_under(path: &str, demanded: &str) -> bool {
    let (prefix, and_below) = match demanded.strip_suffix("/*") {
        Some(prefix) => (prefix, true),
        None => (demanded.strip_suffix('/').unwrap_or(demanded), false),
    };
    let rest = path
        .split_at_checked(prefix.len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(prefix))
        .map(|(_, rest)| rest);
    match rest {
        Some("" | "/") => true,
        Some(rest) => and_below && rest.starts_with('/'),
        None => false,
    }
}

/// A text with what is encoded of ASCII decoded once. `None`: nothing is.
fn decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next()?.to_owned();
    let mut any = false;
    for piece in pieces {
        let code = piece
            .split_at_checked(2)
            .and_then(|(code, rest)| Some((u8::from_str_radix(code, 16).ok()?, rest)))
            .filter(|(byte, _)| byte.is_ascii());
        match code {
            Some((byte, rest)) => {
                any = true;
                decoded.push(char::from(byte));
                decoded.push_str(rest);
            }
            None => {
                decoded.push('%');
                decoded.push_str(piece);
            }
        }
    }
    any.then_some(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Demand, about};
    use crate::{
        gate::{Auth, Requirement},
        name::Place,
    };

    fn demand(path: &str, hosts: &[&str]) -> Demand {
        Demand {
            path: path.to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            requirement: Requirement::of(Auth::Required),
            place: Place {
                file: "banyan.toml".into(),
                line: 1,
            },
        }
    }

    fn is_about(demanded: &str, path: &str) -> bool {
        about(&[demand(demanded, &[])], path, "localhost")
            .next()
            .is_some()
    }

    #[test]
    fn every_spelling_of_a_path_is_under_the_same_demand() {
        for path in [
            "/admin",
            "/admin/",
            "/admin/x",
            "/Admin/x",
            "/ADMIN",
            "/admin;a=b/x",
            "/admin%2Fx",
            "/admin%5cx",
            "/x%2F..%2Fadmin",
            "/;/admin/x",
            "/admin%252Fx",
            "//admin",
            "/admin%3Bx/y",
            "/./admin/x",
            "/admin;",
            "/x/%252e%252e/admin",
            "/admin/%2e%2e/x",
            "/%61dmin",
            "/x/..;/admin",
            "/x/%C0%AE%C0%AE/admin",
            "/x/..%c0%afadmin/y",
            "/x/..%C1%9Cadmin",
            "/x/%E0%80%AE%25e0%2580%25ae%E0%80%AFadmin",
        ] {
            assert!(is_about("/admin/*", path), "{path}");
        }
        for path in ["/", "/administration", "/x/admin", "/admi", "/admin-x/y"] {
            assert!(!is_about("/admin/*", path), "{path}");
        }
    }

    #[test]
    fn one_path_is_one_path() {
        assert!(is_about("/status", "/status"));
        assert!(is_about("/status", "/Status/"));
        assert!(!is_about("/status", "/status/x"));
        assert!(is_about("/*", "/"));
        assert!(is_about("/*", "/any/thing"));
        assert!(is_about("/", "/"));
        assert!(!is_about("/", "/x"));
    }

    #[test]
    fn hosts_are_compared_whole() {
        let demands = [demand("/*", &["admin.example.com", "*.internal.example.com"])];
        let on = |host: &str| about(&demands, "/x", host).count();
        assert_eq!(on("admin.example.com"), 1);
        assert_eq!(on("a.internal.example.com"), 1);
        assert_eq!(
            on("a.b.internal.example.com") + on("www.example.com") + on("eviladmin.example.com"),
            0
        );
    }

    #[test]
    fn a_path_that_would_be_compared_wrongly_is_refused() {
        for path in [
            "", "admin", "/a*", "/{x}/*", "/a//b", "/a%2Fb/*", "/a;b", "/*/x", "/ä",
        ] {
            assert!(Demand::check_path(path).is_err(), "{path}");
        }
        for path in ["/", "/*", "/admin/*", "/a/b", "/Admin/x/*"] {
            assert_eq!(Demand::check_path(path), Ok(()), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_under_a_prefix_stays_under_it_whatever_follows(rest in "[ -~]{0,40}") {
            let path = format!("/admin/{rest}");
            prop_assert!(is_about("/admin/*", &path));
            let path = format!("/aDmIn;{}/x", rest.replace(['/', '\\', '%'], ""));
            prop_assert!(is_about("/admin/*", &path));
        }
    }
}
