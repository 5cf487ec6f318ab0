//! `[listen]`: the sockets, and that no two are the same.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    report::Report,
    settings::ListenSettings,
    values::{OneOrMany, Spot},
};

/// `[listen]`: where to listen. An address is `"[::]:443"`, `"10.0.0.5:8080"` or `"localhost:9901"`; port 0 takes any free one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListenFile {
    /// TLS 1.2 and 1.3; HTTP/1.1 and HTTP/2.
    https: Option<OneOrMany>,
    /// Plain HTTP: sent to https, but for routes that say otherwise.
    http: Option<OneOrMany>,
    /// Calls between backends, inside the network: the same routes, HTTP/1.1 and h2c, no TLS.
    private: Option<OneOrMany>,
    /// Page, API, `/metrics`, `/healthz`, `/readyz`. Never on a port with traffic.
    admin: Option<Spot<String>>,
}

impl ListenFile {
    pub(super) fn settle(listen: Option<&Spot<Self>>, report: &mut Report) -> ListenSettings {
        let nothing = Self::default();
        let file = listen.map_or(&nothing, |listen| &listen.value);
        let mut taken = Vec::new();
        let mut all = |written: &Option<OneOrMany>, report: &mut Report| -> Vec<SocketAddr> {
            let texts = written.iter().flat_map(|list| &list.0);
            texts
                .filter_map(|text| address(text, &mut taken, report))
                .collect()
        };
        let (https, http, private) = (
            all(&file.https, report),
            all(&file.http, report),
            all(&file.private, report),
        );
        let admin = file
            .admin
            .as_ref()
            .and_then(|text| address(text, &mut taken, report));
        if taken.is_empty() && !report.has_errors() {
            report
                .whole_warning("no-listener", "no address to listen on")
                .hint("write `https = [\"[::]:443\"]` under `[listen]`");
        }
        ListenSettings {
            https,
            http,
            private,
            admin,
        }
    }
}

fn address(
    text: &Spot<String>,
    taken: &mut Vec<(SocketAddr, Range<usize>)>,
    report: &mut Report,
) -> Option<SocketAddr> {
    let Some(address) = parse(&text.value) else {
        report
            .error(
                "bad-address",
                text.span.clone(),
                format!("`{}` is not an address to listen on", text.value),
            )
            .hint_if(Some(bad_address_hint(&text.value)));
        return None;
    };
    if let Some((_, other)) = taken.iter().find(|(other, _)| overlap(address, *other)) {
        let (file, other) = (report.file.to_string(), other.clone());
        report
            .error(
                "address-taken",
                text.span.clone(),
                format!("port {} is listened on twice", address.port()),
            )
            .hint("give each listener its own port")
            .related(&file, other, "first here");
    }
    taken.push((address, text.span.clone()));
    Some(address)
}

fn parse(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    (host == "localhost").then_some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
}

fn bad_address_hint(text: &str) -> String {
    let digits = text.trim_start_matches(':');
    if digits.parse::<u16>().is_ok() {
        return format!(
            "write \"[::]:{digits}\" for every interface or \"127.0.0.1:{digits}\" for this machine"
        );
    }
    "write an address with a port, such as \"[::]:443\", \"10.0.0.5:8080\" or \"localhost:9901\"".to_owned()
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() != 0
        && a.port() == b.port()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
