//! Asks servers how they are, on the control plane's thread.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{Method, Version};
use tokio::task::JoinHandle;

use super::{
    Backend, HealthSettings, Scheme, Server, Wording,
    connect::connect,
    health::{Checks, Health},
    pool::client_settings,
};
use crate::{
    body::Body,
    fields::{Fields, Known},
    http1, http2,
    limits::Limits,
    message::Head,
    wire::{ExchangeTimeouts, NoInterim},
};

/// One task for each server that is checked. Dropping it ends them.
#[derive(Debug, Default)]
pub struct Probes {
    tasks: HashMap<u64, Task>,
}

#[derive(Debug)]
struct Task {
    settings: HealthSettings,
    wording: Option<Wording>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Probes {
    /// Checks the servers of `backends`: starts what is new or checked otherwise now, ends what is gone, leaves the rest alone.
    pub fn follow(&mut self, backends: &[Arc<Backend>], limits: &Arc<Limits>) {
        let mut before = std::mem::take(&mut self.tasks);
        for backend in backends {
            let Some(settings) = &backend.settings.health else {
                continue;
            };
            for server in &backend.servers {
                let same = before
                    .remove(&server.id)
                    .filter(|task| task.settings == *settings && task.wording == backend.settings.wording);
                let task = same.unwrap_or_else(|| start(backend, server, settings, limits));
                self.tasks.insert(server.id, task);
            }
        }
    }
}

fn start(
    backend: &Arc<Backend>,
    server: &Arc<Server>,
    settings: &HealthSettings,
    limits: &Arc<Limits>,
) -> Task {
    let probing = probe(
        Arc::clone(backend),
        Arc::clone(server),
        settings.clone(),
        Arc::clone(limits),
    );
    Task {
        settings: settings.clone(),
        wording: backend.settings.wording.clone(),
        handle: tokio::task::spawn_local(probing),
    }
}

async fn probe(backend: Arc<Backend>, server: Arc<Server>, settings: HealthSettings, limits: Arc<Limits>) {
    let mut checks = Checks::default();
    let mut each = tokio::time::interval(settings.interval.max(INTERVAL_MIN));
    each.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        each.tick().await;
        let asked = tokio::time::timeout(settings.timeout, ask(&backend, &server, &settings, &limits)).await;
        let outcome = asked.unwrap_or_else(|_| Err(format!("no answer within {:?}", settings.timeout)));
        let before = checks.health;
        checks = checks.after(outcome.is_ok(), &settings);
        let words = outcome.unwrap_or_else(|error| error);
        if checks.health != before {
            let (server, health) = (&server.label, checks.health.as_str());
            if checks.health == Health::Unhealthy {
                tracing::warn!(backend = %backend.settings.name, %server, health, check = words, "health");
            } else {
                tracing::info!(backend = %backend.settings.name, %server, health, check = words, "health");
            }
        }
        server.set_health(checks.health, words);
    }
}

/// One check. `Ok` and `Err` both hold the outcome in words.
async fn ask(
    backend: &Backend,
    server: &Server,
    settings: &HealthSettings,
    limits: &Limits,
) -> Result<String, String> {
    let status = status_of(backend, server, settings, limits).await?;
    let (from, to) = settings.status;
    if (from..=to).contains(&status) {
        Ok(format!("status {status}"))
    } else {
        Err(format!("status {status} is not in {from}-{to}"))
    }
}

async fn status_of(
    backend: &Backend,
    server: &Server,
    settings: &HealthSettings,
    limits: &Limits,
) -> Result<u16, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let connected = connect(
        &server.address,
        backend.tls.as_ref(),
        backend.settings.connect_timeout,
    )
    .await;
    let connected = connected.map_err(|error| words(&error))?;
    let head = head(backend, server, settings);
    let timeouts = ExchangeTimeouts {
        first_byte: settings.timeout,
        between_bytes: settings.timeout,
    };
    if connected.http2 {
        let handshake = http2::client::handshake(connected.stream, client_settings(limits)).await;
        let (client, driver) = handshake.map_err(|error| words(&error))?;
        let driver = tokio::task::spawn_local(driver);
        let scheme = if server.address.scheme == Scheme::Https {
            "https"
        } else {
            "http"
        };
        let answer = client
            .send(&head, scheme, Body::Empty, &mut NoInterim, timeouts)
            .await;
        driver.abort();
        return answer
            .map(|answer| answer.status.as_u16())
            .map_err(|error| words(&error.cause));
    }
    let connection = http1::client::Connection::new(
        connected.stream,
        limits.response_head_bytes_max,
        limits.headers_max,
    );
    let answer = connection
        .send(
            &head,
            Body::Empty,
            &mut NoInterim,
            timeouts,
            std::rc::Rc::new(Nowhere),
        )
        .await;
    answer
        .map(|answer| answer.status.as_u16())
        .map_err(|error| words(&error.cause))
}

/// Host and fields are those of any request, or a server that asks for them would be taken for a sick one; the path is whole.
fn head(backend: &Backend, server: &Server, settings: &HealthSettings) -> Head {
    let host = server.label.split("://").nth(1).unwrap_or_default();
    let mut fields = Fields::new();
    fields.insert(Known::HOST, host);
    fields.insert(Known::USER_AGENT, "banyan-health");
    if let Some(wording) = &backend.settings.wording {
        wording.address(&mut fields, server);
        wording.put_fields(&mut fields);
    }
    Head::new(Method::GET, settings.path.as_str(), Version::HTTP_11, fields)
}

/// A check's connection is not kept: it is to find out whether one can be made.
struct Nowhere;

impl http1::client::Home for Nowhere {
    fn keep(&self, _connection: http1::client::Connection) {}
}

/// Least time between two checks, whatever settings ask for.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
