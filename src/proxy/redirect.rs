//! The plain listener: it sends everyone to https.

use std::{net::IpAddr, rc::Rc};

use http::{Method, StatusCode};

use super::{
    answer,
    edge::{Edge, Peer},
    exchange::{self, host_of},
    refusal::Refusal,
};
use crate::{
    body::Body,
    fields::Known,
    message::{Head, Request, Response},
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
    async fn call(&self, request: Request, _interim: &mut dyn Interim) -> Response {
        let mut following = exchange::begin(&request.head, &self.peer, &self.edge);
        let snapshot = self.edge.view.load();
        let host = host_of(&request.head.headers);
        let (response, outcome) = if snapshot.answers_for(&host) {
            (
                to_https(&request.head, &host, self.edge.https_port),
                Outcome::Answered,
            )
        } else {
            let refusal = Refusal::unknown_host();
            let request_id = exchange::request_id(&following.record);
            (
                answer::for_refusal(&refusal, &request.head.headers, request_id),
                exchange::outcome_of(&refusal),
            )
        };
        following.record.note_answer(&response);
        following.record.outcome = outcome;
        response.map(|body| following.follow(body, None))
    }

    fn refuse(&self, malformed: Malformed) -> Response {
        exchange::refuse(malformed, &self.peer, &self.edge)
    }
}

/// 301 where a browser may change the method anyway, 308 where it must not (RFC 9110 section 15.4.9).
fn to_https(head: &Head, host: &str, port: Option<u16>) -> Response {
    let safe = matches!(head.method, Method::GET | Method::HEAD);
    let status = if safe {
        StatusCode::MOVED_PERMANENTLY
    } else {
        StatusCode::PERMANENT_REDIRECT
    };
    let target = match head.target() {
        "*" => "/",
        target => target,
    };
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    };
    let location = match port {
        Some(port) => format!("https://{host}:{port}{target}"),
        None => format!("https://{host}{target}"),
    };
    let mut response = Response::new(status, Body::Empty);
    response.headers.insert(Known::LOCATION, location);
    response
}
