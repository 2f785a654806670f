//! Testkit: the security associations of a phone (TS 24.229 5.1.1.2.2, 5.1.1.4.2, 5.1.1.5.1; TS 33.203 7.1, 7.4).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ims_common::aka::Secret;
use ims_common::ipsec::{EspKeys, SaSet, SaSetId, SaState, Suite, XfrmInput, XfrmOutput};
use ims_common::net::{ConnectionId, Flow, Interface, NetOutput, SipOutput, Transport};
use ims_common::node::{Seed, earliest};
use rand::Rng as _;
use rand::rngs::StdRng;

use super::esp_keys::esp_keys;
use super::security::{self, Misdeed, Offer, Spis, UeSecurity, Verify};
use super::{UeConfig, UeEvent};
use crate::usim::Res;

/// reg-await-auth (TS 24.229 7.8).
const AWAIT_AUTH: Duration = Duration::from_secs(240);
/// How much longer than a registration its security associations live (TS 24.229 5.1.1.5.1).
const MARGIN: Duration = Duration::from_secs(30);
/// 64*T1 on Gm: then the transactions that use an old set have ended.
const TRANSACTIONS_END: Duration = Duration::from_secs(128);

/// How long a kernel may take to install a set.
const KERNEL_PATIENCE: Duration = Duration::from_secs(8);

/// What is to be seen of a set; keys are not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SaView {
    /// Its number.
    pub id: SaSetId,
    /// What it is protected by.
    pub suite: Suite,
    /// Its four states, in the order of TS 33.203 7.1.
    pub states: [SaState; 4],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The kernel has not answered yet.
    Installing,
    /// Carries the answer to a challenge and nothing else.
    Temporary,
    /// In use; whether something came over it since.
    Established { heard: bool },
    /// A newer one is in use.
    Old { until: Option<Instant> },
}

struct Sa {
    set: Arc<SaSet>,
    stage: Stage,
    /// Of the kernel.
    asked: Instant,
    expires: Instant,
    /// Security-Server as it came.
    server: String,
}

/// What carries a REGISTER.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Carrier {
    #[default]
    Clear,
    Set(SaSetId),
}

/// How the next message leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    Clear,
    Inside(Flow),
    /// When the kernel has answered.
    NotYet,
}

/// What a REGISTER says about security.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Security-Client
    pub client: String,
    /// Security-Verify
    pub verify: String,
    /// Require, Proxy-Require
    pub sec_agree: String,
    /// Where the phone is reached, when that is a protected port.
    pub address: Option<SocketAddr>,
    /// Route of its requests
    pub service_route: String,
}

/// See the module.
pub struct Sas {
    rng: StdRng,
    offer: Offer,
    offers: usize,
    sets: Vec<Sa>,
    carrier: Carrier,
    /// What carried the REGISTER that was challenged.
    challenged: Carrier,
    last_id: u64,
    connections: BTreeMap<ConnectionId, SaSetId>,
    dropped: u64,
    outputs: VecDeque<NetOutput>,
}

impl Sas {
    pub(super) fn new(seed: &Seed) -> Self {
        Self {
            rng: seed.rng(41),
            offer: Offer::default(),
            offers: 0,
            sets: Vec::new(),
            carrier: Carrier::Clear,
            challenged: Carrier::Clear,
            last_id: 0,
            connections: BTreeMap::new(),
            dropped: 0,
            outputs: VecDeque::new(),
        }
    }

    /// What is there, the oldest first.
    pub fn views(&self) -> Vec<SaView> {
        self.sets.iter().map(|sa| view(&sa.set)).collect()
    }

    /// Messages that came from where no set of ours comes from.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn is_established(&self) -> bool {
        self.newest().is_some()
    }

    /// A procedure begins, or begins anew with other numbers.
    pub(super) fn begin(&mut self, config: &UeConfig, is_initial: bool) {
        let inside = self.newest().map(|sa| sa.set.id);
        let may_be_inside = !is_initial || config.security.is_some_and(|security| security.initial_inside);
        self.carrier = match inside {
            Some(id) if may_be_inside => Carrier::Set(id),
            _ => Carrier::Clear,
        };
        self.new_offer(config);
    }

    /// The challenge was bad: the next REGISTER goes as the first one did, with other numbers, never over the new set
    /// (TS 24.229 5.1.1.5.3).
    pub(super) fn begin_again(&mut self, config: &UeConfig) {
        self.remove_where(|sa| matches!(sa.stage, Stage::Installing | Stage::Temporary));
        if let Carrier::Set(id) = self.carrier
            && self.find(id).is_none()
        {
            self.carrier = self.newest().map_or(Carrier::Clear, |sa| Carrier::Set(sa.set.id));
        }
        self.new_offer(config);
    }

    pub(super) fn said(&self, config: &UeConfig) -> Said {
        let security = config.security.unwrap_or_default();
        let (verify, address) = match self.carried_by() {
            None => (String::new(), None),
            Some(sa) => (verify(&sa.server, &security, sa.stage), config.protected_server()),
        };
        let mut offer = self.offer;
        let is_answer = self
            .carried_by()
            .is_some_and(|sa| matches!(sa.stage, Stage::Installing | Stage::Temporary));
        if is_answer && security.misdeed == Misdeed::ChangedClient {
            offer.spi_uc ^= 0x100;
        }
        let client = match security.misdeed {
            Misdeed::NoClient if is_answer => String::new(),
            _ => config.shape.dialect.client(&offer),
        };
        Said {
            client,
            verify,
            sec_agree: "sec-agree".to_owned(),
            address,
            ..Said::default()
        }
    }

    /// What other requests say: where the phone is reached.
    pub(super) fn said_in_use(&self, config: &UeConfig) -> Said {
        let newest = self.newest();
        let security = config.security.unwrap_or_default();
        Said {
            verify: newest.map_or_else(String::new, |sa| verify(&sa.server, &security, sa.stage)),
            address: config.protected_server().filter(|_| newest.is_some()),
            ..Said::default()
        }
    }

    /// A good challenge: a set for the answer.
    ///
    /// # Errors
    /// When there is nothing to choose from.
    pub(super) fn on_challenge(
        &mut self,
        now: Instant,
        config: &UeConfig,
        server: Option<&str>,
        res: &Res,
    ) -> Result<(), &'static str> {
        let server = server.ok_or("no Security-Server")?;
        let chosen = security::choose(server, config.shape.dialect.suites).ok_or("no common mechanism")?;
        let security = config.security.unwrap_or_default();
        self.remove_where(|sa| matches!(sa.stage, Stage::Installing | Stage::Temporary));
        self.challenged = match self.carrier {
            Carrier::Set(id) if self.find(id).is_none() => Carrier::Clear,
            carrier => carrier,
        };
        self.last_id += 1;
        let id = SaSetId(self.last_id);
        let mut keys = esp_keys(chosen.suite, res.ck.expose(), res.ik.expose());
        if security.misdeed == Misdeed::WrongKey {
            keys = spoilt(&keys);
        }
        let offer = self.offer;
        let own = |port| SocketAddr::new(config.local.ip(), port);
        let peer = |port| SocketAddr::new(config.pcscf.ip(), port);
        let state = |spi, source, destination| SaState {
            spi,
            source,
            destination,
        };
        let (uc, us) = (own(offer.port_uc), own(offer.port_us));
        let (pc, ps) = (peer(chosen.port_pc), peer(chosen.port_ps));
        let set = Arc::new(SaSet {
            id,
            suite: chosen.suite,
            keys: Arc::new(keys),
            states: [
                state(chosen.spi_ps, uc, ps),
                state(offer.spi_uc, ps, uc),
                state(offer.spi_us, pc, us),
                state(chosen.spi_pc, us, pc),
            ],
        });
        let is_clear = security.misdeed == Misdeed::InClear;
        if !is_clear {
            self.outputs.push_back(NetOutput::Xfrm(XfrmOutput::Install {
                set: Arc::clone(&set),
                lifetime: AWAIT_AUTH + MARGIN,
            }));
        }
        self.sets.push(Sa {
            set,
            stage: if is_clear {
                Stage::Temporary
            } else {
                Stage::Installing
            },
            asked: now,
            expires: now + AWAIT_AUTH,
            server: server.to_owned(),
        });
        if security.misdeed != Misdeed::AnswerUnprotected {
            self.carrier = Carrier::Set(id);
        }
        Ok(())
    }

    /// How the REGISTER leaves.
    pub(super) fn way(&self, transport: Transport) -> Way {
        match self.carried_by() {
            None => Way::Clear,
            Some(sa) if sa.stage == Stage::Installing => Way::NotYet,
            Some(sa) => Way::Inside(to_network(&sa.set, transport)),
        }
    }

    /// How other requests leave: over the newest set in use.
    pub(super) fn way_in_use(&self, transport: Transport) -> Option<Flow> {
        Some(to_network(&self.newest()?.set, transport))
    }

    /// 200 to a REGISTER that asked for `expires` seconds and got them.
    pub(super) fn on_ok(&mut self, now: Instant, expires: u32) {
        let Carrier::Set(id) = self.carrier else {
            return;
        };
        let registration = now + Duration::from_secs(u64::from(expires)) + MARGIN;
        let longest = self
            .newest()
            .map_or(registration, |sa| sa.expires.max(registration));
        let was_temporary = self.find(id).is_some_and(|sa| sa.stage == Stage::Temporary);
        if was_temporary {
            // TS 24.229 5.1.1.5.1: the set that carried the challenged REGISTER becomes old; all others go.
            let old = self.challenged;
            self.remove_where(|sa| sa.set.id != id && Carrier::Set(sa.set.id) != old);
            for sa in &mut self.sets {
                sa.stage = match sa.set.id == id {
                    true => Stage::Established { heard: false },
                    false => Stage::Old { until: None },
                };
            }
        }
        if let Some(sa) = self.sets.iter_mut().find(|sa| sa.set.id == id) {
            sa.expires = longest;
            self.outputs.push_back(NetOutput::Xfrm(XfrmOutput::Extend {
                set: Arc::clone(&sa.set),
                lifetime: longest - now,
            }));
        }
        self.carrier = Carrier::Clear;
    }

    /// A REGISTER had no success: its temporary set is of no use.
    pub(super) fn on_failure(&mut self) {
        self.remove_where(|sa| matches!(sa.stage, Stage::Installing | Stage::Temporary));
        self.carrier = Carrier::Clear;
    }

    /// The last registration is over (TS 24.229 5.1.1.6.1).
    pub(super) fn on_deregistered(&mut self) {
        self.remove_where(|_| true);
        self.carrier = Carrier::Clear;
    }

    /// Something came over the protected side: the way back, or `None` when it is not to be looked at.
    pub(super) fn arrive(&mut self, now: Instant, flow: Flow) -> Option<Flow> {
        let came_by = |set: &SaSet| {
            let ends = [1, 2].map(|row| (set.states[row].destination, set.states[row].source));
            ends.contains(&(flow.local, flow.remote))
        };
        let found = self.sets.iter_mut().find(|sa| came_by(&sa.set));
        let Some(sa) = found.filter(|sa| sa.stage != Stage::Installing) else {
            self.dropped += 1;
            return None;
        };
        let id = sa.set.id;
        if let Stage::Established { heard } = &mut sa.stage
            && !std::mem::replace(heard, true)
        {
            self.let_old_ones_end(now);
        }
        if let Some(connection) = flow.connection {
            self.connections.insert(connection, id);
            return Some(flow);
        }
        // TS 33.203 7.1: over UDP everything to the network goes from the client port to its server port; TS 24.229
        // 5.1.1.5.1: over the newest set.
        let newest = self.newest().or_else(|| self.find(id))?;
        Some(to_network(&newest.set, Transport::Udp))
    }

    pub(super) fn on_closed(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
    }

    /// What the kernel says; true when what waited for it may go on.
    pub(super) fn on_xfrm(&mut self, input: &XfrmInput, events: &mut Vec<UeEvent>) -> Answer {
        match *input {
            XfrmInput::Installed { id } => {
                let Some(sa) = self.sets.iter_mut().find(|sa| sa.set.id == id) else {
                    return Answer::Nothing;
                };
                sa.stage = Stage::Temporary;
                events.push(UeEvent::SaInstalled(view(&sa.set)));
                Answer::GoOn
            }
            XfrmInput::InstallFailed { id, failure } => {
                self.sets.retain(|sa| sa.set.id != id);
                events.push(UeEvent::SaFailed(failure.label()));
                Answer::GiveUp
            }
            XfrmInput::Gone { id, cause } => {
                if self.find(id).is_some() {
                    self.forget(id);
                    events.push(UeEvent::SaFailed(cause.label()));
                }
                Answer::Nothing
            }
            XfrmInput::Removed { .. } | XfrmInput::Extended { .. } => Answer::Nothing,
        }
    }

    /// What is over goes; a kernel that says nothing has said no.
    pub(super) fn on_timeout(&mut self, now: Instant, events: &mut Vec<UeEvent>) -> Answer {
        let is_silent = |sa: &Sa| sa.stage == Stage::Installing && sa.ends() <= now;
        let silent = self.sets.iter().any(is_silent);
        self.remove_where(|sa| sa.ends() <= now);
        match silent {
            true => {
                events.push(UeEvent::SaFailed("kernel_silent"));
                Answer::GiveUp
            }
            false => Answer::Nothing,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.sets.iter().map(|sa| Some(sa.ends())).fold(None, earliest)
    }

    pub(super) fn poll_output(&mut self) -> Option<NetOutput> {
        self.outputs.pop_front()
    }

    fn let_old_ones_end(&mut self, now: Instant) {
        for sa in &mut self.sets {
            if let Stage::Old { until } = &mut sa.stage {
                *until = Some(now + TRANSACTIONS_END);
            }
        }
    }

    fn new_offer(&mut self, config: &UeConfig) {
        let dialect = &config.shape.dialect;
        let offset = config.security.unwrap_or_default().port_offset;
        let (spi_uc, spi_us) = match dialect.spis {
            // Renewed at every REGISTER.
            Spis::Consecutive(first) => {
                let number = first + 2 * u32::try_from(self.offers).unwrap_or(u32::MAX);
                (number, number + 1)
            }
            Spis::Random(first, last) => {
                let number = self.rng.random_range(first..last);
                (
                    number,
                    self.rng.random_range(first..number.max(first + 1)).max(first),
                )
            }
        };
        let spi_us = if spi_us == spi_uc { spi_uc + 1 } else { spi_us };
        let is_free = |port: &u16| {
            let address = SocketAddr::new(config.local.ip(), *port + offset);
            self.sets.iter().all(|sa| sa.set.states[0].source != address)
        };
        let pool = dialect.ports_uc.iter().copied();
        let port_uc = pool
            .cycle()
            .skip(self.offers % dialect.ports_uc.len())
            .take(dialect.ports_uc.len())
            .find(is_free)
            .unwrap_or(dialect.port_us + 1);
        self.offers += 1;
        self.offer = Offer {
            spi_uc,
            spi_us,
            port_uc: port_uc + offset,
            port_us: dialect.port_us + offset,
        };
    }

    fn carried_by(&self) -> Option<&Sa> {
        match self.carrier {
            Carrier::Clear => None,
            Carrier::Set(id) => self.find(id),
        }
    }

    fn find(&self, id: SaSetId) -> Option<&Sa> {
        self.sets.iter().find(|sa| sa.set.id == id)
    }

    /// The newest set in use.
    fn newest(&self) -> Option<&Sa> {
        let mut sets = self.sets.iter().rev();
        sets.find(|sa| matches!(sa.stage, Stage::Established { .. }))
    }

    fn remove_where(&mut self, is_over: impl Fn(&Sa) -> bool) {
        let ids: Vec<_> = self
            .sets
            .iter()
            .filter(|sa| is_over(sa))
            .map(|sa| sa.set.id)
            .collect();
        for id in ids {
            self.forget(id);
            self.outputs.push_back(NetOutput::Xfrm(XfrmOutput::Remove { id }));
        }
    }

    /// A set is no more: its connections close first, while their FIN can still leave.
    fn forget(&mut self, id: SaSetId) {
        for (connection, _) in self.connections.iter().filter(|(_, of)| **of == id) {
            self.outputs
                .push_back(NetOutput::Sip(SipOutput::Close(*connection)));
        }
        self.connections.retain(|_, of| *of != id);
        self.sets.retain(|sa| sa.set.id != id);
    }
}

/// What the kernel's word means for what waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    GoOn,
    GiveUp,
    Nothing,
}

impl Sa {
    fn ends(&self) -> Instant {
        match self.stage {
            Stage::Installing => self.asked + KERNEL_PATIENCE,
            Stage::Old { until: Some(until) } => until.min(self.expires),
            _ => self.expires,
        }
    }
}

fn verify(server: &str, security: &UeSecurity, stage: Stage) -> String {
    let is_answer = matches!(stage, Stage::Installing | Stage::Temporary);
    match (security.misdeed, security.verify) {
        (Misdeed::NoVerify, _) if is_answer => String::new(),
        (Misdeed::WrongVerify, _) if is_answer => security::tampered(server),
        (_, Verify::AsSent) => server.to_owned(),
        (_, Verify::Reordered) => security::reordered(server),
    }
}

fn to_network(set: &SaSet, transport: Transport) -> Flow {
    Flow {
        interface: Interface::GmProtected,
        transport,
        local: set.states[0].source,
        remote: set.states[0].destination,
        connection: None,
    }
}

fn view(set: &SaSet) -> SaView {
    SaView {
        id: set.id,
        suite: set.suite,
        states: set.states,
    }
}

fn spoilt(keys: &EspKeys) -> EspKeys {
    let flip = |key: &Secret<Vec<u8>>| {
        let mut key = key.expose().clone();
        if let Some(octet) = key.first_mut() {
            *octet ^= 1;
        }
        Secret::new(key)
    };
    EspKeys {
        integrity: flip(&keys.integrity),
        encryption: flip(&keys.encryption),
    }
}
