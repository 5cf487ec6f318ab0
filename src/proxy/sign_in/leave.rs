//! Signing out: by the person, here and at the provider (OpenID Connect RP-Initiated Logout 1.0), and by the provider alone (OpenID
//! Connect Back-Channel Logout 1.0).

use std::{net::IpAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::{
    super::{follow::Following, redirect, refusal::Refusal, seats::Full, turns},
    ASK_TIME_MAX, Asked, DESKS_EACH_MAX, DESKS_MAX, LOGOUT_PATH, is_own_page, page,
};
use crate::{
    body::Body,
    clock,
    fields::Known,
    gate::{
        BadToken, Denied,
        session::{BadLogout, LogoutToken, Mark, Sessions, form, judge_logout, return_target},
    },
    message::Response,
    observe::metrics::Family,
};

/// Most bytes of a logout token's form.
const LOGOUT_BYTES_MAX: usize = 24 * 1024;
/// Time for such a form.
const LOGOUT_TIME_MAX: Duration = Duration::from_secs(5);
/// Too much is under way.
const BUSY: &str = "busy";

impl Asked<'_> {
    /// `POST /.banyan/logout`: ends the session here, and leads on to where it ends at the provider.
    pub(super) fn leave(&self) -> Result<Response, Refusal> {
        if !is_own_page(&self.head.headers, &self.address("")) {
            return Err(Refusal::link("other-site")); // nobody is signed out by somebody else's page
        }
        let (_, brought) = self
            .sessions
            .brought(&self.head.headers, self.now, &self.edge.tokens);
        let subject = brought.ok().map(|brought| {
            let [.., own]: [Mark; 3] = brought.session.marks;
            let forget = self.sessions.forget(self.now);
            self.sessions.revoked.end(own, clock::wall(), forget); // a copy of the cookie is worth nothing, either
            brought.session.identity.subject.clone()
        });
        let wanted = form::pairs(self.query).unwrap_or_default();
        let to = return_target(form::single(&wanted, "to").unwrap_or("/")).to_owned();
        let target = self.sign_out_address(&to, subject.as_deref()).unwrap_or(to);
        let mut response = redirect::to(StatusCode::SEE_OTHER, &target);
        response
            .headers
            .append(Known::SET_COOKIE, Sessions::forget_cookie());
        self.count(Family::SignOuts, "done");
        Ok(response)
    }

    /// Where the session ends at the provider, if it offers that.
    fn sign_out_address(&self, to: &str, subject: Option<&str>) -> Option<String> {
        let about = self.provider.about.load_full()?;
        let end = about.end_session.as_deref()?;
        let state = self.sessions.seal_sign_out(to, &self.host, self.nonce())?;
        let back = self.address(LOGOUT_PATH);
        let mut pairs = vec![
            ("client_id", self.sessions.settings.client_id.as_str()),
            ("post_logout_redirect_uri", &back),
            ("state", &state),
        ];
        if let Some(subject) = subject {
            pairs.push(("logout_hint", subject));
        }
        Some(form::with_query(end, &pairs))
    }

    /// `GET /.banyan/logout`: the way back from there. Only a state of ours leads on.
    pub(super) fn left(&self) -> Response {
        let pairs = form::pairs(self.query).unwrap_or_default();
        let state = form::single(&pairs, "state");
        let to = state.and_then(|state| self.sessions.open_sign_out(state, &self.host));
        match to {
            Some(to) => redirect::to(StatusCode::SEE_OTHER, &to),
            None => page::signed_out(),
        }
    }

    /// `POST /.banyan/backchannel-logout`: the provider signs somebody out.
    pub(super) async fn back_channel(
        &self,
        body: Body,
        following: &mut Following,
    ) -> Result<Response, Refusal> {
        let seats = &self.edge.desks.0;
        let seat = seats.take(following.record.client, DESKS_MAX, DESKS_EACH_MAX);
        let _seat = seat.map_err(|full| match full {
            Full::All => Refusal::client(StatusCode::SERVICE_UNAVAILABLE, BUSY),
            Full::Address => Refusal::client(StatusCode::TOO_MANY_REQUESTS, BUSY),
        })?;
        let read = tokio::time::timeout(LOGOUT_TIME_MAX, read(body)).await;
        let bytes = read
            .ok()
            .flatten()
            .ok_or_else(|| Refusal::client(StatusCode::BAD_REQUEST, "request-body"))?;
        following.record.bytes_in = bytes.len() as u64;
        if self.gate.keys.load().is_empty() {
            self.look_for_keys().await;
        }
        if self.gate.keys.load().is_empty() {
            return Err(Denied::NoKeys.into()); // it may be right: it is to be sent again
        }
        match self.judge_logout(&bytes, following.record.client).await {
            Ok(()) => {
                self.count(Family::SignOuts, "back_channel");
                Ok(Response::new(StatusCode::OK, Body::Empty))
            }
            Err(BUSY) => Err(Refusal::client(StatusCode::SERVICE_UNAVAILABLE, BUSY)), // it is to be sent again, too
            Err(why) => {
                self.count(Family::SignOuts, why);
                page::note(&mut following.record, why);
                let told = format!("{{\"error\":\"invalid_request\",\"error_description\":\"{why}\"}}");
                let mut response = Response::new(StatusCode::BAD_REQUEST, Body::full(told));
                response.headers.insert(Known::CONTENT_TYPE, "application/json");
                Ok(response)
            }
        }
    }

    async fn judge_logout(&self, form: &[u8], client: IpAddr) -> Result<(), &'static str> {
        let pairs = str::from_utf8(form).ok().and_then(form::pairs);
        let pairs = pairs.ok_or("logout_malformed")?;
        let token = form::single(&pairs, "logout_token").ok_or("logout_malformed")?;
        let judge = || turns::take(Some(client), self.edge, || self.judge(token));
        let judged = match judge().await.ok_or(BUSY)? {
            Err(BadLogout::Token(BadToken::UnknownKey)) => {
                self.look_for_keys().await;
                judge().await.ok_or(BUSY)?
            }
            judged => judged,
        };
        let logout = judged.map_err(BadLogout::as_str)?;
        let (now, revoked) = (clock::wall(), &self.sessions.revoked);
        if !revoked.first_time(&logout.jti, now, logout.expires) {
            return Err("logout_replayed");
        }
        for mark in logout.marks() {
            revoked.end(mark, now, self.sessions.forget(now));
        }
        Ok(())
    }

    fn judge(&self, token: &str) -> Result<LogoutToken, BadLogout> {
        let client = &self.sessions.settings.client_id;
        let keys = self.gate.keys.load();
        judge_logout(self.gate.gate.settings(), client, token, &keys, clock::wall())
    }

    async fn look_for_keys(&self) {
        // whether they came shows in them
        let _ = tokio::time::timeout(ASK_TIME_MAX, self.provider.look_for_keys()).await;
    }
}

/// A body of up to [`LOGOUT_BYTES_MAX`].
async fn read(mut body: Body) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            if bytes.len() + data.len() > LOGOUT_BYTES_MAX {
                return None;
            }
            bytes.extend_from_slice(&data);
        }
    }
    Some(bytes.freeze())
}
