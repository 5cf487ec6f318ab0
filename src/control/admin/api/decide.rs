//! "Try as": what a visitor, user or set of header fields would get, decided as live traffic is.

use std::collections::BTreeMap;

use futures_util::future::ready;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        answer::Answer,
        endpoints::{Asked, Endpoint, Verb},
        refusal::Refusal,
        table::{of, order},
    },
    explain,
};
use crate::{
    clock::{self, UnixTime},
    control::{edit::change::unix_time, plane::View},
    snapshot::{
        Snapshot,
        explain::{Explanation, Said, explain_flag},
    },
};

/// Who asks, and what. It may hold a token, so it is never printed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Question {
    /// A flag's key: what does it say?
    #[serde(skip_serializing_if = "Option::is_none")]
    flag: Option<String>,
    /// An address as a browser has it, or only path and query: what happens to it?
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The method; GET unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// The visitor's id (22 characters).
    #[serde(skip_serializing_if = "Option::is_none")]
    visitor: Option<String>,
    /// Who is signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// With these roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<String>>,
    /// With these claims, `name=value` each.
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<Vec<String>>,
    /// The access token that the request bears, instead of a user; judged by the keys in force, and kept nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Header fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, String>>,
    /// Cookies, `name=value` each.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<Vec<String>>,
    /// As if it came from this IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// As on the private listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    private: Option<bool>,
    /// As if it were then (RFC 3339); now unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

/// What comes out.
#[derive(Debug, Serialize, JsonSchema)]
struct Decided {
    /// Version of the snapshot that decided.
    version: u64,
    /// What the flag says, if one was named.
    flag: Option<Said>,
    /// What happens to the request, if an address was given.
    request: Option<Explanation>,
}

/// `POST /api/decide`.
pub(in super::super) const DECIDE: Endpoint = Endpoint {
    otherwise: &[
        (400, "Something in it makes no sense."),
        (404, "There is no such flag."),
    ],
    ..order(
        "/api/decide",
        Verb::Post,
        "What somebody would get and why, decided as live traffic is. Changes nothing.",
        of::<Decided>,
        of::<Question>,
        |view, _, order| Box::pin(ready(order.read().and_then(|question| decided(&view, question)))),
    )
};

fn decided(view: &View, question: Question) -> Result<Answer, Refusal> {
    let at = view.live.current();
    let now = match &question.at {
        Some(text) => unix_time(text).map_err(|why| Refusal::Parameter(why.to_string()))?,
        None => clock::wall(),
    };
    if question.flag.is_none() && question.url.is_none() {
        return Err(Refusal::Parameter("say which `flag` or `url`".to_owned()));
    }
    let (flag, url) = (question.flag.clone(), question.url.is_some());
    let token = question.token.clone();
    let (asked, token) = (as_query(question), token.as_deref());
    let request = if url {
        Some(explain::explained(&asked, token, now, &at)?)
    } else {
        None
    };
    let flag = flag
        .map(|key| said(&key, (&asked, token), request.as_ref(), now, &at))
        .transpose()?;
    let decided = Decided {
        version: at.version,
        flag,
        request,
    };
    Answer::json(at.version, &decided)
}

/// What the route of the request heard from the flag; where none asks it, what it says by itself.
fn said(
    key: &str,
    (asked, token): (&Asked, Option<&str>),
    request: Option<&Explanation>,
    now: UnixTime,
    at: &Snapshot,
) -> Result<Said, Refusal> {
    let heard = request.and_then(|request| request.flags.iter().find(|said| said.flag == key));
    if let Some(said) = heard {
        return Ok(said.clone());
    }
    let id = at
        .flags
        .by_key(key)
        .ok_or_else(|| Refusal::Unknown("flag", key.to_owned()))?;
    let said = explain::with_ask(asked, token, now, at, |ask| explain_flag(id, ask, now, at))?;
    said.ok_or_else(|| Refusal::Internal("the flag said nothing".to_owned()))
}

/// The same question as `GET /api/explain` takes it.
fn as_query(question: Question) -> Asked {
    let url = question.url.unwrap_or_else(|| "/".to_owned());
    let mut query = vec![("url".to_owned(), url)];
    let mut add = |name: &str, value: Option<String>| {
        query.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("method", question.method);
    add("visitor", question.visitor);
    add("user", question.user);
    add("client", question.client);
    add("private", question.private.map(|private| private.to_string()));
    let lists = [
        ("role", question.roles),
        ("claim", question.claims),
        ("cookie", question.cookies),
    ];
    for (name, values) in lists {
        for value in values.unwrap_or_default() {
            add(name, Some(value));
        }
    }
    for (name, value) in question.headers.unwrap_or_default() {
        add("header", Some(format!("{name}: {value}")));
    }
    Asked {
        key: String::new(),
        query,
        last_event: None,
    }
}
