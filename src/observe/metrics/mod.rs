//! Metrics: every core counts for itself; whoever scrapes asks the cores, merges and writes it down.
//!
//! - `family`: every metric's name, kind, labels and meaning.
//! - `label`, `histogram`, `tally`: one core's numbers.
//! - `scrape`, `totals`: all cores' numbers together.
//! - `facts`: what the control plane adds.
//! - `render`: the text.

mod facts;
mod family;
mod histogram;
mod label;
mod render;
mod scrape;
mod tally;
mod totals;

pub use facts::{Facts, Reload};
pub use family::{Description, Family, Kind};
pub use histogram::{BUCKETS, Histogram};
pub use label::{GONE_LABELS_MAX, LABELS_MAX, Label, OTHER};
pub use render::{Exposition, render};
pub use scrape::{ANSWER_TIMEOUT, Gathered, Scraper, TallyRequest};
pub use tally::{SERIES_MAX, Tally, TallySnapshot};
pub use totals::{Series, Totals};

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
