//! Machine: the one contract between pure cores and the world, and the tables that cores are made of.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::ifc_test::{IfcTest, IfcTestAnswer, IfcTestError};
use crate::net::Flow;
use crate::operate::{Question, Report};
use crate::overload::Work;
use crate::sip::Message;
use crate::token::ShardId;
use crate::why::Note;

mod histogram;
mod number_hash;
mod sharded;
mod timer_table;

pub use histogram::{Bounds, Histogram};
pub use number_hash::{NumberHash, NumberMap, give_back};
pub use sharded::{Sharded, Spoken};
pub use timer_table::TimerTable;

/// A network function, or a test peer, driven from outside.
///
/// **The rule: after every `handle*`, drain `poll_output` to `None` before the next.** Drain it once after
/// construction too: a node that dials does so then.
/// `now` never goes back. A spurious `handle_timeout` is a no-op. A node reads no clock, opens no
/// socket and draws no entropy: the driver (`shell::driver`) or the simulator gives it everything.
pub trait Node {
    /// What the world tells the node.
    type Input;
    /// What the node asks of the world.
    type Output;
    /// Takes one input at time `now`.
    fn handle(&mut self, now: Instant, input: Self::Input);
    /// Whether what comes along a flow is to be thrown away unread, as from a source that the node has banned. The shell
    /// asks before it copies or scans anything; a node that is not asked drops it by itself.
    fn turns_away(&mut self, _now: Instant, _flow: &Flow) -> bool {
        false
    }
    /// How urgent a message is that comes along a flow, for whoever lets messages wait.
    fn work_of(&self, _flow: &Flow, message: &Message) -> Work {
        Work::of(message)
    }
    /// Fires every timer that is due at `now`.
    fn handle_timeout(&mut self, now: Instant);
    /// The next output, or `None` when all has been said.
    fn poll_output(&mut self) -> Option<Self::Output>;
    /// When `handle_timeout` wants to be called next.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Adds this node's counters and gauges to `out`.
    fn metrics(&self, out: &mut Metrics);
    /// The next thing that the node knows and no wire shows, or `None`. Nothing depends on whether it is read.
    fn poll_note(&mut self) -> Option<Note> {
        None
    }
    /// Adds this node's rows of the list that an operator asks for.
    fn report(&self, _now: Instant, _question: &Question, _out: &mut Report) {}
    /// Tries filter criteria for the operator, changing nothing; `None`: this node has none.
    fn ifc_test(&self, _test: &IfcTest) -> Option<Result<IfcTestAnswer, IfcTestError>> {
        None
    }
}

/// Chance and calendar for one node: everything it may not draw by itself.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// 32 bytes of entropy (OS entropy in the shell, the test's number in simulation).
    pub entropy: [u8; 32],
    /// Wall-clock second of the start, for Origin-State-Id, End-to-End ids and printed dates.
    pub boot_unix_secs: u64,
}

impl Seed {
    /// A seed made of one number, for tests and simulations.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let mut entropy = [0; 32];
        entropy[..8].copy_from_slice(&number.to_be_bytes());
        Self {
            entropy,
            boot_unix_secs: 1_767_225_600,
        }
    }

    /// The seed of one shard: that of the node for the first one.
    #[must_use]
    pub fn of_shard(mut self, shard: ShardId) -> Self {
        // No stream of `rng` touches this octet.
        self.entropy[30] ^= shard.0;
        self
    }

    /// The node's own random number generator. `stream` keeps two users of one seed apart.
    #[must_use]
    pub fn rng(&self, stream: u8) -> StdRng {
        let mut entropy = self.entropy;
        entropy[31] ^= stream;
        StdRng::from_seed(entropy)
    }
}

/// Named numbers of one node, filled on demand by [`Node::metrics`].
///
/// Names follow Prometheus: `ims_<what>_total` for counters, no suffix for gauges. Each stands in
/// [`crate::telemetry::catalogue`].
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    values: BTreeMap<SeriesKey, (MetricKind, u64)>,
    histograms: BTreeMap<SeriesKey, Histogram>,
    /// Of these gauges the largest counts, where several nodes have them.
    largest: BTreeSet<&'static str>,
    leaves_out_counters: bool,
}

/// Name and labels of one series.
type SeriesKey = (&'static str, Vec<(&'static str, String)>);

/// How a value moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Goes both ways: a duration in microseconds, told in seconds.
    Seconds,
}

impl Metrics {
    /// Metrics that take gauges only: cheap enough to be asked for after every step of a simulation.
    #[must_use]
    pub const fn gauges() -> Self {
        Self {
            values: BTreeMap::new(),
            histograms: BTreeMap::new(),
            largest: BTreeSet::new(),
            leaves_out_counters: true,
        }
    }

    /// Adds to a counter.
    pub fn counter(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: u64) {
        if self.leaves_out_counters {
            return;
        }
        self.add(name, labels, MetricKind::Counter, value);
    }

    /// Adds to a gauge.
    pub fn gauge(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: u64) {
        self.add(name, labels, MetricKind::Gauge, value);
    }

    /// Sets a gauge to a duration. When metrics are merged, the longest counts.
    pub fn longest(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: Duration) {
        self.largest.insert(name);
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.add(name, labels, MetricKind::Seconds, micros);
    }

    /// Adds what a histogram has counted.
    pub fn histogram(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: &Histogram) {
        if self.leaves_out_counters {
            return;
        }
        self.add_histogram((name, owned(labels)), value);
    }

    /// All histograms, by name, then labels.
    pub fn histograms(&self) -> impl Iterator<Item = (&'static str, &[(&'static str, String)], &Histogram)> {
        self.histograms
            .iter()
            .map(|((name, labels), value)| (*name, labels.as_slice(), value))
    }

    /// All values, by name, then labels.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[(&'static str, String)], MetricKind, u64)> {
        self.values
            .iter()
            .map(|((name, labels), (kind, value))| (*name, labels.as_slice(), *kind, *value))
    }

    /// The sum of all values of this name whose labels include all of `labels`.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.iter()
            .filter(|(n, l, _, _)| {
                *n == name
                    && labels
                        .iter()
                        .all(|(k, v)| l.iter().any(|(lk, lv)| lk == k && lv == v))
            })
            .map(|(_, _, _, value)| value)
            .sum()
    }

    /// Adds all that other metrics have, as those of another shard of the same node.
    pub fn merge(&mut self, other: Self) {
        for ((name, labels), (kind, value)) in other.values {
            let slot = self.values.entry((name, labels)).or_insert((kind, 0));
            slot.1 = match other.largest.contains(name) {
                true => slot.1.max(value),
                false => slot.1.saturating_add(value),
            };
        }
        for (key, value) in other.histograms {
            self.add_histogram(key, &value);
        }
    }

    fn add_histogram(&mut self, key: SeriesKey, value: &Histogram) {
        match self.histograms.entry(key) {
            Entry::Vacant(slot) => {
                slot.insert(*value);
            }
            Entry::Occupied(mut slot) => slot.get_mut().merge(value),
        }
    }

    fn add(&mut self, name: &'static str, labels: &[(&'static str, &str)], kind: MetricKind, value: u64) {
        let slot = self.values.entry((name, owned(labels))).or_insert((kind, 0));
        slot.1 = slot.1.saturating_add(value);
    }
}

fn owned(labels: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    labels.iter().map(|(k, v)| (*k, (*v).to_owned())).collect()
}

/// Counters that a machine keeps while it runs, by (name, reason); copied out by [`Node::metrics`].
#[derive(Clone, Debug, Default)]
pub struct Counters {
    values: BTreeMap<(&'static str, &'static str), u64>,
}

impl Counters {
    /// Counts one event of `name` with the label `reason`.
    pub fn count(&mut self, name: &'static str, reason: &'static str) {
        let slot = self.values.entry((name, reason)).or_insert(0);
        *slot = slot.saturating_add(1);
    }

    /// Copies everything to `out` under the label `reason`.
    pub fn export(&self, out: &mut Metrics) {
        for ((name, reason), value) in &self.values {
            out.counter(name, &[("reason", reason)], *value);
        }
    }

    /// The present value of one counter.
    #[must_use]
    pub fn get(&self, name: &'static str, reason: &'static str) -> u64 {
        self.values.get(&(name, reason)).copied().unwrap_or(0)
    }
}

/// The earlier of two optional instants.
#[must_use]
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
