//! Machine: tests of the joined node, with a CSCF that asks once and answers every push.

use ims_common::diameter::grammar::{avp, command};
use ims_common::diameter::{self, CommandFlags, Header, MessageBuilder};
use ims_common::identity::{Impi, Impu};
use ims_common::limits::SipLimits;
use ims_common::net::{ConnectionId, DiameterInput, DiameterOutput, Flow, Interface, Transport};
use ims_common::node::Seed;
use ims_common::sip::Message;
use std::time::Duration;

use super::*;
use crate::client::HssClientConfig;
use crate::cx::{
    CxPush, CxPushAnswer, CxRequest, CxRequestId, CxResult, DeregistrationReason, Lir, ReasonCode,
    RequestHead, Rta, Rtr,
};

/// Asks the HSS on `Drain` and is drained when it has the answer.
#[derive(Debug, Default)]
struct Asker {
    outputs: VecDeque<CscfOutput>,
    answers: usize,
    /// Of each message of SIP, whether it came as one too many.
    excess: Vec<bool>,
    /// Whether it does not know whom the HSS speaks of.
    is_stranger: bool,
}

impl Node for Asker {
    type Input = CscfInput;
    type Output = CscfOutput;

    fn handle(&mut self, _now: Instant, input: CscfInput) {
        assert!(self.outputs.is_empty(), "not drained before the next input");
        match input {
            CscfInput::Command(Command::Registration(_) | Command::Unban(_)) => {}
            CscfInput::Command(Command::Drain) => {
                let request = CxRequest::Lir(Lir {
                    public_identity: Impu::parse("sip:alice@ims.example").unwrap(),
                    originating: false,
                    authorization_type: None,
                });
                let id = CxRequestId(1);
                self.outputs
                    .push_back(CscfOutput::Cx(CxOutput::Request { id, request }));
            }
            CscfInput::Cx(CxInput::Answer { .. }) => {
                self.answers += 1;
                self.outputs.push_back(CscfOutput::Drained);
            }
            CscfInput::Cx(CxInput::Push { id, .. }) => {
                let result = match self.is_stranger {
                    true => CxResult::USER_UNKNOWN,
                    false => CxResult::SUCCESS,
                };
                let answer = CxPushAnswer::Rta(Rta { result });
                self.outputs
                    .push_back(CscfOutput::Cx(CxOutput::PushAnswer { id, answer }));
            }
            CscfInput::Sip(input) => self.excess.push(matches!(input, SipInput::Excess { .. })),
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self) -> Option<CscfOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn metrics(&self, _out: &mut Metrics) {}
}

#[expect(clippy::disallowed_methods, reason = "an Instant has no other constructor")]
fn start() -> Instant {
    Instant::now()
}

fn joined() -> WithHss<Asker> {
    joined_with(1_000)
}

fn joined_with(in_flight_max: usize) -> WithHss<Asker> {
    shard(in_flight_max, ShardPlace::ALONE, Asker::default())
}

fn shard(in_flight_max: usize, place: ShardPlace, cscf: Asker) -> WithHss<Asker> {
    let config = HssClientConfig {
        origin_host: "icscf.ims.example".to_owned(),
        origin_realm: "ims.example".to_owned(),
        destination_realm: "ims.example".to_owned(),
        peers: vec!["192.0.2.1:3868".to_owned()],
        in_flight_max,
        ..HssClientConfig::default()
    };
    WithHss::of_shard(cscf, place, || HssClient::new(config, &Seed::from_number(1)))
}

fn sent(node: &mut WithHss<Asker>) -> diameter::Message {
    match node.poll_output() {
        Some(NetOutput::Diameter(DiameterOutput::Send { bytes, .. })) => {
            diameter::Message::parse(bytes).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn answer(node: &mut WithHss<Asker>, now: Instant, request: &Header) {
    let mut builder = MessageBuilder::new(request.answer(false));
    builder
        .u32(&avp::RESULT_CODE, 2001)
        .text(&avp::ORIGIN_HOST, "hss")
        .u32(&avp::AUTH_APPLICATION_ID, 16_777_216);
    let connection = ConnectionId(1);
    let bytes = builder.finish();
    node.handle(
        now,
        NetInput::Diameter(DiameterInput::Message { connection, bytes }),
    );
}

fn connected(now: Instant) -> WithHss<Asker> {
    connect(joined(), now)
}

fn connect(mut node: WithHss<Asker>, now: Instant) -> WithHss<Asker> {
    let Some(NetOutput::Diameter(DiameterOutput::Connect { attempt, .. })) = node.poll_output() else {
        panic!("does not dial");
    };
    let address = "192.0.2.1:3868".parse().unwrap();
    let up = DiameterInput::Connected {
        connection: ConnectionId(1),
        attempt: Some(attempt),
        local: address,
        remote: address,
    };
    node.handle(now, NetInput::Diameter(up));
    let cer = sent(&mut node);
    answer(&mut node, now, cer.header());
    node
}

#[test]
fn request_goes_out_and_its_answer_comes_back_and_drain_ends_with_a_goodbye() {
    let now = start();
    let mut node = connected(now);
    node.handle(now, NetInput::Command(Command::Drain));
    let lir = sent(&mut node);
    assert_eq!(lir.header().code, 302);
    assert!(node.poll_output().is_none());
    answer(&mut node, now, lir.header());
    assert_eq!(node.cscf().answers, 1);
    let dpr = sent(&mut node);
    assert_eq!(dpr.header().code, command::DISCONNECT_PEER);
    assert!(node.poll_output().is_none(), "drained before the DPA");
    answer(&mut node, now, dpr.header());
    assert!(matches!(
        node.poll_output(),
        Some(NetOutput::Diameter(DiameterOutput::Close { .. }))
    ));
    assert!(matches!(node.poll_output(), Some(NetOutput::Drained)));
}

#[test]
fn request_without_a_peer_is_answered_in_the_same_step() {
    let now = start();
    let mut node = joined();
    while node.poll_output().is_some() {}
    node.handle(now, NetInput::Command(Command::Drain));
    assert_eq!(node.cscf().answers, 1);
    assert!(matches!(node.poll_output(), Some(NetOutput::Drained)));
}

fn push(node: &mut WithHss<Asker>, now: Instant, bytes: bytes::Bytes) -> diameter::Message {
    let connection = ConnectionId(1);
    node.handle(
        now,
        NetInput::Diameter(DiameterInput::Message { connection, bytes }),
    );
    sent(node)
}

/// Of a user.
fn rtr() -> bytes::Bytes {
    let local = ims_common::diameter::LocalPeer {
        origin_host: "hss".to_owned(),
        origin_realm: "ims.example".to_owned(),
        host_ip_addresses: Vec::new(),
        product_name: String::new(),
        origin_state_id: 0,
        applications: Vec::new(),
        supported_vendors: Vec::new(),
    };
    let rtr = CxPush::Rtr(Rtr {
        user_name: Impi::parse("alice@ims.example").unwrap(),
        public_identities: Vec::new(),
        associated_identities: Vec::new(),
        reason: DeregistrationReason {
            code: ReasonCode::NewServerAssigned,
            info: None,
        },
    });
    rtr.encode(&RequestHead {
        local: &local,
        session_id: "hss;1;1",
        destination_host: Some("icscf.ims.example"),
        destination_realm: "ims.example",
        hop_by_hop: 5,
        end_to_end: 6,
    })
}

#[test]
fn push_is_answered_by_the_cscf_in_the_same_step() {
    let now = start();
    let mut node = connected(now);
    let rta = push(&mut node, now, rtr());
    assert_eq!((rta.header().code, rta.result_code()), (304, Some(2001)));
}

#[test]
fn unknown_command_of_the_hss_does_not_reach_the_cscf() {
    let now = start();
    let mut node = connected(now);
    let mut builder = MessageBuilder::new(Header {
        flags: CommandFlags(0xC0),
        code: 999,
        application: 16_777_216,
        hop_by_hop: 5,
        end_to_end: 6,
    });
    builder.text(&avp::SESSION_ID, "hss;1;1");
    assert_eq!(push(&mut node, now, builder.finish()).result_code(), Some(3001));
}

#[test]
fn the_earlier_timer_of_the_two_is_the_timer_of_the_node() {
    let now = start();
    let node = connected(now);
    let tw = node.poll_timeout().unwrap() - now;
    assert!((28..=32).contains(&tw.as_secs()), "{tw:?}");
}

fn options() -> NetInput {
    let text = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\r\n";
    let message = Message::parse(bytes::Bytes::from(text), &SipLimits::default()).unwrap();
    let address = "192.0.2.9:5060".parse().unwrap();
    let flow = Flow {
        interface: Interface::Mw,
        transport: Transport::Udp,
        local: address,
        remote: address,
        connection: None,
    };
    NetInput::Sip(SipInput::Received { flow, message })
}

#[test]
fn new_work_is_one_too_many_while_the_requests_before_it_wait_for_the_hss() {
    let mut now = start();
    let mut node = connect(joined_with(1), now);
    node.handle(now, NetInput::Command(Command::Drain));
    let first = sent(&mut node);
    node.handle(now, NetInput::Command(Command::Drain));
    assert!(node.poll_output().is_none(), "it waits for the first");
    node.handle(now, options());
    now += Duration::from_millis(1_300);
    node.handle(now, options());
    answer(&mut node, now, first.header());
    assert_eq!(sent(&mut node).header().code, 302, "it has its turn");
    node.handle(now, options());
    assert_eq!(node.cscf().excess, [false, true, false]);
}

/// The first one is connected with the HSS.
fn two_shards(in_flight_max: usize, now: Instant) -> [WithHss<Asker>; 2] {
    let place = |number| ShardPlace {
        shard: ShardId(number),
        of: 2,
    };
    let stranger = Asker {
        is_stranger: true,
        ..Asker::default()
    };
    let first = connect(shard(in_flight_max, place(0), stranger), now);
    [first, shard(in_flight_max, place(1), Asker::default())]
}

/// Carries words until both are quiet.
fn talk([first, second]: &mut [WithHss<Asker>; 2], now: Instant) {
    loop {
        match (first.poll_spoken(), second.poll_spoken()) {
            (None, None) => return,
            (to_second, to_first) => {
                for (spoken, whom, number) in [(to_second, &mut *second, 1), (to_first, &mut *first, 0)] {
                    match spoken {
                        Some(Spoken::To(shard, word)) => {
                            assert_eq!(shard, ShardId(number));
                            whom.hear(now, word);
                        }
                        Some(other) => panic!("{other:?}"),
                        None => {}
                    }
                }
            }
        }
    }
}

#[test]
fn every_shard_gets_its_own_answers_though_their_numbers_are_the_same() {
    let now = start();
    let mut shards = two_shards(1_000, now);
    for shard in &mut shards {
        shard.handle(now, NetInput::Command(Command::Drain));
    }
    talk(&mut shards, now);
    let (first, second) = (sent(&mut shards[0]), sent(&mut shards[0]));
    answer(&mut shards[0], now, second.header());
    talk(&mut shards, now);
    assert_eq!((shards[0].cscf().answers, shards[1].cscf().answers), (0, 1));
    answer(&mut shards[0], now, first.header());
    talk(&mut shards, now);
    assert_eq!((shards[0].cscf().answers, shards[1].cscf().answers), (1, 1));
}

#[test]
fn the_goodbye_to_the_hss_comes_after_the_last_shard() {
    let now = start();
    let mut shards = two_shards(1_000, now);
    shards[0].handle(now, NetInput::Command(Command::Drain));
    let own = sent(&mut shards[0]);
    answer(&mut shards[0], now, own.header());
    talk(&mut shards, now);
    assert!(shards[0].poll_output().is_none(), "another shard may still ask");
    shards[1].handle(now, NetInput::Command(Command::Drain));
    talk(&mut shards, now);
    let other = sent(&mut shards[0]);
    answer(&mut shards[0], now, other.header());
    talk(&mut shards, now);
    assert!(matches!(shards[1].poll_output(), Some(NetOutput::Drained)));
    assert_eq!(sent(&mut shards[0]).header().code, command::DISCONNECT_PEER);
}

#[test]
fn the_answer_of_the_shard_that_knows_the_user_goes_to_the_hss() {
    let now = start();
    let mut shards = two_shards(1_000, now);
    let (connection, bytes) = (ConnectionId(1), rtr());
    let message = DiameterInput::Message { connection, bytes };
    shards[0].handle(now, NetInput::Diameter(message));
    assert!(
        shards[0].poll_output().is_none(),
        "the other one has not answered"
    );
    talk(&mut shards, now);
    let rta = sent(&mut shards[0]);
    assert_eq!((rta.header().code, rta.result_code()), (304, Some(2001)));
    assert!(shards[0].poll_output().is_none());
}

#[test]
fn every_shard_knows_when_too_much_waits_for_the_hss() {
    let mut now = start();
    let mut shards = two_shards(1, now);
    for shard in &mut shards {
        shard.handle(now, NetInput::Command(Command::Drain));
    }
    talk(&mut shards, now);
    let first = sent(&mut shards[0]);
    shards[1].handle(now, options());
    now += Duration::from_millis(1_300);
    shards[0].handle(now, options());
    talk(&mut shards, now);
    shards[1].handle(now, options());
    answer(&mut shards[0], now, first.header());
    talk(&mut shards, now);
    shards[1].handle(now, options());
    assert_eq!(shards[1].cscf().excess, [false, true, false]);
}
