//! Engine: addresses are translated between a phone and the P-CSCF, so that IPsec cannot pass.

use std::net::IpAddr;

use crate::net::Interface;
use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::registers::ANSWER_SECS;

pub(super) const DETECTOR: Detector = Detector {
    name: "nat-before-us",
    title: "A NAT between UPF and P-CSCF",
    signal: "a REGISTER with Security-Client whose Via and Contact name another address than its packets come from, and no \
             registration",
    example: "There is a NAT between the handsets and the P-CSCF: the handset of IMSI 001010000000001 says 10.45.0.7 (Via and \
              Contact) and its packets come from 192.0.2.14, so that nothing it sends over IPsec is taken; remove the \
              masquerading of the UE pool on the UPF.",
    weight: 86,
    detect,
};

/// Two addresses of one phone.
pub(super) struct Translated<'a> {
    register: &'a Entry,
    says: IpAddr,
    comes_from: IpAddr,
}

/// The newest REGISTER in clear, when its address was translated and nothing became of it.
pub(super) fn translated(case: &Case) -> Option<Translated<'_>> {
    let is_in_clear = |entry: &Entry| {
        entry.is_heard()
            && entry.is_request("REGISTER")
            && entry.sip().is_some_and(|sip| sip.side == Interface::Gm)
            && entry.facts.has(Fact::SecurityClient)
    };
    let register = case.newest(is_in_clear).next()?;
    let comes_from = register.sip()?.peer.ip().to_canonical();
    let says = |fact| {
        let host = register.get(fact)?.trim_matches(['[', ']']);
        let address: IpAddr = host.parse().ok()?;
        (!address.is_unspecified() && address.is_ipv4() == comes_from.is_ipv4()).then_some(address)
    };
    let via = says(Fact::ViaHost)?;
    let is_translated = via != comes_from && says(Fact::ContactHost) != Some(comes_from);
    (is_translated && !case.is_granted_after(register.at)).then_some(Translated {
        register,
        says: via,
        comes_from,
    })
}

fn detect(case: &Case) -> Vec<Finding> {
    let Some(found) = translated(case).filter(|it| it.register.secs_until(case.now) >= ANSWER_SECS) else {
        return Vec::new();
    };
    let counters = ["XfrmInStateMismatch", "XfrmInStateProtoError", "XfrmInNoStates"];
    let dropped = case.grown(&counters, found.register.at);
    let cause = format!(
        "There is a NAT between the handsets and the P-CSCF: the handset of {} says {} (Via and Contact) and its packets come \
         from {}, so that nothing it sends over IPsec is taken{}",
        case.subscriber(),
        found.says,
        found.comes_from,
        dropped.map_or_else(String::new, |it| format!(" ({} dropped)", it.by))
    );
    let remedy = "remove the masquerading of the UE pool on the UPF";
    vec![Finding::new(found.register, cause, remedy)]
}
