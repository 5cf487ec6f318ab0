//! The cache's disk from outside: a restart, a kill in the middle, damaged files, a full disk, purges.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use serde_json::Value;

use crate::{
    backend::{Body, full},
    client::{self, Answer, Client, Http, until},
    process::Program,
    program::run,
    world::{Builder, World, within},
};

/// What a path's answer is: kilobytes that say whose they are.
fn text(path: &str, version: usize) -> String {
    format!("{path} {version} ").repeat(200)
}

/// Answers with the path and how many answers of that path there were before.
fn site(disk: &str) -> Builder {
    let seen = std::sync::Mutex::new(BTreeMap::<String, usize>::new());
    let app = move |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        let version = {
            let mut seen = seen.lock().unwrap();
            let version = seen.entry(path.clone()).or_default();
            *version += 1;
            *version
        };
        let mut response: Response<Body> = Response::new(full(text(&path, version)));
        let headers = response.headers_mut();
        headers.insert("cache-control", HeaderValue::from_static("max-age=600"));
        headers.insert("surrogate-key", HeaderValue::from_static("red"));
        std::future::ready(response)
    };
    World::new()
        .top("cores = 2")
        .backend("app", app)
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"app\"\ncache = \"standard\"\n")
        .operator(&format!("[cache]\ndisk = \"{disk}\"\n"))
}

async fn client(program: &Program) -> Client {
    let tcp = client::tcp(program.private).await;
    Client::over(tcp, Http::One, "http", "localhost".to_owned()).await
}

async fn get(client: &mut Client, path: &str) -> Answer {
    let answer = within("an answer", client.get(path)).await;
    let version = answer.text().split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(answer.text(), text(path, version), "it is the path's own, whole");
    answer
}

fn is_hit(answer: &Answer) -> bool {
    answer.header("cache-status").starts_with("banyan; hit")
}

async fn stats(program: &Program) -> Value {
    let address = program.admin.to_string();
    let mut client = Client::over(client::tcp(program.admin).await, Http::One, "http", address).await;
    serde_json::from_str(client.get("/api/cache").await.text()).unwrap()
}

async fn written(program: &Program, count: u64) {
    until("answers on disk", async || {
        stats(program).await["disk"]["entries"].as_u64() >= Some(count)
    })
    .await;
}

async fn opened(program: &Program) {
    until("the disk", async || {
        stats(program).await["disk"]["waiting"] == false
    })
    .await;
}

fn answers(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    names
        .filter(|path| path.extension().is_some_and(|end| end == "answer"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_survives_a_kill_and_what_was_purged_does_not_come_back() {
    let mut program = Program::start(site("cache")).await;
    opened(&program).await;
    let mut visitor = client(&program).await;
    for number in 0..30 {
        assert!(!is_hit(&get(&mut visitor, &format!("/{number}")).await));
    }
    written(&program, 30).await;
    let admin = program.admin.to_string();
    let folder = program.folder().to_path_buf();
    let ran = run(
        &folder,
        &["cache", "purge", "/1", "/2*", "--hard", "--admin", &admin],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let posted = visitor.post("/3", "x").await;
    assert_eq!(posted.status, 200);
    program = program.killed_and_started_again().await;
    opened(&program).await;
    let mut visitor = client(&program).await;
    for number in 0..30 {
        let path = format!("/{number}");
        let purged = number == 1 || number == 3 || path.starts_with("/2");
        let answer = get(&mut visitor, &path).await;
        assert_eq!(is_hit(&answer), !purged, "{path}: {answer:?}");
    }
    let told = stats(&program).await;
    assert_eq!(told["disk"]["errors"], 0, "{told}");
    assert!(told["disk"]["reads"].as_u64() >= Some(17), "{told}");
    let shown = run(
        &folder,
        &["cache", "stats", "--admin", &program.admin.to_string()],
    )
    .out;
    assert!(shown.contains("on disk"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_it_serves_hits_or_misses_and_never_wrong_bytes() {
    let mut program = Program::start(site("cache")).await;
    for round in 0..5 {
        opened(&program).await;
        let mut visitors = Vec::new();
        for part in 0..4 {
            let mut visitor = client(&program).await;
            visitors.push(tokio::spawn(async move {
                for number in 0..50 * (round + 1) {
                    get(&mut visitor, &format!("/{part}/{number}")).await;
                    if number % 10 == 0 {
                        visitor.post(&format!("/{part}/{}", number / 2), "x").await;
                    }
                }
            }));
        }
        for visitor in visitors {
            visitor.await.unwrap();
        }
        program = program.killed_and_started_again().await; // while the last of them are being written
    }
    opened(&program).await;
    let told = stats(&program).await;
    assert!(told["disk"]["entries"].as_u64() > Some(0), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_files_cost_answers_and_never_make_one() {
    let mut program = Program::start(site("cache")).await;
    opened(&program).await;
    let mut visitor = client(&program).await;
    for number in 0..30 {
        get(&mut visitor, &format!("/{number}")).await;
    }
    written(&program, 30).await;
    let cache = program.folder().join("cache");
    let files = answers(&cache);
    assert_eq!(files.len(), 30);
    for (number, file) in files.iter().enumerate() {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        match number % 3 {
            0 => bytes[middle] ^= 0x20,
            1 => bytes.truncate(middle),
            _ => continue,
        }
        fs::write(file, bytes).unwrap();
    }
    program = program.killed_and_started_again().await;
    opened(&program).await;
    let mut visitor = client(&program).await;
    let mut hits = 0;
    for number in 0..30 {
        hits += usize::from(is_hit(&get(&mut visitor, &format!("/{number}")).await));
    }
    assert_eq!(hits, 10);
    assert_eq!(stats(&program).await["disk"]["errors"], 20);
}

/// A small file system of its own, where this user may mount one.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "none"])
            .arg(&at)
            .status();
        mount.is_ok_and(|status| status.success()).then_some(Self(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_answers_and_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("small");
    let Some(small) = Small::mount(at.clone()) else {
        return; // what can't be written is tested beside the code as well
    };
    let mut program = Program::start(site(at.to_str().unwrap())).await;
    opened(&program).await;
    let mut visitor = client(&program).await;
    for number in 0..200 {
        let path = format!("/{number}");
        get(&mut visitor, &path).await;
        assert!(is_hit(&get(&mut visitor, &path).await), "memory has it");
        visitor.post(&format!("/none/{number}"), "x").await;
    }
    until("the full disk is told", async || {
        stats(&program).await["disk"]["errors"].as_u64() > Some(0)
    })
    .await;
    program = program.killed_and_started_again().await;
    opened(&program).await;
    let mut visitor = client(&program).await;
    for number in 0..200 {
        get(&mut visitor, &format!("/{number}")).await;
    }
    drop(program);
    drop(small);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_others_may_read_is_refused_before_anything_starts() {
    use std::os::unix::fs::PermissionsExt;
    let site = site("cache");
    site.write();
    let cache = site.folder().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = run(site.folder(), &["check"]);
    assert_ne!(ran.code, Some(0));
    let said = ran.out + &ran.err;
    assert!(
        said.contains("has mode 755") && said.contains("bad-folder"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_that_was_killed_while_nothing_ran_leaves_nothing_behind() {
    let flag = "variants = [\"legacy\", \"new\"]\ndefault = \"new\"\n";
    let site = site("cache")
        .routes("[[routes]]\npath = \"/a\"\nflag = \"cart\"\nbackends = { legacy = \"app\", new = \"app\" }\ncache = \"standard\"\n")
        .flag("cart", flag);
    let mut program = Program::start(site).await;
    opened(&program).await;
    get(&mut client(&program).await, "/a").await;
    written(&program, 1).await;
    program = program.killed_and_started_again().await;
    opened(&program).await;
    assert!(
        is_hit(&get(&mut client(&program).await, "/a").await),
        "nothing changed"
    );
    fs::write(
        program.folder().join("flags/cart.toml"),
        format!("{flag}epoch = 2\n"),
    )
    .unwrap();
    program = program.killed_and_started_again().await;
    opened(&program).await;
    assert!(!is_hit(&get(&mut client(&program).await, "/a").await));
}
