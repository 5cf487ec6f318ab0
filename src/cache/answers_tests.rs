//! What is made of answers, as the table says.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use super::{
    directives::Directives,
    freshness::{self, Exchanged},
    storable::{self, Asked},
};
use crate::{clock::UnixTime, fields::Fields, policy::caching::Bounds};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    answer: Vec<String>,
    told: String,
    status: Option<u16>,
    #[serde(default)]
    min: u64,
    default: Option<u64>,
    max: Option<u64>,
    #[serde(default)]
    while_revalidate: u64,
    #[serde(default)]
    if_error: u64,
    #[serde(default)]
    authorized: bool,
    #[serde(default)]
    keeps_cookies: bool,
}

impl Case {
    fn found(&self) -> String {
        let mut fields = Fields::new();
        for line in &self.answer {
            let (name, value) = line.split_once(": ").unwrap();
            fields.append(name, value);
        }
        let status = StatusCode::from_u16(self.status.unwrap_or(200)).unwrap();
        let bounds = Bounds {
            min: Duration::from_secs(self.min),
            default: self.default.map(Duration::from_secs),
            max: self.max.map(Duration::from_secs),
            while_revalidate: Duration::from_secs(self.while_revalidate),
            if_error: Duration::from_secs(self.if_error),
        };
        let directives = Directives::of(&fields);
        let asked = Asked {
            authorized: self.authorized,
            partial: false,
            keeps_cookies: self.keeps_cookies,
            bounds: &bounds,
        };
        if let Err(why) = storable::judge(status, &fields, &directives, asked) {
            return format!("not kept: {}", why.as_str());
        }
        let now = UnixTime::from_secs(1_795_251_600); // 2026-11-21T09:00:00Z
        let when = Exchanged {
            asked: now,
            answered: now,
        };
        let (times, terms) = freshness::times(status, &fields, &directives, &bounds, when);
        let mut told = vec![format!("fresh {} s", times.lifetime.as_secs())];
        for (time, what) in [
            (times.while_revalidate, "while asked"),
            (times.if_error, "for errors"),
        ] {
            if !time.is_zero() {
                told.push(format!("stale {} s {what}", time.as_secs()));
            }
        }
        for (is, word) in [(terms.no_cache, "asked each time"), (terms.shared, "shared")] {
            if is {
                told.push(word.to_owned());
            }
        }
        told.join(", ")
    }
}

#[test]
fn answers_are_kept_as_the_table_says() {
    let table: Table = toml::from_str(include_str!("../../tests/tables/cache/answers.toml")).unwrap();
    for case in &table.case {
        assert_eq!(case.found(), case.told, "{}", case.name);
    }
    assert_eq!(table.case.len(), 30);
}
