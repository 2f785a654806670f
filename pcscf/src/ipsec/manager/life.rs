//! Machine: the life of a set (TS 24.229 5.2.2.2 with table 5.2.2-1, 5.2.5.1; TS 33.203 7.4.2a).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ims_common::identity::Impi;
use ims_common::ipsec::{GoneCause, SaSet, SaSetId, XfrmFailure, XfrmInput, XfrmOutput};
use ims_common::net::{NetOutput, SipOutput};
use ims_common::why::NoteKind;
use tracing::{info, warn};

use super::table::{Entry, UeKey};
use super::{
    ANSWER_WAIT, BEYOND_THE_REGISTRATION, KERNEL_MARGIN, OTHER_SPIS, SaEvent, SaFailure, SaManager, SaTimer,
    Stage, TOO_SOON,
};

impl SaManager {
    /// What the kernel says.
    pub(crate) fn on_xfrm(&mut self, now: Instant, input: XfrmInput) {
        match input {
            XfrmInput::Installed { id } => self.on_installed(now, id),
            XfrmInput::InstallFailed { id, failure } => self.on_install_failed(id, failure),
            XfrmInput::Extended { .. } => {}
            XfrmInput::Removed { id } => self.table.left(id),
            XfrmInput::Gone { id, cause } => self.on_gone(now, id, cause),
        }
    }

    /// 401 | create TEMPORARY, lifetime reg-await-auth
    fn on_installed(&mut self, now: Instant, id: SaSetId) {
        let Some(entry) = self.table.get(id) else {
            // It was replaced meanwhile; its removal is under way.
            return;
        };
        if !matches!(entry.stage, Stage::Preparing { .. }) {
            return;
        }
        self.table.set_stage(id, Stage::Temporary);
        self.ends_at(id, now + self.config.reg_await_auth);
        self.timers
            .set(SaTimer::ChallengeUnanswered(id), now + ANSWER_WAIT);
        self.counters.count("ims_pcscf_sa_total", "installed");
        self.note(NoteKind::AssociationsReady, id, "in the kernel");
        self.events.push_back(SaEvent::Ready(id));
    }

    fn on_install_failed(&mut self, id: SaSetId, failure: XfrmFailure) {
        let Some(entry) = self.table.get(id) else {
            return;
        };
        let Stage::Preparing { tries } = entry.stage else {
            return;
        };
        if failure == XfrmFailure::Exists && tries <= OTHER_SPIS && self.try_other_spis(id, tries) {
            return;
        }
        self.counters
            .count("ims_pcscf_sa_install_failures_total", failure.label());
        warn!(
            failure = failure.label(),
            "the kernel takes no security associations"
        );
        self.note(NoteKind::AssociationsFailed, id, failure.label());
        self.drop_set(id, failure.label());
        self.table.left(id);
        self.events
            .push_back(SaEvent::Failed(id, SaFailure::Kernel(failure)));
    }

    /// EEXIST: somebody else has a state with one of these SPIs.
    fn try_other_spis(&mut self, id: SaSetId, tries: u8) -> bool {
        let Some(entry) = self.table.get(id) else {
            return false;
        };
        let of_the_ue = [entry.end.spi_uc, entry.end.spi_us];
        let Some(spis) = self.table.spis.allocate(&mut self.rng, of_the_ue) else {
            return false;
        };
        let Some(entry) = self.table.get_mut(id) else {
            return false;
        };
        let before = entry.spis();
        let mut set = SaSet::clone(&entry.set);
        for state in &mut set.states {
            if state.spi == before.pc && state.source.port() == entry.end.port_us {
                state.spi = spis.pc;
            } else if state.spi == before.ps && state.source.port() == entry.end.port_uc {
                state.spi = spis.ps;
            }
        }
        entry.own.spi_pc = spis.pc;
        entry.own.spi_ps = spis.ps;
        entry.set = Arc::new(set);
        let set = entry.set.clone();
        self.table.set_stage(id, Stage::Preparing { tries: tries + 1 });
        self.table.spis.free(before);
        self.counters.count("ims_pcscf_sa_total", "other_spis");
        self.install(&set);
        true
    }

    /// A state vanished: the UE stays registered, and is out of reach until it registers again.
    fn on_gone(&mut self, now: Instant, id: SaSetId, cause: GoneCause) {
        let Some(entry) = self.table.get(id) else {
            return;
        };
        let (stage, impi) = (entry.stage, entry.key.impi.clone());
        self.counters.count("ims_pcscf_sa_gone_total", cause.label());
        warn!(%impi, stage = stage.label(), cause = cause.label(), "the kernel lost security associations");
        let key = self.drop_set(id, cause.label());
        self.table.left(id);
        if matches!(stage, Stage::Preparing { .. }) {
            self.events
                .push_back(SaEvent::Failed(id, SaFailure::Kernel(XfrmFailure::Other)));
        }
        self.succeed(now, key);
    }

    /// 200 to the REGISTER carried by TEMPORARY | TEMPORARY -> ESTABLISHED
    pub(crate) fn promote(&mut self, now: Instant, id: SaSetId, registration: Duration) {
        let Some(entry) = self.table.get(id) else {
            return;
        };
        if entry.stage != Stage::Temporary {
            return self.extend(now, id, registration);
        }
        let key = entry.key.clone();
        let others: Vec<(SaSetId, Stage, Instant)> = self
            .table
            .of_ue(&key)
            .filter(|(other, entry)| *other != id && !entry.stage.is_pending())
            .map(|(other, entry)| (other, entry.stage, entry.expires_at))
            .collect();
        let carrier = entry.carried_by.and_then(|carrier| {
            let is_it =
                |(other, stage, _): &&(SaSetId, Stage, Instant)| *other == carrier && *stage != Stage::Ending;
            others
                .iter()
                .find(is_it)
                .map(|(_, _, expires_at)| (carrier, *expires_at))
        });
        let end = now + registration + BEYOND_THE_REGISTRATION;
        match carrier {
            // "initial registration … delete any previously existing set"
            None => {
                let latest = others.iter().map(|(_, _, expires_at)| *expires_at).max();
                for (other, _, _) in others {
                    self.remove(now, other, "after_initial_registration");
                }
                self.establish(id, Stage::InUse, latest.map_or(end, |at| at.max(end)), now);
                self.counters.count("ims_pcscf_sa_total", "established_initial");
                self.timers.set(SaTimer::NothingFollows(id), now + ANSWER_WAIT);
            }
            // "the set that carried the challenged REGISTER becomes OLD and is kept; all other older sets are deleted"
            Some((carrier, expires_at)) => {
                for (other, _, _) in others.into_iter().filter(|(other, _, _)| *other != carrier) {
                    self.remove(now, other, "older");
                }
                self.table.set_stage(carrier, Stage::InUse);
                self.establish(id, Stage::NotYetUsed, end.max(expires_at), now);
                self.counters.count("ims_pcscf_sa_total", "established_again");
                // "OLD has less than 64*T1 left and the new set is not in use | start using the new set anyway"
                let last = expires_at.checked_sub(self.config.overlap);
                match last.filter(|at| *at > now) {
                    Some(at) => self.timers.set(SaTimer::TakeIntoUse(id), at),
                    None => self.take_into_use(now, id),
                }
            }
        }
    }

    /// A REGISTER with this CSeq was granted over a set.
    pub(crate) fn granted(&mut self, now: Instant, id: SaSetId, cseq: u32) {
        let Some(key) = self.table.get(id).map(|entry| entry.key.clone()) else {
            return;
        };
        let before = self.table.of_ue(&key).filter_map(|(_, entry)| entry.granted);
        let last = before.map(|(_, at)| at).max();
        if last.is_some_and(|at| now.saturating_duration_since(at) < TOO_SOON) {
            self.counters
                .count("ims_pcscf_ue_signals_total", "registers_again_at_once");
            info!(impi = %key.impi, "registers again within a minute");
        }
        if let Some(entry) = self.table.get_mut(id) {
            entry.granted = Some((cseq, now));
        }
    }

    fn establish(&mut self, id: SaSetId, stage: Stage, end: Instant, now: Instant) {
        self.table.set_stage(id, stage);
        if let Some(entry) = self.table.get_mut(id) {
            entry.agreement = None;
        }
        self.ends_at(id, end);
        self.tell_the_kernel(now, id);
    }

    /// 200 to an unchallenged re-REGISTER over ESTABLISHED | lifetime = max(current, expiry + 30 s)
    pub(crate) fn extend(&mut self, now: Instant, id: SaSetId, registration: Duration) {
        let Some(entry) = self.table.get(id) else {
            return;
        };
        // What is old stays short: the set in use goes on.
        let id = match entry.stage {
            Stage::Superseded => self.current(&entry.key).unwrap_or(id),
            Stage::NotYetUsed | Stage::InUse => id,
            Stage::Preparing { .. } | Stage::Temporary | Stage::Ending => return,
        };
        let end = now + registration + BEYOND_THE_REGISTRATION;
        if self.table.get(id).is_some_and(|entry| entry.expires_at < end) {
            self.ends_at(id, end);
            self.tell_the_kernel(now, id);
            self.counters.count("ims_pcscf_sa_total", "extended");
        }
    }

    /// Final response other than 200 and 401 to a REGISTER on TEMPORARY, or no answer | delete TEMPORARY (keep long
    /// enough to deliver the response)
    pub(crate) fn fail(&mut self, now: Instant, id: SaSetId) {
        let is_temporary = |entry: &Entry| entry.stage == Stage::Temporary;
        if self.table.get(id).is_some_and(is_temporary) {
            self.table.set_stage(id, Stage::Ending);
            self.counters.count("ims_pcscf_sa_total", "refused");
            self.ends_within_the_overlap(now, id);
        }
    }

    /// 200 to the de-registration of the last identity | keep the sets 64*T1 (to finish transactions), then delete;
    /// where it was challenged, the TEMPORARY set that carried it too
    pub(crate) fn release(&mut self, now: Instant, impi: &Impi, ue: IpAddr, carrier: Option<SaSetId>) {
        let key = UeKey {
            impi: impi.clone(),
            ip: ue,
        };
        let ids: Vec<(SaSetId, Stage)> = self
            .table
            .of_ue(&key)
            .map(|(id, entry)| (id, entry.stage))
            .collect();
        for (id, stage) in ids {
            match stage {
                Stage::Temporary if carrier == Some(id) => self.table.set_stage(id, Stage::Ending),
                // Another challenge is under way: the UE registers again.
                Stage::Preparing { .. } | Stage::Temporary => continue,
                Stage::Ending | Stage::NotYetUsed | Stage::InUse | Stage::Superseded => {}
            }
            self.counters.count("ims_pcscf_sa_total", "released");
            self.ends_within_the_overlap(now, id);
        }
    }

    /// first message from the UE over the newly established set | take it into use … cut OLD's lifetime to 64*T1
    pub(super) fn take_into_use(&mut self, now: Instant, id: SaSetId) {
        let Some(key) = self.table.get(id).map(|entry| entry.key.clone()) else {
            return;
        };
        self.table.set_stage(id, Stage::InUse);
        self.timers.cancel(&SaTimer::TakeIntoUse(id));
        self.counters.count("ims_pcscf_sa_total", "taken_into_use");
        let old: Vec<SaSetId> = self
            .table
            .of_ue(&key)
            .filter(|(other, entry)| *other != id && entry.stage == Stage::InUse)
            .map(|(other, _)| other)
            .collect();
        for other in old {
            self.table.set_stage(other, Stage::Superseded);
            self.ends_within_the_overlap(now, other);
        }
    }

    /// Fires what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_expired(now) {
            match timer {
                SaTimer::TakeIntoUse(id) => {
                    let waits = |entry: &Entry| entry.stage == Stage::NotYetUsed;
                    if self.table.get(id).is_some_and(waits) {
                        self.take_into_use(now, id);
                    }
                }
                SaTimer::ChallengeUnanswered(id) => {
                    let impi = self.impi(id).cloned();
                    self.counters
                        .count("ims_pcscf_ue_signals_total", "challenge_unanswered");
                    info!(
                        impi = impi.as_ref().map(tracing::field::display),
                        "no answer to the challenge yet"
                    );
                    self.note(NoteKind::AssociationsSilent, id, "no packet came over them");
                }
                SaTimer::NothingFollows(id) => {
                    let impi = self.impi(id).cloned();
                    self.counters
                        .count("ims_pcscf_ue_signals_total", "nothing_follows");
                    info!(
                        impi = impi.as_ref().map(tracing::field::display),
                        "registered, and not heard of since"
                    );
                }
                SaTimer::End(id) => self.on_end(now, id),
            }
        }
    }

    /// lifetime expires | delete from the kernel and table; drop connections bound to it
    fn on_end(&mut self, now: Instant, id: SaSetId) {
        let Some(stage) = self.table.get(id).map(|entry| entry.stage) else {
            return;
        };
        match stage {
            Stage::Preparing { .. } => {
                warn!("the kernel does not answer about security associations");
                self.counters
                    .count("ims_pcscf_sa_install_failures_total", SaFailure::Silent.label());
                self.note(NoteKind::AssociationsFailed, id, SaFailure::Silent.label());
                self.take_down(now, id, SaFailure::Silent.label());
                self.events.push_back(SaEvent::Failed(id, SaFailure::Silent));
            }
            Stage::Temporary => {
                let impi = self.impi(id).cloned();
                info!(
                    impi = impi.as_ref().map(tracing::field::display),
                    "challenge not answered"
                );
                self.remove(now, id, "challenge_unanswered");
            }
            Stage::Ending => self.remove(now, id, "after_the_response"),
            Stage::Superseded => self.remove(now, id, "superseded"),
            Stage::NotYetUsed | Stage::InUse => self.remove(now, id, "expired"),
        }
    }

    /// Deletes a set; whoever waits for it is told.
    pub(super) fn remove(&mut self, now: Instant, id: SaSetId, reason: &'static str) {
        let Some(stage) = self.table.get(id).map(|entry| entry.stage) else {
            return;
        };
        self.counters.count("ims_pcscf_sa_removed_total", reason);
        self.take_down(now, id, reason);
        if matches!(stage, Stage::Preparing { .. }) {
            self.events.push_back(SaEvent::Failed(id, SaFailure::Replaced));
        }
    }

    fn take_down(&mut self, now: Instant, id: SaSetId, reason: &'static str) {
        let key = self.drop_set(id, reason);
        self.outputs.push_back(NetOutput::Xfrm(XfrmOutput::Remove { id }));
        self.succeed(now, key);
    }

    /// Forgets a set and closes its connections (TS 33.203 7.1).
    fn drop_set(&mut self, id: SaSetId, reason: &'static str) -> Option<UeKey> {
        let entry = self.table.take(id)?;
        self.note_gone(&entry, reason);
        self.timers.cancel(&SaTimer::End(id));
        self.timers.cancel(&SaTimer::TakeIntoUse(id));
        self.timers.cancel(&SaTimer::ChallengeUnanswered(id));
        self.timers.cancel(&SaTimer::NothingFollows(id));
        for connection in entry.connections {
            self.connections.remove(&connection);
            self.outputs
                .push_back(NetOutput::Sip(SipOutput::Close(connection)));
        }
        Some(entry.key)
    }

    /// Where the set in use is lost, the one that waits takes its place.
    fn succeed(&mut self, now: Instant, key: Option<UeKey>) {
        let Some(next) = key.and_then(|key| self.current(&key)) else {
            return;
        };
        let waits = |entry: &Entry| entry.stage == Stage::NotYetUsed;
        if self.table.get(next).is_some_and(waits) {
            self.take_into_use(now, next);
        }
    }

    fn ends_within_the_overlap(&mut self, now: Instant, id: SaSetId) {
        let latest = now + self.config.overlap;
        if let Some(at) = self.table.get(id).map(|entry| entry.expires_at.min(latest)) {
            self.ends_at(id, at);
        }
    }

    fn ends_at(&mut self, id: SaSetId, at: Instant) {
        if let Some(entry) = self.table.get_mut(id) {
            entry.expires_at = at;
            self.timers.set(SaTimer::End(id), at);
        }
    }

    fn tell_the_kernel(&mut self, now: Instant, id: SaSetId) {
        let Some(entry) = self.table.get(id) else {
            return;
        };
        let output = XfrmOutput::Extend {
            set: entry.set.clone(),
            lifetime: entry.expires_at.saturating_duration_since(now) + KERNEL_MARGIN,
        };
        self.outputs.push_back(NetOutput::Xfrm(output));
    }
}
