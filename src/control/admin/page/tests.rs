//! Whatever a name, path or problem says, it stays text: the page's tags are the same as with harmless ones.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{
    Frame, Here, Shown, draw, figures, flag,
    html::{Html, ago, duration},
    list, stale,
};
use crate::{
    config::{Problem, Problems, Severity, Sources},
    control::admin::{
        api::{RouteName, backends, drills, flags, rooms, routes, status},
        endpoints::Asked,
        refusal::Refusal,
    },
    control::live::{Figures, Health, POINTS_KEPT_MAX, Point, Tallied},
    snapshot::{diff, error_pages, explain},
};

#[test]
fn every_text_is_escaped_for_elements_and_attributes() {
    let mut html = Html::default();
    html.element("<b>", "<i>&'\"\u{1b}\u{0}", "</b>")
        .attribute("title", "\" onclick=\"x");
    let wanted = "<b>&lt;i&gt;&amp;&#39;&quot;\u{fffd}\u{fffd}</b> title=\"&quot; onclick=&quot;x\"";
    assert_eq!(html.finish(), wanted);
}

#[test]
fn times_are_told_in_the_unit_that_matters() {
    let told = [0, 2, 59, 60, 3_599, 7_200, 86_400, 200_000].map(ago);
    let wanted = [
        "just now",
        "2 s ago",
        "59 s ago",
        "1 min ago",
        "59 min ago",
        "2 h ago",
        "1 day ago",
        "2 days ago",
    ];
    assert_eq!(told, wanted);
    let told = [0, 250, 1_000, 90_000, 120_000, 7_200_000].map(duration);
    assert_eq!(told, ["0s", "250ms", "1s", "90s", "2m", "2h"]);
}

#[test]
fn a_strange_route_is_shown_as_it_is_written() {
    let page = page_of(r#"/a"><script>alert('1')</script>"#);
    assert!(page.contains("/a&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"));
}

#[test]
fn hints_name_what_is_done_unused_or_silent() {
    let of = |flag: &flags::Flag, age, figures: &Figures| stale::hints(flag, age, figures).join("; ");
    let mut flag = flag_of("x");
    let quiet = Figures {
        points: vec![Point::default(); POINTS_KEPT_MAX].into(),
        ..Figures::default()
    };
    assert_eq!(of(&flag, Some(400), &figures_of("x")), "");
    assert_eq!(
        of(&flag, Some(400), &quiet),
        "Nobody asked it in the last 10 minutes"
    );
    assert_eq!(of(&flag, None, &Figures::default()), "", "too early to say");
    flag.variants[0].share = Some(100.0);
    assert_eq!(of(&flag, Some(29), &figures_of("x")), "");
    let done = of(&flag, Some(30), &figures_of("x"));
    assert!(done.starts_with("Everyone whom no rule takes gets x, and the file is unchanged for 30 days"));
    flag.routes.clear();
    assert_eq!(of(&flag, None, &quiet), "No route asks it");
}

#[test]
fn figures_are_rounded_for_people() {
    assert_eq!(figures::percent(0, 0), "–");
    assert_eq!(figures::percent(0, 3), "0 %");
    assert_eq!(figures::percent(3, 3), "100 %");
    assert_eq!(figures::percent(1, 3), "33.3 %");
    assert_eq!(figures::rate(0, 60), "0");
    assert_eq!(figures::rate(90, 60), "1.5");
    assert_eq!(figures::rate(1200, 0), "1200");
    let took = [None, Some(2.5), Some(60.4), Some(10_000.0)].map(figures::took);
    assert_eq!(took, ["–", "2.5 ms", "60 ms", "over 10 s"]);
}

#[test]
fn a_flag_with_a_problem_or_of_a_set_is_shown_with_what_it_has() {
    let mut set = flag_of("x");
    set.targeting = Some(serde_json::json!({ "if": [{ "==": [{ "var": "y" }, 1] }, "x", null] }));
    set.shares = None;
    set.problem = Some("no such operator".to_owned());
    let page = page_with(&set);
    for wanted in [
        "no such operator",
        "if y is 1",
        "A JsonLogic expression decides here",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    for absent in ["id=\"ramp\"", "id=\"schedule\""] {
        assert!(!page.contains(absent), "{absent}");
    }
}

#[test]
fn a_killed_flag_says_so_and_offers_to_be_restored() {
    let mut killed = flag_of("x");
    killed.state = "disabled".to_owned();
    let page = page_with(&killed);
    assert!(page.contains("<b class=\"bad\">Killed:</b> everyone gets <code>x</code>"));
    assert!(page.contains("id=\"kill\" class=\"danger\" aria-describedby=\"kill-hint\" hidden>"));
    assert!(page.contains("id=\"restore\">"));
}

fn page_with(flag: &flags::Flag) -> String {
    flag::draw(&flag::Shown {
        frame: Frame {
            here: Here::Flag,
            title: Some(&flag.key),
            status: &status_of("x"),
            problems: &Problems::of(&Sources::empty("/site")),
            since_change: 3,
        },
        flag,
        routes: &[],
        figures: &Figures::default(),
        age: None,
        asked: &Asked::default(),
        explained: None,
    })
}

proptest! {
    #[test]
    fn no_text_can_become_a_tag(text in "[a-z<>\"'&/= \\x00-\\x1f\\u{80}-\\u{9f}é-]{0,16}") {
        let (strange, plain) = (page_of(&format!("x{text}x")), page_of("x"));
        prop_assert_eq!(tags(&strange), tags(&plain));
        prop_assert!(!strange.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
    }
}

/// A page's tags with the names of their attributes. Panics when a `<` opens no tag that this program writes.
fn tags(html: &str) -> Vec<String> {
    let mut tags = Vec::new();
    for piece in html.split('<').skip(1) {
        let mut tag = String::new();
        let mut quoted = false;
        let mut closed = false;
        for c in piece.chars() {
            match c {
                '"' => quoted = !quoted,
                '>' if !quoted => {
                    closed = true;
                    break;
                }
                c if !quoted => tag.push(c),
                _ => {}
            }
        }
        assert!(closed, "<{piece:?} is no tag");
        tags.push(tag);
    }
    tags
}

/// All pages on which everything that comes from elsewhere is `text`, one after the other.
fn page_of(text: &str) -> String {
    let own = || text.to_owned();
    let asked = ["user", "role", "visitor", "header", "cookie", "url"].map(|name| (name.to_owned(), own()));
    let asked = Asked {
        key: own(),
        query: asked.into(),
        last_event: None,
    };
    let (status, problems) = (status_of(text), problems_of(text));
    let frame = |here, title| Frame {
        here,
        title,
        status: &status,
        problems: &problems,
        since_change: 3,
    };
    let (flag, routes, figures) = (flag_of(text), [route_of(text)], figures_of(text));
    let (flags, backends, rooms) = ([flag_of(text)], [backend_of(text)], [room_of(text)]);
    let front = |explained| {
        draw(&Shown {
            frame: frame(Here::Front, None),
            flags: &flags,
            routes: &routes,
            backends: &backends,
            rooms: &rooms,
            asked: &asked,
            explained: Some(explained),
        })
    };
    let list = list::draw(&list::Shown {
        frame: frame(Here::Flags, Some("Flags")),
        flags: &flags,
        routes: &routes,
        figures: &figures,
        ages: &[(own(), 31)].into(),
    });
    let one = flag::draw(&flag::Shown {
        frame: frame(Here::Flag, Some(text)),
        flag: &flag,
        routes: &routes,
        figures: &figures,
        age: Some(31),
        asked: &asked,
        explained: Some(Ok(explanation_of(text))),
    });
    front(Ok(explanation_of(text))) + &front(Err(Refusal::Parameter(own()))) + &list + &one
}

fn figures_of(text: &str) -> Figures {
    let name: Arc<str> = Arc::from(text);
    let mut what = Tallied::default();
    let decision = (Arc::clone(&name), Arc::clone(&name), Arc::clone(&name));
    what.decisions.insert(decision, 3);
    let mut health = Health {
        requests: 4,
        failed: 1,
        ..Health::default()
    };
    health.times.observe(Duration::from_millis(60));
    what.backends.insert(name, health);
    let what = Arc::new(what);
    Figures {
        minute: Arc::clone(&what),
        minute_seconds: 1,
        points: [Point {
            what,
            ..Point::default()
        }]
        .into(),
        ..Figures::default()
    }
}

fn problems_of(text: &str) -> Problems {
    let mut problems = Problems::of(&Sources::empty("/site"));
    for severity in [Severity::Error, Severity::Warning] {
        let mut problem = Problem::new(severity, "kind", text, Some(0..1), text);
        problem.hint(text).related(text, 0..1, text);
        problems.push(problem);
    }
    problems
}

fn status_of(text: &str) -> status::Status {
    let own = || text.to_owned();
    let changes = || diff::Changes {
        added: vec![own()],
        removed: vec![own(), own()],
        changed: vec![own()],
    };
    status::Status {
        build: own(),
        ready: true,
        version: 1,
        hosts: vec![own(), own()],
        change: status::Change {
            at: own(),
            outcome: "partial".to_owned(),
            took_ms: 1,
            problems: serde_json::Value::Null,
            stale: vec![own()],
            left_out: vec![own()],
            diff: diff::Diff {
                routes: changes(),
                flags: changes(),
                backends: changes(),
                rooms: changes(),
                resplit: vec![own()],
            },
        },
        drills: vec![drills::Told {
            id: own(),
            route: Some(own()),
            path: None,
            what: own(),
            share: 5.0,
            header: Some(own()),
            visitor: Some(own()),
            began: own(),
            ends: own(),
            by: own(),
            reason: own(),
            met: None,
        }],
        rooms: Vec::new(),
        counts: status::Counts {
            servers_unhealthy: 1,
            ..status::Counts::default()
        },
    }
}

fn room_of(text: &str) -> rooms::Room {
    let own = || text.to_owned();
    rooms::Room {
        name: own(),
        place: own(),
        inside_max: 100,
        idle_ms: 300_000,
        claim_ms: 90_000,
        opens: Some(own()),
        open: false,
        bypass: vec![own()],
        flags: vec![own()],
        routes: vec![name_of(text)],
        inside: 1,
        waiting: 2,
        estimate: None,
        admitted: 3,
        expired: 4,
        missed: 5,
        held_back: 6,
        bypassed: 7,
        tickets_refused: 8,
    }
}

fn name_of(text: &str) -> RouteName {
    RouteName {
        path: text.to_owned(),
        squad: text.to_owned(),
        place: text.to_owned(),
    }
}

fn flag_of(text: &str) -> flags::Flag {
    let own = || text.to_owned();
    flags::Flag {
        key: own(),
        version: own(),
        description: own(),
        squad: Some(own()),
        place: own(),
        state: "enabled".to_owned(),
        variants: vec![flags::Variant {
            name: own(),
            value: own().into(),
            share: Some(30.0),
        }],
        default: Some(own()),
        rules: vec![flags::FlagRule {
            name: own(),
            place: own(),
            serve: own(),
            staff: true,
            condition: serde_json::json!({ "==": [{ "var": text }, text] }),
        }],
        identity: own(),
        requires: vec![flags::FlagRequires {
            flag: own(),
            variants: vec![own()],
        }],
        layer: Some(flags::FlagLayer {
            name: own(),
            from: 0.0,
            to: 45.5,
        }),
        rollout: Some(flags::FlagRollout {
            split: Vec::new(),
            shape: own(),
            schedule: vec![flags::FlagPoint {
                at: own(),
                shares: vec![flags::FlagShare {
                    variant: own(),
                    percent: 25.0,
                }],
            }],
        }),
        epoch: 1,
        public: false,
        drain_seconds: 30.0,
        rollout_by: Some("visitor".to_owned()),
        sticky: true,
        adopts: false,
        shares: Some([(own(), 30.0)].into()),
        bucketing: own(),
        targeting: None,
        problem: Some(own()),
        errors: 0,
        routes: vec![flags::FlagRoute {
            route: name_of(text),
            picks_backend: false,
        }],
    }
}

fn route_of(text: &str) -> routes::Route {
    let own = || text.to_owned();
    routes::Route {
        trial: 1,
        path: own(),
        kind: "pattern".to_owned(),
        order: Some(1),
        hosts: vec![own()],
        conditions: vec![own()],
        squad: own(),
        place: own(),
        target: routes::Leads {
            backend: Some(own()),
            redirect: Some(own()),
            flag: Some(own()),
            variants: vec![routes::VariantLeads {
                variant: own(),
                backend: own(),
            }],
            failover: Some(routes::FailsOver {
                backend: own(),
                on: vec![500],
                budget: Some(own()),
            }),
        },
        auth: "required".to_owned(),
        roles: vec![own()],
        asks: vec![own()],
        flags: vec!["told".to_owned()],
        allow_encoded_slash: true,
        says: vec![own()],
    }
}

fn server_of(text: &str, health: &str) -> backends::Server {
    let own = || text.to_owned();
    backends::Server {
        address: own(),
        health: health.to_owned(),
        state: health.to_owned(),
        why: own(),
        back_in_ms: Some(1),
        weight: 1,
        zone: Some(own()),
        addresses: vec![own()],
        in_flight: 1,
        latency_ms: 1,
        picks: 1,
        ejections: 1,
        last_check: own(),
        takes_traffic: true,
        connections: 1,
    }
}

fn backend_of(text: &str) -> backends::Backend {
    let own = || text.to_owned();
    let server = |health| server_of(text, health);
    backends::Backend {
        name: own(),
        versions: Vec::new(),
        version: Some(backends::Version {
            name: own(),
            backend: own(),
            state: own(),
            weight: 1,
        }),
        squad: own(),
        place: own(),
        servers: vec![
            server("healthy"),
            server("unhealthy"),
            server("unknown"),
            server("ejected"),
        ],
        pick: own(),
        breaker: Some(backends::BreakerState {
            state: own(),
            back_in_ms: Some(1),
            openings: 1,
        }),
        path: Some(own()),
        host: own(),
        headers: vec![own()],
        checks: Some(backends::Checks {
            asks: own(),
            interval_ms: 1,
            timeout_ms: 1,
            healthy_after: 1,
            unhealthy_after: 1,
            status: Some(own()),
            body: Some(own()),
        }),
        limits: backends::Limits {
            connect_timeout_ms: 1,
            tls_timeout_ms: Some(1),
            first_byte_timeout_ms: 1,
            between_bytes_timeout_ms: 1,
            total_timeout_ms: Some(1),
            attempts: 3,
            idle_timeout_ms: 1,
            connections_max: 1,
            idle_max: 1,
        },
        bulkheads: vec![backends::Bulkhead {
            what: own(),
            used: 1,
            max: 1,
        }],
        adaptive: Some(own()),
        routes: vec![name_of(text)],
    }
}

fn goes(own: impl Fn() -> String) -> explain::Goes {
    explain::Goes {
        backend: own(),
        picked: own(),
        servers: vec![(own(), own())],
        path: Some(own()),
        host: Some(own()),
        fields: vec![own()],
    }
}

fn said(own: impl Fn() -> String) -> explain::Said {
    explain::Said {
        flag: own(),
        place: own(),
        state: own(),
        rules: vec![(own(), own())],
        requires: vec![(own(), own())],
        layer: Some(own()),
        shares: Some(own()),
        bucket_percent: Some(own()),
        variant: Some(own()),
        reason: own(),
        picks_backend: false,
    }
}

fn gate_of(text: &str) -> explain::Gate {
    let own = || text.to_owned();
    explain::Gate {
        auth: "none".to_owned(),
        roles: vec![own()],
        asks: vec![own()],
        user: None,
        verdict: own(),
        decided_at: Some(own()),
    }
}

fn explanation_of(text: &str) -> explain::Explanation {
    let own = || text.to_owned();
    explain::Explanation {
        version: 1,
        scheme: own(),
        method: own(),
        host: own(),
        target: "/".to_owned(),
        path: Some(own()),
        forwarded: Some(own()),
        room: Some(own()),
        drills: vec![own()],
        passed_over: vec![explain::Passed {
            route: own(),
            place: own(),
            why: own(),
        }],
        route: Some(explain::Won {
            route: own(),
            squad: own(),
            place: own(),
            params: vec![(own(), own())],
        }),
        signed: Some(own()),
        asks: None,
        gate: Some(gate_of(text)),
        versions: vec![own()],
        cache: vec![own()],
        carried: vec![own()],
        visitor: Some(explain::Cookie {
            state: own(),
            id: Some(own()),
            set: true,
        }),
        flags: vec![said(own)],
        backend: Some(goes(own)),
        failover: Some(explain::Standby {
            goes: goes(own),
            on: vec![503],
            budget: Some(own()),
        }),
        bounds: vec![own()],
        compress: Some(own()),
        headers: vec![(own(), own())],
        forwards: vec![(own(), own())],
        answers: vec![own()],
        answered: Some(explain::Refused {
            status: 204,
            why: own(),
        }),
        redirect: Some(explain::Redirected {
            status: 301,
            location: own(),
            why: own(),
        }),
        error_pages: vec![error_pages::Shown {
            status: vec![404],
            shows: own(),
            answer_status: Some(200),
            place: own(),
        }],
        refused: Some(explain::Refused {
            status: 400,
            why: own(),
        }),
    }
}
