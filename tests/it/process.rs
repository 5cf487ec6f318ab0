//! The router as a process, put over the backends and files of a world that was not started.

use std::{fs, net::SocketAddr};

use crate::{
    backend::Server,
    client::{self, Client, Http, until},
    world::Builder,
};

/// The router as a program of its own, for what only a process has: memory, signals, an exit status. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    /// Where its https listener is.
    pub https: SocketAddr,
    child: std::process::Child,
    site: Builder,
}

impl Program {
    /// Writes the files and starts `banyan run` on them.
    pub async fn start(site: Builder) -> Self {
        let path = site.write();
        let said = site.folder().join("log/stderr");
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_banyan"))
            .args(["run", "--config"])
            .arg(&path)
            .env("NO_COLOR", "1")
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let mut https = None;
        until("the program's word that it serves", async || {
            let said = fs::read_to_string(&said).unwrap();
            let after = said.split_once("https=\"").map(|(_, after)| after.to_owned());
            https = after.and_then(|after| after.split_once('"')?.0.parse().ok());
            https.is_some()
        })
        .await;
        Self {
            https: https.unwrap(),
            child,
            site,
        }
    }

    /// A new connection to its https listener.
    pub async fn client(&self, http: Http) -> Client {
        let tls = client::tls(self.https, &self.site.folder().join("state/dev-ca/ca.pem"), http).await;
        Client::over(tls, http, "https", format!("localhost:{}", self.https.port())).await
    }

    /// As [`World::backend`].
    pub fn backend(&self, name: &str) -> &Server {
        self.site.server_of(name)
    }

    /// A line of `/proc/<pid>/status` in bytes: `VmRSS` (memory now), `VmHWM` (the most so far).
    pub fn memory(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }

    /// Sends a signal by its name, as `kill` does.
    pub fn signal(&self, name: &str) {
        let mut kill = std::process::Command::new("kill");
        let sent = kill
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended; its exit status.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut code = None;
        until("the program's end", async || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        })
        .await;
        code.unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
