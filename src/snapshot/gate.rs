//! What the gate says, for people and for JSON: what is asked, by whom, and the line that decides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Rule;
use crate::gate::{Auth, Demand, Denied};

/// What the gate says.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Gate {
    /// `none`, `optional` or `required`: the route's word, or the operator's where that asks for more.
    pub auth: String,
    /// Roles of which one is asked for by the route.
    pub roles: Vec<String>,
    /// What else is asked, in words, each with its place: by the route, and by the operator whatever the route says.
    pub asks: Vec<String>,
    /// Who is signed in.
    pub user: Option<String>,
    /// In words.
    pub verdict: String,
    /// The line that decided against it, or would have.
    pub decided_at: Option<String>,
}

/// What is asked on the route that `rule` is of.
pub(super) fn asked(rule: &Rule, demands: &[&Demand], user: Option<String>) -> Gate {
    let own = &rule.requirement;
    let demanded = demands.iter().map(|demand| &demand.requirement);
    let auth = demanded.map(|demanded| demanded.auth).fold(own.auth, Auth::max);
    let roles: Vec<String> = own.roles().cloned().collect();
    let mut asks = own.in_words();
    for demand in demands {
        let words = demand.requirement.in_words().join(", ");
        let words = if words.is_empty() {
            String::new()
        } else {
            format!(": {words}")
        };
        asks.push(format!(
            "the operator demands auth {} at {} ({}){words}",
            word(demand.requirement.auth),
            demand.path,
            demand.place
        ));
    }
    Gate {
        auth: word(auth).to_owned(),
        roles,
        asks,
        user,
        verdict: "passes".to_owned(),
        decided_at: match own.auth < auth {
            true => demands
                .iter()
                .find(|demand| demand.requirement.auth == auth)
                .map(|demand| demand.place.to_string()),
            false => None,
        },
    }
}

impl Gate {
    /// It was denied.
    pub(super) fn deny(&mut self, denied: &Denied, rule: Option<&Rule>) {
        self.verdict = denied.to_string();
        self.decided_at = self.line(denied, rule);
    }

    /// It would have been denied, were the route not `report_only`.
    pub(super) fn would_deny(&mut self, denied: &Denied, rule: Option<&Rule>) {
        self.verdict = format!("passes, as the route only reports; it would be denied: {denied}");
        self.decided_at = self.line(denied, rule);
    }

    /// Where it is written that this is asked: the need itself, the demand that asks for somebody at all, or the route.
    fn line(&self, denied: &Denied, rule: Option<&Rule>) -> Option<String> {
        match denied {
            Denied::Lacking(need) => Some(need.place.to_string()),
            _ => self
                .decided_at
                .clone()
                .or_else(|| rule.map(|rule| rule.place().to_string())),
        }
    }
}

const fn word(auth: Auth) -> &'static str {
    match auth {
        Auth::None => "none",
        Auth::Optional => "optional",
        Auth::Required => "required",
    }
}
