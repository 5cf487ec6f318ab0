//! The folder of certificates: what is taken, what is refused, what a client is shown.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::SignatureScheme;
use serde::Deserialize;
use x509_parser::{der_parser, pem::Pem};

use super::{
    certs::CertStore,
    made::{Authority, Made, NOW, put},
    pair::{CertProblem, Level},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    certs: Vec<CertRow>,
    cases: Vec<CaseRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertRow {
    file: String,
    names: Vec<String>,
    key: String,
    ends_in_days: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseRow {
    name: String,
    sni: Option<String>,
    client: Option<Vec<String>>,
    shown: String,
}

fn schemes(client: Option<&[String]>) -> Vec<SignatureScheme> {
    let takes = |kind: &str| client.is_none_or(|kinds| kinds.iter().any(|it| it == kind));
    let mut schemes = Vec::new();
    if takes("rsa") {
        schemes.push(SignatureScheme::RSA_PSS_SHA256);
    }
    if takes("ecdsa") {
        schemes.push(SignatureScheme::ECDSA_NISTP256_SHA256);
    }
    schemes
}

#[test]
fn the_sni_table_holds() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/tls/sni.toml");
    let table: Table = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    for cert in &table.certs {
        let names: Vec<&str> = cert.names.iter().map(String::as_str).collect();
        authority
            .issue(&names, &cert.key, cert.ends_in_days.unwrap_or(100))
            .write(folder.path(), &cert.file);
    }
    let (store, problems) = CertStore::read_at(folder.path(), None, NOW);
    assert_eq!(
        problems.len(),
        1,
        "only the expired one is warned of: {problems:?}"
    );
    for case in &table.cases {
        let shown = store.find(case.sni.as_deref(), &schemes(case.client.as_deref()));
        let shown = shown.map_or("", |pair| &*pair.stem);
        assert_eq!(shown, case.shown, "{}", case.name);
    }
    assert_eq!(table.cases.len(), 19, "cases were added or lost");
}

/// Writes `files` into an empty folder, and expects these problems: (file, level, part of the reason).
#[track_caller]
fn check(files: &[(&str, &str)], expected: &[(&str, Level, &str)]) -> CertStore {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        put(folder.path(), name, text);
    }
    let (store, problems) = CertStore::read_at(folder.path(), None, NOW);
    assert_problems(&problems, expected);
    store
}

#[track_caller]
fn assert_problems(problems: &[CertProblem], expected: &[(&str, Level, &str)]) {
    let as_expected = problems.len() == expected.len()
        && problems
            .iter()
            .zip(expected)
            .all(|(problem, (file, level, reason))| {
                problem.file == *file && problem.level == *level && problem.reason.contains(reason)
            });
    assert!(as_expected, "{problems:#?}\nis not\n{expected:#?}");
}

fn issued() -> Made {
    Authority::new().issue(&["a.test"], "ecdsa", 100)
}

#[test]
fn chain_and_key_may_lie_in_one_file_or_in_two() {
    let made = issued();
    let both = format!("{}{}", made.chain, made.key);
    let key_first = format!("{}{}", made.key, made.chain);
    for files in [
        vec![("a.pem", both.as_str())],
        vec![("a.pem", key_first.as_str())],
        vec![("a.pem", made.chain.as_str()), ("a.key", made.key.as_str())],
        vec![("a.crt", made.chain.as_str()), ("a.key", made.key.as_str())],
        vec![
            ("a.crt", both.as_str()),
            ("README.md", "not looked at"),
            (".b.pem", "hidden"),
        ],
    ] {
        let store = check(&files, &[]);
        assert_eq!(store.pairs().count(), 1, "{:?}", files.first());
    }
}

#[test]
fn keys_of_every_common_form_are_taken() {
    for (kind, form) in [("ecdsa", "EC PRIVATE KEY"), ("rsa", "RSA PRIVATE KEY")] {
        let made = Authority::new().issue(&["a.test"], kind, 100);
        assert!(made.key.contains("BEGIN PRIVATE KEY"), "PKCS#8: {kind}");
        check(&[("a.crt", &made.chain), ("a.key", &made.key)], &[]);
        // PKCS#8 is an envelope (RFC 5958): version, algorithm, and the SEC1 or PKCS#1 key as octets.
        let envelope = Pem::iter_from_buffer(made.key.as_bytes())
            .next()
            .unwrap()
            .unwrap()
            .contents;
        let (_, envelope) = der_parser::parse_der(&envelope).unwrap();
        let inner = STANDARD.encode(envelope.as_sequence().unwrap()[2].as_slice().unwrap());
        let lines: Vec<&str> = (0..inner.len())
            .step_by(64)
            .map(|at| &inner[at..inner.len().min(at + 64)])
            .collect();
        let key = format!(
            "-----BEGIN {form}-----\n{}\n-----END {form}-----\n",
            lines.join("\n")
        );
        let store = check(&[("a.crt", &made.chain), ("a.key", &key)], &[]);
        assert_eq!(store.pairs().count(), 1, "{form}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_its_reason() {
    use Level::Refused;
    let made = issued();
    let other = issued();
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let huge = "x".repeat(1024 * 1024 + 1);
    let chain = made.chain.as_str();
    check(&[("a.pem", "")], &[("a.pem", Refused, "no certificate in it")]);
    check(&[("a.pem", chain)], &[("a.pem", Refused, "no private key in it")]);
    check(
        &[("a.key", &made.key)],
        &[("a.key", Refused, "a key without a certificate")],
    );
    check(
        &[("a.pem", chain), ("a.key", &other.key)],
        &[("a.pem", Refused, "the key does not belong to the certificate")],
    );
    check(
        &[("a.pem", chain), ("a.key", locked)],
        &[("a.key", Refused, "locked with a passphrase")],
    );
    check(
        &[("a.pem", broken), ("a.key", &made.key)],
        &[("a.pem", Refused, "certificate 1 of the chain can't be read")],
    );
    check(&[("a.pem", &huge)], &[("a.pem", Refused, "larger than 1 MiB")]);
    check(
        &[("a.pem", "-----BEGIN CERTIFICATE-----\n!!\n")],
        &[("a.pem", Refused, "not valid PEM")],
    );
}

#[test]
fn what_is_odd_is_used_and_warned_of() {
    use Level::Warning;
    let authority = Authority::new();
    let both = |made: &Made| format!("{}{}", made.chain, made.key);
    let old = both(&authority.issue(&["a.test"], "ecdsa", -2));
    check(&[("a.pem", &old)], &[("a.pem", Warning, "expired 2 days ago")]);
    let ending = both(&authority.issue(&["a.test"], "ecdsa", 13));
    let store = check(&[("a.pem", &ending)], &[("a.pem", Warning, "expires in 13 days")]);
    assert_eq!(
        store.ending_soon(NOW).map(|it| it.name).collect::<Vec<_>>(),
        ["a.test"]
    );
    let fine = both(&authority.issue(&["a.test"], "ecdsa", 15));
    let store = check(&[("a.pem", &fine)], &[]);
    assert_eq!(store.ending_soon(NOW).count(), 0);
    let nameless = both(&authority.issue(&[], "ecdsa", 100));
    check(&[("a.pem", &nameless)], &[("a.pem", Warning, "names no host")]);
    let (one, two) = (authority.issue(&["a.test"], "ecdsa", 100), issued());
    let mixed = format!("{}{}{}", one.chain, two.chain, one.key);
    check(&[("a.pem", &mixed)], &[("a.pem", Warning, "out of order")]);
    check(
        &[("a.pem", &both(&one)), ("a.crt", &both(&two))],
        &[("a.crt", Warning, "a.pem holds a chain too")],
    );
}

#[test]
fn a_key_that_everybody_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    issued().write(folder.path(), "a");
    fs::set_permissions(folder.path().join("a.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let (store, problems) = CertStore::read_at(folder.path(), None, NOW);
    assert!(!store.is_empty());
    assert_problems(
        &problems,
        &[("a.pem", Level::Warning, "every user of this machine")],
    );
}

#[test]
fn a_bad_pair_leaves_the_old_one_and_only_a_removed_one_goes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (first, second) = (issued(), issued());
    first.write(folder, "a");
    second.write(folder, "b");
    let (good, problems) = CertStore::read_at(folder, None, NOW);
    assert_problems(&problems, &[]);

    put(folder, "a.pem", "half a fi");
    let (kept, problems) = CertStore::read_at(folder, Some(&good), NOW);
    assert_problems(&problems, &[("a.pem", Level::Refused, "no certificate in it")]);
    let certified = |store: &CertStore, at: usize| store.pairs().nth(at).unwrap().certified.cert.clone();
    assert_eq!(certified(&kept, 0), certified(&good, 0));

    let third = issued();
    third.write(folder, "a");
    let (renewed, problems) = CertStore::read_at(folder, Some(&kept), NOW);
    assert_problems(&problems, &[]);
    assert_ne!(certified(&renewed, 0), certified(&good, 0));

    fs::remove_file(folder.join("a.pem")).unwrap();
    let (fewer, problems) = CertStore::read_at(folder, Some(&renewed), NOW);
    assert_problems(&problems, &[]);
    assert_eq!(fewer.pairs().map(|pair| &*pair.stem).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_folder_that_is_gone_leaves_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    issued().write(folder.path(), "a");
    let (good, _) = CertStore::read_at(folder.path(), None, NOW);
    let gone = folder.path().join("gone");
    let (empty, problems) = CertStore::read_at(&gone, None, NOW);
    assert!(empty.is_empty() && problems.is_empty());
    let (kept, problems) = CertStore::read_at(&gone, Some(&good), NOW);
    assert_eq!((kept.pairs().count(), problems.len()), (1, 1));
}

#[test]
fn without_a_default_file_the_first_one_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority
        .issue(&["z.test"], "ecdsa", 100)
        .write(folder.path(), "b");
    authority
        .issue(&["y.test"], "ecdsa", 100)
        .write(folder.path(), "c");
    authority.issue(&["z.test"], "rsa", 100).write(folder.path(), "d");
    let (store, _) = CertStore::read_at(folder.path(), None, NOW);
    let shown = |client: &[String]| {
        store
            .find(None, &schemes(Some(client)))
            .map(|pair| pair.stem.to_string())
    };
    assert_eq!(shown(&["ecdsa".to_owned()]).as_deref(), Some("b"));
    assert_eq!(shown(&["rsa".to_owned()]).as_deref(), Some("d"), "its twin");
}
