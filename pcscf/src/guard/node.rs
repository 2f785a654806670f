//! Procedure: what the node tells the guard of Gm, and asks it.

use std::net::IpAddr;
use std::time::Instant;

use ims_common::net::{Flow, Interface, Transport};
use ims_common::operate::{BanRow, Question, Report};
use ims_common::sip::{Message, StatusCode};
use ims_common::why::{Fact, Facts, Note, NoteKind};

use super::{Failure, Guard, Sender, Source, Verdict};
use crate::node::Pcscf;
use crate::reject::Reject;

impl Pcscf {
    fn sender(&self, flow: &Flow) -> Sender {
        Sender {
            is_forgeable: flow.transport == Transport::Udp,
            ..self.sender_at(flow.remote.ip())
        }
    }

    /// Somebody of whom only the address is known: it may be forged.
    fn sender_at(&self, address: IpAddr) -> Sender {
        Sender {
            address,
            contacts: self.contacts.count_behind(address),
            is_forgeable: true,
        }
    }

    /// Notes new bans for whoever asks later why something failed.
    pub(crate) fn note_bans(&mut self) {
        while let Some((source, reason, lasts)) = self.guard.as_mut().and_then(Guard::poll_fresh) {
            self.core.note(|| {
                let facts = Facts::new()
                    .with(Fact::Address, source)
                    .with(Fact::Seconds, lasts.as_secs());
                Note::of_node(NoteKind::Banned, facts).saying(reason)
            });
        }
    }

    /// The bans in force, for the operator.
    pub(crate) fn report_bans(&self, now: Instant, question: &Question, out: &mut Report) {
        let bans = self.guard.iter().flat_map(|guard| guard.bans(now));
        for ban in bans {
            let source = ban.source.to_string();
            if !question.is_about([source.as_str()]) {
                continue;
            }
            if out.bans.len() >= question.limit {
                out.left_off += 1;
                continue;
            }
            out.bans.push(BanRow {
                node: String::new(),
                source,
                cause: format!("{} ({} times)", ban.reason, ban.times),
                since_secs: ban.age.as_secs(),
                ends_in_secs: ban.left.as_secs(),
                dropped: ban.dropped,
            });
        }
    }

    /// What becomes of a message from a UE, before anything else is looked at.
    pub(crate) fn guarded(&mut self, now: Instant, flow: &Flow, message: &Message) -> Verdict {
        if self.guard.is_none() || flow.interface == Interface::Mw {
            return Verdict::Pass;
        }
        let sender = (flow.interface == Interface::Gm).then(|| self.sender(flow));
        let Some(guard) = &mut self.guard else {
            return Verdict::Pass;
        };
        let verdict = match flow.interface {
            Interface::Mw => return Verdict::Pass,
            Interface::Gm => match sender {
                Some(sender) => guard.on_message(now, sender, message),
                None => Verdict::Pass,
            },
            Interface::GmProtected => {
                let sas = self.protection.as_ref().map(|protection| &protection.sas);
                let impi = sas.and_then(|sas| sas.impi(sas.set_of_flow(flow)?));
                match impi {
                    Some(impi) => guard.on_protected(now, Source::of_subscriber(impi)),
                    // Nobody's: dropped as such.
                    None => Verdict::Pass,
                }
            }
        };
        match verdict {
            Verdict::Forbid => self.core.turn_away(now, message, flow, StatusCode::FORBIDDEN),
            Verdict::Drop if flow.interface == Interface::Gm => self.close_banned(now, flow),
            Verdict::Pass | Verdict::Excess | Verdict::Drop => {}
        }
        verdict
    }

    /// Something that is no SIP: whether it is dropped.
    pub(crate) fn guards_malformed(&mut self, now: Instant, flow: &Flow) -> bool {
        if flow.interface != Interface::Gm || self.guard.is_none() {
            return false;
        }
        let sender = self.sender(flow);
        let Some(guard) = &mut self.guard else {
            return false;
        };
        if !guard.turns_away(now, sender.address) {
            guard.failed(now, sender, Failure::Malformed);
        }
        let is_banned = guard.is_banned(now, sender.address);
        if is_banned {
            self.close_banned(now, flow);
        }
        is_banned
    }

    fn close_banned(&mut self, now: Instant, flow: &Flow) {
        if let (Some(connection), Some(guard)) = (flow.connection, &mut self.guard)
            && guard.is_banned(now, flow.remote.ip())
        {
            guard.close(connection);
        }
    }

    /// OPTIONS to this P-CSCF itself.
    pub(crate) fn note_options(&mut self, now: Instant, flow: &Flow) {
        let sender = self.sender(flow);
        if sender.contacts == 0 {
            self.note_failure(now, flow, Failure::Options);
        }
    }

    /// A refusal that says something about who asked.
    pub(crate) fn note_refusal(&mut self, now: Instant, flow: &Flow, reject: Reject) {
        match reject {
            Reject::NotRegistered | Reject::EmergencyNotAllowed => {
                self.note_failure(now, flow, Failure::NotRegistered);
            }
            Reject::MalformedAuthorization
            | Reject::MalformedContact
            | Reject::SecAgreeRequired
            | Reject::NoCommonMechanism
            | Reject::SecurityHeaderMissing
            | Reject::SecurityMismatch
            | Reject::ForeignIdentity => self.note_failure(now, flow, Failure::Register),
            Reject::NoSuchDialog if self.contacts.count_behind(flow.remote.ip()) == 0 => {
                self.note_failure(now, flow, Failure::NotRegistered);
            }
            // Ours, the network's, or those of somebody who is registered.
            Reject::ContactsFull
            | Reject::NoEntryPoint
            | Reject::RegisterOnMw
            | Reject::UnknownFlowToken
            | Reject::Silence
            | Reject::FlowFailed
            | Reject::HomeUnreachable
            | Reject::PortsTaken
            | Reject::KeysMissing
            | Reject::NotChallenged
            | Reject::KernelBusy
            | Reject::NoAssociations
            | Reject::Overtaken
            | Reject::SetsFull
            | Reject::EmergencyRegistration
            | Reject::NoServiceRoute
            | Reject::NoSuchDialog
            | Reject::NotAParty
            | Reject::CseqTooLow
            | Reject::ForeignToken
            | Reject::DialogsFull => {}
        }
    }

    fn note_failure(&mut self, now: Instant, flow: &Flow, failure: Failure) {
        if flow.interface != Interface::Gm || self.guard.is_none() {
            return;
        }
        let sender = self.sender(flow);
        if let Some(guard) = &mut self.guard {
            guard.failed(now, sender, failure);
        }
    }

    /// The home network has answered a REGISTER that came from an address, in clear or not.
    pub(crate) fn note_register(&mut self, now: Instant, ue: IpAddr, status: StatusCode) {
        let sender = self.sender_at(ue);
        let Some(guard) = &mut self.guard else {
            return;
        };
        if status.is_success() {
            guard.registered(now, sender);
        } else if status == StatusCode::UNAUTHORIZED {
            guard.challenged(now, ue);
        } else if matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
            guard.failed(now, sender, Failure::Register);
        }
    }
}
