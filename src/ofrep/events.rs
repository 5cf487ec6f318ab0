//! Tells who waits that flags say something else now: server-sent events.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::{sync::watch, time};

use super::Audience;
use crate::{
    clock,
    snapshot::{changes::Changes, serving::Mark},
};

/// Media type of the stream.
pub const MEDIA: &str = "text/event-stream";

/// Pause after which a comment is sent, so that whatever stands between sees that the stream lives.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Age at which a stream ends, so that none is for ever on an edge that others have relieved. Browsers come back by themselves.
pub const STREAM_AGE_MAX: Duration = Duration::from_secs(3600);
/// A change this young may have come between a page's reading of flags and its stream, so the page is told to read again.
pub const FRESH: Duration = Duration::from_secs(30);
/// Longest time over which the news of one change is spread.
pub const SPREAD_MAX: Duration = Duration::from_millis(300);
/// Longest wait for a change that another edge has told of already.
pub const CATCH_UP_MAX: Duration = Duration::from_secs(1);
/// Milliseconds after which a browser comes back to a stream that broke.
const RETRY_MS: u32 = 1000;

/// One client's stream.
#[derive(Debug)]
pub struct Stream {
    changes: watch::Receiver<Changes>,
    audience: Audience,
    /// What the client says it knows; taken by the first piece.
    known: Option<Option<String>>,
    told: Mark,
    /// When it ends.
    ends: Instant,
    /// How long this one waits before it tells of a change, so that not all pages ask at the same moment.
    spread: Duration,
}

impl Stream {
    /// A stream for who last saw the event `known`.
    #[must_use]
    pub fn new(
        changes: watch::Receiver<Changes>,
        audience: Audience,
        known: Option<&str>,
        spread: Duration,
    ) -> Self {
        Self {
            changes,
            audience,
            known: Some(known.map(str::to_owned)),
            told: Mark::default(),
            ends: clock::steady() + STREAM_AGE_MAX,
            spread: spread.min(SPREAD_MAX),
        }
    }

    /// The next piece, once there is one. `None`: the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(known) = self.known.take() {
            return Some(self.greet(known.as_deref()));
        }
        loop {
            if clock::steady() >= self.ends {
                return None;
            }
            match time::timeout(HEARTBEAT, self.changes.changed()).await {
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
                Ok(Err(_)) => return None, // nobody is left who could change anything
                Ok(Ok(())) => {}
            }
            if self.now() == self.told {
                continue;
            }
            time::sleep(self.spread).await;
            self.told = self.now();
            return Some(refetch(self.told).into());
        }
    }

    /// Names the present state without an event, and with one if the client may not know it.
    fn greet(&mut self, known: Option<&str>) -> Bytes {
        let (now, since) = {
            let changes = self.changes.borrow_and_update();
            let track = self.audience.track(&changes);
            (track.now, track.since)
        };
        self.told = now;
        let missed = match known {
            Some(known) => !now.is(known),
            None => clock::steady().saturating_duration_since(since) < FRESH,
        };
        let mut text = format!("retry: {RETRY_MS}\nid: {now}\n\n");
        if missed {
            text += &refetch(now);
        }
        text.into()
    }

    fn now(&mut self) -> Mark {
        self.audience.track(&self.changes.borrow_and_update()).now
    }
}

fn refetch(mark: Mark) -> String {
    format!("id: {mark}\nevent: message\ndata: {{\"type\":\"refetchEvaluation\",\"etag\":\"{mark}\"}}\n\n")
}

/// Waits until what an event named (`flagConfigEtag`) is in force or was, up to [`CATCH_UP_MAX`]; whether it is.
pub async fn caught_up(mut changes: watch::Receiver<Changes>, audience: Audience, mark: &str) -> bool {
    let known = changes.wait_for(|changes| audience.track(changes).knows(mark));
    time::timeout(CATCH_UP_MAX, known)
        .await
        .is_ok_and(|known| known.is_ok())
}
