//! Machines' keys: their form, who is let in by them, and what is seen of their use.

use std::sync::Arc;

use proptest::prelude::*;

use super::{MachineSettings, Machines, PREFIX, conceal, hash, is_well_formed, mint, reaches};
use crate::{
    clock::UnixTime,
    fields::{Fields, Known},
    gate::{BadToken, Denied, Identity, Source, test_issuer::NOW},
    name::SquadName,
};

fn machine(name: &str, key: &str) -> MachineSettings {
    MachineSettings {
        name: Arc::from(name),
        hash: hash(key),
        squads: Vec::new(),
        scopes: vec!["orders:read".to_owned(), "orders:write".to_owned()],
        roles: vec!["ci".to_owned()],
        expires: UnixTime::from_secs(NOW.secs() + 100),
    }
}

#[test]
fn a_key_opens_what_it_is_for_until_it_ends() {
    let (mine, other) = (mint().unwrap().0, mint().unwrap().0);
    assert_ne!(mine, other);
    let machines = Machines::new(&[machine("ci", &mine)], None);
    let identity = machines.find(&mine, NOW).unwrap();
    assert_eq!(
        (identity.subject.as_str(), identity.source),
        ("key:ci", Source::Key)
    );
    assert_eq!(identity.roles, ["ci"]);
    assert_eq!(identity.claims["scope"], "orders:read orders:write");
    let denied = |key: &str, now| machines.find(key, now).unwrap_err();
    assert_eq!(denied(&other, NOW), Denied::BadToken(BadToken::UnknownMachine));
    assert_eq!(denied("bnk_", NOW), Denied::BadToken(BadToken::Malformed));
    let end = UnixTime::from_secs(NOW.secs() + 100);
    assert_eq!(denied(&mine, end), Denied::BadToken(BadToken::Expired));
}

#[test]
fn when_a_key_was_used_is_known_to_the_minute_and_carried_over() {
    let key = mint().unwrap().0;
    let settings = [machine("ci", &key)];
    let machines = Machines::new(&settings, None);
    let used = |machines: &Machines| machines.about().next().unwrap().used;
    assert_eq!(used(&machines), 0);
    machines.find(&key, NOW).unwrap();
    machines.find(&key, UnixTime::from_secs(NOW.secs() + 59)).unwrap();
    assert_eq!(used(&machines), NOW.secs());
    machines.find(&key, UnixTime::from_secs(NOW.secs() + 60)).unwrap();
    let next = Machines::new(&settings, Some(&machines));
    assert_eq!(used(&next), NOW.secs() + 60);
    let _ = next.find(&key, UnixTime::from_secs(NOW.secs() + 1000));
    assert_eq!(used(&next), NOW.secs() + 60, "one that has ended is not used");
}

#[test]
fn a_key_reaches_its_squads_alone_and_a_user_every_squad() {
    let key = mint().unwrap().0;
    let learn = MachineSettings {
        squads: vec![SquadName::new("learn").unwrap()],
        ..machine("ci", &key)
    };
    let of = |settings| Machines::new(&[settings], None).find(&key, NOW).unwrap();
    let limited = of(learn);
    assert_eq!(reaches(&limited, "learn"), Ok(()));
    assert_eq!(reaches(&limited, "pay"), Err(Denied::OtherSquad));
    assert_eq!(reaches(&of(machine("ci", &key)), "pay"), Ok(()));
    let user = Identity {
        claims: serde_json::json!({ "squads": ["learn"] }),
        ..Identity::pretended("alice", &[])
    };
    assert_eq!(reaches(&user, "pay"), Ok(()));
}

#[test]
fn a_key_is_taken_out_of_what_backends_get() {
    let key = mint().unwrap().0;
    let left = |value: String| {
        let mut fields = Fields::new();
        fields.append(Known::AUTHORIZATION, value);
        fields.append(Known::ACCEPT, "*/*");
        conceal(&mut fields);
        assert!(fields.contains_key(Known::ACCEPT));
        fields.contains_key(Known::AUTHORIZATION)
    };
    assert!(!left(format!("Bearer {key}")));
    assert!(!left(format!("bearer   {key}")));
    assert!(!left(format!("BEARER {PREFIX}")), "nor what only looks like one");
    assert!(left("Bearer eyJ.e30.x".to_owned()));
    assert!(left(format!("Basic {key}")));
}

proptest! {
    #[test]
    fn a_key_with_one_character_changed_is_no_key(at in 0..76_usize, to in "[0-9a-z_]") {
        let key = mint().unwrap().0;
        prop_assert!(is_well_formed(&key));
        prop_assert_eq!(key.len(), 76);
        let mut changed = key.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != key);
        prop_assert!(!is_well_formed(&changed));
        prop_assert!(Machines::new(&[machine("ci", &key)], None).find(&changed, NOW).is_err());
    }

    #[test]
    fn any_text_gets_a_verdict(text in "\\PC{0,90}") {
        let _ = is_well_formed(&text);
        let _ = Machines::default().find(&text, NOW);
    }
}
