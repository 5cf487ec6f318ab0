//! The generator's connections: TCP, or TLS 1.3 with one cipher suite and one key exchange, so that all peers do the same work.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::browser::HOST;

/// Anything that bytes go through.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A connection.
pub(super) type Wire = Box<dyn Stream>;

/// AES-128-GCM and X25519, nothing else.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}

/// Makes connections to one address.
#[derive(Clone)]
pub(super) struct Connector {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    name: ServerName<'static>,
    alpn: &'static [u8],
}

impl Connector {
    /// With TLS and this protocol, or without; `resume`: with the tickets of earlier connections.
    pub(super) fn new(address: SocketAddr, alpn: Option<&'static [u8]>, resume: bool) -> io::Result<Self> {
        let tls = alpn.map(|alpn| {
            let versions = [&rustls::version::TLS13];
            let builder =
                ClientConfig::builder_with_provider(Arc::new(provider())).with_protocol_versions(&versions);
            let mut config = builder
                .map_err(io::Error::other)?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Trusting))
                .with_no_client_auth();
            config.alpn_protocols = vec![alpn.to_vec()];
            config.resumption = match resume {
                true => Resumption::in_memory_sessions(1024),
                false => Resumption::disabled(),
            };
            Ok::<_, io::Error>(TlsConnector::from(Arc::new(config)))
        });
        Ok(Self {
            address,
            tls: tls.transpose()?,
            name: ServerName::try_from(HOST).map_err(io::Error::other)?,
            alpn: alpn.unwrap_or_default(),
        })
    }

    /// A new connection, and whether it resumed an earlier one's session.
    pub(super) async fn connect(&self) -> io::Result<(Wire, bool)> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok((Box::new(stream), false));
        };
        let stream = tls.connect(self.name.clone(), stream).await?;
        let connection = stream.get_ref().1;
        if connection.alpn_protocol().is_some_and(|got| got != self.alpn)
            || connection.alpn_protocol().is_none() && self.alpn == b"h2"
        {
            return Err(io::Error::other("another protocol was agreed on"));
        }
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok((Box::new(stream), resumed))
    }
}

/// Takes every certificate: verifying is the client's work, and none of it is measured.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
