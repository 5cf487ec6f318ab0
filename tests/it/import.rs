//! `banyan import` as somebody meets it who moves a distribution over.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    mmdb::database,
    program::{Ran, banyan, run},
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import");
const SECRET: &str = "replace-me-7f3c";

/// Runs the import of the sample with further arguments.
fn sample(folder: &Path, further: &[&str]) -> Ran {
    let (file, policies) = (
        fixture("cloudfront-sample.json"),
        fixture("cloudfront-sample-policies.json"),
    );
    let mut arguments = vec!["import", "cloudfront", &file, "--policies", &policies];
    arguments.extend(further);
    run(folder, &arguments)
}

fn fixture(name: &str) -> String {
    format!("{FIXTURES}/{name}")
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Files below a folder, by relative path.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// `BANYAN_BLESS=1 cargo test --test it import::` writes `tests/import/sample` anew, to be read and committed.
#[test]
fn the_sample_becomes_these_files() {
    let folder = folder();
    let ran = sample(
        folder.path(),
        &["--geo-database", "GeoLite2-City.mmdb", "--out", "site"],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let made = files(&folder.path().join("site"));
    let golden = Path::new(FIXTURES).join("sample");
    if std::env::var_os("BANYAN_BLESS").is_some() {
        let _ = fs::remove_dir_all(&golden);
        for (name, text) in &made {
            let path = golden.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    let expected = files(&golden);
    let names =
        |files: &[(String, String)]| -> Vec<String> { files.iter().map(|(name, _)| name.clone()).collect() };
    assert_eq!(names(&made), names(&expected));
    assert_eq!(
        names(&made),
        [
            ".env.example",
            "banyan.toml",
            "import-report.txt",
            "routes/learn-example-com.toml"
        ]
    );
    for ((name, seen), (_, wanted)) in made.iter().zip(&expected) {
        for (line, (seen, wanted)) in seen.lines().zip(wanted.lines()).enumerate() {
            assert_eq!(seen, wanted, "{name}:{}", line + 1);
        }
        assert_eq!(seen.len(), wanted.len(), "{name}");
    }
}

#[test]
fn terraform_becomes_the_same_files() {
    let folder = folder();
    let one = sample(folder.path(), &["--geo-database", "g.mmdb", "--out", "one"]);
    let state = fixture("terraform-sample.json");
    let arguments = [
        "import",
        "terraform",
        &state,
        "--geo-database",
        "g.mmdb",
        "--out",
        "two",
    ];
    let two = run(folder.path(), &arguments);
    assert_eq!((one.code, two.code), (Some(0), Some(0)), "{two:?}");
    let of_source = |(name, text): &(String, String)| {
        (
            name.clone(),
            text.replace("terraform-sample.json", "cloudfront-sample.json"),
        )
    };
    let two: Vec<_> = files(&folder.path().join("two")).iter().map(of_source).collect();
    assert_eq!(files(&folder.path().join("one")), two);
}

#[test]
fn no_secret_is_told_or_written() {
    let folder = folder();
    for further in [&["--out", "site"][..], &["--json"], &["--strict"]] {
        let ran = sample(folder.path(), further);
        assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "{ran:?}");
    }
    let made = files(&folder.path().join("site"));
    assert!(made.iter().any(|(_, text)| text.contains("${X_ORIGIN_VERIFY}")));
    for (name, text) in made {
        assert!(!text.contains(SECRET), "{name}");
    }
}

#[test]
fn the_report_tells_each_behaviour_in_order() {
    let folder = folder();
    let ran = sample(folder.path(), &["--geo-database", "g.mmdb"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut rest = ran.out.as_str();
    for part in [
        "1  /graphql  →  legacy-ssr",
        "2  /api/payments/*  →  squad-payment",
        "4  courses/*/unit-??  →  squad-course",
        "cookies only SESSION, exp_course; query all but utm_source, utm_medium, utm_campaign",
        "12  /premium/videos/*  →  static-assets",
        "protected   closed to everybody until",
        "13  /catalog/*  →  legacy-ssr",
        "fails over  to legacy-ssr-dr on 500, 502, 503, 504",
        "15  everything else  →  legacy-ssr",
        "warning open-before-protected: 12 `/premium/videos/*` is protected, but 11 `*.jp*g`",
        "1 distributions, 15 behaviours, 0 errors",
    ] {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part:?} is missing, or too early, in\n{}", ran.out));
        rest = &rest[at..];
    }
    assert!(ran.err.contains("--out"), "{}", ran.err);
    assert!(
        files(folder.path()).is_empty(),
        "nothing is written without --out"
    );
}

#[test]
fn json_for_programs_has_the_same_facts() {
    let ran = sample(folder().path(), &["--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let behaviours = report["distributions"][0]["behaviours"].as_array().unwrap();
    assert_eq!(behaviours.len(), 15);
    assert_eq!(behaviours[3]["pattern"], "courses/*/unit-??");
    assert_eq!(
        behaviours[3]["forward"]["cookies"]["only"],
        serde_json::json!(["SESSION", "exp_course"])
    );
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(
        report["warnings"],
        findings.iter().filter(|one| one["severity"] == "warning").count()
    );
    assert!(
        findings
            .iter()
            .all(|one| one["hint"].as_str().is_some_and(|hint| !hint.is_empty()))
    );
}

#[test]
fn exit_codes_tell_errors_warnings_and_wrong_usage() {
    let folder = folder();
    let ran = sample(folder.path(), &["--strict", "--out", "site"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(!folder.path().join("site").exists());
    let dangling = fs::read_to_string(fixture("cloudfront-sample.json")).unwrap();
    let dangling = dangling.replacen(
        "\"TargetOriginId\": \"squad-course\"",
        "\"TargetOriginId\": \"nobody\"",
        1,
    );
    fs::write(folder.path().join("dangling.json"), dangling).unwrap();
    let ran = run(
        folder.path(),
        &["import", "cloudfront", "dangling.json", "--out", "site"],
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.out
            .contains("error unknown-origin: nothing is called `nobody`"),
        "{}",
        ran.out
    );
    assert!(!folder.path().join("site").exists());
    assert_eq!(
        run(folder.path(), &["import", "cloudfront", "nowhere.json"]).code,
        Some(1)
    );
    for wrong in [
        &["import"][..],
        &["import", "cloudfront"],
        &["import", "nginx", "x"],
    ] {
        assert_eq!(run(folder.path(), wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn files_that_are_there_are_kept() {
    let folder = folder();
    fs::write(folder.path().join("banyan.toml"), "# mine\n").unwrap();
    let ran = sample(folder.path(), &["--out", "."]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("banyan.toml already"), "{}", ran.err);
    assert_eq!(
        files(folder.path()),
        [("banyan.toml".to_owned(), "# mine\n".to_owned())]
    );
    let ran = sample(folder.path(), &["--out", ".", "--overwrite"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        files(folder.path())
            .iter()
            .any(|(name, text)| name == "banyan.toml" && text.contains("[listen]"))
    );
}

/// What `banyan check` says of a folder, with a value for each variable.
fn check(site: &Path) -> Ran {
    let mut check = banyan(site, &["check"]);
    let example = fs::read_to_string(site.join(".env.example")).unwrap();
    for name in example.lines().filter_map(|line| line.strip_suffix('=')) {
        check.env(name, "a-value");
    }
    let output = check.output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn what_is_written_passes_the_check() {
    let folder = folder();
    let state = fixture("terraform-sample.json");
    let with_places = ["--geo-database", "places.mmdb"];
    for (site, wishes) in [
        ("open", &["--accept", "every-country"][..]),
        ("closed", &[]),
        ("places", &with_places),
    ] {
        let terraform = format!("{site}-terraform");
        let ran = sample(folder.path(), &[&["--out", site], wishes].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let of_state = ["import", "terraform", &state, "--out", &terraform];
        let ran = run(folder.path(), &[&of_state, wishes].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for site in [site, &terraform] {
            let site = folder.path().join(site);
            let place = serde_json::json!({"country": {"iso_code": "KP"}});
            fs::write(
                site.join("places.mmdb"),
                database("GeoLite2-Country", &[("81.2.69.0/24", place)]),
            )
            .unwrap();
            let ran = check(&site);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            assert!(
                !ran.err.contains("error[") && ran.out.contains("ok: 15 routes"),
                "{ran:?}"
            );
            assert!(ran.err.contains("warning[no-keys]"), "{ran:?}");
        }
    }
}

/// What was protected and has no keys answers 403, and what was open doesn't, as `explain` tells it.
#[test]
fn what_is_protected_is_closed() {
    let folder = folder();
    assert_eq!(
        sample(folder.path(), &["--accept", "every-country", "--out", "site"]).code,
        Some(0)
    );
    let site = folder.path().join("site");
    let explained = |path: &str| {
        let address = format!("https://learn.example.com{path}");
        let mut explain = banyan(&site, &["explain", &address]);
        for name in [
            "SQUAD_COMMUNITY_X_SQUAD",
            "SQUAD_COURSE_X_SQUAD",
            "SQUAD_PAYMENT_X_SQUAD",
            "X_ORIGIN_VERIFY",
        ] {
            explain.env(name, "s3cr3t-value");
        }
        let output = explain.output().unwrap();
        let told =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!told.contains("s3cr3t"), "{told}");
        told
    };
    let (closed, open) = (explained("/premium/videos/a.mp4"), explained("/assets/a.css"));
    assert!(
        closed.contains("403") && closed.contains("/premium/videos/*"),
        "{closed}"
    );
    assert!(!open.contains("403") && open.contains("static-assets"), "{open}");
}

#[test]
fn files_that_are_none_are_told_by_name() {
    let folder = folder();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    put("empty.json", b"");
    put(
        "cut.json",
        &fs::read(fixture("cloudfront-sample.json")).unwrap()[..5_000],
    );
    put("utf16.json", b"\xff\xfe{\0}\0");
    put("state.json", &fs::read(fixture("terraform-sample.json")).unwrap());
    fs::create_dir(folder.path().join("folder.json")).unwrap();
    let huge = fs::File::create(folder.path().join("huge.json")).unwrap();
    huge.set_len(64 * 1024 * 1024 + 1).unwrap();
    for (name, says) in [
        ("empty.json", "error no-distribution: there is no distribution"),
        ("cut.json", "error no-json: this is not JSON: EOF while parsing"),
        ("utf16.json", "it is not UTF-8, byte 0"),
        ("state.json", "error no-distribution"),
        ("folder.json", "directory"),
        ("huge.json", "it is longer than 67108864 bytes"),
        ("nowhere.json", "No such file"),
    ] {
        let ran = run(folder.path(), &["import", "cloudfront", name, "--out", "site"]);
        let told = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(told.contains(name) && told.contains(says), "{told}");
        assert!(!folder.path().join("site").exists(), "{name}");
    }
    let aws = fixture("cloudfront-sample.json");
    let ran = run(folder.path(), &["import", "terraform", &aws, "--out", "site"]);
    assert!(
        ran.code == Some(1) && ran.out.contains("error no-state"),
        "{ran:?}"
    );
}

#[test]
fn nothing_is_written_through_links_or_into_files() {
    let folder = folder();
    let site = folder.path().join("site");
    fs::create_dir(&site).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), site.join("banyan.toml")).unwrap();
    let ran = sample(folder.path(), &["--out", "site"]);
    assert!(
        ran.code == Some(1) && ran.err.contains("banyan.toml already"),
        "{ran:?}"
    );
    assert!(!folder.path().join("elsewhere").exists());
    fs::write(folder.path().join("a-file"), "mine").unwrap();
    for wishes in [&["--out", "a-file"][..], &["--out", "a-file", "--overwrite"]] {
        let ran = sample(folder.path(), wishes);
        assert!(ran.code == Some(1) && ran.err.contains("a-file"), "{ran:?}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("a-file")).unwrap(), "mine");
}
