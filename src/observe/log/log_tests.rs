//! Lines as the table says, and what happens when the writer can't keep up.

use std::{
    io,
    rc::Rc,
    sync::{
        Arc, Mutex,
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, StatusCode, Version};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{
    clock,
    observe::{
        record::{CacheFacts, FlagFacts, Listener, Outcome, Side, TlsFacts},
        trace::Trace,
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    record: Known,
    json: String,
    combined: String,
    cloudfront: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Known {
    began_at_us: u64,
    listener: String,
    version: String,
    tls: Option<String>,
    cipher: Option<String>,
    sni: Option<String>,
    client: String,
    method: Option<String>,
    host: Option<String>,
    target: Option<String>,
    request_id: Option<String>,
    trace: Option<(String, String)>,
    route: Option<String>,
    squad: Option<String>,
    flag: Option<(String, String, String)>,
    flags: Vec<(String, String, String)>,
    visitor: Option<String>,
    gate: Option<String>,
    user: Option<String>,
    backend: Option<String>,
    server: Option<String>,
    attempts: u32,
    status: Option<u16>,
    outcome: String,
    reason: String,
    side: String,
    what: String,
    aborted: Option<String>,
    decide: Option<u64>,
    queue: Option<u64>,
    connect: Option<u64>,
    first_byte: Option<u64>,
    total: u64,
    bytes_in: u64,
    bytes_out: u64,
    user_agent: Option<String>,
    referer: Option<String>,
    /// What the cache was, why it went on, and more of that; "" for nothing.
    cache: Option<(String, String, String)>,
}

fn word(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn shared(text: Option<String>) -> Option<Arc<str>> {
    text.map(Arc::from)
}

fn value(text: Option<String>) -> Option<HeaderValue> {
    text.map(|text| HeaderValue::from_bytes(text.as_bytes()).unwrap())
}

fn facts((flag, variant, reason): (String, String, String)) -> FlagFacts {
    FlagFacts {
        flag: flag.into(),
        variant: variant.into(),
        reason: word(reason),
        error: None,
    }
}

fn side(text: &str) -> Side {
    match text {
        "client" => Side::Client,
        "backend" => Side::Backend,
        "banyan" => Side::Banyan,
        other => panic!("no side {other}"),
    }
}

fn outcome(known: &Known) -> Outcome {
    match known.outcome.as_str() {
        "forwarded" => Outcome::Forwarded,
        "tunnelled" => Outcome::Tunnelled,
        "answered" => Outcome::Answered,
        "abandoned" => Outcome::Abandoned,
        "malformed" => Outcome::Malformed(word(known.what.clone())),
        "refused" => Outcome::Refused {
            reason: word(known.reason.clone()),
            side: side(&known.side),
        },
        other => panic!("no outcome {other}"),
    }
}

fn record(known: Known) -> Record {
    let listener = match known.listener.as_str() {
        "https" => Listener::Https,
        "http" => Listener::Http,
        "private" => Listener::Private,
        other => panic!("no listener {other}"),
    };
    let mut record = Record::begin(
        clock::steady(),
        known.began_at_us,
        listener,
        known.client.parse().unwrap(),
    );
    record.outcome = outcome(&known);
    record.version = match known.version.as_str() {
        "1.0" => Version::HTTP_10,
        "2" => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    record.tls = known.tls.map(|version| {
        Rc::new(TlsFacts {
            version: word(version),
            cipher: known.cipher.map(word),
            server_name: shared(known.sni),
            resumed: false,
        })
    });
    if let Some(method) = known.method {
        record.method = Method::from_bytes(method.as_bytes()).unwrap();
    }
    record.host = value(known.host);
    record.target = known.target.map(Into::into);
    record.request_id = value(known.request_id);
    record.trace = known.trace.map(|(trace, span)| {
        let mut headers = crate::fields::Fields::new();
        let text = format!("00-{trace}-{span}-01");
        headers.insert("traceparent", text);
        let followed = Trace::follow(&headers, || unreachable!(), [1; 8]);
        (followed.id, followed.parent.unwrap())
    });
    record.route = shared(known.route);
    record.squad = shared(known.squad);
    record.flag = known.flag.map(facts);
    record.flags = known.flags.into_iter().map(facts).collect();
    record.visitor = known.visitor.map(word);
    record.gate = known.gate.map(word);
    record.user = shared(known.user);
    record.backend = shared(known.backend);
    record.server = shared(known.server);
    record.attempts = known.attempts;
    record.status = known.status.map(|status| StatusCode::from_u16(status).unwrap());
    record.aborted = known.aborted.as_deref().map(side);
    record.timings.decide = known.decide.map(Duration::from_micros);
    record.timings.queue = known.queue.map(Duration::from_micros);
    record.timings.connect = known.connect.map(Duration::from_micros);
    record.timings.first_byte = known.first_byte.map(Duration::from_micros);
    record.timings.total = Duration::from_micros(known.total);
    record.bytes_in = known.bytes_in;
    record.bytes_out = known.bytes_out;
    record.user_agent = value(known.user_agent);
    record.referer = value(known.referer);
    let some = |text: String| (!text.is_empty()).then(|| word(text));
    record
        .cache
        .set(known.cache.map(|(result, forwarded, detail)| CacheFacts {
            result: word(result),
            forwarded: some(forwarded),
            detail: some(detail),
        }));
    record
}

fn plain() -> Record {
    let mut record = Record::begin(
        clock::steady(),
        1_795_165_687_000_042,
        Listener::Https,
        [203, 0, 113, 7].into(),
    );
    record.target = Some("/a?b".into());
    record.status = Some(StatusCode::OK);
    record.outcome = Outcome::Forwarded;
    record
}

fn cloudfront() -> Format {
    Format::CloudFront {
        location: "SEL1".into(),
    }
}

#[track_caller]
fn check(name: &str, format: Format, record: &Record, expected: &str) {
    let mut line = Vec::new();
    Lines::new(format).write(record, &mut line);
    let line = String::from_utf8(line).unwrap();
    assert_eq!(line, format!("{expected}\n"), "{name}");
}

#[test]
fn lines_are_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tables/observe/lines.toml");
    let table: Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(table.case.len(), 9);
    for case in table.case {
        let record = record(case.record);
        check(&case.name, Format::Json, &record, &case.json);
        check(&case.name, Format::Combined, &record, &case.combined);
        check(&case.name, cloudfront(), &record, &case.cloudfront);
        let _: serde_json::Value = serde_json::from_str(&case.json).unwrap();
    }
}

#[test]
fn a_second_is_formatted_anew_when_it_changes() {
    let mut lines = Lines::new(Format::Json);
    let mut text = Vec::new();
    let mut record = plain();
    for second in [0, 0, 1, 0] {
        record.began_at_us = second * 1_000_000;
        lines.write(&record, &mut text);
    }
    let text = String::from_utf8(text).unwrap();
    let ends: Vec<&str> = text.lines().map(|line| &line[26..28]).collect();
    assert_eq!(ends, ["00", "00", "01", "00"]);
}

proptest! {
    #[test]
    fn every_json_line_is_one_line_that_reads_back(
        path in "/\\PC{0,40}",
        agent in proptest::collection::vec(any::<u8>(), 0..60),
        route in any::<String>(),
        began_at_us in 0_u64..253_402_300_800_000_000,
    ) {
        let mut record = plain();
        record.target = Some(path.replace(['?', '#'], "").into());
        record.user_agent = HeaderValue::from_bytes(&agent).ok();
        record.route = Some(Arc::from(route.as_str()));
        record.began_at_us = began_at_us;
        let mut line = Vec::new();
        Lines::new(Format::Json).write(&record, &mut line);
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(read["path"].as_str(), record.path());
        prop_assert_eq!(read["route"].as_str(), Some(route.as_str()));
        if let Some(agent) = &record.user_agent {
            let lossy = String::from_utf8_lossy(agent.as_bytes());
            prop_assert_eq!(read["user_agent"].as_str(), Some(&*lossy));
        }
        let mut line = Vec::new();
        Lines::new(Format::Combined).write(&record, &mut line);
        let (last, rest) = line.split_last().unwrap();
        prop_assert_eq!(*last, b'\n');
        prop_assert!(rest.iter().all(|byte| matches!(byte, b' '..=b'~')));
        prop_assert_eq!(rest.iter().filter(|byte| **byte == b'"').count(), 6);
    }

    #[test]
    fn dates_agree_with_httpdate(second in 0_u64..253_402_300_800) {
        let mut record = plain();
        record.began_at_us = second * 1_000_000;
        let mut line = Vec::new();
        Lines::new(Format::Combined).write(&record, &mut line);
        let line = String::from_utf8(line).unwrap();
        let stamp = line.split(['[', ']']).nth(1).unwrap();
        let at = std::time::UNIX_EPOCH + Duration::from_secs(second);
        let date = httpdate::fmt_http_date(at); // "Fri, 20 Nov 2026 09:08:07 GMT"
        let expected = format!("{}/{}/{}:{} +0000", &date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        prop_assert_eq!(stamp, expected);
    }
}

/// A sink that reports each write and waits for leave to go on.
struct Gated {
    entered: Sender<()>,
    leave: Receiver<io::Result<()>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl io::Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.entered.send(());
        self.leave.recv().unwrap_or(Ok(()))?;
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Gate = (Writer, Receiver<()>, Sender<io::Result<()>>, Arc<Mutex<Vec<u8>>>);

fn gated() -> Gate {
    let (entered, entries) = mpsc::channel();
    let (open, leave) = mpsc::channel();
    let written = Arc::new(Mutex::new(Vec::new()));
    let sink = Gated {
        entered,
        leave,
        written: Arc::clone(&written),
    };
    (Writer::start_on(Box::new(sink)).unwrap(), entries, open, written)
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_stuck_writer_costs_lines_not_time() {
    let (writer, entries, open, written) = gated();
    let mut buffer = writer.buffer(Format::Json);
    assert_eq!(buffer.push(&plain()), 0);
    assert_eq!(buffer.flush(), 0);
    entries.recv_timeout(PATIENCE).unwrap(); // the writer now holds a batch and hangs
    for _ in 0..BATCHES_MAX {
        buffer.push(&plain());
        assert_eq!(buffer.flush(), 0);
    }
    for _ in 0..3 {
        buffer.push(&plain());
    }
    assert_eq!(buffer.flush(), 3, "the queue is full");
    drop(open); // lets every write pass
    let handle = writer.handle();
    assert!(writer.flush_and_stop(PATIENCE));
    let lines = 1 + BATCHES_MAX;
    assert_eq!(handle.lines_written(), lines as u64);
    assert_eq!(handle.lines_lost(), 0);
    let written = written.lock().unwrap();
    assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), lines);
}

#[test]
fn a_write_error_is_counted_and_the_next_batch_is_tried() {
    let (writer, _entries, open, _written) = gated();
    open.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    open.send(Ok(())).unwrap();
    let mut buffer = writer.buffer(Format::Combined);
    buffer.push(&plain());
    buffer.push(&plain());
    buffer.flush();
    buffer.push(&plain());
    buffer.flush();
    let handle = writer.handle();
    assert!(writer.flush_and_stop(PATIENCE));
    assert_eq!((handle.lines_lost(), handle.lines_written()), (2, 1));
}

#[test]
fn stopping_does_not_wait_for_a_stuck_disk() {
    let (writer, entries, open, _written) = gated();
    let mut buffer = writer.buffer(Format::Json);
    buffer.push(&plain());
    buffer.flush();
    entries.recv_timeout(PATIENCE).unwrap();
    assert!(!writer.flush_and_stop(Duration::from_millis(1)));
    drop(open);
}

#[test]
fn after_the_writer_ended_lines_are_dropped_and_counted() {
    let (writer, _entries, open, _written) = gated();
    drop(open);
    let mut buffer = writer.buffer(Format::Json);
    assert!(writer.flush_and_stop(PATIENCE));
    buffer.push(&plain());
    assert_eq!(buffer.flush(), 1);
    assert_eq!(buffer.flush(), 0);
}

#[test]
fn lines_leave_at_64_kib_or_after_200_ms() {
    let (writer, entries, open, _written) = gated();
    let mut buffer = writer.buffer(Format::Json);
    let record = plain();
    let mut bytes = 0;
    while buffer.bytes.len() >= bytes {
        bytes = buffer.bytes.len();
        assert_eq!(buffer.push(&record), 0);
    }
    assert!(bytes > BATCH_BYTES - 1024);
    entries.recv_timeout(PATIENCE).unwrap();

    let began: Instant = record.began;
    buffer.push(&record);
    buffer.tick(began + Duration::from_millis(199));
    assert_eq!(buffer.count, 1);
    buffer.tick(began + Duration::from_millis(200));
    assert_eq!(buffer.count, 0);
    drop(open);
    assert!(writer.flush_and_stop(PATIENCE));
}

#[test]
fn a_file_is_appended_to_and_opened_again_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    std::fs::write(&path, "before\n").unwrap();
    let writer = Writer::start(Target::File(path.clone()), "").unwrap();
    let mut buffer = writer.buffer(Format::Combined);
    let handle = writer.handle();
    buffer.push(&plain());
    buffer.flush();
    while handle.lines_written() < 1 {
        std::thread::yield_now();
    }
    let moved = folder.path().join("access.log.1");
    std::fs::rename(&path, &moved).unwrap();
    handle.reopen();
    buffer.push(&plain());
    buffer.push(&plain());
    buffer.flush();
    assert!(writer.flush_and_stop(PATIENCE));
    let count = |path| std::fs::read_to_string(path).unwrap().lines().count();
    assert_eq!((count(&moved), count(&path)), (2, 2));
}

#[test]
fn every_file_begins_with_the_head_of_its_format_and_none_has_two() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let head = cloudfront().file_head();
    for start in 1..3_u64 {
        let writer = Writer::start(Target::File(path.clone()), head).unwrap();
        let mut buffer = writer.buffer(cloudfront());
        buffer.push(&plain());
        buffer.flush();
        let handle = writer.handle();
        while handle.lines_written() < 1 {
            std::thread::yield_now();
        }
        if start == 2 {
            std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();
            handle.reopen();
            buffer.push(&plain());
            buffer.flush();
        }
        assert!(writer.flush_and_stop(PATIENCE));
    }
    for (file, lines) in [("access.log.1", 4), ("access.log", 3)] {
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(
            text.starts_with("#Version: 1.0\n#Fields: date time x-edge-location "),
            "{text}"
        );
        assert_eq!(
            (text.lines().count(), text.matches('#').count()),
            (lines, 2),
            "{text}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::File(folder.path().join("missing/access.log"));
    assert_eq!(
        Writer::start(target, "").unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}
