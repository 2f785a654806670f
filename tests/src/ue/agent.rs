//! Testkit: all that a phone does beside registering: calls, messages, its subscription. It is told what came, and
//! says what is to be done ([`Act`]).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use ims_common::net::Transport;
use ims_common::node::Seed;
use ims_common::proxy::ForwardId;
use ims_common::transaction::ServerTransactionId;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::UeEvent;
use super::around::Around;
use super::call::Call;
use super::dialog::{Dialog, Outgoing, body_of, reply};
use super::message;
use super::subscription::Subscription;
use super::talk::{CallEvent, CallNumber, Plan, Text, Twist};
use crate::text::SipText;

/// What the phone is to do.
#[derive(Debug)]
pub(super) enum Act {
    /// Send a request.
    Send {
        errand: Errand,
        request: Outgoing,
        transport: Option<Transport>,
    },
    /// Send an ACK to a 2xx.
    Ack(Outgoing),
    /// Answer.
    Respond(ServerTransactionId, Vec<u8>),
    /// Cancel the INVITE that was sent for this.
    Cancel(Errand),
    /// Register as after power-on.
    RegisterAnew,
    /// Register again, soon.
    RegisterAgain,
}

/// What a request was sent for. Of a call's dialog the other's tag is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Errand {
    Invite(CallNumber),
    Prack(CallNumber, String),
    Update(CallNumber, String),
    Change(CallNumber),
    Refresh(CallNumber),
    Bye(CallNumber),
    Subscribe,
    Message,
    Other,
}

impl Errand {
    pub(super) const fn call(&self) -> Option<CallNumber> {
        match self {
            Self::Invite(call)
            | Self::Prack(call, _)
            | Self::Update(call, _)
            | Self::Change(call)
            | Self::Refresh(call)
            | Self::Bye(call) => Some(*call),
            Self::Subscribe | Self::Message | Self::Other => None,
        }
    }
}

/// What a phone waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Alarm {
    /// Resources are there, in the dialog with this tag of the other.
    Reserved(CallNumber, String),
    /// Somebody picks up, or does not want to.
    Decide(CallNumber),
    /// A provisional answer is not acknowledged yet.
    Provisional(CallNumber),
    /// A 2xx is not.
    Success(CallNumber),
    /// Half of the session interval is over.
    Refresh(CallNumber),
    /// Nobody has refreshed the session.
    Expiry(CallNumber),
    /// The subscription is to be refreshed.
    Subscription,
}

impl Alarm {
    const fn call(&self) -> Option<CallNumber> {
        match self {
            Self::Reserved(call, _)
            | Self::Decide(call)
            | Self::Provisional(call)
            | Self::Success(call)
            | Self::Refresh(call)
            | Self::Expiry(call) => Some(*call),
            Self::Subscription => None,
        }
    }
}

/// Where a call does its work.
pub(super) struct Desk<'a> {
    pub(super) now: Instant,
    pub(super) around: &'a Around,
    pub(super) acts: &'a mut VecDeque<Act>,
    pub(super) alarms: &'a mut Alarms,
    pub(super) events: &'a mut Vec<UeEvent>,
    pub(super) rng: &'a mut StdRng,
    pub(super) call: CallNumber,
}

impl Desk<'_> {
    pub(super) fn see(&mut self, what: CallEvent) {
        let call = self.call;
        self.events.push(UeEvent::Call { call, what });
    }

    pub(super) fn send(&mut self, errand: Errand, request: Outgoing) {
        let transport = match errand {
            Errand::Prack(..) => self.around.manner.prack_transport,
            _ => None,
        };
        let request = self.around.dress(request);
        self.acts.push_back(Act::Send {
            errand,
            request,
            transport,
        });
    }

    pub(super) fn respond(&mut self, transaction: ServerTransactionId, response: Vec<u8>) {
        self.acts.push_back(Act::Respond(transaction, response));
    }

    pub(super) fn set(&mut self, after: Duration, alarm: Alarm) {
        self.alarms.set(self.now + after, alarm);
    }

    pub(super) fn word(&mut self) -> String {
        word(self.rng)
    }
}

/// What a phone waits for, by time.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    next: u64,
    all: BTreeMap<(Instant, u64), Alarm>,
}

impl Alarms {
    pub(super) fn set(&mut self, at: Instant, alarm: Alarm) {
        self.cancel(&alarm);
        self.next += 1;
        self.all.insert((at, self.next), alarm);
    }

    pub(super) fn cancel(&mut self, alarm: &Alarm) {
        self.all.retain(|_, set| set != alarm);
    }

    pub(super) fn cancel_all_of(&mut self, call: CallNumber) {
        self.all.retain(|_, set| set.call() != Some(call));
    }

    fn pop(&mut self, now: Instant) -> Option<Alarm> {
        let first = self.all.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }
}

/// INVITEs of its own that a phone remembers.
const INVITES_MAX: usize = 16;

/// An INVITE, and the ACKs to its 2xx by the tag of who answered.
struct Invite {
    request: Outgoing,
    acks: BTreeMap<String, Outgoing>,
}

/// See the module.
pub(super) struct Agent {
    rng: StdRng,
    calls: BTreeMap<CallNumber, Call>,
    last_call: CallNumber,
    errands: BTreeMap<ForwardId, Errand>,
    invites: BTreeMap<ForwardId, Invite>,
    alarms: Alarms,
    acts: VecDeque<Act>,
    subscription: Subscription,
    is_gone: bool,
}

impl Agent {
    pub(super) fn new(seed: &Seed) -> Self {
        Self {
            rng: seed.rng(41),
            calls: BTreeMap::new(),
            last_call: 0,
            errands: BTreeMap::new(),
            invites: BTreeMap::new(),
            alarms: Alarms::default(),
            acts: VecDeque::new(),
            subscription: Subscription::default(),
            is_gone: false,
        }
    }

    /// Nothing that it sent awaits an answer, and it rings nowhere.
    pub(super) fn is_idle(&self) -> bool {
        let waits = |errand: &Errand| !matches!(errand, Errand::Subscribe | Errand::Refresh(_));
        !self.errands.values().any(waits)
            && self.acts.is_empty()
            && !self.calls.values().any(Call::is_being_set_up)
    }

    /// It has vanished.
    pub(super) const fn is_gone(&self) -> bool {
        self.is_gone
    }

    pub(super) fn poll_act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.all.first_key_value().map(|((at, _), _)| *at)
    }

    /// The dialogs of all calls, newest last.
    pub(super) fn dialogs(&self) -> Vec<Dialog> {
        self.calls.values().filter_map(Call::dialog).cloned().collect()
    }

    /// Calls that have begun and are not over.
    pub(super) fn calls_in_progress(&self) -> usize {
        self.calls.values().filter(|call| call.is_talking()).count()
    }

    /// Does something with a call.
    fn at<R>(
        &mut self,
        number: CallNumber,
        now: Instant,
        around: &Around,
        events: &mut Vec<UeEvent>,
        act: impl FnOnce(&mut Call, &mut Desk<'_>) -> R,
    ) -> Option<R> {
        let call = self.calls.get_mut(&number)?;
        let mut desk = Desk {
            now,
            around,
            acts: &mut self.acts,
            alarms: &mut self.alarms,
            events,
            rng: &mut self.rng,
            call: number,
        };
        let result = act(call, &mut desk);
        self.is_gone |= call.has_vanished();
        if call.is_over() {
            self.calls.remove(&number);
            self.alarms.cancel_all_of(number);
        }
        Some(result)
    }

    fn newest(&self) -> CallNumber {
        let live = self.calls.iter().rev().find(|(_, call)| !call.is_leaving());
        live.map_or(0, |(number, _)| *number)
    }

    pub(super) fn call(&mut self, now: Instant, around: &Around, events: &mut Vec<UeEvent>, plan: &Plan) {
        self.last_call += 1;
        let number = self.last_call;
        self.calls.insert(number, Call::default());
        self.at(number, now, around, events, |call, desk| call.dial(desk, plan));
    }

    /// Does something with the newest call; false when there is none.
    pub(super) fn with_newest(
        &mut self,
        now: Instant,
        around: &Around,
        events: &mut Vec<UeEvent>,
        act: impl FnOnce(&mut Call, &mut Desk<'_>),
    ) -> bool {
        self.at(self.newest(), now, around, events, act).is_some()
    }

    /// A request in the dialog of the newest call, or in one of others.
    pub(super) fn request_in_dialog(&mut self, around: &Around, method: &str, twist: &Twist) {
        let number = self.newest();
        let own = self.calls.get_mut(&number).and_then(Call::dialog_mut);
        let mut foreign = match twist {
            Twist::Foreign(dialog) => Some((**dialog).clone()),
            _ => None,
        };
        let Some(dialog) = foreign.as_mut().or(own) else {
            return;
        };
        let mut request = match twist {
            Twist::OldCseq => dialog.with_cseq(method, dialog.local_cseq.saturating_sub(1).max(1)),
            _ => dialog.request(method),
        };
        match twist {
            Twist::Routes(routes) => request.routes.clone_from(routes),
            Twist::Target(uri) => request.uri.clone_from(uri),
            Twist::None | Twist::OldCseq | Twist::OtherTransport | Twist::Foreign(_) => {}
        }
        self.acts.push_back(Act::Send {
            errand: Errand::Other,
            request: around.dress(request),
            transport: (*twist == Twist::OtherTransport).then_some(Transport::Tcp),
        });
    }

    pub(super) fn message(&mut self, around: &Around, text: &Text) {
        let request = message::request(around, text, &word(&mut self.rng), &word(&mut self.rng));
        self.post(around, Errand::Message, request);
    }

    pub(super) fn subscribe(&mut self, around: &Around, expires: u32) {
        let names = (word(&mut self.rng), word(&mut self.rng));
        let request = self.subscription.request(around, expires, names);
        self.post(around, Errand::Subscribe, request);
    }

    fn post(&mut self, around: &Around, errand: Errand, request: Outgoing) {
        let request = around.dress(request);
        self.acts.push_back(Act::Send {
            errand,
            request,
            transport: None,
        });
    }

    /// It follows its registration state.
    pub(super) const fn is_subscribed(&self) -> bool {
        self.subscription.is_wanted()
    }

    /// The registration is over, and with it what was made with it.
    pub(super) fn on_deregistered(&mut self) {
        self.subscription = Subscription::default();
        self.alarms.cancel(&Alarm::Subscription);
    }

    pub(super) fn sent(&mut self, errand: Errand, forward: ForwardId, request: Outgoing) {
        if request.method == "INVITE" {
            let acks = BTreeMap::new();
            self.invites.insert(forward, Invite { request, acks });
            if self.invites.len() > INVITES_MAX {
                self.invites.pop_first();
            }
        }
        self.errands.insert(forward, errand);
    }

    /// The INVITE that was sent for this.
    pub(super) fn forward_of(&self, errand: &Errand) -> Option<ForwardId> {
        let mut found = self.errands.iter().filter(|(_, of)| *of == errand);
        found.next_back().map(|(forward, _)| *forward)
    }

    /// An answer to a request of its own; false when it is none.
    pub(super) fn on_response(
        &mut self,
        now: Instant,
        around: &Around,
        events: &mut Vec<UeEvent>,
        forward: ForwardId,
        bytes: &[u8],
    ) -> bool {
        let Some(text) = SipText::new(bytes) else {
            return false;
        };
        let Some(errand) = self.errands.get(&forward).cloned() else {
            return self.on_further_success(around, forward, text);
        };
        let status = text.status().unwrap_or(500);
        if status >= 200 {
            self.errands.remove(&forward);
        }
        let (body, before) = (body_of(bytes), self.acts.len());
        match errand.call() {
            Some(number) => {
                self.at(number, now, around, events, |call, desk| {
                    call.on_response(desk, &errand, text, body);
                });
                self.note_acks(forward, text, before);
            }
            None if errand == Errand::Subscribe => {
                let after = self.subscription.on_response(text, events);
                if let Some(after) = after {
                    self.alarms.set(now + after, Alarm::Subscription);
                }
            }
            None if status >= 200 => events.push(UeEvent::Answered(status)),
            None => {}
        }
        true
    }

    /// What is sent again when its 2xx comes again (RFC 3261 13.2.2.4).
    fn note_acks(&mut self, forward: ForwardId, text: SipText<'_>, before: usize) {
        let tag = text.param("To", "tag").unwrap_or_default().to_owned();
        let Some(invite) = self.invites.get_mut(&forward) else {
            return;
        };
        for act in self.acts.iter().skip(before) {
            if let Act::Ack(ack) = act {
                invite.acks.insert(tag.clone(), ack.clone());
            }
        }
    }

    /// One more 2xx to an INVITE: the same again, or that of another phone, whose call is ended at once (RFC 3261
    /// 13.2.2.4).
    fn on_further_success(&mut self, around: &Around, forward: ForwardId, text: SipText<'_>) -> bool {
        let Some(invite) = self.invites.get_mut(&forward) else {
            return false;
        };
        let tag = text.param("To", "tag").unwrap_or_default();
        if let Some(ack) = invite.acks.get(tag) {
            self.acts.push_back(Act::Ack(ack.clone()));
            return true;
        }
        let Some(mut dialog) = Dialog::of_answer(&invite.request, text) else {
            return true;
        };
        let ack = dialog.with_cseq("ACK", invite.request.cseq);
        invite.acks.insert(tag.to_owned(), ack.clone());
        self.acts.push_back(Act::Ack(ack));
        // Higher than that of any PRACK or UPDATE before.
        dialog.local_cseq += 100;
        // Of no call: nobody waits for the answer.
        self.post(around, Errand::Bye(0), dialog.request("BYE"));
        true
    }

    /// No answer came to a request of its own.
    pub(super) fn on_failed(
        &mut self,
        now: Instant,
        around: &Around,
        events: &mut Vec<UeEvent>,
        errand: &Errand,
    ) {
        match errand.call() {
            Some(number) => {
                self.at(number, now, around, events, |call, desk| {
                    call.on_failed(desk, errand)
                });
            }
            None => events.push(UeEvent::NoAnswer),
        }
    }

    pub(super) fn take_errand(&mut self, forward: ForwardId) -> Option<Errand> {
        self.errands.remove(&forward)
    }

    /// A request that came, each with its one answer.
    pub(super) fn on_request(
        &mut self,
        now: Instant,
        around: &Around,
        events: &mut Vec<UeEvent>,
        transaction: ServerTransactionId,
        bytes: &[u8],
    ) {
        let Some(text) = SipText::new(bytes) else { return };
        let is_in_dialog = text.param("To", "tag").is_some();
        let method = text.method().unwrap_or_default();
        let owner = self.calls.iter().find(|(_, call)| call.owns(text));
        let owner = owner.map(|(number, _)| *number);
        if let Some(number) = owner {
            self.at(number, now, around, events, |call, desk| {
                call.on_request(desk, transaction, text, body_of(bytes));
            });
            return;
        }
        match method {
            "INVITE" if !is_in_dialog => {
                self.last_call += 1;
                let number = self.last_call;
                self.calls.insert(number, Call::default());
                self.at(number, now, around, events, |call, desk| {
                    call.ring(desk, transaction, bytes);
                });
            }
            "NOTIFY" if self.subscription.owns(text) => {
                self.answer(transaction, text, 200);
                let after = self
                    .subscription
                    .on_notify(now, around, text, body_of(bytes), events);
                self.acts.extend(after);
            }
            "MESSAGE" => {
                self.answer(transaction, text, 200);
                self.on_message(around, text, body_of(bytes), events);
            }
            "OPTIONS" => self.answer(transaction, text, 200),
            "NOTIFY" if !is_in_dialog => self.answer(transaction, text, 200),
            // RFC 3261 12.2.2
            _ if is_in_dialog => self.answer(transaction, text, 481),
            _ => self.answer(transaction, text, 405),
        }
    }

    fn on_message(&mut self, around: &Around, text: SipText<'_>, body: &[u8], events: &mut Vec<UeEvent>) {
        let received = message::received(text, body);
        if around.manner.acknowledges_sms
            && let Some(report) = message::report(&received)
        {
            self.message(around, &report);
        }
        events.push(UeEvent::MessageReceived(received));
    }

    fn answer(&mut self, transaction: ServerTransactionId, request: SipText<'_>, status: u16) {
        let tag = word(&mut self.rng);
        let response = reply(request, status, &tag, "", None);
        self.acts.push_back(Act::Respond(transaction, response));
    }

    /// An ACK to a 2xx.
    pub(super) fn on_ack(&mut self, now: Instant, around: &Around, events: &mut Vec<UeEvent>, bytes: &[u8]) {
        let Some(text) = SipText::new(bytes) else { return };
        let owner = self.calls.iter().find(|(_, call)| call.owns(text));
        let Some(number) = owner.map(|(number, _)| *number) else {
            return;
        };
        self.at(number, now, around, events, |call, desk| {
            call.on_ack(desk, text, body_of(bytes));
        });
    }

    /// An INVITE of the other was cancelled; the CANCEL has its answer.
    pub(super) fn on_cancelled(
        &mut self,
        now: Instant,
        around: &Around,
        events: &mut Vec<UeEvent>,
        transaction: ServerTransactionId,
    ) {
        let meant = self
            .calls
            .iter()
            .find(|(_, call)| call.transaction() == Some(transaction));
        let Some(number) = meant.map(|(number, _)| *number) else {
            return;
        };
        self.at(number, now, around, events, |call, desk| call.on_cancelled(desk));
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, around: &Around, events: &mut Vec<UeEvent>) {
        while let Some(alarm) = self.alarms.pop(now) {
            match alarm.call() {
                Some(number) => {
                    self.at(number, now, around, events, |call, desk| {
                        call.on_alarm(desk, &alarm)
                    });
                }
                None => self.subscribe(around, super::subscription::EXPIRES),
            }
        }
    }
}

fn word(rng: &mut StdRng) -> String {
    format!("{:016x}", rng.random::<u64>())
}
