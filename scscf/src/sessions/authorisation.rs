//! Procedure: what the profile of the served user allows: services and media (TS 24.229 5.4.3.2, 5.4.3.3, 6.3).

use hss_client::user_data::SessionCase;
use ims_common::sip::{HeaderName, Method, StatusCode};

use super::{Session, Step};
use crate::context::Context;
use crate::reject::RequestReject;
use crate::service_ids::{self, ServiceVerdict};
use ims_common::media_policy::MediaVerdict;

/// Changes what the request says of its service. An answer means that the request ends here.
pub(super) fn check(ctx: &mut Context<'_>, session: &mut Session) -> Result<Option<Step>, RequestReject> {
    check_caller(ctx, session)?;
    let services = session.chain.services.clone();
    let profile = services.as_ref().map(|services| &*services.profile);
    let subscribed = profile.map_or(&[][..], |profile| &profile.service_ids);
    let policy = &ctx.settings.service_ids;
    let verdict = match session.chain.served.case {
        SessionCase::OriginatingRegistered
        | SessionCase::OriginatingUnregistered
        | SessionCase::OriginatingCdiv => service_ids::originating(&session.request, subscribed, policy),
        SessionCase::TerminatingRegistered | SessionCase::TerminatingUnregistered => {
            service_ids::terminating(&session.request, subscribed, policy)
        }
    };
    apply(session, verdict)?;
    let media = profile.and_then(|profile| profile.subscribed_media_profile);
    match ctx.settings.media_policy.verdict(&session.request, media) {
        MediaVerdict::Allowed => Ok(None),
        MediaVerdict::NotAllowed(allowed) => {
            tracing::info!(clause = "TS 24.229 6.3", "media not subscribed to");
            let tag = ctx.fresh_token();
            let reply = session
                .received
                .reply(StatusCode::NOT_ACCEPTABLE_HERE)
                .to_tag(&tag);
            Ok(Some(Step::Answer(
                reply.body("application/sdp", allowed).finish(),
            )))
        }
    }
}

/// RFC 5079, TS 24.611 4.5.2.6: who may not call this user. What happens in a dialog was allowed before.
fn check_caller(ctx: &Context<'_>, session: &Session) -> Result<(), RequestReject> {
    let served = &session.chain.served;
    let is_terminating = matches!(
        served.case,
        SessionCase::TerminatingRegistered | SessionCase::TerminatingUnregistered
    );
    if !is_terminating || !matches!(session.request.method(), Method::Invite | Method::Message) {
        return Ok(());
    }
    let blocking = &ctx.settings.blocking;
    if let Some(blocked) = blocking.of_calling(&session.request) {
        return Err(RequestReject::Blocked(blocked.told()));
    }
    match blocking.of_anonymous(&served.impu, &session.request) {
        true => Err(RequestReject::Anonymous),
        false => Ok(()),
    }
}

/// RFC 6050 4: P-Preferred-Service goes no further.
fn apply(session: &mut Session, verdict: ServiceVerdict) -> Result<(), RequestReject> {
    let has_preferred = session.request.header(HeaderName::PPreferredService).is_some();
    let asserted = match verdict {
        ServiceVerdict::Refused => return Err(RequestReject::NotServed("service not subscribed to")),
        ServiceVerdict::Unchanged if !has_preferred => return Ok(()),
        ServiceVerdict::Unchanged => {
            let edit = session.request.edit().remove(HeaderName::PPreferredService);
            session.request = edit.finish_request();
            return Ok(());
        }
        ServiceVerdict::Asserted(service) => Some(service),
        ServiceVerdict::Removed => None,
    };
    let mut edit = session
        .request
        .edit()
        .remove(HeaderName::PPreferredService)
        .remove(HeaderName::PAssertedService);
    if let Some(service) = asserted {
        edit = edit.append(HeaderName::PAssertedService, service);
    }
    session.request = edit.finish_request();
    Ok(())
}
