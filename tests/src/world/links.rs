//! Testkit: what happens to a message between two nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use ims_common::net::Transport;
use rand::Rng;
use rand::rngs::StdRng;

/// How one pair of nodes is joined, in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// The time a message takes.
    pub delay: Duration,
    /// Datagrams lost, in thousandths.
    pub loss: u32,
    /// Datagrams doubled, in thousandths.
    pub duplicates: u32,
    /// Nothing passes.
    pub cut: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            loss: 0,
            duplicates: 0,
            cut: false,
        }
    }
}

/// What becomes of one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It never comes.
    Lost,
    /// It comes after this time.
    Arrives(Duration),
    /// It comes twice.
    ArrivesTwice(Duration),
}

/// All links: those that were set, and the default for all others.
#[derive(Clone, Debug, Default)]
pub struct Links {
    default: Link,
    pairs: BTreeMap<(String, String), Link>,
}

impl Links {
    /// The link between all pairs that have none of their own.
    pub fn set_default(&mut self, link: Link) {
        self.default = link;
    }

    /// The link between `a` and `b`.
    pub fn set(&mut self, a: &str, b: &str, link: Link) {
        self.pairs.insert((a.to_owned(), b.to_owned()), link);
        self.pairs.insert((b.to_owned(), a.to_owned()), link);
    }

    pub(crate) fn delay(&self, from: &str, to: &str) -> Duration {
        self.get(from, to).delay
    }

    pub(crate) fn fate(&self, from: &str, to: &str, transport: Transport, rng: &mut StdRng) -> Fate {
        let link = self.get(from, to);
        if link.cut {
            return Fate::Lost;
        }
        if transport == Transport::Udp && link.loss > 0 && rng.random_range(0..1_000) < link.loss {
            return Fate::Lost;
        }
        if transport == Transport::Udp && link.duplicates > 0 && rng.random_range(0..1_000) < link.duplicates
        {
            return Fate::ArrivesTwice(link.delay);
        }
        Fate::Arrives(link.delay)
    }

    fn get(&self, from: &str, to: &str) -> Link {
        self.pairs
            .get(&(from.to_owned(), to.to_owned()))
            .copied()
            .unwrap_or(self.default)
    }
}
