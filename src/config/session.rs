//! `[gate.session]` as the operator writes it: how long people stay signed in.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    gate::GateFile,
    operator::KeyFile,
    report::Report,
    values::{DurationText, Spot},
};
use crate::gate::session::SessionSettings;

/// `[gate.session]`: how long people who signed in at the issuer stay signed in. They can wherever `[gate]` has a `client_id`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SessionFile {
    /// A session ends this long after its sign-in, whatever is done with it; at most `30d`.
    absolute: Spot<DurationText>,
    /// A session ends this long after it was last checked at the issuer, which happens while it is used.
    idle: Spot<DurationText>,
    /// A session that is used is checked at the issuer this often: what changed there holds here after that. At most half of `idle`.
    check: Spot<DurationText>,
    /// What is asked for at the issuer beside `openid`. Some give what sessions are checked with only for `offline_access`.
    scopes: Vec<Spot<String>>,
    /// Keys that seal the session cookie: the first seals, all open. Without any, a key is made and kept in `state`.
    keys: Vec<Spot<KeyFile>>,
}

impl Default for SessionFile {
    fn default() -> Self {
        let duration = |seconds| Spot {
            value: DurationText(Duration::from_secs(seconds)),
            span: 0..0,
        };
        let scope = |name: &str| Spot {
            value: name.to_owned(),
            span: 0..0,
        };
        Self {
            absolute: duration(12 * 3600), // a working day
            idle: duration(3600),
            check: duration(300), // a role that is withdrawn is gone after that
            scopes: vec![scope("profile"), scope("email")],
            keys: Vec::new(),
        }
    }
}

impl SessionFile {
    /// Judges the table. `None`: there is no `client_id`, or no issuer where it would count, so nobody can sign in.
    pub(super) fn settle(gate: &GateFile, report: &mut Report) -> Option<SessionSettings> {
        let (written, unsaid) = (gate.session.as_ref(), Self::default());
        let Some(client) = gate.client_id.as_ref().filter(|client| !client.value.is_empty()) else {
            if let Some(session) = written {
                let hint = "people sign in under this edge's name at the issuer: write it into `[gate]`";
                report.missing(&session.span, "client_id", hint);
            }
            return None;
        };
        if gate.issuer.is_none() {
            if let Some(session) = written {
                let hint = "people sign in at the issuer: write its address into `[gate]`";
                report.missing(&session.span, "issuer", hint);
            }
            return None; // the name is for introspection then
        }
        let file = written.map_or(&unsaid, |session| &session.value);
        file.judge_times(report);
        let mut scopes = vec!["openid".to_owned()];
        for scope in &file.scopes {
            // RFC 6749 section 3.3
            let good = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
            if scope.value.is_empty() || !scope.value.bytes().all(good) {
                report
                    .error(
                        "bad-scope",
                        scope.span.clone(),
                        format!("`{}` is not a scope", scope.value),
                    )
                    .hint("a scope is one word; write several as a list");
            } else if !scopes.contains(&scope.value) {
                scopes.push(scope.value.clone());
            }
        }
        let keys = file.keys.iter();
        Some(SessionSettings {
            client_id: client.value.clone(),
            client_secret: gate.client_secret.as_ref().map(|secret| secret.0.clone()),
            scopes,
            absolute: file.absolute.value.0,
            idle: file.idle.value.0,
            check: file.check.value.0,
            keys: keys
                .filter_map(|key| key.value.settle(&key.span, report))
                .collect(),
        })
    }

    fn judge_times(&self, report: &mut Report) {
        let mut out_of_range = |at: &Spot<DurationText>, what: &str, hint: &str| {
            report.error("out-of-range", at.span.clone(), what).hint(hint);
        };
        let (absolute, idle, check) = (self.absolute.value.0, self.idle.value.0, self.check.value.0);
        if absolute > ABSOLUTE_MAX {
            let hint = "who is away for so long signs in again; browsers forget cookies, too";
            out_of_range(&self.absolute, "`absolute` is longer than 30 days", hint);
        }
        if idle > absolute {
            out_of_range(
                &self.idle,
                "`idle` is longer than `absolute`",
                "a session that is used ends after `absolute`, so `idle` is less or the same",
            );
        }
        if check > idle / 2 {
            out_of_range(
                &self.check,
                "`check` is longer than half of `idle`",
                "that a session is used shows in its checks: with fewer of them it would end under way",
            );
        }
    }
}

const ABSOLUTE_MAX: Duration = Duration::from_secs(30 * 86_400);
