//! Shell: what the kernel's counters of IPsec say when they rise, for the log (`/proc/net/xfrm_stat`).
//!
//! They count for the whole network namespace and name no phone: other programs' IPsec counts too.

use std::collections::BTreeMap;

use super::figures::{kernel_counters, kernel_figures};

/// Counters that point to a cause, and what they say.
const TELLING: [(&str, &str); 8] = [
    (
        "XfrmInNoStates",
        "ESP with an SPI that nobody has: the associations are gone (a restart?), or a phone still uses old ones",
    ),
    (
        "XfrmInStateProtoError",
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

/// The counters as they were.
#[derive(Debug, Default)]
pub(super) struct Watch {
    before: BTreeMap<String, u64>,
}

impl Watch {
    /// Begins with the counters as they are: what others did before is not told.
    pub(super) fn new() -> Self {
        let mut watch = Self::default();
        watch.rises(&kernel_figures());
        watch
    }

    /// Logs what has risen since the last look.
    pub(super) fn look(&mut self) {
        for (counter, more, meaning) in self.rises(&kernel_figures()) {
            tracing::warn!(counter, more, "{meaning}");
        }
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
