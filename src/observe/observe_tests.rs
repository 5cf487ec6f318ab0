//! A finished record becomes numbers and a line at once.

use std::{collections::BTreeSet, time::Duration};

use http::{Method, StatusCode};

use super::*;
use record::{Failover, FlagFacts, Listener, Outcome, Side};

fn record() -> Record {
    let mut record = Record::begin(
        clock::steady(),
        clock::wall_micros(),
        Listener::Https,
        [203, 0, 113, 7].into(),
    );
    record.method = Method::from_bytes(b"BREW").unwrap();
    record.status = Some(StatusCode::OK);
    record.outcome = Outcome::Forwarded;
    record.route = Some("/courses/{slug}".into());
    record.flag = Some(FlagFacts {
        flag: "course-reviews".into(),
        variant: "new".into(),
        reason: "SPLIT",
        error: None,
    });
    record.flags.push(FlagFacts {
        flag: "search".into(),
        variant: "legacy".into(),
        reason: "ERROR",
        error: Some("PARSE_ERROR"),
    });
    record.visitor = Some("known");
    record.gate = Some("passed");
    record.backend = Some("learn-web".into());
    record.server = Some("http://10.0.1.10:3000".into());
    record.attempts = 3;
    record.timings.connect = Some(Duration::from_millis(1));
    record.timings.first_byte = Some(Duration::from_millis(20));
    record.timings.total = Duration::from_millis(30);
    record.bytes_in = 10;
    record.bytes_out = 20;
    record
}

#[test]
fn one_forwarded_exchange_counts_everywhere_it_should() {
    let core = Core::new(None);
    core.finish(&record());
    let totals = core.tally().totals();
    let labels = ["_OTHER", "200", "/courses/{slug}", "https"];
    assert_eq!(totals.times(Family::RequestDuration, &labels).count(), 1);
    let backend = totals.times(
        Family::BackendRequestDuration,
        &["learn-web", "http://10.0.1.10:3000"],
    );
    assert!((backend.seconds() - 0.021).abs() < 1e-9);
    for (family, labels, expected) in [
        (Family::BackendRetries, &["learn-web"][..], 2),
        (Family::FlagDecisions, &["course-reviews", "new", "SPLIT"], 1),
        (Family::FlagDecisions, &["search", "legacy", "ERROR"], 1),
        (Family::FlagErrors, &["search", "PARSE_ERROR"], 1),
        (Family::VisitorCookies, &["known"], 1),
        (Family::GateChecks, &["passed"], 1),
        (Family::Received, &["https"], 10),
        (Family::Sent, &["https"], 20),
        (Family::Aborted, &["client"], 0),
    ] {
        assert_eq!(totals.number(family, labels), expected, "{family:?} {labels:?}");
    }
}

#[test]
fn a_tunnel_counts_with_the_time_until_it_was_open() {
    let core = Core::new(None);
    let mut tunnel = record();
    tunnel.outcome = Outcome::Tunnelled;
    tunnel.status = Some(StatusCode::SWITCHING_PROTOCOLS);
    tunnel.timings.total = Duration::from_secs(7200);
    core.finish(&tunnel);
    let labels = ["_OTHER", "101", "/courses/{slug}", "https"];
    let times = core.tally().totals().times(Family::RequestDuration, &labels);
    assert!((times.seconds() - 0.021).abs() < 1e-9);
}

#[test]
fn what_went_wrong_is_counted_by_its_word() {
    let core = Core::new(None);
    let mut failed = record();
    failed.outcome = Outcome::Refused {
        reason: "connection_refused",
        side: Side::Backend,
    };
    core.finish(&failed);
    failed.outcome = Outcome::Malformed("bare LF");
    core.finish(&failed);
    failed.outcome = Outcome::Abandoned;
    failed.aborted = Some(Side::Client);
    core.finish(&failed);
    failed.outcome = Outcome::Forwarded;
    failed.aborted = Some(Side::Backend);
    core.finish(&failed);
    let totals = core.tally().totals();
    assert_eq!(
        totals.number(Family::Refusals, &["connection_refused", "backend"]),
        1
    );
    assert_eq!(totals.number(Family::Malformed, &["bare LF"]), 1);
    assert_eq!(totals.number(Family::Aborted, &["client"]), 1);
    assert_eq!(totals.number(Family::Aborted, &["backend"]), 1);
}

#[test]
fn what_is_held_is_counted_until_it_is_dropped() {
    let core = Rc::new(Core::new(None));
    let backend: Arc<str> = "learn-web".into();
    let held = core.hold(Family::BackendRequestsInFlight, &[Label::Name(&backend)]);
    let also = core.hold(Family::BackendRequestsInFlight, &[Label::Name(&backend)]);
    let open = || {
        core.tally()
            .totals()
            .number(Family::BackendRequestsInFlight, &["learn-web"])
    };
    assert_eq!(open(), 2);
    drop(held);
    assert_eq!(open(), 1);
    drop(also);
    assert_eq!(open(), 0);
}

#[test]
fn a_scrape_shows_every_core_and_lines_reach_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut observer =
        Observer::start(Some((Format::Json, Target::File(path.clone()))), Arc::default()).unwrap();
    let parts = [observer.core(), observer.core()];
    observer.facts().published(1, clock::wall());
    let (metrics, writer) = observer.split();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let text = local.block_on(&runtime, async move {
        let mut tasks = Vec::new();
        for (core, requests) in parts {
            let core = Rc::new(core);
            core.finish(&record());
            tasks.push(tokio::task::spawn_local(core.serve(requests)));
        }
        let text = metrics.render(Exposition::Text).await;
        drop(metrics); // nobody can ask any more, so the cores' tasks end and hand over their lines
        for task in tasks {
            task.await.unwrap();
        }
        text
    });
    assert!(writer.unwrap().flush_and_stop(Duration::from_secs(20)));
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 2);
    for line in [
        "banyan_backend_retries_total{backend=\"learn-web\"} 4",
        "banyan_cores 2",
        "banyan_cores_silent 0",
        "banyan_access_log_lines_dropped_total{cause=\"write_error\"} 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\nin\n{text}");
    }
    let helped: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
        .collect();
    let typed: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert_eq!(helped, typed);
}

/// A log's sink that tests read.
#[derive(Clone, Default)]
struct Written(Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Records that differ from the first in one thing each.
fn kinds() -> Vec<Record> {
    let change: [fn(&mut Record); 25] = [
        |_| {},
        |record| record.method = Method::POST,
        |record| record.status = Some(StatusCode::NOT_FOUND),
        |record| record.status = None,
        |record| record.listener = Listener::Private,
        |record| record.attempts = 1,
        |record| record.route = Some("/courses/{slug}".into()), // the same text elsewhere
        |record| record.route = Some("/courses".into()),
        |record| record.squad = Some("learn".into()),
        |record| record.backend = Some("legacy".into()),
        |record| record.server = None,
        |record| record.flag = None,
        |record| record.flag.as_mut().unwrap().variant = "old".into(),
        |record| record.flags[0].reason = "SPLIT",
        |record| record.flags.clear(),
        |record| record.visitor = Some("new"),
        |record| record.gate = None,
        |record| record.aborted = Some(Side::Client),
        |record| record.details = Some("why"),
        |record| record.outcome = Outcome::Malformed("bare LF"),
        |record| record.timings.first_byte = None,
        |record| (record.bytes_in, record.bytes_out) = (0, 0),
        |record| record.failover = failover("connection_refused", 2),
        |record| record.failover = failover("status_503", 2),
        |record| record.failover = failover("status_503", 1),
    ];
    let first = record();
    let changed = change.into_iter().map(|change| {
        let mut record = first.clone();
        change(&mut record);
        record
    });
    changed.collect()
}

fn failover(cause: &'static str, attempts: u32) -> Option<Box<Failover>> {
    let from = "standby".into();
    Some(Box::new(Failover {
        from,
        cause,
        attempts,
    }))
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]

    #[test]
    fn a_kind_that_is_known_is_counted_and_written_like_any_other(
        order in proptest::collection::vec((0..25_usize, 0..4_usize, 0_u64..1_000_000, 0..40_u32), 0..120),
    ) {
        let written = Written::default();
        let writer = Writer::start_on(Box::new(written.clone())).unwrap();
        let core = Core::new(Some(writer.buffer(Format::Json)));
        let (mut tally, mut lines, mut expected) = (Tally::new(), log::Lines::new(Format::Json), Vec::new());
        let kinds = kinds();
        for (kind, user, micros, swap) in order {
            let mut record = kinds[kind].clone();
            record.user = [None, None, Some("ann".into()), Some("bob \"b\"".into())][user].clone();
            record.timings.total += Duration::from_micros(micros);
            record.bytes_out *= 1 + micros;
            core.finish(&record);
            tally.count(&record);
            lines.write(&record, &mut expected);
            if swap == 0 {
                core.keep(&HashSet::new());
                tally.keep(&HashSet::new());
            }
        }
        proptest::prop_assert_eq!(core.tally().totals(), tally.snapshot().totals());
        core.flush();
        proptest::prop_assert!(writer.flush_and_stop(Duration::from_secs(20)));
        let written = written.0.lock().unwrap();
        proptest::prop_assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&expected));
    }
}

#[test]
fn what_was_worked_out_ends_with_the_names_that_it_names() {
    let (core, mut tally) = (Core::new(None), Tally::new());
    let record = record();
    for _ in 0..3 {
        for _ in 0..3 {
            core.in_flight(Listener::Https, 1);
            core.finish(&record);
            tally.add(Family::RequestsInFlight, &[Label::Word("https")], 1);
            tally.count(&record);
        }
        for at in 0..=metrics::GONE_LABELS_MAX {
            let name: Arc<str> = format!("n{at}").into();
            core.count(Family::BackendRetries, &[Label::Name(&name)], 1);
            tally.add(Family::BackendRetries, &[Label::Name(&name)], 1);
        }
        core.keep(&HashSet::new());
        tally.keep(&HashSet::new());
        assert_eq!(core.tally().totals(), tally.snapshot().totals());
    }
    assert_eq!(
        core.tally().totals().number(Family::RequestsInFlight, &["https"]),
        9
    );
}
