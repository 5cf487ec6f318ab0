//! Any JSON as a rule, decided for any query: never a panic, always a variant.
#![no_main]

use std::sync::Arc;

use banyan::{
    clock::UnixTime,
    fields::Fields,
    flag::{
        Bucketing, DRAIN_DEFAULT, Flag, FlagSettings, FlagState, Flags, Person, RolloutBy, RuleSettings, Subject, Targeting, Trail,
    },
    name::{FlagKey, Place, VariantName},
};
use http::Method;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |&byte| byte == 0);
    let Some(Ok(condition)) = parts.next().map(serde_json::from_slice::<Value>) else {
        return;
    };
    let query = parts.next().and_then(|query| std::str::from_utf8(query).ok());
    let variant = |name| VariantName::new(name).expect("a good name");
    let place = Place {
        file: Arc::from("flags/f.toml"),
        line: 1,
    };
    let rule = RuleSettings {
        name: "r".to_owned(),
        place: place.clone(),
        condition,
        serve: variant("new"),
        staff: false,
    };
    let settings = FlagSettings {
        key: FlagKey::new("f").expect("a good name"),
        place,
        description: String::new(),
        squad: None,
        state: FlagState::Enabled,
        variants: vec![
            (variant("legacy"), json!("legacy")),
            (variant("new"), json!("new")),
        ],
        default: Some(variant("legacy")),
        targeting: Targeting::Rules {
            rules: vec![rule],
            rollout: None,
        },
        bucketing: Bucketing::Murmur3CborV3,
        identity: RolloutBy::Visitor,
        requires: Vec::new(),
        layer: None,
        epoch: 1,
        public: false,
        drain: DRAIN_DEFAULT,
        metadata: Map::new(),
        sticky: false,
        adopts: false,
    };
    let Ok(flag) = Flag::compile(settings) else { return };
    let flags = Flags::build(vec![flag]).expect("one flag clashes with none");
    let id = flags.by_key("f").expect("the flag");
    let (headers, roles) = (Fields::new(), ["staff".to_owned()]);
    let subject = Subject {
        visitor: Some("AAAAAAAAAAAAAAAAAAAAAA"),
        person: Some(Person {
            id: "u",
            roles: &roles,
            claims: None,
        }),
        host: "www.example.com",
        path: "/",
        query,
        method: &Method::GET,
        headers: &headers,
        now: UnixTime::from_secs(1_700_000_000),
        forced: None,
        pins: None,
        given: None,
    };
    let mut trail = Trail::default();
    let choice = flags.decide(id, &subject, &mut trail);
    assert!(choice.variant.is_some());
    assert_eq!(choice, flags.decide(id, &subject, &mut ()));
    assert!(
        !trail
            .rules
            .iter()
            .any(|(_, outcome)| outcome.contains("panicked")),
        "{trail:?}"
    );
});
