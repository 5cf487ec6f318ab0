//! Who asks for a change: the name that history keeps.

/// Somebody whom the door let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Actor {
    /// As history shows it: a user's id or a token's name, never a secret.
    pub(super) name: String,
}
