//! Rules for staff: what they may look at, and what they go before.

use serde_json::{Value, json};

use super::super::{Flag, FlagSettings, Flags, Reason, Requires, RuleSettings, Subject};
use super::{Scene, chosen, place, rule, settings, table, variant, with};
use crate::name::FlagKey;

fn staff(condition: Value, serve: &str) -> RuleSettings {
    RuleSettings {
        staff: true,
        ..rule(condition, serve)
    }
}

fn flag(rules: Vec<RuleSettings>) -> FlagSettings {
    with(settings(&["legacy", "new"], "legacy"), rules, None)
}

fn is_staff() -> Value {
    json!({"in": ["staff", {"var": "user.roles"}]})
}

#[test]
fn rules_for_staff_look_at_the_user_alone() {
    let table = table("staff.tsv");
    assert_eq!(table.len(), 28);
    for row in table {
        let condition: Value = serde_json::from_str(&row[0]).unwrap();
        let found = match Flag::compile(flag(vec![staff(condition, "new")])) {
            Ok(_) => "ok".to_owned(),
            Err(problem) => problem.to_string(),
        };
        let found = found.trim_start_matches("flag `f`: rule \"serve new\" can't be used: ");
        assert_eq!(found, row[1], "{}", row[0]);
    }
}

#[test]
fn an_element_of_a_list_is_all_that_a_test_of_it_sees() {
    let scene = Scene::new();
    let climbing =
        json!({"some": [{"var": "user.roles"}, {"==": [{"var": "request.path"}, "/courses/rust"]}]});
    let flag = Flag::compile(flag(vec![staff(climbing, "new")])).unwrap();
    assert_eq!(
        chosen(&flag, &flag.decide(&scene.subject(), &mut ())),
        Some("legacy")
    );
}

#[test]
fn staff_go_before_what_is_required_and_before_other_rules() {
    let mut cart = flag(vec![rule(json!(true), "legacy"), staff(is_staff(), "new")]);
    cart.requires = vec![Requires {
        flag: FlagKey::new("account").unwrap(),
        variants: vec![variant("new")],
        place: place(3),
    }];
    let mut account = settings(&["legacy", "new"], "legacy");
    account.key = FlagKey::new("account").unwrap();
    let flags = [cart, account].map(|flag| Flag::compile(flag).unwrap());
    let flags = Flags::build(flags.into()).unwrap();
    let id = flags.by_key("f").unwrap();
    let scene = Scene::new();
    let choice = flags.decide(id, &scene.subject(), &mut ());
    // the rule's number is that of the file
    assert_eq!((choice.reason, choice.rule), (Reason::TargetingMatch, Some(1)));
    assert_eq!(chosen(flags.get(id).unwrap(), &choice), Some("new"));
    let choice = flags.decide(id, &scene.anonymous(), &mut ());
    assert_eq!(choice.reason, Reason::Prerequisite);
}

#[test]
fn nobody_is_staff_without_a_name() {
    let flag = Flag::compile(flag(vec![staff(json!({"!": [{"var": "user.id"}]}), "new")])).unwrap();
    let scene = Scene::new();
    let nobody = Subject {
        visitor: None,
        ..scene.anonymous()
    };
    assert_eq!(chosen(&flag, &flag.decide(&nobody, &mut ())), Some("legacy"));
}

#[test]
fn a_rule_for_staff_that_fails_is_the_default() {
    let flag = Flag::compile(flag(vec![
        staff(json!({"+": [{"var": "user.id"}, {}]}), "new"),
        rule(json!(true), "new"),
    ]))
    .unwrap();
    let choice = flag.decide(&Scene::new().subject(), &mut ());
    assert_eq!(
        (chosen(&flag, &choice), choice.reason),
        (Some("legacy"), Reason::Error)
    );
}
