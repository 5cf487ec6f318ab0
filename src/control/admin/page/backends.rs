//! Backends: servers with how they are, and what they are asked to bear.

use super::{
    Shown,
    html::{Html, counted, duration},
};
use crate::control::admin::api::backends::{Backend, Server};

/// Servers that are shown for a backend; the rest is counted.
const SERVERS_MAX: usize = 100;

/// All backends.
pub(super) fn section(html: &mut Html, shown: &Shown<'_>) {
    html.raw(
        "<section id=\"backends\" aria-labelledby=\"backends-title\"><h2 id=\"backends-title\">Backends</h2>",
    );
    html.raw("<div id=\"backends-live\" data-live>");
    if shown.backends.is_empty() {
        html.raw("<p class=\"empty\">No backends. A table <code>[backends.&lt;name&gt;]</code> in a squad's file makes one.</p>");
    } else {
        html.raw("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Backend</th><th scope=\"col\">Server</th>");
        html.raw("<th scope=\"col\">Last check</th><th scope=\"col\" class=\"number\">Connections</th>");
        html.raw("<th scope=\"col\">Limits</th></tr></thead>");
        for backend in shown.backends {
            one(html, backend);
        }
        html.raw("</table></div>");
    }
    html.raw("</div></section>");
}

fn one(html: &mut Html, backend: &Backend) {
    let rows = backend.servers.len().clamp(1, SERVERS_MAX);
    html.raw("<tbody")
        .attribute("id", format_args!("backend-{}", backend.name))
        .raw("><tr><th scope=\"rowgroup\"");
    html.attribute("rowspan", rows)
        .element("><b>", &backend.name, "</b>");
    html.element(" <span class=\"squad\">", &backend.squad, "</span>");
    html.element("<div><code class=\"place\">", &backend.place, "</code></div>");
    html.element(
        "<div class=\"quiet\">",
        counted(backend.routes.len(), "route"),
        "</div></th>",
    );
    for (at, server) in backend.servers.iter().take(SERVERS_MAX).enumerate() {
        if at > 0 {
            html.raw("<tr>");
        }
        row(html, backend, server);
        if at == 0 {
            html.raw("<td class=\"quiet limits\"")
                .attribute("rowspan", rows)
                .raw(">");
            limits(html, backend);
            html.raw("</td>");
        }
        html.raw("</tr>");
    }
    if let Some(more) = backend
        .servers
        .len()
        .checked_sub(SERVERS_MAX)
        .filter(|more| *more > 0)
    {
        html.element(
            "<tr><td colspan=\"5\" class=\"quiet\">and ",
            more,
            " more: <code>/api/backends</code></td></tr>",
        );
    }
    html.raw("</tbody>");
}

fn row(html: &mut Html, backend: &Backend, server: &Server) {
    let checked = backend.checks.is_some();
    html.raw(match (server.health.as_str(), checked) {
        ("healthy", _) => {
            "<td class=\"server\"><span class=\"dot good\" role=\"img\" aria-label=\"healthy\"></span> "
        }
        ("unhealthy", _) => {
            "<td class=\"server\"><span class=\"dot bad\" role=\"img\" aria-label=\"unhealthy\"></span> "
        }
        (_, true) => {
            "<td class=\"server\"><span class=\"dot wait\" role=\"img\" aria-label=\"not yet known\"></span> "
        }
        (_, false) => {
            "<td class=\"server\"><span class=\"dot none\" role=\"img\" aria-label=\"not checked\"></span> "
        }
    });
    html.element("<code>", &server.address, "</code></td><td>");
    match (server.health.as_str(), checked) {
        ("unhealthy", _) => html.element("<b class=\"bad\">unhealthy</b> ", &server.last_check, ""),
        (_, false) => html.raw("<span class=\"quiet\">not checked</span>"),
        (_, true) if server.last_check.is_empty() => html.raw("<span class=\"quiet\">none yet</span>"),
        (_, true) => html.text(&server.last_check),
    };
    html.element("</td><td class=\"number\">", server.connections, "");
    html.element(
        " <span class=\"quiet\">of ",
        backend.limits.connections_max,
        "</span></td>",
    );
}

fn limits(html: &mut Html, backend: &Backend) {
    let limits = &backend.limits;
    let times = [
        ("connect ", limits.connect_timeout_ms),
        ("first byte ", limits.first_byte_timeout_ms),
        ("between bytes ", limits.between_bytes_timeout_ms),
    ];
    let total = limits.total_timeout_ms.map(|total| ("in all ", total));
    html.each(times.into_iter().chain(total), "<br>", |html, (what, millis)| {
        html.raw(what).text(duration(millis));
    });
    if let Some(checks) = &backend.checks {
        html.element("<br>checks <code>", &checks.path, "</code>")
            .element(" every ", duration(checks.interval_ms), "");
    }
}
