//! What a route does to requests and answers, beside where it leads. All of it is pure.
//!
//! - [`response`]: fields of answers; [`cors`]: who else may read them.

pub mod cors;
pub mod response;

use self::response::ResponseRules;

/// Everything that a route's table says of this. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// What is done to answers.
    pub response: Option<ResponseRules>,
}
