//! Procedure: initial requests other than REGISTER find the S-CSCF of a user (TS 24.229 5.3.2).
//!
//! Read first: TS 24.229 5.3.2.1, 5.3.2.1A, 5.3.2.2; TS 29.228 6.1.4. The I-CSCF adds no Record-Route.

use std::time::Instant;

use hss_client::cx::{CxAnswer, CxError, CxRequest, CxResult, Lia, Lir, UserAuthorizationType};
use ims_common::identity::Impu;
use ims_common::net::{Flow, Interface};
use ims_common::proxy::{NextHop, NextHopTarget, ServerTransactionId};
use ims_common::sip::{HeaderName, NameAddr, Request, UriBuf};

use crate::node::{Icscf, Query};
use crate::passage::Passage;
use crate::reject::Reject;
use crate::selection::{Assignment, candidates};
use crate::target::{OtherSpelling, Target, is_in};

/// From outside the trust domain these say nothing (TS 24.229 4.4).
const NOT_FROM_OUTSIDE: [HeaderName; 8] = [
    HeaderName::PAssertedIdentity,
    HeaderName::PAccessNetworkInfo,
    HeaderName::PChargingVector,
    HeaderName::PChargingFunctionAddresses,
    HeaderName::PCalledPartyId,
    HeaderName::PProfileKey,
    HeaderName::PServedUser,
    HeaderName::PPrivateNetworkIndication,
];

/// The HSS is asked where the user is.
#[derive(Debug)]
pub(crate) struct AwaitLia {
    pub(crate) transaction: ServerTransactionId,
    request: Request,
    identity: Impu,
    case: SessionCase,
    /// To ask for when nobody knows the identity, the last one first.
    others: Vec<OtherSpelling>,
    /// S-CSCFs that could not be reached: others are asked for.
    tried: Vec<UriBuf>,
}

impl AwaitLia {
    /// The S-CSCF that the HSS named for somebody who is not registered is out of reach.
    pub(crate) fn once_more(passage: Passage) -> Self {
        Self {
            transaction: passage.transaction,
            request: passage.request,
            identity: passage.identity,
            case: passage.case,
            others: Vec::new(),
            tried: passage.tried,
        }
    }

    /// TS 29.228 6.1.4.
    fn question(&self) -> CxRequest {
        let reselecting = !self.tried.is_empty();
        CxRequest::Lir(Lir {
            public_identity: self.identity.clone(),
            originating: self.case == SessionCase::Originating,
            authorization_type: reselecting.then_some(UserAuthorizationType::RegistrationAndCapabilities),
        })
    }
}

/// Whose S-CSCF is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SessionCase {
    /// Of the user that an AS originates for: `orig` in our own Route.
    Originating,
    /// Of the user in the Request-URI.
    Terminating,
}

/// What the Route header of a request says to an I-CSCF.
struct Arrival<'a> {
    /// Entries of ours on top.
    own: usize,
    /// `orig` on one of ours.
    orig: bool,
    /// The entry below ours.
    next: Option<NameAddr<'a>>,
}

impl Icscf {
    /// TS 24.229 5.3.2.1, 5.3.2.1A.
    pub(crate) fn on_initial_request(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: &Flow,
    ) {
        if let Err(reject) = self.locate(now, transaction, request, flow) {
            self.refuse(now, transaction, reject);
        }
    }

    fn locate(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: &Flow,
    ) -> Result<(), Reject> {
        let arrival = self.arrival(request)?;
        let trusted = self.settings.trusts(flow);
        if arrival.orig && !trusted {
            return Err(Reject::Untrusted);
        }
        let mut edit = request.edit().remove(HeaderName::PUserDatabase);
        for _ in 0..arrival.own {
            edit = edit.pop_first_value(HeaderName::Route);
        }
        if !trusted {
            for name in NOT_FROM_OUTSIDE {
                edit = edit.remove(name);
            }
        }
        if let Some(next) = arrival.next
            && !arrival.orig
        {
            let hop = NextHop::Uri(UriBuf::from(next.uri));
            self.follow_route(now, transaction, edit.finish_request(), hop);
            return Ok(());
        }
        if request.to().is_ok_and(|to| to.tag().is_some()) {
            return Err(Reject::NoSuchDialog);
        }
        let (identity, case, others) = if arrival.orig {
            (served_user(request)?, SessionCase::Originating, Vec::new())
        } else {
            let uri = request.request_uri().map_err(|_| Reject::Malformed)?;
            if is_in(&uri, &self.settings.psi_domains) {
                let hop = NextHop::Uri(UriBuf::from(uri));
                self.follow_route(now, transaction, edit.finish_request(), hop);
                return Ok(());
            }
            let target = Target::of(&uri, &self.settings.home_realm)?;
            if let Some(rewritten) = &target.rewritten {
                edit = edit.request_uri(rewritten);
            }
            (target.identity, SessionCase::Terminating, target.others)
        };
        let waiting = AwaitLia {
            transaction,
            request: edit.finish_request(),
            identity,
            case,
            others,
            tried: Vec::new(),
        };
        self.locate_user(waiting);
        Ok(())
    }

    pub(crate) fn locate_user(&mut self, waiting: AwaitLia) {
        self.ask(waiting.question(), Query::Lia(waiting));
    }

    fn arrival<'a>(&self, request: &'a Request) -> Result<Arrival<'a>, Reject> {
        let routes = request
            .name_addrs(HeaderName::Route)
            .map_err(|_| Reject::Malformed)?;
        let own = routes
            .iter()
            .take_while(|route| self.settings.is_own(&route.uri))
            .count();
        let orig = routes
            .iter()
            .take(own)
            .any(|route| route.uri.param("orig").is_some());
        let next = routes.into_iter().nth(own);
        Ok(Arrival { own, orig, next })
    }

    /// TS 29.228 6.1.4, TS 24.229 5.3.2.1 and 5.3.2.2: to the S-CSCF, or the reason why not.
    pub(crate) fn on_lia(&mut self, now: Instant, mut waiting: AwaitLia, answer: Result<CxAnswer, CxError>) {
        let lia = match answer {
            Ok(CxAnswer::Lia(lia)) => Ok(lia),
            Ok(CxAnswer::Uaa(_) | CxAnswer::Saa(_) | CxAnswer::Maa(_)) => Err(Reject::HssUnavailable),
            Err(error) => Err(Reject::of_cx_error(error)),
        };
        let located = lia.and_then(|lia| Reject::of_lia(lia.result).map_or(Ok(lia), Err));
        match located {
            Ok(lia) => self.on_located(now, waiting, lia),
            Err(reject) => match waiting.others.pop().filter(|_| reject.may_be_the_spelling()) {
                Some(other) => {
                    let edit = waiting.request.edit().request_uri(&other.request_uri);
                    waiting.request = edit.finish_request();
                    waiting.identity = other.identity;
                    self.counters
                        .count("ims_icscf_request_total", "asked-in-another-spelling");
                    self.locate_user(waiting);
                }
                None => self.refuse(now, waiting.transaction, reject),
            },
        }
    }

    fn on_located(&mut self, now: Instant, waiting: AwaitLia, lia: Lia) {
        let request = self.marked(&waiting.request, &lia);
        // Only of somebody who is not registered a further S-CSCF knows as much as the one that is out of reach.
        let reselectable = lia.result == CxResult::UNREGISTERED_SERVICE && waiting.tried.is_empty();
        // With `psi_direct` the name is that of an AS, and is reached in the same way.
        let assignment = Assignment {
            server_name: lia.server_name,
            capabilities: lia.capabilities,
        };
        let candidates = candidates(&assignment, &self.settings.scscfs, &waiting.tried);
        let reject = match waiting.tried.is_empty() {
            true => Reject::NoCapableScscf,
            false => Reject::ScscfUnavailable,
        };
        let passage = Passage {
            transaction: waiting.transaction,
            request,
            identity: waiting.identity,
            case: waiting.case,
            candidates: candidates.into_iter(),
            tried: waiting.tried,
            reselectable,
        };
        self.pass_on(now, passage, reject);
    }

    /// RFC 5002 3, TS 24.229 5.3.2.1: which wildcarded identity it was; RFC 4457 4.1: which HSS knows it.
    fn marked(&self, request: &Request, lia: &Lia) -> Request {
        let mut edit = request.edit();
        let wildcard = lia.wildcarded_public_identity.as_deref();
        if let Some(wildcard) = wildcard.filter(|text| Impu::parse(text).is_ok()) {
            edit = edit.set(HeaderName::PProfileKey, format!("<{wildcard}>"));
        }
        if let Some(database) = self.settings.user_database(&lia.origin_host) {
            edit = edit.set(HeaderName::PUserDatabase, database);
        }
        edit.finish_request()
    }

    fn follow_route(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: Request,
        hop: NextHop,
    ) {
        let target = NextHopTarget::unchanged(hop);
        self.core
            .relay(now, transaction, request, vec![target], Interface::Mw);
    }

    /// ACK to a 2xx goes by its Route like every request in a dialog; without one it ends here.
    pub(crate) fn on_ack(&mut self, now: Instant, request: &Request) {
        let Ok(arrival) = self.arrival(request) else {
            return;
        };
        let Some(next) = arrival.next else {
            self.counters
                .count("ims_icscf_dropped_total", "ack-without-route");
            return;
        };
        let hop = NextHop::Uri(UriBuf::from(next.uri));
        let mut edit = request.edit();
        for _ in 0..arrival.own {
            edit = edit.pop_first_value(HeaderName::Route);
        }
        self.core
            .forward_ack(now, edit.finish_request(), hop, Interface::Mw);
    }
}

/// TS 24.229 5.3.2.1A: the user that the AS speaks for: P-Served-User, else P-Asserted-Identity.
fn served_user(request: &Request) -> Result<Impu, Reject> {
    [HeaderName::PServedUser, HeaderName::PAssertedIdentity]
        .into_iter()
        .find_map(|name| {
            let value = request.values(name).next()?;
            let served = NameAddr::parse(value).ok()?;
            Impu::from_bytes(served.uri.as_bytes()).ok()
        })
        .ok_or(Reject::Malformed)
}
