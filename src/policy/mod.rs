//! What a route does to requests and answers, beside where it leads. All of it is pure.

pub mod errors;

/// Everything that a route's table says of this. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Pages that browsers are shown instead of errors.
    pub errors: errors::ErrorPages,
}
