//! Half an hour of everything at once against the program itself: `cargo bench --bench soak -- --minutes 30`.
//!
//! The program runs as a process of its own over a site made for it: two cores, a self-made certificate, 200 routes, a flag, the
//! access log on. Backends are in this process: one that never fails, one that is restarted every few seconds, both speaking
//! HTTP/1.1 and HTTP/2. Clients come over TLS: kept and short connections, many streams, WebSockets, uploads, downloads, slow
//! ones, and those that go away in the middle. Meanwhile routes and flags are saved every few seconds and the log is rotated.
//!
//! Each ten seconds (more often in a short run) a line shows what the process holds. It has passed when
//! - nothing failed but requests to the backend that is restarted;
//! - after the first third, which warms it up, nothing grows: the median of the last third is at most that of the middle third
//!   plus a tenth and a small allowance ([`verdict::ALLOWANCES`]), for memory, descriptors, sockets and threads;
//! - within a minute after the load's end no socket is in CLOSE_WAIT, and no more descriptors are open than before it.
//!
//! Options: `--minutes N` (1 unless said otherwise), `--rate N` (small requests a second, 1,500).
#![expect(
    clippy::expect_used,
    reason = "a benchmark that can't begin has nothing to say"
)]

#[path = "soak/backends.rs"]
mod backends;
#[path = "soak/client.rs"]
mod client;
#[path = "soak/load.rs"]
mod load;
#[path = "soak/observed.rs"]
mod observed;
#[path = "soak/rude.rs"]
mod rude;
#[path = "soak/site.rs"]
mod site;
#[path = "soak/verdict.rs"]
mod verdict;

use std::{process::ExitCode, rc::Rc, time::Duration};

use banyan::clock;
use tokio::task::LocalSet;

use self::{
    backends::Backends,
    load::Load,
    observed::{Ports, Sample},
    site::Site,
};

/// Lines of a run at least: each third needs a few.
const SAMPLES_MIN: u32 = 18;
/// Time between two lines at most.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Time for what is under way at the load's end, and for idle connections to be closed.
const REST: Duration = Duration::from_secs(60);

/// What is asked for on the command line.
struct Options {
    minutes: f64,
    rate: f64,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        println!("usage: cargo bench --bench soak -- [--minutes N] [--rate N]");
        return ExitCode::from(2);
    };
    let backends = Backends::start();
    let mut site = Site::start(&backends);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let passed = LocalSet::new().block_on(&runtime, soak(&options, &mut site, &backends));
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// `None`: something else was said.
fn options() -> Option<Options> {
    let mut options = Options {
        minutes: 1.0,
        rate: 1_500.0,
    };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let number = words.next().and_then(|number| number.parse::<f64>().ok());
        let number = number.filter(|number| *number > 0.0)?;
        match word.as_str() {
            "--minutes" => options.minutes = number,
            "--rate" => options.rate = number,
            _ => return None,
        }
    }
    Some(options)
}

async fn soak(options: &Options, site: &mut Site, backends: &Backends) -> bool {
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    let each = SAMPLE_EVERY.min(length / SAMPLES_MIN);
    let load = Rc::new(Load::new(site, options.rate));
    load.first_request().await.expect("an answer to begin with");
    tokio::time::sleep(site::IDLE_TIMEOUT + Duration::from_secs(3)).await; // what that request opened closes again
    let ports = Ports {
        front: site.https.port(),
        back: vec![backends.steady.port(), backends.moody.port()],
    };
    let before = Sample::take(site.process(), &ports);
    println!("{}\n{}", Sample::HEADING, before.line("before"));
    let began = clock::steady();
    let tasks = load.start(site);
    let mut samples = Vec::new();
    while began.elapsed() < length {
        tokio::time::sleep(each).await;
        site.rotate_log();
        let sample = Sample::take(site.process(), &ports);
        println!("{} {}", sample.line(&seconds(began.elapsed())), load.tally());
        samples.push(sample);
        if site.has_ended() {
            println!("the program has ended: {}", site.said());
            return false;
        }
    }
    load.stop();
    for task in tasks {
        let _ = tokio::time::timeout(REST, task).await;
    }
    let ended = clock::steady();
    let mut after = Sample::take(site.process(), &ports);
    while !verdict::is_at_rest(&before, &after) && ended.elapsed() < REST {
        tokio::time::sleep(Duration::from_secs(1)).await;
        after = Sample::take(site.process(), &ports);
    }
    println!("{}", after.line(&format!("+{}", seconds(ended.elapsed()))));
    println!("{}", load.tally().whole());
    verdict::judge(&before, &samples, &after, &load.tally())
}

fn seconds(time: Duration) -> String {
    format!("{:.0} s", time.as_secs_f64())
}
