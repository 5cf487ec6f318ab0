//! The new program's side: it finds the one that runs, gets its sockets, and says when it serves.

use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{
    HandoverError,
    sockets::Sockets,
    wire::{Answers, Asks, PROTOCOL, STATE_BYTES_MAX, Talk},
};
use crate::snapshot::carry::Carried;

/// What the state means. One that means something else is not taken up.
pub(super) const STATE_FORMAT: u32 = 1;

/// A program that is about to take over.
#[derive(Debug)]
pub struct Taking {
    talk: Talk,
    /// The process that runs.
    pub pid: u32,
    /// What it is.
    pub version: String,
    /// Which generation this one is.
    pub generation: u64,
    /// The other program has ended in between: there is nobody to hand over.
    alone: bool,
}

/// The one before, which is finishing what it has.
#[derive(Debug)]
pub struct Predecessor {
    /// Where it says how far it is.
    pub stream: UnixStream,
    /// Its process.
    pub pid: u32,
}

impl Taking {
    /// Asks the program that keeps the Unix socket `path` for its listening sockets. `None`: nobody does.
    ///
    /// # Errors
    /// It says no, or isn't the same user's.
    pub fn begin(path: &Path, time: Duration) -> Result<Option<(Self, Sockets)>, HandoverError> {
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) => return Err(socket(path, &error)),
        };
        let mut talk = Talk::new(stream, time);
        if !talk.is_trusted().map_err(|error| socket(path, &error))? {
            let what = "it is another user's".to_owned();
            return Err(HandoverError::Socket {
                path: PathBuf::from(path),
                what,
            });
        }
        talk.say(&Asks::Hello {
            protocol: PROTOCOL,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })?;
        let Answers::Welcome {
            pid,
            version,
            generation,
            sockets,
        } = hear(&mut talk)?
        else {
            return Err(unexpected());
        };
        let count = sockets
            .iter()
            .fold(0_usize, |sum, group| sum.saturating_add(group.count));
        let fds = talk.receive(count)?;
        let passed =
            Sockets::of_passed(&sockets, fds).map_err(|error| HandoverError::Broken(error.to_string()))?;
        let taking = Self {
            talk,
            pid,
            version,
            generation: generation.saturating_add(1),
            alone: false,
        };
        Ok(Some((taking, passed)))
    }

    /// This one could serve. What the other has counted; `None`: nothing that this one understands.
    ///
    /// # Errors
    /// The other one goes on alone.
    pub fn ready(&mut self) -> Result<Option<Carried>, HandoverError> {
        let heard = self.talk.say(&Asks::Ready).and_then(|()| hear(&mut self.talk));
        let bytes = match heard {
            Ok(Answers::State { bytes }) => bytes,
            Ok(_) => return Err(unexpected()),
            Err(HandoverError::Gone) => {
                // it has ended, and did not say no: somebody has to serve, and the sockets are here
                tracing::warn!("the program that ran has ended before it handed over: its sockets serve on");
                self.alone = true;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let text = self.talk.bytes(bytes, STATE_BYTES_MAX)?;
        Ok(understand(&text))
    }

    /// This one serves. The one before drains from now on.
    ///
    /// # Errors
    /// The other one goes on alone.
    pub fn serving(mut self) -> Result<Option<Predecessor>, HandoverError> {
        if self.alone {
            return Ok(None);
        }
        self.talk.say(&Asks::Serving)?;
        match hear(&mut self.talk)? {
            Answers::Done => Ok(Some(Predecessor {
                stream: self.talk.stream,
                pid: self.pid,
            })),
            _ => Err(unexpected()),
        }
    }
}

/// What the text says. Whoever doesn't understand it begins anew, and says so.
fn understand(text: &[u8]) -> Option<Carried> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    #[derive(Deserialize)]
    struct Text {
        state: Carried,
    }
    if text.is_empty() {
        tracing::warn!(
            "what was counted is too much to be handed over: rooms, breakers and limits begin anew"
        );
        return None;
    }
    let format = serde_json::from_slice::<Format>(text).map(|it| it.format);
    if let Ok(format) = format
        && format != STATE_FORMAT
    {
        tracing::warn!(
            format,
            understood = STATE_FORMAT,
            "what was counted is told in another format: rooms, breakers and limits begin anew"
        );
        return None;
    }
    let read = serde_json::from_slice::<Text>(text);
    read.map(|it| it.state)
        .inspect_err(
            |error| tracing::warn!(%error, "what was counted is not understood: rooms, breakers and limits begin anew"),
        )
        .ok()
}

fn hear(talk: &mut Talk) -> Result<Answers, HandoverError> {
    match talk.hear()? {
        Answers::Refused { why } => Err(HandoverError::Refused(why)),
        answer => Ok(answer),
    }
}

/// Nobody keeps it: there is none, or it was left by a program that has ended.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

pub(super) fn socket(path: &Path, error: &io::Error) -> HandoverError {
    HandoverError::Socket {
        path: PathBuf::from(path),
        what: error.to_string(),
    }
}

fn unexpected() -> HandoverError {
    HandoverError::Broken("the program that runs says something unexpected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::understand;

    #[test]
    fn another_format_begins_anew() {
        let state = r#"{"rooms":[],"backends":[],"routes":[],"sessions":null}"#;
        let text = |format: u32| format!(r#"{{"format":{format},"state":{state}}}"#);
        assert!(understand(text(1).as_bytes()).is_some());
        assert!(understand(text(2).as_bytes()).is_none());
        assert!(understand(br#"{"format":1,"state":{"rooms":7}}"#).is_none());
        assert!(understand(b"").is_none() && understand(b"\0").is_none());
    }
}
