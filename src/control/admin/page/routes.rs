//! Routes, in the order in which they are tried, with a box that finds some.

use super::{Shown, html::Html};
use crate::control::admin::api::routes::{Leads, Route};

/// Rows that are shown; more are found by the box. A browser draws these at once, and ten thousand not.
const ROWS_MAX: usize = 500;

/// All routes, or those that were looked for.
pub(super) fn section(html: &mut Html, shown: &Shown<'_>) {
    let words = words(shown.asked.one("find").unwrap_or_default());
    let found: Vec<&Route> = shown
        .routes
        .iter()
        .filter(|route| is_found(route, &words))
        .collect();
    html.raw("<section id=\"routes\" aria-labelledby=\"routes-title\"><div class=\"title\"><h2 id=\"routes-title\">Routes</h2>");
    html.raw("<form class=\"find\" role=\"search\" action=\"/#routes\"><label for=\"find\" class=\"hidden\">Find routes</label>");
    html.raw("<input id=\"find\" name=\"find\" type=\"search\" placeholder=\"path, squad, file or backend\" autocomplete=\"off\"");
    html.attribute("value", shown.asked.one("find").unwrap_or_default())
        .raw("></form></div>");
    html.raw("<div id=\"routes-live\" data-live><p class=\"quiet count\">");
    count(html, shown.routes.len(), found.len());
    html.raw("</p>");
    if !found.is_empty() {
        table(html, &found);
    }
    html.raw("</div></section>");
}

fn count(html: &mut Html, all: usize, found: usize) {
    match (all, found) {
        (0, _) => html.raw("No routes: every request is answered with 404."),
        (_, 0) => html.element("None of ", all, " routes has all of these words."),
        (all, found) if all == found && all <= ROWS_MAX => {
            html.raw("Tried from top to bottom; the first that takes a request gets it.")
        }
        (all, found) if found > ROWS_MAX => html
            .element("The first ", ROWS_MAX, " of ")
            .element("", found, " found, of ")
            .element("", all, " in all."),
        (all, found) => html.element("", found, " of ").element("", all, " routes."),
    };
}

fn table(html: &mut Html, routes: &[&Route]) {
    html.raw("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\" class=\"number\"><abbr title=\"order of trial\">#</abbr></th>");
    html.raw("<th scope=\"col\">Takes</th><th scope=\"col\">Leads to</th><th scope=\"col\">Asks for</th>");
    html.raw("<th scope=\"col\">Squad</th><th scope=\"col\">Source</th></tr></thead><tbody>");
    for route in routes.iter().take(ROWS_MAX) {
        row(html, route);
    }
    html.raw("</tbody></table></div>");
}

fn row(html: &mut Html, route: &Route) {
    html.element(
        "<tr><td class=\"number quiet\">",
        route.trial,
        "</td><td><code class=\"path\">",
    )
    .text(&route.path)
    .raw("</code>");
    if let Some(order) = route.order {
        html.element(" <span class=\"tag\">order ", order, "</span>");
    }
    if route.kind == "pattern" {
        html.raw(" <span class=\"tag\">pattern</span>");
    }
    for host in &route.hosts {
        html.element(" <span class=\"tag\">host ", host, "</span>");
    }
    for condition in &route.conditions {
        html.element(" <span class=\"tag\">", condition, "</span>");
    }
    if route.allow_encoded_slash {
        html.raw(" <span class=\"tag\">%2F allowed</span>");
    }
    for said in &route.says {
        html.element(" <span class=\"tag\">", said, "</span>");
    }
    html.raw("</td><td>");
    leads(html, &route.target);
    if let Some(failover) = &route.target.failover {
        html.raw(" <span class=\"quiet\">failing that</span> ");
        backend(html, &failover.backend);
    }
    for told in route
        .flags
        .iter()
        .filter(|flag| route.target.flag.as_ref() != Some(flag))
    {
        html.element(" <span class=\"tag\">told ", told, "</span>");
    }
    html.raw("</td><td>");
    asks(html, route);
    html.element("</td><td><span class=\"squad\">", &route.squad, "</span></td>");
    html.element("<td><code class=\"place\">", &route.place, "</code></td></tr>");
}

fn leads(html: &mut Html, target: &Leads) {
    let Some(flag) = &target.flag else {
        if let Some(name) = &target.backend {
            backend(html, name);
        }
        if let Some(redirect) = &target.redirect {
            html.element("redirects <code>", redirect, "</code>");
        }
        return;
    };
    html.raw("<a class=\"byflag\"")
        .attribute("href", format_args!("#flag-{flag}"))
        .element(">", flag, "</a><ul class=\"variants\">");
    for leads in &target.variants {
        html.element(
            "<li><code>",
            &leads.variant,
            "</code> <span class=\"arrow\">→</span> ",
        );
        backend(html, &leads.backend);
        html.raw("</li>");
    }
    html.raw("</ul>");
}

fn backend(html: &mut Html, name: &str) {
    html.raw("<a")
        .attribute("href", format_args!("#backend-{name}"))
        .element(">", name, "</a>");
}

fn asks(html: &mut Html, route: &Route) {
    match route.auth.as_str() {
        "none" => html.raw("<span class=\"quiet\">nothing</span>"),
        "optional" => html.raw("sign-in if any"),
        _ if route.roles.is_empty() => html.raw("sign-in"),
        _ => html.element("sign-in as ", route.roles.join(" or "), ""),
    };
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_lowercase).collect()
}

fn is_found(route: &Route, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let target = &route.target;
    let backends = target.variants.iter().map(|leads| leads.backend.as_str());
    let parts = [&*route.path, &*route.squad, &*route.place, &*route.auth];
    let all = parts
        .into_iter()
        .chain(target.backend.as_deref())
        .chain(target.redirect.as_deref())
        .chain(target.flag.as_deref())
        .chain(backends)
        .chain(
            route
                .hosts
                .iter()
                .chain(&route.conditions)
                .chain(&route.roles)
                .chain(&route.flags)
                .chain(&route.says)
                .map(String::as_str),
        );
    let text = all.collect::<Vec<_>>().join(" ").to_lowercase();
    words.iter().all(|word| text.contains(word))
}
