//! The repository checks itself: layers, first lines, sizes, names, words, and that no file is dead.

mod reader;
mod rules;

use std::collections::BTreeMap;

use reader::{File, Tree, allowed, every_file, has_path, names_item, relative, repository, rust_files, says};
use rules::{
    ALLOWED_WORDS, AT_HOME, CALLS, EMPTY_NAMES, FILE_LINES_MAX, KEPT_TO, LAYERS, LONG_FILES, OTHER_WORDS,
    RIM, TEST_LINES_MAX, TRANSLATORS,
};

#[test]
fn each_module_names_only_what_it_is_built_on() {
    let tree = Tree::read();
    let mut wrong = Vec::new();
    let known: BTreeMap<&str, &[&str]> = LAYERS.into_iter().collect();
    for file in tree.product() {
        let module = file.module();
        if RIM.contains(&module) {
            continue;
        }
        let Some(may) = known.get(module) else {
            wrong.push(format!(
                "{}: `{module}` has no row in LAYERS of tests/it/tidy.rs",
                file.path
            ));
            continue;
        };
        for (line, named) in file.crate_names() {
            let fine =
                named == module || may.contains(&named.as_str()) || !known.contains_key(named.as_str());
            if RIM.contains(&named.as_str()) || !fine {
                wrong.push(format!("{}:{line}: `{module}` names `{named}`", file.path));
            }
        }
    }
    report("layers", &wrong);
}

#[test]
fn libraries_and_calls_stay_where_they_belong() {
    let tree = Tree::read();
    let mut wrong = Vec::new();
    for file in tree.product() {
        for (line, text) in file.code_lines() {
            for (name, places, why) in KEPT_TO {
                if names_item(text, name) && !allowed(&file.below_src, places) {
                    wrong.push(format!("{}:{line}: `{name}`: {why}", file.path));
                }
            }
            for (call, places, why) in CALLS {
                if has_path(text, call) && !allowed(&file.below_src, places) {
                    wrong.push(format!("{}:{line}: `{call}`: {why}", file.path));
                }
            }
        }
    }
    report("places", &wrong);
}

#[test]
fn each_file_says_first_what_it_is() {
    let mut wrong = Vec::new();
    for file in Tree::read().all() {
        match file.text.lines().next() {
            Some(first) if first.starts_with("//! ") && first.len() > 12 => {}
            _ => wrong.push(format!("{}:1: the first line is no `//!` sentence", file.path)),
        }
    }
    report("first lines", &wrong);
}

#[test]
fn no_file_is_longer_than_a_reader_holds() {
    let mut wrong = Vec::new();
    for file in Tree::read().all() {
        let lines = file.text.lines().count();
        let most = LONG_FILES
            .iter()
            .find(|(path, ..)| *path == file.below_src)
            .map_or_else(
                || if file.test { TEST_LINES_MAX } else { FILE_LINES_MAX },
                |(_, lines, _)| *lines,
            );
        if lines > most {
            wrong.push(format!("{}:{lines}: {lines} lines, at most {most}", file.path));
        }
    }
    report("sizes", &wrong);
}

#[test]
fn module_names_say_what_is_inside() {
    let mut wrong = Vec::new();
    for file in Tree::read().all() {
        let parts = file.path.trim_end_matches(".rs").split('/');
        for part in parts {
            if EMPTY_NAMES.contains(&part) || part.ends_with("_main") || part.ends_with("_utils") {
                wrong.push(format!("{}:1: `{part}` says nothing", file.path));
            }
        }
    }
    report("names", &wrong);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
    ];
    let ignored = concat!("#[", "ignore");
    let fixme = concat!("FIX", "ME");
    let mut wrong = Vec::new();
    for file in Tree::read().all() {
        for (line, text) in file.code_lines() {
            if let Some(mark) = marks.iter().find(|mark| text.contains(**mark)) {
                wrong.push(format!("{}:{line}: {mark}", file.path));
            }
            if text.trim_start().starts_with(ignored) {
                wrong.push(format!("{}:{line}: an ignored test", file.path));
            }
        }
        for (at, text) in file.text.lines().enumerate() {
            if text.contains(fixme) && !text.contains("http") {
                wrong.push(format!("{}:{}: without a link", file.path, at + 1));
            }
        }
    }
    report("left for later", &wrong);
}

#[test]
fn each_idea_has_one_word() {
    let mut wrong = Vec::new();
    let tree = Tree::read();
    let ours = |file: &&File| !TRANSLATORS.contains(&file.module());
    for file in tree.product().filter(ours) {
        for (at, text) in file.words.lines().enumerate() {
            for (word, ours) in OTHER_WORDS {
                let foreign = ALLOWED_WORDS
                    .iter()
                    .filter(|(of, _)| *of == word)
                    .fold(text.to_owned(), |text, (_, allowed)| text.replace(allowed, ""));
                let home = AT_HOME
                    .iter()
                    .any(|(of, files)| *of == word && allowed(&file.below_src, files));
                if !home && says(&foreign, word) {
                    wrong.push(format!(
                        "{}:{}: `{word}`: we say `{ours}`: {}",
                        file.path,
                        at + 1,
                        text.trim()
                    ));
                }
            }
        }
    }
    report("words", &wrong);
}

#[test]
fn each_file_is_reached_by_a_module() {
    let tree = Tree::read();
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        for path in rust_files(&repository().join(folder)) {
            let name = relative(&path);
            if !tree.files.contains_key(&name) {
                wrong.push(format!(
                    "{name}:1: no `mod` and no target of Cargo.toml leads here"
                ));
            }
        }
    }
    report("dead files", &wrong);
}

#[test]
fn each_table_is_run() {
    let tree = Tree::read();
    let strings: Vec<(&str, bool)> = tree
        .all()
        .map(|file| (file.words.as_str(), file.words.contains("read_dir(")))
        .collect();
    let mut wrong = Vec::new();
    let mut tables = Vec::new();
    every_file(&repository().join("tests/tables"), &mut tables);
    assert!(tables.len() > 15, "{} tables", tables.len());
    for table in tables {
        let name = relative(&table);
        let file = table.file_name().unwrap().to_str().unwrap();
        let stem = table.file_stem().unwrap().to_str().unwrap();
        let folder = relative(table.parent().unwrap());
        let topic = folder.trim_start_matches("tests/tables/").to_owned();
        let by_name = strings
            .iter()
            .any(|(text, _)| text.contains(&format!("{file}\"")) || text.contains(&format!("\"{stem}\"")));
        let by_folder = strings.iter().any(|(text, lists)| {
            let last = topic.rsplit('/').next().unwrap_or_default();
            let names_it = text.contains(&format!("tests/tables/{topic}\""))
                || text.contains(&format!("tests/tables/{topic}/"))
                || (text.contains(&format!(
                    "tests/tables/{}",
                    topic.split('/').next().unwrap_or_default()
                )) && text.contains(&format!("\"{last}\"")));
            *lists && names_it
        });
        if !by_name && !by_folder {
            wrong.push(format!("{name}:1: nothing runs it"));
        }
    }
    report("tables", &wrong);
}

/// One broken rule a line; empty is what we want.
#[track_caller]
fn report(rule: &str, wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{rule}: {} broken\n{}\n",
        wrong.len(),
        wrong.join("\n")
    );
}
