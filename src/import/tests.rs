//! What is made of distributions: what is refused, what is warned of, what is closed, and that no secret comes out.

use serde_json::{Value, json};

use super::{Accepted, Imported, Input, Source, Wishes, finding::Severity, import, managed, policy::ResponseConfig};

const SAMPLE: &str = include_str!("../../tests/import/cloudfront-sample.json");
const POLICIES: &str = include_str!("../../tests/import/cloudfront-sample-policies.json");
const TERRAFORM: &str = include_str!("../../tests/import/terraform-sample.json");
const KEY_GROUP: &str = "8d2c5c1e-1111-4a5b-9c3d-aaaabbbbcccc";

fn input(text: impl ToString) -> Input {
    Input {
        name: "given.json".to_owned(),
        text: text.to_string(),
    }
}

fn made(config: &Value) -> Imported {
    made_with(config, &[], &Wishes::default())
}

fn made_with(config: &Value, policies: &[Value], wishes: &Wishes) -> Imported {
    let policies: Vec<Input> = policies.iter().map(input).collect();
    import(Source::CloudFront, &[input(config)], &policies, wishes)
}

/// A distribution with these ordered behaviours, `"*"` going to `one` with everything forwarded.
fn distribution(behaviours: &[Value]) -> Value {
    json!({"DistributionConfig": {
        "CallerReference": "x",
        "Aliases": {"Quantity": 1, "Items": ["www.example.com"]},
        "Origins": {"Quantity": 2, "Items": [origin("one"), origin("two")]},
        "DefaultCacheBehavior": behaviour("*", "one"),
        "CacheBehaviors": {"Quantity": behaviours.len(), "Items": behaviours},
    }})
}

fn origin(id: &str) -> Value {
    json!({"Id": id, "DomainName": format!("{id}.example.net"), "OriginPath": "", "CustomHeaders": {"Quantity": 0},
        "CustomOriginConfig": {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"}})
}

fn behaviour(pattern: &str, origin: &str) -> Value {
    json!({"PathPattern": pattern, "TargetOriginId": origin, "ViewerProtocolPolicy": "redirect-to-https",
        "CachePolicyId": "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
        "OriginRequestPolicyId": "216adef6-5c7f-47e4-b989-5492eafa07d3"})
}

fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = if parent.is_empty() { &mut value } else { value.pointer_mut(parent).unwrap() };
    parent[key] = new;
    value
}

/// The same distribution with something else in its config.
fn changed(pointer: &str, new: Value) -> Value {
    with(distribution(&[]), &format!("/DistributionConfig{pointer}"), new)
}

fn kinds(imported: &Imported, severity: Severity) -> Vec<&'static str> {
    let findings = imported.report.findings.iter();
    findings.filter(|one| one.severity == severity).map(|one| one.kind).collect()
}

fn routes(imported: &Imported) -> &str {
    let file = imported.files.iter().find(|(name, _)| name.starts_with("routes/"));
    &file.unwrap_or_else(|| panic!("{}", imported.report)).1
}

fn file<'i>(imported: &'i Imported, name: &str) -> &'i str {
    &imported.files.iter().find(|(known, _)| known == name).unwrap().1
}

#[track_caller]
fn refused(config: &Value, kind: &str) {
    let imported = made(config);
    assert!(kinds(&imported, Severity::Error).contains(&kind), "{kind} is missing in\n{}", imported.report);
    assert!(imported.files.is_empty(), "half a distribution is written");
}

#[track_caller]
fn warned(config: &Value, kind: &str, says: &str) -> Imported {
    let imported = made(config);
    let findings = &imported.report.findings;
    let found = findings
        .iter()
        .any(|one| one.severity == Severity::Warning && one.kind == kind && one.what.contains(says));
    assert!(found, "{kind} with {says:?} is missing in\n{}", imported.report);
    assert!(!imported.files.is_empty(), "{}", imported.report);
    imported
}

// === refused ===

#[test]
fn what_cannot_be_written_is_refused() {
    refused(&distribution(&[behaviour("/a", "nowhere")]), "unknown-origin");
    refused(&distribution(&[behaviour("/강의/*", "one")]), "bad-pattern");
    refused(&distribution(&[behaviour("/a b", "one")]), "bad-pattern");
    refused(&distribution(&[behaviour("", "one")]), "bad-pattern");
    refused(&distribution(&[behaviour(&"a".repeat(256), "one")]), "bad-pattern");
    let encrypted = with(behaviour("/pay", "one"), "/FieldLevelEncryptionId", json!("C1"));
    refused(&distribution(&[encrypted]), "field-level-encryption");
    refused(&changed("/DefaultCacheBehavior", Value::Null), "no-default");
    refused(&changed("/Origins/Items/0/DomainName", json!("a b\n[x]")), "bad-domain");
    refused(&changed("/Origins/Items/0/OriginPath", json!("/a/../b")), "bad-path");
    refused(&changed("/Origins/Items/0/OriginPath", json!("a")), "bad-path");
    refused(&changed("/Origins/Items/0/CustomOriginConfig/HTTPSPort", json!(70_000)), "bad-port");
    refused(&changed("/DefaultRootObject", json!("../x")), "bad-path");
    refused(&changed("/Restrictions", json!({"GeoRestriction": {"RestrictionType": "greylist", "Items": ["DE"]}})), "bad-geo");
    refused(&changed("/Restrictions", json!({"GeoRestriction": {"RestrictionType": "whitelist", "Quantity": 0}})), "bad-geo");
    refused(&changed("/Origins/Items", json!("x")), "bad-shape");
    refused(&json!({"DistributionList": {"Items": []}}), "summary");
    refused(&json!({"hello": 1}), "no-distribution");
    let imported = import(Source::CloudFront, &[input("{ \"DistributionConfig\": ")], &[], &Wishes::default());
    assert_eq!(kinds(&imported, Severity::Error), ["no-json"]);
    let imported = import(Source::Terraform, &[input(SAMPLE)], &[], &Wishes::default());
    assert_eq!(kinds(&imported, Severity::Error), ["no-state"]);
}

#[test]
fn an_origin_group_leads_to_two_that_are_there() {
    let group = |members: Value| {
        let config = changed("/OriginGroups", json!({"Items": [{"Id": "both",
            "FailoverCriteria": {"StatusCodes": {"Quantity": 2, "Items": [503, 500]}}, "Members": {"Items": members}}]}));
        with(config, "/DistributionConfig/DefaultCacheBehavior/TargetOriginId", json!("both"))
    };
    let imported = made(&group(json!([{"OriginId": "one"}, {"OriginId": "two"}])));
    assert!(routes(&imported).contains("failover = { backend = \"two\", on = [500, 503] }"), "{}", routes(&imported));
    refused(&group(json!([{"OriginId": "one"}, {"OriginId": "three"}])), "unknown-origin");
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

// === warned of ===

#[test]
fn what_means_less_than_it_did_is_warned_of() {
    let one = |key: &str, value: Value| distribution(&[with(behaviour("/a", "one"), &format!("/{key}"), value)]);
    warned(&one("CachePolicyId", json!("who-knows")), "unknown-policy", "cache policy `who-knows`");
    warned(&one("OriginRequestPolicyId", json!("who")), "unknown-policy", "origin request policy `who`");
    warned(&one("ResponseHeadersPolicyId", json!("who")), "unknown-policy", "response headers policy");
    warned(&one("FunctionAssociations", json!({"Items": [{"FunctionARN": "arn:aws:cloudfront::1:function/ab", "EventType": "viewer-request"}]})),
        "function", "`ab` at viewer-request");
    warned(&one("GrpcConfig", json!({"Enabled": true})), "grpc", "HTTP/2");
    warned(&one("SmoothStreaming", json!(true)), "smooth-streaming", "");
    warned(&one("RealtimeLogConfigArn", json!("arn:x")), "real-time-log", "");
    warned(&one("NewThing", json!({"Enabled": true})), "not-carried-over", "NewThing");
    warned(&one("CachePolicyId", json!("658327ea-f89d-4fab-a63d-7e88639e58f6")), "min-ttl", "1 s");
    let unused = made(&distribution(&[]));
    assert_eq!(kinds(&unused, Severity::Note), ["unused-origin"]);
    warned(&changed("/WebACLId", json!("arn:waf")), "web-acl", "gone");
    warned(&changed("/Enabled", json!(false)), "disabled", "");
    warned(&changed("/Staging", json!(true)), "staging", "");
    warned(&changed("/ContinuousDeploymentPolicyId", json!("p")), "continuous-deployment", "");
    warned(&changed("/HttpVersion", json!("http3")), "http3", "");
    warned(&changed("/Aliases", json!({"Quantity": 2, "Items": ["*.example.com"]})), "deep-alias", "*.example.com");
    warned(&changed("/Aliases", json!({"Quantity": 2, "Items": ["www.example.com"]})), "quantity", "Aliases");
    warned(&changed("/Aliases", json!({"Quantity": 0})), "no-alias", "");
    warned(&changed("/Logging", json!({"Enabled": true, "Bucket": "b"})), "log-bucket", "`b`");
    let certificate = |policy: &str| changed("/ViewerCertificate", json!({"MinimumProtocolVersion": policy}));
    warned(&certificate("TLSv1.2_2019"), "old-tls", "TLSv1.2_2019");
    assert!(!kinds(&made(&certificate("TLSv1.2_2021")), Severity::Warning).contains(&"old-tls"));
    let at_origin = |pointer: &str, value: Value| changed(&format!("/Origins/Items/0{pointer}"), value);
    warned(&at_origin("/CustomOriginConfig/OriginSslProtocols", json!({"Items": ["TLSv1", "TLSv1.2"]})), "old-tls", "TLSv1");
    warned(&at_origin("/CustomOriginConfig/OriginProtocolPolicy", json!("match-viewer")), "match-viewer", "`one`");
    warned(&at_origin("/OriginAccessControlId", json!("E2")), "unsigned-storage", "`one`");
    warned(&at_origin("/VpcOriginConfig", json!({"VpcOriginId": "v"})), "private-origin", "VPC");
    warned(&at_origin("/OriginShield", json!({"Enabled": true})), "not-carried-over", "OriginShield");
    warned(&at_origin("/CustomHeaders", json!({"Items": [{"HeaderName": "X-Forwarded-Host", "HeaderValue": "s3cr3t"}]})),
        "fixed-header", "X-Forwarded-Host");
}

#[test]
fn error_pages_warn_of_programs_and_are_the_sites_own() {
    let errors = json!({"Items": [
        {"ErrorCode": 404, "ResponsePagePath": "/e.html", "ResponseCode": "200"},
        {"ErrorCode": 403, "ResponsePagePath": "/e.html", "ResponseCode": 200},
        {"ErrorCode": 503, "ResponsePagePath": "/e.html", "ResponseCode": "503"},
        {"ErrorCode": 500, "ResponsePagePath": "", "ResponseCode": ""}]});
    let config = with(distribution(&[behaviour("/api/*", "one")]), "/DistributionConfig/CustomErrorResponses", errors);
    let imported = warned(&config, "error-pages", "`/api/*`");
    let operator = file(&imported, "banyan.toml");
    assert!(operator.contains("[[errors]]\nstatus = [404, 403]\npage = \"/e.html\"\nanswer_status = 200\n"), "{operator}");
    assert!(operator.contains("[[errors]]\nstatus = [503]\npage = \"/e.html\"\n"), "{operator}");
}

#[test]
fn a_root_object_that_two_behaviours_may_serve_is_warned_of() {
    let config = |behaviours: &[Value]| {
        with(distribution(behaviours), "/DistributionConfig/DefaultRootObject", json!("index.html"))
    };
    let imported = made(&config(&[behaviour("/a", "two")]));
    assert!(!kinds(&imported, Severity::Warning).contains(&"root-object"));
    assert!(routes(&imported).contains("pattern = \"/\"\norder = 20\nbackend = \"one\""), "{}", routes(&imported));
    warned(&config(&[behaviour("*.html", "two")]), "root-object", "2 `*`");
    let imported = made(&config(&[behaviour("/", "two")]));
    assert_eq!(routes(&imported).matches("pattern = \"/\"").count(), 1);
    let imported = made(&config(&[behaviour("/a", "one"), behaviour("/*", "two")]));
    assert!(routes(&imported).contains("pattern = \"/\"\norder = 15\nbackend = \"two\""), "{}", routes(&imported));
}

// === behaviours beside each other ===

#[test]
fn shadows_overlaps_and_missing_parents_are_named_in_pairs() {
    let signed = |pattern: &str| {
        with(behaviour(pattern, "two"), "/TrustedKeyGroups", json!({"Enabled": true, "Items": ["g"]}))
    };
    let both = distribution(&[behaviour("/a/*", "one"), behaviour("/a/*.css", "two")]);
    warned(&both, "shadowed", "2 `/a/*.css` never gets a request: 1 `/a/*`");
    warned(&distribution(&[behaviour("/a//b", "two")]), "no-path", "1 `/a//b`");
    warned(&distribution(&[behaviour("*.jp*g", "one"), signed("/premium/*")]), "open-before-protected", "2 `/premium/*` is protected, but 1 `*.jp*g`");
    let imported = warned(&distribution(&[behaviour("/guides/*", "two")]), "without-parent", "`/guides`, which goes to 2 `*`");
    assert!(!kinds(&imported, Severity::Warning).contains(&"shadowed"));
    for quiet in [
        vec![behaviour("/guides/*", "one")],
        vec![behaviour("/guides", "two"), behaviour("/guides/*", "two")],
        vec![behaviour("/guides*", "two")],
        vec![signed("/premium/*"), signed("/premium"), behaviour("*.jpg", "one")],
    ] {
        let imported = made(&distribution(&quiet));
        let kinds = kinds(&imported, Severity::Warning);
        assert!(!kinds.contains(&"without-parent") && !kinds.contains(&"open-before-protected"), "{}", imported.report);
    }
}

// === closed ===

#[test]
fn protected_content_is_closed_until_there_are_keys() {
    let signed = with(behaviour("/v/*", "one"), "/TrustedKeyGroups", json!({"Enabled": true, "Items": [KEY_GROUP]}));
    let config = distribution(&[signed]);
    let imported = warned(&config, "no-keys", KEY_GROUP);
    let group = format!("key-group-{KEY_GROUP}");
    assert!(routes(&imported).contains(&format!("[routes.signed]\nkeys = [\"{group}\"]\n")));
    assert!(file(&imported, "banyan.toml").contains(&format!("[key_groups.{group}]\n")));

    let pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n";
    let policies = [
        json!({"KeyGroup": {"Id": KEY_GROUP, "KeyGroupConfig": {"Name": "videos", "Items": ["K2JCJMDEHXQW5F"]}}}),
        json!({"PublicKey": {"Id": "K2JCJMDEHXQW5F", "PublicKeyConfig": {"EncodedKey": pem}}}),
    ];
    let imported = made_with(&config, &policies, &Wishes::default());
    assert!(!kinds(&imported, Severity::Warning).contains(&"no-keys"), "{}", imported.report);
    assert!(file(&imported, "banyan.toml").contains("[key_groups.videos]\nK2JCJMDEHXQW5F = \"keys/K2JCJMDEHXQW5F.pem\"\n"));
    assert_eq!(file(&imported, "keys/K2JCJMDEHXQW5F.pem"), pem);

    let private = json!({"PublicKey": {"Id": "K2JCJMDEHXQW5F", "PublicKeyConfig": {"EncodedKey": "-----BEGIN PRIVATE KEY-----\nAAAA"}}});
    let imported = made_with(&config, &[policies[0].clone(), private], &Wishes::default());
    assert!(kinds(&imported, Severity::Warning).contains(&"no-keys"));
    assert!(!format!("{imported:?}").contains("AAAA"));

    for odd in [
        json!({"TrustedSigners": {"Enabled": true, "Items": ["self"]}}),
        json!({"TrustedSigners": {"Enabled": true, "Quantity": 0}}),
        json!({"TrustedKeyGroups": {"Enabled": false, "Items": ["g"]}}),
        json!({"TrustedKeyGroups": {"Enabled": true}}),
    ] {
        let mut one = behaviour("/v/*", "one");
        one.as_object_mut().unwrap().append(&mut odd.as_object().unwrap().clone());
        let imported = made(&distribution(&[one]));
        assert!(routes(&imported).contains("[routes.signed]\nkeys = [\""), "{odd} is open");
    }
}

#[test]
fn what_cannot_be_told_apart_is_closed_to_everybody() {
    let geo = |kind: &str| changed("/Restrictions", json!({"GeoRestriction": {"RestrictionType": kind, "Quantity": 2, "Items": ["de", "AT"]}}));
    let imported = warned(&geo("whitelist"), "countries", "everybody gets 403");
    assert!(routes(&imported).contains("[routes.signed]\nkeys = [\"nobody\"]\n") && !routes(&imported).contains("[routes.geo]"));
    assert!(file(&imported, "banyan.toml").contains("[key_groups.nobody]\n"));

    let wishes = Wishes {
        geo_database: Some("GeoLite2-City.mmdb".to_owned()),
        ..Wishes::default()
    };
    let imported = made_with(&geo("whitelist"), &[], &wishes);
    assert!(routes(&imported).contains("[routes.geo]\nallow = [\"AT\", \"DE\"]\n") && !routes(&imported).contains("signed"));
    assert!(file(&imported, "banyan.toml").contains("[geo]\ndatabase = \"GeoLite2-City.mmdb\"\n"));
    let imported = made_with(&geo("blacklist"), &[], &wishes);
    assert!(routes(&imported).contains("[routes.geo]\ndeny = [\"AT\", \"DE\"]\n"));

    let wishes = Wishes {
        accepted: vec![Accepted::EveryCountry, Accepted::NoClientCertificate],
        ..Wishes::default()
    };
    let imported = made_with(&geo("whitelist"), &[], &wishes);
    assert!(!routes(&imported).contains("signed") && kinds(&imported, Severity::Warning).contains(&"countries"));

    let mtls = changed("/ViewerMtlsConfig", json!({"Mode": "required"}));
    assert!(routes(&warned(&mtls, "client-certificates", "403")).contains("keys = [\"nobody\"]"));
    assert!(!routes(&made_with(&mtls, &[], &wishes)).contains("nobody"));
}

#[test]
fn unknown_policies_forward_nothing() {
    let unknown = with(behaviour("/a", "one"), "/CachePolicyId", json!("who-knows"));
    let unknown = with(unknown, "/OriginRequestPolicyId", json!("who-knows"));
    let imported = made(&distribution(&[unknown]));
    assert!(
        routes(&imported).contains("headers = { only = [\"If-None-Match\"] }\ncookies = \"none\"\nquery = \"none\"\n"),
        "{}",
        routes(&imported)
    );
}

// === secrets, and what could break out of its place ===

#[test]
fn no_secret_comes_out() {
    for value in [json!("s3cr3t-9f1"), json!(["s3cr3t-9f1"]), json!({"x": "s3cr3t-9f1"})] {
        let header = json!({"Quantity": 1, "Items": [{"HeaderName": "X-Verify", "HeaderValue": value}]});
        let imported = made(&changed("/Origins/Items/0/CustomHeaders", header));
        let json = serde_json::to_string(&imported.report).unwrap();
        for text in [format!("{imported:?}"), imported.report.to_string(), json] {
            assert!(!text.contains("s3cr3t"), "{text}");
        }
        assert!(routes(&imported).contains("headers = { X-Verify = \"${X_VERIFY}\" }"), "{}", routes(&imported));
        assert!(file(&imported, ".env.example").contains("\nX_VERIFY=\n"));
    }
}

#[test]
fn one_value_has_one_variable_and_two_values_have_two() {
    let header = |value: &str| json!({"Items": [{"HeaderName": "X-Verify", "HeaderValue": value}]});
    let config = |second: &str| {
        let config = distribution(&[behaviour("/a", "two")]);
        let config = with(config, "/DistributionConfig/Origins/Items/0/CustomHeaders", header("a"));
        with(config, "/DistributionConfig/Origins/Items/1/CustomHeaders", header(second))
    };
    assert_eq!(made(&config("a")).report.variables, ["X_VERIFY"]);
    assert_eq!(made(&config("b")).report.variables, ["ONE_X_VERIFY", "TWO_X_VERIFY"]);
}

#[test]
fn texts_stay_what_they_are() {
    let policy = json!({"ResponseHeadersPolicy": {"Id": "p", "ResponseHeadersPolicyConfig": {"Name": "n\n[[routes]]",
        "CustomHeadersConfig": {"Items": [
            {"Header": "X-Odd", "Value": "a\"b\\c ${HOME} #", "Override": true},
            {"Header": "Set-Cookie", "Value": "a=b", "Override": true}]}}}});
    let one = with(behaviour("/a\"b", "one"), "/ResponseHeadersPolicyId", json!("p"));
    let config = with(distribution(&[one]), "/DistributionConfig/Comment", json!("x\n[key_groups.y]\u{1b}[31m"));
    let imported = made_with(&config, &[policy], &Wishes::default());
    let routes = routes(&imported);
    assert!(routes.contains("set = { X-Odd = \"a\\\"b\\\\c $${HOME} #\" }"), "{routes}");
    assert!(routes.contains("pattern = \"/a\\\"b\""), "{routes}");
    assert!(!routes.lines().any(|line| line.starts_with("[key_groups")), "{routes}");
    assert_eq!(routes.lines().filter(|line| *line == "[[routes]]").count(), 2);
    assert!(!imported.report.to_string().contains('\u{1b}'));
    assert!(kinds(&imported, Severity::Warning).contains(&"fixed-header"));
}

// === shapes ===

#[test]
fn both_ways_to_print_a_distribution_are_read() {
    let config: Value = serde_json::from_str(SAMPLE).unwrap();
    let whole = json!({"ETag": "E", "Distribution": {"Id": "E123", "DomainName": "d1.cloudfront.net", "Status": "Deployed",
        "DistributionConfig": config["DistributionConfig"]}});
    let wishes = Wishes::default();
    let policies = [input(POLICIES)];
    let texts = [SAMPLE.to_owned(), whole.to_string(), config["DistributionConfig"].to_string()];
    let all = texts.map(|text| import(Source::CloudFront, &[input(text)], &policies, &wishes));
    assert_eq!(all[0].files, all[1].files);
    assert_eq!(all[0].files, all[2].files);
}

#[test]
fn terraform_says_the_same() {
    let wishes = Wishes {
        geo_database: Some("GeoLite2-City.mmdb".to_owned()),
        ..Wishes::default()
    };
    let of_aws = import(Source::CloudFront, &[input(SAMPLE)], &[input(POLICIES)], &wishes);
    let of_terraform = import(Source::Terraform, &[input(TERRAFORM)], &[], &wishes);
    for ((name, one), (_, other)) in of_aws.files.iter().zip(&of_terraform.files) {
        assert_eq!(one, other, "{name}");
    }
    assert_eq!(of_aws.report.to_string(), of_terraform.report.to_string());
}

#[test]
fn aliases_tell_distributions_apart() {
    let second = with(distribution(&[behaviour("/b", "two")]), "/DistributionConfig/Aliases", json!({"Items": ["b.example.com"]}));
    let inputs = [input(distribution(&[behaviour("/a", "one")])), input(&second)];
    let imported = import(Source::CloudFront, &inputs, &[], &Wishes::default());
    let names: Vec<&str> = imported.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["banyan.toml", "routes/www-example-com.toml", "routes/b-example-com.toml"]);
    assert!(file(&imported, names[1]).contains("order = 10\nhosts = [\"www.example.com\"]"));
    assert!(file(&imported, names[2]).contains("order = 20\nhosts = [\"b.example.com\"]\nbackend = \"two\""), "{}", file(&imported, names[2]));
    assert!(file(&imported, names[2]).contains("[backends.one-2]"));
    assert!(file(&imported, names[0]).contains("hosts = [\"www.example.com\", \"b.example.com\"]"));
    let same = import(Source::CloudFront, &[inputs[0].clone(), inputs[0].clone()], &[], &Wishes::default());
    assert_eq!(kinds(&same, Severity::Error), ["same-host"]);
}

#[test]
fn managed_policies_can_be_read() {
    for (id, name, text) in managed::RESPONSE {
        let config: Result<ResponseConfig, _> = serde_json::from_str(text);
        assert!(config.is_ok(), "{id} {name}: {config:?}");
    }
}
