//! Machine: answers to requests that do not scan (RFC 3261 8.2, 16.3 step 1), within a budget.

use std::time::{Duration, Instant};

use crate::limits::SipLimits;
use crate::net::{Malformed, Transmit};
use crate::sip::{HeaderName, refuse};
use crate::transaction::layer::TAG_STATELESS;
use crate::transaction::response_route::ResponseRoute;
use crate::transaction::wire;

/// Answers per second to malformed requests, so that they cannot be used for reflection.
const ANSWERS_PER_SECOND: u32 = 20;

/// How many malformed requests may still be answered in this second.
#[derive(Debug, Default)]
pub(super) struct AnswerBudget {
    window: Option<(Instant, u32)>,
}

impl AnswerBudget {
    pub(super) fn take(&mut self, now: Instant) -> bool {
        match &mut self.window {
            Some((start, used)) if now.duration_since(*start) < Duration::from_secs(1) => {
                *used = used.saturating_add(1);
                *used <= ANSWERS_PER_SECOND
            }
            window => {
                *window = Some((now, 1));
                true
            }
        }
    }
}

/// The response to a malformed request; `None` when there is nothing to answer, or no way to.
pub(super) fn answer(malformed: &Malformed, to_tag: &str) -> Option<Transmit> {
    let response = refuse(&malformed.bytes, &SipLimits::default(), to_tag)?;
    let response = match wire::marked_via(&response, &malformed.flow) {
        Some(via) => response
            .edit()
            .replace_line_bytes(HeaderName::Via, 0, &via)
            .finish_response(),
        None => response,
    };
    Some(Transmit {
        bytes: response.bytes().clone(),
        destination: ResponseRoute::of(&response, &malformed.flow).first,
        tag: TAG_STATELESS,
    })
}
