//! Waiting rooms: who is inside, who waits, and for how long. Nothing at all where there is none.

use super::{
    Shown,
    html::{Html, counted, duration, moment},
};
use crate::control::admin::api::rooms::Room;

/// All waiting rooms.
pub(super) fn section(html: &mut Html, shown: &Shown<'_>) {
    html.raw("<div id=\"rooms\" data-live>");
    if !shown.rooms.is_empty() {
        html.raw("<section aria-labelledby=\"rooms-title\"><h2 id=\"rooms-title\">Waiting rooms</h2>");
        html.raw("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">Room</th>");
        html.raw(
            "<th scope=\"col\" class=\"number\">Inside</th><th scope=\"col\" class=\"number\">Waiting</th>",
        );
        html.raw("<th scope=\"col\">The last waits</th><th scope=\"col\" class=\"number\">Let in</th>");
        html.raw("<th scope=\"col\">Limits</th></tr></thead><tbody>");
        for room in shown.rooms {
            one(html, room);
        }
        html.raw("</tbody></table></div></section>");
    }
    html.raw("</div>");
}

fn one(html: &mut Html, room: &Room) {
    html.element("<tr><th scope=\"row\"><b>", &room.name, "</b>");
    html.element("<div><code class=\"place\">", &room.place, "</code></div>");
    let before = counted(room.routes.len(), "route");
    html.element("<div class=\"quiet\">before ", before, "</div></th>");
    html.element("<td class=\"number\">", room.inside, " of ")
        .element("", room.inside_max, "</td>");
    html.element("<td class=\"number\">", room.waiting, "</td><td>");
    match (&room.estimate, room.open, &room.opens) {
        (_, false, Some(opens)) => _ = html.element("opens at ", moment(opens), ""),
        (Some(estimate), ..) => {
            let seconds = |millis: u64| millis.div_ceil(1_000);
            html.element("", seconds(estimate.from_ms), " to ")
                .element("", seconds(estimate.to_ms), " s");
        }
        (None, ..) if room.waiting > 0 => _ = html.raw("not known yet"),
        (None, ..) => _ = html.raw("–"),
    }
    html.element("</td><td class=\"number\">", room.admitted, "</td>");
    html.element(
        "<td class=\"quiet limits\">out after ",
        duration(room.idle_ms),
        "<br>",
    );
    html.element("called for ", duration(room.claim_ms), "");
    if !room.bypass.is_empty() {
        html.element("<br>", room.bypass.join(", "), " pass by");
    }
    html.raw("</td></tr>");
}
