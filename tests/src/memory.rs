//! Testkit: what registered users cost in memory: very many of them through the pure nodes, without a network.
//!
//! A P-CSCF and an S-CSCF on virtual time; the HSS is a function. (An I-CSCF keeps nothing of a user.) What a node
//! holds is what is given back when it is dropped, so the figures are those of a counting allocator, which the
//! program brings.

mod calls;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hss_client::cx::{AuthItem, CxAnswer, CxInput, CxOutput, CxRequest, CxResult, Maa, Saa};
use hss_client::with_hss::{CscfInput, CscfOutput};
use ims_common::aka::{AkaVersion, AuthVector, DigestInput};
use ims_common::config::{DaemonConfig, parse};
use ims_common::ipsec::{XfrmInput, XfrmOutput};
use ims_common::limits::SipLimits;
use ims_common::net::{
    Destination, Flow, Interface, NetInput, NetOutput, SipInput, SipOutput, Transmit, Transport,
};
use ims_common::node::{Node, Seed};
use ims_common::sip::Message;
use pcscf::{Pcscf, PcscfConfig};
use scscf::{Scscf, ScscfConfig};

use crate::load::talk::Talk;
use crate::site::HOME;
use crate::text::param_of;

const GM: &str = "127.0.1.1:5060";
const GM_PROTECTED: &str = "127.0.1.1:6101";
const PCSCF: &str = "127.0.1.2:5060";
const ICSCF: &str = "127.0.1.3:5060";
const SCSCF: &str = "127.0.1.4:5060";
/// The address of the first phone, as a number.
const PHONES: u32 = 0x7f40_0000;
/// Longer than any timer of an answered REGISTER: 64*T1 of Gm.
const SETTLE: Duration = Duration::from_secs(140);
const CONTACT_HEADER: &str = "+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\";+g.3gpp.smsip";

const SECURITY: &str = "Require: sec-agree\r\nProxy-Require: sec-agree\r\n\
                        Security-Client: ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;prot=esp;mod=trans;spi-c=4097;spi-s=4098;\
                        port-c=40001;port-s=40000\r\n";

/// How many users, how fast, with what services.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Users that register, each once.
    pub users: u32,
    /// Registrations a second, on the virtual clock.
    pub rate: u32,
    /// Initial filter criteria in each user's profile; all users have the same.
    pub criteria: u32,
    /// The P-CSCF subscribes to each registration.
    pub reg_event: bool,
    /// Each user has a set of four security associations; what the shell and the kernel keep of it does not count.
    pub ipsec: bool,
    /// Calls that are in progress at the end, at the same rate.
    pub calls: u32,
}

/// Octets, as the allocator counts them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Figures {
    /// Users that are registered at both nodes.
    pub registered: usize,
    /// Of a P-CSCF, when all transactions have ended.
    pub pcscf: usize,
    /// Of an S-CSCF, when all transactions have ended.
    pub scscf: usize,
    /// Of both at the worst moment, transactions that wait for retransmissions included.
    pub peak_of_both: usize,
    /// Likewise while calls are set up: more than before the first one.
    pub peak_of_calls: usize,
}

impl Figures {
    /// For one user.
    #[must_use]
    pub fn per_user(&self, octets: usize) -> usize {
        octets / self.registered.max(1)
    }
}

/// Registers all users of the plan and measures. `live` says how many octets are allocated at the moment.
///
/// # Panics
/// When a registration does not succeed.
#[must_use]
pub fn measure(plan: Plan, live: &dyn Fn() -> usize) -> Figures {
    let before = live();
    let mut site = Site::new(plan);
    let mut peak = 0;
    for user in 0..plan.users {
        site.advance(Duration::from_secs(1) / plan.rate.max(1));
        site.register(user);
        peak = peak.max(live());
    }
    site.advance(SETTLE);
    let without_calls = live();
    let with_calls = match plan.calls {
        0 => without_calls,
        calls => site.call(calls, plan.rate, live),
    };
    let registered = site.pcscf.contact_count();
    let Site { pcscf, scscf, .. } = site;
    let with_both = live();
    drop(pcscf);
    let with_scscf = live();
    drop(scscf);
    Figures {
        registered,
        pcscf: with_both.saturating_sub(with_scscf),
        scscf: with_scscf.saturating_sub(live()),
        peak_of_both: peak.saturating_sub(before),
        peak_of_calls: with_calls.saturating_sub(without_calls),
    }
}

/// The two nodes and their world.
struct Site {
    now: Instant,
    pcscf: Pcscf,
    scscf: Scscf,
    criteria: String,
    vectors: u32,
    ipsec: bool,
    /// The last message to a UE.
    answer: Option<Bytes>,
    /// Of each user in turn, for calls.
    service_routes: Vec<String>,
    has_calls: bool,
    talk: Option<Talk>,
}

impl Site {
    #[allow(
        clippy::disallowed_methods,
        reason = "any instant serves as the origin of virtual time"
    )]
    fn new(plan: Plan) -> Self {
        let text = format!(
            "pcscf: {{home_realm: {HOME}, gm: {{address: \"{GM}\", security: {security}}}, mw: {{address: \"{PCSCF}\"}}, \
             icscf: \"sip:{SCSCF}\", reg_event: {{subscribe: {subscribe}}}, contacts: {users}, ipsec: {{sets_max: {sets}}}}}",
            sets = 2 * plan.users,
            subscribe = plan.reg_event,
            security = if plan.ipsec { "ipsec" } else { "none" },
            users = plan.users
        );
        let config: PcscfConfig = parse("pcscf", &text).expect("a configuration");
        let (pcscf, _) = config.build(Seed::from_number(1)).expect("a P-CSCF");
        let text = format!(
            "scscf: {{home_realm: {HOME}, mw: {{address: \"{SCSCF}\"}}, server_name: \"sip:{SCSCF}\", \
             hss: {{peers: [\"127.0.1.5:3868\"], origin_host: scscf1.{HOME}}}, icscf: \"sip:{ICSCF}\", \
             registration: {{unprotected_response: accept, bindings: {users}, challenges: {users}}}}}",
            users = plan.users
        );
        let config: ScscfConfig = parse("scscf", &text).expect("a configuration");
        Self {
            now: Instant::now(),
            pcscf,
            scscf: Scscf::new(config.settings().expect("usable values"), &Seed::from_number(2)),
            criteria: (0..plan.criteria).map(criterion).collect(),
            vectors: 0,
            ipsec: plan.ipsec,
            answer: None,
            service_routes: Vec::new(),
            has_calls: plan.calls > 0,
            talk: None,
        }
    }

    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.pcscf.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.pcscf.handle_timeout(self.now);
            self.exchange();
        }
        while let Some(at) = self.scscf.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.scscf.handle_timeout(self.now);
            self.exchange();
        }
        self.now = end;
    }

    fn register(&mut self, user: u32) {
        let challenge = self.send(user, 1, ",nonce=\"\",response=\"\"");
        assert!(challenge.starts_with("SIP/2.0 401"), "{challenge}");
        let (_, value) = challenge.split_once("WWW-Authenticate: ").expect("a challenge");
        let value = value.lines().next().unwrap_or_default();
        let mut proof = proof(user, param_of(value, "nonce").expect("a nonce"));
        if let Some((_, server)) = challenge.split_once("Security-Server: ") {
            let server = server.lines().next().unwrap_or_default();
            proof += &format!("\r\nSecurity-Verify: {server}");
        }
        let answer = self.send(user, 2, &proof);
        assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
        if self.has_calls {
            let (_, route) = answer.split_once("Service-Route: ").expect("a way");
            let route = route.lines().next().unwrap_or_default();
            self.service_routes.push(route.to_owned());
        }
    }

    /// Sends a REGISTER and gives its answer.
    fn send(&mut self, user: u32, cseq: u32, proof: &str) -> String {
        let is_inside = self.ipsec && cseq > 1;
        let phone = |port| SocketAddr::new(Ipv4Addr::from(PHONES + user).into(), port);
        let remote = phone(if self.ipsec { 40_000 } else { 5060 });
        let security = if self.ipsec { SECURITY } else { "" };
        let imsi = imsi(user);
        let text = format!(
            "REGISTER sip:{HOME} SIP/2.0\r\nVia: SIP/2.0/UDP {remote};branch=z9hG4bK-{user}-{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{imsi}@{HOME}>;tag={user:x}\r\nTo: <sip:{imsi}@{HOME}>\r\n\
             Call-ID: {user:08x}4c1a0b7d9e@{remote}\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{imsi}@{remote}>;{CONTACT_HEADER};+sip.instance=\"<urn:gsma:imei:35622410-{user:06}-0>\"\r\n\
             Expires: 600000\r\nSupported: path\r\nP-Access-Network-Info: 3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=00101000100\r\n\
             Authorization: Digest username=\"{imsi}@{HOME}\",realm=\"{HOME}\",uri=\"sip:{HOME}\"{proof}\r\n\
             {security}Content-Length: 0\r\n\r\n"
        );
        let flow = match is_inside {
            true => flow(Interface::GmProtected, GM_PROTECTED, phone(40_001)),
            false => flow(Interface::Gm, GM, remote),
        };
        let message = scanned(text.as_bytes());
        let input = NetInput::Sip(SipInput::Received { flow, message });
        self.pcscf.handle(self.now, input);
        self.exchange();
        let answer = self.answer.take().expect("every REGISTER is answered");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Carries messages between the nodes until neither has more to say.
    fn exchange(&mut self) {
        loop {
            if let Some(output) = self.pcscf.poll_output() {
                let transmit = match output {
                    NetOutput::Sip(SipOutput::Transmit(transmit)) => transmit,
                    NetOutput::Xfrm(request) => {
                        self.pcscf.handle(self.now, NetInput::Xfrm(kernel(&request)));
                        continue;
                    }
                    _ => unreachable!("a P-CSCF with numeric neighbours only transmits"),
                };
                if remote(&transmit).to_string() == SCSCF {
                    let flow = flow(Interface::Mw, SCSCF, PCSCF.parse().expect("an address"));
                    let message = scanned(&transmit.bytes);
                    let input = CscfInput::Sip(SipInput::Received { flow, message });
                    self.scscf.handle(self.now, input);
                } else if self.talk.is_some() {
                    self.hear(remote(&transmit), &transmit.bytes);
                } else {
                    self.answer = Some(transmit.bytes);
                }
            } else if let Some(output) = self.scscf.poll_output() {
                self.on_scscf(output);
            } else {
                break;
            }
        }
    }

    fn on_scscf(&mut self, output: CscfOutput) {
        match output {
            CscfOutput::Sip(SipOutput::Transmit(transmit)) if remote(&transmit).to_string() == ICSCF => {
                let flow = flow(Interface::Mw, SCSCF, ICSCF.parse().expect("an address"));
                let message = scanned(&transmit.bytes);
                let input = CscfInput::Sip(SipInput::Received { flow, message });
                self.scscf.handle(self.now, input);
            }
            CscfOutput::Sip(SipOutput::Transmit(transmit)) => {
                let flow = flow(Interface::Mw, PCSCF, SCSCF.parse().expect("an address"));
                let message = scanned(&transmit.bytes);
                let input = NetInput::Sip(SipInput::Received { flow, message });
                self.pcscf.handle(self.now, input);
            }
            CscfOutput::Cx(CxOutput::Request { id, request }) => {
                let answer = Ok(self.hss(&request));
                self.scscf
                    .handle(self.now, CscfInput::Cx(CxInput::Answer { id, answer }));
            }
            CscfOutput::Sip(_)
            | CscfOutput::Cx(_)
            | CscfOutput::Cdr(_)
            | CscfOutput::Serves(_)
            | CscfOutput::Leaves(_)
            | CscfOutput::Drained => {
                unreachable!("an S-CSCF asks the HSS and answers")
            }
        }
    }

    fn hss(&mut self, request: &CxRequest) -> CxAnswer {
        let origin_host = format!("hss1.epc.{HOME}");
        match request {
            CxRequest::Mar(mar) => {
                self.vectors += 1;
                CxAnswer::Maa(Maa {
                    result: CxResult::SUCCESS,
                    user_name: Some(mar.user_name.clone()),
                    public_identity: Some(mar.public_identity.clone()),
                    items: vec![AuthItem::Aka(vector(self.vectors))],
                    origin_host,
                })
            }
            CxRequest::Sar(sar) => {
                let impi = sar.user_name.as_ref().map_or("", |impi| impi.as_str());
                CxAnswer::Saa(Saa {
                    result: CxResult::SUCCESS,
                    user_name: sar.user_name.clone(),
                    user_data: Some(Bytes::from(self.user_data(impi))),
                    origin_host,
                    ..Saa::default()
                })
            }
            CxRequest::Uar(_) | CxRequest::Lir(_) => unreachable!("an S-CSCF does not ask that"),
        }
    }

    /// A barred temporary identity, a SIP URI and a tel URI, and services.
    fn user_data(&self, impi: &str) -> String {
        let number = impi.get(5..15).unwrap_or_default();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><IMSSubscription><PrivateID>{impi}</PrivateID><ServiceProfile>\
             <PublicIdentity><BarringIndication>1</BarringIndication><Identity>sip:{impi}</Identity></PublicIdentity>\
             <PublicIdentity><Identity>sip:+1555{number}@{HOME}</Identity></PublicIdentity>\
             <PublicIdentity><Identity>tel:+1555{number}</Identity></PublicIdentity>\
             {criteria}</ServiceProfile></IMSSubscription>",
            criteria = self.criteria
        )
    }
}

/// A kernel that does all that it is asked.
fn kernel(request: &XfrmOutput) -> XfrmInput {
    match request {
        XfrmOutput::Install { set, .. } => XfrmInput::Installed { id: set.id },
        XfrmOutput::Extend { set, .. } => XfrmInput::Extended { id: set.id },
        XfrmOutput::Remove { id } => XfrmInput::Removed { id: *id },
    }
}

fn proof(user: u32, nonce: &str) -> String {
    let uri = format!("sip:{HOME}");
    let impi = format!("{}@{HOME}", imsi(user));
    let ha1 = AkaVersion::V1Md5.ha1(impi.as_bytes(), HOME.as_bytes(), &vector(0).keys());
    let input = DigestInput {
        nonce: nonce.as_bytes().into(),
        uri: uri.as_bytes().into(),
        qop: Some(b"auth".as_slice().into()),
        nc: b"00000001".as_slice().into(),
        cnonce: b"0a4f113b".as_slice().into(),
        method: b"REGISTER".as_slice().into(),
        ..DigestInput::default()
    };
    let response = input.expected_response(&ha1).expect("a response");
    format!(
        ",nonce=\"{nonce}\",response=\"{response}\",algorithm=AKAv1-MD5,qop=auth,nc=00000001,cnonce=\"0a4f113b\""
    )
}

fn imsi(user: u32) -> String {
    format!("00101{user:010}")
}

fn criterion(priority: u32) -> String {
    format!(
        "<InitialFilterCriteria><Priority>{priority}</Priority><TriggerPoint>\
         <ConditionTypeCNF>1</ConditionTypeCNF>\
         <SPT><ConditionNegated>0</ConditionNegated><Group>0</Group><Method>INVITE</Method></SPT>\
         <SPT><ConditionNegated>0</ConditionNegated><Group>0</Group><Method>MESSAGE</Method></SPT>\
         <SPT><ConditionNegated>0</ConditionNegated><Group>1</Group><SessionCase>{case}</SessionCase></SPT>\
         </TriggerPoint><ApplicationServer><ServerName>sip:as{priority}.{HOME}:5060</ServerName>\
         <DefaultHandling>0</DefaultHandling></ApplicationServer></InitialFilterCriteria>",
        case = priority % 3
    )
}

/// All vectors have one RES, so that the phone need not calculate.
fn vector(number: u32) -> AuthVector {
    let mut authenticate = [7; 32];
    let (rand, _) = authenticate.split_at_mut(4);
    rand.copy_from_slice(&number.to_be_bytes());
    AuthVector::from_avps(&authenticate, &[9; 8], &[1; 16], &[2; 16]).expect("a vector")
}

fn flow(interface: Interface, local: &str, remote: SocketAddr) -> Flow {
    Flow {
        interface,
        transport: Transport::Udp,
        local: local.parse().expect("an address"),
        remote,
        connection: None,
    }
}

/// As a socket would give it: in memory that nobody else holds.
fn scanned(bytes: &[u8]) -> Message {
    Message::parse(Bytes::copy_from_slice(bytes), &SipLimits::default()).expect("it is SIP")
}

fn remote(transmit: &Transmit) -> SocketAddr {
    match transmit.destination {
        Destination::Flow(flow) => flow.remote,
        Destination::Address { remote, .. } => remote,
    }
}
