//! Testkit: calls and messages between very many registered phones: templates, real routes, and no transaction layer.
//!
//! A call is one value that holds both its ends: whoever calls (INVITE, ACK, after a while BYE), and whoever is called
//! (180 and 200 at once). What has to be sent again is.

mod heard;
mod written;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

pub(crate) use heard::Heard;
use heard::Start;
pub(crate) use written::Party;
use written::{Dialog, Name, Octets};

pub(crate) use super::phone::number_of;

/// Timers A and E of a phone start with T1, Timer E stays at T2 (TS 24.229 7.7).
const T1: Duration = Duration::from_secs(2);
const T2: Duration = Duration::from_secs(16);

/// What is said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// INVITE, 180, 200, ACK, a while, BYE, 200.
    Call,
    /// MESSAGE, 200.
    Message,
}

/// What came of a call or a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ended {
    pub(crate) intended: Instant,
    /// From the intended start to the 200 of INVITE or MESSAGE; else why it failed.
    pub(crate) outcome: Result<Duration, String>,
}

/// All calls under way.
pub(crate) struct Talk {
    kind: Kind,
    run: u32,
    /// From ACK to BYE.
    hold: Duration,
    patience: Duration,
    parties: Vec<Party>,
    calls: BTreeMap<u32, Call>,
    next: u32,
    timers: BinaryHeap<Reverse<(Instant, u32, Timer)>>,
    sent: VecDeque<(usize, Octets)>,
    ended: VecDeque<Ended>,
    /// Requests and answers that were sent again.
    pub(crate) retransmissions: u64,
}

struct Call {
    caller: usize,
    callee: usize,
    intended: Instant,
    stage: Stage,
    callee_stage: CalleeStage,
    dialog: Dialog,
    /// What the caller sends again: INVITE or MESSAGE, the ACK, BYE.
    request: Octets,
    /// From the intended start to the 200.
    set_up: Duration,
}

/// How far the caller is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// INVITE or MESSAGE is sent.
    Asking,
    /// A provisional response has come.
    Proceeding,
    /// ACK is sent.
    Talking,
    /// BYE is sent.
    Leaving,
}

/// How far the callee is.
enum CalleeStage {
    /// Not asked yet.
    Idle,
    /// This 200 is sent.
    Answered(Octets),
    /// ACK has come.
    Confirmed,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Timer {
    /// Timer A or E of the request of this CSeq, and what it waits next.
    Request(u32, Duration),
    /// The 200 of the callee again, and what it waits next.
    Answer(Duration),
    HangUp,
    GiveUp,
}

impl Talk {
    /// Nobody talks yet.
    pub(crate) fn new(kind: Kind, run: u32, hold: Duration, patience: Duration) -> Self {
        Self {
            kind,
            run,
            hold,
            patience,
            parties: Vec::new(),
            calls: BTreeMap::new(),
            next: 0,
            timers: BinaryHeap::new(),
            sent: VecDeque::new(),
            ended: VecDeque::new(),
            retransmissions: 0,
        }
    }

    /// Between these from now on.
    pub(crate) fn meet(&mut self, parties: Vec<Party>) {
        self.parties = parties;
    }

    /// What is to be sent next, and whose it is.
    pub(crate) fn poll_sent(&mut self) -> Option<(usize, Octets)> {
        self.sent.pop_front()
    }

    /// What has ended.
    pub(crate) fn poll_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    /// Calls that have their ACK.
    pub(crate) fn established(&self) -> usize {
        let is_established = |call: &&Call| {
            call.stage == Stage::Talking && matches!(call.callee_stage, CalleeStage::Confirmed)
        };
        self.calls.values().filter(is_established).count()
    }

    /// Begins the call of this number: neighbours call each other, by turns.
    pub(crate) fn begin(&mut self, now: Instant, number: u64, intended: Instant) {
        let pairs = u64::try_from(self.parties.len() / 2).unwrap_or(u64::MAX).max(1);
        let first = usize::try_from(number % pairs).unwrap_or_default() * 2;
        let is_swapped = (number / pairs) % 2 == 1;
        let (caller, callee) = match is_swapped {
            false => (first, first + 1),
            true => (first + 1, first),
        };
        let (Some(from), Some(to)) = (self.parties.get(caller), self.parties.get(callee)) else {
            let outcome = Err("nobody to call".to_owned());
            return self.ended.push_back(Ended { intended, outcome });
        };
        self.next += 1;
        let name = Name {
            run: self.run,
            number: self.next,
        };
        let dialog = Dialog::towards(from, to);
        let request = match self.kind {
            Kind::Call => written::invite(name, from, &dialog),
            Kind::Message => written::message(name, from, &dialog),
        };
        self.sent.push_back((caller, request.clone()));
        let call = Call {
            caller,
            callee,
            intended,
            stage: Stage::Asking,
            callee_stage: CalleeStage::Idle,
            dialog,
            request,
            set_up: Duration::ZERO,
        };
        self.calls.insert(name.number, call);
        self.start(now + T1, name.number, Timer::Request(1, T1 * 2));
        self.start(intended + self.patience, name.number, Timer::GiveUp);
    }

    /// Takes what a phone has heard.
    pub(crate) fn receive(&mut self, now: Instant, phone: usize, heard: &Heard<'_>) {
        let Some(number) = heard.number(self.run) else {
            return;
        };
        match heard.start {
            Start::Response(status) => self.on_response(now, number, status, heard),
            Start::Request(method) => self.on_request(now, number, phone, method, heard),
        }
    }

    fn on_response(&mut self, now: Instant, number: u32, status: u16, heard: &Heard<'_>) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let is_bye = heard.sequence() == Some(2);
        match (call.stage, is_bye, status) {
            (Stage::Asking | Stage::Proceeding, false, 100..200) => call.stage = Stage::Proceeding,
            (Stage::Asking | Stage::Proceeding, false, 200..300) => {
                call.set_up = now.saturating_duration_since(call.intended);
                match self.kind {
                    Kind::Call => self.on_accepted(now, number, heard),
                    Kind::Message => self.succeed(number),
                }
            }
            (Stage::Asking | Stage::Proceeding, false, _) => self.on_refused(number, status, heard),
            // The ACK was lost.
            (Stage::Talking, false, 200..300) => {
                self.sent.push_back((call.caller, call.request.clone()));
                self.retransmissions += 1;
            }
            (Stage::Leaving, true, 200..300) => match call.callee_stage {
                CalleeStage::Confirmed => self.succeed(number),
                CalleeStage::Idle | CalleeStage::Answered(_) => self.fail(number, "ACK lost".to_owned()),
            },
            (Stage::Leaving, true, 300..) => self.fail(number, format!("BYE {status}")),
            (Stage::Talking | Stage::Leaving | Stage::Asking | Stage::Proceeding, _, _) => {}
        }
    }

    /// RFC 3261 13.2.2.4.
    fn on_accepted(&mut self, now: Instant, number: u32, heard: &Heard<'_>) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let Some(target) = heard.target() else {
            return self.fail(number, "200 without Contact".to_owned());
        };
        call.dialog = Dialog {
            route: heard.route_set(),
            target: target.to_owned(),
            to: heard.to.to_owned(),
        };
        call.stage = Stage::Talking;
        let name = Name {
            run: self.run,
            number,
        };
        if let Some(caller) = self.parties.get(call.caller) {
            call.request = written::ack(name, caller, &call.dialog, true);
        }
        self.sent.push_back((call.caller, call.request.clone()));
        let end = now + self.hold;
        let last = call.intended + self.patience + self.hold;
        self.start(end, number, Timer::HangUp);
        self.start(last, number, Timer::GiveUp);
    }

    fn on_refused(&mut self, number: u32, status: u16, heard: &Heard<'_>) {
        let kind = self.kind;
        if let Some(call) = self.calls.get(&number)
            && let Some(caller) = self.parties.get(call.caller)
            && kind == Kind::Call
        {
            let dialog = Dialog {
                to: heard.to.to_owned(),
                ..call.dialog.clone()
            };
            let name = Name {
                run: self.run,
                number,
            };
            self.sent
                .push_back((call.caller, written::ack(name, caller, &dialog, false)));
        }
        let method = method_of(kind);
        self.fail(number, format!("{method} {status}"));
    }

    fn on_request(&mut self, now: Instant, number: u32, phone: usize, method: &str, heard: &Heard<'_>) {
        let Some(call) = self.calls.get_mut(&number) else {
            // Late: it was given up, or is heard again.
            if method != "ACK" {
                self.sent
                    .push_back((phone, written::response("481 Gone", heard, None)));
            }
            return;
        };
        if call.callee != phone {
            return self.fail(number, format!("{method} for another phone"));
        }
        match (method, &call.callee_stage) {
            ("INVITE", CalleeStage::Idle) => {
                let callee = self.parties.get(phone);
                let ringing = written::response("180 Ringing", heard, callee);
                let ok = written::response("200 OK", heard, callee);
                self.sent.extend([(phone, ringing), (phone, ok.clone())]);
                call.callee_stage = CalleeStage::Answered(ok);
                self.start(now + T1, number, Timer::Answer(T1 * 2));
            }
            ("INVITE", CalleeStage::Answered(ok)) => self.sent.push_back((phone, ok.clone())),
            ("ACK", _) => call.callee_stage = CalleeStage::Confirmed,
            ("MESSAGE" | "BYE", _) => {
                self.sent
                    .push_back((phone, written::response("200 OK", heard, None)));
            }
            _ => {}
        }
    }

    /// Lets timers fire that are due.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(Reverse((at, number, timer))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            self.on_timer(now, number, timer);
        }
    }

    fn on_timer(&mut self, now: Instant, number: u32, timer: Timer) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        match (timer, call.stage) {
            (Timer::Request(1, wait), Stage::Asking) | (Timer::Request(2, wait), Stage::Leaving) => {
                let next = match self.kind {
                    // Timer A has no upper end; Timer B is our patience.
                    Kind::Call if call.stage == Stage::Asking => wait * 2,
                    Kind::Call | Kind::Message => (wait * 2).min(T2),
                };
                self.sent.push_back((call.caller, call.request.clone()));
                self.retransmissions += 1;
                let Timer::Request(cseq, _) = timer else { return };
                self.start(now + wait, number, Timer::Request(cseq, next));
            }
            (Timer::Answer(wait), _) => {
                if let CalleeStage::Answered(ok) = &call.callee_stage {
                    self.sent.push_back((call.callee, ok.clone()));
                    self.retransmissions += 1;
                    self.start(now + wait, number, Timer::Answer((wait * 2).min(T2)));
                }
            }
            (Timer::HangUp, Stage::Talking) => {
                let name = Name {
                    run: self.run,
                    number,
                };
                if let Some(caller) = self.parties.get(call.caller) {
                    call.request = written::bye(name, caller, &call.dialog);
                }
                call.stage = Stage::Leaving;
                self.sent.push_back((call.caller, call.request.clone()));
                self.start(now + T1, number, Timer::Request(2, T1 * 2));
            }
            // The first one is of a call that is not accepted; the other one comes a hold later.
            (Timer::GiveUp, Stage::Asking | Stage::Proceeding) => {
                let method = method_of(self.kind);
                self.fail(number, format!("{method} timeout"));
            }
            (Timer::GiveUp, Stage::Leaving) if now >= call.intended + self.patience + self.hold => {
                self.fail(number, "BYE timeout".to_owned());
            }
            (Timer::Request(..) | Timer::HangUp | Timer::GiveUp, _) => {}
        }
    }

    fn start(&mut self, at: Instant, number: u32, timer: Timer) {
        self.timers.push(Reverse((at, number, timer)));
    }

    fn succeed(&mut self, number: u32) {
        if let Some(Call { intended, set_up, .. }) = self.calls.remove(&number) {
            let outcome = Ok(set_up);
            self.ended.push_back(Ended { intended, outcome });
        }
    }

    fn fail(&mut self, number: u32, kind: String) {
        if let Some(Call { intended, .. }) = self.calls.remove(&number) {
            let outcome = Err(kind);
            self.ended.push_back(Ended { intended, outcome });
        }
    }
}

const fn method_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Call => "INVITE",
        Kind::Message => "MESSAGE",
    }
}

#[cfg(test)]
mod tests;
