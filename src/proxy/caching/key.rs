//! By what a request is told apart from others in the cache, and whether it is one for it.

use std::sync::Arc;

use http::Method;
use smallvec::SmallVec;

use super::shortcut::Said;
use crate::{
    cache::{
        store::{Key, KeyHash, Labels, Selected},
        vary,
    },
    fields::{Fields, Known, Value},
    message::Head,
    name::unversioned,
    policy::caching::Caching,
    route::RouteId,
    snapshot::{Rule, Snapshot, cached, decide::Decision},
};

/// What is kept of a decision for the cache, before the request becomes the backend's.
#[derive(Debug, Clone)]
pub struct Noted {
    /// The route.
    pub route: RouteId,
    /// Lower case, no port.
    pub host: Box<str>,
    /// The path as it was judged, with what of the query is in the key.
    pub target: Box<str>,
    /// The query as it came, if the backend is to get another.
    pub narrowed: bool,
    /// Flags of the route with their variants.
    pub flags: SmallVec<[(Arc<str>, Arc<str>); 2]>,
    /// The name of the backend that the decision leads to.
    backend: Arc<str>,
    /// Why the request goes past the cache, if it does.
    pub bypass: Option<&'static str>,
    /// The request has credentials.
    pub authorized: bool,
    /// By what it will be known again, if it can be.
    pub said: Option<Said>,
}

impl Noted {
    /// What the cache must know of a request, where its route has one, or where it may change what others are answered.
    pub fn of(
        decision: &Decision<'_>,
        head: &Head,
        host: &str,
        at: &Snapshot,
        said: Option<Said>,
    ) -> Option<Box<Self>> {
        let rule = at.rule(decision.route)?;
        let caching = rule.policy.cache.as_deref();
        if caching.is_none() && (!at.caches || head.method.is_safe()) {
            return None;
        }
        let target = cached::target(caching, &decision.path, decision.query);
        let kept = target.split_once('?').map(|(_, query)| query);
        let narrowed = kept != decision.query;
        let backend = at.backend(decision.backend)?;
        let upgrade = head.upgrade.is_some().then_some("upgrade");
        let authorized = decision.identity.is_some() || head.headers.contains_key(Known::AUTHORIZATION);
        Some(Box::new(Self {
            route: decision.route,
            host: host.into(),
            target: target.into(),
            narrowed,
            flags: cached::variants(&decision.choices, at),
            backend: backend.settings.name.shared(),
            bypass: cached::bypass(caching, decision, &head.headers).or(upgrade),
            authorized,
            said,
        }))
    }
}

/// A request's key.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// All of it.
    pub hash: KeyHash,
    /// Cookies are a part of it.
    pub has_cookies: bool,
    host: Box<str>,
    target: Box<str>,
    rest: String,
}

impl Keyed {
    /// The key of a request whose fields are those that its backend gets.
    #[must_use]
    pub fn of(noted: &Noted, fields: &Fields, rule: &Rule, caching: &Caching) -> Self {
        let mut parts: SmallVec<[&[u8]; 24]> = SmallVec::new();
        let fingerprint = rule.fingerprint.to_le_bytes();
        parts.extend([
            &fingerprint[..],
            rule.squad.as_bytes(),
            rule.name.as_bytes(),
            noted.backend.as_bytes(),
            noted.host.as_bytes(),
            noted.target.as_bytes(),
        ]);
        // the backend is told these, and some write them into their pages
        let told = [
            Known::HOST,
            Known::X_FORWARDED_HOST,
            Known::X_FORWARDED_PROTO,
            Known::X_FORWARDED_PORT,
        ];
        for name in told {
            parts.push(fields.get(name).map_or(b"", Value::as_bytes));
        }
        for (flag, variant) in &noted.flags {
            parts.extend([flag.as_bytes(), variant.as_bytes()]);
        }
        for name in &caching.headers {
            parts.push(name.as_bytes());
            for value in fields.get_all(name.as_str()) {
                parts.extend([&b"="[..], value.as_bytes()]);
            }
        }
        parts.push(b"cookies");
        parts.push(fields.get(Known::COOKIE).map_or(b"", Value::as_bytes));
        Self {
            hash: KeyHash::of(parts),
            has_cookies: fields.contains_key(Known::COOKIE),
            host: noted.host.clone(),
            target: noted.target.clone(),
            rest: rest(noted, fields, caching),
        }
    }

    /// As the store has it.
    #[must_use]
    pub fn as_key(&self) -> Key<'_> {
        Key {
            hash: self.hash,
            host: &self.host,
            target: &self.target,
            rest: &self.rest,
        }
    }

    /// The key of a flight that is only for those who have the same as this request where another answer varies.
    #[must_use]
    pub fn among(&self, selected: &Selected, fields: &Fields) -> KeyHash {
        let own = self.hash.0.to_le_bytes().to_vec();
        let parts = vary::parts(selected, fields);
        KeyHash::of(std::iter::once(own).chain(parts))
    }
}

/// The dimensions beside host and target, for people: names and variants, never values, which may be a visitor's.
fn rest(noted: &Noted, fields: &Fields, caching: &Caching) -> String {
    let mut words: Vec<String> = noted
        .flags
        .iter()
        .map(|(flag, variant)| format!("flag {flag}={variant}"))
        .collect();
    let (_, version) = unversioned(&noted.backend);
    words.extend(version.map(|version| format!("version {version}")));
    words.extend(caching.headers.iter().cloned());
    if fields.contains_key(Known::COOKIE) {
        words.push("cookies".to_owned());
    }
    words.join("; ")
}

/// What an answer to a request can be dropped by.
#[must_use]
pub fn labels(noted: &Noted, rule: &Rule, fields: &Fields) -> Labels {
    Labels {
        route: Some(Arc::clone(&rule.name)),
        squad: Some(Arc::clone(&rule.squad)),
        flags: noted.flags.clone(),
        groups: crate::cache::labels::groups(fields),
        tags: crate::cache::labels::tags(fields),
    }
}

/// Makes of a request the one that is asked for everybody: nothing of it is one client's.
pub fn narrow(head: &mut Head, noted: &Noted, caching: &Caching, compresses: bool) {
    if noted.narrowed {
        let query = noted.target.split_once('?').map(|(_, query)| query);
        let path = head.target().split('?').next().unwrap_or_default();
        let target = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        head.set_target(target);
    }
    let fields = &mut head.headers;
    let host = fields
        .get(Known::HOST)
        .map(|host| host.as_bytes().to_ascii_lowercase());
    let encodings = match compresses {
        true => "identity".to_owned(), // one answer, compressed for each client
        false => vary::accept_encoding(fields),
    };
    let credentials = fields.get(Known::AUTHORIZATION).filter(|_| noted.authorized);
    let credentials = credentials.map(|value| value.as_bytes().to_vec());
    caching.narrow(fields);
    if let Some(credentials) = credentials {
        fields.insert(Known::AUTHORIZATION, credentials); // its answer is kept only if it says that it is for everybody
    }
    fields.remove_all(crate::cache::conditional::CONDITIONS);
    fields.remove(Known::RANGE);
    if let Some(host) = host {
        fields.insert(Known::HOST, host);
    }
    fields.insert(Known::ACCEPT_ENCODING, encodings);
}

/// Whether a method can be answered from the cache.
#[must_use]
pub fn is_cacheable(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}
