//! A world in a temporary folder: files as an operator and squads write them, backends, and the router over them.
//!
//! ```ignore
//! let world = World::new()
//!     .backend("legacy", hello("old"))                        // [backends.legacy], and everything leads there
//!     .backend("new", mirror).settings("new", "first_byte_timeout = \"300ms\"")
//!     .routes("[[routes]]\npath = \"/new/*\"\nbackend = \"new\"\n…")   // instead of the default routes
//!     .flag("moving", "[flags.moving]…")                      // flags/moving.toml
//!     .operator("[limits]\nhead_timeout = \"200ms\"")         // banyan.toml, after what is there
//!     .start()
//!     .await;
//! let answer = world.client(Http::Two).await.get("/").await;
//! let line = world.logged(|line| line["path"] == "/").await;
//! ```
//! All ports are free ones of 127.0.0.1. When the world is dropped, the router is told to stop and joined, and the backends and
//! the folder are gone.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use banyan::{
    control::{plane::Handle, status::Status},
    serve::{Addresses, Running, StartError},
};
use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    backend::{Body, CA, Server, Speaks},
    client::{self, Answer, Client, Http, Raw, Wire, until},
};

/// How long anything may take before a test says that it doesn't work.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Waits for `future` for [`PATIENCE`], and fails the test by the name of what it waited for.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("never came: {what}"),
    }
}

/// A running router with its files and backends.
#[derive(Debug)]
pub struct World {
    /// Where the router listens.
    pub addresses: Addresses,
    plane: Handle,
    running: Option<Running>,
    backends: BTreeMap<String, Server>,
    folder: TempDir,
}

/// What a world will be.
#[derive(Debug)]
pub struct Builder {
    folder: TempDir,
    operator: String,
    backends: Vec<(String, Vec<String>, String)>,
    servers: BTreeMap<String, Server>,
    routes: String,
    squads: Vec<(String, String)>,
    flags: Vec<(String, String)>,
    listen: String,
    hosts: String,
    top: String,
}

impl World {
    /// A world without backends, routes and flags.
    #[expect(clippy::new_ret_no_self, reason = "it reads as the beginning of a sentence")]
    pub fn new() -> Builder {
        Builder {
            folder: tempfile::tempdir().unwrap(),
            operator: String::new(),
            backends: Vec::new(),
            servers: BTreeMap::new(),
            routes: String::new(),
            squads: Vec::new(),
            flags: Vec::new(),
            listen: "https = [\"127.0.0.1:0\"]\nhttp = [\"127.0.0.1:0\"]\n\
                     private = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n"
                .to_owned(),
            hosts: "[\"localhost\"]".to_owned(),
            top: String::new(),
        }
    }

    /// A new connection to the https listener.
    pub async fn client(&self, http: Http) -> Client {
        let tls = client::tls(self.https(), &self.ca(), http).await;
        Client::over(tls, http, "https", self.authority()).await
    }

    /// A new connection to the private listener; `Http::Two` is h2c.
    pub async fn private(&self, http: Http) -> Client {
        let address = self.addresses.private[0];
        Client::over(
            client::tcp(address).await,
            http,
            "http",
            format!("localhost:{}", address.port()),
        )
        .await
    }

    /// A new HTTP/1.1 connection to the http listener.
    pub async fn plain(&self) -> Client {
        let address = self.addresses.http[0];
        Client::over(
            client::tcp(address).await,
            Http::One,
            "http",
            format!("localhost:{}", address.port()),
        )
        .await
    }

    /// A new connection to the https listener for raw bytes, `http/1.1` or `h2` agreed on.
    pub async fn raw(&self, http: Http) -> Raw {
        let tls = client::tls(self.https(), &self.ca(), http).await;
        Raw {
            wire: Wire::Tls(Box::new(tls)),
        }
    }

    /// A new connection to the private listener for raw bytes.
    pub async fn raw_private(&self) -> Raw {
        Raw {
            wire: Wire::Tcp(client::tcp(self.addresses.private[0]).await),
        }
    }

    /// `Authorization` of who may change the site: the command line's own token.
    pub fn bearer(&self) -> String {
        let token = fs::read_to_string(self.folder().join("state/cli.token")).unwrap();
        format!("Bearer {token}")
    }

    /// `GET path` of the admin listener.
    pub async fn admin(&self, path: &str) -> Answer {
        let address = self.addresses.admin.unwrap();
        let tcp = client::tcp(address).await;
        let mut client = Client::over(tcp, Http::One, "http", address.to_string()).await;
        client.get(path).await
    }

    /// The value of a metric whose line begins with `series` (a name, perhaps with its labels), summed over all such lines.
    pub async fn metric(&self, series: &str) -> f64 {
        let page = self.admin("/metrics").await;
        let lines = page.text().lines().filter(|line| line.starts_with(series));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Where TLS is.
    pub fn https(&self) -> SocketAddr {
        self.addresses.https[0]
    }

    /// `localhost` with the port of the https listener: what a browser would send as `Host`.
    pub fn authority(&self) -> String {
        format!("localhost:{}", self.https().port())
    }

    /// The authority that signed the router's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder().join("state/dev-ca/ca.pem")
    }

    /// The site's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The backend that [`Builder::backend`] or one of its kin started under that name.
    pub fn backend(&self, name: &str) -> &Server {
        &self.backends[name]
    }

    /// The link with which the first browser signs in on the admin listener.
    pub fn login_link(&self) -> Option<&str> {
        self.running.as_ref()?.login_link()
    }

    /// What one may ask of the control plane.
    pub fn plane(&self) -> Handle {
        self.plane.clone()
    }

    /// Writes a file of the site, whole: `routes/world.toml`. The router notices by itself; [`World::reload`] waits for it.
    pub fn write(&self, file: &str, text: &str) {
        let file = self.folder().join(file);
        let draft = file.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, &file).unwrap();
    }

    /// The text of a file of the site.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder().join(file)).unwrap()
    }

    /// Has the router read all files again, and returns what came of it.
    pub async fn reload(&self) -> Arc<Status> {
        let plane = self.plane();
        let reloading = tokio::task::spawn_blocking(move || plane.reload());
        within("a reload", reloading)
            .await
            .unwrap()
            .expect("a control plane")
    }

    /// Begins a drain, as SIGTERM does.
    pub async fn drain(&self) {
        let plane = self.plane();
        within(
            "a drain's begin",
            tokio::task::spawn_blocking(move || plane.drain()),
        )
        .await
        .unwrap();
    }

    /// Waits until the router has ended by itself.
    pub async fn ended(&mut self) {
        let running = self.running.take().expect("it still runs");
        within(
            "the router's end",
            tokio::task::spawn_blocking(move || running.wait()),
        )
        .await
        .unwrap();
    }

    /// The access log so far, a value for each line.
    pub fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder().join("log/access.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits for a line of the access log, which is written a moment after the answer.
    pub async fn logged(&self, matches: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        until("a line in the access log", async || {
            found = self.log().into_iter().find(|line| matches(line));
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let plane = self.plane.clone();
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            plane.stop();
            running.wait();
            let _ = done.send(());
        });
        let ended = ended.recv_timeout(PATIENCE);
        if !std::thread::panicking() {
            ended.expect("the router ends when it is told to stop");
        }
    }
}

impl Builder {
    /// A backend of one HTTP/1.1 server. Unless [`Builder::routes`] says otherwise, the first backend gets every path, and
    /// each other one `/<name>/*`.
    pub fn backend<F, R>(self, name: &str, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        self.server(name, Server::new(Speaks::Http1, handler))
    }

    /// A backend of one HTTP/2 server without TLS.
    pub fn backend_h2c<F, R>(self, name: &str, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        self.server(name, Server::new(Speaks::H2c, handler))
    }

    /// A backend of one server that was started before, such as one over TLS (then with its `ca`).
    pub fn server(mut self, name: &str, server: Server) -> Self {
        let settings = if server.speaks.is_tls() {
            "ca = \"backend-ca.pem\"\n"
        } else {
            ""
        };
        self.backends
            .push((name.to_owned(), vec![server.url()], settings.to_owned()));
        self.servers.insert(name.to_owned(), server);
        self
    }

    /// A backend of servers that the test keeps, by their URLs.
    pub fn servers(mut self, name: &str, urls: &[String]) -> Self {
        self.backends
            .push((name.to_owned(), urls.to_vec(), String::new()));
        self
    }

    /// Lines for `[backends.<name>]`, which must be there already.
    pub fn settings(mut self, name: &str, toml: &str) -> Self {
        let backend = self.backends.iter_mut().find(|(other, ..)| other == name);
        let (_, _, settings) = backend.expect("a backend of that name");
        let _ = writeln!(settings, "{toml}");
        self
    }

    /// `[[routes]]` (and more) for `routes/world.toml`, which declares the backends; instead of the default routes.
    pub fn routes(mut self, toml: &str) -> Self {
        let _ = writeln!(self.routes, "{toml}");
        self
    }

    /// `routes/<name>.toml`; its first line, `squad = …`, is written by itself.
    pub fn squad(mut self, name: &str, toml: &str) -> Self {
        self.squads.push((name.to_owned(), toml.to_owned()));
        self
    }

    /// `flags/<name>.toml`.
    pub fn flag(mut self, name: &str, toml: &str) -> Self {
        self.flags.push((name.to_owned(), toml.to_owned()));
        self
    }

    /// More for `banyan.toml`: tables. `[limits]` can be written once; World's own `drain_delay` then has to be in it.
    pub fn operator(mut self, toml: &str) -> Self {
        let _ = writeln!(self.operator, "{toml}");
        self
    }

    /// Keys for the top of `banyan.toml`: `cores = 1`, `trusted_proxies = […]`.
    pub fn top(mut self, toml: &str) -> Self {
        let _ = writeln!(self.top, "{toml}");
        self
    }

    /// The body of `[listen]` instead of a free port for each listener.
    pub fn listen(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.listen);
        self
    }

    /// `hosts` instead of `["localhost"]`.
    pub fn hosts(mut self, list: &str) -> Self {
        list.clone_into(&mut self.hosts);
        self
    }

    /// As [`World::backend`].
    pub fn server_of(&self, name: &str) -> &Server {
        &self.servers[name]
    }

    /// Where the files will be; for files of a test's own, such as keys.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the files without starting anything; the path is that of `banyan.toml`.
    pub fn write(&self) -> PathBuf {
        let folder = self.folder.path();
        for name in ["routes", "flags", "certs", "log"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let limits = if self.operator.contains("[limits]") {
            ""
        } else {
            "[limits]\ndrain_delay = \"50ms\"\n"
        };
        let operator = format!(
            "hosts = {}\n{}\n[listen]\n{}\n[log]\nto = \"log/access.log\"\n\n{}\n{limits}",
            self.hosts, self.top, self.listen, self.operator
        );
        fs::write(folder.join("banyan.toml"), operator).unwrap();
        fs::write(folder.join("backend-ca.pem"), CA.as_str()).unwrap();
        let mut world = String::from("squad = \"world\"\n\n");
        for (name, urls, settings) in &self.backends {
            let _ = writeln!(world, "[backends.{name}]\nservers = {urls:?}\n{settings}");
        }
        if self.routes.is_empty() && self.squads.is_empty() {
            for (at, (name, ..)) in self.backends.iter().enumerate() {
                let path = if at == 0 {
                    "/*".to_owned()
                } else {
                    format!("/{name}/*")
                };
                let _ = writeln!(world, "[[routes]]\npath = \"{path}\"\nbackend = \"{name}\"\n");
            }
        }
        world.push_str(&self.routes);
        fs::write(folder.join("routes/world.toml"), world).unwrap();
        for (name, toml) in &self.squads {
            let text = format!("squad = \"{name}\"\n\n{toml}");
            fs::write(folder.join(format!("routes/{name}.toml")), text).unwrap();
        }
        for (name, toml) in &self.flags {
            fs::write(folder.join(format!("flags/{name}.toml")), toml).unwrap();
        }
        folder.join("banyan.toml")
    }

    /// Writes the files and starts the router.
    pub async fn start(self) -> World {
        match self.try_start().await {
            Ok(world) => world,
            Err((StartError::Site(problem), files)) => panic!("{problem}: {problem:?}\n{files}"),
            Err((error, _)) => panic!("{error}"),
        }
    }

    /// [`Builder::start`] that may fail: why, and `routes/world.toml`.
    ///
    /// # Errors
    /// The router's own.
    pub async fn try_start(self) -> Result<World, (StartError, String)> {
        let path = self.write();
        let starting = tokio::task::spawn_blocking(move || banyan::serve::start(&path));
        let running = within("the router's start", starting).await.unwrap();
        let running = running.map_err(|error| {
            let files = fs::read_to_string(self.folder.path().join("routes/world.toml"));
            (error, files.unwrap_or_default())
        })?;
        let world = World {
            addresses: running.addresses.clone(),
            plane: running.plane(),
            running: Some(running),
            backends: self.servers,
            folder: self.folder,
        };
        let status = world.reload().await;
        let errors: Vec<_> = status.stale.iter().collect();
        assert!(errors.is_empty(), "not served: {errors:?}\n{:?}", status.problems);
        Ok(world)
    }
}
