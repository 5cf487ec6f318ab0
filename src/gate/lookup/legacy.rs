//! Who a cookie of the legacy application belongs to: its cookies found in a request, the question, and the answer read.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};

use super::{
    super::{
        claims::roles_at,
        denied::{BadToken, Denied},
        identity::{Identity, is_name},
        json,
        keys::sha256,
        source::Source,
    },
    Answers, Heard, Question, Remembered, Terms, Whom,
    question::{To, Wording},
};
use crate::{
    clock::UnixTime,
    fields::{Fields, Known},
    name::BackendName,
};

/// Most bytes of the cookies that a question is about. With more nobody is asked, and the request is denied.
pub const COOKIES_BYTES_MAX: usize = 8 * 1024;

/// `[gate.legacy]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacySettings {
    /// The backend that knows.
    pub backend: BackendName,
    /// Path and query to ask with GET.
    pub path: String,
    /// The host to name there; `None`: the site's first.
    pub host: Option<String>,
    /// Names of the cookies that are sent, of which one at least must be there. Never empty.
    pub cookies: Vec<String>,
    /// JSON pointer of the id in an answer.
    pub id: String,
    /// JSON pointer of the list of roles, if there is one.
    pub roles: Option<String>,
    /// JSON pointer of the object that flag rules see as the user's claims, if there is one.
    pub claims: Option<String>,
    /// Put in front of every id, so that it can't be another source's.
    pub prefix: String,
    /// How long it may take, and how long it counts.
    pub terms: Terms,
}

/// The legacy application, ready to be asked.
#[derive(Debug)]
pub struct Legacy {
    settings: LegacySettings,
    /// SHA-256 of the settings, so that no others reuse an answer.
    digest: [u8; 32],
}

impl Legacy {
    /// Who is asked as `settings` say.
    #[must_use]
    pub fn new(settings: &LegacySettings) -> Self {
        Self {
            digest: sha256(&[format!("{settings:?}").as_bytes()]),
            settings: settings.clone(),
        }
    }

    /// What it is asked by.
    #[must_use]
    pub const fn settings(&self) -> &LegacySettings {
        &self.settings
    }

    /// Who the request's cookies belong to, as was answered lately. `None`: it has none, or they are nobody's.
    ///
    /// # Errors
    /// [`Denied::Ask`] where it isn't known yet.
    pub(in crate::gate) fn find(
        self: &Arc<Self>,
        headers: &Fields,
        answers: &Answers,
        now: UnixTime,
    ) -> Result<Option<Arc<Identity>>, Denied> {
        if !headers.contains_key(Known::COOKIE) || self.own(headers).next().is_none() {
            return Ok(None);
        }
        let bytes: usize = self.own(headers).map(|pair| pair.len() + 2).sum();
        if bytes > COOKIES_BYTES_MAX {
            return Err(Denied::BadToken(BadToken::TooLarge));
        }
        let key = answers
            .key(Whom::Legacy, &self.digest, self.own(headers))
            .ok_or(Denied::Unanswered(Whom::Legacy))?;
        match answers.recall(&key, now) {
            Some(Remembered::Somebody(identity)) => Ok(Some(identity)),
            Some(Remembered::Nobody) => Ok(None),
            Some(Remembered::Refused(why)) => Err(Denied::BadToken(why)),
            None => {
                let pairs: Vec<_> = self.own(headers).map(String::from_utf8_lossy).collect();
                let to = To::Legacy(Arc::clone(self));
                Err(Denied::Ask(Box::new(Question::new(to, key, pairs.join("; ")))))
            }
        }
    }

    /// The request's cookies that are sent, `name=value` each, in their order: of two with one name the application takes which it likes.
    fn own<'h>(&self, headers: &'h Fields) -> impl Iterator<Item = &'h [u8]> {
        let fields = headers.get_all(Known::COOKIE);
        let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
        pairs.map(<[u8]>::trim_ascii).filter(|pair| {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            let names = &self.settings.cookies;
            name.len() < pair.len() && names.iter().any(|own| own.as_bytes() == name)
        })
    }

    pub(super) fn wording(&self, cookies: &str) -> Wording {
        Wording {
            is_post: false,
            target: self.settings.path.clone(),
            host: self.settings.host.clone(),
            fields: vec![(Known::COOKIE, cookies.to_owned())],
            body: String::new(),
        }
    }

    /// 200 with an id is somebody; 200 without, 401, 403 and every redirect is nobody; anything else tells nothing.
    pub(super) fn read(&self, status: u16, body: &[u8]) -> Heard {
        match status {
            200 => self.read_body(body).unwrap_or_else(Heard::Unknown),
            401 | 403 => Heard::Nobody("nobody"),
            301 | 302 | 303 | 307 | 308 => Heard::Nobody("redirected"),
            _ => Heard::Unknown("status"),
        }
    }

    fn read_body(&self, body: &[u8]) -> Result<Heard, &'static str> {
        let settings = &self.settings;
        let answer = json::parse(body).map_err(|_| "malformed")?;
        let id = match answer.pointer(&settings.id) {
            None | Some(Value::Null | Value::Bool(false)) => return Ok(Heard::Nobody("nobody")),
            Some(Value::String(text)) if text.is_empty() => return Ok(Heard::Nobody("nobody")),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(0) => return Ok(Heard::Nobody("nobody")), // what PHP and SQL say for none
                Some(id) => id.to_string(),
                None => return Err("malformed"),
            },
            Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => return Err("malformed"),
        };
        let subject = format!("{}{id}", settings.prefix);
        if !is_name(&subject) {
            return Err("malformed");
        }
        let roles = match &settings.roles {
            Some(pointer) => roles_at(&answer, pointer).map_err(|_| "malformed")?,
            None => Vec::new(),
        };
        let claims = settings.claims.as_ref();
        let mut claims = match claims.and_then(|pointer| answer.pointer(pointer)) {
            Some(Value::Object(members)) => members.clone(),
            _ => serde_json::Map::new(),
        };
        claims.insert("sub".to_owned(), json!(subject));
        claims.insert("roles".to_owned(), json!(roles));
        Ok(Heard::Somebody(Identity {
            subject,
            roles,
            claims: Value::Object(claims),
            expires: UnixTime { millis: u64::MAX }, // what is remembered of it ends sooner
            source: Source::Legacy,
        }))
    }
}

impl fmt::Display for Legacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LegacySettings {
            backend,
            path,
            cookies,
            terms,
            ..
        } = &self.settings;
        write!(
            f,
            "GET {path} of backend `{backend}`: whose {} it is; counts for {:?}, or {:?} if nobody's",
            cookies.join(", "),
            terms.remember,
            terms.remember_nobody
        )
    }
}
