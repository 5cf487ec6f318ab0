//! Banyan alone: what a reload each second does to latency, and what hundreds of them do to memory.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use banyan::clock;
use serde_json::{Value, json};

use super::{
    account::Memory,
    browser::What,
    fleet::{BANYAN, Surroundings},
    load::{Line, Plan, Told, Way},
    report::median,
    rounds::{Contest, Ready, visitor_cookie},
    site::{self, Size},
};

/// The site that is reloaded.
const SITE: Size = Size {
    routes: 1000,
    flags: 200,
};
/// A round lasts this much longer than others: a reload comes once a second.
const LONGER: u64 = 4;
/// Time for a saved file to be in force.
const SWAP_MAX: Duration = Duration::from_secs(10);
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Measures both: a line for the summary, a section in Markdown, and everything.
pub(super) fn run(contest: &Contest, rate: u32, swaps: usize) -> (String, String, Value) {
    let mut text = format!(
        "### `reload`: {} routes and {} flags written anew each second under load\n\n",
        SITE.routes, SITE.flags
    );
    let (verdict, value) = match measure(contest, rate, swaps, &mut text) {
        Ok(found) => found,
        Err(why) => (
            format!("skipped: {why}"),
            json!({ "work": "reload", "error": why }),
        ),
    };
    let _ = writeln!(text, "{verdict}.\n");
    (
        format!("| `reload` | latency, 99 % | | {verdict} |\n"),
        text,
        value,
    )
}

fn measure(contest: &Contest, rate: u32, swaps: usize, text: &mut String) -> Result<(String, Value), String> {
    let around = Surroundings {
        size: SITE,
        ..contest.around.clone()
    };
    let running = BANYAN.start(&around, 1, &contest.cores.proxy)?;
    let ready = Ready {
        cookie: visitor_cookie(&contest.visit(&running)?.head).ok_or("no visitor cookie was set")?,
        running,
    };
    let aside = around.folder.join("aside");
    site::write(&aside, "", &around, SITE).map_err(|error| error.to_string())?;
    let turn = AtomicUsize::new(0);
    let plan = Plan {
        address: ready.running.tls,
        line: Line::Http1,
        what: What::Small,
        way: Way::Open {
            connections: 64,
            rate,
        },
        cookie: ready.cookie.clone(),
        process: ready.running.id(),
        warm_millis: 1000,
        measure_millis: contest.measure_millis * LONGER,
    };
    let before = version(ready.running.admin)?;
    let (mut quiet, mut reloaded) = (Vec::new(), Vec::new());
    for _ in 0..contest.rounds {
        quiet.push(while_written(&aside, &around, &turn, || {
            contest.generate(&plan, &contest.cores.others)
        })?);
        reloaded.push(while_written(&ready.running.folder, &around, &turn, || {
            contest.generate(&plan, &contest.cores.others)
        })?);
    }
    let reloads = version(ready.running.admin)? - before;
    let verdict = latencies(text, &quiet, &reloaded, reloads);
    let memory = swap(&ready, &around, swaps, &turn)?;
    memories(text, &memory);
    let value = json!({
        "work": "reload", "quiet": quiet, "reloaded": reloaded, "reloads": reloads, "swaps_and_memory": memory,
    });
    Ok((verdict, value))
}

/// Works while the site in `folder` is written anew each second. Quiet rounds write too, elsewhere: that costs the
/// generator's core the same.
fn while_written(
    folder: &Path,
    around: &Surroundings,
    turn: &AtomicUsize,
    work: impl FnOnce() -> Result<Told, String>,
) -> Result<Told, String> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                site::vary(folder, around, SITE, turn.fetch_add(1, Ordering::Relaxed))?;
                thread::sleep(Duration::from_secs(1));
            }
            Ok::<(), std::io::Error>(())
        });
        let told = work();
        done.store(true, Ordering::Relaxed);
        let written = writer.join().map_err(|_| "the writer")?;
        written.map_err(|error| error.to_string())?;
        told
    })
}

fn latencies(text: &mut String, quiet: &[Told], reloaded: &[Told], reloads: u64) -> String {
    text.push_str("| latency µs, medians of rounds | quiet | reloaded | ratio |\n|---|---:|---:|---:|\n");
    let mut ratios = Vec::new();
    for (at, name) in ["50 %", "99 %", "99.9 %"].into_iter().enumerate() {
        let of = |rounds: &[Told]| median(rounds.iter().map(|told| told.latency[at]).collect());
        let pairs = quiet
            .iter()
            .zip(reloaded)
            .map(|(quiet, reloaded)| reloaded.latency[at] / quiet.latency[at]);
        let ratio = median(pairs.collect());
        ratios.push(ratio);
        let _ = writeln!(
            text,
            "| {name} | {:.0} | {:.0} | {ratio:.2} |",
            of(quiet),
            of(reloaded)
        );
    }
    text.push('\n');
    let (found, judged) = (ratios[1], if ratios[1] <= 1.1 { "met" } else { "not met" });
    format!("Wanted: at most 1.10 of quiet; found {found:.2} over {reloads} reloads: {judged}")
}

/// Writes the site anew `swaps` times, each as soon as the last is in force; returns memory after so many, in bytes.
fn swap(
    ready: &Ready,
    around: &Surroundings,
    swaps: usize,
    turn: &AtomicUsize,
) -> Result<Vec<(usize, u64)>, String> {
    let running = &ready.running;
    let mut found = vec![(0, Memory::of(running.id()).proportional)];
    for at in 1..=swaps {
        let before = version(running.admin)?;
        site::vary(
            &running.folder,
            around,
            SITE,
            turn.fetch_add(1, Ordering::Relaxed),
        )
        .map_err(|error| error.to_string())?;
        let began = clock::steady();
        while version(running.admin)? == before {
            if began.elapsed() > SWAP_MAX {
                return Err(format!("swap {at} did not come into force"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        if at % (swaps / 20).max(1) == 0 {
            found.push((at, Memory::of(running.id()).proportional));
        }
        eprint!("\rreload: swap {at} of {swaps}");
    }
    eprintln!();
    Ok(found)
}

fn memories(text: &mut String, memory: &[(usize, u64)]) {
    text.push_str("| swaps | memory, MiB |\n|---:|---:|\n");
    for (swaps, bytes) in memory {
        let _ = writeln!(text, "| {swaps} | {:.1} |", *bytes as f64 / MEBIBYTE);
    }
    let later = memory.get(memory.len() / 2..).unwrap_or_default();
    let _ = writeln!(
        text,
        "\nGrowth in the second half: {:.0} bytes each swap.\n",
        slope(later)
    );
}

/// Bytes for each swap, by least squares: memory goes up and down from one to the next.
fn slope(found: &[(usize, u64)]) -> f64 {
    let count = found.len() as f64;
    let middle = |of: fn(&(usize, u64)) -> f64| found.iter().map(of).sum::<f64>() / count;
    let (swaps, bytes) = (middle(|point| point.0 as f64), middle(|point| point.1 as f64));
    let away = |point: &(usize, u64)| (point.0 as f64 - swaps, point.1 as f64 - bytes);
    let along: f64 = found.iter().map(away).map(|(x, y)| x * y).sum();
    let wide: f64 = found.iter().map(away).map(|(x, _)| x * x).sum();
    along / wide
}

/// Which snapshot is in force.
fn version(admin: SocketAddr) -> Result<u64, String> {
    let text = fetch(admin).map_err(|error| error.to_string())?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("banyan_config_version "));
    let number = line.and_then(|number| number.trim().parse::<f64>().ok());
    number
        .map(|number| number as u64)
        .ok_or_else(|| "no version among the metrics".to_owned())
}

fn fetch(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(SWAP_MAX))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
