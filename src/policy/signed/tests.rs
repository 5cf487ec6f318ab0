//! Resources and wildcards, parameters, policies and keys: each piece alone. `tests/tables/signed` has the attacks on the whole.

use super::{
    Address, Asked, BadGrant, BadKey, Grant, PublicKey, Unsigned,
    presented::{Presented, without_parameters},
    resource::wild,
};
use crate::clock::UnixTime;

const fn address<'a>(path: &'a str, received: &'a str, query: Option<&'a str>) -> Address<'a> {
    Address {
        host: "www.example.com",
        path,
        received,
        query,
    }
}

/// A resource, a target and whether the one takes the other.
#[track_caller]
fn check(resource: &str, target: &str, expected: bool) {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let address = address(path, path, query);
    assert_eq!(address.is_in(resource), expected, "{resource} {target}");
}

#[test]
fn resources_take_addresses_part_by_part() {
    check("https://www.example.com/videos/a.mp4", "/videos/a.mp4", true);
    check("https://www.example.com/videos/a.mp4", "/videos/b.mp4", false);
    check("http*://www.example.com/videos/*", "/videos/a.mp4", true);
    check("http://www.example.com/videos/*", "/videos/a.mp4", false);
    check("*", "/videos/a.mp4?x=1", true);
    check("https://*", "/videos/a.mp4?x=1", true);
    check("https://www.example.com", "/", false);
    check("https://www.example.com*", "/videos", true);
    check("https://*.example.com/videos/?.mp4", "/videos/a.mp4", true);
    check("https://*.example.com/videos/?.mp4", "/videos/ab.mp4", false);
    check("*/videos/*.mp4", "/videos/a.mp4", true);
    check("/videos/*", "/videos/a.mp4", false);
    check("", "/", false);
    // A `*` for a host is for no path.
    check("https://*/free/*", "/paid/free/a.mp4", false);
    check(
        "*://www.example.com/free/*",
        "/paid/:/www.example.com/free/a",
        false,
    );
}

#[test]
fn a_query_is_only_what_a_resource_says_of_queries() {
    check("https://www.example.com/videos/*", "/videos/a.mp4?q=1", true);
    check("https://www.example.com/a.mp4?q=1", "/a.mp4?q=1", true);
    check("https://www.example.com/a.mp4?q=*", "/a.mp4?q=12&r=3", true);
    check("https://www.example.com/a.mp4?q=1", "/a.mp4?q=12", false);
    check("https://www.example.com/a.mp4?q=1", "/a.mp4", false);
    check("https://www.example.com/a.mp4", "/a.mp4?q=1", false);
    check("https://www.example.com/a.mp4*", "/a.mp4?q=1", true);
    // What stands in a query opens no path.
    check("https://www.example.com/*.jpg", "/a.mp4?x=.jpg", false);
    check(
        "https://www.example.com/*.jpg?size=*",
        "/a.mp4?x=.jpg?size=1",
        false,
    );
    check("https://www.example.com/*/free/*", "/paid?x=/free/", false);
    // The parameters of a signature don't count.
    check(
        "https://www.example.com/a.mp4",
        "/a.mp4?Expires=1&Signature=x",
        true,
    );
    check(
        "https://www.example.com/a.mp4?q=1",
        "/a.mp4?Policy=1&q=1&Key-Pair-Id=K",
        true,
    );
}

#[test]
fn another_spelling_counts_only_as_it_was_signed() {
    let spelt = |path, received| address(path, received, None).spelt();
    assert_eq!(spelt("/a/b", "/a/b"), "https://www.example.com/a/b");
    assert_eq!(
        spelt("/caf%C3%A9", "/caf%c3%a9"),
        "https://www.example.com/caf%c3%a9"
    );
    for received in ["/a/../b", "/./b", "//b", "/b/."] {
        assert_eq!(spelt("/b", received), "https://www.example.com/b", "{received}");
    }
    let takes = |resource, path, received| address(path, received, None).is_in(resource);
    assert!(takes(
        "https://www.example.com/caf%c3%a9",
        "/caf%C3%A9",
        "/caf%c3%a9"
    ));
    assert!(takes(
        "https://www.example.com/caf%C3*",
        "/caf%C3%A9",
        "/caf%c3%a9"
    ));
    assert!(!takes(
        "https://www.example.com/caf%c3*",
        "/caf%C3%A9",
        "/caf%c3%a9"
    ));
    assert!(!takes("https://www.example.com/free/*", "/paid", "/free/../paid"));
    assert!(!takes(
        "https://www.example.com/free/../paid",
        "/paid",
        "/free/../paid"
    ));
    assert!(!takes("https://www.example.com/???", "/A", "/%41"));
}

#[test]
fn wildcards_match_like_a_slow_oracle() {
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', after)), _) => (0..=text.len()).any(|at| slow(after, &text[at..])),
            (Some((byte, after)), Some((wanted, left))) => {
                (byte == wanted || *byte == b'?') && slow(after, left)
            }
            _ => false,
        }
    }
    let texts = |letters: &[u8], most: usize| -> Vec<String> {
        let mut all = vec![String::new()];
        let mut begin = 0;
        for _ in 0..most {
            let end = all.len();
            for at in begin..end {
                for letter in letters {
                    all.push(format!("{}{}", all[at], char::from(*letter)));
                }
            }
            begin = end;
        }
        all
    };
    for pattern in texts(b"ab*?", 5) {
        for text in texts(b"ab", 4) {
            assert_eq!(
                wild(&pattern, &text),
                slow(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
    }
}

#[test]
fn parameters_are_taken_out_and_the_rest_stays_as_it_was() {
    let left = |query| without_parameters(query).collect::<Vec<_>>().join("&");
    assert_eq!(left("a=1&Expires=2&b=%7e&&Signature&c"), "a=1&b=%7e&&c");
    assert_eq!(left("Policy=x&Key-Pair-Id=y&Hash-Algorithm=SHA1"), "");
    assert_eq!(
        left("expires=1&Expires2=1&xExpires=1"),
        "expires=1&Expires2=1&xExpires=1"
    );
    assert_eq!(left("Expi%72es=1"), "Expi%72es=1");
}

#[test]
fn what_is_sent_is_taken_whole_or_not_at_all() {
    #[track_caller]
    fn refused(query: &str, why: Unsigned) {
        let found = Presented::find(Some(query), std::iter::empty());
        assert_eq!(found.map(|_| ()), Err(why), "{query}");
    }
    let whole = "Expires=1&Signature=AAAA&Key-Pair-Id=K";
    assert!(Presented::find(Some(whole), std::iter::empty()).is_ok());
    refused("", Unsigned::Missing);
    refused("a=1&Hash-Algorithm=SHA256", Unsigned::Missing);
    refused("Expires=1", Unsigned::Malformed);
    refused("Signature=AAAA&Key-Pair-Id=K", Unsigned::Malformed);
    refused("Expires=1&Signature=AAAA", Unsigned::Malformed);
    refused("Expires=1&Key-Pair-Id=K", Unsigned::Malformed);
    refused(&format!("{whole}&Policy=AAAA"), Unsigned::Malformed);
    refused(&format!("{whole}&Signature=AAAA"), Unsigned::Malformed);
    refused(
        &format!("{whole}&Hash-Algorithm=SHA1&Hash-Algorithm=SHA1"),
        Unsigned::Malformed,
    );
    refused(&format!("{whole}&Hash-Algorithm=MD5"), Unsigned::Algorithm);
    refused(&format!("{whole}&Hash-Algorithm=sha256"), Unsigned::Algorithm);
    for time in ["", "x", "+1", "01", "-1", "1.0", "1e3", "99999999999999999999"] {
        refused(
            &format!("Expires={time}&Signature=AAAA&Key-Pair-Id=K"),
            Unsigned::Malformed,
        );
    }
}

#[test]
fn base64_is_cloudfronts_and_whole() {
    let signature = |text: &str| {
        let query = format!("Expires=1&Signature={text}&Key-Pair-Id=K");
        let found = Presented::find(Some(&query), std::iter::empty()).unwrap();
        found.signature()
    };
    assert_eq!(signature("-~8_"), Ok(vec![0xfb, 0xff]));
    assert_eq!(signature("-w__"), Ok(vec![0xfb]));
    assert_eq!(signature("AAAA"), Ok(vec![0; 3]));
    assert_eq!(signature("%7e~%7E~"), Ok(vec![0xff; 3]));
    assert_eq!(signature("%2D~~~"), Err(Unsigned::Malformed));
    for wrong in [
        "", "A", "AA", "AAA", "AAA=", "+/8_", "-~8", "-_8_", "____", "AA__AAAA", "-~9_", "AAAA____",
    ] {
        assert_eq!(signature(wrong), Err(Unsigned::Malformed), "{wrong}");
    }
    assert_eq!(signature(&"A".repeat(4096)), Err(Unsigned::Malformed));
}

#[test]
fn a_policy_says_what_is_understood_and_nothing_else() {
    let good = r#"{"Statement":[{"Resource":"https://h/*","Condition":{"DateLessThan":{"AWS:EpochTime":9},
        "DateGreaterThan":{"AWS:EpochTime":1},"IpAddress":{"AWS:SourceIp":"192.0.2.0/24"}}}]}"#;
    assert!(Grant::parse(good.as_bytes()).is_ok());
    let end = r#""Condition":{"DateLessThan":{"AWS:EpochTime":9}}"#;
    let long = "x".repeat(super::GRANT_BYTES_MAX);
    let many = "*a".repeat(33);
    for wrong in [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        r#"{"Statement":[]}"#.to_owned(),
        format!(r#"{{"Statement":{{"Resource":"*",{end}}}}}"#),
        format!(r#"{{"Statement":[{{"Resource":"*",{end}}},{{"Resource":"*",{end}}}]}}"#),
        format!(r#"{{"Statement":[{{"Resource":"a","Resource":"*",{end}}}]}}"#),
        format!(r#"{{"Statement":[{{{end}}}]}}"#),
        format!(r#"{{"Statement":[{{"Resource":"*",{end},{end}}}]}}"#),
        format!(r#"{{"Statement":[{{"Resource":"*",{end}}}],"Statement":[{{"Resource":"*",{end}}}]}}"#),
        format!(r#"{{"Statement":[{{"Resource":"*",{end}}}],"Version":"2012-10-17"}}"#),
        format!(r#"{{"Statement":[{{"Resource":"*","Effect":"Allow",{end}}}]}}"#),
        format!(r#"{{"Statement":[{{"Resource":["*"],{end}}}]}}"#),
        format!(r#"{{"Statement":[{{"Resource":"{long}",{end}}}]}}"#),
        format!(r#"{{"Statement":[{{"Resource":"{many}",{end}}}]}}"#),
        format!(r#"{{"Statement":[{{"Resource":"*",{end}}}]}} x"#),
        r#"{"Statement":[{"Resource":"*","Condition":{}}]}"#.to_owned(),
        r#"{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":"9"}}}]}"#.to_owned(),
        r#"{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":-9}}}]}"#.to_owned(),
        r#"{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":1,"AWS:EpochTime":9}}}]}"#
            .to_owned(),
        good.replace("192.0.2.0/24", "192.0.2.0/33"),
        good.replace("192.0.2.0/24", "somewhere"),
        good.replace("IpAddress", "NotIpAddress"),
    ] {
        assert_eq!(Grant::parse(wrong.as_bytes()), Err(BadGrant), "{wrong}");
    }
}

#[test]
fn a_policy_is_weighed_by_time_and_client() {
    let grant = |network: &str| {
        let text = format!(
            r#"{{"Statement":[{{"Resource":"*","Condition":{{"DateLessThan":{{"AWS:EpochTime":20}},
            "DateGreaterThan":{{"AWS:EpochTime":10}},"IpAddress":{{"AWS:SourceIp":"{network}"}}}}}}]}}"#
        );
        Grant::parse(text.as_bytes()).unwrap()
    };
    let weigh = |network: &str, client: Option<&str>, now: u64| {
        grant(network).weigh(&Asked {
            address: address("/", "/", None),
            client: client.map(|client| client.parse().unwrap()),
            now: UnixTime::from_secs(now),
        })
    };
    let inside = Some("192.0.2.7");
    assert_eq!(weigh("192.0.2.0/24", inside, 10), Err(Unsigned::NotYetValid));
    assert_eq!(weigh("192.0.2.0/24", inside, 11), Ok(()));
    assert_eq!(weigh("192.0.2.0/24", inside, 19), Ok(()));
    assert_eq!(weigh("192.0.2.0/24", inside, 20), Err(Unsigned::Expired));
    assert_eq!(weigh("192.0.2.7", Some("::ffff:192.0.2.7"), 15), Ok(()));
    assert_eq!(
        weigh("192.0.2.0/24", Some("192.0.3.7"), 15),
        Err(Unsigned::Client)
    );
    assert_eq!(
        weigh("192.0.2.0/24", Some("2001:db8::1"), 15),
        Err(Unsigned::Client)
    );
    assert_eq!(weigh("192.0.2.0/24", None, 15), Err(Unsigned::Client));
    assert_eq!(weigh("2001:db8::/32", Some("2001:db8::1"), 15), Ok(()));
    assert_eq!(weigh("0.0.0.0/0", Some("2001:db8::1"), 15), Ok(()));
    assert_eq!(weigh("0.0.0.0/0", None, 15), Ok(()));
}

#[test]
fn only_one_strong_public_key_is_a_key() {
    use aws_lc_rs::{
        encoding::{AsDer, PublicKeyX509Der},
        signature::{
            ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
        },
    };
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let pem = |label: &str, der: &[u8]| {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            STANDARD.encode(der)
        )
    };
    let public = |algorithm| {
        let key = EcdsaKeyPair::generate(algorithm).unwrap();
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    };
    let of = |text: &str| PublicKey::from_pem(text.as_bytes()).map(|key| format!("{key:?}").len());
    let (p256, p384) = (
        public(&ECDSA_P256_SHA256_ASN1_SIGNING),
        public(&ECDSA_P384_SHA384_ASN1_SIGNING),
    );
    let good = pem("PUBLIC KEY", &p256);
    assert_eq!(of(&good), Ok("P-256 01234567".len()));
    assert_eq!(of(&pem("PUBLIC KEY", &p384)), Err(BadKey::Kind));
    assert_eq!(of(&pem("PUBLIC KEY", b"something else")), Err(BadKey::Kind));
    assert_eq!(of(&pem("PRIVATE KEY", &p256)), Err(BadKey::Private));
    assert_eq!(
        of(&format!("{good}{}", pem("EC PRIVATE KEY", &p256))),
        Err(BadKey::Private)
    );
    assert_eq!(of(&pem("CERTIFICATE", &p256)), Err(BadKey::NoPublicKey));
    assert_eq!(of(&format!("{good}{good}")), Err(BadKey::NoPublicKey));
    assert_eq!(of(""), Err(BadKey::NoPublicKey));
    assert_eq!(of(&"x".repeat(20_000)), Err(BadKey::TooLong));
}
