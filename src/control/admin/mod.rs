//! The admin listener: health, metrics, the read side of the API, and one page. It never shares a port with traffic.
//!
//! A request passes `door` (may it ask at all, and who asks; with `host`, `credential`, `session`, `cookie`, `attempts`; `login` and
//! `issuer` are how browsers get a session, `actor` whom the door let in), meets its row in `table` (everything that can be asked, in one table, which
//! is the router and the OpenAPI document alike), and leaves as an `answer`. `api` says what JSON looks like, `page` draws the
//! same answers as HTML, `refusal` says no.

mod actor;
mod answer;
mod api;
mod assets;
mod attempts;
mod cookie;
mod credential;
mod door;
mod endpoints;
mod host;
mod issuer;
mod live;
mod login;
mod openapi;
mod page;
mod refusal;
mod session;
mod stay;
mod table;
#[cfg(test)]
mod tests;
pub mod tokens;

#[cfg(test)]
pub(in crate::control) use tests::view as site_for_tests;

use std::{net::TcpListener, sync::Arc, time::Duration};

use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
};

pub use self::door::{Door, LINK_AGE_MAX};
use super::plane::View;
use stay::Stay;

/// Connections that are served at once; more wait in the kernel's queue. Two Prometheus servers, probes and a team's browsers.
const CONNECTIONS_MAX: usize = 64;
/// Time for a request's head, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Age at which a connection is closed after its exchange: nobody holds one of the few for ever.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Pause after the system refused a connection, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers on `listener` for as long as it is polled, inside a `LocalSet`, or until it has `left` the listener to another program; then
/// connections end with what is under way on them.
pub async fn serve(listener: TcpListener, view: View, left: watch::Receiver<bool>) {
    let listener = match listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener))
    {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin listener can't be used"),
    };
    let (pulse, metrics, now) = (
        Arc::clone(&view.pulse),
        view.metrics.clone(),
        Arc::clone(&view.live),
    );
    let keeper = tokio::task::spawn_local(async move { pulse.keep(&metrics, &now).await });
    answer_all(listener, view, left).await;
    keeper.abort();
}

async fn answer_all(listener: tokio::net::TcpListener, view: View, left: watch::Receiver<bool>) {
    let service = TowerToHyperService::new(endpoints::router(view));
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut leaving = left.clone();
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            biased;
            () = has_left(&mut leaving) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (service, left) = (service.clone(), left.clone());
                let peer = door::Peer(peer.ip());
                tokio::task::spawn_local(converse(stream, peer, service, Stay::with(seat), left));
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection can't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    peer: door::Peer,
    service: TowerToHyperService<axum::Router>,
    stay: Stay,
    mut left: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let of_connection = stay.clone();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(of_connection.clone());
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // What ends a connection early is the client's affair: it went away, was too slow, or spoke something else.
    let ended = tokio::select! {
        ended = tokio::time::timeout(CONNECTION_AGE_MAX, connection.as_mut()) => ended.is_ok(),
        () = has_left(&mut left) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(stay.last_exchange_timeout(), connection).await;
    }
}

/// The listener is another program's. (A vanished sender says nothing: the control plane has ended.)
async fn has_left(left: &mut watch::Receiver<bool>) {
    if left.wait_for(|left| *left).await.is_err() {
        std::future::pending().await
    }
}
