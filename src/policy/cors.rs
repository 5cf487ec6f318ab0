//! Which other sites' scripts may read a route's answers: `[routes.cors]`, decided as browsers read it (the Fetch standard, section 3.2).

use std::{fmt, time::Duration};

use http::{HeaderName, Method};

use super::response::Made;
use crate::fields::{Fields, Known, Value};

/// `[routes.cors]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cors {
    /// Who may ask. At most [`ORIGINS_MAX`].
    pub origins: Vec<Origin>,
    /// With which methods; `GET` also takes `HEAD`.
    pub methods: Listed<Method>,
    /// With which fields beside those that any page may send.
    pub headers: Listed<HeaderName>,
    /// What scripts may read beside what they always may, as `Access-Control-Expose-Headers` says it.
    pub expose: Option<Box<str>>,
    /// Cookies and other credentials may come along. Never together with anything that stands for everyone.
    pub credentials: bool,
    /// How long a browser may keep the answer to a preflight, in whole seconds. `None`: as long as it likes, mostly 5 s.
    pub max_age: Option<Duration>,
    /// The backend's own fields of this kind give way.
    pub overrides: bool,
}

/// Most entries of `origins`: each request that says where it comes from is compared with them one by one.
pub const ORIGINS_MAX: usize = 200;

/// Most names in one `Access-Control-Request-Headers`; a script that needs more is refused.
pub const ASKED_NAMES_MAX: usize = 64;

/// Those of a list, in which `*` stands for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// `*` is in the list.
    pub any: bool,
    /// The others.
    pub named: Vec<T>,
}

/// One entry of `origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `*`.
    Any,
    /// `null`: sandboxed frames, files, redirects across sites.
    Null,
    /// One, as browsers serialise it: lower case, no usual port.
    Exact(Box<str>),
    /// `https://*.example.org`: any number of labels in front, at least one.
    Below {
        /// `https://`.
        scheme: Box<str>,
        /// `.example.org`, with its port.
        end: Box<str>,
    },
}

impl Origin {
    /// Reads an entry. The error completes "is not an origin: …".
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        let (scheme, authority) = text.split_once("://").ok_or("it has no scheme")?;
        let scheme = scheme.to_ascii_lowercase();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !scheme.bytes().all(plain) {
            return Err("its scheme is none");
        }
        if authority.contains(['/', '?', '#']) {
            return Err("it has a path; browsers send scheme, host and port only");
        }
        if !authority.is_ascii() {
            return Err("its host is not in ASCII; write it as browsers send it, with `xn--`");
        }
        let authority = authority.to_ascii_lowercase();
        let (host, port) = split_port(&authority)?;
        let port = match (port, scheme.as_str()) {
            (None, _) | (Some(443), "https") | (Some(80), "http") => String::new(),
            (Some(port), _) => format!(":{port}"),
        };
        if let Some(parent) = host.strip_prefix("*.") {
            is_name(parent)?;
            return Ok(Self::Below {
                scheme: format!("{scheme}://").into(),
                end: format!(".{parent}{port}").into(),
            });
        }
        if !host.starts_with('[') {
            is_name(host)?;
        }
        Ok(Self::Exact(format!("{scheme}://{host}{port}").into()))
    }

    /// Whether it takes what a request says, to the byte.
    #[must_use]
    pub fn takes(&self, asked: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Null => asked == "null",
            Self::Exact(own) => **own == *asked,
            Self::Below { scheme, end } => asked
                .strip_prefix(&**scheme)
                .and_then(|host| host.strip_suffix(&**end))
                .is_some_and(|labels| {
                    is_name(labels).is_ok() && !labels.bytes().any(|b| b.is_ascii_uppercase())
                }),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Null => f.write_str("null"),
            Self::Exact(own) => f.write_str(own),
            Self::Below { scheme, end } => write!(f, "{scheme}*{end}"),
        }
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, _) = rest.split_once(']').ok_or("its address is never closed")?;
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| "its address is not an IPv6 address")?;
            address.len() + 2
        }
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(end).unwrap_or((authority, ""));
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port
        .strip_prefix(':')
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let port = digits
        .and_then(|digits| digits.parse().ok())
        .filter(|port| *port != 0);
    port.map(|port| (host, Some(port)))
        .ok_or("its port is not a number from 1 to 65535")
}

/// Labels of letters, digits, `-` and `_`, none empty: nothing that could end a host and begin another part.
fn is_name(host: &str) -> Result<(), &'static str> {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if host.contains('*') {
        return Err("`*` stands for the leftmost labels only, as in `https://*.example.org`");
    }
    if host.split('.').all(label) {
        Ok(())
    } else {
        Err("its host is not a name or address")
    }
}

/// What an answer is to say of who may read it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Verdict {
    /// Nothing: nobody else may.
    #[default]
    Silent,
    /// `*`. It is said to everyone, so that no cache has to tell askers apart.
    Anyone,
    /// Who asks may: its origin as it said it.
    Asker(Box<str>),
}

/// A preflight: a browser asks whether a script may send another request (the Fetch standard, section 4.8).
#[derive(Debug)]
pub struct Announced<'f> {
    /// The method of the request to come.
    pub method: Method,
    /// Who asks. `None`: it can't be told, so nothing is allowed.
    origin: Option<&'f str>,
    /// The fields of the request to come that not any page may send. `None`: not a list of at most [`ASKED_NAMES_MAX`] names.
    names: Option<Vec<&'f str>>,
}

impl<'f> Announced<'f> {
    /// The request that a preflight announces. `None`: it is no preflight.
    #[must_use]
    pub fn read(method: &Method, fields: &'f Fields) -> Option<Self> {
        if *method != Method::OPTIONS || !fields.contains_key(Known::ORIGIN) {
            return None;
        }
        let mut methods = fields.get_all(REQUEST_METHOD);
        let method = Method::from_bytes(methods.next()?.as_bytes()).ok()?;
        if methods.next().is_some() {
            return None;
        }
        let mut names = Some(Vec::new());
        for value in fields.get_all(REQUEST_HEADERS) {
            names = names.and_then(|names| with_names(names, value));
        }
        Some(Self {
            method,
            origin: asker(fields),
            names,
        })
    }
}

fn with_names<'f>(mut names: Vec<&'f str>, value: Value<'f>) -> Option<Vec<&'f str>> {
    let listed = value.to_str().ok()?.split(',').map(str::trim);
    for name in listed.filter(|name| !name.is_empty()) {
        HeaderName::from_bytes(name.as_bytes()).ok()?; // a token: it may be said back
        if names.len() >= ASKED_NAMES_MAX {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

/// Who asks, if exactly one field says it.
fn asker(fields: &Fields) -> Option<&str> {
    let mut values = fields.get_all(Known::ORIGIN);
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// What a preflight is told when the request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// See [`Cors::credentials`].
    pub credentials: bool,
    /// See [`Cors::max_age`].
    pub max_age: Option<Duration>,
}

impl Allowed {
    /// What two routes allow that may both be meant: the less of each.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            credentials: self.credentials && other.credentials,
            max_age: self.max_age.zip(other.max_age).map(|(one, two)| one.min(two)),
        }
    }
}

/// Why a preflight is answered without leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disallowed {
    /// Who asks is not in `origins`.
    Origin,
    /// `methods` lacks the method.
    Method,
    /// `headers` lacks a field.
    Header,
    /// The request may be another route's, by its fields or cookies, and that one has no `[routes.cors]`.
    Elsewhere,
}

impl Disallowed {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "its origin is not in `origins`",
            Self::Method => "its method is not in `methods`",
            Self::Header => "one of its fields is not in `headers`",
            Self::Elsewhere => {
                "by its fields or cookies it may be the request of a route that has no `[routes.cors]`"
            }
        }
    }
}

impl Cors {
    /// Who may read the answer to a request, which is no preflight.
    #[must_use]
    pub fn judge(&self, method: &Method, fields: &Fields) -> Verdict {
        if !self.takes_method(method) {
            return Verdict::Silent;
        }
        if self.is_for_anyone() {
            return Verdict::Anyone;
        }
        match asker(fields).filter(|asker| self.takes_asker(asker)) {
            Some(asker) => Verdict::Asker(asker.into()),
            None => Verdict::Silent,
        }
    }

    /// Whether the request that a preflight announces may be sent.
    ///
    /// # Errors
    /// Why it may not.
    pub fn permit(&self, announced: &Announced<'_>) -> Result<Allowed, Disallowed> {
        if !announced.origin.is_some_and(|asker| self.takes_asker(asker)) {
            return Err(Disallowed::Origin);
        }
        if !self.takes_method(&announced.method) {
            return Err(Disallowed::Method);
        }
        match &announced.names {
            Some(names) if names.iter().all(|name| self.takes_field(name)) => Ok(Allowed {
                credentials: self.credentials,
                max_age: self.max_age,
            }),
            _ => Err(Disallowed::Header),
        }
    }

    /// Writes the verdict into an answer.
    pub fn write(&self, verdict: &Verdict, made: Made, fields: &mut Fields) {
        if made == Made::ByBackend && fields.iter().any(|(name, _)| is_verdict(name.as_str())) {
            if !self.overrides {
                return; // half of ours beside half of the backend's would allow what neither does
            }
            fields.retain(|name, _| !is_verdict(name.as_str()));
        }
        let who = match verdict {
            Verdict::Silent => return,
            Verdict::Anyone => "*",
            Verdict::Asker(asker) => asker,
        };
        fields.insert(Known::ACCESS_CONTROL_ALLOW_ORIGIN, who);
        if self.credentials {
            fields.insert(Known::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        if let Some(expose) = &self.expose {
            fields.insert("access-control-expose-headers", expose.as_bytes());
        }
    }

    /// Tells caches that the answer depends on who asks, where it does.
    pub fn write_vary(&self, fields: &mut Fields) {
        if !self.is_for_anyone() && !varies(fields) {
            fields.append(Known::VARY, "Origin");
        }
    }

    /// What it says, in a line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let methods = self.methods.named.iter().map(Method::as_str);
        let methods: Vec<&str> = methods.chain(self.methods.any.then_some("*")).collect();
        let origins: Vec<String> = self.origins.iter().map(ToString::to_string).collect();
        let credentials = if self.credentials { " with credentials" } else { "" };
        let unless = if self.overrides {
            ""
        } else {
            ", unless the backend says it"
        };
        format!(
            "scripts of {} may read {}{credentials}{unless}",
            origins.join(", "),
            methods.join(", ")
        )
    }

    fn is_for_anyone(&self) -> bool {
        self.origins.contains(&Origin::Any)
    }

    fn takes_asker(&self, asker: &str) -> bool {
        self.origins.iter().any(|origin| origin.takes(asker))
    }

    fn takes_method(&self, method: &Method) -> bool {
        let Listed { any, named } = &self.methods;
        *any || named.contains(method) || *method == Method::HEAD && named.contains(&Method::GET)
    }

    /// `*` stands for everything but `Authorization`, which has to be named (the Fetch standard, section 4.8, step 7).
    fn takes_field(&self, name: &str) -> bool {
        let Listed { any, named } = &self.headers;
        *any && !name.eq_ignore_ascii_case("authorization")
            || named.iter().any(|own| own.as_str().eq_ignore_ascii_case(name))
    }
}

/// Writes the answer to a preflight: leave for what it asked and nothing beyond, since a browser keeps each method and field that
/// it is told for the whole URL, where other methods may be other routes'.
pub fn write_preflight(announced: &Announced<'_>, allowed: Option<Allowed>, fields: &mut Fields) {
    fields.insert(
        Known::VARY,
        "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    );
    let (Some(allowed), Some(asker), Some(names)) = (allowed, announced.origin, &announced.names) else {
        return;
    };
    fields.insert(Known::ACCESS_CONTROL_ALLOW_ORIGIN, asker);
    if allowed.credentials {
        fields.insert(Known::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    fields.insert("access-control-allow-methods", announced.method.as_str());
    if !names.is_empty() {
        fields.insert("access-control-allow-headers", names.join(", "));
    }
    if let Some(max_age) = allowed.max_age {
        fields.insert(
            "access-control-max-age",
            itoa::Buffer::new().format(max_age.as_secs()),
        );
    }
}

/// Whether caches are told already that an answer depends on who asks.
fn varies(fields: &Fields) -> bool {
    let values = fields
        .get_all(Known::VARY)
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|name| matches!(name.trim(), "*") || name.trim().eq_ignore_ascii_case("origin"))
}

/// The fields by which an answer says who may read it, or what may be sent.
pub(super) fn is_verdict(name: &str) -> bool {
    name.strip_prefix("access-control-")
        .is_some_and(|rest| rest.starts_with("allow-") || matches!(rest, "expose-headers" | "max-age"))
}

const REQUEST_METHOD: &str = "access-control-request-method";
const REQUEST_HEADERS: &str = "access-control-request-headers";

#[cfg(test)]
#[path = "cors_tests.rs"]
mod tests;
