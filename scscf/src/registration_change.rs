//! Codec: what happened to registrations, for the reg event package and third-party REGISTERs to come
//! (TS 24.229 5.4.1.7, 5.4.2.1.2; RFC 3680 5.1).

use std::collections::VecDeque;

use ims_common::identity::{Impi, Impu};
use ims_common::sip::UriBuf;

/// Changes that nobody has read yet, at most.
const UNREAD_MAX: usize = 1_024;

/// The events of RFC 3680 4.7 that this registrar knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ContactEvent {
    /// Bound by a REGISTER.
    Registered,
    /// Joined the set by decision of the HSS.
    Created,
    /// Bound before, lifetime renewed.
    Refreshed,
    /// Its time is over.
    Expired,
    /// Removed by the network; the UE should register again.
    Deactivated,
    /// Removed by the UE.
    Unregistered,
    /// Removed by the network; the UE must not register again.
    Rejected,
}

/// One change.
#[derive(Clone, Debug)]
pub struct RegistrationChange {
    /// Whose contacts.
    pub impi: Impi,
    /// The identities concerned, barred ones left out, the default one first.
    pub identities: Vec<Impu>,
    /// The contacts concerned; empty when only identities came or went.
    pub contacts: Vec<UriBuf>,
    /// What happened to them.
    pub event: ContactEvent,
}

/// Changes in order; the oldest go first when nobody reads.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    changes: VecDeque<RegistrationChange>,
}

impl Outbox {
    pub(crate) fn push(&mut self, change: RegistrationChange) {
        if self.changes.len() >= UNREAD_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }

    pub(crate) fn pop(&mut self) -> Option<RegistrationChange> {
        self.changes.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }
}
