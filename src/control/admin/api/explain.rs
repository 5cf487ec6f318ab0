//! What would happen to a request and why, decided on the snapshot in force as live traffic is.

use std::{net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};

use super::super::{answer::Answer, endpoints::Asked, refusal::Refusal};
use crate::{
    clock::{self, UnixTime},
    config::settings::TestUser,
    control::plane::View,
    fields::{Fields, Known},
    gate::TokenMemory,
    snapshot::{
        Snapshot,
        decide::{Ask, Credential, Entrance},
        explain::{Explanation, explain},
        prove,
    },
};

/// `GET /api/explain`.
pub(in super::super) fn answer(view: &View, asked: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    let explained = explained(asked, None, clock::wall(), &at)?;
    Answer::json(at.version, &explained)
}

/// Explains what the parameters ask for, with the access token that the request bears. It is judged by the keys in force.
pub(in super::super) fn explained(
    asked: &Asked,
    token: Option<&str>,
    now: UnixTime,
    at: &Snapshot,
) -> Result<Explanation, Refusal> {
    with_ask(asked, token, now, at, |ask| explain(ask, now, at))
}

/// Makes a request of what the parameters ask for.
pub(super) fn with_ask<T>(
    asked: &Asked,
    token: Option<&str>,
    now: UnixTime,
    at: &Snapshot,
    answer: impl FnOnce(&Ask<'_, '_>) -> T,
) -> Result<T, Refusal> {
    let url = asked
        .one("url")
        .ok_or_else(|| Refusal::Parameter("say which address: `?url=/courses/rust`".to_owned()))?;
    let uri: Uri = url
        .parse()
        .map_err(|error| Refusal::Parameter(format!("{url:?} is no address: {error}")))?;
    let own_host = at.hosts.first().map_or("localhost", String::as_str);
    let host = uri
        .host()
        .map_or_else(|| own_host.to_owned(), str::to_ascii_lowercase);
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let method = asked.one("method").unwrap_or("GET").to_ascii_uppercase();
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| Refusal::Parameter(format!("{method:?} is no method")))?;
    let user = user(asked)?;
    let identity = user.as_ref().map(prove::identity).map(Arc::new);
    if token.is_some() && user.is_some() {
        return Err(Refusal::Parameter(
            "a token says who it is: leave `user` out".to_owned(),
        ));
    }
    let mut headers = fields(asked, now, at)?;
    let memory = TokenMemory::new();
    let credential = match token {
        None => Credential::Pretend(identity.as_ref()),
        Some(token) => {
            let wrong = |_| Refusal::Parameter("the token has characters that none may have".to_owned());
            let field = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(wrong)?;
            headers.insert(Known::AUTHORIZATION, field);
            Credential::Fields(&memory)
        }
    };
    let ask = Ask {
        entrance: match (asked.one("private"), uri.scheme_str()) {
            (Some("true"), _) => Entrance::Private,
            (_, Some("http")) => Entrance::Plain(Version::HTTP_11),
            _ => Entrance::Public,
        },
        method: &method,
        host: &host,
        target,
        headers: &headers,
        client: client(asked)?,
        credential,
        entropy: [0; 16],
    };
    Ok(answer(&ask))
}

fn client(asked: &Asked) -> Result<Option<IpAddr>, Refusal> {
    let wrong = |text: &str| Refusal::Parameter(format!("{text:?} is no IP address"));
    let text = asked.one("client").filter(|text| !text.is_empty());
    text.map(|text| text.trim().parse().map_err(|_| wrong(text)))
        .transpose()
}

fn user(asked: &Asked) -> Result<Option<TestUser>, Refusal> {
    let roles = asked
        .all("role")
        .flat_map(|roles| roles.split(','))
        .map(str::trim)
        .filter(|role| !role.is_empty());
    let roles: Vec<String> = roles.map(ToOwned::to_owned).collect();
    let claims =
        prove::claims(asked.all("claim").filter(|claim| !claim.is_empty())).map_err(Refusal::Parameter)?;
    match asked.one("user") {
        Some(id) => Ok(Some(TestUser {
            id: id.to_owned(),
            roles,
            claims,
        })),
        None if roles.is_empty() && claims.is_empty() => Ok(None),
        None => Err(Refusal::Parameter(
            "roles and claims are somebody's: say which `user` has them".to_owned(),
        )),
    }
}

fn fields(asked: &Asked, now: UnixTime, at: &Snapshot) -> Result<Fields, Refusal> {
    let mut fields = HeaderMap::new();
    for field in asked.all("header") {
        let wrong = || Refusal::Parameter(format!("{field:?} is no header field; write `Name: value`"));
        let (name, value) = field.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        fields.append(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong())?);
    }
    let visitor = asked
        .one("visitor")
        .map(|id| visitor_cookie(id, now, at))
        .transpose()?;
    let cookies: Vec<&str> = visitor
        .as_deref()
        .into_iter()
        .chain(asked.all("cookie"))
        .collect();
    if !cookies.is_empty() {
        let wrong = |_| Refusal::Parameter("a cookie has characters that none may have".to_owned());
        fields.append(
            header::COOKIE,
            HeaderValue::try_from(cookies.join("; ")).map_err(wrong)?,
        );
    }
    Ok(fields.into())
}

/// The cookie that a visitor of this id has. It is decided with and never shown.
fn visitor_cookie(id: &str, now: UnixTime, at: &Snapshot) -> Result<String, Refusal> {
    let bits = URL_SAFE_NO_PAD
        .decode(id)
        .ok()
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let wrong = || {
        Refusal::Parameter(format!(
            "{id:?} is no visitor id; it has 22 characters of A-Z a-z 0-9 - _"
        ))
    };
    let cookie = at
        .visitors
        .set_cookie(&at.visitors.mint(bits.ok_or_else(wrong)?, now), now);
    let text = String::from_utf8_lossy(cookie.as_bytes()).into_owned();
    Ok(text.split(';').next().unwrap_or_default().to_owned())
}
