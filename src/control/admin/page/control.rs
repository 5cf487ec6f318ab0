//! The controls of a flag's page. They are drawn for the flag as it is; `flag.js` makes orders of them.

use super::{flags::coloured, html::Html};
use crate::control::admin::api::flags::Flag;

/// Shares that a press sets.
const STEPS: [&str; 8] = ["0", "1", "5", "10", "25", "50", "75", "100"];
/// How long an override link lasts: what is sent, and what is shown.
const LASTS: [(&str, &str); 4] = [
    ("1h", "an hour"),
    ("8h", "8 hours"),
    ("24h", "a day"),
    ("168h", "a week"),
];

/// Kill and restore, of which the flag's state shows one.
pub(super) fn kill(html: &mut Html, flag: &Flag) {
    let killed = flag.state == "disabled";
    html.raw("<div class=\"killing\" id=\"killing\" hidden>");
    html.raw("<button type=\"button\" id=\"kill\" class=\"danger\" aria-describedby=\"kill-hint\"")
        .raw(if killed { " hidden>" } else { ">" })
        .raw("<span>Kill</span></button>");
    html.raw("<button type=\"button\" id=\"restore\"")
        .raw(if killed { ">" } else { " hidden>" })
        .raw("Restore</button>");
    html.raw("<p class=\"quiet\" id=\"kill-hint\"")
        .raw(if killed { " hidden>" } else { ">" })
        .raw("Hold for a second, or press twice: everyone gets <code>")
        .text(flag.default.as_deref().unwrap_or("the caller's own"))
        .raw("</code></p>");
    html.raw("</div><noscript><p class=\"quiet\">Changes need a script here, as orders are JSON. <code>banyan flag</code> does the same on the command line.</p></noscript>");
}

/// Ramp, schedule and override links.
pub(super) fn sections(html: &mut Html, flag: &Flag) {
    html.raw("<div class=\"said\" id=\"said\" role=\"status\" aria-live=\"polite\"></div>");
    html.raw("<section id=\"conflict\" class=\"attention warn\" role=\"alertdialog\" aria-labelledby=\"conflict-title\" tabindex=\"-1\" hidden>");
    html.raw("<h2 id=\"conflict-title\">Somebody else changed this flag</h2><p id=\"conflict-who\"></p>");
    html.raw("<table><thead><tr><th scope=\"col\"></th><th scope=\"col\">Theirs, in force</th><th scope=\"col\">Yours</th></tr></thead><tbody id=\"conflict-sides\"></tbody></table>");
    html.raw("<div class=\"buttons\"><button type=\"button\" id=\"keep-theirs\">Keep theirs</button>");
    html.raw("<button type=\"button\" id=\"apply-mine\" class=\"plain\">Apply mine on top</button></div></section>");
    html.raw("<section id=\"control\" aria-labelledby=\"ramp-title\"");
    html.attribute("data-flag", &flag.key)
        .attribute("data-default", flag.default.as_deref().unwrap_or_default())
        .attribute("data-by", flag.rollout_by.as_deref().unwrap_or("visitor"))
        .raw("><h2 id=\"ramp-title\">Ramp</h2>");
    if flag.targeting.is_some() {
        html.raw("<p class=\"quiet\">A JsonLogic expression decides here, so there is no single share to move: its file says who gets what.</p>");
    } else {
        ramp(html, flag);
    }
    html.raw("</section>");
    if flag.targeting.is_none() {
        schedule(html, flag);
    }
    links(html, flag);
}

fn ramp(html: &mut Html, flag: &Flag) {
    html.raw("<form id=\"ramp\">");
    for (variant, colour) in coloured(flag).into_iter().filter(|(_, colour)| *colour > 0) {
        let share = flag
            .shares
            .as_ref()
            .and_then(|shares| shares.get(&variant.name))
            .copied()
            .unwrap_or_default();
        html.raw("<fieldset").attribute("data-variant", &variant.name);
        html.raw("><legend><span")
            .attribute("class", format_args!("key v{colour}"))
            .element("></span><code>", &variant.name, "</code></legend>");
        html.raw("<div class=\"slide\"><input type=\"range\" min=\"0\" max=\"100\" step=\"0.5\"")
            .attribute("value", share)
            .attribute("aria-label", format_args!("Share of {}", variant.name))
            .raw("><input type=\"number\" min=\"0\" max=\"100\" step=\"0.001\" inputmode=\"decimal\"");
        html.attribute("value", share)
            .attribute("aria-label", format_args!("Share of {} in percent", variant.name))
            .raw("><span aria-hidden=\"true\">%</span></div><div class=\"steps-of\">");
        for step in STEPS {
            html.raw("<button type=\"button\" class=\"plain\"")
                .attribute("data-step", step)
                .attribute("aria-label", format_args!("{} to {step} percent", variant.name))
                .element(">", step, "</button>");
        }
        html.raw("</div></fieldset>");
    }
    html.raw("<p class=\"moves\" id=\"moves\" aria-live=\"polite\"></p>");
    reason(html, "ramp-reason");
    html.raw("<div class=\"buttons\"><button id=\"apply\" disabled>Set</button><button type=\"button\" id=\"reset\" class=\"plain\" hidden>Back to what is in force</button></div></form>");
}

fn reason(html: &mut Html, id: &'static str) {
    html.raw("<label class=\"reason\"><span>Reason</span><input name=\"reason\" maxlength=\"500\" autocomplete=\"off\" placeholder=\"for the history\"");
    html.attribute("id", id).raw("></label>");
}

fn schedule(html: &mut Html, flag: &Flag) {
    html.raw("<section><details id=\"schedule\"><summary><h2>Schedule</h2> <span class=\"quiet\" id=\"schedule-count\"></span></summary>");
    html.raw("<form id=\"schedule-form\"><ol id=\"schedule-rows\" class=\"rows\"></ol>");
    html.raw("<template id=\"schedule-row\"><li><label><span class=\"hidden\">When, in your time zone</span><input type=\"datetime-local\" step=\"60\" required name=\"at\"></label>");
    for (variant, _) in coloured(flag).into_iter().filter(|(_, colour)| *colour > 0) {
        html.element(
            "<label><span>",
            &variant.name,
            " %</span><input type=\"number\" min=\"0\" max=\"100\" step=\"0.001\" required",
        )
        .attribute("data-variant", &variant.name)
        .raw("></label>");
    }
    html.raw("<button type=\"button\" class=\"plain\" data-remove>Remove</button></li></template>");
    html.raw(
        "<p class=\"quiet\" id=\"schedule-empty\">Nothing is planned. Times are those of your time zone.</p>",
    );
    html.raw("<label class=\"reason\"><span>Between</span><select name=\"shape\"><option value=\"steps\">hold until the next step</option><option value=\"linear\">grow in a straight line</option></select></label>");
    reason(html, "schedule-reason");
    html.raw("<div class=\"buttons\"><button>Save schedule</button><button type=\"button\" id=\"schedule-add\" class=\"plain\">Add a step</button></div></form></details></section>");
}

fn links(html: &mut Html, flag: &Flag) {
    html.raw("<section><details id=\"links\"><summary><h2>Override link</h2></summary>");
    html.raw("<p class=\"quiet\">Puts one browser on a variant, for looking at it in production. It counts in no statistics.</p><form id=\"link-form\">");
    html.raw("<label class=\"reason\"><span>Variant</span><select name=\"variant\">");
    for variant in &flag.variants {
        html.raw("<option")
            .attribute("value", &variant.name)
            .element(">", &variant.name, "</option>");
    }
    html.raw("</select></label><label class=\"reason\"><span>Lasts</span><select name=\"for\">");
    for (sent, shown) in LASTS {
        html.raw("<option")
            .attribute("value", sent)
            .raw(if sent == "8h" { " selected" } else { "" })
            .element(">", shown, "</option>");
    }
    html.raw("</select></label>");
    reason(html, "link-reason");
    html.raw("<div class=\"buttons\"><button>Make a link</button></div></form><ul id=\"link-list\" class=\"rows\"></ul></details></section>");
}

/// Who changed what; `flag.js` fills it.
pub(super) fn history(html: &mut Html) {
    html.raw("<section aria-labelledby=\"history-title\"><h2 id=\"history-title\">History</h2>");
    html.raw("<ol id=\"history\" class=\"history\"></ol><p class=\"quiet\" id=\"history-note\">The history is shown with a script; <code>/api/history</code> has it as well.</p>");
    html.raw("<button type=\"button\" id=\"history-more\" class=\"plain\" hidden>Show older changes</button></section>");
}
