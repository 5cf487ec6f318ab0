//! Counting, merging, folding and writing down.

use std::{collections::HashSet, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Arc<str> {
    Arc::from(text)
}

#[test]
fn a_bound_belongs_to_its_own_bucket() {
    let mut times = Histogram::default();
    for micros in [5_000, 5_001, 10_000_000, 10_000_001] {
        times.observe(Duration::from_micros(micros));
    }
    let counts: Vec<u64> = times.buckets().map(|(_, count)| count).collect();
    assert_eq!(counts, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    assert_eq!(times.count(), 4);
    assert!((times.seconds() - 20.010_002).abs() < 1e-9);
}

#[test]
fn a_name_is_one_label_wherever_its_text_lies() {
    let mut tally = Tally::new();
    for _ in 0..3 {
        tally.add(Family::BackendRetries, &[Label::Name(&name("learn-web"))], 1);
    }
    let text = format!("learn-{}", "web");
    tally.add(Family::BackendRetries, &[Label::Name(&name(&text))], 1);
    let totals = tally.snapshot().totals();
    assert_eq!(totals.number(Family::BackendRetries, &["learn-web"]), 4);
}

#[test]
fn a_number_is_its_own_label() {
    let mut tally = Tally::new();
    let labels = [
        Label::Word("GET"),
        Label::Number(204),
        Label::Name(&name("/a")),
        Label::Word("https"),
    ];
    tally.observe(Family::RequestDuration, &labels, Duration::from_millis(7));
    let totals = tally.snapshot().totals();
    let times = totals.times(Family::RequestDuration, &["GET", "204", "/a", "https"]);
    assert_eq!(times.count(), 1);
}

fn many(prefix: &str, count: usize) -> Vec<Arc<str>> {
    (0..count).map(|at| name(&format!("{prefix}{at}"))).collect()
}

fn counted(totals: &Totals, labels: &[&str]) -> i64 {
    totals.number(Family::BackendRetries, labels)
}

#[test]
fn names_that_went_stay_up_to_a_bound_then_fold() {
    let mut tally = Tally::new();
    let old = many("old", GONE_LABELS_MAX);
    for name in &old {
        tally.add(Family::BackendRetries, &[Label::Name(name)], 2);
    }
    tally.keep(&HashSet::new());
    let totals = tally.snapshot().totals();
    assert_eq!(counted(&totals, &["old0"]), 2, "gone, and still shown");
    assert_eq!(counted(&totals, &[OTHER]), 0);

    let next = many("next", 2);
    for name in &next {
        tally.add(Family::BackendRetries, &[Label::Name(name)], 5);
    }
    tally.keep(&HashSet::new());
    let totals = tally.snapshot().totals();
    assert_eq!(counted(&totals, &[OTHER]), 4, "the two that went first");
    assert_eq!(counted(&totals, &["next1"]), 5);

    // Whoever comes back is counted under its own name again, and waits in no line.
    tally.add(Family::BackendRetries, &[Label::Name(&next[0])], 1);
    let live = next.iter().cloned().collect();
    tally.keep(&live);
    tally.keep(&live);
    assert_eq!(counted(&tally.snapshot().totals(), &["next0"]), 6);
}

#[test]
fn words_of_the_code_never_fold() {
    let mut tally = Tally::new();
    tally.add(Family::GateChecks, &[Label::Word("passed")], 1);
    for name in many("n", GONE_LABELS_MAX + 5) {
        tally.add(Family::BackendRetries, &[Label::Name(&name)], 1);
    }
    tally.keep(&HashSet::new());
    let totals = tally.snapshot().totals();
    assert_eq!(totals.number(Family::GateChecks, &["passed"]), 1);
    assert_eq!(counted(&totals, &[OTHER]), 5);
}

#[test]
fn labels_beyond_the_bound_are_counted_as_other() {
    let mut tally = Tally::new();
    for pair in many("n", LABELS_MAX).chunks_exact(2) {
        let labels = [Label::Name(&pair[0]), Label::Name(&pair[1]), Label::Word("SPLIT")];
        tally.add(Family::FlagDecisions, &labels, 1);
    }
    for name in many("late", 10) {
        tally.add(Family::BackendRetries, &[Label::Name(&name)], 1);
    }
    assert_eq!(counted(&tally.snapshot().totals(), &[OTHER]), 10);
}

#[test]
fn series_beyond_the_bound_lose_their_names_but_not_their_words() {
    let mut tally = Tally::new();
    let flags = many("f", 400);
    let variants = many("v", 260);
    let mut first = 0;
    for flag in &flags {
        for variant in &variants {
            let labels = [Label::Name(flag), Label::Name(variant), Label::Word("SPLIT")];
            tally.add(Family::FlagDecisions, &labels, 1);
            first += 1;
        }
    }
    let totals = tally.snapshot().totals();
    let folded = totals.number(Family::FlagDecisions, &[OTHER, OTHER, "SPLIT"]);
    assert_eq!(folded, first - i64::try_from(SERIES_MAX).unwrap() + 2);
}

/// What tests count with: few families and labels, so that series meet.
fn totals() -> impl Strategy<Value = Totals> {
    let number = (0..3_usize, 0..3_usize, -50_i64..50);
    let time = (0..3_usize, 0_u64..20_000_000);
    (
        proptest::collection::vec(number, 0..12),
        proptest::collection::vec(time, 0..12),
    )
        .prop_map(|(numbers, times)| {
            const NAMES: [&str; 3] = ["a", "b", "c"];
            let mut tally = Tally::new();
            for (family, label, amount) in numbers {
                let family = [
                    Family::GateChecks,
                    Family::RequestsInFlight,
                    Family::VisitorCookies,
                ][family];
                tally.add(family, &[Label::Word(NAMES[label])], amount);
            }
            for (label, micros) in times {
                let labels = [Label::Word(NAMES[label]), Label::Word("s")];
                tally.observe(
                    Family::BackendRequestDuration,
                    &labels,
                    Duration::from_micros(micros),
                );
            }
            tally.snapshot().totals()
        })
}

fn merged(one: &Totals, other: &Totals) -> Totals {
    let mut both = one.clone();
    both.merge(other);
    both
}

proptest! {
    #[test]
    fn merging_does_not_mind_order_or_grouping(a in totals(), b in totals(), c in totals()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &Totals::default()), a);
    }

    #[test]
    fn two_cores_together_know_what_one_would(micros in proptest::collection::vec(0_u64..20_000_000, 0..30)) {
        let (mut one, mut left, mut right) = (Tally::new(), Tally::new(), Tally::new());
        for (at, micros) in micros.iter().enumerate() {
            let labels = [Label::Word("b"), Label::Number(1)];
            let time = Duration::from_micros(*micros);
            one.observe(Family::BackendRequestDuration, &labels, time);
            let half = if at % 2 == 0 { &mut left } else { &mut right };
            half.observe(Family::BackendRequestDuration, &labels, time);
        }
        prop_assert_eq!(
            merged(&left.snapshot().totals(), &right.snapshot().totals()),
            one.snapshot().totals()
        );
    }
}

#[test]
fn names_follow_the_rules_that_promtool_checks() {
    let mut seen = HashSet::new();
    for family in Family::ALL {
        let Description {
            name,
            kind,
            labels,
            help,
        } = family.describe();
        assert!(seen.insert(name), "{name} twice");
        let ours = ["banyan_", "process_", "http_server_"];
        assert!(ours.iter().any(|prefix| name.starts_with(prefix)), "{name}");
        assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        let plain = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
        };
        assert!(plain(name) && labels.iter().copied().all(plain), "{name}");
        for reserved in ["_bucket", "_count", "_sum"] {
            assert!(!name.ends_with(reserved), "{name}");
        }
        for kind in ["counter", "gauge", "histogram", "summary"] {
            assert!(!name.split('_').any(|part| part == kind), "{name}");
        }
        for small in [
            "milliseconds",
            "microseconds",
            "ms",
            "us",
            "minutes",
            "hours",
            "kilobytes",
            "mb",
            "percent",
        ] {
            assert!(!name.split('_').any(|part| part == small), "{name}");
        }
        if kind == Kind::Histogram {
            assert!(name.ends_with("_seconds"), "{name}");
        }
        assert!(labels.len() <= 4 && !labels.contains(&"le"), "{name}");
        assert!(help.ends_with('.') && !help.contains('\n'), "{name}");
    }
}

#[test]
fn every_metric_can_be_shown_with_help_type_and_labels() {
    let mut tally = Tally::new();
    for family in Family::ALL {
        let described = family.describe();
        let labels: Vec<Label<'_>> = described.labels.iter().map(|name| Label::Word(name)).collect();
        match described.kind {
            Kind::Histogram => tally.observe(*family, &labels, Duration::from_secs(1)),
            Kind::Counter | Kind::Gauge => tally.add(*family, &labels, 1),
        }
    }
    let text = render(tally.snapshot().totals(), Vec::new(), Exposition::Text);
    for family in Family::ALL {
        let Description {
            name,
            kind,
            labels,
            help,
        } = family.describe();
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert!(
            text.contains(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}")),
            "{name}"
        );
        for label in labels {
            assert!(text.contains(&format!("{label}=\"{label}\"")), "{name} {label}");
        }
    }
    assert_eq!(text.matches("# TYPE ").count(), Family::ALL.len());
}

#[test]
fn text_and_openmetrics_say_the_same_in_their_own_ways() {
    let mut tally = Tally::new();
    let route = name("/a\"b\\c/{slug}");
    let labels = [
        Label::Word("GET"),
        Label::Number(200),
        Label::Name(&route),
        Label::Word("https"),
    ];
    tally.observe(Family::RequestDuration, &labels, Duration::from_millis(30));
    tally.add(Family::Received, &[Label::Word("https")], 12);
    tally.add(Family::RequestsInFlight, &[Label::Word("https")], 3);
    let facts = Facts::default();
    facts.reloaded(Reload::Applied, crate::clock::UnixTime::from_secs(10));
    let shown = |exposition| {
        let now = crate::clock::UnixTime::from_secs(12);
        render(tally.snapshot().totals(), facts.series(now), exposition)
    };

    let text = shown(Exposition::Text);
    for line in [
        "# TYPE http_server_request_duration_seconds histogram",
        "http_server_request_duration_seconds_sum{http_request_method=\"GET\",http_response_status_code=\"200\",http_route=\"/a\\\"b\\\\c/{slug}\",url_scheme=\"https\"} 0.03",
        "# HELP banyan_received_bytes_total Bytes of request bodies.",
        "# TYPE banyan_received_bytes_total counter",
        "banyan_received_bytes_total{listener=\"https\"} 12",
        "banyan_requests_in_flight{listener=\"https\"} 3",
        "banyan_config_reloads_total{result=\"applied\"} 1.0",
        "banyan_config_last_reload_timestamp_seconds 10.0",
        "banyan_panics_total 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\nin\n{text}");
    }
    let last = text.lines().find(|line| line.contains("le=\"+Inf\"")).unwrap();
    assert!(last.ends_with(" 1"), "{last}");
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"));

    let open = shown(Exposition::OpenMetrics);
    for line in [
        "# TYPE banyan_received_bytes counter",
        "# UNIT banyan_received_bytes bytes",
        "banyan_received_bytes_total{listener=\"https\"} 12",
        "# EOF",
    ] {
        assert!(open.lines().any(|shown| shown == line), "{line}\nin\n{open}");
    }
}

#[test]
fn facts_replace_what_is_over_and_count_what_happened() {
    let at = crate::clock::UnixTime::from_secs;
    let facts = Facts::default();
    facts.published(7, at(100));
    facts.reloaded(Reload::Applied, at(100));
    facts.reloaded(Reload::Refused, at(200));
    facts.reloaded(Reload::Refused, at(300));
    facts.squads([("learn", true), ("pay", false)]);
    facts.squads([("pay", true)]);
    facts.certificates([("www.example.com", 1_800_000_000)]);
    facts.backends(&[BackendFacts {
        name: "learn-web".to_owned(),
        breaker: Some((true, 2)),
        servers: vec![ServerFacts {
            label: "http://10.0.1.10:3000".to_owned(),
            healthy: false,
            ejected: true,
            in_flight: 3,
            latency: Duration::from_millis(250),
            picks: 7,
            ejections: vec![("slow", 2), ("probe", 0)],
        }],
    }]);
    let series = facts.series(at(130));
    let value = |family, labels: &[&str]| {
        let wanted = Series::new(family, labels);
        series
            .iter()
            .find(|(series, _)| *series == wanted)
            .map(|(_, value)| *value)
    };
    assert_eq!(value(Family::ConfigVersion, &[]), Some(7.0));
    assert_eq!(value(Family::SnapshotAge, &[]), Some(30.0));
    assert_eq!(value(Family::ConfigReloads, &["refused"]), Some(2.0));
    assert_eq!(value(Family::ConfigLastReloadSuccessful, &[]), Some(0.0));
    assert_eq!(value(Family::ConfigLastReloadTimestamp, &[]), Some(100.0));
    assert_eq!(value(Family::SquadFileStale, &["learn"]), None);
    assert_eq!(value(Family::SquadFileStale, &["pay"]), Some(1.0));
    assert_eq!(value(Family::CertNotAfter, &["www.example.com"]), Some(1.8e9));
    assert_eq!(
        value(Family::ServerHealthy, &["learn-web", "http://10.0.1.10:3000"]),
        Some(0.0)
    );
    assert_eq!(value(Family::BuildInfo, &[env!("CARGO_PKG_VERSION")]), Some(1.0));
}

#[test]
fn openmetrics_is_for_those_who_ask() {
    let asked = |text| Exposition::asked(Some(&http::HeaderValue::from_static(text)));
    assert_eq!(
        asked("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1"),
        Exposition::OpenMetrics
    );
    assert_eq!(asked("*/*"), Exposition::Text);
    assert_eq!(Exposition::asked(None), Exposition::Text);
}

#[tokio::test]
async fn a_silent_core_shows_what_it_said_last() {
    let mut scraper = Scraper::default();
    let (mut lively, mut silent) = (scraper.add(), scraper.add());
    let mut tally = Tally::new();
    tally.add(Family::GateChecks, &[Label::Word("passed")], 2);

    let answer = |request: TallyRequest| request.answer(&tally);
    let (gathered, ()) = tokio::join!(scraper.gather(ANSWER_TIMEOUT), async {
        answer(lively.recv().await.unwrap());
        answer(silent.recv().await.unwrap());
    });
    let totals = gathered.totals();
    assert_eq!(totals.number(Family::GateChecks, &["passed"]), 4);
    assert_eq!(totals.number(Family::CoresSilent, &[]), 0);

    let (gathered, ()) = tokio::join!(scraper.gather(ANSWER_TIMEOUT), async {
        answer(lively.recv().await.unwrap());
        drop(silent.recv().await); // it heard the question and went on without an answer
    });
    let totals = gathered.totals();
    assert_eq!(totals.number(Family::GateChecks, &["passed"]), 4);
    assert_eq!(totals.number(Family::CoresSilent, &[]), 1);
    assert_eq!(totals.number(Family::Cores, &[]), 2);

    let totals = scraper.gather(Duration::ZERO).await.totals();
    assert_eq!(totals.number(Family::GateChecks, &["passed"]), 4);
    assert_eq!(totals.number(Family::CoresSilent, &[]), 2);
}
