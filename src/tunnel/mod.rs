//! A connection that changed its protocol: bytes both ways until one side ends.

mod frames;
pub(crate) mod idle;
mod io;
mod join;
mod pump;
#[cfg(test)]
mod tests;

use std::{fmt, task::Context, time::Duration};

pub use self::{io::TunnelIo, join::join};

/// Why a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides sent their end.
    Closed,
    /// The client's side failed or went away.
    FrontFailed,
    /// The server's side failed or went away.
    BackFailed,
    /// Silent both ways for [`tunnel_idle_timeout`](crate::limits::Limits::tunnel_idle_timeout).
    Idle,
    /// A drain asked both sides to close, and the client agreed.
    Drained,
    /// It was [called back](Recall), and its client has been told where it could be.
    Recalled,
    /// The drain's window was over, or the connection that carried it was dropped.
    Cut,
}

impl TunnelEnd {
    /// For the log and a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::FrontFailed => "client failed",
            Self::BackFailed => "server failed",
            Self::Idle => "idle",
            Self::Drained => "drained",
            Self::Recalled => "recalled",
            Self::Cut => "cut",
        }
    }
}

/// What went through a tunnel, and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelReport {
    /// Bytes from the client to the server.
    pub bytes_up: u64,
    /// Bytes from the server to the client.
    pub bytes_down: u64,
    /// Why it ended.
    pub end: TunnelEnd,
}

impl TunnelReport {
    const NOTHING: Self = Self {
        bytes_up: 0,
        bytes_down: 0,
        end: TunnelEnd::Cut,
    };
}

/// What an open exchange is told by whoever may call it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Go on.
    Stay,
    /// Take leave where you can do so in good order.
    Leave,
    /// End now.
    Cut,
}

/// Asked at each step of a tunnel whether it may go on. Who answers also wakes the tunnel when the answer changes.
pub trait Recall {
    /// What holds now; `cx` is woken when something else does.
    fn poll(&mut self, cx: &mut Context<'_>) -> Call;
}

/// Two who may end a tunnel: the stricter one counts.
struct Both<R>(Box<dyn Recall>, R);

impl<R: Recall> Recall for Both<R> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Call {
        self.0.poll(cx).max(self.1.poll(cx))
    }
}

/// The server's end of a tunnel, handed to the front in a response's [`Body::Tunnel`](crate::body::Body::Tunnel).
pub struct Tunnel {
    io: TunnelIo,
    protocol: String,
    recall: Option<Box<dyn Recall>>,
    idle: Option<Duration>,
    ending: Ending,
}

impl Tunnel {
    /// The end `io` of a connection that now speaks `protocol` (lower case, as in [`Upgrade`](crate::wire::Upgrade)).
    #[must_use]
    pub fn new(io: TunnelIo, protocol: String) -> Self {
        Self {
            io,
            protocol,
            recall: None,
            idle: None,
            ending: Ending {
                calls: Vec::new(),
                report: TunnelReport::NOTHING,
            },
        }
    }

    /// Calls `call` once when the tunnel has ended, in whatever way: also when nobody ever joined it (then nothing went through).
    pub fn on_end(&mut self, call: impl FnOnce(TunnelReport) + 'static) {
        self.ending.calls.push(Box::new(call));
    }

    /// Ends it after silence of `idle` both ways, whatever the listener's limits say.
    pub fn idle_for(&mut self, idle: Duration) {
        self.idle = Some(idle);
    }

    /// Lets `recall` end it, beside whoever else may.
    pub fn recall_by(&mut self, recall: impl Recall + 'static) {
        self.recall = Some(match self.recall.take() {
            None => Box::new(recall),
            Some(other) => Box::new(Both(other, recall)),
        });
    }

    /// What it speaks, in lower case.
    #[must_use]
    pub fn protocol(&self) -> &str {
        &self.protocol
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("protocol", &self.protocol)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

/// The report so far, told to whoever asked when it is dropped: a tunnel may end by being dropped.
struct Ending {
    calls: Vec<Box<dyn FnOnce(TunnelReport)>>,
    report: TunnelReport,
}

impl Drop for Ending {
    fn drop(&mut self) {
        for call in self.calls.drain(..) {
            call(self.report);
        }
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending")
            .field("calls", &self.calls.len())
            .field("report", &self.report)
            .finish()
    }
}
