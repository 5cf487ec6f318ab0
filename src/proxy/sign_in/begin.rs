//! The way to the identity provider and back.

use http::{HeaderValue, StatusCode};

use super::{
    super::{follow::Following, redirect, refusal::Refusal, seats::Full},
    ASK_TIME_MAX, Asked, CALLBACK_PATH, DESKS_EACH_MAX, DESKS_MAX, navigates, page,
};
use crate::{
    fields::Known,
    gate::{
        Denied,
        session::{
            About, Answered, NoSession, SIGN_IN_ENTROPY, Sessions, SignIn, Wish, address, form, free_place,
            under_way,
        },
    },
    message::Response,
    observe::metrics::Family,
    snapshot::provider::{Redeem, Unvouched},
};

impl Asked<'_> {
    /// `GET /.banyan/login`: sends a browser to the provider.
    pub(super) async fn begin(&self) -> Result<Response, Refusal> {
        if !navigates(self.head) {
            return Err(Denied::Missing.into()); // no picture and no script begins a sign-in
        }
        let silent = || Refusal::from(Denied::from(NoSession::Silent));
        let about = self.provider.about().await.ok_or_else(silent)?;
        let wanted = form::pairs(self.query).unwrap_or_default();
        let to = form::single(&wanted, "to").unwrap_or("/");
        let sign_in = SignIn::begin(to, Wish::read(&wanted), self.now, &self.entropy());
        let place = free_place(self.sessions, &self.head.headers, &self.host, self.now);
        let response = self.set_out(&sign_in, place, &about).ok_or_else(silent)?;
        self.count(Family::SignIns, "begun");
        Ok(response)
    }

    /// Sends a browser to the provider; what it is to bring back is in its cookie.
    fn set_out(&self, sign_in: &SignIn, place: usize, about: &About) -> Option<Response> {
        let cookie = self
            .sessions
            .set_sign_in(sign_in, place, &self.host, self.nonce())?;
        let target = address(about, self.sessions, sign_in, &self.address(CALLBACK_PATH));
        let mut response = redirect::to(StatusCode::FOUND, &target);
        response.headers.append(Known::SET_COOKIE, cookie);
        // what was there before a sign-in does not outlive it
        response
            .headers
            .append(Known::SET_COOKIE, Sessions::forget_cookie());
        Some(response)
    }

    fn entropy(&self) -> [u8; SIGN_IN_ENTROPY] {
        let mut entropy = [0; SIGN_IN_ENTROPY];
        for part in entropy.chunks_mut(16) {
            part.copy_from_slice(self.edge.random16().get(..part.len()).unwrap_or_default());
        }
        entropy
    }

    /// `GET /.banyan/callback`: takes it back.
    pub(super) async fn come_back(&self, following: &mut Following) -> Response {
        let state = under_way(
            self.sessions,
            &self.head.headers,
            &self.host,
            self.query,
            self.now,
        );
        let came = match &state {
            Some((_, sign_in)) => self.finish_sign_in(sign_in, following).await,
            None => Err((StatusCode::BAD_REQUEST, "state")),
        };
        let sign_in = state.as_ref().map(|(_, sign_in)| sign_in);
        let failed = |status, why, following: &mut Following| {
            self.count(Family::SignIns, why);
            page::note(&mut following.record, why);
            let nothing = (&Wish::default(), "/");
            let (wish, to) = sign_in.map_or(nothing, |sign_in| (sign_in.wish(), sign_in.to()));
            page::failed(status, why, to, wish)
        };
        let mut response = match came {
            Ok(Came::In(cookie)) => {
                self.count(Family::SignIns, "done");
                let to = sign_in.map_or("/", SignIn::to);
                with(redirect::to(StatusCode::SEE_OTHER, to), cookie)
            }
            Ok(Came::Unmet(cookie, why)) => match self.once_more(state.as_ref()) {
                Some(response) => return response, // its cookie is in the place of the one that it came with
                None => with(failed(StatusCode::FORBIDDEN, why, following), cookie),
            },
            Err((status, why)) => with(failed(status, why, following), Some(Sessions::forget_cookie())),
        };
        if let Some(cookie) = state
            .as_ref()
            .and_then(|(place, _)| Sessions::forget_sign_in(*place))
        {
            response.headers.append(Known::SET_COOKIE, cookie);
        }
        response
    }

    /// A provider that came back without what was asked for is sent to once more, and is to ask whoever sits there this time.
    fn once_more(&self, state: Option<&(usize, SignIn)>) -> Option<Response> {
        let (place, sign_in) = state?;
        let about = self.provider.about.load_full()?;
        let again = sign_in.again(self.now, &self.entropy())?;
        let response = self.set_out(&again, *place, &about)?;
        self.count(Family::SignIns, "again");
        Some(response)
    }

    async fn finish_sign_in(
        &self,
        sign_in: &SignIn,
        following: &Following,
    ) -> Result<Came, (StatusCode, &'static str)> {
        let about = self.provider.about().await;
        let about = about.ok_or((StatusCode::SERVICE_UNAVAILABLE, "provider_silent"))?;
        let issuer = &self.provider.settings.issuer;
        let code = match SignIn::judge(self.query, &about, issuer) {
            Ok(Answered::Code(code)) => code,
            Ok(Answered::Declined) => return Err((StatusCode::FORBIDDEN, "declined")),
            Ok(Answered::Unmet) => return Err((StatusCode::FORBIDDEN, "sign_in_too_weak")),
            Err(bad) => return Err((StatusCode::BAD_REQUEST, bad.as_str())),
        };
        let seats = &self.edge.desks.0;
        let seat = seats.take(following.record.client, DESKS_MAX, DESKS_EACH_MAX);
        let _seat = seat.map_err(|full| match full {
            Full::All => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Full::Address => (StatusCode::TOO_MANY_REQUESTS, "busy"),
        })?;
        let redeem = Redeem {
            code,
            verifier: sign_in.verifier().to_owned(),
            nonce: sign_in.nonce().to_owned(),
            redirect_uri: self.address(CALLBACK_PATH),
        };
        let redeeming = tokio::time::timeout(ASK_TIME_MAX, self.provider.redeem(redeem));
        let vouched = redeeming.await.unwrap_or(Err(Unvouched::Silent));
        let vouched = vouched.map_err(|why| (status_of(why), why.as_str()))?;
        let malformed = (StatusCode::BAD_GATEWAY, "provider_malformed");
        let claims = vouched.claims.ok_or(malformed)?;
        // It began before the code was redeemed: a sign-out that comes meanwhile ends it.
        let times = (self.now, vouched.at);
        let random = (self.edge.random16(), self.nonce());
        let begun = self
            .sessions
            .begin(&self.host, &claims, vouched.refresh, times, random);
        let begun = begun.map_err(|_| (StatusCode::BAD_GATEWAY, "session_too_large"))?;
        let unmet = sign_in.wish().unmet(&begun.session.identity, vouched.at);
        Ok(match unmet {
            None => Came::In(begun.set_cookie),
            Some(why) => Came::Unmet(begun.set_cookie, why),
        })
    }
}

/// What a browser came back with: the cookie of its session, and in what the sign-in was not as wished.
enum Came {
    In(Option<HeaderValue>),
    Unmet(Option<HeaderValue>, &'static str),
}

fn with(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers.append(Known::SET_COOKIE, cookie);
    }
    response
}

const fn status_of(why: Unvouched) -> StatusCode {
    match why {
        Unvouched::Silent => StatusCode::SERVICE_UNAVAILABLE,
        Unvouched::Refused => StatusCode::FORBIDDEN,
        Unvouched::Token(_) | Unvouched::Malformed => StatusCode::BAD_GATEWAY,
    }
}
