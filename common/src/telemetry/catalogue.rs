//! Table: every number that a node tells: its name, kind, unit, labels and meaning.
//!
//! Read first: <https://prometheus.io/docs/practices/naming/>, and the OpenMetrics text format.
//!
//! The exposition takes its `# HELP`, `# TYPE` and `# UNIT` lines from here, the manual's chapter on metrics is
//! printed from here, and tests hold that nothing is told that does not stand here, and that nothing stands here that
//! is not told. **Every label has a bounded set of values**: whatever strangers send, the number of series does not
//! grow beyond what is written here.

mod cdr;
mod exports;
mod icscf;
mod latency;
mod pcscf;
mod printed;
mod process;
mod scscf;
mod sip;
mod why;

use crate::node::{MetricKind, Metrics};

pub(crate) use self::latency::{COMMANDS, RESULTS, STATUS_CLASSES};
pub use self::printed::chapter;
pub(crate) use self::sip::METHODS;

/// What is counted together, and told together in the manual.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// A sentence about it.
    pub about: &'static str,
    /// Its metrics, by name.
    pub rows: &'static [Row],
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// As Prometheus shows it, `_total` included.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What its labels may say.
    pub labels: &'static [Label],
    /// One sentence.
    pub help: &'static str,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Counts durations by how long they were.
    Histogram,
}

/// A label and its values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
}

/// What a label may say: always one of few.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Values {
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A short reason that is written in the code, never taken from a message.
    Reason,
    /// A host of the configuration, or one that its peers were allowed to have.
    Peer,
    /// A name that this kernel gives to one of its counters.
    Kernel,
}

/// Most values of a label, whatever its kind.
pub const VALUES_MAX: usize = 64;

/// All of them.
pub const CATALOGUE: &[Section] = &[
    process::SECTION,
    process::SOCKETS,
    sip::SECTION,
    latency::SECTION,
    sip::DIAMETER,
    pcscf::SECTION,
    pcscf::PROTECTION,
    icscf::SECTION,
    scscf::SECTION,
    cdr::SECTION,
    why::SECTION,
    exports::SECTION,
];

/// All metrics.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    CATALOGUE.iter().flat_map(|section| section.rows)
}

/// The metric of this name.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    rows().find(|row| row.name == name)
}

impl Row {
    /// The base unit that the name ends with.
    #[must_use]
    pub fn unit(&self) -> Option<&'static str> {
        let plain = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes"]
            .into_iter()
            .find(|unit| plain.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
    }
}

impl Values {
    /// Whether a label may say this.
    #[must_use]
    pub fn has(&self, value: &str) -> bool {
        match self {
            Self::OneOf(values) => values.contains(&value),
            Self::Reason | Self::Kernel => !value.is_empty() && value.len() <= 48,
            Self::Peer => !value.is_empty(),
        }
    }
}

/// What these metrics have that the catalogue does not promise: one sentence for each.
#[must_use]
pub fn complaints(metrics: &Metrics) -> Vec<String> {
    let series = metrics.iter().map(|(name, labels, kind, _)| {
        let kind = match kind {
            MetricKind::Counter => Kind::Counter,
            MetricKind::Gauge | MetricKind::Seconds => Kind::Gauge,
        };
        complaint(name, kind, labels)
    });
    let histograms = metrics
        .histograms()
        .map(|(name, labels, _)| complaint(name, Kind::Histogram, labels));
    let mut all: Vec<String> = series.chain(histograms).flatten().collect();
    all.dedup();
    all
}

/// What is wrong with one series.
#[must_use]
pub fn complaint<K: AsRef<str>, V: AsRef<str>>(name: &str, kind: Kind, labels: &[(K, V)]) -> Option<String> {
    let Some(row) = row(name) else {
        return Some(format!("{name} is not in the catalogue"));
    };
    if row.kind != kind {
        return Some(format!("{name} is a {:?} and told as a {kind:?}", row.kind));
    }
    if labels.len() != row.labels.len() {
        return Some(format!(
            "{name} has {} labels, not {}",
            labels.len(),
            row.labels.len()
        ));
    }
    labels.iter().find_map(|(key, value)| {
        let (key, value) = (key.as_ref(), value.as_ref());
        match row.labels.iter().find(|label| label.name == key) {
            None => Some(format!("{name} has a label {key}")),
            Some(label) if !label.values.has(value) => Some(format!("{name} says {key}=\"{value}\"")),
            Some(_) => None,
        }
    })
}

const fn counter(name: &'static str, labels: &'static [Label], help: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Counter,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, labels: &'static [Label], help: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Gauge,
        labels,
        help,
    }
}

const fn histogram(name: &'static str, labels: &'static [Label], help: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Histogram,
        labels,
        help,
    }
}

const fn one_of(name: &'static str, values: &'static [&'static str]) -> Label {
    Label {
        name,
        values: Values::OneOf(values),
    }
}

/// The label of all counters that a machine keeps by itself.
const WHY: Label = Label {
    name: "reason",
    values: Values::Reason,
};
const REASON: &[Label] = &[WHY];

#[cfg(test)]
mod tests;
