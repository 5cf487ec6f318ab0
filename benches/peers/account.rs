//! What a tree of processes has used: CPU time by thread, and memory.

use std::{collections::BTreeMap, fs};

/// Length of one tick of `/proc/PID/stat`, in microseconds: Linux says 100 a second to programs on every machine.
const TICK_MICROS: u64 = 10_000;

/// CPU time of a process and all that it started, until now.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// By process: user and system, in microseconds, dead threads included, to a tick each.
    processes: BTreeMap<u32, (u64, u64)>,
    /// By process and thread, in nanoseconds, exact.
    threads: BTreeMap<(u32, u32), u64>,
}

/// The difference of two accounts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    /// User and system time, in microseconds.
    pub(super) micros: f64,
    /// Which part of it was system time, to a tick.
    pub(super) system_share: f64,
    /// The part that the busiest thread had.
    pub(super) busiest_share: f64,
}

impl Account {
    /// Reads `/proc` for `root` and everything below it.
    pub(super) fn of(root: u32) -> Self {
        let mut account = Self::default();
        for process in tree(root) {
            account.threads.extend(
                threads(process)
                    .into_iter()
                    .filter_map(|thread| Some(((process, thread), nanos(process, thread)?))),
            );
            if let Some(ticks) = ticks(process) {
                account.processes.insert(process, ticks);
            }
        }
        account
    }

    /// What was used since `before`. A process none of whose threads ended in between is counted exactly, another by ticks.
    pub(super) fn since(&self, before: &Self) -> Spent {
        let (mut nanos, mut busiest, mut user, mut system) = (0, 0, 0, 0);
        for (process, ticks) in &self.processes {
            let earlier = before.processes.get(process).copied().unwrap_or_default();
            let by_ticks = (ticks.0 - earlier.0, ticks.1 - earlier.1);
            user += by_ticks.0;
            system += by_ticks.1;
            let of_process = (*process, 0)..=(*process, u32::MAX);
            let complete = before
                .threads
                .range(of_process.clone())
                .all(|(thread, _)| self.threads.contains_key(thread));
            if complete {
                for (thread, now) in self.threads.range(of_process) {
                    let used = now - before.threads.get(thread).copied().unwrap_or_default().min(*now);
                    nanos += used;
                    busiest = busiest.max(used);
                }
            } else {
                nanos += (by_ticks.0 + by_ticks.1) * 1000;
            }
        }
        let share = |part: u64, whole: u64| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        Spent {
            micros: nanos as f64 / 1000.0,
            system_share: share(system, user + system),
            busiest_share: share(busiest, nanos),
        }
    }
}

/// Memory of a tree of processes, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    /// Proportional set size: what several processes share is counted once.
    pub(super) proportional: u64,
    /// The largest resident set that each has had, added up.
    pub(super) peak: u64,
}

impl Memory {
    /// Reads it, and lets the largest resident sets be counted anew.
    pub(super) fn from_now_on(root: u32) -> Self {
        let memory = Self::of(root);
        for process in tree(root) {
            // 5 is "reset the peak" (man 5 proc_pid_clear_refs); a process that has just ended needs none
            let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
        }
        memory
    }

    /// Reads `/proc` for `root` and everything below it.
    pub(super) fn of(root: u32) -> Self {
        let mut memory = Self::default();
        for process in tree(root) {
            memory.proportional += kibibytes(&format!("/proc/{process}/smaps_rollup"), "Pss:") * 1024;
            memory.peak += kibibytes(&format!("/proc/{process}/status"), "VmHWM:") * 1024;
        }
        memory
    }
}

/// A process and all below it.
pub(super) fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(process) = found.get(at).copied() {
        for thread in threads(process) {
            let children = fs::read_to_string(format!("/proc/{process}/task/{thread}/children"));
            let children = children.unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        at += 1;
    }
    found
}

fn threads(process: u32) -> Vec<u32> {
    let Ok(folder) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    let names = folder.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

fn nanos(process: u32, thread: u32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).ok()?;
    line.split_whitespace().next()?.parse().ok()
}

fn ticks(process: u32) -> Option<(u64, u64)> {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = line.rsplit_once(')')?; // the name before it may hold anything
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || {
        fields
            .next()?
            .parse::<u64>()
            .ok()
            .map(|ticks| ticks * TICK_MICROS)
    };
    Some((next()?, next()?))
}

fn kibibytes(path: &str, field: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}
