//! Runs `tests/tables/cache/requests.toml`: a site, requests, and what the cache makes of each before anything is kept.

use std::collections::BTreeMap;

use banyan::config::{Sources, settings::TestUser};
use serde::Deserialize;

use crate::offline::{NOW, Row, compiled};

/// What stands for the line of a request that the cache may answer.
const HIT: &str = "Cache-Status: banyan; hit if it is kept and fresh, else fwd=uri-miss, vary-miss or stale";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    site: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    request: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    user: Option<String>,
    told: Vec<String>,
}

#[test]
fn every_request_has_the_key_that_it_should() {
    let text = include_str!("../tables/cache/requests.toml");
    let table: Table = toml::from_str(text).unwrap();
    let files = table.site.iter();
    let sources = files.fold(Sources::empty("/site"), |sources, (path, text)| {
        sources.with(path, text)
    });
    let at = compiled(&sources);
    for case in &table.cases {
        let (method, target) = case.request.split_once(' ').unwrap();
        let row = Row {
            method: method.to_owned(),
            host: "www.example.com".to_owned(),
            target: target.to_owned(),
            headers: case.headers.clone(),
            user: case.user.as_ref().map(|id| TestUser {
                id: id.clone(),
                ..TestUser::default()
            }),
            ..Row::default()
        };
        let told = row.explained(NOW, &at).cache;
        let told: Vec<&str> = told
            .iter()
            .map(|line| if line == HIT { "HIT" } else { line })
            .collect();
        assert_eq!(told, case.told, "{} {:?}", case.request, case.headers);
    }
    assert_eq!(table.cases.len(), 13);
}
