//! Whether the gate lets a request in: what its route asks for, and what the operator demands at its path whatever the route says.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    GateAtWork, Rule, Snapshot,
    decide::{Ask, Credential, Entrance, Trail, judged_host, normalise},
};
use crate::{
    clock::UnixTime,
    gate::{
        self, Accept, Auth, Demand, Denied, Identity, Requirement, Source,
        lookup::Question,
        session::{NoSession, Wish},
    },
    route::target,
};

/// A request that the gate lets in.
#[derive(Debug)]
pub(super) struct Admitted {
    /// Who sends it, if that was asked and is known.
    pub(super) identity: Option<Arc<Identity>>,
    /// What was asked: the route's word, or the operator's where that asks for more.
    pub(super) auth: Auth,
    /// Why it would have been denied, were the route not `report_only`.
    pub(super) would_deny: Option<Denied>,
}

/// What is demanded at one path.
type Demands<'d> = SmallVec<[&'d Demand; 4]>;

/// Lets a request in that `rule` took for this (canonical) path, or says why not.
pub(super) fn pass<'s, T: Trail<'s>>(
    ask: &Ask<'_, '_>,
    now: UnixTime,
    (rule, path): (&Rule, &str),
    at: &'s Snapshot,
    trail: &mut T,
) -> Result<Admitted, Denied> {
    let own = &rule.requirement;
    let demands = demands(ask, path, at);
    for demand in &demands {
        trail.demanded(demand);
    }
    let judge = |own: &Requirement| judge(ask, now, (own, &rule.squad), &demands, at.gate.as_ref());
    let auth = strongest(own.auth, &demands);
    let denied = match judge(own) {
        Ok(identity) => {
            return Ok(Admitted {
                identity,
                auth,
                would_deny: None,
            });
        }
        Err(denied) if own.report_only && !is_open(&denied) => denied,
        Err(denied) => return Err(denied),
    };
    // A dry run forgives what the route asks for, never what the operator does; and who is named is somebody who proved it.
    let nobody = Requirement {
        accept: own.accept,
        ..Requirement::of(Auth::None)
    };
    let named = Requirement {
        accept: own.accept,
        origins: own.origins.clone(),
        ..Requirement::of(Auth::Optional)
    };
    let identity = match judge(&named) {
        Ok(identity) => identity,
        Err(denied) if is_open(&denied) => return Err(denied),
        Err(_) => judge(&nobody)?,
    };
    Ok(Admitted {
        identity,
        auth,
        would_deny: Some(denied),
    })
}

/// Whether somebody else is to be asked first, or a signature to be verified: it isn't said yet what a dry run could forgive.
const fn is_open(denied: &Denied) -> bool {
    matches!(
        denied,
        Denied::Ask(_) | Denied::Unverified | Denied::NoSession(NoSession::Unchecked)
    )
}

/// What a sign-in has to be like with which this request meets all that is asked of it, by its route and by the operator. `None`: none
/// that can be asked for would do.
#[must_use]
pub fn wished(ask: &Ask<'_, '_>, rule: &Rule, at: &Snapshot) -> Option<Wish> {
    let judged = normalise(target::split_target(ask.target).0, at).ok()?;
    let demands = demands(ask, &judged.path, at);
    let demanded = demands.iter().flat_map(|demand| &demand.requirement.needs);
    Wish::of(rule.requirement.needs.iter().chain(demanded))
}

/// What is asked of requests for this path at the least.
pub(super) fn demanded(ask: &Ask<'_, '_>, path: &str, at: &Snapshot) -> Auth {
    strongest(Auth::None, &demands(ask, path, at))
}

fn demands<'d>(ask: &Ask<'_, '_>, path: &str, at: &'d Snapshot) -> Demands<'d> {
    let host = judged_host(ask, at).unwrap_or(ask.host);
    at.gate
        .as_ref()
        .map_or_else(Demands::new, |gate| gate.gate.demands(path, host).collect())
}

fn strongest(own: Auth, demands: &[&Demand]) -> Auth {
    let demanded = demands.iter().map(|demand| demand.requirement.auth);
    demanded.fold(own, Auth::max)
}

/// Who somebody has to be at the least, by the route's word and the operator's, and how that may be shown.
fn together(own: &Requirement, demands: &[&Demand]) -> Requirement {
    let accepts = demands.iter().map(|demand| demand.requirement.accept);
    Requirement {
        accept: accepts.fold(own.accept, Accept::and),
        origins: own.origins.clone(),
        ..Requirement::of(strongest(own.auth, demands))
    }
}

/// What others would be asked before a request that `rule` took for this (canonical) path could be decided, were nothing known yet.
pub(super) fn question(
    ask: &Ask<'_, '_>,
    now: UnixTime,
    (rule, path): (&Rule, &str),
    at: &Snapshot,
) -> Option<Box<Question>> {
    let gate = at.gate.as_ref()?;
    let asked = together(&rule.requirement, &demands(ask, path, at));
    gate.gate.question(&asked, ask.headers, now)
}

fn judge(
    ask: &Ask<'_, '_>,
    now: UnixTime,
    (own, squad): (&Requirement, &str),
    demands: &[&Demand],
    gate: Option<&GateAtWork>,
) -> Result<Option<Arc<Identity>>, Denied> {
    if demands.is_empty() {
        return one(ask, now, (own, squad), gate);
    }
    let identity = one(ask, now, (&together(own, demands), squad), gate)?;
    gate::permit(own, identity.as_deref(), now)?;
    for demand in demands {
        gate::permit(&demand.requirement, identity.as_deref(), now)?;
    }
    Ok(identity)
}

fn one(
    ask: &Ask<'_, '_>,
    now: UnixTime,
    (requirement, squad): (&Requirement, &str),
    gate: Option<&GateAtWork>,
) -> Result<Option<Arc<Identity>>, Denied> {
    match (ask.credential, gate) {
        (Credential::Fields(memory) | Credential::Asked(memory), Some(at_work)) => {
            let keys = at_work.keys.load();
            let checked = at_work.gate.check(requirement, ask.headers, &keys, now, memory);
            let identity = match checked {
                Err(Denied::Ask(question)) if matches!(ask.credential, Credential::Asked(_)) => {
                    question.unanswered(requirement)
                }
                checked => checked,
            }?;
            if let Some(identity) = &identity {
                gate::machine::reaches(identity, squad)?;
            }
            pass_origin(ask, requirement, identity.as_deref())?;
            Ok(identity)
        }
        // `config` refuses a route that requires someone where there is no gate; if one came through, nobody passes.
        (Credential::Fields(_) | Credential::Asked(_), None) => {
            gate::permit(requirement, None, now).map(|()| None)
        }
        (Credential::Pretend(identity), _) => {
            let identity = identity.filter(|_| requirement.auth != Auth::None);
            gate::permit(requirement, identity.map(Arc::as_ref), now)?;
            Ok(identity.cloned())
        }
    }
}

/// Browsers send cookies by themselves, also when another site's page has them do it. Backends, who ask on the private listener, don't.
fn pass_origin(
    ask: &Ask<'_, '_>,
    requirement: &Requirement,
    identity: Option<&Identity>,
) -> Result<(), Denied> {
    let by_cookie =
        identity.is_some_and(|identity| matches!(identity.source, Source::Session | Source::Legacy));
    if by_cookie && ask.entrance != Entrance::Private {
        gate::csrf::check(ask.method, ask.headers, &requirement.origins)?;
    }
    Ok(())
}
