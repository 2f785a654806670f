//! Engine: the kernel refuses security associations: no right, no algorithm, an SPI that somebody has.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::note::NoteKind;

pub(super) const DETECTOR: Detector = Detector {
    name: "kernel-refuses",
    title: "The kernel takes no security associations",
    signal: "a set of security associations that the kernel refused (EPERM, ENOENT, EPROTONOSUPPORT, EEXIST, ENOMEM), or stale \
             ones that were found at the start",
    example: "No CAP_NET_ADMIN: the kernel refused the security associations of IMSI 001010000000001; grant it to the P-CSCF \
              (systemd: AmbientCapabilities=CAP_NET_ADMIN; container: cap_add NET_ADMIN).",
    weight: 92,
    detect,
};

/// Phones find out within a registration's life; what is told later has other causes.
const STALE_SECS: u64 = 3_600;

fn detect(case: &Case) -> Vec<Finding> {
    let failed = case
        .newest(|entry| entry.note() == Some(NoteKind::AssociationsFailed))
        .next()
        .filter(|entry| !case.is_granted_after(entry.at));
    if let Some(finding) = failed.and_then(|entry| refused(case, entry)) {
        return vec![finding];
    }
    stale(case).into_iter().collect()
}

fn refused(case: &Case, entry: &Entry) -> Option<Finding> {
    let whose = format!("the security associations of {}", case.subscriber());
    let (cause, remedy) = match entry.get(Fact::Words)? {
        "not_permitted" => (
            format!("No CAP_NET_ADMIN: the kernel refused {whose}"),
            "grant it to the P-CSCF (systemd: AmbientCapabilities=CAP_NET_ADMIN; container: cap_add NET_ADMIN)",
        ),
        "unsupported" => (
            format!(
                "The kernel lacks ESP or an algorithm{}: it refused {whose}",
                algorithms(case)
            ),
            "pcscf --doctor names what is missing and its module (modprobe), or take the pair out of ipsec.algorithms",
        ),
        "exists" => (
            format!("Another program has a security association with our SPI: the kernel refused {whose}"),
            "see `ip xfrm state` for states of our addresses with another reqid: an IKE daemon, or a second P-CSCF",
        ),
        "kernel_full" => (
            format!("The kernel has no room for more security associations: it refused {whose}"),
            "give the machine more memory, or lower ipsec.sets_max",
        ),
        "no_ipsec" => (
            format!("This P-CSCF has no way to the kernel's IPsec: {whose} were not installed"),
            "see its log, and run pcscf --doctor",
        ),
        _ => return None,
    };
    Some(Finding::new(entry, cause, remedy))
}

/// ` (hmac-md5-96/des-ede3-cbc)`, where the UE was told a pair.
fn algorithms(case: &Case) -> String {
    let chosen = case.newest_value(Fact::SecurityServer);
    chosen.map_or_else(String::new, |pair| format!(" ({pair})"))
}

/// What an earlier life of the P-CSCF has left, and its end.
fn stale(case: &Case) -> Option<Finding> {
    let note = case
        .site
        .iter()
        .rev()
        .find(|it| it.note() == Some(NoteKind::CheckFailed) && it.get(Fact::Check) == Some("stale"))?;
    let refused = case.newest(|entry| {
        let since = entry.at.saturating_sub(note.at) / 1_000_000;
        let status = entry.sip().and_then(|sip| sip.status);
        let is_refusal = entry.is_gm() && !entry.is_heard() && status.is_some_and(|status| status >= 402);
        entry.at >= note.at && since <= STALE_SECS && is_refusal
    });
    let refused = refused.last()?;
    Some(
        Finding::new(
            note,
            format!(
                "Stale SA from a previous run: {} states and policies were cleaned when the P-CSCF started, and with them what \
                 phones had",
                note.get(Fact::Count)?
            ),
            "nothing to do: phones register again by themselves",
        )
        .and(refused),
    )
}
