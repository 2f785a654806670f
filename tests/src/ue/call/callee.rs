//! Testkit: the phone that is called, until it answers (TS 24.229 5.1.4.1, RFC 3261 13.3, RFC 3262 3, RFC 3312).

use ims_common::transaction::ServerTransactionId;

use super::super::agent::{Alarm, Desk};
use super::super::dialog::{Dialog, body_of, cseq_of, has_tag, reply};
use super::super::sdp::{self, Length, Media, Qos};
use super::super::talk::{Answer, CallEvent, Cause};
use super::talking::Talking;
use super::{ALLOW, Leg, PATIENCE, Repeated, Stage, T1};
use crate::text::SipText;

/// The INVITE came.
#[derive(Debug)]
pub(super) struct Callee {
    transaction: ServerTransactionId,
    invite: Vec<u8>,
    tag: String,
    leg: Leg,
    /// Provisional answers may be reliable.
    is_reliable: bool,
    rseq: u32,
    /// The one that no PRACK has come for.
    unacknowledged: Option<Repeated>,
    /// The description is in a reliable answer.
    is_described: bool,
    rings: bool,
    decision: Option<Decision>,
    vanishes: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Decision {
    Accept,
    Refuse(u16),
}

impl Callee {
    /// `None` when the INVITE was refused at once.
    pub(super) fn start(desk: &mut Desk<'_>, transaction: ServerTransactionId, bytes: &[u8]) -> Option<Self> {
        let text = SipText::new(bytes)?;
        let tag = desk.word();
        let said = |own: &str, other: &str| {
            text.header(own)
                .or_else(|| text.header(other))
                .map(ToOwned::to_owned)
        };
        desk.see(CallEvent::Incoming {
            from: said("P-Asserted-Identity", "From").unwrap_or_default(),
            called: said("P-Called-Party-ID", "To").unwrap_or_default(),
        });
        let (manner, body) = (desk.around.manner, body_of(bytes));
        let heard = sdp::read(body);
        let refusal = match manner.answer {
            _ if heard.is_none() && !body.is_empty() => Some((488, String::new())),
            Answer::Refuse(status) => Some((status, String::new())),
            Answer::Redirect(uri) => Some((302, format!("Contact: <{uri}>\r\n"))),
            _ => None,
        };
        if let Some((status, lines)) = refusal {
            desk.respond(transaction, reply(text, status, &tag, &lines, None));
            desk.see(CallEvent::Ended(Cause::Refused(status)));
            return None;
        }
        let supports = |tag| has_tag(text, "Supported", tag) || has_tag(text, "Require", tag);
        let is_reliable = manner.reliable && supports("100rel");
        let wants = heard.is_some_and(|heard| heard.qos.is_some()) && supports("precondition");
        let with_qos = wants && is_reliable && manner.preconditions && manner.answer != Answer::AtOnce;
        let mut media = Media::new(desk.around.ip, with_qos.then(Qos::default), Length::Short);
        if let Some(heard) = heard {
            media.hear(heard);
        }
        let dialog = Dialog::of_request(text, &tag)?;
        let mut callee = Self {
            transaction,
            invite: bytes.to_vec(),
            tag,
            leg: Leg { dialog, media },
            is_reliable,
            rseq: 100,
            unacknowledged: None,
            is_described: false,
            rings: false,
            vanishes: matches!(manner.answer, Answer::AnswerAndVanish(_)),
            decision: (manner.answer == Answer::AtOnce).then_some(Decision::Accept),
        };
        if with_qos {
            callee.say(desk, 183);
        }
        Some(callee)
    }

    pub(super) const fn vanishes(&self) -> bool {
        self.vanishes
    }

    pub(super) const fn transaction(&self) -> ServerTransactionId {
        self.transaction
    }

    pub(super) const fn leg(&self) -> &Leg {
        &self.leg
    }

    pub(super) const fn leg_mut(&mut self) -> &mut Leg {
        &mut self.leg
    }

    /// A provisional answer; 183 describes the session and is reliable.
    fn say(&mut self, desk: &mut Desk<'_>, status: u16) {
        let Some(text) = SipText::new(&self.invite) else {
            return;
        };
        let mut lines = format!("Contact: {}\r\nAllow: {ALLOW}\r\n", desk.around.contact);
        let is_reliable = self.is_reliable && (status == 183 || desk.around.manner.reliable_ringing);
        let mut body = None;
        if status == 183 {
            body = Some(("application/sdp".to_owned(), self.leg.media.answer().into_bytes()));
            self.is_described = true;
            lines += "Require: 100rel, precondition\r\n";
        } else if is_reliable {
            lines += "Require: 100rel\r\n";
        }
        if is_reliable {
            self.rseq += 1;
            lines += &format!("RSeq: {}\r\n", self.rseq);
        }
        let bytes = reply(text, status, &self.tag, &lines, body.as_ref());
        desk.respond(self.transaction, bytes.clone());
        if is_reliable {
            self.unacknowledged = Some(Repeated::new(self.transaction, bytes, self.rseq));
            desk.set(T1, Alarm::Provisional(desk.call));
        }
    }

    /// What is due now: to ring, or to answer. Another stage when this one is over.
    pub(super) fn next(&mut self, desk: &mut Desk<'_>) -> Option<Stage> {
        if self.unacknowledged.is_some() || !self.leg.media.is_ready() {
            return None;
        }
        match self.decision {
            Some(Decision::Accept) => return Some(self.accept(desk)),
            Some(Decision::Refuse(status)) => return Some(self.refuse(desk, status)),
            None if self.rings => return None,
            None => {}
        }
        self.rings = true;
        self.say(desk, 180);
        let (Answer::Ring(after) | Answer::RingThenRefuse(after, _) | Answer::AnswerAndVanish(after)) =
            desk.around.manner.answer
        else {
            return None;
        };
        desk.set(after, Alarm::Decide(desk.call));
        None
    }

    pub(super) fn decide(&mut self, desk: &Desk<'_>) {
        self.decision = Some(match desk.around.manner.answer {
            Answer::RingThenRefuse(_, status) => Decision::Refuse(status),
            _ => Decision::Accept,
        });
    }

    pub(super) const fn pick_up(&mut self) {
        self.decision = Some(Decision::Accept);
    }

    fn accept(&mut self, desk: &mut Desk<'_>) -> Stage {
        let Some(text) = SipText::new(&self.invite) else {
            return Stage::Over;
        };
        let mut lines = format!("Contact: {}\r\nAllow: {ALLOW}\r\n", desk.around.contact);
        lines += &super::talking::interval_lines(desk, text);
        let body = match (self.is_described, self.leg.media.heard) {
            (true, _) => None,
            (false, Some(_)) => Some(self.leg.media.answer()),
            (false, None) => Some(self.leg.media.offer()),
        };
        let body = body.map(|sdp| ("application/sdp".to_owned(), sdp.into_bytes()));
        let bytes = reply(text, 200, &self.tag, &lines, body.as_ref());
        desk.respond(self.transaction, bytes.clone());
        let cseq = cseq_of(text).unwrap_or_default();
        let mut talking = Talking::new(
            self.leg.clone(),
            Some(Repeated::new(self.transaction, bytes, cseq)),
        );
        desk.set(T1, Alarm::Success(desk.call));
        talking.agree_on_interval(desk, text, false);
        Stage::Talking(talking)
    }

    /// Answers with a status and is over.
    pub(super) fn refuse(&mut self, desk: &mut Desk<'_>, status: u16) -> Stage {
        if let Some(text) = SipText::new(&self.invite) {
            desk.respond(self.transaction, reply(text, status, &self.tag, "", None));
        }
        let cause = match status {
            487 => Cause::Cancelled,
            _ => Cause::Refused(status),
        };
        desk.see(CallEvent::Ended(cause));
        Stage::Over
    }

    pub(super) fn on_cancelled(&mut self, desk: &mut Desk<'_>) -> Stage {
        match desk.around.manner.answer {
            Answer::AnswerWhenCancelled => self.accept(desk),
            _ => self.refuse(desk, 487),
        }
    }

    pub(super) fn on_request(
        &mut self,
        desk: &mut Desk<'_>,
        transaction: ServerTransactionId,
        text: SipText<'_>,
        body: &[u8],
    ) {
        let response = match text.method() {
            Some("PRACK") => {
                let rseq = text
                    .header("RAck")
                    .and_then(|value| value.split(' ').next()?.parse().ok());
                let awaited = self.unacknowledged.as_ref().map(|repeated| repeated.number);
                if rseq.is_none() || rseq != awaited {
                    // RFC 3262 3
                    return desk.respond(transaction, reply(text, 481, "", "", None));
                }
                self.unacknowledged = None;
                desk.alarms.cancel(&Alarm::Provisional(desk.call));
                if self.leg.media.qos.is_some_and(|qos| !qos.local) {
                    let alarm = Alarm::Reserved(desk.call, String::new());
                    desk.set(desk.around.manner.reservation, alarm);
                }
                reply(text, 200, "", "", None)
            }
            Some("UPDATE") => {
                self.leg.dialog.refresh(text);
                let answer = self.leg.media.answer_to(body);
                let contact = format!("Contact: {}\r\n", desk.around.contact);
                reply(text, 200, "", &contact, answer.as_ref())
            }
            Some("INFO" | "OPTIONS" | "MESSAGE" | "NOTIFY") => reply(text, 200, "", "", None),
            _ => reply(text, 481, "", "", None),
        };
        desk.respond(transaction, response);
    }

    pub(super) const fn on_reserved(&mut self) {
        if let Some(qos) = &mut self.leg.media.qos {
            qos.local = true;
        }
    }

    /// RFC 3262 3: again, and after 64*T1 the INVITE is refused.
    pub(super) fn on_provisional_unanswered(&mut self, desk: &mut Desk<'_>) -> Option<Stage> {
        let repeated = self.unacknowledged.as_mut()?;
        match repeated.again(desk, PATIENCE) {
            Some(wait) => {
                desk.set(wait, Alarm::Provisional(desk.call));
                None
            }
            None => Some(self.refuse(desk, 504)),
        }
    }
}
