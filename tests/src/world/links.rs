//! Testkit: what happens to a message between two nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;

/// How one pair of nodes is joined, in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// The time a message takes at least.
    pub delay: Duration,
    /// How much longer it may take: a later datagram overtakes an earlier one. Streams keep their order.
    pub jitter: Duration,
    /// Datagrams lost, in thousandths.
    pub loss: u32,
    /// Datagrams doubled, in thousandths.
    pub duplicates: u32,
    /// Messages on streams that arrive in pieces, in thousandths.
    pub pieces: u32,
    /// Datagrams of more octets than this are cut in pieces on their way, of which one is lost: they never arrive.
    pub octets_max: Option<usize>,
    /// Nothing passes. Streams wait, and break when it takes too long.
    pub cut: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            loss: 0,
            duplicates: 0,
            pieces: 0,
            octets_max: None,
            cut: false,
        }
    }
}

/// When the copies of one datagram arrive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It never comes.
    Lost,
    /// It comes after this time.
    Arrives(Duration),
    /// It comes twice.
    ArrivesTwice(Duration, Duration),
}

/// All links: those that were set, and the default for all others.
#[derive(Clone, Debug, Default)]
pub struct Links {
    default: Link,
    pairs: BTreeMap<String, BTreeMap<String, Link>>,
    partitions: BTreeMap<String, BTreeSet<String>>,
}

impl Links {
    /// The link between all pairs that have none of their own.
    pub fn set_default(&mut self, link: Link) {
        self.default = link;
    }

    /// The link between `a` and `b`, in both directions.
    pub fn set(&mut self, a: &str, b: &str, link: Link) {
        self.set_from(a, b, link);
        self.set_from(b, a, link);
    }

    /// The link from `a` to `b`; that from `b` to `a` stays.
    pub fn set_from(&mut self, a: &str, b: &str, link: Link) {
        self.pairs
            .entry(a.to_owned())
            .or_default()
            .insert(b.to_owned(), link);
    }

    /// Nothing passes from `a` to `b` until [`Self::heal`].
    pub fn partition_from(&mut self, a: &str, b: &str) {
        self.partitions
            .entry(a.to_owned())
            .or_default()
            .insert(b.to_owned());
    }

    /// Nothing passes between `a` and `b` until [`Self::heal`].
    pub fn partition(&mut self, a: &str, b: &str) {
        self.partition_from(a, b);
        self.partition_from(b, a);
    }

    /// Ends all partitions.
    pub fn heal(&mut self) {
        self.partitions.clear();
    }

    pub(crate) fn is_cut(&self, from: &str, to: &str) -> bool {
        let is_apart = self.partitions.get(from).is_some_and(|all| all.contains(to));
        is_apart || self.get(from, to).cut
    }

    /// The time that one message takes.
    pub(crate) fn delay(&self, from: &str, to: &str, rng: &mut StdRng) -> Duration {
        self.get(from, to).delay(rng)
    }

    pub(crate) fn fate(&self, from: &str, to: &str, octets: usize, rng: &mut StdRng) -> Fate {
        let link = self.get(from, to);
        let is_too_large = link.octets_max.is_some_and(|max| octets > max);
        if self.is_cut(from, to) || is_too_large || happens(link.loss, rng) {
            return Fate::Lost;
        }
        let first = link.delay(rng);
        if happens(link.duplicates, rng) {
            return Fate::ArrivesTwice(first, link.delay(rng));
        }
        Fate::Arrives(first)
    }

    /// The pieces in which one message of a stream travels.
    pub(crate) fn pieces(&self, from: &str, to: &str, mut bytes: Bytes, rng: &mut StdRng) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        if happens(self.get(from, to).pieces, rng) {
            while bytes.len() > 1 && pieces.len() < 4 {
                let at = rng.random_range(1..bytes.len());
                pieces.push(bytes.split_to(at));
            }
        }
        pieces.push(bytes);
        pieces
    }

    fn get(&self, from: &str, to: &str) -> Link {
        let pair = self.pairs.get(from).and_then(|all| all.get(to));
        pair.copied().unwrap_or(self.default)
    }
}

impl Link {
    fn delay(&self, rng: &mut StdRng) -> Duration {
        let more = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        match more {
            0 => self.delay,
            _ => self.delay + Duration::from_micros(rng.random_range(0..=more)),
        }
    }
}

fn happens(thousandths: u32, rng: &mut StdRng) -> bool {
    thousandths > 0 && rng.random_range(0..1_000) < thousandths
}
