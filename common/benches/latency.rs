//! Testkit: what it costs to measure how long things take, for each message that crosses the border.
#![allow(clippy::disallowed_methods, reason = "a bench")]

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use divan::Bencher;
use ims_common::limits::SipLimits;
use ims_common::net::{
    Destination, Flow, Interface, NetInput, NetOutput, SendTag, SipInput, SipOutput, Transmit, Transport,
};
use ims_common::sip::Message;
use ims_common::telemetry::latency::Latency;

const HEADERS: &str = "Max-Forwards: 70\r\nFrom: <sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org>;tag=1\r\n\
    To: <sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org>\r\nCall-ID: 0123456789abcdef@192.0.2.9\r\nCSeq: 1 REGISTER\r\n\
    Contact: <sip:192.0.2.9:5060>;expires=600000\r\nP-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000001\r\n\
    Supported: path, sec-agree\r\nUser-Agent: handset\r\nContent-Length: 0\r\n\r\n";

fn main() {
    divan::main();
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn request() -> NetInput {
    let text = format!(
        "REGISTER sip:ims.mnc001.mcc001.3gppnetwork.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK0123456789;rport\r\n{HEADERS}"
    );
    let message = Message::parse(Bytes::from(text), &SipLimits::default()).expect("SIP");
    let flow = Flow {
        interface: Interface::Gm,
        transport: Transport::Udp,
        local: address(5060),
        remote: address(5061),
        connection: None,
    };
    NetInput::Sip(SipInput::Received { flow, message })
}

fn answer() -> NetOutput {
    let text = format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK0123456789;rport\r\n{HEADERS}"
    );
    NetOutput::Sip(SipOutput::Transmit(Transmit {
        bytes: Bytes::from(text),
        destination: Destination::Address {
            interface: Interface::Gm,
            transport: Transport::Udp,
            remote: address(5061),
        },
        tag: SendTag(0),
    }))
}

/// A REGISTER that is heard and its 200 that is said: two messages.
#[divan::bench]
fn register_and_its_answer(bencher: Bencher<'_, '_>) {
    let (request, answer, now) = (request(), answer(), Instant::now());
    let mut latency = Latency::new((1, 2));
    bencher.bench_local(|| {
        latency.heard(now, &request);
        latency.said(now, &answer);
    });
}
