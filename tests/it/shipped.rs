//! What ships is what it says: files that check clean, a demo made of them, schemas and a reference that are fresh, and a program
//! that starts as README says.

use std::{collections::BTreeSet, fs, net::TcpListener, path::Path};

use banyan::config::{SchemaKind, schema};
use serde_json::Value;

use crate::{
    client::{Client, Http, tcp, tls},
    program::{Serving, run},
};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_shipped_site_checks_clean_and_its_tests_pass() {
    let ran = run(repository(), &["check", "--strict"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.starts_with("ok: ") && !ran.out.contains(" 0 tests"),
        "{}",
        ran.out
    );
}

#[test]
fn the_demo_serves_the_files_that_ship() {
    let embedded: BTreeSet<&str> = banyan::demo::site().iter().map(|(name, _)| *name).collect();
    for (name, text) in banyan::demo::site() {
        let on_disk = fs::read_to_string(repository().join(name)).unwrap();
        assert_eq!(*text, on_disk, "{name}");
    }
    for folder in ["routes", "flags"] {
        for entry in fs::read_dir(repository().join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
            assert!(embedded.contains(name.as_str()), "{name} is not in demo::site()");
        }
    }
}

/// `BANYAN_BLESS=1 cargo test --test it reference` writes it anew.
#[test]
fn the_reference_in_readme_is_fresh() {
    const BEGIN: &str = "<!-- reference:begin -->\n";
    const END: &str = "<!-- reference:end -->";
    let file = repository().join("README.md");
    let readme = fs::read_to_string(&file).expect("README.md");
    let (before, rest) = readme
        .split_once(BEGIN)
        .expect("README.md marks where the reference begins");
    let (between, after) = rest
        .split_once(END)
        .expect("README.md marks where the reference ends");
    let fresh = format!("\n{}\n", banyan::config::reference_markdown());
    if std::env::var_os("BANYAN_BLESS").is_some() {
        fs::write(&file, format!("{before}{BEGIN}{fresh}{END}{after}")).unwrap();
        return;
    }
    assert!(
        between == fresh,
        "the reference in README.md is stale: write it anew with\n  BANYAN_BLESS=1 cargo test --test it reference"
    );
}

#[test]
fn schemas_take_every_shipped_file_and_refuse_a_slip() {
    let files = banyan::demo::site();
    let mut taken = 0;
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".toml")) {
        let kind = match name.split_once('/') {
            None => SchemaKind::ALL[0],
            Some(("routes", _)) => SchemaKind::ALL[1],
            Some(_) => SchemaKind::ALL[2],
        };
        let schema = schema(kind);
        let value: Value = toml::from_str(text).unwrap();
        let wrong = mismatches(&schema, &schema, &value, name);
        assert!(wrong.is_empty(), "{wrong:?}");
        let mut slipped = value.clone();
        slipped
            .as_object_mut()
            .unwrap()
            .insert("squda".to_owned(), Value::from(1));
        assert!(
            !mismatches(&schema, &schema, &slipped, name).is_empty(),
            "{name}: any key is taken"
        );
        taken += 1;
    }
    assert_eq!(taken, 6);
}

#[test]
fn schema_prints_json_for_each_kind_of_file() {
    for kind in SchemaKind::ALL {
        let ran = run(repository(), &["schema", kind.name()]);
        let printed: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(printed, schema(kind), "{}", kind.name());
        assert!(printed["properties"].is_object());
    }
    let all: Value = serde_json::from_str(&run(repository(), &["schema"]).out).unwrap();
    assert_eq!(all, banyan::config::schemas());
    assert_eq!(run(repository(), &["schema", "other"]).code, Some(2));
}

#[tokio::test]
async fn the_demo_starts_as_readme_says_and_ends_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Serving::start(folder.path(), &["demo", "--free-ports"], "Stop   Ctrl-C");
    let port = |scheme: &str| -> u16 {
        let at = demo
            .card
            .find(scheme)
            .unwrap_or_else(|| panic!("no {scheme} in {}", demo.card))
            + scheme.len();
        demo.card[at..]
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    let (https, http, admin) = (
        port("https://localhost:"),
        port("http://localhost:"),
        port("http://127.0.0.1:"),
    );
    let ca = demo
        .card
        .split_whitespace()
        .find(|word| word.ends_with("ca.pem"))
        .map(Path::new)
        .expect("the card names the CA");
    for version in Http::BOTH {
        let stream = tls(([127, 0, 0, 1], https).into(), ca, version).await;
        let mut client = Client::over(stream, version, "https", format!("localhost:{https}")).await;
        let answer = client.get("/courses").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text().contains("<html"), "{answer:?}");
        assert_eq!(client.get("/shop").await.status, 200);
    }
    let mut plain = Client::over(
        tcp(([127, 0, 0, 1], http).into()).await,
        Http::One,
        "http",
        "localhost".to_owned(),
    )
    .await;
    let answer = plain.get("/courses?a=b").await;
    assert_eq!(answer.status, 301);
    assert_eq!(
        answer.header("location"),
        format!("https://localhost:{https}/courses?a=b")
    );
    let mut page = Client::over(
        tcp(([127, 0, 0, 1], admin).into()).await,
        Http::One,
        "http",
        format!("127.0.0.1:{admin}"),
    )
    .await;
    assert_eq!(page.get("/readyz").await.status, 200);
    assert_eq!(page.get("/").await.status, 200);
    let config = ca.ancestors().nth(3).unwrap().to_owned();
    drop((plain, page));
    demo.signal("TERM");
    assert_eq!(demo.ended().code(), Some(0));
    assert!(!config.exists(), "{} was left behind", config.display());
}

#[tokio::test]
async fn run_serves_a_copy_of_the_shipped_site() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in banyan::demo::site() {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let operator =
        "hosts = [\"localhost\"]\n[listen]\nprivate = [\"127.0.0.1:0\"]\n[log]\nto = \"access.log\"\n";
    fs::write(folder.path().join("banyan.toml"), operator).unwrap();
    let output = crate::program::banyan(folder.path(), &["run"])
        .env("BANYAN_LOG", "info")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let id = output.id().to_string();
    let waiting = tokio::task::spawn_blocking(move || output.wait_with_output().unwrap());
    crate::client::until("the access log is open", async || {
        folder.path().join("access.log").exists()
    })
    .await;
    std::process::Command::new("kill")
        .args(["-TERM", &id])
        .status()
        .unwrap();
    let output = crate::world::within("the end", waiting).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_busy_port_is_named_with_the_setting_that_changes_it() {
    for (setting, line) in [
        ("listen.https", "https = [\"ADDRESS\"]"),
        ("listen.http", "http = [\"ADDRESS\"]"),
        ("listen.private", "private = [\"ADDRESS\"]"),
        ("listen.admin", "admin = \"ADDRESS\""),
    ] {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("banyan.toml");
        fs::write(
            &file,
            format!("[listen]\n{}\n", line.replace("ADDRESS", &address)),
        )
        .unwrap();
        let ran = run(folder.path(), &["run"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.err.contains(setting) && ran.err.contains(&address),
            "{}",
            ran.err
        );
        assert!(ran.err.contains("in use"), "{}", ran.err);
    }
}

/// Where `value` is not what `schema` says. Knows as much of JSON Schema as our own schemas use for objects, lists and types.
fn mismatches(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolved(root, schema);
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(choice).and_then(Value::as_array) {
            let fits = choices
                .iter()
                .any(|choice| mismatches(root, choice, value, at).is_empty());
            return if fits {
                Vec::new()
            } else {
                vec![format!("{at}: none of {choice}")]
            };
        }
    }
    let mut wrong = Vec::new();
    if let Some(types) = schema.get("type") {
        let types: Vec<&str> = match types {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        if !types.iter().any(|name| is_of(value, name)) {
            wrong.push(format!("{at}: {value} is no {types:?}"));
        }
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array)
        && !values.contains(value)
    {
        wrong.push(format!("{at}: {value} is none of {values:?}"));
    }
    if let Some(members) = value.as_object() {
        for (name, member) in members {
            let known = schema
                .get("properties")
                .and_then(|properties| properties.get(name));
            match (known, schema.get("additionalProperties")) {
                (Some(known), _) => wrong.extend(mismatches(root, known, member, &format!("{at}.{name}"))),
                (None, Some(Value::Bool(false))) => wrong.push(format!("{at}: unknown key {name}")),
                (None, Some(other @ Value::Object(_))) => {
                    wrong.extend(mismatches(root, other, member, &format!("{at}.{name}")));
                }
                (None, _) => {}
            }
        }
        for name in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if !members.contains_key(name.as_str().unwrap()) {
                wrong.push(format!("{at}: {name} is missing"));
            }
        }
    }
    if let (Some(items), Some(item)) = (value.as_array(), schema.get("items")) {
        for (place, member) in items.iter().enumerate() {
            wrong.extend(mismatches(root, item, member, &format!("{at}[{place}]")));
        }
    }
    wrong
}

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(place) => root
            .pointer(place.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("no {place}")),
        None => schema,
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("a type {other}?"),
    }
}
