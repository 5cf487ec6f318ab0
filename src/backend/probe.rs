//! Asks servers how they are, on the control plane's thread.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{Method, Version};
use tokio::task::JoinHandle;

use super::{
    Asks, Backend, HealthSettings, Scheme, Server, Wording,
    breaker::Millis,
    connect::{Connected, Patience, connect},
    grpc,
    health::{BODY_BYTES_MAX, Health, ranges_text},
    pick::mixed,
    pool::client_settings,
};
use crate::{
    body::Body,
    clock,
    fields::{Fields, Known},
    http1, http2,
    limits::Limits,
    message::{Head, Response},
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
            for server in &backend.roster().servers {
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
    let mut checks = server.checks();
    let mut count = 0;
    loop {
        if count > 0 {
            tokio::time::sleep(pause(settings.interval, server.id, count)).await;
        }
        count += 1;
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
        server.set_health(checks.health, words, Millis::of(clock::steady()));
    }
}

/// The interval, a tenth more or less, so that checks of many servers (and by many routers) spread by themselves.
fn pause(interval: Duration, server: u64, count: u64) -> Duration {
    let random = (mixed(server ^ mixed(count)) >> 40) as f64 / (1_u64 << 24) as f64;
    interval.max(INTERVAL_MIN).mul_f64(0.9 + 0.2 * random)
}

/// One check. `Ok` and `Err` both hold the outcome in words.
async fn ask(
    backend: &Backend,
    server: &Server,
    settings: &HealthSettings,
    limits: &Limits,
) -> Result<String, String> {
    let patience = Patience {
        connect: backend.settings.connect_timeout,
        tls: backend.settings.tls_timeout,
    };
    let connected = connect(server, backend.tls.as_ref(), patience).await;
    let connected = connected.map_err(|error| error.to_string())?;
    let mut fields = fields(backend, server);
    match &settings.asks {
        Asks::Tcp => Ok("connected".to_owned()),
        Asks::Http { path, statuses, body } => {
            let head = Head::new(Method::GET, path.as_str(), Version::HTTP_11, fields);
            let speaking = Speaking::of(connected, server, settings, limits).await?;
            let mut answer = speaking.send(&head, Body::Empty).await?;
            judge_status(answer.status.as_u16(), statuses)?;
            let Some(text) = body else {
                return Ok(format!("status {}", answer.status.as_u16()));
            };
            let received = read(&mut answer.body).await?.0;
            let held = memchr::memmem::find(&received, text.as_bytes()).is_some();
            match held {
                true => Ok(format!("status {} with the text", answer.status.as_u16())),
                false => Err(format!(
                    "status {} without the text {text:?}",
                    answer.status.as_u16()
                )),
            }
        }
        Asks::Grpc { service } => {
            if !connected.http2 {
                return Err("the server speaks no HTTP/2".to_owned());
            }
            fields.insert(Known::CONTENT_TYPE, "application/grpc");
            fields.insert("te", "trailers");
            let head = Head::new(Method::POST, grpc::PATH, Version::HTTP_2, fields);
            let speaking = Speaking::of(connected, server, settings, limits).await?;
            let mut answer = speaking.send(&head, Body::full(grpc::request(service))).await?;
            judge_status(answer.status.as_u16(), &[(200, 200)])?;
            let in_head = answer
                .headers
                .get("grpc-status")
                .map(|code| code.as_bytes().to_vec());
            let (message, in_trailers) = read(&mut answer.body).await?;
            grpc::judge(&message, in_trailers.or(in_head).as_deref())
        }
    }
}

fn judge_status(status: u16, good: &[(u16, u16)]) -> Result<(), String> {
    let is_good = good.iter().any(|(from, to)| (*from..=*to).contains(&status));
    match is_good {
        true => Ok(()),
        false => Err(format!("status {status} is not in {}", ranges_text(good))),
    }
}

/// The beginning of an answer's body, and the `grpc-status` behind it.
async fn read(body: &mut Body) -> Result<(Vec<u8>, Option<Vec<u8>>), String> {
    let (mut received, mut code) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| error.to_string())?.into_data() {
            Ok(data) => received.extend_from_slice(&data),
            Err(frame) => {
                let trailers = frame.trailers_ref();
                code = trailers.and_then(|all| Some(all.get("grpc-status")?.as_bytes().to_vec()));
            }
        }
        if received.len() >= BODY_BYTES_MAX {
            received.truncate(BODY_BYTES_MAX);
            break;
        }
    }
    Ok((received, code))
}

/// A check's connection, by what is spoken on it.
enum Speaking {
    One(http1::client::Connection, ExchangeTimeouts),
    Two(
        http2::client::Client,
        JoinHandle<()>,
        &'static str,
        ExchangeTimeouts,
    ),
}

impl Speaking {
    async fn of(
        connected: Connected,
        server: &Server,
        settings: &HealthSettings,
        limits: &Limits,
    ) -> Result<Self, String> {
        let timeouts = ExchangeTimeouts {
            first_byte: settings.timeout,
            between_bytes: settings.timeout,
        };
        if !connected.http2 {
            let (head_bytes, fields) = (limits.response_head_bytes_max, limits.headers_max);
            let connection = http1::client::Connection::new(connected.stream, head_bytes, fields);
            return Ok(Self::One(connection, timeouts));
        }
        let handshake = http2::client::handshake(connected.stream, client_settings(limits)).await;
        let (client, driver) = handshake.map_err(|error| error.to_string())?;
        let scheme = match server.address.scheme {
            Scheme::Https => "https",
            Scheme::Http | Scheme::H2c => "http",
        };
        Ok(Self::Two(
            client,
            tokio::task::spawn_local(driver),
            scheme,
            timeouts,
        ))
    }

    async fn send(self, head: &Head, body: Body) -> Result<Answer, String> {
        let (sent, driver) = match self {
            Self::One(connection, timeouts) => {
                let home = std::rc::Rc::new(Nowhere);
                let sent = connection.send(head, body, &mut NoInterim, timeouts, home).await;
                (sent, None)
            }
            Self::Two(client, driver, scheme, timeouts) => {
                let driver = Driver(driver);
                let sent = client.send(head, scheme, body, &mut NoInterim, timeouts).await;
                (sent, Some(driver))
            }
        };
        let response = sent.map_err(|error| error.cause.to_string())?;
        Ok(Answer {
            response,
            _driver: driver,
        })
    }
}

/// An answer, with what drives its connection.
struct Answer {
    response: Response,
    _driver: Option<Driver>,
}

impl std::ops::Deref for Answer {
    type Target = Response;

    fn deref(&self) -> &Response {
        &self.response
    }
}

impl std::ops::DerefMut for Answer {
    fn deref_mut(&mut self) -> &mut Response {
        &mut self.response
    }
}

struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Host and fields are those of any request, or a server that asks for them would be taken for a sick one; the path is whole.
fn fields(backend: &Backend, server: &Server) -> Fields {
    let whole = server.address.to_string();
    let host = whole.split("://").nth(1).unwrap_or_default();
    let mut fields = Fields::new();
    fields.insert(Known::HOST, host);
    fields.insert(Known::USER_AGENT, "banyan-health");
    if let Some(wording) = &backend.settings.wording {
        wording.address(&mut fields, server);
        wording.put_fields(&mut fields);
    }
    fields
}

/// A check's connection is not kept: it is to find out whether one can be made.
struct Nowhere;

impl http1::client::Home for Nowhere {
    fn keep(&self, _connection: http1::client::Connection) {}
}

/// Least time between two checks, whatever settings ask for.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    #[test]
    fn checks_spread_by_a_tenth() {
        let second = Duration::from_secs(1);
        let pauses: Vec<Duration> = (1..100).map(|count| pause(second, 7, count)).collect();
        assert!(
            pauses
                .iter()
                .all(|pause| (900..=1_100).contains(&pause.as_millis()))
        );
        assert!(pauses.iter().any(|pause| pause.as_millis() < 930));
        assert!(pauses.iter().any(|pause| pause.as_millis() > 1_070));
    }
}
