//! One behaviour becomes one route, and a part of the report.

use http::HeaderName;

use super::{
    Accepted, Wishes, answer,
    backend::Backends,
    caching::{Caching, compress},
    finding::{Findings, Severity},
    forward::forward,
    kept, keys,
    names::{Names as Taken, plain},
    plan::{Choice, Forward, Https, Route, Told},
    protect::{KeyGroups, Whole, asks_for_signatures},
    read::Found,
    shape::{Behaviour, said, unknown},
};
use crate::{
    policy::forward::{Names, Of, always_passes},
    route::Pattern,
};

/// What a behaviour is looked at with.
pub(super) struct Around<'a, 'd> {
    pub(super) found: &'a Found,
    pub(super) wishes: &'a Wishes,
    pub(super) whole: &'a Whole,
    /// Whether several names share what is kept of answers.
    pub(super) shared: bool,
    pub(super) backends: &'a mut Backends<'d>,
    pub(super) names: &'a mut Taken,
    pub(super) key_groups: &'a mut KeyGroups,
    pub(super) findings: &'a mut Findings,
}

/// The route of a behaviour, without its order. `None` when it can't be written; the findings say why.
pub(super) fn route(
    number: usize,
    behaviour: &Behaviour,
    default: bool,
    around: &mut Around<'_, '_>,
) -> Option<(Route, Told)> {
    let pattern = pattern(number, behaviour, default, around)?;
    let caching = Caching::of(number, behaviour, around);
    let (mut forward, host) = forward(caching.settings());
    viewer_fields(number, &mut forward.viewer, around);
    always(number, &mut forward, around);
    names(number, &forward, around);
    let target = said(&behaviour.target_origin_id).unwrap_or_default();
    let led = around
        .backends
        .target(number, target, host, around.names, around.findings)?;
    let protected = around.key_groups.protect(
        number,
        behaviour,
        around.whole,
        &around.found.policies,
        around.findings,
    );
    let answer = answer::answer(
        number,
        said(&behaviour.response_headers_policy_id),
        &around.found.policies,
        around.findings,
    );
    let cached = caching.told(behaviour);
    let kept = kept::kept(number, behaviour, &caching, (&forward, host), around);
    let compress = compress(number, behaviour, &caching, around);
    functions(number, behaviour, around);
    extras(number, behaviour, around);
    let https = https(number, behaviour, around);
    let methods = methods(behaviour);
    let server = around.backends.get(&led.backend).map(|backend| {
        let path = &backend.path;
        format!("{}{path}", backend.server)
    });
    let told = Told {
        number,
        pattern: pattern.clone().unwrap_or_else(|| "*".to_owned()),
        default,
        target: plain(target),
        backend: led.backend.clone(),
        server: server.unwrap_or_default(),
        failover: led.failover.clone(),
        https,
        methods: methods.clone(),
        host,
        forward: forward.clone(),
        added: Vec::new(),
        cached,
        signed: asks_for_signatures(behaviour),
        protected: protected.told,
        answers: answers(&answer.in_short(), &compress),
        findings: Vec::new(),
    };
    let route = Route {
        behaviour: number,
        pattern,
        order: None,
        backend: led.backend,
        rewrite: None,
        failover: led.failover,
        https,
        methods,
        forward,
        kept,
        answer,
        compress,
        signed: protected.signed,
        geo: around.whole.geo.clone(),
    };
    Some((route, told))
}

fn answers(headers: &str, compress: &[&str]) -> String {
    let mut parts = Vec::new();
    if !headers.is_empty() {
        parts.push(headers.to_owned());
    }
    if !compress.is_empty() {
        parts.push(format!("compressed with {}", compress.join(", ")));
    }
    parts.join("; ")
}

/// Tells something of one behaviour.
pub(super) fn warn(
    findings: &mut Findings,
    number: usize,
    kind: &'static str,
    what: impl Into<String>,
    hint: impl Into<String>,
) {
    findings.at(number, Severity::Warning, kind, what, hint);
}

/// `Some(None)`: the default behaviour, which takes what is left.
fn pattern(
    number: usize,
    behaviour: &Behaviour,
    default: bool,
    around: &mut Around<'_, '_>,
) -> Option<Option<String>> {
    if default {
        return Some(None);
    }
    let text = behaviour
        .path_pattern
        .as_deref()
        .unwrap_or_default()
        .replace("&amp;", "&");
    match Pattern::parse(&text) {
        Ok(_) if text.trim_start_matches('/').starts_with(RESERVED) => {
            around.findings.at(
                number,
                Severity::Error,
                "reserved-path",
                format!("`{}`: paths under `/.banyan/` are Banyan's own", plain(&text)),
                "move what is there to another path",
            );
            None
        }
        Ok(_) => Some(Some(text)),
        Err(why) => {
            let what = format!("`{}` is not a path pattern: {why}", plain(&text));
            around.findings.at(
                number,
                Severity::Error,
                "bad-pattern",
                what,
                "mend it in the file",
            );
            None
        }
    }
}

fn https(number: usize, behaviour: &Behaviour, around: &mut Around<'_, '_>) -> Https {
    match said(&behaviour.viewer_protocol_policy) {
        Some("redirect-to-https") => Https::Redirect,
        Some("https-only") => Https::Only,
        Some("allow-all") => Https::Allow,
        _ => {
            warn(
                around.findings,
                number,
                "no-protocol-policy",
                "ViewerProtocolPolicy is missing or unknown; plain HTTP gets 403",
                "write `https = \"redirect\"` or `\"allow\"` if that is meant",
            );
            Https::Only
        }
    }
}

/// The three sets, in the order in which people name them.
fn methods(behaviour: &Behaviour) -> Vec<String> {
    let listed = &behaviour.allowed_methods.items;
    let all = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"];
    let known = |method: &&str| {
        if listed.is_empty() {
            matches!(*method, "GET" | "HEAD")
        } else {
            listed.iter().any(|one| one == method)
        }
    };
    let methods: Vec<String> = all.into_iter().filter(known).map(str::to_owned).collect();
    if methods.is_empty() {
        return ["GET", "HEAD"].map(str::to_owned).to_vec();
    }
    methods
}

/// Fields that no list keeps back: a policy may have done so.
fn always(number: usize, forward: &mut Forward, around: &mut Around<'_, '_>) {
    let Choice::Except(list) = &mut forward.headers else {
        return;
    };
    let passes =
        |name: &String| HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| always_passes(&name));
    let told: Vec<String> = list
        .iter()
        .filter(|name| passes(name))
        .map(|name| plain(name))
        .collect();
    if told.is_empty() {
        return;
    }
    list.retain(|name| !passes(name));
    if list.is_empty() {
        forward.headers = Choice::All;
    }
    warn(
        around.findings,
        number,
        "always-forwarded",
        format!(
            "CloudFront kept {} from the origin; in Banyan they reach the backend, since without them a request means something else",
            told.join(", ")
        ),
        "nothing, unless the backend must not see them",
    );
}

/// What a policy names must be names; AWS would not have taken others.
fn names(number: usize, forward: &Forward, around: &mut Around<'_, '_>) {
    let choices = [
        (&forward.headers, Of::Headers, "headers"),
        (&forward.cookies, Of::Cookies, "cookies"),
        (&forward.query, Of::Query, "parameters"),
    ];
    for (choice, of, noun) in choices {
        let (Choice::Only(list) | Choice::Except(list)) = choice else {
            continue;
        };
        if let Err((at, why)) = Names::compile(of, list) {
            let name = list.get(at).map_or("", String::as_str);
            around.findings.at(
                number,
                Severity::Error,
                "bad-name",
                format!("`{}` can't stand in a list of {noun}: {why}", plain(name)),
                "mend the policy",
            );
        }
    }
}

/// Fields about the visitor: those that Banyan doesn't know, and those that need a database which isn't there, are left out.
fn viewer_fields(number: usize, viewer: &mut Vec<String>, around: &mut Around<'_, '_>) {
    let has_database = around.wishes.geo_database.is_some();
    let (mut unknown, mut without) = (Vec::new(), Vec::new());
    viewer.retain_mut(|name| match keys::viewer_field(name) {
        Some((known, needs_database)) if has_database || !needs_database => {
            known.clone_into(name);
            true
        }
        Some((known, _)) => {
            without.push(known);
            false
        }
        None => {
            unknown.push(plain(name));
            false
        }
    });
    if !without.is_empty() {
        warn(
            around.findings,
            number,
            "no-database",
            format!(
                "the backend is not told {}: without a database nobody knows",
                without.join(", ")
            ),
            "import again with `--geo-database FILE`",
        );
    }
    if !unknown.is_empty() {
        warn(
            around.findings,
            number,
            "viewer-header",
            format!(
                "the backend is not told {}: Banyan doesn't know it",
                unknown.join(", ")
            ),
            "check what the backend does without",
        );
    }
}

// === what has no counterpart ===

fn functions(number: usize, behaviour: &Behaviour, around: &mut Around<'_, '_>) {
    let kinds = [
        ("function", &behaviour.function_associations.items),
        ("Lambda function", &behaviour.lambda_function_associations.items),
    ];
    for (kind, functions) in kinds {
        for function in functions {
            let arn = said(&function.arn).unwrap_or("without a name");
            let name = arn.rsplit_once(":function:").map_or(arn, |(_, name)| name);
            let name = name.rsplit_once(":function/").map_or(name, |(_, name)| name);
            let about = around.found.policies.functions.get(arn);
            let about = about.map_or_else(String::new, |about| format!(" ({})", plain(about)));
            let event = plain(said(&function.event_type).unwrap_or("an unknown event"));
            warn(
                around.findings,
                number,
                "function",
                format!(
                    "{kind} `{}`{about} at {event} is not run: it may have rewritten, answered, refused, or chosen another origin",
                    plain(name)
                ),
                "read it; say the same with `rewrite`, `strip_prefix`, `redirect`, `[routes.response]`, `auth` or a flag, or do it in the backend",
            );
        }
    }
}

fn extras(number: usize, behaviour: &Behaviour, around: &mut Around<'_, '_>) {
    if said(&behaviour.field_level_encryption_id).is_some() {
        let accepted = around.wishes.accept(Accepted::ClearBodies);
        around.findings.at(
            number,
            if accepted { Severity::Warning } else { Severity::Error },
            "field-level-encryption",
            "CloudFront encrypted fields of bodies; Banyan sends bodies as they come, so the backend would get them in clear",
            if accepted {
                "accepted by `--accept clear-bodies`: let the backend encrypt before it keeps anything"
            } else {
                "let the backend take clear fields, then import with `--accept clear-bodies`"
            },
        );
    }
    let switched = behaviour.grpc_config.get().and_then(|grpc| grpc.enabled);
    if switched == Some(true) {
        warn(
            around.findings,
            number,
            "grpc",
            "CloudFront took gRPC here and nowhere else; Banyan passes it wherever the backend speaks HTTP/2",
            "check that the backend offers `h2` by ALPN, or write `h2c://`",
        );
    }
    if behaviour.smooth_streaming == Some(true) {
        warn(
            around.findings,
            number,
            "smooth-streaming",
            "SmoothStreaming is not carried over",
            "serve the media as HLS or DASH",
        );
    }
    if said(&behaviour.realtime_log_config_arn).is_some() {
        warn(
            around.findings,
            number,
            "real-time-log",
            "its real-time log goes nowhere any more",
            "the access log has a line for each request within seconds: ship that",
        );
    }
    let lost = unknown(&behaviour.others, &IDLE);
    if !lost.is_empty() {
        warn(
            around.findings,
            number,
            "not-carried-over",
            format!(
                "it has settings that Banyan has no counterpart of: {}",
                plain(&lost.join(", "))
            ),
            "read what they did, and whether something is missed without",
        );
    }
}

impl Choice {
    /// In a few words.
    pub(super) fn in_short(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::None => "none".to_owned(),
            Self::Only(list) => format!("only {}", plain(&list.join(", "))),
            Self::Except(list) => format!("all but {}", plain(&list.join(", "))),
        }
    }
}

/// What Banyan answers itself on every host.
const RESERVED: &str = ".banyan/";

/// Which methods' answers are kept matters only to a cache.
const IDLE: [&str; 1] = ["cached_methods"];
