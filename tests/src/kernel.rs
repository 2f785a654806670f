//! Testkit: a pretend kernel with IPsec, in virtual time (RFC 4301 5, RFC 4303 3.4; TS 33.203 7.1).
//!
//! Each host of the virtual world has one. It knows the states that its node asked for, and the host's protected
//! ports: what leaves one of them without a state is refused to the sender, what comes to one in clear is dropped.
//! A packet inside a security association passes only when both ends have the same state: SPI, addresses, algorithms
//! and keys. It stands for the netlink shell too: a request is answered, after a while, and a set is there whole or
//! not at all. It fails on command.

mod replay;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ims_common::ipsec::{
    EspKeys, GoneCause, SaSet, SaSetId, SaState, Suite, XfrmFailure, XfrmInput, XfrmOutput,
};

use self::replay::Window;

/// How long the kernel takes for a request unless told otherwise.
const ANSWER_AFTER: Duration = Duration::from_millis(1);
/// What ESP adds to a packet, at most: header, IV, padding, ICV.
const ESP_OCTETS: usize = 57;

/// What travels with a protected packet; the packet itself is never made unreadable here.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The SPI on the wire.
    pub spi: u32,
    /// How it is protected.
    pub suite: Suite,
    /// With which keys.
    pub keys: Arc<EspKeys>,
    /// The sequence number on the wire.
    pub sequence: u64,
}

/// What becomes of a packet that a host wants to send.
#[derive(Clone, Debug)]
pub enum Sealed {
    /// No policy asks for protection.
    Clear,
    /// It goes inside a security association.
    Esp(Envelope),
    /// A policy asks for protection and there is no state: the sender is told EPERM.
    Blocked,
}

/// Why a packet did not come through.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Dropped {
    /// It wanted to leave a protected port and no state fits.
    NoStateOut,
    /// Clear text to a protected port.
    Clear,
    /// No state has this SPI and destination.
    NoState,
    /// The state's selector is another.
    Selector,
    /// Other algorithms or keys: the integrity check fails.
    Integrity,
    /// It came before.
    Replay,
}

impl Dropped {
    /// The counter of a real kernel that grows (/proc/net/xfrm_stat).
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::NoStateOut => "XfrmOutNoStates",
            Self::Clear => "XfrmInTmplMismatch",
            Self::NoState => "XfrmInNoStates",
            Self::Selector => "XfrmInStateMismatch",
            Self::Integrity => "XfrmInStateProtoError",
            Self::Replay => "XfrmInStateSeqError",
        }
    }
}

/// A packet that was dropped on its way in, as a real kernel counts it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counted {
    /// Why.
    pub why: Dropped,
    /// The SPI and the source, where states count them too.
    pub state: Option<(u32, std::net::IpAddr)>,
}

/// What went through one state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Octets of ESP's payload.
    pub octets: u64,
}

/// How the next installations fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// With this failure, before anything is added.
    Refuse(XfrmFailure),
    /// The first two states are added, the third is not: what was added is taken back.
    ThirdOfFour,
    /// Nothing is done and nothing is said.
    Silence,
}

struct Installed {
    set: Arc<SaSet>,
    expires: Instant,
    order: u64,
    sent: [u64; 4],
    traffic: [Traffic; 4],
    windows: [Window; 4],
}

/// The IPsec of one host. See the module.
#[derive(Default)]
pub struct Kernel {
    protected: BTreeSet<SocketAddr>,
    sets: BTreeMap<SaSetId, Installed>,
    installs: u64,
    states_max: Option<usize>,
    answer_after: Option<Duration>,
    faults: Vec<Fault>,
    dropped: BTreeMap<Dropped, u64>,
    uncounted: Vec<Counted>,
}

impl Kernel {
    /// Makes a port of this host protected: the policies of `ProtectedPorts`.
    pub fn protect(&mut self, address: SocketAddr) {
        self.protected.insert(address);
    }

    /// Takes the policies of a port away.
    pub fn unprotect(&mut self, address: SocketAddr) {
        self.protected.remove(&address);
    }

    /// Whether a port of this host is protected.
    #[must_use]
    pub fn is_protected(&self, address: SocketAddr) -> bool {
        self.protected.contains(&address)
    }

    /// Whether this host has protected ports at all.
    #[must_use]
    pub fn has_ipsec(&self) -> bool {
        !self.protected.is_empty()
    }

    /// States that are there: four for each set.
    #[must_use]
    pub fn states(&self) -> usize {
        self.sets.len() * 4
    }

    /// Sets that were ever there.
    #[must_use]
    pub const fn installs(&self) -> u64 {
        self.installs
    }

    /// The sets that are there, the oldest first.
    pub fn sets(&self) -> impl Iterator<Item = &Arc<SaSet>> {
        let mut all: Vec<_> = self.sets.values().collect();
        all.sort_by_key(|installed| installed.order);
        all.into_iter().map(|installed| &installed.set)
    }

    /// What went through the four states of a set.
    #[must_use]
    pub fn traffic(&self, id: SaSetId) -> Option<[Traffic; 4]> {
        Some(self.sets.get(&id)?.traffic)
    }

    /// How long a set has to live.
    #[must_use]
    pub fn lifetime(&self, now: Instant, id: SaSetId) -> Option<Duration> {
        Some(self.sets.get(&id)?.expires.saturating_duration_since(now))
    }

    /// Packets dropped for this reason.
    #[must_use]
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.dropped.get(&why).copied().unwrap_or(0)
    }

    /// The next installations fail like this, one after the other.
    pub fn fail_next(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.extend(faults);
    }

    /// There is room for so many states; `None` for all that come.
    pub const fn set_states_max(&mut self, states: Option<usize>) {
        self.states_max = states;
    }

    /// Each request takes so long.
    pub const fn set_answer_after(&mut self, delay: Duration) {
        self.answer_after = Some(delay);
    }

    /// It fails no more, and has room and time.
    pub fn heal(&mut self) {
        self.faults.clear();
        self.states_max = None;
        self.answer_after = None;
    }

    /// The host starts again, or the shell removes its leftovers: no state stays.
    pub fn forget_states(&mut self) {
        self.sets.clear();
    }

    /// Another program deletes the states of a set; what the node is told.
    pub fn delete_behind_its_back(&mut self, id: SaSetId) -> Option<XfrmInput> {
        self.sets.remove(&id)?;
        let cause = GoneCause::Deleted;
        Some(XfrmInput::Gone { id, cause })
    }

    /// Does what a node asks: the answer, and after which time it comes.
    pub fn ask(&mut self, now: Instant, request: &XfrmOutput) -> Option<(Duration, XfrmInput)> {
        let answer = match request {
            XfrmOutput::Install { set, lifetime } => self.install(now, set, *lifetime)?,
            XfrmOutput::Extend { set, lifetime } => self.extend(now, set, *lifetime),
            XfrmOutput::Remove { id } => {
                self.sets.remove(id);
                XfrmInput::Removed { id: *id }
            }
        };
        Some((self.answer_after.unwrap_or(ANSWER_AFTER), answer))
    }

    /// When the next set ends by itself.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.sets.values().map(|installed| installed.expires).min()
    }

    /// Ends what has lived long enough (`time-hard`).
    pub fn expire(&mut self, now: Instant) -> Vec<XfrmInput> {
        let is_over = |installed: &Installed| installed.expires <= now;
        let ended = self.sets.iter().filter(|(_, installed)| is_over(installed));
        let ended: Vec<_> = ended.map(|(id, _)| *id).collect();
        self.sets.retain(|_, installed| !is_over(installed));
        let cause = GoneCause::Expired;
        ended
            .into_iter()
            .map(|id| XfrmInput::Gone { id, cause })
            .collect()
    }

    /// A packet of so many octets wants to leave `source` for `destination`.
    pub fn seal(&mut self, source: SocketAddr, destination: SocketAddr, octets: usize) -> Sealed {
        if !self.is_protected(source) {
            return Sealed::Clear;
        }
        let fits = |state: &SaState| state.source == source && state.destination == destination;
        let Some((id, index)) = self.find(fits) else {
            self.count(Dropped::NoStateOut);
            return Sealed::Blocked;
        };
        let Some(installed) = self.sets.get_mut(&id) else {
            return Sealed::Blocked;
        };
        installed.sent[index] += 1;
        installed.count(index, octets);
        Sealed::Esp(Envelope {
            spi: installed.set.states[index].spi,
            suite: installed.set.suite,
            keys: Arc::clone(&installed.set.keys),
            sequence: installed.sent[index],
        })
    }

    /// A packet of so many octets comes from `source` to `destination`.
    ///
    /// # Errors
    /// With the reason when it is dropped, which is counted.
    pub fn open(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        envelope: Option<&Envelope>,
        octets: usize,
    ) -> Result<(), Dropped> {
        let result = self.check(source, destination, envelope, octets);
        if let Err(why) = result {
            self.count(why);
            // Only what fails its check is counted by the state that it came for.
            let state = envelope.filter(|_| why == Dropped::Integrity);
            let state = state.map(|envelope| (envelope.spi, source.ip()));
            self.uncounted.push(Counted { why, state });
        }
        result
    }

    /// What was dropped on its way in and nobody was told yet.
    pub fn take_counted(&mut self) -> Vec<Counted> {
        std::mem::take(&mut self.uncounted)
    }

    /// Whether a packet may leave `source` at all, without sealing one.
    #[must_use]
    pub fn would_seal(&self, source: SocketAddr, destination: SocketAddr) -> bool {
        let fits = |state: &SaState| state.source == source && state.destination == destination;
        !self.is_protected(source) || self.find(fits).is_some()
    }

    /// Whether a packet sealed elsewhere would be opened here, without opening it.
    #[must_use]
    pub fn would_open(&self, source: SocketAddr, destination: SocketAddr, sender: &Self) -> bool {
        let fits = |state: &SaState| state.source == source && state.destination == destination;
        match (sender.is_protected(source), self.is_protected(destination)) {
            (false, is_protected) => !is_protected,
            (true, _) => {
                let (ours, theirs) = (self.find(fits), sender.find(fits));
                let set = |kernel: &Self, found: Option<(SaSetId, usize)>| {
                    let (id, index) = found?;
                    let set = &kernel.sets.get(&id)?.set;
                    Some((set.states[index].spi, set.suite, Arc::clone(&set.keys)))
                };
                let ours = set(self, ours);
                ours.is_some() && ours == set(sender, theirs)
            }
        }
    }

    fn check(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        envelope: Option<&Envelope>,
        octets: usize,
    ) -> Result<(), Dropped> {
        let Some(envelope) = envelope else {
            return match self.is_protected(destination) {
                true => Err(Dropped::Clear),
                false => Ok(()),
            };
        };
        // RFC 4301 4.1: a state is found by its SPI, and here by its destination too, as the kernel does.
        let by_spi =
            |state: &SaState| state.spi == envelope.spi && state.destination.ip() == destination.ip();
        let (id, index) = self.find(by_spi).ok_or(Dropped::NoState)?;
        let installed = self.sets.get_mut(&id).ok_or(Dropped::NoState)?;
        let set = &installed.set;
        if (set.suite, &set.keys) != (envelope.suite, &envelope.keys) {
            return Err(Dropped::Integrity);
        }
        if !installed.windows[index].take(envelope.sequence) {
            return Err(Dropped::Replay);
        }
        // RFC 4301 5.2 step 4: the packet inside has to match the selector of its state.
        let state = installed.set.states[index];
        if state.source != source || state.destination != destination {
            return Err(Dropped::Selector);
        }
        installed.count(index, octets);
        Ok(())
    }

    fn install(&mut self, now: Instant, set: &Arc<SaSet>, lifetime: Duration) -> Option<XfrmInput> {
        let id = set.id;
        let failed = |failure| Some(XfrmInput::InstallFailed { id, failure });
        match self.faults.first().copied() {
            Some(fault) => {
                self.faults.remove(0);
                match fault {
                    Fault::Refuse(failure) => return failed(failure),
                    Fault::ThirdOfFour => return failed(XfrmFailure::KernelFull),
                    Fault::Silence => return None,
                }
            }
            None if !self.has_ipsec() => return failed(XfrmFailure::NoIpsec),
            None => {}
        }
        let key = |state: &SaState| (state.destination.ip(), state.spi);
        let new: BTreeSet<_> = set.states.iter().map(key).collect();
        let mut present = self.sets.values().flat_map(|installed| &installed.set.states);
        if new.len() < 4 || present.any(|state| new.contains(&key(state))) {
            return failed(XfrmFailure::Exists);
        }
        if self.states_max.is_some_and(|max| self.states() + 4 > max) {
            return failed(XfrmFailure::KernelFull);
        }
        self.installs += 1;
        let installed = Installed {
            set: Arc::clone(set),
            expires: now + lifetime,
            order: self.installs,
            sent: [0; 4],
            traffic: Default::default(),
            windows: Default::default(),
        };
        let before = self.sets.insert(id, installed);
        assert!(before.is_none(), "{id:?} was installed twice");
        Some(XfrmInput::Installed { id })
    }

    fn extend(&mut self, now: Instant, set: &Arc<SaSet>, lifetime: Duration) -> XfrmInput {
        let id = set.id;
        match self.sets.get_mut(&id) {
            Some(installed) => {
                installed.expires = now + lifetime;
                XfrmInput::Extended { id }
            }
            None => XfrmInput::Gone {
                id,
                cause: GoneCause::Deleted,
            },
        }
    }

    /// The newest state that fits: as the kernel chooses among states of one selector.
    fn find(&self, fits: impl Fn(&SaState) -> bool) -> Option<(SaSetId, usize)> {
        let found = self.sets.values().filter_map(|installed| {
            let index = installed.set.states.iter().position(&fits)?;
            Some((installed.order, installed.set.id, index))
        });
        found.max().map(|(_, id, index)| (id, index))
    }

    /// Counts a packet that was dropped unseen.
    pub(crate) fn count(&mut self, why: Dropped) {
        *self.dropped.entry(why).or_default() += 1;
    }
}

impl Installed {
    fn count(&mut self, index: usize, octets: usize) {
        let traffic = &mut self.traffic[index];
        traffic.packets += 1;
        traffic.octets += (octets + ESP_OCTETS) as u64;
    }
}
