//! The demo site: a small legacy application and two squads' backends inside the process.
//!
//! Three web servers on loopback, on a thread of their own: `legacy` renders everything as it was ten years ago,
//! `learn` and `shop` are squads that have taken over a part. [`site`] is the configuration that ties them together,
//! the same files as in this repository's `banyan.toml`, `routes/` and `flags/`.

mod courses;
mod learn;
mod legacy;
mod page;
mod server;
mod shop;
mod websocket;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread::JoinHandle,
};

use tokio::sync::oneshot;

use server::App;

/// Ports that the shipped `routes/*.toml` name: legacy, learn, shop.
pub const PORTS: [u16; 3] = [9911, 9912, 9913];

/// The servers' sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// [`PORTS`], which the shipped routes lead to.
    Shipped,
    /// Any that are free.
    Free,
}

/// The three servers, until this is dropped.
#[derive(Debug)]
pub struct Demo {
    /// The site as it always was.
    pub legacy: SocketAddr,
    /// Squad learn: course pages.
    pub learn: SocketAddr,
    /// Squad shop: the cart.
    pub shop: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why the demo did not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Somebody else has the port.
    #[error(
        "the demo's {name} server can't listen on {address}: {source}; \
         stop what uses the port, or change `[backends.{backend}]` in routes/ and run your own server there"
    )]
    Socket {
        /// Which server.
        name: &'static str,
        /// The backend that leads to it.
        backend: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No thread or runtime could be had.
    #[error("the demo's thread can't be started: {0}")]
    Thread(#[from] io::Error),
}

/// Starts the three servers on loopback.
///
/// # Errors
/// [`DemoError`] names the port that is busy.
pub fn start(ports: Ports) -> Result<Demo, DemoError> {
    let [legacy, learn, shop] = match ports {
        Ports::Shipped => PORTS,
        Ports::Free => [0; 3],
    };
    let legacy = listen("legacy", "legacy", legacy)?;
    let learn = listen("learn", "learn-web", learn)?;
    let shop = listen("shop", "shop-web", shop)?;
    let addresses = [&legacy, &learn, &shop].map(TcpListener::local_addr);
    let [legacy_address, learn_address, shop_address] = addresses;
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let apps = [
        (legacy, legacy::answer as App),
        (learn, learn::answer as App),
        (shop, shop::answer as App),
    ];
    let thread = std::thread::Builder::new()
        .name("demo".to_owned())
        .spawn(move || runtime.block_on(server::run(apps, stopped)))?;
    Ok(Demo {
        legacy: legacy_address?,
        learn: learn_address?,
        shop: shop_address?,
        stop: Some(stop),
        thread: Some(thread),
    })
}

/// The files of the shipped site: path relative to its folder, and text.
#[must_use]
pub const fn site() -> &'static [(&'static str, &'static str)] {
    &[
        ("banyan.toml", include_str!("../../banyan.toml")),
        ("routes/learn.toml", include_str!("../../routes/learn.toml")),
        ("routes/legacy.toml", include_str!("../../routes/legacy.toml")),
        ("routes/shop.toml", include_str!("../../routes/shop.toml")),
        (
            "flags/course-reviews.toml",
            include_str!("../../flags/course-reviews.toml"),
        ),
        ("flags/new-cart.toml", include_str!("../../flags/new-cart.toml")),
        ("certs/README.md", include_str!("../../certs/README.md")),
    ]
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was printed there
        }
    }
}

fn listen(name: &'static str, backend: &'static str, port: u16) -> Result<TcpListener, DemoError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    socket.map_err(|source| DemoError::Socket {
        name,
        backend,
        address,
        source,
    })
}

#[cfg(test)]
mod tests;
