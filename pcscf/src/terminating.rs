//! Procedure: requests towards a UE, by the flow token of its Path (TS 24.229 5.2.6.4).

use std::time::Instant;

use ims_common::dialog::{Beginning, Side};
use ims_common::net::{Flow, Interface};
use ims_common::proxy::{NextHop, ServerTransactionId};
use ims_common::sip::{HeaderName, Request};
use tracing::info;

use crate::asserted::asserted_callee;
use crate::charging;
use crate::contacts::{Contact, FlowToken};
use crate::node::Pcscf;
use crate::passage::{Journey, Onward};
use crate::reject::Reject;
use crate::sessions::makes_a_dialog;
use crate::trust_boundary::{Direction, ResponseMarks, own_record_routes, request_towards_ue};

impl Pcscf {
    /// TS 24.229 5.2.6.4: a request from the home network.
    pub(crate) fn on_terminating(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
    ) {
        match self.terminate(now, request) {
            Ok(onward) => {
                self.counters.count("ims_pcscf_terminating_total", "forwarded");
                info!(procedure = "terminating", method = %request.method(), "request forwarded to the UE");
                _ = self.pass_on(now, transaction, request, onward);
            }
            Err(reject) => self.refuse(now, transaction, request, reject),
        }
    }

    /// The token of our topmost Route names the flow; all of our Route entries end here.
    pub(crate) fn terminate(&mut self, now: Instant, request: &Request) -> Result<Onward, Reject> {
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        let routes = request
            .name_addrs(HeaderName::Route)
            .map_err(|_| Reject::UnknownFlowToken)?;
        let own = routes
            .iter()
            .take_while(|route| self.settings.is_own(&route.uri))
            .count();
        let named = routes
            .iter()
            .take(own)
            .filter_map(|route| std::str::from_utf8(route.uri.user()?).ok())
            .find_map(|token| Some((FlowToken::from(token), self.way_of_token(token, request)?)));
        let (token, flow) = match named {
            Some(named) => named,
            None if in_dialog => return Err(Reject::NoSuchDialog),
            None => return Err(Reject::UnknownFlowToken),
        };
        let flow = flow.ok_or(Reject::FlowFailed)?;
        let contact = self.contacts.get(&token).filter(|_| !in_dialog);
        let asserted = contact.and_then(|contact| asserted_callee(contact, request));
        let marks = ResponseMarks {
            asserted,
            charging_vector: charging::answered(&self.settings, request),
        };
        let journey = match in_dialog {
            true => Journey::InDialog(self.dialog_towards_ue(now, request, &token)?, Side::Peer),
            false if makes_a_dialog(&request.method()) => {
                let beginning = Beginning {
                    owner: token.clone(),
                    caller: Side::Peer,
                    request,
                    own_record_routes: 2,
                    icid: &charging::icid(request),
                };
                Journey::Setup(self.sessions.begin(beginning)?)
            }
            false => Journey::Standalone,
        };
        let mut edit = request_towards_ue(request);
        for _ in 0..own {
            edit = edit.pop_first_value(HeaderName::Route);
        }
        if let Journey::Setup(_) = journey {
            for value in own_record_routes(&self.settings, &token, Direction::Towards(flow.interface)) {
                edit = edit.push_front(HeaderName::RecordRoute, value);
            }
        }
        Ok(Onward {
            request: edit.finish_request(),
            hop: NextHop::Flow(flow),
            out: flow.interface,
            journey,
            contact: token,
            marks,
        })
    }

    /// `None`: nobody knows the token. `Some(None)`: there is no way to its UE any more.
    fn way_of_token(&self, token: &str, request: &Request) -> Option<Option<Flow>> {
        match self.contacts.get(token) {
            Some(contact) => Some(self.way_to(contact)),
            None => self.emergency_callers.way_of(token, request).map(Some),
        }
    }

    /// TS 33.203 7.1: to a UE that registered over security associations, over its set in use, and no other way.
    fn way_to(&self, contact: &Contact) -> Option<Flow> {
        let flow = contact.flow;
        match flow.interface {
            Interface::Gm | Interface::Mw => Some(flow),
            Interface::GmProtected => {
                let sas = &self.protection.as_ref()?.sas;
                sas.way_to(&contact.impi, flow.remote.ip(), flow.transport)
            }
        }
    }
}
