use super::*;
use crate::world::links::Link;
use bytes::Bytes;
use ims_common::net::{Destination, SendTag, Transmit};
use std::collections::VecDeque;

/// A node that answers every request with the given responses, and sends what it is given.
#[derive(Default)]
struct Parrot {
    answers: Vec<&'static str>,
    outputs: VecDeque<NetOutput>,
    heard: Vec<Bytes>,
    failed: usize,
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
        self.failed += usize::from(matches!(input, NetInput::Sip(SipInput::SendFailed(_))));
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

const REQUEST: &str = "REGISTER sip:b SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a>;tag=1\n\
                       To: <sip:b>\nCall-ID: 1\nCSeq: 1 REGISTER\nContent-Length: 0\n\n";
const OK: &str = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a>;tag=1\n\
                  To: <sip:b>;tag=2\nCall-ID: 1\nCSeq: 1 REGISTER\nContent-Length: 0\n\n";
const BUSY: &str = "SIP/2.0 486 Busy Here\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a>;tag=1\n\
                    To: <sip:b>;tag=2\nCall-ID: 1\nCSeq: 1 REGISTER\nContent-Length: 0\n\n";
const KEYS: &str = "SIP/2.0 401 Unauthorized\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a>;tag=1\n\
                    To: <sip:b>;tag=2\nCall-ID: 1\nCSeq: 1 REGISTER\n\
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
        Link {
            cut: true,
            ..Link::default()
        },
    );
    ask(&mut world, Transport::Udp);
    assert!(crate::ladder::of(world.record()).contains("LOST"));
    assert_eq!(world.with("B", |_, node: &mut Parrot| node.heard.len()), 0);
}

fn send(world: &mut World, transport: Transport, number: usize) {
    let text = REQUEST.replace("z9hG4bK1", &format!("z9hG4bK{number}"));
    world.with("A", |_, node: &mut Parrot| {
        node.send(transport, "192.0.2.2:5060", &text)
    });
}

/// The branches in the order in which B heard them.
fn heard(world: &mut World) -> Vec<usize> {
    world.with("B", |_, node: &mut Parrot| {
        let texts = node
            .heard
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        texts
            .map(|text| {
                text.split("z9hG4bK")
                    .nth(1)
                    .unwrap()
                    .split('\r')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect()
    })
}

fn rough(world: &mut World) {
    world.links.set_from(
        "A",
        "B",
        Link {
            jitter: Duration::from_millis(50),
            pieces: 800,
            ..Link::default()
        },
    );
}

#[test]
fn datagrams_overtake_each_other_and_streams_come_in_order_however_they_were_cut() {
    for (transport, keeps_order) in [(Transport::Udp, false), (Transport::Tcp, true)] {
        let mut world = world(&[]);
        rough(&mut world);
        (0..20).for_each(|number| send(&mut world, transport, number));
        world.run_until_idle();
        let order = heard(&mut world);
        assert_eq!(order.len(), 20);
        assert_eq!(order.is_sorted(), keeps_order, "{order:?}");
    }
}

#[test]
fn a_stream_waits_behind_a_partition_and_goes_on_when_it_heals() {
    let mut world = world(&[]);
    send(&mut world, Transport::Tcp, 1);
    world.run_until_idle();
    world.links.partition_from("A", "B");
    send(&mut world, Transport::Tcp, 2);
    send(&mut world, Transport::Udp, 3);
    world.advance(Duration::from_secs(30));
    assert_eq!(heard(&mut world), [1]);
    world.links.heal();
    world.advance(Duration::from_secs(2));
    assert_eq!(heard(&mut world), [1, 2], "a datagram does not wait");
}

#[test]
fn a_stream_breaks_when_a_partition_lasts() {
    let mut world = world(&[]);
    send(&mut world, Transport::Tcp, 1);
    world.run_until_idle();
    world.links.partition("A", "B");
    send(&mut world, Transport::Tcp, 2);
    world.advance(Duration::from_secs(70));
    world.links.heal();
    send(&mut world, Transport::Tcp, 3);
    world.run_until_idle();
    assert_eq!(heard(&mut world), [1, 3], "over a new connection");
}

#[test]
fn nobody_learns_of_a_dark_host_before_it_is_up_again() {
    let mut world = world(&[]);
    send(&mut world, Transport::Tcp, 1);
    world.run_until_idle();
    world.darken("B");
    send(&mut world, Transport::Tcp, 2);
    world.advance(Duration::from_secs(30));
    world.restart("B", Parrot::default());
    send(&mut world, Transport::Tcp, 3);
    world.run_until_idle();
    assert!(heard(&mut world).is_empty(), "the old connection is reset");
    send(&mut world, Transport::Tcp, 4);
    world.run_until_idle();
    assert_eq!(heard(&mut world), [4]);
}

#[test]
fn what_was_meant_for_a_dead_process_does_not_reach_the_next_one() {
    let mut world = world(&[]);
    world.with("A", |_, node: &mut Parrot| {
        node.send(Transport::Tcp, "192.0.2.9:5060", REQUEST)
    });
    world.crash("A");
    world.restart("A", Parrot::default());
    world.run_until_idle();
    assert_eq!(world.with("A", |_, node: &mut Parrot| node.failed), 0);
}

#[test]
fn a_node_that_died_owes_no_answer() {
    let mut world = world(&[]);
    ask(&mut world, Transport::Udp);
    world.crash("B");
    assert!(world.unanswered().is_empty());
}
