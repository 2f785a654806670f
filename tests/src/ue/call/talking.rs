//! Testkit: a call that was answered, until somebody hangs up (RFC 3261 12.2, 14, 15; RFC 3311, RFC 4028).

use std::time::Duration;

use ims_common::transaction::ServerTransactionId;

use super::super::agent::{Act, Alarm, Desk, Errand};
use super::super::dialog::{Outgoing, cseq_of, has_tag, reply};
use super::super::sdp::{self, Direction, Media};
use super::super::talk::{CallEvent, Cause};
use super::{ALLOW, Leg, Repeated, Stage, T1, T2};
use crate::text::{SipText, param_of};

/// A dialog that is confirmed.
#[derive(Debug)]
pub(super) struct Talking {
    pub(super) leg: Leg,
    /// A 2xx that no ACK has come for.
    unacknowledged: Option<Repeated>,
    has_begun: bool,
    /// Its own re-INVITE.
    reinvite: Option<Outgoing>,
    /// The session interval in seconds, when it is ours to refresh (RFC 4028).
    interval: Option<u32>,
}

impl Talking {
    pub(super) const fn new(leg: Leg, unacknowledged: Option<Repeated>) -> Self {
        Self {
            leg,
            unacknowledged,
            has_begun: false,
            reinvite: None,
            interval: None,
        }
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    pub(super) fn begin(&mut self, desk: &mut Desk<'_>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            desk.see(CallEvent::Begun);
        }
    }

    /// Sends BYE.
    pub(super) fn leave(&mut self, desk: &mut Desk<'_>, cause: Cause) -> Stage {
        let bye = self.leg.dialog.request("BYE");
        desk.send(Errand::Bye(desk.call), bye);
        desk.alarms.cancel_all_of(desk.call);
        desk.see(CallEvent::Ended(cause));
        Stage::Leaving(self.leg.dialog.clone())
    }

    pub(super) fn reinvite(&mut self, desk: &mut Desk<'_>, direction: Direction) {
        self.leg.media.direction = direction;
        let invite = self.leg.dialog.request("INVITE");
        let invite = invite
            .line("Contact", &desk.around.contact)
            .line("Allow", ALLOW)
            .line("Supported", "timer, 100rel, precondition")
            .sdp(self.leg.media.offer());
        self.reinvite = Some(invite.clone());
        desk.send(Errand::Change(desk.call), invite);
    }

    pub(super) fn mention(&mut self, desk: &mut Desk<'_>, method: &str, body: Option<(String, Vec<u8>)>) {
        let mut request = self.leg.dialog.request(method);
        if method == "UPDATE" {
            request = request.line("Contact", &desk.around.contact);
        }
        request.body = body;
        desk.send(Errand::Change(desk.call), request);
    }

    /// Half of the interval is over (RFC 4028 7.2, 10).
    pub(super) fn refresh(&mut self, desk: &mut Desk<'_>) {
        let Some(seconds) = self.interval else { return };
        let update = self.leg.dialog.request("UPDATE");
        let value = format!("{seconds};refresher=uac");
        let update = update
            .line("Contact", &desk.around.contact)
            .line("Supported", "timer")
            .line("Session-Expires", &value);
        desk.send(Errand::Refresh(desk.call), update);
    }

    /// What an INVITE, an UPDATE or its 2xx says of the interval; `is_caller`: we sent the request.
    pub(super) fn agree_on_interval(&mut self, desk: &mut Desk<'_>, text: SipText<'_>, is_caller: bool) {
        let value = text.header("Session-Expires");
        let seconds = value.and_then(|value| value.split(';').next()?.trim().parse::<u32>().ok());
        let (Some(value), Some(seconds)) = (value, seconds) else {
            return;
        };
        if desk.around.manner.session_expires.is_none() {
            return;
        }
        let is_callers = param_of(value, "refresher") != Some("uas");
        let is_ours = is_callers == is_caller;
        self.interval = is_ours.then_some(seconds);
        let all = Duration::from_secs(u64::from(seconds));
        let (refresh, expiry) = (Alarm::Refresh(desk.call), Alarm::Expiry(desk.call));
        match is_ours {
            true => {
                desk.alarms.cancel(&expiry);
                desk.set(all / 2, refresh);
            }
            false => {
                desk.alarms.cancel(&refresh);
                // RFC 4028 10: "the minimum of 32 seconds and one third of the session interval" before.
                desk.set(all - Duration::from_secs(32).min(all / 3), expiry);
            }
        }
    }

    pub(super) fn forget_change(&mut self) {
        self.reinvite = None;
    }

    pub(super) fn on_change_answered(
        &mut self,
        desk: &mut Desk<'_>,
        errand: &Errand,
        status: u16,
        text: SipText<'_>,
        body: &[u8],
    ) -> Option<Stage> {
        if status < 200 {
            return None;
        }
        let is_refresh = matches!(errand, Errand::Refresh(_));
        if status < 300 {
            self.leg.dialog.refresh(text);
            self.agree_on_interval(desk, text, true);
        }
        let is_invite = text.header("CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"));
        if let Some(invite) = self.reinvite.take_if(|_| is_invite)
            && status < 300
        {
            self.leg.media.hear_body(body);
            let ack = self.leg.dialog.with_cseq("ACK", invite.cseq);
            desk.acts.push_back(Act::Ack(ack));
        }
        if !is_refresh {
            desk.see(CallEvent::ChangeAnswered(status));
        }
        // RFC 3261 12.2.1.2, 14.1; RFC 4028 10
        matches!(status, 408 | 481).then(|| self.leave(desk, Cause::Expired))
    }

    pub(super) fn on_request(
        &mut self,
        desk: &mut Desk<'_>,
        transaction: ServerTransactionId,
        text: SipText<'_>,
        body: &[u8],
    ) -> Option<Stage> {
        let lines = format!("Contact: {}\r\nAllow: {ALLOW}\r\n", desk.around.contact);
        let lines = lines + &interval_lines(desk, text);
        let response = match text.method().unwrap_or_default() {
            "BYE" => {
                desk.respond(transaction, reply(text, 200, "", "", None));
                let reason = text.header("Reason").map(ToOwned::to_owned);
                desk.see(CallEvent::Ended(Cause::PeerHungUp(reason)));
                return Some(Stage::Over);
            }
            // RFC 3261 14.2: one of both waits.
            "INVITE" if self.reinvite.is_some() => reply(text, 491, "", "", None),
            "INVITE" if !body.is_empty() && sdp::read(body).is_none() => reply(text, 488, "", "", None),
            "INVITE" => {
                self.leg.dialog.refresh(text);
                let answer = self.leg.media.answer_to(body).or_else(|| {
                    let offer = self.leg.media.offer();
                    Some(("application/sdp".to_owned(), offer.into_bytes()))
                });
                self.see_change(desk, body);
                self.agree_on_interval(desk, text, false);
                let bytes = reply(text, 200, "", &lines, answer.as_ref());
                let cseq = cseq_of(text).unwrap_or_default();
                self.unacknowledged = Some(Repeated::new(transaction, bytes.clone(), cseq));
                desk.set(T1, Alarm::Success(desk.call));
                bytes
            }
            "UPDATE" => {
                self.leg.dialog.refresh(text);
                let answer = self.leg.media.answer_to(body);
                self.see_change(desk, body);
                self.agree_on_interval(desk, text, false);
                reply(text, 200, "", &lines, answer.as_ref())
            }
            "INFO" => {
                desk.see(CallEvent::Info);
                reply(text, 200, "", "", None)
            }
            "OPTIONS" | "MESSAGE" | "NOTIFY" => reply(text, 200, "", "", None),
            "PRACK" => reply(text, 481, "", "", None),
            _ => reply(text, 405, "", &format!("Allow: {ALLOW}\r\n"), None),
        };
        desk.respond(transaction, response);
        None
    }

    fn see_change(&self, desk: &mut Desk<'_>, body: &[u8]) {
        if let Some(heard) = sdp::read(body) {
            desk.see(CallEvent::Changed(heard.direction));
        }
    }

    pub(super) fn on_ack(&mut self, desk: &mut Desk<'_>, text: SipText<'_>, body: &[u8]) {
        let awaited = self.unacknowledged.as_ref().map(|repeated| repeated.number);
        if awaited.is_some() && awaited == cseq_of(text) {
            self.unacknowledged = None;
            desk.alarms.cancel(&Alarm::Success(desk.call));
            self.leg.media.hear_body(body);
            self.begin(desk);
        }
    }

    /// RFC 3261 13.3.1.4: again, and after 64*T1 the dialog is ended.
    pub(super) fn on_success_unanswered(&mut self, desk: &mut Desk<'_>) -> Option<Stage> {
        let repeated = self.unacknowledged.as_mut()?;
        match repeated.again(desk, T2) {
            Some(wait) => {
                desk.set(wait, Alarm::Success(desk.call));
                None
            }
            None => Some(self.leave(desk, Cause::Expired)),
        }
    }
}

/// What the 2xx to an INVITE or UPDATE says of the interval (RFC 4028 9).
pub(super) fn interval_lines(desk: &Desk<'_>, request: SipText<'_>) -> String {
    let value = request.header("Session-Expires");
    let is_known = desk.around.manner.session_expires.is_some();
    let Some(value) = value.filter(|_| is_known && has_tag(request, "Supported", "timer")) else {
        return String::new();
    };
    match param_of(value, "refresher") {
        Some(_) => format!("Require: timer\r\nSession-Expires: {value}\r\n"),
        None => format!("Require: timer\r\nSession-Expires: {value};refresher=uac\r\n"),
    }
}

impl Media {
    /// Takes a description, if it is one.
    pub(super) fn hear_body(&mut self, body: &[u8]) {
        if let Some(heard) = sdp::read(body) {
            self.hear(heard);
        }
    }

    /// The answer to an offer; nothing to nothing.
    pub(super) fn answer_to(&mut self, body: &[u8]) -> Option<(String, Vec<u8>)> {
        self.hear(sdp::read(body)?);
        Some(("application/sdp".to_owned(), self.answer().into_bytes()))
    }
}
