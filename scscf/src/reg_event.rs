//! Procedure: the notifier of the reg event package (TS 24.229 5.4.2; RFC 3680, RFC 6665).
//!
//! A SUBSCRIBE is read (`subscribe`), its sender judged (`authorisation`), and what it installs is kept in a table
//! (`subscriptions`). Each change of registrations makes a NOTIFY owed to those who watch the set; it is printed when
//! it is sent (`reginfo`, `notify`), so that it says what is true then. Of one subscription one NOTIFY is under way at
//! a time: what happens meanwhile goes into the next one.

mod authorisation;
mod notify;
mod reginfo;
mod subscribe;
mod subscriptions;

use std::net::IpAddr;
use std::time::Duration;

use ims_common::identity::Impu;
use ims_common::proxy::route;
use ims_common::sip::{HeaderName, Method, Request, Response, StatusCode, Uri};

use crate::charging;
use crate::context::Context;
use crate::registrar::SetId;
use crate::registration_change::{ContactEvent, RegistrationChange};
use crate::reject::SubscribeReject;
use crate::service_route;
use crate::sessions::is_own;
use crate::spelling::with_or_without_plus;

pub(crate) use notify::{Landing, next, on_answer};
use subscribe::Subscribe;
use subscriptions::{Departures, EndReason, Flight, Owed, Subscription};
pub(crate) use subscriptions::{SubscriptionId, SubscriptionLimits, Subscriptions};

/// The one event package of this server.
const PACKAGE: &str = "reg";
/// Stands before the token in the user part of our Contact.
const CONTACT_MARK: &str = "reg-";
/// RFC 3680 4.3.
const EXPIRES_DEFAULT_SECS: u32 = 3_761;
/// The one format of this package.
const REGINFO: &str = "application/reginfo+xml";
/// Seconds after which a full table may be tried again.
const RETRY_AFTER_SECS: u32 = 60;

/// What a SUBSCRIBE is to this server.
#[derive(Debug)]
pub(crate) enum Place {
    /// Within a dialog of ours, by the token in our Contact.
    Dialog(String),
    /// The first one, for a set of ours.
    Initial(SetId),
    /// For this server itself, or for a user who is not registered here.
    Refused(SubscribeReject),
}

/// What came of a SUBSCRIBE, for the counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Subscribed,
    Replaced,
    Refreshed,
    Ended,
    Fetched,
}

impl Outcome {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::Replaced => "replaced",
            Self::Refreshed => "refreshed",
            Self::Ended => "ended",
            Self::Fetched => "fetched",
        }
    }
}

/// Whether a request is for the notifier; `None` leaves it to the session procedures.
pub(crate) fn place(ctx: &Context<'_>, request: &Request) -> Option<Place> {
    if request.method() != Method::Subscribe {
        return None;
    }
    let routed = route::preprocess(request, |uri| is_own(ctx, uri));
    let uri = routed.request.request_uri().ok()?;
    if is_own(ctx, &uri) {
        return Some(match token_of(&uri) {
            Some(token) => Place::Dialog(token.to_owned()),
            None => Place::Refused(SubscribeReject::BadEvent),
        });
    }
    let is_in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
    if is_in_dialog || !subscribe::is_reg_event(request) {
        return None;
    }
    let impu = Impu::from_bytes(uri.as_bytes()).ok()?;
    let found = with_or_without_plus(impu.clone()).find_map(|impu| ctx.registrar.set_of(&impu));
    if let Some(set) = found {
        return Some(Place::Initial(set.id));
    }
    // Who asks from the originating side, or has an application server between, may ask for anybody anywhere.
    let is_for_us = routed.own.as_ref().is_none_or(|own| {
        let own = own.as_uri();
        service_route::token_of(&own).is_none() && own.user().is_none()
    });
    let has_more_routes = route::top_route(&routed.request).is_some();
    let is_home = impu.is_tel() || impu.host() == Some(&*ctx.settings.home_realm);
    (is_for_us && !has_more_routes && is_home).then_some(Place::Refused(SubscribeReject::NotRegistered))
}

fn token_of<'a>(uri: &Uri<'a>) -> Option<&'a str> {
    std::str::from_utf8(uri.user()?).ok()?.strip_prefix(CONTACT_MARK)
}

/// Serves a SUBSCRIBE that [`place`] has found to be ours. The NOTIFY that follows is owed then.
pub(crate) fn on_subscribe(
    ctx: &mut Context<'_>,
    request: &Request,
    place: Place,
    source: IpAddr,
) -> Result<(Outcome, Response), SubscribeReject> {
    match place {
        Place::Refused(reject) => Err(reject),
        Place::Dialog(token) => in_dialog(ctx, request, &token),
        Place::Initial(set) => initial(ctx, request, set, source),
    }
}

/// TS 24.229 5.4.2.1.1.
fn initial(
    ctx: &mut Context<'_>,
    request: &Request,
    id: SetId,
    source: IpAddr,
) -> Result<(Outcome, Response), SubscribeReject> {
    let subscribe = Subscribe::read(request)?;
    let set = ctx.registrar.set(id).ok_or(SubscribeReject::NotRegistered)?;
    let subscriber = authorisation::subscriber(ctx, set, request, &subscribe.contact, source)?;
    subscribe::check_accept(request)?;
    let expires = granted(ctx, subscribe.requested_secs)?;
    let (token, tag) = (ctx.fresh_token(), ctx.fresh_token());
    let replaced = ctx.subscriptions.replace(id, &subscriber, &subscribe.contact);
    let response = ok(ctx, request, &token, &tag, expires);
    let number = ctx.subscriptions.insert(Subscription {
        set: id,
        subscriber,
        event: subscribe.event.clone(),
        dialog: subscribe.into_dialog(&tag),
        token: token.into(),
        expires_at: ctx.now + expires,
        version: 0,
        flight: Flight::Landed,
        owed: Owed::Nothing,
        departures: Departures::default(),
    })?;
    if expires.is_zero() {
        // RFC 6665 4.4.3: a fetch.
        ctx.subscriptions.end(number, EndReason::Timeout);
        return Ok((Outcome::Fetched, response));
    }
    ctx.subscriptions.owe(number);
    let outcome = match replaced {
        true => Outcome::Replaced,
        false => Outcome::Subscribed,
    };
    Ok((outcome, response))
}

/// A refresh, or the end (RFC 6665 4.2.1.4; RFC 3261 12.2.2).
fn in_dialog(
    ctx: &mut Context<'_>,
    request: &Request,
    token: &str,
) -> Result<(Outcome, Response), SubscribeReject> {
    let number = ctx
        .subscriptions
        .by_token(token)
        .ok_or(SubscribeReject::NoSuchDialog)?;
    if !subscribe::is_reg_event(request) {
        return Err(SubscribeReject::BadEvent);
    }
    let subscribe = Subscribe::read(request)?;
    let known = ctx
        .subscriptions
        .get(number)
        .ok_or(SubscribeReject::NoSuchDialog)?;
    known.dialog.check(request, &subscribe)?;
    subscribe::check_accept(request)?;
    let expires = granted(ctx, subscribe.requested_secs)?;
    let response = ok(ctx, request, token, "", expires);
    ctx.subscriptions.refresh(number, subscribe, ctx.now + expires);
    if expires.is_zero() {
        ctx.subscriptions.end(number, EndReason::Timeout);
        return Ok((Outcome::Ended, response));
    }
    ctx.subscriptions.owe(number);
    Ok((Outcome::Refreshed, response))
}

/// RFC 6665 4.2.1.1: too brief is refused, too long is shortened, 0 ends.
fn granted(ctx: &Context<'_>, requested_secs: Option<u32>) -> Result<Duration, SubscribeReject> {
    let policy = &ctx.settings.reg_event;
    let wish = Duration::from_secs(requested_secs.unwrap_or(EXPIRES_DEFAULT_SECS).into());
    let min = policy.expires_min.get();
    if !wish.is_zero() && wish < min {
        return Err(SubscribeReject::IntervalTooBrief {
            expires_min_secs: min.as_secs(),
        });
    }
    Ok(wish.min(policy.expires_max.get()))
}

/// The 200. RFC 3261 12.1.1: all Record-Route values go back; phones that miss one subscribe again for ever.
fn ok(ctx: &Context<'_>, request: &Request, token: &str, tag: &str, expires: Duration) -> Response {
    let mut reply = request.reply(StatusCode::OK);
    if !tag.is_empty() {
        reply = reply.to_tag(tag);
    }
    for line in request.headers(HeaderName::RecordRoute) {
        reply = reply.header(HeaderName::RecordRoute, String::from_utf8_lossy(line));
    }
    reply = reply
        .header(HeaderName::Contact, contact_of(ctx, token))
        .header(HeaderName::Expires, expires.as_secs());
    let vector = request
        .header(HeaderName::PChargingVector)
        .and_then(|received| charging::vector_of_response(received, &ctx.settings.home_realm));
    if let Some(vector) = vector {
        reply = reply.header(HeaderName::PChargingVector, vector);
    }
    reply.finish()
}

/// A refusal, with the headers that its status code needs.
pub(crate) fn reject_response(request: &Request, reject: SubscribeReject, tag: &str) -> Response {
    let mut reply = request.reply(reject.status()).to_tag(tag);
    match reject {
        SubscribeReject::IntervalTooBrief { expires_min_secs } => {
            reply = reply.header(HeaderName::MinExpires, expires_min_secs);
        }
        SubscribeReject::BadEvent => reply = reply.header(HeaderName::AllowEvents, PACKAGE),
        SubscribeReject::NotAcceptable => reply = reply.header(HeaderName::Accept, REGINFO),
        SubscribeReject::Full => reply = reply.header(HeaderName::RetryAfter, RETRY_AFTER_SECS),
        SubscribeReject::Malformed(_)
        | SubscribeReject::Forbidden
        | SubscribeReject::NotRegistered
        | SubscribeReject::NoSuchDialog
        | SubscribeReject::OutOfOrder => {}
    }
    reply.finish()
}

fn contact_of(ctx: &Context<'_>, token: &str) -> String {
    format!("<sip:{CONTACT_MARK}{token}@{}>", ctx.service_route.host_port())
}

/// What a change means for those who watch the set: a NOTIFY is owed, the last one if there is nothing more to watch
/// (TS 24.229 5.4.2.1.2).
pub(crate) fn on_change(ctx: &mut Context<'_>, change: &RegistrationChange) {
    let set = ctx.registrar.set(change.set);
    if change.event == ContactEvent::MovedAway {
        if set.is_none() {
            ctx.subscriptions.forget_set(change.set);
        }
        return;
    }
    let departures = Departures::of(change, set.is_none());
    for number in ctx.subscriptions.of_set(change.set) {
        let Some(subscription) = ctx.subscriptions.get(number) else {
            continue;
        };
        let is_over = set.is_none_or(|set| subscription.subscriber.is_gone_from(set));
        ctx.subscriptions.depart(number, &departures);
        if is_over {
            ctx.subscriptions.end(number, EndReason::NoResource);
        } else {
            ctx.subscriptions.owe(number);
        }
    }
}
