//! Prerequisites: met and unmet, circles, and that the order of files means nothing.

use proptest::prelude::*;
use serde_json::json;

use super::super::{
    Choice, Flag, FlagSettings, FlagState, Flags, PREREQUISITES_MAX, Reason, Requires, RolloutBy, Subject,
    Trail, check_requires,
};
use super::{Scene, chosen, place, rule, settings, shares, variant, with};
use crate::name::FlagKey;

/// A flag of this key at a share, which requires others: `account`, or `account = new`.
fn flag(key: &str, share: u32, requires: &[&str]) -> FlagSettings {
    let mut settings = with(
        settings(&["legacy", "new", "newer"], "legacy"),
        vec![],
        Some(shares(RolloutBy::Visitor, &[("new", share.min(50_000))])),
    );
    if share == 100_000 {
        settings = with(settings, vec![rule(json!(true), "new")], None);
    }
    settings.key = FlagKey::new(key).unwrap();
    settings.requires = requires
        .iter()
        .map(|text| {
            let (flag, variants) = text.split_once(" = ").unwrap_or((text, ""));
            Requires {
                flag: FlagKey::new(flag).unwrap(),
                variants: variants
                    .split('|')
                    .filter(|name| !name.is_empty())
                    .map(variant)
                    .collect(),
                place: place(3),
            }
        })
        .collect();
    settings
}

fn build(flags: &[FlagSettings]) -> Flags {
    let compiled = flags.iter().cloned().map(|flag| Flag::compile(flag).unwrap());
    Flags::build(compiled.collect()).unwrap()
}

fn decide(flags: &Flags, key: &str, subject: &Subject<'_>) -> (String, Choice, Trail) {
    let id = flags.by_key(key).unwrap();
    let mut trail = Trail::default();
    let choice = flags.decide(id, subject, &mut trail);
    assert_eq!(flags.decide(id, subject, &mut ()), choice);
    let name = chosen(flags.get(id).unwrap(), &choice).unwrap().to_owned();
    (name, choice, trail)
}

#[track_caller]
fn check(flags: &[FlagSettings], expected: &str, reason: Reason) {
    let scene = Scene::new();
    let (name, choice, _) = decide(&build(flags), "cart", &scene.subject());
    assert_eq!((name.as_str(), choice.reason), (expected, reason));
    assert_eq!(choice.error, None);
}

#[test]
fn what_is_required_must_not_be_the_default() {
    let cart = flag("cart", 100_000, &["account"]);
    check(
        &[cart.clone(), flag("account", 0, &[])],
        "legacy",
        Reason::Prerequisite,
    );
    check(
        &[cart, flag("account", 100_000, &[])],
        "new",
        Reason::TargetingMatch,
    );
}

#[test]
fn named_variants_may_be_the_default_too() {
    let account = flag("account", 100_000, &[]);
    let cart = |of: &str| flag("cart", 100_000, &[of]);
    check(
        &[cart("account = newer"), account.clone()],
        "legacy",
        Reason::Prerequisite,
    );
    check(
        &[cart("account = newer|new"), account],
        "new",
        Reason::TargetingMatch,
    );
    check(
        &[cart("account = legacy"), flag("account", 0, &[])],
        "new",
        Reason::TargetingMatch,
    );
}

#[test]
fn what_failed_or_was_killed_is_not_what_is_required() {
    let mut failing = flag("account", 0, &[]);
    failing.targeting = super::Targeting::Rules {
        rules: vec![rule(json!({"+": ["a", {}]}), "new")],
        rollout: None,
    };
    let cart = flag("cart", 100_000, &["account = legacy"]);
    check(&[cart, failing], "legacy", Reason::Prerequisite);
    let mut killed = flag("account", 100_000, &[]);
    killed.state = FlagState::Disabled;
    check(
        &[flag("cart", 100_000, &["account"]), killed],
        "legacy",
        Reason::Prerequisite,
    );
}

#[test]
fn what_is_required_is_told_by_the_first_that_is_missing() {
    let flags = [
        flag("cart", 100_000, &["account", "pay", "search"]),
        flag("account", 100_000, &[]),
        flag("pay", 0, &[]),
        flag("search", 0, &[]),
    ];
    let scene = Scene::new();
    let (_, _, trail) = decide(&build(&flags), "cart", &scene.subject());
    let told: Vec<(&str, bool)> = trail
        .required
        .iter()
        .map(|(key, _, met)| (key.as_str(), *met))
        .collect();
    assert_eq!(told, [("account", true), ("pay", false)]);
}

#[test]
fn a_flag_looks_at_visitors_where_one_does_that_it_requires() {
    let chain = [
        flag("a", 100_000, &["b"]),
        flag("b", 100_000, &["c"]),
        flag("c", 30_000, &[]),
        flag("d", 100_000, &["a"]),
    ];
    let flags = build(&chain);
    let looks = |key: &str| flags.get(flags.by_key(key).unwrap()).unwrap().looks_at_visitor();
    assert!(looks("a") && looks("b") && looks("c") && looks("d"));
    let flags = build(&[flag("a", 100_000, &["b"]), flag("b", 100_000, &[])]);
    assert!(!flags.get(flags.by_key("a").unwrap()).unwrap().looks_at_visitor());
}

fn told(flags: &[FlagSettings]) -> Vec<String> {
    check_requires(flags).iter().map(ToString::to_string).collect()
}

#[test]
fn what_cannot_be_required_is_told() {
    assert_eq!(
        told(&[flag("cart", 0, &["acount", "pay = nwe"]), flag("pay", 0, &[])]),
        [
            "flag `cart`: it requires flag `acount`, which is not defined",
            "flag `cart`: it requires `nwe`, which is not a variant of flag `pay`",
        ]
    );
}

#[test]
fn each_circle_is_told_once_from_its_least_key_on() {
    assert_eq!(
        told(&[
            flag("d", 0, &["c"]), // only leads there
            flag("c", 0, &["a"]),
            flag("b", 0, &["c"]),
            flag("a", 0, &["b"]),
            flag("x", 0, &["x"]),
        ]),
        [
            "flag `a`: it requires itself: a → b → c → a",
            "flag `x`: it requires itself: x → x",
        ]
    );
    let compiled = Flag::compile(flag("x", 0, &["x"])).unwrap();
    assert_eq!(
        Flags::build(vec![compiled]).unwrap_err().kind.code(),
        "flag-requires-itself"
    );
}

#[test]
fn flags_that_ask_too_many_others_are_refused() {
    // each asks the one before it twice: 2, 6, 14, 30, 62 …
    let flags: Vec<FlagSettings> = (0..6)
        .map(|at| match at {
            0 => flag("f0", 0, &[]),
            _ => {
                let before = format!("f{}", at - 1);
                flag(&format!("f{at}"), 0, &[&before, &before])
            }
        })
        .collect();
    assert_eq!(told(&flags[..5]), [""; 0]);
    assert_eq!(
        told(&flags),
        [format!(
            "flag `f5`: it would have 62 other flags asked before it, more than {PREREQUISITES_MAX}"
        )]
    );
    let chain: Vec<FlagSettings> = (0..5_000)
        .map(|at| flag(&format!("f{at}"), 0, &[&format!("f{}", at + 1)]))
        .collect();
    assert_eq!(told(&chain[..1]).len(), 1);
}

#[test]
fn flags_that_require_nothing_allocate_nothing() {
    let flags = build(&[flag("cart", 30_000, &["account"]), flag("account", 50_000, &[])]);
    let scene = Scene::new();
    let (subject, cart) = (scene.subject(), flags.by_key("cart").unwrap());
    let counted = allocation_counter::measure(|| {
        std::hint::black_box(flags.decide(cart, &subject, &mut ()));
    });
    assert_eq!(counted.count_total, 0);
}

proptest! {
    /// A directed graph without circles (each flag requires earlier ones only), in any order of files.
    #[test]
    fn the_order_of_files_means_nothing(
        edges in proptest::collection::vec((0..8_usize, 0..8_usize), 0..7),
        order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
        held: [bool; 8],
    ) {
        let names: Vec<String> = (0..8).map(|at| format!("f{at}")).collect();
        let flags: Vec<FlagSettings> = (0..8)
            .map(|at| {
                let earlier = edges.iter().filter(|(from, to)| *from == at && to < from);
                let requires: Vec<&str> = earlier.map(|(_, to)| names[*to].as_str()).collect();
                flag(&names[at], if held[at] { 100_000 } else { 0 }, &requires)
            })
            .collect();
        let shuffled: Vec<FlagSettings> = order.iter().map(|at| flags[*at].clone()).collect();
        prop_assert_eq!(told(&flags), told(&shuffled));
        let (one, other) = (build(&flags), build(&shuffled));
        let scene = Scene::new();
        for (at, name) in names.iter().enumerate() {
            let (chose, choice, _) = decide(&one, name, &scene.subject());
            prop_assert_eq!(choice, decide(&other, name, &scene.subject()).1);
            // by hand: new where it is held and everything that it requires is new
            let required = flags[at].requires.iter();
            let met = required.clone().all(|other| decide(&one, other.flag.as_str(), &scene.subject()).0 == "new");
            prop_assert_eq!(chose == "new", held[at] && met);
        }
    }

    #[test]
    fn a_circle_is_found_whatever_else_there_is(
        size in 1..6_usize,
        more in proptest::collection::vec((0..9_usize, 0..9_usize), 0..9),
    ) {
        let names: Vec<String> = (0..9).map(|at| format!("f{at}")).collect();
        let flags: Vec<FlagSettings> = (0..9)
            .map(|at| {
                let mut requires: Vec<&str> = Vec::new();
                if at < size {
                    requires.push(&names[(at + 1) % size]);
                }
                requires.extend(more.iter().filter(|(from, _)| *from == at).map(|(_, to)| names[*to].as_str()));
                flag(&names[at], 0, &requires)
            })
            .collect();
        prop_assert!(told(&flags).iter().any(|text| text.contains("requires itself")));
        let compiled = flags.into_iter().map(|flag| Flag::compile(flag).unwrap());
        prop_assert!(Flags::build(compiled.collect()).is_err());
    }
}
