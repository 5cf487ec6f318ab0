//! Runs `tests/tables/decide/*.toml`: a site, requests, and what becomes of each, decided offline as live traffic is.

use std::{collections::BTreeMap, fs, path::Path};

use banyan::{
    config::{Sources, settings::TestUser},
    snapshot::explain::Explanation,
};
use serde::Deserialize;

use crate::offline::{NOW, Row, compiled};

/// A table file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The site's files by path.
    site: BTreeMap<String, String>,
    /// Requests.
    cases: Vec<Case>,
}

/// A request and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// `GET /path?query`.
    request: String,
    host: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    visitor: Option<String>,
    user: Option<User>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    plain: bool,
    client: Option<std::net::IpAddr>,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    id: String,
    #[serde(default)]
    roles: Vec<String>,
}

/// What isn't named isn't looked at, but for `status`: without it the request is passed on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    squad: Option<String>,
    route: Option<String>,
    backend: Option<String>,
    variant: Option<String>,
    reason: Option<String>,
    flags: Option<String>,
    path: Option<String>,
    forwarded: Option<String>,
    location: Option<String>,
    cookie: Option<bool>,
    status: Option<u16>,
    why: Option<String>,
    user: Option<String>,
}

#[test]
fn every_request_of_the_tables_goes_where_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/decide");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let table: Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let sources = table
            .site
            .iter()
            .fold(Sources::empty("/site"), |sources, (path, text)| {
                sources.with(path, text)
            });
        let at = compiled(&sources);
        for case in &table.cases {
            rows += 1;
            let got = case.row(&at.hosts).explained(NOW, &at);
            let differs = case.expect.differences(&got);
            if !differs.is_empty() {
                wrong.push(format!("{name}: {}: {}\n{got}", case.request, differs.join(", ")));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {rows} rows\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(rows >= 160, "only {rows} rows were run");
}

impl Case {
    fn row(&self, hosts: &[String]) -> Row {
        let (method, target) = self.request.split_once(' ').expect("a method and a target");
        let own = hosts.first().map_or("localhost", String::as_str);
        Row {
            method: method.to_owned(),
            host: self.host.clone().unwrap_or_else(|| own.to_owned()),
            target: target.to_owned(),
            headers: self.headers.clone(),
            visitor: self.visitor.clone(),
            user: self.user.as_ref().map(|user| TestUser {
                id: user.id.clone(),
                roles: user.roles.clone(),
                ..TestUser::default()
            }),
            private: self.private,
            plain: self.plain,
            client: self.client,
        }
    }
}

impl Expect {
    fn differences(&self, got: &Explanation) -> Vec<String> {
        let picks = got.flags.iter().find(|said| said.picks_backend);
        let told = got.headers.iter().find(|(name, _)| name == "Banyan-Flags");
        let route = got.route.as_ref();
        let pairs = [
            ("squad", &self.squad, route.map(|won| won.squad.clone())),
            ("route", &self.route, route.map(|won| won.route.clone())),
            (
                "backend",
                &self.backend,
                got.backend.as_ref().map(|goes| goes.backend.clone()),
            ),
            (
                "variant",
                &self.variant,
                picks.and_then(|said| said.variant.clone()),
            ),
            ("reason", &self.reason, picks.map(|said| said.reason.clone())),
            ("flags", &self.flags, told.map(|(_, value)| value.clone())),
            ("path", &self.path, got.path.clone()),
            ("forwarded", &self.forwarded, got.forwarded.clone()),
            (
                "location",
                &self.location,
                got.redirect.as_ref().map(|redirect| redirect.location.clone()),
            ),
            (
                "user",
                &self.user,
                got.gate.as_ref().and_then(|gate| gate.user.clone()),
            ),
        ];
        let mut wrong: Vec<String> = pairs
            .into_iter()
            .filter_map(|(what, wanted, got)| {
                let wanted = wanted.as_ref()?;
                let got = got.unwrap_or_else(|| "none".to_owned());
                (*wanted != got).then(|| format!("{what} should be `{wanted}`, is `{got}`"))
            })
            .collect();
        let refused = got.refused.as_ref().map(|refused| refused.status);
        let status = refused.or_else(|| got.redirect.as_ref().map(|redirect| redirect.status));
        if self.status != status {
            wrong.push(format!("status should be {:?}, is {status:?}", self.status));
        }
        let why = got.refused.as_ref().map_or("", |refused| refused.why.as_str());
        if let Some(words) = self.why.as_deref().filter(|words| !why.contains(words)) {
            wrong.push(format!("should say `{words}`, says `{why}`"));
        }
        let set = got.visitor.as_ref().is_some_and(|cookie| cookie.set);
        if self.cookie.is_some_and(|wanted| wanted != set) {
            wrong.push(format!("cookie set: {set}"));
        }
        wrong
    }
}
