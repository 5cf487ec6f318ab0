//! What the tests of this module share: tables and short ways to write claims.

use std::{path::Path, sync::Arc};

use super::{Claim, Conditions, PathRule};
use crate::name::{Place, SquadName};

/// The text of a table.
pub(super) fn table(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tables/route")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The rows of a table of tab-separated columns; lines that start with `# ` are comments.
pub(super) fn rows(name: &str) -> Vec<Vec<String>> {
    table(name)
        .lines()
        .filter(|line| !line.starts_with("# ") && !line.is_empty())
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// A claim of the squad `learn` without conditions.
pub(super) fn claim(path: PathRule, order: Option<i32>) -> Claim {
    Claim {
        place: Place {
            file: Arc::from("routes/learn.toml"),
            line: 1,
        },
        squad: SquadName::new("learn").unwrap(),
        hosts: Vec::new(),
        path,
        order,
        conditions: Conditions::default(),
    }
}

/// A template claim without conditions or order.
pub(super) fn template(text: &str) -> Claim {
    claim(PathRule::Template(text.to_owned()), None)
}

/// A pattern claim without conditions.
pub(super) fn pattern(text: &str, order: i32) -> Claim {
    claim(PathRule::Pattern(text.to_owned()), Some(order))
}
