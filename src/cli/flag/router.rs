//! Asks the admin listener of a running router.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, runtime::Runtime};

use super::{
    Failed,
    act::{Act, Said, in_path},
    show,
};
use crate::cli::Exit;

/// How long a router may take to be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it may take to answer: it waits for a change to be in force.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A router that runs.
pub(in crate::cli) struct Router {
    address: SocketAddr,
    token: Option<String>,
    runtime: Runtime,
}

impl Router {
    /// At that address; the token is `BANYAN_TOKEN`, or the one in the folder of state.
    pub(in crate::cli) fn at(mut address: SocketAddr, state: Option<&Path>) -> Result<Self, Failed> {
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let kept = || fs::read_to_string(state?.join("cli.token")).ok();
        let token = std::env::var("BANYAN_TOKEN").ok().or_else(kept);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
        Ok(Self {
            address,
            token: token
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty()),
            runtime,
        })
    }

    /// Whether somebody is there.
    pub(in crate::cli) fn greet(&self) -> Result<(), Failed> {
        let connected =
            async { tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address)).await };
        match self.runtime.block_on(connected) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.failed(&"it does not answer")),
        }
    }

    /// Asks for something.
    pub(in crate::cli) fn get(&self, target: &str) -> Result<Value, Failed> {
        self.ask(&Method::GET, target, None, None)
    }

    /// Orders something.
    pub(in crate::cli) fn post(&self, target: &str, body: &Value) -> Result<Value, Failed> {
        self.ask(&Method::POST, target, None, Some(body))
    }

    /// Changes a flag.
    pub(super) fn change(&self, key: &str, act: &Act, said: &Said) -> Result<Value, Failed> {
        let path = format!("/api/flags/{}", in_path(key)?);
        let version = match (&said.seen, act) {
            (Some(version), _) => format!("\"{version}\""),
            // Nobody's change of something else may keep a flag from being killed.
            (None, Act::Kill) => "*".to_owned(),
            (None, _) => match self.get(&path) {
                Ok(flag) => format!("\"{}\"", show::text(&flag, "version")),
                // Its file is gone: the history may bring it back.
                Err(_) if matches!(act, Act::Undo { .. }) => "*".to_owned(),
                Err(failed) => return Err(failed),
            },
        };
        let (method, target) = match act.verb() {
            None => (Method::PATCH, path),
            Some(verb) => (Method::POST, format!("{path}/{verb}")),
        };
        self.ask(&method, &target, Some(&version), Some(&act.body(said)))
    }

    /// Makes a link.
    pub(super) fn link(&self, key: &str, variant: &str, lasts: &str, said: &Said) -> Result<Value, Failed> {
        let target = format!("/api/flags/{}/links", in_path(key)?);
        let body = json!({ "variant": variant, "for": lasts, "reason": said.reason });
        self.ask(&Method::POST, &target, None, Some(&body))
    }

    /// Orders something.
    pub(in crate::cli) fn order(&self, target: &str, body: &Value) -> Result<Value, Failed> {
        self.ask(&Method::POST, target, None, Some(body))
    }

    fn ask(
        &self,
        method: &Method,
        target: &str,
        version: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, Failed> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(version) = version {
            request = request.header(header::IF_MATCH, version);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = request
            .body(Full::from(body))
            .map_err(|error| Failed::new(Exit::Usage, error.to_string()))?;
        let exchange = async { tokio::time::timeout(ANSWER_TIMEOUT, self.exchange(request)).await };
        let (status, text) = match self.runtime.block_on(exchange) {
            Ok(answer) => answer.map_err(|why| self.failed(&why))?,
            Err(_) => return Err(self.failed(&"it does not answer")),
        };
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!({ "detail": text }));
        match status {
            status if status.is_success() => Ok(told),
            StatusCode::UNPROCESSABLE_ENTITY => Err(Failed::new(Exit::Invalid, show::refusal(&told))),
            StatusCode::BAD_REQUEST => Err(Failed::new(Exit::Usage, show::refusal(&told))),
            status => Err(Failed::new(
                Exit::Failure,
                format!("{status}: {}", show::refusal(&told)),
            )),
        }
    }

    async fn exchange(&self, request: Request<Full<bytes::Bytes>>) -> Result<(StatusCode, String), String> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let conversing = tokio::spawn(connection);
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let bytes = body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        conversing.abort();
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> Failed {
        Failed::new(
            Exit::Failure,
            format!("the router's admin listener at {}: {why}", self.address),
        )
    }
}
