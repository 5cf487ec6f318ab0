//! One certificate chain with its key: read from its files, and checked before anyone is shown it.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    Error as RustlsError, InconsistentKeys, SignatureAlgorithm, SignatureScheme,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use crate::clock::UnixTime;

/// Longest certificate or key file, in bytes. Real chains have 2 to 10 KiB.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Days before its end in which a certificate is warned of.
pub const WARN_DAYS: u64 = 14;

/// What is wrong with a file in `certs/`, for the person who put it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertProblem {
    /// The file, relative to the folder of certificates.
    pub file: String,
    /// Whether the file is used all the same.
    pub level: Level,
    /// What is wrong.
    pub reason: String,
    /// How to mend it.
    pub hint: String,
}

impl fmt::Display for CertProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.file, self.reason, self.hint)
    }
}

/// How much a [`CertProblem`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The file is not used; the last good version of it, if there was one, goes on serving.
    Refused,
    /// The file is used; somebody should look at it.
    Warning,
}

/// The files of one pair: `<stem>.pem` or `<stem>.crt`, and `<stem>.key` unless the first holds the key too.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    pub(super) chain: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// A chain and the key that belongs to it.
#[derive(Debug, Clone)]
pub struct Pair {
    /// File name without its ending: what a person calls it.
    pub stem: Arc<str>,
    /// The file with the chain, relative to the folder of certificates.
    pub file: Arc<str>,
    /// Names and addresses of the certificate (subjectAltName), lower case, without a last dot.
    pub names: Vec<Arc<str>>,
    /// First second in which it is valid, since 1970.
    pub not_before: u64,
    /// Last second in which it is valid, since 1970.
    pub not_after: u64,
    /// What rustls shows.
    pub certified: Arc<CertifiedKey>,
}

impl Pair {
    /// Whether a client that takes `schemes` can check this key's signature.
    #[must_use]
    pub fn signs(&self, schemes: &[SignatureScheme]) -> bool {
        self.certified.key.choose_scheme(schemes).is_some()
    }

    /// Whether the key is RSA: slower to sign with and longer on the wire, so the second choice.
    #[must_use]
    pub fn is_rsa(&self) -> bool {
        self.certified.key.algorithm() == SignatureAlgorithm::RSA
    }

    /// Whether `now` lies in the time for which it was issued.
    #[must_use]
    pub const fn is_valid_at(&self, now: UnixTime) -> bool {
        self.not_before <= now.secs() && now.secs() <= self.not_after
    }

    /// Days until its end; negative once it is over.
    #[must_use]
    pub const fn days_left(&self, now: UnixTime) -> i64 {
        self.not_after
            .cast_signed()
            .saturating_sub(now.secs().cast_signed())
            .div_euclid(86_400)
    }

    /// Reads and checks the pair `stem`. Warnings are added to `problems`.
    pub(super) fn read(
        stem: &str,
        files: &Files,
        now: UnixTime,
        problems: &mut Vec<CertProblem>,
    ) -> Result<Self, Box<CertProblem>> {
        let Some(chain_file) = &files.chain else {
            let key = files.key.as_deref().map(file_name).unwrap_or_default();
            return Err(refused(
                &key,
                "a key without a certificate",
                &format!("put the chain beside it as {stem}.pem"),
            ));
        };
        let file = file_name(chain_file);
        let text = load(chain_file)?;
        let chain = chain(&text, &file)?;
        let key = match &files.key {
            Some(path) => {
                warn_of_open_key(path, problems);
                key(&load(path)?, &file_name(path), stem)?
            }
            None => {
                warn_of_open_key(chain_file, problems);
                key(&text, &file, stem)?
            }
        };
        let facts = Facts::read(&chain, &file, problems)?;
        let certified = certify(chain, key, &file)?;
        let pair = Self {
            stem: Arc::from(stem),
            file: Arc::from(file),
            names: facts.names,
            not_before: facts.not_before,
            not_after: facts.not_after,
            certified: Arc::new(certified),
        };
        pair.warn_of_dates(now, problems);
        Ok(pair)
    }

    fn warn_of_dates(&self, now: UnixTime, problems: &mut Vec<CertProblem>) {
        let days = self.days_left(now);
        let reason = if now.secs() > self.not_after {
            format!("it expired {} days ago: browsers refuse it", -days)
        } else if now.secs() < self.not_before {
            "it is not valid yet: browsers refuse it".to_owned()
        } else if days < WARN_DAYS.cast_signed() {
            format!("it expires in {days} days")
        } else {
            return;
        };
        problems.push(warning(
            &self.file,
            &reason,
            "renew it and write it over this file; no restart is needed",
        ));
    }
}

/// What the leaf says about itself.
struct Facts {
    names: Vec<Arc<str>>,
    not_before: u64,
    not_after: u64,
}

impl Facts {
    fn read(
        chain: &[CertificateDer<'_>],
        file: &str,
        problems: &mut Vec<CertProblem>,
    ) -> Result<Self, Box<CertProblem>> {
        let mut parsed = Vec::with_capacity(chain.len());
        for (at, der) in chain.iter().enumerate() {
            let (_, certificate) = X509Certificate::from_der(der).map_err(|error| {
                refused(
                    file,
                    &format!("certificate {} of the chain can't be read: {error}", at + 1),
                    "export it again as PEM",
                )
            })?;
            parsed.push(certificate);
        }
        let out_of_order = parsed
            .iter()
            .zip(parsed.iter().skip(1))
            .any(|(below, above)| below.issuer() != above.subject());
        if out_of_order {
            problems.push(warning(
                file,
                "the chain is out of order: a certificate is not issued by the next one",
                "write the site's own certificate first, then each one's issuer",
            ));
        }
        let leaf = parsed
            .first()
            .ok_or_else(|| refused(file, "no certificate", "put a PEM chain into it"))?;
        let names = names(leaf);
        if names.is_empty() {
            problems.push(warning(
                file,
                "it names no host (no subjectAltName): it can only serve as the default",
                "browsers ignore the common name; ask for a certificate with its names as subjectAltName",
            ));
        }
        let validity = leaf.validity();
        Ok(Self {
            names,
            not_before: u64::try_from(validity.not_before.timestamp()).unwrap_or(0),
            not_after: u64::try_from(validity.not_after.timestamp()).unwrap_or(0),
        })
    }
}

/// `name` as names are compared: lower case, without the dot of the root.
pub(super) fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn names(leaf: &X509Certificate<'_>) -> Vec<Arc<str>> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else {
        return Vec::new();
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(Arc::from(canonical(name))),
            GeneralName::IPAddress(bytes) => address(bytes).map(Arc::from),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::Ipv6Addr::from(sixteen).to_string())
}

fn chain(text: &[u8], file: &str) -> Result<Vec<CertificateDer<'static>>, Box<CertProblem>> {
    let chain = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refused(file, &format!("not valid PEM: {error}"), "export it again as PEM"))?;
    if chain.is_empty() {
        return Err(refused(
            file,
            "no certificate in it",
            "it must hold `-----BEGIN CERTIFICATE-----` blocks, the site's own first",
        ));
    }
    Ok(chain)
}

fn key(text: &[u8], file: &str, stem: &str) -> Result<PrivateKeyDer<'static>, Box<CertProblem>> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let sealed = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
            .iter()
            .any(|mark| text.windows(mark.len()).any(|window| window == *mark));
        if sealed {
            return refused(
                file,
                "the key is locked with a passphrase",
                "nobody is there to type it: unlock it with `openssl pkey -in KEY -out KEY`",
            );
        }
        match error {
            pem::Error::NoItemsFound => refused(
                file,
                "no private key in it",
                &format!("append the key to it, or put it beside it as {stem}.key (PKCS#8, PKCS#1 or SEC1)"),
            ),
            other => refused(file, &format!("not valid PEM: {other}"), "export it again as PEM"),
        }
    })
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    file: &str,
) -> Result<CertifiedKey, Box<CertProblem>> {
    let key = super::provider()
        .key_provider
        .load_private_key(key)
        .map_err(|error| {
            refused(
                file,
                &format!("the key can't be used: {error}"),
                "use an ECDSA P-256 or RSA 2048 key",
            )
        })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(refused(
            file,
            "the key does not belong to the certificate",
            "was only one of the two files renewed? write both",
        )),
        Err(error) => Err(refused(
            file,
            &format!("the certificate can't be used: {error}"),
            "issue it again as X.509 version 3",
        )),
    }
}

fn load(path: &Path) -> Result<Vec<u8>, Box<CertProblem>> {
    let file = file_name(path);
    let unreadable = |error: io::Error| {
        refused(
            &file,
            &format!("can't be read: {error}"),
            "give the user that runs banyan the right to read it",
        )
    };
    let mut text = Vec::new();
    fs::File::open(path)
        .and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut text))
        .map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(refused(
            &file,
            "larger than 1 MiB",
            "a chain has a few KiB; is this the right file?",
        ));
    }
    Ok(text)
}

#[cfg(unix)]
fn warn_of_open_key(path: &Path, problems: &mut Vec<CertProblem>) {
    use std::os::unix::fs::PermissionsExt;
    let open = fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0);
    if open {
        problems.push(warning(
            &file_name(path),
            "every user of this machine may read or write the private key",
            "chmod 600 it",
        ));
    }
}

#[cfg(not(unix))]
fn warn_of_open_key(_path: &Path, _problems: &mut Vec<CertProblem>) {}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

pub(super) fn refused(file: &str, reason: &str, hint: &str) -> Box<CertProblem> {
    Box::new(problem(Level::Refused, file, reason, hint))
}

pub(super) fn warning(file: &str, reason: &str, hint: &str) -> CertProblem {
    problem(Level::Warning, file, reason, hint)
}

fn problem(level: Level, file: &str, reason: &str, hint: &str) -> CertProblem {
    CertProblem {
        file: file.to_owned(),
        level,
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    }
}
