//! Signed addresses: a table of good ones and attacks, decided offline as live traffic is; then over sockets what a visitor gets and what
//! a backend sees.

use std::{fs, net::IpAddr, path::Path};

use banyan::{
    config::Sources,
    fields::Fields,
    snapshot::{
        Snapshot,
        decide::{Ask, Credential, Entrance, Stop, decide},
    },
};
use http::Method;
use serde::Deserialize;

use crate::{
    backend::mirror,
    client::{Client, Http, until},
    offline::{NOW, Row, compiled},
    signer::{OTHER, P256, RSA, STRANGER, Signer, canned, parameters, safe},
    world::{Builder, World},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    cases: Vec<Case>,
}

/// See the head of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default = "rsa")]
    signer: String,
    #[serde(default = "address")]
    resource: String,
    #[serde(default = "hour")]
    expires: i64,
    policy: Option<String>,
    #[serde(default = "path")]
    ask: String,
    query: Option<String>,
    cookies: Option<String>,
    host: Option<String>,
    client: Option<IpAddr>,
    #[serde(default)]
    private: bool,
    expect: String,
}

fn rsa() -> String {
    "RSA1".to_owned()
}
fn address() -> String {
    "https://www.example.com/videos/a.mp4".to_owned()
}
const fn hour() -> i64 {
    3600
}
fn path() -> String {
    "/videos/a.mp4".to_owned()
}

const OPERATOR: &str = r#"
hosts = ["www.example.com", "other.example.com"]
listen.admin = "127.0.0.1:0"
[key_groups.videos]
RSA1 = "keys/rsa.pem"
EC1 = "keys/ec.pem"
OLD1 = "keys/old.pem"
[key_groups.papers]
OTHER1 = "keys/other.pem"
"#;

const ROUTES: &str = r#"
squad = "media"
[backends.media]
servers = ["http://127.0.0.1:1"]
[[routes]]
path = "/videos/*"
backend = "media"
[routes.signed]
keys = ["videos"]
[[routes]]
path = "/papers/*"
backend = "media"
[routes.signed]
keys = ["papers"]
[[routes]]
path = "/open/*"
backend = "media"
"#;

/// Of a key that was made for this, used once and thrown away.
const OLD_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAt9wu5DRltGgUGCYZkc44
kozEofvtEFBtzZ67Wlx/KbHtjIdoi1HgRXb9C5ZQxv8muJ6lQEstS/GPLLOXAi3x
tha8MmirVpGb/oaD4K4W/2KGDUFtTrsz48VvOpYkE3LGrVCqTJHzab4rPq+pn0e+
tnE5pwAaXv+d+K/Ucyig/ClkfEpq9l+PFpXztXU8vvPRE8+SkxW+/ZbFyaXiUWNC
RnyAAQCtQ5kuBqEBaNd7IxEBzzv1IqRMp8y5NURkGjZdAA+qHgUIhKZIHaAu7FJv
zx1OoBEy6nqwsAKDomG3x1cRucmqr7SPn+bB0UIOZ3So5qG5niQHvQ3HGyoeaM7z
IQIDAQAB
-----END PUBLIC KEY-----
";

/// `openssl dgst -sha1 -sign` of the canned policy for <https://www.example.com/videos/a.mp4?q=1> until 1893456000.
const OLD_SIGNATURE: &str = "rG2~QqhnezFNTjUUyZryB1ICj0FDYTSE2GxTxdj9biggwUq3oLKGFc9QF8UkxjwQY~JpDbIhaO~QXedPFp0~awCGnHenTWBI\
    LOQtrFxj5XNokRnzM3n08udrQOtTEEtV3ODPhPCLK9dIaA5Y86Y0eZDCP3KYDQYOK3AyBzVkIUROmM7aRBb1LN~FkhN-5atrdYrT~k~j4SlPhkq6i0noSsNOAm7D\
    QCgZqklqDRSvjcDNqR82JHshA5C0jkNEflR1CZW7T7U-V~-tYRkxhTIstMLwU0yEVE1MGZoMaIWgSpi30y5OorPVVpFthexcZxXfYSW~4OchtFLfAcLBIj1mHQ__";

fn site() -> Snapshot {
    let mut sources = Sources::empty("/site")
        .with("banyan.toml", OPERATOR)
        .with("routes/media.toml", ROUTES);
    sources.attach("keys/rsa.pem", RSA.pem().into_bytes());
    sources.attach("keys/ec.pem", P256.pem().into_bytes());
    sources.attach("keys/other.pem", OTHER.pem().into_bytes());
    sources.attach("keys/old.pem", OLD_KEY.as_bytes());
    compiled(&sources)
}

impl Case {
    /// The target and the cookies that are sent.
    fn sent(&self) -> (String, Option<String>) {
        let signer: &Signer = match self.signer.as_str() {
            "RSA1" => &RSA,
            "EC1" => &P256,
            "OTHER1" => &OTHER,
            "STRANGER" => &STRANGER,
            other => panic!("{other} has no keys"),
        };
        let expires = NOW.secs().checked_add_signed(self.expires).unwrap();
        let (policy, usual) = match &self.policy {
            None => (
                canned(&self.resource, expires),
                "Expires={expires}&Signature={signature}&Key-Pair-Id={id}&Hash-Algorithm=SHA256",
            ),
            Some(policy) => (
                policy
                    .replace("{resource}", &self.resource)
                    .replace("{expires}", &expires.to_string())
                    .replace("{4000 spaces}", &" ".repeat(4000)),
                "Policy={policy}&Signature={signature}&Key-Pair-Id={id}&Hash-Algorithm=SHA256",
            ),
        };
        let signature = signer.sign(&policy);
        let coded = safe(policy.as_bytes());
        // Not the first letters: what they say is no larger than any modulus then.
        let bent = format!(
            "{}{}{}",
            &signature[..40],
            if &signature[40..41] == "A" { "B" } else { "A" },
            &signature[41..]
        );
        let filled = |text: &str| {
            text.replace("{signature-cut}", &signature[..signature.len() - 1])
                .replace("{signature-bent}", &bent)
                .replace("{signature}", &signature)
                .replace("{policy-cut}", &coded[..coded.len() - 2])
                .replace("{policy}", &coded)
                .replace("{id}", &self.signer)
                .replace("{old}", OLD_SIGNATURE)
                .replace("{expires}", &expires.to_string())
        };
        let query = filled(self.query.as_deref().unwrap_or(usual));
        let mark = match (query.as_str(), self.ask.contains('?')) {
            ("", _) => "",
            (_, true) => "&",
            (_, false) => "?",
        };
        let target = format!("{}{mark}{query}", self.ask);
        (target, self.cookies.as_deref().map(filled))
    }

    fn decided(&self, at: &Snapshot) -> String {
        let (target, cookies) = self.sent();
        let mut headers = Fields::new();
        cookies
            .iter()
            .for_each(|cookies| headers.append("cookie", cookies));
        let ask = Ask {
            entrance: if self.private {
                Entrance::Private
            } else {
                Entrance::Public
            },
            method: &Method::GET,
            host: self.host.as_deref().unwrap_or("www.example.com"),
            target: &target,
            headers: &headers,
            client: self.client,
            credential: Credential::Pretend(None),
            entropy: [0; 16],
        };
        let told = banyan::snapshot::explain::explain(&ask, NOW, at);
        match decide(&ask, NOW, at, &mut ()) {
            Ok(_) => {
                assert!(told.refused.is_none(), "{}: {told}", self.name);
                assert_eq!(told.signed.is_some(), !self.ask.starts_with("/open/a"), "{told}");
                "passes".to_owned()
            }
            Err(Stop::Barred { why, .. }) => {
                let refused = told.refused.unwrap();
                assert_eq!(
                    (refused.status, refused.why),
                    (403, why.to_string()),
                    "{}",
                    self.name
                );
                why.as_str().to_owned()
            }
            Err(Stop::Ambiguous(_)) => "ambiguous".to_owned(),
            Err(other) => format!("{other:?}"),
        }
    }
}

#[test]
fn signed_addresses_pass_and_attacks_do_not() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/signed/attacks.toml");
    let table: Table = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let at = site();
    let mut wrong = Vec::new();
    for case in &table.cases {
        let decided = case.decided(&at);
        if decided != case.expect {
            wrong.push(format!("{}: {decided}, should be {}", case.name, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(table.cases.len() >= 90, "only {} cases", table.cases.len());
}

#[test]
fn explain_says_whose_signature_it_is_and_never_the_signature() {
    let at = site();
    let until = NOW.secs() + 60;
    let query = parameters(&P256, "EC1", &address(), until);
    let row = |target: String| Row {
        method: "GET".to_owned(),
        host: "www.example.com".to_owned(),
        target,
        ..Row::default()
    };
    let told = row(format!("/videos/a.mp4?{query}")).explained(NOW, &at);
    assert_eq!(
        told.signed.as_deref(),
        Some("by key EC1 in the URL, until Thu, 01 Jan 2026 00:01:00 GMT")
    );
    assert!(told.to_string().contains("\n  signed    by key EC1"), "{told}");
    let told = row("/videos/a.mp4".to_owned()).explained(NOW, &at);
    assert!(
        told.to_string()
            .contains("\n  refused   403: the address is not signed"),
        "{told}"
    );
}

/// A world whose `/videos/*` asks for the key EC1.
fn world() -> Builder {
    let builder = World::new()
        .backend("media", mirror)
        .operator("[key_groups.videos]\nEC1 = \"keys/ec.pem\"")
        .routes("[[routes]]\npath = \"/videos/*\"\nbackend = \"media\"\n[routes.signed]\nkeys = [\"videos\"]")
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"media\"");
    let keys = builder.folder().join("keys");
    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("ec.pem"), P256.pem()).unwrap();
    builder
}

fn soon() -> u64 {
    banyan::clock::wall().secs() + 600
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_sees_neither_parameters_nor_cookies_of_a_signature() {
    let world = world().start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let signed = parameters(&P256, "EC1", "https://localhost/videos/a.mp4?q=1&r=%7e", soon());
        let answer = client.get(&format!("/videos/a.mp4?q=1&{signed}&r=%7e")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.seen().get("target"), "/videos/a.mp4?q=1&r=%7e");
        let signed = parameters(&P256, "EC1", "https://localhost/videos/b.mp4", soon());
        let answer = client.get(&format!("/videos/b.mp4?{signed}")).await;
        assert_eq!(answer.seen().get("target"), "/videos/b.mp4");
        let cookies = signed.split('&').map(|pair| format!("CloudFront-{pair}"));
        let cookies = format!("a=1; {}; b=2", cookies.collect::<Vec<_>>().join("; "));
        let line = world.logged(|line| line["path"] == "/videos/b.mp4").await;
        let query = line["query"].as_str().unwrap();
        assert!(
            query.contains("Signature=***&Key-Pair-Id=EC1"),
            "who reads the log can't use it: {query}"
        );
        let answer = client.get_with("/videos/b.mp4", &[("cookie", &cookies)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.seen().header("cookie"), "a=1; b=2");
        // What no route asks for is nobody's business.
        let answer = client.get("/other?Expires=1&Signature=2").await;
        assert_eq!(answer.seen().get("target"), "/other?Expires=1&Signature=2");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_gets_403_and_reaches_no_backend() {
    let world = world().start().await;
    let mut client = world.client(Http::Two).await;
    let answer = client.get("/videos/a.mp4").await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.header("proxy-status"),
        "banyan; error=http_request_denied; details=\"signature_missing\""
    );
    let stranger = parameters(&STRANGER, "EC1", "https://localhost/videos/a.mp4", soon());
    let answer = client.get(&format!("/videos/a.mp4?{stranger}")).await;
    assert_eq!(answer.status, 403);
    assert!(
        answer.header("proxy-status").contains("signature_wrong"),
        "{answer:?}"
    );
    let line = world.logged(|line| line["status"] == 403).await;
    assert_eq!(
        (line["route"].as_str(), line["squad"].as_str()),
        (Some("/videos/*"), Some("world"))
    );
    assert_eq!(world.backend("media").requests(), 0);
}

async fn asked(client: &mut Client, signer: &Signer) -> u16 {
    let signed = parameters(signer, "EC1", "https://localhost/videos/a.mp4", soon());
    client
        .get(&format!("/videos/a.mp4?{signed}"))
        .await
        .status
        .as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_noticed_and_a_broken_one_is_not_taken() {
    let world = world().start().await;
    let mut client = world.client(Http::Two).await;
    assert_eq!(asked(&mut client, &P256).await, 200);
    world.write("keys/ec.pem", &OTHER.pem());
    until("the new key", async || asked(&mut client, &OTHER).await == 200).await;
    assert_eq!(asked(&mut client, &P256).await, 403);
    world.write("keys/ec.pem", "nothing");
    let status = world.reload().await;
    assert_eq!(status.stale, ["banyan.toml"]);
    assert!(
        status.problems.to_plain().contains("[bad-key]"),
        "{}",
        status.problems.to_plain()
    );
    assert_eq!(
        asked(&mut client, &OTHER).await,
        200,
        "the last good one serves on"
    );
}
