//! Codec: messages as IP packets, for programs that read capture files: what a wire could have shown, with the real
//! addresses and without what a wire would have hidden.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::packet::Packet;
use crate::net::Transport;

const UDP: u8 = 17;
const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// What fits into one IP packet of either version with every header.
const PAYLOAD_MAX: usize = 65_535 - 40 - TCP_HEADER;
const PUSH_AND_ACK: u8 = 0x18;

/// Makes IP packets of messages, in their order. Those over TCP, and Diameter, become segments of streams that begin with
/// the first message.
#[derive(Debug, Default)]
pub struct IpPrinter {
    /// Octets that went each way.
    streams: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl IpPrinter {
    /// One packet, from the IP header on.
    pub fn print(&mut self, packet: &Packet) -> Vec<u8> {
        let (source, target) = same_family(packet.source, packet.target);
        let payload = packet.bytes.get(..PAYLOAD_MAX).unwrap_or(&packet.bytes);
        match packet.transport {
            Transport::Udp => {
                let mut segment = Vec::with_capacity(UDP_HEADER + payload.len());
                segment.extend(source.port().to_be_bytes());
                segment.extend(target.port().to_be_bytes());
                segment.extend(low_u16(UDP_HEADER + payload.len()).to_be_bytes());
                segment.extend([0, 0]);
                segment.extend(payload);
                ip(source.ip(), target.ip(), UDP, segment, 6)
            }
            Transport::Tcp => {
                let acknowledged = self.streams.get(&(target, source)).copied().unwrap_or(1);
                let sent = self.streams.entry((source, target)).or_insert(1);
                let mut segment = Vec::with_capacity(TCP_HEADER + payload.len());
                segment.extend(source.port().to_be_bytes());
                segment.extend(target.port().to_be_bytes());
                segment.extend(sent.to_be_bytes());
                segment.extend(acknowledged.to_be_bytes());
                segment.extend([0x50, PUSH_AND_ACK, 0xFF, 0xFF, 0, 0, 0, 0]);
                segment.extend(payload);
                *sent = sent.wrapping_add(u32::from(low_u16(payload.len())));
                ip(source.ip(), target.ip(), TCP, segment, 16)
            }
        }
    }
}

/// IPv4 in both, or IPv6 in both.
fn same_family(source: SocketAddr, target: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, target) = (plain(source), plain(target));
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    match source.is_ipv4() == target.is_ipv4() {
        true => (source, target),
        false => (mapped(source), mapped(target)),
    }
}

/// Puts the IP header before a segment, and the checksum where it belongs.
fn ip(source: IpAddr, target: IpAddr, protocol: u8, mut segment: Vec<u8>, checksum_at: usize) -> Vec<u8> {
    let length = low_u16(segment.len());
    let addresses = [octets(source), octets(target)].concat();
    let pseudo = [&addresses[..], &[0, protocol], &length.to_be_bytes()];
    let sum = checksum(pseudo.iter().copied().chain([segment.as_slice()]));
    // RFC 768: zero means none.
    let sum = if protocol == UDP && sum == 0 { 0xFFFF } else { sum };
    if let Some(place) = segment.get_mut(checksum_at..checksum_at + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    let mut packet = match source {
        IpAddr::V4(_) => {
            let mut header = vec![0x45, 0];
            header.extend(length.saturating_add(20).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(&addresses);
            let sum = checksum([header.as_slice()]);
            if let Some(place) = header.get_mut(10..12) {
                place.copy_from_slice(&sum.to_be_bytes());
            }
            header
        }
        IpAddr::V6(_) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(length.to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(&addresses);
            header
        }
    };
    packet.append(&mut segment);
    packet
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn low_u16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// RFC 1071. All parts but the last have an even length.
fn checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            let high = pair.first().copied().unwrap_or_default();
            let low = pair.get(1).copied().unwrap_or_default();
            sum += u64::from(u16::from_be_bytes([high, low]));
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::net::Interface;
    use crate::telemetry::packet::Protocol;

    fn packet(transport: Transport, source: &str, target: &str, bytes: &'static [u8]) -> Packet {
        Packet {
            at: 0,
            is_heard: true,
            protocol: Protocol::Sip,
            transport,
            interface: Interface::Gm,
            source: source.parse().unwrap(),
            target: target.parse().unwrap(),
            bytes: Bytes::from_static(bytes),
            cause: 0,
        }
    }

    /// A sum over everything, checksum included, is zero.
    fn is_right(packet: &[u8], header: usize, protocol: u8) -> bool {
        let addresses = if header == 20 {
            &packet[12..20]
        } else {
            &packet[8..40]
        };
        let length = low_u16(packet.len() - header).to_be_bytes();
        checksum([addresses, &[0, protocol], &length, &packet[header..]]) == 0
    }

    #[test]
    fn datagrams_of_both_families_have_right_lengths_and_checksums() {
        let mut printer = IpPrinter::default();
        let v4 = printer.print(&packet(
            Transport::Udp,
            "192.0.2.1:5060",
            "192.0.2.2:4000",
            b"odd",
        ));
        assert_eq!(v4.len(), 20 + 8 + 3);
        assert_eq!(checksum([&v4[..20]]), 0);
        assert!(is_right(&v4, 20, UDP));
        assert_eq!(&v4[2..4], &31_u16.to_be_bytes());
        assert!(v4.ends_with(b"odd"));
        let v6 = printer.print(&packet(
            Transport::Udp,
            "[2001:db8::1]:5060",
            "[2001:db8::2]:4000",
            b"even",
        ));
        assert_eq!(v6.len(), 40 + 8 + 4);
        assert!(is_right(&v6, 40, UDP));
        let mixed = printer.print(&packet(
            Transport::Udp,
            "[::ffff:192.0.2.1]:1",
            "192.0.2.2:2",
            b"",
        ));
        assert_eq!(mixed[0], 0x45);
    }

    #[test]
    fn segments_of_a_stream_follow_each_other_and_acknowledge_the_other_way() {
        let mut printer = IpPrinter::default();
        let (a, b) = ("192.0.2.1:5060", "192.0.2.2:4000");
        let first = printer.print(&packet(Transport::Tcp, a, b, b"12345"));
        let answer = printer.print(&packet(Transport::Tcp, b, a, b"123"));
        let second = printer.print(&packet(Transport::Tcp, a, b, b"1"));
        let numbers = |packet: &[u8]| {
            let number = |at: usize| u32::from_be_bytes(*packet[at..].first_chunk().unwrap());
            (number(24), number(28))
        };
        assert_eq!(numbers(&first), (1, 1));
        assert_eq!(numbers(&answer), (1, 6));
        assert_eq!(numbers(&second), (6, 4));
        assert!([&first, &answer, &second].iter().all(|it| is_right(it, 20, TCP)));
    }
}
