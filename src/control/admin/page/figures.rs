//! Figures of the last minute as text: how the sides of a flag fare, and the cells that the script keeps up to date.

use std::sync::Arc;

use super::{flags::coloured, html::Html};
use crate::control::{
    admin::{
        api::{flags::Flag, routes::Route},
        live::millis,
    },
    live::{Figures, Health, Tallied},
};

/// Backends that are named for a variant; the rest is counted.
const BACKENDS_MAX: usize = 4;

/// A variant, with its colour and the backends behind it.
#[derive(Debug)]
pub(super) struct Side<'a> {
    pub(super) variant: &'a str,
    pub(super) colour: usize,
    pub(super) backends: Vec<&'a str>,
}

/// The sides of a flag in the order of its variants.
pub(super) fn sides<'a>(flag: &'a Flag, routes: &'a [Route]) -> Vec<Side<'a>> {
    let by_it: Vec<&Route> = routes
        .iter()
        .filter(|route| route.target.flag.as_deref() == Some(&flag.key))
        .collect();
    let backends = |variant: &str| {
        let leads = by_it.iter().flat_map(|route| &route.target.variants);
        let mut backends: Vec<&str> = leads
            .filter(|leads| leads.variant == variant)
            .map(|leads| leads.backend.as_str())
            .collect();
        backends.sort_unstable();
        backends.dedup();
        backends
    };
    let sides = coloured(flag).into_iter().map(|(variant, colour)| Side {
        variant: &variant.name,
        colour,
        backends: backends(&variant.name),
    });
    sides.collect()
}

/// How a backend fared within some time, over all that is known of it.
pub(super) fn health_of(what: &Tallied, backend: &str) -> Health {
    what.backends
        .get(&Arc::<str>::from(backend))
        .copied()
        .unwrap_or_default()
}

/// A table: the live split, and how the backends of each side answer.
pub(super) fn table(html: &mut Html, flag: &Flag, routes: &[Route], figures: &Figures) {
    let decided = figures.minute.variants_of(&flag.key);
    let all: u64 = decided.values().sum();
    html.raw("<table class=\"health\"><thead><tr><th scope=\"col\">Variant</th>");
    html.raw("<th scope=\"col\" class=\"number\">Live</th><th scope=\"col\">Backend</th>");
    html.raw("<th scope=\"col\" class=\"number\">Req/s</th><th scope=\"col\" class=\"number\">Failed</th>");
    html.raw("<th scope=\"col\" class=\"number p50\">p50</th><th scope=\"col\" class=\"number\">p99</th></tr></thead><tbody>");
    for side in sides(flag, routes) {
        let count = decided.get(side.variant).copied().unwrap_or_default();
        let shown = side.backends.len().clamp(1, BACKENDS_MAX);
        html.raw("<tr><th scope=\"row\"").attribute("rowspan", shown);
        html.raw("><span")
            .attribute("class", format_args!("key v{}", side.colour))
            .element("></span><code>", side.variant, "</code></th>");
        html.raw("<td class=\"number\"").attribute("rowspan", shown);
        html.attribute("data-share", side.variant)
            .attribute("data-flag", &flag.key)
            .element(">", percent(count, all), "</td>");
        match side.backends.split_first() {
            None => _ = html.raw("<td class=\"quiet\" colspan=\"5\">no backend of its own</td></tr>"),
            Some((first, others)) => {
                cells(html, first, figures);
                for backend in others.iter().take(BACKENDS_MAX - 1) {
                    html.raw("<tr>");
                    cells(html, backend, figures);
                }
            }
        }
    }
    html.raw("</tbody></table>");
}

fn cells(html: &mut Html, backend: &str, figures: &Figures) {
    let health = health_of(&figures.minute, backend);
    html.element("<td><code>", backend, "</code></td>");
    let told = [
        ("rate", rate(health.requests, figures.minute_seconds)),
        ("failed", percent(health.failed, health.requests)),
        ("p50", took(millis(&health, 0.5))),
        ("p99", took(millis(&health, 0.99))),
    ];
    for (figure, text) in told {
        let failing = figure == "failed" && is_failing(&health);
        html.raw(if failing {
            "<td class=\"number bad\""
        } else {
            "<td class=\"number\""
        });
        html.attribute("data-figure", figure)
            .attribute("data-backend", backend)
            .element(">", text, "</td>");
    }
    html.raw("</tr>");
}

/// One in a hundred or more.
pub(super) const fn is_failing(health: &Health) -> bool {
    health.failed > 0 && health.failed.saturating_mul(100) >= health.requests
}

/// Requests for each second.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn rate(count: u64, seconds: usize) -> String {
    let rate = count as f64 / seconds.max(1) as f64;
    match rate {
        0.0 => "0".to_owned(),
        _ if rate < 10.0 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

/// A share in percent; a dash when there is nothing of which it could be one.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn percent(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => "–".to_owned(),
        (0, _) => "0 %".to_owned(),
        (part, whole) if part == whole => "100 %".to_owned(),
        _ => format!("{:.1} %", part as f64 * 100.0 / whole as f64),
    }
}

/// A duration in milliseconds.
pub(super) fn took(millis: Option<f64>) -> String {
    match millis {
        None => "–".to_owned(),
        Some(millis) if millis < 10.0 => format!("{millis:.1} ms"),
        Some(millis) if millis < 10_000.0 => format!("{millis:.0} ms"),
        Some(_) => "over 10 s".to_owned(),
    }
}
