//! The development CA: clients that trust it accept the leaf; it is kept, and renewed in time.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::{acceptor::ServerTls, certs::CertStore, client_config, development::ensure};
use crate::clock::{self, UnixTime};

fn later(now: UnixTime, days: u64) -> UnixTime {
    UnixTime::from_secs(now.secs() + days * 86_400)
}

#[tokio::test]
async fn a_client_that_trusts_the_ca_accepts_the_leaf_for_every_name() {
    let state = tempfile::tempdir().unwrap();
    let hosts = [
        "shop.example.com",
        "Localhost",
        "*.localhost",
        "app.localhost",
        "*.apps.test",
    ]
    .map(str::to_owned);
    let made = ensure(state.path(), &hosts, clock::wall()).unwrap();
    let (store, problems) = CertStore::read(&made.folder, None);
    assert_eq!(problems, []);
    let tls = ServerTls::new(store).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client_config(Some(&made.ca)).unwrap();
    for host in [
        "localhost",
        "app.localhost",
        "127.0.0.1",
        "::1",
        "shop.example.com",
        "one.apps.test",
    ] {
        let connector = TlsConnector::from(Arc::clone(&client));
        let near = async {
            let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            connector.connect(ServerName::try_from(host).unwrap(), tcp).await
        };
        let far = async {
            let (tcp, _) = listener.accept().await.unwrap();
            tls.accept(tcp, Duration::from_secs(10)).await
        };
        let (near, far) = tokio::join!(near, far);
        let (_, facts) = far.unwrap();
        near.unwrap();
        assert!(facts.alpn_h2, "{host}");
    }
}

#[test]
fn ca_and_leaf_are_kept_until_they_must_change() {
    let state = tempfile::tempdir().unwrap();
    let now = clock::wall();
    let hosts = ["a.test".to_owned()];
    let mut seen = Vec::new();
    let mut read = |hosts: &[String], now| {
        let made = ensure(state.path(), hosts, now).unwrap();
        let leaf = fs::read_to_string(made.folder.join("development.pem")).unwrap();
        let next = (fs::read_to_string(&made.ca).unwrap(), leaf);
        let changed = seen
            .last()
            .map(|last: &(String, String)| (last.0 != next.0, last.1 != next.1));
        seen.push(next);
        changed
    };
    assert_eq!(read(&hosts, now), None);
    assert_eq!(read(&hosts, later(now, 59)), Some((false, false)));
    assert_eq!(read(&hosts, later(now, 61)), Some((false, true)), "near its end");
    assert_eq!(read(&[], later(now, 61)), Some((false, true)), "other names");
    assert_eq!(
        read(&[], later(now, 5 * 365 - 60)),
        Some((true, true)),
        "the CA too"
    );
    fs::write(state.path().join("dev-ca/ca.key"), "broken").unwrap();
    assert_eq!(
        read(&[], later(now, 5 * 365 - 60)),
        Some((true, true)),
        "a lost key"
    );
}

#[test]
fn keys_are_for_the_owner_alone() {
    let state = tempfile::tempdir().unwrap();
    ensure(state.path(), &[], clock::wall()).unwrap();
    for file in ["dev-ca/ca.key", "dev-ca/certs/development.pem"] {
        let mode = fs::metadata(state.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn processes_that_start_together_end_with_one_ca() {
    const THREADS: usize = 4;
    for round in 0..8 {
        let state = tempfile::tempdir().unwrap();
        let now = clock::wall();
        let start = std::sync::Barrier::new(THREADS);
        let made: Vec<String> = std::thread::scope(|scope| {
            let run = || {
                start.wait();
                fs::read_to_string(ensure(state.path(), &[], now).unwrap().ca).unwrap()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(made.iter().all(|ca| Some(ca) == made.first()), "round {round}");
    }
}
