//! The numbers of all cores and of the control plane, merged, with labels as text.

use std::{collections::BTreeMap, sync::Arc};

use smallvec::SmallVec;

use super::{family::Family, histogram::Histogram};

/// One series: a metric and the values of its labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Which metric.
    pub family: Family,
    /// Values in the order that the family says.
    pub labels: SmallVec<[Arc<str>; 4]>,
}

impl Series {
    /// A series by its labels' texts.
    #[must_use]
    pub fn new(family: Family, labels: &[&str]) -> Self {
        Self {
            family,
            labels: labels.iter().map(|text| Arc::from(*text)).collect(),
        }
    }
}

/// Merged numbers. Merging is associative and commutative, and an empty one changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    numbers: BTreeMap<Series, i64>,
    histograms: BTreeMap<Series, Histogram>,
}

impl Totals {
    /// Adds to a counter or gauge.
    pub fn add(&mut self, series: Series, amount: i64) {
        let number = self.numbers.entry(series).or_default();
        *number = number.saturating_add(amount);
    }

    /// Adds to a histogram.
    pub fn add_times(&mut self, series: Series, times: &Histogram) {
        self.histograms.entry(series).or_default().merge(times);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (series, number) in &other.numbers {
            self.add(series.clone(), *number);
        }
        for (series, times) in &other.histograms {
            self.add_times(series.clone(), times);
        }
    }

    /// The number of one series, zero if it was never counted.
    #[must_use]
    pub fn number(&self, family: Family, labels: &[&str]) -> i64 {
        let series = Series::new(family, labels);
        self.numbers.get(&series).copied().unwrap_or(0)
    }

    /// The durations of one series, none if it was never counted.
    #[must_use]
    pub fn times(&self, family: Family, labels: &[&str]) -> Histogram {
        let series = Series::new(family, labels);
        self.histograms.get(&series).copied().unwrap_or_default()
    }

    /// The number of one series, zero if it was never counted.
    #[must_use]
    pub fn number_at(&self, series: &Series) -> i64 {
        self.numbers.get(series).copied().unwrap_or(0)
    }

    /// The durations of one series, none if it was never counted.
    #[must_use]
    pub fn times_at(&self, series: &Series) -> Histogram {
        self.histograms.get(series).copied().unwrap_or_default()
    }

    /// The numbers of one metric, by label.
    pub fn numbers_of(&self, family: Family) -> impl Iterator<Item = (&Series, i64)> {
        self.numbers
            .range(first_of(family)..)
            .take_while(move |(series, _)| series.family == family)
            .map(|(series, number)| (series, *number))
    }

    /// The durations of one metric, by label.
    pub fn times_of(&self, family: Family) -> impl Iterator<Item = (&Series, &Histogram)> {
        self.histograms
            .range(first_of(family)..)
            .take_while(move |(series, _)| series.family == family)
    }
}

/// What comes before every series of a family.
fn first_of(family: Family) -> Series {
    Series {
        family,
        labels: SmallVec::new(),
    }
}
