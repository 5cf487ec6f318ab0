//! How somebody is to sign in where a page asks for a recent sign-in or a certain kind of it (RFC 9470, OpenID Connect Core section
//! 3.1.2.1): what the provider is told of that, and whether what comes back is what was asked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        identity::Identity,
        requirement::{Need, What, is_of_kind, is_within},
    },
    form::single,
};
use crate::clock::UnixTime;

/// A sign-in is not sent for that would have to be younger than this: it would be too old again before its page is reached.
pub const SIGN_IN_AGE_MIN: Duration = Duration::from_secs(10);
/// Most bytes of the kinds of sign-in that are asked for, with a space between two. For more nobody is sent.
pub const KINDS_BYTES_MAX: usize = 256;
/// The most seconds that a link to `/.banyan/login` may name: a year.
const AGE_SECS_MAX: u64 = 366 * 86_400;

/// What is asked of a sign-in. The default asks nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// It is not longer ago than so many seconds.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    age_secs: Option<u64>,
    /// It is of one of these kinds (`acr`), with spaces between them; empty: any.
    #[serde(rename = "k", default, skip_serializing_if = "String::is_empty")]
    kinds: String,
}

impl Wish {
    /// What all of these ask of a sign-in. `None`: no sign-in could meet it, or none that can be asked for.
    #[must_use]
    pub fn of<'n>(needs: impl Iterator<Item = &'n Need>) -> Option<Self> {
        let mut age: Option<Duration> = None;
        let mut kinds: Option<Vec<&str>> = None;
        for need in needs {
            match need.what {
                What::Age(within) => age = Some(age.map_or(within, |age| age.min(within))),
                What::Acr => {
                    let named = need.names.iter().map(String::as_str);
                    kinds = Some(match kinds {
                        None => named.collect(),
                        Some(kinds) => named.filter(|name| kinds.contains(name)).collect(),
                    });
                }
                What::Role | What::Group(_) | What::Scope | What::Claim(_) => {}
            }
        }
        let is_hopeless =
            kinds.as_ref().is_some_and(Vec::is_empty) || age.is_some_and(|age| age < SIGN_IN_AGE_MIN);
        let kinds = kinds.unwrap_or_default();
        let is_plain = kinds.iter().all(|kind| is_kinds(kind) && !kind.contains(' '));
        let wish = Self {
            age_secs: age.map(|age| age.as_secs().min(AGE_SECS_MAX)),
            kinds: kinds.join(" "),
        };
        (!is_hopeless && is_plain && wish.kinds.len() <= KINDS_BYTES_MAX).then_some(wish)
    }

    /// What a link asks for; what can't be read asks for nothing.
    #[must_use]
    pub fn read(pairs: &[(String, String)]) -> Self {
        let age = single(pairs, "max_age").and_then(|age| age.parse().ok());
        let kinds =
            single(pairs, "acr_values").filter(|kinds| kinds.len() <= KINDS_BYTES_MAX && is_kinds(kinds));
        Self {
            age_secs: age.filter(|secs| (SIGN_IN_AGE_MIN.as_secs()..=AGE_SECS_MAX).contains(secs)),
            kinds: kinds.unwrap_or_default().to_owned(),
        }
    }

    /// Whether it asks nothing.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.age_secs.is_none() && self.kinds.is_empty()
    }

    /// As parameters, ours and the provider's alike.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let age = self.age_secs.map(|secs| ("max_age", secs.to_string()));
        let kinds = (!self.kinds.is_empty()).then(|| ("acr_values", self.kinds.clone()));
        age.into_iter().chain(kinds).collect()
    }

    /// Which of it a sign-in does not meet: a fixed word, as for [`Need::missing`].
    #[must_use]
    pub fn unmet(&self, identity: &Identity, now: UnixTime) -> Option<&'static str> {
        let is_late = |secs: u64| !is_within(&identity.claims, Duration::from_secs(secs), now);
        let mut kinds = self.kinds.split(' ');
        if !self.kinds.is_empty() && !kinds.any(|kind| is_of_kind(&identity.claims, kind)) {
            return Some("sign_in_too_weak");
        }
        self.age_secs.is_some_and(is_late).then_some("sign_in_too_old")
    }
}

fn is_kinds(text: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    text.split(' ')
        .all(|kind| !kind.is_empty() && kind.bytes().all(visible))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{
        super::super::{Identity, Need, Source, What},
        KINDS_BYTES_MAX, Wish,
    };
    use crate::{clock::UnixTime, name::Place};

    fn need(what: What, names: &[&str]) -> Need {
        Need {
            what,
            all: false,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            place: Place {
                file: "routes/a.toml".into(),
                line: 1,
            },
        }
    }

    fn age(secs: u64) -> Need {
        need(What::Age(Duration::from_secs(secs)), &[])
    }

    #[track_caller]
    fn check(needs: &[Need], expected: Option<&[(&str, &str)]>) {
        let wish = Wish::of(needs.iter());
        let pairs: Option<Vec<(String, String)>> = wish.as_ref().map(|wish| {
            let pairs = wish.pairs().into_iter();
            pairs.map(|(name, value)| (name.to_owned(), value)).collect()
        });
        let expected = expected.map(|pairs| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<Vec<_>>()
        });
        assert_eq!(pairs, expected);
        if let (Some(wish), Some(pairs)) = (wish, pairs) {
            assert_eq!(Wish::read(&pairs), wish, "a link says the same");
            let written = serde_json::to_string(&wish).unwrap();
            assert_eq!(serde_json::from_str::<Wish>(&written).unwrap(), wish);
        }
    }

    #[test]
    fn a_sign_in_is_asked_for_that_meets_everything() {
        check(&[], Some(&[]));
        check(&[need(What::Role, &["staff"])], Some(&[]));
        check(&[age(3600), age(60)], Some(&[("max_age", "60")]));
        let (any, one) = (need(What::Acr, &["mfa", "phr"]), need(What::Acr, &["phr"]));
        check(
            &[any.clone(), age(60)],
            Some(&[("max_age", "60"), ("acr_values", "mfa phr")]),
        );
        check(&[any, one.clone()], Some(&[("acr_values", "phr")]));
        check(&[one, need(What::Acr, &["mfa"])], None);
        check(&[age(9)], None);
        check(&[need(What::Acr, &["two words"])], None);
        check(&[need(What::Acr, &[&"x".repeat(KINDS_BYTES_MAX + 1)])], None);
    }

    #[test]
    fn what_no_link_of_ours_says_asks_for_nothing() {
        let long = "x".repeat(KINDS_BYTES_MAX + 1);
        for (name, value) in [
            ("max_age", "-1"),
            ("max_age", "0"),
            ("max_age", "99999999999"),
            ("max_age", "1e3"),
            ("acr_values", "a\"b"),
            ("acr_values", "a  b"),
            ("acr_values", "ä"),
            ("acr_values", &long),
            ("max_ages", "60"),
        ] {
            let pairs = [(name.to_owned(), value.to_owned())];
            assert!(Wish::read(&pairs).is_nothing(), "{name}={value}");
        }
        let twice = ["60", "70"].map(|secs| ("max_age".to_owned(), secs.to_owned()));
        assert!(Wish::read(&twice).is_nothing());
    }

    #[test]
    fn what_comes_back_is_looked_at() {
        let wish = Wish::of([age(60), need(What::Acr, &["mfa", "phr"])].iter()).unwrap();
        let unmet = |claims: Value| {
            let identity = Identity {
                subject: "alice".to_owned(),
                roles: Vec::new(),
                expires: UnixTime::from_secs(2_000),
                claims,
                source: Source::Session,
            };
            wish.unmet(&identity, UnixTime::from_secs(1_000))
        };
        assert_eq!(unmet(json!({ "acr": "phr", "auth_time": 950 })), None);
        assert_eq!(
            unmet(json!({ "acr": "phr", "auth_time": 930 })),
            Some("sign_in_too_old")
        );
        assert_eq!(
            unmet(json!({ "acr": "phr", "auth_time": 1_100 })),
            Some("sign_in_too_old")
        );
        assert_eq!(unmet(json!({ "acr": "phr" })), Some("sign_in_too_old"));
        assert_eq!(
            unmet(json!({ "acr": "0", "auth_time": 990 })),
            Some("sign_in_too_weak")
        );
        assert_eq!(
            unmet(json!({ "acr": ["mfa"], "auth_time": 990 })),
            Some("sign_in_too_weak")
        );
        assert_eq!(unmet(json!({ "auth_time": 990 })), Some("sign_in_too_weak"));
    }
}
