//! Engine: a phone did not get the 200 (OK) to its REGISTER.

use crate::net::Interface;
use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::registers::{Registering, counted};

pub(super) const DETECTOR: Detector = Detector {
    name: "grant-not-received",
    title: "The handset does not get our 200 (OK)",
    signal: "the same REGISTER again and again after the 200 (OK) to it",
    example: "The handset of IMSI 001010000000001 does not get our 200 (OK): it sent the same REGISTER 3 times more after it was \
              granted, so packets from it arrive and ours to 192.0.2.14:45062 over IPsec do not; check the route from here to \
              192.0.2.14, and that nothing on it drops ESP.",
    weight: 78,
    detect,
};

/// One or two are lost on any radio link.
const REPEATED_MIN: u32 = 2;

fn detect(case: &Case) -> Vec<Finding> {
    let registers = case.registers_on_gm();
    let granted = registers.iter().rev().find(|it| it.granted_at().is_some());
    let unheard = granted.and_then(|it| Some((it, it.answer?)));
    let Some((register, answer)) = unheard.filter(|(_, answer)| repeated(answer) >= REPEATED_MIN) else {
        return Vec::new();
    };
    if goes_on(case, register, answer) {
        return Vec::new();
    }
    let Some(step) = answer.sip() else {
        return Vec::new();
    };
    let ip = step.peer.ip();
    let (over, drops) = match step.side {
        Interface::GmProtected => (" over IPsec", "ESP"),
        Interface::Gm | Interface::Mw => ("", "them"),
    };
    let cause = format!(
        "The handset of {} does not get our 200 (OK): it sent the same REGISTER {} more after it was granted, so packets from it \
         arrive and ours to {}{over} do not",
        case.subscriber(),
        counted(u64::from(repeated(answer)), "time", "times"),
        step.peer
    );
    let remedy = format!("check the route from here to {ip}, and that nothing on it drops {drops}");
    vec![Finding::new(answer, cause, remedy).and(register.request)]
}

fn repeated(answer: &Entry) -> u32 {
    answer.sip().map_or(0, |step| step.again)
}

/// Something else came from the phone: it has heard.
fn goes_on(case: &Case, register: &Registering<'_>, answer: &Entry) -> bool {
    let number = register.request.sip().map(|step| step.cseq);
    case.after(answer.at).any(|entry| {
        let is_same =
            entry.call_id == register.request.call_id && entry.sip().map(|step| step.cseq) == number;
        entry.is_gm() && entry.is_heard() && !is_same
    })
}
