//! Codec: security associations and policies as messages of XFRM's netlink (Linux `uapi/linux/xfrm.h`).
//!
//! States: TS 33.203 7.1, Annexes H and I; RFC 4303. Policies are shared by all UEs: for each protected port one in each
//! direction, with a wildcard for the UE, so that the kernel drops clear text to a protected port, whoever sends it.

mod seen;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkBuffer,
};
use netlink_packet_xfrm::constants::{
    AF_INET, AF_INET6, IPPROTO_ESP, IPPROTO_ICMP, IPPROTO_ICMPV6, XFRM_MODE_TRANSPORT, XFRM_POLICY_ALLOW,
    XFRM_POLICY_BLOCK, XFRM_POLICY_IN, XFRM_POLICY_OUT,
};
use netlink_packet_xfrm::policy::{DelGetMessage as PolicyId, ModifyMessage as PolicyMessage};
use netlink_packet_xfrm::state::{DelGetMessage as StateId, GetDumpMessage, ModifyMessage as StateMessage};
use netlink_packet_xfrm::{
    Address, Alg, AlgAead, AlgAuth, Id, LifetimeConfig, ReplayEsn, Selector, UserPolicyId, UserPolicyInfo,
    UserSaId, UserSaInfo, UserTemplate, XfrmAttrs, XfrmMessage,
};
use zeroize::{Zeroize, Zeroizing};

pub(super) use self::seen::{Notice, SeenPolicy, SeenState, Segment, notice, segments};
use crate::ipsec::{Encryption, EspKeys, Integrity, ProtectedPorts, SaSet, SaState, Suite};

/// Octets of a netlink header.
pub(super) const HEADER: usize = 16;
/// The replay window that the fixed part of a state can say; a larger one needs an attribute.
const WINDOW_IN_HEADER: u32 = 32;
/// RFC 2403 and RFC 2404: the ICV is cut to 96 bits.
const ICV_TRUNCATED: u32 = 96;
/// RFC 4106 and RFC 4543: the full ICV.
const ICV_AEAD: u32 = 128;

/// What names a state to the kernel, for ESP without marks.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct StateKey {
    pub(super) destination: IpAddr,
    pub(super) spi: u32,
}

impl From<&SaState> for StateKey {
    fn from(state: &SaState) -> Self {
        Self {
            destination: state.destination.ip(),
            spi: state.spi,
        }
    }
}

/// One request as octets. They may hold keys, and are wiped when dropped.
pub(super) struct Request(Zeroizing<Vec<u8>>);

impl Request {
    /// Prints the message, and wipes the keys in it.
    fn new(mut message: XfrmMessage, flags: u16) -> Self {
        let length = HEADER + Emitable::buffer_len(&message);
        let mut octets = Zeroizing::new(vec![0; length]);
        let mut header = NetlinkBuffer::new(octets.as_mut_slice());
        // No message of ours comes near 4 GiB.
        header.set_length(u32::try_from(length).unwrap_or(u32::MAX));
        header.set_message_type(message.message_type());
        header.set_flags(NLM_F_REQUEST | flags);
        if let Some(body) = octets.get_mut(HEADER..) {
            message.emit(body);
        }
        wipe(&mut message);
        Self(octets)
    }

    /// The octets, with this sequence number, from this port. Notices of what the request does bear its port.
    pub(super) fn addressed(&mut self, sequence: u32, port: u32) -> &[u8] {
        let mut header = NetlinkBuffer::new(self.0.as_mut_slice());
        header.set_sequence_number(sequence);
        header.set_port_number(port);
        &self.0
    }
}

fn wipe(message: &mut XfrmMessage) {
    let (XfrmMessage::AddSa(state) | XfrmMessage::UpdateSa(state)) = message else {
        return;
    };
    for attribute in &mut state.nlas {
        match attribute {
            XfrmAttrs::AuthenticationAlgTrunc(alg) => alg.alg_key.zeroize(),
            XfrmAttrs::EncryptionAlg(alg) => alg.alg_key.zeroize(),
            XfrmAttrs::EncryptionAlgAead(alg) => alg.alg_key.zeroize(),
            _ => {}
        }
    }
}

/// Whether a state is new.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Add,
    /// Counters and sequence numbers go on.
    Update,
}

/// Adds or updates one state of a set; the kernel removes it `time_hard` after it was first added.
pub(super) fn state(
    verb: Verb,
    ports: &ProtectedPorts,
    set: &SaSet,
    state: &SaState,
    time_hard: Duration,
) -> Request {
    let is_small = ports.replay_window <= WINDOW_IN_HEADER;
    let window = u8::try_from(ports.replay_window).ok().filter(|_| is_small);
    let mut nlas = algorithms(set.suite, &set.keys);
    if window.is_none() {
        nlas.push(XfrmAttrs::ReplayStateEsn(large_window(ports.replay_window)));
    }
    let message = StateMessage {
        user_sa_info: UserSaInfo {
            selector: exact(state),
            id: Id {
                daddr: Address::from_ip(&state.destination.ip()),
                spi: state.spi,
                proto: IPPROTO_ESP,
            },
            saddr: Address::from_ip(&state.source.ip()),
            lifetime_cfg: LifetimeConfig {
                hard_add_expires_seconds: seconds(time_hard),
                ..LifetimeConfig::default()
            },
            reqid: ports.reqid,
            family: family(state.destination.ip()),
            mode: XFRM_MODE_TRANSPORT,
            replay_window: window.unwrap_or(0),
            ..UserSaInfo::default()
        },
        nlas,
    };
    match verb {
        Verb::Add => Request::new(XfrmMessage::AddSa(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL),
        Verb::Update => Request::new(XfrmMessage::UpdateSa(message), NLM_F_ACK),
    }
}

/// At least one: zero would mean for ever.
fn seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// Exactly these two addresses and ports, of any upper protocol. Without a selector on the state a UE could speak as
/// another one inside its own security association.
fn exact(state: &SaState) -> Selector {
    let bits = bits(state.destination.ip());
    Selector {
        daddr: Address::from_ip(&state.destination.ip()),
        saddr: Address::from_ip(&state.source.ip()),
        dport: state.destination.port(),
        dport_mask: u16::MAX,
        sport: state.source.port(),
        sport_mask: u16::MAX,
        family: family(state.destination.ip()),
        prefixlen_d: bits,
        prefixlen_s: bits,
        ..Selector::default()
    }
}

/// TS 33.203 Annex I, as the kernel names them.
fn algorithms(suite: Suite, keys: &EspKeys) -> Vec<XfrmAttrs> {
    let aead = |name, key: &[u8]| {
        vec![XfrmAttrs::EncryptionAlgAead(AlgAead {
            alg_name: fixed(name),
            alg_key_len: key_bits(key),
            alg_icv_len: ICV_AEAD,
            alg_key: key.to_vec(),
        })]
    };
    if suite.encryption == Encryption::AesGcm {
        return aead("rfc4106(gcm(aes))", keys.encryption.expose());
    }
    let authentication = match suite.integrity {
        Integrity::AesGmac => return aead("rfc4543(gcm(aes))", keys.integrity.expose()),
        Integrity::HmacMd5_96 => "hmac(md5)",
        Integrity::HmacSha1_96 => "hmac(sha1)",
        Integrity::Null => "digest_null",
    };
    let (cipher, key): (_, &[u8]) = match suite.encryption {
        Encryption::AesCbc => ("cbc(aes)", keys.encryption.expose()),
        Encryption::DesEde3Cbc => ("cbc(des3_ede)", keys.encryption.expose()),
        Encryption::Null | Encryption::AesGcm => ("ecb(cipher_null)", &[]),
    };
    let integrity = keys.integrity.expose();
    vec![
        XfrmAttrs::AuthenticationAlgTrunc(AlgAuth {
            alg_name: fixed(authentication),
            alg_key_len: key_bits(integrity),
            alg_trunc_len: ICV_TRUNCATED,
            alg_key: integrity.clone(),
        }),
        XfrmAttrs::EncryptionAlg(Alg {
            alg_name: fixed(cipher),
            alg_key_len: key_bits(key),
            alg_key: key.to_vec(),
        }),
    ]
}

/// A name of an algorithm, filled up with zeros.
fn fixed(name: &str) -> [u8; 64] {
    let mut octets = [0; 64];
    for (to, from) in octets.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    octets
}

fn key_bits(key: &[u8]) -> u32 {
    u32::try_from(key.len() * 8).unwrap_or(u32::MAX)
}

fn large_window(window: u32) -> ReplayEsn {
    let words = window.div_ceil(32);
    ReplayEsn {
        bmp_len: words,
        replay_window: window,
        bmp: (0..words).map(|_| 0).collect(),
        ..ReplayEsn::default()
    }
}

/// Deletes one state.
pub(super) fn delete_state(key: &StateKey) -> Request {
    Request::new(XfrmMessage::DeleteSa(named(key)), NLM_F_ACK)
}

/// Asks for one state.
pub(super) fn get_state(key: &StateKey) -> Request {
    Request::new(XfrmMessage::GetSa(named(key)), 0)
}

fn named(key: &StateKey) -> StateId {
    StateId {
        user_sa_id: UserSaId {
            daddr: Address::from_ip(&key.destination),
            spi: key.spi,
            family: family(key.destination),
            proto: IPPROTO_ESP,
        },
        nlas: Vec::new(),
    }
}

/// Lists the states of ESP, whosever they are.
pub(super) fn dump_states() -> Request {
    let nlas = vec![XfrmAttrs::Proto(IPPROTO_ESP)];
    Request::new(XfrmMessage::GetDumpSa(GetDumpMessage { nlas }), NLM_F_DUMP)
}

/// Which way packets go that a policy looks at.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Direction {
    In,
    Out,
}

impl Direction {
    const fn number(self) -> u8 {
        match self {
            Self::In => XFRM_POLICY_IN,
            Self::Out => XFRM_POLICY_OUT,
        }
    }
}

/// Adds the policy of one protected port: only ESP with a state of ours passes.
pub(super) fn policy(ports: &ProtectedPorts, local: SocketAddr, direction: Direction) -> Request {
    guard(ports, wildcard(local, direction), direction, XFRM_POLICY_ALLOW)
}

/// Adds the policy that keeps port unreachable errors of one address in. Where no socket is open any more, after a
/// crash, but states still decrypt, they would quote decrypted messages in clear.
pub(super) fn silence(ports: &ProtectedPorts, local: IpAddr) -> Request {
    guard(ports, unreachable(local), Direction::Out, XFRM_POLICY_BLOCK)
}

/// Adds the policy of one state, as other P-CSCFs have it: for figures.
#[cfg(test)]
pub(super) fn policy_of(ports: &ProtectedPorts, state: &SaState, direction: Direction) -> Request {
    guard(ports, exact(state), direction, XFRM_POLICY_ALLOW)
}

fn guard(ports: &ProtectedPorts, selector: Selector, direction: Direction, action: u8) -> Request {
    let message = PolicyMessage {
        user_policy_info: UserPolicyInfo {
            selector,
            lifetime_cfg: LifetimeConfig::default(),
            priority: ports.priority,
            direction: direction.number(),
            action,
            ..UserPolicyInfo::default()
        },
        // Where all is blocked the template says whose policy it is.
        nlas: vec![XfrmAttrs::Template(vec![template(ports.reqid, selector.family)])],
    };
    Request::new(
        XfrmMessage::AddPolicy(message),
        NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// In transport mode the addresses come from the packet, and the selectors of the states choose among those with
/// this reqid.
fn template(reqid: u32, family: u16) -> UserTemplate {
    UserTemplate {
        id: Id {
            proto: IPPROTO_ESP,
            ..Id::default()
        },
        family,
        reqid,
        mode: XFRM_MODE_TRANSPORT,
        ..UserTemplate::default()
    }
}

/// One of our ports, and any address and port of a UE.
fn wildcard(local: SocketAddr, direction: Direction) -> Selector {
    let selector = Selector {
        family: family(local.ip()),
        ..Selector::default()
    };
    let address = Address::from_ip(&local.ip());
    match direction {
        Direction::In => Selector {
            daddr: address,
            prefixlen_d: bits(local.ip()),
            dport: local.port(),
            dport_mask: u16::MAX,
            ..selector
        },
        Direction::Out => Selector {
            saddr: address,
            prefixlen_s: bits(local.ip()),
            sport: local.port(),
            sport_mask: u16::MAX,
            ..selector
        },
    }
}

/// RFC 792: destination unreachable (3), port unreachable (3). RFC 4443 3.1: (1), (4). Type and code stand where the ports
/// of other protocols do.
fn unreachable(local: IpAddr) -> Selector {
    let (proto, kind, code) = match local {
        IpAddr::V4(_) => (IPPROTO_ICMP, 3, 3),
        IpAddr::V6(_) => (IPPROTO_ICMPV6, 1, 4),
    };
    Selector {
        saddr: Address::from_ip(&local),
        prefixlen_s: bits(local),
        proto,
        sport: kind,
        sport_mask: u16::MAX,
        dport: code,
        dport_mask: u16::MAX,
        family: family(local),
        ..Selector::default()
    }
}

/// Deletes exactly the policy that was seen.
pub(super) fn delete_policy(seen: &SeenPolicy) -> Request {
    let message = PolicyId {
        user_policy_id: UserPolicyId {
            selector: seen.selector,
            index: seen.index,
            direction: seen.direction,
        },
        nlas: Vec::new(),
    };
    Request::new(XfrmMessage::DeletePolicy(message), NLM_F_ACK)
}

/// Lists all policies.
pub(super) fn dump_policies() -> Request {
    Request::new(XfrmMessage::GetPolicy(PolicyId::default()), NLM_F_DUMP)
}

const fn family(ip: IpAddr) -> u16 {
    if ip.is_ipv4() { AF_INET } else { AF_INET6 }
}

const fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn ip(address: &Address, family: u16) -> IpAddr {
    if family == AF_INET {
        let [a, b, c, d, ..] = address.addr;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(address.addr))
    }
}

#[cfg(test)]
mod tests;
