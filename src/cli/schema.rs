//! `banyan schema`: the JSON Schema of the files.

use super::Exit;
use crate::config::{SchemaKind, schema as of_kind, schemas};

/// Which file.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// `banyan` (banyan.toml), `routes` (routes/<squad>.toml) or `flag` (flags/<key>.toml); all three by themselves.
    #[arg(value_name = "FILE", value_parser = ["banyan", "routes", "flag"])]
    file: Option<String>,
}

/// Prints it.
pub(super) fn schema(options: &Options) -> Exit {
    let asked = SchemaKind::ALL
        .into_iter()
        .find(|kind| options.file.as_deref() == Some(kind.name()));
    let schema = asked.map_or_else(schemas, of_kind);
    println!("{schema:#}");
    Exit::Ok
}
