//! Codec: HEP version 3, which Homer, sngrep and Wireshark read.
//!
//! Read first: <https://github.com/sipcapture/HEP/blob/master/docs/HEP3NetworkProtocolSpecification_REV26.pdf>. A message is
//! `HEP3`, its length, and chunks of vendor, type, length and value, all in network order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::packet::{Packet, Protocol};
use crate::net::Transport;

const MAGIC: &[u8; 4] = b"HEP3";
/// The most that the length can say.
const LENGTH_MAX: usize = u16::MAX as usize;

/// Chunk types of vendor 0 (section 3.2).
mod chunk {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const IP_PROTOCOL: u16 = 2;
    pub(super) const IPV4_SOURCE: u16 = 3;
    pub(super) const IPV4_TARGET: u16 = 4;
    pub(super) const IPV6_SOURCE: u16 = 5;
    pub(super) const IPV6_TARGET: u16 = 6;
    pub(super) const SOURCE_PORT: u16 = 7;
    pub(super) const TARGET_PORT: u16 = 8;
    pub(super) const SECONDS: u16 = 9;
    pub(super) const MICROSECONDS: u16 = 10;
    pub(super) const PROTOCOL: u16 = 11;
    pub(super) const CAPTURE_ID: u16 = 12;
    pub(super) const KEY: u16 = 14;
    pub(super) const PAYLOAD: u16 = 15;
    pub(super) const CORRELATION: u16 = 17;
}

/// Who captures.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Agent {
    /// The capture agent's number.
    pub id: u32,
    /// The authentication key, when the server wants one.
    pub key: Option<String>,
}

/// One packet as a HEP3 message; `None` when it does not fit into one.
#[must_use]
pub fn encode(packet: &Packet, agent: &Agent, correlation: Option<&str>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(160 + packet.bytes.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0, 0]);
    let mut put = |kind: u16, value: &[u8]| -> Option<()> {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&u16::try_from(6 + value.len()).ok()?.to_be_bytes());
        out.extend_from_slice(value);
        Some(())
    };
    let (source, target) = (
        packet.source.ip().to_canonical(),
        packet.target.ip().to_canonical(),
    );
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            put(chunk::FAMILY, &[2])?;
            put(chunk::IPV4_SOURCE, &source.octets())?;
            put(chunk::IPV4_TARGET, &target.octets())?;
        }
        (source, target) => {
            put(chunk::FAMILY, &[10])?;
            put(chunk::IPV6_SOURCE, &v6(source))?;
            put(chunk::IPV6_TARGET, &v6(target))?;
        }
    }
    let ip_protocol = match packet.transport {
        Transport::Udp => 17,
        Transport::Tcp => 6,
    };
    put(chunk::IP_PROTOCOL, &[ip_protocol])?;
    put(chunk::SOURCE_PORT, &packet.source.port().to_be_bytes())?;
    put(chunk::TARGET_PORT, &packet.target.port().to_be_bytes())?;
    let seconds = u32::try_from(packet.at / 1_000_000).unwrap_or(u32::MAX);
    let micros = u32::try_from(packet.at % 1_000_000).unwrap_or_default();
    put(chunk::SECONDS, &seconds.to_be_bytes())?;
    put(chunk::MICROSECONDS, &micros.to_be_bytes())?;
    let protocol = match packet.protocol {
        Protocol::Sip => 1,
        Protocol::Diameter => 56,
    };
    put(chunk::PROTOCOL, &[protocol])?;
    put(chunk::CAPTURE_ID, &agent.id.to_be_bytes())?;
    if let Some(key) = &agent.key {
        put(chunk::KEY, key.as_bytes())?;
    }
    if let Some(correlation) = correlation {
        put(chunk::CORRELATION, correlation.as_bytes())?;
    }
    put(chunk::PAYLOAD, &packet.bytes)?;
    let length = u16::try_from(out.len())
        .ok()
        .filter(|_| out.len() <= LENGTH_MAX)?;
    out.get_mut(4..6)?.copy_from_slice(&length.to_be_bytes());
    Some(out)
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// What a HEP3 message says, as its reader sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decoded {
    /// Where the packet came from.
    pub source: SocketAddr,
    /// Whereto it went.
    pub target: SocketAddr,
    /// 17 or 6.
    pub ip_protocol: u8,
    /// In microseconds of the Unix epoch.
    pub at: u64,
    /// 1 for SIP, 56 for Diameter.
    pub protocol: u8,
    /// The capture agent.
    pub agent: Agent,
    /// What it belongs to.
    pub correlation: Option<String>,
    /// The message.
    pub payload: Vec<u8>,
}

/// Reads one message; `None` when it is none.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Decoded> {
    let length = u16::from_be_bytes(*bytes.get(4..6)?.first_chunk()?);
    if !bytes.starts_with(MAGIC) || usize::from(length) != bytes.len() {
        return None;
    }
    let mut rest = bytes.get(6..)?;
    let (mut source, mut target) = (
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    );
    let (mut source_port, mut target_port, mut seconds, mut micros) = (0, 0, 0_u64, 0_u64);
    let (mut ip_protocol, mut protocol, mut agent) = (0, 0, Agent::default());
    let (mut correlation, mut payload) = (None, None);
    while !rest.is_empty() {
        let kind = u16::from_be_bytes(*rest.get(2..4)?.first_chunk()?);
        let length = usize::from(u16::from_be_bytes(*rest.get(4..6)?.first_chunk()?));
        let value = rest.get(6..length)?;
        rest = rest.get(length..)?;
        match kind {
            chunk::IP_PROTOCOL => ip_protocol = *value.first()?,
            chunk::IPV4_SOURCE => source = Ipv4Addr::from(*value.first_chunk::<4>()?).into(),
            chunk::IPV4_TARGET => target = Ipv4Addr::from(*value.first_chunk::<4>()?).into(),
            chunk::IPV6_SOURCE => source = Ipv6Addr::from(*value.first_chunk::<16>()?).into(),
            chunk::IPV6_TARGET => target = Ipv6Addr::from(*value.first_chunk::<16>()?).into(),
            chunk::SOURCE_PORT => source_port = u16::from_be_bytes(*value.first_chunk()?),
            chunk::TARGET_PORT => target_port = u16::from_be_bytes(*value.first_chunk()?),
            chunk::SECONDS => seconds = u32::from_be_bytes(*value.first_chunk()?).into(),
            chunk::MICROSECONDS => micros = u32::from_be_bytes(*value.first_chunk()?).into(),
            chunk::PROTOCOL => protocol = *value.first()?,
            chunk::CAPTURE_ID => agent.id = u32::from_be_bytes(*value.first_chunk()?),
            chunk::KEY => agent.key = Some(String::from_utf8(value.to_vec()).ok()?),
            chunk::CORRELATION => correlation = Some(String::from_utf8(value.to_vec()).ok()?),
            chunk::PAYLOAD => payload = Some(value.to_vec()),
            _ => {}
        }
    }
    Some(Decoded {
        source: SocketAddr::new(source, source_port),
        target: SocketAddr::new(target, target_port),
        ip_protocol,
        at: seconds * 1_000_000 + micros,
        protocol,
        agent,
        correlation,
        payload: payload?,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::net::Interface;

    fn packet(source: &str, target: &str, bytes: Vec<u8>) -> Packet {
        Packet {
            at: 1_767_225_600_123_456,
            is_heard: true,
            protocol: Protocol::Sip,
            transport: Transport::Udp,
            interface: Interface::Gm,
            source: source.parse().unwrap(),
            target: target.parse().unwrap(),
            bytes: Bytes::from(bytes),
            cause: 0,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let agent = Agent {
            id: 2001,
            key: Some("secret".into()),
        };
        let addresses = [
            ("192.0.2.1:5060", "192.0.2.9:40000"),
            ("[2001:db8::1]:5060", "[2001:db8::9]:40000"),
        ];
        for (source, target) in addresses {
            let packet = packet(source, target, b"OPTIONS sip:h SIP/2.0\r\n\r\n".to_vec());
            let read = decode(&encode(&packet, &agent, Some("c1@h")).unwrap()).unwrap();
            let wanted = Decoded {
                source: packet.source,
                target: packet.target,
                ip_protocol: 17,
                at: packet.at,
                protocol: 1,
                agent: agent.clone(),
                correlation: Some("c1@h".into()),
                payload: packet.bytes.to_vec(),
            };
            assert_eq!(read, wanted);
        }
    }

    #[test]
    fn first_octets_are_those_of_the_specification() {
        let message = encode(
            &packet("192.0.2.1:5060", "192.0.2.9:5060", b"A".to_vec()),
            &Agent::default(),
            None,
        )
        .unwrap();
        let head = [
            &b"HEP3"[..],
            &[0, 100],
            &[0, 0, 0, 1, 0, 7, 2],
            &[0, 0, 0, 3, 0, 10, 192, 0, 2, 1],
        ]
        .concat();
        assert_eq!(message.len(), 100);
        assert!(message.starts_with(&head), "{message:x?}");
        assert!(message.ends_with(&[0, 0, 0, 15, 0, 7, b'A']));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_rubbish_is_not_read() {
        let large = packet("192.0.2.1:5060", "192.0.2.9:5060", vec![b'x'; 65_500]);
        assert_eq!(encode(&large, &Agent::default(), None), None);
        let message = encode(
            &packet("192.0.2.1:1", "192.0.2.9:1", b"A".to_vec()),
            &Agent::default(),
            None,
        )
        .unwrap();
        for end in 0..message.len() {
            assert_eq!(decode(&message[..end]), None);
        }
    }
}
