//! Serves one HTTP/2 connection of a client, with all its streams, in one task.
//!
//! One poll of the task reads what is there, takes in all frames (`receive`), polls the streams that were woken (`tasks`,
//! `answer`), and writes what all of them had to say at once (`send`). Nothing is handed from task to task, nothing is locked:
//! `conn` is what they share, borrowed for single steps only.
//!
//! - `frame` and `hpack` are the bytes, `flow` the windows, `head` the judgement of a request: all without input or output.
//! - `stream` is a stream's state, `body` what reads a request's body or makes a pipe of a stream.
//!
//! # What a client can't do
//! Open more than `streams_max` streams; reset more than `resets_per_second_max` of them, or make us reset as many; send more
//! than a thousand frames a second that carry nothing, WINDOW_UPDATE beyond what our DATA explains among them; spread a head over
//! more than sixteen CONTINUATION frames, or over more bytes than our SETTINGS allow its fields; make us keep more of a head than
//! its bounds, whatever its compression says; leave a head half sent, our SETTINGS unanswered with its own, or what we write
//! unread for longer than its time. Answers take turns of 32 KiB, so that a large one never holds up small ones; priorities
//! (RFC 9113 section 5.3, RFC 9218) are not followed.

mod answer;
mod body;
mod conn;
mod control;
mod flow;
pub mod frame;
mod head;
pub mod hpack;
mod receive;
mod send;
mod stream;
mod tasks;

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use h2::Reason;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

pub use self::body::RequestBody;
use self::{
    answer::{World, exchange},
    conn::{Begun, Conn, Leaving, OUT_BYTES_MAX, Shared},
    tasks::{Ready, Tasks},
};
use crate::{
    clock,
    limits::Limits,
    stream::{Stream, append},
    tunnel::idle::IdleTimer,
    wire::{Drain, Phase, Service},
};

/// Time that a connection without streams gets to acknowledge that it is over.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes that a connection which has ended in peace still takes in.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// Times that a connection reads, works and writes before others get their turn.
const ROUNDS_MAX: usize = 8;

/// A written-out buffer larger than this is given up.
const SPARE_BYTES_MAX: usize = 2 * OUT_BYTES_MAX;

thread_local! {
    /// What a read goes through: a connection keeps only what it can't take in yet.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
    /// What a connection writes to while it is polled: it keeps only what can't be written yet.
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Serves `stream` until it ends: the client closes it, it was idle for too long, a limit was broken, or `drain` ends it.
pub async fn serve<S: Service + 'static>(stream: Stream, service: Rc<S>, limits: &Limits, drain: Drain) {
    let ready = Arc::new(Ready::new(
        usize::try_from(limits.streams_max).unwrap_or(usize::MAX),
    ));
    let conn = Rc::new(RefCell::new(Conn::new(limits, Arc::clone(&ready))));
    let world = Rc::new(World {
        conn: Rc::clone(&conn),
        service,
        limits: limits.clone(),
        drain: drain.clone(),
    });
    let mut driver = Driver {
        stream,
        tasks: Tasks::new(Arc::clone(&ready)),
        ready,
        conn,
        make: move |begun| exchange(Rc::clone(&world), begun),
        limits,
        held: BytesMut::new(),
        sent: 0,
        unflushed: false,
        handshake: Some(IdleTimer::new(limits.handshake_timeout)),
        idle: IdleTimer::new(limits.idle_timeout),
        unwritten: None,
        mid_head: None,
        skipped: false,
    };
    let (mut stopping, mut draining) = (drain.clone(), drain);
    let mut drained = pin!(draining.reached(Phase::Draining));
    let mut stopped = pin!(stopping.reached(Phase::Stopped));
    let mut serving = true;
    poll_fn(|cx| {
        driver.ready.begin(cx);
        if serving && drained.as_mut().poll(cx).is_ready() {
            serving = false;
            driver.leave();
        }
        if !serving && stopped.as_mut().poll(cx).is_ready() {
            driver.conn.borrow_mut().leave_now(Reason::NO_ERROR);
        }
        let polled = driver.poll(cx);
        if driver.ready.end() && polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await;
    driver.close().await;
}

struct Driver<'l, M, F> {
    stream: Stream,
    conn: Shared,
    ready: Arc<Ready>,
    tasks: Tasks<F>,
    make: M,
    limits: &'l Limits,
    /// Received, and not to be taken in before more has come.
    held: BytesMut,
    /// Bytes of the output that are written.
    sent: usize,
    unflushed: bool,
    /// Runs until the client's SETTINGS came.
    handshake: Option<IdleTimer>,
    /// Runs while no stream is open.
    idle: IdleTimer,
    /// Runs while the client doesn't take what we write.
    unwritten: Option<IdleTimer>,
    /// Runs while a head has begun and not ended.
    mid_head: Option<IdleTimer>,
    /// Nothing was read because too much waits to be written: who reads on must not wait for a wake-up that nobody asked for.
    skipped: bool,
}

impl<M: Fn(Begun) -> F, F: Future<Output = ()>> Driver<'_, M, F> {
    /// Ready: the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        {
            let out = &mut self.conn.borrow_mut().out;
            if out.capacity() == 0 {
                *out = SPARE.take();
            }
        }
        for round in 0.. {
            let more = match self.poll_read(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => false,
            };
            self.work();
            let written = match self.poll_write(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                written => written.is_ready(),
            };
            if self.is_over(written) {
                return Poll::Ready(());
            }
            let more = more || (std::mem::take(&mut self.skipped) && written);
            let waiting = written && !self.conn.borrow().waiting.is_empty();
            if !(more || waiting || self.ready.any()) {
                break;
            }
            if round >= ROUNDS_MAX {
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.release();
        self.poll_timers(cx)
    }

    /// Whether nothing is left to be done.
    fn is_over(&self, written: bool) -> bool {
        let conn = self.conn.borrow();
        match conn.leaving {
            Leaving::Now => written,
            Leaving::Told => written && conn.streams.open() == 0,
            Leaving::No | Leaving::Asked => false,
        }
    }

    fn leave(&mut self) {
        self.conn.borrow_mut().leave();
        self.idle = IdleTimer::new(GOODBYE_TIMEOUT);
    }

    /// Reads once and takes in what came. Ready: there may be more. An end is an error: nothing is owed to who has gone.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        {
            let conn = self.conn.borrow();
            if !conn.has_room() || conn.leaving == Leaving::Now {
                self.skipped = conn.leaving != Leaving::Now;
                return Poll::Pending; // what we have to say is written first
            }
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            let came = read.filled();
            if came.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let mut conn = self.conn.borrow_mut();
            let (leaving, now) = (conn.leaving, clock::steady());
            let taken = if self.held.is_empty() {
                let taken = conn.take_in(came, now);
                append(&mut self.held, came.get(taken..).unwrap_or_default());
                taken
            } else {
                append(&mut self.held, came);
                let taken = conn.take_in(&self.held, now);
                self.held.advance(taken);
                taken
            };
            if taken > 0 && !conn.mid_head() {
                self.mid_head = None; // it is another frame that has begun
            }
            if conn.leaving != leaving {
                self.idle = IdleTimer::new(GOODBYE_TIMEOUT);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Begins what has begun, drops what is dropped, polls what was woken, and what waits as long as there is room.
    fn work(&mut self) {
        self.sort();
        let conn = &self.conn;
        self.tasks.poll_woken(|slot| conn.borrow_mut().finish(slot));
        let turns = self.conn.borrow().waiting.len();
        for _ in 0..turns {
            let Some(slot) = self.conn.borrow_mut().next_waiting() else {
                break;
            };
            if self.tasks.poll(slot) {
                self.conn.borrow_mut().finish(slot);
            }
        }
    }

    fn sort(&mut self) {
        loop {
            // One at a time: futures are dropped and made while nothing is borrowed.
            let dropped = self.conn.borrow_mut().dropped.pop();
            match dropped {
                Some(slot) => self.tasks.drop_at(slot),
                None => break,
            }
        }
        let mut begun = std::mem::take(&mut self.conn.borrow_mut().begun);
        for begun in begun.drain(..) {
            let at = begun.at;
            if self.conn.borrow().streams.get(at).is_some() {
                let make = &self.make;
                self.tasks.spawn(at.slot, || make(begun));
            }
        }
        let mut conn = self.conn.borrow_mut();
        if conn.begun.is_empty() {
            conn.begun = begun; // its memory, for the next ones
        }
    }

    /// Writes what waits, and flushes.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut conn = self.conn.borrow_mut();
        while self.sent < conn.out.len() {
            let rest = conn.out.get(self.sent..).unwrap_or_default();
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
            self.unflushed = true;
            if let Some(unwritten) = &mut self.unwritten {
                unwritten.touch();
            }
        }
        self.sent = 0;
        conn.out.clear();
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives up memory that an idle connection has no use for.
    fn release(&mut self) {
        if self.held.is_empty() && self.held.capacity() > 0 {
            self.held = BytesMut::new();
        }
        let mut conn = self.conn.borrow_mut();
        if conn.out.is_empty() {
            let out = std::mem::take(&mut conn.out);
            if out.capacity() <= SPARE_BYTES_MAX {
                SPARE.set(out);
            }
        }
        if conn.streams.open() == 0 {
            self.tasks.clear();
            conn.begun.shrink_to(1);
            conn.dropped.shrink_to(1);
        } else {
            self.idle.touch();
        }
    }

    /// Ready: somebody was too slow, and the connection is to be dropped.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let conn = self.conn.borrow();
        if conn.out.is_empty() && !self.unflushed {
            self.unwritten = None;
        } else {
            let unwritten = self
                .unwritten
                .get_or_insert_with(|| IdleTimer::new(self.limits.write_timeout));
            if unwritten.poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        if conn.settings_seen {
            self.handshake = None;
        } else if let Some(handshake) = &mut self.handshake
            && handshake.poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        if self.held.is_empty() && !conn.mid_head() {
            self.mid_head = None;
        } else {
            let mid_head = self
                .mid_head
                .get_or_insert_with(|| IdleTimer::new(self.limits.head_timeout));
            if mid_head.poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        let (open, leaving) = (conn.streams.open(), conn.leaving);
        drop(conn);
        if open == 0 && self.idle.poll(cx).is_ready() {
            if leaving != Leaving::No {
                return Poll::Ready(());
            }
            self.leave();
            cx.waker().wake_by_ref(); // so that its GOAWAY is written
        }
        Poll::Pending
    }

    /// Lets go of all streams, and closes.
    async fn close(mut self) {
        let in_peace = self.conn.borrow().leaving == Leaving::Told;
        self.conn.borrow_mut().cut();
        self.tasks.clear();
        let goodbye = async {
            self.stream.shutdown().await?;
            if in_peace {
                self.linger().await?;
            }
            Ok::<_, io::Error>(())
        };
        let _ = timeout(GOODBYE_TIMEOUT, goodbye).await;
    }

    /// Takes in what the client still says, up to its end: a socket closed with bytes unread is reset, and a client that is told so
    /// when it next writes may give up answers that have arrived already.
    async fn linger(&mut self) -> io::Result<()> {
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            let came = poll_fn(|cx| {
                SCRATCH.with_borrow_mut(|scratch| {
                    let mut read = ReadBuf::new(scratch);
                    ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
                    Poll::Ready(Ok::<_, io::Error>(read.filled().len()))
                })
            })
            .await?;
            if came == 0 {
                break;
            }
            left = left.saturating_sub(came);
        }
        Ok(())
    }
}
