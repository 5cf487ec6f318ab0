//! What is refused, and what is warned of.

use serde_json::{Value, json};

use super::{
    SAMPLE, behaviour, changed, distribution, file, input, kinds, made, made_with, routes, warned, with,
};
use crate::import::{Accepted, Source, Wishes, finding::Severity, import};

#[track_caller]
fn refused(config: &Value, kind: &str) {
    let imported = made(config);
    assert!(
        kinds(&imported, Severity::Error).contains(&kind),
        "{kind} is missing in\n{}",
        imported.report
    );
    assert!(imported.files.is_empty(), "half a distribution is written");
}

#[test]
fn what_cannot_be_written_is_refused() {
    refused(&distribution(&[behaviour("/a", "nowhere")]), "unknown-origin");
    refused(&distribution(&[behaviour("/강의/*", "one")]), "bad-pattern");
    refused(&distribution(&[behaviour("/a b", "one")]), "bad-pattern");
    refused(&distribution(&[behaviour("", "one")]), "bad-pattern");
    refused(
        &distribution(&[behaviour(&"a".repeat(256), "one")]),
        "bad-pattern",
    );
    let encrypted = with(behaviour("/pay", "one"), "/FieldLevelEncryptionId", json!("C1"));
    refused(&distribution(&[encrypted]), "field-level-encryption");
    refused(&changed("/DefaultCacheBehavior", Value::Null), "no-default");
    refused(
        &changed("/Origins/Items/0/DomainName", json!("a b\n[x]")),
        "bad-domain",
    );
    refused(
        &changed("/Origins/Items/0/OriginPath", json!("/a/../b")),
        "bad-path",
    );
    refused(&changed("/Origins/Items/0/OriginPath", json!("a")), "bad-path");
    refused(
        &changed("/Origins/Items/0/CustomOriginConfig/HTTPSPort", json!(70_000)),
        "bad-port",
    );
    refused(&changed("/DefaultRootObject", json!("../x")), "bad-path");
    refused(
        &changed(
            "/Restrictions",
            json!({"GeoRestriction": {"RestrictionType": "greylist", "Items": ["DE"]}}),
        ),
        "bad-geo",
    );
    refused(
        &changed(
            "/Restrictions",
            json!({"GeoRestriction": {"RestrictionType": "whitelist", "Quantity": 0}}),
        ),
        "bad-geo",
    );
    refused(&changed("/Aliases/Items", json!(["a b\"]"])), "bad-alias");
    refused(&changed("/Origins/Items", json!("x")), "bad-shape");
    refused(&json!({"DistributionList": {"Items": []}}), "summary");
    refused(&json!({"hello": 1}), "no-distribution");
    let imported = import(
        Source::CloudFront,
        &[input("{ \"DistributionConfig\": ")],
        &[],
        &Wishes::default(),
    );
    assert_eq!(kinds(&imported, Severity::Error), ["no-json"]);
    let imported = import(Source::Terraform, &[input(SAMPLE)], &[], &Wishes::default());
    assert_eq!(kinds(&imported, Severity::Error), ["no-state"]);
}

#[test]
fn what_is_closed_to_everybody_is_still_told_of_its_order() {
    let signed = with(
        behaviour("/premium/*", "two"),
        "/TrustedKeyGroups",
        json!({"Enabled": true, "Items": ["g"]}),
    );
    let config = distribution(&[behaviour("*.jpg", "one"), signed]);
    let geo = json!({"GeoRestriction": {"RestrictionType": "blacklist", "Quantity": 1, "Items": ["KP"]}});
    let config = with(config, "/DistributionConfig/Restrictions", geo);
    warned(&config, "open-before-protected", "1 `*.jpg`");
    warned(&config, "no-keys", "key group `g`");
}

#[test]
fn an_origin_group_leads_to_two_that_are_there() {
    let group = |members: Value| {
        let config = changed(
            "/OriginGroups",
            json!({"Items": [{"Id": "both",
            "FailoverCriteria": {"StatusCodes": {"Quantity": 2, "Items": [503, 500]}}, "Members": {"Items": members}}]}),
        );
        with(
            config,
            "/DistributionConfig/DefaultCacheBehavior/TargetOriginId",
            json!("both"),
        )
    };
    let imported = made(&group(json!([{"OriginId": "one"}, {"OriginId": "two"}])));
    assert!(
        routes(&imported).contains("failover = { backend = \"two\", on = [500, 503] }"),
        "{}",
        routes(&imported)
    );
    refused(
        &group(json!([{"OriginId": "one"}, {"OriginId": "three"}])),
        "unknown-origin",
    );
    refused(&group(json!([{"OriginId": "one"}])), "bad-group");
}

#[test]
fn encrypted_fields_go_on_in_clear_only_when_that_is_accepted() {
    let encrypted = with(behaviour("/pay", "one"), "/FieldLevelEncryptionId", json!("C1"));
    let wishes = Wishes {
        accepted: vec![Accepted::ClearBodies],
        ..Wishes::default()
    };
    let imported = made_with(&distribution(&[encrypted]), &[], &wishes);
    assert_eq!(kinds(&imported, Severity::Error), [""; 0]);
    assert!(kinds(&imported, Severity::Warning).contains(&"field-level-encryption"));
}

#[test]
fn what_means_less_than_it_did_is_warned_of() {
    let one =
        |key: &str, value: Value| distribution(&[with(behaviour("/a", "one"), &format!("/{key}"), value)]);
    warned(
        &one("CachePolicyId", json!("who-knows")),
        "unknown-policy",
        "cache policy `who-knows`",
    );
    warned(
        &one("OriginRequestPolicyId", json!("who")),
        "unknown-policy",
        "origin request policy `who`",
    );
    warned(
        &one("ResponseHeadersPolicyId", json!("who")),
        "unknown-policy",
        "response headers policy",
    );
    warned(
        &one(
            "FunctionAssociations",
            json!({"Items": [{"FunctionARN": "arn:aws:cloudfront::1:function/ab", "EventType": "viewer-request"}]}),
        ),
        "function",
        "`ab` at viewer-request",
    );
    warned(&one("GrpcConfig", json!({"Enabled": true})), "grpc", "HTTP/2");
    warned(&one("SmoothStreaming", json!(true)), "smooth-streaming", "");
    warned(&one("RealtimeLogConfigArn", json!("arn:x")), "real-time-log", "");
    warned(
        &one("NewThing", json!({"Enabled": true})),
        "not-carried-over",
        "NewThing",
    );
    warned(
        &one("CachePolicyId", json!("658327ea-f89d-4fab-a63d-7e88639e58f6")),
        "min-ttl",
        "1 s",
    );
}

#[test]
fn what_a_distribution_loses_is_warned_of() {
    let unused = made(&distribution(&[]));
    assert_eq!(kinds(&unused, Severity::Note), ["unused-origin"]);
    warned(&changed("/WebACLId", json!("arn:waf")), "web-acl", "gone");
    warned(&changed("/Enabled", json!(false)), "disabled", "");
    warned(&changed("/Staging", json!(true)), "staging", "");
    warned(
        &changed("/ContinuousDeploymentPolicyId", json!("p")),
        "continuous-deployment",
        "",
    );
    warned(&changed("/HttpVersion", json!("http3")), "http3", "");
    warned(
        &changed("/Aliases", json!({"Quantity": 2, "Items": ["*.example.com"]})),
        "deep-alias",
        "*.example.com",
    );
    warned(
        &changed("/Aliases", json!({"Quantity": 2, "Items": ["www.example.com"]})),
        "quantity",
        "Aliases",
    );
    warned(&changed("/Aliases", json!({"Quantity": 0})), "no-alias", "");
    warned(
        &changed("/Logging", json!({"Enabled": true, "Bucket": "b"})),
        "log-bucket",
        "`b`",
    );
    let certificate = |policy: &str| changed("/ViewerCertificate", json!({"MinimumProtocolVersion": policy}));
    warned(&certificate("TLSv1.2_2019"), "old-tls", "TLSv1.2_2019");
    assert!(!kinds(&made(&certificate("TLSv1.2_2021")), Severity::Warning).contains(&"old-tls"));
}

#[test]
fn what_an_origin_loses_is_warned_of() {
    let at_origin = |pointer: &str, value: Value| changed(&format!("/Origins/Items/0{pointer}"), value);
    warned(
        &at_origin(
            "/CustomOriginConfig/OriginSslProtocols",
            json!({"Items": ["TLSv1", "TLSv1.2"]}),
        ),
        "old-tls",
        "TLSv1",
    );
    warned(
        &at_origin("/CustomOriginConfig/OriginProtocolPolicy", json!("match-viewer")),
        "match-viewer",
        "`one`",
    );
    warned(
        &at_origin("/OriginAccessControlId", json!("E2")),
        "unsigned-storage",
        "`one`",
    );
    warned(
        &at_origin("/VpcOriginConfig", json!({"VpcOriginId": "v"})),
        "private-origin",
        "VPC",
    );
    warned(
        &at_origin("/OriginShield", json!({"Enabled": true})),
        "not-carried-over",
        "OriginShield",
    );
    warned(
        &at_origin(
            "/CustomHeaders",
            json!({"Items": [{"HeaderName": "X-Forwarded-Host", "HeaderValue": "s3cr3t"}]}),
        ),
        "fixed-header",
        "X-Forwarded-Host",
    );
}

#[test]
fn error_pages_warn_of_programs_and_are_the_sites_own() {
    let errors = json!({"Items": [
        {"ErrorCode": 404, "ResponsePagePath": "/e.html", "ResponseCode": "200"},
        {"ErrorCode": 403, "ResponsePagePath": "/e.html", "ResponseCode": 200},
        {"ErrorCode": 503, "ResponsePagePath": "/e.html", "ResponseCode": "503"},
        {"ErrorCode": 500, "ResponsePagePath": "", "ResponseCode": ""}]});
    let config = with(
        distribution(&[behaviour("/api/*", "one")]),
        "/DistributionConfig/CustomErrorResponses",
        errors,
    );
    let imported = warned(&config, "error-pages", "`/api/*`");
    let operator = file(&imported, "banyan.toml");
    assert!(
        operator.contains("[[errors]]\nstatus = [404, 403]\npage = \"/e.html\"\nanswer_status = 200\n"),
        "{operator}"
    );
    assert!(
        operator.contains("[[errors]]\nstatus = [503]\npage = \"/e.html\"\n"),
        "{operator}"
    );
}

#[test]
fn a_root_object_that_two_behaviours_may_serve_is_warned_of() {
    let config = |behaviours: &[Value]| {
        with(
            distribution(behaviours),
            "/DistributionConfig/DefaultRootObject",
            json!("index.html"),
        )
    };
    let imported = made(&config(&[behaviour("/a", "two")]));
    assert!(!kinds(&imported, Severity::Warning).contains(&"root-object"));
    assert!(
        routes(&imported).contains("pattern = \"/\"\norder = 20\nbackend = \"one\""),
        "{}",
        routes(&imported)
    );
    warned(&config(&[behaviour("*.html", "two")]), "root-object", "2 `*`");
    let imported = made(&config(&[behaviour("/", "two")]));
    assert_eq!(routes(&imported).matches("pattern = \"/\"").count(), 1);
    let imported = made(&config(&[behaviour("/a", "one"), behaviour("/*", "two")]));
    assert!(
        routes(&imported).contains("pattern = \"/\"\norder = 15\nbackend = \"two\""),
        "{}",
        routes(&imported)
    );
}

#[test]
fn shadows_overlaps_and_missing_parents_are_named_in_pairs() {
    let signed = |pattern: &str| {
        with(
            behaviour(pattern, "two"),
            "/TrustedKeyGroups",
            json!({"Enabled": true, "Items": ["g"]}),
        )
    };
    let both = distribution(&[behaviour("/a/*", "one"), behaviour("/a/*.css", "two")]);
    warned(&both, "shadowed", "2 `/a/*.css` never gets a request: 1 `/a/*`");
    warned(
        &distribution(&[behaviour("/a//b", "two")]),
        "no-path",
        "1 `/a//b`",
    );
    warned(
        &distribution(&[behaviour("*.jp*g", "one"), signed("/premium/*")]),
        "open-before-protected",
        "2 `/premium/*` is protected, but 1 `*.jp*g`",
    );
    let imported = warned(
        &distribution(&[behaviour("/guides/*", "two")]),
        "without-parent",
        "`/guides`, which goes to 2 `*`",
    );
    assert!(!kinds(&imported, Severity::Warning).contains(&"shadowed"));
    for quiet in [
        vec![behaviour("/guides/*", "one")],
        vec![behaviour("/guides", "two"), behaviour("/guides/*", "two")],
        vec![behaviour("/guides*", "two")],
        vec![
            signed("/premium/*"),
            signed("/premium"),
            behaviour("*.jpg", "one"),
        ],
    ] {
        let imported = made(&distribution(&quiet));
        let kinds = kinds(&imported, Severity::Warning);
        assert!(
            !kinds.contains(&"without-parent") && !kinds.contains(&"open-before-protected"),
            "{}",
            imported.report
        );
    }
}
