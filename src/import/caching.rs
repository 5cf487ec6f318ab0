//! What a behaviour kept of answers, and what it forwarded because of that: cache policies, or the older settings.

use super::{
    behaviour::{Around, warn},
    finding::{Findings, Severity},
    forward::Settings,
    names::plain,
    policy::{CachePolicy, DEFAULT_TTL, MAX_TTL, RequestPolicy},
    read::Found,
    shape::{Behaviour, ForwardedValues, said},
};

/// What a behaviour says of keeping answers.
pub(super) enum Caching<'p> {
    Policies {
        cache: Option<&'p CachePolicy>,
        request: Option<&'p RequestPolicy>,
    },
    Legacy(&'p ForwardedValues),
}

impl<'p> Caching<'p> {
    pub(super) fn of<'a: 'p>(number: usize, behaviour: &'p Behaviour, around: &mut Around<'a, '_>) -> Self {
        let found: &'a Found = around.found;
        let policies = &found.policies;
        let id = said(&behaviour.cache_policy_id);
        if let (None, Some(values)) = (id, behaviour.forwarded_values.get()) {
            warn(
                around.findings,
                number,
                "legacy-forwarding",
                "ForwardedValues send the origin every header that CloudFront doesn't remove; cache policies send only those that they name",
                "check `[routes.forward]`: list what the backend needs, and send no more",
            );
            return Self::Legacy(values);
        }
        if id.is_none() {
            warn(
                around.findings,
                number,
                "no-cache-policy",
                "neither a cache policy nor ForwardedValues say what is forwarded: no cookies, no query, no headers",
                "check `[routes.forward]`",
            );
        }
        let cache = id.and_then(|id| policies.cache.get(id));
        if let (Some(id), None) = (id, cache) {
            unknown_policy(number, "cache policy", id, "get-cache-policy", around.findings);
        }
        let asked = said(&behaviour.origin_request_policy_id);
        let request = asked.and_then(|id| policies.request.get(id));
        if let (Some(id), None) = (asked, request) {
            unknown_policy(
                number,
                "origin request policy",
                id,
                "get-origin-request-policy",
                around.findings,
            );
        }
        Self::Policies { cache, request }
    }

    pub(super) fn settings(&self) -> Settings<'p> {
        match *self {
            Self::Policies { cache, request } => Settings::Policies { cache, request },
            Self::Legacy(values) => Settings::Legacy(values),
        }
    }

    /// Shortest, usual and longest time that answers are kept, in seconds.
    pub(super) fn ttl(&self, behaviour: &Behaviour) -> (u64, u64, u64) {
        match self {
            Self::Policies { cache, .. } => cache.map_or((0, 0, 0), |cache| {
                (cache.min_ttl, cache.default_ttl, cache.max_ttl)
            }),
            Self::Legacy(values) if values.headers.items.iter().any(|name| name == "*") => (0, 0, 0),
            Self::Legacy(_) => {
                let min = behaviour.min_ttl.0.unwrap_or_default();
                (
                    min,
                    behaviour.default_ttl.0.unwrap_or_else(|| DEFAULT_TTL.max(min)),
                    behaviour.max_ttl.0.unwrap_or_else(|| MAX_TTL.max(min)),
                )
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Policies { cache, .. } => cache.map_or_else(String::new, |cache| plain(&cache.name)),
            Self::Legacy(values) if values.query_string_cache_keys.items.is_empty() => {
                "ForwardedValues".to_owned()
            }
            Self::Legacy(values) => {
                let keys = plain(&values.query_string_cache_keys.items.join(", "));
                format!("ForwardedValues, by the parameters {keys}")
            }
        }
    }

    pub(super) fn told(&self, behaviour: &Behaviour) -> String {
        let (min, usual, max) = self.ttl(behaviour);
        let name = self.name();
        if max == 0 {
            return if name.is_empty() {
                "no".to_owned()
            } else {
                format!("no ({name})")
            };
        }
        format!("{usual} s, from {min} to {max} as the origin says ({name})")
    }
}

fn unknown_policy(number: usize, noun: &str, id: &str, command: &str, findings: &mut Findings) {
    let id = plain(id);
    let what =
        format!("{noun} `{id}` is not in what was given: nothing that it may name is forwarded or kept");
    let hint = format!("give it with --policies (`aws cloudfront {command} --id {id}`), and import again");
    warn(findings, number, "unknown-policy", what, hint);
}

/// The encodings that `CloudFront` would have used. It compresses only what it may keep.
pub(super) fn compress(
    number: usize,
    behaviour: &Behaviour,
    caching: &Caching<'_>,
    around: &mut Around<'_, '_>,
) -> Vec<&'static str> {
    if behaviour.compress != Some(true) {
        return Vec::new();
    }
    let kept = caching.ttl(behaviour).2 > 0;
    let (brotli, gzip) = match caching {
        Caching::Policies { cache, .. } => cache.map_or((false, false), |cache| (cache.brotli, cache.gzip)),
        Caching::Legacy(_) => (false, true),
    };
    let encodings: Vec<&'static str> = [("br", brotli), ("gzip", gzip)]
        .into_iter()
        .filter(|(_, on)| *on && kept)
        .map(|(name, _)| name)
        .collect();
    if encodings.is_empty() {
        around.findings.at(
            number,
            Severity::Note,
            "never-compressed",
            "Compress is on, but CloudFront compresses only what its cache policy lets it keep and encode, so nothing here",
            "write `compress = true` if the backend doesn't compress by itself",
        );
    } else {
        warn(
            around.findings,
            number,
            "compress",
            "CloudFront compressed once and kept that; Banyan compresses each answer, those without Content-Length too",
            "let the backend compress, or watch the processor",
        );
    }
    encodings
}
