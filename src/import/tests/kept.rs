//! What a behaviour kept becomes `[routes.cache]`, as the table says.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{super::checked_tests::check, behaviour, distribution, kinds, made_with, routes, with};
use crate::import::{Wishes, finding::Severity};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    cache: Option<Named>,
    request: Option<Named>,
    legacy: Option<Named>,
    written: Option<String>,
    #[serde(default)]
    kinds: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Named {
    ttl: Option<[u64; 3]>,
    headers: String,
    cookies: String,
    query: String,
}

/// `none`, `all`, `only a b`, `but a b` as a policy writes it.
fn names(text: &str, behaviour: &str, list: &str, all: &str) -> Value {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let word = match word {
        "all" => all,
        "only" => "whitelist",
        "but" => "allExcept",
        _ => "none",
    };
    let items: Vec<&str> = rest.split_whitespace().collect();
    json!({ behaviour: word, list: { "Quantity": items.len(), "Items": items } })
}

impl Named {
    fn policy(&self, kind: &str, id: &str) -> Value {
        let parts = json!({
            "EnableAcceptEncodingGzip": false, "EnableAcceptEncodingBrotli": false,
            "HeadersConfig": names(&self.headers, "HeaderBehavior", "Headers", "allViewer"),
            "CookiesConfig": names(&self.cookies, "CookieBehavior", "Cookies", "all"),
            "QueryStringsConfig": names(&self.query, "QueryStringBehavior", "QueryStrings", "all"),
        });
        let config = match self.ttl {
            Some([min, default, max]) => json!({
                "Name": id, "MinTTL": min, "DefaultTTL": default, "MaxTTL": max,
                "ParametersInCacheKeyAndForwardedToOrigin": parts,
            }),
            None => with(parts, "/Name", json!(id)),
        };
        json!({ kind: { "Id": id, format!("{kind}Config"): config } })
    }

    fn values(&self) -> Value {
        let list = |text: &str| {
            let items: Vec<&str> = text.split_whitespace().skip(1).collect();
            json!({ "Quantity": items.len(), "Items": items })
        };
        let forward = match self.cookies.split(' ').next() {
            Some("only") => "whitelist",
            Some("all") => "all",
            _ => "none",
        };
        json!({
            "QueryString": !self.query.is_empty(), "QueryStringCacheKeys": list(&self.query), "Headers": list(&self.headers),
            "Cookies": { "Forward": forward, "WhitelistedNames": list(&self.cookies) },
        })
    }
}

/// What stands under `[routes.cache]` of the first route.
fn written(routes: &str) -> Option<String> {
    let first = routes.split("[[routes]]").nth(1)?;
    let table = first.split("[routes.cache]\n").nth(1)?;
    let lines = table.lines().take_while(|line| line.contains(" = "));
    Some(lines.map(|line| format!("{line}\n")).collect())
}

#[test]
fn what_cloudfront_kept_is_kept() {
    let text = include_str!("../../../tests/tables/import/cache.toml");
    let table: Table = toml::from_str(text).unwrap();
    for case in &table.case {
        let mut one = behaviour("/a", "one");
        let fields = one.as_object_mut().unwrap();
        fields.remove("CachePolicyId");
        fields.remove("OriginRequestPolicyId");
        let mut policies = Vec::new();
        if let Some(cache) = &case.cache {
            policies.push(cache.policy("CachePolicy", "own-cache"));
            one = with(one, "/CachePolicyId", json!("own-cache"));
        }
        if let Some(request) = &case.request {
            policies.push(request.policy("OriginRequestPolicy", "own-request"));
            one = with(one, "/OriginRequestPolicyId", json!("own-request"));
        }
        if let Some(legacy) = &case.legacy {
            one = with(one, "/ForwardedValues", legacy.values());
            for (name, seconds) in ["MinTTL", "DefaultTTL", "MaxTTL"]
                .iter()
                .zip(legacy.ttl.iter().flatten())
            {
                one = with(one, &format!("/{name}"), json!(seconds));
            }
        }
        let imported = made_with(&distribution(&[one]), &policies, &Wishes::default());
        let seen = written(routes(&imported));
        assert_eq!(seen, case.written, "{}\n{}", case.name, imported.report);
        assert_eq!(kinds(&imported, Severity::Warning), case.kinds, "{}", case.name);
        let problems = check(&imported);
        assert!(!problems.has_errors(), "{}\n{problems}", case.name);
    }
    assert_eq!(table.case.len(), 11);
}
