//! Laws of layers: nobody meets two flags of one, and what happens in a layer says nothing about rollouts.

use proptest::prelude::*;
use serde_json::json;

use super::super::{
    Choice, Flag, FlagSettings, Flags, LayerSettings, LayerShare, Reason, RolloutBy, Subject, Trail,
};
use super::{Scene, chosen, place, rule, settings, shares, with};
use crate::name::{FlagKey, LayerName};

fn layer(holdout: u32, flags: &[(&str, u32)]) -> LayerSettings {
    LayerSettings {
        name: LayerName::new("checkout").unwrap(),
        place: place(1),
        holdout,
        flags: flags
            .iter()
            .map(|(key, share)| LayerShare {
                flag: FlagKey::new(key).unwrap(),
                share: *share,
                place: place(2),
            })
            .collect(),
    }
}

/// A flag of the layer that everyone would get.
fn member(key: &str) -> FlagSettings {
    let mut settings = with(
        settings(&["legacy", "new"], "legacy"),
        vec![rule(json!(true), "new")],
        None,
    );
    settings.key = FlagKey::new(key).unwrap();
    settings.layer = Some(LayerName::new("checkout").unwrap());
    settings
}

fn build(layer: LayerSettings, flags: &[FlagSettings]) -> Flags {
    let compiled = flags.iter().cloned().map(|flag| Flag::compile(flag).unwrap());
    Flags::build_in(&[layer], compiled.collect()).unwrap()
}

fn decide(flags: &Flags, key: &str, subject: &Subject<'_>) -> (String, Choice) {
    let id = flags.by_key(key).unwrap();
    let choice = flags.decide(id, subject, &mut ());
    let mut trail = Trail::default();
    assert_eq!(flags.decide(id, subject, &mut trail), choice);
    assert!(trail.layer.is_some());
    (
        chosen(flags.get(id).unwrap(), &choice).unwrap().to_owned(),
        choice,
    )
}

proptest! {
    #[test]
    fn nobody_meets_two_flags_of_a_layer(
        id in "[A-Za-z0-9_-]{22}", shares: [u32; 3], holdout in 0..=100_000_u32
    ) {
        // also where shares are too much together, which `config` refuses
        let given: Vec<u32> = shares.iter().map(|share| share % 100_001).collect();
        let layer = layer(holdout, &[("a", given[0]), ("b", given[1]), ("c", given[2])]);
        let flags = build(layer, &["a", "b", "c"].map(member));
        let scene = Scene::new();
        let subject = scene.visitor(&id);
        let met: Vec<(String, Choice)> = ["a", "b", "c"].iter().map(|key| decide(&flags, key, &subject)).collect();
        prop_assert!(met.iter().filter(|(name, _)| name == "new").count() <= 1);
        for (name, choice) in met {
            prop_assert_eq!(name == "legacy", choice.reason == Reason::Layer);
        }
    }

    #[test]
    fn a_flag_behind_the_others_and_a_holdout_move_nobody(
        id in "[A-Za-z0-9_-]{22}", first in 0..=40_000_u32, second in 0..=30_000_u32, holdout in 0..=30_000_u32
    ) {
        let before = build(layer(0, &[("a", first)]), &[member("a")]);
        let after = build(layer(holdout, &[("a", first), ("b", second)]), &["a", "b"].map(member));
        let scene = Scene::new();
        let subject = scene.visitor(&id);
        prop_assert_eq!(decide(&before, "a", &subject), decide(&after, "a", &subject));
    }
}

#[test]
fn shares_of_a_layer_are_kept_and_its_ramps_are_of_another_hash() {
    let ramp = |key: &str| {
        let mut flag = with(
            settings(&["legacy", "new"], "legacy"),
            vec![],
            Some(shares(RolloutBy::Visitor, &[("new", 50_000)])),
        );
        flag.key = FlagKey::new(key).unwrap();
        flag.layer = Some(LayerName::new("checkout").unwrap());
        flag
    };
    let flags = build(
        layer(5_000, &[("a", 50_000), ("b", 45_000)]),
        &["a", "b"].map(ramp),
    );
    let scene = Scene::new();
    let mut counts = [0_usize; 3];
    for n in 0..100_000_u32 {
        let id = format!("visitor-{n:08x}");
        let subject = scene.visitor(&id);
        let (a, b) = (decide(&flags, "a", &subject), decide(&flags, "b", &subject));
        counts[0] += usize::from(a.1.reason == Reason::Split);
        counts[1] += usize::from(a.0 == "new");
        counts[2] += usize::from(a.1.reason == Reason::Layer && b.1.reason == Reason::Layer);
    }
    // in the layer, half of those by the ramp, held out: within four standard deviations
    for (count, p) in counts.into_iter().zip([0.5, 0.25, 0.05]) {
        let sigma = (100_000.0_f64 * p * (1.0 - p)).sqrt();
        assert!(
            (count as f64 - 100_000.0 * p).abs() <= 4.0 * sigma,
            "{count} at {p}"
        );
    }
}

#[test]
fn places_of_a_layer_are_frozen() {
    // Held down so that no change of code ever moves a visitor: murmur3 of "layer:checkout" and the id.
    let flags = build(layer(0, &[("a", 50_000)]), &[member("a")]);
    let mut trail = Trail::default();
    let scene = Scene::new();
    flags.decide(
        flags.by_key("a").unwrap(),
        &scene.visitor("AAAAAAAAAAAAAAAAAAAAAA"),
        &mut trail,
    );
    assert_eq!(trail.layer, Some((Some(42_683), true)));
}

#[test]
fn without_an_id_only_a_whole_layer_takes() {
    let scene = Scene::new();
    let nobody = Subject {
        visitor: None,
        ..scene.anonymous()
    };
    for (share, expected) in [(99_999, "legacy"), (100_000, "new")] {
        let flags = build(layer(0, &[("a", share)]), &[member("a")]);
        assert_eq!(decide(&flags, "a", &nobody).0, expected);
    }
}

#[test]
fn a_flag_without_a_range_is_refused() {
    let compiled = vec![Flag::compile(member("b")).unwrap()];
    let problem = Flags::build_in(&[layer(0, &[("a", 1)])], compiled).unwrap_err();
    assert_eq!(
        (problem.kind.code(), problem.to_string().as_str()),
        (
            "flag-not-in-layer",
            "flag `b`: layer `checkout` has no range for it"
        )
    );
}
