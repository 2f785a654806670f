//! Procedure: calls end when the registration ends under which they were made (TS 24.229 5.4.5.1, 5.4.1.4, 5.4.1.5).
//!
//! The leg next to a UE of ours is known here: of calls that it makes the first one through this server, of calls that
//! it gets the last one. Application servers between see the BYEs of both sides pass, as they see others. Nothing is
//! refused for being unknown: a request in a dialog that began before this server was started goes on by its Route.

use std::collections::BTreeMap;
use std::time::Instant;

use ims_common::dialog::{Beginning, DialogLimits, DialogState, DialogTable, SetupKey, Side};
use ims_common::operate::{Question, Report};
use ims_common::proxy::ServerTransactionId;
use ims_common::sip::{Contacts, HeaderName, Method, Request, Response, StatusCode, Uri, UriBuf};

use crate::registrar::{Registrar, SetId};
use crate::registration_change::{ContactChange, ContactEvent, RegistrationChange};

/// Reason of BYE and CANCEL (RFC 3326).
pub(crate) const REASON: &str = "SIP;cause=480;text=\"Registration ended\"";

/// The calls of registered users.
#[derive(Debug)]
pub(crate) struct Calls {
    dialogs: DialogTable<SetId>,
    /// INVITEs that may still make dialogs.
    setups: BTreeMap<ServerTransactionId, Setup>,
}

#[derive(Debug)]
struct Setup {
    key: SetupKey,
    set: SetId,
    /// The Contact of our user, when he calls.
    contact: Option<UriBuf>,
}

/// What a released registration takes along.
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// BYEs, complete but for Via.
    pub(crate) byes: Vec<Request>,
    /// INVITEs without a final response: to be cancelled and refused.
    pub(crate) invites: Vec<ServerTransactionId>,
}

impl Calls {
    pub(crate) fn new(dialogs_max: usize) -> Self {
        Self {
            dialogs: DialogTable::new(DialogLimits {
                dialogs_max,
                ..DialogLimits::default()
            }),
            setups: BTreeMap::new(),
        }
    }

    /// Adds a row for each call that is asked for.
    pub(crate) fn report(&self, now: Instant, question: &Question, registrar: &Registrar, out: &mut Report) {
        let owners = question.who.as_ref().map(|_| registrar.asked_for(question));
        let is_owner = |set: &SetId| owners.as_ref().is_some_and(|owners| owners.contains(set));
        self.dialogs.report(now, question, is_owner, out);
    }

    /// How many there may be.
    pub(crate) const fn limit(&self) -> usize {
        self.dialogs.limit()
    }

    pub(crate) fn len(&self) -> usize {
        self.dialogs.len()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.dialogs.poll_timeout()
    }

    /// Forgets calls that nobody has ended (RFC 4028 10); says how many.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        std::iter::from_fn(|| self.dialogs.pop_expired(now)).count()
    }

    /// An INVITE goes on. `sent` is what left, with our Record-Route. False: the table is full, and the call will not be
    /// released.
    pub(crate) fn begin(
        &mut self,
        transaction: ServerTransactionId,
        (set, caller): (SetId, Side),
        received: &Request,
        sent: &Request,
    ) -> bool {
        if self.setups.contains_key(&transaction) {
            return true;
        }
        let recorded = |request: &Request| request.values(HeaderName::RecordRoute).count();
        let begun = self.dialogs.begin(Beginning {
            owner: set,
            caller,
            request: received,
            own_record_routes: recorded(sent).saturating_sub(recorded(received)),
            icid: "",
        });
        match begun {
            Ok(key) => {
                let contact = match caller {
                    Side::Owner => contact_of(received),
                    Side::Peer => None,
                };
                self.setups.insert(transaction, Setup { key, set, contact });
                true
            }
            Err(_) => false,
        }
    }

    /// A provisional or 2xx response to an INVITE came.
    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        response: &Response,
    ) {
        let status = response.status();
        if let Some(setup) = self.setups.get(&transaction)
            && (status.is_provisional() || status.is_success())
        {
            self.dialogs.on_response(now, setup.key, response);
        }
    }

    /// No further response to the INVITE will come.
    pub(crate) fn end(&mut self, transaction: ServerTransactionId) {
        if let Some(setup) = self.setups.remove(&transaction) {
            self.dialogs.end(setup.key);
        }
    }

    /// A request in a dialog passes. Its answer is not seen here, so a BYE ends the call at once, and of a target refresh
    /// the sender's part counts.
    pub(crate) fn on_request(&mut self, now: Instant, request: &Request) {
        for from in [Side::Owner, Side::Peer] {
            // A call between two users of ours is two dialogs, one of each.
            if let Ok(key) = self.dialogs.validate(from, request, |_| true) {
                self.dialogs.on_request(now, key, from, request);
                match request.method() {
                    Method::Bye => self.dialogs.on_answer(now, key, from, request, None),
                    Method::Invite | Method::Update => {
                        let taken = agreed(request);
                        self.dialogs.on_answer(now, key, from, request, Some(&taken));
                    }
                    _ => {}
                }
            }
        }
    }

    /// What ends with the contacts of a change (TS 24.229 5.4.5.1.2).
    pub(crate) fn release(&mut self, registrar: &Registrar, change: &RegistrationChange) -> Released {
        let mut released = Released::default();
        if !change.event.is_end() || change.event == ContactEvent::MovedAway || change.contacts.is_empty() {
            return released;
        }
        let left = registrar.set(change.set);
        let is_left = |host: &Uri<'_>| {
            let bindings = left.into_iter().flat_map(|set| set.bindings());
            bindings
                .into_iter()
                .any(|b| b.contact.uri().as_uri().host() == host.host())
        };
        let is_meant = |target: Option<Uri<'_>>| match (left, target) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(target)) => was_at(&change.contacts, &target) && !is_left(&target),
        };
        for key in self.dialogs.of_owner(&change.set) {
            if self.dialogs.state(key) == Some(DialogState::Confirmed)
                && is_meant(self.dialogs.target(key, Side::Owner))
            {
                for side in [Side::Owner, Side::Peer] {
                    released.byes.extend(self.dialogs.bye_towards(key, side, REASON));
                }
                self.dialogs.forget(key);
            }
        }
        // Who is being called is known when he answers: until then only the end of the whole set ends the call.
        for (transaction, setup) in self.setups.iter().filter(|(_, setup)| setup.set == change.set) {
            if is_meant(setup.contact.as_ref().map(UriBuf::as_uri)) {
                released.invites.push(*transaction);
            }
        }
        released
    }
}

fn contact_of(request: &Request) -> Option<UriBuf> {
    match request.contacts().ok()? {
        Contacts::List(contacts) => contacts.first().map(|contact| UriBuf::from(contact.uri)),
        Contacts::None | Contacts::Star => None,
    }
}

/// Whether a remote target is at the address of one of these contacts.
fn was_at(contacts: &[ContactChange], target: &Uri<'_>) -> bool {
    contacts
        .iter()
        .any(|contact| contact.address.uri().as_uri().host() == target.host())
}

/// The answer that a request is assumed to get: what it asks for.
pub(crate) fn agreed(request: &Request) -> Response {
    let mut reply = request.reply(StatusCode::OK);
    if let Some(expires) = request.header(HeaderName::SessionExpires) {
        reply = reply.header(HeaderName::SessionExpires, String::from_utf8_lossy(expires));
    }
    reply.finish()
}
