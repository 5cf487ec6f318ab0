//! Whether a request that a cookie vouches for is the visitor's own doing, or another site's page sent it (the Fetch Metadata and
//! Fetch standards).

use http::Method;

use super::denied::Denied;
use crate::fields::{Fields, Known, KnownSet, Value};

/// Any of these makes a request a handshake: what comes after it is not bound by what a GET may do, and browsers let any page ask.
const HANDSHAKE: KnownSet = KnownSet::of(&[
    Known::UPGRADE,
    Known::SEC_WEBSOCKET_KEY,
    Known::SEC_WEBSOCKET_VERSION,
]);

/// Lets a request pass that changes nothing, or that says that the site's own page sent it, or one of `origins`. A request that says
/// neither is refused: all browsers say one of the two where it matters.
///
/// # Errors
/// [`Denied::CrossSite`].
pub fn check(method: &Method, headers: &Fields, origins: &[Box<str>]) -> Result<(), Denied> {
    let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_safe && !headers.present().meets(HANDSHAKE) {
        return Ok(());
    }
    let site = only(headers, Known::SEC_FETCH_SITE)?;
    let origin = only(headers, Known::ORIGIN)?;
    let is_named = || origin.is_some_and(|origin| origins.iter().any(|named| named.as_bytes() == origin));
    let is_own = match site {
        // `none`: the visitor's own doing, such as an address typed in
        Some(b"same-origin" | b"none") => true,
        Some(_) => false,
        None => origin.is_some_and(|origin| is_own(origin, headers)),
    };
    if is_own || is_named() {
        Ok(())
    } else {
        Err(Denied::CrossSite)
    }
}

/// The value of a field that comes once. Two could be read in two ways.
fn only(headers: &Fields, name: Known) -> Result<Option<&[u8]>, Denied> {
    let mut values = headers.get_all(name).map(Value::as_bytes);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Denied::CrossSite),
    }
}

/// Whether an origin is the host that was asked, over TLS. Browsers leave the usual port out; `Host` may have it.
fn is_own(origin: &[u8], headers: &Fields) -> bool {
    let Some(authority) = origin.strip_prefix(b"https://") else {
        return false;
    };
    let plain =
        |authority: &[u8]| -> Box<[u8]> { authority.strip_suffix(b":443").unwrap_or(authority).into() };
    let mut hosts = headers.get_all(Known::HOST);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if !authority.is_empty() => {
            plain(authority).eq_ignore_ascii_case(&plain(host.as_bytes()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::check;
    use crate::fields::Fields;

    #[track_caller]
    fn judged(method: &str, fields: &[(&str, &str)]) -> bool {
        let mut headers = Fields::new();
        headers.append("host", "www.Example.com");
        for (name, value) in fields {
            headers.append(*name, *value);
        }
        let method: Method = method.parse().unwrap();
        check(&method, &headers, &["https://partner.example.net".into()]).is_ok()
    }

    #[test]
    fn what_changes_nothing_passes_from_anywhere() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(judged(method, &[("sec-fetch-site", "cross-site")]));
        }
    }

    #[test]
    fn fetch_metadata_comes_first() {
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "QUERY"] {
            assert!(judged(method, &[("sec-fetch-site", "same-origin")]));
            assert!(judged(method, &[("sec-fetch-site", "none")]));
            for site in ["cross-site", "same-site", "Same-Origin", "", "same-origin, none"] {
                assert!(!judged(method, &[("sec-fetch-site", site)]), "{site}");
                let own = ("origin", "https://www.example.com");
                assert!(!judged(method, &[("sec-fetch-site", site), own]), "{site}");
            }
        }
        let twice = [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert!(!judged("POST", &twice));
    }

    #[test]
    fn the_origin_tells_where_that_is_missing() {
        for (origin, passes) in [
            ("https://www.example.com", true),
            ("https://www.example.com:443", true),
            ("http://www.example.com", false),
            ("https://www.example.com:8443", false),
            ("https://www.example.com.evil.test", false),
            ("https://evilwww.example.com", false),
            ("https://evil.test/www.example.com", false),
            ("https://www.example.com@evil.test", false),
            ("https://example.com", false),
            ("https://", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(judged("POST", &[("origin", origin)]), passes, "{origin}");
        }
        assert!(!judged("POST", &[]), "who says nothing is refused");
    }

    #[test]
    fn a_named_site_may_and_no_other() {
        let named = ("origin", "https://partner.example.net");
        assert!(judged("POST", &[named]));
        assert!(judged("POST", &[named, ("sec-fetch-site", "cross-site")]));
        for other in [
            "https://other.example.net",
            "https://evilpartner.example.net",
            "https://partner.example.net.evil.test",
            "https://a.partner.example.net",
        ] {
            assert!(!judged("POST", &[("origin", other)]), "{other}");
        }
    }

    #[test]
    fn a_handshake_is_no_safe_request() {
        for handshake in [
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            assert!(!judged("GET", &[handshake]));
            assert!(!judged("GET", &[handshake, ("origin", "https://evil.test")]));
            assert!(judged("GET", &[handshake, ("origin", "https://www.example.com")]));
        }
    }
}
