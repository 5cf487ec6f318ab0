//! A day's work at once: every server restarts in turn, files and certificates change, and nobody notices.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use banyan::clock;
use tokio::task::JoinSet;

use crate::{
    backend::{Server, Speaks, hello},
    client::{self, Client, Http, Raw, Wire, until},
    process::Program,
    reload::pair,
    websocket::{self, WebSocket},
    world::World,
};

const SOCKETS: usize = 200;
const SWAPS: usize = 50;

/// What a visitor trusts, and the pair that the router shows.
struct Certificate {
    ca: std::path::PathBuf,
    pem: String,
}

/// The router, its servers, and what changes.
struct Site {
    program: Program,
    pages: Vec<Server>,
    certificates: Vec<Certificate>,
    shown: usize,
}

impl Site {
    async fn start() -> Self {
        let pages: Vec<Server> = (0..3)
            .map(|_| Server::new(Speaks::Http1, hello("pages")))
            .collect();
        let urls: Vec<String> = pages.iter().map(Server::url).collect();
        let site = World::new()
            .servers("pages", &urls)
            .settings("pages", "idle_timeout = \"1s\"")
            .backend("live", websocket::backend)
            .settings("live", "idle_timeout = \"1s\"")
            .routes(&routes("pages", 0));
        let certificates: Vec<Certificate> = (0..4)
            .map(|at| {
                let (ca, pem) = pair();
                let file = site.folder().join(format!("visitors-{at}.pem"));
                fs::write(&file, ca).unwrap();
                Certificate { ca: file, pem }
            })
            .collect();
        fs::create_dir_all(site.folder().join("certs")).unwrap();
        fs::write(site.folder().join("certs/site.pem"), &certificates[0].pem).unwrap();
        Self {
            program: Program::start(site).await,
            pages,
            certificates,
            shown: 0,
        }
    }

    async fn connect(&self, http: Http) -> Client {
        self.try_connect(http, self.shown).await.expect("the certificate")
    }

    async fn try_connect(&self, http: Http, certificate: usize) -> std::io::Result<Client> {
        let (address, ca) = (self.program.https, &self.certificates[certificate].ca);
        let tls = client::try_tls(client::tcp(address).await, ca, http).await?;
        Ok(Client::over(tls, http, "https", format!("localhost:{}", address.port())).await)
    }

    async fn socket(&self, http: Http) -> WebSocket {
        match http {
            Http::One => {
                let ca = &self.certificates[self.shown].ca;
                let tls = client::tls(self.program.https, ca, http).await;
                let wire = Wire::Tls(Box::new(tls));
                WebSocket::over_raw(Raw { wire }, "/live").await
            }
            Http::Two => WebSocket::over_client(self.connect(http).await, "/live").await,
        }
    }

    /// Another version of the squad's file, in force.
    async fn swap(&self, at: usize) {
        let (backend, says) = if at.is_multiple_of(2) {
            ("live", "page")
        } else {
            ("pages", "pages")
        };
        let text = self.program.read("routes/world.toml");
        let (backends, _) = text.split_once("[[routes]]").unwrap();
        let text = format!("{backends}{}", routes(backend, at));
        self.program.write("routes/world.toml", &text);
        let mut probe = self.connect(Http::BOTH[at % 2]).await;
        until("the new file is in force", async || {
            probe.get("/probe").await.text() == says
        })
        .await;
    }

    async fn renew(&mut self) {
        let next = self.shown + 1;
        let pem = self.certificates[next].pem.clone();
        self.program.write("certs/site.pem", &pem);
        until("the new certificate is shown", async || {
            self.try_connect(Http::One, next).await.is_ok()
        })
        .await;
        self.shown = next;
    }

    /// One server goes without a word, and comes back at the same address.
    async fn restart(&mut self, at: usize) {
        let address = self.pages[at].address.to_string();
        let gone = self.pages.remove(at);
        let before = gone.requests();
        drop(gone);
        until("the port is free", async || {
            tokio::net::TcpStream::connect(&address).await.is_err()
        })
        .await;
        self.pages.insert(at, Server::at(&address, hello("pages")));
        let back = &self.pages[at];
        until("it serves again", async || back.requests() > 0).await;
        assert!(before > 0, "there was no load on it");
    }
}

fn routes(probe: &str, extra: usize) -> String {
    let extra: String = (0..extra)
        .map(|at| format!("[[routes]]\npath = \"/extra-{at}\"\nbackend = \"pages\"\n"))
        .collect();
    format!(
        "[[routes]]\npath = \"/probe\"\nbackend = \"{probe}\"\n\
         [[routes]]\npath = \"/live\"\nbackend = \"live\"\n\
         [[routes]]\npath = \"/*\"\nbackend = \"pages\"\n{extra}"
    )
}

/// Visitors who ask without a pause, and sockets that are never silent for long.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    echoed: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Load {
    async fn begin(site: &Site) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            asked: Arc::default(),
            echoed: Arc::default(),
            tasks: JoinSet::new(),
        };
        for at in 0..SOCKETS {
            load.socket(site.socket(Http::BOTH[at % 2]).await);
        }
        for _ in 0..4 {
            load.pages(site.connect(Http::One).await);
        }
        let shared = site.connect(Http::Two).await;
        for _ in 0..4 {
            load.pages(shared.another());
        }
        load.pages(shared);
        load
    }

    fn pages(&mut self, mut client: Client) {
        let (stop, asked) = (Arc::clone(&self.stop), Arc::clone(&self.asked));
        self.tasks.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let answer = client.get("/load").await;
                assert_eq!(
                    (answer.status.as_u16(), answer.text()),
                    (200, "pages"),
                    "{answer:?}"
                );
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    fn socket(&mut self, mut socket: WebSocket) {
        let (stop, echoed) = (Arc::clone(&self.stop), Arc::clone(&self.echoed));
        self.tasks.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                socket.echo("are you there").await;
                echoed.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }

    async fn end(mut self) -> (usize, usize) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(joined) = self.tasks.join_next().await {
            joined.expect("a client that lost nothing");
        }
        (
            self.asked.load(Ordering::SeqCst),
            self.echoed.load(Ordering::SeqCst),
        )
    }
}

/// Waits until what is measured has not changed for two seconds.
async fn settled(mut measure: impl FnMut() -> usize) -> usize {
    let (mut last, mut since) = (measure(), clock::steady());
    until("nothing changes any more", async || {
        let now = measure();
        if now != last {
            (last, since) = (now, clock::steady());
        }
        clock::steady().duration_since(since) > Duration::from_secs(2)
    })
    .await;
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_files_and_certificates_change_under_load_and_nothing_fails_or_stays() {
    let mut site = Site::start().await;
    let load = Load::begin(&site).await;
    site.restart(0).await;
    site.swap(SWAPS).await;
    load.end().await;
    let (descriptors, memory) = (
        settled(|| site.program.descriptors()).await,
        site.program.memory("VmRSS"),
    );

    let load = Load::begin(&site).await;
    for at in 0..SWAPS {
        if at % 16 == 8 {
            site.renew().await;
            site.restart(at / 16).await;
        }
        site.swap(at).await;
    }
    let (asked, echoed) = load.end().await;
    assert!(asked > 500 && echoed > SOCKETS * 3, "no load: {asked}, {echoed}");
    let (descriptors_after, memory_after) = (
        settled(|| site.program.descriptors()).await,
        site.program.memory("VmRSS"),
    );
    println!(
        "{asked} requests and {echoed} messages, none failed; descriptors {descriptors} then {descriptors_after}, \
         memory {} then {} KiB",
        memory / 1024,
        memory_after / 1024
    );
    assert!(
        descriptors_after <= descriptors + 4,
        "{descriptors} descriptors, then {descriptors_after}"
    );
    assert!(
        memory_after <= memory + memory / 5,
        "{memory} bytes, then {memory_after}"
    );
}
