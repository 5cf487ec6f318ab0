//! What the system says about this process: processor, memory, descriptors, sockets by state. Linux's `/proc`, read at a scrape only.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::{BufRead, BufReader},
};

use super::metrics::{Family, Series};

/// Clock ticks in a second as `/proc` counts them: `USER_HZ`, the same on all of Linux's ABIs that Rust knows.
const TICKS_PER_SECOND: f64 = 100.0;
/// Descriptors that are looked at.
const FDS_MAX: usize = 200_000;
/// Lines of a socket table that are looked at.
const SOCKET_LINES_MAX: usize = 400_000;

/// The states of a TCP socket, as the kernel numbers them from 1 (`include/net/tcp_states.h`).
const STATES: [&str; 12] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "new_syn_recv",
];

/// All of it, as series. What can't be read is left out. It reads files, so not on a core.
#[must_use]
pub fn read() -> Vec<(Series, f64)> {
    let mut all = Vec::with_capacity(24);
    let mut put = |family, value: Option<f64>| {
        if let Some(value) = value {
            all.push((Series::new(family, &[]), value));
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
    put(Family::ProcessCpu, cpu_seconds(&stat));
    put(Family::ProcessResident, status_bytes(&status, "VmRSS:"));
    put(Family::ProcessVirtual, status_bytes(&status, "VmSize:"));
    put(Family::ProcessThreads, status_number(&status, "Threads:"));
    put(Family::ProcessFdsMax, fds_max(&limits));
    put(Family::ProcessStart, start_seconds(&stat, &machine));
    let (fds, inodes) = descriptors();
    put(Family::ProcessFdsOpen, fds);
    let states = sockets(&inodes);
    all.extend(states.map(|(state, count)| (Series::new(Family::Sockets, &[state]), count)));
    all
}

/// Fields of `/proc/self/stat` after the command, which may hold spaces and brackets; the first of them is field 3.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(number - 3)?.trim().parse().ok()
}

/// User and system time, fields 14 and 15.
fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

/// Field 22 counts from the boot, which `/proc/stat` tells.
fn start_seconds(stat: &str, machine: &str) -> Option<f64> {
    let boot = machine.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn status_number(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn status_bytes(status: &str, name: &str) -> Option<f64> {
    status_number(status, name).map(|kib| kib * 1024.0)
}

fn fds_max(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok() // `unlimited` is no number, and is not shown
}

/// How many descriptors are open, and the inodes of those that are sockets.
fn descriptors() -> (Option<f64>, HashSet<u64>) {
    let mut inodes = HashSet::new();
    let mut count = 0_u32;
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return (None, inodes);
    };
    for entry in entries.flatten().take(FDS_MAX) {
        count += 1;
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let inode = target
            .to_str()
            .and_then(|name| name.strip_prefix("socket:["))
            .and_then(|name| name.strip_suffix(']'))
            .and_then(|inode| inode.parse::<u64>().ok());
        inodes.extend(inode);
    }
    let own = 1; // the folder that was just read
    (Some(f64::from(count.saturating_sub(own))), inodes)
}

/// Our TCP sockets by state. Those that wait out their time (`time_wait`) belong to no process any more.
fn sockets(inodes: &HashSet<u64>) -> impl Iterator<Item = (&'static str, f64)> + use<> {
    let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let Ok(file) = fs::File::open(table) else {
            continue;
        };
        for line in BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            .take(SOCKET_LINES_MAX)
        {
            if let Some((state, inode)) = socket_line(&line)
                && inodes.contains(&inode)
            {
                *counts.entry(state).or_default() += 1;
            }
        }
    }
    STATES
        .into_iter()
        .enumerate()
        .map(move |(at, name)| (name, f64::from(counts.get(&(at + 1)).copied().unwrap_or(0))))
}

/// State and inode of a line of `/proc/net/tcp`: fields 4 and 10.
fn socket_line(line: &str) -> Option<(usize, u64)> {
    let mut fields = line.split_whitespace();
    let state = usize::from_str_radix(fields.nth(3)?, 16).ok()?;
    Some((state, fields.nth(5)?.parse().ok()?))
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
