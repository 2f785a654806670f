//! Procedure: the contacts that a request for a registered user goes to (TS 24.229 5.4.3.3; RFC 3327 5.3).

use ims_common::proxy::{ForkPlan, NextHop, NextHopTarget};
use ims_common::sip::{HeaderName, NameAddr, Request, UriBuf};

use super::charging::{self, Boundary};
use super::identity::without_number_portability;
use super::{BETWEEN_SERVERS, Downstream, Session, Step, makes_a_dialog, record_route};
use crate::context::Context;
use crate::registrar::Binding;
use crate::reject::RequestReject;

/// Request-URI = contact, Route = Path, for each contact of the identity over all its private identities.
pub(super) fn alert(ctx: &mut Context<'_>, mut session: Box<Session>) -> Result<Step, RequestReject> {
    let set = session.chain.served.set.and_then(|id| ctx.registrar.set(id));
    let bindings = set.map_or(&[][..], |set| set.bindings());
    let now = ctx.now;
    let targets: Vec<NextHopTarget> = bindings
        .iter()
        .filter(|binding| binding.expires_at > now && !is_for_emergencies(binding))
        .map(target_of)
        .collect();
    if targets.is_empty() {
        return Err(RequestReject::NotRegistered);
    }
    session.downstream = Downstream::Contact;
    let request = towards_contacts(ctx, &session.request);
    Ok(Step::Fork(session, request, ForkPlan::at_once(targets)))
}

/// TS 24.229 5.4.3.3: a contact of an emergency registration is alerted by emergency services alone.
fn is_for_emergencies(binding: &Binding) -> bool {
    binding.contact.uri().as_uri().param("sos").is_some()
}

fn target_of(binding: &Binding) -> NextHopTarget {
    let contact = binding.contact.uri();
    let first = binding
        .path
        .first()
        .and_then(|path| NameAddr::parse(path.as_bytes()).ok());
    let hop = first.map_or_else(|| contact.clone(), |path| UriBuf::from(path.uri));
    NextHopTarget {
        request_uri: Some(contact.clone()),
        route: binding.path.iter().map(|path| path.to_string()).collect(),
        hop: NextHop::Uri(hop),
    }
}

/// What all contacts get alike (TS 24.229 5.4.3.3).
fn towards_contacts(ctx: &mut Context<'_>, request: &Request) -> Request {
    let called = String::from_utf8_lossy(request.request_uri_bytes()).into_owned();
    let called = without_number_portability(&called);
    let received = request.header(HeaderName::PChargingVector);
    let vector = charging::of_request(received, Boundary::Visited, &ctx.settings.home_realm, || {
        ims_common::token::fresh(ctx.shard, ctx.rng)
    });
    let mut edit = request
        .edit()
        .remove_all(&BETWEEN_SERVERS)
        // Only a P-CSCF of the home network may know them; none is told.
        .remove(HeaderName::PChargingFunctionAddresses)
        .set(HeaderName::PCalledPartyId, format!("<{called}>"))
        .set(HeaderName::PChargingVector, vector);
    if makes_a_dialog(&request.method()) {
        edit = edit.push_front(HeaderName::RecordRoute, record_route(ctx));
    }
    edit.finish_request()
}
