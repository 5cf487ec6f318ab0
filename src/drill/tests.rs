//! What a drill is told, and whom it meets.

use std::time::Duration;

use super::{SHARE_MAX, What, Where, Whom};
use crate::fields::Fields;

#[test]
fn faults_are_read_with_their_bounds() {
    let good = [
        ("delay=250ms", What::Delay(Duration::from_millis(250))),
        ("delay=30s", What::Delay(Duration::from_secs(30))),
        ("abort=400", What::Abort(400)),
        ("abort=599", What::Abort(599)),
        ("cut=0B", What::Cut(0)),
        ("cut=16KiB", What::Cut(16 * 1024)),
        ("throttle=1GiB", What::Throttle(1 << 30)),
    ];
    for (text, what) in good {
        assert_eq!(text.parse(), Ok(what), "{text}");
        assert_eq!(what.to_string().parse(), Ok(what), "{what}");
    }
    for bad in [
        "",
        "delay",
        "delay=",
        "delay=0s",
        "delay=31s",
        "delay=1",
        "delay=-1s",
        "abort=399",
        "abort=600",
        "abort=x",
        "cut=1",
        "cut=2GiB",
        "cut=99999999999999999999B",
        "throttle=0B",
        "melt=1s",
        "delay=1s ",
    ] {
        assert!(bad.parse::<What>().is_err(), "{bad}");
    }
}

#[test]
fn a_path_is_met_whole_and_with_all_below_it_where_that_is_said() {
    let cases = [
        ("/a", "/a", true),
        ("/a", "/a/b", false),
        ("/a/*", "/a", true),
        ("/a/*", "/a/b/c", true),
        ("/a/*", "/ab", false),
        ("/*", "/anything", true),
    ];
    for (wanted, path, has) in cases {
        assert_eq!(
            Where::Path(wanted.to_owned()).has("/*", path),
            has,
            "{wanted} {path}"
        );
    }
    let route = Where::Route("/courses/{slug}".to_owned());
    assert!(route.has("/courses/{slug}", "/courses/rust"));
    assert!(!route.has("/courses/*", "/courses/{slug}"));
}

#[test]
fn a_share_meets_as_many_and_conditions_all_hold() {
    let none = Fields::new();
    let of = |share| Whom {
        share,
        header: None,
        visitor: None,
    };
    let met = |share| {
        let mut random = 1_u64;
        let all = (0..100_000).filter(|_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            of(share).meets(&none, None, random)
        });
        all.count()
    };
    assert_eq!((met(0), met(SHARE_MAX)), (0, 100_000));
    assert!((24_000..26_000).contains(&met(25_000)), "{}", met(25_000));
    assert!((50..150).contains(&met(100)), "{}", met(100));
    let both = Whom {
        header: Some(("x-drill".to_owned(), "yes".to_owned())),
        visitor: Some("mina".to_owned()),
        ..of(SHARE_MAX)
    };
    let mut said = Fields::new();
    said.append("x-drill", "no");
    assert!(!both.meets(&said, Some("mina"), 0));
    said.append("x-drill", "yes");
    assert!(both.meets(&said, Some("mina"), 0));
    assert!(!both.meets(&said, Some("jun"), 0));
    assert!(!both.meets(&said, None, 0));
}
