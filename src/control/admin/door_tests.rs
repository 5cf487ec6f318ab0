//! The door as those meet it who knock: hostile requests by table, signing in and out, and what is withdrawn.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, LazyLock},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::{Router, body::Body, extract::Request, middleware};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::json;

use super::{Door, LINK_AGE_MAX, pass};
use crate::{
    clock,
    config::admin::hex,
    control::{
        admin::{
            actor::Actor,
            attempts::FAILURES_MAX,
            endpoints,
            session::Ground,
            tests::site::{self, Told},
            tokens::hash,
        },
        plane::View,
    },
    gate::KeySet,
};

/// The gate's issuer, or one who says that it is.
#[derive(Debug)]
struct Issuer(Ed25519KeyPair);

static GOOD: LazyLock<Issuer> = LazyLock::new(|| Issuer(Ed25519KeyPair::generate().unwrap()));
static OTHER: LazyLock<Issuer> = LazyLock::new(|| Issuer(Ed25519KeyPair::generate().unwrap()));

impl Issuer {
    fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x }] }).to_string()
    }

    fn token(&self, roles: &[&str]) -> String {
        let now = clock::wall().secs();
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "ed" });
        let claims = json!({ "iss": "https://id.example.test", "aud": "edge", "sub": "mina", "roles": roles, "iat": now - 1, "exp": now + 600, "client_id": "app", "jti": "n1" });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        format!(
            "{message}.{}",
            URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes()))
        )
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    request: String,
    #[serde(default = "own_host")]
    host: String,
    #[serde(default = "loopback")]
    at: String,
    open: Option<bool>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    bearer: Option<String>,
    again: Option<String>,
    session: Option<String>,
    cookie: Option<String>,
    cookie_name: Option<String>,
    #[serde(default)]
    cookies_before: usize,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    holds: Vec<String>,
    #[serde(rename = "as")]
    admitted: Option<String>,
    challenge: Option<String>,
}

fn own_host() -> String {
    "127.0.0.1:9901".to_owned()
}

fn loopback() -> String {
    "127.0.0.1".to_owned()
}

const fn ok() -> u16 {
    200
}

/// The secrets of those whom the operator named.
const TOKENS: [(&str, &str); 5] = [
    ("reader", "scope = \"read\""),
    ("writer", "scope = \"write\""),
    ("learner", "scope = \"write\"\nsquads = [\"learn\"]"),
    ("carter", "scope = \"write:cart\""),
    ("ended", "scope = \"write\""),
];

const LATER: &str = "2999-01-01T00:00:00Z";

fn secret(name: &str) -> String {
    format!("bny_secret-of-{name}")
}

fn admin(open: Option<bool>, without: &str) -> String {
    let mut text = String::from(
        "[gate]\nissuer = \"https://id.example.test\"\naudience = \"edge\"\ndefault_auth = \"none\"\n",
    );
    text.push_str(
        "[admin]\nhosts = [\"Admin.example.com\"]\nroles = { read = [\"staff\"], write = [\"manager\"] }\n",
    );
    if let Some(open) = open {
        text.push_str(&format!("open = {open}\n"));
    }
    for (name, scope) in TOKENS.iter().filter(|(name, _)| *name != without) {
        let ends = if *name == "ended" {
            "2020-01-01T00:00:00Z"
        } else {
            LATER
        };
        let hash = hex(&hash(&secret(name)));
        text.push_str(&format!(
            "[[admin.tokens]]\nname = \"{name}\"\nhash = \"{hash}\"\n{scope}\nexpires = {ends}\n"
        ));
    }
    text
}

struct World {
    view: View,
    cli: String,
    state: tempfile::TempDir,
}

fn world(at: &str, admin: &str) -> World {
    let state = tempfile::tempdir().unwrap();
    let address = format!("{at}:9901").parse().unwrap();
    let mut view = site::view_with(admin);
    view.door = Arc::new(Door::new(state.path(), Some(address), Arc::default()));
    let at = view.live.current();
    if let Some(gate) = &at.gate {
        gate.keys.store(Arc::new(KeySet::parse(&GOOD.jwks()).unwrap().0));
    }
    let cli = std::fs::read_to_string(state.path().join("cli.token")).unwrap();
    drop(at);
    World { view, cli, state }
}

impl World {
    /// What somebody of this name would bring as a token.
    fn token(&self, who: &str) -> String {
        match who {
            "reader" | "writer" | "learner" | "carter" | "ended" | "stranger" => secret(who),
            "hash of writer" => hex(&hash(&secret("writer"))),
            "staff" => GOOD.token(&["staff"]),
            "manager" => GOOD.token(&["other", "manager"]),
            "guest" => GOOD.token(&["guest"]),
            "forged" => OTHER.token(&["manager"]),
            "cli" => self.cli.clone(),
            other => other.to_owned(),
        }
    }

    /// The cookie of a browser in which somebody has signed in.
    fn session(&self, who: &str) -> String {
        let (at, now) = (self.view.live.current(), clock::now());
        let ground = match who {
            "link" => Ground::Link,
            who => self
                .view
                .door
                .recognise(&at, &self.token(who), LOCAL, now)
                .unwrap(),
        };
        self.view.door.open(ground, now).unwrap().reveal().to_owned()
    }

    /// What comes of a request at the door alone: behind it, everything is answered with who asks.
    async fn knock(&self, request: Request) -> Told {
        let behind = Router::new().fallback(async |request: Request| {
            let actor = request.extensions().get::<Actor>();
            actor.map_or_else(String::new, |actor| actor.name.clone())
        });
        told(
            behind.layer(middleware::from_fn_with_state(self.view.clone(), pass)),
            request,
        )
        .await
    }

    /// What comes of a request at the listener.
    async fn ask(&self, request: Request) -> Told {
        told(endpoints::router(self.view.clone()), request).await
    }
}

const LOCAL: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn told(router: Router, request: Request) -> Told {
    let answer = TowerToHyperService::new(router).call(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Told {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

impl Case {
    fn asked(&self, world: &World) -> Request {
        let (method, target) = self.request.split_once(' ').unwrap();
        let mut request = http::Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, &self.host);
        for (name, value) in &self.fields {
            request = request.header(name, value.as_bytes());
        }
        for who in [&self.bearer, &self.again].into_iter().flatten() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", world.token(who)));
        }
        let of_host = if self.host.contains("dmin.example.com") || self.host.contains("DMIN") {
            "__Host-banyan-admin"
        } else {
            "banyan-admin"
        };
        let name = self.cookie_name.as_deref().unwrap_or(of_host);
        let cookie = self.session.as_ref().map(|who| world.session(who));
        let cookie = cookie.or_else(|| self.cookie.as_ref().map(|who| world.token(who)));
        if let Some(cookie) = cookie {
            let before = format!("{name}=other; ").repeat(self.cookies_before);
            request = request.header(header::COOKIE, format!("a=b; {before}{name}={cookie}"));
        }
        request.body(Body::empty()).unwrap()
    }
}

#[tokio::test]
async fn the_door_lets_in_whom_the_table_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/admin/door.toml");
    let table: Table = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(table.case.len() >= 80, "{}", table.case.len());
    let mut worlds: HashMap<(String, Option<bool>), World> = HashMap::new();
    for case in &table.case {
        let world = worlds
            .entry((case.at.clone(), case.open))
            .or_insert_with(|| world(&case.at, &admin(case.open, "")));
        world.view.door = Arc::new(Door::new(
            world.state.path(),
            Some(format!("{}:9901", case.at).parse().unwrap()),
            Arc::default(),
        ));
        world.cli = std::fs::read_to_string(world.state.path().join("cli.token")).unwrap();
        let told = world.knock(case.asked(world)).await;
        assert_eq!(told.status.as_u16(), case.status, "{case:?}: {}", told.text);
        assert_eq!(
            case.admitted.is_some(),
            case.status == 200,
            "{case:?} must say for whom it is let in"
        );
        if let Some(wanted) = case
            .admitted
            .as_ref()
            .filter(|_| !case.request.starts_with("HEAD"))
        {
            assert_eq!(&told.text, wanted, "{case:?}");
        }
        for wanted in &case.holds {
            assert!(told.text.contains(wanted.as_str()), "{case:?}: {}", told.text);
        }
        let challenge = field(&told.headers, header::WWW_AUTHENTICATE.as_str());
        match &case.challenge {
            Some(wanted) => assert_eq!(challenge, wanted, "{case:?}"),
            None => assert_eq!(
                challenge.starts_with("Bearer realm="),
                case.status == 401 || case.status == 403 && told.text.contains("scope"),
                "{case:?}: {challenge}"
            ),
        }
        assert_eq!(field(&told.headers, "cache-control"), "no-store", "{case:?}");
        assert_eq!(field(&told.headers, "x-frame-options"), "DENY", "{case:?}");
    }
}

fn field<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn form(path: &str, text: &str, fields: &[(&str, &str)]) -> Request {
    let mut request = http::Request::post(path)
        .header(header::HOST, "127.0.0.1:9901")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(text.to_owned().into()).unwrap()
}

const OWN_PAGE: (&str, &str) = ("sec-fetch-site", "same-origin");

fn get(path: &str, cookie: &str) -> Request {
    let request = http::Request::get(path).header(header::HOST, "127.0.0.1:9901");
    request
        .header(header::COOKIE, cookie)
        .body(Body::empty())
        .unwrap()
}

/// `name=value` of the cookie that an answer sets.
fn cookie(told: &Told) -> String {
    let set = field(&told.headers, "set-cookie");
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_signs_in_with_a_token_and_out_again() {
    let world = world("127.0.0.1", &admin(Some(false), ""));
    assert_eq!(
        world.ask(get("/api/status", "")).await.status,
        StatusCode::UNAUTHORIZED
    );
    let page = world.ask(get("/login", "")).await;
    assert!(
        page.status == StatusCode::OK && page.text.contains("type=\"password\""),
        "{}",
        page.text
    );
    assert_eq!(field(&page.headers, "referrer-policy"), "same-origin");

    let token = format!("token={}", secret("writer"));
    let told = world.ask(form("/login", &token, &[OWN_PAGE])).await;
    assert_eq!(
        (told.status, field(&told.headers, "location")),
        (StatusCode::SEE_OTHER, "/")
    );
    let set = field(&told.headers, "set-cookie");
    assert!(
        set.starts_with("banyan-admin=")
            && set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
        "{set}"
    );
    assert!(!set.contains("secret-of"), "a cookie is never the token");
    let cookie = cookie(&told);
    assert_eq!(
        world.ask(get("/api/status", &cookie)).await.status,
        StatusCode::OK
    );
    let page = world.ask(get("/login", &cookie)).await.text;
    assert!(
        page.contains("You are <b>writer</b>. You may change every flag") && page.contains("Sign out"),
        "{page}"
    );

    let stranger = world
        .ask(form(
            "/logout",
            "",
            &[("cookie", &cookie), ("sec-fetch-site", "cross-site")],
        ))
        .await;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN);
    let by_get = world.ask(get("/logout", &cookie)).await;
    assert_eq!(by_get.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(
        world.ask(get("/api/status", &cookie)).await.status,
        StatusCode::OK
    );
    let out = world
        .ask(form("/logout", "", &[("cookie", &cookie), OWN_PAGE]))
        .await;
    assert_eq!(
        (out.status, field(&out.headers, "location")),
        (StatusCode::SEE_OTHER, "/login")
    );
    assert!(field(&out.headers, "set-cookie").starts_with("banyan-admin=; Path=/; Max-Age=0"));
    assert_eq!(
        world.ask(get("/api/status", &cookie)).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn what_is_no_sign_in_of_its_own_page_is_refused() {
    let world = world("127.0.0.1", &admin(None, ""));
    let good = format!("token={}", secret("writer"));
    for (fields, status) in [
        (vec![], 403),
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("origin", "https://stranger.example")], 403),
        (
            vec![
                ("origin", "http://127.0.0.1:9901"),
                ("sec-fetch-site", "same-site"),
            ],
            403,
        ),
        (vec![("origin", "http://127.0.0.1:9901")], 303),
    ] {
        let told = world.ask(form("/login", &good, &fields)).await;
        assert_eq!(told.status.as_u16(), status, "{fields:?}");
        assert_eq!(
            told.headers.contains_key("set-cookie"),
            status == 303,
            "{fields:?}"
        );
    }
    for (text, status) in [
        ("", 401),
        ("token=", 401),
        ("token=nothing", 401),
        ("t=nothing", 401),
        ("token=%zz", 401),
        ("\u{7f}\n", 400),
    ] {
        let told = world.ask(form("/login", text, &[OWN_PAGE])).await;
        assert_eq!(told.status.as_u16(), status, "{text:?}: {}", told.text);
        assert!(!told.headers.contains_key("set-cookie"), "{text:?}");
        assert!(
            !told.text.contains("value=\"nothing\""),
            "what was typed is not shown again"
        );
    }
    let mut json = form("/login", "{}", &[OWN_PAGE]);
    json.headers_mut()
        .insert("content-type", "application/json".parse().unwrap());
    assert_eq!(world.ask(json).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn behind_the_proxy_the_cookie_is_bound_to_its_host() {
    let world = world("127.0.0.1", &admin(None, ""));
    let mut request = form("/login", &format!("token={}", secret("reader")), &[OWN_PAGE]);
    request
        .headers_mut()
        .insert("host", "admin.example.com".parse().unwrap());
    let told = world.ask(request).await;
    let set = field(&told.headers, "set-cookie");
    assert!(
        set.starts_with("__Host-banyan-admin=")
            && set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"),
        "{set}"
    );
}

#[tokio::test]
async fn the_printed_link_is_good_once_and_not_for_long_and_only_by_post() {
    let world = world("127.0.0.1", "");
    let (at, door) = (world.view.live.current(), &world.view.door);
    let link = door.invite("0.0.0.0:9901".parse().unwrap(), &at.admin).unwrap();
    let secret = link
        .reveal()
        .strip_prefix("http://127.0.0.1:9901/login?t=")
        .unwrap();
    assert_eq!(format!("{link:?}"), "***");

    let page = world.ask(get(&format!("/login?t={secret}"), "")).await;
    assert!(
        page.text.contains("This link signs in one browser"),
        "{}",
        page.text
    );
    assert!(!page.headers.contains_key("set-cookie"), "nothing happens by GET");
    let form = |text: &str| form("/login", text, &[OWN_PAGE]);
    assert_eq!(
        world.ask(form("t=another")).await.status,
        StatusCode::UNAUTHORIZED
    );
    let told = world.ask(form(&format!("t={secret}"))).await;
    assert_eq!(told.status, StatusCode::SEE_OTHER);
    let page = world.ask(get("/login", &cookie(&told))).await.text;
    assert!(page.contains("change every flag"), "{page}");
    let again = world.ask(form(&format!("t={secret}"))).await;
    assert!(
        again.status == StatusCode::UNAUTHORIZED && again.text.contains("has been used"),
        "{}",
        again.text
    );

    let late = door.invite("127.0.0.1:9901".parse().unwrap(), &at.admin).unwrap();
    let (_, late) = late.reveal().split_once("t=").unwrap();
    let now = clock::now();
    let too_late = now.later(now.steady + LINK_AGE_MAX);
    assert!(door.redeem(late, LOCAL, too_late).is_err());
    assert!(door.redeem(late, LOCAL, now).is_ok());

    let named = self::world("127.0.0.1", &admin(None, ""));
    let at = named.view.live.current();
    assert!(
        named
            .view
            .door
            .invite("127.0.0.1:9901".parse().unwrap(), &at.admin)
            .is_none()
    );
}

#[tokio::test]
async fn a_session_ends_with_what_it_began_with() {
    let mut world = world("127.0.0.1", &admin(Some(false), ""));
    let of_token = format!("banyan-admin={}", world.session("learner"));
    let of_roles = format!("banyan-admin={}", world.session("manager"));
    for cookie in [&of_token, &of_roles] {
        assert_eq!(world.ask(get("/api/status", cookie)).await.status, StatusCode::OK);
    }
    let door = Arc::clone(&world.view.door);
    world.view = site::view_with(
        &admin(Some(false), "learner").replace("write = [\"manager\"]", "write = [\"boss\"]"),
    );
    world.view.door = door;
    for cookie in [&of_token, &of_roles] {
        assert_eq!(
            world.ask(get("/api/status", cookie)).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
}

#[tokio::test]
async fn an_address_that_guesses_has_to_wait_but_a_right_token_passes() {
    let world = world("127.0.0.1", &admin(None, ""));
    let bearer = |token: String| {
        let request = http::Request::get("/api/status").header(header::HOST, "127.0.0.1");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        request.body(Body::empty()).unwrap()
    };
    for guess in 0..FAILURES_MAX {
        let told = world.ask(bearer(format!("bny_{guess}"))).await;
        assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{guess}");
    }
    for wrong in [secret("stranger"), world.token("forged"), world.token("manager")] {
        let told = world.ask(bearer(wrong)).await;
        assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS, "{}", told.text);
        assert_eq!(field(&told.headers, "retry-after"), "60");
    }
    let told = world.ask(form("/login", "t=guess", &[OWN_PAGE])).await;
    assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(world.ask(bearer(secret("writer"))).await.status, StatusCode::OK);
    assert_eq!(world.ask(bearer(world.cli.clone())).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nobody_is_let_in_by_tokens_whose_keys_were_never_read() {
    let world = world("127.0.0.1", &admin(None, ""));
    let at = world.view.live.current();
    at.gate.as_ref().unwrap().keys.store(Arc::new(KeySet::none()));
    let now = clock::now();
    let refused = world
        .view
        .door
        .recognise(&at, &world.token("manager"), LOCAL, now);
    assert_eq!(refused.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn the_command_lines_token_is_new_at_each_start_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = world("127.0.0.1", "");
    let file = world.state.path().join("cli.token");
    std::fs::write(world.state.path().join("cli.new"), "left by a crash").unwrap();
    let _again = Door::new(
        world.state.path(),
        Some("127.0.0.1:1".parse().unwrap()),
        Arc::default(),
    );
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text != world.cli && text.starts_with("bny_"), "{text}");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let _none = Door::new(elsewhere.path(), None, Arc::default());
    assert!(
        !elsewhere.path().join("cli.token").exists(),
        "no listener, no token"
    );
}
