//! Slips: who may present one, and where.

use super::{
    super::{BadSlip, Keys, Slip, Visitor},
    carrying as carried, keys_of as keys,
};
use crate::clock::UnixTime;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const SLIP: Slip = Slip {
    kind: b'w',
    epoch: 0xfeed,
    numbers: [17, u64::MAX],
};

fn visitor(keys: &Keys, number: u8) -> Visitor {
    keys.mint([number; 16], NOW)
}

fn pair(keys: &Keys, room: &str, of: &Visitor) -> String {
    let set = keys.set_slip(SLIP, room, of);
    set.to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn a_slip_counts_for_its_visitor_at_its_room_alone() {
    let old = keys(&["a"]);
    let now = keys(&["b", "a"]);
    let (mina, jun) = (visitor(&old, 1), visitor(&old, 2));
    let pair = pair(&old, "checkout", &mina);
    let fields = carried(&["x=1", &pair]);
    assert_eq!(now.slip(&fields, "checkout", &[mina]), Ok(Some(SLIP)));
    assert_eq!(now.slip(&fields, "checkout", &[jun, mina]), Ok(Some(SLIP)));
    assert_eq!(now.slip(&fields, "checkout", &[jun]), Err(BadSlip));
    assert_eq!(now.slip(&fields, "checkout", &[]), Err(BadSlip));
    assert_eq!(now.slip(&fields, "tickets", &[mina]), Ok(None));
    let moved = pair.replace("room-checkout", "room-tickets");
    assert_eq!(now.slip(&carried(&[&moved]), "tickets", &[mina]), Err(BadSlip));
    assert_eq!(keys(&["c"]).slip(&fields, "checkout", &[mina]), Err(BadSlip));
    assert_eq!(now.slip(&carried(&[]), "checkout", &[mina]), Ok(None));
}

#[test]
fn a_changed_slip_counts_for_nothing_and_a_good_copy_beside_it_does() {
    let keys = keys(&["a"]);
    let mina = visitor(&keys, 1);
    let pair = pair(&keys, "checkout", &mina);
    let (name, value) = pair.split_once('=').unwrap();
    for at in 0..value.len() {
        let mut bytes = value.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        let changed = format!("{name}={}", String::from_utf8(bytes).unwrap());
        let fields = carried(&[&changed]);
        // the last character of a signature has bits to spare, which are compared all the same
        assert_eq!(keys.slip(&fields, "checkout", &[mina]), Err(BadSlip), "{at}");
        let both = carried(&[&changed, &pair]);
        assert_eq!(keys.slip(&both, "checkout", &[mina]), Ok(Some(SLIP)), "{at}");
    }
    for bad in ["", ".", "1.a.w.1.2.3", "1.a.W.feed.1.2.x", "1.a.w.feed.1.2.3.x"] {
        let fields = carried(&[&format!("{name}={bad}")]);
        assert_eq!(keys.slip(&fields, "checkout", &[mina]), Err(BadSlip), "{bad}");
    }
}
