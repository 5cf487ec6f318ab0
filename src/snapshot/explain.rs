//! Writes down why a request goes where it goes: the trail of one [`decide`], for people and for JSON.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Snapshot, Target,
    decide::{Ask, Decision, Stop, Trail, decide},
};
use crate::{
    clock::UnixTime,
    flag::{self, Choice, FlagId, Outcome, RolloutBy},
    gate::{Auth, Identity},
    route::{self, PassedOver, RouteId},
    visitor::SeenState,
};

/// Everything about one decision.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub struct Explanation {
    /// Snapshot that decided.
    pub version: u64,
    /// Method asked.
    pub method: String,
    /// Host asked.
    pub host: String,
    /// Path and query asked.
    pub target: String,
    /// The path as it was judged and is forwarded.
    pub path: Option<String>,
    /// Routes that fit the path and were passed over, with the reason, in the order of trial.
    pub passed_over: Vec<Passed>,
    /// The route that takes it.
    pub route: Option<Won>,
    /// What the gate says.
    pub gate: Option<Gate>,
    /// What the visitor cookie is.
    pub visitor: Option<Cookie>,
    /// What the route's flags say.
    pub flags: Vec<Said>,
    /// Where it goes.
    pub backend: Option<Goes>,
    /// How its answer is compressed, where the route says so.
    pub compress: Option<String>,
    /// Fields that the backend gets from Banyan beside the forwarding ones.
    pub headers: Vec<(String, String)>,
    /// What the client gets instead.
    pub refused: Option<Refused>,
}

/// A route that was passed over.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub struct Passed {
    /// Its path or pattern.
    pub route: String,
    /// File and line.
    pub place: String,
    /// Why.
    pub why: String,
}

/// The route that won.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub struct Won {
    /// Its path or pattern.
    pub route: String,
    /// Whose it is.
    pub squad: String,
    /// File and line.
    pub place: String,
    /// What the placeholders stand for.
    pub params: Vec<(String, String)>,
}

/// What the gate says.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub struct Gate {
    /// `none`, `optional` or `required`.
    pub auth: String,
    /// Roles of which one is asked for.
    pub roles: Vec<String>,
    /// Who is signed in.
    pub user: Option<String>,
    /// In words.
    pub verdict: String,
}

/// What the visitor cookie is.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub struct Cookie {
    /// How it was.
    pub state: String,
    /// The visitor's id, as it is or as it would be made.
    pub id: Option<String>,
    /// The answer sets it.
    pub set: bool,
}

/// What a flag says.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub struct Said {
    /// Its key.
    pub flag: String,
    /// File and line.
    pub place: String,
    /// `enabled` or `disabled`.
    pub state: String,
    /// Rules tried, and what came of them.
    pub rules: Vec<(String, String)>,
    /// The visitor's place in percent, if a rollout asked.
    pub bucket_percent: Option<String>,
    /// The variant.
    pub variant: Option<String>,
    /// Why.
    pub reason: String,
    /// It picks the backend.
    pub picks_backend: bool,
}

/// Where it goes.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub struct Goes {
    /// The backend.
    pub backend: String,
    /// Its servers with their health.
    pub servers: Vec<(String, String)>,
}

/// What the client gets instead.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub struct Refused {
    /// Status.
    pub status: u16,
    /// In words.
    pub why: String,
}

/// Decides as live traffic does and writes down each step.
#[must_use]
pub fn explain(ask: &Ask<'_, '_>, now: UnixTime, at: &Snapshot) -> Explanation {
    let mut notes = Notes::default();
    let decided = decide(ask, now, at, &mut notes);
    let mut explanation = Explanation {
        version: at.version,
        method: ask.method.to_string(),
        host: ask.host.to_owned(),
        target: ask.target.to_owned(),
        passed_over: notes
            .passed
            .iter()
            .filter_map(|passed| passed_over(passed, at))
            .collect(),
        route: notes
            .route
            .and_then(|route| won(route, notes.path.as_deref(), at)),
        path: notes.path,
        gate: None,
        visitor: None,
        flags: notes
            .flags
            .iter()
            .filter_map(|asked| said(asked, notes.route, at))
            .collect(),
        backend: None,
        compress: None,
        headers: Vec::new(),
        refused: None,
    };
    let rule = notes.route.and_then(|route| at.rule(route));
    explanation.gate = rule.map(|rule| Gate {
        auth: auth_word(rule.requirement.auth).to_owned(),
        roles: rule.requirement.roles.clone(),
        user: notes.user,
        verdict: "passes".to_owned(),
    });
    let compression = rule.and_then(|rule| rule.policy.compress.as_ref());
    explanation.compress = compression.map(|compression| compression.told(ask.headers));
    match decided {
        Ok(decision) => admitted(&mut explanation, &decision, at),
        Err(stop) => refused(&mut explanation, &stop),
    }
    explanation
}

fn admitted(explanation: &mut Explanation, decision: &Decision<'_>, at: &Snapshot) {
    explanation.visitor = Some(Cookie {
        state: decision.seen.as_str().to_owned(),
        id: decision.visitor.as_ref().map(|visitor| visitor.id().to_owned()),
        set: decision.set_cookie,
    });
    explanation.backend = at.backend(decision.backend).map(|backend| Goes {
        backend: backend.settings.name.to_string(),
        servers: backend
            .servers
            .iter()
            .map(|server| (server.label.to_string(), server.health().as_str().to_owned()))
            .collect(),
    });
    let flags: Vec<String> = explanation
        .flags
        .iter()
        .filter_map(|said| {
            said.variant
                .as_ref()
                .map(|variant| format!("{}={variant}", said.flag))
        })
        .collect();
    if !flags.is_empty() {
        explanation
            .headers
            .push(("Banyan-Flags".to_owned(), flags.join(", ")));
    }
    if let Some(identity) = &decision.identity {
        explanation
            .headers
            .push(("Banyan-User".to_owned(), identity.subject.clone()));
        explanation
            .headers
            .push(("Banyan-Roles".to_owned(), identity.roles.join(", ")));
    }
}

fn refused(explanation: &mut Explanation, stop: &Stop) {
    let (status, why) = match stop {
        Stop::Ambiguous(ambiguous) => (
            400,
            format!("the path can be read in two ways: {}", ambiguous.as_str()),
        ),
        Stop::UnknownHost => (421, "the host is none of `hosts` in banyan.toml".to_owned()),
        Stop::NoRoute => (404, "no route takes it".to_owned()),
        Stop::Denied { denied, .. } => (denied.status().as_u16(), denied.to_string()),
    };
    if let (Some(gate), Stop::Denied { .. }) = (&mut explanation.gate, stop) {
        gate.verdict.clone_from(&why);
    }
    explanation.refused = Some(Refused { status, why });
}

const fn auth_word(auth: Auth) -> &'static str {
    match auth {
        Auth::None => "none",
        Auth::Optional => "optional",
        Auth::Required => "required",
    }
}

fn passed_over(passed: &PassedOver<'_>, at: &Snapshot) -> Option<Passed> {
    let rule = at.rule(passed.route)?;
    Some(Passed {
        route: rule.name.to_string(),
        place: rule.place().to_string(),
        why: passed.why.to_string(),
    })
}

fn won(route: RouteId, path: Option<&str>, at: &Snapshot) -> Option<Won> {
    let rule = at.rule(route)?;
    let params = at.table.params(route, path.unwrap_or_default());
    Some(Won {
        route: rule.name.to_string(),
        squad: rule.squad.to_string(),
        place: rule.place().to_string(),
        params: params
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    })
}

fn said(asked: &Asked, route: Option<RouteId>, at: &Snapshot) -> Option<Said> {
    let flag = at.flags.get(asked.flag)?;
    let choice = asked.choice.as_ref()?;
    let rule = route.and_then(|route| at.rule(route));
    let picks = rule.is_some_and(|rule| {
        matches!(rule.target, Target::Variants { .. }) && rule.flags.first() == Some(&asked.flag)
    });
    let name = |rule: usize| {
        flag.rule(rule)
            .map_or_else(|| "targeting".to_owned(), |(name, _)| name.to_owned())
    };
    Some(Said {
        flag: flag.key().to_string(),
        place: flag.place().to_string(),
        state: match flag.state() {
            flag::FlagState::Enabled => "enabled".to_owned(),
            flag::FlagState::Disabled => "disabled".to_owned(),
        },
        rules: asked
            .rules
            .iter()
            .map(|(rule, outcome)| (name(*rule), outcome.clone()))
            .collect(),
        bucket_percent: asked.place.map(percent),
        variant: choice
            .variant
            .and_then(|at| flag.variant(at))
            .map(ToString::to_string),
        reason: choice.reason.as_str().to_owned(),
        picks_backend: picks,
    })
}

/// Thousandths of a percent as percent.
fn percent(place: u32) -> String {
    format!("{}.{:03}", place / 1000, place % 1000)
}

/// What a decision tells on its way.
#[derive(Default)]
struct Notes<'s> {
    path: Option<String>,
    passed: Vec<PassedOver<'s>>,
    route: Option<RouteId>,
    user: Option<String>,
    flags: Vec<Asked>,
}

struct Asked {
    flag: FlagId,
    rules: Vec<(usize, String)>,
    place: Option<u32>,
    choice: Option<Choice>,
}

impl<'s> route::Watch<'s> for Notes<'s> {
    fn passed_over(&mut self, passed: PassedOver<'s>) {
        self.passed.push(passed);
    }
}

impl flag::Watch for Notes<'_> {
    fn rule(&mut self, rule: usize, outcome: Outcome<'_>) {
        if let Some(asked) = self.flags.last_mut() {
            asked.rules.push((rule, outcome.to_string()));
        }
    }

    fn rollout(&mut self, _by: RolloutBy, place: Option<u32>) {
        if let Some(asked) = self.flags.last_mut() {
            asked.place = place;
        }
    }
}

impl<'s> Trail<'s> for Notes<'s> {
    fn normalised(&mut self, path: &str) {
        self.path = Some(path.to_owned());
    }

    fn took(&mut self, route: RouteId) {
        self.route = Some(route);
    }

    fn passed_gate(&mut self, identity: Option<&Identity>) {
        self.user = identity.map(|identity| identity.subject.clone());
    }

    fn saw(&mut self, _state: SeenState, _minted: bool) {}

    fn asks(&mut self, flag: FlagId) {
        self.flags.push(Asked {
            flag,
            rules: Vec::new(),
            place: None,
            choice: None,
        });
    }

    fn chose(&mut self, _flag: FlagId, choice: &Choice) {
        if let Some(asked) = self.flags.last_mut() {
            asked.choice = Some(*choice);
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} https://{}{}", self.method, self.host, self.target)?;
        if let Some(path) = self
            .path
            .as_ref()
            .filter(|path| !self.target.starts_with(path.as_str()))
        {
            writeln!(f, "  path      judged and forwarded as {path}")?;
        }
        for passed in &self.passed_over {
            writeln!(
                f,
                "  not       {}  ({}): {}",
                passed.route, passed.place, passed.why
            )?;
        }
        if let Some(won) = &self.route {
            writeln!(
                f,
                "  route     {}  ({}), squad {}{}",
                won.route,
                won.place,
                won.squad,
                Params(&won.params)
            )?;
        }
        if let Some(gate) = &self.gate {
            write_gate(f, gate)?;
        }
        for said in &self.flags {
            write_flag(f, said)?;
        }
        if let Some(cookie) = self.visitor.as_ref().filter(|cookie| cookie.set) {
            writeln!(f, "  visitor   cookie is {}; the answer sets one", cookie.state)?;
        }
        if let Some(goes) = &self.backend {
            let servers: Vec<String> = goes
                .servers
                .iter()
                .map(|(server, health)| format!("{server} ({health})"))
                .collect();
            writeln!(f, "  backend   {}: {}", goes.backend, servers.join(", "))?;
        }
        if let Some(told) = &self.compress {
            writeln!(f, "  compress  {told}")?;
        }
        for (name, value) in &self.headers {
            writeln!(f, "  adds      {name}: {value}")?;
        }
        if let Some(refused) = &self.refused {
            writeln!(f, "  refused   {}: {}", refused.status, refused.why)?;
        }
        Ok(())
    }
}

fn write_gate(f: &mut fmt::Formatter<'_>, gate: &Gate) -> fmt::Result {
    let roles = if gate.roles.is_empty() {
        String::new()
    } else {
        format!(", any of {}", gate.roles.join(", "))
    };
    let user = gate
        .user
        .as_ref()
        .map(|user| format!(" as {user}"))
        .unwrap_or_default();
    writeln!(f, "  gate      auth {}{roles}: {}{user}", gate.auth, gate.verdict)
}

fn write_flag(f: &mut fmt::Formatter<'_>, said: &Said) -> fmt::Result {
    let variant = said.variant.as_deref().unwrap_or("no variant");
    let bucket = said
        .bucket_percent
        .as_ref()
        .map(|at| format!(", place {at} %"))
        .unwrap_or_default();
    let picks = if said.picks_backend {
        ""
    } else {
        " (told to the backend only)"
    };
    writeln!(
        f,
        "  flag      {}  ({}), {}: {variant}, {}{bucket}{picks}",
        said.flag, said.place, said.state, said.reason
    )?;
    for (rule, outcome) in &said.rules {
        writeln!(f, "              rule `{rule}` {outcome}")?;
    }
    Ok(())
}

struct Params<'a>(&'a [(String, String)]);

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
            f.write_str(if at == 0 { ", with " } else { ", " })?;
            write!(f, "{name} = {value}")?;
        }
        Ok(())
    }
}
