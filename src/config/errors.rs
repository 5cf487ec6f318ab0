//! `[[errors]]` of the site and `[[routes.errors]]`: which page browsers are shown instead of which errors.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Component, Path},
    sync::Arc,
};

use bytes::Bytes;
use http::{StatusCode, uri::PathAndQuery};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{report::Report, sources::Sources, values::Spot};
use crate::{
    policy::errors::{ErrorPage, ErrorPages, PageFile, Shows, media_type},
    route::target::{EncodedSlash, canonical, split_target},
};

/// `[[errors]]`: a page that browsers are shown instead of errors. Whoever asks for no page, such as a script, gets the error itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ErrorPageFile {
    /// The errors: statuses from 400 to 599, a backend's or Banyan's own.
    #[schemars(required, extend("x-required" = true))]
    status: Option<Spot<Vec<Spot<i64>>>>,
    /// A path that the route which takes it is asked for, as nobody: without cookies and tokens. This, or `file`.
    page: Option<Spot<String>>,
    /// A file in the folder of this one or below, at most 256 KiB: `.html`, `.htm`, `.txt`, `.json`, `.xml` or `.svg`.
    file: Option<Spot<String>>,
    /// What the client is told: 200, or 400 to 599. Without it: the error's own status.
    answer_status: Option<Spot<i64>>,
}

/// Most files that one file may name; what is beyond is not read.
pub(super) const FILES_NAMED_MAX: usize = 100;

/// The files that the text of `banyan.toml` or of a squad's file names as pages: they are read together with it.
pub(super) fn files_named(text: &str) -> Vec<String> {
    if !text.contains("errors") {
        return Vec::new(); // most texts
    }
    let (root, _) = DeTable::parse_recoverable(text);
    let root = root.into_inner();
    let mut found = Vec::new();
    of_table(&root, &mut found);
    if let Some(DeValue::Array(routes)) = root.get("routes").map(toml::Spanned::get_ref) {
        for route in routes {
            if let DeValue::Table(route) = route.get_ref() {
                of_table(route, &mut found);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(FILES_NAMED_MAX);
    found
}

fn of_table(table: &DeTable<'_>, found: &mut Vec<String>) {
    let Some(DeValue::Array(pages)) = table.get("errors").map(toml::Spanned::get_ref) else {
        return;
    };
    for page in pages {
        if let DeValue::Table(page) = page.get_ref()
            && let Some(DeValue::String(name)) = page.get("file").map(toml::Spanned::get_ref)
        {
            found.push(name.to_string());
        }
    }
}

/// Whether a name stays in the folder that it starts from.
pub(super) fn is_beneath(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    !name.is_empty() && !name.contains('\0') && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Judges all tables of a list. What is wrong is in the report.
pub(super) fn pages(written: &[Spot<ErrorPageFile>], sources: &Sources, report: &mut Report) -> ErrorPages {
    let mut seen: BTreeMap<i64, Range<usize>> = BTreeMap::new();
    let mut pages = Vec::with_capacity(written.len());
    for page in written {
        for status in page.value.status.iter().flat_map(|list| &list.value) {
            if let Some(first) = seen.get(&status.value) {
                let file = Arc::clone(&report.file);
                report
                    .warning(
                        "repeated-status",
                        status.span.clone(),
                        format!("{} has a page already", status.value),
                    )
                    .related(&file, first.clone(), "this one is shown")
                    .hint("take one out");
            } else {
                seen.insert(status.value, status.span.clone());
            }
        }
        pages.extend(page.value.settle(&page.span, sources, report));
    }
    ErrorPages::new(pages)
}

impl ErrorPageFile {
    fn settle(&self, table: &Range<usize>, sources: &Sources, report: &mut Report) -> Option<ErrorPage> {
        let statuses = self.statuses(table, report);
        let answer_status = self.answer_status(report);
        let shows = self.shows(table, sources, report);
        Some(ErrorPage {
            place: report.place(table),
            statuses: statuses?,
            shows: shows?,
            answer_status: answer_status?,
        })
    }

    fn statuses(&self, table: &Range<usize>, report: &mut Report) -> Option<Vec<StatusCode>> {
        let Some(written) = &self.status else {
            report.missing(
                table,
                "status",
                "name the errors that it is for, such as `status = [404, 410]`",
            );
            return None;
        };
        if written.value.is_empty() {
            report
                .error(
                    "bad-status",
                    written.span.clone(),
                    "an error page is for at least one status",
                )
                .hint("name the errors, such as `[404, 410]`");
        }
        let mut statuses = Vec::with_capacity(written.value.len());
        for status in &written.value {
            match error_status(status.value) {
                Some(status) => statuses.push(status),
                None => {
                    report
                        .error(
                            "bad-status",
                            status.span.clone(),
                            format!("{} is not the status of an error", status.value),
                        )
                        .hint("errors are 400 to 599");
                }
            }
        }
        Some(statuses)
    }

    /// `None`: what is written can't be.
    fn answer_status(&self, report: &mut Report) -> Option<Option<StatusCode>> {
        let Some(written) = &self.answer_status else {
            return Some(None);
        };
        let status = match written.value {
            200 => Some(StatusCode::OK),
            other => error_status(other),
        };
        if status.is_none() {
            report
                .error(
                    "bad-status",
                    written.span.clone(),
                    format!("an error page can't be answered with {}", written.value),
                )
                .hint("write 200, or 400 to 599");
        }
        status.map(Some)
    }

    fn shows(&self, table: &Range<usize>, sources: &Sources, report: &mut Report) -> Option<Shows> {
        match (&self.page, &self.file) {
            (Some(page), None) => asked(page, report),
            (None, Some(file)) => shown(file, sources, report),
            (Some(page), Some(file)) => {
                let name = report.file.to_string();
                report
                    .error(
                        "page-and-file",
                        file.span.clone(),
                        "an error has a `page` or a `file`, not both",
                    )
                    .related(&name, page.span.clone(), "the page")
                    .hint("take one out");
                None
            }
            (None, None) => {
                if !report.was_removed(table, "file") {
                    let hint = "write `page = \"/errors/404.html\"`, or `file = \"errors/404.html\"`";
                    report.missing(table, "page", hint);
                }
                None
            }
        }
    }
}

fn error_status(written: i64) -> Option<StatusCode> {
    let status = u16::try_from(written)
        .ok()
        .filter(|status| (400..=599).contains(status))?;
    StatusCode::from_u16(status).ok()
}

fn asked(page: &Spot<String>, report: &mut Report) -> Option<Shows> {
    let text = page.value.as_str();
    let (path, _) = split_target(text);
    let good = text.is_ascii()
        && text.starts_with('/')
        && text
            .parse::<PathAndQuery>()
            .is_ok_and(|parsed| parsed.as_str() == text)
        && canonical(path, EncodedSlash::Refuse).is_ok();
    if !good || path == "/.banyan" || path.starts_with("/.banyan/") {
        report
            .error(
                "bad-path",
                page.span.clone(),
                format!("`{text}` is not a path that a route could take"),
            )
            .hint("it starts with `/`, such as `/errors/404.html`");
        return None;
    }
    Some(Shows::Page(Arc::from(text)))
}

fn shown(file: &Spot<String>, sources: &Sources, report: &mut Report) -> Option<Shows> {
    let name = file.value.as_str();
    if !is_beneath(name) {
        report
            .error(
                "bad-error-file",
                file.span.clone(),
                format!("`{name}` is not in the folder of this file"),
            )
            .hint("name a file in that folder or below it, such as `errors/404.html`");
        return None;
    }
    let Some(media_type) = media_type(name) else {
        report
            .error(
                "bad-error-file",
                file.span.clone(),
                format!("nobody knows what `{name}` is: its ending does not say"),
            )
            .hint("it ends in `.html`, `.htm`, `.txt`, `.json`, `.xml` or `.svg`");
        return None;
    };
    let text = match sources.page(&report.file, name) {
        Some(Ok(text)) => text,
        Some(Err(reason)) => {
            report
                .error(
                    "unreadable-error-file",
                    file.span.clone(),
                    format!("`{name}` can't be read: {reason}"),
                )
                .hint("it lies beside this file, has at most 256 KiB and is UTF-8");
            return None;
        }
        None => {
            report
                .error(
                    "unreadable-error-file",
                    file.span.clone(),
                    format!("`{name}` was not read"),
                )
                .hint(format!(
                    "write its name as it is, without a variable; one file names at most {FILES_NAMED_MAX}"
                ));
            return None;
        }
    };
    Some(Shows::File(PageFile {
        name: Arc::from(name),
        media_type,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }))
}

#[cfg(test)]
mod tests {
    use super::{files_named, is_beneath};

    #[test]
    fn files_of_the_site_and_of_routes_are_found() {
        let text = "[[errors]]\nfile = \"a.html\"\n[[routes]]\n[[routes.errors]]\nfile = \"b/c.html\"\n\
            [[routes.errors]]\npage = \"/x\"\n[[routes]]\nerrors = [{ file = \"a.html\" }, { file = 7 }, 7]\n";
        assert_eq!(files_named(text), ["a.html", "b/c.html"]);
        for other in [
            "",
            "errors",
            "errors = 1\nroutes = 2\n",
            "routes = [1, { errors = { file = \"x\" } }]\n",
        ] {
            assert!(files_named(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn names_stay_in_their_folder() {
        for name in ["404.html", "errors/404.html", "..data/404.html", "./404.html"] {
            assert_eq!(is_beneath(name), !name.starts_with("./"), "{name}");
        }
        for name in [
            "",
            "/etc/passwd.html",
            "../banyan.html",
            "errors/../../x.html",
            ".",
            "a\0.html",
        ] {
            assert!(!is_beneath(name), "{name}");
        }
    }
}
