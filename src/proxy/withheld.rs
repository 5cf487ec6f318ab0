//! What a backend is not told of a request: credentials that the gate has judged, and fields that the operator lets no client send.

use super::edge::Edge;
use crate::{
    fields::{Fields, Known},
    gate::Auth,
    observe::record::Record,
    snapshot::{
        Rule, Snapshot,
        decide::{Decision, Settled},
    },
};

/// Takes out what the backend of `rule` is not to see. Where nobody was asked who they are, `Authorization` is between client and backend.
pub(super) fn take_out(fields: &mut Fields, decision: &Settled, rule: &Rule, at: &Snapshot) {
    let own = &rule.requirement;
    // a dry run changes nothing for who passes, unless the operator asks for more
    let dry = own.report_only && own.auth == decision.auth;
    if decision.auth != Auth::None && !own.forward_authorization && !dry {
        fields.remove(Known::AUTHORIZATION);
    }
    let Some(gate) = at.gate.as_ref().filter(|gate| gate.gate.strips_any()) else {
        return;
    };
    fields.retain(|name, _| !gate.gate.strips(name.as_str()));
}

/// Writes down that the gate let it in, and whose it is so that nobody who reads the log learns that, and that a dry run let somebody pass.
pub(super) fn note(decision: &Decision<'_>, edge: &Edge, record: &mut Record) {
    record.gate = Some(match &decision.identity {
        Some(_) => "passed",
        None => "open",
    });
    if let Some(identity) = &decision.identity {
        record.user = Some(edge.signed.pseudonym(&edge.signer, identity));
    }
    if let Some(denied) = &decision.would_deny {
        record.would_deny = Some(denied.as_str());
    }
}
