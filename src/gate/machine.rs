//! Machines' keys: what one looks like, whether one is known, and what it lets its bearer do.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{constant_time, rand};
use serde_json::json;

use super::{
    denied::{BadToken, Denied},
    identity::Identity,
    keys::sha256,
    lookup::Hidden,
    source::Source,
};
use crate::{
    clock::UnixTime,
    fields::{Fields, Known},
    name::SquadName,
};

/// How a machine's key begins, so that scanners of source code know a leaked one.
pub const PREFIX: &str = "bnk_";

/// Most keys that a site may have.
pub const MACHINES_MAX: usize = 4096;

/// Random bytes of a key. As many can't be guessed, so a plain SHA-256 keeps them: slow hashes are for what people think up.
const SECRET_BYTES: usize = 32;

/// Hexadecimal digits at a key's end: the first of the SHA-256 of what stands before them.
const CHECK_DIGITS: usize = 8;

/// Characters of a key.
const TEXT_BYTES: usize = PREFIX.len() + 2 * SECRET_BYTES + CHECK_DIGITS;

/// Its last use is noted to this many seconds, so that cores don't write it all the time.
const USED_SECONDS: u64 = 60;

/// A machine's key as `keys.toml` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSettings {
    /// What logs, metrics and backends call it.
    pub name: Arc<str>,
    /// SHA-256 of the key's text.
    pub hash: [u8; 32],
    /// Whose routes it is for; empty: everybody's.
    pub squads: Vec<SquadName>,
    /// Its scopes, as a token would have them.
    pub scopes: Vec<String>,
    /// Its roles.
    pub roles: Vec<String>,
    /// When it ends.
    pub expires: UnixTime,
}

/// A new key: shown once.
///
/// # Errors
/// The system has no random numbers.
pub fn mint() -> Result<Hidden, aws_lc_rs::error::Unspecified> {
    let mut secret = [0; SECRET_BYTES];
    rand::fill(&mut secret)?;
    let body = format!("{PREFIX}{}", hex(&secret));
    let check = check_digits(&body);
    Ok(Hidden(body + &check))
}

/// What is kept of a key.
#[must_use]
pub fn hash(key: &str) -> [u8; 32] {
    sha256(&[key.as_bytes()])
}

/// Whether a text has the form and the check digits of a key.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    let Some((body, check)) = text.split_at_checked(TEXT_BYTES - CHECK_DIGITS) else {
        return false;
    };
    text.len() == TEXT_BYTES && body.starts_with(PREFIX) && check_digits(body) == check
}

fn check_digits(body: &str) -> String {
    let mut digits = hex(&sha256(&[body.as_bytes()]));
    digits.truncate(CHECK_DIGITS);
    digits
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}"); // a String never refuses
    }
    text
}

/// A site's machines.
#[derive(Default)]
pub struct Machines {
    /// By the first half of the hash: of a random key it tells nothing, and the rest is compared in constant time.
    by_hash: HashMap<[u8; 16], Machine>,
}

struct Machine {
    settings: MachineSettings,
    identity: Arc<Identity>,
    /// Seconds since 1970; 0: never since the start.
    used: Arc<AtomicU64>,
}

/// What is known of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: Arc<str>,
    /// When it was last seen, to the minute, in seconds since 1970; 0: never since the start.
    pub used: u64,
    /// When its key ends.
    pub expires: UnixTime,
}

impl Machines {
    /// These machines. When each was last seen is carried over from `previous`, by its hash.
    #[must_use]
    pub fn new(settings: &[MachineSettings], previous: Option<&Self>) -> Self {
        let machine = |settings: &MachineSettings| {
            let known = previous.and_then(|previous| previous.get(&settings.hash));
            let used = known.map(|known| Arc::clone(&known.used)).unwrap_or_default();
            let machine = Machine {
                settings: settings.clone(),
                identity: Arc::new(identity(settings)),
                used,
            };
            (half(&settings.hash), machine)
        };
        Self {
            by_hash: settings.iter().map(machine).collect(),
        }
    }

    /// All of them.
    pub fn about(&self) -> impl Iterator<Item = About> {
        self.by_hash.values().map(|machine| About {
            name: Arc::clone(&machine.settings.name),
            used: machine.used.load(Ordering::Relaxed),
            expires: machine.settings.expires,
        })
    }

    /// The machine whose key this is.
    ///
    /// # Errors
    /// [`Denied::BadToken`] where it is nobody's, or has ended.
    pub(super) fn find(&self, key: &str, now: UnixTime) -> Result<Arc<Identity>, Denied> {
        let Some(machine) = self.get(&hash(key)) else {
            return Err(Denied::BadToken(match is_well_formed(key) {
                true => BadToken::UnknownMachine,
                false => BadToken::Malformed,
            }));
        };
        if machine.settings.expires <= now {
            return Err(Denied::BadToken(BadToken::Expired));
        }
        let seen = now.secs();
        if machine.used.load(Ordering::Relaxed).saturating_add(USED_SECONDS) <= seen {
            machine.used.store(seen, Ordering::Relaxed);
        }
        Ok(Arc::clone(&machine.identity))
    }

    fn get(&self, hash: &[u8; 32]) -> Option<&Machine> {
        let machine = self.by_hash.get(&half(hash))?;
        constant_time::verify_slices_are_equal(&machine.settings.hash, hash)
            .is_ok()
            .then_some(machine)
    }
}

impl fmt::Debug for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines")
            .field("len", &self.by_hash.len())
            .finish()
    }
}

fn half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(hash) {
        *to = *from;
    }
    half
}

/// No user is called so, since no name of a machine has a colon and its subject always does.
fn identity(settings: &MachineSettings) -> Identity {
    let subject = format!("key:{}", settings.name);
    let squads: Vec<&str> = settings.squads.iter().map(SquadName::as_str).collect();
    Identity {
        claims: json!({
            "sub": subject,
            "roles": settings.roles,
            "scope": settings.scopes.join(" "),
            "squads": squads,
        }),
        subject,
        roles: settings.roles.clone(),
        expires: settings.expires,
        source: Source::Key,
    }
}

/// Whether an identity may use routes of `squad`: a machine's key can be for some squads only.
///
/// # Errors
/// [`Denied::OtherSquad`].
pub fn reaches(identity: &Identity, squad: &str) -> Result<(), Denied> {
    if identity.source != Source::Key {
        return Ok(());
    }
    let squads = identity.claims.get("squads").and_then(|squads| squads.as_array());
    match squads {
        Some(squads) if squads.is_empty() || squads.iter().any(|own| own == squad) => Ok(()),
        _ => Err(Denied::OtherSquad),
    }
}

/// Takes machines' keys out of a request's fields: they are for the gate, and no backend's business.
pub fn conceal(headers: &mut Fields) {
    let is_key = |value: &[u8]| {
        let after = value
            .get(..7)
            .filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        let rest = after.and_then(|_| value.get(7..)).unwrap_or_default();
        rest.trim_ascii_start().starts_with(PREFIX.as_bytes())
    };
    if headers
        .get_all(Known::AUTHORIZATION)
        .any(|value| is_key(value.as_bytes()))
    {
        headers.retain(|name, value| name != Known::AUTHORIZATION || !is_key(value.as_bytes()));
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
