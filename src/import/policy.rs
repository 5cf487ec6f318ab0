//! What a distribution refers to by id: cache, origin request and response headers policies, key groups with their public keys.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::list::{Block, List, Number};

/// Which names a policy is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Selection {
    /// None of them.
    #[default]
    None,
    /// All of them.
    All,
    /// These.
    Only(Vec<String>),
    /// All but these.
    Except(Vec<String>),
    /// All that the visitor sent, and these of `CloudFront`'s own.
    AllAnd(Vec<String>),
}

/// What is in the cache key, and so forwarded, and how long answers are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CachePolicy {
    pub(super) name: String,
    /// Seconds.
    pub(super) min_ttl: u64,
    pub(super) default_ttl: u64,
    pub(super) max_ttl: u64,
    pub(super) gzip: bool,
    pub(super) brotli: bool,
    pub(super) headers: Selection,
    pub(super) cookies: Selection,
    pub(super) query: Selection,
}

/// What is forwarded beside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RequestPolicy {
    pub(super) name: String,
    pub(super) headers: Selection,
    pub(super) cookies: Selection,
    pub(super) query: Selection,
}

/// What is done to answers.
#[derive(Debug, Clone, Default)]
pub(super) struct ResponsePolicy {
    pub(super) name: String,
    pub(super) config: ResponseConfig,
}

/// A group of public keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyGroup {
    pub(super) name: String,
    /// Ids of public keys, which are the `Key-Pair-Id` of what they sign.
    pub(super) keys: Vec<String>,
}

/// All of them, by id.
#[derive(Debug, Default)]
pub(super) struct Policies {
    pub(super) cache: BTreeMap<String, CachePolicy>,
    pub(super) request: BTreeMap<String, RequestPolicy>,
    pub(super) response: BTreeMap<String, ResponsePolicy>,
    pub(super) key_groups: BTreeMap<String, KeyGroup>,
    /// PEM texts.
    pub(super) public_keys: BTreeMap<String, String>,
    /// What people wrote beside a function, by ARN.
    pub(super) functions: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CacheShape {
    #[serde(alias = "name")]
    name: Option<String>,
    #[serde(rename = "MinTTL", alias = "min_ttl")]
    min_ttl: Number,
    #[serde(rename = "DefaultTTL", alias = "default_ttl")]
    default_ttl: Number,
    #[serde(rename = "MaxTTL", alias = "max_ttl")]
    max_ttl: Number,
    #[serde(alias = "parameters_in_cache_key_and_forwarded_to_origin")]
    parameters_in_cache_key_and_forwarded_to_origin: Block<RequestShape>,
}

/// An origin request policy, and the part of a cache policy that says the same things.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RequestShape {
    #[serde(alias = "name")]
    name: Option<String>,
    #[serde(alias = "enable_accept_encoding_gzip")]
    enable_accept_encoding_gzip: Option<bool>,
    #[serde(alias = "enable_accept_encoding_brotli")]
    enable_accept_encoding_brotli: Option<bool>,
    #[serde(alias = "headers_config")]
    headers_config: Block<NamesShape>,
    #[serde(alias = "cookies_config")]
    cookies_config: Block<NamesShape>,
    #[serde(alias = "query_strings_config")]
    query_strings_config: Block<NamesShape>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamesShape {
    #[serde(
        rename = "HeaderBehavior",
        alias = "CookieBehavior",
        alias = "QueryStringBehavior",
        alias = "header_behavior",
        alias = "cookie_behavior",
        alias = "query_string_behavior"
    )]
    behaviour: Option<String>,
    #[serde(
        rename = "Headers",
        alias = "Cookies",
        alias = "QueryStrings",
        alias = "headers",
        alias = "cookies",
        alias = "query_strings"
    )]
    names: Block<List<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ResponseConfig {
    #[serde(alias = "name")]
    pub(super) name: Option<String>,
    #[serde(alias = "cors_config")]
    pub(super) cors_config: Block<CorsShape>,
    #[serde(alias = "security_headers_config")]
    pub(super) security_headers_config: Block<SecurityShape>,
    #[serde(alias = "custom_headers_config")]
    pub(super) custom_headers_config: Block<List<CustomShape>>,
    #[serde(alias = "remove_headers_config")]
    pub(super) remove_headers_config: Block<List<RemoveShape>>,
    #[serde(alias = "server_timing_headers_config")]
    pub(super) server_timing_headers_config: Block<TimingShape>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CorsShape {
    #[serde(alias = "access_control_allow_origins")]
    pub(super) access_control_allow_origins: Block<List<String>>,
    #[serde(alias = "access_control_allow_headers")]
    pub(super) access_control_allow_headers: Block<List<String>>,
    #[serde(alias = "access_control_allow_methods")]
    pub(super) access_control_allow_methods: Block<List<String>>,
    #[serde(alias = "access_control_expose_headers")]
    pub(super) access_control_expose_headers: Block<List<String>>,
    #[serde(alias = "access_control_allow_credentials")]
    pub(super) access_control_allow_credentials: Option<bool>,
    #[serde(alias = "access_control_max_age_sec")]
    pub(super) access_control_max_age_sec: Number,
    #[serde(alias = "origin_override")]
    pub(super) origin_override: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SecurityShape {
    #[serde(alias = "content_security_policy")]
    pub(super) content_security_policy: Block<SecurityHeader>,
    #[serde(alias = "content_type_options")]
    pub(super) content_type_options: Block<SecurityHeader>,
    #[serde(alias = "frame_options")]
    pub(super) frame_options: Block<SecurityHeader>,
    #[serde(alias = "referrer_policy")]
    pub(super) referrer_policy: Block<SecurityHeader>,
    #[serde(alias = "strict_transport_security")]
    pub(super) strict_transport_security: Block<SecurityHeader>,
    #[serde(rename = "XSSProtection", alias = "xss_protection")]
    pub(super) xss_protection: Block<SecurityHeader>,
}

/// Any of the six: each has `Override` and some of the others.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SecurityHeader {
    #[serde(rename = "Override", alias = "override")]
    pub(super) wins: Option<bool>,
    #[serde(alias = "content_security_policy")]
    pub(super) content_security_policy: Option<String>,
    #[serde(alias = "frame_option")]
    pub(super) frame_option: Option<String>,
    #[serde(alias = "referrer_policy")]
    pub(super) referrer_policy: Option<String>,
    #[serde(alias = "include_subdomains")]
    pub(super) include_subdomains: Option<bool>,
    #[serde(alias = "preload")]
    pub(super) preload: Option<bool>,
    #[serde(alias = "access_control_max_age_sec")]
    pub(super) access_control_max_age_sec: Number,
    #[serde(alias = "protection")]
    pub(super) protection: Option<bool>,
    #[serde(alias = "mode_block")]
    pub(super) mode_block: Option<bool>,
    #[serde(alias = "report_uri")]
    pub(super) report_uri: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CustomShape {
    #[serde(alias = "header")]
    pub(super) header: Option<String>,
    #[serde(alias = "value")]
    pub(super) value: Option<String>,
    #[serde(rename = "Override", alias = "override")]
    pub(super) wins: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RemoveShape {
    #[serde(alias = "header")]
    pub(super) header: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TimingShape {
    #[serde(alias = "enabled")]
    pub(super) enabled: Option<bool>,
    #[serde(alias = "sampling_rate")]
    pub(super) sampling_rate: Option<f64>,
}

impl NamesShape {
    /// `None` when it says something that no policy says.
    fn selection(&self) -> Option<Selection> {
        let names = self.names.items().to_vec();
        match self.behaviour.as_deref().unwrap_or("none") {
            "none" => Some(Selection::None),
            "all" | "allViewer" => Some(Selection::All),
            "whitelist" if names.is_empty() => Some(Selection::None),
            "whitelist" => Some(Selection::Only(names)),
            "allExcept" if names.is_empty() => Some(Selection::All),
            "allExcept" => Some(Selection::Except(names)),
            "allViewerAndWhitelistCloudFront" => Some(Selection::AllAnd(names)),
            _ => None,
        }
    }
}

fn selection(shape: &Block<NamesShape>) -> Option<Selection> {
    shape.get().map_or(Some(Selection::None), NamesShape::selection)
}

impl CacheShape {
    /// `None` when it says something that no cache policy says: then it counts as unknown.
    pub(super) fn policy(&self) -> Option<CachePolicy> {
        let nothing = RequestShape::default();
        let named = self
            .parameters_in_cache_key_and_forwarded_to_origin
            .get()
            .unwrap_or(&nothing);
        let min_ttl = self.min_ttl.0.unwrap_or_default();
        Some(CachePolicy {
            name: self.name.clone().unwrap_or_default(),
            min_ttl,
            default_ttl: self.default_ttl.0.unwrap_or_else(|| DEFAULT_TTL.max(min_ttl)),
            max_ttl: self.max_ttl.0.unwrap_or_else(|| MAX_TTL.max(min_ttl)),
            gzip: named.enable_accept_encoding_gzip.unwrap_or_default(),
            brotli: named.enable_accept_encoding_brotli.unwrap_or_default(),
            headers: selection(&named.headers_config)?,
            cookies: selection(&named.cookies_config)?,
            query: selection(&named.query_strings_config)?,
        })
    }
}

impl RequestShape {
    /// `None` when it says something that no origin request policy says: then it counts as unknown.
    pub(super) fn policy(&self) -> Option<RequestPolicy> {
        Some(RequestPolicy {
            name: self.name.clone().unwrap_or_default(),
            headers: selection(&self.headers_config)?,
            cookies: selection(&self.cookies_config)?,
            query: selection(&self.query_strings_config)?,
        })
    }
}

/// A day, in seconds: what is kept when nothing says how long.
pub(super) const DEFAULT_TTL: u64 = 86_400;

/// A year, in seconds: the longest, when nothing says how long that is.
pub(super) const MAX_TTL: u64 = 31_536_000;
