//! Testkit: what leaves, read by those who get it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

use bytes::Bytes;

use super::*;
use crate::config::{HepConfig, HepTransport, OtlpConfig};
use crate::net::{Interface, Transport};
use crate::telemetry::capture::CaptureRequest;
use crate::telemetry::hep::decode;
use crate::telemetry::packet::Protocol;

const PATIENCE: Duration = Duration::from_secs(20);

fn packet(is_heard: bool, start: &str) -> Packet {
    let text = format!(
        "{start}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCall-ID: c1\r\nCSeq: 1 REGISTER\r\nFrom: <sip:001010000000001@h>\r\n\
         WWW-Authenticate: Digest ck=\"0123\"\r\n\r\n"
    );
    let (ue, node) = (
        SocketAddr::from(([192, 0, 2, 9], 40_000)),
        SocketAddr::from(([192, 0, 2, 1], 5060)),
    );
    Packet {
        at: unix_micros(),
        is_heard,
        protocol: Protocol::Sip,
        transport: Transport::Udp,
        interface: Interface::Gm,
        source: if is_heard { ue } else { node },
        target: if is_heard { node } else { ue },
        bytes: Bytes::from(text),
        cause: 1,
    }
}

fn hep(collector: SocketAddr, transport: HepTransport) -> Exports {
    let config = ExportConfig {
        hep: Some(HepConfig {
            collector,
            transport,
            agent: 7,
            key: Some("k".to_owned().try_into().unwrap()),
        }),
        ..ExportConfig::default()
    };
    Exports::start("pcscf", &config)
}

fn count(exports: &Exports, to: &str, outcome: &str) -> u64 {
    let mut metrics = Metrics::default();
    exports.metrics(&mut metrics);
    assert!(crate::telemetry::catalogue::complaints(&metrics).is_empty());
    metrics.sum("ims_export_total", &[("to", to), ("outcome", outcome)])
}

/// Until it holds.
fn wait_for(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < PATIENCE, "in vain");
        thread::sleep(PAUSE);
    }
}

#[test]
fn a_capture_server_gets_each_message_with_its_call_and_without_keys() {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let exports = hep(server.local_addr().unwrap(), HepTransport::Udp);
    exports.put(&packet(true, "REGISTER sip:h SIP/2.0"));
    let mut octets = [0; 4_096];
    let length = server.recv(&mut octets).unwrap();
    let read = decode(&octets[..length]).unwrap();
    assert_eq!(read.correlation.as_deref(), Some("c1"));
    assert_eq!((read.agent.id, read.agent.key.as_deref()), (7, Some("k")));
    let payload = String::from_utf8(read.payload).unwrap();
    assert!(
        payload.contains("ck=\"xxxx\"") && payload.starts_with("REGISTER"),
        "{payload}"
    );
    wait_for(|| count(&exports, "hep", "sent") == 1);
}

#[test]
fn messages_over_a_stream_follow_each_other() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let exports = hep(listener.local_addr().unwrap(), HepTransport::Tcp);
    exports.put(&packet(true, "REGISTER sip:h SIP/2.0"));
    exports.put(&packet(false, "SIP/2.0 200 OK"));
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for start in ["REGISTER", "SIP/2.0 200"] {
        let mut head = [0; 6];
        stream.read_exact(&mut head).unwrap();
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let mut message = head.to_vec();
        message.resize(length, 0);
        stream.read_exact(&mut message[6..]).unwrap();
        assert!(decode(&message).unwrap().payload.starts_with(start.as_bytes()));
    }
}

#[test]
fn a_capture_server_that_reads_nothing_stops_nobody_and_costs_packets_that_are_counted() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let exports = hep(listener.local_addr().unwrap(), HepTransport::Tcp);
    let large = Packet {
        bytes: Bytes::from(vec![b'x'; 60_000]),
        ..packet(true, "X")
    };
    for _ in 0..4_000 {
        exports.put(&large);
    }
    assert!(count(&exports, "hep", "left_out") >= 3_000);
    let nobody = hep(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)), HepTransport::Tcp);
    nobody.put(&packet(true, "X"));
    wait_for(|| count(&nobody, "hep", "failed") == 1);
}

/// Reads one HTTP request with its body, and answers 200.
fn request(listener: &TcpListener) -> (String, Vec<u8>) {
    let stream = std::sync::OnceLock::new();
    listener.set_nonblocking(true).unwrap();
    wait_for(|| match listener.accept() {
        Ok(accepted) => stream.set(accepted.0).is_ok(),
        Err(_) => false,
    });
    let mut stream: TcpStream = stream.into_inner().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut octets, mut part) = (Vec::new(), [0; 4_096]);
    loop {
        let length = stream.read(&mut part).unwrap();
        octets.extend_from_slice(&part[..length]);
        let Some(head) = memchr::memmem::find(&octets, b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8(octets[..head].to_vec()).unwrap().to_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let body = octets[head + 4..].to_vec();
        if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            return (text, body);
        }
    }
}

/// Fields of a protobuf message: number, and octets of what has a length.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (octet, rest) = message.split_first().unwrap();
            *message = rest;
            value |= u64::from(octet & 0x7F) << shift;
            if octet & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let value = match tag & 7 {
            0 => varint(&mut message).to_be_bytes().to_vec(),
            kind => {
                let length = match kind {
                    1 => 8,
                    5 => 4,
                    _ => usize::try_from(varint(&mut message)).unwrap(),
                };
                let (value, rest) = message.split_at(length);
                message = rest;
                value.to_vec()
            }
        };
        found.push((tag >> 3, value));
    }
    found
}

fn field(message: &[u8], path: &[u64]) -> Vec<u8> {
    path.iter().fold(message.to_vec(), |message, number| {
        let found = fields(&message).into_iter().find(|(it, _)| it == number);
        found.unwrap_or_else(|| panic!("field {number}")).1
    })
}

#[test]
fn a_collector_gets_spans_in_its_own_language() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let config = ExportConfig {
        otlp: Some(OtlpConfig {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            sample: 1.0,
            identities: false,
        }),
        ..ExportConfig::default()
    };
    let exports = Exports::start("pcscf", &config);
    exports.put(&packet(true, "REGISTER sip:h SIP/2.0"));
    exports.put(&packet(false, "SIP/2.0 200 OK"));
    let (head, body) = request(&listener);
    assert!(head.starts_with("post /v1/traces"), "{head}");
    assert!(head.contains("application/x-protobuf"), "{head}");
    // ExportTraceServiceRequest.resource_spans.scope_spans.spans: trace_id 1, span_id 2, name 5.
    let span = field(&body, &[1, 2, 2]);
    assert_eq!(field(&span, &[5]), b"REGISTER");
    assert_eq!((field(&span, &[1]).len(), field(&span, &[2]).len()), (16, 8));
    // Resource.attributes: service.name.
    assert_eq!(field(&body, &[1, 1, 1, 1]), b"service.name");
    assert!(
        memchr::memmem::find(&body, b"001010000000001").is_none(),
        "no identities"
    );
    assert!(memchr::memmem::find(&body, b"0123").is_none(), "no keys");
    wait_for(|| count(&exports, "otlp", "sent") == 1);
}

#[test]
fn a_collector_that_is_not_there_costs_spans_that_are_counted() {
    let config = ExportConfig {
        otlp: Some(OtlpConfig {
            endpoint: "http://127.0.0.1:9".into(),
            sample: 1.0,
            identities: false,
        }),
        ..ExportConfig::default()
    };
    let exports = Exports::start("pcscf", &config);
    exports.put(&packet(true, "REGISTER sip:h SIP/2.0"));
    exports.put(&packet(false, "SIP/2.0 200 OK"));
    wait_for(|| count(&exports, "otlp", "failed") == 1);
}

#[test]
fn a_capture_is_a_file_with_the_real_addresses_and_nobody_captures_unasked() {
    let exports = Exports::start("pcscf", &ExportConfig::default());
    assert!(!exports.is_wanted());
    let pcap = exports.pcap().unwrap();
    let request = CaptureRequest {
        who: "001010000000001".into(),
        minutes: 1,
        max_bytes: 100_000,
    };
    let id = pcap.start(&request).unwrap().id;
    assert!(exports.is_wanted());
    exports.put(&packet(true, "REGISTER sip:h SIP/2.0"));
    exports.put(&packet(false, "SIP/2.0 401 Unauthorized"));
    let file = pcap.file(id).unwrap();
    assert_eq!(&file[..4], &[0xA1, 0xB2, 0xC3, 0xD4]);
    assert_eq!(&file[20..24], &[0, 0, 0, 101], "raw IP");
    let first = &file[24 + 16..];
    assert_eq!(&first[12..20], &[192, 0, 2, 9, 192, 0, 2, 1]);
    assert!(memchr::memmem::find(&file, b"ck=\"xxxx\"").is_some());
    assert!(memchr::memmem::find(&file, b"0123").is_none());
    assert_eq!(pcap.states()[0].packets, 2);
    assert!(pcap.remove(id));
    wait_for(|| !exports.is_wanted());
}
