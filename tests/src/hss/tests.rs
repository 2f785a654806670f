//! Testkit: the node with a plain Diameter client, joined by values.

use hss_client::cx::{AuthScheme, Lir, Mar, Rta, Sar, ServerAssignmentType, Uar, UserAuthorizationType};
use hss_client::user_data;
use ims_common::diameter::{AvpDef, CommandFlags, Header};
use ims_common::net::{DiameterInput, DiameterOutput};

use super::*;
use crate::world::epoch;

const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";
const SCSCF: &str = "sip:scscf1.ims.mnc001.mcc001.3gppnetwork.org";
const CONNECTION: ConnectionId = ConnectionId(1);

/// A CSCF's peer table, and the HSS.
struct Pair {
    now: Instant,
    client: DiameterPeers,
    hss: Hss,
    received: Vec<Message>,
    requests: u32,
    drained: u32,
}

impl Pair {
    fn new(config: HssConfig) -> Self {
        let local = LocalPeer {
            origin_host: format!("scscf1.{HOME}"),
            origin_realm: HOME.into(),
            host_ip_addresses: vec![],
            product_name: "test".into(),
            origin_state_id: 1,
            applications: vec![Application::CX],
            supported_vendors: vec![],
        };
        let peers = PeersConfig {
            local,
            peers: vec!["192.0.2.5:3868".into()],
            accept: AcceptPolicy::Anyone,
            tw: Duration::from_secs(30),
            tc: Duration::from_secs(30),
            connections_max: 10,
            shard: 0,
        };
        let mut pair = Self {
            now: epoch(),
            client: DiameterPeers::new(peers, &Seed::from_number(1)),
            hss: Hss::new(config, Seed::from_number(2)),
            received: vec![],
            requests: 0,
            drained: 0,
        };
        pair.exchange();
        assert!(
            pair.client.open_peers().next().is_some(),
            "CER and CEA were exchanged"
        );
        pair
    }

    fn exchange(&mut self) {
        loop {
            let mut idle = true;
            while let Some(output) = self.client.poll_output() {
                idle = false;
                self.deliver_to_hss(output);
            }
            while let Some(output) = self.hss.poll_output() {
                idle = false;
                self.deliver_to_client(output);
            }
            while let Some(event) = self.client.poll_event() {
                match event {
                    DiameterEvent::Answer { message, .. } | DiameterEvent::Request { message, .. } => {
                        self.received.push(message);
                    }
                    _ => {}
                }
            }
            if idle {
                return;
            }
        }
    }

    fn deliver_to_client(&mut self, output: NetOutput) {
        match output {
            NetOutput::Diameter(DiameterOutput::Send { connection, bytes }) => {
                self.client
                    .handle(self.now, DiameterInput::Message { connection, bytes });
            }
            NetOutput::Diameter(DiameterOutput::Close { connection }) => {
                let closed = DiameterInput::Closed { connection };
                self.client.handle(self.now, closed.clone());
                self.hss.handle(self.now, NetInput::Diameter(closed));
            }
            NetOutput::Diameter(DiameterOutput::Connect { .. })
            | NetOutput::Sip(_)
            | NetOutput::Xfrm(_)
            | NetOutput::Cdr(_) => {}
            NetOutput::Drained => self.drained += 1,
        }
    }

    fn deliver_to_hss(&mut self, output: DiameterOutput) {
        let (cscf, hss) = (([192, 0, 2, 4], 40000).into(), ([192, 0, 2, 5], 3868).into());
        match output {
            DiameterOutput::Connect { attempt, .. } => {
                let connected = |attempt, local, remote| DiameterInput::Connected {
                    connection: CONNECTION,
                    attempt,
                    local,
                    remote,
                };
                self.hss
                    .handle(self.now, NetInput::Diameter(connected(None, hss, cscf)));
                self.client.handle(self.now, connected(Some(attempt), cscf, hss));
            }
            DiameterOutput::Send { connection, bytes } => {
                let message = DiameterInput::Message { connection, bytes };
                self.hss.handle(self.now, NetInput::Diameter(message));
            }
            DiameterOutput::Close { .. } => {}
        }
    }

    fn send_to(&mut self, request: &CxRequest, host: Option<&str>, realm: &str) {
        self.requests += 1;
        let bytes = request.encode(&RequestHead {
            local: self.client.local(),
            session_id: "test;1;1",
            destination_host: host,
            destination_realm: realm,
            hop_by_hop: self.requests,
            end_to_end: self.requests,
        });
        self.client.send(CONNECTION, bytes);
        self.exchange();
    }

    fn answer(&mut self) -> Option<CxAnswer> {
        let message = self.received.pop()?;
        assert_eq!(message.header().hop_by_hop, self.requests);
        Some(CxAnswer::decode(&message).unwrap())
    }

    fn ask(&mut self, request: &CxRequest) -> Option<CxAnswer> {
        self.send_to(request, None, HOME);
        self.answer()
    }

    fn advance(&mut self, duration: Duration) {
        self.now += duration;
        self.hss.handle_timeout(self.now);
        self.exchange();
    }

    fn text(&self, def: &AvpDef) -> Option<&str> {
        self.received.last()?.text(def)
    }
}

fn alice() -> Impi {
    Impi::parse(&format!("001010000000001@{HOME}")).unwrap()
}

fn tel() -> Impu {
    Impu::parse("tel:+15550001").unwrap()
}

fn pair() -> Pair {
    Pair::new(HssConfig::default().with(Subscriber::new("001010000000001").msisdn("15550001")))
}

fn uar() -> CxRequest {
    CxRequest::Uar(Uar {
        user_name: alice(),
        public_identity: tel(),
        visited_network: HOME.into(),
        authorization_type: UserAuthorizationType::Registration,
        emergency: false,
    })
}

fn mar() -> CxRequest {
    CxRequest::Mar(Mar {
        user_name: alice(),
        public_identity: tel(),
        scheme: AuthScheme::DigestAkaV1Md5,
        authorization: None,
        server_name: SCSCF.into(),
        destination_host: None,
    })
}

fn sar() -> CxRequest {
    CxRequest::Sar(Sar {
        user_name: Some(alice()),
        public_identities: vec![tel()],
        server_name: SCSCF.into(),
        assignment_type: ServerAssignmentType::Registration,
        user_data_already_available: false,
        destination_host: None,
    })
}

fn lir() -> CxRequest {
    CxRequest::Lir(Lir {
        public_identity: tel(),
        originating: false,
        authorization_type: None,
    })
}

#[test]
fn a_registration_goes_over_the_wire_from_first_query_to_profile() {
    let mut pair = pair();
    let Some(CxAnswer::Uaa(uaa)) = pair.ask(&uar()) else {
        panic!("UAA")
    };
    assert_eq!(uaa.result, CxResult::FIRST_REGISTRATION);
    assert_eq!(uaa.origin_host, HssConfig::default().origin_host);
    let Some(CxAnswer::Maa(maa)) = pair.ask(&mar()) else {
        panic!("MAA")
    };
    let [hss_client::cx::AuthItem::Aka(vector)] = &*maa.items else {
        panic!("one vector")
    };
    let mut usim = Subscriber::new("001010000000001").usim();
    let res = usim.authenticate(&vector.rand, &vector.autn).unwrap();
    assert_eq!((res.res, res.ck), (vector.xres.clone(), vector.ck.clone()));
    let Some(CxAnswer::Saa(saa)) = pair.ask(&sar()) else {
        panic!("SAA")
    };
    let profile = user_data::parse(&saa.user_data.unwrap()).unwrap();
    assert_eq!(
        profile.default_public_identity().unwrap().user(),
        Some("+15550001")
    );
    let Some(CxAnswer::Lia(lia)) = pair.ask(&lir()) else {
        panic!("LIA")
    };
    assert_eq!(
        (lia.result, lia.server_name.as_deref()),
        (CxResult::SUCCESS, Some(SCSCF))
    );
    assert_eq!(pair.hss.requests().count(), 4);
}

#[test]
fn a_termination_reaches_the_scscf_that_registered_and_its_answer_comes_back() {
    let mut pair = pair();
    let now = pair.now;
    assert!(
        !pair
            .hss
            .send_rtr(now, &alice(), &[], ReasonCode::PermanentTermination)
    );
    pair.ask(&mar());
    pair.ask(&sar());
    assert!(
        pair.hss
            .send_rtr(now, &alice(), &[tel()], ReasonCode::ServerChange)
    );
    pair.exchange();
    assert_eq!(
        pair.text(&avp::DESTINATION_HOST),
        Some(&*format!("scscf1.{HOME}"))
    );
    let message = pair.received.pop().unwrap();
    let Ok(CxPush::Rtr(rtr)) = CxPush::decode(&message) else {
        panic!("RTR")
    };
    assert_eq!((rtr.user_name, rtr.public_identities), (alice(), vec![tel()]));
    assert_eq!(rtr.reason.code, ReasonCode::ServerChange);
    let answer = CxPushAnswer::Rta(Rta {
        result: CxResult::SUCCESS,
    });
    let bytes = answer.encode(pair.client.local(), &message);
    pair.client.send(CONNECTION, bytes);
    pair.exchange();
    assert!(matches!(pair.hss.push_answers(), [CxPushAnswer::Rta(rta)] if rta.result == CxResult::SUCCESS));
}

#[test]
fn a_changed_profile_is_pushed() {
    let mut pair = pair();
    pair.ask(&mar());
    pair.ask(&sar());
    let now = pair.now;
    assert!(pair.hss.subscribers.update(&alice(), |s| s.impu("tel:+15550002")));
    assert!(pair.hss.send_ppr(now, &alice(), &tel()));
    pair.exchange();
    let Ok(CxPush::Ppr(ppr)) = CxPush::decode(&pair.received.pop().unwrap()) else {
        panic!("PPR")
    };
    let profile = user_data::parse(&ppr.user_data.unwrap()).unwrap();
    assert_eq!(profile.public_identities().count(), 4);
}

#[test]
fn a_silent_hss_says_nothing_and_is_well_again_when_told() {
    let mut pair = pair();
    pair.hss.set_fault(Faulty::All, Fault::Silent);
    assert!(pair.ask(&uar()).is_none());
    pair.advance(Duration::from_secs(20));
    assert!(pair.received.is_empty());
    pair.hss.clear_faults();
    assert!(pair.ask(&uar()).is_some());
}

#[test]
fn a_slow_hss_answers_when_the_delay_is_over() {
    let mut pair = pair();
    pair.hss
        .set_fault(Faulty::Uar, Fault::Delay(Duration::from_secs(7)));
    assert!(pair.ask(&uar()).is_none());
    pair.advance(Duration::from_millis(6999));
    assert!(pair.received.is_empty());
    pair.advance(Duration::from_millis(1));
    assert!(matches!(pair.answer(), Some(CxAnswer::Uaa(_))));
}

#[test]
fn a_refusing_hss_notes_nothing_and_one_that_loses_answers_does() {
    let mut pair = pair();
    pair.hss.set_fault(Faulty::Mar, Fault::Answer(CxResult::TOO_BUSY));
    let answer = pair.ask(&mar()).unwrap();
    assert_eq!(answer.result(), CxResult::TOO_BUSY);
    assert_eq!(pair.hss.subscribers.server_name(&alice()), None);
    pair.hss.set_fault(Faulty::Mar, Fault::LoseAnswer);
    assert!(pair.ask(&mar()).is_none());
    assert_eq!(pair.hss.subscribers.server_name(&alice()), Some(SCSCF));
}

#[test]
fn a_broken_hss_answers_what_nobody_can_read() {
    let mut pair = pair();
    pair.hss.set_fault(Faulty::All, Fault::Garbage(Bytes::new()));
    pair.send_to(&uar(), None, HOME);
    assert!(CxAnswer::decode(&pair.received.pop().unwrap()).is_err());
}

#[test]
fn a_request_for_another_host_or_realm_is_not_served() {
    let mut pair = pair();
    pair.send_to(&uar(), Some("hss9.example"), HOME);
    assert_eq!(pair.answer().unwrap().result(), CxResult::UNABLE_TO_DELIVER);
    pair.send_to(&uar(), None, "example");
    assert_eq!(pair.answer().unwrap().result(), CxResult::Base(REALM_NOT_SERVED));
    pair.send_to(&uar(), Some(&HssConfig::default().origin_host), HOME);
    assert!(pair.answer().unwrap().result().is_success());
}

#[test]
fn a_request_of_another_application_is_refused_with_the_protocol_error_flag() {
    let mut pair = pair();
    let header = Header {
        flags: CommandFlags(CommandFlags::REQUEST | CommandFlags::PROXIABLE),
        code: 300,
        application: 16_777_217,
        hop_by_hop: 5,
        end_to_end: 5,
    };
    pair.client.send(
        CONNECTION,
        ims_common::diameter::MessageBuilder::new(header).finish(),
    );
    pair.exchange();
    let answer = pair.received.pop().unwrap();
    assert_eq!(answer.result_code(), Some(result_code::APPLICATION_UNSUPPORTED));
    assert!(answer.header().flags.is_error());
}

#[test]
fn a_drained_hss_says_goodbye() {
    let mut pair = pair();
    pair.hss.handle(pair.now, NetInput::Command(Command::Drain));
    assert_eq!(pair.drained, 0);
    pair.exchange();
    assert_eq!(pair.drained, 1);
    assert!(pair.client.open_peers().next().is_none());
}
