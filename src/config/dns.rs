//! `[dns]`: how servers' names are asked for.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    report::Report,
    values::{DurationText, Spot},
};
use crate::backend::resolve::DnsSettings;

/// `[dns]`: how servers' names are asked for, each again when its answer's time is over. The last good answer stays while none comes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DnsFile {
    /// Who is asked: addresses, with a port unless it is 53. Empty: whom `/etc/resolv.conf` names.
    servers: Vec<Spot<String>>,
    /// An answer is never asked for again before this, whatever its TTL.
    ttl_min: DurationText,
    /// An answer is always asked for again after this, whatever its TTL.
    ttl_max: Spot<DurationText>,
    /// Time for one question.
    timeout: DurationText,
}

impl Default for DnsFile {
    fn default() -> Self {
        let usual = DnsSettings::default();
        Self {
            servers: Vec::new(),
            ttl_min: DurationText(usual.ttl_min),
            ttl_max: Spot {
                value: DurationText(usual.ttl_max),
                span: 0..0,
            },
            timeout: DurationText(usual.timeout),
        }
    }
}

impl DnsFile {
    /// Judges the table.
    pub(super) fn settle(&self, report: &mut Report) -> DnsSettings {
        if self.ttl_max.value.0 < self.ttl_min.0 {
            report
                .error(
                    "out-of-range",
                    self.ttl_max.span.clone(),
                    "`ttl_max` is less than `ttl_min`",
                )
                .hint("an answer is asked for again between the two");
        }
        DnsSettings {
            servers: self
                .servers
                .iter()
                .filter_map(|server| address(server, report))
                .collect(),
            ttl_min: self.ttl_min.0,
            ttl_max: self.ttl_max.value.0.max(self.ttl_min.0),
            timeout: self.timeout.0,
        }
    }
}

fn address(server: &Spot<String>, report: &mut Report) -> Option<SocketAddr> {
    let alone = || server.value.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    let address = server.value.parse::<SocketAddr>().or_else(|_| alone());
    if address.is_err() {
        let what = format!("`{}` is not the address of a DNS server", server.value);
        report
            .error("bad-address", server.span.clone(), what)
            .hint("write `10.0.0.2`, `10.0.0.2:5353` or `[fd00::2]:53`");
    }
    address.ok()
}
