//! What a process holds, as `/proc` tells it: memory, descriptors, sockets by state, threads, time.

use std::{collections::BTreeMap, fmt::Write as _, fs};

/// The ports that tell the process's sockets from others.
pub(super) struct Ports {
    /// Its listener.
    pub(super) front: u16,
    /// Its backends.
    pub(super) back: Vec<u16>,
}

/// What it holds at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub(super) rss_kib: u64,
    pub(super) pss_kib: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
    /// Towards clients, by state.
    pub(super) front: Sockets,
    /// Towards backends, by state.
    pub(super) back: Sockets,
    /// CPU time so far, in hundredths of a second.
    pub(super) ticks: u64,
}

/// Sockets by state.
pub(super) type Sockets = BTreeMap<&'static str, u64>;

/// Their names, by the kernel's number (include/net/tcp_states.h).
const STATES: [&str; 12] = [
    "?",
    "EST",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
];

impl Sample {
    /// Stands above lines.
    pub(super) const HEADING: &str =
        "    time   RSS MiB   PSS MiB   fds  threads  CPU s  sockets to clients | to backends";

    /// Looks at a process that lives.
    pub(super) fn take(process: u32, ports: &Ports) -> Self {
        let text = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
        let memory = text("smaps_rollup");
        let kib = |name: &str| {
            let mut lines = memory.lines().filter_map(|line| line.strip_prefix(name));
            lines.next().and_then(number).unwrap_or_default()
        };
        let count = |name: &str| {
            let entries = fs::read_dir(format!("/proc/{process}/{name}"));
            entries.map_or(0, |entries| entries.count() as u64)
        };
        let stat = text("stat");
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields.split_whitespace().skip(11).take(2).filter_map(number);
        let mut sample = Self {
            rss_kib: kib("Rss:"),
            pss_kib: kib("Pss:"),
            descriptors: count("fd"),
            threads: count("task"),
            ticks: ticks.sum(),
            ..Self::default()
        };
        sample.count_sockets(&text("net/tcp"), ports);
        sample
    }

    fn count_sockets(&mut self, table: &str, ports: &Ports) {
        for line in table.lines().skip(1) {
            let mut words = line.split_whitespace().skip(1);
            let (Some(near), Some(far), Some(state)) = (
                words.next().and_then(port),
                words.next().and_then(port),
                words
                    .next()
                    .and_then(|state| usize::from_str_radix(state, 16).ok()),
            ) else {
                continue;
            };
            let sockets = if near == ports.front {
                &mut self.front
            } else if ports.back.contains(&far) {
                &mut self.back
            } else {
                continue;
            };
            *sockets
                .entry(STATES.get(state).copied().unwrap_or("?"))
                .or_default() += 1;
        }
    }

    /// Sockets of a state, on both sides.
    pub(super) fn sockets(&self, state: &str) -> u64 {
        let of = |sockets: &Sockets| sockets.get(state).copied().unwrap_or_default();
        of(&self.front) + of(&self.back)
    }

    /// A line of the table.
    pub(super) fn line(&self, time: &str) -> String {
        let mib = |kib: u64| kib as f64 / 1024.0;
        let mut line = format!(
            "{time:>8} {:>9.1} {:>9.1} {:>5} {:>8} {:>6.1}  ",
            mib(self.rss_kib),
            mib(self.pss_kib),
            self.descriptors,
            self.threads,
            self.ticks as f64 / 100.0
        );
        for (state, count) in &self.front {
            let _ = write!(line, "{state} {count} ");
        }
        line.push('|');
        for (state, count) in &self.back {
            let _ = write!(line, " {state} {count}");
        }
        line
    }
}

/// The first number of a text.
fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The port of `0100007F:1F90`.
fn port(address: &str) -> Option<u16> {
    u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok()
}
