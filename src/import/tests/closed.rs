//! What is closed until somebody opens it, and what never comes out.

use serde_json::json;

use super::{behaviour, changed, distribution, file, kinds, made, made_with, routes, warned, with};
use crate::import::{Accepted, Wishes, checked_tests::PEM, finding::Severity};

const KEY_GROUP: &str = "8d2c5c1e-1111-4a5b-9c3d-aaaabbbbcccc";

#[test]
fn protected_content_is_closed_until_there_are_keys() {
    let signed = with(
        behaviour("/v/*", "one"),
        "/TrustedKeyGroups",
        json!({"Enabled": true, "Items": [KEY_GROUP]}),
    );
    let config = distribution(&[signed]);
    let imported = warned(&config, "no-keys", KEY_GROUP);
    let group = format!("key-group-{KEY_GROUP}");
    assert!(routes(&imported).contains(&format!("[routes.signed]\nkeys = [\"{group}\"]\n")));
    assert!(file(&imported, "banyan.toml").contains(&format!("[key_groups.{group}]\n")));

    let pem = PEM;
    let policies = [
        json!({"KeyGroup": {"Id": KEY_GROUP, "KeyGroupConfig": {"Name": "videos", "Items": ["K2JCJMDEHXQW5F"]}}}),
        json!({"PublicKey": {"Id": "K2JCJMDEHXQW5F", "PublicKeyConfig": {"EncodedKey": pem}}}),
    ];
    let imported = made_with(&config, &policies, &Wishes::default());
    assert!(
        !kinds(&imported, Severity::Warning).contains(&"no-keys"),
        "{}",
        imported.report
    );
    assert!(
        file(&imported, "banyan.toml")
            .contains("[key_groups.videos]\nK2JCJMDEHXQW5F = \"keys/K2JCJMDEHXQW5F.pem\"\n")
    );
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
        one.as_object_mut()
            .unwrap()
            .append(&mut odd.as_object().unwrap().clone());
        let imported = made(&distribution(&[one]));
        assert!(
            routes(&imported).contains("[routes.signed]\nkeys = [\""),
            "{odd} is open"
        );
    }
}

#[test]
fn what_cannot_be_told_apart_is_closed_to_everybody() {
    let geo = |kind: &str| {
        changed(
            "/Restrictions",
            json!({"GeoRestriction": {"RestrictionType": kind, "Quantity": 2, "Items": ["de", "AT"]}}),
        )
    };
    let imported = warned(&geo("whitelist"), "countries", "everybody gets 403");
    assert!(
        routes(&imported).contains("[routes.signed]\nkeys = [\"nobody\"]\n")
            && !routes(&imported).contains("[routes.geo]")
    );
    assert!(file(&imported, "banyan.toml").contains("[key_groups.nobody]\n"));

    let wishes = Wishes {
        geo_database: Some("GeoLite2-City.mmdb".to_owned()),
        ..Wishes::default()
    };
    let imported = made_with(&geo("whitelist"), &[], &wishes);
    assert!(
        routes(&imported).contains("[routes.geo]\nallow = [\"AT\", \"DE\"]\n")
            && !routes(&imported).contains("signed")
    );
    assert!(file(&imported, "banyan.toml").contains("[geo]\ndatabase = \"GeoLite2-City.mmdb\"\n"));
    let imported = made_with(&geo("blacklist"), &[], &wishes);
    assert!(routes(&imported).contains("[routes.geo]\ndeny = [\"AT\", \"DE\"]\n"));

    let wishes = Wishes {
        accepted: vec![Accepted::EveryCountry, Accepted::NoClientCertificate],
        ..Wishes::default()
    };
    let imported = made_with(&geo("whitelist"), &[], &wishes);
    assert!(
        !routes(&imported).contains("signed") && kinds(&imported, Severity::Warning).contains(&"countries")
    );

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
        routes(&imported)
            .contains("headers = { only = [\"If-None-Match\"] }\ncookies = \"none\"\nquery = \"none\"\n"),
        "{}",
        routes(&imported)
    );
}

#[test]
fn no_secret_comes_out() {
    for value in [
        json!("s3cr3t-9f1"),
        json!(["s3cr3t-9f1"]),
        json!({"x": "s3cr3t-9f1"}),
    ] {
        let header = json!({"Quantity": 1, "Items": [{"HeaderName": "X-Verify", "HeaderValue": value}]});
        let imported = made(&changed("/Origins/Items/0/CustomHeaders", header));
        let json = serde_json::to_string(&imported.report).unwrap();
        for text in [format!("{imported:?}"), imported.report.to_string(), json] {
            assert!(!text.contains("s3cr3t"), "{text}");
        }
        assert!(
            routes(&imported).contains("headers = { X-Verify = \"${X_VERIFY}\" }"),
            "{}",
            routes(&imported)
        );
        assert!(file(&imported, ".env.example").contains("\nX_VERIFY=\n"));
    }
}

#[test]
fn one_value_has_one_variable_and_two_values_have_two() {
    let header = |value: &str| json!({"Items": [{"HeaderName": "X-Verify", "HeaderValue": value}]});
    let config = |second: &str| {
        let config = distribution(&[behaviour("/a", "two")]);
        let config = with(
            config,
            "/DistributionConfig/Origins/Items/0/CustomHeaders",
            header("a"),
        );
        with(
            config,
            "/DistributionConfig/Origins/Items/1/CustomHeaders",
            header(second),
        )
    };
    assert_eq!(made(&config("a")).report.variables, ["X_VERIFY"]);
    assert_eq!(
        made(&config("b")).report.variables,
        ["ONE_X_VERIFY", "TWO_X_VERIFY"]
    );
}

#[test]
fn texts_stay_what_they_are() {
    let policy = json!({"ResponseHeadersPolicy": {"Id": "p", "ResponseHeadersPolicyConfig": {"Name": "n\n[[routes]]",
        "CustomHeadersConfig": {"Items": [
            {"Header": "X-Odd", "Value": "a\"b\\c ${HOME} #", "Override": true},
            {"Header": "Set-Cookie", "Value": "a=b", "Override": true}]}}}});
    let one = with(behaviour("/a\"b", "one"), "/ResponseHeadersPolicyId", json!("p"));
    let config = with(
        distribution(&[one]),
        "/DistributionConfig/Comment",
        json!("x\n[key_groups.y]\u{1b}[31m"),
    );
    let imported = made_with(&config, &[policy], &Wishes::default());
    let routes = routes(&imported);
    assert!(
        routes.contains("set = { X-Odd = \"a\\\"b\\\\c $${HOME} #\" }"),
        "{routes}"
    );
    assert!(routes.contains("pattern = \"/a\\\"b\""), "{routes}");
    assert!(
        !routes.lines().any(|line| line.starts_with("[key_groups")),
        "{routes}"
    );
    assert_eq!(routes.lines().filter(|line| *line == "[[routes]]").count(), 2);
    assert!(!imported.report.to_string().contains('\u{1b}'));
    assert!(kinds(&imported, Severity::Warning).contains(&"fixed-header"));
}

/// What somebody cut or left half is closed, not open.
#[test]
fn half_a_protection_is_a_whole_one() {
    for odd in [
        json!({"Enabled": false, "Quantity": 1}),
        json!({"Quantity": 2, "Items": ["g"]}),
    ] {
        let one = with(behaviour("/v/*", "one"), "/TrustedKeyGroups", odd.clone());
        let imported = made(&distribution(&[one]));
        assert!(
            routes(&imported).contains("[routes.signed]\nkeys = [\""),
            "{odd} is open"
        );
    }
    let untyped = changed("/Restrictions", json!({"GeoRestriction": {"Items": ["AT"]}}));
    assert_eq!(kinds(&made(&untyped), Severity::Error), ["bad-geo"]);
    let nowhere = changed(
        "/Restrictions",
        json!({"GeoRestriction": {"RestrictionType": "whitelist", "Items": ["UK"]}}),
    );
    assert_eq!(kinds(&made(&nowhere), Severity::Error), ["bad-geo"]);
    let mtls = changed("/ViewerMtlsConfig", json!({"TrustStoreConfig": {}}));
    assert!(routes(&made(&mtls)).contains("keys = [\"nobody\"]"));
}

/// A secret that stands where something else should is in no error.
#[test]
fn no_error_tells_a_value() {
    for (pointer, value, place) in [
        (
            "/Origins/Items/0/CustomHeaders",
            json!("s3cr3t-9f1"),
            "/Origins/Items/0/CustomHeaders",
        ),
        (
            "/Origins/Items/1/CustomHeaders",
            json!({"Items": ["s3cr3t-9f1"]}),
            "/Origins/Items/1/CustomHeaders/Items/0",
        ),
        (
            "/Origins/Items/1/ConnectionTimeout",
            json!("s3cr3t-9f1"),
            "/Origins/Items/1/ConnectionTimeout",
        ),
        (
            "/DefaultCacheBehavior/Compress",
            json!("s3cr3t-9f1\", expected"),
            "/DefaultCacheBehavior/Compress",
        ),
    ] {
        let imported = made(&changed(pointer, value));
        let told = imported.report.to_string();
        assert!(!told.contains("s3cr3t") && imported.files.is_empty(), "{told}");
        assert!(
            told.contains(&format!(
                "given.json\n  [1] error bad-shape: the distribution can't be read at {place}: "
            )),
            "{told}"
        );
    }
}
