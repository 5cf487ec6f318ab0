//! What a route says of requests, as it is written and what that means: https, methods, the path that is forwarded, a redirect.

use std::sync::Arc;

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    report::{Report, nearest, suggest},
    routes::RouteFile,
    settings::TargetSettings,
    target::Target,
    values::Spot,
};
use crate::{
    gate::Auth,
    policy::{
        Redirect, RequestPolicy,
        redirect::STATUSES,
        request::{AllowedMethods, Https, MethodRefusal, PathChange, PathError, check_path, check_prefix},
    },
    route::{PathRule, never_starts_with},
};

/// What a route wants of requests over plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum HttpsFile {
    /// They are sent to https.
    Redirect,
    /// They are refused.
    Only,
    /// They are served.
    Allow,
}

/// `redirect = { to = "/new/{rest}", status = 301 }`: an answer instead of a backend.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RedirectFile {
    /// A path on the same host, or an address with `https://`. `{name}` is what it stands for in the route's path, `{rest}` what its
    /// last `/*` takes. The request's query is kept.
    #[schemars(required, extend("x-required" = true))]
    to: Option<Spot<String>>,
    /// 301, 302, 303, 307 or 308.
    status: Spot<u16>,
}

impl Default for RedirectFile {
    fn default() -> Self {
        Self {
            to: None,
            // browsers keep 301 and 308 for ever: who wants that says it
            status: Spot {
                value: StatusCode::FOUND.as_u16(),
                span: 0..0,
            },
        }
    }
}

/// Everything but where it leads.
pub(super) fn policy(
    file: &RouteFile,
    path: Option<&PathRule>,
    auth: Auth,
    report: &mut Report,
) -> RequestPolicy {
    if file.redirect.is_some() {
        without_backend(file, report);
    }
    RequestPolicy {
        https: https(file, auth, report),
        methods: methods(file, report),
        path: path_change(file, path, report),
    }
}

fn https(file: &RouteFile, auth: Auth, report: &mut Report) -> Https {
    let Some(written) = &file.https else {
        return Https::default();
    };
    if written.value == HttpsFile::Allow && auth != Auth::None {
        report
            .error(
                "auth-over-plain-http",
                written.span.clone(),
                "this route asks who someone is, and over plain HTTP anyone on the way could read the answer",
            )
            .hint("write `auth = \"none\"`, or leave `https` at `\"redirect\"` or `\"only\"`");
    }
    match written.value {
        HttpsFile::Redirect => Https::Redirect,
        HttpsFile::Only => Https::Only,
        HttpsFile::Allow => Https::Allow,
    }
}

fn methods(file: &RouteFile, report: &mut Report) -> Option<AllowedMethods> {
    let refused = file.refused_method_status.as_ref().map(|status| {
        if file.allowed_methods.is_none() {
            report
                .error(
                    "refused-status-without-methods",
                    status.span.clone(),
                    "`refused_method_status` says how methods outside of `allowed_methods` are refused, and there is none",
                )
                .hint("write `allowed_methods = [\"GET\", \"HEAD\"]`, or take it out");
        }
        match status.value {
            403 => MethodRefusal::Forbidden,
            405 => MethodRefusal::NotAllowed,
            other => {
                report
                    .error("bad-status", status.span.clone(), format!("a method is not refused with {other}"))
                    .hint("write 405, or 403 as CloudFront answers");
                MethodRefusal::default()
            }
        }
    });
    let written = file.allowed_methods.as_ref()?;
    if written.value.is_empty() {
        report
            .error(
                "no-methods",
                written.span.clone(),
                "an empty list of methods would let nothing through",
            )
            .hint("name the methods, or take `allowed_methods` out");
    }
    let methods = written
        .value
        .iter()
        .filter_map(|method| method_of(method, report));
    Some(AllowedMethods {
        methods: methods.collect(),
        refused: refused.unwrap_or_default(),
    })
}

fn path_change(file: &RouteFile, path: Option<&PathRule>, report: &mut Report) -> PathChange {
    let strip = checked("strip_prefix", &file.strip_prefix, check_prefix, report);
    let add = checked("add_prefix", &file.add_prefix, check_prefix, report);
    let rewrite = checked("rewrite", &file.rewrite, check_path, report);
    if let (Some(spot), Some(strip), Some(path)) = (&file.strip_prefix, strip, path)
        && never_starts_with(path, strip)
    {
        let what = format!("no path of `{}` begins with `{strip}`", path.as_str());
        report
            .error("useless-strip-prefix", spot.span.clone(), what)
            .hint("name the first segments of the route's path, or take `strip_prefix` out");
    }
    let prefix = file.strip_prefix.as_ref().or(file.add_prefix.as_ref());
    if let (Some(rewrite), Some(prefix)) = (&file.rewrite, prefix) {
        let name = report.file.to_string();
        report
            .error(
                "rewrite-and-prefix",
                rewrite.span.clone(),
                "`rewrite` replaces the whole path, so there is no prefix to strip or add",
            )
            .related(&name, prefix.span.clone(), "the prefix")
            .hint("take one of the two out");
    }
    match (rewrite, strip, add) {
        (Some(whole), ..) => PathChange::Replaced(whole.into()),
        (None, None, None) => PathChange::Kept,
        (None, strip, add) => PathChange::Begins {
            strip: strip.map(Into::into),
            add: add.map(Into::into),
        },
    }
}

type Check = fn(&str) -> Result<(), PathError>;

fn checked<'f>(
    key: &str,
    text: &'f Option<Spot<String>>,
    check: Check,
    report: &mut Report,
) -> Option<&'f str> {
    let spot = text.as_ref()?;
    if let Err(reason) = check(&spot.value) {
        let what = format!("`{}` is no `{key}`: {reason}", spot.value);
        report.error("bad-forwarded-path", spot.span.clone(), what);
        return None;
    }
    Some(spot.value.as_str())
}

/// What says something to a backend says nothing on a route that redirects.
fn without_backend(file: &RouteFile, report: &mut Report) {
    let spans = [
        ("flags", file.flags.first().map(|flag| &flag.span)),
        ("strip_prefix", file.strip_prefix.as_ref().map(|spot| &spot.span)),
        ("add_prefix", file.add_prefix.as_ref().map(|spot| &spot.span)),
        ("rewrite", file.rewrite.as_ref().map(|spot| &spot.span)),
    ];
    for (key, span) in spans {
        let Some(span) = span else { continue };
        report
            .error(
                "redirect-asks-nobody",
                span.clone(),
                format!("a redirect asks no backend, so `{key}` says nothing to anyone"),
            )
            .hint(format!("take `{key}` out"));
    }
}

/// The target of a route that redirects.
pub(super) fn redirect(
    route: &RouteFile,
    written: &Spot<RedirectFile>,
    path: Option<&PathRule>,
    report: &mut Report,
) -> Option<Target> {
    if route.backend.is_some() || route.flag.is_some() || route.backends.is_some() {
        let what = "a route redirects or leads to a backend, not both";
        report
            .error("two-targets", written.span.clone(), what)
            .hint("take `redirect` out, or `backend`, `flag` and `backends`");
    }
    let file = &written.value;
    let status = STATUSES
        .into_iter()
        .find(|status| status.as_u16() == file.status.value);
    if status.is_none() {
        let what = format!("{} is not the status of a redirect", file.status.value);
        report
            .error("bad-status", file.status.span.clone(), what)
            .hint("301 and 308 are for good, 302, 303 and 307 for now; 307 and 308 keep the method");
    }
    let Some(to) = &file.to else {
        report.missing(
            &written.span,
            "to",
            "write where to, such as `to = \"https://www.example.com/{rest}\"`",
        );
        return None;
    };
    let redirect = Redirect::parse(&to.value, status?, path?)
        .map_err(|reason| {
            let what = format!("nobody can be redirected to this: {reason}");
            report.error("bad-redirect", to.span.clone(), what);
        })
        .ok()?;
    Some(Target {
        settings: TargetSettings::Redirect(Arc::new(redirect)),
        backends: Vec::new(),
        variants: Vec::new(),
    })
}

/// A method as it must be written, `None` when it isn't.
pub(super) fn method_of(method: &Spot<String>, report: &mut Report) -> Option<Method> {
    let parsed = Method::from_bytes(method.value.as_bytes()).ok();
    let good = parsed.filter(|method| !method.as_str().bytes().any(|b| b.is_ascii_lowercase()));
    if good.is_none() {
        report
            .error(
                "bad-method",
                method.span.clone(),
                format!("`{}` is not a method", method.value),
            )
            .hint_if(suggest(&method.value, METHODS));
    } else if let Some(meant) = nearest(&method.value, METHODS).filter(|meant| *meant != method.value) {
        report
            .warning(
                "odd-method",
                method.span.clone(),
                format!("`{}` is not a usual method", method.value),
            )
            .hint(format!("did you mean `{meant}`?"));
    }
    good
}

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY",
];
