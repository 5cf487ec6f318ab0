//! The cache: how full it is, what was not kept, and the last purges.

use super::{
    Frame, figures, head,
    html::{Html, counted},
};
use crate::control::admin::api::cache::{Cache, Purge, Room};

/// Draws it.
pub(super) fn draw(frame: &Frame<'_>, cache: &Cache) -> String {
    let mut html = Html::default();
    head::open(&mut html, frame);
    html.raw("<main id=\"main\" class=\"single\"><div>");
    head::attention(&mut html, frame);
    html.raw("<div class=\"head\"><h1>Cache</h1><p class=\"quiet\" id=\"cache-count\" data-live>");
    html.element("", entries(cache.entries, "answer"), " kept</p></div>");
    html.raw("<section><h2>Memory</h2><div id=\"cache-live\" data-live data-pulse>");
    memory(&mut html, cache);
    html.raw("<dl class=\"facts\">");
    let facts = [
        ("Taken in or refreshed", cache.kept),
        ("Went to make room", cache.evicted),
        ("Too large to keep", cache.refused.large),
        ("Too many tags", cache.refused.labels),
        ("Purged on their way", cache.refused.purged),
        ("No room on their way", cache.refused.full),
    ];
    html.each(facts, "", |html, (name, number)| {
        html.element("<div><dt>", name, "</dt>")
            .element("<dd>", number, "</dd></div>");
    });
    html.raw("</dl></div></section><section><h2>Routes</h2><div id=\"cache-routes\" data-live>");
    routes(&mut html, cache);
    html.raw("</div></section>");
    purge(&mut html);
    html.raw("<section><h2>Purges</h2><div id=\"cache-purges\" data-live>");
    purges(&mut html, cache);
    html.raw("</div></section></div></main>");
    head::close(&mut html, frame);
    html.finish()
}

fn memory(html: &mut Html, cache: &Cache) {
    html.raw("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">For</th><th scope=\"col\" class=\"number\">Taken</th>");
    html.raw("<th scope=\"col\" class=\"number\">Of</th><th scope=\"col\" class=\"number\">Full</th></tr></thead><tbody>");
    let rows = [
        ("Answers up to 1 MiB", &cache.small),
        ("Larger answers", &cache.large),
        ("Answers on their way in", &cache.collecting),
    ];
    let disk = cache.disk.as_ref().map(|disk| ("Disk", &disk.room));
    html.each(
        rows.into_iter().chain(disk),
        "",
        |html, (name, Room { bytes, max })| {
            html.element("<tr><th scope=\"row\">", name, "</th>")
                .element("<td class=\"number\">", size(*bytes), "</td>")
                .element("<td class=\"number\">", size(*max), "</td>")
                .element("<td class=\"number\">", percent(*bytes, *max), " %</td></tr>");
        },
    );
    html.raw("</tbody></table></div>");
    html.element(
        "<p class=\"note\">Bodies above ",
        size(cache.entry_max),
        " are passed on and not kept.</p>",
    );
    if let Some(disk) = &cache.disk {
        html.element("<p class=\"note\">On disk: ", disk.entries, " answers");
        html.element(", ", disk.reads, " read back")
            .element(", ", disk.writes, " written")
            .element(", ", disk.dropped, " not written since too many waited")
            .element(", ", disk.errors, " errors");
        html.raw(match disk.waiting {
            true => ". It is not open yet.</p>",
            false => ".</p>",
        });
    }
}

fn routes(html: &mut Html, cache: &Cache) {
    if cache.routes.is_empty() {
        html.raw("<p class=\"empty\">No request of a route that keeps answers yet. <code>cache = \"standard\"</code> on a route begins.</p>");
        return;
    }
    html.raw("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Route</th><th scope=\"col\" class=\"number\">Requests</th>");
    html.raw("<th scope=\"col\" class=\"number\">Answered</th><th scope=\"col\" class=\"number\">Hits</th><th scope=\"col\" class=\"number\">Stale</th>");
    html.raw("<th scope=\"col\" class=\"number\">Together</th><th scope=\"col\" class=\"number\">Misses</th><th scope=\"col\" class=\"number\">Past it</th>");
    html.raw("<th scope=\"col\" class=\"number\">Sent</th><th scope=\"col\" class=\"number\">Saved</th></tr></thead><tbody>");
    for used in &cache.routes {
        html.element("<tr><th scope=\"row\"><code>", &used.route, "</code></th>");
        let share = figures::percent(used.answered(), used.requests());
        html.element("<td class=\"number\">", used.requests(), "</td>")
            .element("<td class=\"number\"><b>", share, "</b></td>");
        let counts = [
            used.hit + used.revalidated,
            used.stale,
            used.collapsed,
            used.miss,
            used.bypass,
        ];
        for count in counts {
            html.element("<td class=\"number\">", count, "</td>");
        }
        for bytes in [used.bytes, used.bytes_saved] {
            html.element("<td class=\"number\">", size(bytes), "</td>");
        }
        html.raw("</tr>");
    }
    html.raw("</tbody></table></div>");
}

/// The order; `cache.js` makes JSON of it. What may not be purged is refused by the API.
fn purge(html: &mut Html) {
    html.raw("<section aria-labelledby=\"purge-title\"><h2 id=\"purge-title\">Purge</h2>");
    html.raw("<div class=\"said\" id=\"said\" role=\"status\" aria-live=\"polite\"></div>");
    html.raw("<form id=\"purge\" hidden><div class=\"fields\"><label class=\"reason\"><span>What</span><select name=\"kind\">");
    for (value, shown) in KINDS {
        html.raw("<option")
            .attribute("value", value)
            .element(">", shown, "</option>");
    }
    html.raw("</select></label><label class=\"reason\"><span>Names</span><input name=\"names\" required maxlength=\"4000\" autocomplete=\"off\" spellcheck=\"false\" placeholder=\"/courses/* /about\"></label>");
    html.raw("<label class=\"reason\"><span>Host</span><input name=\"host\" maxlength=\"253\" autocomplete=\"off\" spellcheck=\"false\" placeholder=\"every host\"></label>");
    html.raw("<label class=\"reason\"><span>Reason</span><input name=\"reason\" maxlength=\"500\" autocomplete=\"off\" placeholder=\"for the log\"></label></div>");
    html.raw("<label class=\"check\"><input type=\"checkbox\" name=\"hard\"> <span>Hard: not even stale while it is fetched anew</span></label>");
    html.raw("<div class=\"killing\"><button type=\"button\" id=\"purge-now\" class=\"danger\" aria-describedby=\"purge-hint\"><span>Purge</span></button>");
    html.raw("<p class=\"quiet\" id=\"purge-hint\">Hold for a second, or press twice. It is in force for the next request.</p></div></form>");
    html.raw("<noscript><p class=\"quiet\">Orders need a script here, as they are JSON. <code>banyan cache purge</code> does the same on the command line.</p></noscript></section>");
}

/// What can be named: the API's word, and people's.
const KINDS: [(&str, &str); 6] = [
    ("paths", "paths"),
    ("tags", "tags"),
    ("groups", "groups of the host"),
    ("routes", "routes"),
    ("squads", "squads"),
    ("flags", "flags"),
];

fn purges(html: &mut Html, cache: &Cache) {
    if cache.recent.is_empty() {
        html.raw("<p class=\"empty\">None since the start. <code>banyan cache purge /path</code> or <code>POST /api/cache/purge</code> orders one.</p>");
        return;
    }
    html.raw(
        "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">When</th><th scope=\"col\">What</th>",
    );
    html.raw(
        "<th scope=\"col\">How</th><th scope=\"col\">Who</th><th scope=\"col\">Why</th></tr></thead><tbody>",
    );
    for purge in &cache.recent {
        one(html, purge);
    }
    html.raw("</tbody></table></div>");
}

fn one(html: &mut Html, purge: &Purge) {
    html.element("<tr><td class=\"quiet\">", &purge.at, "</td><td>");
    html.each(&purge.what, ", ", |html, what| {
        html.element("<code>", what, "</code>");
    });
    let more = purge.count.saturating_sub(purge.what.len());
    if more > 0 {
        html.element(" <span class=\"quiet\">and ", more, " more</span>");
    }
    for squad in &purge.squads {
        html.element(" <span class=\"squad\">", squad, "</span>");
    }
    html.raw(if purge.hard {
        "</td><td><span class=\"pill warn\">Hard</span></td>"
    } else {
        "</td><td><span class=\"pill good\">Soft</span></td>"
    });
    html.element("<td>", &purge.who, "</td>")
        .element("<td>", &purge.reason, "</td></tr>");
}

fn entries(count: u64, thing: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), thing)
}

/// Whole percent, as far as there is anything to fill.
fn percent(bytes: u64, max: u64) -> u64 {
    bytes.saturating_mul(100).checked_div(max).unwrap_or(100)
}

/// To three digits, in the unit that matters.
fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.into_iter().find(|(_, bits)| bytes >> bits > 0);
    let Some((name, bits)) = unit else {
        return format!("{bytes} B");
    };
    let tenths = bytes.saturating_mul(10) >> bits;
    match tenths {
        0..1000 => format!("{}.{} {name}", tenths / 10, tenths % 10),
        _ => format!("{} {name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::{percent, size};

    #[test]
    fn sizes_are_short() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (268_435_456, "256 MiB"),
            (1_610_612_736, "1.5 GiB"),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(size(bytes), wanted);
        }
        assert_eq!((percent(1, 3), percent(0, 0)), (33, 100));
    }
}
