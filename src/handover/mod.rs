//! A new program takes over from the one that runs: listening sockets, what was counted, and then all that is new.
//!
//! The one that runs keeps a Unix socket ([`offer`]); one that starts on the same files finds it there ([`take`]). [`wire`] is what they
//! say to each other:
//!
//! | the new one | the one that runs |
//! |---|---|
//! | `hello` | `welcome`, and all listening sockets; or `refused` |
//! | (reads files, opens what else it needs) `ready` | rooms let nobody in any more; `state` |
//! | (takes the state up, accepts connections) `serving` | `done`: drains, from now on |
//! | (makes the Unix socket its own) | `left`, each second until its last connection is closed |
//!
//! The sockets themselves pass on, with the connections that wait in their queues, and until `done` both programs take connections from
//! them: there is no moment at which nobody does. Whatever goes wrong before `done` changes nothing for the one that runs. While an
//! earlier program still drains no third one is let in. [`sockets`] are listening sockets before somebody accepts from them,
//! also those that systemd passes, [`bound`] what a program makes of them and of its settings; [`systemd`] is what systemd is told.

pub mod bound;
pub mod leaving;
pub mod offer;
pub mod sockets;
pub mod systemd;
pub mod take;
pub mod wire;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use self::sockets::Sockets;

/// Why a hand-over came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The other side said no, and why.
    #[error("the program that runs says: {0}")]
    Refused(String),
    /// The other side has ended, or broke off without a word.
    #[error("the other program broke off")]
    Gone,
    /// The other side was too slow, or spoke something else.
    #[error("{0}")]
    Broken(String),
    /// The Unix socket can't be used.
    #[error("`handover.socket` in banyan.toml: {}: {what}", .path.display())]
    Socket {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The listening sockets that a successor gets; gone once this program closes them.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Mutex<Option<Arc<Sockets>>>>);

impl Kept {
    /// Keeps `sockets`.
    #[must_use]
    pub fn new(sockets: Sockets) -> Self {
        Self(Arc::new(Mutex::new(Some(Arc::new(sockets)))))
    }

    /// Lets go of them: a port that this program has left is open as long as anybody keeps its socket.
    pub fn let_go(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn get(&self) -> Option<Arc<Sockets>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
