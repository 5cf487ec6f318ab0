//! What a route does to requests and answers, beside where it leads. All of it is pure.
//!
//! - [`request`]: what is said of requests before all else: https, methods, the path that is forwarded. [`redirect`] is a target of its
//!   own: an answer instead of a backend.
//! - [`access`]: who is let in by signature ([`signed`]) and country ([`geo`]), and what the backend is told of the [`viewer`].
//! - [`assets`]: which requests are for hashed files, that any version may have.
//! - [`caching`]: what is kept of answers, and by what requests are told apart.
//! - [`errors`]: pages that browsers see instead of errors.
//! - [`forward`]: what of a request passes. [`failover`]: who is asked when a backend fails. [`protection`]: how long and how much. [`response`]: fields of answers; [`cors`]: who else may read them.

pub mod access;
pub mod assets;
pub mod caching;
pub mod cors;
pub mod device;
pub mod errors;
pub mod failover;
pub mod forward;
pub mod geo;
pub mod protection;
pub mod redirect;
pub mod request;
pub mod response;
pub mod signed;
pub mod viewer;

use self::{failover::Failover, forward::Forward, response::ResponseRules};
pub use self::{redirect::Redirect, request::RequestPolicy};

pub mod compress;

/// Everything that a route's table says of this. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// What of the visitor's headers, cookies and query strings reaches the backend. `None`: all of it.
    pub forward: Option<Box<Forward>>,
    /// What is done to answers.
    pub response: Option<ResponseRules>,
    /// Over which protocol and by which methods it is asked, and under which path it forwards.
    pub request: RequestPolicy,
    /// Who is asked when the route's backend fails.
    pub failover: Option<Failover>,
    /// Pages that browsers are shown instead of errors.
    pub errors: errors::ErrorPages,
    /// Who is let in by signature and country, and what the backend is told of the viewer.
    pub access: access::Access,
    /// How long things may take, what may be tried again, and how much may go on at once.
    pub protection: protection::Protection,
    /// The waiting room that stands before it.
    pub room: Option<crate::name::RoomName>,
    /// Answers are compressed, and how.
    pub compress: Option<compress::Compression>,
    /// Answers are kept, and how.
    pub cache: Option<Box<caching::Caching>>,
    /// Which requests are for hashed assets, looked for elsewhere where they are missing. `None`: nothing is said.
    pub assets: Option<assets::Assets>,
}
