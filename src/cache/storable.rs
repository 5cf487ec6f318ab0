//! Whether an answer may be kept (RFC 9111 section 3), and what of it (section 3.1).

use http::StatusCode;

use super::{directives::Directives, freshness, vary};
use crate::{
    fields::{Fields, Known, KnownSet},
    policy::caching::Bounds,
};

/// What the decision depends on beside the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The request had credentials.
    pub authorized: bool,
    /// The request was for a part.
    pub partial: bool,
    /// Answers that set cookies are kept all the same.
    pub keeps_cookies: bool,
    /// Times of the route.
    pub bounds: &'a Bounds,
}

/// Why an answer is not kept: the `detail` of `Cache-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unstorable {
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// The request had credentials, and the answer does not say that it is for everybody.
    Authorization,
    /// It sets a cookie.
    SetCookie,
    /// It depends on more than a request says.
    VaryStar,
    /// Its status is of a part, of no answer at all, or not understood where it must be.
    Status,
    /// Nothing says that it may be used again, and it can't be validated.
    NoFreshness,
}

impl Unstorable {
    /// As `Cache-Status` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VaryStar => "vary-star",
            Self::Status => "status",
            Self::NoFreshness => "no-freshness",
        }
    }
}

/// Judges an answer to GET.
///
/// # Errors
/// Why it is not kept.
pub fn judge(
    status: StatusCode,
    fields: &Fields,
    directives: &Directives,
    asked: Asked<'_>,
) -> Result<(), Unstorable> {
    let code = status.as_u16();
    let understood = freshness::is_heuristic(status)
        || matches!(code, 302 | 303 | 307 | 400..=403 | 406..=409 | 411..=415 | 417 | 421..=429 | 451 | 500..=505);
    if code < 200 || matches!(code, 206 | 304 | 416) || (asked.partial && code != 200) {
        return Err(Unstorable::Status);
    }
    match (directives.must_understand, understood) {
        (true, false) => return Err(Unstorable::Status),
        (false, _) if directives.no_store => return Err(Unstorable::NoStore),
        _ => {} // RFC 9111 section 5.2.2.3: who understands ignores `no-store`
    }
    if directives.private {
        return Err(Unstorable::Private);
    }
    if asked.authorized && !directives.is_shared() {
        return Err(Unstorable::Authorization);
    }
    if fields.contains_key(Known::SET_COOKIE) && !asked.keeps_cookies {
        return Err(Unstorable::SetCookie);
    }
    if vary::has_star(fields) {
        return Err(Unstorable::VaryStar);
    }
    let validator = fields.contains_key(Known::ETAG) || fields.contains_key(Known::LAST_MODIFIED);
    let by_itself = freshness::is_heuristic(status) || directives.public;
    let timed = freshness::is_explicit(fields, directives)
        || (by_itself && (validator || asked.bounds.default.is_some()))
        || (directives.no_cache && validator);
    timed.then_some(()).ok_or(Unstorable::NoFreshness)
}

/// Fields that are of one connection or one exchange, never of the answer (RFC 9111 section 3.1).
const NEVER: KnownSet = KnownSet::of(&[
    Known::AGE, // it is reckoned anew each time
    Known::CONNECTION,
    Known::KEEP_ALIVE,
    Known::PROXY_AUTHENTICATE,
    Known::PROXY_AUTHORIZATION,
    Known::PROXY_CONNECTION,
    Known::PROXY_STATUS,
    Known::TE,
    Known::TRAILER,
    Known::TRANSFER_ENCODING,
    Known::UPGRADE,
    Known::X_REQUEST_ID,
]);
const NEVER_TOO: [&str; 2] = ["proxy-authentication-info", "cache-status"];

/// What of an answer's fields is kept. Those that `Connection` names are out already: whoever passes an answer on takes them.
#[must_use]
pub fn kept(fields: &Fields, directives: &Directives) -> Fields {
    let mut kept = fields.clone();
    kept.retain(|name, _| {
        let text = name.as_str();
        !name.is_in(NEVER)
            && !NEVER_TOO.contains(&text)
            && !directives.not_kept.iter().any(|named| named == text)
    });
    kept
}
