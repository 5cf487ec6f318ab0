//! Any text as the operator's file: loading it never panics, and what is wrong with it can be printed.
#![no_main]

use banyan::config::{Sources, load_sources};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let sources = Sources::empty("/site").with("banyan.toml", "listen.admin = \"127.0.0.1:0\"\n").with("banyan.toml", text);
    let loaded = load_sources(&sources, &|name| (name == "A").then(|| "a".to_owned()));
    assert_eq!(loaded.settings.is_none(), loaded.problems.has_errors());
    let _ = (loaded.problems.to_plain(), loaded.problems.to_fancy(80), loaded.problems.to_github());
});
