//! What a route does to requests and answers, beside where it leads. All of it is pure.

pub mod forward;

use forward::Forward;

/// Everything that a route's table says of this. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// What of the visitor's headers, cookies and query strings reaches the backend. `None`: all of it.
    pub forward: Option<Box<Forward>>,
}
