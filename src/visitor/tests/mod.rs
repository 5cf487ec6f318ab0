//! Cookies read, signed and taken out; who may be given one; what browsers carry beside.

mod consent;
mod cookies;
mod keys;
mod navigation;
mod override_link;
mod pins;
mod slip;

use http::HeaderValue;

use super::{Keys, SigningKey, VisitorSettings};
use crate::fields::{Fields, Known};

/// The rows of `tests/tables/visitor/<name>`, split at tabs, without comments.
fn table(name: &str) -> Vec<Vec<String>> {
    let path = format!("{}/tests/tables/visitor/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let rows = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// Keys with these ids, each with a secret that is the same everywhere.
fn keys_of(ids: &[&str]) -> Keys {
    let key = |id: &&str| SigningKey {
        id: (*id).to_owned(),
        secret: vec![id.as_bytes()[0]; 32],
    };
    Keys::new(&VisitorSettings {
        keys: ids.iter().map(key).collect(),
        ..VisitorSettings::default()
    })
    .unwrap()
}

/// Fields of a browser that sends these cookies.
fn carrying(cookies: &[&str]) -> Fields {
    let mut headers = Fields::new();
    for cookie in cookies {
        headers.append(Known::COOKIE, cookie);
    }
    headers
}

/// The cookie pair that a browser sends back.
fn pair(set_cookie: &HeaderValue) -> String {
    set_cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
}
