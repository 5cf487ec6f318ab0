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
        // one that lists its servers by version is shown as its versions
        for backend in shown
            .backends
            .iter()
            .filter(|backend| backend.versions.is_empty())
        {
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
        "</div>",
    );
    if backend.servers.len() > 1 {
        html.element("<div class=\"quiet\">", &backend.pick, "</div>");
    }
    if let Some(version) = &backend.version {
        html.element("<div class=\"quiet\">", &version.state, "");
        if version.state == "live" {
            html.element(", weight ", version.weight, "");
        }
        html.raw("</div>");
    }
    if let Some(breaker) = backend
        .breaker
        .as_ref()
        .filter(|breaker| breaker.state != "closed")
    {
        html.element("<div><b class=\"bad\">breaker ", &breaker.state, "</b></div>");
    }
    html.raw("</th>");
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
    let (class, label) = match (server.state.as_str(), checked) {
        ("healthy", _) => ("good", "healthy"),
        ("unhealthy", _) => ("bad", "unhealthy"),
        ("ejected", _) => ("bad", "ejected"),
        ("tried", _) => ("wait", "being tried again"),
        (_, true) => ("wait", "not yet known"),
        (_, false) => ("none", "not checked"),
    };
    html.raw("<td class=\"server\"><span")
        .attribute("class", format_args!("dot {class}"))
        .raw(" role=\"img\"")
        .attribute("aria-label", label)
        .raw("></span> ");
    html.element("<code>", &server.address, "</code>");
    if server.weight != 1 {
        html.element(" <span class=\"quiet\">weight ", server.weight, "</span>");
    }
    if let Some(zone) = &server.zone {
        html.element(" <span class=\"quiet\">zone ", zone, "</span>");
    }
    html.raw("</td><td>");
    match (server.health.as_str(), checked) {
        ("unhealthy", _) => html.element("<b class=\"bad\">unhealthy</b> ", &server.last_check, ""),
        (_, false) => html.raw("<span class=\"quiet\">not checked</span>"),
        (_, true) if server.last_check.is_empty() => html.raw("<span class=\"quiet\">none yet</span>"),
        (_, true) => html.text(&server.last_check),
    };
    if !server.why.is_empty() && server.health != "unhealthy" {
        html.element("<div><b class=\"bad\">", &server.state, "</b> ")
            .text(&server.why);
        if let Some(back) = server.back_in_ms {
            html.element(", tried again in ", duration(back), "");
        }
        html.raw("</div>");
    }
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
        html.element("<br>checks <code>", &checks.asks, "</code>")
            .element(" every ", duration(checks.interval_ms), "");
    }
}
