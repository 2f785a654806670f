//! Testkit: an S-CSCF on a virtual clock between a scripted P-CSCF and a tiny HSS.

mod authentication;
mod deregistration;
mod digest;
mod hss_faults;
mod isc;
mod limits;
mod network;
mod originating;
mod records;
mod reg_event;
mod registration;
mod release;
mod requests;
mod swarm;
mod terminating;
mod third_party;
mod unregistered;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hss_client::cx::{
    AuthItem, ChargingInformation, CxAnswer, CxError, CxInput, CxOutput, CxPush, CxPushAnswer, CxPushId,
    CxRequest, CxRequestId, CxResult, Maa, Mar, Saa, Sar, ServerAssignmentType,
};
use hss_client::with_hss::{CscfInput, CscfOutput};
use ims_common::aka::{AkaVersion, AuthVector, DigestInput, Ha1};
use ims_common::config::{DaemonConfig, parse};
use ims_common::limits::SipLimits;
use ims_common::net::{Destination, Flow, Interface, NaptrRequest, SipInput, SipOutput, Transport};
use ims_common::node::{Metrics, Node, Seed};
use ims_common::sip::{HeaderName, Message, Request, Response, SipMessage};

use crate::config::ScscfConfig;
use crate::node::Scscf;

pub(super) const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";
pub(super) const IMPI: &str = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
pub(super) const TEMPORARY_IMPU: &str = "sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
/// Of another subscriber who shares [`IMPU`].
pub(super) const SECOND_IMPI: &str = "001010000000002@ims.mnc001.mcc001.3gppnetwork.org";
pub(super) const IMPU: &str = "sip:+15550001@ims.mnc001.mcc001.3gppnetwork.org";
pub(super) const CONTACT: &str = "<sip:001010000000001@192.0.2.10:5060>";
pub(super) const PATH: &str = "<sip:term-1@192.0.2.20:5060;lr>";
pub(super) const ICSCF: &str = "192.0.2.3:5060";
pub(super) const CK: &str = "b40ba9a3c58b2a05bbf0d987b21bf8cb";
pub(super) const IK: &str = "f769bcd751044604127672711c6d3441";

/// The usual profile: the temporary identity is barred, a SIP and a tel identity follow.
pub(super) fn profile() -> String {
    profile_of(
        IMPI,
        &[(TEMPORARY_IMPU, true), (IMPU, false), ("tel:+15550001", false)],
    )
}

/// In a profile: the private identity that asks for it.
pub(super) const ASKING: &str = "ASKING";

pub(super) fn profile_of(impi: &str, identities: &[(&str, bool)]) -> String {
    let identities: String = identities
        .iter()
        .map(|(identity, barred)| {
            let barred = u8::from(*barred);
            format!(
                "<PublicIdentity><BarringIndication>{barred}</BarringIndication>\
                 <Identity>{identity}</Identity></PublicIdentity>"
            )
        })
        .collect();
    format!(
        "<IMSSubscription><PrivateID>{impi}</PrivateID>\
         <ServiceProfile>{identities}</ServiceProfile></IMSSubscription>"
    )
}

/// Test set 1 of TS 35.207 with another first octet of RAND for each vector.
pub(super) fn vector(number: u8) -> AuthVector {
    let mut authenticate = [number; 32];
    authenticate[16..].copy_from_slice(&hex("55f328b43577b9b94a9ffac354dfafb3"));
    AuthVector::from_avps(&authenticate, &hex("a54211d5e3ba50bf"), &hex(CK), &hex(IK)).unwrap()
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

/// What the HSS answers.
pub(super) struct FakeHss {
    /// False: answers are given by the test.
    pub(super) answers: bool,
    pub(super) mar: Result<CxResult, CxError>,
    pub(super) sar: Result<CxResult, CxError>,
    /// Instead of AKA vectors.
    pub(super) items: Option<Vec<AuthItem>>,
    pub(super) user_data: Option<String>,
    pub(super) charging: Option<ChargingInformation>,
    vectors: u8,
}

impl FakeHss {
    fn answer(&mut self, request: &CxRequest) -> Result<CxAnswer, CxError> {
        let origin_host = "hss1.home.example".to_owned();
        match request {
            CxRequest::Mar(_) => self.mar.map(|result| {
                self.vectors += 1;
                let items = self.items.clone();
                CxAnswer::Maa(Maa {
                    result,
                    user_name: None,
                    public_identity: None,
                    items: items.unwrap_or_else(|| vec![AuthItem::Aka(vector(self.vectors))]),
                    origin_host,
                })
            }),
            CxRequest::Sar(sar) => self.sar.map(|result| {
                let wants_data = !sar.user_data_already_available;
                let asking = sar.user_name.as_ref().map_or("", |impi| impi.as_str());
                let user_data = self.user_data.as_ref().filter(|_| wants_data);
                CxAnswer::Saa(Saa {
                    result,
                    user_data: user_data.map(|data| Bytes::from(data.replace(ASKING, asking))),
                    charging: self.charging.clone(),
                    origin_host,
                    ..Saa::default()
                })
            }),
            CxRequest::Uar(_) | CxRequest::Lir(_) => panic!("an S-CSCF asks no {request:?}"),
        }
    }
}

/// One REGISTER as a P-CSCF would forward it.
#[derive(Clone)]
pub(super) struct Reg {
    pub(super) impu: String,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) contact: Option<String>,
    pub(super) expires: Option<u32>,
    pub(super) authorization: Option<String>,
    pub(super) path: Option<String>,
    pub(super) more: String,
}

impl Reg {
    pub(super) fn new(cseq: u32) -> Self {
        Self {
            impu: TEMPORARY_IMPU.to_owned(),
            call_id: "c1@ue".to_owned(),
            cseq,
            contact: Some(CONTACT.to_owned()),
            expires: Some(600_000),
            authorization: Some(authorization(IMPI, "", "", "no")),
            path: Some(PATH.to_owned()),
            more: String::new(),
        }
    }

    /// Over an established SA: the values of the last challenge, whatever they were.
    pub(super) fn protected(cseq: u32) -> Self {
        let authorization = Some(authorization(IMPI, "b2xk", "0123456789abcdef", "yes"));
        Self {
            authorization,
            ..Self::new(cseq)
        }
    }

    fn text(&self, branch: u32) -> String {
        let mut text = format!(
            "REGISTER sip:scscf1.{HOME} SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.6:5060;branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 69\r\n\
             From: <{impu}>;tag=f1\r\nTo: <{impu}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n\
             P-Visited-Network-ID: \"{HOME}\"\r\n\
             P-Charging-Vector: icid-value=\"i1\";orig-ioi=\"Type 1{HOME}\"\r\nRequire: path\r\n",
            impu = self.impu,
            call_id = self.call_id,
            cseq = self.cseq,
        );
        let headers = [
            ("Contact", self.contact.clone()),
            ("Expires", self.expires.map(|e| e.to_string())),
            ("Authorization", self.authorization.clone()),
            ("Path", self.path.clone()),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(&self.more);
        text.push_str("Content-Length: 0\r\n\r\n");
        text
    }
}

pub(super) fn authorization(impi: &str, nonce: &str, response: &str, protected: &str) -> String {
    format!(
        "Digest username=\"{impi}\",realm=\"{HOME}\",nonce=\"{nonce}\",uri=\"sip:{HOME}\",\
         response=\"{response}\",integrity-protected=\"{protected}\""
    )
}

/// The answer of a UE that has the key of [`vector`].
pub(super) fn aka_authorization(nonce: &str, qop: bool, protected: &str) -> String {
    let vector = vector(1);
    let ha1 = AkaVersion::V1Md5.ha1(IMPI.as_bytes(), HOME.as_bytes(), &vector.keys());
    digest_authorization(IMPI, nonce, &ha1, qop.then_some(1), "AKAv1-MD5", protected)
}

pub(super) fn digest_authorization(
    impi: &str,
    nonce: &str,
    ha1: &Ha1,
    nc: Option<u32>,
    algorithm: &str,
    protected: &str,
) -> String {
    let uri = format!("sip:{HOME}");
    let count = nc.map(|nc| format!("{nc:08x}")).unwrap_or_default();
    let input = DigestInput {
        nonce: nonce.as_bytes().into(),
        uri: uri.as_bytes().into(),
        qop: nc.map(|_| b"auth".as_slice().into()),
        nc: count.as_bytes().into(),
        cnonce: b"0a4f113b".as_slice().into(),
        method: b"REGISTER".as_slice().into(),
        ..DigestInput::default()
    };
    let response = input.expected_response(ha1).unwrap();
    let mut value = authorization(impi, nonce, &response, protected);
    value.push_str(&format!(",algorithm={algorithm}"));
    if nc.is_some() {
        value.push_str(&format!(",qop=auth,nc={count},cnonce=\"0a4f113b\""));
    }
    value
}

/// The node, its world, and what came out.
pub(super) struct Rig {
    pub(super) node: Scscf,
    pub(super) now: Instant,
    pub(super) hss: FakeHss,
    /// Requests to the HSS, in order.
    pub(super) cx: Vec<CxRequest>,
    pub(super) unanswered: VecDeque<(CxRequestId, CxRequest)>,
    pub(super) responses: VecDeque<Response>,
    pub(super) requests: VecDeque<Request>,
    /// Numbers that DNS is asked about.
    pub(super) lookups: VecDeque<NaptrRequest>,
    /// Where each of them went.
    pub(super) hops: VecDeque<SocketAddr>,
    pub(super) pushes_answered: Vec<CxPushAnswer>,
    branches: u32,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with_registration("{}")
    }

    /// A P-CSCF without IPsec in front, and an operator who knows it.
    pub(super) fn lab() -> Self {
        Self::with_registration("{unprotected_response: accept}")
    }

    pub(super) fn with_registration(registration: &str) -> Self {
        Self::with_config(&format!("  registration: {registration}\n"))
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "any instant serves as the origin of virtual time"
    )]
    pub(super) fn with_config(more: &str) -> Self {
        let text = format!("{}  icscf: \"sip:{ICSCF}\"\n{more}", ScscfConfig::DEFAULTS);
        let config: ScscfConfig = parse("scscf", &text).unwrap();
        Self {
            node: Scscf::new(config.settings().unwrap(), &Seed::from_number(7)),
            now: Instant::now(),
            hss: FakeHss {
                answers: true,
                mar: Ok(CxResult::SUCCESS),
                sar: Ok(CxResult::SUCCESS),
                items: None,
                user_data: Some(profile()),
                charging: None,
                vectors: 0,
            },
            cx: Vec::new(),
            unanswered: VecDeque::new(),
            responses: VecDeque::new(),
            requests: VecDeque::new(),
            lookups: VecDeque::new(),
            hops: VecDeque::new(),
            pushes_answered: Vec::new(),
            branches: 0,
        }
    }

    /// Sends a REGISTER in a transaction of its own, and gives the final response when there is one.
    pub(super) fn register(&mut self, register: &Reg) -> Response {
        self.send(register);
        self.responses.pop_front().expect("the REGISTER was answered")
    }

    pub(super) fn send(&mut self, register: &Reg) {
        self.branches += 1;
        let text = register.text(self.branches);
        self.receive(text);
    }

    /// The last REGISTER again, byte for byte.
    pub(super) fn retransmit(&mut self, register: &Reg) {
        let text = register.text(self.branches);
        self.receive(text);
    }

    pub(super) fn receive(&mut self, text: String) {
        let message = Message::parse(Bytes::from(text), &SipLimits::default()).unwrap();
        let flow = Flow {
            interface: Interface::Mw,
            transport: Transport::Udp,
            local: "192.0.2.7:5060".parse().unwrap(),
            remote: "192.0.2.6:5060".parse().unwrap(),
            connection: None,
        };
        let input = SipInput::Received { flow, message };
        self.node.handle(self.now, CscfInput::Sip(input));
        self.drain();
    }

    pub(super) fn push(&mut self, push: CxPush) -> CxPushAnswer {
        let input = CxInput::Push {
            id: CxPushId(1),
            push,
            origin_host: "hss1.home.example".to_owned(),
        };
        self.node.handle(self.now, CscfInput::Cx(input));
        self.drain();
        self.pushes_answered.pop().expect("a push is answered")
    }

    pub(super) fn answer_next(&mut self) {
        let (id, request) = self.unanswered.pop_front().expect("a request waits");
        let answer = self.hss.answer(&request);
        let input = CxInput::Answer { id, answer };
        self.node.handle(self.now, CscfInput::Cx(input));
        self.drain();
    }

    pub(super) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.node.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.node.handle_timeout(end);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                CscfOutput::Sip(SipOutput::Transmit(transmit)) => {
                    let hop = match transmit.destination {
                        Destination::Address { remote, .. } => remote,
                        Destination::Flow(flow) => flow.remote,
                    };
                    let message = Message::parse(transmit.bytes, &SipLimits::default()).unwrap();
                    match message.into_parts() {
                        SipMessage::Request(request) => {
                            self.requests.push_back(request);
                            self.hops.push_back(hop);
                        }
                        // A slow HSS makes 100s (RFC 4320 4.1); what counts here is final.
                        SipMessage::Response(response) if response.status().is_provisional() => {}
                        SipMessage::Response(response) => self.responses.push_back(response),
                    }
                }
                CscfOutput::Sip(SipOutput::Naptr(question)) => self.lookups.push_back(question),
                CscfOutput::Cx(CxOutput::Request { id, request }) => {
                    self.cx.push(request.clone());
                    self.unanswered.push_back((id, request));
                }
                CscfOutput::Cx(CxOutput::PushAnswer { answer, .. }) => self.pushes_answered.push(answer),
                CscfOutput::Sip(_) | CscfOutput::Serves(_) | CscfOutput::Leaves(_) | CscfOutput::Drained => {}
                // How many are open is a gauge.
                CscfOutput::Cdr(_) => {}
            }
        }
        if self.hss.answers && !self.unanswered.is_empty() {
            self.answer_next();
        }
    }

    /// Registers the usual UE over a P-CSCF with IPsec, in two rounds.
    pub(super) fn registered() -> Self {
        let mut rig = Self::new();
        rig.register_over_ipsec();
        rig
    }

    pub(super) fn register_over_ipsec(&mut self) -> Response {
        let challenge = self.register(&Reg::new(1));
        let answer = Reg {
            authorization: Some(aka_authorization(&nonce_of(&challenge), true, "yes")),
            ..Reg::new(2)
        };
        let response = self.register(&answer);
        assert_eq!(status(&response), 200);
        response
    }

    /// Answers a request that came out, as its next hop would.
    pub(super) fn answer(&mut self, request: &Request, code: u16, more: &str) {
        let mut text = format!("SIP/2.0 {code} X\r\n");
        for name in [
            HeaderName::Via,
            HeaderName::From,
            HeaderName::CallId,
            HeaderName::CSeq,
            HeaderName::RecordRoute,
        ] {
            for value in request.headers(name) {
                text.push_str(&format!(
                    "{}: {}\r\n",
                    name.as_str(),
                    String::from_utf8_lossy(value)
                ));
            }
        }
        let to = String::from_utf8_lossy(request.header(HeaderName::To).unwrap()).into_owned();
        text.push_str(&format!(
            "To: {to};tag=t{code}\r\n{more}Content-Length: 0\r\n\r\n"
        ));
        self.receive(text);
    }

    /// The Service-Route of the usual UE.
    pub(super) fn service_route(&mut self) -> String {
        let response = self.register(&Reg::protected(3));
        header(&response, HeaderName::ServiceRoute)
    }

    /// The next request that came out, and where it went.
    pub(super) fn sent(&mut self) -> (Request, String) {
        let request = self.requests.pop_front().expect("a request was sent");
        let hop = self.hops.pop_front().expect("a request goes somewhere");
        (request, hop.to_string())
    }

    /// Registers the second private identity at a contact of its own.
    pub(super) fn register_second(&mut self) -> Response {
        self.hss.user_data = Some(profile_of(SECOND_IMPI, &[(IMPU, false)]));
        let mut register = Reg {
            impu: IMPU.to_owned(),
            call_id: "c2@ue".to_owned(),
            contact: Some("<sip:second@192.0.2.12>".to_owned()),
            authorization: Some(authorization(SECOND_IMPI, "", "", "no")),
            ..Reg::new(1)
        };
        let nonce = nonce_of(&self.register(&register));
        let ha1 = AkaVersion::V1Md5.ha1(SECOND_IMPI.as_bytes(), HOME.as_bytes(), &vector(1).keys());
        register.cseq = 2;
        let answer = digest_authorization(SECOND_IMPI, &nonce, &ha1, Some(1), "AKAv1-MD5", "yes");
        register.authorization = Some(answer);
        let response = self.register(&register);
        assert_eq!(status(&response), 200);
        response
    }

    pub(super) fn sars(&self) -> Vec<&Sar> {
        let mut sars = Vec::new();
        for request in &self.cx {
            if let CxRequest::Sar(sar) = request {
                sars.push(sar);
            }
        }
        sars
    }

    pub(super) fn sar_types(&self) -> Vec<ServerAssignmentType> {
        self.sars().iter().map(|sar| sar.assignment_type).collect()
    }

    pub(super) fn mars(&self) -> Vec<&Mar> {
        let mut mars = Vec::new();
        for request in &self.cx {
            if let CxRequest::Mar(mar) = request {
                mars.push(mar);
            }
        }
        mars
    }

    pub(super) fn gauge(&self, name: &str) -> u64 {
        let mut metrics = Metrics::default();
        self.node.metrics(&mut metrics);
        metrics.sum(name, &[])
    }
}

pub(super) fn status(response: &Response) -> u16 {
    response.status().as_u16()
}

pub(super) fn header(response: &Response, name: HeaderName) -> String {
    String::from_utf8(response.header(name).unwrap_or_default().to_vec()).unwrap()
}

pub(super) fn values(request: &Request, name: HeaderName) -> Vec<String> {
    request
        .values(name)
        .map(|value| String::from_utf8(value.to_vec()).unwrap())
        .collect()
}

pub(super) fn lines(response: &Response, name: HeaderName) -> Vec<String> {
    response
        .headers(name)
        .map(|value| String::from_utf8(value.to_vec()).unwrap())
        .collect()
}

pub(super) fn nonce_of(response: &Response) -> String {
    assert_eq!(status(response), 401);
    let challenge = response.www_authenticate().unwrap().unwrap();
    String::from_utf8(challenge.nonce().unwrap().into_owned()).unwrap()
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
