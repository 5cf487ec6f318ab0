//! Runs the built program, and waits for it with a deadline.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

/// How long the program may take to start, or to end when it is asked to.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None`: a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// The program with `arguments`, in `folder`.
pub fn banyan(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_banyan"));
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env_remove("BANYAN_CONFIG")
        .env_remove("BANYAN_LOG");
    command
}

/// Runs it to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let output = banyan(folder, arguments).output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A program that serves; killed when dropped.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    /// What it has printed until it was ready.
    pub card: String,
}

impl Serving {
    /// Starts it and reads its standard output up to a line that holds `ready`.
    pub fn start(folder: &Path, arguments: &[&str], ready: &'static str) -> Self {
        let mut child = banyan(folder, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let (send, card) = mpsc::channel();
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            let mut text = String::new();
            while !text.lines().last().is_some_and(|line| line.contains(ready)) {
                if out.read_line(&mut text).unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = send.send(text);
            let _ = out.read_to_string(&mut String::new()); // the access log, which nobody reads
        });
        let card = card.recv_timeout(PATIENCE).expect("the program starts in time");
        let mut serving = Self { child, card };
        if !serving.card.contains(ready) {
            let errors = serving.errors();
            panic!("it said: {}\n{errors}", serving.card);
        }
        serving
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended.
    pub fn ended(mut self) -> ExitStatus {
        let began = banyan::clock::steady();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            let waited = banyan::clock::steady().saturating_duration_since(began);
            assert!(waited < PATIENCE, "it did not end in {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn errors(&mut self) -> String {
        let _ = self.child.kill();
        let mut text = String::new();
        if let Some(mut err) = self.child.stderr.take() {
            let _ = err.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
