//! Serves one HTTP/2 connection of a client, with all its streams.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::Reason;
use tokio::{task::JoinSet, time::timeout};

use super::{
    CONNECTION_WINDOW_BYTES, HEADER_TABLE_BYTES, SEND_BYTES_MAX, STREAM_WINDOW_BYTES,
    exchange::{Shared, exchange},
    frames::Frames,
    rate::Rate,
    socket::Socket,
};
use crate::{
    limits::Limits,
    stream::Stream,
    tunnel::idle::IdleTimer,
    wire::{Drain, Phase, Service},
};

/// Time that a connection without streams gets to acknowledge that it is over.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Stream errors of the client that `h2` answers itself, over a connection's life (CVE-2025-8671).
const ERROR_RESETS_MAX: usize = 1024;

/// Streams reset by the client before the service could see them (CVE-2023-44487).
const UNSEEN_RESETS_MAX: usize = 100;

/// Serves `stream` until it ends: the client closes it, it was idle for too long, a limit was broken, or `drain` ends it.
///
/// Runs inside a [`LocalSet`](tokio::task::LocalSet); every stream is a task of its own, and none outlives the connection.
pub async fn serve<S: Service + 'static>(stream: Stream, service: Rc<S>, limits: &Limits, drain: Drain) {
    let socket = Socket::new(stream, Frames::from_client(limits.resets_per_second_max));
    let Ok(Some(h2)) = timeout(limits.handshake_timeout, handshake(&socket, limits)).await else {
        return;
    };
    let mut connection = Connection {
        h2,
        socket,
        streams: JoinSet::new(),
        shared: Rc::new(Shared {
            service,
            limits: limits.clone(),
            drain: drain.clone(),
            resets: RefCell::new(Rate::new(limits.resets_per_second_max)),
            too_many_resets: Cell::new(false),
        }),
        requests: 0,
        leaving: Leaving::No,
        idle: IdleTimer::new(limits.idle_timeout),
        unwritten: None,
        written: 0,
        mid_head: None,
    };
    let (mut stopping, mut draining) = (drain.clone(), drain);
    let mut stopped = pin!(stopping.reached(Phase::Stopped));
    let mut drained = pin!(draining.reached(Phase::Draining));
    let mut serving = true;
    poll_fn(|cx| {
        if stopped.as_mut().poll(cx).is_ready() {
            connection.leave_now(Reason::NO_ERROR);
        }
        if serving && drained.as_mut().poll(cx).is_ready() {
            serving = false;
            connection.leave();
        }
        connection.poll(cx)
    })
    .await;
}

async fn handshake(socket: &Socket, limits: &Limits) -> Option<h2::server::Connection<Socket, Bytes>> {
    // Fields count 32 bytes more here than in HTTP/1.1; what is beyond our own limit should reach us, to be answered.
    let list_bytes = limits.head_bytes_max * 2 + limits.headers_max * 32;
    let mut handshake = h2::server::Builder::new()
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(list_bytes).unwrap_or(u32::MAX))
        .header_table_size(HEADER_TABLE_BYTES)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BYTES_MAX)
        .max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
        .max_pending_accept_reset_streams(UNSEEN_RESETS_MAX)
        .enable_connect_protocol()
        .handshake::<_, Bytes>(socket.clone());
    poll_fn(|cx| {
        let polled = Pin::new(&mut handshake).poll(cx);
        match socket.poll_push(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(None),
            _ => polled.map(Result::ok),
        }
    })
    .await
}

/// How far a connection is on its way out.
#[derive(Debug)]
enum Leaving {
    No,
    /// GOAWAY was sent; streams that exist are finished.
    Gently,
    /// Everything is cut; only the GOAWAY is still to be written.
    Now,
}

struct Connection<S> {
    h2: h2::server::Connection<Socket, Bytes>,
    socket: Socket,
    streams: JoinSet<()>,
    shared: Rc<Shared<S>>,
    requests: u64,
    leaving: Leaving,
    /// Runs while no stream is open.
    idle: IdleTimer,
    /// Runs while the client doesn't take what we write.
    unwritten: Option<IdleTimer>,
    written: u64,
    /// Runs while a head has begun and not ended.
    mid_head: Option<IdleTimer>,
}

impl<S: Service + 'static> Connection<S> {
    /// Takes no new streams, and ends when the last one has ended: GOAWAY twice (RFC 9113 section 6.8).
    fn leave(&mut self) {
        if matches!(self.leaving, Leaving::No) {
            self.leaving = Leaving::Gently;
            self.h2.graceful_shutdown();
            self.idle = IdleTimer::new(GOODBYE_TIMEOUT);
        }
    }

    fn leave_now(&mut self, reason: Reason) {
        if !matches!(self.leaving, Leaving::Now) {
            self.leaving = Leaving::Now;
            self.h2.abrupt_shutdown(reason);
            self.streams.abort_all();
            self.idle = IdleTimer::new(GOODBYE_TIMEOUT);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(Some(_)) = self.streams.poll_join_next(cx) {
            self.idle.touch();
        }
        while let Poll::Ready(accepted) = self.h2.poll_accept(cx) {
            let Some(Ok((request, responder))) = accepted else {
                return Poll::Ready(());
            };
            self.streams
                .spawn_local(exchange(request, responder, Rc::clone(&self.shared)));
            self.requests += 1;
            if self.requests >= self.shared.limits.requests_per_connection_max {
                self.leave();
            }
        }
        if self.socket.flood().is_some() || self.shared.too_many_resets.take() {
            self.leave_now(Reason::ENHANCE_YOUR_CALM);
            cx.waker().wake_by_ref(); // so that `h2` writes its GOAWAY
        }
        match self.poll_timers(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready: the connection is to be dropped.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limits = &self.shared.limits;
        match self.socket.poll_push(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(())) => self.unwritten = None,
            Poll::Pending => {
                let timer = self
                    .unwritten
                    .get_or_insert_with(|| IdleTimer::new(limits.write_timeout));
                let written = self.socket.written();
                if std::mem::replace(&mut self.written, written) != written {
                    timer.touch();
                }
                if timer.poll(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
        }
        if !self.socket.mid_head() {
            self.mid_head = None;
        } else if self
            .mid_head
            .get_or_insert_with(|| IdleTimer::new(limits.head_timeout))
            .poll(cx)
            .is_ready()
        {
            return Poll::Ready(());
        }
        if self.streams.is_empty() && self.idle.poll(cx).is_ready() {
            if !matches!(self.leaving, Leaving::No) {
                return Poll::Ready(());
            }
            self.leave();
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
