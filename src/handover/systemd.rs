//! What systemd is told (`man 3 sd_notify`): a datagram to the socket that `NOTIFY_SOCKET` names. Without one nobody is told anything.

use std::{
    env,
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use crate::clock;

/// Who is told.
#[derive(Debug, Clone, Default)]
pub struct Notify(Option<OsString>);

impl Notify {
    /// Whom the environment names.
    #[must_use]
    pub fn of_environment() -> Self {
        Self(env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()))
    }

    /// This process serves, as this generation.
    pub fn ready(&self, generation: u64) {
        let pid = std::process::id();
        self.tell(&format!(
            "READY=1\nMAINPID={pid}\nSTATUS=serving, generation {generation}"
        ));
    }

    /// Files are being read again, until [`Notify::reloaded`].
    pub fn reloading(&self) {
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}",
            clock::monotonic_micros()
        ));
    }

    /// Files were read again.
    pub fn reloaded(&self) {
        self.tell("READY=1");
    }

    /// Draining, and then nothing.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    /// Another process is the service from now on. Said by the one that was, which systemd believes.
    pub fn replaced_by(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}"));
    }

    fn tell(&self, message: &str) {
        if let Some(name) = &self.0
            && let Err(error) = send(name, message.as_bytes())
        {
            tracing::warn!(%error, "systemd can't be told");
        }
    }
}

fn send(name: &OsString, message: &[u8]) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message, &address).map(drop)
}
