//! Engine: a large request went to a phone as a datagram and vanished.

use crate::net::Transport;
use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::{Entry, Way};

pub(super) const DETECTOR: Detector = Detector {
    name: "large-datagram-lost",
    title: "A large request to a phone was lost on the way",
    signal: "a request of more than 1300 octets over UDP towards a phone, repeated, without any answer",
    example: "The INVITE to the phone at 192.0.2.15:5060 has 3177 octets in one datagram, was sent 7 times and got no answer: \
              it was probably lost to fragmentation; let the path carry fragments (MTU of the user plane's tunnel), or let \
              the phone accept TCP.",
    weight: 65,
    detect,
};

/// RFC 3261 18.1.1: what a path of unknown MTU carries in one piece.
const SAFE_OCTETS: u32 = 1_300;
/// A datagram that is sent so often more is not lost by chance.
const AGAIN_MIN: u32 = 3;
/// A phone that was heard so many seconds before or after is in coverage.
const HEARD_SECS: u64 = 300;

fn detect(case: &Case) -> Vec<Finding> {
    let lost = case.newest(is_large).find(|request| is_unanswered(case, request));
    lost.and_then(|request| finding(case, request))
        .into_iter()
        .collect()
}

fn is_large(entry: &Entry) -> bool {
    entry.sip().is_some_and(|sip| {
        let is_repeated = sip.again >= AGAIN_MIN;
        sip.way == Way::Said
            && sip.status.is_none()
            && sip.transport == Transport::Udp
            && sip.octets > SAFE_OCTETS
            && is_repeated
            && entry.is_gm()
    })
}

fn is_unanswered(case: &Case, request: &Entry) -> bool {
    let Some(sip) = request.sip() else { return false };
    !case.story(request).any(|it| {
        it.at >= request.at
            && it.is_heard()
            && it.is_gm()
            && it
                .sip()
                .is_some_and(|answer| answer.status.is_some() && answer.method == sip.method)
    })
}

/// Whether the phone said something small around that time.
fn is_in_coverage(case: &Case, request: &Entry) -> bool {
    let peer = request.sip().map(|sip| sip.peer.ip());
    case.entries.iter().any(|it| {
        it.is_heard()
            && it.is_gm()
            && it.at.abs_diff(request.at) / 1_000_000 <= HEARD_SECS
            && it
                .sip()
                .is_some_and(|sip| Some(sip.peer.ip()) == peer && sip.octets <= SAFE_OCTETS)
    })
}

fn finding(case: &Case, request: &Entry) -> Option<Finding> {
    let sip = request.sip()?;
    let (reason, remedy) = match is_in_coverage(case, request) {
        true => (
            "it was probably lost to fragmentation",
            "let the path carry fragments (MTU of the user plane's tunnel), or let the phone accept TCP",
        ),
        false => (
            "the phone is out of coverage, or the datagram was lost to fragmentation",
            "look whether the phone is attached; if it is, let the path carry fragments (MTU of the user plane's tunnel), or \
             let the phone accept TCP",
        ),
    };
    Some(Finding::new(
        request,
        format!(
            "The {} to the phone at {} has {} octets in one datagram, was sent {} times and got no answer: {reason}",
            sip.method,
            sip.peer,
            sip.octets,
            sip.again + 1
        ),
        remedy,
    ))
}
