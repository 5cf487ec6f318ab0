//! Certificates made on the spot: a development CA of this machine's own, and a leaf for its hosts.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use x509_parser::{certificate::X509Certificate, pem::Pem, prelude::FromDer};

use crate::{
    clock::UnixTime,
    tls::{certs::CertStore, pair::canonical},
};

const DAY: Duration = Duration::from_secs(86_400);
/// Long enough to trust it once by hand.
const CA_DAYS: u32 = 5 * 365;
/// Browsers take at most 825 days from a CA that was added by hand; short is better.
const LEAF_DAYS: u32 = 90;
/// A leaf with less than this left is made anew.
const RENEW_DAYS: u64 = 30;
/// Names that every leaf has. `*.localhost` can't be one: browsers and webpki refuse a wildcard over a single label.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The development CA and where its leaf lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Development {
    /// The CA's certificate: what `curl --cacert` or a browser's list of authorities takes.
    pub ca: PathBuf,
    /// A folder with the leaf, for [`CertStore::read`].
    pub folder: PathBuf,
}

/// Why no development certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate can't be made.
    #[error("a development certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes sure that `<state>/dev-ca/` holds a CA and a leaf for this machine's local names and `hosts`, both valid at
/// `now` and for some time. What is there and good stays as it is, so a CA that was trusted once stays trusted.
///
/// The CA's key never leaves the folder and is readable by its owner alone. Processes that start together wait for
/// each other.
///
/// # Errors
/// [`DevelopmentError`] names the file that could not be written.
pub fn ensure(state: &Path, hosts: &[String], now: UnixTime) -> Result<Development, DevelopmentError> {
    let home = state.join("dev-ca");
    let folder = home.join("certs");
    fs::create_dir_all(&folder).map_err(at(&folder))?;
    let lock_path = home.join("lock");
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?; // released when the file is closed

    let (ca, fresh) = ca(&home, now)?;
    let names = names(hosts);
    let leaf_file = folder.join("development.pem");
    if fresh || !leaf_is_good(&folder, &names, now) {
        write(&leaf_file, &leaf(&ca, names, now)?)?;
    }
    Ok(Development {
        ca: home.join("ca.pem"),
        folder,
    })
}

/// The CA of before, or a new one (`true`).
fn ca(home: &Path, now: UnixTime) -> Result<(Issuer<'static, KeyPair>, bool), DevelopmentError> {
    let certificate_file = home.join("ca.pem");
    let key_file = home.join("ca.key");
    let old = fs::read_to_string(&key_file)
        .ok()
        .and_then(|text| KeyPair::from_pem(&text).ok())
        .filter(|key| ca_is_good(&certificate_file, key, now));
    if let Some(key) = old {
        return Ok((Issuer::new(ca_params(now), key), false));
    }
    let key = KeyPair::generate()?;
    let params = ca_params(now);
    let certificate = params.self_signed(&key)?;
    write(&key_file, &key.serialize_pem())?;
    write(&certificate_file, &certificate.pem())?;
    Ok((Issuer::new(params, key), true))
}

fn ca_params(now: UnixTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = called("Banyan development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut params, now, CA_DAYS);
    params
}

/// Whether the CA on disk belongs to `key` and outlives the leaves that it will sign.
fn ca_is_good(file: &Path, key: &KeyPair, now: UnixTime) -> bool {
    let Ok(text) = fs::read(file) else { return false };
    let Some(Ok(pem)) = Pem::iter_from_buffer(&text).next() else {
        return false;
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&pem.contents) else {
        return false;
    };
    let needed = now.secs().cast_signed() + i64::from(LEAF_DAYS) * 86_400;
    *certificate.public_key().subject_public_key.data == *key.public_key_raw()
        && certificate.validity().not_after.timestamp() > needed
        && certificate.validity().not_before.timestamp() <= now.secs().cast_signed()
}

fn leaf_is_good(folder: &Path, names: &[String], now: UnixTime) -> bool {
    let (store, _) = CertStore::read_at(folder, None, now);
    store.pairs().next().is_some_and(|leaf| {
        leaf.names.iter().map(AsRef::as_ref).eq(names.iter())
            && leaf.is_valid_at(now)
            && leaf.not_after > now.secs() + RENEW_DAYS * 86_400
    })
}

fn leaf(ca: &Issuer<'_, KeyPair>, names: Vec<String>, now: UnixTime) -> Result<String, DevelopmentError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = called("Banyan development certificate");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    valid(&mut params, now, LEAF_DAYS);
    let certificate = params.signed_by(&key, ca)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

/// The local names and `hosts`, each once. A host that can't be in a certificate is left out,
/// as is a wildcard over a single label: with one in it webpki refuses the whole certificate.
fn names(hosts: &[String]) -> Vec<String> {
    let mut names: Vec<String> = LOCAL.iter().map(|name| (*name).to_owned()).collect();
    for host in hosts {
        let host = canonical(host);
        let too_wide = host
            .strip_prefix("*.")
            .is_some_and(|parent| !parent.contains('.'));
        if !host.is_empty() && host.is_ascii() && !too_wide && !names.contains(&host) {
            names.push(host);
        }
    }
    names
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called.push(DnType::OrganizationName, "made on this machine, for this machine");
    called
}

/// From yesterday, for clocks that are behind, for `days`.
fn valid(params: &mut CertificateParams, now: UnixTime, days: u32) {
    let today = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now.secs());
    params.not_before = today - DAY;
    params.not_after = today + DAY * days;
}

/// Writes `text` where only the owner may read it, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), DevelopmentError> {
    let draft = path.with_extension("draft");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft).map_err(at(&draft))?;
    file.write_all(text.as_bytes()).map_err(at(&draft))?;
    fs::rename(&draft, path).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DevelopmentError {
    let path = path.to_owned();
    |source| DevelopmentError::File { path, source }
}
