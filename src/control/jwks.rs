//! Reads the issuer's keys from a file or an address, keeps them fresh, and keeps the last good ones when that fails.

use std::{
    convert::Infallible,
    io,
    io::Read as _,
    path::Path,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, sync::Notify};
use tokio_rustls::TlsConnector;

use crate::{
    clock,
    gate::{BadKeys, KEYS_BYTES_MAX, KeySet, KeySource, SkippedKey},
    snapshot::{GateAtWork, provider::FirstLook},
    stream::{Socket, Stream},
};

/// Time for one attempt, from looking up the name to the last byte.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Most bytes of an answer's head.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// When attempts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From a success to the next attempt, give or take a tenth.
    pub refresh: Duration,
    /// At least this from one attempt to the next, whatever happens and whoever asks.
    pub pause_min: Duration,
    /// How long the last keys of an address are believed while no newer ones come. Whoever took the issuer off the net must not keep a
    /// key alive for ever that was withdrawn there.
    pub age_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(5 * 60), // a key that was withdrawn is gone everywhere after that
            pause_min: Duration::from_secs(10),   // tokens with made-up key names can't make us a nuisance
            age_max: Duration::from_secs(24 * 3600), // somebody is awake once a day
        }
    }
}

/// Why keys could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The issuer's self-description can't be used.
    #[error("the issuer's self-description {0}")]
    Discovery(&'static str),
    /// The file could not be read.
    #[error("the file could not be read: {0}")]
    File(#[source] io::Error),
    /// The address is none that keys can be read from.
    #[error("the address {0}")]
    Address(&'static str),
    /// No connection, or no trusted one.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// It took longer than [`DEADLINE`].
    #[error("it took longer than {DEADLINE:?}")]
    TimedOut,
    /// The answer broke off or is no HTTP.
    #[error("the answer is broken: {0}")]
    Http(#[from] hyper::Error),
    /// The answer is not 200. Redirects are not followed: who may name keys is written in the settings.
    #[error("the answer is {0}, not 200")]
    Status(StatusCode),
    /// More than [`KEYS_BYTES_MAX`].
    #[error("a key set has at most {KEYS_BYTES_MAX} bytes, this one has more")]
    TooLarge,
    /// It is no UTF-8.
    #[error("the key set is not UTF-8")]
    NotText,
    /// The last good keys are older than [`Pace::age_max`]: they don't count any longer.
    #[error("the last keys are too old to be believed; the latest attempt: {0}")]
    TooOld(String),
    /// It was read, and is no key set that can be used.
    #[error(transparent)]
    Keys(#[from] BadKeys),
}

/// The certificate authorities that may vouch for an issuer.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The system's authorities and those of the PEM file `extra_ca`. Reads files, so it may take some milliseconds.
    ///
    /// # Errors
    /// [`FetchError::File`] if `extra_ca` can't be read or holds no certificate; a system without authorities is none.
    pub fn load(extra_ca: Option<&Path>) -> Result<Self, FetchError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = extra_ca {
            let bad = |error: &dyn std::fmt::Display| FetchError::File(io::Error::other(error.to_string()));
            let certs = CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))?;
            let before = roots.len();
            for cert in certs {
                let cert = cert.map_err(|error| bad(&error))?;
                roots.add(cert).map_err(|error| bad(&error))?;
            }
            if roots.len() == before {
                return Err(bad(&"it holds no certificate"));
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| FetchError::Connect(io::Error::other(error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trust")
    }
}

/// Reads keys once.
///
/// # Errors
/// [`FetchError`]. Nothing is retried here.
pub async fn fetch(source: &KeySource, trust: &Trust) -> Result<(KeySet, Vec<SkippedKey>), FetchError> {
    fetch_within(source, trust, DEADLINE).await
}

async fn fetch_within(
    source: &KeySource,
    trust: &Trust,
    deadline: Duration,
) -> Result<(KeySet, Vec<SkippedKey>), FetchError> {
    let bytes = match source {
        KeySource::Nowhere => return Ok((KeySet::none(), Vec::new())),
        KeySource::File(path) => read_file(path)?,
        KeySource::Url(url) => tokio::time::timeout(deadline, Box::pin(find(url, trust)))
            .await
            .map_err(|_| FetchError::TimedOut)??,
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| FetchError::NotText)?;
    Ok(KeySet::parse(text)?)
}

/// Puts the keys of a file into a gate that has none yet, before anybody is served by it. What is wrong with the file is told by who keeps
/// them fresh; keys from an address are waited for by the requests that need them.
pub(super) fn read_at_hand(gate: &GateAtWork) {
    let KeySource::File(path) = &gate.source else {
        return;
    };
    if !gate.keys.load().is_empty() {
        return;
    }
    let read = read_file(path).map(|bytes| std::str::from_utf8(&bytes).map(KeySet::parse));
    if let Ok(Ok(Ok((keys, _)))) = read {
        gate.keys.store(Arc::new(keys));
    }
}

fn read_file(path: &Path) -> Result<Bytes, FetchError> {
    let file = std::fs::File::open(path).map_err(FetchError::File)?;
    let mut bytes = Vec::new();
    file.take(KEYS_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(FetchError::File)?;
    if bytes.len() > KEYS_BYTES_MAX {
        return Err(FetchError::TooLarge);
    }
    Ok(bytes.into())
}

/// How the address of an issuer's self-description ends (OpenID Connect Discovery 1.0 section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The bytes at `url`; where that is an issuer's self-description, those at the `jwks_uri` that it names.
async fn find(url: &str, trust: &Trust) -> Result<Bytes, FetchError> {
    let bytes = download(url, trust).await?;
    let Some(issuer) = url.strip_suffix(DISCOVERY) else {
        return Ok(bytes);
    };
    download(&keys_named(url, issuer, &bytes)?, trust).await
}

/// Where the keys are, as the self-description at `url` says.
fn keys_named(url: &str, issuer: &str, bytes: &[u8]) -> Result<String, FetchError> {
    let about: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|_| FetchError::Discovery("is not JSON"))?;
    let text = |key| about.get(key).and_then(serde_json::Value::as_str);
    // Section 4.3: a description that names somebody else would let that one's keys in.
    if text("issuer").map(|named| named.trim_end_matches('/')) != Some(issuer) {
        return Err(FetchError::Discovery("names another issuer"));
    }
    let keys = text("jwks_uri").ok_or(FetchError::Discovery("has no `jwks_uri`"))?;
    if url.starts_with("https://") && !keys.starts_with("https://") {
        return Err(FetchError::Discovery("names keys that don't come over https"));
    }
    Ok(keys.to_owned())
}

async fn download(url: &str, trust: &Trust) -> Result<Bytes, FetchError> {
    let uri: Uri = url.parse().map_err(|_| FetchError::Address("is malformed"))?;
    let authority = uri
        .authority()
        .ok_or(FetchError::Address("has no host"))?
        .as_str();
    if authority.contains('@') {
        return Err(FetchError::Address("holds a user name or password"));
    }
    let stream = connect(&uri, trust).await?;
    let request = Request::get(uri.path_and_query().map_or("/", |target| target.as_str()))
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::USER_AGENT, "banyan")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Address("is malformed"))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let answer = pin!(async move {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        match Limited::new(response.into_body(), KEYS_BYTES_MAX).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
            Err(error) => Err(match error.downcast::<hyper::Error>() {
                Ok(error) => FetchError::Http(*error),
                Err(error) => FetchError::Connect(io::Error::other(error)),
            }),
        }
    });
    // The connection moves the bytes. When it has ended, what it has read is still to be taken.
    match select(answer, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    }
}

/// A connection to where `uri` leads, over TLS for https. How long that may take is for the caller to say.
pub(super) async fn connect(uri: &Uri, trust: &Trust) -> Result<Stream, FetchError> {
    let host = uri.host().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let secure = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(FetchError::Address("is neither http nor https")),
    };
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let tcp = TcpStream::connect((host, port))
        .await
        .map_err(FetchError::Connect)?;
    if !secure {
        return Ok(Stream::Tcp(tcp));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchError::Address("has no host name"))?;
    let tls = TlsConnector::from(Arc::clone(&trust.0))
        .connect(name, Socket::new(tcp))
        .await
        .map_err(FetchError::Connect)?;
    Ok(Stream::tls_client(tls))
}

/// Keeps the keys of one source fresh, for as long as its future lives.
#[derive(Debug)]
pub struct Keeper {
    /// Where keys come from.
    pub source: KeySource,
    /// Who vouches for that place.
    pub trust: Trust,
    /// Where good keys are put. What is there stays until better ones come.
    pub keys: Arc<ArcSwap<KeySet>>,
    /// Asks for an attempt before its time: a token named a key that is not known, or the file changed.
    pub wanted: Arc<Notify>,
    /// Told when the first attempt has ended.
    pub first_look: FirstLook,
    /// When attempts are made.
    pub pace: Pace,
}

impl Keeper {
    /// Reads keys now and again and again. `tell` hears how each attempt ended: the keys left out, or why there are none.
    pub async fn keep(self, mut tell: impl FnMut(Result<&[SkippedKey], &FetchError>)) -> Infallible {
        let mut failures = 0_u32;
        let mut good: Option<Instant> = None;
        loop {
            match fetch(&self.source, &self.trust).await {
                Ok((keys, skipped)) => {
                    failures = 0;
                    good = Some(clock::steady());
                    self.keys.store(Arc::new(keys));
                    tell(Ok(&skipped));
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let age = good.map(|good| clock::steady().saturating_duration_since(good));
                    let is_too_old = age.is_some_and(|age| age >= self.pace.age_max);
                    if is_too_old && matches!(self.source, KeySource::Url(_)) {
                        good = None;
                        self.keys.store(Arc::new(KeySet::none()));
                        tell(Err(&FetchError::TooOld(error.to_string())));
                    } else {
                        tell(Err(&error));
                    }
                }
            }
            self.first_look.end();
            let wait = wait_after(failures, self.pace, random());
            tokio::time::sleep(self.pace.pause_min).await;
            // Whether it was the time or somebody who asked makes no difference.
            let _ =
                tokio::time::timeout(wait.saturating_sub(self.pace.pause_min), self.wanted.notified()).await;
        }
    }
}

/// How long to wait after so many failures in a row: the shortest pause, doubled each time up to the usual wait.
///
/// `random` spreads many routers over a tenth to either side.
fn wait_after(failures: u32, pace: Pace, random: u8) -> Duration {
    let wait = match failures.checked_sub(1) {
        None => pace.refresh,
        Some(doublings) => pace
            .pause_min
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(pace.refresh),
    };
    let spread = wait / 5;
    (wait - spread / 2 + spread * u32::from(random) / 255).max(pace.pause_min)
}

fn random() -> u8 {
    let mut byte = [0];
    // Without randomness all routers ask at the same time, which is no reason to stop.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    byte
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
