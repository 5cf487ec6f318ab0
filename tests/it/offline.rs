//! A site from texts, compiled without a socket, and requests that it decides.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use banyan::{
    clock::UnixTime,
    config::{
        self, Sources,
        settings::{Settings, TestUser},
    },
    snapshot::{
        Snapshot,
        compile::{Means, compile},
        decide::{Ask, Credential, Entrance},
        explain::{Explanation, explain},
        prove,
    },
    tls,
    visitor::{COOKIE_NAME, SigningKey, VisitorSettings},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

/// 2026-01-01: tables decide at one time for ever.
pub const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

/// A request, as a row of a table says it.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// `GET`.
    pub method: String,
    /// Host without port.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// Fields.
    pub headers: Vec<(String, String)>,
    /// The id of a visitor who brings a cookie.
    pub visitor: Option<String>,
    /// Who is signed in.
    pub user: Option<TestUser>,
    /// On the private listener.
    pub private: bool,
    /// On the http listener.
    pub plain: bool,
    /// Where it comes from.
    pub client: Option<IpAddr>,
}

/// The snapshot of a site's files; whatever is wrong with them fails the test.
#[track_caller]
pub fn compiled(sources: &Sources) -> Snapshot {
    compiled_with(sources, vec![7; 32])
}

/// [`compiled`] with the secret that signs visitor cookies.
#[track_caller]
pub fn compiled_with(sources: &Sources, secret: Vec<u8>) -> Snapshot {
    compiled_from(&settings(sources), secret)
}

/// The settings of a site's files; whatever is wrong with them fails the test.
#[track_caller]
pub fn settings(sources: &Sources) -> Settings {
    let loaded = config::load_sources(sources, &|_| None);
    assert!(!loaded.problems.has_errors(), "{}", loaded.problems.to_plain());
    loaded.settings.unwrap()
}

/// The snapshot of settings.
pub fn compiled_from(settings: &Settings, secret: Vec<u8>) -> Snapshot {
    let visitors = VisitorSettings {
        keys: vec![SigningKey {
            id: "own".to_owned(),
            secret,
        }],
        max_age: Duration::from_secs(180 * 86_400),
        ..VisitorSettings::default()
    };
    let tls = |ca: Option<&Path>| tls::client_config(ca).map_err(|error| error.to_string());
    let means = Means {
        previous: None,
        visitors: &visitors,
        sessions: &[],
        tls: &tls,
    };
    compile(settings, 1, &means).unwrap()
}

/// The cookie that the visitor of this id has.
pub fn visitor_cookie(id: &str, now: UnixTime, at: &Snapshot) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let bits: [u8; 16] = URL_SAFE_NO_PAD.decode(id).unwrap().try_into().unwrap();
    let visitor = at.visitors.mint(bits, now);
    let set = at.visitors.set_cookie(&visitor, now);
    let pair = set.to_str().unwrap().split(';').next().unwrap();
    assert!(pair.starts_with(COOKIE_NAME), "{pair}");
    pair.to_owned()
}

impl Row {
    /// What becomes of it.
    pub fn explained(&self, now: UnixTime, at: &Snapshot) -> Explanation {
        let mut headers: HeaderMap = self
            .headers
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect();
        if let Some(visitor) = &self.visitor {
            let cookie = visitor_cookie(visitor, now, at);
            headers.append("cookie", cookie.try_into().unwrap());
        }
        let identity = self.user.as_ref().map(prove::identity).map(Arc::new);
        let ask = Ask {
            entrance: match (self.private, self.plain) {
                (true, _) => Entrance::Private,
                (false, true) => Entrance::Plain(Version::HTTP_11),
                (false, false) => Entrance::Public,
            },
            method: &Method::from_bytes(self.method.as_bytes()).unwrap(),
            host: &self.host,
            target: &self.target,
            headers: &headers.into(),
            client: self.client,
            credential: Credential::Pretend(identity.as_ref()),
            entropy: [0; 16],
        };
        explain(&ask, now, at)
    }
}
