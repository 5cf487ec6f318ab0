//! Cookies read, signed and taken out; who may be given one.

mod cookies;
mod keys;
mod navigation;

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
