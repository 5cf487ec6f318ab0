//! Pins and overrides: whom they keep where, and what beats them.

use proptest::prelude::*;
use serde_json::json;

use super::{
    super::{Choice, Flag, FlagSettings, FlagState, Reason, RolloutBy, Subject},
    Scene, rule, settings, shares, with,
};
use crate::{
    clock::UnixTime,
    visitor::{FOR_DEFAULT, Forced, Keys, Pins, Revoked, SigningKey, VisitorSettings, Wish},
};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

fn sticky(share: u32, epoch: u32) -> FlagSettings {
    let rollout = Some(shares(RolloutBy::Visitor, &[("new", share)]));
    FlagSettings {
        sticky: true,
        epoch,
        ..with(settings(&["legacy", "new"], "legacy"), vec![], rollout)
    }
}

fn forced(flags: &[(&str, &str)]) -> Forced {
    let key = SigningKey {
        id: "a".to_owned(),
        secret: vec![1; 32],
    };
    let keys = Keys::new(&VisitorSettings {
        keys: vec![key],
        ..VisitorSettings::default()
    })
    .unwrap();
    let wish = Wish {
        flags: flags.to_vec(),
        host: "h",
        to: "/",
        lasts: FOR_DEFAULT,
    };
    let token = keys.mint_override(&wish, NOW, [1; 20]).unwrap().token;
    keys.open_override(&token, "h", NOW, &Revoked::default()).unwrap()
}

fn decided(settings: FlagSettings, subject: &Subject<'_>) -> (String, Reason, Choice) {
    let flag = Flag::compile(settings).unwrap();
    let choice = flag.decide(subject, &mut ());
    let variant = choice.variant.and_then(|at| flag.variant(at)).unwrap();
    (variant.to_string(), choice.reason, choice)
}

/// The pins of somebody whom this flag has just put somewhere.
fn pinned_by(settings: FlagSettings, subject: &Subject<'_>) -> Pins {
    let flag = Flag::compile(settings).unwrap();
    let mut pins = Pins::default();
    if let Some(pin) = flag.pin(&flag.decide(subject, &mut ())) {
        pins.put(pin);
    }
    pins
}

#[track_caller]
fn check(settings: FlagSettings, subject: &Subject<'_>, variant: &str, reason: Reason) {
    let (got, why, _) = decided(settings, subject);
    assert_eq!((got.as_str(), why), (variant, reason));
}

#[test]
fn a_pin_keeps_a_visitor_until_the_epoch_a_rule_or_the_kill_switch_says_otherwise() {
    let scene = Scene::new();
    let pins = pinned_by(sticky(100_000, 1), &scene.anonymous());
    assert_eq!(pins.iter().len(), 1);
    let subject = Subject {
        pins: Some(&pins),
        ..scene.anonymous()
    };
    check(sticky(0, 1), &subject, "new", Reason::Pin);
    check(sticky(100_000, 1), &subject, "new", Reason::Pin);
    check(sticky(0, 2), &subject, "legacy", Reason::Split);
    let unsticky = FlagSettings {
        sticky: false,
        ..sticky(0, 1)
    };
    check(unsticky, &subject, "legacy", Reason::Split);
    let killed = FlagSettings {
        state: FlagState::Disabled,
        ..sticky(0, 1)
    };
    check(killed, &subject, "legacy", Reason::Disabled);
    let ruled = FlagSettings {
        sticky: true,
        ..with(
            settings(&["legacy", "new"], "legacy"),
            vec![rule(json!({"==": [1, 1]}), "legacy")],
            Some(shares(RolloutBy::Visitor, &[("new", 0)])),
        )
    };
    check(ruled, &subject, "legacy", Reason::TargetingMatch);
    let renamed = FlagSettings {
        variants: settings(&["legacy", "newer"], "legacy").variants,
        ..with(settings(&["legacy", "newer"], "legacy"), vec![], None)
    };
    check(
        FlagSettings {
            sticky: true,
            ..renamed
        },
        &subject,
        "legacy",
        Reason::Static,
    );
    let other_order = FlagSettings {
        variants: settings(&["new", "legacy"], "legacy").variants,
        ..sticky(0, 1)
    };
    check(other_order, &subject, "new", Reason::Pin);
}

#[test]
fn only_whom_a_rollout_put_on_a_variant_is_pinned() {
    let scene = Scene::new();
    let pins_of = |settings| pinned_by(settings, &scene.subject()).iter().len();
    assert_eq!(pins_of(sticky(0, 1)), 0, "the default is nowhere to be kept");
    let unsticky = FlagSettings {
        sticky: false,
        ..sticky(100_000, 1)
    };
    assert_eq!(pins_of(unsticky), 0);
    let ruled = FlagSettings {
        sticky: true,
        ..with(
            settings(&["legacy", "new"], "legacy"),
            vec![rule(json!({"==": [1, 1]}), "new")],
            None,
        )
    };
    assert_eq!(pins_of(ruled), 0);
    let nobody = Subject {
        visitor: None,
        ..scene.anonymous()
    };
    assert_eq!(pinned_by(sticky(100_000, 1), &nobody).iter().len(), 0);
}

#[test]
fn a_pin_of_a_users_rollout_does_not_keep_who_has_signed_out() {
    let scene = Scene::new();
    let by_user = |share| FlagSettings {
        sticky: true,
        ..with(
            settings(&["legacy", "new"], "legacy"),
            vec![],
            Some(shares(RolloutBy::User, &[("new", share)])),
        )
    };
    let pins = pinned_by(by_user(100_000), &scene.subject());
    let pins = Some(&pins);
    check(
        by_user(0),
        &Subject {
            pins,
            ..scene.subject()
        },
        "new",
        Reason::Pin,
    );
    check(
        by_user(0),
        &Subject {
            pins,
            ..scene.anonymous()
        },
        "legacy",
        Reason::Default,
    );
}

#[test]
fn an_override_beats_rules_pins_and_rollout_but_never_the_kill_switch() {
    let scene = Scene::new();
    let pins = pinned_by(sticky(100_000, 1), &scene.subject());
    let (legacy, gone, other) = (
        forced(&[("f", "legacy")]),
        forced(&[("f", "gone")]),
        forced(&[("g", "new")]),
    );
    let by = |forced| Subject {
        forced: Some(forced),
        pins: Some(&pins),
        ..scene.subject()
    };
    check(sticky(100_000, 1), &by(&legacy), "legacy", Reason::Override);
    check(sticky(0, 1), &by(&gone), "new", Reason::Pin);
    check(sticky(0, 1), &by(&other), "new", Reason::Pin);
    let ruled = with(
        settings(&["legacy", "new"], "legacy"),
        vec![rule(json!({"==": [1, 1]}), "new")],
        None,
    );
    check(ruled.clone(), &by(&legacy), "legacy", Reason::Override);
    let killed = FlagSettings {
        state: FlagState::Disabled,
        default: ruled.variants.last().map(|(name, _)| name.clone()),
        ..ruled
    };
    check(killed, &by(&legacy), "new", Reason::Disabled);
}

proptest! {
    #[test]
    fn a_pin_never_survives_an_epoch_and_holds_whatever_the_share(
        epoch in 0_u32..5, later in 0_u32..5, before in 0_u32..=100_000, after in 0_u32..=100_000, id in "[A-Za-z0-9_-]{22}",
    ) {
        let scene = Scene::new();
        let subject = scene.visitor(&id);
        let (first, _, _) = decided(sticky(before, epoch), &subject);
        let pins = pinned_by(sticky(before, epoch), &subject);
        let (fresh, why, _) = decided(sticky(after, later), &subject);
        prop_assert_eq!(why, Reason::Split);
        let (second, _, choice) = decided(sticky(after, later), &Subject { pins: Some(&pins), ..subject });
        if epoch == later && first == "new" {
            prop_assert_eq!((second.as_str(), choice.reason), ("new", Reason::Pin));
        } else {
            prop_assert_eq!((second, choice.reason), (fresh, Reason::Split));
        }
    }
}
