//! Trace context as the table says, and request ids.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    traceparent: Vec<String>,
    #[serde(default)]
    tracestate: Vec<String>,
    sent: String,
    sent_state: Option<String>,
}

#[track_caller]
fn check(case: &Case) {
    let mut headers = Fields::new();
    for value in &case.traceparent {
        headers.append(Known::TRACEPARENT, value);
    }
    for value in &case.tracestate {
        headers.append(Known::TRACESTATE, value);
    }
    let trace = Trace::follow(&headers, || [0x22; 16], [0x11; 8]);
    assert_eq!(trace.traceparent(), case.sent, "{}", case.name);
    let state = trace.tracestate(&headers);
    assert_eq!(
        state.as_ref().map(|value| value.to_str().unwrap()),
        case.sent_state.as_deref(),
        "{}",
        case.name
    );
}

#[test]
fn trace_context_is_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tables/observe/trace.toml");
    let table: Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(table.case.len(), 18);
    table.case.iter().for_each(check);
}

#[test]
fn an_id_is_never_zero() {
    assert_eq!(SpanId::from_random([0; 8]).to_string(), "0000000000000001");
    assert_eq!(TraceId::from_random([0; 16]).hex()[31], b'1');
}

#[test]
fn a_random_id_is_asked_for_only_when_a_trace_begins() {
    let mut headers = Fields::new();
    headers.insert(
        Known::TRACEPARENT,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    );
    let trace = Trace::follow(&headers, || panic!("not needed"), [9; 8]);
    assert_eq!(trace.parent.unwrap().to_string(), "00f067aa0ba902b7");
    assert_eq!(format!("{:?}", trace.id), "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[track_caller]
fn check_request_id(values: &[&[u8]], accepted: bool) {
    let mut headers = Fields::new();
    for value in values {
        headers.append(Known::X_REQUEST_ID, value);
    }
    assert_eq!(request_id(&headers).is_some(), accepted, "{values:?}");
}

#[test]
fn only_a_sane_request_id_is_taken_over() {
    check_request_id(&[b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6"], true);
    check_request_id(&[b"Root=1:5759e988/bd862e3f+x~y@z._"], true);
    check_request_id(&[&[b'a'; 128]], true);
    check_request_id(&[&[b'a'; 129]], false);
    check_request_id(&[b""], false);
    check_request_id(&[b"a b"], false);
    check_request_id(&[b"a\"b"], false);
    check_request_id(&["é".as_bytes()], false);
    check_request_id(&[b"a", b"b"], false);
    check_request_id(&[], false);
}

#[test]
fn a_minted_request_id_is_32_hex_digits() {
    assert_eq!(mint_request_id([0xa5; 16]), "a5".repeat(16));
}
