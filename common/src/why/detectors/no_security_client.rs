//! Engine: a phone that offers no IPsec was refused.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::facts::Fact;

pub(super) const DETECTOR: Detector = Detector {
    name: "no-security-client",
    title: "The handset offers no IPsec",
    signal: "421 (Extension Required) to a REGISTER without Security-Client",
    example: "The handset of IMSI 001010000000001 offers no IPsec (no Security-Client in its REGISTER), and this P-CSCF asks for \
              it: refused with 421; switch IPsec on in the carrier profile of the handset, or set gm.allow_unprotected: true.",
    weight: 90,
    detect,
};

fn detect(case: &Case) -> Vec<Finding> {
    let registers = case.registers_on_gm();
    let refused = registers
        .iter()
        .rev()
        .find(|it| it.status() == Some(421) && !it.request.facts.has(Fact::SecurityClient));
    let Some((request, answer)) = refused.and_then(|it| Some((it.request, it.answer?))) else {
        return Vec::new();
    };
    if case.is_granted_after(answer.at) {
        return Vec::new();
    }
    let model = request.get(Fact::UserAgent);
    let model = model.map(|it| format!(" ({it})")).unwrap_or_default();
    let cause = format!(
        "The handset of {}{model} offers no IPsec (no Security-Client in its REGISTER), and this P-CSCF asks for it: refused \
         with 421",
        case.subscriber()
    );
    let remedy = "switch IPsec on in the carrier profile of the handset, or set gm.allow_unprotected: true";
    vec![Finding::new(answer, cause, remedy).and(request)]
}
