//! An identity provider where people sign in: well-behaved, or lying in one way at a time. And a browser with a jar of cookies.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use aws_lc_rs::digest;
use banyan::clock;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    backend::{Body, Server, Speaks, full},
    client::{Answer, Client, Http},
    issuer::{GOOD, Issuer},
    world::World,
};

/// Who the edge is to it.
pub const CLIENT: &str = "banyan";
/// The edge's secret, with characters that must be encoded.
pub const SECRET: &str = "s3cret:%&";

/// Changes header, claims and signature algorithm of the next tokens.
pub type Lie = Arc<dyn Fn(&mut Value, &mut Value) -> Option<String> + Send + Sync>;

/// How it behaves just now.
pub struct Behaviour {
    /// Whose keys sign, and are published.
    pub signs: &'static Issuer,
    /// Whose keys are published, if others.
    pub publishes: Option<&'static Issuer>,
    /// What it lies about.
    pub lie: Option<Lie>,
    /// Roles that people have.
    pub roles: Value,
    /// Status of every answer of the token endpoint.
    pub fails: Option<u16>,
    /// How long the token endpoint takes.
    pub takes: Duration,
    /// It gives refresh tokens, and each counts once.
    pub refreshes: bool,
    /// A renewal brings an ID token.
    pub renews_id_token: bool,
}

#[derive(Default)]
struct Known {
    codes: BTreeMap<String, BTreeMap<String, String>>,
    refresh: BTreeMap<String, String>,
    given: u32,
    asked: Vec<String>,
}

/// The provider.
pub struct Provider {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    address: OnceLock<String>,
    behaviour: Mutex<Behaviour>,
    known: Mutex<Known>,
    about: Mutex<Value>,
}

impl Provider {
    /// One that behaves.
    pub fn start() -> Self {
        let shared = Arc::new(Shared {
            address: OnceLock::new(),
            behaviour: Mutex::new(Behaviour {
                signs: &GOOD,
                publishes: None,
                lie: None,
                roles: json!(["member"]),
                fails: None,
                takes: Duration::ZERO,
                refreshes: true,
                renews_id_token: true,
            }),
            known: Mutex::default(),
            about: Mutex::new(json!({})),
        });
        let answering = Arc::clone(&shared);
        let server = Server::new(Speaks::Http1, move |request| {
            let shared = Arc::clone(&answering);
            async move { shared.answer(request).await }
        });
        shared.address.set(server.url()).unwrap();
        Self { server, shared }
    }

    /// Its issuer identifier.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// `[gate]` that has people sign in there.
    pub fn gate(&self, session: &str) -> String {
        format!(
            "[gate]\nissuer = \"{}\"\nclient_id = \"{CLIENT}\"\nclient_secret = \"{SECRET}\"\n\
             default_auth = \"none\"\n[gate.session]\n{session}",
            self.url()
        )
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.behaviour.lock().unwrap());
    }

    /// Changes what it says of itself, from before the first look on.
    pub fn says(&self, key: &str, value: Value) {
        self.shared.about.lock().unwrap()[key] = value;
    }

    /// How often the token endpoint was asked with this grant.
    pub fn asked(&self, grant: &str) -> usize {
        let known = self.shared.known.lock().unwrap();
        known.asked.iter().filter(|asked| *asked == grant).count()
    }

    /// Ends a refresh token's family: what it gave is worth nothing any more.
    pub fn forget(&self) {
        self.shared.known.lock().unwrap().refresh.clear();
    }

    /// Signs `subject` in, as somebody who was sent to `location` would; the way back.
    pub fn sign_in(&self, location: &str, subject: &str) -> String {
        let (address, query) = location.split_once('?').unwrap();
        assert_eq!(address, format!("{}/auth", self.url()));
        let mut asked = form(query);
        let back = format!("/.banyan/callback?state={}", asked["state"]);
        let code = {
            let mut known = self.shared.known.lock().unwrap();
            known.given += 1;
            let code = format!("code-{}", known.given);
            asked.insert("subject".to_owned(), subject.to_owned());
            known.codes.insert(code.clone(), asked);
            code
        };
        format!("{back}&code={code}&iss={}", encoded(&self.url()))
    }

    /// A logout token with these claims changed; `null` takes one out.
    pub fn logout_token(&self, change: &Value) -> String {
        self.logout_token_of(&GOOD, "ES256", &json!({}), change)
    }

    /// The same with another signer, algorithm and header.
    pub fn logout_token_of(&self, signs: &Issuer, algorithm: &str, head: &Value, change: &Value) -> String {
        let now = clock::wall().secs();
        let mut known = self.shared.known.lock().unwrap();
        known.given += 1;
        let mut claims = json!({
            "iss": self.url(), "aud": CLIENT, "iat": now, "exp": now + 120, "jti": format!("jti-{}", known.given),
            "sub": "alice", "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        merge(&mut claims, change);
        let mut header = json!({ "alg": algorithm, "typ": "logout+jwt", "kid": signs.kid(algorithm) });
        merge(&mut header, head);
        signs.signed(algorithm, &header, &claims)
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        let url = self.address.get().unwrap();
        match head.uri.path() {
            "/.well-known/openid-configuration" => {
                let mut about = json!({
                    "issuer": url, "authorization_endpoint": format!("{url}/auth"),
                    "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/jwks"),
                    "end_session_endpoint": format!("{url}/leave"),
                    "authorization_response_iss_parameter_supported": true,
                });
                merge(&mut about, &self.about.lock().unwrap().clone());
                answer(200, &about)
            }
            "/jwks" => {
                let behaviour = self.behaviour.lock().unwrap();
                let keys = behaviour.publishes.unwrap_or(behaviour.signs).jwks();
                Response::new(full(keys))
            }
            "/token" => {
                let (fails, takes) = {
                    let behaviour = self.behaviour.lock().unwrap();
                    (behaviour.fails, behaviour.takes)
                };
                tokio::time::sleep(takes).await;
                if let Some(status) = fails {
                    return answer(status, &json!({ "error": "server_error" }));
                }
                let basic = STANDARD.encode(format!("{CLIENT}:{}", encoded(SECRET)));
                let authorization = head.headers.get("authorization");
                if authorization.is_none_or(|given| *given != format!("Basic {basic}")) {
                    return answer(401, &json!({ "error": "invalid_client" }));
                }
                match self.grant(&form(std::str::from_utf8(&body).unwrap())) {
                    Some(granted) => answer(200, &granted),
                    None => answer(400, &json!({ "error": "invalid_grant" })),
                }
            }
            _ => answer(404, &json!({})),
        }
    }

    fn grant(&self, asked: &BTreeMap<String, String>) -> Option<Value> {
        let mut known = self.known.lock().unwrap();
        known.asked.push(asked["grant_type"].clone());
        let behaviour = self.behaviour.lock().unwrap();
        let code = asked.get("code").map(|code| known.codes.remove(code));
        let (subject, nonce) = match code {
            Some(signed_in) => {
                let signed_in = signed_in?; // each code counts once
                let verifier = digest::digest(&digest::SHA256, asked["code_verifier"].as_bytes());
                assert_eq!(signed_in["code_challenge"], URL_SAFE_NO_PAD.encode(verifier));
                assert_eq!(signed_in["redirect_uri"], asked["redirect_uri"]);
                (signed_in["subject"].clone(), Some(signed_in["nonce"].clone()))
            }
            None => match known.refresh.remove(&asked["refresh_token"]) {
                Some(subject) => (subject, None),
                None => {
                    known.refresh.clear(); // somebody used one twice: none counts any more
                    return None;
                }
            },
        };
        let mut granted = json!({ "access_token": "at-secret", "token_type": "Bearer", "expires_in": 300 });
        if nonce.is_some() || behaviour.renews_id_token {
            let now = clock::wall().secs();
            let mut header = json!({ "alg": "ES256", "kid": behaviour.signs.kid("ES256") });
            let mut claims = json!({
                "iss": self.address.get().unwrap(), "aud": CLIENT, "sub": subject, "iat": now, "exp": now + 300,
                "sid": format!("sid-{subject}"), "roles": behaviour.roles, "name": "앨리스", "nonce": nonce,
            });
            if nonce.is_none() {
                claims.as_object_mut().unwrap().remove("nonce");
            }
            let lie = behaviour.lie.as_ref().map(|lie| lie(&mut header, &mut claims));
            let algorithm = header["alg"].as_str().unwrap_or("none").to_owned();
            let signed = behaviour.signs.signed(&algorithm, &header, &claims);
            granted["id_token"] = json!(lie.flatten().unwrap_or(signed));
        }
        if behaviour.refreshes {
            known.given += 1;
            let token = format!("refresh-secret-{}", known.given);
            known.refresh.insert(token.clone(), subject);
            granted["refresh_token"] = json!(token);
        }
        Some(granted)
    }
}

/// JSON merge patch, first level: `null` removes.
pub fn merge(target: &mut Value, change: &Value) {
    let members = target.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
}

fn answer(status: u16, value: &Value) -> Response<Body> {
    let answer = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    answer.body(full(value.to_string())).unwrap()
}

/// The pairs of a form, which holds nothing but what the edge encodes.
pub fn form(text: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                byte => byte,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// A browser: it keeps cookies, and says how it asks.
pub struct Browser {
    client: Client,
    /// Its cookies.
    pub jar: BTreeMap<String, String>,
}

impl Browser {
    /// One without cookies.
    pub async fn new(world: &World) -> Self {
        Self {
            client: world.client(Http::Two).await,
            jar: BTreeMap::new(),
        }
    }

    /// The same browser on another connection, which another core may take.
    pub async fn again(&self, world: &World) -> Self {
        Self {
            client: world.client(Http::Two).await,
            jar: self.jar.clone(),
        }
    }

    /// Opens a page.
    pub async fn open(&mut self, path: &str) -> Answer {
        let page = [
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("accept", "text/html,*/*;q=0.8"),
        ];
        self.ask(&Method::GET, path, &page, "").await
    }

    /// Asks as a script does.
    pub async fn fetch(&mut self, path: &str) -> Answer {
        let script = [
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-dest", "empty"),
            ("accept", "*/*"),
        ];
        self.ask(&Method::GET, path, &script, "").await
    }

    /// Asks anything.
    pub async fn ask(&mut self, method: &Method, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let body = if body.is_empty() {
            crate::backend::empty()
        } else {
            full(body.to_owned())
        };
        let mut request = self.client.request(method, path, body);
        for (name, value) in fields {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        if !self.jar.is_empty() {
            request
                .headers_mut()
                .insert("cookie", self.cookies().parse().unwrap());
        }
        let answer = self.client.ask(request).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            if name.starts_with("__Host-banyan-") {
                let right = ["; Path=/;", "; Secure", "; HttpOnly", "; SameSite=Lax"];
                assert!(right.iter().all(|part| cookie.contains(part)), "{cookie}");
                assert!(
                    !cookie.contains("Domain") && cookie.len() < 3_800,
                    "{}",
                    cookie.len()
                );
            }
            match rest.contains("Max-Age=0") {
                true => self.jar.remove(name),
                false => self
                    .jar
                    .insert(name.to_owned(), rest.split(';').next().unwrap().to_owned()),
            };
        }
        answer
    }

    /// As a `Cookie` field.
    pub fn cookies(&self) -> String {
        let pairs = self.jar.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Begins to sign in, as far as the provider: where that is.
    pub async fn begin(&mut self, path: &str) -> String {
        let sent = self.open(path).await;
        assert_eq!(sent.status, 302, "{sent:?}");
        let login = sent.header("location").to_owned();
        assert!(login.starts_with("/.banyan/login?to="), "{login}");
        let away = self.open(&login).await;
        assert_eq!(away.status, 302, "{away:?}");
        away.header("location").to_owned()
    }

    /// Signs in, on the way to `path`; what the callback answers.
    pub async fn sign_in(&mut self, provider: &Provider, path: &str, subject: &str) -> Answer {
        let location = self.begin(path).await;
        let back = provider.sign_in(&location, subject);
        self.open(&back).await
    }
}
