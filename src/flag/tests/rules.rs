//! Rules of TOML flags: what they see, and what follows from them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Choice, Fault, Flag, FlagSettings, Flags, Reason, RolloutBy, Subject, Trail};
use super::{Scene, chosen, rule, settings, shares, table, with};

/// Decides twice, watched and not, and holds that watching changes nothing.
#[track_caller]
fn decide(settings: FlagSettings, subject: &Subject<'_>) -> (Option<String>, Choice, Trail) {
    let flags = Flags::build(vec![Flag::compile(settings).unwrap()]).unwrap();
    let id = flags.by_key("f").unwrap();
    let mut trail = Trail::default();
    let choice = flags.decide(id, subject, &mut trail);
    assert_eq!(flags.decide(id, subject, &mut ()), choice);
    let name = chosen(flags.get(id).unwrap(), &choice).map(str::to_owned);
    (name, choice, trail)
}

#[track_caller]
fn check(settings: FlagSettings, subject: &Subject<'_>, name: &str, reason: Reason) -> Choice {
    let (got, choice, _) = decide(settings, subject);
    assert_eq!((got.as_deref(), choice.reason), (Some(name), reason));
    choice
}

#[test]
fn conditions_see_the_request() {
    let scene = Scene::new();
    let table = table("rules.tsv");
    assert_eq!(table.len(), 50);
    for row in table {
        let condition: Value = serde_json::from_str(&row[0]).unwrap();
        let (_, _, trail) = decide(
            with(
                settings(&["legacy", "new"], "legacy"),
                vec![rule(condition, "new")],
                None,
            ),
            &scene.subject(),
        );
        let (_, outcome) = &trail.rules[0];
        assert!(
            outcome.starts_with(row[1].replace("no match", "does not match").as_str()),
            "{row:?}: {outcome}"
        );
    }
}

#[test]
fn a_flag_without_rules_and_rollout_is_static() {
    check(
        settings(&["legacy", "new"], "legacy"),
        &Scene::new().subject(),
        "legacy",
        Reason::Static,
    );
}

#[test]
fn the_first_rule_that_matches_serves() {
    let rules = vec![
        rule(json!(false), "a"),
        rule(json!(true), "b"),
        rule(json!(true), "a"),
    ];
    let flag = with(settings(&["legacy", "a", "b"], "legacy"), rules, None);
    let choice = check(flag, &Scene::new().subject(), "b", Reason::TargetingMatch);
    assert_eq!(choice.rule, Some(1));
}

#[test]
fn no_match_and_no_rollout_is_the_default() {
    let flag = with(
        settings(&["legacy", "new"], "legacy"),
        vec![rule(json!(false), "new")],
        None,
    );
    check(flag, &Scene::new().subject(), "legacy", Reason::Default);
}

#[test]
fn a_rule_goes_before_the_rollout() {
    let nobody = Some(shares(RolloutBy::Visitor, &[("new", 0)]));
    let flag = with(
        settings(&["legacy", "new"], "legacy"),
        vec![rule(json!(true), "new")],
        nobody,
    );
    check(flag, &Scene::new().subject(), "new", Reason::TargetingMatch);
}

#[test]
fn a_failing_rule_serves_the_default_and_stops() {
    let rules = vec![rule(json!({"+": ["x", 1]}), "new"), rule(json!(true), "new")];
    let everyone = Some(shares(RolloutBy::Visitor, &[("new", 100_000)]));
    let (name, choice, trail) = decide(
        with(settings(&["legacy", "new"], "legacy"), rules, everyone),
        &Scene::new().subject(),
    );
    assert_eq!(name.as_deref(), Some("legacy"));
    assert_eq!(
        (choice.reason, choice.error, choice.rule),
        (Reason::Error, Some(Fault::Parse), Some(0))
    );
    assert_eq!(trail.rules.len(), 1);
}

#[test]
fn a_disabled_flag_serves_the_default_whatever_its_rules_say() {
    let mut flag = with(
        settings(&["legacy", "new"], "legacy"),
        vec![rule(json!(true), "new")],
        None,
    );
    flag.state = super::FlagState::Disabled;
    check(flag, &Scene::new().subject(), "legacy", Reason::Disabled);
}

#[test]
fn nobody_signed_in_is_no_error() {
    let rules = vec![
        rule(json!({"in": ["staff", {"var": "user.roles"}]}), "new"),
        rule(json!({"==": [{"var": "user.claims.plan"}, "pro"]}), "new"),
        rule(json!({"var": "user.id"}), "new"),
    ];
    let flag = with(settings(&["legacy", "new"], "legacy"), rules, None);
    check(flag, &Scene::new().anonymous(), "legacy", Reason::Default);
}

#[test]
fn a_rollout_by_user_puts_the_user_into_fractional_too() {
    let condition = json!({"==": [{"var": "targetingKey"}, "u-7"]});
    let by_user = Some(shares(RolloutBy::User, &[("new", 0)]));
    let flag = with(
        settings(&["legacy", "new"], "legacy"),
        vec![rule(condition, "new")],
        by_user,
    );
    check(flag, &Scene::new().subject(), "new", Reason::TargetingMatch);
}

#[test]
fn a_hostile_request_is_seen_only_in_part() {
    let mut scene = Scene::new();
    let many = (0..300).map(|n| format!("c{n}=1")).collect::<Vec<_>>().join("; ");
    scene.headers.insert(http::header::COOKIE, many);
    let last_seen = rule(json!({"var": "request.cookies.c99"}), "new");
    let unseen = rule(json!({"var": "request.cookies.c100"}), "legacy");
    let flag = with(
        settings(&["legacy", "new"], "legacy"),
        vec![unseen, last_seen],
        None,
    );
    assert_eq!(
        check(flag, &scene.subject(), "new", Reason::TargetingMatch).rule,
        Some(1)
    );
}

#[test]
fn deciding_another_flag_while_watching_works() {
    struct Nosy<'a>(&'a Flag, &'a Subject<'a>, Option<Reason>);
    impl super::super::Watch for Nosy<'_> {
        fn rule(&mut self, _: usize, _: super::super::Outcome<'_>) {
            self.2 = Some(self.0.decide(self.1, &mut ()).reason);
        }
        fn rollout(&mut self, _: RolloutBy, _: Option<u32>) {}
    }
    let scene = Scene::new();
    let flag = with(
        settings(&["legacy", "new"], "legacy"),
        vec![rule(json!({"var": "user.id"}), "new")],
        None,
    );
    let flag = Flag::compile(flag).unwrap();
    let subject = scene.subject();
    let mut nosy = Nosy(&flag, &subject, None);
    flag.decide(&subject, &mut nosy);
    assert_eq!(nosy.2, Some(Reason::TargetingMatch));
}

#[test]
fn a_rule_that_devours_memory_fails_alone() {
    let doubling = json!({"reduce": [
        {"map": [{"merge": [[1, 2, 3, 4, 5, 6, 7, 8], {"var": "user.claims.many"}]}, "x"]},
        {"cat": [{"var": "accumulator"}, {"var": "accumulator"}]},
        {"var": "request.path"}
    ]});
    let mut scene = Scene::new();
    scene.claims = json!({"many": vec![1; 60]});
    let flag = with(
        settings(&["legacy", "new"], "legacy"),
        vec![rule(doubling, "new")],
        None,
    );
    let (name, choice, _) = decide(flag, &scene.subject());
    assert_eq!(
        (name.as_deref(), choice.error),
        (Some("legacy"), Some(Fault::Parse))
    );
    conditions_see_the_request();
}

#[test]
fn flags_are_shared_between_cores() {
    fn shared<T: Send + Sync>() {}
    shared::<Flags>();
}

/// Any JSON that could pass for a rule: known operators in any nesting, with any arguments.
fn any_rule() -> impl Strategy<Value = Value> {
    const OPERATORS: &[&str] = &[
        "val",
        "var",
        "==",
        "===",
        "!=",
        "!==",
        ">",
        ">=",
        "<",
        "<=",
        "!",
        "!!",
        "and",
        "or",
        "if",
        "?:",
        "+",
        "-",
        "*",
        "/",
        "%",
        "max",
        "min",
        "cat",
        "substr",
        "in",
        "merge",
        "filter",
        "map",
        "reduce",
        "all",
        "some",
        "none",
        "missing",
        "missing_some",
        "fractional",
        "starts_with",
        "ends_with",
        "sem_ver",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z.가é]{0,4}".prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "user",
            "request.cookies",
            "user.claims",
            "accumulator",
            "current"
        ])
        .prop_map(|name| json!({ "var": name })),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
        let operator = prop::sample::select(OPERATORS);
        prop_oneof![
            list.clone(),
            (operator, prop_oneof![list, inner]).prop_map(|(operator, args)| json!({ operator: args })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_rule_makes_the_engine_panic(condition in any_rule()) {
        let flag = with(settings(&["legacy", "new"], "legacy"), vec![rule(condition, "new")], None);
        match Flag::compile(flag) {
            Err(problem) => prop_assert!(!problem.to_string().contains("panicked"), "{problem}"),
            Ok(flag) => {
                let mut trail = Trail::default();
                let choice = flag.decide(&Scene::new().subject(), &mut trail);
                prop_assert!(choice.variant.is_some());
                prop_assert!(!trail.rules[0].1.contains("panicked"), "{trail:?}");
            }
        }
    }
}
