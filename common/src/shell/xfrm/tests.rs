//! Shell: tests of what lives as long as a set.

mod namespace;
mod rate;

use super::*;
use crate::ipsec::{EspKeys, SaSet};

fn states(uc: u16, pc: u16) -> [SaState; 4] {
    let ue = |port| SocketAddr::from(([192, 0, 2, 1], port));
    let us = |port| SocketAddr::from(([192, 0, 2, 2], port));
    [
        (ue(uc), us(6101)),
        (us(6101), ue(uc)),
        (us(pc), ue(5062)),
        (ue(5062), us(pc)),
    ]
    .map(|(source, destination)| SaState {
        spi: 256,
        source,
        destination,
    })
}

fn remote_ports(ends: &[Ends]) -> Vec<(u16, u16)> {
    ends.iter().map(|e| (e.local.port(), e.remote.port())).collect()
}

#[test]
fn connections_end_with_the_last_set_that_carries_them() {
    let mut connections = Connections::default();
    connections.add(SaSetId(1), &states(5061, 6102));
    // This UE keeps its client port.
    connections.add(SaSetId(2), &states(5061, 6103));
    assert_eq!(remote_ports(&connections.remove(SaSetId(1))), [(6102, 5062)]);
    assert_eq!(
        remote_ports(&connections.remove(SaSetId(2))),
        [(6101, 5061), (6103, 5062)]
    );
    assert!(connections.remove(SaSetId(2)).is_empty());
    assert!(connections.carried.is_empty());
}
