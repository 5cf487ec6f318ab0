//! Speaks to the identity provider for the cores: reads what it says of itself, redeems codes, checks sessions, each once.
//!
//! `call` is one question over HTTP, `redeem` what is asked at the token endpoint and how the answer is judged, `renewals` sees that a
//! session is checked once however many requests wait for it.

mod call;
mod redeem;
mod renewals;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use http::StatusCode;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};

use self::{
    call::{Call, call},
    redeem::Desk,
    renewals::Renewals,
};
use super::jwks;
use crate::{
    clock,
    gate::session::{About, Session},
    snapshot::{
        GateAtWork,
        provider::{Provider, Question, Redeem, Unvouched, Vouched},
    },
};

/// Questions under way at the provider at one time; more wait, until whoever asked has given up.
pub const CALLS_MAX: usize = 64;

/// From one look at what the provider says of itself to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// The first wait after a look that failed; doubled each time.
const LOOK_SOON: Duration = Duration::from_millis(500);
/// The longest wait after looks that failed.
const LOOK_LATEST: Duration = Duration::from_secs(30);

/// The provider of the snapshot in force, for as long as that names it.
#[derive(Debug, Default)]
pub struct Providers {
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    provider: Arc<Provider>,
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Providers {
    /// Begins to speak to the provider that `gate` names, and stops speaking to another.
    pub fn follow(&mut self, gate: Option<&GateAtWork>) {
        let wanted = gate.and_then(|gate| gate.provider.as_ref());
        let same = match (&self.kept, wanted) {
            (Some(kept), Some(wanted)) => Arc::ptr_eq(&kept.provider, wanted),
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        self.kept = None;
        let (Some(gate), Some(provider)) = (gate, wanted) else {
            return;
        };
        let trust = jwks::Trust::load(None)
            .inspect_err(|error| tracing::error!(%error, "the identity provider can't be asked"));
        let (Ok(trust), Some(inbox)) = (trust, provider.inbox()) else {
            provider.first_look.end();
            return;
        };
        let desk = Rc::new(Desk::new(Arc::clone(provider), gate.clone(), trust));
        self.kept = Some(Kept {
            provider: Arc::clone(provider),
            task: tokio::task::spawn_local(serve(desk, inbox)),
        });
    }
}

async fn serve(desk: Rc<Desk>, mut inbox: mpsc::Receiver<Question>) {
    let mut tasks = JoinSet::new(); // all of them end with this one
    tasks.spawn_local(look(Rc::clone(&desk)));
    let room = Arc::new(Semaphore::new(CALLS_MAX));
    let renewals = Rc::new(RefCell::new(Renewals::default()));
    while let Some(question) = inbox.recv().await {
        while tasks.try_join_next().is_some() {}
        let work = match question {
            Question::Redeem(redeem, answer) => Work::Redeem(redeem, answer),
            Question::Keys(answer) => Work::Keys(answer),
            Question::Renew(session, answer) => {
                let now = clock::wall();
                let begun = renewals.borrow_mut().ask(&session, answer, desk.check(), now);
                let Some(token) = begun else { continue };
                Work::Renew(session, token)
            }
        };
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (desk, renewals) = (Rc::clone(&desk), Rc::clone(&renewals));
        tasks.spawn_local(async move {
            Box::pin(work.perform(&desk, &renewals)).await;
            drop(permit);
        });
    }
}

/// What the provider is really asked.
enum Work {
    Redeem(Redeem, oneshot::Sender<Result<Vouched, Unvouched>>),
    Renew(Arc<Session>, String),
    Keys(oneshot::Sender<()>),
}

impl Work {
    async fn perform(self, desk: &Desk, renewals: &RefCell<Renewals>) {
        match self {
            // nobody waits any longer, and a code that is not redeemed harms nobody
            Self::Redeem(_, answer) if answer.is_closed() => {}
            Self::Redeem(redeem, answer) => {
                let _ = answer.send(desk.redeem(&redeem).await);
            }
            Self::Renew(_, token) if renewals.borrow_mut().is_forsaken(&token) => {}
            Self::Renew(session, token) => {
                let said = desk.renew(&session, &token).await;
                renewals.borrow_mut().done(&token, &said);
            }
            Self::Keys(answer) => {
                desk.look_for_keys().await;
                let _ = answer.send(());
            }
        }
    }
}

/// Reads what the provider says of itself, now and again and again. What was read last stays until that succeeds.
async fn look(desk: Rc<Desk>) {
    let provider = &desk.provider;
    let issuer = &provider.settings.issuer;
    let address = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let mut wait = LOOK_SOON;
    loop {
        let read = match call(&address, Call::Get, &desk.trust).await {
            Ok((StatusCode::OK, text)) => About::read(&text, issuer).map_err(|error| error.to_string()),
            Ok((status, _)) => Err(format!("is answered with {status}")),
            Err(error) => Err(format!("can't be read: {error}")),
        };
        match read {
            Ok(about) => {
                provider.about.store(Some(Arc::new(about)));
                provider.first_look.end();
                wait = LOOK_SOON;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(why) => {
                provider.first_look.end();
                tracing::error!(why, "what the identity provider says of itself");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LOOK_LATEST);
            }
        }
    }
}
