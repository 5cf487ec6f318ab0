//! The explain box: what would happen to a request, step by step, decided as live traffic is.

use super::html::Html;
use crate::{
    control::admin::{endpoints::Asked, refusal::Refusal},
    snapshot::explain::{Explanation, Goes},
};

/// Fields of the form beside the address: name, label, example.
const FIELDS: [(&str, &str, &str); 7] = [
    ("user", "User", "signed in as"),
    ("role", "Roles", "staff, admin"),
    ("claim", "A claim", "acr=mfa"),
    ("visitor", "Visitor", "22 characters of the cookie"),
    ("header", "Header", "Name: value"),
    ("cookie", "Cookie", "name=value"),
    ("client", "Client", "its IP address"),
];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Where the form stands, and what it is called there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    title: &'static str,
    hint: &'static str,
}

impl Form {
    /// On the front page.
    pub(super) const FRONT: Self = Self {
        title: "Explain",
        hint: "Decided as live traffic is, on the snapshot in force; nothing is sent anywhere.",
    };
    /// On a flag's page.
    pub(super) const FLAG: Self = Self {
        title: "Try as",
        hint: "What a visitor, a user or a request would get, decided as live traffic is; nothing is sent anywhere.",
    };
}

/// Form and answer.
pub(super) fn section(
    html: &mut Html,
    asked: &Asked,
    explained: Option<&Result<Explanation, Refusal>>,
    form: Form,
) {
    html.raw("<section id=\"explain\" aria-labelledby=\"explain-title\"><h2 id=\"explain-title\">")
        .raw(form.title)
        .raw("</h2>");
    fields(html, asked);
    html.raw("<div id=\"explain-live\" data-live aria-live=\"polite\">");
    match explained {
        None => _ = html.raw("<p class=\"quiet\">").raw(form.hint).raw("</p>"),
        Some(Err(refusal)) => _ = html.element("<p class=\"bad\">", refusal, "</p>"),
        Some(Ok(explanation)) => trail(html, explanation, asked),
    }
    html.raw("</div></section>");
}

fn fields(html: &mut Html, asked: &Asked) {
    html.raw("<form class=\"ask\" action=\"#explain\"><div class=\"url\"><label for=\"method\" class=\"hidden\">Method</label>");
    html.raw("<select id=\"method\" name=\"method\">");
    let chosen = asked.one("method").unwrap_or("GET").to_ascii_uppercase();
    for method in METHODS {
        html.raw("<option")
            .raw(if chosen == method { " selected>" } else { ">" })
            .text(method)
            .raw("</option>");
    }
    html.raw("</select><label for=\"url\" class=\"hidden\">Address</label>");
    html.raw("<input id=\"url\" name=\"url\" required placeholder=\"/courses/rust or a whole address\" autocomplete=\"off\" spellcheck=\"false\"");
    html.attribute("value", asked.one("url").unwrap_or_default())
        .raw("></div><div class=\"more\">");
    for (name, label, example) in FIELDS {
        html.raw("<label")
            .attribute("for", name)
            .element(">", label, "</label><input")
            .attribute("id", name);
        html.attribute("name", name)
            .attribute("placeholder", example)
            .raw(" autocomplete=\"off\" spellcheck=\"false\"");
        html.attribute("value", asked.one(name).unwrap_or_default())
            .raw(">");
    }
    html.raw("</div><div class=\"go\"><label><input type=\"checkbox\" name=\"private\" value=\"true\"");
    html.raw(if asked.one("private") == Some("true") {
        " checked"
    } else {
        ""
    });
    html.raw("> on the private listener</label><button>Explain</button></div></form>");
}

fn trail(html: &mut Html, explained: &Explanation, asked: &Asked) {
    html.raw("<p class=\"asked\"><code>")
        .text(&explained.method)
        .raw(" ")
        .text(&explained.host)
        .text(&explained.target);
    html.raw("</code></p><ol class=\"trail\">");
    if let Some(path) = explained
        .path
        .as_ref()
        .filter(|path| !explained.target.starts_with(path.as_str()))
    {
        html.element(
            if explained.forwarded.is_some() {
                "<li><span class=\"step\">Path</span><div>judged as <code>"
            } else {
                "<li><span class=\"step\">Path</span><div>judged and forwarded as <code>"
            },
            path,
            "</code></div></li>",
        );
    }
    for passed in &explained.passed_over {
        html.element(
            "<li class=\"not\"><span class=\"step\">Not</span><div><code>",
            &passed.route,
            "</code> ",
        );
        html.element("<span class=\"quiet\">", &passed.why, "</span>")
            .element("<code class=\"place\">", &passed.place, "</code></div></li>");
    }
    if let Some(won) = &explained.route {
        html.element(
            "<li><span class=\"step\">Route</span><div><code>",
            &won.route,
            "</code> ",
        );
        html.element(
            "<span class=\"squad\">",
            &won.squad,
            "</span><code class=\"place\">",
        )
        .text(&won.place)
        .raw("</code>");
        for (name, value) in &won.params {
            html.element("<span class=\"sub\"><code>", name, "</code> is ");
            match value.as_str() {
                "" => html.raw("nothing</span>"),
                value => html.element("<code>", value, "</code></span>"),
            };
        }
        html.raw("</div></li>");
    }
    if let Some(signed) = &explained.signed {
        html.element(
            "<li><span class=\"step\">Signed</span><div>",
            signed,
            "</div></li>",
        );
    }
    gate(html, explained, asked);
    visitor(html, explained);
    flags(html, explained);
    ending(html, explained);
    html.element("</ol><p class=\"quiet\">Snapshot ", explained.version, "</p>");
}

fn gate(html: &mut Html, explained: &Explanation, asked: &Asked) {
    let Some(gate) = &explained.gate else { return };
    html.element("<li><span class=\"step\">Gate</span><div>auth ", &gate.auth, "");
    if !gate.roles.is_empty() {
        html.element(", any of <code>", gate.roles.join(", "), "</code>");
    }
    html.element(": ", &gate.verdict, "");
    if let Some(user) = &gate.user {
        html.element(" as <b>", user, "</b>");
    } else if let (Some(user), "none") = (asked.one("user"), gate.auth.as_str()) {
        html.element(
            "<span class=\"sub\">the route does not ask who it is, so ",
            user,
            " counts as nobody</span>",
        );
    }
    html.raw("</div></li>");
}

fn visitor(html: &mut Html, explained: &Explanation) {
    let Some(cookie) = &explained.visitor else { return };
    html.element(
        "<li><span class=\"step\">Visitor</span><div>cookie ",
        &cookie.state,
        "",
    );
    match &cookie.id {
        Some(id) if cookie.set => html.element(
            "; the answer sets one<span class=\"sub\">as an example <code>",
            id,
            "</code></span>",
        ),
        Some(id) => html.element("<span class=\"sub\"><code>", id, "</code></span>"),
        None => html,
    };
    html.raw("</div></li>");
}

fn flags(html: &mut Html, explained: &Explanation) {
    for said in &explained.flags {
        html.raw("<li><span class=\"step\">Flag</span><div><a")
            .attribute("href", format_args!("/flags/{}", said.flag));
        html.element(">", &said.flag, "</a> <span class=\"arrow\">→</span> <b>");
        html.text(said.variant.as_deref().unwrap_or("no variant"))
            .raw("</b> <span class=\"quiet\">")
            .text(&said.reason);
        if let Some(place) = &said.bucket_percent {
            html.element(", place ", place, " %");
        }
        html.raw(if said.picks_backend { "" } else { ", told only" })
            .raw("</span>");
        html.element("<code class=\"place\">", &said.place, "</code>");
        for (other, outcome) in &said.requires {
            html.element("<span class=\"sub\">requires ", other, ", which ")
                .element("", outcome, "</span>");
        }
        if let Some(layer) = &said.layer {
            html.element("<span class=\"sub\">", layer, "</span>");
        }
        if let Some(shares) = &said.shares {
            html.element("<span class=\"sub\">by its schedule now ", shares, "</span>");
        }
        for (rule, outcome) in &said.rules {
            html.element("<span class=\"sub\">rule “", rule, "” ")
                .element("", outcome, "</span>");
        }
        html.raw("</div></li>");
    }
}

/// A backend's servers, and how they are asked.
fn asked(html: &mut Html, goes: &Goes) {
    for (server, health) in &goes.servers {
        html.element("<span class=\"sub\"><code>", server, "</code> ")
            .element("", health, "</span>");
    }
    if let Some(path) = &goes.path {
        html.element(
            "<span class=\"sub\"><code>",
            path,
            "</code> in front of the path</span>",
        );
    }
    if let Some(host) = &goes.host {
        html.element("<span class=\"sub\">asked for <code>", host, "</code></span>");
    }
    for field in &goes.fields {
        html.element("<span class=\"sub\">with <code>", field, "</code></span>");
    }
}

/// What stands before the backend.
fn before(html: &mut Html, explained: &Explanation) {
    for version in &explained.versions {
        html.element(
            "<li><span class=\"step\">Version</span><div>",
            version,
            "</div></li>",
        );
    }
    if let Some(room) = &explained.room {
        html.element("<li><span class=\"step\">Room</span><div>", room, "</div></li>");
    }
    for drill in &explained.drills {
        html.element(
            "<li><span class=\"step bad\">Drill</span><div>",
            drill,
            "</div></li>",
        );
    }
}

fn ending(html: &mut Html, explained: &Explanation) {
    if let Some(goes) = &explained.backend {
        html.raw("<li class=\"end good\"><span class=\"step\">Backend</span><div><a");
        html.attribute("href", format_args!("/#backend-{}", goes.backend))
            .element("><b>", &goes.backend, "</b></a>");
        asked(html, goes);
        html.raw("</div></li>");
    }
    before(html, explained);
    if let Some(standby) = &explained.failover {
        html.raw("<li><span class=\"step\">Failover</span><div><a");
        html.attribute("href", format_args!("/#backend-{}", standby.goes.backend))
            .element("><b>", &standby.goes.backend, "</b></a> on ");
        for status in &standby.on {
            html.element("", status, ", ");
        }
        html.raw("no answer");
        asked(html, &standby.goes);
        if let Some(budget) = &standby.budget {
            html.element(" <span class=\"quiet\">", budget, "</span>");
        }
        html.raw("</div></li>");
    }
    for bound in &explained.bounds {
        html.element("<li><span class=\"step\">Bound</span><div>", bound, "</div></li>");
    }
    if let Some(path) = &explained.forwarded {
        html.element(
            "<li><span class=\"step\">Forwards</span><div><code>",
            path,
            "</code></div></li>",
        );
    }
    if let Some(told) = &explained.compress {
        html.element(
            "<li><span class=\"step\">Compress</span><div>",
            told,
            "</div></li>",
        );
    }
    for (name, value) in &explained.headers {
        html.element("<li><span class=\"step\">Adds</span><div><code>", name, ": ")
            .element("", value, "</code></div></li>");
    }
    for (part, what) in &explained.forwards {
        html.element("<li><span class=\"step\">Forwards</span><div>", part, " ")
            .element("", what, "</div></li>");
    }
    for line in &explained.answers {
        html.element(
            "<li><span class=\"step\">Answer</span><div><code>",
            line,
            "</code></div></li>",
        );
    }
    instead(html, explained);
    for shown in &explained.error_pages {
        let statuses: Vec<String> = shown.status.iter().map(ToString::to_string).collect();
        html.element(
            "<li><span class=\"step\">Errors</span><div>",
            statuses.join(", "),
            ": browsers see <code>",
        );
        html.text(&shown.shows).raw("</code>");
        if let Some(status) = shown.answer_status {
            html.element(", answered with ", status, "");
        }
        html.element("<code class=\"place\">", &shown.place, "</code></div></li>");
    }
}

/// What Banyan answers itself.
fn instead(html: &mut Html, explained: &Explanation) {
    if let Some(answered) = &explained.answered {
        html.element(
            "<li class=\"end good\"><span class=\"step\">Answered</span><div><b>",
            answered.status,
            "</b> ",
        );
        html.text(&answered.why).raw("</div></li>");
    }
    if let Some(redirect) = &explained.redirect {
        html.element(
            "<li class=\"end good\"><span class=\"step\">Redirects</span><div><b>",
            redirect.status,
            "</b> to <code>",
        );
        html.text(&redirect.location).element(
            "</code><span class=\"sub\">",
            &redirect.why,
            "</span></div></li>",
        );
    }
    if let Some(refused) = &explained.refused {
        html.element(
            "<li class=\"end bad\"><span class=\"step\">Refused</span><div><b>",
            refused.status,
            "</b> ",
        );
        html.text(&refused.why).raw("</div></li>");
    }
}
