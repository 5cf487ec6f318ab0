//! TLS towards https servers: whom we trust, and what we offer.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::tls::{ALPN_H2, ALPN_HTTP1};

/// Why there is nobody to trust.
#[derive(Debug, thiserror::Error)]
pub enum ClientConfigError {
    /// The file can't be read.
    #[error("the CA file {} can't be read: {source}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file has no usable certificate.
    #[error("the CA file {} holds no usable certificate ({reason}); it must be PEM", file.display())]
    NoCertificate {
        /// Which file.
        file: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// The machine has no list of CAs.
    #[error(
        "the system's list of certificate authorities is empty; install `ca-certificates` or name a CA file"
    )]
    NoSystemRoots,
    /// rustls won't have it.
    #[error("TLS towards servers can't be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// TLS for connections to servers: the system's CAs, or those of the PEM file `ca` alone. Offers h2 and http/1.1.
///
/// It holds the cache of sessions to take up again, behind a mutex: make one for each core.
///
/// # Errors
/// [`ClientConfigError`], with the file and what to do.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, ClientConfigError> {
    let roots = match ca {
        Some(file) => roots_of(file)?,
        None => system_roots()?,
    };
    let mut config = ClientConfig::builder_with_provider(super::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok(Arc::new(config))
}

fn roots_of(file: &Path) -> Result<RootCertStore, ClientConfigError> {
    let text = fs::read(file).map_err(|source| ClientConfigError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    let unusable = |reason: String| ClientConfigError::NoCertificate {
        file: file.to_owned(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(&text) {
        let der = der.map_err(|error| unusable(error.to_string()))?;
        roots.add(der).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("no `BEGIN CERTIFICATE` in it".to_owned()));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, ClientConfigError> {
    let mut roots = RootCertStore::empty();
    // Some of the system's entries are usually beyond webpki; the rest is what counts.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(ClientConfigError::NoSystemRoots);
    }
    Ok(roots)
}
