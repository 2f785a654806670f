//! Testkit: sets of security associations in virtual time, with a kernel that answers when it is asked to.
//!
//! `life` has the rows of TS 24.229 table 5.2.2-1; `limits` what cannot be had.

mod life;
mod limits;
mod swarm;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ims_common::ipsec::{Encryption, EspKeys, Integrity, Suite, XfrmFailure, XfrmInput};
use ims_common::net::{ConnectionId, Flow, Interface, NetOutput, SipOutput, Transport};
use ims_common::node::Seed;

use super::super::ports::ClientPorts;
use super::*;

const SERVER: &str = "192.0.2.1:6101";
const UE: &str = "192.0.2.10";
const T1_64: Duration = Duration::from_secs(128);

#[allow(clippy::disallowed_methods, reason = "where virtual time begins")]
fn epoch() -> Instant {
    Instant::now()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A manager, and the kernel beside it.
struct Bench {
    sas: SaManager,
    now: Instant,
    /// What the kernel has: sets by number.
    kernel: BTreeMap<SaSetId, Arc<SaSet>>,
    /// What it was last asked to let live for, by number.
    lifetimes: BTreeMap<SaSetId, Duration>,
    events: Vec<SaEvent>,
    closed: Vec<ConnectionId>,
}

impl Bench {
    fn new() -> Self {
        Self::with(100)
    }

    fn with(sets_max: usize) -> Self {
        let config = SaConfig {
            server: SERVER.parse().unwrap(),
            client_ports: ClientPorts::new(vec![6100, 6102, 6104]),
            sets_max,
            reg_await_auth: secs(240),
            overlap: T1_64,
        };
        Self {
            sas: SaManager::new(config, Seed::from_number(4).rng(0)),
            now: epoch(),
            kernel: BTreeMap::new(),
            lifetimes: BTreeMap::new(),
            events: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// The kernel does as it is asked.
    fn obey(&mut self) {
        while let Some(output) = self.sas.poll_output() {
            let answer = match output {
                NetOutput::Xfrm(XfrmOutput::Install { set, lifetime }) => {
                    let id = set.id;
                    let taken = |s: &Arc<SaSet>| {
                        let keys = |set: &SaSet| set.states.map(|state| (state.destination.ip(), state.spi));
                        keys(s).iter().any(|key| keys(&set).contains(key))
                    };
                    assert!(!self.kernel.values().any(taken), "the kernel would say EEXIST");
                    self.lifetimes.insert(id, lifetime);
                    self.kernel.insert(id, set);
                    XfrmInput::Installed { id }
                }
                NetOutput::Xfrm(XfrmOutput::Extend { set, lifetime }) => {
                    assert_eq!(self.kernel.get(&set.id), Some(&set));
                    self.lifetimes.insert(set.id, lifetime);
                    XfrmInput::Extended { id: set.id }
                }
                NetOutput::Xfrm(XfrmOutput::Remove { id }) => {
                    self.kernel.remove(&id);
                    XfrmInput::Removed { id }
                }
                NetOutput::Sip(SipOutput::Close(connection)) => {
                    self.closed.push(connection);
                    continue;
                }
                other => panic!("{other:?}"),
            };
            self.sas.on_xfrm(self.now, answer);
        }
        while let Some(event) = self.sas.poll_event() {
            self.events.push(event);
        }
    }

    fn prepare(&mut self, proposal: Proposal) -> Result<SaSetId, SaRefusal> {
        let id = self.sas.prepare(self.now, proposal)?;
        self.obey();
        Ok(id)
    }

    /// A challenge, and the kernel's yes.
    fn challenge(&mut self, nth: u16, carried_by: Option<SaSetId>) -> SaSetId {
        let id = self.prepare(proposal(nth, carried_by)).unwrap();
        assert_eq!(self.events.pop(), Some(SaEvent::Ready(id)));
        id
    }

    /// A whole initial registration.
    fn registered(&mut self, nth: u16, expires: u64) -> SaSetId {
        let id = self.challenge(nth, None);
        self.promote(id, expires);
        id
    }

    fn promote(&mut self, id: SaSetId, expires: u64) {
        self.sas.promote(self.now, id, secs(expires));
        self.obey();
    }

    fn received(&mut self, id: SaSetId) {
        self.sas.received(self.now, id, None, None);
        self.obey();
    }

    fn advance(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(at) = self.sas.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.sas.handle_timeout(self.now);
            self.obey();
        }
        self.now = until;
    }

    fn alive(&self) -> Vec<SaSetId> {
        let alive: Vec<SaSetId> = self.kernel.keys().copied().collect();
        assert_eq!(alive.len(), self.sas.len(), "the kernel has what the table has");
        alive
    }

    fn removed(&self, reason: &'static str) -> u64 {
        self.sas.counters.get("ims_pcscf_sa_removed_total", reason)
    }

    /// The set over which the UE is spoken to.
    fn spoken_over(&self) -> Option<SaSetId> {
        let flow = self.sas.way_to(&impi(1), UE.parse().unwrap(), Transport::Udp)?;
        self.sas.set_of_flow(&flow)
    }

    /// Row 3 of a set.
    fn out(&self, id: SaSetId) -> Flow {
        self.sas.way_out(id, Transport::Udp).unwrap()
    }

    /// Row 1 of a set: what comes from the UE.
    fn uplink(&self, id: SaSetId) -> Flow {
        let state = self.kernel[&id].states[0];
        protected(&state.destination.to_string(), &state.source.to_string())
    }
}

fn protected(local: &str, remote: &str) -> Flow {
    Flow {
        interface: Interface::GmProtected,
        transport: Transport::Udp,
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        connection: None,
    }
}

fn impi(nth: u16) -> Impi {
    Impi::parse(&format!("00101{nth:010}@ims.mnc001.mcc001.3gppnetwork.org")).unwrap()
}

/// The nth offer of the usual UE: the server port stays, all else is new.
fn end(nth: u16) -> UeEnd {
    UeEnd {
        spi_uc: 0x1000_0000 + 2 * u32::from(nth),
        spi_us: 0x1000_0001 + 2 * u32::from(nth),
        port_uc: 45_000 + nth,
        port_us: 44_062,
    }
}

fn proposal(nth: u16, carried_by: Option<SaSetId>) -> Proposal {
    Proposal {
        impi: impi(1),
        ue: UE.parse().unwrap(),
        suite: Suite {
            integrity: Integrity::HmacSha1_96,
            encryption: Encryption::Null,
        },
        keys: Arc::new(EspKeys {
            integrity: vec![7; 20].into(),
            encryption: Vec::new().into(),
        }),
        end: end(nth),
        carried_by,
        transport: Transport::Udp,
    }
}
