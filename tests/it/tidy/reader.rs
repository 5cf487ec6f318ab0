//! Reads Rust files as modules reach them, and tells code from comments and strings.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Rust files as modules reach them.
pub(super) struct Tree {
    pub(super) files: BTreeMap<String, File>,
}

pub(super) struct File {
    /// Relative to the repository.
    pub(super) path: String,
    /// Relative to `src/`, or the path.
    pub(super) below_src: String,
    pub(super) text: String,
    /// Without comments and without what strings say; line by line as long as the text.
    code: String,
    /// Without comments.
    pub(super) words: String,
    /// Compiled for tests only.
    pub(super) test: bool,
}

impl Tree {
    pub(super) fn read() -> Self {
        let mut tree = Self {
            files: BTreeMap::new(),
        };
        tree.follow("src/lib.rs", false, true);
        tree.follow("src/main.rs", false, true);
        for root in targets() {
            tree.follow(&root, true, true);
        }
        tree
    }

    fn follow(&mut self, path: &str, test: bool, root: bool) {
        if self.files.contains_key(path) {
            return;
        }
        let Ok(text) = fs::read_to_string(repository().join(path)) else {
            return;
        };
        let (mut code, mut words) = (
            masked(&text, Mask::CommentsAndStrings),
            masked(&text, Mask::Comments),
        );
        if let Some(at) = code.find("#[cfg(test)]\nmod tests {") {
            code.truncate(at);
            words.truncate(words.find("#[cfg(test)]\nmod tests {").unwrap_or(words.len()));
        }
        let beside = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = match path.rsplit_once('/') {
            Some((folder, name)) if root || name == "mod.rs" => folder.to_owned(),
            _ => path.trim_end_matches(".rs").to_owned(),
        };
        let mut children = Vec::new();
        let (mut for_tests, mut elsewhere) = (false, None);
        for line in words.lines() {
            let line = line.trim();
            if line.starts_with("#[cfg(test)]") {
                for_tests = true;
            } else if let Some(path) = line.strip_prefix("#[path = \"") {
                elsewhere = Some(path.trim_end_matches("\"]").trim_end_matches(".rs").to_owned());
            } else if let Some(name) = module_of(line) {
                let child = elsewhere.take().map_or_else(
                    || format!("{folder}/{name}"),
                    |file: String| without_dots(&format!("{beside}/{file}")),
                );
                children.push((child, for_tests || test));
            }
            if !line.is_empty() && !line.starts_with("#[") {
                for_tests = false;
            }
        }
        let file = File {
            path: path.to_owned(),
            below_src: path.strip_prefix("src/").unwrap_or(path).to_owned(),
            text,
            code,
            words,
            test,
        };
        self.files.insert(path.to_owned(), file);
        for (name, test) in children {
            for child in [format!("{name}.rs"), format!("{name}/mod.rs")] {
                if repository().join(&child).is_file() {
                    self.follow(&child, test, false);
                }
            }
        }
    }

    /// Every file.
    pub(super) fn all(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    /// What is in the program.
    pub(super) fn product(&self) -> impl Iterator<Item = &File> {
        self.files.values().filter(|file| !file.test)
    }
}

/// Files of tests and benchmarks that Cargo.toml names, by path or by their name alone.
fn targets() -> Vec<String> {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let manifest: toml::Value = toml::from_str(&manifest).unwrap();
    let mut roots = Vec::new();
    for (kind, folder) in [("test", "tests"), ("bench", "benches"), ("example", "examples")] {
        for target in manifest
            .get(kind)
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |key: &str| target.get(key).and_then(toml::Value::as_str);
            let by_name = || format!("{folder}/{}.rs", text("name").unwrap());
            roots.push(text("path").map_or_else(by_name, ToOwned::to_owned));
        }
    }
    roots
}

/// `a/../b` as `b`.
fn without_dots(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn module_of(line: &str) -> Option<&str> {
    let rest = line.strip_suffix(';')?;
    let at = rest.find("mod ")?;
    let before = rest.get(..at)?.trim();
    (before.is_empty() || before.starts_with("pub")).then(|| rest[at + 4..].trim())
}

impl File {
    pub(super) fn module(&self) -> &str {
        self.below_src
            .split('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs")
    }

    pub(super) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// Modules of this crate that are named, each with its line: `crate::flag::…` and `use crate::{flag, …}`.
    pub(super) fn crate_names(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            let line = self.code[..at].lines().count().max(1);
            let rest = &self.code[at + "crate::".len()..];
            if rest.starts_with('{') {
                found.extend(top_level(rest).into_iter().map(|(offset, name)| {
                    let lines = rest[..offset].matches('\n').count();
                    (line + lines, name)
                }));
            } else {
                found.push((line, first_word(rest)));
            }
        }
        found
    }
}

/// The first names inside a group's braces, with where each stands.
pub(super) fn top_level(group: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut expecting = false;
    for (at, c) in group.char_indices() {
        match c {
            '{' => {
                depth += 1;
                expecting = depth == 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            ',' if depth == 1 => expecting = true,
            c if expecting && c.is_ascii_alphabetic() => {
                names.push((at, first_word(&group[at..])));
                expecting = false;
            }
            _ => {}
        }
    }
    names
}

pub(super) fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

/// Whether `line` names the library or type `name`: as a path's start, or in a `use`.
pub(super) fn names_item(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + name.len()..];
        let starts = !before
            .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':' && !is_type(name) || c == '.');
        let ends = after.starts_with("::")
            || is_type(name) && !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        starts && ends
    })
}

pub(super) fn is_type(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

pub(super) fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

pub(super) fn allowed(below_src: &str, places: &[&str]) -> bool {
    places.iter().any(|place| {
        below_src == *place
            || below_src
                .strip_prefix(place)
                .is_some_and(|rest| rest.starts_with('/'))
            || below_src.strip_suffix(".rs") == Some(place)
    })
}

/// Whether the words of `text` (identifiers taken apart at `_` and at capitals) hold `word`, or its plural.
pub(super) fn says(text: &str, word: &str) -> bool {
    let mut apart = String::with_capacity(text.len() + 16);
    let mut lower = false;
    for c in text.chars() {
        if c.is_ascii_uppercase() && lower {
            apart.push(' ');
        }
        lower = c.is_ascii_lowercase();
        apart.push(if c.is_ascii_alphabetic() {
            c.to_ascii_lowercase()
        } else {
            ' '
        });
    }
    apart
        .split(' ')
        .any(|part| part == word || part.strip_suffix('s') == Some(word))
}

/// What is taken out of a Rust file before it is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mask {
    Comments,
    CommentsAndStrings,
}

/// `text` with blanks for what is masked; lines stay where they are.
pub(super) fn masked(text: &str, mask: Mask) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (taken, blank) = token(rest, c, out.chars().next_back());
        let piece = &rest[..taken];
        let hide = match blank {
            Token::Code => false,
            Token::Comment => true,
            Token::Text => mask == Mask::CommentsAndStrings,
        };
        if hide {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(piece);
        }
        rest = &rest[taken..];
    }
    out
}

pub(super) enum Token {
    Code,
    Comment,
    Text,
}

/// How many bytes the next piece has, and what it is.
pub(super) fn token(rest: &str, c: char, before: Option<char>) -> (usize, Token) {
    let in_word = before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Token::Comment);
    }
    if rest.starts_with("/*") {
        return (rest.find("*/").map_or(rest.len(), |at| at + 2), Token::Comment);
    }
    if c == '"' {
        return (quoted(rest, '"'), Token::Text);
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'));
    if let (Some(raw), false) = (raw, in_word) {
        let hashes = raw.bytes().take_while(|b| *b == b'#').count();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = rest.len() - raw.len() + hashes + 1;
            let length = rest[start..]
                .find(&end)
                .map_or(rest.len() - start, |at| at + end.len());
            return (start + length, Token::Text);
        }
    }
    if c == '\'' {
        let mut chars = rest.chars().skip(1);
        let (first, second) = (chars.next(), chars.next());
        if first == Some('\\') || second == Some('\'') {
            return (quoted(rest, '\''), Token::Text);
        }
    }
    (c.len_utf8(), Token::Code)
}

/// The length of a quoted text with its quotes.
pub(super) fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

pub(super) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn relative(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap().display().to_string()
}

/// The Rust files of this package below a folder; a folder with a `Cargo.toml` is another package.
pub(super) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    every_file(folder, &mut files);
    files.retain(|file| {
        let mut folders = file.ancestors().skip(1).take_while(|above| *above != folder);
        let other_package = folders.any(|above| above.join("Cargo.toml").exists());
        file.extension().is_some_and(|end| end == "rs") && !other_package
    });
    files
}

pub(super) fn every_file(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    for path in paths {
        if path.file_name().is_some_and(|name| name == "node_modules") {
            continue;
        }
        if path.is_dir() {
            every_file(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[track_caller]
fn check_mask(text: &str, code: &str, words: &str) {
    assert_eq!(masked(text, Mask::CommentsAndStrings), code);
    assert_eq!(masked(text, Mask::Comments), words);
}

#[test]
fn the_checker_tells_code_from_comments_and_strings() {
    check_mask("a // b", "a     ", "a     ");
    check_mask("x(\"// no\") // yes", "x(       )       ", "x(\"// no\")       ");
    check_mask("r#\"a\"b\"# c", "         c", "r#\"a\"b\"# c");
    check_mask("'\"' &'a str", "    &'a str", "'\"' &'a str");
    check_mask("/* a\nb */ c", "    \n     c", "    \n     c");
    check_mask("\"a\\\"b\" c", "       c", "\"a\\\"b\" c");
}

#[test]
fn the_checker_reads_groups_and_words() {
    let names: Vec<String> = top_level("{a, b::{c, d}, e as f}")
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names, ["a", "b", "e"]);
    assert!(says("let upstreamPool", "upstream") && says("the_upstreams()", "upstream"));
    assert!(!says("streams up", "upstream") && !says("alarm", "arm"));
    assert!(
        names_item("use toml::Value", "toml")
            && !names_item("my_toml::x", "toml")
            && !names_item("\"a.toml\"", "toml")
    );
}
