//! Every program that is compared: where it is found, how it is configured, how it is started.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    process::{Process, free_port, local},
    relay::Relay,
    site,
};

/// A program that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// What tables call it.
    pub(super) name: &'static str,
    program: Program,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Banyan,
    Relay,
    /// nginx, by the place of its program.
    Nginx(&'static str),
    /// HAProxy, by the place of its program.
    Haproxy(&'static str),
    H2o,
    Nghttpx,
    Envoy,
    Caddy,
    Pingora,
    /// Varnish with hitch for TLS: for works about caches alone.
    Varnish,
}

/// The product.
pub(super) const BANYAN: Peer = Peer {
    name: "banyan",
    program: Program::Banyan,
};

/// The floor: no peer, and it speaks no HTTP.
pub(super) const RELAY: Peer = Peer {
    name: "relay",
    program: Program::Relay,
};

/// All programs, in the order in which they take turns. A relative place is below the cache folder.
pub(super) const ALL: [Peer; 12] = [
    BANYAN,
    RELAY,
    of("nginx", Program::Nginx("/usr/sbin/nginx")),
    of("nginx-aws-lc", Program::Nginx("nginx/nginx")),
    of("haproxy", Program::Haproxy("/usr/sbin/haproxy")),
    of("haproxy-aws-lc", Program::Haproxy("haproxy/haproxy")),
    of("h2o", Program::H2o),
    of("nghttpx", Program::Nghttpx),
    of("envoy", Program::Envoy),
    of("caddy", Program::Caddy),
    of("pingora", Program::Pingora),
    of("varnish", Program::Varnish),
];

const fn of(name: &'static str, program: Program) -> Peer {
    Peer { name, program }
}

/// What all programs are given alike.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) backend: SocketAddr,
    pub(super) cache: PathBuf,
    pub(super) banyan: PathBuf,
    /// A folder that is removed at the end; certificate and key are in it.
    pub(super) folder: PathBuf,
    /// The size of Banyan's site.
    pub(super) size: site::Size,
}

/// A program that listens.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) tls: SocketAddr,
    pub(super) plain: SocketAddr,
    pub(super) admin: SocketAddr,
    /// Its own folder.
    pub(super) folder: PathBuf,
    process: Process,
}

impl Running {
    /// The first of its processes.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Peer {
    /// Starts it with this many threads or workers on these cores. Why it can't be is for people.
    pub(super) fn start(self, around: &Surroundings, workers: usize, cores: &str) -> Result<Running, String> {
        let folder = around.folder.join(format!("{}-{}", self.name, free_port()));
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let [tls, plain, admin] = [free_port(), free_port(), free_port()];
        let place = Place {
            around,
            folder: folder.clone(),
            tls,
            plain,
            admin,
            workers,
        };
        let command = place.command(self.program)?;
        let said = folder.join("said");
        let mut process = Process::start(&command, cores, &said, false).map_err(|error| error.to_string())?;
        let addresses = [local(tls), local(plain)];
        process.listens(&addresses).map_err(|why| {
            let said = fs::read_to_string(&said).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(3).collect();
            format!("{why}: {}", last.join(" | "))
        })?;
        Ok(Running {
            tls: addresses[0],
            plain: addresses[1],
            admin: local(admin),
            folder,
            process,
        })
    }

    /// Whether it has a part in works about caches, or in all others.
    pub(super) const fn has_part(self, in_caches: bool) -> bool {
        match self.program {
            Program::Varnish => in_caches,
            Program::Banyan | Program::Nginx(_) => true,
            _ => !in_caches,
        }
    }

    /// What it says of its own version, in a line.
    pub(super) fn version(self, around: &Surroundings) -> String {
        let (program, argument) = match self.program {
            Program::Relay => return locked(include_str!("../../Cargo.lock"), "rustls"),
            Program::Banyan => (around.banyan.clone(), "--version"),
            Program::Pingora => return locked(include_str!("pingora/Cargo.lock"), "pingora"),
            Program::Nginx(place) => (around.cache.join(place), "-V"),
            Program::Haproxy(place) => (around.cache.join(place), "-vv"),
            Program::H2o => (PathBuf::from("h2o"), "--version"),
            Program::Nghttpx => (PathBuf::from("nghttpx"), "--version"),
            Program::Envoy => (around.cache.join(ENVOY), "--version"),
            Program::Caddy => (around.cache.join(CADDY), "version"),
            Program::Varnish => (around.cache.join(VARNISH).join("usr/sbin/varnishd"), "-V"),
        };
        let mut command = Command::new(program);
        if self.program == Program::Varnish {
            command.env("LD_LIBRARY_PATH", libraries(around));
        }
        let Ok(output) = command.arg(argument).output() else {
            return "none".to_owned();
        };
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let lines = said.lines().filter(|line| !line.trim().is_empty());
        let telling = lines.enumerate().filter(|(at, line)| {
            *at == 0
                || line.starts_with("built with")
                || line.starts_with("Running on OpenSSL")
                || line.starts_with("OpenSSL:")
        });
        let short = |line: &str| {
            line.rsplit_once("version: ")
                .map_or(line, |(_, version)| version)
                .trim()
                .to_owned()
        };
        telling
            .map(|(_, line)| short(line))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

const ENVOY: &str = "envoy/envoy/_bin/envoy";
const CADDY: &str = "caddy/bin/caddy";
const VARNISH: &str = "varnish";
const PINGORA: &str = "pingora/release/pingora-peer";

/// Where one program runs.
struct Place<'a> {
    around: &'a Surroundings,
    folder: PathBuf,
    tls: u16,
    plain: u16,
    admin: u16,
    workers: usize,
}

impl Place<'_> {
    fn command(&self, program: Program) -> Result<Command, String> {
        let (cache, workers) = (&self.around.cache, self.workers.to_string());
        let below = |name: &str| self.folder.join(name).display().to_string();
        match program {
            Program::Banyan => {
                let operator = self.filled(include_str!("configs/banyan.toml"));
                site::write(&self.folder, &operator, self.around, self.around.size)
                    .map_err(|error| error.to_string())?;
                run(&self.around.banyan, ["run", "--config", &below("banyan.toml")])
            }
            Program::Relay => {
                let own = std::env::current_exe().map_err(|error| error.to_string())?;
                run(&own, ["relay", &self.relay()?])
            }
            Program::Nginx(place) => {
                let config = self.write("nginx.conf", include_str!("configs/nginx.conf"))?;
                run(
                    &cache.join(place),
                    ["-p", &below(""), "-c", &config, "-e", &below("error.log")],
                )
            }
            Program::Haproxy(place) => {
                let config = self.write("haproxy.cfg", include_str!("configs/haproxy.cfg"))?;
                run(&cache.join(place), ["-db", "-f", &config])
            }
            Program::H2o => {
                let config = self.write("h2o.conf", include_str!("configs/h2o.conf"))?;
                run(Path::new("/usr/bin/h2o"), ["-c", &config])
            }
            Program::Nghttpx => {
                let config = self.write("nghttpx.conf", include_str!("configs/nghttpx.conf"))?;
                run(Path::new("/usr/sbin/nghttpx"), [&*format!("--conf={config}")])
            }
            Program::Envoy => {
                let config = self.write("envoy.yaml", include_str!("configs/envoy.yaml"))?;
                let quiet = ["--disable-hot-restart", "--log-level", "error"];
                run(
                    &cache.join(ENVOY),
                    ["-c", &config, "--concurrency", &workers]
                        .into_iter()
                        .chain(quiet),
                )
            }
            Program::Caddy => {
                let config = self.write("Caddyfile", include_str!("configs/Caddyfile"))?;
                let mut command = run(
                    &cache.join(CADDY),
                    ["run", "--adapter", "caddyfile", "--config", &config],
                )?;
                command.env("GOMAXPROCS", &workers).env("HOME", &self.folder);
                Ok(command)
            }
            Program::Varnish => self.varnish(),
            Program::Pingora => {
                let addresses = [local(self.tls), local(self.plain), self.around.backend];
                let mut command = run(&cache.join(PINGORA), [])?;
                command.args(addresses.map(|address| address.to_string()));
                command
                    .arg(self.around.certificate())
                    .arg(self.around.key())
                    .arg(&workers);
                Ok(command)
            }
        }
    }

    /// One shell with both: hitch takes TLS off and passes bytes on, with the client's address before them.
    fn varnish(&self) -> Result<Command, String> {
        let root = self.around.cache.join(VARNISH);
        let program = root.join("usr/sbin/varnishd");
        if !program.exists() {
            return Err(format!("not installed: no {}", program.display()));
        }
        let rules = self.write("varnish.vcl", include_str!("configs/varnish.vcl"))?;
        let hitch = self.write("hitch.conf", include_str!("configs/hitch.conf"))?;
        let (plain, inner) = (local(self.plain), local(self.admin));
        let (program, root, folder) = (program.display(), root.display(), self.folder.display());
        let script = format!(
            "{program} -F -n {folder}/varnish -j none -T none -a {plain} -a {inner},PROXY -f {rules} -s malloc,256m \
             -p vmod_path={root}/usr/lib/x86_64-linux-gnu/varnish/vmods -p feature=+http2 -p timeout_idle=300 \
             -p thread_pools=1 -p thread_pool_min=100 -p thread_pool_max=1000 & \
             exec {root}/usr/sbin/hitch --config={hitch}"
        );
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &script])
            .env("LD_LIBRARY_PATH", libraries(self.around));
        Ok(command)
    }

    fn relay(&self) -> Result<String, String> {
        let relay = Relay {
            tls: local(self.tls),
            plain: local(self.plain),
            backend: self.around.backend,
            certificate: self.around.certificate(),
            key: self.around.key(),
            threads: self.workers,
        };
        serde_json::to_string(&relay).map_err(|error| error.to_string())
    }

    fn write(&self, name: &str, template: &str) -> Result<String, String> {
        let path = self.folder.join(name);
        fs::write(&path, self.filled(template)).map_err(|error| error.to_string())?;
        Ok(path.display().to_string())
    }

    fn filled(&self, template: &str) -> String {
        let around = self.around;
        let text = |path: PathBuf| path.display().to_string();
        [
            ("@CORES@", self.workers.to_string()),
            ("@FOLDER@", text(self.folder.clone())),
            ("@CERT@", text(around.certificate())),
            ("@KEY@", text(around.key())),
            ("@PAIR@", text(around.pair())),
            ("@TLS@", self.tls.to_string()),
            ("@PLAIN@", self.plain.to_string()),
            ("@ADMIN@", self.admin.to_string()),
            ("@BACKEND@", around.backend.to_string()),
            ("@BACKEND_PORT@", around.backend.port().to_string()),
        ]
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
    }
}

/// Where Varnish's own libraries are.
fn libraries(around: &Surroundings) -> String {
    let folder = around.cache.join(VARNISH).join("usr/lib/x86_64-linux-gnu");
    format!("{0}:{0}/varnish", folder.display())
}

impl Surroundings {
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// Certificate and key in one file.
    pub(super) fn pair(&self) -> PathBuf {
        self.folder.join("pair.pem")
    }
}

/// The version of a library in a `Cargo.lock`.
fn locked(lock: &str, name: &str) -> String {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let version = lock.split(&entry).nth(1).and_then(|rest| rest.split('"').next());
    format!("{name} {}", version.unwrap_or_default())
}

fn run<'a>(program: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Result<Command, String> {
    if !program.exists() {
        return Err(format!("not installed: no {}", program.display()));
    }
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}
