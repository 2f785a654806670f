//! Procedure: requests other than REGISTER from a UE (TS 24.229 5.2.6.3).
//!
//! A UE speaks only for what it registered, and only along the Service-Route of its registration. The dialog
//! itself is not watched here: responses and in-dialog requests pass by Via and Record-Route.

use std::time::Instant;

use ims_common::identity::Impu;
use ims_common::net::{Flow, Interface};
use ims_common::proxy::{NextHop, ServerTransactionId};
use ims_common::sip::{HeaderName, Method, Request, Uri, UriBuf};
use smallvec::SmallVec;
use tracing::info;

use crate::config::UnregisteredRequests;
use crate::contacts::{Contact, FlowToken, Registration};
use crate::node::Pcscf;
use crate::reject::Reject;
use crate::trust_boundary::{Direction, own_record_routes, request_towards_home};

/// For whom a request of a UE is served.
#[derive(Clone, Debug)]
struct Origin {
    token: FlowToken,
    asserted: UriBuf,
    service_route: SmallVec<[Box<str>; 1]>,
}

/// A request on its way to the home network.
struct Onward {
    request: Request,
    hop: NextHop,
    /// The contact along whose Service-Route something begins.
    by: Option<FlowToken>,
}

impl Origin {
    fn new(token: &FlowToken, asserted: UriBuf, registration: &Registration) -> Self {
        Self {
            token: token.clone(),
            asserted,
            service_route: registration.service_route.clone(),
        }
    }
}

impl Pcscf {
    /// TS 24.229 5.2.6.3.2A: nobody speaks without a registration; 5.2.6.3.3: the way of one that has it.
    pub(crate) fn on_originating(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: Flow,
    ) {
        if let Some(emergency) = self.emergency_in(request) {
            return self.on_emergency(now, transaction, request, flow, &emergency);
        }
        match self.originate(request, &flow) {
            Ok(Onward {
                request: sent,
                hop,
                by,
            }) => {
                self.counters.count("ims_pcscf_originating_total", "forwarded");
                info!(procedure = "originating", method = %sent.method(), "request forwarded to the home network");
                let forward = self.pass_on(now, transaction, sent, hop, Interface::Mw);
                if let Some(token) = by {
                    let path = self.settings.path_of(&token);
                    self.restorations.watch(forward, request, path);
                }
            }
            Err(Reject::NotRegistered)
                if self.settings.unregistered_requests == UnregisteredRequests::Drop =>
            {
                self.counters
                    .count("ims_pcscf_dropped_total", Reject::NotRegistered.label());
                info!(method = %request.method(), "request of an unregistered UE dropped");
                self.core.abandon(transaction);
            }
            Err(reject) => self.refuse(now, transaction, request, reject),
        }
    }

    /// ACK to a 2xx: along its Route like every request in a dialog, without an answer.
    pub(crate) fn on_ack(&mut self, now: Instant, request: &Request, flow: Flow) {
        let onward = match flow.interface {
            Interface::Gm | Interface::GmProtected => self
                .originate(request, &flow)
                .map(|onward| (onward.request, onward.hop, Interface::Mw)),
            Interface::Mw => self
                .terminate(request)
                .map(|(r, flow)| (r, NextHop::Flow(flow), flow.interface)),
        };
        match onward {
            Ok((request, hop, interface)) => self.core.forward_ack(now, request, hop, interface),
            Err(reject) => self.counters.count("ims_pcscf_dropped_total", reject.label()),
        }
    }

    fn originate(&mut self, request: &Request, flow: &Flow) -> Result<Onward, Reject> {
        if self.is_of_emergency_caller(request, flow) {
            return self.along_the_dialog(request);
        }
        let origin = self.origin(request, flow).ok_or(Reject::NotRegistered)?;
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        if in_dialog {
            return self.along_the_dialog(request);
        }
        let is_emergency = self
            .contacts
            .get(&origin.token)
            .is_some_and(Contact::is_emergency);
        if is_emergency {
            return Err(Reject::EmergencyRegistration);
        }
        let first = origin.service_route.first().ok_or(Reject::NoServiceRoute)?;
        let hop = next_hop_of(first).ok_or(Reject::NoServiceRoute)?;
        let charging_vector = self.charging_vector();
        let mut edit = request_towards_home(request)
            // TS 24.229 5.2.6.3.3: a Route other than the Service-Route is replaced by it.
            .remove(HeaderName::Route)
            .push_front(HeaderName::Route, origin.service_route.join(", "))
            .remove(HeaderName::PPreferredIdentity)
            .append(HeaderName::PAssertedIdentity, format!("<{}>", origin.asserted))
            .append(HeaderName::PChargingVector, charging_vector);
        if makes_a_dialog(&request.method()) {
            for value in own_record_routes(&self.settings, &origin.token, Direction::From(flow.interface)) {
                edit = edit.push_front(HeaderName::RecordRoute, value);
            }
        }
        Ok(Onward {
            request: edit.finish_request(),
            hop,
            by: Some(origin.token),
        })
    }

    /// Our own entries leave the Route; the next one, or the Request-URI, is the way.
    fn along_the_dialog(&self, request: &Request) -> Result<Onward, Reject> {
        let routes = request
            .name_addrs(HeaderName::Route)
            .map_err(|_| Reject::NoServiceRoute)?;
        let own = routes
            .iter()
            .take_while(|route| self.settings.is_own(&route.uri))
            .count();
        let next = match routes.get(own) {
            Some(route) => UriBuf::from(route.uri),
            None => UriBuf::from(request.request_uri().map_err(|_| Reject::NoServiceRoute)?),
        };
        let mut edit = request_towards_home(request);
        for _ in 0..own {
            edit = edit.pop_first_value(HeaderName::Route);
        }
        Ok(Onward {
            request: edit.finish_request(),
            hop: NextHop::Uri(next),
            by: None,
        })
    }

    /// Whose request it is: the contact at exactly this address and port, or another contact of this address
    /// one of whose identities the request names (a handset registers on TCP and sends MESSAGE on UDP).
    ///
    /// Over security associations it is their private identity that speaks, and nobody else (TS 33.203 7.1 rule 7).
    fn origin(&self, request: &Request, flow: &Flow) -> Option<Origin> {
        let wishes = wished_identities(request);
        if flow.interface == Interface::GmProtected {
            let sas = &self.protection.as_ref()?.sas;
            let impi = sas.impi(sas.set_of_flow(flow)?)?;
            let mut contacts = self.contacts.protected(impi, flow.remote.ip());
            return contacts.find_map(|(token, contact)| {
                let (registration, asserted) = asserted_identity(contact, &wishes)?;
                Some(Origin::new(token, asserted, registration))
            });
        }
        self.contacts
            .behind(flow)
            .into_iter()
            .find_map(|(token, contact)| {
                let (registration, asserted) = asserted_identity(contact, &wishes)?;
                let same_way = contact.flow.remote == flow.remote;
                let named = wishes
                    .iter()
                    .any(|wish| identities(registration).any(|(identity, _)| identity == *wish));
                (same_way || named).then(|| Origin::new(token, asserted, registration))
            })
    }
}

/// P-Preferred-Identity first, then From (TS 24.229 5.2.6.3.1).
pub(crate) fn wished_identities(request: &Request) -> Vec<Impu> {
    let preferred = request
        .name_addrs(HeaderName::PPreferredIdentity)
        .unwrap_or_default();
    let preferred = preferred.iter().map(|value| value.uri);
    preferred
        .chain(request.from().ok().map(|from| from.uri))
        .filter_map(|uri| Impu::from_bytes(uri.as_bytes()).ok())
        .collect()
}

/// TS 24.229 5.2.6.3.1: the wished identity where it is registered, else the default one.
pub(crate) fn asserted_identity<'a>(
    contact: &'a Contact,
    wishes: &[Impu],
) -> Option<(&'a Registration, UriBuf)> {
    for wish in wishes {
        for registration in contact.registrations().iter().rev() {
            if let Some((_, uri)) = identities(registration).find(|(identity, _)| identity == wish) {
                return Some((registration, UriBuf::from(uri)));
            }
        }
    }
    let registration = contact.registrations().last()?;
    Some((registration, UriBuf::from(registration.associated.iter().next()?)))
}

fn identities(registration: &Registration) -> impl Iterator<Item = (Impu, Uri<'_>)> {
    registration
        .associated
        .iter()
        .filter_map(|uri| Some((Impu::from_bytes(uri.as_bytes()).ok()?, uri)))
}

fn next_hop_of(route: &str) -> Option<NextHop> {
    let route = ims_common::sip::NameAddr::parse(route.as_bytes()).ok()?;
    Some(NextHop::Uri(UriBuf::from(route.uri)))
}

/// Methods that make a dialog (RFC 3261, RFC 6665, RFC 3515).
pub(crate) fn makes_a_dialog(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Subscribe | Method::Refer)
}
