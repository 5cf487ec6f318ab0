//! What flags decide, held against tables, other evaluators' answers, and laws.

mod carried;
mod flagd;
mod hashing;
mod layer;
mod problems;
mod reach;
mod requires;
mod rollout;
mod rules;
mod schedule;
mod staff;

use std::sync::Arc;

use http::{HeaderMap, Method, header};
use serde_json::{Value, json};

use super::{
    Bucketing, Flag, FlagSettings, FlagState, Person, RolloutBy, RolloutSettings, RuleSettings, Subject,
    Targeting,
};
use crate::fields::Fields;
use crate::{
    clock::UnixTime,
    name::{FlagKey, Place, VariantName},
};

const VISITOR: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// A request with something in every part that rules can see; `rules.tsv` describes it.
struct Scene {
    headers: Fields,
    roles: Vec<String>,
    claims: Value,
}

impl Scene {
    fn new() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, "Firefox/128.0".parse().unwrap());
        headers.insert(header::ACCEPT_LANGUAGE, "ko".parse().unwrap());
        headers.append("x-many", "1".parse().unwrap());
        headers.append("x-many", "2".parse().unwrap());
        headers.insert(header::COOKIE, "theme=dark; theme=light; n=1".parse().unwrap());
        Self {
            headers: headers.into(),
            roles: vec!["staff".to_owned(), "qa".to_owned()],
            claims: json!({"plan": "pro", "groups": ["a", "b"], "https://example.com/tier": 3, "deep": {"x": {"y": 1}}}),
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            visitor: Some(VISITOR),
            person: Some(Person {
                id: "u-7",
                roles: &self.roles,
                claims: Some(&self.claims),
            }),
            host: "www.example.com",
            path: "/courses/rust",
            query: Some("q=a%20b&lang=ko&lang=en&empty=&bad=%ff&plus=a+b"),
            method: &Method::GET,
            headers: &self.headers,
            now: UnixTime::from_secs(1_700_000_000),
            forced: None,
            pins: None,
            given: None,
        }
    }

    fn anonymous(&self) -> Subject<'_> {
        Subject {
            person: None,
            ..self.subject()
        }
    }

    fn visitor<'s>(&'s self, id: &'s str) -> Subject<'s> {
        Subject {
            visitor: Some(id),
            ..self.anonymous()
        }
    }
}

fn variant(name: &str) -> VariantName {
    VariantName::new(name).unwrap()
}

fn place(line: u32) -> Place {
    Place {
        file: Arc::from("flags/f.toml"),
        line,
    }
}

/// A flag `f` with variants and default, nothing else.
fn settings(variants: &[&str], default: &str) -> FlagSettings {
    FlagSettings {
        key: FlagKey::new("f").unwrap(),
        place: place(1),
        description: String::new(),
        squad: None,
        state: FlagState::Enabled,
        variants: variants.iter().map(|name| (variant(name), json!(name))).collect(),
        default: Some(variant(default)),
        targeting: Targeting::Rules {
            rules: Vec::new(),
            rollout: None,
        },
        bucketing: Bucketing::Murmur3V2,
        identity: RolloutBy::Visitor,
        requires: Vec::new(),
        layer: None,
        epoch: 1,
        public: false,
        drain: super::DRAIN_DEFAULT,
        metadata: serde_json::Map::new(),
        sticky: false,
        adopts: false,
    }
}

fn rule(condition: Value, serve: &str) -> RuleSettings {
    RuleSettings {
        name: format!("serve {serve}"),
        place: place(7),
        condition,
        serve: variant(serve),
        staff: false,
    }
}

fn shares(by: RolloutBy, shares: &[(&str, u32)]) -> (RolloutBy, RolloutSettings) {
    let rollout = RolloutSettings {
        shares: named(shares),
        ..RolloutSettings::default()
    };
    (by, rollout)
}

fn named(shares: &[(&str, u32)]) -> Vec<(VariantName, u32)> {
    shares
        .iter()
        .map(|(name, share)| (variant(name), *share))
        .collect()
}

fn with(
    mut settings: FlagSettings,
    rules: Vec<RuleSettings>,
    rollout: Option<(RolloutBy, RolloutSettings)>,
) -> FlagSettings {
    let (identity, rollout) = rollout.unzip();
    settings.identity = identity.unwrap_or(settings.identity);
    settings.targeting = Targeting::Rules { rules, rollout };
    settings
}

/// The name of what `flag` chose.
fn chosen<'f>(flag: &'f Flag, choice: &super::Choice) -> Option<&'f str> {
    choice
        .variant
        .and_then(|index| flag.variant(index))
        .map(VariantName::as_str)
}

/// The rows of `tests/tables/flag/<name>`, split at tabs, without comments.
fn table(name: &str) -> Vec<Vec<String>> {
    let path = format!("{}/tests/tables/flag/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let rows = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}
