//! Any claims against what a route may ask for: asking for more lets in nobody else. Any path below a demanded one is demanded.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use banyan::{
    clock::UnixTime,
    gate::{
        Accept, Auth, Demand, Gate, GateSettings, Identity, KeySource, LIFETIME, Need, Requirement,
        TokenProfile, What, permit,
    },
    name::Place,
};
use libfuzzer_sys::fuzz_target;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn place() -> Place {
    Place {
        file: "banyan.toml".into(),
        line: 1,
    }
}

static GATE: LazyLock<Gate> = LazyLock::new(|| {
    Gate::new(&GateSettings {
        issuer: "i".to_owned(),
        audiences: vec!["a".to_owned()],
        keys: KeySource::File("keys.json".into()),
        roles_claim: "/roles".to_owned(),
        leeway: Duration::from_secs(30),
        default_auth: None,
        default_accept: Accept::default(),
        groups_claim: "/groups".to_owned(),
        profile: TokenProfile::Rfc9068,
        max_lifetime: LIFETIME,
        demands: vec![Demand {
            path: "/vault/*".to_owned(),
            hosts: Vec::new(),
            requirement: Requirement::of(Auth::Required),
            place: place(),
        }],
        strip: vec!["x-remote-*".into()],
        session: None,
        ca: None,
        legacy: None,
        introspection: None,
    })
});

fn needs() -> Vec<Need> {
    let need = |what: What, all: bool| Need {
        names: match what {
            What::Age(_) => Vec::new(),
            _ => vec!["a".to_owned(), "7".to_owned()],
        },
        what,
        all,
        place: place(),
    };
    vec![
        need(What::Role, false),
        need(What::Group("/groups".into()), true),
        need(What::Scope, true),
        need(What::Claim("/a/b".into()), false),
        need(What::Claim("a.b".into()), true),
        need(What::Acr, false),
        need(What::Age(Duration::from_secs(300)), false),
    ]
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(claims) = serde_json::from_slice(bytes) {
        let mut identity = Identity::pretended("alice", &["a".to_owned()]);
        identity.claims = claims;
        let mut asked = Requirement::of(Auth::Required);
        let mut passed = true;
        for need in needs() {
            passed &= need.is_met(&identity, NOW);
            asked.needs.push(need);
            assert_eq!(permit(&asked, Some(&identity), NOW).is_ok(), passed);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let below = format!("/vault/{text}");
        assert!(GATE.demands(&below, "localhost").next().is_some());
        GATE.demands(text, text).count();
        let _ = GATE.strips(text);
    }
});
