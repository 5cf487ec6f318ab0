//! What a route does to requests and answers, beside where it leads. All of it is pure.

pub mod access;
pub mod device;
pub mod geo;
pub mod signed;
pub mod viewer;

/// Everything that a route's table says of this. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Who is let in by signature and country, and what the backend is told of the viewer.
    pub access: access::Access,
}
