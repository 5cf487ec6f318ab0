//! Writes down why a request goes where it goes: the trail of one [`decide`], for people and for JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Rule, Snapshot, Target, access, admit, cached,
    decide::{Ask, Credential, Decision, Entrance, Stop, decide},
    error_pages::{self, Shown},
    gate,
    notes::{Asked, Notes},
    preflight::Preflight,
    rooms,
};
pub use super::{
    gate::Gate,
    goes::{Goes, Standby},
    tried::explain_flag,
};
use crate::{
    clock::UnixTime,
    flag,
    name::{FlagKey, LayerName, VariantName},
    route::{PassedOver, RouteId},
};

/// Everything about one decision.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Explanation {
    /// Snapshot that decided.
    pub version: u64,
    /// `https`, or `http` for what comes over plain HTTP.
    pub scheme: String,
    /// Method asked.
    pub method: String,
    /// Host asked.
    pub host: String,
    /// Path and query asked.
    pub target: String,
    /// The path as it was judged, and is forwarded unless `forwarded` says another one.
    pub path: Option<String>,
    /// The path that the route has forwarded instead.
    pub forwarded: Option<String>,
    /// Routes that fit the path and were passed over, with the reason, in the order of trial.
    pub passed_over: Vec<Passed>,
    /// The route that takes it.
    pub route: Option<Won>,
    /// The signature of the address, if the route asks for one and it counts.
    pub signed: Option<String>,
    /// What the gate says.
    pub gate: Option<Gate>,
    /// What it would ask of others before, as nothing is known here: nobody is asked by explaining.
    pub asks: Option<String>,
    /// What the visitor cookie is.
    pub visitor: Option<Cookie>,
    /// What the browser carries beside that cookie and shall carry on: an override, pins. A line for each.
    pub carried: Vec<String>,
    /// What the route's flags say.
    pub flags: Vec<Said>,
    /// Where it goes.
    pub backend: Option<Goes>,
    /// Which version of it the visitor gets, and where else a hashed asset is looked for. A line for each.
    pub versions: Vec<String>,
    /// Who is asked when that one fails.
    pub failover: Option<Standby>,
    /// What the cache would do for it, where the route has one: key, `Cache-Status` and why. A line for each.
    pub cache: Vec<String>,
    /// How long it may take, who is let in, how much may be under way, a line for each thing.
    pub bounds: Vec<String>,
    /// The waiting room that stands before it, and how it is there.
    pub room: Option<String>,
    /// Faults that are put in on purpose just now, a line for each.
    pub drills: Vec<String>,
    /// How its answer is compressed, where the route says so.
    pub compress: Option<String>,
    /// Fields that the backend gets from Banyan beside the forwarding ones.
    pub headers: Vec<(String, String)>,
    /// Parts of the request that the route does not forward whole: which, and what becomes of it. Never values.
    pub forwards: Vec<(String, String)>,
    /// What the route does to the fields of its answers, a line for each thing.
    pub answers: Vec<String>,
    /// What Banyan answers itself, on purpose.
    pub answered: Option<Refused>,
    /// Where the client is sent instead.
    pub redirect: Option<Redirected>,
    /// What the client gets instead.
    pub refused: Option<Refused>,
    /// Pages that a browser is shown should it end in an error.
    pub error_pages: Vec<Shown>,
}

/// A route that was passed over.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Passed {
    /// Its path or pattern.
    pub route: String,
    /// File and line.
    pub place: String,
    /// Why.
    pub why: String,
}

/// The route that won.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
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

/// What the visitor cookie is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Cookie {
    /// How it was.
    pub state: String,
    /// The visitor's id, as it is or as it would be made.
    pub id: Option<String>,
    /// The answer sets it.
    pub set: bool,
}

/// What a flag says.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Said {
    /// Its key.
    pub flag: String,
    /// File and line.
    pub place: String,
    /// `enabled` or `disabled`.
    pub state: String,
    /// Rules tried, and what came of them.
    pub rules: Vec<(String, String)>,
    /// Flags that it requires, as far as they were asked: which variant each has, and whether that will do.
    pub requires: Vec<(String, String)>,
    /// What its layer says, if one was asked.
    pub layer: Option<String>,
    /// The shares that its schedule has come to, if it has one.
    pub shares: Option<String>,
    /// The visitor's place in percent, if a rollout asked.
    pub bucket_percent: Option<String>,
    /// The variant.
    pub variant: Option<String>,
    /// Why.
    pub reason: String,
    /// It picks the backend.
    pub picks_backend: bool,
}

/// Where the client is sent instead.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Redirected {
    /// Status.
    pub status: u16,
    /// Where to; without the port, if the https listener has one of its own.
    pub location: String,
    /// In words.
    pub why: String,
}

/// What the client gets instead.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
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
        scheme: scheme(&ask.entrance).to_owned(),
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
        signed: notes.signed,
        flags: notes
            .flags
            .iter()
            .filter_map(|asked| said(asked, notes.route, now, at))
            .collect(),
        ..Explanation::default()
    };
    let rule = notes.route.and_then(|route| at.rule(route));
    explanation.error_pages = error_pages::shown(rule, ask.host, now, at);
    explanation.gate = rule.map(|rule| gate::asked(rule, &notes.demands, notes.user));
    let path = explanation.path.as_deref().unwrap_or_default();
    explanation.asks = rule.and_then(|rule| asked(ask, (rule, path), now, at));
    let rules = rule.and_then(|rule| rule.policy.response.as_ref());
    explanation.answers = rules.map_or_else(Vec::new, |rules| rules.lines(ask.method, ask.headers));
    match decided {
        Ok(decision) => {
            admitted(&mut explanation, &decision, ask.method, at);
            if let (Some(gate), Some(denied)) = (&mut explanation.gate, &decision.would_deny) {
                gate.would_deny(denied, rule);
            }
            (explanation.room, explanation.drills) = rooms::told(ask, &decision, now, at);
            explanation.carried = decision.carried.lines(now);
            let path = decision.forwarded.as_deref().unwrap_or(&decision.path);
            let asked = (ask.method, path);
            let lines = |rule| at.version_lines(decision.version, rule, decision.backend, asked);
            explanation.versions = rule.map(lines).unwrap_or_default();
            let cached = rule.map(|rule| cached::told(ask, &decision, rule, at));
            explanation.cache = cached.unwrap_or_default();
            let compression = rule.and_then(|rule| rule.policy.compress.as_ref());
            explanation.compress = compression.map(|compression| compression.told(ask.headers));
            let told = rule.map(|rule| access::told(ask, rule, at));
            explanation.headers.extend(told.into_iter().flatten());
            let forward = rule.and_then(|rule| rule.policy.forward.as_deref());
            explanation.forwards =
                forward.map_or_else(Vec::new, |forward| forward.told(ask.headers, decision.query));
        }
        Err(Stop::Preflight(preflight)) => answered(&mut explanation, &preflight),
        Err(stop) => stopped(&mut explanation, &stop, at),
    }
    explanation
}

/// What is asked on live traffic where the request says nothing else: who it is pretended to be is known without.
fn asked(ask: &Ask<'_, '_>, (rule, path): (&Rule, &str), now: UnixTime, at: &Snapshot) -> Option<String> {
    let nobody = matches!(ask.credential, Credential::Pretend(None));
    let question = admit::question(ask, now, (rule, path), at).filter(|_| nobody)?;
    Some(question.to_string())
}

const fn scheme(entrance: &Entrance) -> &'static str {
    match entrance {
        Entrance::Plain(_) => "http",
        Entrance::Public | Entrance::Private => "https",
    }
}

/// A preflight is answered before anybody asks who it is.
fn answered(explanation: &mut Explanation, preflight: &Preflight) {
    explanation.gate = None;
    explanation.answered = Some(Refused {
        status: 204,
        why: preflight.why(),
    });
}

fn admitted(explanation: &mut Explanation, decision: &Decision<'_>, method: &http::Method, at: &Snapshot) {
    explanation.forwarded.clone_from(&decision.forwarded);
    explanation.visitor = Some(Cookie {
        state: decision.seen.as_str().to_owned(),
        id: decision.visitor.as_ref().map(|visitor| visitor.id().to_owned()),
        set: decision.set_cookie,
    });
    explanation.backend = Goes::to(decision.backend, at);
    explanation.bounds = at
        .rule(decision.route)
        .map_or_else(Vec::new, |rule| rule.bounds(decision.backend, at));
    explanation.failover = at
        .rule(decision.route)
        .and_then(|rule| Standby::of(rule, decision.backend, method, at));
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
    if decision.is_forced() {
        explanation
            .headers
            .push(("Banyan-Forced".to_owned(), "1".to_owned()));
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

fn stopped(explanation: &mut Explanation, stop: &Stop, at: &Snapshot) {
    let (status, why) = match stop {
        Stop::Ambiguous(ambiguous) => (
            400,
            format!("the path can be read in two ways: {}", ambiguous.as_str()),
        ),
        Stop::UnknownHost => (421, "the host is none of `hosts` in banyan.toml".to_owned()),
        Stop::NoRoute => (404, "no route takes it".to_owned()),
        Stop::ToHttps { status, .. } => {
            explanation.gate = None; // nobody was asked yet
            explanation.redirect = Some(Redirected {
                status: status.as_u16(),
                location: format!("https://{}{}", explanation.host, explanation.target),
                why: "it is served over https".to_owned(),
            });
            return;
        }
        Stop::Redirect { status, location, .. } => {
            explanation.redirect = Some(Redirected {
                status: status.as_u16(),
                location: location.clone(),
                why: "the route redirects".to_owned(),
            });
            return;
        }
        Stop::PlainHttp { .. } => (403, "it is served over https only".to_owned()),
        Stop::Method { status, allow, .. } => (
            status.as_u16(),
            format!("its method is not served there, only {allow}"),
        ),
        Stop::Barred { why, .. } => {
            explanation.gate = None; // nobody was asked yet
            (403, why.to_string())
        }
        Stop::Denied { denied, .. } => (denied.status().as_u16(), denied.to_string()),
        Stop::Preflight(_) => return, // no refusal
    };
    match (&mut explanation.gate, stop) {
        (Some(gate), Stop::Denied { denied, route }) => gate.deny(denied, at.rule(*route)),
        (gate, Stop::PlainHttp { .. } | Stop::Method { .. }) => *gate = None, // nobody was asked yet
        _ => {}
    }
    explanation.refused = Some(Refused { status, why });
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

pub(super) fn said(asked: &Asked, route: Option<RouteId>, now: UnixTime, at: &Snapshot) -> Option<Said> {
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
        requires: asked.required.iter().map(required).collect(),
        layer: asked.layer.as_ref().map(layer),
        shares: scheduled(flag, now),
        bucket_percent: asked.place.map(percent),
        variant: choice
            .variant
            .and_then(|at| flag.variant(at))
            .map(ToString::to_string),
        reason: choice.reason.as_str().to_owned(),
        picks_backend: picks,
    })
}

fn required((flag, variant, met): &(FlagKey, Option<VariantName>, bool)) -> (String, String) {
    let variant = variant.as_ref().map_or("no variant", VariantName::as_str);
    let verdict = if *met { "will do" } else { "will not do" };
    (flag.to_string(), format!("{verdict} as {variant}"))
}

fn layer((layer, place, takes): &(LayerName, Option<u32>, bool)) -> String {
    let place = place.map_or_else(
        || "no place".to_owned(),
        |place| format!("place {} %", percent(place)),
    );
    let whose = if *takes { "is its own" } else { "is not its own" };
    format!("{place} of layer `{layer}` {whose}")
}

/// What a schedule has made of the shares by now.
fn scheduled(flag: &flag::Flag, now: UnixTime) -> Option<String> {
    let rollout = match &flag.settings().targeting {
        flag::Targeting::Rules { rollout, .. } => rollout.as_ref()?,
        flag::Targeting::JsonLogic(_) => return None,
    };
    let shares = flag.shares(now).filter(|_| !rollout.schedule.is_empty())?;
    let shares = flag.variants().iter().zip(shares);
    let shares: Vec<String> = shares
        .map(|(variant, share)| format!("{variant} {} %", percent(share)))
        .collect();
    Some(shares.join(", "))
}

/// Thousandths of a percent as percent.
fn percent(place: u32) -> String {
    format!("{}.{:03}", place / 1000, place % 1000)
}
