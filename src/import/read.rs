//! Finds distributions and policies in what the AWS and Terraform command lines print.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Input, Source,
    finding::Findings,
    managed,
    names::plain,
    policy::{CacheShape, KeyGroup, Policies, RequestShape, ResponseConfig, ResponsePolicy},
    shape::Distribution,
};
use crate::policy::signed::{PublicKey, is_id};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) distributions: Vec<Printed>,
    pub(super) policies: Policies,
}

/// A distribution, and what stands around it.
#[derive(Debug)]
pub(super) struct Printed {
    /// The file that it is in.
    pub(super) file: String,
    pub(super) id: Option<String>,
    /// Its name at `CloudFront`.
    pub(super) domain: Option<String>,
    pub(super) config: Distribution,
}

/// Reads files and policies. What can't be read is an error in the findings.
pub(super) fn read(source: Source, files: &[Input], policies: &[Input], findings: &mut Findings) -> Found {
    let mut found = Found::default();
    managed::add_to(&mut found.policies);
    for (input, wanted) in files
        .iter()
        .map(|input| (input, true))
        .chain(policies.iter().map(|input| (input, false)))
    {
        findings.turn_to(&plain(&input.name));
        let value = match documents(&input.text) {
            Ok(value) => value,
            Err(error) => {
                findings.error(
                    "no-json",
                    format!("this is not JSON: {error}"),
                    "give what the command line printed, as it is",
                );
                continue;
            }
        };
        let before = found.distributions.len();
        let mut reader = Reader {
            file: &input.name,
            found: &mut found,
            findings,
        };
        match source {
            Source::CloudFront => {
                if wanted {
                    reader.distributions(&value, None);
                }
                reader.policies(&value);
            }
            Source::Terraform => reader.terraform(&value, wanted),
        }
        if wanted && found.distributions.len() == before && !findings.has_errors() {
            nothing(source, findings);
        }
    }
    found
}

/// One document, or a list of several that stand one after another, as `>>` puts them into a file.
fn documents(text: &str) -> Result<Value, serde_json::Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text); // some editors write it
    let mut all = serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect::<Result<Vec<Value>, _>>()?;
    Ok(match all.len() {
        1 => all.pop().unwrap_or_default(),
        _ => Value::Array(all),
    })
}

fn nothing(source: Source, findings: &mut Findings) {
    match source {
        Source::CloudFront => findings.error(
            "no-distribution",
            "there is no distribution in this file",
            "give what `aws cloudfront get-distribution-config --id ID` prints",
        ),
        Source::Terraform => findings.error(
            "no-distribution",
            "there is no `aws_cloudfront_distribution` in this file",
            "give what `terraform show -json` prints",
        ),
    }
}

struct Reader<'r> {
    file: &'r str,
    found: &'r mut Found,
    findings: &'r mut Findings,
}

impl Reader<'_> {
    // === as the AWS command line prints it ===

    /// Looks for distributions in `value`; `around` is the `Distribution` that it is inside of.
    fn distributions(&mut self, value: &Value, around: Option<&Value>) {
        match value {
            Value::Array(list) => {
                for one in list {
                    self.distributions(one, None);
                }
            }
            Value::Object(table) => {
                if let Some(inner) = table.get("Distribution") {
                    self.distributions(inner, None);
                } else if let Some(config) = table.get("DistributionConfig") {
                    self.distributions(config, Some(value));
                } else if table.contains_key("DefaultCacheBehavior") {
                    self.distribution(value, around);
                } else if table.contains_key("DistributionList") {
                    self.findings.error(
                        "summary",
                        "`list-distributions` prints only a part of each distribution",
                        "give what `aws cloudfront get-distribution-config --id ID` prints, a file for each",
                    );
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn distribution(&mut self, value: &Value, around: Option<&Value>) {
        let Some(config) = self.typed::<Distribution>(value, "the distribution") else {
            return;
        };
        let beside = |key: &str| Some(around?.get(key)?.as_str()?.to_owned());
        self.found.distributions.push(Printed {
            file: self.file.to_owned(),
            id: beside("Id"),
            domain: beside("DomainName"),
            config,
        });
    }

    /// Looks for policies, key groups, public keys and functions anywhere in `value`.
    fn policies(&mut self, value: &Value) {
        match value {
            Value::Array(list) => list.iter().for_each(|one| self.policies(one)),
            Value::Object(table) => {
                for (key, inner) in table {
                    self.policy(key, inner);
                    self.policies(inner);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn policy(&mut self, key: &str, value: &Value) {
        let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let config = |name: &str| value.get(name);
        let id = text("Id");
        match (key, id) {
            ("CachePolicy", Some(id)) => self.cache_policy(id, config("CachePolicyConfig")),
            ("OriginRequestPolicy", Some(id)) => {
                self.request_policy(id, config("OriginRequestPolicyConfig"));
            }
            ("ResponseHeadersPolicy", Some(id)) => {
                self.response_policy(id, config("ResponseHeadersPolicyConfig"));
            }
            ("KeyGroup", Some(id)) => {
                let config = config("KeyGroupConfig");
                let name = config.and_then(|config| Some(config.get("Name")?.as_str()?.to_owned()));
                let keys = config.and_then(|config| config.get("Items"));
                self.key_group(id, name.unwrap_or_default(), keys);
            }
            ("PublicKey", Some(id)) => {
                let key = config("PublicKeyConfig").and_then(|config| config.get("EncodedKey")?.as_str());
                self.public_key(id, key);
            }
            ("FunctionSummary", _) => {
                let arn = value
                    .pointer("/FunctionMetadata/FunctionARN")
                    .and_then(Value::as_str);
                let comment = value.pointer("/FunctionConfig/Comment").and_then(Value::as_str);
                self.function(arn, comment);
            }
            _ => {}
        }
    }

    // === as Terraform prints it ===

    fn terraform(&mut self, value: &Value, wanted: bool) {
        let state = value.get("values").or_else(|| value.get("planned_values"));
        match state.and_then(|state| state.get("root_module")) {
            Some(root) => self.module(root, wanted, 0),
            None => self.findings.error(
                "no-state",
                "this is not what `terraform show -json` prints: it has no `values` with a `root_module`",
                "run `terraform show -json > state.json` and give that; a `.tfstate` has another shape",
            ),
        }
    }

    fn module(&mut self, module: &Value, wanted: bool, depth: usize) {
        if depth > MODULES_DEPTH_MAX {
            return;
        }
        let list = |key: &str| module.get(key).and_then(Value::as_array).into_iter().flatten();
        for resource in list("resources") {
            let kind = resource.get("type").and_then(Value::as_str).unwrap_or_default();
            if let Some(values) = resource.get("values") {
                self.resource(kind, resource, values, wanted);
            }
        }
        for child in list("child_modules") {
            self.module(child, wanted, depth + 1);
        }
    }

    fn resource(&mut self, kind: &str, resource: &Value, values: &Value, wanted: bool) {
        let text = |name: &str| Some(values.get(name)?.as_str()?.to_owned());
        let id = text("id").unwrap_or_default();
        match kind {
            "aws_cloudfront_distribution" if wanted => {
                let managed = resource.get("mode").and_then(Value::as_str) != Some("data");
                if !managed {
                    return;
                }
                let Some(config) = self.typed::<Distribution>(values, "the distribution") else {
                    return;
                };
                let address = resource.get("address").and_then(Value::as_str);
                self.found.distributions.push(Printed {
                    file: self.file.to_owned(),
                    id: Some(id)
                        .filter(|id| !id.is_empty())
                        .or_else(|| address.map(str::to_owned)),
                    domain: text("domain_name"),
                    config,
                });
            }
            "aws_cloudfront_cache_policy" => self.cache_policy(id, Some(values)),
            "aws_cloudfront_origin_request_policy" => self.request_policy(id, Some(values)),
            "aws_cloudfront_response_headers_policy" => self.response_policy(id, Some(values)),
            "aws_cloudfront_key_group" => {
                self.key_group(id, text("name").unwrap_or_default(), values.get("items"));
            }
            "aws_cloudfront_public_key" => {
                self.public_key(id, values.get("encoded_key").and_then(Value::as_str));
            }
            "aws_cloudfront_function" => {
                let (arn, comment) = (text("arn"), text("comment"));
                self.function(arn.as_deref(), comment.as_deref());
            }
            _ => {}
        }
    }

    // === what both have ===

    /// `what` names it in the error. The error never holds a value, which may be one that nobody should see.
    fn typed<T: DeserializeOwned>(&mut self, value: &Value, what: &str) -> Option<T> {
        match T::deserialize(value) {
            Ok(typed) => Some(typed),
            Err(error) => {
                let place = match place::<T>(value) {
                    Some(place) => format!(" at {}", plain(&place)),
                    None => String::new(),
                };
                let error = without_value(&error.to_string());
                self.findings.error(
                    "bad-shape",
                    plain(&format!("{what} can't be read{place}: {error}")),
                    "give what the command line printed, as it is",
                );
                None
            }
        }
    }

    fn cache_policy(&mut self, id: String, config: Option<&Value>) {
        let shape = config.and_then(|config| self.typed::<CacheShape>(config, "a cache policy"));
        if let Some(policy) = shape.and_then(|shape| shape.policy()) {
            self.found.policies.cache.insert(id, policy);
        }
    }

    fn request_policy(&mut self, id: String, config: Option<&Value>) {
        let shape = config.and_then(|config| self.typed::<RequestShape>(config, "an origin request policy"));
        if let Some(policy) = shape.and_then(|shape| shape.policy()) {
            self.found.policies.request.insert(id, policy);
        }
    }

    fn response_policy(&mut self, id: String, config: Option<&Value>) {
        let config =
            config.and_then(|config| self.typed::<ResponseConfig>(config, "a response headers policy"));
        if let Some(config) = config {
            let name = config.name.clone().unwrap_or_default();
            let policy = ResponsePolicy { name, config };
            self.found.policies.response.insert(id, policy);
        }
    }

    fn key_group(&mut self, id: String, name: String, keys: Option<&Value>) {
        let keys = keys.and_then(Value::as_array).into_iter().flatten();
        let keys = keys.filter_map(|key| key.as_str().map(str::to_owned)).collect();
        self.found.policies.key_groups.insert(id, KeyGroup { name, keys });
    }

    /// A key becomes a file and a key in a table, so both must be what they should.
    fn public_key(&mut self, id: String, pem: Option<&str>) {
        let Some(pem) = pem else { return };
        let why = match PublicKey::from_pem(pem.as_bytes()) {
            Ok(_) if is_id(&id) => {
                self.found.policies.public_keys.insert(id, pem.to_owned());
                return;
            }
            Ok(_) => "its id is none".to_owned(),
            Err(why) => why.to_string(),
        };
        self.findings.warning(
            "bad-key",
            format!("public key `{}` is not used: {why}", plain(&id)),
            "give what `aws cloudfront get-public-key` prints",
        );
    }

    fn function(&mut self, arn: Option<&str>, comment: Option<&str>) {
        if let (Some(arn), Some(comment)) = (arn, comment.filter(|comment| !comment.is_empty())) {
            let functions = &mut self.found.policies.functions;
            functions.insert(arn.to_owned(), comment.to_owned());
        }
    }
}

/// What an error says, without the text that stands where something else should.
fn without_value(error: &str) -> String {
    match (error.split_once("string \""), error.rsplit_once("\", expected")) {
        (Some((start, _)), Some((_, end))) => format!("{start}text, expected{end}"),
        _ => error.to_owned(),
    }
}

/// Where a value is that keeps `value` from being read, as a JSON pointer: the innermost one without which it could be. `None` when there
/// are several, or when the search would take too long.
fn place<T: DeserializeOwned>(value: &Value) -> Option<String> {
    let mut path = String::new();
    let mut tries = size(value)
        .checked_sub(1)
        .and_then(|size| PLACE_WORK_MAX.checked_div(size))?;
    loop {
        let children: Vec<String> = match value.pointer(&path)? {
            Value::Object(table) => table
                .keys()
                .map(|key| key.replace('~', "~0").replace('/', "~1"))
                .collect(),
            Value::Array(list) => (0..list.len()).map(|at| at.to_string()).collect(),
            _ => Vec::new(),
        };
        let mut guilty = None;
        for child in children {
            tries = tries.checked_sub(1)?;
            let mut without = value.clone();
            match without.pointer_mut(&path)? {
                Value::Object(table) => drop(table.remove(&child.replace("~1", "/").replace("~0", "~"))),
                Value::Array(list) => drop(list.remove(child.parse().ok()?)),
                _ => {}
            }
            if T::deserialize(&without).is_ok() {
                guilty = Some(child);
                break;
            }
        }
        match guilty {
            Some(child) => path = format!("{path}/{child}"),
            None => return Some(path).filter(|path| !path.is_empty()),
        }
    }
}

/// How many values there are in a value, itself too.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(size).sum(),
        Value::Object(table) => table.values().map(size).sum(),
        _ => 0,
    }
}

/// Values that are copied in search of one that is wrong: a second's work.
const PLACE_WORK_MAX: usize = 5_000_000;

/// Nobody nests modules like this; a hostile file might.
const MODULES_DEPTH_MAX: usize = 32;
