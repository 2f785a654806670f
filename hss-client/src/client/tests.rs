//! Machine: tests of the Cx client against peers made of the same base protocol, on virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ims_common::diameter::grammar::avp;
use ims_common::identity::{Impi, Impu};
use ims_common::node::Seed;

use super::*;
use crate::cx::{
    CxPush, CxPushAnswer, CxRequest, DeregistrationReason, Lir, ReasonCode, RequestHead, Rta, Rtr, Saa, Sar,
    ServerAssignmentType, Uaa, Uar, UserAuthorizationType,
};

mod overload;
mod preference;
mod repeats;
mod window;

const CLIENT: &str = "scscf.ims.mnc001.mcc001.3gppnetwork.org";

fn config() -> HssClientConfig {
    HssClientConfig {
        origin_host: CLIENT.to_owned(),
        origin_realm: "ims.mnc001.mcc001.3gppnetwork.org".to_owned(),
        destination_realm: "ims.mnc001.mcc001.3gppnetwork.org".to_owned(),
        peers: vec!["192.0.2.1:3868".to_owned(), "192.0.2.2:3868".to_owned()],
        ..HssClientConfig::default()
    }
}

fn hss(number: usize) -> DiameterPeers {
    let config = PeersConfig {
        local: LocalPeer {
            origin_host: format!("hss{number}"),
            origin_realm: "epc.mnc001.mcc001.3gppnetwork.org".to_owned(),
            host_ip_addresses: Vec::new(),
            product_name: "test".to_owned(),
            origin_state_id: 1,
            applications: vec![Application::CX],
            supported_vendors: vec![VENDOR_3GPP],
        },
        peers: Vec::new(),
        accept: AcceptPolicy::Anyone,
        tw: Duration::from_secs(3_600),
        tc: Duration::from_secs(30),
        connections_max: 8,
        shard: 0,
    };
    DiameterPeers::new(config, &Seed::from_number(9))
}

/// A client, two HSSs, and wires without delay.
struct World {
    now: Instant,
    client: HssClient,
    hsses: Vec<DiameterPeers>,
    /// HSSs that refuse connections.
    refusing: Vec<usize>,
    /// HSSs that read nothing any more.
    deaf: Vec<usize>,
    wires: BTreeMap<ConnectionId, usize>,
    last_connection: u64,
    requests: Vec<(usize, ConnectionId, Message)>,
    hss_answers: Vec<Message>,
    cx: Vec<CxInput>,
    stopped: bool,
    sent: Vec<Bytes>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other constructor")]
    fn new(config: HssClientConfig) -> Self {
        let mut world = Self {
            now: Instant::now(),
            client: HssClient::new(config, &Seed::from_number(7)),
            hsses: vec![hss(1), hss(2)],
            refusing: Vec::new(),
            deaf: Vec::new(),
            wires: BTreeMap::new(),
            last_connection: 0,
            requests: Vec::new(),
            hss_answers: Vec::new(),
            cx: Vec::new(),
            stopped: false,
            sent: Vec::new(),
        };
        world.pump();
        world
    }

    fn single_peer() -> Self {
        let peers = vec!["192.0.2.1:3868".to_owned()];
        Self::new(HssClientConfig { peers, ..config() })
    }

    fn pump(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.client.poll_output() {
                quiet = false;
                match output {
                    HssClientOutput::Diameter(output) => self.on_client(output),
                    HssClientOutput::Cx(input) => self.cx.push(input),
                    HssClientOutput::Stopped => self.stopped = true,
                }
            }
            for number in 0..self.hsses.len() {
                while let Some(output) = self.hsses[number].poll_output() {
                    quiet = false;
                    self.on_hss(output);
                }
                while let Some(event) = self.hsses[number].poll_event() {
                    quiet = false;
                    match event {
                        DiameterEvent::Request {
                            connection, message, ..
                        } => {
                            self.requests.push((number, connection, message));
                        }
                        DiameterEvent::Answer { message, .. } => self.hss_answers.push(message),
                        _ => {}
                    }
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn on_client(&mut self, output: DiameterOutput) {
        let now = self.now;
        match output {
            DiameterOutput::Connect { attempt, address } => {
                let number = usize::from(address.starts_with("192.0.2.2"));
                let remote = address.parse().unwrap();
                let local = "192.0.2.100:40000".parse().unwrap();
                if self.refusing.contains(&number) {
                    let reason = "refused".to_owned();
                    return self.diameter(DiameterInput::ConnectFailed { attempt, reason });
                }
                self.last_connection += 1;
                let connection = ConnectionId(self.last_connection);
                self.wires.insert(connection, number);
                let attempt = Some(attempt);
                let accepted = DiameterInput::Connected {
                    connection,
                    attempt: None,
                    local: remote,
                    remote: local,
                };
                self.hsses[number].handle(now, accepted);
                self.diameter(DiameterInput::Connected {
                    connection,
                    attempt,
                    local,
                    remote,
                });
            }
            DiameterOutput::Send { connection, bytes } => {
                self.sent.push(bytes.clone());
                let number = self.wires[&connection];
                if !self.deaf.contains(&number) {
                    self.hsses[number].handle(now, DiameterInput::Message { connection, bytes });
                }
            }
            DiameterOutput::Close { connection } => {
                if let Some(number) = self.wires.remove(&connection) {
                    self.hsses[number].handle(now, DiameterInput::Closed { connection });
                }
            }
        }
    }

    fn on_hss(&mut self, output: DiameterOutput) {
        match output {
            DiameterOutput::Connect { .. } => unreachable!("these HSSs only listen"),
            DiameterOutput::Send { connection, bytes } => {
                self.diameter(DiameterInput::Message { connection, bytes });
            }
            DiameterOutput::Close { connection } => {
                self.wires.remove(&connection);
                self.diameter(DiameterInput::Closed { connection });
            }
        }
    }

    fn diameter(&mut self, input: DiameterInput) {
        // Drained at once, as a driver does.
        let mut queue = VecDeque::from([input]);
        while let Some(input) = queue.pop_front() {
            self.client.handle(self.now, HssClientInput::Diameter(input));
            while let Some(output) = self.client.poll_output() {
                match output {
                    HssClientOutput::Diameter(output) => self.on_client(output),
                    HssClientOutput::Cx(input) => self.cx.push(input),
                    HssClientOutput::Stopped => self.stopped = true,
                }
            }
        }
    }

    fn advance(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            self.pump();
        }
        self.now = end;
    }

    fn request(&mut self, id: u64, request: CxRequest) {
        let id = CxRequestId(id);
        self.client
            .handle(self.now, HssClientInput::Cx(CxOutput::Request { id, request }));
        self.pump();
    }

    /// The HSS answers the oldest request that it has.
    fn answer(&mut self, answer: &CxAnswer) {
        let (number, connection, message) = self.requests.remove(0);
        let bytes = answer.encode(self.hsses[number].local(), &message);
        self.hsses[number].send(connection, bytes);
        self.pump();
    }

    fn cut(&mut self, number: usize) {
        let connection = *self.wires.iter().find(|(_, n)| **n == number).unwrap().0;
        self.wires.remove(&connection);
        self.hsses[number].handle(self.now, DiameterInput::Closed { connection });
        self.diameter(DiameterInput::Closed { connection });
        self.pump();
    }

    /// The HSS sends bytes on its connection.
    fn push(&mut self, number: usize, bytes: Bytes) {
        let connection = *self.wires.iter().find(|(_, n)| **n == number).unwrap().0;
        self.hsses[number].send(connection, bytes);
        self.pump();
    }

    fn only_answer(&mut self) -> Result<CxAnswer, CxError> {
        assert_eq!(self.cx.len(), 1, "{:?}", self.cx);
        match self.cx.remove(0) {
            CxInput::Answer { answer, .. } => answer,
            CxInput::Push { .. } => panic!("a push"),
        }
    }

    fn count(&self, name: &str, reason: &str) -> u64 {
        let mut metrics = Metrics::default();
        self.client.metrics(&mut metrics);
        metrics.sum(name, &[("reason", reason)])
    }
}

fn uar() -> CxRequest {
    CxRequest::Uar(Uar {
        user_name: Impi::parse("001010000000001@ims.mnc001.mcc001.3gppnetwork.org").unwrap(),
        public_identity: Impu::parse("sip:alice@ims.mnc001.mcc001.3gppnetwork.org").unwrap(),
        visited_network: "ims.mnc001.mcc001.3gppnetwork.org".to_owned(),
        authorization_type: UserAuthorizationType::Registration,
        emergency: false,
    })
}

fn uaa(result: CxResult) -> CxAnswer {
    CxAnswer::Uaa(Uaa {
        result,
        server_name: Some("scscf.ims.mnc001.mcc001.3gppnetwork.org".to_owned()),
        ..Uaa::default()
    })
}

fn sar(destination_host: Option<&str>) -> CxRequest {
    CxRequest::Sar(Sar {
        user_name: None,
        public_identities: vec![Impu::parse("sip:alice@ims.mnc001.mcc001.3gppnetwork.org").unwrap()],
        server_name: "sip:scscf.ims.mnc001.mcc001.3gppnetwork.org".to_owned(),
        assignment_type: ServerAssignmentType::ReRegistration,
        user_data_already_available: true,
        destination_host: destination_host.map(str::to_owned),
    })
}

#[test]
fn request_gets_the_answer_of_the_preferred_peer() {
    let mut world = World::new(config());
    world.request(5, uar());
    assert_eq!(world.requests[0].0, 0);
    world.answer(&uaa(CxResult::FIRST_REGISTRATION));
    let Ok(CxAnswer::Uaa(uaa)) = world.only_answer() else {
        panic!("no UAA")
    };
    assert_eq!(uaa.result, CxResult::FIRST_REGISTRATION);
    assert_eq!(
        uaa.server_name.as_deref(),
        Some("sip:scscf.ims.mnc001.mcc001.3gppnetwork.org")
    );
    assert_eq!(uaa.origin_host, "hss1");
}

#[test]
fn request_without_a_peer_fails_at_once() {
    let mut world = World::new(HssClientConfig {
        peers: Vec::new(),
        ..config()
    });
    world.request(1, uar());
    assert_eq!(world.only_answer().unwrap_err(), CxError::NoPeer);
    assert!(!world.client.is_connected());
}

#[test]
fn silent_hss_gives_a_timeout_after_five_seconds_and_a_late_answer_is_dropped() {
    let mut world = World::single_peer();
    world.request(1, uar());
    world.advance(4);
    assert!(world.cx.is_empty());
    world.advance(1);
    assert_eq!(world.only_answer().unwrap_err(), CxError::Timeout);
    world.answer(&uaa(CxResult::FIRST_REGISTRATION));
    assert!(world.cx.is_empty());
    assert_eq!(world.count(ANSWERS, "unexpected"), 1);
}

#[test]
fn too_many_outstanding_requests_are_refused() {
    let mut world = World::new(HssClientConfig {
        outstanding_max: 1,
        ..config()
    });
    world.request(1, uar());
    world.request(2, uar());
    assert_eq!(world.only_answer().unwrap_err(), CxError::Overloaded);
    assert_eq!(world.requests.len(), 1);
}

#[test]
fn answers_in_another_order_reach_their_requests() {
    let mut world = World::single_peer();
    world.request(1, uar());
    world.request(2, uar());
    world.requests.swap(0, 1);
    world.answer(&uaa(CxResult::FIRST_REGISTRATION));
    world.answer(&uaa(CxResult::SUBSEQUENT_REGISTRATION));
    let ids: Vec<_> = world
        .cx
        .iter()
        .map(|input| match input {
            CxInput::Answer { id, answer } => (id.0, answer.as_ref().unwrap().result()),
            CxInput::Push { .. } => panic!("a push"),
        })
        .collect();
    assert_eq!(
        ids,
        [
            (2, CxResult::FIRST_REGISTRATION),
            (1, CxResult::SUBSEQUENT_REGISTRATION)
        ]
    );
}

#[test]
fn pending_request_of_a_lost_peer_goes_to_the_other_with_t_and_the_same_end_to_end_id() {
    let mut world = World::new(config());
    world.request(1, uar());
    let first = *world.requests.remove(0).2.header();
    world.cut(0);
    let (number, _, message) = &world.requests[0];
    let second = *message.header();
    assert_eq!(*number, 1);
    assert!(second.flags.is_retransmitted() && !first.flags.is_retransmitted());
    assert_eq!(second.end_to_end, first.end_to_end);
    assert_ne!(second.hop_by_hop, first.hop_by_hop);
    world.answer(&uaa(CxResult::FIRST_REGISTRATION));
    assert!(world.only_answer().is_ok());
}

#[test]
fn pending_request_of_the_only_peer_fails_when_the_connection_is_lost() {
    let mut world = World::single_peer();
    world.request(1, uar());
    world.cut(0);
    assert_eq!(world.only_answer().unwrap_err(), CxError::NoPeer);
}

#[test]
fn request_that_times_out_is_tried_once_at_the_other_peer() {
    let mut world = World::new(config());
    world.request(1, uar());
    world.advance(5);
    assert_eq!(
        world.requests.iter().map(|(n, _, _)| *n).collect::<Vec<_>>(),
        [0, 1]
    );
    assert!(world.cx.is_empty());
    world.advance(5);
    // Ten seconds in all: below the 15 s that a registration may wait for the HSS.
    assert_eq!(world.only_answer().unwrap_err(), CxError::Timeout);
    assert_eq!(world.requests.len(), 2);
}

#[test]
fn busy_hss_is_replaced_by_the_other_and_its_refusal_counts_when_both_are() {
    let mut world = World::new(config());
    world.request(1, uar());
    world.answer(&uaa(CxResult::TOO_BUSY));
    assert!(world.cx.is_empty());
    assert!(!world.requests[0].2.header().flags.is_retransmitted());
    world.answer(&uaa(CxResult::TOO_BUSY));
    assert_eq!(world.only_answer().unwrap().result(), CxResult::TOO_BUSY);
}

#[test]
fn error_answer_without_application_avps_and_with_the_e_flag_is_a_failure() {
    let mut world = World::single_peer();
    world.request(1, uar());
    let (_, _, request) = world.requests.remove(0);
    // RFC 6733 7.2: not even a Session-Id.
    let mut builder = ims_common::diameter::MessageBuilder::new(request.header().answer(true));
    builder.u32(&ims_common::diameter::grammar::avp::RESULT_CODE, 3002);
    world.push(0, builder.finish());
    assert_eq!(world.only_answer().unwrap().result(), CxResult::UNABLE_TO_DELIVER);
}

#[test]
fn answer_under_the_application_id_of_sh_is_accepted() {
    let mut world = World::single_peer();
    world.request(1, sar(None));
    let (_, _, request) = world.requests.remove(0);
    let saa = CxAnswer::Saa(Saa {
        result: CxResult::IDENTITY_ALREADY_REGISTERED,
        ..Saa::default()
    });
    let mut bytes = saa.encode(world.hsses[0].local(), &request).to_vec();
    bytes[11] = 1;
    world.push(0, Bytes::from(bytes));
    assert_eq!(
        world.only_answer().unwrap().result(),
        CxResult::IDENTITY_ALREADY_REGISTERED
    );
}

#[test]
fn answer_with_a_broken_avp_is_malformed_and_the_connection_stays() {
    let mut world = World::single_peer();
    world.request(1, uar());
    let (_, _, request) = world.requests.remove(0);
    let mut bytes = uaa(CxResult::SUCCESS)
        .encode(world.hsses[0].local(), &request)
        .to_vec();
    bytes[20 + 7] = 255;
    world.push(0, Bytes::from(bytes));
    assert!(matches!(world.only_answer(), Err(CxError::Malformed(_))));
    assert!(world.client.is_connected());
}

#[test]
fn destination_host_that_an_answer_taught_chooses_its_peer() {
    let mut world = World::new(config());
    world.request(1, sar(Some("hss2")));
    let (number, _, message) = &world.requests[0];
    assert_eq!(*number, 1);
    assert_eq!(
        message.text(&ims_common::diameter::grammar::avp::DESTINATION_HOST),
        Some("hss2")
    );
    // A host behind a relay: the preferred peer carries it.
    world.request(2, sar(Some("hss7")));
    assert_eq!(world.requests[1].0, 0);
}

#[test]
fn session_and_end_to_end_ids_are_never_used_twice() {
    let mut world = World::single_peer();
    let (mut sessions, mut ids) = (
        std::collections::BTreeSet::new(),
        std::collections::BTreeSet::new(),
    );
    for id in 0..50 {
        world.request(id, uar());
        let (_, _, message) = world.requests.remove(0);
        let session = message
            .text(&ims_common::diameter::grammar::avp::SESSION_ID)
            .unwrap();
        assert!(session.starts_with(&format!("{CLIENT};1767225600;")), "{session}");
        sessions.insert(session.to_owned());
        ids.insert(message.header().end_to_end);
    }
    assert_eq!((sessions.len(), ids.len()), (50, 50));
}

fn rtr_head<'a>(local: &'a LocalPeer, session_id: &'a str) -> RequestHead<'a> {
    RequestHead {
        local,
        session_id,
        destination_host: Some(CLIENT),
        destination_realm: "ims.mnc001.mcc001.3gppnetwork.org",
        hop_by_hop: 77,
        end_to_end: 78,
    }
}

fn rtr() -> CxPush {
    CxPush::Rtr(Rtr {
        user_name: Impi::parse("001010000000001@ims.mnc001.mcc001.3gppnetwork.org").unwrap(),
        public_identities: vec![Impu::parse("sip:alice@ims.mnc001.mcc001.3gppnetwork.org").unwrap()],
        associated_identities: Vec::new(),
        reason: DeregistrationReason {
            code: ReasonCode::ServerChange,
            info: Some("moved".to_owned()),
        },
    })
}

#[test]
fn rtr_is_pushed_to_the_cscf_and_its_answer_goes_back() {
    let mut world = World::single_peer();
    let bytes = rtr().encode(&rtr_head(world.hsses[0].local(), "hss1;1;1"));
    world.push(0, bytes);
    let Some(CxInput::Push {
        id,
        push: CxPush::Rtr(rtr),
        origin_host,
    }) = world.cx.pop()
    else {
        panic!("no RTR")
    };
    assert_eq!(
        (rtr.reason.code, origin_host.as_str()),
        (ReasonCode::ServerChange, "hss1")
    );
    let answer = CxPushAnswer::Rta(Rta {
        result: CxResult::SUCCESS,
    });
    let twice = answer.clone();
    world
        .client
        .handle(world.now, HssClientInput::Cx(CxOutput::PushAnswer { id, answer }));
    world.pump();
    world.client.handle(
        world.now,
        HssClientInput::Cx(CxOutput::PushAnswer { id, answer: twice }),
    );
    world.pump();
    assert_eq!(world.hss_answers.len(), 1);
    let rta = &world.hss_answers[0];
    assert_eq!(
        (rta.header().code, rta.header().hop_by_hop, rta.result_code()),
        (304, 77, Some(2001))
    );
}

fn refusal_of(world: &mut World, edit: impl FnOnce(&mut Vec<u8>)) -> Message {
    let mut bytes = rtr()
        .encode(&rtr_head(world.hsses[0].local(), "hss1;1;1"))
        .to_vec();
    edit(&mut bytes);
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    bytes[1..4].copy_from_slice(&length[1..]);
    world.push(0, Bytes::from(bytes));
    assert!(world.cx.is_empty());
    world.hss_answers.pop().unwrap()
}

fn failed_avp_code(answer: &Message) -> u32 {
    let group = answer
        .find(&ims_common::diameter::grammar::avp::FAILED_AVP)
        .unwrap();
    group.members().next().unwrap().unwrap().code
}

#[test]
fn unknown_command_and_unknown_application_are_refused_with_the_e_flag() {
    let mut world = World::single_peer();
    let answer = refusal_of(&mut world, |bytes| bytes[7] = 99);
    assert_eq!(
        (answer.result_code(), answer.header().flags.is_error()),
        (Some(3001), true)
    );
    let answer = refusal_of(&mut world, |bytes| bytes[11] = 9);
    assert_eq!(
        (answer.result_code(), answer.header().flags.is_error()),
        (Some(3007), true)
    );
}

#[test]
fn unknown_avp_with_m_refuses_the_push_and_without_m_is_ignored() {
    let mut world = World::single_peer();
    let answer = refusal_of(&mut world, |bytes| {
        bytes.extend([0, 0, 0xFF, 0xFF, 0x40, 0, 0, 12, 1, 2, 3, 4])
    });
    assert_eq!(
        (answer.result_code(), answer.header().flags.is_error()),
        (Some(5001), false)
    );
    assert_eq!(failed_avp_code(&answer), 0xFFFF);

    let mut bytes = rtr()
        .encode(&rtr_head(world.hsses[0].local(), "hss1;1;2"))
        .to_vec();
    bytes.extend([0, 0, 0xFF, 0xFF, 0, 0, 0, 12, 1, 2, 3, 4]);
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    bytes[1..4].copy_from_slice(&length[1..]);
    world.push(0, Bytes::from(bytes));
    assert!(matches!(world.cx.pop(), Some(CxInput::Push { .. })));
}

#[test]
fn missing_avp_refuses_the_push_with_an_example_of_it() {
    let mut world = World::single_peer();
    // Deregistration-Reason is the last AVP of this RTR: 12 + 16 + 20 octets.
    let answer = refusal_of(&mut world, |bytes| bytes.truncate(bytes.len() - 48));
    assert_eq!(answer.result_code(), Some(5005));
    assert_eq!(failed_avp_code(&answer), 615);
}

#[test]
fn request_that_went_through_us_is_a_loop() {
    let mut world = World::single_peer();
    let answer = refusal_of(&mut world, |bytes| {
        bytes.extend([0, 0, 1, 0x1A, 0x40, 0, 0, 8 + u8::try_from(CLIENT.len()).unwrap()]);
        bytes.extend(CLIENT.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    });
    assert_eq!(answer.result_code(), Some(3005));
}

#[test]
fn push_that_the_cscf_does_not_answer_is_forgotten() {
    let mut world = World::single_peer();
    let bytes = rtr().encode(&rtr_head(world.hsses[0].local(), "hss1;1;1"));
    world.push(0, bytes);
    let Some(CxInput::Push { id, .. }) = world.cx.pop() else {
        panic!("no push")
    };
    world.advance(6);
    let answer = CxPushAnswer::Rta(Rta {
        result: CxResult::SUCCESS,
    });
    world
        .client
        .handle(world.now, HssClientInput::Cx(CxOutput::PushAnswer { id, answer }));
    world.pump();
    assert!(world.hss_answers.is_empty());
}

#[test]
fn deaf_hss_is_left_for_the_other_after_an_unanswered_watchdog() {
    let mut world = World::new(config());
    world.deaf = vec![0];
    // Tw until the DWR and Tw for its answer, with 2 s of jitter each: then requests go elsewhere.
    world.advance(2 * 32);
    world.request(1, uar());
    assert_eq!(world.requests[0].0, 1);
    // Tw later the connection is closed, and dialled again.
    world.deaf.clear();
    world.advance(34);
    assert_eq!(world.count("ims_diameter_events_total", "failover"), 1);
    assert_eq!(world.count("ims_diameter_events_total", "up"), 3);
}

#[test]
fn only_hss_is_used_again_right_after_it_comes_back() {
    let mut world = World::single_peer();
    world.cut(0);
    world.request(1, uar());
    assert_eq!(world.only_answer().unwrap_err(), CxError::NoPeer);
    world.advance(1);
    assert!(world.client.is_connected());
}

#[test]
fn refused_connections_are_tried_again_at_most_every_tc() {
    let mut world = World::single_peer();
    world.refusing = vec![0];
    world.cut(0);
    world.advance(300);
    // 1, 2, 4, 8, 16 s, then every 30 s.
    assert_eq!(world.count("ims_diameter_events_total", "connect_failed"), 5 + 8);
    world.refusing.clear();
    world.advance(30);
    assert!(world.client.is_connected());
}

#[test]
fn stop_says_goodbye_to_every_peer_and_then_reports() {
    let mut world = World::new(config());
    world.client.handle(world.now, HssClientInput::Stop);
    world.pump();
    assert!(world.stopped);
    let dprs = world
        .sent
        .iter()
        .filter(|bytes| bytes[5..8] == [0, 1, 0x1A] && bytes[4] == 0x80);
    assert_eq!(dprs.count(), 2);
    assert!(world.wires.is_empty());
    world.advance(120);
    assert!(!world.client.is_connected());
}

#[test]
fn lir_reads_as_it_was_written() {
    let mut world = World::single_peer();
    let lir = Lir {
        public_identity: Impu::parse("tel:+15550001").unwrap(),
        originating: true,
        authorization_type: Some(UserAuthorizationType::RegistrationAndCapabilities),
    };
    world.request(1, CxRequest::Lir(lir.clone()));
    let CxRequest::Lir(read) = CxRequest::decode(&world.requests[0].2).unwrap() else {
        panic!("no LIR")
    };
    assert_eq!(read, lir);
}

#[test]
fn redirect_of_a_locator_is_followed_once_to_the_first_host_that_is_a_peer() {
    let mut world = World::new(config());
    world.request(1, uar());
    let (_, _, request) = world.requests.remove(0);
    let redirect = |request: &Message| {
        let mut builder = ims_common::diameter::MessageBuilder::new(request.header().answer(true));
        builder
            .u32(&avp::RESULT_CODE, 3006)
            .text(&avp::REDIRECT_HOST, "aaa://hss9.example:3868;transport=tcp")
            .text(&avp::REDIRECT_HOST, "aaa://hss2:3868;transport=tcp");
        builder.finish()
    };
    world.push(0, redirect(&request));
    let (number, _, second) = world.requests.remove(0);
    assert_eq!(number, 1);
    assert_eq!(second.header().end_to_end, request.header().end_to_end);
    assert!(!second.header().flags.is_retransmitted());
    world.push(1, redirect(&second));
    assert_eq!(
        world.only_answer().unwrap().result(),
        CxResult::REDIRECT_INDICATION
    );
}

#[test]
fn origin_host_stays_and_origin_state_id_grows_over_a_restart() {
    let cer = |boot_unix_secs| {
        let seed = Seed {
            boot_unix_secs,
            ..Seed::from_number(1)
        };
        let peers = vec!["192.0.2.1:3868".to_owned()];
        let mut client = HssClient::new(HssClientConfig { peers, ..config() }, &seed);
        assert!(client.poll_output().is_some());
        let address = "192.0.2.1:3868".parse().unwrap();
        let connected = DiameterInput::Connected {
            connection: ConnectionId(1),
            attempt: Some(1),
            local: address,
            remote: address,
        };
        let world = World::single_peer();
        client.handle(world.now, HssClientInput::Diameter(connected));
        let Some(HssClientOutput::Diameter(DiameterOutput::Send { bytes, .. })) = client.poll_output() else {
            panic!("no CER");
        };
        let cer = Message::parse(bytes).unwrap();
        (
            cer.text(&avp::ORIGIN_HOST).unwrap().to_owned(),
            cer.u32(&avp::ORIGIN_STATE_ID).unwrap(),
        )
    };
    let (before, after) = (cer(1_767_225_600), cer(1_767_225_700));
    assert_eq!(before, (CLIENT.to_owned(), 1_767_225_600));
    assert_eq!(after, (CLIENT.to_owned(), 1_767_225_700));
}

#[test]
fn requests_wait_for_their_turn_when_the_peer_takes_one_at_a_time() {
    let peers = vec!["192.0.2.1:3868".to_owned()];
    let mut world = World::new(HssClientConfig {
        peers,
        in_flight_max: 1,
        ..config()
    });
    for id in 0..3 {
        world.request(id, uar());
    }
    for answered in 1..=3 {
        assert_eq!(world.requests.len(), 1, "before answer {answered}");
        world.answer(&uaa(CxResult::FIRST_REGISTRATION));
        assert_eq!(world.cx.len(), answered);
    }
    assert!(world.requests.is_empty());
}

#[test]
fn requests_that_wait_for_their_turn_time_out_and_count_as_outstanding() {
    let peers = vec!["192.0.2.1:3868".to_owned()];
    let limits = HssClientConfig {
        peers,
        in_flight_max: 1,
        outstanding_max: 2,
        ..config()
    };
    let mut world = World::new(limits);
    world.request(1, uar());
    world.advance(2);
    world.request(2, uar());
    world.request(3, uar());
    assert_eq!(world.only_answer().unwrap_err(), CxError::Overloaded);
    // The first times out after 5 s, so the second has its turn after 3, and its own 5 s for the answer.
    world.advance(3);
    assert_eq!(world.only_answer().unwrap_err(), CxError::Timeout);
    assert_eq!(world.requests.len(), 2);
    world.advance(5);
    assert_eq!(world.only_answer().unwrap_err(), CxError::Timeout);
}

#[test]
fn requests_that_wait_for_their_turn_fail_when_the_peer_is_lost() {
    let peers = vec!["192.0.2.1:3868".to_owned()];
    let mut world = World::new(HssClientConfig {
        peers,
        in_flight_max: 1,
        ..config()
    });
    world.request(1, uar());
    world.request(2, uar());
    world.cut(0);
    let errors: Vec<_> = world
        .cx
        .iter()
        .map(|input| match input {
            CxInput::Answer { answer, .. } => answer.as_ref().unwrap_err(),
            CxInput::Push { .. } => panic!("a push"),
        })
        .collect();
    assert_eq!(errors, [&CxError::NoPeer, &CxError::NoPeer]);
}

/// What a client that starts in this second says first on its first connection.
fn first_message(boot_unix_secs: u64) -> Message {
    let seed = Seed {
        boot_unix_secs,
        ..Seed::from_number(7)
    };
    let mut world = World::single_peer();
    world.client = HssClient::new(
        HssClientConfig {
            peers: vec!["192.0.2.1:3868".to_owned()],
            ..config()
        },
        &seed,
    );
    let Some(HssClientOutput::Diameter(DiameterOutput::Connect { attempt, .. })) = world.client.poll_output()
    else {
        panic!("does not dial");
    };
    let connected = DiameterInput::Connected {
        connection: ConnectionId(1),
        attempt: Some(attempt),
        local: "192.0.2.100:40000".parse().unwrap(),
        remote: "192.0.2.1:3868".parse().unwrap(),
    };
    world
        .client
        .handle(world.now, HssClientInput::Diameter(connected));
    match world.client.poll_output() {
        Some(HssClientOutput::Diameter(DiameterOutput::Send { bytes, .. })) => Message::parse(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cer_offers_cx_of_3gpp_as_a_vendor_specific_application() {
    let cer = first_message(1_800_000_000);
    let header = cer.header();
    assert_eq!(
        (header.code, header.application, header.flags.0),
        (257, 0, 0x80),
        "R alone: PyHSS answers no other CER"
    );
    let group = cer.find(&avp::VENDOR_SPECIFIC_APPLICATION_ID).unwrap();
    let member = |def| group.members().find(def).and_then(|avp| avp.u32());
    assert_eq!(member(&avp::VENDOR_ID), Some(10_415));
    assert_eq!(member(&avp::AUTH_APPLICATION_ID), Some(16_777_216));
    assert_eq!(
        cer.find(&avp::HOST_IP_ADDRESS).unwrap().address(),
        "192.0.2.100".parse().ok()
    );
}

#[test]
fn restart_keeps_the_origin_host_and_raises_the_origin_state_id() {
    let (before, after) = (first_message(1_800_000_000), first_message(1_800_000_060));
    assert_eq!(before.text(&avp::ORIGIN_HOST), Some(CLIENT));
    assert_eq!(after.text(&avp::ORIGIN_HOST), Some(CLIENT));
    let state = |cer: &Message| cer.u32(&avp::ORIGIN_STATE_ID).unwrap();
    assert!(state(&after) > state(&before));
}
