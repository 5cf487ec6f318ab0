//! A shared cache of answers: [`store`] keeps them, within its bounds, and forgets what is purged; the rest is RFC 9111 as pure functions.
//!
//! - [`directives`]: `Cache-Control` and `CDN-Cache-Control` (RFC 9213, by `dictionary`); [`date`]; [`freshness`]: for how long.
//! - [`storable`]: what is kept at all; [`vary`]: for which requests; [`labels`]: groups (RFC 9875) and tags to drop it by.
//! - [`conditional`]: validation, both ways; [`range`]: parts; [`status`]: `Cache-Status` (RFC 9211).
//!
//! `proxy::caching` asks them for each request.

#[cfg(test)]
mod answers_tests;
pub mod conditional;
pub mod date;
mod dictionary;
pub mod directives;
pub mod freshness;
pub mod labels;
pub mod range;
pub mod status;
pub mod storable;
pub mod store;
pub mod vary;
