//! `banyan check` and `banyan explain` as a squad and its continuous integration meet them.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::run;

const OPERATOR: &str = "hosts = [\"example.com\"]\n[listen]\nhttps = [\"127.0.0.1:0\"]\n[squads.learn]\npaths = [\"/courses/*\"]\n[squads.legacy]\npaths = [\"/*\"]\n";
const LEGACY: &str = "squad = \"legacy\"\n[backends.legacy]\nservers = [\"http://127.0.0.1:9\"]\n[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\n";
const LEARN: &str = r#"squad = "learn"

[backends.learn-web]
servers = ["http://127.0.0.1:9"]

[[routes]]
path = "/courses/{slug}"
flag = "reviews"
backends = { legacy = "legacy", new = "learn-web" }
"#;
const FLAG: &str = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 30.0\n";

fn site(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let good = [
        ("banyan.toml", OPERATOR),
        ("routes/legacy.toml", LEGACY),
        ("routes/learn.toml", LEARN),
        ("flags/reviews.toml", FLAG),
    ];
    for (name, text) in good.iter().chain(files) {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    folder
}

#[test]
fn a_good_site_is_counted_and_ends_with_0() {
    let site = site(&[]);
    let ran = run(site.path(), &["check"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(ran.out, "ok: 2 routes, 1 flags, 2 backends, 0 tests passed\n");
}

#[test]
fn every_problem_of_every_file_is_shown_at_once() {
    let broken = LEARN
        .replace("new = \"learn-web\"", "new = \"learn-wbe\"")
        .replace("\"/courses/{slug}\"", "\"/courses/{slug\"")
        + "\n[[routes]]\npath = \"/cart\"\nbackend = \"learn-web\"\n";
    let flag = FLAG.replace("default", "defualt");
    let site = site(&[("routes/learn.toml", &broken), ("flags/reviews.toml", &flag)]);
    let ran = run(site.path(), &["check"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    for part in [
        "routes/learn.toml:7",
        "is not a path",
        "flags/reviews.toml:2",
        "did you mean `default`",
        "^",
        "help:",
        "routes/learn.toml:12",
    ] {
        assert!(ran.err.contains(part), "{part:?} is missing in\n{}", ran.err);
    }
}

#[test]
fn the_nearest_name_is_offered() {
    let site = site(&[(
        "routes/learn.toml",
        &LEARN.replace("new = \"learn-web\"", "new = \"learn-wbe\""),
    )]);
    let ran = run(site.path(), &["check"]);
    assert!(
        ran.err.contains("unknown-backend") && ran.err.contains("`learn-web`"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("routes/learn.toml:9:"), "{}", ran.err);
}

#[test]
fn equal_claims_name_both_places_and_an_address_that_both_take() {
    let twice = "squad = \"legacy\"\n[backends.legacy]\nservers = [\"http://127.0.0.1:9\"]\n[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\n\
                 [[routes]]\npath = \"/courses/{other}\"\nbackend = \"legacy\"\n";
    let site = site(&[("routes/legacy.toml", twice)]);
    let ran = run(site.path(), &["check"]);
    assert_eq!(ran.code, Some(3));
    for part in ["routes/learn.toml:7", "routes/legacy.toml:8", "/courses/"] {
        assert!(ran.err.contains(part), "{part:?} is missing in\n{}", ran.err);
    }
}

#[test]
fn json_for_programs_has_place_kind_and_hint() {
    let site = site(&[(
        "routes/learn.toml",
        &LEARN.replace("flag = \"reviews\"", "flag = \"review\""),
    )]);
    let ran = run(site.path(), &["check", "--format", "json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let problems: Value = serde_json::from_str(&ran.out).unwrap();
    let unknown = problems
        .as_array()
        .unwrap()
        .iter()
        .find(|problem| problem["kind"] == "unknown-flag")
        .unwrap_or_else(|| panic!("{problems:#}"));
    assert_eq!(unknown["file"], "routes/learn.toml");
    assert_eq!(unknown["line"], 8);
    assert_eq!(unknown["severity"], "error");
    assert!(unknown["hint"].as_str().unwrap().contains("reviews"), "{unknown}");
}

#[test]
fn github_shows_problems_beside_the_line() {
    let site = site(&[(
        "routes/learn.toml",
        &LEARN.replace("flag = \"reviews\"", "flag = \"review\""),
    )]);
    let ran = run(site.path(), &["check", "--format", "github"]);
    assert_eq!(ran.code, Some(3));
    let line = ran
        .out
        .lines()
        .find(|line| line.contains("routes/learn.toml"))
        .unwrap();
    assert!(
        line.starts_with("::error file=routes/learn.toml,line=8,"),
        "{}",
        ran.out
    );
}

#[test]
fn a_squads_test_that_fails_shows_the_trail() {
    let test = "\n[[tests]]\nrequest = \"POST /courses/rust\"\nexpect = { backend = \"learn-web\", variant = \"legacy\" }\n\
                [[tests]]\nrequest = \"GET /\"\nexpect = { squad = \"legacy\" }\n";
    let site = site(&[("routes/learn.toml", &format!("{LEARN}{test}"))]);
    let ran = run(site.path(), &["check"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("test-failed"), "{}", ran.err);
    assert!(
        ran.err.contains("expected backend `learn-web`, got `legacy`"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("flag      reviews"),
        "the trail is missing in\n{}",
        ran.err
    );
    assert_eq!(ran.err.matches("test-failed").count(), 1);
}

#[test]
fn warnings_fail_only_when_asked_to() {
    let unused = "variants = [\"a\", \"b\"]\ndefault = \"a\"\n";
    let site = site(&[("flags/unused.toml", unused)]);
    let ran = run(site.path(), &["check"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.err.contains("warning") && ran.err.contains("flags/unused.toml"),
        "{}",
        ran.err
    );
    assert_eq!(run(site.path(), &["check", "--strict"]).code, Some(3));
}

#[test]
fn exit_codes_tell_wrong_usage_from_wrong_files() {
    let site = site(&[]);
    let code = |arguments: &[&str]| run(site.path(), arguments).code;
    assert_eq!(code(&["check", "--config", "nowhere.toml"]), Some(3));
    assert_eq!(code(&["explain", "/", "--config", "nowhere.toml"]), Some(3));
    assert_eq!(code(&["run", "--config", "nowhere.toml"]), Some(3));
    assert_eq!(code(&["check", "--no-such-option"]), Some(2));
    assert_eq!(code(&["chekc"]), Some(2));
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["explain"]), Some(2));
    assert_eq!(code(&["explain", "/", "--header", "no colon"]), Some(2));
    assert_eq!(code(&["--help"]), Some(0));
    assert_eq!(code(&["--version"]), Some(0));
}

#[test]
fn a_missing_file_is_named() {
    let ran = run(Path::new("/"), &["check", "--config", "nowhere/banyan.toml"]);
    assert!(ran.err.contains("banyan.toml"), "{}", ran.err);
}

#[test]
fn explain_tells_the_whole_trail() {
    let site = site(&[]);
    let ran = run(
        site.path(),
        &[
            "explain",
            "https://example.com/courses/rust?a=b",
            "--visitor",
            "AAAAAAAAAAAAAAAAAAAAAA",
        ],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in [
        "GET https://example.com/courses/rust?a=b",
        "route     /courses/{slug}  (routes/learn.toml:7), squad learn, with slug = rust",
        "gate      auth none",
        "flag      reviews  (flags/reviews.toml",
        "SPLIT, place ",
        "backend   ",
        "adds      Banyan-Flags: reviews=",
    ] {
        assert!(ran.out.contains(part), "{part:?} is missing in\n{}", ran.out);
    }
}

#[test]
fn explain_says_why_not() {
    let only_get = LEARN.replace("flag =", "methods = [\"GET\"]\nflag =");
    let site = site(&[("routes/learn.toml", &only_get)]);
    let ran = run(site.path(), &["explain", "/courses/rust", "--method", "POST"]);
    assert!(
        ran.out
            .contains("not       /courses/{slug}  (routes/learn.toml:7): "),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("route     /*  (routes/legacy.toml:5)"),
        "{}",
        ran.out
    );
    let ran = run(site.path(), &["explain", "https://other.example/"]);
    assert!(ran.out.contains("refused   421"), "{}", ran.out);
}

#[test]
fn explain_as_json_has_the_same_facts() {
    let site = site(&[]);
    let ran = run(
        site.path(),
        &[
            "explain",
            "/courses/rust",
            "--json",
            "--user",
            "u1",
            "--role",
            "staff",
        ],
    );
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["route"]["route"], "/courses/{slug}");
    assert_eq!(told["route"]["params"][0][1], "rust");
    assert_eq!(told["flags"][0]["flag"], "reviews");
    assert_eq!(told["visitor"]["state"], "absent");
    assert!(told["refused"].is_null());
}

#[test]
fn explain_reads_a_path_that_a_url_parser_would_refuse() {
    let site = site(&[]);
    let ran = run(site.path(), &["explain", "/courses/a%2fb"]);
    assert!(ran.out.contains("refused   400"), "{ran:?}");
}

#[test]
fn nothing_is_written_by_looking() {
    let site = site(&[]);
    let before = listing(site.path());
    for arguments in [&["check"][..], &["explain", "/"], &["schema"]] {
        run(site.path(), arguments);
    }
    assert_eq!(listing(site.path()), before);
}

fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
