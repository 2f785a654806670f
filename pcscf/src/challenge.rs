//! Procedure: a 401 (Unauthorized) on its way to a UE with which security associations are made (TS 24.229 5.2.2.2;
//! TS 33.203 7.2).
//!
//! The UE may answer within milliseconds, so that the 401 waits until the kernel has the set.

use std::sync::Arc;
use std::time::Instant;

use ims_common::ipsec::{EspKeys, SaSetId, XfrmFailure};
use ims_common::proxy::ServerTransactionId;
use ims_common::sip::{HeaderName, Request, Response};
use tracing::info;

use crate::ipsec::agreement::Agreement;
use crate::ipsec::challenge_keys::ChallengeKeys;
use crate::ipsec::manager::{Proposal, SaEvent, SaFailure, SaRefusal};
use crate::node::Pcscf;
use crate::register::AwaitRegisterAnswer;
use crate::register::arrival::Offered;
use crate::reject::Reject;
use crate::signals::Challenged;
use crate::trust_boundary::response_towards_ue;

/// A 401 that leaves when its set is there.
#[derive(Debug)]
pub(crate) struct AwaitSaInstalled {
    transaction: ServerTransactionId,
    /// The REGISTER as it was sent on, for a refusal.
    request: Request,
    /// The 401 as the UE may see it, but for Security-Server.
    response: Response,
    offered: Box<Offered>,
    /// The set that the REGISTER came over.
    carrier: Option<SaSetId>,
}

impl Pcscf {
    /// A challenge of the home network.
    pub(crate) fn on_challenge(&mut self, now: Instant, procedure: AwaitRegisterAnswer, response: &Response) {
        match self.associations(now, &procedure, response) {
            Ok(None) => {
                let towards_ue = response_towards_ue(response);
                self.core.respond(now, procedure.transaction, towards_ue);
                self.signals
                    .challenged(now, &procedure.key.impi, Challenged::InClear);
            }
            Ok(Some((set, offered))) => {
                let challenge = AwaitSaInstalled {
                    transaction: procedure.transaction,
                    request: procedure.forwarded,
                    response: response_towards_ue(response),
                    offered,
                    carrier: procedure.arrival.carrier,
                };
                if let Some(protection) = &mut self.protection {
                    protection.challenges.insert(set, challenge);
                }
            }
            Err(reject) => {
                self.fail_set(now, procedure.arrival.carrier);
                self.refuse(now, procedure.transaction, &procedure.forwarded, reject);
            }
        }
    }

    /// The set that a challenge asks for; `None`: it asks for none.
    fn associations(
        &mut self,
        now: Instant,
        procedure: &AwaitRegisterAnswer,
        response: &Response,
    ) -> Result<Option<(SaSetId, Box<Offered>)>, Reject> {
        let (impi, arrival) = (&procedure.key.impi, &procedure.arrival);
        let Some(protection) = &mut self.protection else {
            return Ok(None);
        };
        let keys = ChallengeKeys::of(response);
        let Some(offered) = &arrival.offered else {
            return match (keys, arrival.carrier) {
                // Registrations in clear are allowed, or the challenge is one of SIP Digest.
                (_, None) | (Ok(None), Some(_)) => Ok(None),
                // A farewell without Security-Client is let pass as long as nobody challenges it.
                (_, Some(_)) => Err(Reject::SecurityHeaderMissing),
            };
        };
        let is_latest = protection.answered(impi, arrival.ue, procedure.transaction);
        let Some(keys) = keys.map_err(|_| Reject::KeysMissing)? else {
            return Ok(None);
        };
        if !is_latest {
            return Err(Reject::Overtaken);
        }
        let (choice, ck, ik) = (offered.choice, keys.ck.expose(), keys.ik.expose());
        let proposal = Proposal {
            impi: impi.clone(),
            ue: arrival.ue,
            suite: choice.suite,
            keys: Arc::new(EspKeys::derive(choice.suite, ck, ik)),
            end: choice.into(),
            carried_by: arrival.carrier,
            transport: procedure.key.flow.transport,
        };
        match protection.sas.prepare(now, proposal) {
            Ok(set) => Ok(Some((set, offered.clone()))),
            Err(refusal) => Err(reject_of(refusal)),
        }
    }

    /// What became of a set that was asked for.
    pub(crate) fn on_sa_event(&mut self, now: Instant, event: SaEvent) {
        let Some(protection) = &mut self.protection else {
            return;
        };
        match event {
            SaEvent::Ready(set) => {
                let Some(challenge) = protection.challenges.remove(&set) else {
                    return;
                };
                let Some(own) = protection.sas.own_end(set) else {
                    return;
                };
                let Offered { offer, choice } = *challenge.offered;
                let agreement = Agreement::new(offer, choice, own);
                let response = challenge.response.edit();
                let response = response.set(HeaderName::SecurityServer, agreement.security_server());
                let response = response.finish_response();
                if let Some(impi) = protection.sas.impi(set) {
                    self.signals.challenged(now, impi, Challenged::WithAssociations);
                }
                protection.sas.agree(set, agreement);
                self.core.respond(now, challenge.transaction, response);
            }
            SaEvent::Failed(set, failure) => {
                let Some(challenge) = protection.challenges.remove(&set) else {
                    return;
                };
                info!(
                    procedure = "register",
                    failure = failure.label(),
                    "no security associations"
                );
                let reject = match failure {
                    SaFailure::Replaced => Reject::Overtaken,
                    SaFailure::Kernel(XfrmFailure::Busy) => Reject::KernelBusy,
                    SaFailure::Kernel(_) | SaFailure::Silent => Reject::NoAssociations,
                };
                self.fail_set(now, challenge.carrier);
                self.refuse(now, challenge.transaction, &challenge.request, reject);
            }
        }
    }

    /// TS 24.229 table 5.2.2-1: where the answer to a challenge is not granted, its temporary set goes.
    pub(crate) fn fail_set(&mut self, now: Instant, set: Option<SaSetId>) {
        if let (Some(protection), Some(set)) = (&mut self.protection, set) {
            protection.sas.fail(now, set);
        }
    }
}

/// TS 33.203 7.1 rule 3: what the UE chose and another has is the UE's to change.
pub(crate) fn reject_of(refusal: SaRefusal) -> Reject {
    match refusal {
        SaRefusal::TakenByAnother | SaRefusal::NoAddress => Reject::PortsTaken,
        SaRefusal::Full => Reject::SetsFull,
        SaRefusal::TakenByItself | SaRefusal::NoClientPort | SaRefusal::NoSpi => Reject::NoAssociations,
    }
}
