//! What two policies come to together, by the table of the reference; and the older settings.

use super::{
    super::{
        list::{Block, List},
        plan::{Choice, Host},
        policy::{CachePolicy, RequestPolicy, Selection},
        shape::{ForwardedCookies, ForwardedValues},
    },
    Settings, forward, together,
};

fn names(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn selection(text: &str) -> Selection {
    match text.split_once(' ') {
        None if text == "all" => Selection::All,
        None => Selection::None,
        Some(("only", list)) => Selection::Only(names(list)),
        Some(("but", list)) => Selection::Except(names(list)),
        Some(("all", list)) => Selection::AllAnd(names(list)),
        Some(_) => panic!("{text}"),
    }
}

fn written(choice: &Choice) -> String {
    match choice {
        Choice::None => "none".to_owned(),
        Choice::All => "all".to_owned(),
        Choice::Only(list) => format!("only {}", list.join(" ")),
        Choice::Except(list) => format!("but {}", list.join(" ")),
    }
}

#[test]
fn cookies_and_query_go_by_both_policies() {
    // cache policy, origin request policy, what is forwarded: reference section 2.2
    let table = [
        ("none", "none", "none"),
        ("none", "all", "all"),
        ("none", "only a", "only a"),
        ("none", "but a", "but a"),
        ("all", "none", "all"),
        ("all", "all", "all"),
        ("all", "only a", "all"),
        ("all", "but a", "all"),
        ("only a", "none", "only a"),
        ("only a", "all", "all"),
        ("only b a", "only c b", "only a b c"),
        ("only a", "but a b", "but b"),
        ("only a", "but a", "all"),
        ("but a", "none", "but a"),
        ("but a", "all", "all"),
        ("but a b", "only a", "but b"),
        ("but a", "only a", "all"),
        ("but a", "but b", "but a b"),
    ];
    for (cache, request, expected) in table {
        let seen = written(&together(&selection(cache), &selection(request)));
        assert_eq!(seen, expected, "{cache} / {request}");
    }
}

#[track_caller]
fn check_headers(cache: &str, request: &str, expected: &str, host: Host, viewer: &str) {
    let cache = CachePolicy {
        headers: selection(cache),
        ..CachePolicy::default()
    };
    let request = RequestPolicy {
        headers: selection(request),
        ..RequestPolicy::default()
    };
    let settings = Settings::Policies {
        cache: Some(&cache),
        request: Some(&request),
    };
    let (seen, seen_host) = forward(settings);
    let headers = match seen.headers {
        Choice::Only(mut list) => {
            list.retain(|name| !super::ALWAYS.contains(&name.as_str()));
            written(&Choice::Only(list))
        }
        other => written(&other),
    };
    assert_eq!((headers.trim(), seen_host), (expected, host));
    assert_eq!(seen.viewer.join(" "), viewer);
}

#[test]
fn headers_go_by_both_policies() {
    check_headers("none", "none", "only", Host::Server, "");
    check_headers("none", "all", "all", Host::Visitor, "");
    check_headers("none", "but Host", "all", Host::Server, "");
    check_headers("none", "but host X-A", "but X-A", Host::Server, "");
    check_headers("only Host", "but Host", "all", Host::Visitor, "");
    check_headers("only X-A", "but X-A X-B", "but X-B", Host::Visitor, "");
    check_headers(
        "only Accept",
        "only Host User-Agent",
        "only Accept User-Agent",
        Host::Visitor,
        "",
    );
    check_headers(
        "none",
        "all CloudFront-Is-Mobile-Viewer",
        "all",
        Host::Visitor,
        "CloudFront-Is-Mobile-Viewer",
    );
    check_headers(
        "only CloudFront-Viewer-Country",
        "none",
        "only",
        Host::Server,
        "CloudFront-Viewer-Country",
    );
    check_headers("only x-a", "only X-A", "only x-a", Host::Server, "");
}

#[test]
fn accept_encoding_goes_on_where_answers_may_be_compressed() {
    let cache = CachePolicy {
        gzip: true,
        ..CachePolicy::default()
    };
    let (seen, _) = forward(Settings::Policies {
        cache: Some(&cache),
        request: None,
    });
    assert!(matches!(&seen.headers, Choice::Only(list) if list.contains(&"Accept-Encoding".to_owned())));
}

#[test]
fn older_settings_forward_what_they_do_not_remove() {
    let values = ForwardedValues {
        query_string: Some(true),
        cookies: Block(Some(ForwardedCookies {
            forward: Some("whitelist".to_owned()),
            whitelisted_names: List {
                items: names("exp_* SESSION"),
                ..List::default()
            },
        })),
        headers: List {
            items: names("accept-language Host CloudFront-Viewer-Country"),
            ..List::default()
        },
        ..ForwardedValues::default()
    };
    let (seen, host) = forward(Settings::Legacy(&values));
    assert_eq!(host, Host::Visitor);
    assert_eq!(
        written(&seen.headers),
        "but Accept Accept-Charset Authorization Referer User-Agent X-HTTP-Method-Override X-Real-IP"
    );
    assert_eq!(written(&seen.cookies), "only SESSION exp_*");
    assert_eq!(written(&seen.query), "all");
    assert_eq!(seen.viewer, ["CloudFront-Viewer-Country"]);
    let everything = ForwardedValues {
        headers: List {
            items: names("*"),
            ..List::default()
        },
        ..ForwardedValues::default()
    };
    let (seen, host) = forward(Settings::Legacy(&everything));
    assert_eq!((written(&seen.headers).as_str(), host), ("all", Host::Visitor));
    assert_eq!(
        (written(&seen.cookies), written(&seen.query)),
        ("none".to_owned(), "none".to_owned())
    );
}
