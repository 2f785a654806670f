//! Shell: what the kernel's counters of IPsec say when they rise, for the log (`/proc/net/xfrm_stat`).
//!
//! They count for the whole network namespace and name no phone: other programs' IPsec counts too.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::figures::{kernel_counters, kernel_figures};

/// Counters that point to a cause, and what they say.
const TELLING: [(&str, &str); 8] = [
    (
        "XfrmInNoStates",
        "ESP with an SPI that nobody has: the associations are gone (a restart?), or a phone still uses old ones",
    ),
    (
        PROTO_ERROR,
        "ESP that fails its integrity check: a phone has other keys, or another algorithm",
    ),
    (
        "XfrmInStateMismatch",
        "ESP of a known association from or to another address or port than agreed: a NAT, or a phone of its own mind",
    ),
    (
        "XfrmInTmplMismatch",
        "what should be protected came in clear, or by another association than its own: it was dropped",
    ),
    ("XfrmInPolBlock", "what a policy forbids came in: it was dropped"),
    (
        "XfrmInStateSeqError",
        "ESP that came before, or far too late, was dropped (RFC 4303 3.4.3)",
    ),
    (
        "XfrmOutNoStates",
        "packets to phones found no association: they were not sent",
    ),
    ("XfrmOutPolBlock", "packets that a policy forbids were not sent"),
];

/// Packets whose integrity check failed, which states count too.
pub(super) const PROTO_ERROR: &str = "XfrmInStateProtoError";

/// How a counter of the kernel has grown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Growth {
    /// Its name.
    pub(crate) counter: &'static str,
    /// By how much.
    pub(crate) more: u64,
    /// Over which state, by its SPI and the address its packets come from, where that is known.
    pub(crate) state: Option<(String, IpAddr)>,
}

impl Growth {
    /// Of a counter that says nothing of whose packets they were.
    pub(super) fn of_nobody(counter: &'static str, more: u64) -> Option<Self> {
        let state = None;
        (more > 0).then_some(Self { counter, more, state })
    }
}

/// How often the check failed, by the SPI of the state and the address its packets come from.
pub(super) type Failures = BTreeMap<(String, IpAddr), u32>;

/// The states over which checks have failed, as they were.
#[derive(Debug, Default)]
pub(super) struct KnownFailures(Failures);

impl KnownFailures {
    /// What is new.
    pub(super) fn of_states(&mut self, now: Failures) -> Vec<Growth> {
        let before = std::mem::replace(&mut self.0, now);
        let grown = self.0.iter().filter_map(|(state, count)| {
            let more = u64::from(count.saturating_sub(before.get(state).copied().unwrap_or(0)));
            (more > 0).then(|| Growth {
                counter: PROTO_ERROR,
                more,
                state: Some(state.clone()),
            })
        });
        grown.collect()
    }
}

/// The counters as they were.
#[derive(Debug, Default)]
pub(super) struct Watch {
    before: BTreeMap<String, u64>,
    pub(super) failures: KnownFailures,
}

impl Watch {
    /// Begins with the counters as they are: what others did before is not told.
    pub(super) fn new() -> Self {
        let mut watch = Self::default();
        watch.rises(&kernel_figures());
        watch
    }

    /// Logs what has risen since the last look, and gives it.
    pub(super) fn look(&mut self) -> Vec<(&'static str, u64)> {
        let rises = self.rises(&kernel_figures());
        for (counter, more, meaning) in &rises {
            tracing::warn!(counter, more, "{meaning}");
        }
        rises
            .into_iter()
            .map(|(counter, more, _)| (counter, more))
            .collect()
    }

    fn rises(&mut self, text: &str) -> Vec<(&'static str, u64, &'static str)> {
        let now: BTreeMap<&str, u64> = kernel_counters(text).collect();
        let mut rises = Vec::new();
        for (counter, meaning) in TELLING {
            let Some(value) = now.get(counter) else {
                continue;
            };
            let before = self.before.insert(counter.to_owned(), *value);
            let more = value.saturating_sub(before.unwrap_or(*value));
            if more > 0 {
                rises.push((counter, more, meaning));
            }
        }
        rises
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_whose_packets_fail_is_told_by_how_much_more_failed() {
        let state = |spi: &str| (spi.to_owned(), IpAddr::from([192, 0, 2, 14]));
        let mut known = KnownFailures::default();
        let mut grown = |failures: &[(&str, u32)]| -> Vec<(Option<String>, u64)> {
            let now = failures.iter().map(|(spi, count)| (state(spi), *count)).collect();
            let grown = known.of_states(now).into_iter();
            grown.map(|it| (it.state.map(|(spi, _)| spi), it.more)).collect()
        };
        assert_eq!(grown(&[("0x1", 3)]), [(Some("0x1".to_owned()), 3)]);
        assert_eq!(grown(&[("0x1", 3)]), []);
        assert_eq!(grown(&[("0x1", 4), ("0x2", 1)]).len(), 2);
        assert_eq!(grown(&[("0x2", 1)]), [], "the first is gone");
    }

    #[test]
    fn counters_that_rise_are_told_once_and_by_how_much() {
        let text = |states, proto, error| {
            format!("XfrmInError {error}\nXfrmInNoStates \t{states}\nXfrmInStateProtoError {proto}\n")
        };
        let mut watch = Watch::default();
        assert_eq!(watch.rises(&text(5, 0, 0)), [], "where it begins");
        assert_eq!(watch.rises(&text(5, 0, 9)), [], "that says nothing");
        let rises = watch.rises(&text(7, 1, 9));
        let told: Vec<_> = rises.iter().map(|(counter, more, _)| (*counter, *more)).collect();
        assert_eq!(told, [("XfrmInNoStates", 2), ("XfrmInStateProtoError", 1)]);
        assert_eq!(watch.rises(&text(7, 1, 9)), []);
        assert_eq!(watch.rises(&text(0, 0, 0)), [], "another namespace");
        assert_eq!(watch.rises(""), [], "a kernel without them");
    }
}
