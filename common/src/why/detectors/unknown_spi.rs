//! Engine: a phone uses security associations that this P-CSCF does not have.

use crate::net::Interface;
use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;
use crate::why::note::NoteKind;
use crate::why::registers::{Grown, counted};

pub(super) const DETECTOR: Detector = Detector {
    name: "unknown-spi",
    title: "The handset uses security associations that are gone",
    signal: "XfrmInNoStates grows (/proc/net/xfrm_stat) while a subscriber is registered and the P-CSCF has nothing of it",
    example: "IMSI 001010000000001 is registered at the S-CSCF, this P-CSCF knows nothing of it, and ESP comes with an SPI that \
              nobody has (4 packets, XfrmInNoStates): the security associations were lost, as they are when the P-CSCF starts \
              again; the handset registers again by itself when nothing answers it; flight mode on and off is quicker.",
    weight: 70,
    detect,
};

const NO_STATES: &str = "XfrmInNoStates";

fn detect(case: &Case) -> Vec<Finding> {
    lost_by_a_restart(case)
        .or_else(|| ended(case))
        .or_else(|| not_those_of_the_challenge(case))
        .into_iter()
        .collect()
}

/// The S-CSCF has a registration, and the P-CSCF, which began later, has heard nothing of it.
fn lost_by_a_restart(case: &Case) -> Option<Finding> {
    let knows = |entry: &Entry| entry.node == "pcscf";
    if !case.nodes.contains("pcscf") || case.entries.iter().any(knows) {
        return None;
    }
    let granted = case.registered_since(&case.registers_at_the_scscf())?;
    let grown = case.grown(&[NO_STATES], granted)?;
    let cause = format!(
        "{} is registered at the S-CSCF, this P-CSCF knows nothing of it, and ESP comes with an SPI that nobody has ({}): the \
         security associations were lost, as they are when the P-CSCF starts again",
        case.subscriber(),
        how_much(grown)
    );
    Some(Finding::new(grown.proof, cause, REGISTER_AGAIN))
}

const REGISTER_AGAIN: &str =
    "the handset registers again by itself when nothing answers it; flight mode on and off is quicker";

/// Its sets ended, and it goes on with them.
fn ended(case: &Case) -> Option<Finding> {
    let is_of_sets = |entry: &Entry| {
        matches!(
            entry.note(),
            Some(NoteKind::AssociationsGone | NoteKind::AssociationsReady)
        )
    };
    let gone = case
        .newest(is_of_sets)
        .next()
        .filter(|it| it.note() == Some(NoteKind::AssociationsGone))?;
    case.registered_since(&case.registers_on_gm())?;
    let is_heard_since = case
        .after(gone.at)
        .any(|it| it.is_heard() && it.sip().is_some_and(|sip| sip.side == Interface::GmProtected));
    let grown = case.grown(&[NO_STATES], gone.at).filter(|_| !is_heard_since)?;
    let cause = format!(
        "The security associations of {} are gone ({}), and ESP comes with an SPI that nobody has ({}): the handset still uses \
         them",
        case.subscriber(),
        gone.get(Fact::Words).unwrap_or("they ended"),
        how_much(grown)
    );
    Some(Finding::new(grown.proof, cause, REGISTER_AGAIN).and(gone))
}

/// It was challenged and answers over others.
fn not_those_of_the_challenge(case: &Case) -> Option<Finding> {
    let challenge = case.challenge_without_esp()?;
    let grown = case.grown(&[NO_STATES], challenge.at)?;
    let cause = format!(
        "After the challenge of {} nothing came over its new security associations, and ESP comes with an SPI that nobody has \
         ({}): the handset uses old associations, or takes another SPI than Security-Server says",
        case.subscriber(),
        how_much(grown)
    );
    let remedy = "switch flight mode on and off; if it comes again, compare the SPI in tcpdump -i any esp with Security-Server";
    Some(Finding::new(grown.proof, cause, remedy).and(challenge))
}

fn how_much(grown: Grown<'_>) -> String {
    format!("{}, {NO_STATES}", counted(grown.by, "packet", "packets"))
}
