//! Where cores ask the identity provider: questions go to the control plane, which alone speaks to it. Lives beside the snapshot.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot};

use crate::{
    clock::UnixTime,
    gate::{
        BadToken, GateSettings,
        session::{About, Session},
    },
};

/// Questions that wait for the control plane at one time. One more is answered as if the provider were silent.
pub const QUESTIONS_MAX: usize = 512;

/// A provider.
#[derive(Debug)]
pub struct Provider {
    /// What is expected of it.
    pub settings: GateSettings,
    /// What it says of itself; nothing until that was read once.
    pub about: ArcSwapOption<About>,
    desk: mpsc::Sender<Question>,
    inbox: Mutex<Option<mpsc::Receiver<Question>>>,
}

/// What it is asked.
#[derive(Debug)]
pub enum Question {
    /// Who signed in.
    Redeem(Redeem, oneshot::Sender<Result<Vouched, Unvouched>>),
    /// Whether somebody still is who they were.
    Renew(Arc<Session>, oneshot::Sender<Result<Vouched, Unvouched>>),
    /// Its keys: one that isn't known was named.
    Keys(oneshot::Sender<()>),
}

/// A code to redeem.
pub struct Redeem {
    /// The code.
    pub code: String,
    /// What proves that we asked for it.
    pub verifier: String,
    /// What the ID token must bear.
    pub nonce: String,
    /// Where the code came back.
    pub redirect_uri: String,
}

/// Never what is inside.
impl std::fmt::Debug for Redeem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redeem")
    }
}

/// What it says of a person.
#[derive(Clone)]
pub struct Vouched {
    /// Claims of a judged ID token. `None`: nothing new.
    pub claims: Option<Arc<serde_json::Value>>,
    /// What to check the session with the next time, if that changed.
    pub refresh: Option<String>,
    /// When it said so.
    pub at: UnixTime,
}

impl std::fmt::Debug for Vouched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vouched")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Why it says nothing good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unvouched {
    /// It can't be reached, takes too long, is at fault, or does not know this edge.
    Silent,
    /// It refuses the code or the refresh token.
    Refused,
    /// What it signed is not right.
    Token(BadToken),
    /// Its answer is no answer.
    Malformed,
}

impl Unvouched {
    /// A fixed word for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "provider_silent",
            Self::Refused => "provider_refused",
            Self::Token(why) => why.as_str(),
            Self::Malformed => "provider_malformed",
        }
    }
}

impl Provider {
    /// A provider that nobody speaks to yet.
    #[must_use]
    pub fn new(settings: GateSettings) -> Self {
        let (desk, inbox) = mpsc::channel(QUESTIONS_MAX);
        Self {
            settings,
            about: ArcSwapOption::empty(),
            desk,
            inbox: Mutex::new(Some(inbox)),
        }
    }

    /// The questions, for the one who answers them. `None`: somebody does already.
    pub fn inbox(&self) -> Option<mpsc::Receiver<Question>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks who signed in.
    ///
    /// # Errors
    /// [`Unvouched`]. How long that may take is for the caller to say.
    pub async fn redeem(&self, redeem: Redeem) -> Result<Vouched, Unvouched> {
        self.ask(|answer| Question::Redeem(redeem, answer)).await?
    }

    /// Asks whether somebody still is who they were.
    ///
    /// # Errors
    /// [`Unvouched`].
    pub async fn renew(&self, session: Arc<Session>) -> Result<Vouched, Unvouched> {
        self.ask(|answer| Question::Renew(session, answer)).await?
    }

    /// Has its keys read again, if that was not just done.
    pub async fn look_for_keys(&self) {
        let _ = self.ask(Question::Keys).await; // what became of it shows in the keys
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, Unvouched> {
        let (sender, receiver) = oneshot::channel();
        self.desk
            .try_send(question(sender))
            .map_err(|_| Unvouched::Silent)?;
        receiver.await.map_err(|_| Unvouched::Silent)
    }
}
