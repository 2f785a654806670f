//! Table: which protected client port of ours the next set of a UE takes (TS 33.203 7.1).
//!
//! Our server port and the UE's stay the same, so that only our client port keeps the outbound selectors of an old and
//! a new set apart.

/// Our protected client ports, in the order in which they take turns.
#[derive(Clone, Debug)]
pub(crate) struct ClientPorts(Vec<u16>);

impl ClientPorts {
    /// Of the configuration.
    pub(crate) fn new(ports: Vec<u16>) -> Self {
        Self(ports)
    }

    /// The port after the one that the newest set of this UE has, leaving out those `used` by its live sets;
    /// `start` spreads the first sets of UEs.
    pub(crate) fn next(&self, newest: Option<u16>, used: &[u16], start: usize) -> Option<u16> {
        let count = self.0.len();
        let first = newest
            .and_then(|newest| self.0.iter().position(|port| *port == newest))
            .map_or(start, |at| at + 1);
        (0..count)
            .filter_map(|nth| self.0.get((first % count + nth) % count))
            .find(|port| !used.contains(port))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_port_goes_round_and_leaves_out_those_of_live_sets() {
        let ports = ClientPorts::new(vec![6100, 6102, 6103]);
        assert_eq!(ports.next(None, &[], 0), Some(6100));
        assert_eq!(ports.next(None, &[], 4), Some(6102));
        assert_eq!(ports.next(Some(6100), &[6100], 0), Some(6102));
        assert_eq!(ports.next(Some(6102), &[6102, 6103], 0), Some(6100));
        assert_eq!(ports.next(Some(6103), &[6103], 7), Some(6100));
        assert_eq!(ports.next(Some(6103), &[6100, 6102, 6103], 0), None);
        assert_eq!(ClientPorts::new(Vec::new()).next(None, &[], 3), None);
    }
}
