//! Testkit: the phone that calls, until it is answered (TS 24.229 5.1.3.1, RFC 3261 13.2, RFC 3262, RFC 3312).

use ims_common::transaction::ServerTransactionId;

use super::super::agent::{Act, Alarm, Desk, Errand};
use super::super::dialog::{Dialog, Outgoing, has_tag, reply};
use super::super::sdp::{Media, Qos};
use super::super::talk::{CallEvent, Cause, Offer, Plan};
use super::talking::Talking;
use super::{ALLOW, Leg, Stage};
use crate::text::SipText;

/// The INVITE is out.
#[derive(Debug)]
pub(super) struct Caller {
    invite: Outgoing,
    media: Media,
    legs: Vec<Leg>,
    /// RSeq of the last reliable answer of each leg (RFC 3262 4).
    rseqs: Vec<Option<u32>>,
    is_cancelled: bool,
}

impl Caller {
    pub(super) fn start(desk: &mut Desk<'_>, plan: &Plan) -> Self {
        let manner = desk.around.manner;
        let qos = manner.preconditions.then(Qos::default);
        let mut media = Media::new(desk.around.ip, qos, plan.offer.length());
        let (call_id, tag) = (desk.word(), desk.word());
        let around = desk.around;
        let mut supported = Vec::new();
        supported.extend(manner.session_expires.map(|_| "timer"));
        supported.extend(manner.reliable.then_some("100rel"));
        supported.extend(manner.preconditions.then_some("precondition"));
        let interval = manner.session_expires.map(|seconds| seconds.to_string());
        let mut invite = Outgoing {
            method: "INVITE".to_owned(),
            uri: plan.to.clone(),
            routes: match plan.unrouted {
                true => Vec::new(),
                false => around.routes.clone(),
            },
            from: format!("{};tag={tag}", around.from),
            to: format!("<{}>", plan.to),
            call_id,
            cseq: 1,
            ..Outgoing::default()
        }
        .line("Contact", &around.contact)
        .line("P-Preferred-Identity", &around.preferred)
        .line("P-Preferred-Service", "urn:urn-7:3gpp-service.ims.icsi.mmtel")
        .line(
            "Accept-Contact",
            "*;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\"",
        )
        .line("P-Early-Media", "supported")
        .line("Supported", &supported.join(", "))
        .line("Allow", ALLOW)
        .line("Accept", "application/sdp, application/3gpp-ims+xml")
        .line("Session-Expires", interval.as_deref().unwrap_or_default());
        invite.lines += &plan.lines;
        let invite = match plan.offer {
            Offer::Usual | Offer::Long => invite.sdp(media.offer()),
            Offer::Late => invite,
            Offer::Malformed => invite.sdp("v=0\r\nm=audio\r\n\u{7}c=\r\nnonsense".to_owned()),
        };
        desk.send(Errand::Invite(desk.call), invite.clone());
        Self {
            invite,
            media,
            legs: Vec::new(),
            rseqs: Vec::new(),
            is_cancelled: false,
        }
    }

    pub(super) fn legs(&self) -> &[Leg] {
        &self.legs
    }

    pub(super) fn legs_mut(&mut self) -> &mut [Leg] {
        &mut self.legs
    }

    fn leg(&mut self, tag: &str) -> Option<&mut Leg> {
        let mut legs = self.legs.iter_mut();
        legs.find(|leg| leg.dialog.remote_tag() == tag)
    }

    pub(super) fn on_response(
        &mut self,
        desk: &mut Desk<'_>,
        status: u16,
        text: SipText<'_>,
        body: &[u8],
    ) -> Option<Stage> {
        match status {
            0..=199 => {
                self.on_provisional(desk, status, text, body);
                None
            }
            200..=299 => self.on_success(desk, text, body),
            _ => {
                let cause = match self.is_cancelled && status == 487 {
                    true => Cause::Cancelled,
                    false => Cause::Refused(status),
                };
                desk.see(CallEvent::Ended(cause));
                Some(Stage::Over)
            }
        }
    }

    /// The dialog of an answer: a new one for a new tag (RFC 3261 12.1, 13.2.2.4).
    fn leg_of(&mut self, text: SipText<'_>) -> Option<usize> {
        let tag = text.param("To", "tag")?;
        let known = self.legs.iter().position(|leg| leg.dialog.remote_tag() == tag);
        if known.is_some() {
            return known;
        }
        let dialog = Dialog::of_answer(&self.invite, text)?;
        let media = self.media.clone();
        self.legs.push(Leg { dialog, media });
        self.rseqs.push(None);
        Some(self.legs.len() - 1)
    }

    fn on_provisional(&mut self, desk: &mut Desk<'_>, status: u16, text: SipText<'_>, body: &[u8]) {
        let place = self.leg_of(text);
        let rseq = text.header("RSeq").and_then(|value| value.parse::<u32>().ok());
        let rseq = rseq.filter(|_| has_tag(text, "Require", "100rel"));
        if let (Some(place), Some(rseq)) = (place, rseq) {
            let last = &mut self.rseqs[place];
            // RFC 3262 4: what came before is not looked at again, and what is out of order waits to be sent again.
            if last.is_some_and(|last| rseq != last + 1) {
                return;
            }
            *last = Some(rseq);
            let leg = &mut self.legs[place];
            leg.media.hear_body(body);
            let prack = leg.dialog.request("PRACK");
            let prack = prack.line("RAck", &format!("{rseq} {} INVITE", self.invite.cseq));
            let tag = leg.dialog.remote_tag().to_owned();
            desk.send(Errand::Prack(desk.call, tag), prack);
        } else if let Some(place) = place {
            self.legs[place].media.hear_body(body);
        }
        desk.see(match status {
            180 => CallEvent::Ringing,
            _ => CallEvent::Progress(status),
        });
    }

    /// The first PRACK to what answered the offer is through: now resources are had (RFC 3312 5.1).
    pub(super) fn on_prack_answered(&mut self, desk: &mut Desk<'_>, tag: &str, status: u16) {
        let Some(leg) = self.leg(tag).filter(|_| status < 300) else {
            return;
        };
        let is_wanted = leg.media.qos.is_some_and(|qos| !qos.local);
        if is_wanted && leg.media.heard.is_some_and(|heard| heard.qos.is_some()) {
            let alarm = Alarm::Reserved(desk.call, tag.to_owned());
            desk.set(desk.around.manner.reservation, alarm);
        }
    }

    pub(super) fn on_reserved(&mut self, desk: &mut Desk<'_>, tag: &str) {
        let call = desk.call;
        let Some(leg) = self.leg(tag) else { return };
        if let Some(qos) = &mut leg.media.qos {
            qos.local = true;
        }
        let update = leg.dialog.request("UPDATE").line("Contact", &desk.around.contact);
        let update = update.sdp(leg.media.offer());
        desk.send(Errand::Update(call, tag.to_owned()), update);
    }

    pub(super) fn on_update_answered(&mut self, tag: &str, status: u16, body: &[u8]) {
        if let Some(leg) = self.leg(tag).filter(|_| status < 300) {
            leg.media.hear_body(body);
        }
    }

    /// RFC 3261 13.2.2.4
    fn on_success(&mut self, desk: &mut Desk<'_>, text: SipText<'_>, body: &[u8]) -> Option<Stage> {
        let place = self.leg_of(text)?;
        let mut leg = self.legs.swap_remove(place);
        // RFC 3261 13.2.2.4: the route set is that of the 2xx.
        if let Some(dialog) = Dialog::of_answer(&self.invite, text) {
            leg.dialog.routes = dialog.routes;
            leg.dialog.target = dialog.target;
        }
        leg.media.hear_body(body);
        let mut ack = leg.dialog.with_cseq("ACK", self.invite.cseq);
        if self.invite.body.is_none() {
            ack = ack.sdp(leg.media.answer());
        }
        desk.acts.push_back(Act::Ack(ack));
        let mut talking = Talking::new(leg, None);
        if self.is_cancelled {
            // RFC 3261 15: it was too late to cancel.
            return Some(talking.leave(desk, Cause::Cancelled));
        }
        talking.begin(desk);
        talking.agree_on_interval(desk, text, true);
        Some(Stage::Talking(talking))
    }

    /// A request of one who has not answered yet: UPDATE.
    pub(super) fn on_request(
        &mut self,
        desk: &mut Desk<'_>,
        transaction: ServerTransactionId,
        text: SipText<'_>,
        body: &[u8],
    ) {
        let contact = format!("Contact: {}\r\n", desk.around.contact);
        let leg = self.legs.iter_mut().find(|leg| leg.dialog.owns(text));
        let response = match (leg, text.method()) {
            (Some(leg), Some("UPDATE")) => {
                leg.dialog.refresh(text);
                let answer = leg.media.answer_to(body);
                reply(text, 200, "", &contact, answer.as_ref())
            }
            (Some(_), Some("INFO" | "OPTIONS" | "MESSAGE" | "NOTIFY")) => reply(text, 200, "", "", None),
            _ => reply(text, 481, "", "", None),
        };
        desk.respond(transaction, response);
    }

    pub(super) fn cancel(&mut self, desk: &mut Desk<'_>) {
        self.is_cancelled = true;
        desk.acts.push_back(Act::Cancel(Errand::Invite(desk.call)));
    }
}
