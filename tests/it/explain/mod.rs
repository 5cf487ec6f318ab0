//! Explanation and behaviour are one: 10,000 random requests to a running router, each held against `explain` of the same files.

mod random;

use std::{collections::BTreeSet, fs, sync::Arc};

use banyan::{
    clock,
    config::Sources,
    gate::{KeySet, TokenMemory},
    snapshot::{Snapshot, decide::Entrance, explain::Explanation},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use random::{Asked, Dice, Material, site};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use crate::{
    client::{Http, field, status, tcp, tls, until},
    issuer::{GOOD, OTHER},
    offline::{compiled_with, visitor_cookie},
    world::{World, within},
};

/// Another one finds other requests; this one finds the same ones every time.
const SEED: u64 = 0x0ba0_ba2b_ab20_2026;
const ROUTES: usize = 200;
const FLAGS: usize = 30;
const BACKENDS: usize = 6;
const PRIVATE_REQUESTS: usize = 9_500;
const PUBLIC_REQUESTS: usize = 500;
const PLAIN_REQUESTS: usize = 500;
const CONNECTIONS: usize = 4;

/// A connection for one request after another; a new one whenever the router closes it.
struct Line<S> {
    io: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// The answer's head.
    async fn ask(&mut self, asked: &Asked) -> String {
        self.io.write_all(asked.text().as_bytes()).await.unwrap();
        self.io.flush().await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.io.read_line(&mut head).await.unwrap();
            assert!(read > 0, "closed after {head:?} to {asked:?}");
        }
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        if asked.method != "HEAD" && length > 0 {
            let mut body = vec![0; length];
            self.io.read_exact(&mut body).await.unwrap();
        }
        head
    }
}

fn is_last(head: &str) -> bool {
    field(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

/// Where the answer is not what the explanation says.
fn differences(asked: &Asked, head: &str, told: &Explanation) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, wanted: Option<&str>, got: Option<&str>| {
        if wanted != got {
            wrong.push(format!("{what}: explained {wanted:?}, got {got:?}"));
        }
    };
    let header = |name: &str| {
        told.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let got_status = status(head);
    let location = told.redirect.as_ref().map(|redirect| redirect.location.as_str());
    same("location", location, field(head, "location"));
    let refused = told.refused.as_ref().map(|refused| refused.status);
    let redirected = || told.redirect.as_ref().map(|redirect| redirect.status);
    match refused.or_else(redirected) {
        Some(status) => {
            same("status", Some(&status.to_string()), Some(&got_status.to_string()));
            same("backend", None, field(head, "x-backend"));
            same(
                "allow",
                (status == 405).then_some("it"),
                field(head, "allow").map(|_| "it"),
            );
        }
        None => {
            same("status", Some("200"), Some(&got_status.to_string()));
            same(
                "backend",
                told.backend.as_ref().map(|goes| goes.backend.as_str()),
                field(head, "x-backend"),
            );
            same("flags", header("Banyan-Flags"), field(head, "x-flags"));
            same("user", header("Banyan-User"), field(head, "x-user"));
            let query = asked
                .target
                .split_once('?')
                .map(|(_, query)| format!("?{query}"))
                .unwrap_or_default();
            let path = told.forwarded.as_ref().or(told.path.as_ref());
            let target = path.map(|path| format!("{path}{query}"));
            same("target", target.as_deref(), field(head, "x-target"));
        }
    }
    let sets = told.visitor.as_ref().is_some_and(|cookie| cookie.set);
    same(
        "cookie",
        sets.then_some("set"),
        field(head, "set-cookie").map(|_| "set"),
    );
    wrong
}

/// The bits of the visitor that an answer made, so that the explanation can be of the same one.
fn minted(head: &str) -> [u8; 16] {
    let id = field(head, "set-cookie").and_then(|set| set.strip_prefix("__Host-banyan=")?.split('.').nth(2));
    let bits = id.and_then(|id| URL_SAFE_NO_PAD.decode(id).ok());
    bits.and_then(|bits| bits.try_into().ok()).unwrap_or_default()
}

/// The same files compiled offline, with the router's own secret and the issuer's keys.
fn offline(world: &World) -> Snapshot {
    let secret = fs::read_to_string(world.folder().join("state/visitor.key")).unwrap();
    let at = compiled_with(
        &Sources::read(world.folder()),
        URL_SAFE_NO_PAD.decode(secret.trim()).unwrap(),
    );
    let keys = KeySet::parse(&GOOD.jwks()).unwrap().0;
    at.gate.as_ref().unwrap().keys.store(Arc::new(keys));
    at
}

fn material(dice: &mut Dice, at: &Snapshot) -> Material {
    let visitors = (0..40).map(|_| {
        let mut bits = [0; 16];
        bits.fill_with(|| u8::try_from(dice.below(256)).unwrap());
        visitor_cookie(&URL_SAFE_NO_PAD.encode(bits), clock::wall(), at)
    });
    let tokens = [
        GOOD.token("RS256", "alice", &["member"]),
        GOOD.token("ES256", "bob", &["staff"]),
        GOOD.token("EdDSA", "carol", &["admin", "staff"]),
        GOOD.token("EdDSA", "dave", &[]),
        OTHER.token("EdDSA", "mallory", &["admin"]),
        GOOD.confused("none"),
    ];
    Material {
        visitors: visitors.collect(),
        tokens: tokens
            .iter()
            .map(|token| format!("Bearer {token}"))
            .chain(["Basic YTpi".to_owned(), "Bearer rubbish".to_owned()])
            .collect(),
    }
}

/// How requests came out, so that the test can't pass by refusing all of them.
#[derive(Debug, Default)]
struct Tally {
    forwarded: usize,
    refused: usize,
    redirected: usize,
    /// Forwarded under another path.
    changed: usize,
    flagged: usize,
    routes: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Tally {
    fn count(&mut self, asked: &Asked, head: &str, told: &Explanation) {
        match (&told.refused, &told.redirect) {
            (Some(_), _) => self.refused += 1,
            (None, Some(_)) => self.redirected += 1,
            (None, None) => self.forwarded += 1,
        }
        self.changed += usize::from(told.forwarded.is_some());
        self.flagged += usize::from(!told.flags.is_empty());
        self.routes
            .extend(told.route.as_ref().map(|won| won.place.clone()));
        let wrong = differences(asked, head, told);
        if !wrong.is_empty() {
            self.wrong
                .push(format!("{}\n{}{head}\n{told}", wrong.join("\n"), asked.text()));
        }
    }

    fn add(&mut self, other: Self) {
        self.forwarded += other.forwarded;
        self.refused += other.refused;
        self.redirected += other.redirected;
        self.changed += other.changed;
        self.flagged += other.flagged;
        self.routes.extend(other.routes);
        self.wrong.extend(other.wrong);
    }

    /// Nothing came out otherwise than explained, and enough came out in each way.
    fn judge(self) {
        let Self {
            forwarded,
            refused,
            redirected,
            changed,
            flagged,
            routes,
            wrong,
        } = self;
        println!(
            "{forwarded} forwarded, {changed} of them under another path, {refused} refused, {redirected} redirected, {flagged} under a flag, {} routes",
            routes.len()
        );
        let first = wrong.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
        assert!(wrong.is_empty(), "{} differ; the first:\n{first}", wrong.len());
        assert_eq!(
            forwarded + refused + redirected,
            PRIVATE_REQUESTS + PUBLIC_REQUESTS + PLAIN_REQUESTS
        );
        assert!(
            refused > 1_000
                && redirected > 300
                && changed > 300
                && flagged > 2_000
                && routes.len() > ROUTES / 2,
            "{refused} {redirected} {changed} {flagged} {routes:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_random_requests_go_where_explain_says() {
    let mut dice = Dice(SEED);
    let world = site(&mut dice).start().await;
    let at = Arc::new(offline(&world));
    assert_eq!((at.rules.len(), at.backends.len()), (ROUTES, BACKENDS));
    let material = Arc::new(material(&mut dice, &at));
    until("the issuer's keys", async || {
        let gate = world.plane().live().current();
        !gate.gate.as_ref().unwrap().keys.load().is_empty()
    })
    .await;
    let mut running = Vec::new();
    for number in 0..CONNECTIONS {
        let (at, material, address) = (Arc::clone(&at), Arc::clone(&material), world.addresses.private[0]);
        let mut dice = Dice(SEED ^ (0x9e37 * (number as u64 + 1)));
        running.push(tokio::spawn(async move {
            let memory = TokenMemory::new();
            let mut tally = Tally::default();
            let mut line = Line {
                io: BufReader::new(tcp(address).await),
            };
            for _ in 0..PRIVATE_REQUESTS / CONNECTIONS {
                let asked = Asked::random(
                    &mut dice,
                    &material,
                    &["localhost", "api.localhost", "10.1.2.3:8080", "other.example"],
                );
                let head = within("an answer", line.ask(&asked)).await;
                tally.count(
                    &asked,
                    &head,
                    &asked.explained(Entrance::Private, [0; 16], &at, &memory),
                );
                if is_last(&head) {
                    line = Line {
                        io: BufReader::new(tcp(address).await),
                    };
                }
            }
            tally
        }));
    }
    let mut whole = Tally::default();
    for one in running {
        whole.add(one.await.unwrap());
    }
    public(&world, &at, &material, &mut dice, &mut whole).await;
    plain(&world, &at, &material, &mut dice, &mut whole).await;
    whole.judge();
}

/// Over TLS, where new visitors get cookies.
async fn public(world: &World, at: &Snapshot, material: &Material, dice: &mut Dice, tally: &mut Tally) {
    let memory = TokenMemory::new();
    let open = async || Line {
        io: BufReader::new(tls(world.https(), &world.ca(), Http::One).await),
    };
    let mut line = open().await;
    for _ in 0..PUBLIC_REQUESTS {
        let asked = Asked::random(
            dice,
            material,
            &["localhost", "localhost:8443", "api.localhost", "evil.example"],
        );
        let head = within("an answer", line.ask(&asked)).await;
        tally.count(
            &asked,
            &head,
            &asked.explained(Entrance::Public, minted(&head), at, &memory),
        );
        if is_last(&head) {
            line = open().await;
        }
    }
}

/// Over plain HTTP, where most is sent to https. What is told of that knows no port.
async fn plain(world: &World, at: &Snapshot, material: &Material, dice: &mut Dice, tally: &mut Tally) {
    let memory = TokenMemory::new();
    let open = async || Line {
        io: BufReader::new(tcp(world.addresses.http[0]).await),
    };
    let mut line = open().await;
    for _ in 0..PLAIN_REQUESTS {
        let asked = Asked::random(
            dice,
            material,
            &["localhost", "localhost:8443", "api.localhost", "evil.example"],
        );
        let head = within("an answer", line.ask(&asked)).await;
        let port = format!("localhost:{}/", world.https().port());
        let without_port = head.replace(&port, "localhost/");
        let entrance = Entrance::Plain(http::Version::HTTP_11);
        tally.count(
            &asked,
            &without_port,
            &asked.explained(entrance, [0; 16], at, &memory),
        );
        if is_last(&head) {
            line = open().await;
        }
    }
}
