//! What `[routes.forward]` means beyond a request's head: trailers, and cookies that answers would set.

use http::{HeaderMap, HeaderName, StatusCode};

use super::headers;
use crate::{
    fields::{Fields, Known},
    policy::{Policy, forward::Forward},
    wire::Interim,
};

/// Takes the cookies out of an answer that its backend may not set: Banyan's own always, and all where none are forwarded.
pub fn strip_cookies(fields: &mut Fields, policy: &Policy) {
    headers::strip_own_cookies(fields);
    if !lets_answers_set_cookies(policy) {
        fields.remove(Known::SET_COOKIE);
    }
}

fn lets_answers_set_cookies(policy: &Policy) -> bool {
    let forward = policy.forward.as_deref();
    forward.is_none_or(Forward::lets_answers_set_cookies)
}

/// Takes the trailers of a request away that would not pass in its head.
pub fn strip_trailers(trailers: &mut HeaderMap, forward: &Forward) {
    let unwanted: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| !forward.passes_trailer(*name))
        .cloned()
        .collect();
    for name in unwanted {
        trailers.remove(name);
    }
}

/// Passes interim answers on, whose cookies are judged as the final answer's.
pub struct Guarded<'i> {
    /// Takes them to the client.
    pub interim: &'i mut dyn Interim,
    /// What the request's route says.
    pub policy: &'i Policy,
}

impl Interim for Guarded<'_> {
    fn send(&mut self, status: StatusCode, fields: &Fields) {
        if !fields.contains_key(Known::SET_COOKIE) {
            return self.interim.send(status, fields);
        }
        let mut fields = fields.clone();
        strip_cookies(&mut fields, self.policy);
        self.interim.send(status, &fields);
    }
}

impl std::fmt::Debug for Guarded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::forward::Which;

    fn policy(cookies: Which) -> Policy {
        let forward = Forward {
            headers: Which::All,
            cookies,
            query: Which::Nothing,
        };
        Policy {
            forward: Some(Box::new(forward)),
            ..Policy::default()
        }
    }

    /// Notes what it is given.
    #[derive(Default)]
    struct Notes(Vec<String>);

    impl Interim for Notes {
        fn send(&mut self, _: StatusCode, fields: &Fields) {
            self.0.push(format!("{fields:?}"));
        }
    }

    #[track_caller]
    fn check(policy: &Policy, expected: &str) {
        let mut fields = Fields::new();
        fields.append("link", "</a>");
        for cookie in ["__Host-banyan=forged", "a=1", "b=2"] {
            fields.append(Known::SET_COOKIE, cookie);
        }
        let mut notes = Notes::default();
        let mut guarded = Guarded {
            interim: &mut notes,
            policy,
        };
        guarded.send(StatusCode::EARLY_HINTS, &fields);
        strip_cookies(&mut fields, policy);
        let left: Vec<_> = fields
            .get_all(Known::SET_COOKIE)
            .map(|value| value.to_str().unwrap())
            .collect();
        assert_eq!(left.join(" "), expected);
        assert_eq!(
            notes.0,
            [format!("{fields:?}")],
            "interim answers are judged alike"
        );
    }

    #[test]
    fn answers_set_no_cookies_where_none_are_forwarded() {
        check(&Policy::default(), "a=1 b=2");
        check(&policy(Which::All), "a=1 b=2");
        check(&policy(Which::Nothing), "");
    }
}
