//! Handshakes over loopback, with rustls as the client.

use std::{path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, NamedGroup, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    acceptor::{ServerTls, TlsError, TlsFacts, TlsVersion},
    certs::CertStore,
    made::{Authority, put},
};
use crate::stream::Stream;

const SOON: Duration = Duration::from_secs(10);

/// An authority, a folder of certificates, and the server that shows them.
struct World {
    authority: Authority,
    folder: TempDir,
    tls: ServerTls,
    listener: TcpListener,
}

impl World {
    async fn new(certs: &[(&str, &str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.write(&folder.path().join("ca.txt"));
        for (stem, name, kind) in certs {
            authority.issue(&[name], kind, 36_500).write(folder.path(), stem);
        }
        let (store, problems) = CertStore::read(folder.path(), None);
        assert_eq!(problems, []);
        Self {
            authority,
            tls: ServerTls::new(store).unwrap(),
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            folder,
        }
    }

    fn client(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.folder.path().join("ca.txt")).unwrap();
        roots.add(ca).unwrap();
        let mut config = ClientConfig::builder_with_provider(super::provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
        Arc::new(config)
    }

    /// One handshake; a byte travels both ways, so that tickets arrive.
    async fn shake(&self, client: &Arc<ClientConfig>, host: &str) -> Shaken {
        let address = self.listener.local_addr().unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::clone(client));
        let near = async {
            let tcp = TcpStream::connect(address).await.unwrap();
            connector.connect(name, tcp).await
        };
        let far = async {
            let (tcp, _) = self.listener.accept().await.unwrap();
            self.tls.accept(tcp, SOON).await
        };
        let (near, far) = tokio::join!(near, far);
        let (mut far, facts) = far.unwrap();
        let mut near = near.unwrap();
        echo(&mut near, &mut far).await;
        Shaken { near, far, facts }
    }

    fn reread(&self) -> usize {
        let (store, problems) = CertStore::read(self.folder.path(), Some(&self.tls.certs()));
        self.tls.swap(store);
        problems.len()
    }
}

struct Shaken {
    near: TlsStream<TcpStream>,
    far: Stream,
    facts: TlsFacts,
}

impl Shaken {
    fn certificate(&self) -> CertificateDer<'static> {
        let chain = self.near.get_ref().1.peer_certificates().unwrap();
        chain.first().unwrap().clone().into_owned()
    }
}

async fn echo(near: &mut TlsStream<TcpStream>, far: &mut Stream) {
    let mut byte = [0];
    near.write_all(b"a").await.unwrap();
    far.read_exact(&mut byte).await.unwrap();
    far.write_all(b"b").await.unwrap();
    near.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"b");
}

#[tokio::test]
async fn both_versions_are_spoken_and_the_post_quantum_exchange_is_the_first_choice() {
    let world = World::new(&[("a", "a.test", "ecdsa")]).await;
    for (version, expected) in [(&TLS12, TlsVersion::Tls12), (&TLS13, TlsVersion::Tls13)] {
        let shaken = world.shake(&world.client(&[version], &[]), "a.test").await;
        assert_eq!(shaken.facts.version, expected);
        assert_eq!(shaken.facts.sni.as_deref(), Some("a.test"));
    }
    let shaken = world.shake(&world.client(&[&TLS13], &[]), "a.test").await;
    let group = shaken.near.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn a_second_handshake_takes_up_the_session_of_the_first() {
    let world = World::new(&[("a", "a.test", "ecdsa")]).await;
    for version in [&TLS12, &TLS13] {
        let client = world.client(&[version], &[]);
        assert!(!world.shake(&client, "a.test").await.facts.resumed);
        world
            .authority
            .issue(&["a.test"], "ecdsa", 36_500)
            .write(world.folder.path(), "a");
        assert_eq!(world.reread(), 0);
        assert!(
            world.shake(&client, "a.test").await.facts.resumed,
            "also after the certificate was renewed"
        );
    }
}

#[tokio::test]
async fn http2_is_agreed_on_where_the_client_offers_it() {
    let world = World::new(&[("a", "a.test", "ecdsa")]).await;
    for (offered, h2) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], true),
        (&[b"http/1.1", b"h2"], true),
        (&[b"http/1.1"], false),
        (&[], false),
    ] {
        let shaken = world.shake(&world.client(&[&TLS13], offered), "a.test").await;
        assert_eq!(shaken.facts.alpn_h2, h2, "{offered:?}");
    }
}

#[tokio::test]
async fn ecdsa_is_shown_first_and_rsa_to_clients_without_it() {
    let world = World::new(&[("a", "a.test", "ecdsa"), ("b", "a.test", "rsa")]).await;
    let all = world
        .shake(&world.client(&[&TLS13], &[]), "a.test")
        .await
        .certificate();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .retain(|suite| format!("{:?}", suite.suite()).contains("ECDHE_RSA"));
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS12])
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(world.folder.path().join("ca.txt")).unwrap())
        .unwrap();
    let client = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let rsa = world.shake(&client, "a.test").await.certificate();
    let store = world.tls.certs();
    let leaf = |at: usize| {
        store
            .pairs()
            .nth(at)
            .unwrap()
            .certified
            .cert
            .first()
            .unwrap()
            .clone()
    };
    assert_eq!((all, rsa), (leaf(0), leaf(1)));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_while_an_open_connection_goes_on() {
    let world = World::new(&[("a", "a.test", "ecdsa")]).await;
    let mut open = world.shake(&world.client(&[&TLS13], &[]), "a.test").await;

    put(world.folder.path(), "a.pem", "a half-written file");
    assert_eq!(world.reread(), 1);
    let same = world.shake(&world.client(&[&TLS13], &[]), "a.test").await;
    assert_eq!(same.certificate(), open.certificate(), "the old one stays");

    world
        .authority
        .issue(&["a.test"], "ecdsa", 36_500)
        .write(world.folder.path(), "a");
    world
        .authority
        .issue(&["new.test"], "ecdsa", 36_500)
        .write(world.folder.path(), "new");
    assert_eq!(world.reread(), 0);
    let renewed = world.shake(&world.client(&[&TLS13], &[]), "a.test").await;
    assert_ne!(renewed.certificate(), open.certificate());
    world.shake(&world.client(&[&TLS13], &[]), "new.test").await;
    echo(&mut open.near, &mut open.far).await;
}

/// Sends `bytes` instead of a handshake, and expects this error.
#[track_caller]
fn check_refused(bytes: &'static [u8], timeout: Duration, expected: &TlsError) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(async {
        let world = World::new(&[("a", "a.test", "ecdsa")]).await;
        let mut tcp = TcpStream::connect(world.listener.local_addr().unwrap())
            .await
            .unwrap();
        tcp.write_all(bytes).await.unwrap();
        if *expected == TlsError::Closed {
            tcp.shutdown().await.unwrap();
        }
        let (far, _) = world.listener.accept().await.unwrap();
        world.tls.accept(far, timeout).await.unwrap_err()
    });
    assert_eq!(error, *expected);
}

#[test]
fn what_is_no_handshake_is_named() {
    check_refused(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", SOON, &TlsError::NotTls);
    check_refused(b"", SOON, &TlsError::Closed);
    check_refused(b"\x16\x03\x01", SOON, &TlsError::Closed);
    check_refused(b"\x16", Duration::from_millis(50), &TlsError::Timeout);
}

#[tokio::test]
async fn plain_http_on_the_tls_port_gets_an_answer_that_a_browser_can_show() {
    let world = World::new(&[("a", "a.test", "ecdsa")]).await;
    let mut tcp = TcpStream::connect(world.listener.local_addr().unwrap())
        .await
        .unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await
        .unwrap();
    let (far, _) = world.listener.accept().await.unwrap();
    assert_eq!(world.tls.accept(far, SOON).await.unwrap_err(), TlsError::NotTls);
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 400 ") && body.contains("https://"),
        "{answer}"
    );
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len())),
        "{answer}"
    );
}

/// What the server says when `client` tries.
async fn failure(world: &World, client: Arc<ClientConfig>, host: &str) -> TlsError {
    let address = world.listener.local_addr().unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let near = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(client).connect(name, tcp).await.err()
    };
    let far = async {
        let (tcp, _) = world.listener.accept().await.unwrap();
        world.tls.accept(tcp, SOON).await.err()
    };
    let (_, far) = tokio::join!(near, far);
    far.unwrap()
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_is_told_apart() {
    let world = World::new(&[("a", "a.test", "ecdsa")]).await;
    let stranger = World::new(&[("a", "a.test", "ecdsa")]).await;
    let error = failure(&world, stranger.client(&[&TLS13], &[]), "a.test").await;
    assert_eq!(error.label(), "certificate_refused", "{error}");
    let error = failure(&world, world.client(&[&TLS13], &[b"spdy/3"]), "a.test").await;
    assert_eq!(error.label(), "failed", "{error}");
    let none = World::new(&[]).await;
    let error = failure(&none, world.client(&[&TLS13], &[]), "a.test").await;
    assert_eq!(error, TlsError::NoCertificate);
}

#[test]
fn a_ca_file_without_a_certificate_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "ca.pem", "nothing");
    let error = super::client_config(Some(&folder.path().join("ca.pem"))).unwrap_err();
    assert!(
        error.to_string().contains("ca.pem holds no usable certificate"),
        "{error}"
    );
    let error = super::client_config(Some(Path::new("/nowhere/ca.pem"))).unwrap_err();
    assert!(
        error.to_string().contains("/nowhere/ca.pem can't be read"),
        "{error}"
    );
}
