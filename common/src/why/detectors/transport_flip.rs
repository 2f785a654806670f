//! Engine: a phone changes between UDP and TCP within one dialog.

use crate::net::Transport;
use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::{Entry, Way};

pub(super) const DETECTOR: Detector = Detector {
    name: "transport-flip",
    title: "The phone changes its transport within a call",
    signal: "requests of one phone in one call over UDP and over TCP",
    example: "The phone at 192.0.2.14 sent its INVITE over UDP and its PRACK over TCP: each was answered on the transport on \
              which it came.",
    weight: 10,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let invites = case.newest(|entry| entry.is_request("INVITE") && is_of_a_phone(entry));
    let found = invites.filter_map(|invite| flip(case, invite)).next();
    found.into_iter().collect()
}

fn is_of_a_phone(entry: &Entry) -> bool {
    entry.is_gm() && entry.sip().is_some_and(|sip| sip.way == Way::Heard)
}

fn flip(case: &Case, invite: &Entry) -> Option<Finding> {
    let first = invite.sip()?;
    let other = case.story(invite).find(|entry| {
        is_of_a_phone(entry)
            && entry.at > invite.at
            && entry.sip().is_some_and(|sip| {
                sip.status.is_none()
                    && sip.peer.ip() == first.peer.ip()
                    && sip.transport != first.transport
                    // An ACK or BYE over another transport is met as often as not.
                    && !matches!(&*sip.method, "ACK" | "CANCEL")
            })
    })?;
    let second = other.sip()?;
    let cause = format!(
        "The phone at {} sent its INVITE over {} and its {} over {}: each was answered on the transport on which it came",
        first.peer.ip(),
        name(first.transport),
        second.method,
        name(second.transport),
    );
    Some(Finding::new(other, cause, "").and(invite))
}

const fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    }
}
