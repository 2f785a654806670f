//! Procedure: the contacts that a request for a registered user goes to (TS 24.229 5.4.3.3; RFC 3327 5.3).

use std::collections::VecDeque;

use std::borrow::Cow;

use ims_common::proxy::{ForkPlan, NextHop, NextHopTarget};
use ims_common::sip::{HeaderName, NameAddr, Request, Uri, UriBuf};

use super::charging::{self, Boundary};
use super::identity::without_number_portability;
use super::{BETWEEN_SERVERS, Downstream, Session, Step, makes_a_dialog, record_route};
use crate::caller_preferences::CallerPreferences;
use crate::context::Context;
use crate::gruu;
use crate::registrar::Binding;
use crate::reject::RequestReject;

/// Request-URI = contact, Route = Path, for the contacts of the identity over all its private identities, in the order
/// that the callee (q) and the caller (RFC 3841) want.
pub(super) fn alert(ctx: &mut Context<'_>, mut session: Box<Session>) -> Result<Step, RequestReject> {
    let uri = session
        .request
        .request_uri()
        .map_err(|_| RequestReject::Malformed("Request-URI"))?;
    let set = session.chain.served.set.and_then(|id| ctx.registrar.set(id));
    let bindings = set.map_or(&[][..], |set| set.bindings());
    let instance = instance_of(&uri, bindings);
    // An application server may choose the contact itself (TS 24.229 5.4.3.3 step 3).
    let is_chosen = |binding: &&Binding| binding.contact.uri().as_uri().equivalent(&uri);
    let has_chosen = bindings.iter().any(|binding| is_chosen(&binding));
    let now = ctx.now;
    let usable = bindings
        .iter()
        .filter(|binding| binding.expires_at > now && (!has_chosen || is_chosen(binding)));
    let preferences = CallerPreferences::of(&session.request);
    let (groups, flows) = without_further_flows(preferences.groups(usable, instance.as_deref()));
    if groups.is_empty() {
        return Err(RequestReject::NotRegistered);
    }
    session.flows = flows;
    session.exits.clear();
    session.downstream = Downstream::Contact;
    let request = towards_contacts(ctx, &session.request);
    let plan = ForkPlan {
        groups,
        group_time: Some(ctx.settings.sessions.contact_time.get()),
    };
    Ok(Step::Fork(session, request, plan))
}

/// RFC 5626 6: one flow of an instance at a time. The others are for when that one has failed, not for when the UE has
/// refused.
fn without_further_flows(groups: Vec<Vec<&Binding>>) -> (Vec<Vec<NextHopTarget>>, VecDeque<NextHopTarget>) {
    let mut first: Vec<&Binding> = Vec::new();
    let mut flows = VecDeque::new();
    let mut kept = Vec::new();
    for group in groups {
        let mut targets = Vec::with_capacity(group.len());
        for binding in group {
            let is_known = |known: &&Binding| known.contact.is_flow_of_same_instance(&binding.contact);
            if first.iter().any(is_known) {
                flows.push_back(target_of(binding));
            } else {
                first.push(binding);
                targets.push(target_of(binding));
            }
        }
        if !targets.is_empty() {
            kept.push(targets);
        }
    }
    (kept, flows)
}

/// By another flow of a UE that could not be reached by the one before.
pub(super) fn next_flow(ctx: &mut Context<'_>, mut session: Box<Session>) -> Result<Step, RequestReject> {
    let flow = session.flows.pop_front().ok_or(RequestReject::Unreachable)?;
    let request = towards_contacts(ctx, &session.request);
    Ok(Step::Fork(session, request, ForkPlan::at_once(vec![flow])))
}

/// The instance that a public GRUU names, as `+sip.instance` has it (RFC 5627 3.1, RFC 5626 4.1).
fn instance_of(uri: &Uri<'_>, bindings: &[Binding]) -> Option<Vec<u8>> {
    let value = unescaped(uri.param("gr").flatten()?);
    let named = bindings.iter().find(|binding| gruu::names(&value, binding));
    let instance = named.and_then(|binding| binding.contact.instance());
    Some(instance.map_or_else(|| [b"<", &*value, b">"].concat(), Cow::into_owned))
}

fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let octet = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match octet.filter(|_| *first == b'%') {
            Some(octet) => {
                plain.push(octet);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
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
