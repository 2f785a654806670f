//! Procedure: users who are not registered: their profile, and requests for and from them (TS 24.229 5.4.3.2, 5.4.3.3;
//! TS 29.228 6.1.2).

use hss_client::cx::{CxAnswer, CxError, CxRequest, CxResult, Saa, Sar, ServerAssignmentType};
use hss_client::user_data::SessionCase;

use super::chain::{self, Chain};
use super::{Await, HeldProfile, ServedUser, Session, Step, terminating};
use crate::context::{Context, Notice};
use crate::register::read_user_data;
use crate::reject::RequestReject;
use crate::spelling::may_mean_a_registered_one;

/// With the profile that is held, else with that which the HSS gives.
pub(super) fn serve(ctx: &mut Context<'_>, mut session: Box<Session>) -> Result<Step, RequestReject> {
    let impu = session.chain.served.impu.clone();
    if let Some(held) = ctx.sessions.held.get(&impu).cloned() {
        return with_profile(ctx, session, held);
    }
    session.awaits = Await::Saa;
    let request = CxRequest::Sar(Sar {
        user_name: None,
        public_identities: vec![impu],
        server_name: ctx.settings.server_name.to_string(),
        assignment_type: ServerAssignmentType::UnregisteredUser,
        user_data_already_available: false,
        destination_host: None,
    });
    Ok(Step::Ask(session, request))
}

/// TS 29.228 6.1.2.
pub(crate) fn on_saa(
    ctx: &mut Context<'_>,
    mut session: Box<Session>,
    answer: Result<CxAnswer, CxError>,
) -> Result<Step, RequestReject> {
    session.awaits = Await::Answer;
    let saa = match answer {
        Ok(CxAnswer::Saa(saa)) => saa,
        Ok(CxAnswer::Uaa(_) | CxAnswer::Maa(_) | CxAnswer::Lia(_)) | Err(_) => {
            return Err(RequestReject::HssUnavailable);
        }
    };
    let is_terminating = session.chain.served.case == SessionCase::TerminatingUnregistered;
    if is_terminating && terminating::is_registered_now(ctx, &session) {
        return terminating::begin_again(ctx, session);
    }
    if !saa.result.is_success() {
        return Err(match (saa.result, is_terminating) {
            (CxResult::USER_UNKNOWN, true) => RequestReject::UnknownUser,
            (CxResult::USER_UNKNOWN, false) => RequestReject::NotServed("unknown identity"),
            // TS 29.228 6.1.2: registered at another S-CSCF, or not ours to serve.
            (_, true) => RequestReject::NotRegistered,
            (result, false) => RequestReject::HssRefused(result),
        });
    }
    let profile = profile_of(ctx, &session.chain.served, &saa)?;
    let given_up = ctx.sessions.held.hold(ctx.now, profile.clone());
    if let Some(given_up) = given_up {
        release(ctx, given_up);
    }
    with_profile(ctx, session, profile)
}

fn profile_of(ctx: &mut Context<'_>, served: &ServedUser, saa: &Saa) -> Result<HeldProfile, RequestReject> {
    let mut held = HeldProfile {
        impi: saa.user_name.clone().unwrap_or_else(|| served.impu.to_impi()),
        impu: served.impu.clone(),
        hss_host: (!saa.origin_host.is_empty()).then(|| saa.origin_host.clone()),
        is_barred: false,
        services: None,
    };
    let Some(xml) = &saa.user_data else {
        return Ok(held);
    };
    let subscription = read_user_data(ctx, xml).map_err(|_| RequestReject::HssUnavailable)?;
    held.impi = subscription.private_identity.clone();
    let pattern = saa.wildcarded_public_identity.as_deref();
    let found = subscription
        .find(&served.impu)
        .or_else(|| subscription.find_wildcarded(pattern?));
    let profile = match found {
        Some((profile, identity)) => {
            held.is_barred = identity.barred;
            Some(profile)
        }
        None => subscription.profiles.first(),
    };
    held.services = profile.map(|profile| ctx.registrar.services(profile.clone()));
    Ok(held)
}

fn with_profile(
    ctx: &mut Context<'_>,
    mut session: Box<Session>,
    profile: HeldProfile,
) -> Result<Step, RequestReject> {
    let served = session.chain.served.clone();
    if profile.is_barred {
        return Err(if served.case == SessionCase::TerminatingUnregistered {
            RequestReject::Barred
        } else {
            RequestReject::NotServed("barred identity")
        });
    }
    session.chain = Chain {
        record: session.record(),
        ..Chain::begin(served, profile.services, &session.request)
    };
    chain::advance(ctx, session)
}

/// TS 24.229 5.4.3.3: the HSS learns that this server serves the user no longer. Not of a user who has registered since:
/// some HSSs would end that registration; nor where another shard may have registered them.
pub(crate) fn release(ctx: &mut Context<'_>, profile: HeldProfile) {
    let home_realm = &ctx.settings.home_realm;
    if ctx.registrar.is_announcing() || may_mean_a_registered_one(ctx.registrar, home_realm, &profile.impu) {
        return;
    }
    if ctx.registrar.knows(&profile.impi) {
        return;
    }
    ctx.notices.push(Notice {
        impi: profile.impi,
        impu: profile.impu,
        assignment_type: ServerAssignmentType::TimeoutDeregistration,
        hss_host: profile.hss_host,
    });
}
