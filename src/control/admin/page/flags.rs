//! Flags: one row each, with a bar of who gets what.

use super::{Shown, html::Html};
use crate::control::admin::api::flags::{Flag, FlagRoute, Variant};

/// Routes that are named for a flag; the rest is counted.
const ROUTES_MAX: usize = 6;
/// Colours that tell variants apart beside the default; a flag with more begins anew.
const COLOURS: usize = 5;

/// All flags.
pub(super) fn section(html: &mut Html, shown: &Shown<'_>) {
    html.raw("<section id=\"flags\" aria-labelledby=\"flags-title\"><h2 id=\"flags-title\">Flags</h2>");
    html.raw("<div id=\"flags-live\" data-live>");
    if shown.flags.is_empty() {
        html.raw("<p class=\"empty\">No flags. A file <code>flags/&lt;key&gt;.toml</code> makes one.</p>");
    }
    for flag in shown.flags {
        one(html, flag);
    }
    html.raw("</div></section>");
}

fn one(html: &mut Html, flag: &Flag) {
    let off = flag.state == "disabled";
    html.raw(if off {
        "<article class=\"flag off\""
    } else {
        "<article class=\"flag\""
    });
    html.attribute("id", format_args!("flag-{}", flag.key))
        .raw("><div class=\"title\"><h3><a")
        .attribute("href", format_args!("/flags/{}", flag.key))
        .element(">", &flag.key, "</a></h3>");
    html.raw(if off {
        "<span class=\"pill bad\">Disabled</span>"
    } else {
        "<span class=\"pill good\">Enabled</span>"
    });
    if let Some(squad) = &flag.squad {
        html.element("<span class=\"squad\">", squad, "</span>");
    }
    html.element("<code class=\"place\">", &flag.place, "</code></div>");
    if !flag.description.is_empty() {
        html.element("<p>", &flag.description, "</p>");
    }
    if let Some(problem) = &flag.problem {
        html.element("<p class=\"bad\">", problem, "</p>");
    }
    if flag.errors > 0 {
        html.element(
            "<p class=\"bad\">",
            flag.errors,
            " decisions failed and gave the default</p>",
        );
    }
    shares(html, flag);
    html.raw("<dl class=\"facts\">");
    if !flag.rules.is_empty() {
        html.raw(if off {
            "<div><dt>Rules, once enabled</dt>"
        } else {
            "<div><dt>Rules first</dt>"
        });
        html.raw("<dd><ol class=\"rules\">");
        for rule in &flag.rules {
            html.element("<li>", &rule.name, " <span class=\"arrow\">→</span> ")
                .element("<code>", &rule.serve, "</code></li>");
        }
        html.raw("</ol></dd></div>");
    }
    conditions(html, flag);
    html.raw("<div><dt>Default</dt><dd><code>")
        .text(flag.default.as_deref().unwrap_or("the caller's own"));
    html.raw("</code></dd></div>");
    html.raw("<div><dt>Asked by</dt><dd>");
    routes(html, &flag.routes);
    html.raw("</dd></div></dl></article>");
}

/// What else has a say: other flags, a layer, a schedule.
fn conditions(html: &mut Html, flag: &Flag) {
    if !flag.requires.is_empty() {
        html.raw("<div><dt>Requires</dt><dd>");
        html.each(flag.requires.iter(), ", ", |html, required| {
            html.element("<code>", &required.flag, "</code>");
            match required.variants.as_slice() {
                [] => html.raw(" not its default"),
                variants => html.raw(" ").text(variants.join(" or ")),
            };
        });
        html.raw("</dd></div>");
    }
    if let Some(layer) = &flag.layer {
        html.raw("<div><dt>Layer</dt><dd><code>")
            .text(&layer.name)
            .raw("</code> ");
        html.text(format_args!("from {} to {} % of visitors", layer.from, layer.to))
            .raw("</dd></div>");
    }
    let Some(rollout) = flag
        .rollout
        .as_ref()
        .filter(|rollout| !rollout.schedule.is_empty())
    else {
        return;
    };
    html.raw("<div><dt>Schedule, in ")
        .text(&rollout.shape)
        .raw("</dt><dd>");
    html.each(rollout.schedule.iter(), "; ", |html, point| {
        html.text(&point.at);
        for share in &point.shares {
            html.text(format_args!(" {} {} %", share.variant, share.percent));
        }
    });
    html.raw("</dd></div>");
}

pub(super) fn routes(html: &mut Html, routes: &[FlagRoute]) {
    if routes.is_empty() {
        html.raw("<span class=\"quiet\">no route</span>");
    }
    html.each(routes.iter().take(ROUTES_MAX), " ", |html, asking| {
        html.raw("<code")
            .attribute(
                "title",
                format_args!("{}, {}", asking.route.squad, asking.route.place),
            )
            .raw(">");
        html.text(&asking.route.path).raw("</code>");
        if !asking.picks_backend {
            html.raw(" <span class=\"quiet\">(told only)</span>");
        }
    });
    if let Some(more) = routes.len().checked_sub(ROUTES_MAX).filter(|more| *more > 0) {
        html.element(" <span class=\"quiet\">and ", more, " more</span>");
    }
}

/// Who gets what of those whom no rule takes: a bar, and the same in words.
pub(super) fn shares(html: &mut Html, flag: &Flag) {
    if flag.targeting.is_some() {
        html.raw("<p class=\"quiet\">Decided by a JsonLogic expression, so there are no fixed shares</p>");
        return;
    }
    let coloured: Vec<(&Variant, usize)> = coloured(flag);
    html.raw(
        "<svg class=\"split\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
    );
    let mut from = 0.0;
    for (variant, colour) in &coloured {
        let share = variant.share.unwrap_or(0.0);
        html.raw("<rect")
            .attribute("class", format_args!("v{colour}"))
            .attribute("x", from)
            .attribute("width", share);
        html.raw(" height=\"10\"/>");
        from += share;
    }
    html.raw("</svg><ul class=\"legend\">");
    for (variant, colour) in &coloured {
        html.raw("<li><span")
            .attribute("class", format_args!("key v{colour}"))
            .raw("></span><code>")
            .text(&variant.name);
        html.raw("</code> <b>")
            .text(variant.share.unwrap_or(0.0))
            .raw(" %</b></li>");
    }
    html.raw("<li class=\"quiet\">")
        .text(whose(flag))
        .raw("</li></ul>");
}

fn whose(flag: &Flag) -> String {
    let of = match (flag.state.as_str(), flag.rollout_by.as_deref()) {
        ("disabled", _) => return "the kill switch is on: everyone gets the default".to_owned(),
        (_, Some("user")) => "of signed-in users",
        (_, Some(_)) => "of visitors",
        (_, None) => "of everyone",
    };
    if flag.rules.is_empty() {
        of.to_owned()
    } else {
        format!("{of} whom no rule takes")
    }
}

/// The default is grey; others have colours in the order of variants.
pub(super) fn coloured(flag: &Flag) -> Vec<(&Variant, usize)> {
    let mut others = (1..=COLOURS).cycle();
    let mut colour = |variant: &Variant| {
        let is_default = flag.default.as_ref() == Some(&variant.name);
        if is_default { 0 } else { others.next().unwrap_or(1) }
    };
    flag.variants
        .iter()
        .map(|variant| (variant, colour(variant)))
        .collect()
}
