//! Override links, made and called back.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{
    actor::admit_change_at,
    answer::{Answer, JSON},
    endpoints::{Asked, Order},
    refusal::Refusal,
};
use crate::{
    clock,
    control::{
        links::{NoLink, NotRevoked},
        plane::View,
    },
    observe::log::rfc3339,
    snapshot::Snapshot,
    visitor::{FOR_DEFAULT, LinkId, OVERRIDE_PATH, Wish},
};

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 500;

/// A link that is wished for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct LinkOrder {
    /// The variant that a browser is put on.
    variant: String,
    /// How long the link counts, and who followed it stays there: `"8h"` by itself, at most `"7d"`.
    #[serde(default, rename = "for")]
    lasts: Option<String>,
    /// Why; kept in the log.
    #[schemars(length(min = 1, max = REASON_BYTES_MAX))]
    reason: String,
    /// Where it leads on to, an address of the same host: `/checkout`. By itself to a page that shows what is forced.
    #[serde(default)]
    to: Option<String>,
    /// The host that it is for. By itself the first of the site.
    #[serde(default)]
    host: Option<String>,
    /// Other flags with their variants: a browser follows one link at a time.
    #[serde(default)]
    also: BTreeMap<String, String>,
}

/// A link.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Link {
    /// Its address: a secret, as it opens what is behind it.
    url: String,
    /// When it ends.
    expires: String,
    /// What it is called back by.
    id: String,
}

/// Why a link is called back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RevokeOrder {
    /// Why; kept in the log.
    #[schemars(length(min = 1, max = REASON_BYTES_MAX))]
    reason: String,
}

/// A link that was called back.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct RevokedLink {
    /// Its id.
    id: String,
    /// When it would have ended by itself.
    expires: String,
}

/// `POST /api/flags/{key}/links`.
pub(in super::super) fn make(
    view: View,
    asked: Asked,
    order: Order,
) -> BoxFuture<'static, Result<Answer, Refusal>> {
    Box::pin(async move { made(&view, &asked.key, &order) })
}

/// `POST /api/links/{id}/revoke`.
pub(in super::super) fn revoke(
    view: View,
    asked: Asked,
    order: Order,
) -> BoxFuture<'static, Result<Answer, Refusal>> {
    Box::pin(async move { revoked(&view, &asked.key, &order) })
}

fn made(view: &View, key: &str, order: &Order) -> Result<Answer, Refusal> {
    let wanted: LinkOrder = order.read()?;
    check_reason(&wanted.reason)?;
    let at = view.live.current();
    check_variant(key, &wanted.variant, &at)?;
    for (other, variant) in &wanted.also {
        admit_change_at(order.actor.as_ref(), other, &at)?;
        check_variant(other, variant, &at)?;
    }
    let also = wanted.also.iter().map(|(flag, variant)| (&**flag, &**variant));
    let host = match &wanted.host {
        Some(host) => host.to_ascii_lowercase(),
        None => at.hosts.first().cloned().unwrap_or_default(),
    };
    if host.is_empty() || host.starts_with('*') || !at.answers_for(&host) {
        return Err(Refusal::Parameter(format!(
            "say which `host` the link is for; {host:?} is none that browsers ask here"
        )));
    }
    let wish = Wish {
        flags: std::iter::once((key, &*wanted.variant)).chain(also).collect(),
        host: &host,
        to: wanted.to.as_deref().unwrap_or(OVERRIDE_PATH),
        lasts: wanted.lasts.as_deref().map_or(Ok(FOR_DEFAULT), duration)?,
    };
    let (url, minted) = view
        .links
        .make(&wish, clock::wall(), &at)
        .map_err(|error| refused(&error))?;
    let (who, link) = (who(order), minted.link);
    tracing::info!(who, flag = key, variant = wanted.variant, %link, reason = wanted.reason, "override link made");
    told(&Link {
        url,
        expires: rfc3339(link.ends().secs()),
        id: link.to_string(),
    })
}

fn revoked(view: &View, id: &str, order: &Order) -> Result<Answer, Refusal> {
    let wanted: RevokeOrder = order.read()?;
    check_reason(&wanted.reason)?;
    let unknown = || Refusal::Unknown("link", id.to_owned());
    let link: LinkId = id.parse().map_err(|_| unknown())?;
    let at = view.live.current();
    view.links
        .revoke(link, clock::wall(), &at)
        .map_err(|error| match error {
            NotRevoked::Unknown => unknown(),
            NotRevoked::Full(_) | NotRevoked::Damaged | NotRevoked::Unwritable(_) => {
                Refusal::Failed(error.to_string())
            }
        })?;
    tracing::info!(who = who(order), %link, reason = wanted.reason, "override link revoked");
    told(&RevokedLink {
        id: link.to_string(),
        expires: rfc3339(link.ends().secs()),
    })
}

fn told(value: &impl Serialize) -> Result<Answer, Refusal> {
    let text = serde_json::to_string(value).map_err(|error| Refusal::Internal(error.to_string()))?;
    Ok(Answer::text(JSON, text))
}

fn refused(error: &NoLink) -> Refusal {
    match error {
        NoLink::Wish(_) => Refusal::Parameter(error.to_string()),
        NoLink::Random => Refusal::Failed(error.to_string()),
    }
}

fn who(order: &Order) -> &str {
    order.actor.as_ref().map_or("", |actor| actor.name.as_str())
}

fn check_reason(reason: &str) -> Result<(), Refusal> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        let what = format!("say why in `reason`: 1 to {REASON_BYTES_MAX} bytes");
        return Err(Refusal::Parameter(what));
    }
    Ok(())
}

fn check_variant(key: &str, variant: &str, at: &Snapshot) -> Result<(), Refusal> {
    let flag = at.flags.by_key(key).and_then(|id| at.flags.get(id));
    let flag = flag.ok_or_else(|| Refusal::Unknown("flag", key.to_owned()))?;
    let known: Vec<&str> = flag.variants().iter().map(|name| name.as_str()).collect();
    if known.contains(&variant) {
        return Ok(());
    }
    Err(Refusal::Parameter(format!(
        "flag `{key}` has no variant `{variant}`; it has {}",
        known.join(", ")
    )))
}

/// `90s`, `30m`, `8h`, `2d`.
fn duration(text: &str) -> Result<Duration, Refusal> {
    let parsed = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let secs = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| number.parse::<u64>().ok()).flatten()?;
        Some(Duration::from_secs(number.checked_mul(secs)?))
    };
    parsed().ok_or_else(|| {
        Refusal::Parameter(format!(
            "{text:?} is no duration for `for`; write \"30m\", \"8h\" or \"2d\""
        ))
    })
}
