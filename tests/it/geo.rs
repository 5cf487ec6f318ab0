//! Countries and fields about viewers, with a database that is written when the tests run.

use std::{fs, net::IpAddr};

use banyan::{config::Sources, snapshot::Snapshot};

use crate::{
    backend::mirror,
    client::{Client, Http, until},
    mmdb::{country, database, london},
    offline::{NOW, Row, compiled},
    world::{Builder, World},
};

const ROUTES: &str = r#"
[[routes]]
path = "/allowed/*"
backend = "app"
[routes.geo]
allow = ["GB", "DE"]
[[routes]]
path = "/denied/*"
backend = "app"
[routes.geo]
deny = ["JP"]
[[routes]]
path = "/told/*"
backend = "app"
[routes.viewer]
headers = [
    "CloudFront-Viewer-Country", "CloudFront-Viewer-Country-Name", "CloudFront-Viewer-Country-Region",
    "CloudFront-Viewer-Country-Region-Name", "CloudFront-Viewer-City", "CloudFront-Viewer-Postal-Code",
    "CloudFront-Viewer-Metro-Code", "CloudFront-Viewer-Latitude", "CloudFront-Viewer-Longitude",
    "CloudFront-Viewer-Time-Zone", "CloudFront-Viewer-ASN", "CloudFront-Viewer-Address",
    "CloudFront-Viewer-Http-Version", "CloudFront-Viewer-TLS", "CloudFront-Forwarded-Proto",
    "CloudFront-Is-Mobile-Viewer", "CloudFront-Is-Desktop-Viewer", "CloudFront-Is-IOS-Viewer",
]
[[routes]]
path = "/*"
backend = "app"
"#;

fn places() -> Vec<u8> {
    database(
        "GeoLite2-City",
        &[
            ("81.2.69.0/24", london()),
            ("89.160.20.112/28", country("SE", "Sverige är Sweden")),
            ("2001:218::/32", country("JP", "Japan")),
            ("10.0.0.0/8", country("US", "United States")), // some companies' own databases know their own networks
        ],
    )
}

fn site() -> Snapshot {
    let routes = format!("squad = \"app\"\n[backends.app]\nservers = [\"http://127.0.0.1:1\"]\n{ROUTES}");
    let mut sources = Sources::empty("/site")
        .with(
            "banyan.toml",
            "listen.admin = \"127.0.0.1:0\"\n[geo]\ndatabase = \"x.mmdb\"",
        )
        .with("routes/app.toml", &routes);
    sources.attach("x.mmdb", places());
    compiled(&sources)
}

fn row(path: &str, client: Option<&str>) -> Row {
    Row {
        method: "GET".to_owned(),
        host: "localhost".to_owned(),
        target: path.to_owned(),
        client: client.map(|client| client.parse::<IpAddr>().unwrap()),
        ..Row::default()
    }
}

#[test]
fn countries_are_let_in_or_not_and_unknown_ones_are() {
    let at = site();
    let check = |path, client, expected: Option<&str>| {
        let told = row(path, client).explained(NOW, &at);
        let refused = told
            .refused
            .as_ref()
            .map(|refused| (refused.status, refused.why.as_str()));
        assert_eq!(refused, expected.map(|why| (403, why)), "{path} {client:?}");
    };
    let japan = Some("the route is not for visitors from JP");
    let sweden = Some("the route is not for visitors from SE");
    check("/allowed/a", Some("81.2.69.142"), None);
    check("/allowed/a", Some("::ffff:81.2.69.142"), None);
    check("/allowed/a", Some("2001:218::7"), japan);
    check("/allowed/a", Some("89.160.20.120"), sweden);
    check("/allowed/a", Some("192.0.2.1"), None);
    check("/allowed/a", Some("10.1.2.3"), None);
    check("/allowed/a", Some("127.0.0.1"), None);
    check("/allowed/a", None, None);
    check("/denied/a", Some("2001:218::7"), japan);
    check("/denied/a", Some("81.2.69.142"), None);
    check("/denied/a", Some("2001:219::7"), None);
    check("/other", Some("2001:218::7"), None);
}

#[test]
fn explain_says_what_the_backend_is_told_of_the_viewer() {
    let at = site();
    let told = row("/told/a", Some("81.2.69.142")).explained(NOW, &at);
    let said = |name: &str| {
        let found = told.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(said("CloudFront-Viewer-Country"), Some("GB"));
    assert_eq!(said("CloudFront-Viewer-City"), Some("London"));
    assert_eq!(said("CloudFront-Viewer-TLS"), Some("as the connection has it"));
    assert_eq!(said("CloudFront-Viewer-Metro-Code"), None);
}

/// A world that believes what its clients say of where they come from.
fn world() -> Builder {
    let builder = World::new()
        .backend("app", mirror)
        .top("trusted_proxies = [\"127.0.0.1\"]")
        .operator("[geo]\ndatabase = \"geo/x.mmdb\"")
        .routes(ROUTES);
    let folder = builder.folder().join("geo");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("x.mmdb"), places()).unwrap();
    builder
}

async fn from(client: &mut Client, path: &str, address: &str) -> u16 {
    let answer = client.get_with(path, &[("x-forwarded-for", address)]).await;
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_is_told_of_the_viewer_and_clients_say_nothing() {
    let world = world().start().await;
    let forged = [
        ("x-forwarded-for", "81.2.69.142"),
        ("cloudfront-viewer-country", "XX"),
        ("cloudfront-viewer-metro-code", "807"),
        ("cloudfront_viewer_city", "Atlantis"),
        ("cloudfront-is-tablet-viewer", "true"),
        ("cloudfront-viewer-ja3-fingerprint", "x"),
        (
            "user-agent",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Mobile/15E148",
        ),
    ];
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let seen = client.get_with("/told/a", &forged).await.seen();
        for (name, value) in [
            ("cloudfront-viewer-country", "GB"),
            ("cloudfront-viewer-country-name", "United Kingdom"),
            ("cloudfront-viewer-country-region", "ENG"),
            ("cloudfront-viewer-country-region-name", "England"),
            ("cloudfront-viewer-city", "London"),
            ("cloudfront-viewer-postal-code", "EC1A"),
            ("cloudfront-viewer-latitude", "51.51420"),
            ("cloudfront-viewer-longitude", "-0.09310"),
            ("cloudfront-viewer-time-zone", "Europe/London"),
            ("cloudfront-viewer-asn", "20712"),
            ("cloudfront-viewer-address", "81.2.69.142:0"),
            (
                "cloudfront-viewer-http-version",
                if http == Http::Two { "2.0" } else { "1.1" },
            ),
            ("cloudfront-forwarded-proto", "https"),
            ("cloudfront-is-mobile-viewer", "true"),
            ("cloudfront-is-desktop-viewer", "false"),
            ("cloudfront-is-ios-viewer", "true"),
        ] {
            assert_eq!(seen.header(name), value, "{name}");
        }
        let tls = seen.header("cloudfront-viewer-tls");
        assert!(
            tls.starts_with("TLSv1.3:TLS_") && tls.matches(':').count() == 2,
            "{tls}"
        );
        for name in [
            "cloudfront-viewer-metro-code",
            "cloudfront_viewer_city",
            "cloudfront-is-tablet-viewer",
            "cloudfront-viewer-ja3-fingerprint",
        ] {
            assert!(!seen.has(name), "{name}");
        }
        // A route that tells of nobody leaves such fields alone.
        let seen = client.get_with("/other", &forged).await.seen();
        assert_eq!(seen.header("cloudfront-viewer-country"), "XX");
    }
    let mut client = world.client(Http::One).await;
    let seen = client.get("/told/a").await.seen();
    let address = seen.header("cloudfront-viewer-address");
    assert!(
        address.starts_with("127.0.0.1:") && !address.ends_with(":0"),
        "{address}"
    );
    assert!(!seen.has("cloudfront-viewer-country"));
    let mut client = world.private(Http::One).await;
    let seen = client.get("/told/a").await.seen();
    assert_eq!(seen.header("cloudfront-forwarded-proto"), "http");
    assert!(!seen.has("cloudfront-viewer-tls"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_country_that_is_not_let_in_gets_403_and_a_new_database_is_noticed() {
    let world = world().start().await;
    let mut client = world.client(Http::Two).await;
    assert_eq!(from(&mut client, "/allowed/a", "81.2.69.142").await, 200);
    let answer = client
        .get_with("/allowed/a", &[("x-forwarded-for", "2001:218::7")])
        .await;
    assert_eq!(answer.status, 403);
    assert!(
        answer.header("proxy-status").contains("details=\"country\""),
        "{answer:?}"
    );
    let fresh = database("GeoLite2-Country", &[("81.2.69.0/24", country("FR", "France"))]);
    let file = world.folder().join("geo/x.mmdb");
    fs::write(file.with_extension("draft"), &fresh).unwrap();
    fs::rename(file.with_extension("draft"), &file).unwrap();
    until("the new database", async || {
        from(&mut client, "/allowed/a", "81.2.69.142").await == 403
    })
    .await;
    assert_eq!(from(&mut client, "/allowed/a", "2001:218::7").await, 200);
    fs::write(&file, &fresh[..fresh.len() / 2]).unwrap();
    let status = world.reload().await;
    assert_eq!(status.stale, ["banyan.toml"]);
    assert!(
        status.problems.to_plain().contains("[bad-database]"),
        "{}",
        status.problems.to_plain()
    );
    assert_eq!(
        from(&mut client, "/allowed/a", "81.2.69.142").await,
        403,
        "the last good one serves on"
    );
}
