//! What is kept, in what order, and what is given up for other cores.

use std::{rc::Rc, sync::Arc, time::Duration};

use super::{Connected, Lane, Pool, Pools, Reuse, SHARE_MIN};
use crate::{
    backend::{Backend, BackendSettings, EjectSettings, Pick, Scheme, ServerAddress},
    clock,
    http1::client::Home as _,
    limits::Limits,
    name::{BackendName, Place, SquadName},
    stream::Stream,
};

fn backend(connections_max: usize) -> Backend {
    let address = ServerAddress {
        scheme: Scheme::Http,
        host: "::1".to_owned(),
        port: 1,
    };
    let settings = BackendSettings {
        name: BackendName::new("pages").unwrap(),
        squad: SquadName::new("learn").unwrap(),
        place: Place {
            file: Arc::from("routes/learn.toml"),
            line: 1,
        },
        servers: vec![address.into()],
        versions: None,
        pick: Pick::default(),
        slow_start: None,
        panic_below: 0.0,
        eject: EjectSettings::default(),
        breaker: None,
        health: None,
        connect_timeout: Duration::from_secs(1),
        first_byte_timeout: Duration::from_secs(1),
        between_bytes_timeout: Duration::from_secs(1),
        total_timeout: None,
        attempts: 1,
        line: None,
        wording: None,
        connections_max,
        idle_max: 1_024,
        idle_timeout: Duration::from_secs(60),
        ca: None,
    };
    Backend::new(settings, None, None, None)
}

/// Gives the pool so many open connections; their far ends must live on.
async fn fill(pool: &Rc<Pool>, backend: &Backend, count: usize) -> Vec<tokio::io::DuplexStream> {
    let mut far_ends = Vec::new();
    for _ in 0..count {
        let (near, far) = tokio::io::duplex(64);
        let connected = Connected {
            stream: Stream::Memory(near),
            http2: false,
            peer: None,
        };
        pool.adopt(connected, backend, &Limits::default()).await.unwrap();
        far_ends.push(far);
    }
    far_ends
}

async fn take(pool: &Rc<Pool>, backend: &Backend) -> Lane {
    pool.lane(backend, Reuse::Any, &Limits::default()).await.unwrap()
}

fn give_back(lane: Lane) {
    if let Lane::Http1 { connection, home, .. } = lane {
        home.keep(connection);
    }
}

#[tokio::test]
async fn those_that_were_not_needed_grow_old_and_the_others_stay() {
    let backend = backend(1_000);
    let pools = Pools::default();
    let server = &Arc::clone(&backend.roster().servers[0]);
    let pool = pools.of(server);
    let _far_ends = fill(&pool, &backend, 10).await;
    let then = clock::steady();
    std::thread::sleep(Duration::from_millis(2));
    let busy = [take(&pool, &backend).await, take(&pool, &backend).await];
    busy.into_iter().for_each(give_back);
    assert_eq!(pools.counts(server.id).idle, 10);
    pools.sweep(then + backend.settings.idle_timeout);
    assert_eq!((pools.counts(server.id).idle, server.connections()), (2, 2));
    pools.sweep(then + 2 * backend.settings.idle_timeout);
    assert_eq!((pools.counts(server.id).idle, server.connections()), (0, 0));
}

#[tokio::test]
async fn a_core_keeps_its_share_of_what_the_server_may_have() {
    for (cores, connections_max, kept) in [(1, 1_000, 200), (10, 1_000, 100), (100, 1_000, SHARE_MIN)] {
        let backend = backend(connections_max);
        let server = &Arc::clone(&backend.roster().servers[0]);
        let cores: Vec<Pools> = (0..cores).map(|_| Pools::default()).collect();
        let pools: Vec<Rc<Pool>> = cores.iter().map(|core| core.of(server)).collect();
        let _far_ends = fill(&pools[0], &backend, 200).await;
        assert_eq!(cores[0].counts(server.id).idle, kept);
        assert_eq!(
            server.connections(),
            kept,
            "what is not kept gives its permit back"
        );
        drop((cores, pools));
        assert_eq!((server.pools(), server.connections()), (0, 0));
    }
}

#[tokio::test]
async fn what_lies_idle_goes_when_another_core_gets_none() {
    let backend = backend(100);
    let server = &Arc::clone(&backend.roster().servers[0]);
    let (rich, poor) = (Pools::default(), Pools::default());
    let _far_ends = fill(&rich.of(server), &backend, 60).await;
    let far_ends = fill(&poor.of(server), &backend, 40).await;
    let busy = async {
        let mut lanes = Vec::new();
        for _ in 0..40 {
            lanes.push(take(&poor.of(server), &backend).await);
        }
        lanes
    };
    let lanes = busy.await;
    let refused = poor
        .of(server)
        .lane(&backend, Reuse::Any, &Limits::default())
        .await;
    assert!(refused.is_err());
    for (idle, connections) in [(30, 70), (30, 70)] {
        rich.sweep(clock::steady());
        assert_eq!(rich.counts(server.id).idle, idle, "half of it, once");
        assert_eq!(server.connections(), connections);
    }
    drop((lanes, far_ends));
}

#[tokio::test]
async fn closed_ones_are_swept_out() {
    let backend = backend(100);
    let server = &Arc::clone(&backend.roster().servers[0]);
    let pools = Pools::default();
    let mut far_ends = fill(&pools.of(server), &backend, 4).await;
    far_ends.truncate(1);
    pools.sweep(clock::steady());
    assert_eq!(pools.counts(server.id).idle, 1);
}
