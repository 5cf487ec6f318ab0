//! The page's own files, inside the binary. There are no others': nothing is fetched from anywhere.

/// How the page looks.
pub(super) const STYLE: &str = include_str!("assets/style.css");
/// What keeps the page fresh; it works without.
pub(super) const SCRIPT: &str = include_str!("assets/script.js");
/// What moves a flag.
pub(super) const FLAG_SCRIPT: &str = include_str!("assets/flag.js");
/// What purges.
pub(super) const CACHE_SCRIPT: &str = include_str!("assets/cache.js");
/// The mark.
pub(super) const MARK: &str = include_str!("assets/banyan.svg");
