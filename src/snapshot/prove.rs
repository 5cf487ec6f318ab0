//! Runs the squads' `[[tests]]` with the function that decides live traffic.

use std::sync::Arc;

use http::{HeaderMap, Version};

use super::{
    Snapshot,
    decide::{Ask, Credential, Entrance},
    explain::{Explanation, explain},
    versions::is_named,
};
use crate::{
    clock::UnixTime,
    config::settings::{Expectation, RouteTest, TestUser},
    fields::Fields,
    gate::{Identity, Source},
    name::Place,
};

/// Tests decide at this time, so that they come out the same on every day: 2026-01-01.
const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

/// A test that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where the test is written.
    pub place: Place,
    /// What was expected and what came.
    pub what: String,
    /// The trail of the decision.
    pub hint: String,
    /// The flag that picks the backend is switched off: the test is about what happens when it is on, so nobody's file is wrong.
    pub switched_off: bool,
}

/// Runs all tests; what comes back failed.
#[must_use]
pub fn run(tests: &[RouteTest], at: &Snapshot) -> Vec<Failure> {
    tests.iter().filter_map(|test| one(test, at)).collect()
}

fn one(test: &RouteTest, at: &Snapshot) -> Option<Failure> {
    let headers: Fields = test.headers.iter().cloned().collect::<HeaderMap>().into();
    let identity = test.user.as_ref().map(identity).map(Arc::new);
    let own_host = at.hosts.first().map_or("localhost", String::as_str);
    let ask = Ask {
        entrance: if test.plain {
            Entrance::Plain(Version::HTTP_11)
        } else {
            Entrance::Public
        },
        method: &test.method,
        host: test.host.as_deref().unwrap_or(own_host),
        target: &test.target,
        headers: &headers,
        client: test.client,
        credential: Credential::Pretend(identity.as_ref()),
        entropy: [0; 16],
    };
    let explanation = explain(&ask, NOW, at);
    let wrong = differences(&test.expect, &explanation);
    (!wrong.is_empty()).then(|| Failure {
        place: test.place.clone(),
        what: format!("{} {}: {}", test.method, test.target, wrong.join(", ")),
        hint: explanation.to_string(),
        switched_off: explanation
            .flags
            .iter()
            .any(|said| said.picks_backend && said.state == "disabled"),
    })
}

/// The identity that a test pretends: its roles, and the claims that it says.
#[must_use]
pub fn identity(user: &TestUser) -> Identity {
    let mut identity = Identity::pretended(&user.id, &user.roles);
    if let serde_json::Value::Object(claims) = &mut identity.claims {
        claims.extend(user.claims.clone());
    }
    identity.source = Source::Key; // its claims have their plain names, wherever the issuer has its own
    identity
}

/// Claims as people write them, `name=value`: whole numbers are numbers, and a name that comes twice is a list.
///
/// # Errors
/// A sentence about the first that is none.
pub fn claims<'w>(
    written: impl IntoIterator<Item = &'w str>,
) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    let mut claims = serde_json::Map::new();
    for claim in written {
        let (name, text) = claim
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("{claim:?} is no claim; write `name=value`"))?;
        let value = text
            .parse::<u64>()
            .map_or_else(|_| serde_json::Value::from(text), serde_json::Value::from);
        match claims.get_mut(name) {
            None => {
                claims.insert(name.to_owned(), value);
            }
            Some(serde_json::Value::Array(list)) => list.push(value),
            Some(one) => *one = serde_json::Value::Array(vec![one.take(), value]),
        }
    }
    Ok(claims)
}

fn differences(expect: &Expectation, got: &Explanation) -> Vec<String> {
    let served = got.refused.is_none();
    let route = got.route.as_ref().filter(|_| served).map(|won| won.route.clone());
    let squad = got.route.as_ref().filter(|_| served).map(|won| won.squad.clone());
    let backend = got.backend.as_ref().map(|goes| goes.backend.clone());
    // whoever names a backend means any version of it
    let backend = match &expect.backend {
        Some(wanted) => backend.map(|got| match is_named(&got, wanted) {
            true => wanted.clone(),
            false => got,
        }),
        None => backend,
    };
    let variant = got
        .flags
        .iter()
        .find(|said| said.picks_backend)
        .and_then(|said| said.variant.clone());
    let own = got.refused.as_ref().or(got.answered.as_ref());
    let redirected = got.redirect.as_ref();
    let status = own
        .map(|own| own.status)
        .or_else(|| redirected.map(|redirect| redirect.status));
    let location = redirected.map(|redirect| redirect.location.clone());
    [
        ("route", expect.route.clone(), route),
        ("squad", expect.squad.clone(), squad),
        ("backend", expect.backend.clone(), backend),
        ("variant", expect.variant.clone(), variant),
        (
            "status",
            expect.status.map(|status| status.to_string()),
            status.map(|status| status.to_string()),
        ),
        ("location", expect.location.clone(), location),
    ]
    .into_iter()
    .filter_map(|(what, wanted, got)| {
        let wanted = wanted?;
        let got = got.unwrap_or_else(|| "none".to_owned());
        (wanted != got).then(|| format!("expected {what} `{wanted}`, got `{got}`"))
    })
    .collect()
}
