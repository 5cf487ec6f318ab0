//! Which fields a route may touch, who is in a share, and how time is told. What the rules do to an answer is `tests/tables/response`.

use std::time::Duration;

use http::HeaderName;

use super::{Hsts, ResponseRules, Spent, Touch, why_not};
use crate::fields::Fields;

const TOUCHES: [Touch; 4] = [Touch::Remove, Touch::Set, Touch::Default, Touch::Add];

/// In which ways each field may be touched.
#[track_caller]
fn check(name: &str, may: &[Touch]) {
    let field = HeaderName::from_bytes(name.as_bytes()).unwrap();
    let got: Vec<Touch> = TOUCHES
        .into_iter()
        .filter(|touch| why_not(&field, *touch).is_none())
        .collect();
    assert_eq!(got, may, "{name}");
}

#[test]
fn framing_and_banyans_own_fields_are_out_of_reach() {
    for name in [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "HTTP2-Settings",
        "Content-Length",
        "Content-Encoding",
        "Content-Range",
        "Date",
        "Via",
        "Proxy-Status",
        "X-Request-Id",
        "Banyan-Flags",
        "Banyan-Anything",
    ] {
        check(name, &[]);
    }
    for name in [
        "Strict-Transport-Security",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Credentials",
        "Access-Control-Allow-Private-Network",
        "Access-Control-Expose-Headers",
        "Access-Control-Max-Age",
    ] {
        check(name, &[Touch::Remove]);
    }
    check("Set-Cookie", &[Touch::Remove, Touch::Add]);
    for name in [
        "Server",
        "X-Powered-By",
        "Vary",
        "Cache-Control",
        "Server-Timing",
        "Content-Type",
        "Alt-Svc",
        "X-Whatever",
    ] {
        check(name, &TOUCHES);
    }
}

#[test]
fn a_share_of_the_request_ids_is_timed_and_only_grows() {
    let ids: Vec<String> = (0..20_000_u64)
        .map(|id| format!("{:032x}", u128::from(id) << 40))
        .collect();
    let timed = |share: u32| -> Vec<bool> {
        let rules = ResponseRules {
            server_timing: share,
            ..ResponseRules::default()
        };
        ids.iter().map(|id| rules.is_timed(id.as_bytes())).collect()
    };
    assert!(timed(0).iter().all(|timed| !timed));
    assert!(timed(100_000).iter().all(|timed| *timed));
    let five = timed(5_000);
    let count = five.iter().filter(|timed| **timed).count();
    assert!((850..=1_150).contains(&count), "{count} of 20,000 are not 5 %");
    let ten = timed(10_000);
    assert!(five.iter().zip(&ten).all(|(five, ten)| *ten || !five));
}

#[test]
fn time_is_told_in_milliseconds_beside_the_backends() {
    let mut fields = Fields::new();
    fields.insert("server-timing", "db;dur=1");
    let spent = |backend| Spent {
        total: Duration::from_micros(12_034),
        backend,
    };
    spent(Some(Duration::from_micros(7))).write(&mut fields);
    spent(None).write(&mut fields);
    let told: Vec<_> = fields
        .get_all("server-timing")
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "db;dur=1",
            "banyan;dur=12.034, backend;dur=0.007",
            "banyan;dur=12.034"
        ]
    );
}

#[test]
fn hsts_says_what_is_asked_for_in_order() {
    let year = Duration::from_secs(31_536_000);
    let of = |age, subdomains, preload| Hsts::new(age, subdomains, preload, true).value;
    assert_eq!(&*of(year, false, false), "max-age=31536000");
    assert_eq!(
        &*of(year, true, true),
        "max-age=31536000; includeSubDomains; preload"
    );
    assert_eq!(&*of(Duration::ZERO, true, false), "max-age=0; includeSubDomains");
}
