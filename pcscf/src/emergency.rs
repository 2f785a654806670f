//! Procedure: calls for help, and what becomes of them (TS 24.229 5.2.10; TS 23.167 6.2.1, 7.4).
//!
//! * `detection`: which requests are emergencies
//! * `callers`: UEs without a registration that are in an emergency call
//!
//! No limit of ours is on their way that is not a limit of memory: they are not throttled, the Service-Route is not
//! theirs, and what the operator wants of UEs without a registration is asked of [`EmergencyPolicy`] alone.

pub(crate) mod callers;
pub(crate) mod detection;

use std::collections::BTreeMap;
use std::time::Instant;

use ims_common::dialog::{Beginning, Side};
use ims_common::net::{Flow, Interface};
use ims_common::proxy::{ForwardFailure, ForwardId, NextHop, ServerTransactionId};
use ims_common::sip::{HeaderName, Method, Request, Response, StatusCode, UriBuf};
use tracing::info;

use crate::alternative_service::{AlternativeService, CONTENT_TYPE};
use crate::asserted::{Asserted, Wish, asserted, names_one_of, preferred};
use crate::charging;
use crate::config::emergency::{EmergencyHandling, EmergencyPolicy, UnregisteredEmergency};
use crate::contacts::{Contact, FlowToken};
use crate::node::Pcscf;
use crate::passage::{Journey, Onward};
use crate::reject::Reject;
use crate::trust_boundary::{Direction, ResponseMarks, own_record_routes, request_towards_home};
use detection::Emergency;

const COUNTER: &str = "ims_pcscf_emergency_total";

/// Who calls for help.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Caller {
    /// A UE with an emergency registration (TS 24.229 5.1.6.2).
    EmergencyRegistered(Identified),
    /// A UE with an ordinary registration.
    Registered(Identified),
    /// Nobody knows.
    Unregistered,
}

/// A caller with a registration.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Identified {
    token: FlowToken,
    /// One SIP URI and one tel URI, where the registration has both (TS 24.229 5.2.10.2).
    asserted: Asserted,
}

/// What becomes of an emergency call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// To an E-CSCF.
    Route,
    /// 380 (Alternative Service).
    Instead(AlternativeService),
    /// 403 (Forbidden).
    Refuse,
}

impl EmergencyPolicy {
    /// TS 24.229 5.2.10.1 to 5.2.10.4.
    fn outcome(&self, caller: &Caller, method: &Method) -> Outcome {
        match caller {
            Caller::EmergencyRegistered(_) if self.ecscfs.is_empty() => {
                Outcome::Instead(AlternativeService::NoEmergencyCalls)
            }
            Caller::EmergencyRegistered(_) => Outcome::Route,
            Caller::Registered(_) => match self.handling {
                EmergencyHandling::Route => Outcome::Route,
                EmergencyHandling::AlternativeService => {
                    Outcome::Instead(AlternativeService::EmergencyRegistration)
                }
            },
            // TS 24.229 5.1.6.8.2: whoever has no registration may call, and nothing else.
            Caller::Unregistered => match (self.unregistered, method) {
                (UnregisteredEmergency::Accept, Method::Invite) => Outcome::Route,
                _ => Outcome::Refuse,
            },
        }
    }
}

/// Emergency calls that an E-CSCF has not answered yet.
#[derive(Debug, Default)]
pub(crate) struct EmergencyRoutes {
    by_forward: BTreeMap<ForwardId, EmergencyRoute>,
}

/// One of them.
#[derive(Clone, Debug)]
struct EmergencyRoute {
    transaction: ServerTransactionId,
    /// As it came from the UE.
    original: Request,
    /// Without the Route to an E-CSCF.
    onward: Onward,
    /// E-CSCFs that have not been tried.
    rest: std::vec::IntoIter<UriBuf>,
    /// Our Path URI of the caller.
    path: String,
}

impl EmergencyRoutes {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_forward.len()
    }

    /// The caller has given up, or the call is released: nobody else is asked.
    pub(crate) fn give_up(&mut self, forward: ForwardId) {
        self.by_forward.remove(&forward);
    }
}

impl Pcscf {
    /// The emergency that a request from a UE begins.
    pub(crate) fn emergency_in(&self, request: &Request) -> Option<Emergency> {
        if request.to().is_ok_and(|to| to.tag().is_some()) {
            return None;
        }
        let uri = request.request_uri().ok()?;
        self.settings.emergency.detection.of(&uri)
    }

    /// TS 24.229 5.2.10: a call for help.
    pub(crate) fn on_emergency(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: Flow,
        emergency: &Emergency,
    ) {
        let caller = self.emergency_caller(request, &flow);
        let path = match &caller {
            Caller::EmergencyRegistered(who) | Caller::Registered(who) => self.settings.path_of(&who.token),
            Caller::Unregistered => format!("<sip:{};lr>", self.settings.mw_host),
        };
        match self.settings.emergency.outcome(&caller, &request.method()) {
            Outcome::Refuse => {
                self.refuse(now, transaction, request, Reject::EmergencyNotAllowed);
                self.note_refusal(now, &flow, Reject::EmergencyNotAllowed);
            }
            Outcome::Instead(service) => {
                let contact = (emergency.dialled && emergency.is_typed()).then_some(&*emergency.service);
                self.offer_instead(now, transaction, request, service, &path, contact);
            }
            Outcome::Route => {
                let Some(onward) = self.emergency_towards_ecscf(now, request, flow, &caller, emergency)
                else {
                    self.refuse(now, transaction, request, Reject::ContactsFull);
                    return;
                };
                let route = EmergencyRoute {
                    transaction,
                    original: request.clone(),
                    onward,
                    rest: self.settings.emergency.ecscfs.clone().into_iter(),
                    path,
                };
                self.ask_ecscf(now, route);
            }
        }
    }

    /// The token of a UE without a registration in whose emergency call a request is: its Route has it.
    pub(crate) fn emergency_token(&self, request: &Request, flow: &Flow) -> Option<FlowToken> {
        if self.emergency_callers.len() == 0 || flow.interface != Interface::Gm {
            return None;
        }
        let routes = request.name_addrs(HeaderName::Route).unwrap_or_default();
        let own = routes.iter().take_while(|route| self.settings.is_own(&route.uri));
        own.filter_map(|route| std::str::from_utf8(route.uri.user()?).ok())
            .find(|token| self.emergency_callers.speaks(token, request, flow))
            .map(FlowToken::from)
    }

    /// The registration that a call for help comes from: an emergency registration before an ordinary one, exactly this
    /// way before another port of the same UE.
    fn emergency_caller(&self, request: &Request, flow: &Flow) -> Caller {
        let mut contacts: Vec<(&FlowToken, &Contact)> = match flow.interface {
            Interface::GmProtected => {
                let sas = self.protection.as_ref().map(|protection| &protection.sas);
                let impi = sas.and_then(|sas| sas.impi(sas.set_of_flow(flow)?));
                impi.map(|impi| self.contacts.protected(impi, flow.remote.ip()).collect())
                    .unwrap_or_default()
            }
            Interface::Gm | Interface::Mw => self.contacts.behind(flow),
        };
        contacts.sort_by_key(|(_, contact)| !contact.is_emergency());
        let wishes = preferred(request);
        let from = request.from().ok().and_then(|from| Wish::of_uri(&from.uri));
        let named: Vec<Wish> = wishes.iter().cloned().chain(from).collect();
        let found = contacts.into_iter().find_map(|(token, contact)| {
            let exact = flow.interface == Interface::GmProtected || contact.flow.remote == flow.remote;
            let who = identified(token, contact, &wishes, &named, exact)?;
            Some(match contact.is_emergency() {
                true => Caller::EmergencyRegistered(who),
                false => Caller::Registered(who),
            })
        });
        found.unwrap_or(Caller::Unregistered)
    }

    /// The request as it leaves for an E-CSCF, still without its Route. `None`: too many callers without a registration.
    fn emergency_towards_ecscf(
        &mut self,
        now: Instant,
        request: &Request,
        flow: Flow,
        caller: &Caller,
        emergency: &Emergency,
    ) -> Option<Onward> {
        let icid = self.core.fresh_token();
        let charging_vector = charging::vector_of(&self.settings, &icid);
        let (token, asserted) = match caller {
            Caller::EmergencyRegistered(who) | Caller::Registered(who) => {
                (who.token.clone(), Some(who.asserted.value()))
            }
            Caller::Unregistered => {
                let token: FlowToken = self.core.fresh_token().into();
                let call_id = request.call_id().unwrap_or_default();
                self.emergency_callers
                    .admit(now, token.clone(), flow, call_id)
                    .then_some((token, None))?
            }
        };
        let journey = match request.method() {
            Method::Invite => {
                let beginning = Beginning {
                    owner: token.clone(),
                    caller: Side::Owner,
                    request,
                    own_record_routes: 2,
                    icid: &icid,
                };
                Journey::Setup(self.sessions.begin_emergency(beginning)?)
            }
            _ => Journey::Standalone,
        };
        let mut edit = request_towards_home(request, self.settings.early_media)
            .remove(HeaderName::Route)
            .append(HeaderName::PChargingVector, charging_vector);
        if emergency.dialled {
            edit = edit.request_uri(&emergency.service);
        }
        if let Some(asserted) = asserted {
            edit = edit.append(HeaderName::PAssertedIdentity, asserted);
        }
        if let Journey::Setup(_) = journey {
            for value in own_record_routes(&self.settings, &token, Direction::From(flow.interface)) {
                edit = edit.push_front(HeaderName::RecordRoute, value);
            }
        }
        let request = edit.finish_request();
        // Each E-CSCF is the next hop in turn.
        let hop = NextHop::Uri(self.settings.emergency.ecscfs.first()?.clone());
        Some(Onward {
            request,
            hop,
            out: Interface::Mw,
            journey,
            contact: token,
            marks: ResponseMarks::default(),
        })
    }

    /// The next E-CSCF; without one the UE is sent to the circuit-switched network.
    fn ask_ecscf(&mut self, now: Instant, mut route: EmergencyRoute) {
        if let Some(ecscf) = route.rest.next() {
            let lr = if ecscf.as_uri().param("lr").is_some() {
                ""
            } else {
                ";lr"
            };
            let sent = route.onward.request.edit();
            let sent = sent.push_front(HeaderName::Route, format!("<{ecscf}{lr}>"));
            let request = sent.finish_request();
            info!(procedure = "emergency", ecscf = %ecscf, method = %request.method(), "emergency forwarded");
            self.counters.count(COUNTER, "forwarded");
            let onward = Onward {
                request,
                hop: NextHop::Uri(ecscf),
                ..route.onward.clone()
            };
            let forward = self.pass_on(now, route.transaction, &route.original, onward);
            self.emergency_routes.by_forward.insert(forward, route);
            return;
        }
        self.counters.count(COUNTER, "no-ecscf");
        if let Journey::Setup(setup) = route.onward.journey {
            self.sessions.dialogs.end(setup);
        }
        let service = AlternativeService::NoEmergencyCalls;
        let (transaction, request) = (route.transaction, &route.original);
        self.offer_instead(now, transaction, request, service, &route.path, None);
    }

    /// An E-CSCF answers. Says whether that is the end of it: whoever is out of order is followed by the next one.
    pub(crate) fn on_ecscf_response(
        &mut self,
        now: Instant,
        forward: ForwardId,
        response: &Response,
    ) -> bool {
        let Some(route) = self.emergency_routes.by_forward.get(&forward) else {
            return false;
        };
        let status = response.status();
        if status.is_provisional() {
            return false;
        }
        let is_next = status.class() == 5 && route.rest.len() > 0;
        let Some(route) = self
            .emergency_routes
            .by_forward
            .remove(&forward)
            .filter(|_| is_next)
        else {
            return false;
        };
        info!(procedure = "emergency", code = status.as_u16(), "E-CSCF refuses");
        self.passages.forget(forward);
        self.ask_ecscf(now, route);
        true
    }

    /// An E-CSCF is silent or out of reach. Says whether the request was an emergency.
    pub(crate) fn on_ecscf_failed(
        &mut self,
        now: Instant,
        forward: ForwardId,
        cause: ForwardFailure,
    ) -> bool {
        let Some(route) = self.emergency_routes.by_forward.remove(&forward) else {
            return false;
        };
        info!(procedure = "emergency", ?cause, "E-CSCF does not answer");
        self.passages.forget(forward);
        self.ask_ecscf(now, route);
        true
    }

    /// TS 24.229 5.2.10.4, 5.1.2A.1.6, 7.6: what the UE is to do instead. It believes its P-CSCF alone, which it knows
    /// by the Path of its registration.
    pub(crate) fn offer_instead(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        service: AlternativeService,
        path: &str,
        contact: Option<&str>,
    ) {
        let (status, label) = match service {
            AlternativeService::EmergencyRegistration => {
                (StatusCode::ALTERNATIVE_SERVICE, "emergency-registration")
            }
            AlternativeService::NoEmergencyCalls => (StatusCode::ALTERNATIVE_SERVICE, "no-emergency-calls"),
            AlternativeService::Restoration => (StatusCode::SERVER_TIMEOUT, "restoration"),
        };
        info!(method = %request.method(), label, "UE told what to do instead");
        self.counters.count("ims_pcscf_alternative_service_total", label);
        let tag = self.core.fresh_token();
        let mut reply = request
            .reply(status)
            .to_tag(&tag)
            .header(HeaderName::PAssertedIdentity, path);
        if let Some(contact) = contact {
            reply = reply.header(HeaderName::Contact, format!("<{contact}>"));
        }
        let response = reply.body(CONTENT_TYPE, service.body()).finish();
        self.core.respond(now, transaction, response);
    }
}

/// TS 24.229 5.2.10.2: the identity that the caller wishes for, or the default one, and one of the other kind.
fn identified(
    token: &FlowToken,
    contact: &Contact,
    wishes: &[Wish],
    named: &[Wish],
    exact: bool,
) -> Option<Identified> {
    let (registration, asserted) = asserted(contact, wishes)?;
    (exact || names_one_of(contact, named)).then(|| Identified {
        token: token.clone(),
        asserted: asserted.with_the_other_kind(registration),
    })
}
