//! What a flag can still give.

use serde_json::{Value, json};

use super::{Scene, chosen, named, rule, settings, shares};
use crate::{
    clock::UnixTime,
    flag::{Flag, FlagSettings, FlagState, RolloutBy, RolloutSettings, SchedulePoint, Targeting},
};

const NAMES: [&str; 4] = ["legacy", "new", "newer", "gone"];

#[track_caller]
fn check(settings: FlagSettings, expected: &[&str]) {
    let flag = Flag::compile(settings).unwrap();
    let given: Vec<&str> = NAMES.into_iter().filter(|name| flag.may_give(name)).collect();
    assert_eq!(given, expected);
}

fn three() -> FlagSettings {
    settings(&["legacy", "new", "newer"], "legacy")
}

#[test]
fn rules_and_shares_give_and_a_kill_leaves_the_default() {
    check(three(), &["legacy"]);
    let mut flag = three();
    flag.targeting = Targeting::Rules {
        rules: vec![rule(json!({"==": [{"var": "user.id"}, "kim"]}), "newer")],
        rollout: Some(shares(RolloutBy::Visitor, &[("new", 1), ("newer", 0)]).1),
    };
    check(flag.clone(), &["legacy", "new", "newer"]);
    let mut killed = flag.clone();
    killed.state = FlagState::Disabled;
    check(killed, &["legacy"]);
    flag.targeting = Targeting::Rules {
        rules: Vec::new(),
        rollout: Some(shares(RolloutBy::Visitor, &[("new", 0), ("newer", 50_000)]).1),
    };
    check(flag.clone(), &["legacy", "newer"]);
    let pinned = FlagSettings {
        sticky: true,
        ..flag.clone()
    };
    check(pinned, &["legacy", "new", "newer"]);
    let mut later = RolloutSettings::default();
    later.schedule.push(SchedulePoint {
        at: UnixTime::from_secs(1),
        shares: named(&[("new", 1)]),
    });
    flag.targeting = Targeting::Rules {
        rules: Vec::new(),
        rollout: Some(later),
    };
    check(flag, &["legacy", "new"]);
}

#[test]
fn expressions_give_what_they_can_come_to() {
    let targeted = |expression: Value, expected: &[&str]| {
        let mut flag = three();
        flag.targeting = Targeting::JsonLogic(expression);
        check(flag, expected);
    };
    targeted(json!({}), &["legacy"]);
    targeted(
        json!({"if": [{"==": [{"var": "user.id"}, "new"]}, "newer", null]}),
        &["legacy", "newer"],
    );
    targeted(
        json!({"if": [{"var": "a"}, "new", {"fractional": [["newer", 0], ["legacy", 100]]}]}),
        &["legacy", "new"],
    );
    targeted(
        json!({"fractional": [{"var": "user.id"}, ["new"], ["newer", 1]]}),
        &["legacy", "new", "newer"],
    );
    targeted(json!({"or": [{"if": [true, "new"]}, "new"]}), &["legacy", "new"]);
    // what is computed may be anything
    targeted(json!({"cat": ["ne", "w"]}), &["legacy", "new", "newer"]);
    targeted(json!({"var": "request.query.side"}), &["legacy", "new", "newer"]);
}

#[test]
fn whatever_it_decides_for_somebody_it_can_give() {
    let scene = Scene::new();
    let mut flag = three();
    flag.targeting =
        Targeting::JsonLogic(json!({"fractional": [["new", 30], ["newer", 30], ["legacy", 40]]}));
    let flag = Flag::compile(flag).unwrap();
    for at in 0..200 {
        let id = format!("visitor-{at}");
        let choice = flag.decide(&scene.visitor(&id), &mut ());
        let variant = chosen(&flag, &choice).unwrap();
        assert!(flag.may_give(variant), "{variant}");
    }
}
