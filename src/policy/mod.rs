//! What a route does to requests and answers, beside where it leads. All of it is pure.

pub mod compress;

/// Everything that a route's table says of this. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Answers are compressed, and how.
    pub compress: Option<compress::Compression>,
}
