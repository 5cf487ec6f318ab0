//! The plain listener: it sends everyone to https.

use std::{net::IpAddr, rc::Rc};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::{
    answer,
    edge::{Edge, Peer},
    exchange::{self, host_of},
    refusal::Refusal,
};
use crate::{
    body::Body,
    observe::record::Outcome,
    wire::{Interim, Malformed, Service},
};

/// Answers requests on a plain connection.
#[derive(Debug)]
pub struct Redirect {
    /// The core.
    pub edge: Rc<Edge>,
    /// Who asks.
    pub peer: Peer,
}

impl Service for Redirect {
    async fn call(&self, request: Request<Body>, _interim: &mut dyn Interim) -> Response<Body> {
        let mut following = exchange::begin(&request, &self.peer, &self.edge);
        let snapshot = self.edge.view.load();
        let host = host_of(request.headers());
        let (response, outcome) = if snapshot.answers_for(&host) {
            (to_https(&request, &host, self.edge.https_port), Outcome::Answered)
        } else {
            let refusal = Refusal::unknown_host();
            let request_id = exchange::request_id(&following.record);
            (
                answer::for_refusal(&refusal, request.headers(), request_id),
                exchange::outcome_of(&refusal),
            )
        };
        following.record.status = Some(response.status());
        following.record.outcome = outcome;
        response.map(|body| following.follow(body, None))
    }

    fn refuse(&self, malformed: Malformed) -> Response<Body> {
        exchange::refuse(malformed, &self.peer, &self.edge)
    }
}

/// 301 where a browser may change the method anyway, 308 where it must not (RFC 9110 section 15.4.9).
fn to_https(request: &Request<Body>, host: &str, port: Option<u16>) -> Response<Body> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let status = if safe {
        StatusCode::MOVED_PERMANENTLY
    } else {
        StatusCode::PERMANENT_REDIRECT
    };
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let target = if target == "*" { "/" } else { target };
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    };
    let location = match port {
        Some(port) => format!("https://{host}:{port}{target}"),
        None => format!("https://{host}{target}"),
    };
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
