//! Charts as SVG: the last ten minutes, a column or a corner for every five seconds, the newest at the right.

use std::fmt::Write;

use super::html::Html;
use crate::control::live::POINTS_KEPT_MAX;

/// Height of a drawing in its own units; its width is one for each point.
const HEIGHT: f64 = 40.0;

/// One line or layer.
#[derive(Debug)]
pub(super) struct Series {
    /// Which colour.
    pub(super) colour: usize,
    /// A second line of the same colour.
    pub(super) dotted: bool,
    /// Values, the newest last; `None`: there was nothing to measure.
    pub(super) values: Vec<Option<f64>>,
}

/// What is around the drawing.
#[derive(Debug)]
pub(super) struct Around<'a> {
    pub(super) title: &'static str,
    /// The drawing in a sentence, for who does not see it.
    pub(super) told: &'a str,
    /// What the top edge stands for.
    pub(super) top: &'a str,
}

/// Layers on top of one another, each value a share of its column (0 to 1).
pub(super) fn stacked(html: &mut Html, around: &Around<'_>, layers: &[Series]) {
    open(html, around);
    let mut floor = vec![0.0; POINTS_KEPT_MAX];
    for layer in layers {
        let mut path = String::new();
        let from = POINTS_KEPT_MAX.saturating_sub(layer.values.len());
        for (x, (value, floor)) in layer.values.iter().zip(floor.iter_mut().skip(from)).enumerate() {
            let Some(value) = value.filter(|value| *value > 0.0) else {
                continue;
            };
            let (top, high) = (HEIGHT * (1.0 - *floor - value), HEIGHT * value);
            *floor += value;
            let _ = write!(path, "M{} {top:.2}h.8v{high:.2}h-.8z", x + from);
        }
        html.raw("<path")
            .attribute("class", format_args!("layer v{}", layer.colour))
            .attribute("d", path)
            .raw("/>");
    }
    close(html, around);
}

/// Lines between 0 and `top`.
pub(super) fn lines(html: &mut Html, around: &Around<'_>, lines: &[Series], top: f64) {
    open(html, around);
    for line in lines {
        let mut path = String::new();
        let mut pen = "M";
        let from = POINTS_KEPT_MAX.saturating_sub(line.values.len());
        for (x, value) in line.values.iter().enumerate() {
            let Some(value) = value else {
                pen = "M";
                continue;
            };
            let y = HEIGHT * (1.0 - (value / top).clamp(0.0, 1.0));
            let (x, y) = (x + from, y.clamp(0.5, HEIGHT - 0.5));
            let _ = write!(path, "{pen}{x} {y:.2}h.8"); // a point without neighbours is seen as well
            pen = "L";
        }
        let dotted = if line.dotted { " dotted" } else { "" };
        html.raw("<path")
            .attribute("class", format_args!("line l{}{dotted}", line.colour))
            .attribute("d", path)
            .raw(" vector-effect=\"non-scaling-stroke\"/>");
    }
    close(html, around);
}

fn open(html: &mut Html, around: &Around<'_>) {
    html.raw("<figure class=\"chart\"><figcaption>")
        .raw(around.title)
        .raw("</figcaption><div class=\"plot\">");
    html.element("<span class=\"top\">", around.top, "</span>");
    html.raw("<svg")
        .attribute("viewBox", format_args!("0 0 {POINTS_KEPT_MAX} {HEIGHT}"))
        .attribute("aria-label", around.told)
        .raw(" role=\"img\" preserveAspectRatio=\"none\"><path class=\"grid\" d=\"M0 20H120M0 .2H120M0 39.8H120\" vector-effect=\"non-scaling-stroke\"/>");
}

fn close(html: &mut Html, _: &Around<'_>) {
    html.raw("</svg></div><div class=\"axis\" aria-hidden=\"true\"><span>10 min ago</span><span>5 min</span><span>now</span></div></figure>");
}

/// The least round number that is not below `value`.
pub(super) fn round_up(value: f64) -> f64 {
    let mut step = 1.0;
    for _ in 0..9 {
        for factor in [1.0, 2.5, 5.0] {
            if step * factor >= value {
                return step * factor;
            }
        }
        step *= 10.0;
    }
    step
}
