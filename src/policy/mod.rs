//! What a route does to requests and answers, beside where it leads. All of it is pure.
//!
//! [`request`] is what is said of requests before all else: https, methods, the path that is forwarded. [`redirect`] is a target of
//! its own: an answer instead of a backend.

pub mod redirect;
pub mod request;

pub use self::{redirect::Redirect, request::RequestPolicy};

/// Everything that a route's table says of this. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Over which protocol and by which methods it is asked, and under which path it forwards.
    pub request: RequestPolicy,
}
