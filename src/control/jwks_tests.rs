//! Reading keys from files and small servers on loopback, good and bad ones.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tokio_rustls::TlsAcceptor;

use super::{FetchError, Keeper, Pace, Trust, fetch, fetch_within, wait_after};
use crate::{
    gate::{KEYS_BYTES_MAX, KeySet, KeySource},
    snapshot::provider::FirstLook,
};

fn jwks(count: usize) -> String {
    let keys: Vec<_> = (0..count)
        .map(|n| {
            let x = URL_SAFE_NO_PAD.encode(Ed25519KeyPair::generate().unwrap().public_key());
            serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "kid": n.to_string(), "x": x })
        })
        .collect();
    serde_json::json!({ "keys": keys }).to_string()
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nLocation: https://elsewhere.test/\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn no_trust() -> Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| Trust::load(None).unwrap()).clone()
}

/// Reads a request's head, says `text`, and waits for the other side to close.
async fn serve_one(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"GET /keys?v=1 HTTP/1.1\r\n"));
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let _ = stream.read_u8().await;
}

/// A server that gives these answers, one per connection, and then hangs.
async fn server(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move { serve_one(stream, &answer).await });
        }
        let _hanging = listener.accept().await;
        std::future::pending::<()>().await;
    });
    format!("http://{address}/keys?v=1")
}

#[track_caller]
fn check(result: Result<usize, FetchError>, expected: Result<usize, &str>) {
    let result = result.map_err(|error| error.to_string());
    assert_eq!(result, expected.map_err(str::to_owned));
}

async fn count(url: String) -> Result<usize, FetchError> {
    fetch(&KeySource::Url(url), &no_trust())
        .await
        .map(|(keys, _)| keys.len())
}

#[tokio::test]
async fn keys_come_over_http() {
    check(count(server(vec![answer("200 OK", &jwks(3))]).await).await, Ok(3));
    let body = jwks(1);
    let until_close = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
    let url = server(vec![until_close]).await;
    // The server keeps its side open, so the end never comes; then it is the deadline that ends it.
    let result = fetch_within(&KeySource::Url(url), &no_trust(), Duration::from_millis(100)).await;
    assert!(matches!(result, Err(FetchError::TimedOut)));
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    check(count(server(vec![chunked]).await).await, Ok(1));
}

#[tokio::test]
async fn other_answers_than_200_are_failures() {
    for status in [
        "302 Found",
        "308 Permanent Redirect",
        "204 No Content",
        "404 Not Found",
        "500 Oops",
    ] {
        let code = &status[..3];
        let error = count(server(vec![answer(status, "")]).await).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Status(status) if status.as_str() == code),
            "{status}"
        );
    }
    check(
        count(server(vec![answer("200 OK", "<html>")]).await).await,
        Err("the key set is not JSON: expected value at line 1 column 1"),
    );
    let broken = count(server(vec!["SSH-2.0-OpenSSH\r\n\r\n".to_owned()]).await).await;
    assert!(matches!(broken, Err(FetchError::Http(_))));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let large = " ".repeat(KEYS_BYTES_MAX + 1);
    let bound = Err("a key set has at most 262144 bytes, this one has more");
    check(count(server(vec![answer("200 OK", &large)]).await).await, bound);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n",
        large.len()
    );
    check(count(server(vec![chunked]).await).await, bound);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let source = KeySource::Url(server(Vec::new()).await);
    let result = fetch_within(&source, &no_trust(), Duration::from_millis(50)).await;
    assert!(matches!(result, Err(FetchError::TimedOut)));
}

#[tokio::test]
async fn addresses_that_are_none_are_refused() {
    let refused = |url: &'static str| count(url.to_owned());
    check(refused("/keys").await, Err("the address has no host"));
    check(
        refused("ftp://a.test/").await,
        Err("the address is neither http nor https"),
    );
    check(
        refused("http://user:secret@a.test/").await,
        Err("the address holds a user name or password"),
    );
    check(refused("http://a b/").await, Err("the address is malformed"));
}

#[tokio::test]
async fn keys_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let read = async |name: &str| {
        let source = KeySource::File(folder.path().join(name));
        fetch(&source, &no_trust()).await.map(|(keys, _)| keys.len())
    };
    std::fs::write(folder.path().join("good"), jwks(2)).unwrap();
    std::fs::write(folder.path().join("large"), " ".repeat(KEYS_BYTES_MAX + 1)).unwrap();
    std::fs::write(folder.path().join("latin"), b"{\"keys\": \"\xe9\"}").unwrap();
    check(read("good").await, Ok(2));
    check(
        read("large").await,
        Err("a key set has at most 262144 bytes, this one has more"),
    );
    check(read("latin").await, Err("the key set is not UTF-8"));
    assert!(matches!(read("missing").await, Err(FetchError::File(_))));
}

/// A server with a certificate for `localhost`, and the file of the authority that made it.
async fn tls_server(folder: &std::path::Path, body: String) -> (String, PathBuf) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    let path = folder.join("ca.pem");
    std::fs::write(&path, ca.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust us breaks off here.
            if let Ok(stream) = acceptor.accept(stream).await {
                serve_one(stream, &answer("200 OK", &body)).await;
            }
        }
    });
    (format!("https://localhost:{port}/keys?v=1"), path)
}

#[tokio::test]
async fn keys_come_over_https_from_whom_we_trust() {
    let folder = tempfile::tempdir().unwrap();
    let (url, ca) = tls_server(folder.path(), jwks(2)).await;
    let source = KeySource::Url(url.clone());
    let trusted = Trust::load(Some(&ca)).unwrap();
    let (keys, _) = fetch(&source, &trusted).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert!(matches!(
        fetch(&source, &no_trust()).await,
        Err(FetchError::Connect(_))
    ));
    let other_name = KeySource::Url(url.replace("localhost", "127.0.0.1"));
    assert!(matches!(
        fetch(&other_name, &trusted).await,
        Err(FetchError::Connect(_))
    ));
}

#[test]
fn an_authority_file_must_hold_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    assert!(matches!(Trust::load(Some(&path)), Err(FetchError::File(_))));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Trust::load(Some(&path)), Err(FetchError::File(_))));
}

#[tokio::test]
async fn the_last_good_keys_stay_when_reading_fails() {
    let answers = vec![
        answer("200 OK", &jwks(1)),
        answer("500 Oops", ""),
        answer("200 OK", r#"{"keys": []}"#),
        answer("200 OK", &jwks(2)),
    ];
    let keys = Arc::new(ArcSwap::from_pointee(KeySet::none()));
    let keeper = Keeper {
        source: KeySource::Url(server(answers).await),
        trust: no_trust(),
        keys: Arc::clone(&keys),
        wanted: Arc::new(Notify::new()),
        first_look: FirstLook::default(),
        pace: Pace {
            refresh: Duration::from_millis(2),
            pause_min: Duration::from_millis(1),
            age_max: Duration::from_secs(3600),
        },
    };
    let (sender, mut told) = mpsc::unbounded_channel();
    let published = Arc::clone(&keys);
    let task = tokio::spawn(keeper.keep(move |result| {
        let _ = sender.send((result.is_ok(), published.load().len()));
    }));
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(told.recv().await.unwrap());
    }
    assert_eq!(heard, [(true, 1), (false, 1), (false, 1), (true, 2)]);
    task.abort();
}

#[tokio::test]
async fn the_last_good_keys_end_after_a_stated_time() {
    let answers = vec![
        answer("200 OK", &jwks(1)),
        answer("500 Oops", ""),
        answer("200 OK", &jwks(2)),
    ];
    let keys = Arc::new(ArcSwap::from_pointee(KeySet::none()));
    let keeper = Keeper {
        source: KeySource::Url(server(answers).await),
        trust: no_trust(),
        keys: Arc::clone(&keys),
        wanted: Arc::new(Notify::new()),
        first_look: FirstLook::default(),
        pace: Pace {
            refresh: Duration::from_millis(20),
            pause_min: Duration::from_millis(10),
            age_max: Duration::from_millis(5),
        },
    };
    let (sender, mut told) = mpsc::unbounded_channel();
    let task = tokio::spawn(keeper.keep(move |result| {
        let dropped = matches!(result, Err(FetchError::TooOld(_)));
        let _ = sender.send((result.is_ok(), dropped, keys.load().len()));
    }));
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(told.recv().await.unwrap());
    }
    assert_eq!(heard, [(true, false, 1), (false, true, 0), (true, false, 2)]);
    task.abort();
}

#[tokio::test]
async fn keys_of_an_https_issuer_come_over_https() {
    let about = serde_json::json!({ "issuer": "https://localhost", "jwks_uri": "http://127.0.0.1:9/keys" });
    let url = "https://localhost/.well-known/openid-configuration";
    let keys = super::keys_named(url, "https://localhost", about.to_string().as_bytes());
    assert!(matches!(keys, Err(FetchError::Discovery(_))));
    let url = "http://localhost/.well-known/openid-configuration";
    let about = serde_json::json!({ "issuer": "http://localhost/", "jwks_uri": "http://127.0.0.1:9/keys" });
    let keys = super::keys_named(url, "http://localhost", about.to_string().as_bytes());
    assert_eq!(keys.unwrap(), "http://127.0.0.1:9/keys");
}

#[tokio::test]
async fn whoever_asks_gets_keys_before_their_time() {
    let wanted = Arc::new(Notify::new());
    let keeper = Keeper {
        source: KeySource::Url(server(vec![answer("200 OK", &jwks(1)), answer("200 OK", &jwks(2))]).await),
        trust: no_trust(),
        keys: Arc::new(ArcSwap::from_pointee(KeySet::none())),
        wanted: Arc::clone(&wanted),
        first_look: FirstLook::default(),
        pace: Pace {
            refresh: Duration::from_secs(3600),
            pause_min: Duration::from_millis(1),
            age_max: Duration::from_secs(3600),
        },
    };
    let (sender, mut told) = mpsc::unbounded_channel();
    let task = tokio::spawn(keeper.keep(move |result| {
        let _ = sender.send(result.is_ok());
    }));
    assert_eq!(told.recv().await, Some(true));
    wanted.notify_one();
    let second = tokio::time::timeout(Duration::from_secs(10), told.recv()).await;
    assert_eq!(second, Ok(Some(true)));
    task.abort();
}

#[test]
fn attempts_slow_down_and_spread() {
    let seconds = |failures, random| wait_after(failures, Pace::default(), random).as_secs();
    assert_eq!([seconds(0, 0), seconds(0, 128), seconds(0, 255)], [270, 300, 330]);
    assert_eq!([seconds(1, 0), seconds(1, 255)], [10, 11]);
    assert_eq!(
        [seconds(2, 0), seconds(3, 0), seconds(4, 0), seconds(5, 0)],
        [18, 36, 72, 144]
    );
    assert_eq!(
        [seconds(6, 0), seconds(7, 255), seconds(u32::MAX, 0)],
        [270, 330, 270]
    );
}
