//! The top of the page: is it well, what changed last, and what somebody must mend.

use super::{
    Frame, Here,
    html::{Html, ago, counted, moment},
};
use crate::{
    config::{Problem, Severity},
    control::admin::api::status::Change,
};

/// Problems that are shown; the rest is counted. `banyan check` shows all.
const PROBLEMS_MAX: usize = 50;
/// Names of changed things that are shown for each kind.
const NAMES_MAX: usize = 8;

/// Everything before the main part.
pub(super) fn open(html: &mut Html, shown: &Frame<'_>) {
    html.raw(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>",
    );
    let ready = shown.status.ready;
    html.text(title(shown))
        .raw("</title><link rel=\"stylesheet\" href=\"/assets/style.css\">");
    html.raw("<link rel=\"icon\" href=\"/assets/banyan.svg\" type=\"image/svg+xml\">");
    html.raw("<script src=\"/assets/script.js\" defer></script>");
    match shown.here {
        Here::Flag => _ = html.raw("<script src=\"/assets/flag.js\" defer></script>"),
        Here::Cache => _ = html.raw("<script src=\"/assets/cache.js\" defer></script>"),
        Here::Front | Here::Flags => {}
    }
    html.raw("</head><body>");
    html.raw("<a class=\"skip\" href=\"#main\">Skip to content</a><header><div class=\"bar\">");
    html.raw("<a class=\"brand\" href=\"/\"><img src=\"/assets/banyan.svg\" alt=\"\" width=\"22\" height=\"22\">Banyan</a>");
    html.raw("<div class=\"state\" id=\"state\" data-live role=\"status\">");
    html.raw(if ready {
        "<span class=\"pill good\">Serving</span>"
    } else {
        "<span class=\"pill warn\">Draining</span>"
    });
    hosts(html, shown);
    html.raw("</div><nav aria-label=\"Sections\">");
    html.raw(match shown.here {
        Here::Flags => "<a href=\"/flags\" aria-current=\"page\">Flags</a>",
        Here::Flag => "<a href=\"/flags\" aria-current=\"true\">Flags</a>",
        Here::Front | Here::Cache => "<a href=\"/flags\">Flags</a>",
    });
    html.raw("<a href=\"/#routes\">Routes</a><a href=\"/#backends\">Backends</a>");
    html.raw(match shown.here {
        Here::Cache => "<a href=\"/cache\" aria-current=\"page\">Cache</a>",
        Here::Front | Here::Flags | Here::Flag => "<a href=\"/cache\">Cache</a>",
    });
    html.raw("<a href=\"/#explain\">Explain</a><a href=\"/login\" id=\"me\">Account</a></nav></div>");
    html.raw("<div class=\"bar change\" id=\"change\" data-live>");
    change(html, shown);
    html.raw("</div><p class=\"lost\" id=\"lost\" role=\"alert\" hidden></p>");
    drills(html, shown);
    html.raw("</header>");
}

/// Nobody is to take a drill for a failure, or to forget one.
fn drills(html: &mut Html, shown: &Frame<'_>) {
    html.raw("<div id=\"drills\" data-live>");
    for drill in &shown.status.drills {
        let place = drill.route.as_deref().or(drill.path.as_deref());
        html.element("<p class=\"drill\" role=\"alert\"><b>Drill ", &drill.id, "</b> ");
        html.element("<code>", &drill.what, "</code> on ").element(
            "<code>",
            place.unwrap_or_default(),
            "</code>",
        );
        html.element(" for ", drill.share, " % of requests");
        if let Some(header) = &drill.header {
            html.element(" with <code>", header, "</code>");
        }
        if let Some(visitor) = &drill.visitor {
            html.element(" of visitor <code>", visitor, "</code>");
        }
        // no `<time datetime>`: the page's script tells those as long ago
        html.element(", until <b>", moment(&drill.ends), "</b>, by ")
            .text(&drill.by);
        html.element(": ", &drill.reason, "</p>");
    }
    html.raw("</div>");
}

/// Everything after the main part.
pub(super) fn close(html: &mut Html, shown: &Frame<'_>) {
    html.element("<footer><span>Banyan ", &shown.status.build, "</span>");
    html.raw("<a href=\"/api/openapi.json\">API</a><a href=\"/api/status\">Status</a><a href=\"/metrics\">Metrics</a>");
    html.raw("<a href=\"/readyz\">Readiness</a><span id=\"fresh\" class=\"fresh\">");
    html.raw("Reload to see changes</span></footer></body></html>");
}

fn title(shown: &Frame<'_>) -> String {
    let errors = shown.problems.errors().count();
    if let Some(title) = shown.title {
        return format!("{title} · Banyan");
    }
    let host = shown.status.hosts.first().map_or("every host", String::as_str);
    match (shown.status.ready, errors) {
        (false, _) => format!("Draining · {host} · Banyan"),
        (true, 0) => format!("{host} · Banyan"),
        (true, errors) => format!("({}) {host} · Banyan", counted(errors, "error")),
    }
}

fn hosts(html: &mut Html, shown: &Frame<'_>) {
    html.raw("<span class=\"hosts\">");
    match shown.status.hosts.split_first() {
        None => html.raw("every host"),
        Some((first, [])) => html.text(first),
        Some((first, rest)) => html
            .text(first)
            .raw(" <span class=\"quiet\"")
            .attribute("title", rest.join(", "))
            .element(">and ", rest.len(), " more</span>"),
    };
    html.raw("</span>");
    let counts = &shown.status.counts;
    if counts.servers_unhealthy > 0 {
        let sick = counted(counts.servers_unhealthy, "server");
        html.element(
            "<a class=\"pill bad\" href=\"#backends\">",
            sick,
            " unhealthy</a>",
        );
    }
}

fn change(html: &mut Html, shown: &Frame<'_>) {
    let change = &shown.status.change;
    html.element("<span>Snapshot <b>", shown.status.version, "</b></span>");
    html.raw("<span>Last change <time")
        .attribute("datetime", &change.at)
        .attribute("title", &change.at);
    html.raw(">").text(ago(shown.since_change)).raw("</time>, ");
    let class = match change.outcome.as_str() {
        "applied" => "<b class=\"good\">",
        "partial" => "<b class=\"warn\">",
        "refused" => "<b class=\"bad\">",
        _ => "<b>",
    };
    html.raw(class).text(&change.outcome).raw("</b>");
    html.element(" <span class=\"quiet\">in ", change.took_ms, " ms</span></span>");
    let kinds = [
        ("route", &change.diff.routes),
        ("flag", &change.diff.flags),
        ("backend", &change.diff.backends),
        ("room", &change.diff.rooms),
    ];
    for (kind, changes) in kinds {
        names(html, "<span class=\"diff added\">+ ", kind, &changes.added);
        names(html, "<span class=\"diff removed\">− ", kind, &changes.removed);
        names(html, "<span class=\"diff changed\">~ ", kind, &changes.changed);
    }
}

fn names(html: &mut Html, open: &'static str, kind: &str, names: &[String]) {
    if names.is_empty() {
        return;
    }
    html.raw(open)
        .text(if names.len() == 1 {
            kind.to_owned()
        } else {
            format!("{kind}s")
        })
        .raw(" ");
    html.each(names.iter().take(NAMES_MAX), ", ", |html, name| {
        html.element("<code>", name, "</code>");
    });
    if let Some(more) = names.len().checked_sub(NAMES_MAX).filter(|more| *more > 0) {
        html.element(" and ", more, " more");
    }
    html.raw("</span>");
}

/// What somebody must mend. Nothing at all when nothing is wrong.
pub(super) fn attention(html: &mut Html, shown: &Frame<'_>) {
    html.raw("<div id=\"attention\" data-live>");
    let change = &shown.status.change;
    let errors = shown.problems.errors().count();
    if errors > 0 || !change.stale.is_empty() || !change.left_out.is_empty() {
        html.raw("<section class=\"attention bad\" role=\"alert\"><h2>");
        headline(html, change);
        html.raw("</h2>");
        problems(html, shown, Severity::Error);
        html.raw("</section>");
    }
    let warnings = shown.problems.len() - errors;
    if warnings > 0 {
        html.raw("<section class=\"attention warn\"><h2>");
        html.text(counted(warnings, "warning"))
            .raw(": in force, but probably not meant</h2>");
        problems(html, shown, Severity::Warning);
        html.raw("</section>");
    }
    html.raw("</div>");
}

fn headline(html: &mut Html, change: &Change) {
    if change.outcome == "refused" || (change.stale.is_empty() && change.left_out.is_empty()) {
        html.raw("The last change is not in force: everything serves on as it was before");
        return;
    }
    if !change.stale.is_empty() {
        html.raw("The last good version of ");
        files(html, &change.stale);
        html.raw(" serves on until this is mended");
    }
    if !change.left_out.is_empty() {
        html.raw(if change.stale.is_empty() {
            "Nothing of "
        } else {
            "; nothing of "
        });
        files(html, &change.left_out);
        html.raw(" is in force, as there is no good version yet");
    }
    html.raw(". Everything else is as its files say");
}

fn files(html: &mut Html, files: &[String]) {
    html.each(files.iter().take(NAMES_MAX), ", ", |html, file| {
        html.element("<code>", file, "</code>");
    });
    if let Some(more) = files.len().checked_sub(NAMES_MAX).filter(|more| *more > 0) {
        html.element(" and ", more, " more");
    }
}

fn problems(html: &mut Html, shown: &Frame<'_>, severity: Severity) {
    let of_it: Vec<_> = shown
        .problems
        .iter()
        .filter(|problem| problem.severity == severity)
        .collect();
    html.raw("<ol class=\"problems\">");
    for problem in of_it.iter().take(PROBLEMS_MAX) {
        one_problem(html, problem);
    }
    html.raw("</ol>");
    if let Some(more) = of_it.len().checked_sub(PROBLEMS_MAX).filter(|more| *more > 0) {
        html.element(
            "<p class=\"quiet\">and ",
            more,
            " more: <code>banyan check</code> shows all</p>",
        );
    }
}

fn one_problem(html: &mut Html, problem: &Problem) {
    html.raw("<li><code class=\"place\">").text(&problem.file);
    if problem.line > 0 {
        html.text(format_args!(":{}:{}", problem.line, problem.column));
    }
    html.element("</code> <span class=\"what\">", &problem.what, "</span>");
    if let Some(hint) = &problem.hint {
        html.element("<span class=\"hint\">", hint, "</span>");
    }
    for related in &problem.related {
        html.element("<span class=\"hint\"><code>", &related.file, "");
        html.text(format_args!(":{}:{}", related.line, related.column))
            .raw("</code> ");
        html.text(&related.what).raw("</span>");
    }
    html.raw("</li>");
}
