//! Procedure: requests within dialogs, in both directions (TS 24.229 5.2.6.3.5, 5.2.6.3.9, 5.2.6.4.5, 5.2.6.4.9).
//!
//! Every dialog that a request over this P-CSCF made is known here with its parties and its route set. A UE speaks in a
//! dialog only as a party, in order, and along the route set of the dialog: another one is replaced, so that no UE
//! chooses where its request goes. What belongs to no known dialog is refused, but for one case: after a restart of the
//! P-CSCF its dialogs are unknown while the phones talk on. Then the route set decides: a registered UE's request passes
//! if its Route has an entry of ours that is nobody's any more and leads from there to the S-CSCF that serves the UE,
//! which knows the dialog. Towards a UE no such case exists: the token that named the UE is gone too, and 481 tells the
//! other party that the session is over.
//!
//! * `release`: the end of dialogs by the network

use std::time::Instant;

use ims_common::dialog::{Beginning, DialogFault, DialogKey, DialogLimits, DialogTable, SetupKey, Side};
use ims_common::net::{Flow, Interface};
use ims_common::node::Metrics;
use ims_common::proxy::NextHop;
use ims_common::sip::{HeaderName, Method, NameAddr, Request, Uri, UriBuf};

use crate::charging;
use crate::contacts::{Contact, FlowToken};
use crate::node::Pcscf;
use crate::passage::{Journey, Onward};
use crate::reject::Reject;
use crate::trust_boundary::request_towards_home;

pub(crate) mod release;

/// Dialogs of one contact, so that no UE fills the table. A phone has a few subscriptions, two or three calls, and the forks
/// of those.
const DIALOGS_PER_CONTACT: usize = 64;

/// The sessions of all UEs.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) dialogs: DialogTable<FlowToken>,
}

impl Sessions {
    /// None yet.
    pub(crate) fn new(limits: DialogLimits) -> Self {
        Self {
            dialogs: DialogTable::new(limits),
        }
    }

    pub(crate) fn begin(&mut self, beginning: Beginning<'_, FlowToken>) -> Result<SetupKey, Reject> {
        if self.dialogs.count_of_owner(&beginning.owner) >= DIALOGS_PER_CONTACT {
            return Err(Reject::DialogsFull);
        }
        self.dialogs.begin(beginning).map_err(|_| Reject::DialogsFull)
    }

    /// As [`Sessions::begin`], for an emergency call.
    pub(crate) fn begin_emergency(&mut self, beginning: Beginning<'_, FlowToken>) -> Option<SetupKey> {
        self.dialogs.begin_emergency(beginning).ok()
    }

    pub(crate) fn export_metrics(&self, out: &mut Metrics) {
        let gauge = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        out.gauge("ims_pcscf_dialogs", &[], gauge(self.dialogs.len()));
        out.gauge("ims_pcscf_setups", &[], gauge(self.dialogs.setup_count()));
    }
}

/// Methods that make a dialog (RFC 3261, RFC 6665, RFC 3515).
pub(crate) fn makes_a_dialog(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Subscribe | Method::Refer)
}

/// Methods that mean nothing without one (RFC 3261 15.1, RFC 3262 3, RFC 3311 5.1, RFC 6086 4.1).
pub(crate) fn needs_a_dialog(method: &Method) -> bool {
    matches!(
        method,
        Method::Bye | Method::Prack | Method::Update | Method::Info | Method::Ack
    )
}

impl Pcscf {
    /// TS 24.229 5.2.6.3.5, 5.2.6.3.9: a UE's request with a tag in To.
    pub(crate) fn onward_in_dialog(
        &mut self,
        now: Instant,
        request: &Request,
        flow: &Flow,
    ) -> Result<Onward, Reject> {
        let registered = self.speakers(flow).into_iter().map(|(token, _)| token.clone());
        let speakers: Vec<FlowToken> = registered.chain(self.emergency_token(request, flow)).collect();
        let first = speakers.first().ok_or(Reject::NotRegistered)?.clone();
        let routes = request
            .name_addrs(HeaderName::Route)
            .map_err(|_| Reject::NoServiceRoute)?;
        let own = routes.iter().take_while(|route| self.settings.is_own(&route.uri));
        let is_of_sender = |token: &str| speakers.iter().any(|speaker| **speaker == *token);
        if self.names_another(own.clone(), is_of_sender) {
            return Err(Reject::ForeignToken);
        }
        let own = own.count();
        let dialogs = &mut self.sessions.dialogs;
        let valid = dialogs.validate(Side::Owner, request, |owner| speakers.contains(owner));
        let valid = match valid {
            Err(DialogFault::NoSuchDialog) => dialogs
                .adopt_notify(now, Side::Owner, request)
                .ok_or(DialogFault::NoSuchDialog),
            valid => valid,
        };
        match valid {
            Ok(key) => self.along_the_dialog(key, request, own),
            Err(DialogFault::NoSuchDialog) => self.along_the_route_set(first, request, own),
            Err(DialogFault::WrongParty) => Err(Reject::NotAParty),
            Err(DialogFault::CseqTooLow) => Err(Reject::CseqTooLow),
        }
    }

    /// Along the route set of the dialog, whatever the request says. `own` Route entries are ours.
    fn along_the_dialog(&mut self, key: DialogKey, request: &Request, own: usize) -> Result<Onward, Reject> {
        let dialogs = &self.sessions.dialogs;
        let contact = dialogs.owner(key).cloned().ok_or(Reject::NoSuchDialog)?;
        let route: Vec<String> = dialogs.route_towards(key, Side::Peer).collect();
        let next = match route.first() {
            Some(first) => NameAddr::parse(first.as_bytes()).ok().map(|first| first.uri),
            None => dialogs.target(key, Side::Peer),
        };
        let next = next.map(UriBuf::from).ok_or(Reject::NoSuchDialog)?;
        let vector = dialogs
            .icid(key)
            .filter(|icid| !icid.is_empty() && request.method() != Method::Ack)
            .map(|icid| charging::vector_of(&self.settings, icid));
        let follows = dialogs.follows_route_set(key, Side::Owner, request, own);
        let mut edit = request_towards_home(request, self.settings.early_media);
        if follows {
            for _ in 0..own {
                edit = edit.pop_first_value(HeaderName::Route);
            }
        } else {
            self.counters.count("ims_pcscf_route_replaced_total", "dialog");
            edit = edit.remove(HeaderName::Route);
            if !route.is_empty() {
                edit = edit.push_front(HeaderName::Route, route.join(", "));
            }
        }
        if let Some(vector) = vector {
            edit = edit.append(HeaderName::PChargingVector, vector);
        }
        Ok(Onward {
            request: edit.finish_request(),
            hop: NextHop::Uri(next),
            out: Interface::Mw,
            journey: Journey::InDialog(key, Side::Owner),
            contact,
            marks: Default::default(),
        })
    }

    /// A dialog from before a restart: our entry in Route is nobody's, and the next one is the S-CSCF of the UE.
    fn along_the_route_set(
        &mut self,
        contact: FlowToken,
        request: &Request,
        own: usize,
    ) -> Result<Onward, Reject> {
        let routes = request
            .name_addrs(HeaderName::Route)
            .map_err(|_| Reject::NoSuchDialog)?;
        let is_known = |route: &NameAddr<'_>| {
            let token = route.uri.user().and_then(|user| std::str::from_utf8(user).ok());
            token.is_none_or(|token| self.contacts.get(token).is_some())
        };
        if own == 0 || routes.iter().take(own).any(is_known) {
            return Err(Reject::NoSuchDialog);
        }
        let registered = self.contacts.get(&contact).ok_or(Reject::NoSuchDialog)?;
        let next = routes
            .get(own)
            .filter(|next| is_home_of(registered, &next.uri))
            .map(|next| UriBuf::from(next.uri))
            .ok_or(Reject::NoSuchDialog)?;
        self.counters.count("ims_pcscf_dialogs_total", "by-route-set");
        let mut edit = request_towards_home(request, self.settings.early_media);
        for _ in 0..own {
            edit = edit.pop_first_value(HeaderName::Route);
        }
        Ok(Onward {
            request: edit.finish_request(),
            hop: NextHop::Uri(next),
            out: Interface::Mw,
            journey: Journey::Standalone,
            contact,
            marks: Default::default(),
        })
    }

    /// TS 24.229 5.2.6.4.5, 5.2.6.4.9: the dialog of a request towards the UE of a contact.
    pub(crate) fn dialog_towards_ue(
        &mut self,
        now: Instant,
        request: &Request,
        token: &FlowToken,
    ) -> Result<DialogKey, Reject> {
        let dialogs = &mut self.sessions.dialogs;
        match dialogs.validate(Side::Peer, request, |owner| owner == token) {
            Ok(key) => Ok(key),
            Err(DialogFault::NoSuchDialog | DialogFault::WrongParty) => dialogs
                .adopt_notify(now, Side::Peer, request)
                .filter(|key| dialogs.owner(*key) == Some(token))
                .ok_or(Reject::NoSuchDialog),
            Err(DialogFault::CseqTooLow) => Err(Reject::CseqTooLow),
        }
    }

    /// TS 24.229 5.2.8.3: dialogs whose session timer ran out are forgotten.
    pub(crate) fn expire_dialogs(&mut self, now: Instant) {
        while self.sessions.dialogs.pop_expired(now).is_some() {
            self.counters.count("ims_pcscf_dialogs_total", "expired");
        }
    }
}

/// Whether a URI is at the S-CSCF that serves a contact.
fn is_home_of(contact: &Contact, uri: &Uri<'_>) -> bool {
    let place = |uri: &Uri<'_>| {
        (
            uri.host().to_string().to_ascii_lowercase(),
            uri.port().unwrap_or(5060),
        )
    };
    let mut first_hops = contact.registrations().iter().filter_map(|registration| {
        let first = registration.service_route.first()?;
        NameAddr::parse(first.as_bytes())
            .ok()
            .map(|first| place(&first.uri))
    });
    first_hops.any(|hop| hop == place(uri))
}
