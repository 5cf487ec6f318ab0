//! What is done to answers: response headers policies in Banyan's words.

use http::HeaderName;

use super::{
    finding::{Findings, Severity},
    names::plain,
    plan::{Answer, Cors, Hsts},
    policy::{CorsShape, Policies, SecurityHeader, SecurityShape},
    shape::said,
};
use crate::policy::{
    cors::{ORIGINS_MAX, Origin},
    response::{RESPONSE_BYTES_MAX, RESPONSE_FIELDS_MAX, Touch, why_not},
};

/// What a behaviour's response headers policy says. An unknown one does nothing, and is told.
pub(super) fn answer(
    behaviour: usize,
    id: Option<&str>,
    policies: &Policies,
    findings: &mut Findings,
) -> Answer {
    let Some(id) = id else { return Answer::default() };
    let Some(policy) = policies.response.get(id) else {
        findings.at(
            behaviour,
            Severity::Warning,
            "unknown-policy",
            format!(
                "response headers policy `{}` is not in what was given: none of its headers is set",
                plain(id)
            ),
            "give it with --policies (`aws cloudfront get-response-headers-policy`), and import again",
        );
        return Answer::default();
    };
    let config = &policy.config;
    let mut answer = Answer {
        policy: policy.name.clone(),
        ..Answer::default()
    };
    for one in config.remove_headers_config.items() {
        let name = said(&one.header).unwrap_or_default();
        if touchable(behaviour, name, Touch::Remove, findings) && usable(behaviour, name, "", findings) {
            answer.remove.push(name.to_owned());
        }
    }
    if let Some(cors) = config.cors_config.get() {
        answer.cors = cors_of(behaviour, cors, findings);
        findings.at(
            behaviour,
            Severity::Note,
            "preflight",
            "preflights were asked of the origin; Banyan answers them itself",
            "check what `[routes.cors]` allows",
        );
    }
    if let Some(security) = config.security_headers_config.get() {
        answer.security(behaviour, security, findings);
    }
    for one in config.custom_headers_config.items() {
        let name = said(&one.header).unwrap_or_default();
        let value = one.value.as_deref().unwrap_or_default().trim().to_owned();
        let wins = one.wins.unwrap_or_default();
        let touch = if wins { Touch::Set } else { Touch::Default };
        if touchable(behaviour, name, touch, findings) && usable(behaviour, name, &value, findings) {
            answer.put(name, value, wins);
        }
    }
    answer.weigh(behaviour, findings);
    let timing = config.server_timing_headers_config.get();
    answer.server_timing = timing
        .filter(|timing| timing.enabled.unwrap_or_default())
        .map(|timing| (timing.sampling_rate.unwrap_or_default() * 1_000.0).round() / 1_000.0)
        .map(|percent| percent.clamp(0.0, 100.0))
        .filter(|percent| *percent > 0.0);
    answer
}

/// Whether a field can be sent at all. Its value is not told: it may be one that nobody should see.
fn usable(behaviour: usize, name: &str, value: &str, findings: &mut Findings) -> bool {
    let visible = value.bytes().all(|b| matches!(b, b' ' | b'\t' | 0x21..=0x7e));
    let fine = visible && HeaderName::from_bytes(name.as_bytes()).is_ok();
    if !fine {
        findings.at(
            behaviour,
            Severity::Error,
            "bad-header",
            format!(
                "a response headers policy has a header `{}` that can't be sent",
                plain(name)
            ),
            "mend the policy",
        );
    }
    fine
}

/// Whether a route may touch a field of answers in this way.
fn touchable(behaviour: usize, name: &str, touch: Touch, findings: &mut Findings) -> bool {
    let field = HeaderName::from_bytes(name.as_bytes());
    let Some((why, instead)) = field.ok().and_then(|field| why_not(&field, touch)) else {
        return true;
    };
    let verb = if touch == Touch::Remove { "removes" } else { "sets" };
    findings.at(
        behaviour,
        Severity::Warning,
        "fixed-header",
        format!(
            "a response headers policy {verb} `{}`, which no route does, since it {why}",
            plain(name)
        ),
        if touch == Touch::Remove {
            "nothing, unless it is missed"
        } else {
            instead
        },
    );
    false
}

/// Origins as browsers send them: where a name stands alone, it is the name of a site that is asked over TLS.
fn origins(behaviour: usize, written: &[String], findings: &mut Findings) -> Vec<String> {
    if written.iter().any(|site| site == "*") {
        return vec!["*".to_owned()]; // everybody; beside it no other means anything
    }
    let mut origins: Vec<String> = Vec::with_capacity(written.len());
    for site in written {
        let has_scheme = site.contains("://") || site == "null";
        let origin = if has_scheme {
            site.clone()
        } else {
            format!("https://{site}")
        };
        if let Err(why) = Origin::parse(&origin) {
            findings.at(
                behaviour,
                Severity::Warning,
                "cors-origin",
                format!("CORS let `{}` in, which is left out: {why}", plain(site)),
                "name the sites that are meant, such as `https://app.example.com`",
            );
            continue;
        }
        if !has_scheme {
            findings.at(
                behaviour,
                Severity::Warning,
                "cors-scheme",
                format!(
                    "CORS let `{}` in without a scheme; `{}` is written",
                    plain(site),
                    plain(&origin)
                ),
                "add the same with `http://` if a site without TLS needs it",
            );
        }
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    if origins.len() > ORIGINS_MAX {
        findings.at(
            behaviour,
            Severity::Error,
            "too-many",
            format!(
                "CORS lets {} sites in; a route may have {ORIGINS_MAX}",
                origins.len()
            ),
            "say more with `*.`, or take some out",
        );
    }
    origins
}

fn cors_of(behaviour: usize, cors: &CorsShape, findings: &mut Findings) -> Option<Cors> {
    let origins = origins(behaviour, cors.access_control_allow_origins.items(), findings);
    if origins.is_empty() {
        return None; // nobody is let in that would not be without
    }
    let methods = methods(cors.access_control_allow_methods.items());
    let headers = cors.access_control_allow_headers.items().to_vec();
    let expose = cors.access_control_expose_headers.items().to_vec();
    for name in methods.iter().chain(&headers).chain(&expose) {
        usable(behaviour, name, "", findings);
    }
    let asked = cors.access_control_allow_credentials.unwrap_or_default();
    let everything = [&origins, &methods, &headers, &expose]
        .into_iter()
        .flatten()
        .any(|entry| entry == "*" || entry == "null");
    if asked && everything {
        findings.at(
            behaviour,
            Severity::Warning,
            "cors-credentials",
            "CORS allowed cookies together with `*`, which would let any site ask as the visitor: cookies are not allowed",
            "name sites, methods and headers one by one, then write `credentials = true`",
        );
    }
    Some(Cors {
        origins,
        methods,
        headers,
        expose,
        credentials: asked && !everything,
        max_age: cors.access_control_max_age_sec.0,
        wins: cors.origin_override.unwrap_or_default(),
    })
}

/// `ALL` stands for the seven.
fn methods(written: &[String]) -> Vec<String> {
    if written.iter().any(|method| method == "ALL") {
        let all = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];
        all.map(str::to_owned).to_vec()
    } else {
        written.to_vec()
    }
}

impl Answer {
    fn put(&mut self, name: &str, value: String, wins: bool) {
        let list = if wins { &mut self.set } else { &mut self.default };
        // a field stands in a list once; AWS takes no policy that has it twice
        if !list.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            list.push((name.to_owned(), value));
        }
    }

    /// Whether it is more than a route may do.
    fn weigh(&self, behaviour: usize, findings: &mut Findings) {
        let lists = [self.remove.len(), self.set.len(), self.default.len()];
        let own = self.set.iter().chain(&self.default);
        let bytes: usize = own.map(|(name, value)| name.len() + value.len()).sum();
        if lists.into_iter().any(|length| length > RESPONSE_FIELDS_MAX) || bytes > RESPONSE_BYTES_MAX {
            findings.at(
                behaviour,
                Severity::Error,
                "too-many",
                format!(
                    "response headers policy `{}` has more than {RESPONSE_FIELDS_MAX} fields, or more than {RESPONSE_BYTES_MAX} bytes of them",
                    plain(&self.policy)
                ),
                "leave some to the backend: clients refuse answers with large heads",
            );
        }
    }

    fn security(&mut self, behaviour: usize, security: &SecurityShape, findings: &mut Findings) {
        let wins = |header: &SecurityHeader| header.wins.unwrap_or_default();
        let mut fields = Vec::new();
        if let Some(header) = security.content_security_policy.get() {
            let value = header.content_security_policy.clone().unwrap_or_default();
            fields.push(("Content-Security-Policy", value, wins(header)));
        }
        if let Some(header) = security.content_type_options.get() {
            fields.push(("X-Content-Type-Options", "nosniff".to_owned(), wins(header)));
        }
        if let Some(header) = security.frame_options.get() {
            let value = header.frame_option.clone().unwrap_or_default();
            fields.push(("X-Frame-Options", value, wins(header)));
        }
        if let Some(header) = security.referrer_policy.get() {
            let value = header.referrer_policy.clone().unwrap_or_default();
            fields.push(("Referrer-Policy", value, wins(header)));
        }
        if let Some(header) = security.xss_protection.get() {
            fields.push(("X-XSS-Protection", xss_protection(header), wins(header)));
        }
        for (name, value, wins) in fields {
            let value = value.trim().to_owned();
            if usable(behaviour, name, &value, findings) {
                self.put(name, value, wins);
            }
        }
        self.hsts = security.strict_transport_security.get().map(|header| Hsts {
            max_age: header.access_control_max_age_sec.0.unwrap_or_default(),
            subdomains: header.include_subdomains.unwrap_or_default(),
            preload: header.preload.unwrap_or_default(),
            wins: wins(header),
        });
        self.take_preset();
    }

    /// What AWS's own policy says is Banyan's preset, word for word.
    fn take_preset(&mut self) {
        let has = |list: &[(String, String)], name: &str, value: &str| {
            list.iter().any(|(own, said)| own == name && said == value)
        };
        let hsts = Hsts {
            max_age: PRESET_AGE,
            subdomains: false,
            preload: false,
            wins: false,
        };
        let whole = self.set.len() == 1
            && has(&self.set, "X-Content-Type-Options", "nosniff")
            && self.default.len() == PRESET.len()
            && PRESET.iter().all(|(name, value)| has(&self.default, name, value))
            && self.hsts.as_ref() == Some(&hsts);
        if whole {
            self.preset = true;
            self.set.clear();
            self.default.clear();
            self.hsts = None;
        }
    }

    /// For the report: what is done, in a few words.
    pub(super) fn in_short(&self) -> String {
        let mut parts = Vec::new();
        let names = |list: &[(String, String)]| -> Vec<String> {
            list.iter().map(|(name, _)| name.clone()).collect()
        };
        let mut say = |verb: &str, list: Vec<String>| {
            if !list.is_empty() {
                parts.push(format!("{verb} {}", list.join(", ")));
            }
        };
        say("removes", self.remove.clone());
        if self.preset {
            say("standard", vec!["security headers".to_owned()]);
        }
        say("sets", names(&self.set));
        say("sets where the backend doesn't", names(&self.default));
        if let Some(hsts) = &self.hsts {
            let when = if hsts.wins {
                ""
            } else {
                " where the backend doesn't"
            };
            say("HSTS", vec![format!("{} s{when}", hsts.max_age)]);
        }
        if let Some(cors) = &self.cors {
            say("CORS for", cors.origins.clone());
        }
        if let Some(percent) = self.server_timing {
            say("Server-Timing on", vec![format!("{percent} %")]);
        }
        parts.join("; ")
    }
}

fn xss_protection(header: &SecurityHeader) -> String {
    if !header.protection.unwrap_or_default() {
        return "0".to_owned();
    }
    let mut value = "1".to_owned();
    if header.mode_block.unwrap_or_default() {
        value.push_str("; mode=block");
    }
    if let Some(address) = said(&header.report_uri) {
        value.push_str("; report=");
        value.push_str(address);
    }
    value
}

/// What `security = "standard"` sends where the backend doesn't, beside `nosniff` and HSTS for a year.
const PRESET: [(&str, &str); 3] = [
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("X-XSS-Protection", "1; mode=block"),
];

/// A year, in seconds.
const PRESET_AGE: u64 = 31_536_000;
