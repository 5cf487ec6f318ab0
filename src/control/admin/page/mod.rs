//! The pages: everything at a glance, the flags as they happen, and one flag with its controls; drawn from what the API says.
//!
//! Looking works without a script. With one, sections marked `data-live` are replaced when `/api/status` or `/api/live` says
//! something new. Changing needs one: orders are JSON, which no form can send.

mod backends;
mod cache;
mod chart;
mod control;
mod explain;
mod figures;
mod flag;
mod flags;
mod head;
mod html;
mod list;
pub(super) mod login;
mod rooms;
mod routes;
mod stale;
#[cfg(test)]
mod tests;
mod words;

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
    snapshot::{Snapshot, explain::Explanation},
};

/// What is around every page.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) here: Here,
    /// What it is about; none: the host.
    pub(super) title: Option<&'a str>,
    pub(super) status: &'a api::status::Status,
    pub(super) problems: &'a Problems,
    /// Seconds since the last change was read.
    pub(super) since_change: u64,
}

/// Which page it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    /// `/`
    Front,
    /// `/flags`
    Flags,
    /// `/flags/{key}`
    Flag,
    /// `/cache`
    Cache,
}

/// Everything that the front page shows.
pub(super) struct Shown<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) flags: &'a [api::flags::Flag],
    pub(super) routes: &'a [api::routes::Route],
    pub(super) backends: &'a [api::backends::Backend],
    pub(super) rooms: &'a [api::rooms::Room],
    pub(super) asked: &'a Asked,
    /// What explain says, if it was asked.
    pub(super) explained: Option<Result<Explanation, Refusal>>,
}

/// `GET /`.
pub(super) fn page(view: &View, asked: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    framed(view, &at, Here::Front, None, |frame| {
        draw(&Shown {
            frame,
            flags: &api::flags::all(&at, &view.editor),
            routes: &api::routes::all(&at),
            backends: &api::backends::all(&at),
            rooms: &api::rooms::all(&at),
            asked,
            explained: explained(asked, &at),
        })
    })
}

/// `GET /flags`.
pub(super) fn flags(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    framed(view, &at, Here::Flags, Some("Flags"), |frame| {
        let flags = api::flags::all(&at, &view.editor);
        let ages = stale::ages(&view.folder, &flags, clock::wall());
        list::draw(&list::Shown {
            frame,
            flags: &flags,
            routes: &api::routes::all(&at),
            figures: &view.pulse.figures(),
            ages: &ages,
        })
    })
}

/// `GET /flags/{key}`.
pub(super) fn flag(view: &View, asked: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    let flag = api::flags::one(&asked.key, &at, &view.editor)?;
    framed(view, &at, Here::Flag, Some(&asked.key), |frame| {
        let age = stale::age(&view.folder, &flag, clock::wall());
        flag::draw(&flag::Shown {
            frame,
            flag: &flag,
            routes: &api::routes::all(&at),
            figures: &view.pulse.figures(),
            age,
            asked,
            explained: explained(asked, &at),
        })
    })
}

/// `GET /cache`.
pub(super) fn cache(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    framed(view, &at, Here::Cache, Some("Cache"), |frame| {
        cache::draw(&frame, &api::cache::Cache::of(view))
    })
}

fn framed(
    view: &View,
    at: &Snapshot,
    here: Here,
    title: Option<&str>,
    draw: impl FnOnce(Frame<'_>) -> String,
) -> Result<Answer, Refusal> {
    let change = view.status.load_full();
    let frame = Frame {
        here,
        title,
        status: &api::status::Status::of(view, at),
        problems: &change.problems,
        since_change: seconds_between(change.at, clock::wall()),
    };
    Ok(Answer::text(HTML, draw(frame)))
}

fn explained(asked: &Asked, at: &Snapshot) -> Option<Result<Explanation, Refusal>> {
    asked
        .one("url")
        .map(|_| api::explain::explained(asked, None, clock::wall(), at))
}

/// Draws the front page.
pub(super) fn draw(shown: &Shown<'_>) -> String {
    let mut html = Html::default();
    head::open(&mut html, &shown.frame);
    html.raw("<main id=\"main\"><h1 class=\"hidden\">Overview</h1><div class=\"wide\">");
    head::attention(&mut html, &shown.frame);
    flags::section(&mut html, shown);
    routes::section(&mut html, shown);
    rooms::section(&mut html, shown);
    backends::section(&mut html, shown);
    html.raw("</div><aside>");
    explain::section(
        &mut html,
        shown.asked,
        shown.explained.as_ref(),
        explain::Form::FRONT,
    );
    html.raw("</aside></main>");
    head::close(&mut html, &shown.frame);
    html.finish()
}

const fn seconds_between(then: UnixTime, now: UnixTime) -> u64 {
    now.secs().saturating_sub(then.secs())
}
