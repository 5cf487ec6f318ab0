//! Metrics as text: OpenMetrics for whoever asks for it, Prometheus' own text format for all others.

use std::{collections::BTreeMap, fmt};

use http::HeaderValue;
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder,
        NoLabelSet, text,
    },
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::{
    family::{Description, Family, Kind},
    totals::{Series, Totals},
};

/// How metrics are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format 0.0.4: what `curl` gets, and what `promtool check metrics` reads.
    Text,
    /// OpenMetrics 1.0: what Prometheus asks for.
    OpenMetrics,
}

impl Exposition {
    /// What an `Accept` field asks for.
    #[must_use]
    pub fn asked(accept: Option<&HeaderValue>) -> Self {
        let wants = |value: &HeaderValue| {
            value
                .to_str()
                .is_ok_and(|text| text.contains("application/openmetrics-text"))
        };
        if accept.is_some_and(wants) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Its `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes all metrics. Families without a single series are left out.
#[must_use]
pub fn render(totals: Totals, others: Vec<(Series, f64)>, exposition: Exposition) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Shown {
        totals,
        others: others.into_iter().collect(),
    }));
    let mut text = String::new();
    if text::encode(&mut text, &registry).is_err() {
        return String::new(); // a String never refuses
    }
    match exposition {
        Exposition::OpenMetrics => text,
        Exposition::Text => as_prometheus_text(&text),
    }
}

/// Numbers that wait to be written.
#[derive(Debug)]
struct Shown {
    totals: Totals,
    others: BTreeMap<Series, f64>,
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in Family::ALL {
            self.encode_family(*family, &mut encoder)?;
        }
        Ok(())
    }
}

impl Shown {
    fn encode_family(&self, family: Family, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let described = family.describe();
        let others: Vec<_> = self
            .others
            .iter()
            .filter(|(series, _)| series.family == family)
            .collect();
        let numbers: Vec<_> = self.totals.numbers_of(family).collect();
        let times: Vec<_> = self.totals.times_of(family).collect();
        if others.is_empty() && numbers.is_empty() && times.is_empty() {
            return Ok(());
        }
        let (stem, unit) = stem_and_unit(described.name);
        let kind = match described.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        let counts = described.kind == Kind::Counter;
        let mut metric = encoder.encode_descriptor(stem, described.help, unit.as_ref(), kind)?;
        for (series, number) in numbers {
            with_labels(&mut metric, &described, series, |metric| {
                if counts {
                    encode_counter(metric, &number.unsigned_abs())
                } else {
                    metric.encode_gauge(&number)
                }
            })?;
        }
        for (series, number) in others {
            with_labels(&mut metric, &described, series, |metric| {
                if counts {
                    encode_counter(metric, number)
                } else {
                    metric.encode_gauge(number)
                }
            })?;
        }
        for (series, times) in times {
            let buckets: Vec<_> = times.buckets().collect();
            with_labels(&mut metric, &described, series, |metric| {
                metric.encode_histogram::<NoLabelSet>(times.seconds(), times.count(), &buckets, None)
            })?;
        }
        Ok(())
    }
}

/// Writes one series; one without labels gets no empty braces.
fn with_labels(
    metric: &mut MetricEncoder<'_>,
    described: &Description,
    series: &Series,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> Result<(), fmt::Error>,
) -> Result<(), fmt::Error> {
    if described.labels.is_empty() {
        return write(metric);
    }
    let labels = Pairs {
        names: described.labels,
        series,
    };
    write(&mut metric.encode_family(&labels)?)
}

fn encode_counter(
    metric: &mut MetricEncoder<'_>,
    number: &impl EncodeCounterValue,
) -> Result<(), fmt::Error> {
    metric.encode_counter::<NoLabelSet, _, f64>(number, None)
}

/// Names and values of a series' labels.
struct Pairs<'a> {
    names: &'static [&'static str],
    series: &'a Series,
}

impl EncodeLabelSet for Pairs<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, value) in self.names.iter().zip(&self.series.labels) {
            EncodeLabel::encode(&(*name, &**value), encoder.encode_label())?;
        }
        Ok(())
    }
}

/// A name without `_total` and unit, which the encoder puts back.
fn stem_and_unit(name: &str) -> (&str, Option<Unit>) {
    let name = name.strip_suffix("_total").unwrap_or(name);
    for unit in [Unit::Seconds, Unit::Bytes] {
        let stem = name
            .strip_suffix(unit.as_str())
            .and_then(|stem| stem.strip_suffix('_'));
        if let Some(stem) = stem {
            return (stem, Some(unit));
        }
    }
    (name, None)
}

/// OpenMetrics read as Prometheus' text format would call a counter `x_total` untyped, since its TYPE line says `x`. So counters'
/// HELP and TYPE lines get their ending, and what the older format does not know is left out.
fn as_prometheus_text(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let ending = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                text.extend(["# HELP ", name, ending, " ", help, "\n"]);
            }
            text.extend(["# TYPE ", name, ending, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            text.extend([line, "\n"]);
        }
    }
    text
}
