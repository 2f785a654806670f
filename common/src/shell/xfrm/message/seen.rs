//! Codec: what XFRM's netlink says: acknowledgements, lists and notices. Attributes with keys are not looked at.

use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::NlasIterator;
use netlink_packet_xfrm::constants::{
    IPPROTO_ESP, XFRM_MSG_DELSA, XFRM_MSG_EXPIRE, XFRM_MSG_FLUSHSA, XFRMA_TMPL,
};
use netlink_packet_xfrm::{
    Selector, UserExpire, UserPolicyInfo, UserSaId, UserSaInfo, UserTemplate, XFRM_USER_POLICY_INFO_LEN,
    XFRM_USER_TEMPLATE_LEN,
};

use super::{Direction, HEADER, StateKey, ip, unreachable, wildcard};
use crate::config::Cidr;
use crate::ipsec::ProtectedPorts;

/// `NLMSG_ERROR`: an acknowledgement, or a refusal.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a list.
const DONE: u16 = 3;

/// One message of a datagram from the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Segment<'a> {
    /// An answer: zero is success, else the number of an error.
    Answer { sequence: u32, errno: i32 },
    /// A list is complete; an error may have ended it.
    Done { sequence: u32, errno: i32 },
    /// All else.
    Message {
        sequence: u32,
        kind: u16,
        body: &'a [u8],
    },
}

/// The messages of a datagram, as far as their lengths make sense.
pub(in super::super) fn segments(mut datagram: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(number(datagram, 0)?).ok()?;
        let message = datagram.get(..length).filter(|m| m.len() >= HEADER)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16::from_ne_bytes([*message.get(4)?, *message.get(5)?]);
        let sequence = number(message, 8)?;
        let body = message.get(HEADER..)?;
        let errno = number(body, 0).map_or(0, |n| n.cast_signed().wrapping_neg());
        Some(match kind {
            ERROR => Segment::Answer { sequence, errno },
            DONE => Segment::Done { sequence, errno },
            _ => Segment::Message { sequence, kind, body },
        })
    })
}

fn number(octets: &[u8], at: usize) -> Option<u32> {
    let octets = octets.get(at..at + 4)?;
    Some(u32::from_ne_bytes(octets.try_into().ok()?))
}

/// What happened to a state without our asking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Notice {
    /// Its hard lifetime ended.
    Expired(StateKey),
    /// Somebody deleted it.
    Deleted(StateKey),
    /// Somebody deleted all states.
    Flushed,
}

/// Reads a notice; `None` for those that mean nothing to us.
pub(in super::super) fn notice(kind: u16, body: &[u8]) -> Option<Notice> {
    match kind {
        XFRM_MSG_EXPIRE => {
            let expire = UserExpire::parse(body).ok().filter(|e| e.hard != 0)?;
            SeenState::of(&expire.state).map(|seen| Notice::Expired(seen.key))
        }
        XFRM_MSG_DELSA => {
            let id = UserSaId::parse(body).ok().filter(|id| id.proto == IPPROTO_ESP)?;
            Some(Notice::Deleted(StateKey {
                destination: ip(&id.daddr, id.family),
                spi: id.spi,
            }))
        }
        XFRM_MSG_FLUSHSA => Some(Notice::Flushed),
        _ => None,
    }
}

/// A state of the kernel's list, without its keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) struct SeenState {
    pub(in super::super) key: StateKey,
    pub(in super::super) reqid: u32,
    /// Who sends its packets.
    sender: IpAddr,
    /// Of its selector.
    pub(in super::super) source: SocketAddr,
    /// Of its selector.
    pub(in super::super) destination: SocketAddr,
    pub(in super::super) bytes: u64,
    pub(in super::super) packets: u64,
    /// Packets that the replay check dropped.
    pub(in super::super) replayed: u32,
    /// Packets whose ICV was wrong.
    pub(in super::super) integrity_failed: u32,
}

impl SeenState {
    /// Reads the fixed part of a state of ESP.
    pub(in super::super) fn parse(body: &[u8]) -> Option<Self> {
        Self::of(&UserSaInfo::parse(body).ok()?)
    }

    /// Whether we have made it, now or in an earlier life: it bears our mark, and ends at an address of ours. Another
    /// P-CSCF of this host, for the other family say, has the same mark unless somebody thought of it.
    pub(in super::super) fn is_ours(&self, ports: &ProtectedPorts) -> bool {
        let ends = [self.key.destination, self.sender];
        self.reqid == ports.reqid && ends.into_iter().any(|end| is_local(ports, end))
    }

    fn of(info: &UserSaInfo) -> Option<Self> {
        let selector = &info.selector;
        (info.id.proto == IPPROTO_ESP).then(|| Self {
            key: StateKey {
                destination: ip(&info.id.daddr, info.family),
                spi: info.id.spi,
            },
            reqid: info.reqid,
            sender: ip(&info.saddr, info.family),
            source: SocketAddr::new(ip(&selector.saddr, info.family), selector.sport),
            destination: SocketAddr::new(ip(&selector.daddr, info.family), selector.dport),
            bytes: info.lifetime_cur.bytes,
            packets: info.lifetime_cur.packets,
            replayed: info.stats.replay.saturating_add(info.stats.replay_window),
            integrity_failed: info.stats.integrity_failed,
        })
    }
}

/// A policy of the kernel's list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct SeenPolicy {
    pub(in super::super) selector: Selector,
    pub(in super::super) index: u32,
    pub(in super::super) direction: u8,
    priority: u32,
    reqids: Vec<u32>,
}

impl SeenPolicy {
    /// Reads a policy and its templates.
    pub(in super::super) fn parse(body: &[u8]) -> Option<Self> {
        let info = UserPolicyInfo::parse(body).ok()?;
        let attributes = NlasIterator::new(body.get(XFRM_USER_POLICY_INFO_LEN..)?);
        let templates = attributes
            .filter_map(Result::ok)
            .find(|attribute| attribute.kind() == XFRMA_TMPL)?;
        let reqids = templates
            .value()
            .chunks_exact(XFRM_USER_TEMPLATE_LEN)
            .filter_map(|template| UserTemplate::parse(template).ok())
            .map(|template| template.reqid)
            .collect();
        Some(Self {
            selector: info.selector,
            index: info.index,
            direction: info.direction,
            priority: info.priority,
            reqids,
        })
    }

    /// Whether we have made it, now or in an earlier life, maybe for another port of our address.
    pub(in super::super) fn is_ours(&self, ports: &ProtectedPorts) -> bool {
        let Selector {
            daddr, saddr, family, ..
        } = &self.selector;
        let ends = [daddr, saddr].map(|end| ip(end, *family));
        self.priority == ports.priority
            && self.reqids == [ports.reqid]
            && ends.into_iter().any(|end| is_local(ports, end))
    }

    /// Whether packets of a protected port meet it.
    pub(in super::super) fn meets(&self, ports: &ProtectedPorts) -> bool {
        let Selector { family, .. } = self.selector;
        let (address, bits, port, mask) = if self.direction == Direction::In.number() {
            let s = &self.selector;
            (&s.daddr, s.prefixlen_d, s.dport, s.dport_mask)
        } else if self.direction == Direction::Out.number() {
            let s = &self.selector;
            (&s.saddr, s.prefixlen_s, s.sport, s.sport_mask)
        } else {
            // Of sockets, or for forwarding.
            return false;
        };
        let block = Cidr {
            network: ip(address, family),
            prefix: bits,
        };
        let port_fits = |local: &SocketAddr| (local.port() ^ port) & mask == 0;
        ports
            .local
            .iter()
            .any(|local| block.contains(local.ip()) && port_fits(local))
    }

    /// Whether it keeps the errors of this address in.
    pub(in super::super) fn silences(&self, local: IpAddr) -> bool {
        self.selector == unreachable(local) && self.direction == Direction::Out.number()
    }

    /// Whether it guards this port.
    pub(in super::super) fn guards(&self, local: SocketAddr, direction: Direction) -> bool {
        self.selector == wildcard(local, direction) && self.direction == direction.number()
    }
}

/// Where nothing is protected here, the sets are those of phones, and the mark alone counts.
fn is_local(ports: &ProtectedPorts, address: IpAddr) -> bool {
    ports.local.is_empty() || ports.local.iter().any(|local| local.ip() == address)
}
