//! Procedure: the end of sessions by the P-CSCF (TS 24.229 5.2.8.1).

use std::time::Instant;

use ims_common::dialog::{DialogState, Side};
use ims_common::net::Interface;
use ims_common::proxy::{NextHop, route};
use ims_common::sip::StatusCode;
use tracing::info;

use crate::node::Pcscf;
use crate::passage::Passage;

/// Why sessions end that nobody hung up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReleaseCause {
    /// The contact is not registered any more, by whomever (TS 24.229 5.2.5, 5.2.8.1.2).
    RegistrationEnded,
}

impl ReleaseCause {
    /// Value of Reason (RFC 3326; TS 24.229 5.2.8.1).
    fn reason(self) -> &'static str {
        match self {
            Self::RegistrationEnded => "SIP;cause=503;text=\"Registration ended\"",
        }
    }
}

impl Pcscf {
    /// Ends the sessions of contacts that are gone.
    pub(crate) fn release_gone(&mut self, now: Instant) {
        while let Some(token) = self.contacts.poll_gone() {
            self.release_contact(now, &token, ReleaseCause::RegistrationEnded);
        }
    }

    /// TS 24.229 5.2.8.1: ends all sessions and subscriptions of one contact: BYE to the other party of those that are
    /// established; CANCEL towards the callee, and 500 to the caller, of those that are not.
    pub(crate) fn release_contact(&mut self, now: Instant, token: &str, cause: ReleaseCause) {
        for (forward, passage) in self.passages.release(token) {
            info!(procedure = "release", "early session ended");
            self.counters.count("ims_pcscf_dialogs_total", "released-early");
            self.emergency_routes.give_up(forward);
            self.core.cancel(now, forward, Some(cause.reason()));
            self.core
                .reject(now, passage.transaction, StatusCode::SERVER_INTERNAL_ERROR);
        }
        for key in self.sessions.dialogs.of_owner(&token.into()) {
            if self.sessions.dialogs.state(key) == Some(DialogState::Early) {
                // It goes with the answer to the CANCEL, or ends as a session that was answered meanwhile.
                continue;
            }
            if let Some(bye) = self.sessions.dialogs.bye_towards(key, Side::Peer, cause.reason())
                && let Some(next) = route::next_hop(&bye)
            {
                info!(procedure = "release", "session ended");
                self.counters.count("ims_pcscf_dialogs_total", "released");
                self.core.originate(now, bye, NextHop::Uri(next), Interface::Mw);
            }
            self.sessions.dialogs.forget(key);
        }
    }

    /// An answer to a request that was released meanwhile. A 2xx that crossed the CANCEL made a session that nobody wants:
    /// it ends at once (RFC 3261 15). Where the UE answered so, its caller has heard 500, and nobody is there to tell.
    pub(crate) fn after_release(&mut self, now: Instant, passage: &Passage, status: StatusCode) {
        if !status.is_success() {
            return;
        }
        let token = passage.contact();
        match passage.out {
            Interface::Mw => self.release_contact(now, token, ReleaseCause::RegistrationEnded),
            Interface::Gm | Interface::GmProtected => {
                for key in self.sessions.dialogs.of_owner(&token.into()) {
                    self.sessions.dialogs.forget(key);
                }
            }
        }
    }
}
