//! Runs `tests/tables/config`: files above a line of dashes, what comes of them below.
//!
//! Above: `### file: NAME` starts a file; `banyan.toml` may be left out. `### file: FILE > PAGE` is an error page that FILE names. Below: in `refuse/` the problems as they are printed
//! to a pipe, in `accept/` the settings in short. With `BANYAN_BLESS=1` the lower part is written anew, to be read and committed.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use super::{Loaded, Sources, load_sources, settings::Settings, settings::TargetSettings};
use crate::{
    backend::{EjectSettings, Pick, Resolve, ServerSettings},
    policy::access::Access,
    shield::pot::Caps,
};

#[test]
fn what_must_be_refused_is_refused_in_these_words() {
    let count = run("refuse", |loaded| {
        assert!(loaded.settings.is_none() || !loaded.problems.has_errors());
        loaded.problems.to_plain()
    });
    assert!(count >= 70, "only {count} cases ran");
}

#[test]
fn what_must_be_accepted_means_this() {
    let count = run("accept", |loaded| match loaded.settings {
        Some(settings) => loaded.problems.to_plain() + &summary(&settings),
        None => panic!("refused:\n{}", loaded.problems),
    });
    assert!(count >= 8, "only {count} cases ran");
}

#[test]
fn every_kind_of_problem_has_a_case() {
    let told: String = cases("refuse")
        .iter()
        .map(|case| fs::read_to_string(case).unwrap())
        .collect();
    let missing: Vec<String> = kinds()
        .into_iter()
        .filter(|kind| !told.contains(&format!("[{kind}]")))
        .collect();
    assert!(
        missing.is_empty(),
        "no case in tests/tables/config/refuse shows {missing:?}"
    );
}

/// Kinds as they are written in this module's code.
fn kinds() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let mut kinds = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap();
        if name.to_string_lossy().contains("tests") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        for call in [".error(", ".warning(", ".whole(", ".whole_warning("] {
            for (at, _) in text.match_indices(call) {
                let argument = text[at + call.len()..].trim_start();
                if let Some((kind, _)) = argument.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                    kinds.insert(kind.to_owned());
                }
            }
        }
    }
    assert!(kinds.len() > 50, "{kinds:?}");
    // needs a hundred problems in one file
    kinds.remove("too-many-problems");
    // needs a thousand routes; `tests` makes them
    kinds.remove("patterns-too-large");
    kinds
}

fn run(folder: &str, outcome: impl Fn(Loaded) -> String) -> usize {
    let cases = cases(folder);
    let mut wrong = String::new();
    for case in &cases {
        let text = fs::read_to_string(case).unwrap();
        let (files, expected) = text.split_once("\n---\n").unwrap_or((&text, ""));
        let found = outcome(load_sources(&sources(files), &env));
        if std::env::var_os("BANYAN_BLESS").is_some() {
            fs::write(case, format!("{files}\n---\n{found}")).unwrap();
        } else if found != expected {
            _ = writeln!(
                wrong,
                "{}\n--- expected\n{expected}--- found\n{found}",
                case.display()
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    cases.len()
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tables/config")
        .join(folder);
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.retain(|case| case.extension().is_some_and(|ending| ending == "toml"));
    cases.sort();
    cases
}

fn sources(text: &str) -> Sources {
    let mut sources = Sources::empty("/site").with("banyan.toml", "listen.admin = \"127.0.0.1:0\"\n");
    let mut name = String::new();
    let mut body = String::new();
    for line in text.lines().chain(["### file: "]) {
        if let Some(next) = line.strip_prefix("### file: ") {
            match (name.as_str(), body.trim()) {
                ("", _) => {}
                ("banyan.toml", "(none)") => sources.remove("banyan.toml"),
                (file, _) if file.ends_with(".pem") || file.ends_with(".mmdb") => {
                    sources.attach(file, body.as_bytes())
                }
                _ => match name.split_once(" > ") {
                    Some((file, page)) => sources.insert_page(file, page, body.as_str()),
                    None => sources.insert(&name, body.as_str()),
                },
            }
            next.clone_into(&mut name);
            body.clear();
        } else {
            body.push_str(line);
            body.push('\n');
        }
    }
    sources
}

fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some("correct-horse-battery-staple-0123456789".to_owned()),
        "PORT" => Some("3000".to_owned()),
        _ => None,
    }
}

/// A site in a few lines.
fn summary(settings: &Settings) -> String {
    let mut out = String::new();
    let edge = &settings.edge;
    _ = writeln!(out, "hosts {:?}", edge.hosts);
    let listen = &edge.listen;
    _ = writeln!(
        out,
        "https {:?} http {:?} private {:?} admin {:?}",
        listen.https, listen.http, listen.private, listen.admin
    );
    _ = writeln!(
        out,
        "certs {} state {} cores {}",
        edge.certs.display(),
        edge.state.display(),
        edge.cores
    );
    _ = writeln!(out, "trusted {:?} log {:?}", edge.trusted_proxies, edge.log);
    if edge.limits != crate::limits::Limits::default() {
        _ = writeln!(out, "{:?}", edge.limits);
    }
    if edge.cache != crate::cache::store::StoreSettings::default() {
        _ = writeln!(out, "{:?}", edge.cache);
    }
    if let Some(visitor) = &edge.visitor {
        _ = writeln!(out, "{visitor:?}");
    }
    if let Some(gate) = &edge.gate {
        _ = writeln!(out, "{gate:?}");
    }
    let admin = &edge.admin;
    if **admin != crate::config::admin::AdminSettings::default() {
        let (read, write) = (&admin.read_roles, &admin.write_roles);
        _ = writeln!(
            out,
            "admin open {:?} hosts {:?} read {read:?} write {write:?}",
            admin.open, admin.hosts
        );
    }
    for token in &admin.tokens {
        let hash = crate::config::admin::hex(&token.hash);
        _ = writeln!(
            out,
            "token {} {hash} {:?} until {}",
            token.name, token.may, token.expires
        );
    }
    for page in edge.errors.iter() {
        _ = writeln!(out, "error page {page:?}");
    }
    for layer in &edge.layers {
        _ = writeln!(out, "{layer:?}");
    }
    for group in &edge.key_groups {
        _ = writeln!(out, "{group:?}");
    }
    out + &backends(settings) + &routes(settings)
}

fn backends(settings: &Settings) -> String {
    let mut out = String::new();
    for squad in &settings.edge.squads {
        _ = writeln!(out, "squad {} {:?} at {}", squad.name, squad.paths, squad.place);
        if squad.caps != Caps::default() {
            _ = writeln!(out, "  {:?}", squad.caps);
        }
    }
    for backend in &settings.backends {
        let servers: Vec<String> = backend.servers.iter().map(server).collect();
        _ = writeln!(
            out,
            "backend {} of {} at {}: {}",
            backend.name,
            backend.squad,
            backend.place,
            servers.join(" ")
        );
        _ = writeln!(
            out,
            "  connect {:?} first byte {:?} between {:?} connections {} idle {} for {:?} ca {:?}",
            backend.connect_timeout,
            backend.first_byte_timeout,
            backend.between_bytes_timeout,
            backend.connections_max,
            backend.idle_max,
            backend.idle_timeout,
            backend.ca
        );
        if let Some(versions) = &backend.versions {
            for version in &versions.all {
                let servers: Vec<String> = version.servers.iter().map(server).collect();
                let (name, state, weight) = (&version.name, version.state, version.weight);
                _ = writeln!(out, "  version {name} {state:?} {weight}: {}", servers.join(" "));
            }
            _ = writeln!(out, "  {:?}", versions.sticky);
        }
        if let Some(wording) = &backend.wording {
            _ = writeln!(out, "  {wording:?}");
        }
        if backend.total_timeout.is_some() || backend.attempts != crate::backend::ATTEMPTS {
            _ = writeln!(
                out,
                "  in all {:?} attempts {}",
                backend.total_timeout, backend.attempts
            );
        }
        if backend.tls_timeout.is_some() || backend.caps != Caps::default() || backend.adaptive.is_some() {
            let (tls, adaptive) = (backend.tls_timeout, backend.adaptive);
            _ = writeln!(out, "  tls {tls:?} {:?} {adaptive:?}", backend.caps);
        }
        if let Some(line) = &backend.line {
            _ = writeln!(out, "  {line:?}");
        }
        let choosing = (
            &backend.pick,
            backend.slow_start,
            backend.panic_below,
            &backend.breaker,
        );
        if choosing != (&Pick::LeastLoaded, None, 0.0, &None) || backend.eject != EjectSettings::default() {
            _ = writeln!(out, "  {choosing:?}\n  {:?}", backend.eject);
        }
        if let Some(health) = &backend.health {
            _ = writeln!(out, "  {health:?}");
        }
    }
    out
}

fn routes(settings: &Settings) -> String {
    let mut out = String::new();
    for route in &settings.routes {
        let claim = &route.claim;
        _ = writeln!(
            out,
            "route {:?} of {} at {} order {:?} hosts {:?}",
            claim.path, claim.squad, claim.place, claim.order, claim.hosts
        );
        if claim.conditions != crate::route::Conditions::default() {
            _ = writeln!(out, "  {:?}", claim.conditions);
        }
        match &route.target {
            TargetSettings::Backend(backend) => _ = writeln!(out, "  to {backend}"),
            TargetSettings::Flag { flag, backends } => _ = writeln!(out, "  by {flag} to {backends:?}"),
            TargetSettings::Redirect(redirect) => _ = writeln!(out, "  redirects {redirect}"),
        }
        if route.policy.request != crate::policy::RequestPolicy::default() {
            _ = writeln!(out, "  {:?}", route.policy.request);
        }
        if let Some(assets) = &route.policy.assets {
            _ = writeln!(out, "  assets {assets:?}");
        }
        if let Some(failover) = &route.policy.failover {
            _ = writeln!(out, "  {failover:?}");
        }
        let asked = &route.requirement;
        let roles: Vec<&String> = asked.roles().collect();
        _ = writeln!(
            out,
            "  flags {:?} Requirement {{ auth: {:?}, roles: {roles:?} }} slashes {}",
            route.flags, asked.auth, route.allow_encoded_slash
        );
        if asked.needs.len() > usize::from(!roles.is_empty())
            || !(asked.origins.is_empty() && asked.accept == crate::gate::Accept::default())
            || asked.report_only
            || asked.forward_authorization
        {
            _ = writeln!(out, "  {asked:?}");
        }
        if let Some(forward) = &route.policy.forward {
            _ = writeln!(out, "  forwards {forward}");
        }
        if let Some(response) = &route.policy.response {
            _ = writeln!(out, "  {response:?}");
        }
        for page in route.policy.errors.iter() {
            _ = writeln!(out, "  error page {page:?}");
        }
        if route.policy.protection != crate::policy::protection::Protection::default() {
            _ = writeln!(out, "  {:?}", route.policy.protection);
        }
        if let Some(compression) = &route.policy.compress {
            _ = writeln!(out, "  compress {compression:?}");
        }
    }
    let access = settings.routes.iter().map(|route| &route.policy.access);
    for access in access.filter(|access| **access != Access::default()) {
        _ = writeln!(out, "{access:?}");
    }
    for flag in &settings.flags {
        _ = writeln!(out, "{flag:?}");
    }
    for test in &settings.tests {
        _ = writeln!(out, "{test:?}");
    }
    out
}

/// A server as it is written, with what is not usual.
fn server(server: &ServerSettings) -> String {
    let (weight, zone, resolve) = (server.weight, &server.zone, server.resolve);
    match (weight, zone, resolve) {
        (1, None, Resolve::One) => server.address.to_string(),
        _ => format!("{} ({weight} {zone:?} {resolve:?})", server.address),
    }
}
