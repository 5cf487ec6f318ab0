//! Plain HTTP, methods and forwarded paths, one by one.

use http::{Method, StatusCode, Version};

use super::{
    AllowedMethods, Https, MethodRefusal, OverPlain, PathChange, PathError, RequestPolicy, allow, check_path,
    check_prefix,
};
use crate::route::{EncodedSlash, canonical};

#[track_caller]
fn check_plain(https: Https, method: &Method, version: Version, expected: OverPlain) {
    assert_eq!(
        https.over_plain(method, version),
        expected,
        "{https:?} {method} {version:?}"
    );
}

#[test]
fn plain_http_is_answered_as_cloudfront_answers_it() {
    let (old, new) = (Version::HTTP_10, Version::HTTP_11);
    let moved = |status| OverPlain::Redirected(status);
    for version in [old, new] {
        for method in [Method::GET, Method::HEAD] {
            check_plain(
                Https::Redirect,
                &method,
                version,
                moved(StatusCode::MOVED_PERMANENTLY),
            );
        }
        check_plain(Https::Only, &Method::GET, version, OverPlain::Refused);
        check_plain(Https::Allow, &Method::POST, version, OverPlain::Passes);
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        check_plain(
            Https::Redirect,
            &method,
            new,
            moved(StatusCode::TEMPORARY_REDIRECT),
        );
        check_plain(Https::Redirect, &method, old, OverPlain::Refused);
    }
}

#[test]
fn get_stands_for_head_as_well() {
    let some = |methods: &[Method]| AllowedMethods {
        methods: methods.to_vec(),
        refused: MethodRefusal::NotAllowed,
    };
    assert!(some(&[Method::GET]).allows(&Method::HEAD));
    assert!(!some(&[Method::HEAD]).allows(&Method::GET));
    assert!(!some(&[Method::GET]).allows(&Method::POST));
    assert_eq!(
        allow(&[Method::POST, Method::GET, Method::HEAD]),
        "POST, GET, HEAD"
    );
    assert_eq!(allow(&[Method::HEAD, Method::GET]), "HEAD, GET");
    assert_eq!(some(&[Method::GET]).to_string(), "serves GET, HEAD, else 405");
}

fn begins(strip: Option<&str>, add: Option<&str>) -> PathChange {
    PathChange::Begins {
        strip: strip.map(Into::into),
        add: add.map(Into::into),
    }
}

#[track_caller]
fn check_change(change: &PathChange, path: &str, expected: Option<&str>) {
    let forwarded = change.apply(path);
    assert_eq!(forwarded.as_deref(), expected, "{change} of {path}");
    if let Some(forwarded) = forwarded {
        let again = canonical(&forwarded, EncodedSlash::Keep).unwrap();
        assert_eq!(again, forwarded, "{change} of {path} is canonical");
    }
}

#[test]
fn prefixes_are_whole_segments() {
    let strip = begins(Some("/courses"), None);
    for (path, expected) in [
        ("/courses", Some("/")),
        ("/courses/", Some("/")),
        ("/courses/rust", Some("/rust")),
        ("/courses/rust/", Some("/rust/")),
        ("/courses/courses/x", Some("/courses/x")),
        ("/coursesx", None),
        ("/courses%2Frust", None),
        ("/Courses/rust", None),
        ("/x/courses/rust", None),
        ("/", None),
    ] {
        check_change(&strip, path, expected);
    }
    check_change(&begins(None, Some("/v2")), "/", Some("/v2/"));
    check_change(&begins(None, Some("/v2")), "/a/b", Some("/v2/a/b"));
    let both = begins(Some("/api/v1"), Some("/v2"));
    check_change(&both, "/api/v1/x", Some("/v2/x"));
    check_change(&both, "/api/v1", Some("/v2/"));
    check_change(&both, "/other", Some("/v2/other"));
    check_change(
        &PathChange::Replaced("/index.html".into()),
        "/",
        Some("/index.html"),
    );
    check_change(&PathChange::Kept, "/a", None);
    check_change(&begins(None, None), "/a", None);
}

#[track_caller]
fn check_bad(text: &str, expected: &PathError) {
    assert_eq!(check_prefix(text).as_ref(), Err(expected), "{text}");
}

#[test]
fn a_prefix_that_could_make_another_path_of_one_is_refused() {
    check_bad("courses", &PathError::Relative("courses".to_owned()));
    check_bad("", &PathError::Relative(String::new()));
    check_bad("/", &PathError::Nothing);
    check_bad("/courses/", &PathError::LastSlash("/courses".to_owned()));
    check_bad("/courses/*", &PathError::Wildcard);
    check_bad("/{squad}", &PathError::Wildcard);
    check_bad("/a?b=c", &PathError::Query);
    check_bad("//a", &PathError::NotCanonical("/a".to_owned()));
    check_bad("/a//b", &PathError::NotCanonical("/a/b".to_owned()));
    check_bad("/a/../b", &PathError::NotCanonical("/b".to_owned()));
    check_bad("/a/.", &PathError::NotCanonical("/a/".to_owned()));
    check_bad("/%61", &PathError::NotCanonical("/a".to_owned()));
    check_bad("/é", &PathError::NotCanonical("/%C3%A9".to_owned()));
    check_bad("/a b", &PathError::NotCanonical("/a%20b".to_owned()));
    for text in [
        "/..", "/a%2Fb", "/a\\b", "/a%5Cb", "/%2e%2e", "/a\r\nb", "/a#b", "/..;",
    ] {
        assert!(
            matches!(check_prefix(text), Err(PathError::Ambiguous(_))),
            "{text}"
        );
    }
    assert_eq!(check_prefix("/courses"), Ok(()));
    assert_eq!(check_path("/"), Ok(()));
    assert_eq!(check_path("/a/"), Ok(()));
    let long = format!("/{}", "x".repeat(1_024));
    assert_eq!(check_path(&long), Err(PathError::TooLong(1_025)));
}

#[test]
fn only_what_differs_is_put_in_words() {
    assert!(RequestPolicy::default().in_words().is_empty());
    let all = RequestPolicy {
        https: Https::Allow,
        methods: Some(AllowedMethods {
            methods: vec![Method::POST],
            refused: MethodRefusal::Forbidden,
        }),
        path: begins(Some("/a"), Some("/b")),
    };
    assert_eq!(
        all.in_words(),
        ["https allow", "serves POST, else 403", "forwards /b for /a"]
    );
}
