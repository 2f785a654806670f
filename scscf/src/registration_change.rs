//! Codec: what happened to registrations, for the reg event package and third-party REGISTERs
//! (TS 24.229 5.4.1.7, 5.4.2.1.2; RFC 3680 5.1).

use std::collections::VecDeque;
use std::sync::Arc;

use hss_client::user_data::RegistrationType;
use ims_common::identity::{Impi, Impu};
use ims_common::sip::{Request, Response};

use crate::registrar::{Binding, BindingId, ContactAddress, Services, SetId};

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
    /// Bound, but the network has shortened its lifetime (TS 24.229 5.4.1.6).
    Shortened,
    /// Its time is over.
    Expired,
    /// Removed by the network; the UE should register again.
    Deactivated,
    /// Removed by the UE.
    Unregistered,
    /// Removed by the network; the UE must not register again.
    Rejected,
    /// Removed by the network; the UE should register again, but not at once.
    Probation,
    /// Removed because another S-CSCF serves the user now: nobody is told (TS 24.229 5.4.1.5).
    MovedAway,
}

impl ContactEvent {
    /// The value of the attribute `event`. What nobody is told has none.
    pub(crate) fn attribute(self) -> Option<&'static str> {
        match self {
            Self::Registered => Some("registered"),
            Self::Created => Some("created"),
            Self::Refreshed => Some("refreshed"),
            Self::Shortened => Some("shortened"),
            Self::Expired => Some("expired"),
            Self::Deactivated => Some("deactivated"),
            Self::Unregistered => Some("unregistered"),
            Self::Rejected => Some("rejected"),
            Self::Probation => Some("probation"),
            Self::MovedAway => None,
        }
    }

    /// Whether the contact is gone after it.
    pub(crate) fn is_end(self) -> bool {
        match self {
            Self::Registered | Self::Created | Self::Refreshed | Self::Shortened => false,
            Self::Expired
            | Self::Deactivated
            | Self::Unregistered
            | Self::Rejected
            | Self::Probation
            | Self::MovedAway => true,
        }
    }
}

/// A contact that something happened to, as it was when it happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContactChange {
    /// Which binding.
    pub(crate) id: BindingId,
    pub(crate) address: ContactAddress,
    pub(crate) call_id: Box<[u8]>,
    pub(crate) cseq: u32,
}

impl From<&Binding> for ContactChange {
    fn from(binding: &Binding) -> Self {
        Self {
            id: binding.id,
            address: binding.contact.clone(),
            call_id: binding.call_id.clone(),
            cseq: binding.cseq,
        }
    }
}

/// One change.
#[derive(Clone, Debug)]
pub struct RegistrationChange {
    /// Whose contacts.
    pub impi: Impi,
    /// Their implicit registration set, which may be gone since.
    pub set: SetId,
    /// The identities concerned, barred ones left out, the default one first.
    pub identities: Vec<Impu>,
    /// The contacts concerned; empty when only identities came or went.
    pub contacts: Vec<ContactChange>,
    /// What happened to them.
    pub event: ContactEvent,
    /// When nothing is left of the set: whose services ended.
    pub(crate) served: Vec<Served>,
    /// The REGISTER that did it, if one did.
    pub(crate) cause: Option<Arc<Cause>>,
}

/// A REGISTER and its 200 (TS 24.229 5.4.1.7).
#[derive(Debug)]
pub(crate) struct Cause {
    pub(crate) request: Request,
    pub(crate) response: Response,
    pub(crate) registration: RegistrationType,
}

/// The services of a set, and the identity that application servers are told to be registered with them: that of the
/// REGISTER, unless it is barred or has other services, else the first one that is not barred.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) impu: Impu,
    pub(crate) services: Arc<Services>,
}

/// Changes in order; the oldest go first when nobody reads.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    changes: VecDeque<RegistrationChange>,
    /// Those that were read, for tests.
    #[cfg(test)]
    pub(crate) read: VecDeque<RegistrationChange>,
}

impl Outbox {
    pub(crate) fn push(&mut self, change: RegistrationChange) {
        if self.changes.len() >= UNREAD_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }

    /// Says which REGISTER has made the changes that nobody has read yet.
    pub(crate) fn attach(&mut self, cause: Cause) {
        let cause = Arc::new(cause);
        for change in self.changes.iter_mut().filter(|change| change.cause.is_none()) {
            change.cause = Some(cause.clone());
        }
    }

    pub(crate) fn pop(&mut self) -> Option<RegistrationChange> {
        let change = self.changes.pop_front()?;
        #[cfg(test)]
        self.read.push_back(change.clone());
        Some(change)
    }

    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }
}
