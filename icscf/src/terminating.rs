//! Procedure: initial requests other than REGISTER find the S-CSCF of a user (TS 24.229 5.3.2).
//!
//! Read first: TS 24.229 5.3.2.1, 5.3.2.1A, 5.3.2.2; TS 29.228 6.1.4. The I-CSCF adds no Record-Route.

use std::time::Instant;

use hss_client::cx::{CxAnswer, CxError, CxRequest, Lir};
use ims_common::identity::Impu;
use ims_common::net::{Flow, Interface};
use ims_common::proxy::{NextHop, NextHopTarget, ServerTransactionId};
use ims_common::sip::{HeaderName, NameAddr, Request, Scheme, Uri, UriBuf};

use crate::node::{Icscf, Query};
use crate::passage::Passage;
use crate::reject::Reject;
use crate::selection::{Assignment, candidates};

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
}

/// Whose S-CSCF is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SessionCase {
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
        let (identity, case) = if arrival.orig {
            (served_user(request)?, SessionCase::Originating)
        } else {
            let target = routable_target(&request.request_uri().map_err(|_| Reject::Malformed)?)?;
            if let Some(rewritten) = &target.rewritten {
                edit = edit.request_uri(rewritten);
            }
            (target.identity, SessionCase::Terminating)
        };
        let request = edit.finish_request();
        let lir = Lir {
            public_identity: identity.clone(),
            originating: case == SessionCase::Originating,
            authorization_type: None,
        };
        let waiting = AwaitLia {
            transaction,
            request,
            identity,
            case,
        };
        self.ask(CxRequest::Lir(lir), Query::Lia(waiting));
        Ok(())
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
    pub(crate) fn on_lia(&mut self, now: Instant, waiting: AwaitLia, answer: Result<CxAnswer, CxError>) {
        match self.scscfs_of(answer) {
            Ok(candidates) => {
                let passage = Passage {
                    transaction: waiting.transaction,
                    request: waiting.request,
                    identity: waiting.identity,
                    case: match waiting.case {
                        SessionCase::Originating => ";orig",
                        SessionCase::Terminating => "",
                    },
                    candidates: candidates.into_iter(),
                };
                self.pass_on(now, passage, Reject::NoCapableScscf);
            }
            Err(reject) => self.refuse(now, waiting.transaction, reject),
        }
    }

    fn scscfs_of(&self, answer: Result<CxAnswer, CxError>) -> Result<Vec<UriBuf>, Reject> {
        let lia = match answer {
            Ok(CxAnswer::Lia(lia)) => lia,
            Ok(CxAnswer::Uaa(_) | CxAnswer::Saa(_) | CxAnswer::Maa(_)) => return Err(Reject::HssUnavailable),
            Err(error) => return Err(Reject::of_cx_error(error)),
        };
        if let Some(reject) = Reject::of_lia(lia.result) {
            return Err(reject);
        }
        // With `psi_direct` the name is that of an AS, and is reached in the same way.
        let assignment = Assignment {
            server_name: lia.server_name,
            capabilities: lia.capabilities,
        };
        Ok(candidates(&assignment, &self.settings.scscfs, &[]))
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

/// What the HSS is asked for, and the Request-URI where it had to be written anew.
#[derive(Debug)]
struct Target {
    identity: Impu,
    rewritten: Option<String>,
}

/// TS 24.229 5.3.2.1: a SIP URI with `user=phone` is asked for as tel URI, `pres:` and `im:` as SIP URI.
fn routable_target(uri: &Uri<'_>) -> Result<Target, Reject> {
    let text = std::str::from_utf8(uri.as_bytes()).map_err(|_| Reject::Malformed)?;
    let rewritten = match uri.scheme() {
        Scheme::Sip | Scheme::Sips => tel_of(uri),
        Scheme::Tel => None,
        Scheme::Urn => return Err(Reject::ServiceUrn),
        Scheme::Other => Some(sip_of(text).ok_or(Reject::UnsupportedScheme)?),
    };
    let identity = Impu::parse(rewritten.as_deref().unwrap_or(text)).map_err(|_| Reject::Malformed)?;
    Ok(Target { identity, rewritten })
}

/// The tel URI inside `sip:+E164@domain;user=phone`; number parameters go along (RFC 3261 19.1.6).
fn tel_of(uri: &Uri<'_>) -> Option<String> {
    let phone = uri.param("user")??;
    let user = uri.user_unescaped()?;
    let user = std::str::from_utf8(&user).ok()?;
    let global = user.starts_with('+');
    let digit = user.get(1..2)?.bytes().all(|b| b.is_ascii_digit());
    (global && digit && phone.eq_ignore_ascii_case(b"phone")).then(|| format!("tel:{user}"))
}

fn sip_of(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once(':')?;
    let known = scheme.eq_ignore_ascii_case("pres") || scheme.eq_ignore_ascii_case("im");
    (known && rest.contains('@')).then(|| format!("sip:{rest}"))
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
