//! Procedure: how a REGISTER came, and what its security headers must say (TS 24.229 5.2.2.2; RFC 3329 2.3.1;
//! TS 33.203 7.2, 7.3.2).

use std::net::IpAddr;
use std::time::Instant;

use ims_common::identity::Impi;
use ims_common::ipsec::{SaSetId, Suite};
use ims_common::net::{Flow, Interface};
use ims_common::sip::{Contacts, Credentials, Request};
use tracing::{info, warn};

use crate::challenge::reject_of;
use crate::ipsec::manager::Standing;
use crate::ipsec::offer::{Choice, Offer};
use crate::node::Pcscf;
use crate::reject::Reject;
use crate::trust_boundary::IntegrityProtected;

/// What a UE offers, and what we take of it.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    /// As it came: the UE will have to say it again.
    pub(crate) offer: Offer,
    /// The first of our pairs of algorithms that is in it.
    pub(crate) choice: Choice,
}

/// How a REGISTER came.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Its source.
    pub(crate) ue: IpAddr,
    /// The set that it came over; none: in clear.
    pub(crate) carrier: Option<SaSetId>,
    /// What a challenge is to be answered with.
    pub(crate) offered: Option<Box<Offered>>,
    /// How far it may be believed.
    pub(crate) trust: Trust,
}

/// How far a REGISTER may be believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trust {
    /// It came in clear, or over a set whose UE has not been authenticated.
    None,
    /// It came over the temporary set of a challenge.
    Challenged,
    /// It came over an established set.
    Authenticated,
}

impl Arrival {
    /// The mark of a protected REGISTER (TS 24.229 5.2.2.2, 7.2A.2); `None`: it is marked like one in clear.
    pub(crate) fn mark(&self, credentials: &Credentials<'_>) -> Option<IntegrityProtected> {
        let answers = credentials
            .response()
            .is_some_and(|response| !response.is_empty());
        match self.trust {
            Trust::Authenticated => Some(IntegrityProtected::Yes),
            Trust::Challenged if answers => Some(IntegrityProtected::Yes),
            Trust::Challenged => Some(IntegrityProtected::No),
            Trust::None => self.carrier.map(|_| IntegrityProtected::No),
        }
    }
}

impl Pcscf {
    /// The rules for REGISTERs in clear and over either kind of set.
    pub(crate) fn arrival(
        &mut self,
        now: Instant,
        request: &Request,
        flow: &Flow,
        impi: &Impi,
    ) -> Result<Arrival, Reject> {
        let in_clear = Arrival {
            ue: flow.remote.ip(),
            carrier: None,
            offered: None,
            trust: Trust::None,
        };
        let Some(protection) = &self.protection else {
            return Ok(in_clear);
        };
        if flow.interface != Interface::GmProtected {
            let offered = self.offered(now, request, impi, in_clear.ue)?;
            let protection = self.protection.as_ref();
            let may_do_without = protection.is_some_and(|protection| protection.policy.allow_unprotected);
            if offered.is_some() && has_another_address(request, in_clear.ue) {
                info!(procedure = "register", %impi, "the UE's Contact is not the source of its REGISTER: is there a NAT?");
                self.counters
                    .count("ims_pcscf_ue_signals_total", "address_differs");
            }
            // RFC 3329 2.3.1: "a server that requires sec-agree … 421"
            if offered.is_none() && !may_do_without {
                info!(procedure = "register", %impi, "REGISTER without Security-Client");
                return Err(Reject::SecAgreeRequired);
            }
            return Ok(Arrival { offered, ..in_clear });
        }
        let set = protection.sas.set_of_flow(flow);
        let (set, standing) = set
            .and_then(|set| Some((set, protection.sas.standing(set)?)))
            .ok_or(Reject::NoAssociations)?;
        // TS 24.229 5.2.2.2, TS 33.203 7.1 rule 5: a set speaks for one private identity.
        if protection.sas.impi(set) != Some(impi) {
            warn!(%impi, "REGISTER of another user over security associations");
            return Err(Reject::ForeignIdentity);
        }
        let trust = match standing {
            Standing::Temporary => {
                self.verify(now, request, set)?;
                Trust::Challenged
            }
            Standing::Ending => Trust::None,
            Standing::Established => Trust::Authenticated,
        };
        let offered = self.offered(now, request, impi, in_clear.ue)?;
        // The S-CSCF may challenge it. Some handsets say farewell without: it fails only if it is challenged.
        if offered.is_none() && !needs_no_offer(request) {
            return Err(Reject::SecurityHeaderMissing);
        }
        Ok(Arrival {
            carrier: Some(set),
            offered,
            trust,
            ..in_clear
        })
    }

    /// TS 33.203 7.3.2.3: the answer to a challenge repeats both sides' words. A difference is a bidding-down attack.
    fn verify(&mut self, now: Instant, request: &Request, set: SaSetId) -> Result<(), Reject> {
        let agreement = self
            .protection
            .as_ref()
            .and_then(|protection| protection.sas.agreement(set))
            .ok_or(Reject::NoAssociations)?;
        let Err(mismatch) = agreement.verify(request) else {
            return Ok(());
        };
        self.counters
            .count("ims_pcscf_sec_agree_mismatches_total", mismatch.parameter());
        let (header, parameter) = (mismatch.header(), mismatch.parameter());
        warn!(
            procedure = "register",
            header, parameter, "security agreement not confirmed"
        );
        if mismatch.is_missing() {
            return Err(Reject::SecurityHeaderMissing);
        }
        self.fail_set(now, Some(set));
        Err(Reject::SecurityMismatch)
    }

    /// What the UE offers. TS 33.203 7.2: without a mechanism that both have, the REGISTER goes nowhere.
    fn offered(
        &mut self,
        now: Instant,
        request: &Request,
        impi: &Impi,
        ue: IpAddr,
    ) -> Result<Option<Box<Offered>>, Reject> {
        let (Some(protection), Some(offer)) = (&self.protection, Offer::of(request)) else {
            return Ok(None);
        };
        for (skip, _) in offer.skipped().iter() {
            self.counters
                .count("ims_pcscf_mechanisms_skipped_total", skip.label());
        }
        let Some(choice) = offer.select(&protection.policy.algorithms) else {
            let (offered, accepted) = (listed(&offer.suites()), listed(&protection.policy.algorithms));
            info!(procedure = "register", %impi, %offered, %accepted, "no common algorithm");
            return Err(Reject::NoCommonMechanism);
        };
        protection
            .sas
            .check(now, impi, ue, &choice.into())
            .map_err(reject_of)?;
        // A challenge that would come to nothing is not asked for.
        if !protection.sas.has_room_for(impi, ue) {
            return Err(Reject::SetsFull);
        }
        Ok(Some(Box::new(Offered { offer, choice })))
    }
}

/// Pairs of algorithms for the log.
fn listed(suites: &[Suite]) -> String {
    let suites: Vec<String> = suites.iter().map(ToString::to_string).collect();
    suites.join(" ")
}

/// Associations between these addresses would not survive a translation of one of them.
fn has_another_address(request: &Request, ue: IpAddr) -> bool {
    let Ok(Contacts::List(list)) = request.contacts() else {
        return false;
    };
    let mut addresses = list.iter().filter_map(|contact| contact.uri.host().ip());
    addresses.any(|address| address != ue)
}

/// A farewell, or a question about what is registered.
fn needs_no_offer(request: &Request) -> bool {
    let header = request.expires();
    match request.contacts() {
        Ok(Contacts::None | Contacts::Star) => true,
        Ok(Contacts::List(list)) => list.iter().all(|contact| contact.expires().or(header) == Some(0)),
        Err(_) => false,
    }
}
