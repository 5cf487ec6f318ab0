//! Hashes and operators against published vectors and against flagd's own evaluators.

use datalogic_rs::{DataValue, bumpalo::Bump};
use proptest::prelude::*;
use serde_json::Value;

use super::super::{
    Bucketing, cbor,
    logic::{Rule, with_context},
    murmur3::Murmur3,
};
use super::{Scene, table};

#[track_caller]
fn check(bytes: &str, hash: u32) {
    assert_eq!(Murmur3::of(bytes.as_bytes()), hash, "{bytes:?}");
}

#[test]
fn murmur3_agrees_with_published_vectors() {
    // Seed 0: Wikipedia's MurmurHash article, and mmh3's documentation ("foo", as unsigned).
    check("", 0);
    check("test", 0xba6b_d213);
    check("Hello, world!", 0xc036_3e43);
    check("The quick brown fox jumps over the lazy dog", 0x2e4f_f723);
    check("foo", 4_138_058_784);
    check("사용자-1", 1_107_536_999);
}

proptest! {
    #[test]
    fn murmur3_does_not_care_how_its_input_is_cut(bytes: Vec<u8>, cuts: [prop::sample::Index; 2]) {
        let mut ends = cuts.map(|cut| cut.index(bytes.len() + 1));
        ends.sort_unstable();
        let (a, b, c) = (&bytes[..ends[0]], &bytes[ends[0]..ends[1]], &bytes[ends[1]..]);
        prop_assert_eq!(Murmur3::default().and(a).and(b).and(c).finish(), Murmur3::of(&bytes));
    }
}

/// What `rule` answers, as compact JSON.
fn answer(rule: &Value, bucketing: Bucketing, flag_key: &str, targeting_key: &str) -> String {
    let rule = Rule::compile(rule, bucketing).unwrap();
    let scene = Scene::new();
    with_context(
        &scene.subject(),
        flag_key,
        Some(targeting_key),
        rule.needs(),
        |at| rule.evaluate(at).unwrap().to_string(),
    )
}

#[track_caller]
fn check_fractional(name: &str, bucketing: Bucketing, rows: usize) {
    let table = table(name);
    assert_eq!(table.len(), rows);
    for row in table {
        let [flag_key, targeting_key, args, expected] = row.as_slice() else {
            panic!("{row:?}")
        };
        let rule = serde_json::json!({"fractional": serde_json::from_str::<Value>(args).unwrap()});
        assert_eq!(
            &answer(&rule, bucketing, flag_key, targeting_key),
            expected,
            "{row:?}"
        );
    }
}

#[test]
fn fractional_v2_answers_as_flagd_core_does() {
    check_fractional("fractional_v2.tsv", Bucketing::Murmur3V2, 1579);
}

#[test]
fn fractional_v3_answers_as_flagd_core_does() {
    check_fractional("fractional_v3.tsv", Bucketing::Murmur3CborV3, 1641);
}

#[test]
fn sem_ver_answers_as_flagd_core_does() {
    let table = table("sem_ver.tsv");
    assert_eq!(table.len(), 2700);
    for row in table {
        let [a, operator, b, expected] = row.as_slice() else {
            panic!("{row:?}")
        };
        let version = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let rule = serde_json::json!({"sem_ver": [version(a), operator, version(b)]});
        assert_eq!(
            &answer(&rule, Bucketing::Murmur3V2, "f", "id"),
            expected,
            "{row:?}"
        );
    }
}

#[test]
fn fractional_without_a_targeting_key_is_null() {
    let rule = serde_json::json!({"fractional": [["a", 1], ["b", 1]]});
    assert_eq!(answer(&rule, Bucketing::Murmur3V2, "f", ""), "null");
    assert_eq!(answer(&rule, Bucketing::Murmur3CborV3, "f", ""), "null");
}

#[track_caller]
fn check_cbor(value: &DataValue<'_>, hex: &str) {
    let arena = Bump::new();
    let bytes: String = cbor::encode(value, &arena)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(bytes, hex, "{value:?}");
}

#[test]
fn cbor_is_deterministic() {
    // RFC 8949 appendix A; whole floats are integers here, as flagd's definition says.
    check_cbor(&DataValue::from_i64(23), "17");
    check_cbor(&DataValue::from_i64(1_000_000_000_000), "1b000000e8d4a51000");
    check_cbor(&DataValue::from_i64(-1000), "3903e7");
    check_cbor(&DataValue::from_f64(1.5), "f93e00");
    check_cbor(&DataValue::from_f64(1.1), "fb3ff199999999999a");
    check_cbor(&DataValue::from_f64(100_000.5), "fa47c35040");
    check_cbor(&DataValue::from_f64(5.960_464_477_539_063e-8), "f90001");
    check_cbor(&DataValue::from_f64(-0.000_061_035_156_25), "f98400");
    check_cbor(&DataValue::from_f64(1e300), "fb7e37e43c8800759c");
    check_cbor(&DataValue::from_f64(f64::INFINITY), "f97c00");
    check_cbor(&DataValue::from_f64(f64::NAN), "f97e00");
    check_cbor(&DataValue::String("ü"), "62c3bc");
    let pairs = [
        ("bb", DataValue::from_f64(2.0)),
        ("a", DataValue::Null),
        ("b", DataValue::Bool(true)),
    ];
    check_cbor(&DataValue::Object(&pairs), "a36161f66162f562626202");
}

#[test]
fn numbers_are_read_to_the_last_bit() {
    // A claim that is one unit in the last place off would hash to another bucket than in a backend.
    for text in [
        "5.960464477539064e-8",
        "3.402823466385289e38",
        "0.1",
        "2.2250738585072014e-308",
        "123456789.12345679",
    ] {
        let read = serde_json::from_str::<Value>(text).unwrap().as_f64().unwrap();
        assert_eq!(read.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
}
