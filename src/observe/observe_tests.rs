//! A finished record becomes numbers and a line at once.

use std::{collections::BTreeSet, time::Duration};

use http::{Method, StatusCode};

use super::*;
use record::{FlagFacts, Listener, Outcome, Side};

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
    });
    record.flags.push(FlagFacts {
        flag: "search".into(),
        variant: "legacy".into(),
        reason: "DEFAULT",
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
        (Family::FlagDecisions, &["search", "legacy", "DEFAULT"], 1),
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
