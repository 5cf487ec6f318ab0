//! Consent and adoption: how long cookies are kept, and whose they are.

use super::{
    super::{Consent, Kept, Keys, SeenState, SigningKey, VisitorSettings},
    carrying, keys_of, pair,
};
use crate::clock::UnixTime;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn keys_with(consent: Consent, adopt_secret: Option<Vec<u8>>, ids: &[&str]) -> Keys {
    let key = |id: &&str| SigningKey {
        id: (*id).to_owned(),
        secret: vec![id.as_bytes()[0]; 32],
    };
    Keys::new(&VisitorSettings {
        keys: ids.iter().map(key).collect(),
        consent,
        adopt_secret,
        ..VisitorSettings::default()
    })
    .unwrap()
}

#[track_caller]
fn check(consent: Consent, cookie: &str, expected: Kept) {
    let keys = keys_with(consent, None, &["a"]);
    assert_eq!(keys.kept(&carrying(&[cookie])), expected, "{cookie}");
}

#[test]
fn consent_is_what_the_site_or_its_cookie_says() {
    check(Consent::Days, "", Kept::Days);
    check(Consent::Session, "consent=yes", Kept::Session);
    let asked = || Consent::Cookie {
        name: "consent".to_owned(),
        value: "yes".to_owned(),
    };
    check(asked(), "", Kept::Session);
    check(asked(), "consent=no", Kept::Session);
    check(asked(), "Consent=yes; consent=yes ok", Kept::Session);
    check(asked(), "a=b; consent=yes", Kept::Days);
    check(asked(), "consent=yes; consent=no", Kept::Session);
}

#[test]
fn a_session_cookie_says_that_it_is_one_and_is_the_same_visitor() {
    let keys = keys_of(&["a"]);
    let visitor = keys.mint([1; 16], NOW);
    let set = keys.set_cookie(&visitor.to_be_kept(Kept::Session), NOW);
    assert!(!set.to_str().unwrap().contains("Max-Age"), "{set:?}");
    let seen = keys.identify(&carrying(&[&pair(&set)]), NOW);
    assert_eq!(seen.state, SeenState::Valid);
    let seen = seen.visitor.unwrap();
    assert_eq!((seen.id(), seen.kept()), (visitor.id(), Kept::Session));
    let changed = pair(&set).replace("s.", ".");
    assert_eq!(
        keys.identify(&carrying(&[&changed]), NOW).state,
        SeenState::Damaged
    );
}

#[test]
fn a_user_is_one_visitor_everywhere_whose_name_nobody_reads() {
    let keys = keys_of(&["a"]);
    let visitor = keys.adopt("user-7", NOW);
    assert_eq!(visitor.id().len(), 22);
    assert_eq!(visitor.id(), keys.adopt("user-7", UnixTime::from_secs(1)).id());
    assert_ne!(visitor.id(), keys.adopt("user-8", NOW).id());
    assert_ne!(visitor.id(), keys_of(&["b"]).adopt("user-7", NOW).id());
    assert_eq!(
        visitor.id(),
        keys_of(&["b", "a"]).adopt("user-7", NOW).id(),
        "a new key in front moves nobody"
    );
    let of = |ids: &[&str]| keys_with(Consent::Days, Some(vec![9; 32]), ids).adopt("user-7", NOW);
    assert_eq!(of(&["a"]), of(&["b"]), "a secret of its own outlives every key");
    let seen = keys.identify(&carrying(&[&pair(&keys.set_cookie(&visitor, NOW))]), NOW);
    assert_eq!(seen.visitor, Some(visitor));
}
