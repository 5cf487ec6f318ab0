//! The policies that AWS manages: their ids are the same in every account, and no distribution says what is in them.

use super::policy::{CachePolicy, Policies, RequestPolicy, ResponseConfig, ResponsePolicy, Selection};

macro_rules! simple_cors {
    () => {
        r#""CorsConfig": {"AccessControlAllowOrigins": {"Items": ["*"]}, "OriginOverride": false}"#
    };
}

macro_rules! preflight {
    () => {
        r#""CorsConfig": {"AccessControlAllowOrigins": {"Items": ["*"]},
            "AccessControlAllowMethods": {"Items": ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]},
            "AccessControlExposeHeaders": {"Items": ["*"]}, "OriginOverride": false}"#
    };
}

macro_rules! security {
    () => {
        r#""SecurityHeadersConfig": {"ContentTypeOptions": {"Override": true},
            "FrameOptions": {"Override": false, "FrameOption": "SAMEORIGIN"},
            "ReferrerPolicy": {"Override": false, "ReferrerPolicy": "strict-origin-when-cross-origin"},
            "StrictTransportSecurity": {"Override": false, "AccessControlMaxAgeSec": 31536000},
            "XSSProtection": {"Override": false, "Protection": true, "ModeBlock": true}}"#
    };
}

/// Puts all of them into `policies`.
pub(super) fn add_to(policies: &mut Policies) {
    for (id, policy) in cache() {
        policies.cache.insert(id.to_owned(), policy);
    }
    for (id, policy) in request() {
        policies.request.insert(id.to_owned(), policy);
    }
    for (id, name, config) in RESPONSE {
        // the texts are ours; a test reads each of them
        if let Ok(config) = serde_json::from_str::<ResponseConfig>(config) {
            let name = name.to_owned();
            policies
                .response
                .insert(id.to_owned(), ResponsePolicy { name, config });
        }
    }
}

fn only(names: &[&str]) -> Selection {
    Selection::Only(names.iter().map(|name| (*name).to_owned()).collect())
}

fn cache_policy(name: &str, ttl: (u64, u64, u64), compressed: bool) -> CachePolicy {
    CachePolicy {
        name: name.to_owned(),
        min_ttl: ttl.0,
        default_ttl: ttl.1,
        max_ttl: ttl.2,
        gzip: compressed,
        brotli: compressed,
        ..CachePolicy::default()
    }
}

fn cache() -> [(&'static str, CachePolicy); 7] {
    let by_backend = |name: &str, query| CachePolicy {
        headers: only(&[
            "Host",
            "Origin",
            "X-HTTP-Method",
            "X-HTTP-Method-Override",
            "X-Method-Override",
        ]),
        cookies: Selection::All,
        query,
        ..cache_policy(name, (0, 0, YEAR), true)
    };
    [
        (
            "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
            cache_policy("CachingDisabled", (0, 0, 0), false),
        ),
        (
            "658327ea-f89d-4fab-a63d-7e88639e58f6",
            cache_policy("CachingOptimized", (1, DAY, YEAR), true),
        ),
        (
            "b2884449-e4de-46a7-ac36-70bc7f1ddd6d",
            cache_policy("CachingOptimizedForUncompressedObjects", (1, DAY, YEAR), false),
        ),
        (
            "2e54312d-136d-493c-8eb9-b001f22f67d2",
            CachePolicy {
                headers: only(&["Authorization", "CloudFront-Viewer-Country", "Host"]),
                cookies: Selection::All,
                query: Selection::All,
                ..cache_policy("Amplify", (2, 2, 600), true)
            },
        ),
        (
            "08627262-05a9-4f76-9ded-b50ca2e3a84f",
            CachePolicy {
                headers: only(&["Origin"]),
                query: only(&["aws.manifestfilter", "end", "m", "start"]),
                ..cache_policy("Elemental-MediaPackage", (0, DAY, YEAR), true)
            },
        ),
        (
            "83da9c7e-98b4-4e11-a168-04f0df8e2c65",
            by_backend("UseOriginCacheControlHeaders", Selection::None),
        ),
        (
            "4cc15a8a-d715-48a4-82b8-cc0b614638fe",
            by_backend("UseOriginCacheControlHeaders-QueryStrings", Selection::All),
        ),
    ]
}

fn request() -> [(&'static str, RequestPolicy); 8] {
    let headers = |name: &str, headers| RequestPolicy {
        name: name.to_owned(),
        headers,
        ..RequestPolicy::default()
    };
    let everything = |name: &str, of| RequestPolicy {
        cookies: Selection::All,
        query: Selection::All,
        ..headers(name, of)
    };
    let own = OWN_FIELDS_2022_06.map(str::to_owned).to_vec();
    [
        (
            "216adef6-5c7f-47e4-b989-5492eafa07d3",
            everything("AllViewer", Selection::All),
        ),
        (
            "b689b0a8-53d0-40ab-baf2-68738e2966ac",
            everything(
                "AllViewerExceptHostHeader",
                Selection::Except(vec!["Host".to_owned()]),
            ),
        ),
        (
            "33f36d7e-f396-46d9-90e0-52428a34d9dc",
            everything("AllViewerAndCloudFrontHeaders-2022-06", Selection::AllAnd(own)),
        ),
        (
            "59781a5b-3903-41f3-afcb-af62929ccde1",
            headers("CORS-CustomOrigin", only(&["Origin"])),
        ),
        (
            "88a5eaf4-2fd4-4709-b370-b4c650ea3fcf",
            headers("CORS-S3Origin", only(&CORS_FIELDS)),
        ),
        (
            "acba4595-bd28-49b8-b9fe-13317c0390fa",
            headers("UserAgentRefererHeaders", only(&["Referer", "User-Agent"])),
        ),
        (
            "bf0718e1-ba1e-49d1-88b1-f726733018ae",
            headers("HostHeaderOnly", only(&["Host"])),
        ),
        (
            "775133bc-15f2-49f9-abea-afb2e0bf67d2",
            RequestPolicy {
                query: Selection::All,
                ..headers(
                    "Elemental-MediaTailor",
                    only(&[
                        "Access-Control-Request-Headers",
                        "Access-Control-Request-Method",
                        "Origin",
                        "User-Agent",
                        "X-Forwarded-For",
                    ]),
                )
            },
        ),
    ]
}

const DAY: u64 = 86_400;
const YEAR: u64 = 31_536_000;

const CORS_FIELDS: [&str; 3] = [
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Origin",
];

const OWN_FIELDS_2022_06: [&str; 20] = [
    "CloudFront-Forwarded-Proto",
    "CloudFront-Is-Android-Viewer",
    "CloudFront-Is-Desktop-Viewer",
    "CloudFront-Is-IOS-Viewer",
    "CloudFront-Is-Mobile-Viewer",
    "CloudFront-Is-SmartTV-Viewer",
    "CloudFront-Is-Tablet-Viewer",
    "CloudFront-Viewer-ASN",
    "CloudFront-Viewer-Address",
    "CloudFront-Viewer-City",
    "CloudFront-Viewer-Country",
    "CloudFront-Viewer-Country-Name",
    "CloudFront-Viewer-Country-Region",
    "CloudFront-Viewer-Country-Region-Name",
    "CloudFront-Viewer-Http-Version",
    "CloudFront-Viewer-Latitude",
    "CloudFront-Viewer-Longitude",
    "CloudFront-Viewer-Metro-Code",
    "CloudFront-Viewer-Postal-Code",
    "CloudFront-Viewer-Time-Zone",
];

/// Id, name and what `get-response-headers-policy` would print.
pub(super) const RESPONSE: [(&str, &str, &str); 5] = [
    (
        "60669652-455b-4ae9-85a4-c4c02393f86c",
        "SimpleCORS",
        concat!("{", simple_cors!(), "}"),
    ),
    (
        "5cc3b908-e619-4b99-88e5-2cf7f45965bd",
        "CORS-With-Preflight",
        concat!("{", preflight!(), "}"),
    ),
    (
        "67f7725c-6f97-4210-82d7-5512b31e9d03",
        "SecurityHeadersPolicy",
        concat!("{", security!(), "}"),
    ),
    (
        "e61eb60c-9c35-4d20-a928-2b84e02af89c",
        "CORS-and-SecurityHeadersPolicy",
        concat!("{", simple_cors!(), ",", security!(), "}"),
    ),
    (
        "eaab4381-ed33-4a86-88ca-d9558dc6cd63",
        "CORS-with-preflight-and-SecurityHeadersPolicy",
        concat!("{", preflight!(), ",", security!(), "}"),
    ),
];
