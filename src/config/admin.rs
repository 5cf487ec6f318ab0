//! `[admin]`: who may see and change what on the admin listener, as the operator writes it, and what it means.

use std::{collections::BTreeSet, ops::Range};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use toml::value::{Datetime, Offset};

use super::{
    fault::{WRONG_TYPE, refuse},
    operator,
    report::{Report, suggest},
    values::{OneOrMany, Spot},
};
use crate::name::{FlagKey, SquadName};

/// Most bytes of a token's name.
pub const TOKEN_NAME_BYTES_MAX: usize = 64;

/// Most tokens. Each request that brings one is compared with all of them.
pub const TOKENS_MAX: usize = 256;

/// `[admin]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminSettings {
    /// Those who may ask by a secret.
    pub tokens: Vec<AdminToken>,
    /// Roles of the gate's issuer that may read; any of them.
    pub read_roles: Vec<String>,
    /// Roles of the gate's issuer that may change; any of them.
    pub write_roles: Vec<String>,
    /// Whether reading asks nobody who they are. `None`: on a loopback listener alone.
    pub open: Option<bool>,
    /// Names under which a proxy with TLS leads here, lower case.
    pub hosts: Vec<String>,
}

impl AdminSettings {
    /// Whether nobody at all is named who may ask.
    #[must_use]
    pub const fn names_nobody(&self) -> bool {
        self.tokens.is_empty() && !self.counts_roles()
    }

    /// Whether roles of the gate's issuer count at all.
    #[must_use]
    pub const fn counts_roles(&self) -> bool {
        !(self.read_roles.is_empty() && self.write_roles.is_empty())
    }

    /// What somebody with these roles may do; `None`: nothing.
    #[must_use]
    pub fn may_by_roles(&self, roles: &[String]) -> Option<May> {
        let has = |wanted: &[String]| wanted.iter().any(|role| roles.contains(role));
        if has(&self.write_roles) {
            return Some(May::Write(Reach::Everything));
        }
        has(&self.read_roles).then_some(May::Read)
    }
}

/// `[[admin.tokens]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// What logs and history call it.
    pub name: String,
    /// SHA-256 of the secret, which is kept nowhere.
    pub hash: [u8; 32],
    /// What it is good for.
    pub may: May,
    /// Its end, in seconds since 1970.
    pub expires: u64,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum May {
    /// Look.
    Read,
    /// Look, and change what is in reach.
    Write(Reach),
}

/// What somebody may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every flag.
    Everything,
    /// These flags and those of these squads, and nothing else.
    Only {
        /// Flags by key.
        flags: BTreeSet<FlagKey>,
        /// Squads whose flags are in reach.
        squads: BTreeSet<SquadName>,
    },
}

/// `[admin]`: who may see and change what on the admin listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminFile {
    /// Secrets of programs and people, each with a name, a scope and an end; `banyan token add` makes one.
    tokens: Vec<Spot<TokenFile>>,
    /// Roles of the gate's issuer whose bearers may read or change.
    roles: Spot<RolesFile>,
    /// Whether reading asks nobody who they are. Without it: on a loopback address, asked for by address. Changing always asks.
    open: Option<bool>,
    /// Names under which a proxy leads here. It must speak TLS to browsers. Other names than localhost are refused.
    hosts: Vec<Spot<String>>,
}

/// `[admin.roles]`: roles of the gate's issuer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RolesFile {
    /// Any of these may read.
    read: Vec<Spot<String>>,
    /// Any of these may read and change every flag.
    write: Vec<Spot<String>>,
}

/// `[[admin.tokens]]`: a secret by its hash, and what it is good for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TokenFile {
    /// What logs and the history call it: letters, digits and `.`, `_`, `@`, `-`.
    #[schemars(required, extend("x-required" = true))]
    name: Option<Spot<String>>,
    /// SHA-256 of the secret, in 64 hexadecimal digits. The secret itself is written nowhere.
    #[schemars(required, extend("x-required" = true))]
    hash: Option<Spot<String>>,
    /// `read`, `write`, or `write:<flag>` for one flag; several in a list.
    #[schemars(required, extend("x-required" = true))]
    scope: Option<Spot<OneOrMany>>,
    /// `write` is for the flags of these squads only. Without it: for all flags.
    squads: Vec<Spot<String>>,
    /// When it ends: a date and time with an offset, such as `2027-03-01T09:00:00Z`.
    #[schemars(required, extend("x-required" = true))]
    expires: Option<Spot<Moment>>,
}

/// A date and time with an offset, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) u64);

impl AdminFile {
    /// Judges the table. `squads` are those of the file; none: any name will do.
    pub(super) fn settle(
        admin: Option<&Spot<Self>>,
        squads: &[&str],
        has_gate: bool,
        report: &mut Report,
    ) -> AdminSettings {
        let Some(admin) = admin else {
            return AdminSettings::default();
        };
        let file = &admin.value;
        let roles = &file.roles.value;
        let (read_roles, write_roles) = (role_names(&roles.read, report), role_names(&roles.write, report));
        let names_roles = !(roles.read.is_empty() && roles.write.is_empty());
        if names_roles && !has_gate {
            report
                .error(
                    "no-gate",
                    file.roles.span.clone(),
                    "roles may ask here, but there is no `[gate]` that says whose",
                )
                .hint(
                    "add `[gate]` with the issuer whose tokens bear these roles, or use `[[admin.tokens]]`",
                );
        }
        if file.tokens.len() > TOKENS_MAX {
            report
                .error(
                    "bad-token",
                    admin.span.clone(),
                    format!("there are {} tokens", file.tokens.len()),
                )
                .hint(format!("at most {TOKENS_MAX}; take out those that have ended"));
        }
        let mut tokens: Vec<AdminToken> = Vec::new();
        for token in &file.tokens {
            let Some(settled) = token.value.settle(&token.span, squads, report) else {
                continue;
            };
            if tokens
                .iter()
                .any(|other| other.name == settled.name || other.hash == settled.hash)
            {
                report
                    .error(
                        "bad-token",
                        token.span.clone(),
                        format!("another token has the name or hash of `{}`", settled.name),
                    )
                    .hint("make each with `banyan token add`, under a name of its own");
            }
            tokens.push(settled);
        }
        AdminSettings {
            tokens,
            read_roles,
            write_roles,
            open: file.open,
            hosts: own_hosts(&file.hosts, report),
        }
    }
}

impl TokenFile {
    fn settle(&self, table: &Range<usize>, squads: &[&str], report: &mut Report) -> Option<AdminToken> {
        for (is_missing, key, hint) in [
            (
                self.name.is_none(),
                "name",
                "what logs shall call it: `name = \"deploy\"`",
            ),
            (self.hash.is_none(), "hash", "`banyan token add NAME` makes one"),
            (
                self.scope.is_none(),
                "scope",
                "`scope = \"read\"`, or `\"write\"`",
            ),
            (
                self.expires.is_none(),
                "expires",
                "every token ends: `expires = 2027-03-01T09:00:00Z`",
            ),
        ] {
            if is_missing {
                report.missing(table, key, hint);
            }
        }
        let may = self
            .scope
            .as_ref()
            .and_then(|scope| self.may(scope, squads, report));
        let name = self.name.as_ref().filter(|name| {
            let good = is_token_name(&name.value);
            if !good {
                report
                    .error(
                        "bad-token",
                        name.span.clone(),
                        format!("`{}` can't name a token", name.value),
                    )
                    .hint(format!(
                        "1 to {TOKEN_NAME_BYTES_MAX} letters, digits and `.`, `_`, `@`, `-`"
                    ));
            }
            good
        });
        let hash = self.hash.as_ref().and_then(|hash| {
            let bytes = unhex(&hash.value);
            if bytes.is_none() {
                report
                    .error("bad-token", hash.span.clone(), "`hash` is no SHA-256 in hexadecimal digits")
                    .hint("`banyan token add NAME` makes a secret and its hash; the secret itself never stands here");
            }
            bytes
        });
        Some(AdminToken {
            name: name?.value.clone(),
            hash: hash?,
            may: may?,
            expires: self.expires.as_ref()?.value.0,
        })
    }

    fn may(&self, scope: &Spot<OneOrMany>, known: &[&str], report: &mut Report) -> Option<May> {
        let (mut read, mut write, mut flags) = (false, false, BTreeSet::new());
        for text in &scope.value.0 {
            let flag = text.value.strip_prefix("write:").map(FlagKey::new);
            match (text.value.as_str(), flag) {
                ("read", _) => read = true,
                ("write", _) => write = true,
                (_, Some(Ok(flag))) => _ = flags.insert(flag),
                (_, Some(Err(_)) | None) => {
                    report
                        .error(
                            "bad-scope",
                            text.span.clone(),
                            format!("`{}` is no scope", text.value),
                        )
                        .hint("write `read`, `write`, or `write:` and the key of a flag");
                    return None;
                }
            }
        }
        let squads = self.squads(known, report)?;
        if !squads.is_empty() && !write {
            report
                .error(
                    "bad-scope",
                    scope.span.clone(),
                    "`squads` says whose flags `write` is for, which isn't among the scopes",
                )
                .hint("add \"write\", or take `squads` out");
            return None;
        }
        match (write, squads.is_empty() && flags.is_empty(), read) {
            (true, _, _) if squads.is_empty() => Some(May::Write(Reach::Everything)),
            (_, false, _) => Some(May::Write(Reach::Only { flags, squads })),
            (_, true, true) => Some(May::Read),
            (_, true, false) => {
                report
                    .error(
                        "bad-scope",
                        scope.span.clone(),
                        "a token without any scope is good for nothing",
                    )
                    .hint("write `read` or `write`");
                None
            }
        }
    }

    /// `None` when one of them is none: a limit that is lost would make a token of everything.
    fn squads(&self, known: &[&str], report: &mut Report) -> Option<BTreeSet<SquadName>> {
        let mut squads = BTreeSet::new();
        let mut good = true;
        for squad in &self.squads {
            let name = SquadName::new(&squad.value).ok();
            let name = name.filter(|name| known.is_empty() || known.contains(&name.as_str()));
            if name.is_none() {
                good = false;
                report
                    .error(
                        "unknown-squad",
                        squad.span.clone(),
                        format!("there is no squad `{}`", squad.value),
                    )
                    .hint_if(suggest(&squad.value, known.iter().copied()));
            }
            squads.extend(name);
        }
        good.then_some(squads)
    }
}

/// Whether a text can be a token's name: it stands in logs, in the history and in TOML as it is.
#[must_use]
pub fn is_token_name(text: &str) -> bool {
    (1..=TOKEN_NAME_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'-'))
}

fn role_names(written: &[Spot<String>], report: &mut Report) -> Vec<String> {
    let mut names = Vec::with_capacity(written.len());
    for role in written {
        if role.value.trim().is_empty() || role.value.contains(char::is_control) {
            report
                .error(
                    "bad-role",
                    role.span.clone(),
                    "a role can't be empty or hold control characters",
                )
                .hint("write it as the issuer's tokens do");
        }
        names.push(role.value.clone());
    }
    names
}

/// No wildcards: a name that anybody may point here by DNS is what the list keeps out.
fn own_hosts(written: &[Spot<String>], report: &mut Report) -> Vec<String> {
    for host in written.iter().filter(|host| host.value.starts_with('*')) {
        report
            .error(
                "bad-host",
                host.span.clone(),
                format!("`{}` is not one name", host.value),
            )
            .hint("write every name under which the proxy leads here");
    }
    operator::hosts(written, report)
}

/// A hash as `[[admin.tokens]]` writes it.
#[must_use]
pub fn hex(hash: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in hash {
        let _ = write!(text, "{byte:02x}"); // a String never refuses
    }
    text
}

pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl Moment {
    fn of(written: Datetime) -> Option<Self> {
        let (date, time, offset) = (written.date?, written.time?, written.offset?);
        let minutes = match offset {
            Offset::Z => 0,
            Offset::Custom { minutes } => i64::from(minutes),
        };
        let of_day =
            i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0));
        let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
        u64::try_from(days * 86_400 + of_day - minutes * 60)
            .ok()
            .map(Self)
    }
}

/// Days since 1970 of a date, by eras of 400 years that begin in March (Hinnant, `days_from_civil`).
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const HINT: &str = "write a date and time with an offset, without quotes: 2027-03-01T09:00:00Z";
        let wrong = || refuse(WRONG_TYPE, "must be a date and time with an offset", HINT);
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Option<Datetime>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a date and time")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Ok(Datetime::deserialize(de::value::MapAccessDeserializer::new(map)).ok())
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
                Ok(None)
            }
        }
        let written = deserializer.deserialize_any(Written)?;
        written.and_then(Self::of).ok_or_else(wrong)
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}
