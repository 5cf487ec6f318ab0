//! What a route does to requests and answers, beside where it leads. All of it is pure.

pub mod failover;

use self::failover::Failover;

/// Everything that a route's table says of this. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Who is asked when the route's backend fails.
    pub failover: Option<Failover>,
}
