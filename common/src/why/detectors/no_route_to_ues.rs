//! Engine: what the P-CSCF answers has no way back to the UE.

use std::net::IpAddr;

use crate::config::Cidr;
use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::note::NoteKind;

pub(super) const DETECTOR: Detector = Detector {
    name: "no-route-to-ues",
    title: "The P-CSCF has no route back to the UEs",
    signal: "the doctor's check `route`, which a P-CSCF that runs repeats, fails for the block of ue_pool that the UE's address is in",
    example: "No route back to UE pool 10.45.0.0/16: what the P-CSCF sends to 10.45.0.7 has nowhere to go; add it via the UPF \
              (ip route add 10.45.0.0/16 via GATEWAY).",
    weight: 95,
    detect,
};

/// The check is repeated more often.
const NEAR_SECS: u64 = 90;

fn detect(case: &Case) -> Vec<Finding> {
    let notes = case.site.iter().rev();
    let failed =
        notes.filter(|it| it.note() == Some(NoteKind::CheckFailed) && it.get(Fact::Check) == Some("route"));
    failed.filter_map(|note| finding(case, note)).take(1).collect()
}

fn finding(case: &Case, note: &Entry) -> Option<Finding> {
    let pool = note.get(Fact::Address)?;
    let block: Cidr = pool.parse().ok()?;
    let said = case
        .newest(|entry| {
            let is_near = entry.at.abs_diff(note.at) / 1_000_000 <= NEAR_SECS;
            is_near && entry.node == note.node && address(entry).is_some_and(|ip| block.contains(ip))
        })
        .next()?;
    Some(
        Finding::new(
            note,
            format!(
                "No route back to UE pool {pool}: what the P-CSCF sends to {} has nowhere to go",
                address(said)?
            ),
            format!("add it via the UPF (ip route add {pool} via GATEWAY)"),
        )
        .and(said),
    )
}

/// Where a UE says that it is.
fn address(entry: &Entry) -> Option<IpAddr> {
    let host = entry
        .get(Fact::ContactHost)
        .or_else(|| entry.get(Fact::ViaHost))?;
    host.trim_matches(['[', ']']).parse().ok()
}
