//! Machine: which set a message came over, and which one it may leave over (TS 33.203 7.1; TS 24.229 5.2.2.2).
//!
//! A packet does not show its association. That it came to a protected port proves that there is one, and its two
//! addresses and ports name it: states without the right selector let nothing through.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ims_common::identity::Impi;
use ims_common::ipsec::SaSetId;
use ims_common::net::{ConnectionId, Flow, Interface, Transport};
use ims_common::sip::Message;

use super::table::{Entry, UeKey};
use super::{SaManager, SaTimer, Stage};

/// What a set is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// The answer to a challenge, and nothing else.
    Temporary,
    /// The end of a transaction.
    Ending,
    /// Everything.
    Established,
}

/// Why a message did not pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dropped {
    /// It came over no set.
    NoSet,
    /// Only REGISTER is served on a temporary set (TS 33.203 7.1).
    NonRegisterOnTemporary,
    /// It would leave, and no set goes there.
    NoWay,
    /// It would leave for a protected UE, and not along a flow.
    NoFlow,
}

impl Dropped {
    /// A metric label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::NoSet => "no_set",
            Self::NonRegisterOnTemporary => "non_register_on_temporary",
            Self::NoWay => "no_way",
            Self::NoFlow => "no_flow",
        }
    }
}

impl SaManager {
    /// The set whose row 1 or row 4 a flow is, or whose row 2 or 3 leads back along it.
    pub(crate) fn set_of_flow(&self, flow: &Flow) -> Option<SaSetId> {
        let (id, entry) = self.at_flow(flow)?;
        (!matches!(entry.stage, Stage::Preparing { .. })).then_some(id)
    }

    /// The set that a REGISTER came over: where there are several, the one whose agreement it repeats.
    pub(crate) fn set_of_register(&self, flow: &Flow, register: &Message) -> Option<SaSetId> {
        let repeats = |entry: &Entry| {
            let agreement = entry.agreement.as_ref();
            agreement.is_some_and(|agreement| agreement.verify(register).is_ok())
        };
        let mut sets = self.sets_at(flow);
        match (sets.next(), sets.next()) {
            (Some(_), Some(_)) => self
                .sets_at(flow)
                .find(|(_, entry)| repeats(entry))
                .map(|(id, _)| id)
                .or_else(|| self.set_of_flow(flow)),
            _ => self.set_of_flow(flow),
        }
    }

    /// What may be said over a set.
    pub(crate) fn standing(&self, id: SaSetId) -> Option<Standing> {
        match self.table.get(id)?.stage {
            Stage::Preparing { .. } => None,
            Stage::Temporary => Some(Standing::Temporary),
            Stage::Ending => Some(Standing::Ending),
            Stage::NotYetUsed | Stage::InUse | Stage::Superseded => Some(Standing::Established),
        }
    }

    /// Something came from the UE over a set. TS 24.229 table 5.2.2-1: the first message over a newly established set
    /// takes it into use. `register` is the CSeq of a REGISTER.
    pub(crate) fn received(
        &mut self,
        now: Instant,
        id: SaSetId,
        connection: Option<ConnectionId>,
        register: Option<u32>,
    ) {
        if let (Some(connection), Some(entry)) = (connection, self.table.get_mut(id))
            && self.connections.insert(connection, id) != Some(id)
        {
            entry.connections.push(connection);
        }
        if let Some(entry) = self.table.get_mut(id) {
            entry.heard_at = now;
        }
        self.timers.cancel(&SaTimer::ChallengeUnanswered(id));
        match register {
            None => self.timers.cancel(&SaTimer::NothingFollows(id)),
            Some(cseq) => {
                let granted = self.table.get(id).and_then(|entry| entry.granted);
                if granted.is_some_and(|(granted, _)| granted == cseq) {
                    self.counters
                        .count("ims_pcscf_ue_signals_total", "answer_not_heard");
                }
            }
        }
        let is_first = |entry: &Entry| entry.stage == Stage::NotYetUsed;
        if self.table.get(id).is_some_and(is_first) {
            self.take_into_use(now, id);
        }
    }

    /// A stream is gone.
    pub(crate) fn connection_closed(&mut self, connection: ConnectionId) {
        let set = self.connections.remove(&connection);
        if let Some(entry) = set.and_then(|id| self.table.get_mut(id)) {
            entry.connections.retain(|known| *known != connection);
        }
    }

    /// TS 24.229 5.2.2.2 NOTE, TS 33.203 7.1: over UDP everything goes from our client port to the UE's server port,
    /// whatever port the request came from and whatever its Via says; over TCP responses stay on the connection.
    pub(crate) fn way_back(&self, id: SaSetId, flow: Flow) -> Flow {
        match (flow.transport, self.table.get(id)) {
            (Transport::Udp, Some(entry)) => entry.outbound(self.config.server.ip(), Transport::Udp),
            (Transport::Udp, None) | (Transport::Tcp, _) => flow,
        }
    }

    /// The way of our own requests over a set: for TCP a connection of ours.
    pub(crate) fn way_out(&self, id: SaSetId, transport: Transport) -> Option<Flow> {
        let entry = self.table.get(id)?;
        Some(entry.outbound(self.config.server.ip(), transport))
    }

    /// The way to a registered UE: the set in use.
    pub(crate) fn way_to(&self, impi: &Impi, ue: IpAddr, transport: Transport) -> Option<Flow> {
        let key = UeKey {
            impi: impi.clone(),
            ip: ue,
        };
        self.way_out(self.current(&key)?, transport)
    }

    /// The flow by which something for a flow may leave now; none when there is none.
    ///
    /// A response has no second way: not back to the port that the request came from, and never in clear. Along a flow
    /// whose set is gone nothing leaves: the same address and port may be another subscriber's by now.
    pub(crate) fn way(&self, flow: &Flow) -> Option<Flow> {
        let of_the_set_in_use = |id: SaSetId| self.way_out(id, flow.transport);
        match self.at_flow(flow) {
            Some((_, entry)) => match entry.stage {
                Stage::Preparing { .. } => None,
                Stage::Temporary | Stage::Ending | Stage::NotYetUsed | Stage::InUse => Some(*flow),
                // A connection stays with its set.
                Stage::Superseded if flow.connection.is_some() => Some(*flow),
                Stage::Superseded => self.current(&entry.key).and_then(of_the_set_in_use),
            },
            None => None,
        }
    }

    /// The set over which a UE is spoken to: the one in use; where that is lost, the newest that is left.
    pub(super) fn current(&self, key: &UeKey) -> Option<SaSetId> {
        let rank = |stage: Stage| match stage {
            Stage::InUse => Some(3),
            Stage::NotYetUsed => Some(2),
            Stage::Superseded => Some(1),
            Stage::Preparing { .. } | Stage::Temporary | Stage::Ending => None,
        };
        self.table
            .of_ue(key)
            .filter_map(|(id, entry)| Some((rank(entry.stage)?, id)))
            .max()
            .map(|(_, id)| id)
    }

    /// The set of a flow. Sets that share a client port of the UE are told apart by the connection, else the newest
    /// that is established is meant.
    fn at_flow(&self, flow: &Flow) -> Option<(SaSetId, &Entry)> {
        let known = flow.connection.and_then(|it| self.connections.get(&it).copied());
        self.sets_at(flow)
            .max_by_key(|(id, entry)| (known == Some(*id), entry.stage.is_established(), *id))
    }

    fn sets_at(&self, flow: &Flow) -> impl Iterator<Item = (SaSetId, &Entry)> {
        let (flow, server) = (*flow, self.config.server);
        self.table.at_port(flow.remote).filter(move |(_, entry)| {
            let is_there = match flow.remote.port() {
                port if port == entry.end.port_uc => flow.local == server,
                port if port == entry.end.port_us => {
                    flow.local == SocketAddr::new(server.ip(), entry.own.port_pc)
                }
                _ => false,
            };
            is_there && flow.interface == Interface::GmProtected
        })
    }
}

impl Entry {
    /// Row 3 of TS 33.203 7.1.
    fn outbound(&self, own: IpAddr, transport: Transport) -> Flow {
        Flow {
            interface: Interface::GmProtected,
            transport,
            local: SocketAddr::new(own, self.own.port_pc),
            remote: SocketAddr::new(self.key.ip, self.end.port_us),
            connection: None,
        }
    }
}
