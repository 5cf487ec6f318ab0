//! Who is signed in, for the site's own scripts.

use http::StatusCode;
use serde_json::json;

use super::{super::refusal::Refusal, Asked, ROUNDS_MAX, check_of};
use crate::{
    body::Body,
    fields::Known,
    gate::{
        Denied,
        session::{Brought, NoSession},
    },
    message::Response,
    observe::log::rfc3339,
};

impl Asked<'_> {
    /// `GET /.banyan/me`.
    pub(super) async fn me(&self) -> Result<Response, Refusal> {
        let brought = self.checked().await.map_err(Denied::from)?;
        let session = &brought.session;
        let claim = |name: &str| {
            session
                .identity
                .claims
                .get(name)
                .filter(|value| value.is_string())
        };
        let told = json!({
            "subject": session.identity.subject,
            "roles": session.identity.roles,
            "name": claim("name"),
            "email": claim("email"),
            "signed_in": rfc3339(session.began.secs()),
            "ends": rfc3339(session.identity.expires.secs()),
        });
        let mut response = Response::new(StatusCode::OK, Body::full(told.to_string()));
        response.headers.insert(Known::CONTENT_TYPE, "application/json");
        response.headers.insert(Known::VARY, "cookie");
        if let Some(cookie) = brought.set_cookie {
            response.headers.append(Known::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    async fn checked(&self) -> Result<Brought, NoSession> {
        let find = || {
            let fields = &self.head.headers;
            self.sessions.brought(fields, self.now, &self.edge.tokens).1
        };
        for _ in 0..ROUNDS_MAX {
            match find() {
                Err(NoSession::Unchecked) => {
                    check_of(
                        &self.head.headers,
                        self.sessions,
                        self.provider,
                        self.edge,
                        self.now,
                    )
                    .await;
                }
                found => return found,
            }
        }
        find()
    }
}
