//! What a distribution says beside its behaviours: names, certificates, logs, error pages, and what Banyan has no counterpart of.

use super::{
    finding::Findings,
    list::List,
    names::plain,
    plan::ErrorPage,
    shape::{Distribution, ErrorResponse, said, unknown},
};
use crate::policy::request::check_path;

/// Tells what is not carried over of the whole distribution.
pub(super) fn tell(distribution: &Distribution, findings: &mut Findings) {
    state(distribution, findings);
    tls(distribution, findings);
    protection(distribution, findings);
    logs(distribution, findings);
    counts(distribution, findings);
    behaviour_counts(distribution, findings);
    let lost = unknown(&distribution.others, &IDLE);
    if !lost.is_empty() {
        findings.warning(
            "not-carried-over",
            format!(
                "the distribution has settings that Banyan has no counterpart of: {}",
                plain(&lost.join(", "))
            ),
            "read what they did, and whether something is missed without",
        );
    }
}

fn state(distribution: &Distribution, findings: &mut Findings) {
    if distribution.enabled == Some(false) {
        findings.warning(
            "disabled",
            "the distribution is switched off (`Enabled: false`); its routes would be served",
            "make sure that it is the one you mean",
        );
    }
    if distribution.staging == Some(true) {
        findings.warning(
            "staging",
            "this is a staging distribution (`Staging: true`)",
            "import the one that visitors use; try changes with a flag instead",
        );
    }
    if said(&distribution.continuous_deployment_policy_id).is_some() {
        findings.warning(
            "continuous-deployment",
            "a continuous deployment policy sends a share of the visitors to a staging distribution; that share is not carried over",
            "make a flag with a rollout of the same percentage, and name both backends on the routes that differ",
        );
    }
    for alias in &distribution.aliases.items {
        if alias.starts_with("*.") {
            findings.warning(
                "deep-alias",
                format!(
                    "the alias `{}` stood for names of any depth; in Banyan `*.` stands for one label",
                    plain(alias)
                ),
                "add names with more labels to `hosts`, if there are any",
            );
        }
    }
}

fn tls(distribution: &Distribution, findings: &mut Findings) {
    let Some(certificate) = distribution.viewer_certificate.get() else {
        return;
    };
    if certificate.default_certificate == Some(true) {
        findings.warning(
            "default-certificate",
            "visitors came by CloudFront's own name and certificate",
            "choose a host name, get a certificate for it, and put both into `hosts` and `certs/`",
        );
    } else {
        findings.note(
            "certificate",
            "the certificate is in AWS; its key can't be read from there",
            "put a certificate for these hosts, chain and key, into `certs/`",
        );
    }
    match said(&certificate.minimum_protocol_version) {
        Some(
            policy @ ("SSLv3" | "TLSv1" | "TLSv1_2016" | "TLSv1.1_2016" | "TLSv1.2_2018" | "TLSv1.2_2019"),
        ) => findings.warning(
            "old-tls",
            format!(
                "{policy} lets older visitors in; Banyan speaks TLS 1.2 with forward secrecy and 1.3 only"
            ),
            "look in the log for ssl-protocol and ssl-cipher of those who would be left out",
        ),
        Some(policy) if policy.starts_with("TLSv1.3") => findings.warning(
            "tls-floor",
            format!("{} asks for TLS 1.3; Banyan also speaks 1.2", plain(policy)),
            "nothing, unless a rule demands 1.3",
        ),
        _ => {}
    }
    if said(&certificate.ssl_support_method) == Some("vip") {
        findings.warning(
            "no-sni",
            "visitors without SNI got an address of their own (`vip`); Banyan goes by SNI",
            "nothing, unless such visitors are left",
        );
    }
}

fn protection(distribution: &Distribution, findings: &mut Findings) {
    if said(&distribution.web_acl_id).is_some() {
        findings.warning(
            "web-acl",
            "a web ACL (AWS WAF) judged requests before they came in; that protection is gone",
            "read its rules, and put another firewall in front where they matter",
        );
    }
    match said(&distribution.http_version) {
        Some("http3" | "http2and3") => findings.warning(
            "http3",
            "HTTP/3 was offered; Banyan speaks HTTP/1.1 and HTTP/2",
            "nothing: browsers fall back by themselves",
        ),
        Some("http1.1") => findings.note("http2", "HTTP/2 was switched off; Banyan offers it", "nothing"),
        _ => {}
    }
}

fn logs(distribution: &Distribution, findings: &mut Findings) {
    let Some(logging) = distribution.logging.get() else {
        return;
    };
    let bucket = said(&logging.bucket);
    if logging.enabled.unwrap_or_else(|| bucket.is_some()) {
        findings.warning(
            "log-bucket",
            format!(
                "logs went to the bucket `{}`; Banyan writes the same fields to standard output",
                plain(bucket.unwrap_or_default())
            ),
            "name a file with `to` under `[log]`, and ship it to where it is read",
        );
    }
}

fn wrong<T>(list: &List<T>) -> bool {
    list.miscounts()
}

fn tell_count(name: &str, wrong: bool, findings: &mut Findings) {
    if wrong {
        findings.warning(
            "quantity",
            format!("{name} says another Quantity than it has items"),
            "make sure that nobody cut the file",
        );
    }
}

fn counts(distribution: &Distribution, findings: &mut Findings) {
    let mut count = |name: &str, wrong: bool| tell_count(name, wrong, findings);
    count("Aliases", wrong(&distribution.aliases));
    count("Origins", wrong(&distribution.origins));
    count("OriginGroups", wrong(&distribution.origin_groups));
    count("CacheBehaviors", wrong(&distribution.cache_behaviors));
    count(
        "CustomErrorResponses",
        wrong(&distribution.custom_error_responses),
    );
    let geo = distribution
        .restrictions
        .get()
        .and_then(|all| all.geo_restriction.get());
    let countries = geo.is_some_and(|geo| {
        geo.quantity
            .is_some_and(|quantity| quantity != geo.items.items.len())
    });
    count("GeoRestriction", countries);
    for origin in &distribution.origins.items {
        let id = plain(said(&origin.id).unwrap_or_default());
        count(
            &format!("CustomHeaders of origin `{id}`"),
            wrong(&origin.custom_headers),
        );
    }
    for group in &distribution.origin_groups.items {
        let id = plain(said(&group.id).unwrap_or_default());
        let statuses = group
            .failover_criteria
            .get()
            .is_some_and(|all| wrong(&all.status_codes));
        count(
            &format!("Members or StatusCodes of group `{id}`"),
            statuses || wrong(&group.members),
        );
    }
}

fn behaviour_counts(distribution: &Distribution, findings: &mut Findings) {
    let mut count = |name: &str, wrong: bool| tell_count(name, wrong, findings);
    let default = distribution.default_cache_behavior.get();
    for behaviour in distribution.cache_behaviors.items.iter().chain(default) {
        let pattern = plain(said(&behaviour.path_pattern).unwrap_or("*"));
        count(
            &format!("AllowedMethods of `{pattern}`"),
            wrong(&behaviour.allowed_methods),
        );
        count(
            &format!("TrustedKeyGroups of `{pattern}`"),
            wrong(&behaviour.trusted_key_groups),
        );
        count(
            &format!("TrustedSigners of `{pattern}`"),
            wrong(&behaviour.trusted_signers),
        );
        count(
            &format!("LambdaFunctionAssociations of `{pattern}`"),
            wrong(&behaviour.lambda_function_associations),
        );
        count(
            &format!("FunctionAssociations of `{pattern}`"),
            wrong(&behaviour.function_associations),
        );
    }
}

/// The pages that stand for error answers, equal ones together. `apis` names behaviours that programs ask.
pub(super) fn error_pages(
    distribution: &Distribution,
    apis: &[String],
    findings: &mut Findings,
) -> Vec<ErrorPage> {
    let mut pages: Vec<ErrorPage> = Vec::new();
    let mut kept: Vec<String> = Vec::new();
    for response in &distribution.custom_error_responses.items {
        let code = response.error_code.0.and_then(|code| u16::try_from(code).ok());
        let Some(code) = code.filter(|code| (400..=599).contains(code)) else {
            findings.error(
                "bad-status",
                "a custom error response has no error code",
                "mend it in the file",
            );
            continue;
        };
        if let Some(seconds) = response.error_caching_min_ttl.0.filter(|seconds| *seconds > 0) {
            kept.push(format!("{code} for {seconds} s"));
        }
        if pages.iter().any(|one| one.status.contains(&code)) {
            findings.warning(
                "error-pages",
                format!("{code} has two error pages; the first is written"),
                "take one out",
            );
            continue;
        }
        let Some((page, answer_status)) = error_page(code, response, findings) else {
            continue;
        };
        let same = pages
            .iter_mut()
            .find(|one| one.page == page && one.answer_status == answer_status && answer_status.is_some());
        match same {
            Some(one) => one.status.push(code),
            None => pages.push(ErrorPage {
                status: vec![code],
                page: page.to_owned(),
                answer_status,
            }),
        }
    }
    if !kept.is_empty() {
        findings.note(
            "error-caching",
            format!("CloudFront kept errors: {}", kept.join(", ")),
            "nothing: of errors Banyan keeps 404, 405, 410, 414 and 501 on routes with a cache, for 10 s unless the backend says longer, and no others, so a backend that is back is seen at once",
        );
    }
    if !pages.is_empty() && !apis.is_empty() {
        findings.warning(
            "error-pages",
            format!(
                "error pages stood for errors of every path, APIs too ({}); Banyan gives them to browsers, never to who asks for JSON",
                apis.join(", ")
            ),
            "nothing, unless a program reads the page",
        );
    }
    pages
}

/// The page for an error, and the status that it is answered with, if that is another.
fn error_page<'r>(
    code: u16,
    response: &'r ErrorResponse,
    findings: &mut Findings,
) -> Option<(&'r str, Option<u16>)> {
    let page = said(&response.response_page_path)?;
    if check_path(page).is_err() || page.starts_with("/.banyan") {
        findings.error(
            "bad-path",
            format!("the error page `{}` is not a plain path", plain(page)),
            "it starts with `/`; mend it in the file",
        );
        return None;
    }
    let answer = response
        .response_code
        .0
        .filter(|status| *status != u64::from(code));
    let status = answer.and_then(|status| u16::try_from(status).ok());
    if answer.is_some() && !status.is_some_and(|status| status == 200 || (400..=599).contains(&status)) {
        findings.error(
            "bad-status",
            format!(
                "the error page for {code} is answered with {}",
                answer.unwrap_or_default()
            ),
            "it is 200, or 400 to 599; mend it in the file",
        );
        return None;
    }
    Some((page, status))
}

/// Keys that change nothing for an edge that isn't AWS's, and what Terraform adds.
const IDLE: [&str; 28] = [
    "CallerReference",
    "PriceClass",
    "IsIPV6Enabled",
    "ConnectionMode",
    "arn",
    "caller_reference",
    "connection_mode",
    "domain_name",
    "etag",
    "hosted_zone_id",
    "id",
    "in_progress_validation_batches",
    "is_ipv6_enabled",
    "last_modified_time",
    "logging_v1_enabled",
    "price_class",
    "region",
    "retain_on_delete",
    "status",
    "tags",
    "tags_all",
    "trusted_key_groups",
    "trusted_signers",
    "wait_for_deployment",
    "Id",
    "ARN",
    "Status",
    "DomainName",
];
