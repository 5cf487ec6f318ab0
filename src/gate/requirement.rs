//! What a route, or the operator for a part of the site, asks of whoever comes; and whether somebody has it.

use std::{fmt, time::Duration};

use serde_json::Value;

use super::{Auth, claims, denied::Denied, identity::Identity, source::Source};
use crate::{clock::UnixTime, name::Place};

/// How far ahead the time of a sign-in may be: two clocks differ by less.
const AHEAD: Duration = Duration::from_secs(30);

/// What a route asks for. The default asks nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Whether someone must be known.
    pub auth: Auth,
    /// What may say who it is. Looked at where `auth` is not [`Auth::None`].
    pub accept: Accept,
    /// All of these must be met. Only with [`Auth::Required`].
    pub needs: Vec<Need>,
    /// Other sites (`https://partner.example.com`) whose pages may send unsafe requests with a visitor's cookies.
    pub origins: Vec<Box<str>>,
    /// A dry run: who lacks something passes, and it is counted.
    pub report_only: bool,
    /// The backend gets `Authorization` as it came.
    pub forward_authorization: bool,
}

/// One thing that somebody must have, and where that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What it is about.
    pub what: What,
    /// All of `names`, not any one of them.
    pub all: bool,
    /// What will do. Empty only for [`What::Age`]; otherwise nothing meets it.
    pub names: Vec<String>,
    /// Where it is written.
    pub place: Place,
}

/// What a [`Need`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Roles, as the identity has them.
    Role,
    /// Groups: the claim at this JSON pointer, or `groups` where the identity does not come from the issuer.
    Group(Box<str>),
    /// Scopes: `scope` (RFC 8693 section 4.2), or `scp` where that is missing.
    Scope,
    /// Any other claim, by JSON pointer or name.
    Claim(Box<str>),
    /// How the sign-in was done: `acr` (OpenID Connect Core section 2).
    Acr,
    /// The sign-in (`auth_time`) is not longer ago than this.
    Age(Duration),
}

/// A set of sources.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Accept(u8);

impl Accept {
    /// These.
    #[must_use]
    pub fn of(sources: &[Source]) -> Self {
        Self(sources.iter().fold(0, |set, source| set | Self::bit(*source)))
    }

    /// Whether it has this one.
    #[must_use]
    pub const fn has(self, source: Source) -> bool {
        self.0 & Self::bit(source) != 0
    }

    /// What both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether it has all.
    #[must_use]
    pub const fn is_everything(self) -> bool {
        self.0 == 15
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that it has, in the order in which they are looked at.
    pub fn iter(self) -> impl Iterator<Item = Source> {
        let all = [Source::Bearer, Source::Key, Source::Session, Source::Legacy];
        all.into_iter().filter(move |source| self.has(*source))
    }

    const fn bit(source: Source) -> u8 {
        match source {
            Source::Session => 1,
            Source::Bearer => 2,
            Source::Legacy => 4,
            Source::Key => 8,
        }
    }
}

/// What the issuer says: a session or a token of its own.
impl Default for Accept {
    fn default() -> Self {
        Self::of(&[Source::Session, Source::Bearer])
    }
}

impl fmt::Display for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Source::as_str).collect();
        f.write_str(&words.join(", "))
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accept({self})")
    }
}

impl Requirement {
    /// Asks for this much and nothing else.
    #[must_use]
    pub fn of(auth: Auth) -> Self {
        Self {
            auth,
            ..Self::default()
        }
    }

    /// The roles of which one is asked for, if that is all that is asked about roles.
    pub fn roles(&self) -> impl Iterator<Item = &String> {
        let any = |need: &&Need| need.what == What::Role && !need.all;
        self.needs.iter().filter(any).flat_map(|need| &need.names)
    }

    /// What is asked, in words; nothing where nobody is asked.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        if self.auth == Auth::None {
            return Vec::new();
        }
        let mut words = Vec::new();
        if self.accept != Accept::default() && !self.accept.is_everything() {
            words.push(format!("known by {}", self.accept));
        }
        words.extend(self.needs.iter().map(|need| format!("{need} ({})", need.place)));
        if self.report_only {
            words.push("reported only".to_owned());
        }
        words
    }
}

impl Need {
    /// Whether `identity` meets it at `now`.
    #[must_use]
    pub fn is_met(&self, identity: &Identity, now: UnixTime) -> bool {
        if let What::Age(within) = self.what {
            return is_within(&identity.claims, within, now);
        }
        let mut names = self.names.iter();
        !self.names.is_empty()
            && if self.all {
                names.all(|name| self.is_held(identity, name))
            } else {
                names.any(|name| self.is_held(identity, name))
            }
    }

    fn is_held(&self, identity: &Identity, name: &str) -> bool {
        let claims = &identity.claims;
        match &self.what {
            What::Role => identity.roles.iter().any(|role| role == name),
            What::Group(pointer) => {
                let pointer = match identity.source {
                    Source::Session | Source::Bearer => pointer,
                    Source::Legacy | Source::Key => "/groups",
                };
                claims::find(claims, pointer).is_some_and(|value| lists(value, name))
            }
            What::Scope => claims
                .get("scope")
                .or_else(|| claims.get("scp"))
                .is_some_and(|value| lists_words(value, name)),
            What::Claim(claim) => claims::find(claims, claim).is_some_and(|value| lists(value, name)),
            What::Acr => is_of_kind(claims, name),
            What::Age(_) => false,
        }
    }

    /// A fixed word for what is missing where it is not met.
    #[must_use]
    pub const fn missing(&self) -> &'static str {
        match self.what {
            What::Role => "role_missing",
            What::Group(_) => "group_missing",
            What::Scope => "scope_missing",
            What::Claim(_) => "claim_missing",
            What::Acr => "sign_in_too_weak",
            What::Age(_) => "sign_in_too_old",
        }
    }

    /// Whether another sign-in can bring it (RFC 9470).
    #[must_use]
    pub const fn is_of_sign_in(&self) -> bool {
        matches!(self.what, What::Acr | What::Age(_))
    }
}

/// What is asked: "any of the roles `a`, `b`".
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.join("`, `");
        let one = self.names.len() == 1;
        let much = match (one, self.all) {
            (true, _) => "the",
            (false, true) => "all of the",
            (false, false) => "one of the",
        };
        let s = if one { "" } else { "s" };
        match &self.what {
            What::Role => write!(f, "{much} role{s} `{names}`"),
            What::Group(_) => write!(f, "{much} group{s} `{names}`"),
            What::Scope => write!(f, "{much} scope{s} `{names}`"),
            What::Claim(claim) if one => write!(f, "the claim `{claim}` with `{names}`"),
            What::Claim(claim) => write!(f, "the claim `{claim}` with {much} value{s} `{names}`"),
            What::Acr => write!(f, "a sign-in of {much} kind{s} `{names}`"),
            What::Age(within) => write!(f, "a sign-in not longer than {} s ago", within.as_secs()),
        }
    }
}

/// Whether someone (or nobody) has what is asked: the part of the decision that needs no credential.
///
/// # Errors
/// [`Denied::Missing`] or [`Denied::Lacking`].
pub fn permit(requirement: &Requirement, identity: Option<&Identity>, now: UnixTime) -> Result<(), Denied> {
    let Some(identity) = identity else {
        // Needs without `required` are a mistake that the settings refuse; were it missed, nobody would pass by it.
        return if requirement.auth == Auth::Required || !requirement.needs.is_empty() {
            Err(Denied::Missing)
        } else {
            Ok(())
        };
    };
    match requirement.needs.iter().find(|need| !need.is_met(identity, now)) {
        None => Ok(()),
        Some(need) => Err(Denied::Lacking(Box::new(need.clone()))),
    }
}

/// Whether these claims are of a sign-in (`auth_time`) that is no longer ago than this.
pub(super) fn is_within(claims: &Value, within: Duration, now: UnixTime) -> bool {
    let at = claims.get("auth_time").and_then(claims::seconds);
    at.is_some_and(|at| is_recent(at, within, now))
}

/// Whether they are of a sign-in of this kind (`acr`).
pub(super) fn is_of_kind(claims: &Value, kind: &str) -> bool {
    claims.get("acr").and_then(Value::as_str) == Some(kind)
}

fn is_recent(at: UnixTime, within: Duration, now: UnixTime) -> bool {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    at.millis <= now.millis.saturating_add(millis(AHEAD))
        && now.millis <= at.millis.saturating_add(millis(within))
}

/// Whether a claim is this text or number, or a list that has it. A text is one value: a group named `a b` is not two.
fn lists(value: &Value, name: &str) -> bool {
    match value {
        Value::Array(list) => list.iter().any(|entry| is(entry, name)),
        one => is(one, name),
    }
}

/// The same, where a text is words with spaces between them.
fn lists_words(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text.split(' ').any(|word| word == name),
        other => lists(other, name),
    }
}

fn is(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Bool(truth) => name == if *truth { "true" } else { "false" },
        Value::Number(number) => {
            number
                .as_i64()
                .is_some_and(|number| itoa::Buffer::new().format(number) == name)
                || number
                    .as_u64()
                    .is_some_and(|number| itoa::Buffer::new().format(number) == name)
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}
