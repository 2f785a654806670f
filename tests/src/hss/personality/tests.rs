//! Testkit: the quirks, message by message.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hss_client::cx::{
    AuthItem, AuthScheme, CxAnswer, CxRequest, CxResult, Lia, Lir, Maa, Mar, RequestHead, Saa, Sar,
    ServerAssignmentType, Uaa, Uar, UserAuthorizationType,
};
use hss_client::user_data;
use ims_common::diameter::base::{Application, DisconnectCause};
use ims_common::diameter::grammar::avp;
use ims_common::diameter::{CommandFlags, Header, Identifiers, LocalPeer, Message, MessageBuilder};
use ims_common::identity::{Impi, Impu};
use ims_common::net::{ConnectionId, DiameterInput, DiameterOutput, NetInput, NetOutput};
use ims_common::node::{Node, Seed};

use super::Personality;
use crate::hss::{Hss, HssConfig, Subscriber};
use crate::world::epoch;

mod limits;

const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";
const IMSI: &str = "001010000000001";
const POOL: &str = "scscf9.example";
const SCSCF: &str = "sip:scscf1.example";
const OTHER: &str = "sip:scscf2.example";
const SH: u32 = 16_777_217;

/// An HSS and whoever talks to it.
struct Bench {
    now: Instant,
    hss: Hss,
    client: LocalPeer,
    ids: Identifiers,
    sent: u32,
    closed: Vec<ConnectionId>,
}

impl Bench {
    fn new(personality: Personality) -> Self {
        Self::with(personality, None)
    }

    fn with(personality: Personality, sms_over_ims: Option<String>) -> Self {
        let config = HssConfig {
            personality,
            sms_over_ims,
            scscf_pool: Some(POOL.into()),
            ..HssConfig::default()
        };
        let config = config.with(Subscriber::new(IMSI).msisdn("15550001"));
        let seed = Seed::from_number(3);
        let client = LocalPeer {
            origin_host: "cscf.example".into(),
            origin_realm: HOME.into(),
            host_ip_addresses: vec![],
            product_name: "test".into(),
            origin_state_id: 41,
            applications: vec![Application::CX],
            supported_vendors: vec![],
        };
        let mut bench = Self {
            now: epoch(),
            hss: Hss::new(config, seed),
            client,
            ids: Identifiers::new(&seed, 0, &mut seed.rng(1)),
            sent: 0,
            closed: Vec::new(),
        };
        bench.connect(1);
        bench
    }

    fn connect(&mut self, number: u64) -> Message {
        let connected = DiameterInput::Connected {
            connection: ConnectionId(number),
            attempt: None,
            local: ([192, 0, 2, 5], 3868).into(),
            remote: ([192, 0, 2, 4], 40_000).into(),
        };
        self.hss.handle(self.now, NetInput::Diameter(connected));
        let cer = self.client.cer(&mut self.ids, IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.one(number, cer)
    }

    fn send(&mut self, number: u64, bytes: Bytes) {
        let connection = ConnectionId(number);
        let message = DiameterInput::Message { connection, bytes };
        self.hss.handle(self.now, NetInput::Diameter(message));
    }

    fn wait(&mut self, duration: Duration) -> Vec<Message> {
        self.now += duration;
        self.hss.handle_timeout(self.now);
        let mut messages = Vec::new();
        while let Some(output) = self.hss.poll_output() {
            match output {
                NetOutput::Diameter(DiameterOutput::Send { bytes, .. }) => {
                    messages.push(Message::parse(bytes).unwrap());
                }
                NetOutput::Diameter(DiameterOutput::Close { connection }) => self.closed.push(connection),
                _ => {}
            }
        }
        messages
    }

    /// The answers that are there after a batch.
    fn answers(&mut self) -> Vec<Message> {
        self.wait(Duration::from_millis(100))
    }

    fn one(&mut self, number: u64, bytes: Bytes) -> Message {
        self.send(number, bytes);
        let mut answers = self.answers();
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    fn encode(&mut self, request: &CxRequest) -> Bytes {
        self.sent += 1;
        request.encode(&RequestHead {
            local: &self.client,
            session_id: "test;1;1",
            destination_host: None,
            destination_realm: HOME,
            hop_by_hop: self.sent,
            end_to_end: self.sent,
        })
    }

    fn raw(&mut self, request: &CxRequest) -> Message {
        let bytes = self.encode(request);
        self.one(1, bytes)
    }

    fn uar(&mut self, authorization_type: UserAuthorizationType) -> Uaa {
        match CxAnswer::decode(&self.raw(&uar(authorization_type))) {
            Ok(CxAnswer::Uaa(uaa)) => uaa,
            other => panic!("{other:?}"),
        }
    }

    fn mar(&mut self, authorization: Option<Bytes>) -> Maa {
        match CxAnswer::decode(&self.raw(&mar(IMSI, authorization))) {
            Ok(CxAnswer::Maa(maa)) => maa,
            other => panic!("{other:?}"),
        }
    }

    fn sar(&mut self, assignment_type: ServerAssignmentType, server_name: &str) -> Saa {
        match CxAnswer::decode(&self.raw(&sar(&own_impu(), assignment_type, server_name))) {
            Ok(CxAnswer::Saa(saa)) => saa,
            other => panic!("{other:?}"),
        }
    }

    fn lir(&mut self, impu: &str) -> Lia {
        match CxAnswer::decode(&self.raw(&lir(impu))) {
            Ok(CxAnswer::Lia(lia)) => lia,
            other => panic!("{other:?}"),
        }
    }

    fn stored(&self) -> Option<&str> {
        self.hss.subscribers.server_name(&impi(IMSI))
    }
}

fn impi(imsi: &str) -> Impi {
    Impi::parse(&format!("{imsi}@{HOME}")).unwrap()
}

fn own_impu() -> String {
    format!("sip:{IMSI}@{HOME}")
}

fn uar(authorization_type: UserAuthorizationType) -> CxRequest {
    CxRequest::Uar(Uar {
        user_name: impi(IMSI),
        public_identity: Impu::parse(&own_impu()).unwrap(),
        visited_network: HOME.into(),
        authorization_type,
        emergency: false,
    })
}

fn mar(imsi: &str, authorization: Option<Bytes>) -> CxRequest {
    CxRequest::Mar(Mar {
        user_name: impi(imsi),
        public_identity: Impu::parse(&own_impu()).unwrap(),
        scheme: AuthScheme::DigestAkaV1Md5,
        authorization,
        server_name: SCSCF.into(),
        destination_host: None,
    })
}

fn sar(impu: &str, assignment_type: ServerAssignmentType, server_name: &str) -> CxRequest {
    CxRequest::Sar(Sar {
        user_name: Some(impi(IMSI)),
        public_identities: vec![Impu::parse(impu).unwrap()],
        server_name: server_name.into(),
        assignment_type,
        user_data_already_available: false,
        destination_host: None,
    })
}

fn lir(impu: &str) -> CxRequest {
    CxRequest::Lir(Lir {
        public_identity: Impu::parse(impu).unwrap(),
        originating: false,
        authorization_type: None,
    })
}

fn header(code: u32, application: u32, flags: u8) -> Header {
    Header {
        flags: CommandFlags(flags),
        code,
        application,
        hop_by_hop: 77,
        end_to_end: 77,
    }
}

/// A message with nothing but a Session-Id.
fn bare(code: u32, application: u32, flags: u8) -> Bytes {
    let mut builder = MessageBuilder::new(header(code, application, flags));
    builder.text(&avp::SESSION_ID, "test;1;2");
    builder.finish()
}

fn both(test: impl Fn(Personality, Bench)) {
    for personality in [Personality::PyHss1, Personality::PyHss2] {
        test(personality, Bench::new(personality));
    }
}

fn vector(maa: &Maa) -> &ims_common::aka::AuthVector {
    match &*maa.items {
        [AuthItem::Aka(vector)] => vector,
        _ => panic!("{:?}", maa.result),
    }
}

/// RAND and an AUTS with the right SQN and a wrong MAC-S.
fn forged(rand: [u8; 16], sqn: u64) -> Bytes {
    let usim = Subscriber::new(IMSI)
        .usim()
        .with_sqn(crate::milenage::Sqn::new(sqn));
    let mut auts = usim.auts(&rand).0;
    auts[13] ^= 1;
    [&rand[..], &auts].concat().into()
}

#[test]
fn pyhss_says_nothing_to_what_it_does_not_like() {
    both(|personality, mut bench| {
        let disliked = [
            ("no AVPs", bare(303, Application::CX.id, 0xC0)),
            ("LIR without identity", bare(302, Application::CX.id, 0xC0)),
            ("unknown command", bare(399, Application::CX.id, 0xC0)),
            ("unknown application", bare(300, 5, 0xC0)),
            ("DWR with P", bare(280, 0, 0xC0)),
            ("SAR without name", bare(301, Application::CX.id, 0xC0)),
        ];
        for (what, bytes) in disliked {
            bench.send(1, bytes);
            assert_eq!(bench.answers().len(), 0, "{personality:?} {what}");
        }
    });
    let mut one = Bench::new(Personality::PyHss1);
    one.send(1, bare(300, Application::CX.id, 0xC0));
    assert_eq!(one.answers().len(), 0, "UAR without User-Name");
    let mut two = Bench::new(Personality::PyHss2);
    let uaa = two.one(1, bare(300, Application::CX.id, 0xC0));
    assert_eq!(CxResult::of(&uaa), CxResult::USER_UNKNOWN);
}

#[test]
fn a_uaa_of_pyhss_has_a_bare_name_and_no_result_code() {
    both(|_, mut bench| {
        let message = bench.raw(&uar(UserAuthorizationType::Registration));
        assert_eq!(message.result_code(), None);
        let names: Vec<_> = message
            .avps()
            .flatten()
            .filter(|a| a.code == 602)
            .map(|a| a.data)
            .collect();
        assert_eq!(names, [POOL.as_bytes()]);
        let uaa = bench.uar(UserAuthorizationType::Registration);
        assert_eq!(uaa.result, CxResult::FIRST_REGISTRATION);
        assert_eq!(uaa.server_name, Some(format!("sip:{POOL}")));
        bench.sar(ServerAssignmentType::Registration, SCSCF);
        let uaa = bench.uar(UserAuthorizationType::Registration);
        assert_eq!(uaa.result, CxResult::SUBSEQUENT_REGISTRATION);
        assert_eq!(uaa.server_name.as_deref(), Some(SCSCF));
        let capable = bench.uar(UserAuthorizationType::RegistrationAndCapabilities);
        assert_eq!(capable.capabilities, None);
    });
}

#[test]
fn a_uar_that_leaves_clears_the_name_of_pyhss_at_once() {
    both(|_, mut bench| {
        bench.sar(ServerAssignmentType::Registration, SCSCF);
        let uaa = bench.uar(UserAuthorizationType::DeRegistration);
        assert_eq!(
            (uaa.result, uaa.server_name.as_deref()),
            (CxResult::SUCCESS, Some(SCSCF))
        );
        assert_eq!(bench.stored(), None);
        let uaa = bench.uar(UserAuthorizationType::DeRegistration);
        assert_eq!(uaa.result, CxResult::FIRST_REGISTRATION);
    });
}

#[test]
fn an_unknown_user_is_told_in_three_ways_by_pyhss() {
    both(|_, mut bench| {
        let nobody = "sip:001010000000099@ims.mnc001.mcc001.3gppnetwork.org";
        let saa = bench.raw(&sar(nobody, ServerAssignmentType::Registration, SCSCF));
        assert_eq!(saa.header().application, SH);
        assert_eq!(CxResult::of(&saa), CxResult::Experimental(5005));
        let maa = bench.raw(&mar("001010000000099", None));
        let group = maa.find(&avp::EXPERIMENTAL_RESULT).unwrap();
        let codes: Vec<_> = group.members().flatten().map(|a| (a.code, a.u32())).collect();
        assert_eq!(codes, [(298, Some(5001)), (266, Some(10_415))]);
        assert_eq!(bench.lir(nobody).result, CxResult::USER_UNKNOWN);
    });
}

#[test]
fn the_only_item_of_pyhss_has_the_number_0() {
    both(|_, mut bench| {
        let maa = bench.raw(&mar(IMSI, None));
        let item = maa.avps().flatten().find(|a| a.code == 612).unwrap();
        let number = item.members().flatten().find(|a| a.code == 613).unwrap();
        assert_eq!(number.u32(), Some(0));
        assert_eq!(bench.stored(), None, "a MAR stores nothing");
    });
}

#[test]
fn a_sar_of_any_other_type_takes_the_user_away_from_pyhss_and_has_a_profile() {
    both(|personality, mut bench| {
        for kind in [
            ServerAssignmentType::NoAssignment,
            ServerAssignmentType::UnregisteredUser,
            ServerAssignmentType::UserDeregistrationStoreServerName,
        ] {
            bench.sar(ServerAssignmentType::Registration, "sip:sip:scscf1.example");
            assert_eq!(bench.stored(), Some(SCSCF), "a doubled scheme is repaired");
            let saa = bench.sar(kind, OTHER);
            let stays = personality == Personality::PyHss2;
            assert_eq!(bench.stored().is_some(), stays, "{personality:?} {kind:?}");
            let profile = user_data::parse(&saa.user_data.unwrap()).unwrap();
            assert_eq!(saa.user_name, Some(profile.private_identity.clone()));
            let impus: Vec<_> = profile
                .public_identities()
                .map(|i| i.impu.as_str().to_owned())
                .collect();
            let number = format!("sip:15550001@{HOME}");
            assert_eq!(impus, [number, "tel:15550001".into(), own_impu()]);
            bench.sar(kind, SCSCF);
            assert_eq!(bench.stored(), None, "{personality:?} {kind:?}");
        }
    });
}

#[test]
fn pyhss_names_an_s_cscf_for_a_user_who_is_not_registered() {
    both(|_, mut bench| {
        let lia = bench.lir("tel:15550001");
        assert_eq!(lia.result, CxResult::SUCCESS);
        assert_eq!(lia.server_name, Some(format!("sip:{POOL}")));
    });
}

#[test]
fn pyhss_compares_digits_and_only_2_0_strips_the_plus() {
    both(|personality, mut bench| {
        let known = [
            own_impu(),
            "sip:15550001@elsewhere.example".into(),
            "tel:15550001".into(),
        ];
        for impu in known {
            assert_eq!(
                bench.lir(&impu).result,
                CxResult::SUCCESS,
                "{personality:?} {impu}"
            );
        }
        for impu in ["tel:+15550001".to_owned(), format!("sip:+15550001@{HOME}")] {
            let is_known = bench.lir(&impu).result == CxResult::SUCCESS;
            assert_eq!(
                is_known,
                personality == Personality::PyHss2,
                "{personality:?} {impu}"
            );
        }
        // Our own codec writes no `sips:`.
        let secure = format!("sips:15550001@{HOME}");
        let mut builder = MessageBuilder::new(header(302, Application::CX.id, 0xC0));
        let length = u8::try_from(12 + secure.len()).unwrap();
        let head = [0, 0, 2, 0x59, 0xC0, 0, 0, length, 0, 0, 0x28, 0xAF];
        builder.text(&avp::SESSION_ID, "test;1;3");
        builder.raw(&[&head[..], secure.as_bytes()].concat());
        let answer = bench.one(1, builder.finish());
        assert_eq!(
            CxResult::of(&answer),
            CxResult::USER_UNKNOWN,
            "four characters are cut off"
        );
    });
}

#[test]
fn a_forged_auts_moves_the_number_of_pyhss_and_not_that_of_open5gs() {
    both(|_, mut bench| {
        let rand = vector(&bench.mar(None)).rand;
        let maa = bench.mar(Some(forged(rand, 5_000_000)));
        let vector = vector(&maa);
        let mut usim = Subscriber::new(IMSI).usim();
        usim.authenticate(&vector.rand, &vector.autn).unwrap();
        assert_eq!(usim.sqn_ms().number(), 5_000_100);
    });
    let mut bench = Bench::new(Personality::Open5gs);
    bench.uar(UserAuthorizationType::Registration);
    let rand = vector(&bench.mar(None)).rand;
    let maa = bench.mar(Some(forged(rand, 5_000_000)));
    assert_eq!(maa.result, CxResult::AUTH_SCHEME_NOT_SUPPORTED);
}

#[test]
fn answers_of_pyhss_come_in_batches_the_last_first() {
    let mut bench = Bench::new(Personality::PyHss2);
    for _ in 0..3 {
        let bytes = bench.encode(&uar(UserAuthorizationType::Registration));
        bench.send(1, bytes);
    }
    assert_eq!(bench.wait(Duration::from_millis(99)).len(), 0);
    let order: Vec<_> = bench
        .wait(Duration::from_millis(1))
        .iter()
        .map(|m| m.header().hop_by_hop)
        .collect();
    assert_eq!(order, [3, 2, 1]);
}

#[test]
fn the_second_message_of_a_read_is_lost_by_1_0_only() {
    both(|personality, mut bench| {
        for _ in 0..2 {
            let bytes = bench.encode(&uar(UserAuthorizationType::Registration));
            bench.send(1, bytes);
        }
        let expected = if personality == Personality::PyHss1 { 1 } else { 2 };
        assert_eq!(bench.answers().len(), expected, "{personality:?}");
    });
}

#[test]
fn of_two_connections_with_one_name_pyhss_forgets_one() {
    both(|personality, mut bench| {
        bench.connect(2);
        bench.wait(Duration::from_secs(1));
        let (deaf, alive) = if personality == Personality::PyHss1 {
            (2, 1)
        } else {
            (1, 2)
        };
        let dwr = bench.client.dwr(&mut bench.ids);
        bench.send(deaf, dwr.clone());
        assert_eq!(bench.answers().len(), 0, "{personality:?}");
        bench.one(alive, dwr);
        assert_eq!(bench.closed, [], "it stays open");
    });
}

#[test]
fn pyhss_counts_the_state_id_up_and_leaves_the_farewell_to_the_client() {
    both(|_, mut bench| {
        let dwr = bench.client.dwr(&mut bench.ids);
        let dwa = bench.one(1, dwr);
        assert_eq!(dwa.u32(&avp::ORIGIN_STATE_ID), Some(42));
        assert_eq!(dwa.header().flags, CommandFlags(0));
        let dpr = bench.client.dpr(&mut bench.ids, DisconnectCause::Rebooting);
        assert_eq!(bench.one(1, dpr).result_code(), Some(2001));
        bench.wait(Duration::from_secs(299));
        assert_eq!(bench.closed, []);
        bench.wait(Duration::from_secs(1));
        assert_eq!(bench.closed, [ConnectionId(1)], "as every silent one");
    });
}

#[test]
fn open5gs_knows_nobody_before_a_uar_and_after_a_restart() {
    let mut bench = Bench::new(Personality::Open5gs);
    assert_eq!(bench.mar(None).result, CxResult::IDENTITIES_DONT_MATCH);
    let uaa = bench.uar(UserAuthorizationType::Registration);
    assert_eq!(
        (uaa.result, uaa.server_name, uaa.capabilities),
        (CxResult::FIRST_REGISTRATION, None, None)
    );
    assert_eq!(bench.mar(None).result, CxResult::SUCCESS);
    let uaa = bench.uar(UserAuthorizationType::Registration);
    assert_eq!(uaa.server_name.as_deref(), Some(SCSCF), "the MAR stored it");
    bench.hss.lose_memory();
    assert_eq!(bench.mar(None).result, CxResult::IDENTITIES_DONT_MATCH);
    let saa = bench.sar(ServerAssignmentType::ReRegistration, SCSCF);
    assert_eq!(saa.result, CxResult::IDENTITIES_DONT_MATCH);
}

#[test]
fn open5gs_uses_one_rand_until_a_resynchronisation() {
    let mut bench = Bench::new(Personality::Open5gs);
    bench.uar(UserAuthorizationType::Registration);
    let (first, second) = (bench.mar(None), bench.mar(None));
    let (first, second) = (vector(&first), vector(&second));
    assert_eq!(first.rand, second.rand);
    assert_ne!(first.autn, second.autn);
    let usim = Subscriber::new(IMSI).usim();
    let auts = usim.auts(&first.rand);
    let third = bench.mar(Some([&first.rand[..], &auts.0].concat().into()));
    assert_ne!(vector(&third).rand, first.rand);
}

#[test]
fn open5gs_names_the_avp_that_is_missing() {
    let mut bench = Bench::new(Personality::Open5gs);
    let answer = bench.one(1, bare(302, Application::CX.id, 0xC0));
    assert_eq!(answer.result_code(), Some(5005));
    assert!(answer.find(&avp::FAILED_AVP).is_some());
    assert!(answer.find(&avp::EXPERIMENTAL_RESULT).is_none());
    let answer = bench.one(1, bare(302, Application::CX.id, 0x80));
    assert_eq!(answer.result_code(), Some(3008), "without P");
}

#[test]
fn open5gs_bars_the_first_identity_and_forgets_nothing_when_a_user_leaves() {
    let mut bench = Bench::new(Personality::Open5gs);
    bench.uar(UserAuthorizationType::Registration);
    let saa = bench.sar(ServerAssignmentType::Registration, SCSCF);
    assert_eq!(saa.charging.unwrap().primary_collection.as_deref(), Some("pcrf"));
    let profile = user_data::parse(&saa.user_data.unwrap()).unwrap();
    let impus: Vec<_> = profile
        .public_identities()
        .map(|i| (i.impu.as_str().to_owned(), i.barred))
        .collect();
    let number = format!("sip:15550001@{HOME}");
    assert_eq!(
        impus,
        [
            (own_impu(), true),
            (number, false),
            ("tel:15550001".into(), false)
        ]
    );
    for kind in [
        ServerAssignmentType::UnregisteredUser,
        ServerAssignmentType::UserDeregistration,
    ] {
        let saa = bench.sar(kind, SCSCF);
        assert_eq!((saa.result, saa.user_data), (CxResult::SUCCESS, None), "{kind:?}");
    }
    assert_eq!(bench.lir("tel:15550001").server_name.as_deref(), Some(SCSCF));
    for impu in ["tel:+15550001", "sip:nobody@example.org"] {
        let lia = bench.lir(impu);
        assert_eq!(
            (lia.result, lia.server_name),
            (CxResult::SERVER_NAME_NOT_STORED, None),
            "{impu}"
        );
    }
}
