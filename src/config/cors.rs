//! `[routes.cors]` as squads write it, and what it means.

use std::ops::Range;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    operator::text,
    report::Report,
    request::method_of,
    response::{AgeText, field_name},
    values::Spot,
};
use crate::policy::cors::{Cors, Listed, ORIGINS_MAX, Origin};

/// `[routes.cors]`: which other sites' scripts may read the answers. Preflights are answered here, before anybody asks who it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CorsFile {
    /// `https://app.example.com`; `https://*.example.org` for all names below; `null`; `["*"]` for every site.
    #[schemars(required, extend("x-required" = true))]
    origins: Option<Spot<Vec<Spot<String>>>>,
    /// The methods that scripts may use, or `["*"]`; `GET` also takes `HEAD`.
    methods: Vec<Spot<String>>,
    /// The fields that scripts may send beside those that any page may, or `["*"]` for all but `Authorization`.
    headers: Vec<Spot<String>>,
    /// The fields that scripts may read beside those that they always may, or `["*"]`.
    expose: Vec<Spot<String>>,
    /// Scripts may use the visitor's cookies.
    credentials: bool,
    /// How long a browser may keep the answer to a preflight. Without it: as long as it likes.
    max_age: Option<AgeText>,
    /// In place of what the backend says. If not, a backend that says anything of it decides alone.
    #[serde(rename = "override")]
    overrides: bool,
}

impl Default for CorsFile {
    fn default() -> Self {
        Self {
            origins: None,
            methods: ["GET", "HEAD", "POST"].map(text).into(), // what any page may send (the Fetch standard, section 2.2.1)
            headers: Vec::new(),
            expose: Vec::new(),
            credentials: false,
            max_age: None,
            overrides: true,
        }
    }
}

impl CorsFile {
    /// Judges the table. `None` when something in it keeps it from being used; then the report says so.
    pub(super) fn settle(&self, table: &Range<usize>, report: &mut Report) -> Option<Cors> {
        let origins = self.origins(table, report);
        let methods = listed(&self.methods, report, method_of);
        let headers = listed(&self.headers, report, field_name);
        let expose = listed(&self.expose, report, field_name);
        let origins = origins?;
        if self.credentials {
            self.check_credentials(report);
        }
        Some(Cors {
            origins,
            methods,
            headers,
            expose: said(&expose),
            credentials: self.credentials,
            max_age: self.max_age.map(|age| age.0),
            overrides: self.overrides,
        })
    }

    fn origins(&self, table: &Range<usize>, report: &mut Report) -> Option<Vec<Origin>> {
        let Some(written) = &self.origins else {
            report.missing(
                table,
                "origins",
                "name who may ask, such as `origins = [\"https://app.example.com\"]`",
            );
            return None;
        };
        let mut origins = Vec::with_capacity(written.value.len());
        for entry in &written.value {
            match Origin::parse(&entry.value) {
                Ok(origin) => origins.push(origin),
                Err(reason) => {
                    let what = format!("`{}` is not an origin: {reason}", entry.value);
                    report
                        .error("bad-origin", entry.span.clone(), what)
                        .hint("write it as a browser sends it, such as `https://app.example.com`");
                }
            }
        }
        let what = match (written.value.len(), origins.contains(&Origin::Any)) {
            (0, _) => Some("nobody is in this list".to_owned()),
            (2.., true) => Some("`*` is everybody; beside it no other entry means anything".to_owned()),
            (count, _) if count > ORIGINS_MAX => Some(format!(
                "there are {count} origins here; a route may have {ORIGINS_MAX}"
            )),
            _ => None,
        };
        if let Some(what) = what {
            report
                .error("bad-origins", written.span.clone(), what)
                .hint("name each site once, or all below a name as in `https://*.example.org`, or write `[\"*\"]` alone");
        }
        Some(origins)
    }

    /// With cookies, everyone's scripts could do what the visitor may; browsers therefore take a `*` for a name then.
    fn check_credentials(&self, report: &mut Report) {
        let origins = self.origins.iter().flat_map(|list| &list.value);
        let everyone = origins.filter(|entry| matches!(entry.value.as_str(), "*" | "null"));
        let lists = [&self.methods, &self.headers, &self.expose];
        let any = lists.into_iter().flatten().filter(|entry| entry.value == "*");
        for entry in everyone.chain(any) {
            let what = match entry.value.as_str() {
                "null" => "any page can have a script of `null` ask, which `credentials` must not go with",
                _ => "`*` stands for everything, which `credentials` must not go with",
            };
            report
                .error("cors-credentials", entry.span.clone(), what)
                .hint("name what is meant one by one, or take `credentials` out");
        }
    }
}

fn listed<T>(
    list: &[Spot<String>],
    report: &mut Report,
    read: impl Fn(&Spot<String>, &mut Report) -> Option<T>,
) -> Listed<T> {
    let (any, named): (Vec<_>, Vec<_>) = list.iter().partition(|entry| entry.value == "*");
    Listed {
        any: !any.is_empty(),
        named: named
            .into_iter()
            .filter_map(|entry| read(entry, report))
            .collect(),
    }
}

/// As `Access-Control-Expose-Headers` says it.
fn said(expose: &Listed<HeaderName>) -> Option<Box<str>> {
    let names: Vec<&str> = expose
        .named
        .iter()
        .map(HeaderName::as_str)
        .chain(expose.any.then_some("*"))
        .collect();
    (!names.is_empty()).then(|| names.join(", ").into())
}
