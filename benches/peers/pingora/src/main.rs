//! A minimal reverse proxy of Pingora: TLS and plain listeners, one backend, the two forwarding fields, no log.
//!
//! Arguments: TLS address, plain address, backend's address, certificate, key, threads.

use std::{env, process::ExitCode};

use async_trait::async_trait;
use pingora::{
    Result,
    apps::HttpServerOptions,
    http::RequestHeader,
    listeners::tls::TlsSettings,
    protocols::l4::socket::SocketAddr,
    proxy::{ProxyHttp, Session, http_proxy_service},
    server::{Server, configuration::ServerConf},
    tls::ssl::{SslSessionCacheMode, SslVersion},
    upstreams::peer::HttpPeer,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Peer {
    backend: String,
}

#[async_trait]
impl ProxyHttp for Peer {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&self.backend, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        (): &mut (),
    ) -> Result<()> {
        if let Some(SocketAddr::Inet(client)) = session.client_addr() {
            request.insert_header("x-forwarded-for", client.ip().to_string())?;
        }
        let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        request.insert_header("x-forwarded-proto", if tls { "https" } else { "http" })?;
        Ok(())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [tls, plain, backend, certificate, key, threads] = arguments.as_slice() else {
        eprintln!("arguments: TLS plain backend certificate key threads");
        return ExitCode::FAILURE;
    };
    let conf = ServerConf {
        threads: threads.parse().expect("a number"),
        work_stealing: false,
        upstream_keepalive_pool_size: 1024,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(
        &server.configuration,
        Peer {
            backend: backend.clone(),
        },
    );
    let mut settings = TlsSettings::intermediate(certificate, key).expect("certificate and key");
    settings.enable_h2();
    settings
        .set_min_proto_version(Some(SslVersion::TLS1_3))
        .expect("TLS 1.3");
    settings.set_session_cache_mode(SslSessionCacheMode::SERVER);
    settings.set_curves_list("X25519").expect("a curve");
    service.add_tls_with_settings(tls, None, settings);
    service.add_tcp(plain);
    if let Some(logic) = service.app_logic_mut() {
        let mut options = HttpServerOptions::default();
        options.keepalive_request_limit = None;
        logic.server_options = Some(options);
    }
    server.add_service(service);
    server.run_forever()
}
