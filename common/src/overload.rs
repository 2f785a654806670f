//! Engine: what is served first, what waits and what is refused when more comes than a node can do.
//!
//! Read first: RFC 3261 21.5.4 (503 and Retry-After), RFC 6357 (overload control of SIP), TS 24.229 5.1.1.2.1.
//!
//! A node that serves strictly in turn serves nobody once it falls behind: all wait for so long that their senders
//! have given up, or have repeated themselves. Three rules keep the work that is done worth doing:
//!
//! 1. What belongs to something in progress goes before what is new ([`Work`]): a registration that was begun is
//!    finished, so that the vector it was challenged with and the HSS's time are not lost.
//! 2. New work that has waited too long is refused, oldest first, with 503 and a Retry-After ([`Waiting`]). A burst
//!    is no reason: only when the queue has not been short for a while, or for work that is very late.
//! 3. What a node further on refuses for the same reason is refused here, where it costs least ([`Throttle`]).
//!
//! A refusal costs a few per cent of a registration, and Retry-After is spread ([`RetryAfter`]), so that those who
//! were refused together do not come back together.

mod pace;
mod priorities;
mod storm;
mod throttle;
mod waiting;

use std::time::Duration;

pub use self::pace::Pace;
pub use self::priorities::Priorities;
pub use self::storm::{Storm, StormLimits, StormState};
pub use self::throttle::Throttle;
pub use self::waiting::{Excess, Next, Waiting, WaitingLimits};
use crate::sip::{HeaderName, Message, digest};
use crate::transaction::to_tag;

/// What a message means for a node that has too much to do.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Work {
    /// Of something that was begun, or of an emergency: responses, requests within a dialog, ACK and CANCEL,
    /// REGISTERs that answer a challenge.
    InProgress,
    /// A request that begins something.
    New,
}

impl Work {
    /// What a message is. Credentials are not checked here: whoever invents some is served sooner and refused by the
    /// S-CSCF.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        match is_in_progress(message, &[]) {
            true => Self::InProgress,
            false => Self::New,
        }
    }
}

fn is_in_progress(message: &Message, emergency_numbers: &[Box<str>]) -> bool {
    match message.request_method() {
        None | Some(b"ACK" | b"CANCEL" | b"BYE" | b"PRACK") => true,
        Some(b"REGISTER") => answers_a_challenge(message) || has_sos_contact(message),
        Some(_) => is_in_dialog(message) || is_emergency(message, emergency_numbers),
    }
}

/// RFC 3310 3.4: a response to a challenge, or the `auts` that asks for another one. A re-registration repeats the
/// last response.
pub(crate) fn answers_a_challenge(message: &Message) -> bool {
    message
        .headers(HeaderName::Authorization)
        .any(digest::seem_to_answer)
}

fn is_in_dialog(message: &Message) -> bool {
    to_tag(message).is_some_and(|tag| !tag.is_empty())
}

/// RFC 5031 4.2: `urn:service:sos` and what is below it; TS 22.101 10.1.1: the two numbers that are emergency numbers
/// everywhere, and those of this network, with whatever separators.
fn is_emergency(message: &Message, numbers: &[Box<str>]) -> bool {
    const SOS: &[u8] = b"urn:service:sos";
    let uri = message.request_uri_octets();
    if uri
        .get(..SOS.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(SOS))
    {
        return true;
    }
    let Some(colon) = uri.iter().take(5).position(|byte| *byte == b':') else {
        return false;
    };
    let (scheme, rest) = uri.split_at(colon);
    let is_dialled = ["tel", "sip", "sips"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()));
    let digits = rest.iter().skip(1).take(NUMBER_LOOK);
    let number = digits
        .take_while(|byte| !matches!(byte, b';' | b'@' | b'?'))
        .filter(|byte| !matches!(byte, b'-' | b'.' | b'(' | b')'));
    let is = |known: &str| number.clone().eq(known.as_bytes());
    is_dialled && (is("112") || is("911") || numbers.iter().any(|known| is(known)))
}

/// Octets of a Request-URI that are looked at for a number.
const NUMBER_LOOK: usize = 16;

/// TS 24.229 5.1.6.2: an emergency registration has the URI parameter `sos` in its Contact.
fn has_sos_contact(message: &Message) -> bool {
    let has_sos = |value: &[u8]| value.windows(4).any(|part| part.eq_ignore_ascii_case(b";sos"));
    message.headers(HeaderName::Contact).any(has_sos)
}

/// Between which seconds the Retry-After of a refusal is drawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RetryAfter {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

impl Default for RetryAfter {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(5),
            max: Duration::from_secs(60),
        }
    }
}

impl RetryAfter {
    /// The seconds for whoever has drawn this number, of which there is at least one.
    #[must_use]
    pub fn of(&self, number: u64) -> u64 {
        let min = self.min.as_secs().max(1);
        let choices = self.max.as_secs().saturating_sub(min) + 1;
        min + number % choices
    }
}

#[cfg(test)]
mod tests;
