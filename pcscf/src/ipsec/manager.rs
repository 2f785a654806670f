//! Machine: the sets of security associations of all UEs (TS 24.229 5.2.2.2 with table 5.2.2-1; TS 33.203 7.1, 7.4.2a).
//!
//! A set is prepared when a 401 (Unauthorized) comes, temporary while the UE answers it, then established; at a
//! re-registration it waits until the UE takes it into use, and the one before it ends 64*T1 later. Nothing is asked of
//! the kernel but through [`XfrmOutput`], and nothing is known of it but through [`XfrmInput`](ims_common::ipsec::XfrmInput).
//!
//! * `life`: what ends, begins and follows (the table's rows); `ways`: what came over which set, and what goes over it
//! * `notes`: what the operator is told of them
//! * `table`: the sets and how they are found; `values`: what is asked and said

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ims_common::identity::Impi;
use ims_common::ipsec::{SaSet, SaSetId, SaState, XfrmOutput};
use ims_common::net::{ConnectionId, NetOutput, SipOutput, Transport};
use ims_common::node::{Counters, Metrics, NumberHash, TimerTable};
use ims_common::why::Notes;
use rand::rngs::StdRng;
use smallvec::SmallVec;
use tracing::info;

use super::agreement::{Agreement, OwnNumbers};
use super::spi::OwnSpis;

mod life;
mod notes;
mod table;
mod values;
mod ways;

#[cfg(test)]
mod tests;

use table::{Entry, SaTable, UeKey};
use values::Stage;
pub(crate) use values::{Proposal, SaConfig, SaEvent, SaFailure, SaRefusal, UeEnd};
pub(crate) use ways::{Dropped, Standing};

/// By how much a set outlives the registration (TS 24.229 5.2.2.2).
const BEYOND_THE_REGISTRATION: Duration = Duration::from_secs(30);
/// By how much the kernel's own lifetime, which is for what a crash leaves, is longer than ours.
const KERNEL_MARGIN: Duration = Duration::from_secs(60);
/// How long the kernel may take to install a set. A UE repeats its REGISTER for 128 s.
const INSTALL_WAIT: Duration = Duration::from_secs(8);
/// After how long a UE that does not answer a challenge, or says nothing more once it has registered, is worth a word.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// A UE that registers again so soon has a reason.
const TOO_SOON: Duration = Duration::from_secs(60);
/// How often other SPIs are tried when the kernel has one of ours already (EEXIST).
const OTHER_SPIS: u8 = 2;
/// Temporary, established, old: TS 33.203 7.4.2a.
const SETS_PER_UE: usize = 3;

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum SaTimer {
    /// The end of a set.
    End(SaSetId),
    /// The set before it has only 64*T1 left.
    TakeIntoUse(SaSetId),
    /// A handset answers a challenge at once, or cannot.
    ChallengeUnanswered(SaSetId),
    /// A handset that has registered subscribes at once, or is not content with what it was granted.
    NothingFollows(SaSetId),
}

/// All sets of this P-CSCF, limited in number.
#[derive(Debug)]
pub(crate) struct SaManager {
    config: SaConfig,
    rng: StdRng,
    table: SaTable,
    connections: BTreeMap<ConnectionId, SaSetId>,
    timers: TimerTable<SaTimer, NumberHash>,
    outputs: VecDeque<NetOutput>,
    events: VecDeque<SaEvent>,
    counters: Counters,
    notes: Notes,
}

impl SaManager {
    /// No sets yet. `rng` draws the SPIs.
    pub(crate) fn new(config: SaConfig, rng: StdRng) -> Self {
        Self {
            config,
            rng,
            table: SaTable::default(),
            connections: BTreeMap::new(),
            timers: TimerTable::default(),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            notes: Notes::default(),
        }
    }

    /// How many sets there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// What is asked of the kernel and of the streams.
    pub(crate) fn poll_output(&mut self) -> Option<NetOutput> {
        self.outputs.pop_front()
    }

    /// What became of the sets that were asked for.
    pub(crate) fn poll_event(&mut self) -> Option<SaEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is wanted next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Adds counters and gauges.
    pub(crate) fn export_metrics(&self, out: &mut Metrics) {
        self.counters.export(out);
        for (stage, count) in Stage::LABELS.into_iter().zip(self.table.counts()) {
            out.gauge("ims_pcscf_sa_sets", &[("state", stage)], count);
        }
        out.gauge("ims_pcscf_sa_spis", &[], self.table.spis.len() as u64);
    }

    /// Whether a UE that has no set can have one.
    pub(crate) fn has_room_for(&self, impi: &Impi, ue: IpAddr) -> bool {
        let key = UeKey {
            impi: impi.clone(),
            ip: ue,
        };
        self.table.len() < self.room_for_newcomers() || self.table.of_ue(&key).next().is_some()
    }

    /// The rest is for those who renew what they have.
    fn room_for_newcomers(&self) -> usize {
        self.config.sets_max - self.config.sets_max / 8
    }

    /// What stands against a set with this end of a UE, of what can be said before the challenge: a REGISTER that
    /// proposes ports of another user's live set is answered with an error (TS 33.203 7.1).
    pub(crate) fn check(&self, now: Instant, impi: &Impi, ue: IpAddr, end: &UeEnd) -> Result<(), SaRefusal> {
        self.silent_rivals(now, impi, ue, end).map(drop)
    }

    /// Sets of others that a set with this end takes the place of. An address goes from one phone to another in
    /// seconds, ports are often those of the maker, and a set lives for days: who has not spoken for 64*T1 while somebody
    /// else speaks from its address has left it.
    fn silent_rivals(
        &self,
        now: Instant,
        impi: &Impi,
        ue: IpAddr,
        end: &UeEnd,
    ) -> Result<Vec<SaSetId>, SaRefusal> {
        if !is_of_a_ue(ue) {
            return Err(SaRefusal::NoAddress);
        }
        let key = UeKey {
            impi: impi.clone(),
            ip: ue,
        };
        let mut rivals = self.table.rivals(&key, end).into_vec();
        rivals.sort();
        rivals.dedup();
        let speaks = |id: &SaSetId| {
            let entry = self.table.get(*id);
            entry.is_some_and(|entry| entry.heard_at + self.config.overlap > now)
        };
        match rivals.iter().any(speaks) {
            true => Err(SaRefusal::TakenByAnother),
            false => Ok(rivals),
        }
    }

    /// TS 24.229 5.2.2.2: a 401 came. The pending set of this UE goes, a new one is asked of the kernel; the 401 may
    /// leave when [`SaEvent::Ready`] comes.
    pub(crate) fn prepare(&mut self, now: Instant, proposal: Proposal) -> Result<SaSetId, SaRefusal> {
        let refused = |refusal: SaRefusal| {
            info!(procedure = "register", impi = %proposal.impi, refusal = refusal.label(), "no security associations");
            refusal
        };
        let prepared = self.draft(now, &proposal).map_err(refused);
        let (port_pc, replaced) = match prepared {
            Ok(draft) => draft,
            Err(refusal) => {
                self.counters.count("ims_pcscf_sa_refused_total", refusal.label());
                return Err(refusal);
            }
        };
        for id in replaced {
            self.remove(now, id, "replaced");
        }
        let of_the_ue = [proposal.end.spi_uc, proposal.end.spi_us];
        let Some(spis) = self.table.spis.allocate(&mut self.rng, of_the_ue) else {
            self.counters
                .count("ims_pcscf_sa_refused_total", SaRefusal::NoSpi.label());
            return Err(SaRefusal::NoSpi);
        };
        let id = self.table.fresh_id();
        let set = self.set_of(id, &proposal, port_pc, spis);
        let entry = Entry {
            set: Arc::new(set),
            key: UeKey {
                impi: proposal.impi,
                ip: proposal.ue,
            },
            end: proposal.end,
            own: OwnNumbers {
                spi_pc: spis.pc,
                spi_ps: spis.ps,
                port_pc,
                port_ps: self.config.server.port(),
            },
            stage: Stage::Preparing { tries: 1 },
            carried_by: proposal.carried_by,
            expires_at: now + INSTALL_WAIT,
            heard_at: now,
            granted: None,
            agreement: None,
            connections: SmallVec::new(),
        };
        self.timers.set(SaTimer::End(id), entry.expires_at);
        self.install(&entry.set);
        self.table.insert(id, entry);
        Ok(id)
    }

    /// The client port of a new set, and the sets that go for it.
    fn draft(&self, now: Instant, proposal: &Proposal) -> Result<(u16, Vec<SaSetId>), SaRefusal> {
        let rivals = self.silent_rivals(now, &proposal.impi, proposal.ue, &proposal.end)?;
        let key = UeKey {
            impi: proposal.impi.clone(),
            ip: proposal.ue,
        };
        let may_share = proposal.carried_by.is_some() && proposal.transport == Transport::Udp;
        let (mut replaced, mut kept): (Vec<SaSetId>, Vec<SaSetId>) = (Vec::new(), Vec::new());
        for (id, entry) in self.table.of_ue(&key) {
            let carries = proposal.carried_by == Some(id);
            let collides = entry.collides_with(&proposal.end, may_share);
            let is_dead = match entry.stage {
                // A new challenge supersedes the one before, however far that was.
                Stage::Preparing { .. } | Stage::Temporary | Stage::Ending => !carries,
                // TS 33.203 7.1 rule 3: who registers anew in clear has lost what it had.
                Stage::NotYetUsed | Stage::InUse => collides && proposal.carried_by.is_none(),
                Stage::Superseded => collides && !carries,
            };
            match (is_dead, collides) {
                (true, _) => replaced.push(id),
                (false, true) => return Err(SaRefusal::TakenByItself),
                (false, false) => kept.push(id),
            }
        }
        // At most three sets: the oldest that is out of use makes room.
        while kept.len() >= SETS_PER_UE {
            let is_spare = |id: &SaSetId| {
                let is_old = |entry: &Entry| entry.stage == Stage::Superseded;
                proposal.carried_by != Some(*id) && self.table.get(*id).is_some_and(is_old)
            };
            let Some(at) = kept.iter().position(is_spare) else {
                break;
            };
            replaced.push(kept.remove(at));
        }
        let is_newcomer = kept.is_empty() && replaced.is_empty();
        let room = if is_newcomer {
            self.room_for_newcomers()
        } else {
            self.config.sets_max
        };
        if self.table.len() - replaced.len() >= room {
            return Err(SaRefusal::Full);
        }
        let port_of = |id: &SaSetId| self.table.get(*id).map(|entry| entry.own.port_pc);
        let used: Vec<u16> = kept.iter().filter_map(port_of).collect();
        let newest = kept.iter().chain(&replaced).max().and_then(port_of);
        let start = usize::from(proposal.end.port_us);
        let port = self.config.client_ports.next(newest, &used, start);
        replaced.extend(rivals);
        port.map(|port| (port, replaced)).ok_or(SaRefusal::NoClientPort)
    }

    /// TS 33.203 7.1: the four associations, in the order of the table there.
    fn set_of(&self, id: SaSetId, proposal: &Proposal, port_pc: u16, spis: OwnSpis) -> SaSet {
        let server = self.config.server;
        let client = SocketAddr::new(server.ip(), port_pc);
        let end = &proposal.end;
        let (uc, us) = (
            SocketAddr::new(proposal.ue, end.port_uc),
            SocketAddr::new(proposal.ue, end.port_us),
        );
        let state = |spi, source, destination| SaState {
            spi,
            source,
            destination,
        };
        SaSet {
            id,
            suite: proposal.suite,
            keys: proposal.keys.clone(),
            states: [
                state(spis.ps, uc, server),
                state(end.spi_uc, server, uc),
                state(end.spi_us, client, us),
                state(spis.pc, us, client),
            ],
        }
    }

    fn install(&mut self, set: &Arc<SaSet>) {
        self.counters.count("ims_pcscf_sa_total", "install_asked");
        self.outputs.push_back(NetOutput::Xfrm(XfrmOutput::Install {
            set: set.clone(),
            lifetime: INSTALL_WAIT + self.config.reg_await_auth + KERNEL_MARGIN,
        }));
    }

    /// Our numbers of a set.
    pub(crate) fn own_end(&self, id: SaSetId) -> Option<OwnNumbers> {
        self.table.get(id).map(|entry| entry.own)
    }

    /// What was said of a set to the UE, which the UE has to repeat.
    pub(crate) fn agree(&mut self, id: SaSetId, agreement: Agreement) {
        if let Some(entry) = self.table.get_mut(id) {
            entry.agreement = Some(Box::new(agreement));
        }
    }

    /// What has to be repeated over a temporary set.
    pub(crate) fn agreement(&self, id: SaSetId) -> Option<&Agreement> {
        self.table.get(id)?.agreement.as_deref()
    }

    /// A stream over which nothing is served is closed.
    pub(crate) fn close(&mut self, connection: ConnectionId) {
        self.outputs
            .push_back(NetOutput::Sip(SipOutput::Close(connection)));
    }

    /// Whose set it is.
    pub(crate) fn impi(&self, id: SaSetId) -> Option<&Impi> {
        self.table.get(id).map(|entry| &entry.key.impi)
    }
}

/// No packet of a UE comes from elsewhere: link-local ones pass no router (RFC 4291 2.5.6, RFC 3927 2.7).
fn is_of_a_ue(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !address.is_unspecified() && !address.is_multicast() && !is_link_local
}
