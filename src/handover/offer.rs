//! The side of the program that runs: it keeps the Unix socket, hands everything over to who comes there, and says how far it is after.

use std::{
    fs, io,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener as StdListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use tokio::{io::AsyncReadExt, net::UnixListener, sync::watch};

use super::{
    HandoverError, Kept,
    leaving::{Leaving, Left},
    sockets::Sockets,
    systemd::Notify,
    take::{Predecessor, STATE_FORMAT, socket},
    wire::{Answers, Asks, PROTOCOL, STATE_BYTES_MAX, Talk},
};
use crate::{
    clock,
    control::plane::Handle,
    observe::metrics::{Facts, Family},
    snapshot::carry::Carried,
};

/// Time that a comer has to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Time from the state to the word that the new one serves.
const SERVING_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a successor is told how many connections are left.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Time for that to be written.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of what a predecessor says at one time.
const REPORT_BYTES_MAX: usize = 4096;

/// The Unix socket before anybody can find it.
#[derive(Debug)]
pub struct Draft {
    listener: StdListener,
    draft: Removed,
    path: PathBuf,
}

/// A file that goes with it, unless it was moved away.
#[derive(Debug)]
struct Removed(PathBuf);

/// What a successor is given, and by whom.
#[derive(Debug)]
pub struct Offer {
    /// Time that a successor has to become ready.
    pub timeout: Duration,
    /// Which generation this program is.
    pub generation: u64,
    /// Listening sockets.
    pub kept: Kept,
    /// Who drains.
    pub plane: Handle,
    /// Numbers.
    pub facts: std::sync::Arc<Facts>,
    /// How far the cores are.
    pub leaving: Leaving,
    /// Whom systemd's word comes from.
    pub notify: Notify,
    /// The one before.
    pub predecessor: Option<Predecessor>,
}

impl Draft {
    /// Makes it, beside where it will be.
    ///
    /// # Errors
    /// The system's.
    pub fn make(path: &Path) -> Result<Self, HandoverError> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let draft = PathBuf::from(draft);
        let make = || {
            let _ = fs::remove_file(&draft); // of an earlier process of that number
            let listener = StdListener::bind(&draft)?;
            fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = make().map_err(|error| socket(&draft, &error))?;
        Ok(Self {
            listener,
            draft: Removed(draft),
            path: path.to_owned(),
        })
    }

    /// Puts it where a successor looks, in place of what is there.
    ///
    /// # Errors
    /// The system's.
    pub fn publish(&self) -> Result<(), HandoverError> {
        fs::rename(&self.draft.0, &self.path).map_err(|error| socket(&self.path, &error))
    }

    /// Hands over to who comes there, one after the other, until one has taken over or `stop` says that this program ends.
    pub fn keep(self, mut offer: Offer, mut stop: watch::Receiver<bool>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "nobody will be able to take over"),
        };
        let listener = {
            let _inside = runtime.enter();
            UnixListener::from_std(self.listener)
        };
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "nobody will be able to take over"),
        };
        let predecessor = offer.predecessor.take();
        let facts = std::sync::Arc::clone(&offer.facts);
        let mut before = runtime.block_on(async { predecessor.and_then(|it| Before::new(it, facts)) });
        loop {
            let comer = runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stopped(&mut stop) => None,
                    comer = comes(&listener, &mut before) => Some(comer),
                }
            });
            let Some(comer) = comer else {
                let _ = fs::remove_file(&self.path);
                return;
            };
            if let Some(successor) = offer.hand_over(comer, before.as_ref().map(|before| before.pid)) {
                drop(listener);
                return runtime.block_on(tell_on(successor, &offer.leaving, &mut stop));
            }
        }
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Offer {
    /// The connection to who has taken over. `None`: nobody has, and nothing has changed.
    fn hand_over(&self, comer: UnixStream, before: Option<u32>) -> Option<UnixStream> {
        if comer.set_nonblocking(false).is_err() {
            return None;
        }
        let mut talk = Talk::new(comer, self.timeout);
        match self.converse(&mut talk, before) {
            Ok(pid) => {
                self.count("done");
                tracing::info!(pid, "handed over: draining");
                Some(talk.stream)
            }
            Err(error) => {
                let (outcome, why) = match error {
                    HandoverError::Refused(why) => ("refused", why),
                    error => ("failed", error.to_string()),
                };
                self.count(outcome);
                tracing::error!(why, outcome, "no hand-over: serving on");
                let mut talk = Talk::new(talk.stream, TELL_TIMEOUT);
                let _ = talk.say(&Answers::Refused { why }); // it may be gone
                None
            }
        }
    }

    fn converse(&self, talk: &mut Talk, before: Option<u32>) -> Result<u32, HandoverError> {
        let refused = |why: &str| HandoverError::Refused(why.to_owned());
        if !talk.is_trusted().unwrap_or(false) {
            return Err(refused("you are another user's"));
        }
        let Asks::Hello {
            protocol,
            pid,
            version,
        } = talk.hear_within(HELLO_TIMEOUT)?
        else {
            return Err(refused("say hello first"));
        };
        if protocol != PROTOCOL {
            return Err(refused(&format!("it hands over by protocol {PROTOCOL}")));
        }
        if let Some(before) = before {
            return Err(refused(&format!(
                "process {before}, from which it took over itself, still has connections; two generations are the most"
            )));
        }
        tracing::info!(pid, version, "a new program begins to take over");
        let sockets = self.kept.get().ok_or_else(|| refused("it is draining"))?;
        self.hand(&sockets, talk)?;
        drop(sockets); // or they would stay open if this program is told to end meanwhile
        let live = self.plane.live();
        match self.commit(talk, pid) {
            Ok(()) => {
                self.plane.hand_over();
                Ok(pid)
            }
            Err(error) => {
                live.current().hand_over(false);
                Err(error)
            }
        }
    }

    fn hand(&self, sockets: &Sockets, talk: &mut Talk) -> Result<(), HandoverError> {
        let (told, sockets) = sockets.told();
        talk.say(&Answers::Welcome {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: self.generation,
            sockets: told,
        })?;
        talk.pass(&sockets)
    }

    fn commit(&self, talk: &mut Talk, pid: u32) -> Result<(), HandoverError> {
        let unexpected = || HandoverError::Broken("the new program says something unexpected".to_owned());
        if talk.hear::<Asks>()? != Asks::Ready {
            return Err(unexpected());
        }
        let at = self.plane.live().current();
        at.hand_over(true);
        let state = state(&at.carried(clock::now()));
        talk.say(&Answers::State { bytes: state.len() })?;
        talk.put(&state)?;
        talk.hurry(SERVING_TIMEOUT);
        if talk.hear::<Asks>()? != Asks::Serving {
            return Err(unexpected());
        }
        self.notify.replaced_by(pid); // now, while systemd believes what this process says
        talk.say(&Answers::Done)
            .inspect_err(|_| self.notify.replaced_by(std::process::id()))
    }

    fn count(&self, outcome: &'static str) {
        self.facts.add(Family::Handovers, &[outcome]);
    }
}

/// As it is sent; empty: it is too much.
fn state(carried: &Carried) -> Vec<u8> {
    #[derive(Serialize)]
    struct Text<'a> {
        format: u32,
        state: &'a Carried,
    }
    let text = serde_json::to_vec(&Text {
        format: STATE_FORMAT,
        state: carried,
    });
    let text = text.ok().filter(|text| text.len() <= STATE_BYTES_MAX);
    text.unwrap_or_else(|| {
        tracing::warn!(
            "what was counted is too much to be handed over: rooms, breakers and limits begin anew"
        );
        Vec::new()
    })
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await; // a vanished sender says the same
}

/// The next who comes. Meanwhile what the predecessor says is heard.
async fn comes(listener: &UnixListener, before: &mut Option<Before>) -> UnixStream {
    loop {
        let accepted = match before {
            None => listener.accept().await,
            Some(predecessor) => {
                tokio::select! {
                    accepted = listener.accept() => accepted,
                    there = predecessor.hear() => {
                        if !there {
                            tracing::info!(pid = predecessor.pid, "the program before has ended");
                            *before = None;
                        }
                        continue;
                    }
                }
            }
        };
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => return stream,
            Err(error) => {
                tracing::warn!(%error, "who wants to take over can't be heard");
                tokio::time::sleep(TOLD_EVERY).await;
            }
        }
    }
}

/// Tells the successor how many connections are left, until none is.
async fn tell_on(successor: UnixStream, leaving: &Leaving, stop: &mut watch::Receiver<bool>) {
    let tell = |successor: &UnixStream| {
        let successor = successor.try_clone().map_err(|_| HandoverError::Gone)?;
        Talk::new(successor, TELL_TIMEOUT).say(&Answers::Left(leaving.left()))
    };
    loop {
        let ended = tokio::time::timeout(TOLD_EVERY, stopped(stop)).await.is_ok();
        let told = tell(&successor);
        if ended {
            return;
        }
        if told.is_err() {
            tracing::error!("the program that took over has ended");
            return stopped(stop).await;
        }
    }
}

/// A predecessor, as far as it is heard.
struct Before {
    pid: u32,
    stream: tokio::net::UnixStream,
    heard: Vec<u8>,
    facts: std::sync::Arc<Facts>,
}

impl Before {
    fn new(predecessor: Predecessor, facts: std::sync::Arc<Facts>) -> Option<Self> {
        let stream = predecessor.stream;
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| tokio::net::UnixStream::from_std(stream));
        let stream = stream
            .inspect_err(|error: &io::Error| tracing::warn!(%error, "the program before can't be heard"))
            .ok()?;
        Some(Self {
            pid: predecessor.pid,
            stream,
            heard: Vec::new(),
            facts,
        })
    }

    /// Hears it once more; whether it is still there.
    async fn hear(&mut self) -> bool {
        let mut piece = [0; REPORT_BYTES_MAX];
        let read = self.stream.read(&mut piece).await.unwrap_or(0);
        self.heard.extend(piece.iter().take(read));
        while let Some((length, rest)) = self.heard.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if length > REPORT_BYTES_MAX {
                return false;
            }
            let Some(text) = rest.get(..length) else { break };
            if let Ok(Answers::Left(left)) = serde_json::from_slice(text) {
                tell(&self.facts, left);
            }
            self.heard.drain(..4 + length);
        }
        read > 0
    }
}

fn tell(facts: &Facts, left: Left) {
    let family = Family::HandoverConnections;
    facts.set([
        (family, ["open"].as_slice(), left.open),
        (family, ["drained"].as_slice(), left.drained),
        (family, ["cut"].as_slice(), left.cut),
    ]);
}
