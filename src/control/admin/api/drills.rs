//! Drills: what is put in on purpose just now, and how one is started and ended.

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{
    actor::Actor,
    answer::{Answer, JSON},
    endpoints::{Asked, Order},
    refusal::Refusal,
};
use crate::{
    clock,
    control::{drills, plane::View},
    drill::{self, Drill, FOR_DEFAULT, FOR_MAX, SHARE_MAX, Where, Whom, Wish},
    observe::log::rfc3339,
    snapshot::Snapshot,
};

/// Bytes of a reason, a path, a field's value.
const TEXT_BYTES_MAX: usize = 1_000;

/// All drills under way.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Drills {
    /// The oldest first.
    drills: Vec<Told>,
}

/// A drill.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct Told {
    /// What it is ended by.
    pub(in super::super) id: String,
    /// The route that it is on, if it is on one.
    pub(in super::super) route: Option<String>,
    /// The path that it is on, if it is on one.
    pub(in super::super) path: Option<String>,
    /// `delay=…ms`, `abort=…`, `cut=…B` or `throttle=…B`.
    pub(in super::super) what: String,
    /// Percent of requests that it meets.
    pub(in super::super) share: f64,
    /// The field that requests must have, `name: value`.
    pub(in super::super) header: Option<String>,
    /// The visitor whose requests it meets.
    pub(in super::super) visitor: Option<String>,
    /// When it began.
    pub(in super::super) began: String,
    /// When it ends by itself.
    pub(in super::super) ends: String,
    /// Who started it.
    pub(in super::super) by: String,
    /// Why.
    pub(in super::super) reason: String,
    /// Requests that it met so far. Not part of `/api/status`, so that pages are not drawn anew with each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) met: Option<u64>,
}

/// What a drill shall be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct StartOrder {
    /// A route's path or pattern as written. This or `path`.
    #[serde(default)]
    route: Option<String>,
    /// A path, with a last `/*` all below it.
    #[serde(default)]
    path: Option<String>,
    /// `delay=2s`, `abort=503`, `cut=16KiB` (of the answer's body) or `throttle=10KiB` (a second).
    what: String,
    /// Percent of requests, chosen by chance; 100 unless said otherwise.
    #[serde(default)]
    share: Option<f64>,
    /// Only requests with this field, `name: value`.
    #[serde(default)]
    header: Option<String>,
    /// Only requests of the visitor with this id.
    #[serde(default)]
    visitor: Option<String>,
    /// How long: 5m unless said otherwise, at most 1h.
    #[serde(default, rename = "for")]
    lasts: Option<String>,
    /// Why; kept in the log.
    reason: String,
    /// For whom it is done, where a program does it.
    #[serde(default)]
    by: Option<String>,
}

/// Why a drill is ended.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct EndOrder {
    /// Why; kept in the log.
    reason: String,
}

impl Told {
    fn of(drill: &Drill, met: Option<u64>) -> Self {
        let (route, path) = match &drill.at {
            Where::Route(route) => (Some(route.clone()), None),
            Where::Path(path) => (None, Some(path.clone())),
        };
        let header = drill.whom.header.as_ref();
        Self {
            id: drill.id.clone(),
            route,
            path,
            what: drill.what.to_string(),
            share: f64::from(drill.whom.share) / 1_000.0,
            header: header.map(|(name, value)| format!("{name}: {value}")),
            visitor: drill.whom.visitor.clone(),
            began: rfc3339(drill.began.secs()),
            ends: rfc3339(drill.ends.secs()),
            by: drill.who.to_string(),
            reason: drill.reason.clone(),
            met,
        }
    }

    /// All under way, for the page and `/api/status`.
    pub(in super::super) fn all(at: &Snapshot) -> Vec<Self> {
        let active = at.drills.active(clock::wall());
        active.iter().map(|drill| Self::of(drill, None)).collect()
    }
}

/// `GET /api/drills`.
pub(in super::super) fn answer(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    let active = at.drills.active(clock::wall());
    let drills = active.iter().map(|drill| Told::of(drill, Some(drill.met())));
    Answer::json(
        at.version,
        &Drills {
            drills: drills.collect(),
        },
    )
}

/// `POST /api/drills`.
pub(in super::super) fn start(
    view: View,
    _: Asked,
    order: Order,
) -> BoxFuture<'static, Result<Answer, Refusal>> {
    Box::pin(async move { started(&view, &order) })
}

/// `POST /api/drills/{id}/end`.
pub(in super::super) fn end(
    view: View,
    asked: Asked,
    order: Order,
) -> BoxFuture<'static, Result<Answer, Refusal>> {
    Box::pin(async move { ended(&view, &asked.key, &order) })
}

fn started(view: &View, order: &Order) -> Result<Answer, Refusal> {
    let wanted: StartOrder = order.read()?;
    let at = view.live.current();
    let place = place(&wanted, &at)?;
    let name = admit(order.actor.as_ref(), &place, &at)?;
    let text = |text: &str| !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX;
    if !text(&wanted.reason) {
        return refused(format!("say why in `reason`: 1 to {TEXT_BYTES_MAX} bytes"));
    }
    let lasts = match &wanted.lasts {
        None => FOR_DEFAULT,
        Some(given) => match drill::duration(given) {
            Some(lasts) if lasts.as_secs() > 0 && lasts <= FOR_MAX => lasts,
            Some(_) | None => return refused(format!("{given:?} can't be `for`: from 1s to 1h")),
        },
    };
    let whom = Whom {
        share: share(wanted.share.unwrap_or(100.0))?,
        header: wanted.header.as_deref().map(header).transpose()?,
        visitor: wanted.visitor.clone(),
    };
    if whom.visitor.as_deref().is_some_and(|visitor| !text(visitor)) {
        return refused("`visitor` is an id of 22 characters".to_owned());
    }
    let wish = Wish {
        at: place,
        what: wanted
            .what
            .parse()
            .map_err(|bad: drill::BadWhat| Refusal::Parameter(bad.to_string()))?,
        whom,
        lasts,
        who: match wanted.by {
            Some(by) if text(&by) => format!("{name} for {by}"),
            Some(_) | None => name,
        },
        reason: wanted.reason,
    };
    let drill = at
        .drills
        .start(wish, clock::wall())
        .map_err(|full| Refusal::Failed(full.to_string()))?;
    drills::log_begin(&drill);
    told(&drill)
}

fn ended(view: &View, id: &str, order: &Order) -> Result<Answer, Refusal> {
    let wanted: EndOrder = order.read()?;
    let at = view.live.current();
    let now = clock::wall();
    let unknown = || Refusal::Unknown("drill", id.to_owned());
    let known = at.drills.active(now).into_iter().find(|drill| drill.id == id);
    let known = known.ok_or_else(unknown)?;
    let name = admit(order.actor.as_ref(), &known.at, &at)?;
    let drill = at.drills.end(id, now).ok_or_else(unknown)?;
    drills::log_end(&drill, &format!("{name} ended it. {}", wanted.reason));
    told(&drill)
}

fn told(drill: &Drill) -> Result<Answer, Refusal> {
    let text = serde_json::to_string(&Told::of(drill, Some(drill.met())))
        .map_err(|error| Refusal::Internal(error.to_string()))?;
    Ok(Answer::text(JSON, text))
}

fn place(wanted: &StartOrder, at: &Snapshot) -> Result<Where, Refusal> {
    match (&wanted.route, &wanted.path) {
        (Some(route), None) if at.rules.iter().any(|rule| *rule.name == **route) => {
            Ok(Where::Route(route.clone()))
        }
        (Some(route), None) => Err(Refusal::Unknown("route", route.clone())),
        (None, Some(path)) if path.starts_with('/') && path.len() <= TEXT_BYTES_MAX => {
            Ok(Where::Path(path.clone()))
        }
        (None, Some(path)) => refused(format!("{path:?} is no path: it begins with `/`")),
        (Some(_), Some(_)) | (None, None) => refused("say `route` or `path`, one of both".to_owned()),
    }
}

/// Whoever drills a route may change what its squads own; a path may be anybody's, so it takes somebody who may change everything.
fn admit(actor: Option<&Actor>, place: &Where, at: &Snapshot) -> Result<String, Refusal> {
    let actor = actor.ok_or(Refusal::SignIn)?;
    let may = match place {
        Where::Path(_) => actor.may_change("", None),
        Where::Route(route) => {
            let mut rules = at.rules.iter().filter(|rule| *rule.name == **route);
            rules.all(|rule| actor.may_change("", Some(&rule.squad)))
        }
    };
    if may && actor.may_write() {
        Ok(actor.name.clone())
    } else {
        Err(Refusal::Scope("write".to_owned()))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie between 0 and 100"
)]
fn share(percent: f64) -> Result<u32, Refusal> {
    let thousandths = (percent * 1_000.0).round();
    if (1.0..=f64::from(SHARE_MAX)).contains(&thousandths) {
        return Ok(thousandths as u32);
    }
    refused(format!("`share` is percent, from 0.001 to 100, not {percent}"))
}

fn header(text: &str) -> Result<(String, String), Refusal> {
    let pair = text
        .split_once(':')
        .map(|(name, value)| (name.trim(), value.trim()));
    match pair {
        Some((name, value))
            if http::HeaderName::from_bytes(name.as_bytes()).is_ok() && text.len() <= TEXT_BYTES_MAX =>
        {
            Ok((name.to_ascii_lowercase(), value.to_owned()))
        }
        Some(_) | None => refused("write `header` as `name: value`".to_owned()),
    }
}

fn refused<T>(why: String) -> Result<T, Refusal> {
    Err(Refusal::Parameter(why))
}
