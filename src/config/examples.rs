//! `[[tests]]` of a squad's file: a request and what must become of it.

use std::{collections::BTreeMap, net::IpAddr, ops::Range};

use http::{HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{
    report::Report,
    settings::{Expectation, RouteTest, TestUser},
    values::Spot,
};
use crate::name::SquadName;

/// `[[tests]]`: a request with what must become of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TestFile {
    /// `GET /courses/rust?page=2`.
    #[schemars(required, extend("x-required" = true))]
    request: Option<Spot<String>>,
    /// The host asked; without it the first of the edge's names.
    host: Option<Spot<String>>,
    /// It comes over plain HTTP, on the `http` listener.
    plain: bool,
    /// Header fields sent, by name.
    headers: BTreeMap<Spot<String>, Spot<String>>,
    /// Who is signed in.
    user: Option<UserFile>,
    /// The IP address that it comes from; without it nobody knows the country.
    client: Option<Spot<String>>,
    /// What must come out; what isn't named isn't looked at.
    #[schemars(required, extend("x-required" = true))]
    expect: Option<Spot<ExpectFile>>,
}

/// Who is signed in, in a test.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct UserFile {
    /// The subject.
    id: String,
    /// Roles.
    roles: Vec<String>,
    /// Groups.
    groups: Vec<String>,
    /// Scopes.
    scopes: Vec<String>,
    /// Other claims: `acr`, `auth_time` (in seconds since 1970; tests run at 1767225600), or whatever routes ask for.
    claims: BTreeMap<String, Value>,
}

impl UserFile {
    fn settle(&self) -> TestUser {
        let mut user = TestUser {
            id: self.id.clone(),
            roles: self.roles.clone(),
            claims: self.claims.clone().into_iter().collect(),
        };
        if !self.groups.is_empty() {
            user.claims
                .insert("groups".to_owned(), self.groups.clone().into());
        }
        if !self.scopes.is_empty() {
            user.claims
                .insert("scope".to_owned(), self.scopes.join(" ").into());
        }
        user
    }
}

/// What must come out of a test.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ExpectFile {
    /// The route's path or pattern as it is written.
    route: Option<String>,
    /// The backend's name.
    backend: Option<String>,
    /// The squad's name.
    squad: Option<String>,
    /// The variant of the route's flag.
    variant: Option<String>,
    /// The status, when Banyan answers itself: 204 (a preflight), 400, 401, 403, 404, 405, or that of a redirect.
    status: Option<Spot<u16>>,
    /// Where a redirect leads.
    location: Option<String>,
}

/// Judges one test. `None` when there is nothing to ask.
pub(super) fn test(test: &Spot<TestFile>, squad: &SquadName, report: &mut Report) -> Option<RouteTest> {
    let (file, table) = (&test.value, &test.span);
    let expect = expectation(file, table, report);
    let headers = file
        .headers
        .iter()
        .filter_map(|(name, value)| header(name, value, report))
        .collect();
    let Some(request) = &file.request else {
        report.missing(
            table,
            "request",
            "write a method and a path, such as `request = \"GET /courses/rust\"`",
        );
        return None;
    };
    let asked = request.value.split_once(' ').and_then(|(method, target)| {
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let plain = target.bytes().all(|b| b.is_ascii_graphic());
        (plain && target.starts_with('/')).then(|| (method, target.to_owned()))
    });
    if asked.is_none() {
        report
            .error(
                "bad-request",
                request.span.clone(),
                format!("`{}` is not a request", request.value),
            )
            .hint("write a method, a space and a path, such as `GET /courses/rust?page=2`");
    }
    let (method, target) = asked?;
    Some(RouteTest {
        place: report.place(&request.span),
        squad: squad.clone(),
        method,
        host: file.host.as_ref().map(|host| host.value.to_ascii_lowercase()),
        target,
        headers,
        plain: file.plain,
        user: file.user.as_ref().map(UserFile::settle),
        client: file.client.as_ref().and_then(|text| client(text, report)),
        expect: expect?,
    })
}

fn client(text: &Spot<String>, report: &mut Report) -> Option<IpAddr> {
    let parsed = text.value.parse().ok();
    if parsed.is_none() {
        report
            .error(
                "bad-client",
                text.span.clone(),
                format!("`{}` is not an IP address", text.value),
            )
            .hint("write one such as `192.0.2.7` or `2001:db8::7`");
    }
    parsed
}

fn expectation(file: &TestFile, table: &Range<usize>, report: &mut Report) -> Option<Expectation> {
    let Some(written) = &file.expect else {
        report.missing(
            table,
            "expect",
            "say what must come out, such as `expect = { backend = \"…\" }`",
        );
        return None;
    };
    let expect = &written.value;
    let texts = [
        &expect.route,
        &expect.backend,
        &expect.squad,
        &expect.variant,
        &expect.location,
    ];
    let named = texts.iter().any(|part| part.is_some());
    if !named && expect.status.is_none() {
        report
            .error("empty-test", written.span.clone(), "this test expects nothing")
            .hint("name one of `route`, `backend`, `squad`, `variant`, `status`, `location`");
    }
    if let Some(status) = expect
        .status
        .as_ref()
        .filter(|status| !(100..=599).contains(&status.value))
    {
        report
            .error(
                "bad-status",
                status.span.clone(),
                format!("{} is not a status", status.value),
            )
            .hint("Banyan's own answers are 400, 401, 403, 404, 405 and redirects");
    }
    Some(Expectation {
        route: expect.route.clone(),
        backend: expect.backend.clone(),
        squad: expect.squad.clone(),
        variant: expect.variant.clone(),
        status: expect.status.as_ref().map(|status| status.value),
        location: expect.location.clone(),
    })
}

fn header(
    name: &Spot<String>,
    value: &Spot<String>,
    report: &mut Report,
) -> Option<(HeaderName, HeaderValue)> {
    let parsed = HeaderName::from_bytes(name.value.as_bytes());
    if parsed.is_err() {
        let what = format!("`{}` can't be the name of a header field", name.value);
        report
            .error("bad-header", name.span.clone(), what)
            .hint("letters, digits and `-`");
    }
    let content = HeaderValue::from_str(&value.value);
    if content.is_err() {
        report
            .error(
                "bad-header",
                value.span.clone(),
                format!("the value of `{}` has characters no header may have", name.value),
            )
            .hint("visible ASCII characters and spaces");
    }
    Some((parsed.ok()?, content.ok()?))
}
