//! Both directions of a tunnel as one future, with its deadlines and its farewell.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::AsyncWrite;

use super::{
    Call, Tunnel, TunnelEnd, TunnelIo, TunnelReport, frames,
    idle::IdleTimer,
    pump::{Failed, Pump},
};
use crate::{
    limits::Limits,
    wire::{Drain, Phase},
};

/// The part of the drain's window over which farewells are spread, so that not all clients come back in one moment.
const FAREWELL_SPREAD: u32 = 8;
/// The same where another program serves already: there is somebody to come back to, and half of the window is left to agree on the end.
const UNHURRIED_SPREAD: u32 = 2;

/// Moves bytes between the client's end `front` and the server's end `back` until both have ended.
///
/// Each direction holds at most 16 KiB, so a slow receiver slows its sender. The end of one direction is passed on; the other
/// goes on. Silence both ways for `tunnel_idle_timeout` ends it. A WebSocket is asked to close (1012, RFC 6455 section 7.4)
/// between two frames when a drain begins, or when it is called back; anything still open when the drain's window is over is cut.
pub async fn join(front: TunnelIo, back: Box<Tunnel>, limits: &Limits, drain: Drain) -> TunnelReport {
    let Tunnel {
        io: back,
        protocol,
        mut recall,
        idle,
        mut ending,
    } = *back;
    let websocket = protocol == "websocket";
    let mut pair = Pair {
        front,
        back,
        up: Pump::new(websocket),
        down: Pump::new(websocket),
        closing: false,
        idle: IdleTimer::new(idle.unwrap_or(limits.tunnel_idle_timeout)),
    };
    let (mut stopped, mut draining) = (drain.clone(), drain);
    let mut stopped = pin!(stopped.reached(Phase::Stopped));
    let mut farewell = pin!(async {
        draining.reached(Phase::Draining).await;
        let window = match draining.phase() {
            Phase::HandedOver => limits.handover_window / UNHURRIED_SPREAD,
            Phase::Serving | Phase::Draining | Phase::Stopped => limits.drain_timeout / FAREWELL_SPREAD,
        };
        tokio::time::sleep(spread(window)).await;
    });
    let mut recalled = false;
    let end = poll_fn(|cx| {
        if stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(TunnelEnd::Cut);
        }
        if websocket && !pair.closing && farewell.as_mut().poll(cx).is_ready() {
            pair.close();
        }
        match recall.as_mut().map_or(Call::Stay, |recall| recall.poll(cx)) {
            Call::Stay => {}
            Call::Leave if websocket && pair.closing => {}
            Call::Leave if websocket => {
                recalled = true;
                pair.close();
            }
            Call::Leave | Call::Cut => return Poll::Ready(TunnelEnd::Recalled),
        }
        let polled = pair.poll(cx);
        // So that a tunnel that is dropped halfway reports what it moved.
        ending.report.bytes_up = pair.up.bytes;
        ending.report.bytes_down = pair.down.bytes;
        polled
    })
    .await;
    ending.report.end = match end {
        TunnelEnd::Drained if recalled => TunnelEnd::Recalled,
        end => end,
    };
    ending.report
}

struct Pair {
    front: TunnelIo,
    back: TunnelIo,
    up: Pump,
    down: Pump,
    closing: bool,
    idle: IdleTimer,
}

impl Pair {
    fn close(&mut self) {
        self.closing = true;
        self.down.close_with(frames::close_to_client());
        self.up.close_with(frames::close_to_server(random()));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        let mut moved = false;
        let up = self.up.poll(cx, &mut self.front, &mut self.back, &mut moved);
        let down = self.down.poll(cx, &mut self.back, &mut self.front, &mut moved);
        if self.closing {
            return self.poll_closing(cx, up, down);
        }
        match (up, down) {
            (Poll::Ready(Err(Failed::Reading)), _) | (_, Poll::Ready(Err(Failed::Writing))) => {
                return Poll::Ready(TunnelEnd::FrontFailed);
            }
            (Poll::Ready(Err(Failed::Writing)), _) | (_, Poll::Ready(Err(Failed::Reading))) => {
                return Poll::Ready(TunnelEnd::BackFailed);
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(TunnelEnd::Closed),
            _ => {}
        }
        if moved {
            self.idle.touch();
        }
        self.idle.poll(cx).map(|()| TunnelEnd::Idle)
    }

    /// The client has been told, or will be at the next boundary: wait for its Close or its end.
    fn poll_closing(
        &mut self,
        cx: &mut Context<'_>,
        up: Poll<Result<(), Failed>>,
        down: Poll<Result<(), Failed>>,
    ) -> Poll<TunnelEnd> {
        match (up, down) {
            (Poll::Ready(Err(Failed::Reading)), _) | (_, Poll::Ready(Err(Failed::Writing))) => {
                return Poll::Ready(TunnelEnd::Drained);
            }
            (_, Poll::Ready(Err(Failed::Reading))) => return Poll::Ready(TunnelEnd::BackFailed),
            (Poll::Ready(Err(Failed::Writing)), _) => {
                self.up.abandon();
                cx.waker().wake_by_ref();
            }
            _ => {}
        }
        if self.down.torn() {
            return Poll::Ready(TunnelEnd::BackFailed);
        }
        if self.up.sender_done() && self.down.said_farewell() {
            // Whether these succeed changes nothing: both sides know, and both ends are dropped next.
            let _ = Pin::new(&mut self.front).poll_shutdown(cx);
            let _ = Pin::new(&mut self.back).poll_shutdown(cx);
            return Poll::Ready(TunnelEnd::Drained);
        }
        Poll::Pending
    }
}

/// A moment between now and `whole`.
fn spread(whole: Duration) -> Duration {
    let [byte, ..] = random();
    whole * u32::from(byte) / 256
}

/// Four bytes that a server can't foresee (RFC 6455 section 5.3).
fn random() -> [u8; 4] {
    let mut bytes = [0; 4];
    // Should the system have no randomness, a constant mask still makes a valid frame.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}
