//! Flags of flagd sets.

use serde_json::{Value, json};

use super::super::{Flag, FlagState, Targeting};
use super::{Scene, chosen, settings, table, variant};

/// A flagd set's flag `f` from its own JSON.
fn parse(flag: &Value) -> Flag {
    let mut parsed = settings(&["x"], "x");
    parsed.state = if flag["state"] == "ENABLED" {
        FlagState::Enabled
    } else {
        FlagState::Disabled
    };
    let variants = flag["variants"].as_object().unwrap();
    parsed.variants = variants
        .iter()
        .map(|(name, value)| (variant(name), value.clone()))
        .collect();
    parsed.default = flag["defaultVariant"].as_str().map(variant);
    parsed.targeting = Targeting::JsonLogic(flag.get("targeting").cloned().unwrap_or_default());
    Flag::compile(parsed).unwrap()
}

#[test]
fn flagd_sets_decide_as_flagd_says() {
    let scene = Scene::new();
    let table = table("flagd.tsv");
    assert_eq!(table.len(), 24);
    for row in table {
        let flag = parse(&serde_json::from_str(&row[0]).unwrap());
        let choice = flag.decide(&scene.subject(), &mut ());
        let got = [
            chosen(&flag, &choice).unwrap_or("-"),
            choice.reason.as_str(),
            choice.error.map_or("-", |fault| fault.as_str()),
        ];
        assert_eq!(got, [&row[1], &row[2], &row[3]], "{}", row[0]);
    }
}

#[test]
fn targeting_that_cannot_be_compiled_is_a_warning() {
    let flag =
        |targeting| parse(&json!({"state": "ENABLED", "variants": {"on": true}, "targeting": targeting}));
    let warning = flag(json!({"if": [{"startswith": ["a", "b"]}, "on"]}))
        .warning()
        .unwrap()
        .to_string();
    assert_eq!(
        warning,
        "flag `f`: rule \"targeting\" can't be used: there is no operator `startswith`; did you mean `starts_with`?"
    );
    assert_eq!(flag(json!({"if": [true, "on"]})).warning(), None);
}

#[test]
fn without_a_visitor_fractional_says_nothing() {
    let flag = parse(&json!({
        "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
        "targeting": {"fractional": [["on", 100]]}
    }));
    let scene = Scene::new();
    let crawler = super::Subject {
        visitor: None,
        ..scene.subject()
    };
    let choice = flag.decide(&crawler, &mut ());
    assert_eq!(
        (chosen(&flag, &choice), choice.reason.as_str()),
        (Some("off"), "DEFAULT")
    );
}
