//! The sockets of `[listen]`: passed ones where there are, else new ones, one for each core.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::sockets::{Group, Sockets};
use crate::{config::settings::ListenSettings, observe::record::Listener};

/// Connections that the kernel may hold for a socket before they are accepted.
const BACKLOG: i32 = 4096;

/// A socket can't be had.
#[derive(Debug, thiserror::Error)]
#[error("`{setting}` in banyan.toml: {address} {}", busy(.source))]
pub struct ListenError {
    /// The setting that changes it.
    pub setting: &'static str,
    /// Which address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

fn busy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "is in use by another program; stop it or choose another port".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "may not be opened by this user; choose a port above 1023 or grant CAP_NET_BIND_SERVICE"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "is no address of this machine".to_owned(),
        _ => format!("can't be opened: {error}"),
    }
}

/// The addresses that are really listened on: with port 0 the system chooses.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// TLS.
    pub https: Vec<SocketAddr>,
    /// Redirects.
    pub http: Vec<SocketAddr>,
    /// Between backends.
    pub private: Vec<SocketAddr>,
    /// Page, API, metrics.
    pub admin: Option<SocketAddr>,
}

/// One core's sockets.
pub type OfCore = Vec<(Listener, StdListener)>;

/// Sockets that listen, before anybody accepts.
#[derive(Debug)]
pub struct Bound {
    /// Where they listen.
    pub addresses: Addresses,
    /// For each core.
    pub cores: Vec<OfCore>,
    /// For the control plane, with the address as it is written.
    pub admin: Option<(SocketAddr, StdListener)>,
    /// Which of them are whose, as they are written.
    written: Vec<(Listener, SocketAddr, SocketAddr)>,
}

impl Bound {
    /// Those that `listen` wants: passed ones where there are, and new ones.
    ///
    /// # Errors
    /// One can't be had.
    pub fn all(listen: &ListenSettings, cores: usize, passed: &mut Sockets) -> Result<Self, ListenError> {
        let mut bound = Self {
            addresses: Addresses::default(),
            cores: (0..cores).map(|_| Vec::new()).collect(),
            admin: None,
            written: Vec::new(),
        };
        let groups = [
            (Listener::Https, "listen.https", &listen.https),
            (Listener::Http, "listen.http", &listen.http),
            (Listener::Private, "listen.private", &listen.private),
        ];
        for (listener, setting, wanted) in groups {
            for address in wanted {
                let failed = |source| ListenError {
                    setting,
                    address: *address,
                    source,
                };
                let passed = passed.take(listener.as_str(), *address);
                let at = match bind_group(*address, &mut bound.cores, listener, passed) {
                    Ok(at) => at,
                    Err(error) if address.is_ipv6() && wanted.len() > 1 && lacks_ipv6(&error) => {
                        tracing::warn!(%address, setting, "this machine has no such IPv6 address: not listened on");
                        continue;
                    }
                    Err(error) => return Err(failed(error)),
                };
                bound.written.push((listener, *address, at));
                match listener {
                    Listener::Https => bound.addresses.https.push(at),
                    Listener::Http => bound.addresses.http.push(at),
                    Listener::Private => bound.addresses.private.push(at),
                }
            }
        }
        if let Some(wanted) = listen.admin {
            let passed = passed.take(ADMIN, wanted);
            let passed = passed.and_then(|group| group.sockets.into_iter().next());
            let socket = passed.map_or_else(|| bind_admin(wanted), Ok)?;
            bound.addresses.admin = socket.local_addr().ok();
            bound.admin = Some((wanted, socket));
        }
        Ok(bound)
    }

    /// Another handle of each, for a successor.
    ///
    /// # Errors
    /// The system's.
    pub fn kept(&self) -> io::Result<Sockets> {
        let mut kept = Sockets::default();
        for (listener, wanted, at) in &self.written {
            let all = self.cores.iter().flatten();
            let own = all.filter(|(kind, socket)| {
                kind == listener && socket.local_addr().is_ok_and(|address| address == *at)
            });
            kept.note(listener.as_str(), *wanted, own.map(|(_, socket)| socket))?;
        }
        if let Some((wanted, socket)) = &self.admin {
            kept.note(ADMIN, *wanted, [socket])?;
        }
        Ok(kept)
    }
}

/// What the admin listener is called in `[listen]`.
const ADMIN: &str = "admin";

/// Gives each core its own socket on `address`: the kernel spreads connections over them by a hash (SO_REUSEPORT). Sockets that were
/// passed are all taken, since connections may wait in the queue of each; a core that gets none has another or shares one.
fn bind_group(
    address: SocketAddr,
    cores: &mut [OfCore],
    listener: Listener,
    passed: Option<Group>,
) -> io::Result<SocketAddr> {
    let Some(Group { bound, sockets, .. }) = passed else {
        return bind_new(address, cores, listener);
    };
    let mut own = Vec::with_capacity(cores.len());
    for socket in sockets {
        socket.set_nonblocking(true)?;
        own.push(socket);
    }
    for at in own.len()..cores.len() {
        let shared = own.get(at % own.len().max(1)).map(StdListener::try_clone);
        let another = bind_another(bound).or_else(|error| shared.unwrap_or(Err(error)))?;
        own.push(another);
    }
    let count = cores.len().max(1);
    for (at, socket) in own.into_iter().enumerate() {
        if let Some(core) = cores.get_mut(at % count) {
            core.push((listener, socket));
        }
    }
    Ok(bound)
}

fn bind_new(address: SocketAddr, cores: &mut [OfCore], listener: Listener) -> io::Result<SocketAddr> {
    // Two programs that both say SO_REUSEPORT would share the port without a word: first see that nobody has it.
    let probe = socket(address)?;
    probe.bind(&address.into())?;
    probe.listen(1)?;
    let bound = probe
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("not an IP socket"))?;
    drop(probe);
    for core in cores {
        core.push((listener, bind_another(bound)?));
    }
    Ok(bound)
}

fn bind_another(address: SocketAddr) -> io::Result<StdListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Containers often have no IPv6 at all, while `["127.0.0.1:443", "[::1]:443"]` is what a person means by "this machine".
fn lacks_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 too; a system without IPv4 mapping says no, and that is fine.
        let _ = socket.set_only_v6(!address.ip().is_unspecified());
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bind_admin(address: SocketAddr) -> Result<StdListener, ListenError> {
    let open = || {
        let socket = socket(address)?;
        socket.bind(&address.into())?;
        socket.listen(128)?;
        Ok(StdListener::from(socket))
    };
    open().map_err(|source| ListenError {
        setting: "listen.admin",
        address,
        source,
    })
}
