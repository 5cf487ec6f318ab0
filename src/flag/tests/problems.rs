//! What is refused at load, in the words people read.

use serde_json::json;

use super::super::{Flag, FlagSettings, Flags, RolloutBy};
use super::{place, rule, settings, shares, variant, with};

#[track_caller]
fn check(settings: FlagSettings, code: &str, text: &str) {
    let problem = Flag::compile(settings).unwrap_err();
    assert_eq!((problem.kind.code(), problem.to_string().as_str()), (code, text));
}

fn two() -> FlagSettings {
    settings(&["legacy", "new"], "legacy")
}

#[test]
fn variants_and_default_must_fit() {
    check(
        settings(&[], "legacy"),
        "flag-no-variants",
        "flag `f`: it has no variants",
    );
    check(
        settings(&["a", "b", "a"], "a"),
        "flag-variant-twice",
        "flag `f`: variant `a` is listed twice",
    );
    check(
        settings(&["a"], "b"),
        "flag-unknown-default",
        "flag `f`: its default `b` is not one of its variants",
    );
    let mut none = two();
    none.default = None;
    check(none, "flag-no-default", "flag `f`: it has no default");
}

#[test]
fn rules_must_compile_and_serve_a_variant() {
    check(
        with(two(), vec![rule(json!(true), "nwe")], None),
        "flag-unknown-served",
        "flag `f`: rule \"serve nwe\" serves `nwe`, which is not one of its variants",
    );
    check(
        with(
            two(),
            vec![rule(json!({"inn": ["a", {"var": "user.roles"}]}), "new")],
            None,
        ),
        "flag-bad-rule",
        "flag `f`: rule \"serve new\" can't be used: there is no operator `inn`; did you mean `in`?",
    );
    check(
        with(two(), vec![rule(json!({"==": [1, 1], "in": []}), "new")], None),
        "flag-bad-rule",
        "flag `f`: rule \"serve new\" can't be used: an object in a rule is one operator with its arguments, \
         this one has 2: ==, in",
    );
    let problem = Flag::compile(with(two(), vec![rule(json!(true), "nwe")], None)).unwrap_err();
    assert_eq!(problem.place, place(7));
}

#[test]
fn a_rule_nested_too_deeply_is_refused() {
    let deep = (0..49).fold(json!(true), |inner, _| json!({"!": [inner]}));
    assert!(Flag::compile(with(two(), vec![rule(deep, "new")], None)).is_ok());
    let deeper = (0..50).fold(json!(true), |inner, _| json!({"!": [inner]}));
    let problem = Flag::compile(with(two(), vec![rule(deeper, "new")], None)).unwrap_err();
    assert_eq!(problem.kind.code(), "flag-bad-rule");
}

#[test]
fn shares_must_fit() {
    let rollout = |given: &[(&str, u32)]| Some(shares(RolloutBy::Visitor, given));
    check(
        with(two(), vec![], rollout(&[("new", 100_001)])),
        "flag-shares-over",
        "flag `f`: its shares are 100.001 % together, more than 100 %",
    );
    check(
        with(two(), vec![], rollout(&[("nwe", 1)])),
        "flag-unknown-in-rollout",
        "flag `f`: its rollout has `nwe`, which is not one of its variants",
    );
    check(
        with(two(), vec![], rollout(&[("new", 1), ("new", 1)])),
        "flag-rollout-twice",
        "flag `f`: its rollout has `new` twice",
    );
    check(
        with(two(), vec![], rollout(&[("legacy", 1)])),
        "flag-default-in-rollout",
        "flag `f`: its rollout has its default `legacy`, which takes what the others leave",
    );
    check(
        with(
            settings(&["a", "legacy", "b"], "legacy"),
            vec![],
            rollout(&[("a", 60_500)]),
        ),
        "flag-share-over-range",
        "flag `f`: `a` wants 60.5 %, but with 2 variants beside the default each has a fixed range of 50 %, so that \
         growing one never moves the visitors of another",
    );
}

#[test]
fn two_flags_cannot_have_one_key() {
    let mut other = two();
    other.place = place(40);
    let flags = vec![Flag::compile(other).unwrap(), Flag::compile(two()).unwrap()];
    let problem = Flags::build(flags).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "flag `f`: its key is already used at flags/f.toml:1"
    );
    assert_eq!(problem.place, place(40));
}

#[test]
fn flags_are_found_by_key() {
    let flag = |key: &str| {
        let mut settings = two();
        settings.key = crate::name::FlagKey::new(key).unwrap();
        Flag::compile(settings).unwrap()
    };
    let flags = Flags::build(["b", "c", "a"].map(flag).into()).unwrap();
    let keys: Vec<&str> = flags.iter().map(|(_, flag)| flag.key().as_str()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    let id = flags.by_key("b").unwrap();
    assert_eq!(flags.get(id).unwrap().key().as_str(), "b");
    assert_eq!(flags.by_key("bb"), None);
    assert_eq!(
        flags.get(id).unwrap().variants(),
        [variant("legacy"), variant("new")]
    );
}
