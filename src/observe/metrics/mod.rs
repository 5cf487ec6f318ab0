//! Metrics: every core counts for itself; whoever scrapes asks the cores, merges and writes it down.
//!
//! - `family`: every metric's name, kind, labels and meaning.
//! - `label`, `histogram`, `slots`, `tally`: one core's numbers.
//! - `scrape`, `totals`: all cores' numbers together.
//! - `facts`: what the control plane adds.
//! - `render`: the text.

mod facts;
mod family;
mod histogram;
mod label;
mod render;
mod scrape;
mod slots;
mod tally;
mod totals;

pub use facts::{BackendFacts, Facts, Reload, ServerFacts};
pub use family::{Description, Family, Kind};
pub use histogram::{BUCKETS, Histogram};
pub use label::{GONE_LABELS_MAX, LABELS_MAX, Label, OTHER};
pub use render::{Exposition, render};
pub use scrape::{ANSWER_TIMEOUT, Gathered, Scraper, TallyRequest};
pub use slots::SERIES_MAX;
pub(super) use tally::Plan;
pub use tally::{Tally, TallySnapshot};
pub use totals::{Series, Totals};

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
