//! Who asks: the name that history keeps, and what they may do.

use super::refusal::Refusal;
use crate::{
    config::admin::{May, Reach},
    name::SquadName,
    snapshot::Snapshot,
};

/// Somebody whom the door let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Actor {
    /// As history shows it: a user's id or a token's name, never a secret.
    pub(super) name: String,
    /// How they came in.
    pub(super) kind: Kind,
    /// What they may do.
    pub(super) may: May,
}

/// How somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By a token of `[[admin.tokens]]`.
    Token,
    /// By a token of the gate's issuer.
    Role,
    /// By a browser's session.
    Session,
    /// By what `<state>/cli.token` holds.
    Cli,
}

impl Kind {
    /// For logs and metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Role => "role",
            Self::Session => "session",
            Self::Cli => "cli",
        }
    }
}

impl Actor {
    /// Whether they may change anything at all.
    pub(super) const fn may_write(&self) -> bool {
        matches!(self.may, May::Write(_))
    }

    /// Whether they may change a flag, which belongs to `squad` if to any.
    pub(super) fn may_change(&self, flag: &str, squad: Option<&str>) -> bool {
        match &self.may {
            May::Read => false,
            May::Write(Reach::Everything) => true,
            May::Write(Reach::Only { flags, squads }) => {
                flags.iter().any(|own| own.as_str() == flag)
                    || squad.is_some_and(|squad| squads.iter().any(|own| own.as_str() == squad))
            }
        }
    }
}

/// Lets a change of a flag pass, or says which scope it lacks. `squad` is whose the flag is now, and for a change of the squad
/// whose it will be is to be asked for as well.
///
/// # Errors
/// [`Refusal::SignIn`] for nobody, [`Refusal::Scope`] for somebody without the scope.
pub(super) fn admit_change(actor: Option<&Actor>, flag: &str, squad: Option<&str>) -> Result<(), Refusal> {
    let actor = actor.ok_or(Refusal::SignIn)?;
    if actor.may_change(flag, squad) {
        Ok(())
    } else {
        Err(Refusal::Scope(format!("write:{flag}")))
    }
}

/// The same for the flag of this key as it is in the snapshot in force.
///
/// # Errors
/// As [`admit_change`]'s.
pub(super) fn admit_change_at(actor: Option<&Actor>, flag: &str, at: &Snapshot) -> Result<(), Refusal> {
    let known = at.flags.by_key(flag).and_then(|id| at.flags.get(id));
    let squad = known.and_then(|flag| flag.squad());
    admit_change(actor, flag, squad.map(SquadName::as_str))
}

#[cfg(test)]
mod tests {
    use super::{Actor, Kind, admit_change};
    use crate::{
        config::admin::{May, Reach},
        control::admin::refusal::Refusal,
        name::{FlagKey, SquadName},
    };

    fn actor(may: May) -> Actor {
        Actor {
            name: "mina".to_owned(),
            kind: Kind::Token,
            may,
        }
    }

    #[test]
    fn what_is_in_reach_may_be_changed_and_nothing_else() {
        let only = May::Write(Reach::Only {
            flags: [FlagKey::new("cart").unwrap()].into(),
            squads: [SquadName::new("learn").unwrap()].into(),
        });
        let cases = [
            (May::Read, "cart", Some("learn"), false),
            (May::Write(Reach::Everything), "cart", None, true),
            (May::Write(Reach::Everything), "pay", Some("shop"), true),
            (only.clone(), "cart", None, true),
            (only.clone(), "cart", Some("shop"), true),
            (only.clone(), "reviews", Some("learn"), true),
            (only.clone(), "reviews", Some("shop"), false),
            (only.clone(), "reviews", Some("learn-2"), false),
            (only.clone(), "cart-2", None, false),
            (only, "learn", None, false),
        ];
        for (may, flag, squad, wanted) in cases {
            let actor = actor(may);
            assert_eq!(
                actor.may_change(flag, squad),
                wanted,
                "{actor:?} {flag} {squad:?}"
            );
            let admitted = admit_change(Some(&actor), flag, squad);
            let refused = Err(Refusal::Scope(format!("write:{flag}")));
            assert_eq!(admitted, if wanted { Ok(()) } else { refused });
        }
        assert_eq!(admit_change(None, "cart", Some("learn")), Err(Refusal::SignIn));
    }
}
