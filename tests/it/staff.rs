//! People who sign in on the admin listener at the gate's issuer: there and back, checked as often, and gone when they are gone there.

use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};

use crate::{
    backend::{empty, mirror},
    client::{self, Answer, Client, Http, until},
    provider::{Provider, form},
    world::World,
};

/// A browser in front of the admin listener: its cookies, which know no ports.
struct Colleague {
    address: SocketAddr,
    jar: Vec<(String, String)>,
}

impl Colleague {
    fn of(world: &World) -> Self {
        Self {
            address: world.addresses.admin.unwrap(),
            jar: Vec::new(),
        }
    }

    async fn open(&mut self, target: &str) -> Answer {
        let tcp = client::tcp(self.address).await;
        let mut client = Client::over(tcp, Http::One, "http", self.address.to_string()).await;
        let mut request = client.request(&Method::GET, target, empty());
        let pairs = self.jar.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        if !cookies.is_empty() {
            request.headers_mut().insert("cookie", cookies.parse().unwrap());
        }
        let answer = client.ask(request).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(
                cookie.contains("; Path=/; Max-Age=") && cookie.contains("; HttpOnly; SameSite="),
                "{cookie}"
            );
            let (name, rest) = cookie.split_once('=').unwrap();
            self.jar.retain(|(kept, _)| kept != name);
            if !rest.contains("Max-Age=0") {
                self.jar
                    .push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
            }
        }
        answer
    }

    /// Sets out to the provider.
    async fn begin(&mut self) -> String {
        let sent = self.open("/login/issuer").await;
        assert_eq!(sent.status, 303, "{sent:?}");
        sent.header("location").to_owned()
    }

    async fn sign_in(&mut self, provider: &Provider) -> Answer {
        let location = self.begin().await;
        self.open(&back(provider, &location)).await
    }

    async fn status(&mut self) -> u16 {
        self.open("/api/status").await.status.as_u16()
    }
}

/// The way back from the provider, to the admin listener.
fn back(provider: &Provider, location: &str) -> String {
    let back = provider.sign_in(location, "mina");
    back.replace("/.banyan/callback?", "/login/callback?")
}

async fn world(provider: &Provider, session: &str) -> World {
    let admin = "[admin]\nopen = false\nroles = { read = [\"staff\"], write = [\"manager\"] }\n";
    let site = World::new().backend("app", mirror);
    let world = site
        .operator(&format!("{}\n{admin}", provider.gate(session)))
        .start()
        .await;
    until("a way to sign in", async || {
        Colleague::of(&world).open("/login/issuer").await.status == 303
    })
    .await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_role_at_the_issuer_signs_in_there() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut mina = Colleague::of(&world);
    assert_eq!(mina.status().await, 401);
    let page = mina.open("/login").await;
    assert!(page.text().contains("href=\"/login/issuer\""), "{}", page.text());

    let location = mina.begin().await;
    let asked = form(location.split_once('?').unwrap().1);
    let callback = format!("http://{}/login/callback", mina.address);
    assert_eq!(asked["redirect_uri"], callback);
    assert_eq!(
        (
            asked["state"].len(),
            asked["nonce"].len(),
            &*asked["code_challenge_method"]
        ),
        (43, 43, "S256")
    );
    let way_back = back(&provider, &location);
    let stranger = Colleague::of(&world).open(&way_back).await;
    assert_eq!(stranger.status, 400, "another browser set out");

    // somebody without a role here, as the provider has it at first
    let refused = mina.open(&way_back).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(mina.jar.is_empty(), "{:?}", mina.jar);
    assert_eq!(
        mina.open(&way_back).await.status,
        400,
        "each sign-in comes back once"
    );

    provider.behave(|behaviour| behaviour.roles = json!(["manager"]));
    let signed_in = mina.sign_in(&provider).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.text());
    assert!(
        signed_in.text().contains("content=\"0;url=/\""),
        "{}",
        signed_in.text()
    );
    assert_eq!(mina.jar.len(), 1, "the sign-in's own cookie is gone");
    let me: Value = serde_json::from_slice(&mina.open("/api/me").await.body).unwrap();
    assert_eq!(
        (&me["name"], &me["scopes"]),
        (&json!("mina"), &json!(["read", "write"]))
    );
    assert_eq!(mina.status().await, 200);
    let told = mina.open("/login").await;
    assert!(told.text().contains("<b>mina</b>"), "{}", told.text());

    let declined = mina.begin().await;
    let state = &form(declined.split_once('?').unwrap().1)["state"];
    let target = format!(
        "/login/callback?error=access_denied&state={state}&iss={}",
        provider.url()
    );
    let declined = mina.open(&target.replace("://", "%3A%2F%2F")).await;
    assert_eq!(declined.status, 403, "{}", declined.text());
    assert_eq!(mina.status().await, 200, "who was signed in still is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_at_the_issuer_ends_here() {
    let provider = Provider::start();
    provider.behave(|behaviour| behaviour.roles = json!(["staff"]));
    let world = world(&provider, "check = \"1s\"\nidle = \"1h\"").await;
    let mut mina = Colleague::of(&world);
    assert_eq!(mina.sign_in(&provider).await.status, 200);
    until("a check", async || {
        assert_eq!(mina.status().await, 200);
        provider.asked("refresh_token") >= 2
    })
    .await;

    provider.behave(|behaviour| behaviour.fails = Some(503));
    until("the provider to be missed", async || mina.status().await == 503).await;
    provider.behave(|behaviour| behaviour.fails = None);
    until("the provider to be back", async || mina.status().await == 200).await;

    provider.behave(|behaviour| behaviour.roles = json!(["visitor"]));
    until("the role to be gone", async || mina.status().await == 401).await;
    provider.behave(|behaviour| behaviour.roles = json!(["staff"]));
    assert_eq!(mina.status().await, 401, "it does not come back");

    assert_eq!(mina.sign_in(&provider).await.status, 200);
    assert_eq!(mina.status().await, 200);
    let token = provider.logout_token(&json!({ "sub": "mina", "sid": "sid-mina" }));
    let mut provider_itself = world.client(Http::One).await;
    let told = provider_itself
        .post("/.banyan/backchannel-logout", format!("logout_token={token}"))
        .await;
    assert_eq!(told.status, 200);
    assert_eq!(mina.status().await, 401, "signed out there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_role_counts_nobody_is_sent_to_sign_in() {
    let provider = Provider::start();
    let site = World::new().backend("app", mirror);
    let world = site.operator(&provider.gate("")).start().await;
    let mut mina = Colleague::of(&world);
    let page = mina.open("/login").await;
    assert!(!page.text().contains("/login/issuer"), "{}", page.text());
    assert_eq!(mina.open("/login/issuer").await.status, 404);
    assert_eq!(mina.open("/login/callback?code=x&state=y").await.status, 404);
}
