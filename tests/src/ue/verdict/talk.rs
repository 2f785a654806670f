//! Testkit: what probably is wrong when a call did not begin, or a text was not taken.

use super::{Sort, Verdict};
use crate::card::wording::printable;
use crate::ue::UeEvent;
use crate::ue::talk::{CallEvent, Cause};

fn what(event: &UeEvent) -> Option<&CallEvent> {
    if let UeEvent::Call { what, .. } = event {
        return Some(what);
    }
    None
}

/// Whether a call has begun: what happens in it, or that it is over by now, changes nothing of that.
#[must_use]
pub fn has_begun(events: &[UeEvent]) -> bool {
    events
        .iter()
        .filter_map(what)
        .any(|what| *what == CallEvent::Begun)
}

/// Why a call did not come about.
#[must_use]
pub fn of_call(events: &[UeEvent], to: &str) -> Verdict {
    let ended = events.iter().rev().find_map(|event| what(event)?.ended());
    match ended {
        Some(Cause::Refused(status)) => Verdict {
            status: Some(*status),
            ..Verdict::new(Sort::CallRefused, refusal(*status, to))
        },
        Some(Cause::NoAnswer) => Verdict::new(
            Sort::CallUnanswered,
            format!(
                "nobody answers the INVITE to {to}: the P-CSCF, or a node behind it, does not let it through"
            ),
        ),
        Some(Cause::PeerHungUp(reason)) => Verdict::new(
            Sort::CallNotBegun,
            format!(
                "{to} has hung up before the call began{}; the ladder shows how far it came",
                match reason {
                    Some(reason) => format!(" ({})", printable(reason)),
                    None => String::new(),
                }
            ),
        ),
        Some(Cause::Cancelled | Cause::HungUp | Cause::Expired | Cause::NotChosen) | None => Verdict::new(
            Sort::CallNotBegun,
            format!("the call to {to} has not begun; the ladder shows how far it came"),
        ),
    }
}

/// Why a MESSAGE was not taken.
#[must_use]
pub fn of_message(events: &[UeEvent], to: &str) -> Verdict {
    let status = events.iter().rev().find_map(|event| {
        let UeEvent::Answered(status) = event else {
            return None;
        };
        Some(*status)
    });
    match status {
        Some(status) => Verdict {
            status: Some(status),
            ..Verdict::new(Sort::MessageRefused, refusal(status, to))
        },
        None => Verdict::new(
            Sort::MessageUnanswered,
            format!(
                "nobody answers the MESSAGE to {to}: the P-CSCF, or a node behind it, does not let it through"
            ),
        ),
    }
}

/// What is wrong with a short message that the network has taken: the service centre refuses it, or does not say that it
/// has it.
#[must_use]
pub fn of_report(is_refused: bool, centre: &str) -> Verdict {
    match is_refused {
        true => Verdict::new(
            Sort::SmsRefused,
            format!(
                "the service centre {centre} refuses the short message (RP-ERROR): see in its log whether it knows the \
                 sender and the number"
            ),
        ),
        false => Verdict::new(
            Sort::SmsUnreported,
            format!(
                "the network has taken the MESSAGE, and no report (RP-ACK) comes from the service centre {centre}: see \
                 whether a filter criterion brings short messages to an IP-SM-GW, and whether that reaches the S-CSCF"
            ),
        ),
    }
}

fn refusal(status: u16, to: &str) -> String {
    let why = match status {
        403 => {
            "the network forbids it: barred, or the identity that calls is not registered; see its profile in the HSS"
        }
        404 => {
            "nobody has this number or name: see the public identities in the HSS, with + and country code"
        }
        480 => "who is called is not registered, or does not answer",
        484 => "the number is too short: give it with + and country code",
        486 | 600 => "who is called is busy",
        603 => "who is called declines",
        488 | 606 => "the other takes no such media: codecs and preconditions do not fit; try --simple",
        405 | 415 => "the other does not take this sort of message",
        408 | 504 => "a node on the way, or the other phone, does not answer",
        416 => "the S-CSCF serves no such kind of URI",
        503 => "the network cannot serve it now",
        _ => "the ladder shows what was said",
    };
    format!("the answer for {to} is {status}: {why}")
}
