//! Machine: tests of the peer table, alone and against another one, on virtual time.

use super::*;
use crate::diameter::base::tests::local;
use crate::diameter::base::{Application, Capabilities};
use crate::diameter::builder::MessageBuilder;
use crate::diameter::grammar::{APPLICATION_BASE, avp, command};
use crate::diameter::header::CommandFlags;
use crate::diameter::header::Header;
use crate::diameter::message::Message;
use crate::diameter::testing::{secs, start};

const A: ConnectionId = ConnectionId(1);
const B: ConnectionId = ConnectionId(2);

fn config(name: &str, peers: &[&str], accept: AcceptPolicy) -> PeersConfig {
    PeersConfig {
        local: local(name),
        peers: peers.iter().map(|address| (*address).to_owned()).collect(),
        accept,
        tw: secs(30),
        tc: secs(30),
        connections_max: 4,
        shard: 0,
    }
}

struct Bench {
    now: Instant,
    table: DiameterPeers,
}

impl Bench {
    fn new(peers: &[&str], accept: AcceptPolicy) -> Self {
        let table = DiameterPeers::new(config("m.example", peers, accept), &Seed::from_number(1));
        Self { now: start(), table }
    }

    fn dialling() -> (Self, u64) {
        let mut bench = Self::new(&["192.0.2.1:3868"], AcceptPolicy::ConfiguredAddresses);
        let Some(DiameterOutput::Connect { attempt, address }) = bench.table.poll_output() else {
            panic!("does not dial");
        };
        assert_eq!(address, "192.0.2.1:3868");
        (bench, attempt)
    }

    fn open() -> Self {
        let (mut bench, attempt) = Self::dialling();
        bench.connect(A, Some(attempt), "192.0.2.1:3868");
        bench.message(A, cea("hss1", 2001));
        assert!(matches!(
            bench.table.poll_event(),
            Some(DiameterEvent::Up { connection: A, .. })
        ));
        bench.outputs();
        bench
    }

    fn connect(&mut self, connection: ConnectionId, attempt: Option<u64>, remote: &str) {
        let input = DiameterInput::Connected {
            connection,
            attempt,
            local: "192.0.2.100:40000".parse().unwrap(),
            remote: remote.parse().unwrap(),
        };
        self.table.handle(self.now, input);
    }

    fn message(&mut self, connection: ConnectionId, bytes: Bytes) {
        self.table
            .handle(self.now, DiameterInput::Message { connection, bytes });
    }

    /// Fires every timer up to then, and returns what was sent meanwhile.
    fn advance(&mut self, by: Duration) -> Vec<DiameterOutput> {
        let end = self.now + by;
        let mut outputs = Vec::new();
        while let Some(at) = self.table.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.table.handle_timeout(at);
            outputs.extend(self.outputs());
        }
        self.now = end;
        outputs
    }

    fn outputs(&mut self) -> Vec<DiameterOutput> {
        std::iter::from_fn(|| self.table.poll_output()).collect()
    }

    fn events(&mut self) -> Vec<DiameterEvent> {
        std::iter::from_fn(|| self.table.poll_event()).collect()
    }
}

fn message(flags: u8, code: u32, application: u32, put: impl FnOnce(&mut MessageBuilder)) -> Bytes {
    let mut builder = MessageBuilder::new(Header {
        flags: CommandFlags(flags),
        code,
        application,
        hop_by_hop: 0x77,
        end_to_end: 0x78,
    });
    put(&mut builder);
    builder.finish()
}

fn put_capabilities(b: &mut MessageBuilder, host: &str, application: u32) {
    b.text(&avp::ORIGIN_HOST, host)
        .text(&avp::ORIGIN_REALM, "ims.example")
        .u32(&avp::AUTH_APPLICATION_ID, application);
}

fn cea(host: &str, code: u32) -> Bytes {
    message(0, command::CAPABILITIES_EXCHANGE, 0, |b| {
        b.u32(&avp::RESULT_CODE, code);
        put_capabilities(b, host, Application::CX.id);
    })
}

fn cer(host: &str) -> Bytes {
    message(0x80, command::CAPABILITIES_EXCHANGE, 0, |b| {
        put_capabilities(b, host, Application::CX.id)
    })
}

fn base_request(code: u32) -> Bytes {
    message(0x80, code, APPLICATION_BASE, |b| {
        b.text(&avp::ORIGIN_HOST, "hss1")
            .text(&avp::ORIGIN_REALM, "ims.example");
    })
}

fn dpr(cause: u32) -> Bytes {
    message(0x80, command::DISCONNECT_PEER, 0, |b| {
        b.text(&avp::ORIGIN_HOST, "hss1")
            .u32(&avp::DISCONNECT_CAUSE, cause);
    })
}

fn sent(output: &DiameterOutput) -> Option<(ConnectionId, Message)> {
    match output {
        DiameterOutput::Send { connection, bytes } => {
            Some((*connection, Message::parse(bytes.clone()).unwrap()))
        }
        DiameterOutput::Connect { .. } | DiameterOutput::Close { .. } => None,
    }
}

fn closes(output: &DiameterOutput) -> Option<ConnectionId> {
    match output {
        DiameterOutput::Close { connection } => Some(*connection),
        DiameterOutput::Connect { .. } | DiameterOutput::Send { .. } => None,
    }
}

fn is_connect(output: &DiameterOutput) -> bool {
    matches!(output, DiameterOutput::Connect { .. })
}

#[test]
fn dialled_peer_gets_a_cer_and_is_open_after_its_cea() {
    let (mut bench, attempt) = Bench::dialling();
    bench.connect(A, Some(attempt), "192.0.2.1:3868");
    let (connection, cer) = sent(&bench.outputs()[0]).unwrap();
    assert_eq!(
        (connection, cer.header().code, cer.header().flags.0),
        (A, 257, 0x80)
    );
    assert_eq!(bench.table.open_peers().count(), 0);
    bench.message(A, cea("hss1", 2001));
    assert_eq!(
        bench.table.open_peers().collect::<Vec<_>>(),
        [(PeerId(0), A, "hss1")]
    );
    assert_eq!(bench.table.connection_of("HSS1"), Some(A));
}

#[test]
fn cea_that_refuses_closes_and_waits_tc() {
    let (mut bench, attempt) = Bench::dialling();
    bench.connect(A, Some(attempt), "192.0.2.1:3868");
    bench.outputs();
    bench.message(A, cea("hss1", 3010));
    assert_eq!(bench.outputs().iter().filter_map(closes).collect::<Vec<_>>(), [A]);
    assert!(bench.advance(secs(29)).is_empty());
    assert!(bench.advance(secs(1)).iter().all(is_connect));
}

#[test]
fn connection_without_a_cea_is_closed_after_ten_seconds() {
    let (mut bench, attempt) = Bench::dialling();
    bench.connect(A, Some(attempt), "192.0.2.1:3868");
    bench.outputs();
    let outputs = bench.advance(secs(10));
    assert_eq!(outputs.iter().filter_map(closes).collect::<Vec<_>>(), [A]);
}

#[test]
fn connection_of_an_attempt_that_was_given_up_is_closed() {
    let (mut bench, attempt) = Bench::dialling();
    bench.connect(A, Some(attempt + 1), "192.0.2.1:3868");
    assert_eq!(bench.outputs().iter().filter_map(closes).collect::<Vec<_>>(), [A]);
}

#[test]
fn failed_attempts_come_after_1_2_4_8_16_and_then_30_seconds() {
    let (mut bench, mut attempt) = Bench::dialling();
    for delay in [1, 2, 4, 8, 16, 30, 30] {
        let reason = "refused".to_owned();
        bench
            .table
            .handle(bench.now, DiameterInput::ConnectFailed { attempt, reason });
        assert!(
            bench.advance(secs(delay) - Duration::from_millis(1)).is_empty(),
            "before {delay} s"
        );
        let outputs = bench.advance(Duration::from_millis(1));
        let [DiameterOutput::Connect { attempt: next, .. }] = outputs[..] else {
            panic!("after {delay} s: {outputs:?}");
        };
        attempt = next;
    }
}

#[test]
fn dwr_of_the_peer_is_answered() {
    let mut bench = Bench::open();
    bench.message(A, base_request(command::DEVICE_WATCHDOG));
    let (_, dwa) = sent(&bench.outputs()[0]).unwrap();
    assert_eq!(
        (dwa.header().code, dwa.header().flags.0, dwa.header().hop_by_hop),
        (280, 0, 0x77)
    );
    assert_eq!(dwa.result_code(), Some(2001));
}

#[test]
fn idle_connection_gets_a_dwr_after_tw_and_is_closed_when_all_stays_silent() {
    let mut bench = Bench::open();
    assert!(bench.advance(secs(27)).is_empty());
    let outputs = bench.advance(secs(5));
    assert_eq!(sent(&outputs[0]).unwrap().1.header().code, 280);
    assert!(bench.events().is_empty());
    bench.advance(secs(32));
    assert!(matches!(
        bench.events()[..],
        [DiameterEvent::Down { connection: A, .. }]
    ));
    assert_eq!(bench.table.open_peers().count(), 0);
    let outputs = bench.advance(secs(32));
    assert_eq!(outputs.iter().filter_map(closes).collect::<Vec<_>>(), [A]);
    assert!(outputs.iter().any(is_connect));
}

#[test]
fn any_message_keeps_the_watchdog_quiet_and_a_suspect_peer_comes_back() {
    let mut bench = Bench::open();
    for _ in 0..5 {
        bench.advance(secs(20));
        bench.message(A, message(0x40, 300, Application::CX.id, |_| {}));
        assert!(bench.outputs().is_empty());
    }
    bench.advance(secs(64));
    assert_eq!(bench.table.open_peers().count(), 0);
    bench.events();
    bench.message(A, message(0x40, 300, Application::CX.id, |_| {}));
    assert!(matches!(
        bench.events()[..],
        [DiameterEvent::Up { .. }, DiameterEvent::Answer { .. }]
    ));
    assert_eq!(bench.table.open_peers().count(), 1);
}

#[test]
fn dpr_is_answered_and_the_peer_closes() {
    let mut bench = Bench::open();
    bench.message(A, dpr(0));
    let outputs = bench.outputs();
    assert_eq!(sent(&outputs[0]).unwrap().1.header().code, 282);
    assert!(matches!(bench.events()[..], [DiameterEvent::Down { .. }]));
    bench
        .table
        .handle(bench.now, DiameterInput::Closed { connection: A });
    assert!(bench.advance(secs(1)).iter().any(is_connect));
}

#[test]
fn peer_that_does_not_want_to_talk_is_left_alone_for_ten_tc() {
    for cause in [1, 2] {
        let mut bench = Bench::open();
        bench.message(A, dpr(cause));
        bench.outputs();
        bench
            .table
            .handle(bench.now, DiameterInput::Closed { connection: A });
        assert!(bench.advance(secs(299)).is_empty());
        assert!(bench.advance(secs(1)).iter().any(is_connect));
    }
}

#[test]
fn stop_sends_dpr_and_closes_after_the_dpa_because_the_peer_does_not() {
    let mut bench = Bench::open();
    bench.table.stop(bench.now, DisconnectCause::Rebooting);
    let (_, dpr) = sent(&bench.outputs()[0]).unwrap();
    assert_eq!(
        (dpr.header().code, dpr.u32(&avp::DISCONNECT_CAUSE)),
        (282, Some(0))
    );
    bench.message(
        A,
        message(0, command::DISCONNECT_PEER, 0, |b| {
            _ = b.u32(&avp::RESULT_CODE, 2001)
        }),
    );
    assert_eq!(bench.outputs().iter().filter_map(closes).collect::<Vec<_>>(), [A]);
    assert!(matches!(bench.events().last(), Some(DiameterEvent::Stopped)));
    assert!(bench.advance(secs(600)).is_empty());
}

#[test]
fn answer_that_was_on_its_way_still_counts_after_a_dpr() {
    let mut bench = Bench::open();
    bench.message(A, dpr(0));
    bench.events();
    bench.message(A, message(0x40, 300, Application::CX.id, |_| {}));
    assert!(matches!(bench.events()[..], [DiameterEvent::Answer { .. }]));
}

#[test]
fn connection_of_the_configured_address_is_accepted_and_named_by_its_cer() {
    let (mut bench, _) = Bench::dialling();
    bench.connect(B, None, "192.0.2.1:50000");
    bench.message(B, cer("hss1"));
    // Wait-Conn-Ack/Elect: our own attempt is still out; it fails, so the peer's connection is kept.
    assert!(bench.outputs().is_empty());
    let reason = "refused".to_owned();
    bench
        .table
        .handle(bench.now, DiameterInput::ConnectFailed { attempt: 1, reason });
    let (connection, cea) = sent(&bench.outputs()[0]).unwrap();
    assert_eq!(
        (connection, cea.result_code(), cea.header().flags.0),
        (B, Some(2001), 0)
    );
    assert_eq!(
        bench.table.open_peers().collect::<Vec<_>>(),
        [(PeerId(0), B, "hss1")]
    );
}

#[test]
fn stranger_gets_3010_and_is_closed() {
    let (mut bench, _) = Bench::dialling();
    bench.connect(B, None, "198.51.100.9:50000");
    bench.message(B, cer("hss1"));
    let outputs = bench.outputs();
    let (_, cea) = sent(&outputs[0]).unwrap();
    assert_eq!(
        (cea.result_code(), cea.header().flags.is_error()),
        (Some(3010), true)
    );
    assert_eq!(closes(&outputs[1]), Some(B));
}

#[test]
fn peer_without_our_application_gets_5010_and_is_closed() {
    let mut bench = Bench::new(&[], AcceptPolicy::Anyone);
    bench.connect(B, None, "198.51.100.9:50000");
    bench.message(
        B,
        message(0x80, 257, 0, |b| put_capabilities(b, "pcrf", 16_777_236)),
    );
    let outputs = bench.outputs();
    assert_eq!(sent(&outputs[0]).unwrap().1.result_code(), Some(5010));
    assert_eq!(closes(&outputs[1]), Some(B));
}

#[test]
fn cer_without_origin_host_gets_5005_and_is_closed() {
    let mut bench = Bench::new(&[], AcceptPolicy::Anyone);
    bench.connect(B, None, "198.51.100.9:50000");
    bench.message(B, message(0x80, 257, 0, |b| _ = b.text(&avp::ORIGIN_REALM, "x")));
    let outputs = bench.outputs();
    let (_, cea) = sent(&outputs[0]).unwrap();
    assert_eq!(cea.result_code(), Some(5005));
    assert!(cea.find(&avp::FAILED_AVP).is_some());
    assert_eq!(closes(&outputs[1]), Some(B));
}

#[test]
fn first_message_that_is_no_cer_closes_and_so_does_silence() {
    let mut bench = Bench::new(&[], AcceptPolicy::Anyone);
    bench.connect(A, None, "198.51.100.9:50000");
    bench.message(A, base_request(command::DEVICE_WATCHDOG));
    assert_eq!(bench.outputs().iter().filter_map(closes).collect::<Vec<_>>(), [A]);
    bench.connect(B, None, "198.51.100.9:50001");
    let outputs = bench.advance(secs(10));
    assert_eq!(outputs.iter().filter_map(closes).collect::<Vec<_>>(), [B]);
}

#[test]
fn connections_above_the_limit_are_closed() {
    let mut bench = Bench::new(&[], AcceptPolicy::Anyone);
    for number in 0..4 {
        bench.connect(ConnectionId(number), None, "198.51.100.9:50000");
    }
    assert!(bench.outputs().is_empty());
    bench.connect(ConnectionId(9), None, "198.51.100.9:50000");
    assert_eq!(
        bench.outputs().iter().filter_map(closes).collect::<Vec<_>>(),
        [ConnectionId(9)]
    );
}

#[test]
fn strangers_that_fill_the_connections_do_not_keep_us_from_our_peer() {
    let (mut bench, attempt) = Bench::dialling();
    for number in 10..14 {
        bench.connect(ConnectionId(number), None, "198.51.100.9:50000");
    }
    bench.connect(ConnectionId(14), None, "198.51.100.9:50000");
    assert_eq!(
        bench.outputs().iter().filter_map(closes).collect::<Vec<_>>(),
        [ConnectionId(14)],
        "one stranger too many"
    );
    bench.connect(A, Some(attempt), "192.0.2.1:3868");
    bench.message(A, cea("hss1", 2001));
    assert!(matches!(
        bench.events().as_slice(),
        [DiameterEvent::Up { connection: A, .. }]
    ));
}

#[test]
fn message_whose_length_is_wrong_closes_the_connection() {
    let mut bench = Bench::open();
    let mut octets = base_request(command::DEVICE_WATCHDOG).to_vec();
    octets[3] = 16;
    bench.message(A, Bytes::from(octets));
    assert_eq!(bench.outputs().iter().filter_map(closes).collect::<Vec<_>>(), [A]);
    assert!(matches!(bench.events()[..], [DiameterEvent::Down { .. }]));
}

#[test]
fn request_with_a_broken_avp_gets_5014_and_the_connection_stays() {
    let mut bench = Bench::open();
    let mut octets = message(0xC0, 304, Application::CX.id, |b| {
        b.text(&avp::SESSION_ID, "hss1;1;1")
            .u32(&avp::AUTH_SESSION_STATE, 1);
    })
    .to_vec();
    octets[20 + 16 + 7] = 77;
    bench.message(A, Bytes::from(octets));
    let (_, answer) = sent(&bench.outputs()[0]).unwrap();
    assert_eq!(
        (answer.result_code(), answer.header().flags.0),
        (Some(5014), 0x40)
    );
    assert_eq!(answer.text(&avp::SESSION_ID), Some("hss1;1;1"));
    assert_eq!(bench.table.open_peers().count(), 1);
}

#[test]
fn unknown_base_command_gets_3001_and_a_request_with_e_3008() {
    let mut bench = Bench::open();
    bench.message(A, base_request(999));
    assert_eq!(sent(&bench.outputs()[0]).unwrap().1.result_code(), Some(3001));
    bench.message(A, message(0xE0, 304, Application::CX.id, |_| {}));
    assert_eq!(sent(&bench.outputs()[0]).unwrap().1.result_code(), Some(3008));
    assert!(bench.events().is_empty());
}

#[test]
fn peer_that_came_by_itself_is_forgotten_when_it_goes() {
    let mut bench = Bench::new(&[], AcceptPolicy::Anyone);
    bench.connect(B, None, "198.51.100.9:50000");
    bench.message(B, cer("icscf"));
    assert_eq!(bench.table.connection_of("icscf"), Some(B));
    bench
        .table
        .handle(bench.now, DiameterInput::Closed { connection: B });
    assert_eq!(bench.table.connection_of("icscf"), None);
    assert!(bench.table.peers.is_empty());
    assert!(bench.table.poll_timeout().is_none());
}

#[test]
fn same_hss_under_two_addresses_is_one_peer() {
    let mut bench = Bench::new(
        &["192.0.2.1:3868", "192.0.2.2:3868"],
        AcceptPolicy::ConfiguredAddresses,
    );
    bench.outputs();
    bench.connect(A, Some(1), "192.0.2.1:3868");
    bench.connect(B, Some(2), "192.0.2.2:3868");
    bench.outputs();
    bench.message(A, cea("hss1", 2001));
    bench.message(B, cea("hss1", 2001));
    assert_eq!(bench.outputs().iter().filter_map(closes).collect::<Vec<_>>(), [B]);
    assert_eq!(bench.table.open_peers().count(), 1);
}

#[test]
fn both_sides_dial_and_the_election_leaves_one_connection() {
    for (left, right) in [("a.example", "b.example"), ("b.example", "a.example")] {
        let make = |name: &str, peer: &str| {
            DiameterPeers::new(
                config(name, &[peer], AcceptPolicy::ConfiguredAddresses),
                &Seed::from_number(1),
            )
        };
        let mut tables = [make(left, "192.0.2.2:3868"), make(right, "192.0.2.1:3868")];
        let address = |side: usize| format!("192.0.2.{}:3868", side + 1).parse().unwrap();
        let now = start();
        let mut is_up = [false; 2];
        // Every output crosses the wire; both connections come up before any CER arrives.
        let mut wire: VecDeque<(usize, DiameterInput)> = VecDeque::new();
        loop {
            for side in 0..2 {
                while let Some(output) = tables[side].poll_output() {
                    match output {
                        DiameterOutput::Connect { attempt, .. } => {
                            let connection = ConnectionId(10 + u64::try_from(side).unwrap());
                            let (local, remote) = (address(side), address(1 - side));
                            let attempt = Some(attempt);
                            wire.push_back((
                                side,
                                DiameterInput::Connected {
                                    connection,
                                    attempt,
                                    local,
                                    remote,
                                },
                            ));
                            let (local, remote, attempt) = (remote, local, None);
                            wire.push_back((
                                1 - side,
                                DiameterInput::Connected {
                                    connection,
                                    attempt,
                                    local,
                                    remote,
                                },
                            ));
                        }
                        DiameterOutput::Send { connection, bytes } => {
                            wire.push_back((1 - side, DiameterInput::Message { connection, bytes }));
                        }
                        DiameterOutput::Close { connection } => {
                            wire.push_back((1 - side, DiameterInput::Closed { connection }));
                        }
                    }
                }
                while let Some(event) = tables[side].poll_event() {
                    is_up[side] = matches!(event, DiameterEvent::Up { .. });
                }
            }
            let Some((side, input)) = wire.pop_front() else {
                break;
            };
            tables[side].handle(now, input);
        }
        assert_eq!(is_up, [true, true]);
        let kept: Vec<_> = tables
            .iter()
            .map(|table| table.open_peers().next().unwrap().1)
            .collect();
        assert_eq!(kept[0], kept[1]);
        // RFC 6733 5.6.4: the greater one is the responder, so the connection of the lesser one is kept.
        let lesser = usize::from(right < left);
        assert_eq!(kept[0], ConnectionId(10 + u64::try_from(lesser).unwrap()));
        assert!(tables.iter().all(|table| table.connections.len() == 1));
    }
}

#[test]
fn our_cea_tells_our_applications() {
    let mut bench = Bench::new(&[], AcceptPolicy::Anyone);
    bench.connect(B, None, "198.51.100.9:50000");
    bench.message(B, cer("icscf"));
    let (_, cea) = sent(&bench.outputs()[0]).unwrap();
    let capabilities = Capabilities::of_cea(&cea).unwrap();
    assert!(capabilities.serves_any_of(&[Application::CX]));
    assert_eq!(
        cea.find(&avp::HOST_IP_ADDRESS).unwrap().address(),
        "192.0.2.100".parse().ok()
    );
}
