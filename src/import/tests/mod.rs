//! What is made of distributions, in every shape that they are printed in.

mod attacks;
mod closed;
mod findings;
mod kept;

use serde_json::{Value, json};

use super::{Imported, Input, Source, Wishes, finding::Severity, import, managed, policy::ResponseConfig};

const SAMPLE: &str = include_str!("../../../tests/import/cloudfront-sample.json");
const POLICIES: &str = include_str!("../../../tests/import/cloudfront-sample-policies.json");
const TERRAFORM: &str = include_str!("../../../tests/import/terraform-sample.json");

fn input(text: &(impl ToString + ?Sized)) -> Input {
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
    let parent = if parent.is_empty() {
        &mut value
    } else {
        value.pointer_mut(parent).unwrap()
    };
    parent[key] = new;
    value
}

/// The same distribution with something else in its config.
fn changed(pointer: &str, new: Value) -> Value {
    with(distribution(&[]), &format!("/DistributionConfig{pointer}"), new)
}

fn kinds(imported: &Imported, severity: Severity) -> Vec<&'static str> {
    let findings = imported.report.findings.iter();
    findings
        .filter(|one| one.severity == severity)
        .map(|one| one.kind)
        .collect()
}

fn routes(imported: &Imported) -> &str {
    let file = imported
        .files
        .iter()
        .find(|(name, _)| name.starts_with("routes/"));
    &file.unwrap_or_else(|| panic!("{}", imported.report)).1
}

fn file<'i>(imported: &'i Imported, name: &str) -> &'i str {
    &imported.files.iter().find(|(known, _)| known == name).unwrap().1
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

#[test]
fn both_ways_to_print_a_distribution_are_read() {
    let config: Value = serde_json::from_str(SAMPLE).unwrap();
    let whole = json!({"ETag": "E", "Distribution": {"Id": "E123", "DomainName": "d1.cloudfront.net", "Status": "Deployed",
        "DistributionConfig": config["DistributionConfig"]}});
    let wishes = Wishes::default();
    let policies = [input(POLICIES)];
    let texts = [
        SAMPLE.to_owned(),
        whole.to_string(),
        config["DistributionConfig"].to_string(),
    ];
    let all = texts.map(|text| import(Source::CloudFront, &[input(&text)], &policies, &wishes));
    assert_eq!(all[0].files, all[1].files);
    assert_eq!(all[0].files, all[2].files);
}

#[test]
fn documents_one_after_another_are_all_read() {
    let policies: Value = serde_json::from_str(POLICIES).unwrap();
    let mut appended = String::new();
    for (kind, one) in [
        ("CachePolicies", "CachePolicy"),
        ("OriginRequestPolicies", "OriginRequestPolicy"),
        ("ResponseHeadersPolicies", "ResponseHeadersPolicy"),
    ] {
        let printed = json!({"ETag": "E", one: policies[kind][0][one]});
        appended.push_str(&format!("{printed:#}\n"));
    }
    let import = |policies: &str| {
        import(
            Source::CloudFront,
            &[input(SAMPLE)],
            &[input(policies)],
            &Wishes::default(),
        )
    };
    assert_eq!(import(POLICIES).files, import(&appended).files);
    assert!(!kinds(&import(&appended), Severity::Warning).contains(&"unknown-policy"));
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
    let second = with(
        distribution(&[behaviour("/b", "two")]),
        "/DistributionConfig/Aliases",
        json!({"Items": ["b.example.com"]}),
    );
    let inputs = [input(&distribution(&[behaviour("/a", "one")])), input(&second)];
    let imported = import(Source::CloudFront, &inputs, &[], &Wishes::default());
    let names: Vec<&str> = imported.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "banyan.toml",
            "routes/www-example-com.toml",
            "routes/b-example-com.toml"
        ]
    );
    assert!(file(&imported, names[1]).contains("order = 10\nhosts = [\"www.example.com\"]"));
    assert!(
        file(&imported, names[2]).contains("order = 20\nhosts = [\"b.example.com\"]\nbackend = \"two\""),
        "{}",
        file(&imported, names[2])
    );
    assert!(file(&imported, names[2]).contains("[backends.one-2]"));
    assert!(file(&imported, names[0]).contains("hosts = [\"www.example.com\", \"b.example.com\"]"));
    let same = import(
        Source::CloudFront,
        &[inputs[0].clone(), inputs[0].clone()],
        &[],
        &Wishes::default(),
    );
    assert_eq!(kinds(&same, Severity::Error), ["same-host"]);
}

#[test]
fn the_managed_security_policy_is_the_preset() {
    let one = with(
        behaviour("/a", "one"),
        "/ResponseHeadersPolicyId",
        json!("67f7725c-6f97-4210-82d7-5512b31e9d03"),
    );
    let imported = made(&distribution(&[one]));
    assert!(
        routes(&imported).contains("[routes.response]\nsecurity = \"standard\"\n"),
        "{}",
        routes(&imported)
    );
    assert!(!routes(&imported).contains("hsts"));
}

#[test]
fn managed_policies_can_be_read() {
    for (id, name, text) in managed::RESPONSE {
        let config: Result<ResponseConfig, _> = serde_json::from_str(text);
        assert!(config.is_ok(), "{id} {name}: {config:?}");
    }
}
