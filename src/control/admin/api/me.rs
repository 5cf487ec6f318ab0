//! Who asks, and what they may do: the page shows it.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::{
    actor::Actor,
    answer::{Answer, JSON},
    refusal::Refusal,
};
use crate::config::admin::{May, Reach};

/// Who asks.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(in super::super) struct Me {
    /// As history shows it; none: nobody in particular, who may look and change nothing.
    name: Option<String>,
    /// `read`, `write`, `write:<flag>`, and `write:<squad>/*` for the flags of a squad.
    scopes: Vec<String>,
}

/// `GET /api/me`.
pub(in super::super) fn answer(actor: Option<&Actor>) -> Result<Answer, Refusal> {
    let text = serde_json::to_string(&Me::of(actor)).map_err(|error| Refusal::Internal(error.to_string()))?;
    Ok(Answer::text(JSON, text))
}

impl Me {
    fn of(actor: Option<&Actor>) -> Self {
        let Some(actor) = actor else {
            return Self {
                name: None,
                scopes: Vec::new(),
            };
        };
        let mut scopes = vec!["read".to_owned()];
        match &actor.may {
            May::Read => {}
            May::Write(Reach::Everything) => scopes.push("write".to_owned()),
            May::Write(Reach::Only { flags, squads }) => {
                scopes.extend(flags.iter().map(|flag| format!("write:{flag}")));
                scopes.extend(squads.iter().map(|squad| format!("write:{squad}/*")));
            }
        }
        Self {
            name: Some(actor.name.clone()),
            scopes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Me;
    use crate::{
        config::admin::{May, Reach},
        control::admin::actor::{Actor, Kind},
        name::{FlagKey, SquadName},
    };

    #[test]
    fn a_name_and_scopes_are_told_and_nothing_of_nobody() {
        let of = |may| {
            Me::of(Some(&Actor {
                name: "mina".to_owned(),
                kind: Kind::Session,
                may,
            }))
        };
        assert_eq!(of(May::Read).scopes, ["read"]);
        assert_eq!(of(May::Write(Reach::Everything)).scopes, ["read", "write"]);
        let only = Reach::Only {
            flags: [FlagKey::new("cart").unwrap()].into(),
            squads: [SquadName::new("learn").unwrap()].into(),
        };
        let me = of(May::Write(only));
        assert_eq!(me.name.as_deref(), Some("mina"));
        assert_eq!(me.scopes, ["read", "write:cart", "write:learn/*"]);
        let nobody = Me::of(None);
        assert!(nobody.name.is_none() && nobody.scopes.is_empty());
    }
}
