//! Procedure: our own subscription to the registrations of UEs, and what we do when they end otherwise than by the UE
//! (TS 24.229 5.2.3, 5.2.5.2; RFC 3680, RFC 6665).
//!
//! * [`reginfo`]: the document
//! * `changes`: what it means for a registration
//! * `subscriptions`: the subscriptions and their dialogs
//!
//! Without a subscription registrations stay as they are, until they expire: nothing else depends on one.

pub(crate) mod changes;
pub mod reginfo;
pub(crate) mod subscriptions;

use std::time::{Duration, Instant};

use ims_common::identity::Impu;
use ims_common::net::Interface;
use ims_common::proxy::{ForwardFailure, ForwardId, NextHop, ServerTransactionId};
use ims_common::sip::{HeaderName, Method, NameAddr, Request, Response, StatusCode, UriBuf};
use smallvec::SmallVec;
use tracing::{debug, info, warn};

use crate::contacts::{Contact, FlowToken};
use crate::node::Pcscf;
use changes::{Fate, revise};
use reginfo::RegInfo;
use subscriptions::{Due, EXPIRES_SECS, NotifyFault, Order, Stage, SubscriptionId};

/// Stands before the token in the user part of our Contact.
const CONTACT_MARK: &str = "reg-";
/// The one event package.
const PACKAGE: &str = "reg";
/// Its one format.
const REGINFO: &str = "application/reginfo+xml";
/// How long a first refusal keeps us away; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// How long we stay away at most.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// After the loss of a subscription that there was.
const SHORT_WAIT: Duration = Duration::from_secs(1);
/// Seconds after the end of what was watched: its contacts are gone then.
const NO_HURRY_SECS: u32 = 60;
const COUNTER: &str = "ims_pcscf_reg_event_total";

/// What a Subscription-State header says (RFC 6665 8.2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SubscriptionState {
    /// It goes on.
    Active,
    /// It is over, and may be asked for again at once.
    Terminated,
    /// It is over, and may be asked for again after so many seconds.
    TerminatedFor(u32),
}

impl Pcscf {
    /// TS 24.229 5.2.3: a 200 (OK) to a REGISTER: the first one subscribes, once it has left for the UE
    /// ([`Pcscf::ask_notifiers`]).
    pub(crate) fn watch_registration(&mut self, now: Instant, token: &FlowToken, is_initial: bool) {
        if !self.settings.reg_event {
            return;
        }
        let Some(contact) = self.contacts.get(token).filter(|contact| !contact.is_emergency()) else {
            return;
        };
        let registration = contact.registrations().last();
        let wanted = registration
            .and_then(|registration| Some((registration.default_identity()?, registration.expires_at)));
        let Some((impu, until)) = wanted else {
            return;
        };
        let core = &mut self.core;
        let fresh = || core.fresh_token().into();
        if !self
            .subscriptions
            .want(now, &impu, token, until, is_initial, fresh)
        {
            self.counters.count(COUNTER, "full");
        }
    }

    /// A UE with these default identities has left: perhaps nobody needs to know of them any more.
    pub(crate) fn unwatch_registrations(&mut self, now: Instant, impus: &[Impu]) {
        for impu in impus {
            self.subscriptions.contact_left(now, impu);
        }
    }

    /// SUBSCRIBEs whose turn it is.
    pub(crate) fn ask_notifiers(&mut self, now: Instant) {
        while let Some(id) = self.subscriptions.pop_queued() {
            self.send_subscribe(now, id, Stage::Asked);
        }
    }

    fn send_subscribe(&mut self, now: Instant, id: SubscriptionId, stage: Stage) {
        let charging_vector = self.charging_vector();
        let Some(cseq) = self.subscriptions.asks(id, stage) else {
            return;
        };
        let Some((request, hop)) = self.subscribe(id, stage, cseq, &charging_vector) else {
            return self.subscriptions.remove(id);
        };
        let forward = self.core.originate(now, request, hop, Interface::Mw);
        self.subscriptions.asked_by(forward, id);
    }

    /// TS 24.229 5.2.3: to the entry point of the home network for the default public identity, under the name that is in
    /// the Path; a refresh goes along its dialog.
    fn subscribe(
        &self,
        id: SubscriptionId,
        stage: Stage,
        cseq: u32,
        charging_vector: &str,
    ) -> Option<(Request, NextHop)> {
        let subscription = self.subscriptions.get(id)?;
        let host = &self.settings.mw_host;
        let (token, impu) = (&subscription.token, subscription.impu.as_str());
        let path = match subscription.contacts.first() {
            Some(contact) => self.settings.path_of(contact),
            None => format!("<sip:{host}>"),
        };
        let dialog = subscription.dialog.as_deref();
        let (uri, to_tag, hop) = match dialog {
            Some(dialog) => {
                let first = dialog
                    .route
                    .first()
                    .map(|route| NameAddr::parse(route.as_bytes()));
                let hop = match first {
                    Some(first) => UriBuf::from(first.ok()?.uri),
                    None => dialog.target.clone(),
                };
                let tag = format!(";tag={}", dialog.remote_tag);
                (dialog.target.to_string(), tag, hop)
            }
            None => {
                let entry_points = &self.settings.entry_points;
                let turn = usize::from(subscription.failures) % entry_points.len().max(1);
                (impu.to_owned(), String::new(), entry_points.get(turn)?.clone())
            }
        };
        let expires = if stage == Stage::Leaving { 0 } else { EXPIRES_SECS };
        let mut builder = Request::build(Method::Subscribe, &uri)
            .header(HeaderName::MaxForwards, 70)
            .header(
                HeaderName::From,
                format!("<sip:{host}>;tag={}", subscription.tag()),
            )
            .header(HeaderName::To, format!("<{impu}>{to_tag}"))
            .header(HeaderName::CallId, subscription.call_id())
            .header(HeaderName::CSeq, format!("{cseq} SUBSCRIBE"))
            .header(HeaderName::Contact, format!("<sip:{CONTACT_MARK}{token}@{host}>"))
            .header(HeaderName::Event, PACKAGE)
            .header(HeaderName::Accept, REGINFO)
            .header(HeaderName::Expires, expires)
            .header(HeaderName::PAssertedIdentity, path)
            .header(HeaderName::PChargingVector, charging_vector);
        for route in dialog.into_iter().flat_map(|dialog| &dialog.route) {
            builder = builder.header(HeaderName::Route, route);
        }
        Some((builder.finish_request(), NextHop::Uri(hop)))
    }

    /// An answer to a SUBSCRIBE of ours.
    pub(crate) fn on_subscribe_response(&mut self, now: Instant, forward: ForwardId, response: &Response) {
        let status = response.status();
        if status.is_provisional() {
            return;
        }
        let Some(id) = self.subscriptions.take_asked(forward) else {
            return;
        };
        let is_leaving = self
            .subscriptions
            .get(id)
            .is_some_and(|it| it.stage == Stage::Leaving);
        if is_leaving {
            self.counters.count(COUNTER, "ended");
            self.subscriptions.remove(id);
        } else if status.is_success() {
            let had_one = self
                .subscriptions
                .get(id)
                .is_some_and(|it| it.failures == 0 && it.cseq > 1);
            let label = if had_one { "refreshed" } else { "subscribed" };
            debug!(procedure = "reg-event", label, "subscription granted");
            self.counters.count(COUNTER, label);
            self.subscriptions.granted(now, id, response);
        } else {
            let retry_after = retry_after(response).unwrap_or_default();
            info!(
                procedure = "reg-event",
                code = status.as_u16(),
                "subscription refused"
            );
            self.subscription_failed(now, id, Duration::from_secs(retry_after.into()), "refused");
        }
        self.ask_notifiers(now);
    }

    /// No answer to a SUBSCRIBE of ours.
    pub(crate) fn on_subscribe_failed(&mut self, now: Instant, forward: ForwardId, cause: ForwardFailure) {
        let Some(id) = self.subscriptions.take_asked(forward) else {
            return;
        };
        info!(procedure = "reg-event", ?cause, "subscription not answered");
        if self
            .subscriptions
            .get(id)
            .is_some_and(|it| it.stage == Stage::Leaving)
        {
            self.subscriptions.remove(id);
        } else {
            self.subscription_failed(now, id, Duration::ZERO, "unanswered");
        }
        self.ask_notifiers(now);
    }

    /// Again later, and later each time; at once where there was a subscription until now.
    fn subscription_failed(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        at_least: Duration,
        label: &'static str,
    ) {
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        let (had_dialog, failures) = (subscription.dialog.is_some(), u32::from(subscription.failures));
        self.counters.count(COUNTER, label);
        let token = self.core.fresh_token();
        let wait = match had_dialog {
            true => SHORT_WAIT,
            false => FIRST_WAIT * 2_u32.pow(failures.min(7)),
        };
        let wait = spread(wait.min(LONGEST_WAIT), &token).max(at_least.min(LONGEST_WAIT));
        if !had_dialog {
            self.subscriptions.count_failure(id);
        }
        self.subscriptions.lost(now, id, wait, token.into());
    }

    /// Subscriptions to be refreshed, asked for again, or ended because nobody needs them.
    pub(crate) fn expire_subscriptions(&mut self, now: Instant) {
        while let Some(id) = self.subscriptions.pop_expired(now) {
            let Some(subscription) = self.subscriptions.get(id) else {
                continue;
            };
            let alive = subscription.contacts.iter().filter_map(|token| {
                let contact = self.contacts.get(token)?;
                Some((token.clone(), watched_until(contact, &subscription.impu)?))
            });
            let alive: Vec<(FlowToken, Instant)> = alive.collect();
            let until = alive.iter().map(|(_, until)| *until).max();
            let contacts: SmallVec<[FlowToken; 1]> = alive.into_iter().map(|(token, _)| token).collect();
            match self.subscriptions.due(now, id, contacts, until) {
                Due::Nothing => {}
                Due::Leave => self.send_subscribe(now, id, Stage::Leaving),
                Due::Forget => self.subscriptions.remove(id),
            }
        }
        self.ask_notifiers(now);
    }

    /// The token of the subscription that a NOTIFY is for.
    pub(crate) fn reg_event_token(&self, request: &Request) -> Option<String> {
        let uri = request
            .request_uri()
            .ok()
            .filter(|uri| self.settings.is_own(uri))?;
        let user = std::str::from_utf8(uri.user()?).ok()?;
        user.strip_prefix(CONTACT_MARK).map(str::to_owned)
    }

    /// RFC 6665 4.1.3, TS 24.229 5.2.5.2: a notification.
    pub(crate) fn on_notify(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        token: &str,
    ) {
        let is_ours = request.header(HeaderName::Event).is_some_and(is_reg_event);
        let found = match is_ours {
            true => self.subscriptions.notified(token, request),
            false => {
                self.counters.count(COUNTER, "other-event");
                return self.core.reject(now, transaction, StatusCode::BAD_EVENT);
            }
        };
        let id = match found {
            Ok(id) => id,
            Err(fault) => {
                let (status, label) = match fault {
                    NotifyFault::NoSuchSubscription => (
                        StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
                        "unknown-subscription",
                    ),
                    NotifyFault::OutOfOrder => (StatusCode::SERVER_INTERNAL_ERROR, "out-of-order"),
                };
                self.counters.count(COUNTER, label);
                return self.core.reject(now, transaction, status);
            }
        };
        self.counters.count(COUNTER, "notified");
        self.core
            .respond(now, transaction, request.reply(StatusCode::OK).finish());
        let is_whole = request.body().is_empty() || self.take_document(now, id, request.body());
        match subscription_state(request) {
            SubscriptionState::Active if is_whole => {}
            // RFC 3680 5.1: a refresh brings the full state.
            SubscriptionState::Active => self.subscriptions.ask(id),
            SubscriptionState::Terminated => self.subscription_ended(now, id, SHORT_WAIT),
            SubscriptionState::TerminatedFor(secs) => {
                let wait = Duration::from_secs(secs.into()).clamp(SHORT_WAIT, LONGEST_WAIT);
                self.subscription_ended(now, id, wait);
            }
        }
        self.ask_notifiers(now);
    }

    /// The notifier ended it. As long as somebody needs it, it is asked for again; [`Pcscf::expire_subscriptions`] sees.
    fn subscription_ended(&mut self, now: Instant, id: SubscriptionId, wait: Duration) {
        if self
            .subscriptions
            .get(id)
            .is_some_and(|it| it.stage == Stage::Leaving)
        {
            return;
        }
        self.counters.count(COUNTER, "ended-by-notifier");
        let token = self.core.fresh_token().into();
        self.subscriptions.lost(now, id, wait, token);
    }

    /// Says whether nothing is missing.
    fn take_document(&mut self, now: Instant, id: SubscriptionId, document: &[u8]) -> bool {
        let info = match RegInfo::parse(document) {
            Ok(info) => info,
            Err(error) => {
                warn!(procedure = "reg-event", %error, "notification cannot be read");
                self.counters.count(COUNTER, "unreadable");
                return true;
            }
        };
        let order = self.subscriptions.order(id, info.version);
        if order == Order::Stale {
            self.counters.count(COUNTER, "stale");
            return true;
        }
        let contacts = self.subscriptions.get(id).map(|it| it.contacts.clone());
        for token in contacts.unwrap_or_default() {
            self.revise_contact(now, &token, &info);
        }
        let is_missing = order == Order::Gap && !info.is_full;
        if is_missing {
            self.counters.count(COUNTER, "gap");
        }
        !is_missing
    }

    fn revise_contact(&mut self, now: Instant, token: &FlowToken, info: &RegInfo) {
        let Some(address) = self.contacts.get(token).map(|contact| contact.address.clone()) else {
            return;
        };
        let mut fates: SmallVec<[(Impu, Fate); 1]> = SmallVec::new();
        self.contacts.revise(token, |registration| {
            let fate = revise(now, registration, &address, info);
            fates.push((registration.impu.clone(), fate));
        });
        for (impu, fate) in fates {
            match fate {
                Fate::Unchanged => {}
                Fate::Changed => {
                    info!(procedure = "reg-event", %impu, "registration changed by the network");
                    self.counters.count(COUNTER, "registration-changed");
                }
                Fate::Ends(event) => {
                    info!(procedure = "reg-event", %impu, %event, "registration ended by the network");
                    self.counters.count(COUNTER, "registration-ended");
                }
            }
        }
    }
}

/// Until when a contact is registered with this default identity.
fn watched_until(contact: &Contact, impu: &Impu) -> Option<Instant> {
    let registrations = contact.registrations().iter();
    let watched = registrations.filter(|registration| registration.identities().any(|known| known == *impu));
    watched.map(|registration| registration.expires_at).max()
}

/// RFC 6665 8.2.1: the package, whatever its parameters.
fn is_reg_event(value: &[u8]) -> bool {
    let package = value.split(|byte| *byte == b';').next().unwrap_or_default();
    package.trim_ascii().eq_ignore_ascii_case(PACKAGE.as_bytes())
}

/// RFC 6665 4.1.3. Without the header it goes on.
fn subscription_state(request: &Request) -> SubscriptionState {
    let value = request.header(HeaderName::SubscriptionState).unwrap_or_default();
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    if parts.next() != Some("terminated") {
        return SubscriptionState::Active;
    }
    let mut state = SubscriptionState::Terminated;
    for part in parts {
        match part.split_once('=') {
            Some(("retry-after", secs)) => {
                let secs = secs.trim().parse().unwrap_or_default();
                return SubscriptionState::TerminatedFor(secs);
            }
            // "the subscriber MAY retry at any later time": not at once.
            Some(("reason", "probation" | "giveup" | "rejected" | "noresource" | "invariant")) => {
                state = SubscriptionState::TerminatedFor(NO_HURRY_SECS);
            }
            Some(_) | None => {}
        }
    }
    state
}

fn retry_after(response: &Response) -> Option<u32> {
    let value = std::str::from_utf8(response.header(HeaderName::RetryAfter)?).ok()?;
    let digits = value.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

/// Between the span and a quarter more of it, so that those who were lost together do not come back together.
fn spread(span: Duration, token: &str) -> Duration {
    let chance = token
        .bytes()
        .rev()
        .take(4)
        .fold(0_u32, |sum, byte| sum * 31 + u32::from(byte))
        % 256;
    span + span / 4 * chance / 256
}
