//! Asks what a decision needs to know from others: who a legacy cookie belongs to, what an opaque token is worth.
//!
//! One question is asked once on a core, however many requests wait for its answer; so many are under way at once; each has a deadline;
//! and where nobody answers, asking pauses. What comes back is remembered where [`snapshot::decide`](crate::snapshot::decide) looks for it.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    panic::AssertUnwindSafe,
    rc::Rc,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Version};
use tokio::sync::watch;

use super::{
    edge::Edge,
    forward::{self, Outgoing},
    sign_in, turns,
};
use crate::{
    body::Body,
    clock::{self, UnixTime},
    fields::{Fields, Known},
    gate::{
        Denied,
        lookup::{ANSWER_BYTES_MAX, Circuit, Heard, Question, Whom},
    },
    message::Head,
    observe::{
        metrics::{Family, Label},
        record::{Listener, Record},
    },
    shield::line::Class,
    snapshot::{
        BackendId, GateAtWork, Snapshot,
        decide::{Ask, Credential, Decision, Stop},
    },
    wire::NoInterim,
};

/// Questions under way at once on a core. A request that needs one more is answered as if nobody had answered.
pub const QUESTIONS_MAX: usize = 256;

/// Requests on a core that wait for the issuer's first keys at one time; more are answered at once, with 503.
pub const KEYS_WAITERS_MAX: usize = 1_024;

/// What a core asks just now.
#[derive(Debug, Default)]
pub struct Lookups {
    /// By their keys; each tells those who wait when it is over.
    under_way: RefCell<HashMap<[u8; 32], watch::Receiver<()>>>,
    legacy: Cell<Circuit>,
    introspection: Cell<Circuit>,
    /// Requests that wait for the issuer's first keys.
    waiting: Cell<usize>,
}

impl Lookups {
    const fn circuit(&self, whom: Whom) -> &Cell<Circuit> {
        match whom {
            Whom::Legacy => &self.legacy,
            Whom::Introspection => &self.introspection,
        }
    }

    /// How many questions are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.under_way.borrow().len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Decides what happens to a request, after its session was checked and what else has to be asked for it was asked.
///
/// # Errors
/// [`Stop`] says why it is not let through.
#[inline]
pub(super) async fn decide<'t>(
    ask: &Ask<'_, 't>,
    now: UnixTime,
    at: &Snapshot,
    edge: &Rc<Edge>,
) -> Result<Decision<'t>, Stop> {
    match sign_in::decided(ask, now, at, edge).await {
        Err(Stop::Denied {
            denied: Denied::Ask(question),
            ..
        }) => Box::pin(after_asking(*question, ask, now, at, edge)).await, // boxed, so that others carry nothing of it
        Err(Stop::Denied {
            denied: Denied::NoKeys,
            route,
        }) => match at.gate.as_ref().filter(|gate| !gate.first_look.is_over()) {
            Some(gate) => Box::pin(after_keys(gate, ask, now, at, edge)).await,
            None => Err(Stop::Denied {
                denied: Denied::NoKeys,
                route,
            }),
        },
        Err(
            denied @ Stop::Denied {
                denied: Denied::Unverified,
                ..
            },
        ) => Box::pin(turns::decided(ask, now, at, edge, denied)).await,
        decision => decision,
    }
}

async fn after_asking<'t>(
    question: Question,
    ask: &Ask<'_, 't>,
    now: UnixTime,
    at: &Snapshot,
    edge: &Rc<Edge>,
) -> Result<Decision<'t>, Stop> {
    answer(question, edge).await;
    let asked = Ask {
        credential: Credential::Asked(&edge.tokens),
        ..*ask
    };
    sign_in::decided(&asked, now, at, edge).await
}

/// The program has just started, and the issuer's keys are under way: a good token is not refused for having come early.
async fn after_keys<'t>(
    gate: &GateAtWork,
    ask: &Ask<'_, 't>,
    now: UnixTime,
    at: &Snapshot,
    edge: &Rc<Edge>,
) -> Result<Decision<'t>, Stop> {
    let outcome = match Waiting::begin(&edge.lookups.waiting) {
        None => "busy",
        Some(_waiting) => {
            gate.first_look.wait().await;
            match gate.keys.load().is_empty() {
                true => "missing",
                false => "came",
            }
        }
    };
    let labels = [Label::Word("keys"), Label::Word(outcome)];
    edge.observe.count(Family::Lookups, &labels, 1);
    match sign_in::decided(ask, now, at, edge).await {
        Err(
            denied @ Stop::Denied {
                denied: Denied::Unverified,
                ..
            },
        ) => turns::decided(ask, now, at, edge, denied).await, // now that there is a key to verify it with
        decision => decision,
    }
}

/// A request's place among those that wait for the first keys.
struct Waiting<'c>(&'c Cell<usize>);

impl<'c> Waiting<'c> {
    fn begin(count: &'c Cell<usize>) -> Option<Self> {
        let others = count.get();
        (others < KEYS_WAITERS_MAX).then(|| {
            count.set(others + 1);
            Self(count)
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Waits until `question` is answered, or was asked in vain, and remembers what came.
pub(super) async fn answer(question: Question, edge: &Rc<Edge>) {
    let under_way = edge.lookups.under_way.borrow().get(question.key()).cloned();
    let whom = question.whom();
    let mut over = match under_way {
        Some(over) => {
            count(edge, whom, "joined");
            over
        }
        None => match begin(question, edge) {
            Ok(over) => over,
            Err(why) => return count(edge, whom, why),
        },
    };
    let _ = over.changed().await; // the sender never speaks: it goes
}

/// Begins to ask, as a task of its own: whoever asked first may leave without the others' answer.
fn begin(question: Question, edge: &Rc<Edge>) -> Result<watch::Receiver<()>, &'static str> {
    let lookups = &edge.lookups;
    if lookups.len() >= QUESTIONS_MAX {
        return Err("busy");
    }
    let circuit = lookups.circuit(question.whom());
    circuit.set(circuit.get().admit(clock::steady()).ok_or("paused")?);
    let (sender, receiver) = watch::channel(());
    let asking = Asking {
        edge: Rc::clone(edge),
        key: *question.key(),
        _sender: sender,
    };
    lookups
        .under_way
        .borrow_mut()
        .insert(*question.key(), receiver.clone());
    tokio::task::spawn_local(asking.work(question));
    Ok(receiver)
}

/// A question under way. Dropping it wakes those who wait.
struct Asking {
    edge: Rc<Edge>,
    key: [u8; 32],
    _sender: watch::Sender<()>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.edge.lookups.under_way.borrow_mut().remove(&self.key);
    }
}

impl Asking {
    async fn work(self, question: Question) {
        let edge = &self.edge;
        let (asked, whom) = (clock::wall(), question.whom());
        let exchange = AssertUnwindSafe(exchange(&question, asked, edge)).catch_unwind();
        let heard = match tokio::time::timeout(question.terms().timeout, exchange).await {
            Ok(Ok(heard)) => heard,
            Ok(Err(_)) => {
                edge.observe.count(Family::Panics, &[], 1);
                Heard::Unknown("panic")
            }
            Err(_) => Heard::Unknown("timeout"),
        };
        count(edge, whom, heard.as_str());
        let circuit = edge.lookups.circuit(whom);
        circuit.set(match &heard {
            Heard::Unknown(why) => {
                tracing::debug!(whom = whom.as_str(), why, "asked in vain");
                circuit.get().failed(clock::steady())
            }
            _ => Circuit::answered(),
        });
        edge.tokens.answers().note(&question, heard, asked);
    }
}

fn count(edge: &Edge, whom: Whom, outcome: &'static str) {
    let labels = [Label::Word(whom.as_str()), Label::Word(outcome)];
    edge.observe.count(Family::Lookups, &labels, 1);
}

/// Sends a question and reads what comes back.
async fn exchange(question: &Question, asked: UnixTime, edge: &Rc<Edge>) -> Heard {
    let at = edge.view.load();
    let Some(backend) = backend(question, &at) else {
        return Heard::Unknown("no_backend");
    };
    let wording = question.wording();
    let body = Body::full(wording.body);
    let mut fields = Fields::new();
    fields.insert(Known::HOST, host(wording.host, &at));
    fields.insert(Known::ACCEPT, "application/json");
    fields.insert(Known::USER_AGENT, "banyan");
    if question.whom() == Whom::Legacy {
        fields.insert(Known::X_FORWARDED_PROTO, "https"); // an application that sends plain requests away would say that nobody is signed in
    }
    for (name, value) in &wording.fields {
        fields.insert(*name, value);
    }
    if wording.is_post {
        fields.insert(
            Known::CONTENT_LENGTH,
            http_body::Body::size_hint(&body).lower().to_string(),
        );
    }
    let method = if wording.is_post {
        Method::POST
    } else {
        Method::GET
    };
    let mut head = Head::new(method, wording.target, Version::HTTP_11, fields);
    let now = clock::now();
    let nobody = std::net::IpAddr::from([0, 0, 0, 0]);
    let mut record = Record::begin(now.steady, now.wall_micros, Listener::Private, nobody);
    let outgoing = Outgoing {
        head: &mut head,
        body,
        backend,
        identity: None,
        ready: now.steady,
        rule: None,
        class: Class::Normal,
    };
    let (mut response, _under_way) =
        match forward::send(outgoing, edge, &at, &mut record, &mut NoInterim).await {
            Ok(answered) => answered,
            Err(refusal) => {
                tracing::debug!(
                    whom = question.whom().as_str(),
                    reason = refusal.reason,
                    details = refusal.details,
                    "no answer"
                );
                return Heard::Unknown("unreachable");
            }
        };
    let status = response.status.as_u16();
    if status != 200 {
        return question.read(status, &[], asked); // what else it says is of no interest
    }
    match collected(&mut response.body).await {
        Ok(bytes) => question.read(status, &bytes, asked),
        Err(why) => Heard::Unknown(why),
    }
}

fn backend(question: &Question, at: &Snapshot) -> Option<BackendId> {
    let name = question.backend();
    let mut backends = (0..).zip(&at.backends);
    let found = backends.find(|(_, backend)| backend.settings.name == *name);
    found.map(|(id, _)| at.one_of(BackendId(id), 0))
}

fn host(named: Option<String>, at: &Snapshot) -> String {
    let own = || at.hosts.iter().find(|host| !host.starts_with('*')).cloned();
    named.or_else(own).unwrap_or_else(|| "localhost".to_owned())
}

async fn collected(body: &mut Body) -> Result<Bytes, &'static str> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| "broken")?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > ANSWER_BYTES_MAX {
            return Err("too_large");
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes.into())
}

/// Writes down how near a core is to its bounds.
pub(super) fn measure(edge: &Edge) {
    let (somebody, nobody) = edge.tokens.answers().len();
    let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    for (kind, count) in [("somebody", somebody), ("nobody", nobody)] {
        edge.observe
            .set(Family::LookupAnswers, &[Label::Word(kind)], whole(count));
    }
    edge.observe
        .set(Family::LookupsInFlight, &[], whole(edge.lookups.len()));
}
