//! `servers` and `pick` of a backend: where it is, and how one of them is chosen.

use std::{fmt, ops::Range, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{report::Report, values::Spot};
use crate::backend::{Pick, Resolve, Scheme, ServerAddress, ServerSettings, pick::Key, roster::WEIGHT_MAX};

/// A server: its address alone, or a table with more about it.
#[derive(Debug)]
pub(super) enum ServerFile {
    Url(String),
    Table(ServerTable),
}

/// A server with more about it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerTable {
    url: Option<Spot<String>>,
    weight: Option<Spot<u32>>,
    zone: Option<Spot<String>>,
    resolve: Option<Spot<String>>,
}

impl<'de> Deserialize<'de> for ServerFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Said;
        impl<'de> Visitor<'de> for Said {
            type Value = ServerFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as `http://10.0.1.10:3000`, or a table with `url`")
            }
            fn visit_str<E: de::Error>(self, url: &str) -> Result<ServerFile, E> {
                Ok(ServerFile::Url(url.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<ServerFile, A::Error> {
                ServerTable::deserialize(MapAccessDeserializer::new(table)).map(ServerFile::Table)
            }
        }
        deserializer.deserialize_any(Said)
    }
}

impl JsonSchema for ServerFile {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Server".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "properties": {
                "url": { "type": "string", "description": "Where it is: `http://`, `https://` or `h2c://`, a host, and a port unless it is the usual one." },
                "weight": { "type": "integer", "minimum": 0, "maximum": WEIGHT_MAX, "description": "How much it is given beside the others; 1 unless said otherwise. 0: nothing, unless all have 0." },
                "zone": { "type": "string", "minLength": 1, "description": "Where it stands. Servers of the router's own `zone` are preferred." },
                "resolve": { "type": "string", "enum": RESOLVE, "description": "What its name stands for: `one` server at any of the name's addresses, `each` address a server, or `srv`, a server for each SRV record." }
            },
            "required": ["url"],
            "additionalProperties": false
        })
    }
}

const RESOLVE: [&str; 3] = ["one", "each", "srv"];

/// The lines of `servers`, judged.
pub(super) fn servers(
    written: Option<&Spot<Vec<Spot<ServerFile>>>>,
    table: &Range<usize>,
    report: &mut Report,
) -> Vec<ServerSettings> {
    let Some(written) = written else {
        report.missing(
            table,
            "servers",
            "name at least one, such as `servers = [\"http://10.0.1.10:3000\"]`",
        );
        return Vec::new();
    };
    if written.value.is_empty() {
        report
            .error(
                "no-server",
                written.span.clone(),
                "a backend needs at least one server",
            )
            .hint("name one, such as `\"http://10.0.1.10:3000\"`");
    }
    let mut servers: Vec<ServerSettings> = Vec::with_capacity(written.value.len());
    for line in &written.value {
        let Some(server) = server(line, report) else {
            continue;
        };
        if servers.iter().any(|known| known.address == server.address) {
            let what = format!("`{}` stands here twice", server.address);
            report
                .warning("repeated-server", line.span.clone(), what)
                .hint("it is used once; `weight` gives it more");
        } else {
            servers.push(server);
        }
    }
    servers
}

fn server(line: &Spot<ServerFile>, report: &mut Report) -> Option<ServerSettings> {
    let table = match &line.value {
        ServerFile::Url(url) => return Some(address(url, &line.span, report)?.into()),
        ServerFile::Table(table) => table,
    };
    let resolve = table
        .resolve
        .as_ref()
        .map_or(Some(Resolve::One), |text| resolve(text, report));
    let weight = table.weight.as_ref().map_or(1, |weight| weight.value);
    if let Some(written) = table.weight.as_ref().filter(|written| written.value > WEIGHT_MAX) {
        let what = format!("{weight} is not a weight");
        report
            .error("bad-weight", written.span.clone(), what)
            .hint(format!("from 0 to {WEIGHT_MAX}"));
    }
    if let Some(zone) = &table.zone {
        zone_name(zone, report);
    }
    let Some(url) = &table.url else {
        report.missing(
            &line.span,
            "url",
            "such as `{ url = \"http://10.0.1.10:3000\", weight = 3 }`",
        );
        return None;
    };
    let address = address(&url.value, &url.span, report)?;
    if let (Some(written), true) = (&table.resolve, address.host.parse::<std::net::IpAddr>().is_ok()) {
        let what = format!("`resolve` has no meaning here: `{}` is an address", address.host);
        report
            .warning("unused-key", written.span.clone(), what)
            .hint("take it out");
    }
    let literal = address.host.parse::<std::net::IpAddr>().is_ok();
    Some(ServerSettings {
        address,
        weight,
        zone: table.zone.as_ref().map(|zone| Arc::from(zone.value.as_str())),
        resolve: resolve.filter(|_| !literal).unwrap_or_default(),
    })
}

fn resolve(text: &Spot<String>, report: &mut Report) -> Option<Resolve> {
    match text.value.as_str() {
        "one" => Some(Resolve::One),
        "each" => Some(Resolve::Each),
        "srv" => Some(Resolve::Srv),
        other => {
            let what = format!("`{other}` is not what a name can stand for");
            report
                .error("bad-resolve", text.span.clone(), what)
                .hint("write `one`, `each` or `srv`");
            None
        }
    }
}

/// A zone's name: anything that can be read.
pub(super) fn zone_name(zone: &Spot<String>, report: &mut Report) {
    let text = zone.value.as_str();
    if text.is_empty() || text.len() > ZONE_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        report
            .error("bad-zone", zone.span.clone(), format!("`{text}` is not a zone"))
            .hint("a name such as `eu-west-1a`");
    }
}

/// Longer than any cloud's names.
const ZONE_BYTES_MAX: usize = 64;

fn address(text: &str, span: &Range<usize>, report: &mut Report) -> Option<ServerAddress> {
    match parsed(text) {
        Ok(server) => Some(server),
        Err(reason) => {
            let shown = if text.contains('@') {
                "this"
            } else {
                &format!("`{text}`")
            };
            let what = format!("{shown} is not a server: {reason}");
            report.error("bad-server", span.clone(), what).hint(
                "write `http://`, `https://` or `h2c://`, a host, and a port unless it is the usual one",
            );
            None
        }
    }
}

fn parsed(text: &str) -> Result<ServerAddress, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
    let (scheme, usual) = match scheme {
        "http" => (Scheme::Http, 80),
        "https" => (Scheme::Https, 443),
        "h2c" => (Scheme::H2c, 80),
        _ => return Err("its scheme is not http, https or h2c"),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("it has a path; servers get the path of the request");
    }
    if authority.contains('@') {
        return Err("it has a user name or password");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| "its address is not an IPv6 address")?;
            (
                address,
                port.strip_prefix(':').or_else(|| port.is_empty().then_some("")),
            )
        }
        None => authority
            .split_once(':')
            .map_or((authority, Some("")), |(host, port)| (host, Some(port))),
    };
    let port = match port.ok_or("there is something between its address and its port")? {
        "" if authority.ends_with(':') => return Err("its port is missing"),
        "" => usual,
        digits => digits
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or("its port is not a number from 1 to 65535")?,
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(allowed) {
        return Err("its host is not a name or address");
    }
    Ok(ServerAddress {
        scheme,
        host: host.to_ascii_lowercase(),
        port,
    })
}

/// How a server is chosen.
#[derive(Debug)]
pub(super) enum PickFile {
    LeastLoaded,
    RoundRobin,
    Hash(HashFile),
}

/// By what of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HashFile {
    hash: Option<Spot<String>>,
}

impl PickFile {
    /// What is written, judged; least-loaded where nothing is, or nothing that can be.
    pub(super) fn settle(written: Option<&Spot<Self>>, report: &mut Report) -> Pick {
        match written.map(|written| (&written.value, &written.span)) {
            None | Some((Self::LeastLoaded, _)) => Pick::LeastLoaded,
            Some((Self::RoundRobin, _)) => Pick::RoundRobin,
            Some((Self::Hash(file), span)) => {
                let Some(hash) = &file.hash else {
                    report.missing(span, "hash", HASH);
                    return Pick::LeastLoaded;
                };
                let key = key(&hash.value);
                if key.is_none() {
                    let what = format!("`{}` is nothing that can be hashed", hash.value);
                    report.error("bad-hash", hash.span.clone(), what).hint(HASH);
                }
                key.map_or(Pick::LeastLoaded, Pick::Hash)
            }
        }
    }
}

const HASH: &str = "write `cookie:<name>`, `header:<name>`, `identity` or `address`";

fn key(text: &str) -> Option<Key> {
    match text.split_once(':') {
        None if text == "identity" => Some(Key::Identity),
        None if text == "address" => Some(Key::Address),
        Some(("cookie", name)) => {
            let fine =
                |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'=' | b'\\');
            (!name.is_empty() && name.bytes().all(fine)).then(|| Key::Cookie(name.into()))
        }
        Some(("header", name)) => name.parse().ok().map(Key::Header),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for PickFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Said;
        impl<'de> Visitor<'de> for Said {
            type Value = PickFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`least-loaded`, `round-robin`, or a table with `hash`")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<PickFile, E> {
                match word {
                    "least-loaded" => Ok(PickFile::LeastLoaded),
                    "round-robin" => Ok(PickFile::RoundRobin),
                    other => Err(E::unknown_variant(other, &["least-loaded", "round-robin"])),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<PickFile, A::Error> {
                HashFile::deserialize(MapAccessDeserializer::new(table)).map(PickFile::Hash)
            }
        }
        deserializer.deserialize_any(Said)
    }
}

impl JsonSchema for PickFile {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pick".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "pattern": r"^(least-loaded|round-robin)$|\$\{",
            "properties": {
                "hash": { "type": "string", "description": "By what: `cookie:<name>`, `header:<name>`, `identity` or `address`." }
            },
            "required": ["hash"],
            "additionalProperties": false
        })
    }
}
