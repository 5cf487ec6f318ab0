//! One flag: what it does now, how both sides fare, who gets what and why, and the controls that move it.

use super::{
    super::{endpoints::Asked, live::millis, refusal::Refusal},
    Frame, chart,
    chart::{Around, Series},
    control, explain, figures,
    figures::{Side, percent, rate, took},
    flags, head,
    html::Html,
    list, stale, words,
};
use crate::{
    control::{
        admin::api::{flags::Flag, routes::Route},
        live::{Figures, Health, POINT_BEATS, POINTS_KEPT_MAX, Point},
    },
    snapshot::explain::Explanation,
};

/// Everything that the page shows.
pub(super) struct Shown<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) flag: &'a Flag,
    pub(super) routes: &'a [Route],
    pub(super) figures: &'a Figures,
    /// Days since its file was written.
    pub(super) age: Option<u64>,
    pub(super) asked: &'a Asked,
    /// What explain says, if it was asked.
    pub(super) explained: Option<Result<Explanation, Refusal>>,
}

/// Draws it.
pub(super) fn draw(shown: &Shown<'_>) -> String {
    let mut html = Html::default();
    head::open(&mut html, &shown.frame);
    html.raw("<main id=\"main\" class=\"onflag\"><div class=\"top\">");
    head::attention(&mut html, &shown.frame);
    title(&mut html, shown);
    html.raw("</div><div class=\"side\">");
    control::sections(&mut html, shown.flag);
    html.raw("</div><div class=\"wide\">");
    live(&mut html, shown);
    rules(&mut html, shown.flag);
    explain::section(
        &mut html,
        shown.asked,
        shown.explained.as_ref(),
        explain::Form::FLAG,
    );
    control::history(&mut html);
    html.raw("</div></main>");
    head::close(&mut html, &shown.frame);
    html.finish()
}

fn title(html: &mut Html, shown: &Shown<'_>) {
    let flag = shown.flag;
    html.raw("<div class=\"head\"><div id=\"flag-title\" data-live><h1><code>")
        .text(&flag.key)
        .raw("</code></h1> ");
    list::state(html, flag);
    if let Some(squad) = &flag.squad {
        html.element(" <span class=\"squad\">", squad, "</span>");
    }
    html.element(" <code class=\"place\">", &flag.place, "</code>");
    if !flag.description.is_empty() {
        html.element("<p>", &flag.description, "</p>");
    }
    if let Some(problem) = &flag.problem {
        html.element("<p class=\"bad\">", problem, "</p>");
    }
    stale::draw(html, flag, shown.age, shown.figures);
    html.raw("</div>");
    control::kill(html, flag);
    html.raw("</div>");
}

fn live(html: &mut Html, shown: &Shown<'_>) {
    let (flag, figures) = (shown.flag, shown.figures);
    html.raw("<section aria-labelledby=\"live-title\"><h2 id=\"live-title\">Live</h2>");
    html.raw("<div id=\"flag-live\" data-live data-pulse>");
    flags::shares(html, flag);
    html.raw("<div class=\"scroll\" tabindex=\"0\">");
    figures::table(html, flag, shown.routes, figures);
    html.raw("</div><p class=\"note\">The last minute. A backend’s figures count all its requests, whichever route led there.</p>");
    let sides = figures::sides(flag, shown.routes);
    html.raw("<div class=\"charts\">");
    split(html, flag, &sides, figures);
    volume(html, flag, figures);
    health(html, &sides, figures);
    html.raw("</div></div></section>");
}

/// Who got what, column by column.
fn split(html: &mut Html, flag: &Flag, sides: &[Side<'_>], figures: &Figures) {
    let layers: Vec<Series> = sides
        .iter()
        .rev()
        .map(|side| Series {
            colour: side.colour,
            dotted: false,
            values: of_points(figures, |point| {
                let variants = point.what.variants_of(&flag.key);
                let all: u64 = variants.values().sum();
                let own = variants.get(side.variant).copied().unwrap_or_default();
                (all > 0).then(|| share(own, all))
            }),
        })
        .collect();
    let minute = figures.minute.variants_of(&flag.key);
    let all: u64 = minute.values().sum();
    let told = sides.iter().map(|side| {
        let own = minute.get(side.variant).copied().unwrap_or_default();
        format!("{} {}", side.variant, percent(own, all))
    });
    let told = format!("In the last minute: {}", told.collect::<Vec<_>>().join(", "));
    let around = Around {
        title: "Split of decisions",
        told: &told,
        top: "100 %",
    };
    chart::stacked(html, &around, &layers);
}

/// How often it is asked.
fn volume(html: &mut Html, flag: &Flag, figures: &Figures) {
    let values = of_points(figures, |point| {
        let all: u64 = point.what.variants_of(&flag.key).values().sum();
        Some(share(all, POINT_BEATS as u64))
    });
    let top = top_of(&values);
    let all: u64 = figures.minute.variants_of(&flag.key).values().sum();
    let told = format!("{} decisions each second", rate(all, figures.minute_seconds));
    let around = Around {
        title: "Decisions each second",
        told: &told,
        top: &format!("{top} /s"),
    };
    let line = Series {
        colour: 6,
        dotted: false,
        values,
    };
    chart::lines(html, &around, &[line], top);
}

/// How fast both sides answer, and how often they fail.
fn health(html: &mut Html, sides: &[Side<'_>], figures: &Figures) {
    let sides: Vec<&Side<'_>> = sides.iter().filter(|side| !side.backends.is_empty()).collect();
    if sides.is_empty() {
        return;
    }
    let line = |side: &Side<'_>, dotted, figure: &dyn Fn(&Health) -> Option<f64>| Series {
        colour: side.colour,
        dotted,
        values: of_points(figures, |point| figure(&whole(side, &point.what))),
    };
    let mut times: Vec<Series> = Vec::new();
    for side in &sides {
        times.push(line(side, false, &|health| millis(health, 0.99)));
        times.push(line(side, true, &|health| millis(health, 0.5)));
    }
    let failures: Vec<Series> = sides
        .iter()
        .map(|side| {
            line(side, false, &|health| {
                (health.requests > 0).then(|| share(health.failed, health.requests) * 100.0)
            })
        })
        .collect();
    let told = |figure: &dyn Fn(&Health) -> String| {
        let told = sides.iter().map(|side| {
            let health = whole(side, &figures.minute);
            format!("{} {}", side.variant, figure(&health))
        });
        format!("In the last minute: {}", told.collect::<Vec<_>>().join(", "))
    };
    let top = top_of(times.iter().flat_map(|line| &line.values));
    let around = Around {
        title: "Time to answer, p99 and p50 (dotted)",
        told: &told(&|health| format!("p99 {}", took(millis(health, 0.99)))),
        top: &took(Some(top)),
    };
    chart::lines(html, &around, &times, top);
    let top = top_of(failures.iter().flat_map(|line| &line.values)).min(100.0);
    let around = Around {
        title: "Failed answers",
        told: &told(&|health| percent(health.failed, health.requests)),
        top: &format!("{top} %"),
    };
    chart::lines(html, &around, &failures, top);
}

/// All backends of a side together.
fn whole(side: &Side<'_>, what: &crate::control::live::Tallied) -> Health {
    let mut whole = Health::default();
    for backend in &side.backends {
        whole.add(&figures::health_of(what, backend));
    }
    whole
}

fn of_points(figures: &Figures, value: impl Fn(&Point) -> Option<f64>) -> Vec<Option<f64>> {
    let points = figures.points.iter().take(POINTS_KEPT_MAX);
    points.map(value).collect()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn top_of<'v>(values: impl IntoIterator<Item = &'v Option<f64>>) -> f64 {
    let most = values
        .into_iter()
        .flatten()
        .fold(0.0, |most: f64, value| most.max(*value));
    chart::round_up(most)
}

fn rules(html: &mut Html, flag: &Flag) {
    html.raw("<section aria-labelledby=\"rules-title\"><h2 id=\"rules-title\">Who gets what</h2>");
    html.raw("<div id=\"rules-live\" data-live><ol class=\"steps\">");
    if flag.state == "disabled" {
        html.raw("<li><b class=\"bad\">Killed:</b> everyone gets <code>")
            .text(default(flag))
            .raw("</code>. Once restored:</li>");
    }
    match &flag.targeting {
        Some(targeting) => targeted(html, targeting),
        None => ruled(html, flag),
    }
    html.raw(if flag.targeting.is_some() {
        "<li>Where that names no variant, the default: <code>"
    } else {
        "<li>Anyone else gets the default: <code>"
    });
    html.text(default(flag)).raw("</code></li>");
    html.raw("</ol><p class=\"quiet\">Asked by ");
    flags::routes(html, &flag.routes);
    html.element(
        "; places by <code>",
        &flag.bucketing,
        "</code></p></div></section>",
    );
}

fn default(flag: &Flag) -> &str {
    flag.default.as_deref().unwrap_or("the caller's own")
}

fn targeted(html: &mut Html, targeting: &serde_json::Value) {
    match words::steps(targeting) {
        Some(steps) => {
            for (when, then) in steps {
                html.element("<li>", when, " <span class=\"arrow\">→</span> <code>")
                    .element("", then, "</code></li>");
            }
        }
        None => _ = html.raw("<li>A JsonLogic expression decides</li>"),
    }
    html.raw("<li class=\"raw\">");
    json(html, targeting);
    html.raw("</li>");
}

fn ruled(html: &mut Html, flag: &Flag) {
    for rule in &flag.rules {
        html.element("<li><b>", &rule.name, "</b>: ");
        match words::condition(&rule.condition) {
            Some(text) => html.element("if ", text, ""),
            None => html.raw("if the JsonLogic below holds"),
        };
        html.element(" <span class=\"arrow\">→</span> <code>", &rule.serve, "</code>")
            .element(" <code class=\"place\">", &rule.place, "</code>");
        json(html, &rule.condition);
        html.raw("</li>");
    }
    let Some(shares) = flag.shares.as_ref().filter(|shares| !shares.is_empty()) else {
        return;
    };
    html.raw("<li>By place between 0 and 100 %, the same at every visit: ");
    html.each(shares, ", ", |html, (variant, share)| {
        html.element("<b>", share, " %</b> get <code>")
            .element("", variant, "</code>");
    });
    html.raw(match flag.rollout_by.as_deref() {
        Some("user") => " (signed-in users)</li>",
        _ => " (visitors)</li>",
    });
}

fn json(html: &mut Html, value: &serde_json::Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    html.element(
        "<details><summary>JsonLogic</summary><pre>",
        text,
        "</pre></details>",
    );
}
