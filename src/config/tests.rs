//! What tables can't show: disks, last good versions, secrets, other forms of output, schemas.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink};

use proptest::prelude::*;

use super::{
    FileStatus, Isolated, Problems, SchemaKind, Sources, isolate, load_folder, load_sources,
    reference_markdown, schema, schemas,
};
use crate::policy::errors::Shows;

const OPERATOR: &str = "hosts = [\"www.example.com\"]\n[listen]\nhttps = \"[::]:443\"\n";

fn squad(name: &str, path: &str) -> String {
    format!(
        "squad = \"{name}\"\nbackends.{name}.servers = [\"http://10.0.0.1\"]\n[[routes]]\npath = \"{path}\"\nbackend = \"{name}\"\n"
    )
}

fn site() -> Sources {
    Sources::empty("/site")
        .with("banyan.toml", OPERATOR)
        .with("routes/learn.toml", &squad("learn", "/courses/*"))
        .with("routes/pay.toml", &squad("pay", "/pay/*"))
}

fn no_env(_: &str) -> Option<String> {
    None
}

/// Changes `files` of a good site (a text of "" takes one away); `paths` are served then, from the old version of `old`.
#[track_caller]
fn check_isolated(files: &[(&str, &str)], paths: &[&str], old: &[&str]) -> Isolated {
    let mut new = site();
    for (file, text) in files {
        if text.is_empty() {
            new.remove(file)
        } else {
            new.insert(file, *text)
        }
    }
    let isolated = isolate(&new, &site(), &no_env);
    assert_eq!(served(&isolated), paths, "{}", isolated.problems);
    assert_eq!(isolated.using_old, old, "{}", isolated.problems);
    isolated
}

fn served(isolated: &Isolated) -> Vec<&str> {
    let routes = isolated.settings.iter().flat_map(|settings| &settings.routes);
    routes.map(|route| route.claim.path.as_str()).collect()
}

fn kinds(problems: &Problems) -> Vec<&str> {
    problems.iter().map(|problem| problem.kind).collect()
}

#[test]
fn a_good_change_is_served_whole() {
    let isolated = check_isolated(
        &[("routes/learn.toml", &squad("learn", "/guides/*"))],
        &["/guides/*", "/pay/*"],
        &[],
    );
    assert!(isolated.problems.is_empty());
    assert!(
        isolated
            .sources
            .get("routes/learn.toml")
            .unwrap()
            .contains("/guides/*")
    );
}

#[test]
fn a_broken_squad_keeps_its_old_routes_and_others_get_their_new_ones() {
    let pay = squad("pay", "/checkout/*");
    let files = [
        ("routes/learn.toml", "squad = [\n"),
        ("routes/pay.toml", pay.as_str()),
    ];
    let isolated = check_isolated(&files, &["/courses/*", "/checkout/*"], &["routes/learn.toml"]);
    assert_eq!(kinds(&isolated.problems), ["syntax"]);
    assert_eq!(
        isolated.sources.get("routes/learn.toml"),
        site().get("routes/learn.toml")
    );
}

#[test]
fn a_broken_new_squad_is_left_out() {
    let isolated = check_isolated(
        &[("routes/new.toml", "squad = \"other\"\n")],
        &["/courses/*", "/pay/*"],
        &[],
    );
    assert_eq!(isolated.left_out, ["routes/new.toml"]);
}

#[test]
fn a_broken_operator_file_keeps_everything() {
    let learn = squad("learn", "/guides/*");
    let files = [
        ("banyan.toml", "hosts = 1\n"),
        ("routes/learn.toml", learn.as_str()),
    ];
    check_isolated(
        &files,
        &["/courses/*", "/pay/*"],
        &["banyan.toml", "routes/learn.toml"],
    );
}

#[test]
fn a_missing_operator_file_keeps_everything() {
    check_isolated(
        &[("banyan.toml", "")],
        &["/courses/*", "/pay/*"],
        &["banyan.toml"],
    );
}

#[test]
fn equal_claims_are_blamed_on_the_file_that_changed() {
    let learn = squad("learn", "/pay/*");
    check_isolated(
        &[("routes/learn.toml", &learn)],
        &["/courses/*", "/pay/*"],
        &["routes/learn.toml"],
    );
}

#[test]
fn a_backend_that_goes_away_under_another_squad_stays() {
    let pay = squad("pay", "/pay/*").replace("backend = \"pay\"", "backend = \"learn\"");
    let old = site().with("routes/pay.toml", &pay);
    let mut new = old.clone();
    new.remove("routes/learn.toml");
    new.insert("routes/more.toml", squad("more", "/more/*"));
    let isolated = isolate(&new, &old, &no_env);
    assert_eq!(served(&isolated), ["/courses/*", "/more/*", "/pay/*"]);
    assert_eq!(isolated.using_old, ["routes/learn.toml"]);
    assert_eq!(kinds(&isolated.problems), ["unknown-backend"]);
}

#[test]
fn narrower_claims_that_a_squad_breaks_keep_everything() {
    let operator = format!("{OPERATOR}[squads.learn]\npaths = [\"/guides/*\"]\n[squads.pay]\n");
    check_isolated(
        &[("banyan.toml", &operator)],
        &["/courses/*", "/pay/*"],
        &["banyan.toml"],
    );
}

#[test]
fn a_broken_flag_keeps_its_old_version() {
    let flag = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n";
    let old = site().with("flags/tab.toml", flag);
    let new = site().with(
        "flags/tab.toml",
        "variants = [\"legacy\", \"new\"]\ndefault = \"gone\"\n",
    );
    let isolated = isolate(&new, &old, &no_env);
    assert_eq!(isolated.using_old, ["flags/tab.toml"]);
    assert_eq!(isolated.settings.unwrap().flags.len(), 1);
}

#[test]
fn at_the_first_start_a_broken_squad_is_left_out_and_still_told() {
    let sources = site().with(
        "routes/learn.toml",
        "squad = \"learn\"\n[[routes]]\npath = \"x\"\n",
    );
    let isolated = isolate(&sources, &Sources::empty("/site"), &no_env);
    assert_eq!(served(&isolated), ["/pay/*"]);
    assert_eq!(isolated.left_out, ["routes/learn.toml"]);
    assert!(isolated.problems.has_errors());
    assert!(load_sources(&sources, &no_env).settings.is_none());
}

#[test]
fn at_the_first_start_a_broken_operator_file_serves_nothing() {
    let sources = site().with("banyan.toml", "cores = \"all\"\n");
    let isolated = isolate(&sources, &Sources::empty("/site"), &no_env);
    assert!(isolated.settings.is_none());
}

#[test]
fn files_are_read_from_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("routes")).unwrap();
    fs::create_dir(folder.path().join("flags")).unwrap();
    fs::write(folder.path().join("edge.toml"), OPERATOR).unwrap();
    fs::write(folder.path().join("routes/pay.toml"), squad("pay", "/pay/*")).unwrap();
    for ignored in [
        "routes/.pay.toml.swp",
        "routes/.hidden.toml",
        "routes/pay.toml~",
        "routes/README.md",
    ] {
        fs::write(folder.path().join(ignored), "not = [").unwrap();
    }
    let loaded = load_folder(&folder.path().join("edge.toml"), &no_env);
    assert!(loaded.problems.is_empty(), "{}", loaded.problems);
    assert_eq!(loaded.settings.unwrap().folder, folder.path());
    assert_eq!(
        loaded.files.into_iter().collect::<Vec<_>>(),
        [
            ("edge.toml".to_owned(), FileStatus::Good),
            ("routes/pay.toml".to_owned(), FileStatus::Good)
        ]
    );
}

#[test]
fn a_folder_without_the_operator_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load_folder(folder.path(), &no_env);
    assert_eq!(kinds(&loaded.problems), ["missing-file"]);
    assert!(loaded.settings.is_none());
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("flags")).unwrap();
    fs::write(folder.path().join("banyan.toml"), OPERATOR).unwrap();
    fs::write(folder.path().join("flags/a.toml"), b"a = \"\xff\"").unwrap();
    let loaded = load_folder(folder.path(), &no_env);
    assert_eq!(kinds(&loaded.problems), ["unreadable-file"]);
    assert_eq!(loaded.files.get("flags/a.toml"), Some(&FileStatus::Broken));
}

#[test]
fn ten_thousand_routes_load() {
    let route = |n| {
        format!(
            "[[routes]]\npath = \"/c{}/{{slug}}/r{n}/*\"\nbackend = \"learn\"\n",
            n % 100
        )
    };
    let routes: String = (0..10_000).map(route).collect();
    let loaded = load_sources(
        &site().with("routes/learn.toml", &(squad("learn", "/courses/*") + &routes)),
        &no_env,
    );
    assert_eq!(loaded.settings.unwrap().routes.len(), 10_002);
}

#[test]
fn too_many_problems_end_with_one_that_says_so() {
    let text: String = (0..200).map(|n| format!("key{n} = 1\n")).collect();
    let loaded = load_sources(&Sources::empty("/site").with("banyan.toml", &text), &no_env);
    assert_eq!(loaded.problems.len(), 101);
    assert!(kinds(&loaded.problems).contains(&"too-many-problems"));
}

#[test]
fn secrets_are_nowhere_in_what_is_printed() {
    let text = "listen.https = \"[::]:443\"\n[visitor]\nkeys = [{ id = \"a\", secret = \"\"\"\n0123456789-hunter2-0123456789-hunter2\"\"\" }, { id = \"b\", secret = 'hunter2' }]\n\
                [gate]\nissuer = \"${ISSUER}\"\nclient_id = \"c\"\nclient_secret = \"hunter2\"\nclient_secrets = \"hunter2\" # last\n";
    let env = |name: &str| (name == "ISSUER").then(|| "https://:hunter2@".to_owned());
    let loaded = load_sources(&Sources::empty("/site").with("banyan.toml", text), &env);
    let problems = &loaded.problems;
    assert!(problems.len() >= 3, "{problems}");
    let printed = [
        problems.to_plain(),
        problems.to_fancy(100),
        problems.to_json().to_string(),
        problems.to_github(),
        format!("{loaded:?}"),
    ];
    for text in printed {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn problems_are_drawn_for_terminals_and_written_for_programs() {
    let sources = site().with("routes/learn.toml", &squad("learn", "/pay/*"));
    let problems = load_sources(&sources, &no_env).problems;
    let fancy = problems.to_fancy(160);
    for part in [
        "equal-claims",
        "routes/pay.toml:4:8",
        "routes/learn.toml:4:8",
        "https://www.example.com/pay",
        "help",
    ] {
        assert!(fancy.contains(part), "{part} is not in\n{fancy}");
    }
    let json = problems.to_json();
    assert_eq!(json[0]["kind"], "equal-claims");
    assert_eq!((&json[0]["line"], &json[0]["column"]), (&4.into(), &8.into()));
    assert_eq!(json[0]["related"][0]["file"], "routes/learn.toml");
    let github = problems.to_github();
    assert!(
        github.starts_with("::error file=routes/pay.toml,line=4,col=8,title=equal-claims::nothing tells"),
        "{github}"
    );
    assert_eq!(github.lines().count(), 1, "{github}");
}

#[test]
fn patterns_that_would_explode_are_refused_with_their_size() {
    let mut text = squad("learn", "/courses/*");
    for order in 0..1_000 {
        let pattern = format!("*{order}{}", "*a?b".repeat(60));
        text.push_str(&format!(
            "[[routes]]\npattern = \"{pattern}\"\norder = {order}\nbackend = \"learn\"\n"
        ));
    }
    let loaded = load_sources(&site().with("routes/learn.toml", &text), &no_env);
    let told: Vec<_> = loaded
        .problems
        .iter()
        .filter(|problem| problem.kind == "patterns-too-large")
        .collect();
    let [problem] = told[..] else {
        panic!("{}", loaded.problems)
    };
    assert!(problem.what.contains("at most 200000 fit"), "{}", problem.what);
    assert!(loaded.settings.is_none());
}

#[test]
fn every_key_of_every_schema_is_described() {
    for kind in SchemaKind::ALL {
        let schema = schema(kind);
        let mut bare = BTreeSet::new();
        walk(&schema, "", &mut bare);
        assert!(bare.is_empty(), "{kind:?}: no description for {bare:?}");
    }
    assert!(schemas()["$defs"]["routes"]["properties"]["squad"].is_object());
}

fn walk(value: &serde_json::Value, path: &str, bare: &mut BTreeSet<String>) {
    for (name, property) in value["properties"].as_object().into_iter().flatten() {
        if property["description"].as_str().unwrap_or_default().is_empty() {
            bare.insert(format!("{path}.{name}"));
        }
    }
    for (name, definition) in value["$defs"].as_object().into_iter().flatten() {
        walk(definition, name, bare);
    }
}

#[test]
fn the_schema_knows_defaults_and_what_is_required() {
    let routes = schema(SchemaKind::Routes);
    assert_eq!(routes["required"], serde_json::json!(["squad"]));
    assert_eq!(
        schema(SchemaKind::Flag)["required"],
        serde_json::json!(["default", "variants"])
    );
    let backend = &routes["$defs"]["BackendFile"];
    assert_eq!(backend["properties"]["connect_timeout"]["default"], "2s");
    assert_eq!(backend["additionalProperties"], false);
    assert_eq!(
        schema(SchemaKind::Operator)["$defs"]["LimitsFile"]["properties"]["head_bytes_max"]["default"],
        "32KiB"
    );
}

#[test]
fn the_reference_has_every_key_with_its_default() {
    let reference = reference_markdown();
    for part in [
        "### `routes/<squad>.toml`",
        "| `connect_timeout` | duration | `\"2s\"` |",
        "| `squad` | text | required |",
        "`backends.<name>.health`",
    ] {
        assert!(reference.contains(part), "{part} is not in\n{reference}");
    }
}

proptest! {
    /// Whatever is in the files, loading ends with settings or with an error that can be printed.
    #[test]
    fn any_text_is_answered(operator in soup(), routes in soup(), flag in soup(), set in soup()) {
        let sources = site().with("banyan.toml", &operator).with("routes/a.toml", &routes)
            .with("flags/b.toml", &flag).with("flags/c.json", &set);
        let loaded = load_sources(&sources, &no_env);
        prop_assert_eq!(loaded.settings.is_none(), loaded.problems.has_errors());
        let _ = (loaded.problems.to_plain(), loaded.problems.to_fancy(80), loaded.problems.to_github());
    }

    /// Isolation serves something whenever what was good before still is.
    #[test]
    fn something_is_always_served(routes in soup(), flag in soup()) {
        let new = site().with("routes/learn.toml", &routes).with("flags/b.toml", &flag);
        let isolated = isolate(&new, &site(), &no_env);
        prop_assert!(isolated.settings.is_some());
        prop_assert!(load_sources(&isolated.sources, &no_env).settings.is_some());
    }
}

/// Pieces of files in any order, some of them cut.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "squad = \"a\"\n",
            "[[routes]]\n",
            "path = \"/x/{y}\"\n",
            "pattern = \"*\"\n",
            "order = 1\n",
            "backend = \"a\"\n",
            "[backends.a]\n",
            "servers = [\"http://a\"]\n",
            "[gate]\n",
            "issuer = \"${X}\"\n",
            "[listen]\n",
            "https = 1\n",
            "variants = [\"a\", \"b\"]\n",
            "default = \"a\"\n",
            "[rollout]\n",
            "b = 5\n",
            "[[rules]]\n",
            "if = { a = [1] }\n",
            "serve = \"é\"\n",
            "secret = \"\"\"é\n",
            "'''",
            "{\"flags\": {",
            "\"a\": {",
            "\"state\": \"ENABLED\",",
            "}}",
            "\"",
            "\\",
            "hosts = [\"é\"]\n",
            "[squads.learn]\n",
            "= ",
            "${",
            "\r\n",
            "a.b.c = {}\n",
            "routes = [[]]\n",
            "routes = [1]\n",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

const PAGE: &str = "[[routes.errors]]\nstatus = [404]\nfile = \"errors/404.html\"\n";

fn shown(isolated: &Isolated) -> Vec<String> {
    let routes = isolated.settings.iter().flat_map(|settings| &settings.routes);
    let pages = routes.flat_map(|route| route.policy.errors.iter());
    pages
        .map(|page| match &page.shows {
            Shows::File(file) => String::from_utf8(file.bytes.to_vec()).unwrap(),
            Shows::Page(path) => path.to_string(),
        })
        .collect()
}

#[test]
fn an_error_page_is_a_part_of_the_file_that_names_it() {
    let with = |text: Option<&str>| {
        let mut sources = site().with("routes/learn.toml", &(squad("learn", "/courses/*") + PAGE));
        if let Some(text) = text {
            sources.insert_page("routes/learn.toml", "errors/404.html", text);
        }
        sources
    };
    let first = isolate(&with(Some("one")), &Sources::empty("/site"), &no_env);
    assert_eq!(shown(&first), ["one"], "{}", first.problems);
    let second = isolate(&with(Some("two")), &first.sources, &no_env);
    assert_eq!(shown(&second), ["two"], "{}", second.problems);
    assert_ne!(with(Some("one")), with(Some("two")));
    let gone = isolate(&with(None), &second.sources, &no_env);
    assert_eq!(
        (shown(&gone), &gone.using_old),
        (vec!["two".to_owned()], &vec!["routes/learn.toml".to_owned()])
    );
    assert_eq!(kinds(&gone.problems), ["unreadable-error-file"]);
    let never = isolate(&with(None), &Sources::empty("/site"), &no_env);
    assert_eq!(
        (served(&never), &never.left_out),
        (vec!["/pay/*"], &vec!["routes/learn.toml".to_owned()])
    );
}

#[test]
fn error_pages_are_read_from_beside_the_file_and_from_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("routes/errors")).unwrap();
    fs::create_dir_all(at("secret")).unwrap();
    let names = [
        "good", "large", "larger", "binary", "out", "in", "missing", "folder",
    ];
    let mut routes = squad("learn", "/*");
    for (status, name) in (400..).zip(names) {
        routes += &format!("[[routes.errors]]\nstatus = [{status}]\nfile = \"errors/{name}.html\"\n");
    }
    fs::write(at("routes/learn.toml"), routes).unwrap();
    fs::write(at("banyan.toml"), OPERATOR).unwrap();
    let page = |name: &str, bytes: &[u8]| fs::write(at("routes/errors").join(name), bytes).unwrap();
    page("good.html", b"good");
    page("large.html", &vec![b'x'; 256 * 1024]);
    page("larger.html", &vec![b'x'; 256 * 1024 + 1]);
    page("binary.html", b"\xff\xfe");
    fs::write(at("secret/key.html"), "the secret").unwrap();
    symlink("../../secret/key.html", at("routes/errors/out.html")).unwrap();
    symlink("good.html", at("routes/errors/in.html")).unwrap();
    fs::create_dir(at("routes/errors/folder.html")).unwrap();
    let loaded = load_folder(folder.path(), &no_env);
    let text = loaded.problems.to_plain();
    for part in [
        "`errors/larger.html` can't be read: it has 262145 bytes",
        "`errors/binary.html` can't be read: it is not UTF-8",
        "`errors/out.html` can't be read: it leads out of the folder",
        "`errors/missing.html` can't be read: it is not there",
        "`errors/folder.html` can't be read: it is no regular file",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert_eq!(loaded.problems.errors().count(), 5, "{text}");
    assert!(!text.contains("the secret"));
    let watched: BTreeSet<_> = Sources::read(folder.path()).pages().collect();
    assert_eq!(watched.len(), names.len());
    assert!(watched.contains(&at("routes/errors/missing.html")), "{watched:?}");
}
