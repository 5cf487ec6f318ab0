//! Certificates for tests, made on the spot.

use std::{fs, path::Path, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};

use crate::clock::UnixTime;

/// 2026-01-01: the present of these tests.
pub(super) const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

/// An authority that signs for a test.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A chain and its key as PEM.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) chain: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        let key_id = params.key_identifier(&key);
        name.push(DnType::CommonName, format!("test authority {key_id:?}")); // each its own name
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate of `names` with a key of `kind` (`ecdsa` or `rsa`) that ends `days` after [`NOW`].
    #[track_caller]
    pub(super) fn issue(&self, names: &[&str], kind: &str, days: i64) -> Made {
        let key = match kind {
            "rsa" => KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(),
            "ecdsa" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            other => panic!("no such kind of key: {other}"),
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let now = rcgen::date_time_ymd(2026, 1, 1);
        let span = Duration::from_secs(days.unsigned_abs() * 86_400);
        params.not_before = rcgen::date_time_ymd(2025, 1, 1);
        params.not_after = if days < 0 { now - span } else { now + span };
        Made {
            chain: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes the authority's own certificate.
    pub(super) fn write(&self, file: &Path) {
        fs::write(file, &self.pem).unwrap();
    }
}

impl Made {
    /// Writes chain and key as `<stem>.pem`, readable by the owner alone.
    pub(super) fn write(&self, folder: &Path, stem: &str) {
        put(
            folder,
            &format!("{stem}.pem"),
            &format!("{}{}", self.chain, self.key),
        );
    }
}

/// Writes a file that only its owner may read.
pub(super) fn put(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}
