//! Programs that are started, watched and ended with all that they started themselves.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread::sleep,
    time::Duration,
};

use banyan::clock;

use super::account::tree;

/// Time for a program to listen.
const START_MAX: Duration = Duration::from_secs(15);
/// Time for a program to end by itself.
const END_MAX: Duration = Duration::from_secs(2);

/// Below the ports that the kernel gives to connections.
static NEXT_PORT: AtomicU16 = AtomicU16::new(21_000);

/// A port of 127.0.0.1 that nobody listens on.
pub(super) fn free_port() -> u16 {
    loop {
        let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "no port is free");
        if TcpListener::bind(local(port)).is_ok() {
            return port;
        }
    }
}

/// This port of 127.0.0.1.
pub(super) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A program that ends, with everything below it, when this is dropped, or this program ends however it may.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts `program` on these cores. What it says goes to the file, but with `speaks` its standard output is for
    /// [`Self::line`].
    pub(super) fn start(program: &Command, cores: &str, said: &Path, speaks: bool) -> io::Result<Self> {
        let log = File::create(said)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "taskset", "-c", cores]);
        command.arg(program.get_program()).args(program.get_args());
        command.envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        if let Some(folder) = program.get_current_dir() {
            command.current_dir(folder);
        }
        let out = if speaks {
            Stdio::piped()
        } else {
            log.try_clone()?.into()
        };
        let child = command
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        Ok(Self { child })
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says.
    pub(super) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        let out = self.child.stdout.as_mut().ok_or(io::ErrorKind::NotFound)?;
        BufReader::new(out).read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Waits until all these addresses take connections.
    pub(super) fn listens(&mut self, addresses: &[SocketAddr]) -> Result<(), String> {
        let began = clock::steady();
        for address in addresses {
            while TcpStream::connect_timeout(address, START_MAX).is_err() {
                if let Ok(Some(status)) = self.child.try_wait() {
                    return Err(format!("ended with {status}"));
                }
                if began.elapsed() > START_MAX {
                    return Err(format!("doesn't listen on {address}"));
                }
                sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let everyone = tree(self.child.id());
        signal("-TERM", &everyone);
        let began = clock::steady();
        while began.elapsed() < END_MAX && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(5));
        }
        let left: Vec<u32> = everyone
            .into_iter()
            .filter(|process| same_group(*process, self.child.id()))
            .collect();
        if !left.is_empty() {
            signal("-KILL", &left);
        }
        let _ = self.child.wait();
    }
}

/// Whether a process still is one of this group, and no other that got its number since.
fn same_group(process: u32, group: u32) -> bool {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let of = line
        .rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(2)?.parse().ok());
    of == Some(group)
}

fn signal(which: &str, processes: &[u32]) {
    let mut kill = Command::new("kill");
    kill.arg(which)
        .args(processes.iter().map(u32::to_string))
        .stderr(Stdio::null());
    let _ = kill.status();
}
