//! Where cores ask the identity provider: questions go to the control plane, which alone speaks to it. Lives beside the snapshot.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    clock::UnixTime,
    gate::{
        BadToken, GateSettings,
        session::{About, Session},
    },
};

/// Questions that wait for the control plane at one time. One more is answered as if the provider were silent.
pub const QUESTIONS_MAX: usize = 512;

/// How long a request waits, while the program has just started, for the first attempt to read what it needs of the provider.
pub const FIRST_LOOK_WAIT: Duration = Duration::from_secs(2);

/// The first attempt to read something of the provider's, which may be under way when the first requests come.
#[derive(Debug, Clone)]
pub struct FirstLook(Arc<watch::Sender<bool>>);

impl Default for FirstLook {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl FirstLook {
    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        *self.0.borrow()
    }

    /// It has ended, well or not.
    pub fn end(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it has ended, at most [`FIRST_LOOK_WAIT`].
    pub async fn wait(&self) {
        let mut seen = self.0.subscribe();
        let _ = tokio::time::timeout(FIRST_LOOK_WAIT, seen.wait_for(|over| *over)).await; // what is there then is what counts
    }
}

/// A provider.
#[derive(Debug)]
pub struct Provider {
    /// What is expected of it.
    pub settings: GateSettings,
    /// What it says of itself; nothing until that was read once.
    pub about: ArcSwapOption<About>,
    /// The first attempt to read that.
    pub first_look: FirstLook,
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
            first_look: FirstLook::default(),
            desk,
            inbox: Mutex::new(Some(inbox)),
        }
    }

    /// The questions, for the one who answers them. `None`: somebody does already.
    pub fn inbox(&self) -> Option<mpsc::Receiver<Question>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What it says of itself, once that was read or the first attempt at it has ended.
    pub async fn about(&self) -> Option<Arc<About>> {
        if let Some(about) = self.about.load_full() {
            return Some(about);
        }
        self.first_look.wait().await;
        self.about.load_full()
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
