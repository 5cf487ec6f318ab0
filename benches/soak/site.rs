//! The site, and the program that serves it.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use banyan::clock;
use tempfile::TempDir;

use super::backends::Backends;

/// How long the router keeps an idle connection to a backend here, so that a run's end comes soon.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for the program to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

const OPERATOR: &str = r#"
hosts = ["localhost"]
cores = 2
[listen]
https = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
[log]
to = "access.log"
[limits]
head_timeout = "5s"
requests_per_connection_max = 5000
[squads.soak]
paths = ["/*"]
"#;

/// A program that serves; killed when dropped.
pub(super) struct Site {
    /// Where TLS is.
    pub(super) https: SocketAddr,
    child: Child,
    files: Files,
    folder: TempDir,
}

/// What is written anew while the program runs.
#[derive(Clone)]
pub(super) struct Files {
    folder: PathBuf,
    steady: SocketAddr,
    moody: SocketAddr,
}

impl Files {
    /// Saves routes and flag: version after version, each with other routes and another share.
    pub(super) fn save(&self, version: u32) {
        let mut routes = format!(
            "squad = \"soak\"\n[backends.steady]\nservers = [\"http://{}\"]\nidle_timeout = \"{secs}s\"\n\
             [backends.streams]\nservers = [\"h2c://{}\"]\nidle_timeout = \"{secs}s\"\n\
             [backends.moody]\nservers = [\"http://{moody}\", \"h2c://{moody}\"]\nidle_timeout = \"{secs}s\"\n\
             [backends.moody.health]\npath = \"/health\"\ninterval = \"1s\"\n",
            self.steady,
            self.steady,
            secs = IDLE_TIMEOUT.as_secs(),
            moody = self.moody,
        );
        for (path, backend) in [("/*", "steady"), ("/streams/*", "streams"), ("/moody/*", "moody")] {
            let _ = write!(routes, "[[routes]]\npath = \"{path}\"\nbackend = \"{backend}\"\n");
        }
        routes.push_str(
            "[[routes]]\npath = \"/flagged/{slug}\"\nflag = \"moving\"\n\
             backends = { old = \"steady\", new = \"streams\" }\n",
        );
        for page in 0..200 + version % 50 {
            let _ = write!(
                routes,
                "[[routes]]\npath = \"/page-{page}\"\nbackend = \"steady\"\n"
            );
        }
        let share = version % 100;
        let flag = format!(
            "squad = \"soak\"\nvariants = [\"old\", \"new\"]\ndefault = \"old\"\n[rollout]\nnew = {share}.0\n"
        );
        self.replace("routes/soak.toml", &routes);
        self.replace("flags/moving.toml", &flag);
    }

    fn replace(&self, file: &str, text: &str) {
        let (file, draft) = (self.folder.join(file), self.folder.join(format!("{file}.draft")));
        fs::write(&draft, text).expect("room for a file");
        fs::rename(&draft, &file).expect("a folder");
    }
}

impl Site {
    /// Writes the site and starts the program over it.
    pub(super) fn start(backends: &Backends) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        for name in ["routes", "flags"] {
            fs::create_dir(path.join(name)).expect("a folder");
        }
        fs::write(path.join("banyan.toml"), OPERATOR).expect("a file");
        let files = Files {
            folder: path.to_owned(),
            steady: backends.steady,
            moody: backends.moody,
        };
        files.save(0);
        let said = fs::File::create(path.join("said")).expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_banyan"))
            .args(["run", "--config", "banyan.toml"])
            .current_dir(path)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("the program");
        let https = listens(path, &mut child);
        Self {
            https,
            child,
            files,
            folder,
        }
    }

    /// Its number.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended, which it should not.
    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// The files that may be saved anew.
    pub(super) fn files(&self) -> Files {
        self.files.clone()
    }

    /// The authority that signed its certificate.
    pub(super) fn authority(&self) -> PathBuf {
        self.folder.path().join("state/dev-ca/ca.pem")
    }

    /// The last of what it said.
    pub(super) fn said(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Moves the access log away, as a rotation does, and throws it away.
    pub(super) fn rotate_log(&self) {
        let log = self.folder.path().join("access.log");
        let aside = self.folder.path().join("access.log.1");
        if fs::rename(&log, &aside).is_ok() {
            self.signal("USR1");
            let _ = fs::remove_file(aside);
        }
    }

    fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &process]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "the program takes signals"
        );
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the program says where it listens.
fn listens(folder: &Path, child: &mut Child) -> SocketAddr {
    let began = clock::steady();
    loop {
        let said = fs::read_to_string(folder.join("said")).unwrap_or_default();
        let after = said.split_once("https=\"").map(|(_, after)| after);
        if let Some((address, _)) = after.and_then(|after| after.split_once('"')) {
            return address.parse().expect("an address");
        }
        let ended = child.try_wait().expect("a child").is_some();
        assert!(
            !ended && began.elapsed() < PATIENCE,
            "the program does not serve: {said}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
