//! The page: one view of everything for release managers, squads and operators, drawn from what the API says.
//!
//! It is whole without a script. With one, sections marked `data-live` are replaced when `/api/status` says something new.

mod backends;
mod explain;
mod flags;
mod head;
mod html;
pub(super) mod login;
mod routes;
#[cfg(test)]
mod tests;

use html::Html;

use super::{
    answer::{Answer, HTML},
    api,
    endpoints::Asked,
    refusal::Refusal,
};
use crate::{
    clock::{self, UnixTime},
    config::Problems,
    control::plane::View,
    snapshot::explain::Explanation,
};

/// Everything that the page shows.
pub(super) struct Shown<'a> {
    pub(super) status: &'a api::status::Status,
    pub(super) problems: &'a Problems,
    /// Seconds since the last change was read.
    pub(super) since_change: u64,
    pub(super) flags: &'a [api::flags::Flag],
    pub(super) routes: &'a [api::routes::Route],
    pub(super) backends: &'a [api::backends::Backend],
    pub(super) asked: &'a Asked,
    /// What explain says, if it was asked.
    pub(super) explained: Option<Result<Explanation, Refusal>>,
}

/// `GET /`.
pub(super) fn page(view: &View, asked: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    let now = clock::wall();
    let change = view.status.load_full();
    let shown = Shown {
        status: &api::status::Status::of(view, &at),
        problems: &change.problems,
        since_change: seconds_between(change.at, now),
        flags: &api::flags::all(&at, &view.editor),
        routes: &api::routes::all(&at),
        backends: &api::backends::all(&at),
        asked,
        explained: asked.one("url").map(|_| api::explain::explained(asked, now, &at)),
    };
    Ok(Answer::text(HTML, draw(&shown)))
}

/// Draws it all.
pub(super) fn draw(shown: &Shown<'_>) -> String {
    let mut html = Html::default();
    head::open(&mut html, shown);
    html.raw("<main id=\"main\"><div class=\"wide\">");
    head::attention(&mut html, shown);
    flags::section(&mut html, shown);
    routes::section(&mut html, shown);
    backends::section(&mut html, shown);
    html.raw("</div><aside>");
    explain::section(&mut html, shown);
    html.raw("</aside></main>");
    head::close(&mut html, shown);
    html.finish()
}

const fn seconds_between(then: UnixTime, now: UnixTime) -> u64 {
    now.secs().saturating_sub(then.secs())
}
