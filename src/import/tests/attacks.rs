//! Files that nobody sane writes: each leaves a report, in a while, and nothing that is open.

use serde_json::{Value, json};

use super::{behaviour, changed, distribution, input, kinds, made, routes, with};
use crate::import::{Imported, Input, Source, Wishes, checked_tests::check, finding::Severity, import};

fn given(text: &str) -> Imported {
    let imported = import(Source::CloudFront, &[input(text)], &[], &Wishes::default());
    assert!(imported.files.is_empty(), "{}", imported.report);
    imported
}

#[track_caller]
fn refused(config: &Value, kind: &str, says: &str) {
    let imported = made(config);
    let told = imported.report.to_string();
    assert!(
        told.contains(&format!("error {kind}: ")) && told.contains(says),
        "{told}"
    );
    assert!(imported.files.is_empty());
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    let whole = distribution(&[]).to_string();
    let deep = "[".repeat(100_000);
    for (text, kind, says) in [
        ("", "no-distribution", "there is no distribution"),
        ("{}", "no-distribution", "there is no distribution"),
        ("7", "no-distribution", "there is no distribution"),
        (&whole[..whole.len() / 2], "no-json", "line 1 column"),
        ("{\"DistributionConfig\": {", "no-json", "line 1 column"),
        ("\u{0}", "no-json", "line 1 column 1"),
        (&deep, "no-json", "recursion limit"),
        (
            "{\"DistributionList\": {\"Items\": []}}",
            "summary",
            "list-distributions",
        ),
        (
            "{\"DistributionConfig\": 7}",
            "no-distribution",
            "there is no distribution",
        ),
    ] {
        let told = given(text).report.to_string();
        assert!(
            told.contains("given.json\n") && told.contains(&format!("error {kind}")) && told.contains(says),
            "{told}"
        );
    }
    // what some editors put in front is no fault
    let imported = import(
        Source::CloudFront,
        &[input(&format!("\u{feff}{whole}"))],
        &[],
        &Wishes::default(),
    );
    assert_eq!(imported.report.errors, 0, "{}", imported.report);
}

#[test]
fn wrong_types_are_told_with_their_place() {
    for (pointer, value) in [
        ("/CacheBehaviors", json!(7)),
        ("/CacheBehaviors", json!({"Items": [7]})),
        ("/Origins", json!([{"Id": []}])),
        ("/Enabled", json!("yes")),
        (
            "/OriginGroups",
            json!([{"FailoverCriteria": {"StatusCodes": {"Items": [-1]}}}]),
        ),
        ("/DefaultCacheBehavior", json!([{}, {}])),
        ("/CustomErrorResponses", json!([{"ErrorCode": 1e300}])),
    ] {
        refused(&changed(pointer, value), "bad-shape", &format!("at {pointer}"));
    }
}

#[test]
fn names_stay_names() {
    for alias in [
        "../../etc/cron.d/x",
        "a/b",
        "..",
        "*.*.example.com",
        "강의.example.com",
        "a b",
        "-x.example.com",
        "x\u{202e}y",
    ] {
        refused(
            &changed("/Aliases", json!({"Items": [alias]})),
            "bad-alias",
            "no host name",
        );
    }
    let odd = with(
        distribution(&[behaviour("/a", "강의/../../x")]),
        "/DistributionConfig/Origins/Items/1/Id",
        json!("강의/../../x"),
    );
    let imported = made(&odd);
    assert!(
        routes(&imported).contains("[backends.x]\n"),
        "{}",
        routes(&imported)
    );
    assert!(!check(&imported).has_errors());
    let group = json!({"KeyGroup": {"Id": "g", "KeyGroupConfig": {"Name": "../x", "Items": ["../../x"]}}});
    let key = json!({"PublicKey": {"Id": "../../x", "PublicKeyConfig": {"EncodedKey": crate::import::checked_tests::PEM}}});
    let signed = with(
        behaviour("/v", "one"),
        "/TrustedKeyGroups",
        json!({"Enabled": true, "Items": ["g"]}),
    );
    let imported = super::made_with(&distribution(&[signed]), &[group, key], &Wishes::default());
    assert!(
        kinds(&imported, Severity::Warning).contains(&"bad-key"),
        "{}",
        imported.report
    );
    for (name, _) in &imported.files {
        assert!(!name.contains("..") && !name.starts_with('/'), "{name}");
    }
    assert!(!check(&imported).has_errors());
}

#[test]
fn colliding_names_get_numbers() {
    let ids = ["API", "api", "a.p.i", "a-p-i", "a p i"];
    let behaviours: Vec<Value> = ids
        .iter()
        .zip(0..)
        .map(|(id, at)| behaviour(&format!("/{at}"), id))
        .collect();
    let origins: Vec<Value> = ids
        .iter()
        .map(|id| {
            let mut one = super::origin("one");
            one["Id"] = json!(id);
            one
        })
        .chain([super::origin("one")])
        .collect();
    let config = with(
        distribution(&behaviours),
        "/DistributionConfig/Origins",
        json!({"Items": origins}),
    );
    let imported = made(&config);
    for name in ["api", "api-2", "a-p-i", "a-p-i-2", "a-p-i-3"] {
        assert!(
            routes(&imported).contains(&format!("[backends.{name}]\n")),
            "{}",
            routes(&imported)
        );
    }
    assert!(!check(&imported).has_errors());
    // what stands twice under one id is told by the first
    let twice = with(
        distribution(&[]),
        "/DistributionConfig/Origins",
        json!({"Items": [super::origin("one"), super::origin("one")]}),
    );
    refused(&twice, "repeated-origin", "`one`");
}

#[test]
fn too_many_behaviours_are_refused_and_many_are_compared_in_time() {
    let many: Vec<Value> = (0..10_000)
        .map(|at| behaviour(&format!("/{at}"), "one"))
        .collect();
    refused(&distribution(&many), "too-many", "10000 behaviours, at most 1000");
    let signed = |pattern: &str| {
        with(
            behaviour(pattern, "one"),
            "/TrustedKeyGroups",
            json!({"Enabled": true, "Items": ["g"]}),
        )
    };
    let hard = |at: usize| format!("/*{at}*{}*b?", "a?*".repeat(12));
    let easy = |at: usize| format!("/*{at}*{}?b", "a-long-segment/".repeat(10));
    for (pattern, count, all) in [(&hard as &dyn Fn(usize) -> String, 40, false), (&easy, 75, true)] {
        let one = |at: usize| {
            if at.is_multiple_of(2) {
                behaviour(&pattern(at), "one")
            } else {
                signed(&pattern(at))
            }
        };
        let behaviours: Vec<Value> = (0..count).map(one).collect();
        let imported = made(&distribution(&behaviours));
        let kinds = kinds(&imported, Severity::Warning);
        assert_eq!(!kinds.contains(&"not-compared"), all, "{count}");
        assert!(kinds.contains(&"open-before-protected"), "{}", imported.report);
    }
}

/// Patterns that would make an automaton explode are refused with their size.
#[test]
fn patterns_that_would_explode_are_refused_with_their_size() {
    let long: Vec<Value> = (0..1_000)
        .map(|at| behaviour(&format!("*{at}{}", "a".repeat(250)), "one"))
        .collect();
    refused(
        &distribution(&long),
        "patterns-too-large",
        "steps behind a `*`, at most 200000 fit",
    );
}

#[test]
fn one_host_of_two_distributions_is_told_with_both_files() {
    let named = |name: &str, alias: &str| Input {
        name: name.to_owned(),
        text: changed("/Aliases", json!({"Items": [alias]})).to_string(),
    };
    let both = [
        named("a.json", "www.example.com"),
        named("b.json", "WWW.example.com"),
    ];
    let imported = import(Source::CloudFront, &both, &[], &Wishes::default());
    let told = imported.report.to_string();
    assert!(
        told.contains("error same-host: `www.example.com` of b.json is also taken by `www.example.com` of www.example.com (a.json)"),
        "{told}"
    );
    assert!(imported.files.is_empty());
}
