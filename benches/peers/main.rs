//! Banyan beside other reverse proxies, on loopback: `benches/peers/run`, or `cargo bench --bench peers` once that has installed them.
//!
//! The program is also its own generator, backend and relay, by its first argument. `benches/README.md` says what is measured, and how.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that can't go on has nothing to say"
)]

mod account;
mod backend;
mod browser;
mod fleet;
mod http1;
mod http2;
mod load;
mod options;
mod process;
mod relay;
mod reload;
mod report;
mod rounds;
mod site;
mod wire;
mod works;

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use banyan::clock;
use serde_json::{Value, json};

use fleet::{BANYAN, Surroundings};
use options::Options;
use rounds::{Contest, Cores, Found};
use works::Work;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut words = std::env::args().skip(1);
    let (role, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match role.as_str() {
        "generate" => load::run(&rest),
        "backend" => backend::run(),
        "relay" => relay::run(&rest),
        _ => compare_all(&Options::read()),
    }
}

fn compare_all(options: &Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let cores = cores();
    let own = std::process::id().to_string();
    let _ = Command::new("taskset")
        .args(["-cp", &cores.others, &own])
        .output();
    let (_backend, address) = rounds::backend(folder.path(), &cores.others).expect("a backend");
    let around = Surroundings {
        backend: address,
        cache: options.cache.clone(),
        banyan: options.banyan.clone(),
        folder: folder.path().to_owned(),
        size: site::COMPARED,
    };
    site::certify(&around).expect("a certificate");
    let wanted = |name: &str| options.peers.is_empty() || options.peers.iter().any(|peer| peer == name);
    let contest = Contest {
        around,
        cores,
        peers: fleet::ALL
            .into_iter()
            .filter(|peer| *peer == BANYAN || wanted(peer.name))
            .collect(),
        rounds: options.rounds,
        measure_millis: (options.seconds * 1000.0) as u64,
    };
    let mut record = Record {
        options,
        contest: &contest,
        heading: heading(&contest, options),
        summary: "| work | number | Banyan's | |\n|---|---|---:|---|\n".to_owned(),
        tables: String::new(),
        works: Vec::new(),
    };
    print!("{}", record.heading);
    let mut running = Vec::new();
    for work in works::all(options.rate, options.idle) {
        if options.wants(work.name) {
            if running.is_empty() {
                running = contest.start(1, &contest.cores.proxy);
            }
            let found = contest.compare(&work, &mut running);
            record.add_found(&work, &found);
        }
    }
    drop(running);
    let two = works::TWO_CORES;
    if options.wants(two.name) {
        let found = contest.scale(&two);
        record.add_found(&two, &found);
    }
    if options.wants("reload") {
        let (summary, tables, value) = reload::run(&contest, options.rate, options.swaps);
        record.add(&summary, &tables, value);
    }
    println!("{}", record.summary);
}

/// What was found so far, kept after each work.
struct Record<'a> {
    options: &'a Options,
    contest: &'a Contest,
    heading: String,
    summary: String,
    tables: String,
    works: Vec<Value>,
}

impl Record<'_> {
    fn add_found(&mut self, work: &Work, found: &[Found]) {
        let (summary, tables) = (report::summary(work, found), report::tables(work, found));
        self.add(&summary, &tables, report::json(work, found));
    }

    fn add(&mut self, summary: &str, tables: &str, work: Value) {
        print!("{tables}");
        self.summary.push_str(summary);
        self.tables.push_str(tables);
        self.works.push(work);
        if let Some(path) = &self.options.markdown {
            let figures = format!("{}{}\n{}", self.heading, self.summary, self.tables);
            fs::write(path, between_marks(path, &figures)).expect("a Markdown file");
        }
        if let Some(path) = &self.options.json {
            let around = &self.contest.around;
            let programs = self.contest.peers.iter();
            let programs: Vec<Value> = programs
                .map(|peer| json!({ "name": peer.name, "version": peer.version(around) }))
                .collect();
            let all =
                json!({ "date": today(), "machine": machine(), "programs": programs, "works": self.works });
            fs::write(path, format!("{all:#}\n")).expect("a JSON file");
        }
    }
}

/// The file with these figures between its marks; the figures alone where there is no file with marks.
fn between_marks(path: &Path, figures: &str) -> String {
    const MARKS: [&str; 2] = ["<!-- figures:begin -->\n", "<!-- figures:end -->"];
    let text = fs::read_to_string(path).unwrap_or_default();
    let marked = text
        .split_once(MARKS[0])
        .and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    match marked {
        Some((before, after)) => format!("{before}{}\n{figures}{}{after}", MARKS[0], MARKS[1]),
        None => figures.to_owned(),
    }
}

fn heading(contest: &Contest, options: &Options) -> String {
    let mut text = format!(
        "Measured {} on {}: {} rounds of {} s.\n\n| program | version |\n|---|---|\n",
        today(),
        machine(),
        options.rounds,
        options.seconds
    );
    for peer in &contest.peers {
        text.extend(["| ", peer.name, " | ", &peer.version(&contest.around), " |\n"]);
    }
    text.push('\n');
    text
}

fn today() -> String {
    let now = UNIX_EPOCH + Duration::from_millis(clock::wall().millis);
    let date = httpdate::fmt_http_date(now);
    date.get(5..16).unwrap_or(&date).to_owned()
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{} cores of {}, Linux {}",
        core_count(),
        processor.unwrap_or("?"),
        kernel.trim()
    )
}

/// Of the machine, whichever this process may use.
fn core_count() -> usize {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    processors
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count()
}

/// The first core is the proxy's, the next two (of two: the other) are for generator and backend.
fn cores() -> Cores {
    assert!(
        core_count() > 1,
        "two cores are needed: one for the proxy, one for what is around it"
    );
    Cores {
        proxy: "0".to_owned(),
        others: if core_count() > 3 { "2,3" } else { "1" }.to_owned(),
        two: "0,1".to_owned(),
        beside_two: if core_count() > 3 { "2,3" } else { "0,1" }.to_owned(),
    }
}

/// A runtime of one thread.
fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// Ends this process when the one that started it closes its standard input, at the latest by ending.
#[expect(clippy::exit, reason = "there is nothing to tidy up")]
fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}
