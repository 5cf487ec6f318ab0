//! Writes a MaxMind database, as the format's description has it (version 2.0): the places of a few networks, for tests.

use std::net::IpAddr;

use serde_json::{Value, json};

/// The bytes of a database that is of this kind and says this of these networks (`81.2.69.0/24`), none of which is in another.
pub fn database(kind: &str, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut tree = vec![[Slot::Empty; 2]];
    let mut data = Vec::new();
    for (network, value) in networks {
        let at = data.len();
        write(&mut data, "", value);
        insert(&mut tree, network, at);
    }
    let mut out = Vec::new();
    let nodes = tree.len();
    for slot in tree.iter().flatten() {
        let record = match slot {
            Slot::Empty => nodes,
            Slot::Node(node) => *node,
            Slot::Data(at) => nodes + SEPARATOR.len() + at,
        };
        out.extend(u32::try_from(record).unwrap().to_be_bytes());
    }
    out.extend(SEPARATOR);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let about = json!({
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1_767_225_600,
        "database_type": kind,
        "description": { "en": "places of a test" },
        "ip_version": 6,
        "languages": ["en"],
        "node_count": nodes,
        "record_size": 32,
    });
    write(&mut out, "", &about);
    out
}

/// A city, as MaxMind's City databases write it.
pub fn london() -> Value {
    json!({
        "city": { "geoname_id": 2643743, "names": { "de": "London", "en": "London" } },
        "continent": { "code": "EU", "names": { "en": "Europe" } },
        "country": { "geoname_id": 2635167, "iso_code": "GB", "names": { "en": "United Kingdom", "fr": "Royaume-Uni" } },
        "location": { "accuracy_radius": 10, "latitude": 51.5142, "longitude": -0.0931, "time_zone": "Europe/London" },
        "postal": { "code": "EC1A" },
        "registered_country": { "iso_code": "US", "names": { "en": "United States" } },
        "subdivisions": [
            { "iso_code": "ENG", "names": { "en": "England" } },
            { "iso_code": "LND", "names": { "en": "Greater London" } },
        ],
        "traits": { "autonomous_system_number": 20712 },
    })
}

/// A country and nothing else, as MaxMind's Country databases write it.
pub fn country(code: &str, name: &str) -> Value {
    json!({ "country": { "iso_code": code, "names": { "en": name } } })
}

const SEPARATOR: [u8; 16] = [0; 16];

#[derive(Clone, Copy)]
enum Slot {
    Empty,
    Node(usize),
    Data(usize),
}

/// An IPv4 network stands at `::/96`.
fn insert(tree: &mut Vec<[Slot; 2]>, network: &str, data: usize) {
    let (address, length) = network.split_once('/').unwrap();
    let length: usize = length.parse().unwrap();
    let (bits, length) = match address.parse().unwrap() {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), length + 96),
        IpAddr::V6(v6) => (u128::from(v6), length),
    };
    let mut node = 0;
    for depth in 0..length {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == length {
            tree[node][side] = Slot::Data(data);
            return;
        }
        node = match tree[node][side] {
            Slot::Node(next) => next,
            _ => {
                tree.push([Slot::Empty; 2]);
                tree[node][side] = Slot::Node(tree.len() - 1);
                tree.len() - 1
            }
        };
    }
}

/// Section "Output Data Section" of the format's description. The key of a number tells its type.
fn write(out: &mut Vec<u8>, key: &str, value: &Value) {
    match value {
        Value::String(text) => {
            control(out, 2, text.len());
            out.extend(text.as_bytes());
        }
        Value::Number(number) if number.is_f64() => {
            control(out, 3, 8);
            out.extend(number.as_f64().unwrap().to_be_bytes());
        }
        Value::Number(number) => {
            let (kind, size) = match key {
                "build_epoch" => (9, 8),
                "node_count" | "geoname_id" | "autonomous_system_number" => (6, 4),
                _ => (5, 2),
            };
            control(out, kind, size);
            out.extend(&number.as_u64().unwrap().to_be_bytes()[8 - size..]);
        }
        Value::Object(map) => {
            control(out, 7, map.len());
            for (key, value) in map {
                write(out, "", &json!(key));
                write(out, key, value);
            }
        }
        Value::Array(list) => {
            control(out, 11, list.len());
            list.iter().for_each(|value| write(out, "", value));
        }
        Value::Null | Value::Bool(_) => panic!("not needed: {value}"),
    }
}

fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    assert!(size < 29 + 256, "longer ones are not needed");
    let small = u8::try_from(size.min(29)).unwrap();
    let (first, second) = if kind > 7 {
        (0, Some(kind - 7))
    } else {
        (kind, None)
    };
    out.push(first << 5 | small);
    out.extend(second);
    if size >= 29 {
        out.push(u8::try_from(size - 29).unwrap());
    }
}
