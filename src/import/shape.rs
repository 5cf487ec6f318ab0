//! A distribution as it is printed: names as in the API's JSON, aliases as in Terraform's. Nothing is required; `translate` judges.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::list::{Block, List, Number, Secret};

/// Keys that this program doesn't know, so that none is lost in silence.
pub(super) type Others = BTreeMap<String, Value>;

/// `DistributionConfig`, `aws_cloudfront_distribution`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Distribution {
    #[serde(alias = "aliases")]
    pub(super) aliases: List<String>,
    #[serde(alias = "default_root_object")]
    pub(super) default_root_object: Option<String>,
    #[serde(alias = "origin")]
    pub(super) origins: List<Origin>,
    #[serde(alias = "origin_group")]
    pub(super) origin_groups: List<OriginGroup>,
    #[serde(alias = "default_cache_behavior")]
    pub(super) default_cache_behavior: Block<Behaviour>,
    #[serde(alias = "ordered_cache_behavior")]
    pub(super) cache_behaviors: List<Behaviour>,
    #[serde(alias = "custom_error_response")]
    pub(super) custom_error_responses: List<ErrorResponse>,
    #[serde(alias = "comment")]
    pub(super) comment: Option<String>,
    #[serde(alias = "logging_config")]
    pub(super) logging: Block<Logging>,
    #[serde(alias = "enabled")]
    pub(super) enabled: Option<bool>,
    #[serde(alias = "viewer_certificate")]
    pub(super) viewer_certificate: Block<ViewerCertificate>,
    #[serde(alias = "restrictions")]
    pub(super) restrictions: Block<Restrictions>,
    #[serde(rename = "WebACLId", alias = "web_acl_id")]
    pub(super) web_acl_id: Option<String>,
    #[serde(alias = "http_version")]
    pub(super) http_version: Option<String>,
    #[serde(alias = "continuous_deployment_policy_id")]
    pub(super) continuous_deployment_policy_id: Option<String>,
    #[serde(alias = "staging")]
    pub(super) staging: Option<bool>,
    #[serde(alias = "viewer_mtls_config")]
    pub(super) viewer_mtls_config: Block<ViewerMtls>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Origin {
    #[serde(alias = "origin_id")]
    pub(super) id: Option<String>,
    #[serde(alias = "domain_name")]
    pub(super) domain_name: Option<String>,
    #[serde(alias = "origin_path")]
    pub(super) origin_path: Option<String>,
    #[serde(alias = "custom_header")]
    pub(super) custom_headers: List<CustomHeader>,
    #[serde(alias = "s3_origin_config")]
    pub(super) s3_origin_config: Block<S3Origin>,
    #[serde(alias = "custom_origin_config")]
    pub(super) custom_origin_config: Block<CustomOrigin>,
    #[serde(alias = "vpc_origin_config")]
    pub(super) vpc_origin_config: Block<VpcOrigin>,
    #[serde(alias = "connection_attempts")]
    pub(super) connection_attempts: Number,
    #[serde(alias = "connection_timeout")]
    pub(super) connection_timeout: Number,
    #[serde(alias = "response_completion_timeout")]
    pub(super) response_completion_timeout: Number,
    #[serde(alias = "origin_access_control_id")]
    pub(super) origin_access_control_id: Option<String>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CustomHeader {
    #[serde(alias = "name")]
    pub(super) header_name: Option<String>,
    #[serde(alias = "value")]
    pub(super) header_value: Option<Secret>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct S3Origin {
    #[serde(alias = "origin_access_identity")]
    pub(super) origin_access_identity: Option<String>,
    #[serde(alias = "origin_read_timeout")]
    pub(super) origin_read_timeout: Number,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CustomOrigin {
    #[serde(rename = "HTTPPort", alias = "http_port")]
    pub(super) http_port: Number,
    #[serde(rename = "HTTPSPort", alias = "https_port")]
    pub(super) https_port: Number,
    #[serde(alias = "origin_protocol_policy")]
    pub(super) origin_protocol_policy: Option<String>,
    #[serde(alias = "origin_ssl_protocols")]
    pub(super) origin_ssl_protocols: List<String>,
    #[serde(alias = "origin_read_timeout")]
    pub(super) origin_read_timeout: Number,
    #[serde(alias = "origin_keepalive_timeout")]
    pub(super) origin_keepalive_timeout: Number,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct VpcOrigin {
    #[serde(alias = "origin_read_timeout")]
    pub(super) origin_read_timeout: Number,
    #[serde(alias = "origin_keepalive_timeout")]
    pub(super) origin_keepalive_timeout: Number,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct OriginGroup {
    #[serde(alias = "origin_id")]
    pub(super) id: Option<String>,
    #[serde(alias = "failover_criteria")]
    pub(super) failover_criteria: Block<FailoverCriteria>,
    #[serde(alias = "member")]
    pub(super) members: List<Member>,
    pub(super) selection_criteria: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct FailoverCriteria {
    #[serde(alias = "status_codes")]
    pub(super) status_codes: List<u16>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Member {
    #[serde(alias = "origin_id")]
    pub(super) origin_id: Option<String>,
}

/// `CacheBehavior`, `DefaultCacheBehavior`, `ordered_cache_behavior`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Behaviour {
    #[serde(alias = "path_pattern")]
    pub(super) path_pattern: Option<String>,
    #[serde(alias = "target_origin_id")]
    pub(super) target_origin_id: Option<String>,
    #[serde(alias = "trusted_signers")]
    pub(super) trusted_signers: List<String>,
    #[serde(alias = "trusted_key_groups")]
    pub(super) trusted_key_groups: List<String>,
    #[serde(alias = "viewer_protocol_policy")]
    pub(super) viewer_protocol_policy: Option<String>,
    #[serde(alias = "allowed_methods")]
    pub(super) allowed_methods: List<String>,
    #[serde(alias = "smooth_streaming")]
    pub(super) smooth_streaming: Option<bool>,
    #[serde(alias = "compress")]
    pub(super) compress: Option<bool>,
    #[serde(alias = "lambda_function_association")]
    pub(super) lambda_function_associations: List<Function>,
    #[serde(alias = "function_association")]
    pub(super) function_associations: List<Function>,
    #[serde(alias = "field_level_encryption_id")]
    pub(super) field_level_encryption_id: Option<String>,
    #[serde(alias = "realtime_log_config_arn")]
    pub(super) realtime_log_config_arn: Option<String>,
    #[serde(alias = "cache_policy_id")]
    pub(super) cache_policy_id: Option<String>,
    #[serde(alias = "origin_request_policy_id")]
    pub(super) origin_request_policy_id: Option<String>,
    #[serde(alias = "response_headers_policy_id")]
    pub(super) response_headers_policy_id: Option<String>,
    #[serde(alias = "grpc_config")]
    pub(super) grpc_config: Block<Switch>,
    #[serde(alias = "forwarded_values")]
    pub(super) forwarded_values: Block<ForwardedValues>,
    #[serde(rename = "MinTTL", alias = "min_ttl")]
    pub(super) min_ttl: Number,
    #[serde(rename = "DefaultTTL", alias = "default_ttl")]
    pub(super) default_ttl: Number,
    #[serde(rename = "MaxTTL", alias = "max_ttl")]
    pub(super) max_ttl: Number,
    #[serde(flatten)]
    pub(super) others: Others,
}

/// A function of either kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Function {
    #[serde(
        rename = "FunctionARN",
        alias = "LambdaFunctionARN",
        alias = "function_arn",
        alias = "lambda_arn"
    )]
    pub(super) arn: Option<String>,
    #[serde(alias = "event_type")]
    pub(super) event_type: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Switch {
    #[serde(alias = "enabled")]
    pub(super) enabled: Option<bool>,
}

/// How behaviours without a cache policy say what they forward.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ForwardedValues {
    #[serde(alias = "query_string")]
    pub(super) query_string: Option<bool>,
    #[serde(alias = "cookies")]
    pub(super) cookies: Block<ForwardedCookies>,
    #[serde(alias = "headers")]
    pub(super) headers: List<String>,
    #[serde(alias = "query_string_cache_keys")]
    pub(super) query_string_cache_keys: List<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ForwardedCookies {
    #[serde(alias = "forward")]
    pub(super) forward: Option<String>,
    #[serde(alias = "whitelisted_names")]
    pub(super) whitelisted_names: List<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ErrorResponse {
    #[serde(alias = "error_code")]
    pub(super) error_code: Number,
    #[serde(alias = "response_page_path")]
    pub(super) response_page_path: Option<String>,
    #[serde(alias = "response_code")]
    pub(super) response_code: Number,
    #[serde(rename = "ErrorCachingMinTTL", alias = "error_caching_min_ttl")]
    pub(super) error_caching_min_ttl: Number,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Logging {
    #[serde(alias = "enabled")]
    pub(super) enabled: Option<bool>,
    #[serde(alias = "bucket")]
    pub(super) bucket: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ViewerCertificate {
    #[serde(
        alias = "cloudfront_default_certificate",
        rename = "CloudFrontDefaultCertificate"
    )]
    pub(super) default_certificate: Option<bool>,
    #[serde(alias = "minimum_protocol_version")]
    pub(super) minimum_protocol_version: Option<String>,
    #[serde(rename = "SSLSupportMethod", alias = "ssl_support_method")]
    pub(super) ssl_support_method: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Restrictions {
    #[serde(alias = "geo_restriction")]
    pub(super) geo_restriction: Block<GeoRestriction>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct GeoRestriction {
    #[serde(alias = "restriction_type")]
    pub(super) restriction_type: Option<String>,
    pub(super) quantity: Option<usize>,
    #[serde(alias = "locations")]
    pub(super) items: List<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ViewerMtls {
    #[serde(alias = "mode")]
    pub(super) mode: Option<String>,
}

/// A text that is there and not empty.
pub(super) fn said(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Keys of `others` that say something and are not in `idle`.
pub(super) fn unknown<'o>(others: &'o Others, idle: &[&str]) -> Vec<&'o str> {
    others
        .iter()
        .filter(|(key, value)| !idle.contains(&key.as_str()) && says_something(value))
        .map(|(key, _)| key.as_str())
        .collect()
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => list.iter().any(says_something),
        Value::Object(table) => table.values().any(says_something),
    }
}
