//! Procedure: requests other than REGISTER from a UE (TS 24.229 5.2.6.3).
//!
//! A UE speaks only for what it registered, and only along the Service-Route of its registration; within a dialog, only
//! as a party of it and along its route set (`sessions`).

use std::time::Instant;

use ims_common::dialog::{Beginning, Side};
use ims_common::media_policy::MediaVerdict;
use ims_common::net::{Flow, Interface};
use ims_common::proxy::{NextHop, ServerTransactionId};
use ims_common::sip::{HeaderName, Method, NameAddr, Request, StatusCode, UriBuf};
use smallvec::SmallVec;
use tracing::info;

use crate::asserted::{Asserted, Wish, asserted, names_one_of, preferred};
use crate::charging;
use crate::config::UnregisteredRequests;
use crate::contacts::{Contact, FlowToken, Registration};
use crate::node::Pcscf;
use crate::passage::{Journey, Onward};
use crate::reject::Reject;
use crate::sessions::{makes_a_dialog, needs_a_dialog};
use crate::trust_boundary::{Direction, own_record_routes, request_towards_home};

/// For whom a request of a UE is served.
#[derive(Clone, Debug)]
struct Origin {
    token: FlowToken,
    asserted: Asserted,
    service_route: SmallVec<[Box<str>; 1]>,
}

impl Origin {
    fn new(token: &FlowToken, asserted: Asserted, registration: &Registration) -> Self {
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
        if let Some(allowed) = self.media_not_allowed(request) {
            return self.refuse_media(now, transaction, request, allowed);
        }
        match self.originate(now, request, &flow) {
            Ok(onward) => {
                self.counters.count("ims_pcscf_originating_total", "forwarded");
                info!(procedure = "originating", method = %request.method(), "request forwarded to the home network");
                let begins = !matches!(onward.journey, Journey::InDialog(..));
                let path = begins.then(|| self.settings.path_of(&onward.contact));
                let forward = self.pass_on(now, transaction, request, onward);
                if let Some(path) = path {
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
                self.note_refusal(now, &flow, Reject::NotRegistered);
            }
            Err(reject) => {
                self.refuse(now, transaction, request, reject);
                self.note_refusal(now, &flow, reject);
            }
        }
    }

    /// TS 24.229 6.2: what would be allowed instead, where an offer is against the operator's policy.
    fn media_not_allowed(&self, request: &Request) -> Option<String> {
        let offers = matches!(request.method(), Method::Invite | Method::Update | Method::Prack);
        let profile = self.settings.media.as_ref().filter(|_| offers)?;
        match profile.verdict(request) {
            MediaVerdict::Allowed => None,
            MediaVerdict::NotAllowed(allowed) => Some(allowed),
        }
    }

    /// TS 24.229 6.2: 488 (Not Acceptable Here) with a session description.
    fn refuse_media(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        allowed: String,
    ) {
        info!(method = %request.method(), reject = "media", "request rejected");
        self.counters.count("ims_pcscf_rejected_total", "media");
        let tag = self.core.fresh_token();
        let reply = request.reply(StatusCode::NOT_ACCEPTABLE_HERE).to_tag(&tag);
        let response = reply.body("application/sdp", allowed).finish();
        self.core.respond(now, transaction, response);
    }

    /// ACK to a 2xx: along its dialog like every request in it, without an answer.
    pub(crate) fn on_ack(&mut self, now: Instant, request: &Request, flow: Flow) {
        let onward = match flow.interface {
            Interface::Gm | Interface::GmProtected => self.originate(now, request, &flow),
            Interface::Mw => self.terminate(now, request),
        };
        match onward {
            Ok(onward) => self.core.forward_ack(now, onward.request, onward.hop, onward.out),
            Err(reject) => self.counters.count("ims_pcscf_dropped_total", reject.label()),
        }
    }

    fn originate(&mut self, now: Instant, request: &Request, flow: &Flow) -> Result<Onward, Reject> {
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        if in_dialog {
            return self.onward_in_dialog(now, request, flow);
        }
        let origin = self.origin(request, flow).ok_or(Reject::NotRegistered)?;
        let is_emergency = self
            .contacts
            .get(&origin.token)
            .is_some_and(Contact::is_emergency);
        if is_emergency {
            return Err(Reject::EmergencyRegistration);
        }
        let method = request.method();
        if needs_a_dialog(&method) {
            return Err(Reject::NoSuchDialog);
        }
        self.check_route(request, flow, &origin)?;
        let first = origin.service_route.first().ok_or(Reject::NoServiceRoute)?;
        let hop = next_hop_of(first).ok_or(Reject::NoServiceRoute)?;
        let icid = self.core.fresh_token();
        let journey = if makes_a_dialog(&method) {
            let beginning = Beginning {
                owner: origin.token.clone(),
                caller: Side::Owner,
                request,
                own_record_routes: 2,
                icid: &icid,
            };
            Journey::Setup(self.sessions.begin(beginning)?)
        } else {
            Journey::Standalone
        };
        let mut edit = request_towards_home(request, self.settings.early_media)
            // TS 24.229 5.2.6.3.3: a Route other than the Service-Route is replaced by it.
            .remove(HeaderName::Route)
            .push_front(HeaderName::Route, origin.service_route.join(", "))
            .append(HeaderName::PAssertedIdentity, origin.asserted.value())
            .append(
                HeaderName::PChargingVector,
                charging::vector_of(&self.settings, &icid),
            );
        if let Journey::Setup(_) = journey {
            for value in own_record_routes(&self.settings, &origin.token, Direction::From(flow.interface)) {
                edit = edit.push_front(HeaderName::RecordRoute, value);
            }
        }
        Ok(Onward {
            request: edit.finish_request(),
            hop,
            out: Interface::Mw,
            journey,
            contact: origin.token,
            marks: Default::default(),
        })
    }

    /// TS 24.229 5.2.6.3.3: whether the UE preloads what it was told, for the operator to know; RFC 5626 5.3: nobody
    /// speaks over the flow of another.
    fn check_route(&mut self, request: &Request, flow: &Flow, origin: &Origin) -> Result<(), Reject> {
        let routes = request.name_addrs(HeaderName::Route).unwrap_or_default();
        let own = routes.iter().take_while(|route| self.settings.is_own(&route.uri));
        let speakers = self.speakers(flow);
        let is_of_sender = |token: &str| speakers.iter().any(|(speaker, _)| ***speaker == *token);
        if self.names_another(own.clone(), is_of_sender) {
            return Err(Reject::ForeignToken);
        }
        let preloaded = routes.get(own.count()..).unwrap_or_default();
        let told: Vec<NameAddr<'_>> = origin
            .service_route
            .iter()
            .filter_map(|value| NameAddr::parse(value.as_bytes()).ok())
            .collect();
        let same = preloaded.len() == told.len()
            && preloaded.iter().zip(&told).all(|(a, b)| a.uri.equivalent(&b.uri));
        if !same {
            self.counters
                .count("ims_pcscf_route_replaced_total", "service-route");
        }
        Ok(())
    }

    /// Whether one of our Route entries has the token of a contact that is not one of the sender's.
    pub(crate) fn names_another<'a>(
        &self,
        mut own: impl Iterator<Item = &'a NameAddr<'a>>,
        is_of_sender: impl Fn(&str) -> bool,
    ) -> bool {
        own.any(|route| {
            let token = route.uri.user().and_then(|user| std::str::from_utf8(user).ok());
            token.is_some_and(|token| self.contacts.get(token).is_some() && !is_of_sender(token))
        })
    }

    /// Whose request it is: the contact at exactly this address and port, or another contact of this address
    /// one of whose identities the request names (a handset registers on TCP and sends MESSAGE on UDP).
    ///
    /// Over security associations it is their private identity that speaks, and nobody else (TS 33.203 7.1 rule 7).
    fn origin(&self, request: &Request, flow: &Flow) -> Option<Origin> {
        let wishes = preferred(request);
        if flow.interface == Interface::GmProtected {
            return self.speakers(flow).into_iter().find_map(|(token, contact)| {
                let (registration, asserted) = asserted(contact, &wishes)?;
                Some(Origin::new(token, asserted, registration))
            });
        }
        let from = request.from().ok().and_then(|from| Wish::of_uri(&from.uri));
        let named: Vec<Wish> = wishes.iter().cloned().chain(from).collect();
        self.speakers(flow).into_iter().find_map(|(token, contact)| {
            let same_way = contact.flow.remote == flow.remote;
            let (registration, asserted) = asserted(contact, &wishes)?;
            (same_way || names_one_of(contact, &named)).then(|| Origin::new(token, asserted, registration))
        })
    }

    /// The contacts of those who speak over a flow.
    pub(crate) fn speakers(&self, flow: &Flow) -> Vec<(&FlowToken, &Contact)> {
        if flow.interface != Interface::GmProtected {
            return self.contacts.behind(flow);
        }
        let impi = self.protection.as_ref().and_then(|protection| {
            let sas = &protection.sas;
            sas.impi(sas.set_of_flow(flow)?)
        });
        let contacts = impi.map(|impi| self.contacts.protected(impi, flow.remote.ip()));
        contacts.into_iter().flatten().collect()
    }
}

fn next_hop_of(route: &str) -> Option<NextHop> {
    let route = NameAddr::parse(route.as_bytes()).ok()?;
    Some(NextHop::Uri(UriBuf::from(route.uri)))
}
