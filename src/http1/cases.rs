//! Reads the tables of raw messages that the tests run (`tests/tables/http1`).

use serde::Deserialize;

/// A case: bytes that arrive, and what comes of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    #[serde(default)]
    pub(super) request: Option<String>,
    pub(super) raw: String,
    pub(super) then: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

/// The cases of a table.
pub(super) fn read(table: &str) -> Vec<Case> {
    let path = format!("{}/tests/tables/http1/{table}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    toml::from_str::<Table>(&text)
        .unwrap_or_else(|error| panic!("{path}: {error}"))
        .case
}

/// Resolves `\r \n \t \0 \\ \xHH` and `<<x*9>>`.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((unit, count, after)) = repetition(rest) {
            out.extend(unescape(unit).repeat(count));
            rest = after;
        } else if first == '\\' {
            let code = rest.chars().nth(1).unwrap();
            let mut length = 2;
            out.push(match code {
                'r' => b'\r',
                'n' => b'\n',
                't' => b'\t',
                '0' => 0,
                '\\' => b'\\',
                'x' => {
                    length = 4;
                    u8::from_str_radix(&rest[2..4], 16).unwrap()
                }
                other => panic!("unknown escape {other:?} in {text:?}"),
            });
            rest = &rest[length..];
        } else {
            let (char, after) = rest.split_at(first.len_utf8());
            out.extend_from_slice(char.as_bytes());
            rest = after;
        }
    }
    out
}

fn repetition(text: &str) -> Option<(&str, usize, &str)> {
    let (inside, after) = text.strip_prefix("<<")?.split_once(">>")?;
    let (unit, count) = inside.rsplit_once('*')?;
    Some((unit, count.parse().ok()?, after))
}

/// Runs a table: every case's outcome must be what it says. Prints all that differ.
pub(super) fn check_table(table: &str, count: usize, outcome: impl Fn(&Case) -> Vec<String>) {
    let cases = read(table);
    let mut wrong = String::new();
    for case in &cases {
        let seen = outcome(case);
        let wanted: Vec<_> = case
            .then
            .iter()
            .map(|line| String::from_utf8(unescape(line)).unwrap())
            .collect();
        if seen != wanted {
            wrong += &format!("{}\n   wanted {wanted:?}\n     seen {seen:?}\n", case.name);
        }
    }
    assert!(wrong.is_empty(), "{table}:\n{wrong}");
    assert_eq!(
        cases.len(),
        count,
        "{table} has another number of cases than the test says"
    );
}
