//! Procedure: third-party REGISTERs: application servers learn who registers and leaves (TS 24.229 5.4.1.7).
//!
//! After the 200, each filter criterion that the REGISTER meets makes one REGISTER of ours to its server. The address that
//! answered is not remembered for later requests (TS 24.229 5.4.0 allows that for servers behind one name).

use std::collections::BTreeSet;

use hss_client::user_data::{
    ApplicationServer, DefaultHandling, InitialFilterCriterion, RegistrationType, SessionCase,
};
use ims_common::identity::Impi;
use ims_common::sip::{HeaderName, Method, Request, Response, UriBuf};

use crate::charging::function_addresses;
use crate::context::Context;
use crate::ifc::Subject;
use crate::registrar::{ImplicitRegistrationSet, SetId};
use crate::registration_change::{Cause, ContactEvent, RegistrationChange, Served};
use crate::sessions::charging::{Boundary, of_request};

mod body;

/// Servers that one registration is told to, at most.
const SERVERS_MAX: usize = 64;
/// What servers of the trust domain are told of the access (TS 24.229 5.4.1.7).
const COPIED: [HeaderName; 3] = [
    HeaderName::PAccessNetworkInfo,
    HeaderName::PVisitedNetworkId,
    HeaderName::CellularNetworkInfo,
];

/// One REGISTER of ours.
#[derive(Debug)]
pub(crate) struct ThirdParty {
    pub(crate) request: Request,
    pub(crate) server: UriBuf,
    /// Whose registration ends if the server fails; `None`: nobody's.
    pub(crate) at_stake: Option<(SetId, Impi)>,
}

/// Whether servers hear of a change.
pub(crate) fn concerns(change: &RegistrationChange) -> bool {
    registration_of(change).is_some()
}

/// The REGISTERs that a change makes, one per server and service profile.
pub(crate) fn of_change(ctx: &mut Context<'_>, change: &RegistrationChange) -> Vec<ThirdParty> {
    let Some(registration) = registration_of(change) else {
        return Vec::new();
    };
    let set = ctx.registrar.set(change.set);
    let served = match set {
        Some(set) => set
            .bindings_of(&change.impi)
            .next()
            .map_or_else(Vec::new, |binding| set.served(&binding.impu)),
        None => change.served.clone(),
    };
    let news = News {
        change,
        registration,
        expires_secs: set.map_or(0, |set| expires_secs(ctx, set, &change.impi)),
        charging: set
            .and_then(ImplicitRegistrationSet::charging)
            .and_then(function_addresses),
        cause: change.cause.as_deref(),
    };
    let mut requests = Vec::new();
    for served in &served {
        towards_servers(ctx, &news, served, &mut requests);
    }
    requests
}

/// What is told.
struct News<'a> {
    change: &'a RegistrationChange,
    registration: RegistrationType,
    expires_secs: u64,
    charging: Option<String>,
    cause: Option<&'a Cause>,
}

/// A registration ends for servers when nothing is left of the set. `None`: there is nothing to tell.
fn registration_of(change: &RegistrationChange) -> Option<RegistrationType> {
    match change.event {
        ContactEvent::Registered | ContactEvent::Refreshed => Some(change.cause.as_ref()?.registration),
        ContactEvent::Expired
        | ContactEvent::Deactivated
        | ContactEvent::Unregistered
        | ContactEvent::Rejected
        | ContactEvent::Probation => (!change.served.is_empty()).then_some(RegistrationType::Deregistration),
        // TS 24.229 5.4.1.5: the new S-CSCF has told them.
        ContactEvent::MovedAway | ContactEvent::Created | ContactEvent::Shortened => None,
    }
}

/// As the 200 has granted it.
fn expires_secs(ctx: &Context<'_>, set: &ImplicitRegistrationSet, impi: &Impi) -> u64 {
    let left = set.bindings_of(impi).map(|binding| binding.expires_secs(ctx.now));
    left.max().unwrap_or(0)
}

fn towards_servers(ctx: &mut Context<'_>, news: &News<'_>, served: &Served, requests: &mut Vec<ThirdParty>) {
    let received = match news.cause {
        Some(cause) => cause.request.clone(),
        None => stand_in(ctx, served),
    };
    let subject = Subject {
        request: &received,
        // TS 23.218 6.3: a REGISTER is originated by the registered user.
        case: SessionCase::OriginatingRegistered,
        registration: Some(news.registration),
    };
    let mut told: BTreeSet<&str> = BTreeSet::new();
    let mut place = 0;
    while let Some((at, criterion)) = served.services.criteria.next_match(place, &subject) {
        place = at + 1;
        let name = &*criterion.application_server.server_name;
        if requests.len() >= SERVERS_MAX || !told.insert(name) {
            continue;
        }
        match name.parse::<UriBuf>() {
            Ok(server) if server.as_uri().is_sip() => {
                let request = print(ctx, news, served, criterion, &server);
                requests.push(ThirdParty {
                    request,
                    server,
                    at_stake: at_stake(news, criterion),
                });
            }
            Ok(_) | Err(_) => {
                tracing::warn!(
                    clause = "TS 29.228 B.2.3",
                    "filter criterion names a server that is no SIP URI"
                );
            }
        }
    }
}

fn at_stake(news: &News<'_>, criterion: &InitialFilterCriterion) -> Option<(SetId, Impi)> {
    let terminates = criterion.application_server.default_handling == DefaultHandling::SessionTerminated;
    let is_end = news.registration == RegistrationType::Deregistration;
    (terminates && !is_end).then(|| (news.change.set, news.change.impi.clone()))
}

/// What criteria look at when no REGISTER has come: at the end of a registration that the network makes.
fn stand_in(ctx: &Context<'_>, served: &Served) -> Request {
    let user = served.impu.as_str();
    Request::build(Method::Register, &format!("sip:{}", ctx.settings.home_realm))
        .header(HeaderName::From, format_args!("<{user}>"))
        .header(HeaderName::To, format_args!("<{user}>"))
        .header(HeaderName::Expires, 0)
        .finish_request()
}

/// TS 24.229 5.4.1.7, the list of headers.
fn print(
    ctx: &mut Context<'_>,
    news: &News<'_>,
    served: &Served,
    criterion: &InitialFilterCriterion,
    server: &UriBuf,
) -> Request {
    let (tag, call_id, icid) = (ctx.fresh_token(), ctx.fresh_token(), ctx.fresh_token());
    let own = &ctx.settings.server_name;
    let received = news
        .cause
        .and_then(|cause| cause.request.header(HeaderName::PChargingVector));
    let vector = of_request(received, Boundary::Isc, &ctx.settings.home_realm, || icid);
    let host = ctx.service_route.host_port();
    let mut request = Request::build(Method::Register, server.as_str())
        .header(HeaderName::MaxForwards, 70)
        .header(HeaderName::From, format_args!("<{own}>;tag={tag}"))
        .header(HeaderName::To, format_args!("<{}>", served.impu.as_str()))
        .header(HeaderName::CallId, format_args!("{call_id}@{host}"))
        .header(HeaderName::CSeq, "1 REGISTER")
        .header(HeaderName::Contact, format_args!("<{own}>"))
        .header(HeaderName::Expires, news.expires_secs)
        .header(HeaderName::PChargingVector, vector);
    if let Some(charging) = &news.charging {
        request = request.header(HeaderName::PChargingFunctionAddresses, charging);
    }
    for name in COPIED {
        for line in news
            .cause
            .into_iter()
            .flat_map(|cause| cause.request.headers(name))
        {
            request = request.header(name, String::from_utf8_lossy(line));
        }
    }
    let parts = parts_of(&criterion.application_server, news.cause);
    match body::of(parts, ctx.fresh_token()) {
        Some((content_type, body)) => request.body(&content_type, body),
        None => request,
    }
    .finish_request()
}

/// TS 24.229 5.4.1.7A: the body goes with every REGISTER of the criterion.
fn parts_of(server: &ApplicationServer, cause: Option<&Cause>) -> Vec<body::Part> {
    let mut parts = Vec::new();
    if let Some(info) = &server.service_info {
        parts.push(body::Part::service_info(info));
    }
    if let Some(cause) = cause {
        if server.include_register_request {
            parts.push(body::Part::message(cause.request.bytes()));
        }
        if server.include_register_response {
            parts.push(body::Part::message(cause.response.bytes()));
        }
    }
    parts
}

/// Whether the server has failed, so that the default handling applies: silence, 408 or 5xx (TS 24.229 5.4.1.7).
pub(crate) fn has_failed(answer: Option<&Response>) -> bool {
    answer.is_none_or(|response| {
        let status = response.status();
        status.as_u16() == 408 || status.class() == 5
    })
}
