//! Redirects: what is carried over, and what never changes.

use http::StatusCode;

use super::{Redirect, RedirectError};
use crate::route::{EncodedSlash, PathRule, Template, canonical};

fn template(text: &str) -> PathRule {
    PathRule::Template(text.to_owned())
}

#[track_caller]
fn check(path: &str, to: &str, target: &str, expected: &str) {
    let redirect = Redirect::parse(to, StatusCode::FOUND, &template(path)).unwrap();
    let (asked, query) = crate::route::split_target(target);
    let asked = canonical(asked, EncodedSlash::Keep).unwrap();
    let template = Template::parse(path).unwrap();
    let params = template.params(&asked).expect("the path is taken");
    let location = redirect.location(&params, query).unwrap();
    assert_eq!(location, expected, "{path} to {to} for {target}");
    assert!(location.bytes().all(|b| b.is_ascii_graphic()));
}

#[test]
fn names_rest_and_query_are_carried_over() {
    let www = "https://www.example.com/{rest}";
    check("/*", www, "/", "https://www.example.com/");
    check("/*", www, "/a/b/?c=d&e", "https://www.example.com/a/b/?c=d&e");
    check("/*", www, "/a?", "https://www.example.com/a?");
    check("/old/*", "/new/{rest}", "/old", "/new/");
    check("/old/*", "/new/{rest}", "/old/a/b", "/new/a/b");
    check("/old/*", "/new", "/old/a/b", "/new");
    check("/c/{slug}", "/courses/{slug}", "/c/rust?x=1", "/courses/rust?x=1");
    check(
        "/c/{slug}",
        "/courses/{slug}.html",
        "/c/rust",
        "/courses/rust.html",
    );
    check("/{a}/{b}/*", "/{b}/{a}/{rest}", "/1/2/3/4", "/2/1/3/4");
    check("/c/{slug}", "/c?id={slug}", "/c/rust?x=1", "/c?id=rust&x=1");
    check("/c/{rest}", "/d/{rest}", "/c/x", "/d/x");
    check(
        "/a",
        "https://example.org:8443?from=a",
        "/a?b",
        "https://example.org:8443/?from=a&b",
    );
    check("/a", "https://[2001:db8::1]/b", "/a", "https://[2001:db8::1]/b");
}

#[test]
fn nothing_that_is_sent_changes_the_host_or_the_head() {
    check("/old/*", "/{rest}", "/old//evil.example/x", "/evil.example/x");
    check("/old/*", "/{rest}", "/old/.//evil.example", "/evil.example");
    check("/old/*", "/{rest}", "/old/@evil.example", "/@evil.example");
    check(
        "/old/*",
        "/{rest}",
        "/old/%5C%5Cevil.example",
        "/%5C%5Cevil.example",
    );
    check(
        "/old/*",
        "/{rest}",
        "/old/%2F%2Fevil.example",
        "/%2F%2Fevil.example",
    );
    check("/{a}/x", "/{a}", "/https:/x", "/https:");
    check(
        "/{a}",
        "https://example.com/{a}",
        "/.evil.example",
        "https://example.com/.evil.example",
    );
    check("/{a}", "/x/{a}", "/a%3Fb%23c%25", "/x/a%3Fb%23c%25");
    check("/{a}", "/x/{a}", "/%EA%B0%95", "/x/%EA%B0%95");
    check("/{a}", "/x?q={a}", "/a&admin=1+2;b", "/x?q=a%26admin%3D1%2B2%3Bb");
    check("/{a}", "/x", "/a?b#c", "/x?b%23c");
    check(
        "/{a}",
        "/x",
        "/a?b\r\nset-cookie: c=d",
        "/x?b%0D%0Aset-cookie:%20c=d",
    );
    check("/{a}", "/x", "/a?é", "/x?%C3%A9");
}

#[track_caller]
fn check_bad(path: &PathRule, to: &str, expected: &RedirectError) {
    let parsed = Redirect::parse(to, StatusCode::FOUND, path);
    assert_eq!(parsed.as_ref().err(), Some(expected), "{to}");
}

#[test]
fn an_address_that_could_lead_astray_is_refused() {
    use RedirectError as E;
    let path = template("/c/{slug}/*");
    let unknown = |name: &str, known: &str| E::UnknownName(name.to_owned(), known.to_owned());
    let host = |text: &str| E::BadHost(text.to_owned());
    let spelling = |text: &str| E::NotCanonical(text.to_owned());
    check_bad(&path, "", &E::NoAddress);
    check_bad(&path, "new/{rest}", &E::NoAddress);
    check_bad(&path, "javascript:alert(1)", &E::NoAddress);
    check_bad(&path, "HTTPS://example.com/", &E::NoAddress);
    check_bad(&path, "//example.com/", &E::TwoSlashes);
    check_bad(&path, "https://", &host(""));
    check_bad(&path, "https:///x", &host(""));
    check_bad(&path, "https://{slug}.example.com/", &host("{slug}.example.com"));
    check_bad(&path, "https://example.com{rest}", &host("example.com{rest}"));
    check_bad(&path, "https://example.com@evil.example/", &E::User);
    check_bad(&path, "https://example.com:x/", &host("example.com:x"));
    check_bad(&path, "https://example.com\\@evil.example/", &E::User);
    check_bad(
        &path,
        "https://example.com\\evil.example/",
        &host("example.com\\evil.example"),
    );
    check_bad(&path, "/a#b", &E::Fragment);
    check_bad(&path, "/{slug", &E::Brace);
    check_bad(&path, "/slug}", &E::Brace);
    check_bad(
        &path,
        "/{slugs}",
        &unknown("slugs", "; it has `{slug}`, `{rest}`"),
    );
    check_bad(&path, "/{*}", &unknown("*", "; it has `{slug}`, `{rest}`"));
    check_bad(&template("/c"), "/{rest}", &unknown("rest", ""));
    check_bad(
        &PathRule::Pattern("/a*".to_owned()),
        "/{rest}",
        &unknown("rest", ""),
    );
    check_bad(&path, "/{rest}/x", &E::RestInside);
    check_bad(&path, "/x{rest}", &E::RestInside);
    check_bad(&path, "/{slug}{rest}", &E::RestInside);
    check_bad(&template("/{rest}/*"), "/{rest}", &E::TwoRests);
    check_bad(&path, "/a//{slug}", &spelling("/a/{slug}"));
    check_bad(&path, "/a/../{slug}/é", &spelling("/{slug}/%C3%A9"));
    check_bad(&path, "/a?b=\"", &E::BadQuery);
    check_bad(&path, "/a?b=c d", &E::BadQuery);
    assert!(matches!(
        Redirect::parse("/a\r\nb", StatusCode::FOUND, &path),
        Err(E::Ambiguous(_))
    ));
    let long = format!("/{}", "x".repeat(2_048));
    check_bad(&path, &long, &E::TooLong(2_049));
}
