//! Testkit: an I-CSCF on a bench: messages and Cx answers in, messages and Cx requests out, virtual time.

mod hostile;
mod registration;
mod reselection;
mod terminating;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hss_client::cx::{
    CxAnswer, CxError, CxInput, CxOutput, CxRequest, CxRequestId, CxResult, Lia, Lir, ServerCapabilities,
    Uaa, Uar,
};
use hss_client::with_hss::{CscfInput, CscfOutput};
use ims_common::config::parse;
use ims_common::limits::SipLimits;
use ims_common::net::{Destination, Flow, Interface, SendTag, SipInput, SipOutput, Transmit, Transport};
use ims_common::node::{Node, Seed};
use ims_common::sip::{HeaderName, Message, Request, Response, SipMessage};

use crate::{Icscf, IcscfConfig};

pub(crate) const REALM: &str = "ims.mnc001.mcc001.3gppnetwork.org";
pub(crate) const IMPI: &str = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
pub(crate) const PCSCF: &str = "127.0.1.2:5060";
pub(crate) const S1: &str = "sip:127.0.1.4:5060";
pub(crate) const S2: &str = "sip:127.0.1.14:5060";
pub(crate) const S3: &str = "sip:127.0.1.24:5060";

#[allow(clippy::disallowed_methods, reason = "where virtual time begins")]
fn epoch() -> Instant {
    Instant::now()
}

/// An I-CSCF, everything it sent and asked.
pub(crate) struct Bench {
    pub(crate) node: Icscf,
    now: Instant,
    sent: VecDeque<Transmit>,
    /// Tag of the request that was sent last.
    last_tag: Option<SendTag>,
    asked: VecDeque<(CxRequestId, CxRequest)>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With further keys, each as `, key: value`.
    pub(crate) fn with(further: &str) -> Self {
        let text = format!(
            "icscf: {{home_realm: {REALM}, mw: {{address: 127.0.1.3}}, hss: {{origin_host: icscf.{REALM}}}, \
             scscfs: [{{uri: \"{S1}\", capabilities: [1]}}, {{uri: \"{S2}\", capabilities: [1, 2]}}, \
             {{uri: \"{S3}\", capabilities: [2]}}]{further}}}"
        );
        let config: IcscfConfig = parse("icscf", &text).unwrap();
        Self {
            node: config.cscf(&Seed::from_number(3)).unwrap(),
            now: epoch(),
            sent: VecDeque::new(),
            last_tag: None,
            asked: VecDeque::new(),
        }
    }

    pub(crate) fn receive(&mut self, from: &str, text: &str) {
        let flow = Flow {
            interface: Interface::Mw,
            transport: Transport::Udp,
            local: "127.0.1.3:5060".parse().unwrap(),
            remote: from.parse().unwrap(),
            connection: None,
        };
        let message = Message::parse(Bytes::copy_from_slice(text.as_bytes()), &SipLimits::default()).unwrap();
        let input = CscfInput::Sip(SipInput::Received { flow, message });
        self.node.handle(self.now, input);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                CscfOutput::Sip(SipOutput::Transmit(transmit)) => {
                    if !transmit.bytes.starts_with(b"SIP/2.0") {
                        self.last_tag = Some(transmit.tag);
                    }
                    self.sent.push_back(transmit);
                }
                CscfOutput::Cx(CxOutput::Request { id, request }) => self.asked.push_back((id, request)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// What was sent last could not be, and is forgotten.
    pub(crate) fn cannot_send(&mut self) {
        self.flush_requests();
        let tag = self.last_tag.take().expect("no request was sent");
        self.node
            .handle(self.now, CscfInput::Sip(SipInput::SendFailed(tag)));
        self.collect();
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn advance(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
    }

    pub(crate) fn next(&mut self) -> (SocketAddr, SipMessage) {
        let transmit = self.sent.pop_front().expect("nothing was sent");
        let message = Message::parse(transmit.bytes, &SipLimits::default()).unwrap();
        let remote = match transmit.destination {
            Destination::Flow(flow) => flow.remote,
            Destination::Address { remote, .. } => remote,
        };
        (remote, message.into_parts())
    }

    pub(crate) fn request(&mut self) -> (SocketAddr, Request) {
        match self.next() {
            (remote, SipMessage::Request(request)) => (remote, request),
            (_, SipMessage::Response(response)) => panic!("{}", text(&response)),
        }
    }

    pub(crate) fn response(&mut self) -> Response {
        match self.next().1 {
            SipMessage::Response(response) => response,
            SipMessage::Request(request) => panic!("{}", text(&request)),
        }
    }

    /// The last word on a request; 100 (Trying) does not count.
    pub(crate) fn final_status(&mut self) -> u16 {
        loop {
            let code = self.response().status().as_u16();
            if code >= 200 {
                return code;
            }
        }
    }

    pub(crate) fn flush(&mut self) {
        self.sent.clear();
    }

    /// Forgets requests that were sent, keeps responses.
    pub(crate) fn flush_requests(&mut self) {
        self.sent
            .retain(|transmit| transmit.bytes.starts_with(b"SIP/2.0"));
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.sent.is_empty() && self.asked.is_empty()
    }

    fn question(&mut self) -> (CxRequestId, CxRequest) {
        self.asked.pop_front().expect("the HSS was not asked")
    }

    pub(crate) fn uar(&mut self) -> (CxRequestId, Uar) {
        match self.question() {
            (id, CxRequest::Uar(uar)) => (id, uar),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn lir(&mut self) -> (CxRequestId, Lir) {
        match self.question() {
            (id, CxRequest::Lir(lir)) => (id, lir),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn hss_answers(&mut self, id: CxRequestId, answer: Result<CxAnswer, CxError>) {
        let input = CscfInput::Cx(CxInput::Answer { id, answer });
        self.node.handle(self.now, input);
        self.collect();
    }

    /// A REGISTER and the HSS's answer to its UAR.
    pub(crate) fn register(&mut self, register: &str, answer: Result<CxAnswer, CxError>) {
        self.receive(PCSCF, register);
        let (id, _) = self.uar();
        self.hss_answers(id, answer);
    }

    pub(crate) fn reply(&mut self, from: SocketAddr, request: &Request, code: u16, further: &str) {
        self.receive(&from.to_string(), &answer(request, code, further));
    }
}

pub(crate) fn uaa(result: CxResult, server_name: Option<&str>) -> Result<CxAnswer, CxError> {
    Ok(CxAnswer::Uaa(Uaa {
        result,
        server_name: server_name.map(str::to_owned),
        ..Uaa::default()
    }))
}

pub(crate) fn uaa_wanting(mandatory: &[u32], optional: &[u32]) -> Result<CxAnswer, CxError> {
    Ok(CxAnswer::Uaa(Uaa {
        result: CxResult::FIRST_REGISTRATION,
        capabilities: Some(capabilities(mandatory, optional)),
        ..Uaa::default()
    }))
}

pub(crate) fn capabilities(mandatory: &[u32], optional: &[u32]) -> ServerCapabilities {
    ServerCapabilities {
        mandatory: mandatory.to_vec(),
        optional: optional.to_vec(),
        server_names: Vec::new(),
    }
}

pub(crate) fn lia(result: CxResult, server_name: Option<&str>) -> Result<CxAnswer, CxError> {
    Ok(CxAnswer::Lia(Lia {
        result,
        server_name: server_name.map(str::to_owned),
        ..Lia::default()
    }))
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

pub(crate) fn lines(message: &Message, name: HeaderName) -> Vec<String> {
    message
        .headers(name)
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

pub(crate) fn answer(request: &Request, code: u16, further: &str) -> String {
    let mut text = format!("SIP/2.0 {code} Answer\r\n");
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        for value in lines(request, name) {
            let tag = if name == HeaderName::To { ";tag=s" } else { "" };
            text.push_str(&format!("{}: {value}{tag}\r\n", name.as_str()));
        }
    }
    format!("{text}{further}Content-Length: 0\r\n\r\n")
}

pub(crate) const CONTACT: &str = "Contact: <sip:u@127.0.1.10>;expires=3600\r\n";

/// Authorization as a P-CSCF leaves it, with this `integrity-protected`.
pub(crate) fn authorization(integrity: &str) -> String {
    format!(
        "Authorization: Digest username=\"{IMPI}\",realm=\"{REALM}\",nonce=\"\",uri=\"sip:{REALM}\",response=\"\",integrity-protected=\"{integrity}\"\r\n"
    )
}

/// A REGISTER as a P-CSCF forwards it, with these further header lines.
pub(crate) fn register_text(further: &str) -> String {
    format!(
        "REGISTER sip:{REALM} SIP/2.0\r\nVia: SIP/2.0/UDP {PCSCF};branch=z9hG4bKp1\r\n\
         Via: SIP/2.0/UDP 127.0.1.10:5060;branch=z9hG4bKu1\r\nMax-Forwards: 69\r\n\
         From: <sip:{IMPI}>;tag=f\r\nTo: <sip:{IMPI}>\r\nCall-ID: c@ue\r\nCSeq: 1 REGISTER\r\n\
         Path: <sip:token@127.0.1.2;lr;term>\r\nRequire: path\r\nSupported: path\r\n{further}Content-Length: 0\r\n\r\n"
    )
}

/// The usual first REGISTER.
pub(crate) fn first_register() -> String {
    register_text(&format!(
        "{CONTACT}{}P-Visited-Network-ID: {REALM}\r\n",
        authorization("no")
    ))
}

pub(crate) fn request_text(method: &str, uri: &str, further: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.1.4:5060;branch=z9hG4bKs1\r\nMax-Forwards: 60\r\n\
         From: <sip:caller@{REALM}>;tag=f\r\nTo: <{uri}>\r\nCall-ID: c@s\r\nCSeq: 1 {method}\r\n\
         {further}Content-Length: 0\r\n\r\n"
    )
}
