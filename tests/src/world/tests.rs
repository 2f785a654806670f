use super::*;
use ims_common::net::{Destination, SendTag};
use std::collections::VecDeque;

/// A node that answers every request with the given responses, and sends what it is given.
#[derive(Default)]
struct Parrot {
    answers: Vec<&'static str>,
    outputs: VecDeque<NetOutput>,
    heard: Vec<Bytes>,
}

impl Parrot {
    fn send(&mut self, transport: Transport, remote: &str, text: &str) {
        self.outputs
            .push_back(NetOutput::Sip(SipOutput::Transmit(Transmit {
                bytes: Bytes::copy_from_slice(text.replace('\n', "\r\n").as_bytes()),
                destination: Destination::Address {
                    interface: Interface::Mw,
                    transport,
                    remote: remote.parse().unwrap(),
                },
                tag: SendTag(1),
            })));
    }
}

impl Node for Parrot {
    type Input = NetInput;
    type Output = NetOutput;
    fn handle(&mut self, _now: Instant, input: NetInput) {
        let NetInput::Sip(SipInput::Received { flow, message }) = input else {
            return;
        };
        self.heard.push(message.bytes().clone());
        for answer in &self.answers {
            self.outputs
                .push_back(NetOutput::Sip(SipOutput::Transmit(Transmit {
                    bytes: Bytes::from(answer.replace('\n', "\r\n")),
                    destination: Destination::Flow(flow),
                    tag: SendTag(2),
                })));
        }
    }
    fn handle_timeout(&mut self, _now: Instant) {}
    fn poll_output(&mut self) -> Option<NetOutput> {
        self.outputs.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn metrics(&self, _out: &mut Metrics) {}
}

const REQUEST: &str = "OPTIONS sip:b SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a>;tag=1\n\
                       To: <sip:b>\nCall-ID: 1\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n";
const OK: &str = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a>;tag=1\n\
                  To: <sip:b>;tag=2\nCall-ID: 1\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n";
const BUSY: &str = "SIP/2.0 486 Busy Here\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a>;tag=1\n\
                    To: <sip:b>;tag=2\nCall-ID: 1\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n";
const KEYS: &str = "SIP/2.0 401 Unauthorized\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a>;tag=1\n\
                    To: <sip:b>;tag=2\nCall-ID: 1\nCSeq: 1 OPTIONS\n\
                    WWW-Authenticate: Digest nonce=\"ck=\",ik=\"00\"\nContent-Length: 0\n\n";

fn world(answers: &[&'static str]) -> World {
    let mut world = World::seeded(1);
    let caller = NodeSpec::ue("A", "192.0.2.1:5060".parse().unwrap())
        .socket(Interface::Mw, "192.0.2.3:5060".parse().unwrap());
    world.add(caller, Parrot::default());
    let callee = NodeSpec::network("B").socket(Interface::Mw, "192.0.2.2:5060".parse().unwrap());
    let parrot = Parrot {
        answers: answers.to_vec(),
        ..Parrot::default()
    };
    world.add(callee, parrot);
    world
}

fn ask(world: &mut World, transport: Transport) {
    world.with("A", |_, node: &mut Parrot| {
        node.send(transport, "192.0.2.2:5060", REQUEST)
    });
    world.run_until_idle();
}

#[test]
fn a_request_travels_and_its_answer_comes_back_on_both_transports() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = world(&[OK]);
        ask(&mut world, transport);
        assert_eq!(world.record().start_lines("B", "A"), ["SIP/2.0 200 OK"]);
        assert_eq!(world.elapsed(), Duration::from_millis(10));
        assert!(world.unanswered().is_empty());
        assert_eq!(world.with("A", |_, node: &mut Parrot| node.heard.len()), 1);
    }
}

#[test]
fn a_request_without_an_answer_is_remembered() {
    let mut world = world(&[]);
    ask(&mut world, Transport::Udp);
    assert_eq!(world.unanswered().len(), 1);
}

#[test]
#[should_panic(expected = "B answered 200 and then 486")]
fn two_different_final_answers_stop_the_world() {
    ask(&mut world(&[OK, OK, BUSY]), Transport::Udp);
}

#[test]
#[should_panic(expected = "B sent a key (ck or ik) to A")]
fn a_key_on_its_way_to_a_phone_stops_the_world() {
    ask(&mut world(&[KEYS]), Transport::Udp);
}

#[test]
fn a_cut_link_loses_everything_and_says_so_in_the_ladder() {
    let mut world = world(&[OK]);
    world.links.set(
        "A",
        "B",
        links::Link {
            cut: true,
            ..links::Link::default()
        },
    );
    ask(&mut world, Transport::Udp);
    assert!(crate::ladder::of(world.record()).contains("LOST"));
    assert_eq!(world.with("B", |_, node: &mut Parrot| node.heard.len()), 0);
}
