//! Whatever is written passes `banyan check`: distributions with everything in them, made up by chance.

#[path = "../../tests/it/mmdb.rs"]
#[expect(dead_code, unreachable_pub, reason = "made for tests that use more of it")]
mod mmdb;

use serde_json::{Value, json};

use super::{
    Accepted, Imported, Input, Source, Wishes,
    generated_tests::{Random, pattern},
    import,
};
use crate::config::{Problems, Sources, load_sources};

const DISTRIBUTIONS: u64 = 300;
const DATABASE: &str = "places.mmdb";

/// An EC key on P-256 made for this test.
pub(super) const PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC3LM+AiaD1Y2RHAc7bQcpEjZhrPS
fBCbBxVqG43yMsjSmqZL4fE29Q+sFZ3N8sznm6G1RtOL9fcUiynT8K6o6A==
-----END PUBLIC KEY-----
";

/// What `banyan check` says of the files.
pub(super) fn check(imported: &Imported) -> Problems {
    let mut sources = Sources::empty("/site");
    for (name, text) in &imported.files {
        if name.ends_with(".pem") {
            sources.attach(name, text.as_bytes());
        } else if name.ends_with(".toml") {
            sources.insert(name, text.as_str());
        }
    }
    let place = json!({"country": {"iso_code": "AT"}});
    sources.attach(
        DATABASE,
        mmdb::database("GeoLite2-City", &[("81.2.69.0/24", place)]),
    );
    let example = imported.files.iter().find(|(name, _)| name == ".env.example");
    let variables = example.map_or("", |(_, text)| text.as_str());
    let env = |name: &str| {
        let line = format!("{name}=");
        variables
            .lines()
            .any(|known| known == line)
            .then(|| "a-value".to_owned())
    };
    load_sources(&sources, &env).problems
}

fn some<'t>(random: &mut Random, list: &[&'t str]) -> Vec<&'t str> {
    list.iter().copied().filter(|_| random.below(3) == 0).collect()
}

fn flip(random: &mut Random) -> bool {
    random.below(2) == 0
}

fn names(random: &mut Random, kinds: &[&str], list: &[&str]) -> (String, Value) {
    let kind = random.of(kinds).to_owned();
    let items = some(random, list);
    (kind, json!({"Quantity": items.len(), "Items": items}))
}

const HEADERS: [&str; 14] = [
    "Accept",
    "Accept-Language",
    "Authorization",
    "Host",
    "Origin",
    "Referer",
    "User-Agent",
    "X-Tenant",
    "CloudFront-Viewer-Country",
    "CloudFront-Is-Mobile-Viewer",
    "CloudFront-Viewer-JA3-Fingerprint",
    "Cookie",
    "Range",
    "CloudFront-Viewer-Address",
];
const COOKIES: [&str; 5] = ["session", "exp_*", "a?c", "Ümlaut", "csrf-token"];
const QUERIES: [&str; 5] = ["utm_source", "page", "filter[]", "q", "a%26b"];

fn cache_policy(random: &mut Random, id: &str) -> Value {
    let (headers, header_list) = names(random, &["none", "whitelist"], &HEADERS);
    let (cookies, cookie_list) = names(random, &["none", "all", "whitelist", "allExcept"], &COOKIES);
    let (query, query_list) = names(random, &["none", "all", "whitelist", "allExcept"], &QUERIES);
    json!({"CachePolicy": {"Id": id, "CachePolicyConfig": {"Name": format!("cache {id}"), "MinTTL": random.below(3),
        "DefaultTTL": random.below(100), "MaxTTL": random.below(3) * 1000,
        "ParametersInCacheKeyAndForwardedToOrigin": {
            "EnableAcceptEncodingGzip": flip(random), "EnableAcceptEncodingBrotli": flip(random),
            "HeadersConfig": {"HeaderBehavior": headers, "Headers": header_list},
            "CookiesConfig": {"CookieBehavior": cookies, "Cookies": cookie_list},
            "QueryStringsConfig": {"QueryStringBehavior": query, "QueryStrings": query_list}}}}})
}

fn request_policy(random: &mut Random, id: &str) -> Value {
    let kinds = [
        "none",
        "whitelist",
        "allViewer",
        "allExcept",
        "allViewerAndWhitelistCloudFront",
    ];
    let (headers, header_list) = names(random, &kinds, &HEADERS);
    let (cookies, cookie_list) = names(random, &["none", "all", "whitelist", "allExcept"], &COOKIES);
    let (query, query_list) = names(random, &["none", "all", "whitelist", "allExcept"], &QUERIES);
    json!({"OriginRequestPolicy": {"Id": id, "OriginRequestPolicyConfig": {"Name": format!("ask {id}"),
        "HeadersConfig": {"HeaderBehavior": headers, "Headers": header_list},
        "CookiesConfig": {"CookieBehavior": cookies, "Cookies": cookie_list},
        "QueryStringsConfig": {"QueryStringBehavior": query, "QueryStrings": query_list}}}})
}

fn response_policy(random: &mut Random, id: &str) -> Value {
    let sites = [
        "https://app.example.com",
        "*.example.org",
        "example.net",
        "http://localhost:3000",
        "https://*",
        "null",
        "*",
        "HTTPS://B.example.com:443",
    ];
    let cors = json!({
        "AccessControlAllowOrigins": {"Items": some(random, &sites)},
        "AccessControlAllowHeaders": {"Items": some(random, &["*", "Content-Type", "Authorization"])},
        "AccessControlAllowMethods": {"Items": some(random, &["ALL", "GET", "POST", "OPTIONS"])},
        "AccessControlExposeHeaders": {"Items": some(random, &["*", "ETag"])},
        "AccessControlAllowCredentials": flip(random), "AccessControlMaxAgeSec": random.below(2) * 600, "OriginOverride": flip(random)});
    let custom: Vec<Value> = some(
        random,
        &[
            "X-A",
            "x-a",
            "Cache-Control",
            "Via",
            "Vary",
            "Strict-Transport-Security",
            "Server",
            "Access-Control-Allow-Origin",
            "Content-Length",
            "Set-Cookie",
            "X-Frame-Options",
            "Transfer-Encoding",
            "Date",
        ],
    )
    .into_iter()
    .map(|name| {
        json!({"Header": name, "Value": random.of(&["", " a ", "a\"b\\c${HOME}", "no-store, max-age=0"]),
            "Override": flip(random)})
    })
    .collect();
    let removed: Vec<Value> = some(
        random,
        &[
            "X-Powered-By",
            "Via",
            "Set-Cookie",
            "Content-Length",
            "Server",
            "Vary",
        ],
    )
    .into_iter()
    .map(|name| json!({"Header": name}))
    .collect();
    let share = [0.0, 100.0, 12.345_678, 0.000_1][random.below(4)];
    let age = [0, 1, 31_536_000, 2_000_000_000][random.below(4)];
    json!({"ResponseHeadersPolicy": {"Id": id, "ResponseHeadersPolicyConfig": {"Name": format!("answer {id}"),
        "CorsConfig": flip(random).then_some(cors),
        "CustomHeadersConfig": {"Items": custom}, "RemoveHeadersConfig": {"Items": removed},
        "SecurityHeadersConfig": flip(random).then(|| json!({
            "XSSProtection": {"Override": flip(random), "Protection": flip(random), "ModeBlock": flip(random), "ReportUri": "https://r.example.com"},
            "FrameOptions": {"Override": flip(random), "FrameOption": "DENY"},
            "ReferrerPolicy": {"Override": flip(random), "ReferrerPolicy": "same-origin"},
            "ContentSecurityPolicy": {"Override": flip(random), "ContentSecurityPolicy": " default-src 'self' "},
            "ContentTypeOptions": {"Override": flip(random)},
            "StrictTransportSecurity": {"Override": flip(random), "IncludeSubdomains": flip(random), "Preload": flip(random), "AccessControlMaxAgeSec": age}})),
        "ServerTimingHeadersConfig": {"Enabled": flip(random), "SamplingRate": share}}}})
}

fn origin(random: &mut Random, at: usize) -> Value {
    let headers: Vec<Value> = some(
        random,
        &[
            "X-Origin-Verify",
            "Authorization",
            "Host",
            "X-Forwarded-For",
            "Path",
            "x-key",
            "Traceparent",
        ],
    )
    .into_iter()
    .map(|name| json!({"HeaderName": name, "HeaderValue": random.of(&["s3cr3t-1", "s3cr3t-2"])}))
    .collect();
    let mut one = json!({"Id": format!("{} {at}", random.of(&["Öl & Gas", "api", "S3-bucket/x", "_"])), "DomainName": format!("Origin{at}.example.net"),
        "OriginPath": random.of(&["", "/public", "/a/b"]), "CustomHeaders": {"Quantity": headers.len(), "Items": headers},
        "ConnectionAttempts": 1 + random.below(3), "ConnectionTimeout": random.below(11), "ResponseCompletionTimeout": random.below(60)});
    match random.below(3) {
        0 => one["S3OriginConfig"] = json!({"OriginAccessIdentity": ""}),
        1 => one["VpcOriginConfig"] = json!({"VpcOriginId": "v", "OriginReadTimeout": 30}),
        _ => {
            one["CustomOriginConfig"] = json!({"HTTPPort": 8080, "HTTPSPort": 8443,
                "OriginProtocolPolicy": random.of(&["http-only", "https-only", "match-viewer"]),
                "OriginReadTimeout": random.below(120), "OriginKeepaliveTimeout": random.below(60)});
        }
    }
    one
}

fn behaviour(random: &mut Random, pattern: Option<&String>, origins: &[Value]) -> Value {
    let methods: &[&str] = match random.below(3) {
        0 => &["GET", "HEAD"],
        1 => &["GET", "HEAD", "OPTIONS"],
        _ => &["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"],
    };
    let target = &origins[random.below(origins.len())]["Id"];
    let target = if random.below(4) == 0 {
        &json!("group")
    } else {
        target
    };
    let mut one = json!({"PathPattern": pattern, "TargetOriginId": target, "AllowedMethods": {"Quantity": methods.len(), "Items": methods},
        "ViewerProtocolPolicy": random.of(&["allow-all", "https-only", "redirect-to-https"]), "Compress": flip(random),
        "ResponseHeadersPolicyId": random.of(&["", "answer", "67f7725c-6f97-4210-82d7-5512b31e9d03", "5cc3b908-e619-4b99-88e5-2cf7f45965bd"]),
        "TrustedKeyGroups": {"Enabled": false, "Quantity": 0}});
    if random.below(4) == 0 {
        one["TrustedKeyGroups"] =
            json!({"Enabled": true, "Items": [random.of(&["keys", "no-keys", "unknown"])]});
    }
    if random.below(3) == 0 {
        let headers = if flip(random) {
            vec!["*"]
        } else {
            some(random, &HEADERS)
        };
        one["ForwardedValues"] = json!({"QueryString": flip(random),
            "Cookies": {"Forward": random.of(&["none", "whitelist", "all"]), "WhitelistedNames": {"Items": some(random, &COOKIES)}},
            "Headers": {"Items": headers}});
        one["MinTTL"] = json!(random.below(3));
    } else {
        one["CachePolicyId"] = json!(random.of(&[
            "cache",
            "unknown",
            "658327ea-f89d-4fab-a63d-7e88639e58f6",
            "2e54312d-136d-493c-8eb9-b001f22f67d2"
        ]));
        one["OriginRequestPolicyId"] = json!(random.of(&[
            "",
            "ask",
            "216adef6-5c7f-47e4-b989-5492eafa07d3",
            "33f36d7e-f396-46d9-90e0-52428a34d9dc"
        ]));
    }
    one
}

fn distribution(random: &mut Random, aliases: &[&str]) -> Value {
    let origins: Vec<Value> = (0..2 + random.below(3)).map(|at| origin(random, at)).collect();
    let count = [0, 1, 4, 12][random.below(4)];
    let patterns: Vec<String> = (0..count).map(|_| pattern(random)).collect();
    let ordered: Vec<Value> = patterns
        .iter()
        .map(|pattern| behaviour(random, Some(pattern), &origins))
        .collect();
    let page = |code: u16, answer: Value| json!({"ErrorCode": code, "ResponsePagePath": "/errors/e.html", "ResponseCode": answer});
    let geo = [
        json!({"RestrictionType": "none", "Quantity": 0}),
        json!({"RestrictionType": "whitelist", "Items": ["de", "AT"]}),
        json!({"RestrictionType": "blacklist", "Items": ["KP"]}),
    ];
    let geo = &geo[random.below(3)];
    let default = behaviour(random, None, &origins);
    json!({"Distribution": {"Id": "E1", "DomainName": "d111.cloudfront.net", "DistributionConfig": {
        "Comment": random.of(&["", "x\n[key_groups.y]", "Öl"]), "Enabled": flip(random),
        "Aliases": {"Quantity": aliases.len(), "Items": aliases},
        "DefaultRootObject": random.of(&["", "index.html", "/a/index.html"]),
        "Origins": {"Quantity": origins.len(), "Items": &origins},
        "OriginGroups": {"Items": [{"Id": "group", "FailoverCriteria": {"StatusCodes": {"Items": [500, 403, 416, 299]}},
            "Members": {"Items": [{"OriginId": origins[0]["Id"]}, {"OriginId": origins[1]["Id"]}]}}]},
        "CustomErrorResponses": {"Items": [page(404, json!("200")), page(403, json!(200)), page(404, json!("")), page(503, json!(503)), page(500, json!(""))]},
        "Logging": {"Enabled": flip(random), "Bucket": "b"},
        "Restrictions": {"GeoRestriction": geo},
        "CacheBehaviors": {"Items": ordered}, "DefaultCacheBehavior": default}}})
}

fn policies(random: &mut Random) -> Value {
    json!([cache_policy(random, "cache"), request_policy(random, "ask"), response_policy(random, "answer"),
        {"KeyGroup": {"Id": "keys", "KeyGroupConfig": {"Name": "Videos & mehr", "Items": ["K2JCJMDEHXQW5F", "gone"]}}},
        {"KeyGroup": {"Id": "no-keys", "KeyGroupConfig": {"Name": "none", "Items": []}}},
        {"PublicKey": {"Id": "K2JCJMDEHXQW5F", "PublicKeyConfig": {"EncodedKey": PEM}}}])
}

fn input(name: &str, value: &Value) -> Input {
    Input {
        name: name.to_owned(),
        text: value.to_string(),
    }
}

#[test]
fn whatever_is_written_passes_the_check() {
    let (mut written, mut kinds) = (0, std::collections::BTreeSet::new());
    for seed in 0..DISTRIBUTIONS {
        let mut random = Random(seed);
        let mut files = vec![input(
            "one.json",
            &distribution(&mut random, &["www.example.com", "*.example.net"]),
        )];
        if random.below(4) == 0 {
            files.push(input("two.json", &distribution(&mut random, &["a.example.net"])));
        }
        if random.below(4) == 0 {
            files.push(input("three.json", &distribution(&mut random, &[])));
        }
        let policies = if random.below(4) > 0 {
            vec![input("policies.json", &policies(&mut random))]
        } else {
            Vec::new()
        };
        let wishes = Wishes {
            geo_database: flip(&mut random).then(|| DATABASE.to_owned()),
            accepted: if flip(&mut random) {
                vec![Accepted::EveryCountry]
            } else {
                Vec::new()
            },
        };
        let imported = import(Source::CloudFront, &files, &policies, &wishes);
        assert_eq!(imported.report.errors, 0, "seed {seed}\n{}", imported.report);
        let problems = check(&imported);
        assert!(
            !problems.has_errors(),
            "seed {seed}\n{problems}\n{}",
            imported.files[1].1
        );
        kinds.extend(problems.iter().map(|problem| problem.kind));
        let all = format!("{imported:?}");
        assert!(!all.contains("s3cr3t"), "seed {seed}");
        written += imported.files.len();
    }
    assert!(written > 700, "{written}");
    let expected = [
        "always-forwarded",
        "hsts-preload",
        "no-keys",
        "no-path",
        "unreachable-route",
    ];
    println!("warnings of the check: {kinds:?}");
    assert!(kinds.len() <= expected.len() + 4, "{kinds:?}");
}
