//! Procedure: one REGISTER from a UE to the home network and its answer back (TS 24.229 5.2.2).
//!
//! `arrival`: what the security agreement asks of it.
//!
//! Read first: TS 24.229 5.2.2.1 (all REGISTERs), 5.2.2.2 (IMS AKA), 5.2.2.3 (SIP Digest), 5.2.5.1
//! (de-registration); RFC 3327 (Path).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ims_common::identity::{Impi, Impu};
use ims_common::net::{Flow, Interface};
use ims_common::proxy::{ForwardFailure, ForwardId, NextHop, ServerTransactionId};
use ims_common::sip::{Contacts, Credentials, HeaderName, NameAddr, Request, Response, StatusCode, UriBuf};
use tracing::{debug, info};

use crate::contacts::{Contact, ContactKey, Device, FlowToken, Registration, UriList, same_contact};
use crate::entry_points::{EntryPointSearch, Verdict};
use crate::node::Pcscf;
use crate::protection::Protection;
use crate::reg_event::changes::RegisterStamp;
use crate::reject::Reject;
use crate::signals::Answer;
use crate::trust_boundary::{IntegrityProtected, RegisterMarks, register_towards_home, response_towards_ue};
use smallvec::SmallVec;

pub(crate) mod arrival;

use arrival::Arrival;

/// The outcome that only leads to the next REGISTER.
const CHALLENGED: &str = "challenged";

/// A REGISTER that an entry point of the home network is asked to answer.
#[derive(Debug)]
pub(crate) struct AwaitRegisterAnswer {
    pub(crate) transaction: ServerTransactionId,
    pub(crate) forwarded: Request,
    search: EntryPointSearch,
    token: FlowToken,
    pub(crate) key: ContactKey,
    impu: Impu,
    asked: Asked,
    pub(crate) arrival: Arrival,
}

/// What a REGISTER is about.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Asked {
    /// No Contact: the UE asks what is registered.
    Bindings,
    /// Contact `*`: all contacts of the identity go.
    RemoveAll,
    /// One contact address.
    Contact(UriBuf),
}

impl Pcscf {
    /// TS 24.229 5.2.2.1: a REGISTER from a UE.
    pub(crate) fn on_register(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: Flow,
    ) {
        match self.start_register(now, transaction, request, flow) {
            Ok(procedure) => self.ask_entry_point(now, procedure),
            Err(reject) => {
                self.refuse(now, transaction, request, reject);
                self.note_refusal(now, &flow, reject);
            }
        }
    }

    fn start_register(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: Flow,
    ) -> Result<AwaitRegisterAnswer, Reject> {
        let impu = public_identity(request)?;
        let credentials = credentials(request)?;
        let impi =
            Impi::of_register(credentials.as_ref(), &impu).map_err(|_| Reject::MalformedAuthorization)?;
        let asked = asked(request)?;
        let arrival = self.arrival(now, request, &flow, &impi)?;
        let flow = self.way_of_contact(&arrival, flow);
        let device = device(request);
        let key = ContactKey { impi, flow, device };
        self.signals
            .register_came(now, &key.impi, Answer::of(credentials.as_ref()));
        let address = match &asked {
            Asked::Contact(address) => Some(address),
            Asked::Bindings | Asked::RemoveAll => None,
        };
        let known = self.contacts.token_of(&key, address).cloned();
        // A query or a farewell takes no place.
        if let (None, Some(address)) = (&known, address)
            && self.contacts.is_full(self.registers.len(), address)
        {
            return Err(Reject::ContactsFull);
        }
        let token = known.unwrap_or_else(|| self.core.fresh_token().into());
        let marks = RegisterMarks {
            path: self.settings.path_of(&token),
            visited_network: self.settings.visited_network.clone(),
            charging_vector: self.charging_vector(),
            authorization: credentials
                .map(|credentials| self.marked_authorization(request, &credentials, &key, &arrival)),
        };
        if let (Some(protection), Some(_)) = (&mut self.protection, &arrival.offered) {
            protection.await_answer(&key.impi, arrival.ue, transaction);
        }
        Ok(AwaitRegisterAnswer {
            transaction,
            forwarded: register_towards_home(request, &marks),
            search: EntryPointSearch::new(now, &self.settings.entry_points),
            token,
            key,
            impu,
            asked,
            arrival,
        })
    }

    /// The way to a contact that a REGISTER makes: inside security associations from our client port to the UE's server
    /// port, wherever the REGISTER came from.
    fn way_of_contact(&self, arrival: &Arrival, flow: Flow) -> Flow {
        let sas = self.protection.as_ref().map(|protection| &protection.sas);
        arrival
            .carrier
            .and_then(|set| sas?.way_out(set, flow.transport))
            .unwrap_or(flow)
    }

    /// TS 24.229 5.2.2.2: whatever the UE wrote as `integrity-protected` is overwritten. A REGISTER without
    /// Authorization stays without (5.2.2.6).
    fn marked_authorization(
        &self,
        request: &Request,
        credentials: &Credentials<'_>,
        key: &ContactKey,
        arrival: &Arrival,
    ) -> String {
        if let Some(mark) = arrival.mark(credentials) {
            return credentials.with_integrity_protected(mark.as_str());
        }
        let offers_security = request.header(HeaderName::SecurityClient).is_some();
        let associated = self.contacts.vouches_for(key);
        let mark = IntegrityProtected::of_unprotected(credentials, offers_security, associated);
        credentials.with_integrity_protected(mark.as_str())
    }

    fn ask_entry_point(&mut self, now: Instant, mut procedure: AwaitRegisterAnswer) {
        match procedure.search.next(now) {
            Some(entry_point) => {
                debug!(procedure = "register", impu = %procedure.impu, "register forwarded to the home network");
                self.counters.count("ims_pcscf_register_total", "forwarded");
                let request = procedure.forwarded.clone();
                let hop = NextHop::Uri(entry_point);
                let forward = self.core.forward(now, request, hop, Interface::Mw);
                self.registers.insert(forward, procedure);
            }
            None => self.no_entry_point(now, procedure),
        }
    }

    fn no_entry_point(&mut self, now: Instant, procedure: AwaitRegisterAnswer) {
        self.forget_offer(&procedure);
        self.fail_set(now, procedure.arrival.carrier);
        match procedure.search.into_last_word() {
            Some(response) => {
                info!(procedure = "register", impu = %procedure.impu, "no other entry point: 480 passed on");
                self.counters.count("ims_pcscf_register_total", "unavailable");
                let response = response_towards_ue(&response);
                self.core.respond(now, procedure.transaction, response);
            }
            None => {
                let reject = Reject::NoEntryPoint;
                info!(procedure = "register", impu = %procedure.impu, reject = reject.label(), "register rejected");
                self.counters.count("ims_pcscf_rejected_total", reject.label());
                self.core.reject(now, procedure.transaction, reject.status());
            }
        }
    }

    /// An entry point is silent or out of reach.
    pub(crate) fn on_register_failed(
        &mut self,
        now: Instant,
        procedure: AwaitRegisterAnswer,
        cause: ForwardFailure,
    ) {
        info!(procedure = "register", ?cause, "entry point does not answer");
        self.counters
            .count("ims_pcscf_register_total", "entry-point-silent");
        self.ask_entry_point(now, procedure);
    }

    /// An answer from the home network.
    pub(crate) fn on_register_response(
        &mut self,
        now: Instant,
        forward: ForwardId,
        mut procedure: AwaitRegisterAnswer,
        response: Response,
    ) {
        if response.status().is_provisional() {
            let towards_ue = response_towards_ue(&response);
            self.core.respond(now, procedure.transaction, towards_ue);
            self.registers.insert(forward, procedure);
            return;
        }
        match procedure.search.on_final(response) {
            Verdict::Next => self.ask_entry_point(now, procedure),
            Verdict::Answer(response) => self.on_register_answer(now, procedure, &response),
        }
    }

    /// A REGISTER whose answer came without a challenge awaits none.
    fn forget_offer(&mut self, procedure: &AwaitRegisterAnswer) {
        if let (Some(protection), Some(_)) = (&mut self.protection, &procedure.arrival.offered) {
            let (impi, ue) = (&procedure.key.impi, procedure.arrival.ue);
            protection.answered(impi, ue, procedure.transaction);
        }
    }

    fn on_register_answer(&mut self, now: Instant, procedure: AwaitRegisterAnswer, response: &Response) {
        let status = response.status();
        if status.is_success() && self.must_be_protected(&procedure) {
            self.forget_offer(&procedure);
            let reject = Reject::NotChallenged;
            return self.refuse(now, procedure.transaction, &procedure.forwarded, reject);
        }
        let outcome = if status.is_success() {
            let outcome = self.on_ok(now, &procedure, response);
            self.signals.granted(&procedure.key.impi);
            self.settle_sets(now, &procedure);
            outcome
        } else if status == StatusCode::UNAUTHORIZED {
            CHALLENGED
        } else {
            self.fail_set(now, procedure.arrival.carrier);
            self.signals.refused(&procedure.key.impi);
            "refused-by-home"
        };
        self.note_register(now, procedure.arrival.ue, status);
        let code = status.as_u16();
        let (impu, impi) = (&procedure.impu, &procedure.key.impi);
        if outcome == CHALLENGED {
            debug!(procedure = "register", %impu, %impi, code, outcome, "register answered");
        } else {
            info!(procedure = "register", %impu, %impi, code, outcome, "register answered");
        }
        self.counters.count("ims_pcscf_register_total", outcome);
        if outcome == CHALLENGED {
            return self.on_challenge(now, procedure, response);
        }
        self.forget_offer(&procedure);
        self.core
            .respond(now, procedure.transaction, response_towards_ue(response));
        self.ask_notifiers(now);
    }

    /// TS 33.203 6.1, 7: where no registration in clear is allowed, one that nobody challenged is none.
    fn must_be_protected(&self, procedure: &AwaitRegisterAnswer) -> bool {
        let wants_protection = |it: &Protection| !it.policy.allow_unprotected;
        procedure.arrival.carrier.is_none() && self.protection.as_ref().is_some_and(wants_protection)
    }

    /// TS 24.229 table 5.2.2-1: what a 200 (OK) means to the sets of the UE. They live as long as what is registered
    /// over them; without anything registered they end when this transaction has.
    fn settle_sets(&mut self, now: Instant, procedure: &AwaitRegisterAnswer) {
        let (impi, carrier, ue) = (
            &procedure.key.impi,
            procedure.arrival.carrier,
            procedure.arrival.ue,
        );
        let until = self.contacts.protected_until(impi, ue);
        let (Some(protection), Some(set)) = (&mut self.protection, carrier) else {
            return;
        };
        match until {
            Some(at) => {
                let cseq = procedure.forwarded.cseq().map_or(0, |cseq| cseq.number);
                let left = at.saturating_duration_since(now);
                protection.sas.promote(now, set, left);
                protection.sas.granted(now, set, cseq);
            }
            None => protection.sas.release(now, impi, ue, carrier),
        }
    }

    /// Contacts that ended without a farewell, by time or by the network, need their sets no more.
    pub(crate) fn release_departed(&mut self, now: Instant) {
        while let Some((impi, ue)) = self.contacts.poll_departed() {
            let is_needed = self.contacts.protected_until(&impi, ue).is_some();
            if let Some(protection) = self.protection.as_mut().filter(|_| !is_needed) {
                protection.sas.release(now, &impi, ue, None);
            }
        }
    }

    /// TS 24.229 5.2.5.1: the sets of contacts elsewhere that a Contact `*` took along.
    fn release_elsewhere(&mut self, now: Instant, procedure: &AwaitRegisterAnswer, before: &[IpAddr]) {
        let Some(protection) = &mut self.protection else {
            return;
        };
        let (impi, here) = (&procedure.key.impi, procedure.arrival.ue);
        for ue in before.iter().filter(|ue| **ue != here) {
            if self.contacts.protected_until(impi, *ue).is_none() {
                protection.sas.release(now, impi, *ue, None);
            }
        }
    }

    /// Whether a grant begins a registration at the S-CSCF: another Service-Route is that of another binding, though the
    /// contact be the same (an S-CSCF that came back with nothing).
    fn begins(&self, token: &str, granted: &Registration) -> bool {
        let known = self.contacts.get(token).map(Contact::registrations);
        let mut known = known.unwrap_or_default().iter();
        !known.any(|known| known.impu == granted.impu && known.service_route == granted.service_route)
    }

    /// TS 24.229 5.2.2.1, 5.2.5.1: what the 200 (OK) grants replaces all that was known; what it no longer lists
    /// is gone.
    fn on_ok(&mut self, now: Instant, procedure: &AwaitRegisterAnswer, response: &Response) -> &'static str {
        let watched = self.contacts.default_identities(&procedure.key.impi);
        let address = match &procedure.asked {
            Asked::Bindings => return "bindings-listed",
            Asked::RemoveAll => {
                let impi = &procedure.key.impi;
                let before = self.contacts.protected_addresses(impi);
                self.contacts.unbind_all(impi, &procedure.impu);
                self.unwatch_registrations(now, &watched);
                self.release_elsewhere(now, procedure, &before);
                return "deregistered";
            }
            Asked::Contact(address) => address,
        };
        match granted_secs(response, address) {
            Some(secs) if secs > 0 => {
                let registration = Registration {
                    impu: procedure.impu.clone(),
                    associated: associated_uris(response),
                    service_route: service_route(response),
                    expires_at: now + Duration::from_secs(u64::from(secs)),
                    stamp: RegisterStamp::of(now, &procedure.forwarded),
                };
                let is_initial = self.begins(&procedure.token, &registration);
                self.contacts.bind(
                    &procedure.token,
                    procedure.key.clone(),
                    address.clone(),
                    registration,
                );
                let left = self.contacts.moved(&procedure.key, address);
                for _ in &left {
                    self.counters.count("ims_pcscf_ue_signals_total", "moved");
                }
                self.release_elsewhere(now, procedure, &left);
                self.watch_registration(now, &procedure.token, is_initial);
                "registered"
            }
            Some(_) | None => {
                self.contacts.unbind(&procedure.token, &procedure.impu);
                self.unwatch_registrations(now, &watched);
                "deregistered"
            }
        }
    }
}

fn public_identity(request: &Request) -> Result<Impu, Reject> {
    let to = request.to().map_err(|_| Reject::MalformedContact)?;
    Impu::from_bytes(to.uri.as_bytes()).map_err(|_| Reject::MalformedContact)
}

fn credentials(request: &Request) -> Result<Option<Credentials<'_>>, Reject> {
    // Two Authorizations could be marked differently by us and read differently by the S-CSCF.
    if request.headers(HeaderName::Authorization).count() > 1 {
        return Err(Reject::MalformedAuthorization);
    }
    request
        .authorization()
        .map_err(|_| Reject::MalformedAuthorization)
}

fn asked(request: &Request) -> Result<Asked, Reject> {
    match request.contacts().map_err(|_| Reject::MalformedContact)? {
        Contacts::None => Ok(Asked::Bindings),
        Contacts::Star => Ok(Asked::RemoveAll),
        Contacts::List(list) => {
            let header = request.expires();
            let stays = |contact: &&NameAddr<'_>| contact.expires().or(header) != Some(0);
            // A UE that drops an old address beside the new one is at the new one (RFC 3261 10.2.2).
            list.iter()
                .find(stays)
                .or_else(|| list.first())
                .map(|contact| Asked::Contact(UriBuf::from(contact.uri)))
                .ok_or(Reject::MalformedContact)
        }
    }
}

/// The phone, where it says which one it is, and has no more than one flow (RFC 5626 4.2).
fn device(request: &Request) -> Option<Device> {
    let Ok(Contacts::List(list)) = request.contacts() else {
        return None;
    };
    let contact = list.iter().find(|contact| contact.param("reg-id").is_none())?;
    contact
        .param("+sip.instance")?
        .map(|instance| Device::of(&instance))
}

/// TS 24.229 5.2.2.1: the `expires` of our contact in the answer, else the Expires header; `None` when the
/// contact is no longer listed.
fn granted_secs(response: &Response, address: &UriBuf) -> Option<u32> {
    let Ok(Contacts::List(list)) = response.contacts() else {
        return None;
    };
    list.iter()
        .find(|contact| same_contact(&UriBuf::from(contact.uri), address))
        .and_then(|contact| contact.expires().or_else(|| response.expires()))
}

fn associated_uris(response: &Response) -> UriList {
    response
        .name_addrs(HeaderName::PAssociatedUri)
        .map(|list| list.iter().map(|value| value.uri).collect())
        .unwrap_or_default()
}

fn service_route(response: &Response) -> SmallVec<[Box<str>; 1]> {
    response
        .values(HeaderName::ServiceRoute)
        .map(|value| String::from_utf8_lossy(value).into())
        .collect()
}
