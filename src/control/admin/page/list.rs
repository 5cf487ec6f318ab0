//! The flags as they happen: one block each, with shares, decisions and how the backends of each side answer.

use std::collections::BTreeMap;

use super::{
    Frame, figures, flags, head,
    html::{Html, counted},
    stale,
};
use crate::control::{
    admin::api::{flags::Flag, routes::Route},
    live::Figures,
};

/// Everything that the page shows.
pub(super) struct Shown<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) flags: &'a [Flag],
    pub(super) routes: &'a [Route],
    pub(super) figures: &'a Figures,
    /// Days since a flag's file was written.
    pub(super) ages: &'a BTreeMap<String, u64>,
}

/// Draws it.
pub(super) fn draw(shown: &Shown<'_>) -> String {
    let mut html = Html::default();
    head::open(&mut html, &shown.frame);
    html.raw("<main id=\"main\" class=\"single\"><div>");
    head::attention(&mut html, &shown.frame);
    html.raw("<div class=\"head\"><h1>Flags</h1>");
    html.raw("<p class=\"quiet\" id=\"flags-count\" data-live>");
    let killed = shown.flags.iter().filter(|flag| flag.state == "disabled").count();
    html.text(counted(shown.flags.len(), "flag"));
    if killed > 0 {
        html.element(", ", killed, " killed");
    }
    html.raw("</p></div><div id=\"flags-live\" data-live data-pulse>");
    if shown.flags.is_empty() {
        html.raw("<section><p class=\"empty\">No flags. A file <code>flags/&lt;key&gt;.toml</code> makes one.</p></section>");
    }
    for flag in shown.flags {
        one(&mut html, flag, shown);
    }
    html.raw("</div></div></main>");
    head::close(&mut html, &shown.frame);
    html.finish()
}

fn one(html: &mut Html, flag: &Flag, shown: &Shown<'_>) {
    let off = flag.state == "disabled";
    html.raw(if off {
        "<section class=\"row off\""
    } else {
        "<section class=\"row\""
    });
    html.attribute("id", format_args!("flag-{}", flag.key))
        .raw("><div class=\"what\"><h2><a")
        .attribute("href", format_args!("/flags/{}", flag.key))
        .element(">", &flag.key, "</a></h2> ");
    state(html, flag);
    if let Some(squad) = &flag.squad {
        html.element(" <span class=\"squad\">", squad, "</span>");
    }
    if !flag.description.is_empty() {
        html.element("<p>", &flag.description, "</p>");
    }
    if let Some(problem) = &flag.problem {
        html.element("<p class=\"bad\">", problem, "</p>");
    }
    stale::draw(html, flag, shown.ages.get(&flag.key).copied(), shown.figures);
    html.raw("</div><div class=\"shares\">");
    flags::shares(html, flag);
    html.raw("</div><div class=\"scroll\" tabindex=\"0\">");
    figures::table(html, flag, shown.routes, shown.figures);
    html.raw("</div></section>");
}

/// Whether it decides.
pub(super) fn state(html: &mut Html, flag: &Flag) {
    html.raw(if flag.state == "disabled" {
        "<span class=\"pill bad\">Killed</span>"
    } else {
        "<span class=\"pill good\">Enabled</span>"
    });
}
