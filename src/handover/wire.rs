//! What two programs say to each other: messages in JSON with their length before them, and descriptors beside a byte (`SCM_RIGHTS`).

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg, sockopt::socket_peercred,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{HandoverError, leaving::Left};
use crate::clock;

/// What these messages mean. A program that means something else is refused.
pub const PROTOCOL: u32 = 1;
/// Bytes of a message at most, but for the state.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the state at most: ten full waiting rooms, or tables of keys for a hundred rates. More is not carried.
pub const STATE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Descriptors beside one byte. (Linux takes 253.)
const BATCH: usize = 64;
/// Descriptors that are passed at most: 256 cores with four addresses.
pub const SOCKETS_MAX: usize = 1024;

/// What the new program says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "say")]
pub enum Asks {
    /// It is there.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Its process.
        pid: u32,
        /// What it is.
        version: String,
    },
    /// It could serve.
    Ready,
    /// It takes connections.
    Serving,
}

/// What the program that runs says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "say")]
pub enum Answers {
    /// The sockets follow.
    Welcome {
        /// Its process.
        pid: u32,
        /// What it is.
        version: String,
        /// How many programs there were, with this one.
        generation: u64,
        /// Which sockets follow, in this order.
        sockets: Vec<Passed>,
    },
    /// It goes on alone.
    Refused {
        /// Why.
        why: String,
    },
    /// What was counted follows, in so many bytes; 0: it is too much.
    State {
        /// How many.
        bytes: usize,
    },
    /// It takes no more connections.
    Done,
    /// So far it has come with those that it has.
    Left(Left),
}

/// What is said of the sockets of one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// The listener that they are for, as `[listen]` calls it.
    pub listener: String,
    /// The address as it was written there.
    pub wanted: SocketAddr,
    /// How many there are.
    pub count: usize,
}

/// One side of it. Everything has one deadline, since a program that is stuck must not hold the other one up.
#[derive(Debug)]
pub struct Talk {
    /// The connection.
    pub stream: UnixStream,
    until: Instant,
}

impl Talk {
    /// Over this connection, for so long.
    #[must_use]
    pub fn new(stream: UnixStream, time: Duration) -> Self {
        let now = clock::steady();
        Self {
            stream,
            until: now.checked_add(time).unwrap_or(now),
        }
    }

    /// Has at most so much time from now on.
    pub fn hurry(&mut self, time: Duration) {
        if let Some(until) = clock::steady().checked_add(time) {
            self.until = self.until.min(until);
        }
    }

    /// Whether the other side is this user's, or root's.
    ///
    /// # Errors
    /// The system can't tell.
    pub fn is_trusted(&self) -> io::Result<bool> {
        let peer = socket_peercred(&self.stream)?.uid;
        Ok(trusts(peer.as_raw(), rustix::process::geteuid().as_raw()))
    }

    /// Says something.
    ///
    /// # Errors
    /// The other side has gone or doesn't listen.
    pub fn say(&mut self, message: &impl Serialize) -> Result<(), HandoverError> {
        let text = serde_json::to_vec(message).map_err(nonsense)?;
        let length = u32::try_from(text.len()).map_err(nonsense)?;
        self.put(&[length.to_be_bytes().as_slice(), text.as_slice()].concat())
    }

    /// Hears something.
    ///
    /// # Errors
    /// The other side has gone, says nothing in time, or nothing that is understood.
    pub fn hear<M: DeserializeOwned>(&mut self) -> Result<M, HandoverError> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let text = self.bytes(length, MESSAGE_BYTES_MAX)?;
        serde_json::from_slice(&text).map_err(nonsense)
    }

    /// As [`Talk::hear`], but within so much time.
    ///
    /// # Errors
    /// As [`Talk::hear`].
    pub fn hear_within<M: DeserializeOwned>(&mut self, time: Duration) -> Result<M, HandoverError> {
        let until = self.until;
        self.hurry(time);
        let heard = self.hear();
        self.until = until;
        heard
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// As [`Talk::say`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), HandoverError> {
        let left = self.left()?;
        let sent = self.stream.set_write_timeout(Some(left));
        sent.and_then(|()| self.stream.write_all(bytes))
            .map_err(|error| failed(&error))
    }

    /// So many bytes.
    ///
    /// # Errors
    /// As [`Talk::hear`]; there are more than `max`.
    pub fn bytes(&mut self, length: usize, max: usize) -> Result<Vec<u8>, HandoverError> {
        if length > max {
            return Err(HandoverError::Broken(format!("a message of {length} bytes came")));
        }
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), HandoverError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let left = self.left()?;
            let read = self.stream.set_read_timeout(Some(left));
            let read = read.and_then(|()| self.stream.read(rest));
            match read.map_err(|error| failed(&error))? {
                0 => return Err(HandoverError::Gone),
                read => rest = rest.get_mut(read..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Passes sockets on.
    ///
    /// # Errors
    /// As [`Talk::say`].
    pub fn pass(&mut self, sockets: &[&TcpListener]) -> Result<(), HandoverError> {
        for batch in sockets.chunks(BATCH) {
            let left = self.left()?;
            self.stream
                .set_write_timeout(Some(left))
                .map_err(|error| failed(&error))?;
            let fds: Vec<_> = batch.iter().map(|socket| socket.as_fd()).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            if !beside.push(SendAncillaryMessage::ScmRights(&fds)) {
                return Err(HandoverError::Broken("too many sockets at once".to_owned()));
            }
            sendmsg(
                &self.stream,
                &[IoSlice::new(b"s")],
                &mut beside,
                SendFlags::NOSIGNAL,
            )
            .map_err(|error| failed(&error.into()))?;
        }
        Ok(())
    }

    /// Takes so many sockets.
    ///
    /// # Errors
    /// As [`Talk::hear`]; there are too many, or others came.
    pub fn receive(&mut self, count: usize) -> Result<Vec<OwnedFd>, HandoverError> {
        if count > SOCKETS_MAX {
            return Err(HandoverError::Broken(format!("{count} sockets are too many")));
        }
        let mut fds = Vec::with_capacity(count);
        while fds.len() < count {
            let left = self.left()?;
            self.stream
                .set_read_timeout(Some(left))
                .map_err(|error| failed(&error))?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let read = recvmsg(
                &self.stream,
                &mut [IoSliceMut::new(&mut byte)],
                &mut beside,
                RecvFlags::CMSG_CLOEXEC,
            );
            let before = fds.len();
            for message in beside.drain() {
                if let RecvAncillaryMessage::ScmRights(passed) = message {
                    fds.extend(passed);
                }
            }
            if read.map_err(|error| failed(&error.into()))?.bytes == 0 || fds.len() == before {
                return Err(HandoverError::Gone);
            }
        }
        if fds.len() > count {
            return Err(HandoverError::Broken(
                "more sockets came than were told of".to_owned(),
            ));
        }
        Ok(fds)
    }

    fn left(&self) -> Result<Duration, HandoverError> {
        let left = self.until.saturating_duration_since(clock::steady());
        if left.is_zero() {
            return Err(too_long());
        }
        Ok(left)
    }
}

/// Whom a program with the rights of `own` deals with: its own user, and who may do anything anyway.
const fn trusts(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// What the system says of the connection.
fn failed(error: &io::Error) -> HandoverError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => too_long(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => HandoverError::Gone,
        _ => HandoverError::Broken(error.to_string()),
    }
}

fn nonsense(error: impl std::fmt::Display) -> HandoverError {
    HandoverError::Broken(format!("something came that is not understood: {error}"))
}

fn too_long() -> HandoverError {
    HandoverError::Broken("it took too long".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::unix::net::UnixStream, time::Duration};

    use super::{Answers, Asks, Talk, trusts};

    fn pair() -> (Talk, Talk) {
        let (one, other) = UnixStream::pair().unwrap();
        let time = Duration::from_secs(5);
        (Talk::new(one, time), Talk::new(other, time))
    }

    #[test]
    fn sockets_pass_on_with_the_messages_around_them() {
        let (mut one, mut other) = pair();
        let sockets: Vec<TcpListener> = (0..100)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let all: Vec<&TcpListener> = sockets.iter().collect();
        one.say(&Answers::State { bytes: 7 }).unwrap();
        one.pass(&all).unwrap();
        one.say(&Answers::Done).unwrap();
        assert_eq!(other.hear::<Answers>().unwrap(), Answers::State { bytes: 7 });
        let fds = other.receive(100).unwrap();
        for (fd, socket) in fds.into_iter().zip(&sockets) {
            let passed = TcpListener::from(fd);
            assert_eq!(passed.local_addr().unwrap(), socket.local_addr().unwrap());
        }
        assert_eq!(other.hear::<Answers>().unwrap(), Answers::Done);
        assert!(other.is_trusted().unwrap());
    }

    #[test]
    fn what_is_too_long_too_slow_or_nonsense_ends_it() {
        let (mut one, mut other) = pair();
        one.put(&u32::MAX.to_be_bytes()).unwrap();
        assert!(
            other
                .hear::<Asks>()
                .unwrap_err()
                .to_string()
                .contains("bytes came")
        );
        let (mut one, mut other) = pair();
        one.say(&"nonsense").unwrap();
        assert!(other.hear::<Asks>().is_err());
        let (one, mut other) = pair();
        other.hurry(Duration::from_millis(20));
        assert!(other.hear::<Asks>().unwrap_err().to_string().contains("too long"));
        let (_, mut gone) = pair();
        assert!(gone.hear::<Asks>().unwrap_err().to_string().contains("broke off"));
        drop(one);
    }

    #[test]
    fn only_the_same_user_and_root_are_dealt_with() {
        assert!(trusts(1000, 1000) && trusts(0, 1000) && trusts(0, 0));
        assert!(!trusts(1001, 1000) && !trusts(1000, 0));
    }
}
