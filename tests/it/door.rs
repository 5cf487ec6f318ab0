//! The admin listener's door, at the real program: the first link, tokens that the command line made, roles of the issuer, sessions.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use http::Method;

use crate::{
    backend::{empty, full, mirror},
    client::{self, Answer, Client, Http, until},
    issuer::{GOOD, OTHER, gate},
    program,
    world::{World, within},
};

const FLAG: &str = "squad = \"learn\"\nvariants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n";

/// What the listener at `address` says to a request with these fields; a body is a form's.
async fn ask(
    address: std::net::SocketAddr,
    method: &Method,
    target: &str,
    form: &str,
    fields: &[(&str, &str)],
) -> Answer {
    let tcp = client::tcp(address).await;
    let mut client = Client::over(tcp, Http::One, "http", address.to_string()).await;
    let body = if form.is_empty() {
        empty()
    } else {
        full(form.to_owned())
    };
    let mut request = client.request(method, target, body);
    for (name, value) in fields {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    if !form.is_empty() {
        let media = http::HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert("content-type", media);
    }
    client.ask(request).await
}

async fn bearing(world: &World, method: &Method, target: &str, token: &str) -> u16 {
    let address = world.addresses.admin.unwrap();
    let bearer = format!("Bearer {token}");
    let answer = ask(address, method, target, "", &[("authorization", &bearer)]).await;
    answer.status.as_u16()
}

/// Runs `banyan token add`: the secret, and the lines for banyan.toml.
fn made(folder: &Path, arguments: &[&str]) -> (String, String) {
    let ran = program::run(folder, &[&["token", "add"], arguments].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let secret = ran.err.lines().next().unwrap().to_owned();
    assert!(
        secret.starts_with("bny_") && !ran.out.contains(&secret),
        "{}",
        ran.out
    );
    (secret, ran.out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_made_lets_in_until_it_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, reads) = made(folder.path(), &["watch", "--scope", "read"]);
    let (writer, writes) = made(
        folder.path(),
        &["deploy", "--scope", "write", "--squad", "world", "--for", "8h"],
    );
    let site = World::new().backend("app", mirror);
    let world = site
        .operator(&format!("[admin]\nopen = false\n{reads}{writes}"))
        .start()
        .await;
    let get = Method::GET;
    assert_eq!(world.admin("/api/status").await.status, 401);
    assert_eq!(world.admin("/healthz").await.status, 200);
    assert_eq!(world.admin("/api/identity/jwks").await.status, 200);
    assert_eq!(bearing(&world, &get, "/api/status", &reader).await, 200);
    assert_eq!(bearing(&world, &get, "/api/status", &writer).await, 200);
    assert_eq!(
        bearing(&world, &get, "/api/status", &format!("{writer}x")).await,
        401
    );
    assert_eq!(
        bearing(&world, &Method::DELETE, "/api/nothing", &reader).await,
        403
    );
    assert_eq!(
        bearing(&world, &Method::DELETE, "/api/nothing", &writer).await,
        404
    );
    let admitted = "banyan_admin_requests_total{who_kind=\"token\",outcome=\"admitted\"}";
    assert!((world.metric(admitted).await - 3.0).abs() < 0.5);
    let lacking = "banyan_admin_requests_total{who_kind=\"nobody\",outcome=\"scope\"}";
    assert!((world.metric(lacking).await - 1.0).abs() < 0.5);

    let text = world.read("banyan.toml");
    world.write("banyan.toml", &text.replace(&writes, ""));
    world.reload().await;
    assert_eq!(bearing(&world, &get, "/api/status", &writer).await, 401);
    assert_eq!(bearing(&world, &get, "/api/status", &reader).await, 200);
}

#[test]
fn a_token_that_would_mean_something_else_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["ci"][..],
        &["two words", "--scope", "read"],
        &["ci", "--scope", "all"],
        &["ci", "--scope", "read", "--squad", "learn"],
        &["ci", "--scope", "read", "--for", "ever"],
    ] {
        let ran = program::run(folder.path(), &[&["token", "add"], arguments].concat());
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.err);
        assert!(
            ran.out.is_empty() && !ran.err.contains("bny_"),
            "{arguments:?}: {}",
            ran.err
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_others_reach_asks_who_reads() {
    let site = World::new().backend("app", mirror);
    let world = site
        .listen("https = [\"127.0.0.1:0\"]\nadmin = \"0.0.0.0:0\"")
        .start()
        .await;
    let address = (
        std::net::Ipv4Addr::LOCALHOST,
        world.addresses.admin.unwrap().port(),
    )
        .into();
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/api/flags", 401),
        ("/", 401),
    ] {
        let answer = ask(address, &Method::GET, path, "", &[]).await;
        assert_eq!(answer.status, status, "{path}");
    }
    let page = ask(address, &Method::GET, "/", "", &[("accept", "text/html")]).await;
    assert_eq!((page.status.as_u16(), page.header("location")), (303, "/login"));
    assert_eq!(ask(address, &Method::GET, "/login", "", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_of_the_issuer_let_in_as_on_any_route() {
    let roles = "[admin]\nopen = false\nroles = { read = [\"staff\"], write = [\"release-manager\"] }";
    let site = World::new().backend("app", mirror).flag("reviews", FLAG);
    let site = site.operator(&gate("keys.json")).operator(roles);
    fs::write(site.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = site.start().await;
    let token = |roles: &[&str]| GOOD.token("ES256", "mina", roles);
    until("the issuer's keys", async || {
        bearing(&world, &Method::GET, "/api/flags", &token(&["staff"])).await == 200
    })
    .await;
    let (get, delete) = (Method::GET, Method::DELETE);
    assert_eq!(
        bearing(&world, &delete, "/api/nothing", &token(&["release-manager"])).await,
        404
    );
    assert_eq!(
        bearing(&world, &delete, "/api/nothing", &token(&["staff"])).await,
        403
    );
    assert_eq!(bearing(&world, &get, "/api/flags", &token(&["guest"])).await, 403);
    let forged = OTHER.token("ES256", "mina", &["release-manager"]);
    for bad in [forged, GOOD.confused("none"), GOOD.confused("HS256")] {
        assert_eq!(bearing(&world, &get, "/api/flags", &bad).await, 401);
    }
    assert_eq!(world.login_link(), None, "somebody is named");

    // A browser signs in with it and has a session that knows the same.
    let address = world.addresses.admin.unwrap();
    let form = format!("token={}", token(&["release-manager"]));
    let own_page = ("sec-fetch-site", "same-origin");
    let told = ask(address, &Method::POST, "/login", &form, &[own_page]).await;
    assert_eq!(told.status, 303);
    let cookie = told.header("set-cookie").split(';').next().unwrap().to_owned();
    let with = |site: &'static str| [("cookie", cookie.clone()), ("sec-fetch-site", site.to_owned())];
    for (site, status) in [
        ("same-origin", 404),
        ("same-site", 403),
        ("cross-site", 403),
        ("none", 403),
    ] {
        let fields = with(site);
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = ask(address, &delete, "/api/nothing", "", &fields).await;
        assert_eq!(answer.status, status, "{site}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_machine_prints_a_link_that_is_good_once() {
    let site = World::new().backend("app", mirror);
    let config = site.write();
    let said = site.folder().join("log/stderr");
    let mut child = program::banyan(site.folder(), &["run", "--config", config.to_str().unwrap()])
        .env("NO_COLOR", "1")
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let mut link = None;
    until("the link", async || {
        let text = fs::read_to_string(&said).unwrap();
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with("http://127.0.0.1:"));
        link = line.map(|line| line.trim().to_owned());
        link.is_some()
    })
    .await;
    let link = link.unwrap();
    let (address, secret) = link
        .strip_prefix("http://")
        .unwrap()
        .split_once("/login?t=")
        .unwrap();
    let address = address.parse().unwrap();
    let post = |form: String| async move {
        let own_page = ("sec-fetch-site", "same-origin");
        ask(address, &Method::POST, "/login", &form, &[own_page]).await
    };
    let looked = ask(address, &Method::GET, &format!("/login?t={secret}"), "", &[]).await;
    assert!(looked.status == 200 && looked.header("set-cookie").is_empty());
    let told = within("signing in", post(format!("t={secret}"))).await;
    assert_eq!((told.status.as_u16(), told.header("location")), (303, "/"));
    assert_eq!(post(format!("t={secret}")).await.status, 401);

    let file = site.folder().join("state/cli.token");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let cli = fs::read_to_string(&file).unwrap();
    let bearer = format!("Bearer {cli}");
    let answer = ask(
        address,
        &Method::DELETE,
        "/api/nothing",
        "",
        &[("authorization", &bearer)],
    )
    .await;
    assert_eq!(answer.status, 404, "the command line may change");
    let text = fs::read_to_string(&said).unwrap();
    assert!(
        text.contains("who=\"login link\"") || text.contains("who=login link"),
        "{text}"
    );
    assert!(
        text.contains("a change was asked for") && text.contains("command line"),
        "{text}"
    );
    assert!(text.contains("a sign-in on the admin listener failed"), "{text}");
    assert!(
        !text.contains(cli.trim()) && text.matches(secret).count() == 1,
        "{text}"
    );
    child.kill().unwrap();
    let _ = child.wait();
}
