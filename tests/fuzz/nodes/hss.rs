//! Testkit: the HSS at the other end of a node's Diameter connections: it answers at once, or late, or wrongly, or not.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use hss_client::cx::{
    AuthItem, ChargingInformation, CxAnswer, CxRequest, CxResult, Lia, Maa, Saa, ServerCapabilities, Uaa,
};
use ims_common::aka::AuthVector;
use ims_common::diameter::base::DisconnectCause;
use ims_common::diameter::grammar::{command, result_code};
use ims_common::diameter::{
    Application, CommandFlags, Header, Identifiers, LocalPeer, Message, MessageBuilder, Refusal,
};
use ims_common::net::{ConnectionId, DiameterInput, DiameterOutput};
use ims_common::node::Seed;

use super::script::Step;

const CX: u32 = 16_777_216;
/// What stands for the private identity of the request in a profile.
const ASKING: &str = "ASKING";
const PROFILE: &str = "<IMSSubscription><PrivateID>ASKING</PrivateID><ServiceProfile>\
     <PublicIdentity><BarringIndication>1</BarringIndication><Identity>sip:ASKING</Identity></PublicIdentity>\
     <PublicIdentity><Identity>sip:+15550001@ims.mnc001.mcc001.3gppnetwork.org</Identity></PublicIdentity>\
     <PublicIdentity><Identity>tel:+15550001</Identity></PublicIdentity></ServiceProfile></IMSSubscription>";

/// The vector of every answer.
pub(super) fn vector() -> AuthVector {
    let authenticate: Vec<u8> = (0..32).collect();
    let keys = [0x0b, 0xad, 0xc0, 0xde].repeat(4);
    AuthVector::from_avps(&authenticate, &[1, 2, 3, 4, 5, 6, 7, 8], &keys, &keys).expect("a vector")
}

/// How it behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Answers,
    /// Requests of Cx wait for `@cx`.
    Holds,
    /// Nothing is answered.
    Deaf,
}

pub(super) struct FakeHss {
    local: LocalPeer,
    ids: Identifiers,
    mode: Mode,
    up: bool,
    connection: Option<ConnectionId>,
    connections: u64,
    waiting: VecDeque<(ConnectionId, Message)>,
    mood: u32,
    server: Option<String>,
    profile: String,
    garble: Option<(usize, u8)>,
    /// What the node hears next.
    pub(super) inputs: VecDeque<DiameterInput>,
}

impl FakeHss {
    pub(super) fn new() -> Self {
        let seed = Seed::from_number(5);
        Self {
            local: LocalPeer {
                origin_host: "hss.h.example".to_owned(),
                origin_realm: super::HOME.to_owned(),
                host_ip_addresses: Vec::new(),
                product_name: "HSS".to_owned(),
                origin_state_id: 1,
                applications: vec![Application::CX],
                supported_vendors: vec![10_415],
            },
            ids: Identifiers::new(&seed, 0, &mut seed.rng(1)),
            mode: Mode::Answers,
            up: true,
            connection: None,
            connections: 100,
            waiting: VecDeque::new(),
            mood: result_code::SUCCESS,
            server: Some(format!("sip:scscf1.{}", super::HOME)),
            profile: PROFILE.to_owned(),
            garble: None,
            inputs: VecDeque::new(),
        }
    }

    /// What the script says of it.
    pub(super) fn step(&mut self, step: &Step) {
        match (step.word(0), step.word(1)) {
            ("hss", "go") => {
                self.mode = Mode::Answers;
                self.answer_all(None);
            }
            ("hss", "hear") => self.mode = Mode::Answers,
            ("hss", "hold") => self.mode = Mode::Holds,
            ("hss", "deaf") => self.mode = Mode::Deaf,
            ("hss", "down") => {
                self.up = false;
                if let Some(connection) = self.connection.take() {
                    self.inputs.push_back(DiameterInput::Closed { connection });
                }
            }
            ("hss", "up") => self.up = true,
            ("hss", "dial") => self.dial(),
            ("cx", result) => self.answer_all(result.parse().ok()),
            ("mood", result) => self.mood = result.parse().unwrap_or(result_code::SUCCESS),
            ("server", name) => self.server = (!name.is_empty()).then(|| name.to_owned()),
            ("profile", _) => self.profile = String::from_utf8_lossy(&step.body).trim().to_owned(),
            ("garble", _) => {
                self.garble = Some((step.number(2 - 1), u8::try_from(step.number(2)).unwrap_or(255)))
            }
            ("push", _) => self.push(u32::try_from(step.number(1)).unwrap_or_default()),
            _ => {}
        }
    }

    fn answer_all(&mut self, result: Option<u32>) {
        while let Some((connection, request)) = self.waiting.pop_front() {
            self.answer(connection, &request, result.unwrap_or(self.mood));
        }
    }

    pub(super) fn on_output(&mut self, output: DiameterOutput) {
        match output {
            DiameterOutput::Connect { attempt, .. } if self.up => _ = self.connect(Some(attempt)),
            DiameterOutput::Connect { attempt, .. } => {
                let reason = "refused".to_owned();
                self.inputs
                    .push_back(DiameterInput::ConnectFailed { attempt, reason });
            }
            DiameterOutput::Send { connection, bytes } => self.on_message(connection, bytes),
            DiameterOutput::Close { connection } => {
                self.connection = self.connection.filter(|c| *c != connection);
                self.inputs.push_back(DiameterInput::Closed { connection });
            }
        }
    }

    fn connect(&mut self, attempt: Option<u64>) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.connection = Some(connection);
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        self.inputs.push_back(DiameterInput::Connected {
            connection,
            attempt,
            local: at("192.0.2.4:3868"),
            remote: at("192.0.2.5:3868"),
        });
        connection
    }

    /// It comes by itself.
    fn dial(&mut self) {
        let connection = self.connect(None);
        let bytes = self.local.cer(&mut self.ids, [192, 0, 2, 5].into());
        self.say(connection, bytes);
    }

    fn say(&mut self, connection: ConnectionId, bytes: Bytes) {
        let bytes = match self.garble.take() {
            Some((at, byte)) if at < bytes.len() => {
                let mut octets = bytes.to_vec();
                octets[at] = byte;
                octets.into()
            }
            _ => bytes,
        };
        self.inputs
            .push_back(DiameterInput::Message { connection, bytes });
    }

    fn on_message(&mut self, connection: ConnectionId, bytes: Bytes) {
        let message =
            Message::parse(bytes).unwrap_or_else(|e| panic!("the node printed a message that is none: {e}"));
        let header = *message.header();
        if self.mode == Mode::Deaf || !header.flags.is_request() {
            return;
        }
        match header.code {
            command::CAPABILITIES_EXCHANGE => {
                let success = Refusal::new(result_code::SUCCESS);
                let cea = self.local.cea(&header, [192, 0, 2, 5].into(), &success);
                self.say(connection, cea);
            }
            command::DEVICE_WATCHDOG => {
                let dwa = self.local.dwa(&header);
                self.say(connection, dwa);
            }
            command::DISCONNECT_PEER => {
                let dpa = self.local.dpa(&header);
                self.say(connection, dpa);
                self.inputs.push_back(DiameterInput::Closed { connection });
            }
            _ if self.mode == Mode::Holds => self.waiting.push_back((connection, message)),
            _ => self.answer(connection, &message, self.mood),
        }
    }

    fn answer(&mut self, connection: ConnectionId, message: &Message, code: u32) {
        let request = CxRequest::decode(message)
            .unwrap_or_else(|e| panic!("the node printed a request that Cx does not know: {e:?}"));
        let result = match code {
            5_001..=5_011 | 2_001..=2_004 if code != 2_001 => CxResult::Experimental(code),
            _ => CxResult::Base(code),
        };
        let answer = self.answer_to(&request, result);
        let bytes = answer.encode(&self.local, message);
        self.say(connection, bytes);
    }

    fn answer_to(&self, request: &CxRequest, result: CxResult) -> CxAnswer {
        let capabilities = self.server.is_none().then(|| ServerCapabilities {
            mandatory: vec![2],
            optional: vec![1],
            server_names: Vec::new(),
        });
        let (server_name, origin_host) = (self.server.clone(), String::new());
        match request {
            CxRequest::Uar(_) => CxAnswer::Uaa(Uaa {
                result,
                server_name,
                capabilities,
                origin_host,
            }),
            CxRequest::Lir(_) => CxAnswer::Lia(Lia {
                result,
                server_name,
                capabilities,
                ..Lia::default()
            }),
            CxRequest::Mar(mar) => CxAnswer::Maa(Maa {
                result,
                user_name: Some(mar.user_name.clone()),
                public_identity: Some(mar.public_identity.clone()),
                items: vec![AuthItem::Aka(vector())],
                origin_host,
            }),
            CxRequest::Sar(sar) => {
                let asking = sar
                    .user_name
                    .as_ref()
                    .map_or("nobody@h.example", |impi| impi.as_str());
                CxAnswer::Saa(Saa {
                    result,
                    user_data: Some(Bytes::from(self.profile.replace(ASKING, asking))),
                    charging: Some(ChargingInformation {
                        primary_collection: Some("aaa://ccf.h.example".to_owned()),
                        ..ChargingInformation::default()
                    }),
                    ..Saa::default()
                })
            }
        }
    }

    /// A request of the HSS, as another HSS might print it.
    fn push(&mut self, code: u32) {
        use ims_common::diameter::grammar::avp;
        let Some(connection) = self.connection else { return };
        let mut builder = MessageBuilder::new(Header {
            flags: CommandFlags(CommandFlags::REQUEST | CommandFlags::PROXIABLE),
            code,
            application: CX,
            hop_by_hop: self.ids.next_hop_by_hop(),
            end_to_end: self.ids.next_end_to_end(),
        });
        let group = |code, flags| ims_common::diameter::AvpDef {
            name: "pushed",
            code,
            vendor: 10_415,
            flags,
            kind: ims_common::diameter::AvpType::Grouped(&[]),
        };
        let (reason, number, data) = (group(615, 0xc0), group(616, 0xc0), group(606, 0xc0));
        let impi = format!("001010000000001@{}", super::HOME);
        builder.text(&avp::SESSION_ID, "hss;1;2");
        ims_common::diameter::base::put_application(&mut builder, Application::CX);
        builder.u32(&avp::AUTH_SESSION_STATE, 1);
        self.local.put_origin(&mut builder);
        builder
            .text(&avp::DESTINATION_HOST, "scscf1.h.example")
            .text(&avp::DESTINATION_REALM, super::HOME)
            .text(&avp::USER_NAME, &impi);
        match code {
            304 => _ = builder.group(&reason, |b| _ = b.u32(&number, 0)),
            _ => _ = builder.octets(&data, self.profile.replace(ASKING, &impi).as_bytes()),
        }
        let bytes = match code {
            282 => self.local.dpr(&mut self.ids, DisconnectCause::Busy),
            280 => self.local.dwr(&mut self.ids),
            _ => builder.finish(),
        };
        self.say(connection, bytes);
    }
}
