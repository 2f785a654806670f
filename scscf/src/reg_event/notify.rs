//! Engine: the NOTIFYs: which one is next, and what its answer means (RFC 6665 4.2.2, TS 24.229 5.4.2.1.2).

use std::time::Duration;

use ims_common::proxy::route;
use ims_common::sip::{HeaderName, Method, Request, Response, UriBuf};

use super::subscriptions::{EndReason, Flight, Owed, Subscription, SubscriptionId};
use super::{REGINFO, contact_of, reginfo};
use crate::context::Context;
use crate::sessions::charging::{Boundary, of_request};

/// Longest Retry-After that is waited for; a subscriber that wants to be left alone longer is given up.
const RETRY_AFTER_MAX_SECS: u64 = 3_600;

/// A NOTIFY to be sent.
#[derive(Debug)]
pub(crate) struct Notify {
    pub(crate) request: Request,
    /// The next hop: the first of the route set, else the subscriber itself.
    pub(crate) hop: UriBuf,
    /// Whose answer counts; `None` for the last one of a subscription, which nobody waits for.
    pub(crate) awaited_for: Option<SubscriptionId>,
}

/// What the answer to a NOTIFY meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Landing {
    Taken,
    Held,
    /// The subscriber has none, or cannot be reached: nothing more is sent there.
    Dropped,
}

/// The next NOTIFY that is owed and can be sent.
pub(crate) fn next(ctx: &mut Context<'_>) -> Option<Notify> {
    let id = ctx.subscriptions.pop_ready()?;
    let icid = ctx.fresh_token();
    let subscription = ctx.subscriptions.get_mut(id)?;
    subscription.dialog.local_cseq += 1;
    let departures = std::mem::take(&mut subscription.departures);
    let version = subscription.version;
    subscription.version = version.wrapping_add(1);
    let subscription = ctx.subscriptions.get(id)?;
    let body = reginfo::document(ctx.now, version, ctx.registrar.set(subscription.set), &departures);
    let request = print(ctx, subscription, &icid, body);
    let awaited_for = match subscription.is_ending() {
        Some(_) => {
            ctx.subscriptions.remove(id);
            None
        }
        None => {
            let subscription = ctx.subscriptions.get_mut(id)?;
            subscription.owed = Owed::Nothing;
            subscription.flight = Flight::UnderWay;
            Some(id)
        }
    };
    let hop = route::next_hop(&request)?;
    Some(Notify {
        request,
        hop,
        awaited_for,
    })
}

fn print(ctx: &Context<'_>, subscription: &Subscription, icid: &str, body: String) -> Request {
    let dialog = &subscription.dialog;
    let mut request =
        Request::build(Method::Notify, dialog.target.as_str()).header(HeaderName::MaxForwards, 70);
    for route in &dialog.route {
        request = request.header(HeaderName::Route, route);
    }
    request
        .header(HeaderName::From, &dialog.local)
        .header(HeaderName::To, &dialog.remote)
        .header(HeaderName::CallId, String::from_utf8_lossy(&dialog.call_id))
        .header(HeaderName::CSeq, format_args!("{} NOTIFY", dialog.local_cseq))
        .header(HeaderName::Contact, contact_of(ctx, &subscription.token))
        .header(HeaderName::Event, &subscription.event)
        .header(HeaderName::SubscriptionState, state_of(ctx, subscription))
        .header(
            HeaderName::PChargingVector,
            of_request(None, Boundary::Visited, &ctx.settings.home_realm, || {
                icid.to_owned()
            }),
        )
        .body(REGINFO, body)
        .finish_request()
}

fn state_of(ctx: &Context<'_>, subscription: &Subscription) -> String {
    match subscription.is_ending() {
        Some(EndReason::Timeout) => "terminated;reason=timeout".to_owned(),
        Some(EndReason::NoResource) => "terminated;reason=noresource".to_owned(),
        None => {
            let left = subscription.expires_at.saturating_duration_since(ctx.now);
            format!("active;expires={}", left.as_secs())
        }
    }
}

/// RFC 6665 4.2.2: an error ends the subscription, unless it says when to come again. Silence ends it too.
pub(crate) fn on_answer(ctx: &mut Context<'_>, id: SubscriptionId, answer: Option<&Response>) -> Landing {
    if answer.is_some_and(|response| response.status().is_success()) {
        ctx.subscriptions.landed(id);
        return Landing::Taken;
    }
    let hold = answer
        .and_then(retry_after_secs)
        .filter(|secs| *secs <= RETRY_AFTER_MAX_SECS);
    match hold {
        Some(secs) => {
            ctx.subscriptions.hold(id, ctx.now + Duration::from_secs(secs));
            Landing::Held
        }
        None => {
            ctx.subscriptions.remove(id);
            Landing::Dropped
        }
    }
}

fn retry_after_secs(response: &Response) -> Option<u64> {
    let value = std::str::from_utf8(response.header(HeaderName::RetryAfter)?).ok()?;
    let digits = value.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|secs| *secs > 0)
}
