//! Testkit: one call of a phone, from the first word to the last (TS 24.229 5.1.3, 5.1.4; RFC 3261 13 to 15).

mod callee;
mod caller;
mod talking;

use std::time::Duration;

use ims_common::transaction::ServerTransactionId;

use self::callee::Callee;
use self::caller::Caller;
use self::talking::Talking;
use super::agent::{Alarm, Desk, Errand};
use super::dialog::{Dialog, reply};
use super::sdp::{Direction, Media};
use super::talk::{CallEvent, Cause, Plan};
use crate::text::SipText;

/// T1 and T2 of a UE (TS 24.229 table 7.8).
const T1: Duration = Duration::from_secs(2);
const T2: Duration = Duration::from_secs(16);
/// 64*T1.
const PATIENCE: Duration = Duration::from_secs(128);

const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, OPTIONS, MESSAGE, NOTIFY, REFER";

/// A call. See the module.
#[derive(Debug, Default)]
pub(super) struct Call {
    stage: Stage,
    /// It vanishes when it has begun.
    vanishes: bool,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    New,
    Calling(Caller),
    Called(Callee),
    Talking(Talking),
    /// BYE is sent.
    Leaving(Dialog),
    Over,
}

/// One dialog of a call, and what is agreed in it.
#[derive(Clone, Debug)]
struct Leg {
    dialog: Dialog,
    media: Media,
}

/// An answer that is repeated until somebody says that it came.
#[derive(Debug)]
struct Repeated {
    transaction: ServerTransactionId,
    bytes: Vec<u8>,
    /// RSeq of a provisional answer, CSeq of a 2xx.
    number: u32,
    interval: Duration,
    waited: Duration,
}

impl Repeated {
    fn new(transaction: ServerTransactionId, bytes: Vec<u8>, number: u32) -> Self {
        Self {
            transaction,
            bytes,
            number,
            interval: T1,
            waited: Duration::ZERO,
        }
    }

    /// Once more, unless it was enough; the time until the next.
    fn again(&mut self, desk: &mut Desk<'_>, longest: Duration) -> Option<Duration> {
        self.waited += self.interval;
        if self.waited >= PATIENCE {
            return None;
        }
        desk.respond(self.transaction, self.bytes.clone());
        self.interval = (self.interval * 2).min(longest);
        Some(self.interval)
    }
}

impl Call {
    pub(super) fn dial(&mut self, desk: &mut Desk<'_>, plan: &Plan) {
        self.stage = Stage::Calling(Caller::start(desk, plan));
    }

    pub(super) fn ring(&mut self, desk: &mut Desk<'_>, transaction: ServerTransactionId, bytes: &[u8]) {
        let callee = Callee::start(desk, transaction, bytes);
        self.vanishes = callee.as_ref().is_some_and(Callee::vanishes);
        self.stage = callee.map_or(Stage::Over, Stage::Called);
        self.settle(desk);
    }

    /// A callee has decided.
    fn settle(&mut self, desk: &mut Desk<'_>) {
        if let Stage::Called(callee) = &mut self.stage
            && let Some(next) = callee.next(desk)
        {
            self.stage = next;
        }
    }

    /// It waits for an answer to its INVITE.
    pub(super) const fn is_being_set_up(&self) -> bool {
        matches!(self.stage, Stage::Calling(_))
    }

    pub(super) const fn is_talking(&self) -> bool {
        matches!(self.stage, Stage::Talking(_))
    }

    pub(super) const fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving(_))
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    pub(super) fn has_vanished(&self) -> bool {
        self.vanishes && matches!(&self.stage, Stage::Talking(talking) if talking.has_begun())
    }

    /// The INVITE that it has not answered.
    pub(super) const fn transaction(&self) -> Option<ServerTransactionId> {
        match &self.stage {
            Stage::Called(callee) => Some(callee.transaction()),
            _ => None,
        }
    }

    pub(super) fn dialog(&self) -> Option<&Dialog> {
        match &self.stage {
            Stage::New | Stage::Over => None,
            Stage::Calling(caller) => caller.legs().first().map(|leg| &leg.dialog),
            Stage::Called(callee) => Some(&callee.leg().dialog),
            Stage::Talking(talking) => Some(&talking.leg.dialog),
            Stage::Leaving(dialog) => Some(dialog),
        }
    }

    pub(super) fn dialog_mut(&mut self) -> Option<&mut Dialog> {
        match &mut self.stage {
            Stage::New | Stage::Over => None,
            Stage::Calling(caller) => caller.legs_mut().first_mut().map(|leg| &mut leg.dialog),
            Stage::Called(callee) => Some(&mut callee.leg_mut().dialog),
            Stage::Talking(talking) => Some(&mut talking.leg.dialog),
            Stage::Leaving(dialog) => Some(dialog),
        }
    }

    pub(super) fn owns(&self, request: SipText<'_>) -> bool {
        match &self.stage {
            Stage::Calling(caller) => caller.legs().iter().any(|leg| leg.dialog.owns(request)),
            _ => self.dialog().is_some_and(|dialog| dialog.owns(request)),
        }
    }

    pub(super) fn on_response(
        &mut self,
        desk: &mut Desk<'_>,
        errand: &Errand,
        text: SipText<'_>,
        body: &[u8],
    ) {
        let status = text.status().unwrap_or(500);
        let next = match (&mut self.stage, errand) {
            (Stage::Calling(caller), Errand::Invite(_)) => caller.on_response(desk, status, text, body),
            (Stage::Calling(caller), Errand::Prack(_, tag)) => {
                caller.on_prack_answered(desk, tag, status);
                None
            }
            (Stage::Calling(caller), Errand::Update(_, tag)) => {
                caller.on_update_answered(tag, status, body);
                None
            }
            (Stage::Talking(talking), Errand::Change(_) | Errand::Refresh(_)) => {
                talking.on_change_answered(desk, errand, status, text, body)
            }
            (Stage::Leaving(_), Errand::Bye(_)) if status >= 200 => Some(Stage::Over),
            _ => None,
        };
        if let Some(next) = next {
            self.stage = next;
        }
    }

    pub(super) fn on_failed(&mut self, desk: &mut Desk<'_>, errand: &Errand) {
        match (&mut self.stage, errand) {
            (Stage::Calling(_), Errand::Invite(_)) => {
                desk.see(CallEvent::Ended(Cause::NoAnswer));
                self.stage = Stage::Over;
            }
            // RFC 4028 10: the other is not there any more.
            (Stage::Talking(talking), Errand::Refresh(_)) => {
                self.stage = talking.leave(desk, Cause::Expired);
            }
            (Stage::Talking(talking), Errand::Change(_)) => {
                talking.forget_change();
                desk.see(CallEvent::ChangeAnswered(408));
            }
            (Stage::Leaving(_), Errand::Bye(_)) => self.stage = Stage::Over,
            _ => {}
        }
    }

    pub(super) fn on_request(
        &mut self,
        desk: &mut Desk<'_>,
        transaction: ServerTransactionId,
        text: SipText<'_>,
        body: &[u8],
    ) {
        let cseq = super::dialog::cseq_of(text);
        if let Some(dialog) = self.dialog_of(text) {
            // RFC 3261 12.2.2: what is not higher is out of order.
            if cseq <= dialog.remote_cseq {
                return desk.respond(transaction, reply(text, 500, "", "", None));
            }
            dialog.remote_cseq = cseq;
        }
        match &mut self.stage {
            Stage::Calling(caller) => caller.on_request(desk, transaction, text, body),
            Stage::Called(callee) => callee.on_request(desk, transaction, text, body),
            Stage::Talking(talking) => {
                if let Some(next) = talking.on_request(desk, transaction, text, body) {
                    self.stage = next;
                }
            }
            // Both hung up: RFC 3261 15.1.2; the dialog is still known until our BYE is answered.
            Stage::Leaving(_) => desk.respond(transaction, reply(text, 200, "", "", None)),
            Stage::New | Stage::Over => desk.respond(transaction, reply(text, 481, "", "", None)),
        }
        self.settle(desk);
    }

    fn dialog_of(&mut self, text: SipText<'_>) -> Option<&mut Dialog> {
        if !matches!(self.stage, Stage::Calling(_)) {
            return self.dialog_mut();
        }
        let Stage::Calling(caller) = &mut self.stage else {
            return None;
        };
        let mut legs = caller.legs_mut().iter_mut();
        legs.find(|leg| leg.dialog.owns(text)).map(|leg| &mut leg.dialog)
    }

    pub(super) fn on_ack(&mut self, desk: &mut Desk<'_>, text: SipText<'_>, body: &[u8]) {
        if let Stage::Talking(talking) = &mut self.stage {
            talking.on_ack(desk, text, body);
        }
    }

    pub(super) fn on_cancelled(&mut self, desk: &mut Desk<'_>) {
        if let Stage::Called(callee) = &mut self.stage {
            self.stage = callee.on_cancelled(desk);
        }
    }

    pub(super) fn on_alarm(&mut self, desk: &mut Desk<'_>, alarm: &Alarm) {
        let next = match (&mut self.stage, alarm) {
            (Stage::Calling(caller), Alarm::Reserved(_, tag)) => {
                caller.on_reserved(desk, tag);
                None
            }
            (Stage::Called(callee), Alarm::Reserved(..)) => {
                callee.on_reserved();
                None
            }
            (Stage::Called(callee), Alarm::Decide(_)) => {
                callee.decide(desk);
                None
            }
            (Stage::Called(callee), Alarm::Provisional(_)) => callee.on_provisional_unanswered(desk),
            (Stage::Talking(talking), Alarm::Success(_)) => talking.on_success_unanswered(desk),
            (Stage::Talking(talking), Alarm::Refresh(_)) => {
                talking.refresh(desk);
                None
            }
            (Stage::Talking(talking), Alarm::Expiry(_)) => Some(talking.leave(desk, Cause::Expired)),
            _ => None,
        };
        if let Some(next) = next {
            self.stage = next;
        }
        self.settle(desk);
    }

    /// Somebody takes the phone that rings.
    pub(super) fn pick_up(&mut self, desk: &mut Desk<'_>) {
        if let Stage::Called(callee) = &mut self.stage {
            callee.pick_up();
        }
        self.settle(desk);
    }

    /// Ends it in the way that fits.
    pub(super) fn hang_up(&mut self, desk: &mut Desk<'_>) {
        match &mut self.stage {
            Stage::Calling(caller) => caller.cancel(desk),
            Stage::Called(callee) => self.stage = callee.refuse(desk, 603),
            Stage::Talking(talking) => self.stage = talking.leave(desk, Cause::HungUp),
            Stage::New | Stage::Leaving(_) | Stage::Over => {}
        }
    }

    /// Changes what media do, by a re-INVITE.
    pub(super) fn redirect_media(&mut self, desk: &mut Desk<'_>, direction: Direction) {
        if let Stage::Talking(talking) = &mut self.stage {
            talking.reinvite(desk, direction);
        }
    }

    /// A request in it: UPDATE without a description, INFO.
    pub(super) fn mention(&mut self, desk: &mut Desk<'_>, method: &str, body: Option<(String, Vec<u8>)>) {
        if let Stage::Talking(talking) = &mut self.stage {
            talking.mention(desk, method, body);
        }
    }
}

#[cfg(test)]
mod tests;
