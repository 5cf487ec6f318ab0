//! The router as a process, put over the backends and files of a world that was not started.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    backend::Server,
    client::{self, Client, Http, until},
    world::{Builder, World},
};

/// The router as a program of its own, for what only a process has: memory, signals, an exit status. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    /// Where its https listener is.
    pub https: SocketAddr,
    /// Where its private listener is.
    pub private: SocketAddr,
    /// Where its admin listener is.
    pub admin: SocketAddr,
    child: std::process::Child,
    /// The router's own process: the child, or the child's child.
    pid: u32,
    site: Builder,
}

impl Program {
    /// Writes the files and starts `banyan run` on them.
    pub async fn start(site: Builder) -> Self {
        let config = site.write();
        let mut command = Command::new(env!("CARGO_BIN_EXE_banyan"));
        let child = command.args(["run", "--config"]).arg(&config);
        Self::spawn(child, site).await.expect("it serves")
    }

    /// As [`Program::start`], with its system calls written to `trace` by strace, each line beginning with the thread.
    ///
    /// # Errors
    /// There is no strace, or it may not trace.
    pub async fn start_traced(site: Builder, trace: &Path) -> io::Result<Self> {
        let config = site.write();
        let mut command = Command::new("strace");
        let child = command
            .args(["-f", "-qq", "-e", "signal=none", "-o"])
            .arg(trace)
            .arg(env!("CARGO_BIN_EXE_banyan"))
            .args(["run", "--config"])
            .arg(&config);
        let mut program = Self::spawn(child, site).await?;
        let lines = fs::read_to_string(trace)?;
        program.pid = lines.split_whitespace().next().unwrap().parse().unwrap();
        Ok(program)
    }

    async fn spawn(command: &mut Command, site: Builder) -> io::Result<Self> {
        let said: PathBuf = site.folder().join("log/stderr");
        let mut child = command
            .env("NO_COLOR", "1")
            .stderr(fs::File::create(&said)?)
            .spawn()?;
        let (mut text, mut ended) = (String::new(), None);
        until("the program's word that it serves", async || {
            ended = child.try_wait().unwrap();
            text = fs::read_to_string(&said).unwrap();
            ended.is_some() || text.contains("https=\"")
        })
        .await;
        if let Some(status) = ended {
            return Err(io::Error::other(format!("{status}: {text}")));
        }
        let listener = |name: &str| {
            let (_, after) = text.split_once(&format!("{name}=\""))?;
            after.split_once('"')?.0.parse().ok()
        };
        Ok(Self {
            https: listener("https").unwrap(),
            private: listener("private").unwrap(),
            admin: listener("admin").unwrap(),
            pid: child.id(),
            child,
            site,
        })
    }

    /// A new connection to its https listener.
    pub async fn client(&self, http: Http) -> Client {
        let tls = client::tls(self.https, &self.site.folder().join("state/dev-ca/ca.pem"), http).await;
        Client::over(tls, http, "https", format!("localhost:{}", self.https.port())).await
    }

    /// A new HTTP/1.1 connection to its private listener.
    pub async fn private(&self) -> Client {
        let tcp = client::tcp(self.private).await;
        Client::over(
            tcp,
            Http::One,
            "http",
            format!("localhost:{}", self.private.port()),
        )
        .await
    }

    /// The number of the thread that has given itself that name.
    pub async fn thread(&self, name: &str) -> u32 {
        let mut found = None;
        until("a thread of that name", async || {
            let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
            let mut named = tasks.flatten().filter(|task| {
                let comm = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
                comm.trim_end() == name
            });
            found = named.next();
            found.is_some()
        })
        .await;
        found.unwrap().file_name().to_str().unwrap().parse().unwrap()
    }

    /// As [`World::backend`].
    pub fn backend(&self, name: &str) -> &Server {
        self.site.server_of(name)
    }

    /// A line of `/proc/<pid>/status` in bytes: `VmRSS` (memory now), `VmHWM` (the most so far).
    pub fn memory(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }

    /// Its share of memory in bytes, each shared page divided by who shares it.
    pub fn pss(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).unwrap();
        let line = rollup.lines().find_map(|text| text.strip_prefix("Pss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Descriptors that it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap().count()
    }

    /// Writes a file of the site, whole. The router notices by itself.
    pub fn write(&self, file: &str, text: &str) {
        let file = self.site.folder().join(file);
        let draft = file.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, &file).unwrap();
    }

    /// The text of a file of the site.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.site.folder().join(file)).unwrap()
    }

    /// Sends a signal by its name, as `kill` does.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.args(["-s", name, &self.pid.to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// The site's folder.
    pub fn folder(&self) -> &Path {
        self.site.folder()
    }

    /// Kills it, as a machine that stops would, and starts it again on the same files, with its private listener at the same address.
    pub async fn killed_and_started_again(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let config = self.site.folder().join("banyan.toml");
        let text = fs::read_to_string(&config).unwrap();
        let address = format!("private = [\"{}\"]", self.private);
        fs::write(&config, text.replace("private = [\"127.0.0.1:0\"]", &address)).unwrap();
        let site = std::mem::replace(&mut self.site, World::new());
        drop(self);
        let mut command = Command::new(env!("CARGO_BIN_EXE_banyan"));
        let command = command.args(["run", "--config"]).arg(&config);
        Self::spawn(command, site).await.expect("it serves")
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
        if self.pid != self.child.id() {
            self.signal("KILL"); // it would outlive whoever traces it
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
