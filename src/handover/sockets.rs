//! Listening sockets before anybody accepts from them: those that another program passed, and those that systemd opened.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
};

use listenfd::ListenFd;

use super::wire::Passed;

/// The sockets of one address.
#[derive(Debug)]
pub struct Group {
    /// The listener of `[listen]` that they are for, as it is called there; empty: whichever has this address.
    pub listener: String,
    /// The address as it was written, perhaps with port 0.
    pub wanted: SocketAddr,
    /// The address that they have.
    pub bound: SocketAddr,
    /// The sockets: one for each core that accepts, or one for all.
    pub sockets: Vec<TcpListener>,
}

/// Listening sockets, by what they are for.
#[derive(Debug, Default)]
pub struct Sockets(pub Vec<Group>);

impl Sockets {
    /// Those that systemd passes (`LISTEN_FDS`), for a socket unit. They are for the listeners of their addresses.
    #[must_use]
    pub fn of_systemd() -> Self {
        let mut passed = ListenFd::from_env();
        let mut groups = Vec::new();
        for at in 0..passed.len() {
            let socket = passed.take_tcp_listener(at).transpose();
            let found = socket.and_then(|socket| match socket.and_then(|it| Ok((it.local_addr()?, it))) {
                Ok(found) => Some(found),
                Err(error) => {
                    tracing::warn!(at, %error, "what systemd passes there is no listening TCP socket: it is not used");
                    None
                }
            });
            if let Some((bound, socket)) = found {
                groups.push(Group {
                    listener: String::new(),
                    wanted: bound,
                    bound,
                    sockets: vec![socket],
                });
            }
        }
        Self(groups)
    }

    /// Puts what was passed together with what was said of it.
    ///
    /// # Errors
    /// There are not as many, or one is no listening socket.
    pub fn of_passed(passed: &[Passed], fds: Vec<OwnedFd>) -> io::Result<Self> {
        let mut fds = fds.into_iter();
        let group = |passed: &Passed| {
            let sockets: Vec<TcpListener> = fds.by_ref().take(passed.count).map(TcpListener::from).collect();
            let first = sockets
                .first()
                .ok_or_else(|| io::Error::other("fewer sockets came than were told of"))?;
            Ok(Group {
                listener: passed.listener.clone(),
                wanted: passed.wanted,
                bound: first.local_addr()?,
                sockets,
            })
        };
        passed.iter().map(group).collect::<io::Result<Vec<_>>>().map(Self)
    }

    /// What is said of them, and they themselves in that order.
    #[must_use]
    pub fn told(&self) -> (Vec<Passed>, Vec<&TcpListener>) {
        let passed = self.0.iter().map(|group| Passed {
            listener: group.listener.clone(),
            wanted: group.wanted,
            count: group.sockets.len(),
        });
        let sockets = self.0.iter().flat_map(|group| &group.sockets);
        (passed.collect(), sockets.collect())
    }

    /// The sockets of the listener that is written as `wanted`.
    pub fn take(&mut self, listener: &str, wanted: SocketAddr) -> Option<Group> {
        let written = |group: &Group| group.listener == listener && group.wanted == wanted;
        let bound = |group: &Group| group.bound == wanted;
        let at = self.0.iter().position(written);
        let at = at.or_else(|| self.0.iter().position(bound))?;
        Some(self.0.swap_remove(at))
    }

    /// Another handle of each.
    ///
    /// # Errors
    /// The system's.
    pub fn note<'s>(
        &mut self,
        listener: &str,
        wanted: SocketAddr,
        sockets: impl IntoIterator<Item = &'s TcpListener>,
    ) -> io::Result<()> {
        let sockets: Vec<TcpListener> = sockets
            .into_iter()
            .map(TcpListener::try_clone)
            .collect::<io::Result<_>>()?;
        if let Some(first) = sockets.first() {
            self.0.push(Group {
                listener: listener.to_owned(),
                wanted,
                bound: first.local_addr()?,
                sockets,
            });
        }
        Ok(())
    }
}
