//! Testkit: a phone behind security associations, on the bench of the P-CSCF.

mod agreement;
mod calls;
mod leaving;
mod registration;
mod renewal;
mod swarm;
mod traffic;

use ims_common::ipsec::SaSet;
use ims_common::net::{ConnectionId, Destination, Flow, Interface, Transport};
use ims_common::sip::{HeaderName, Request, Response, SipMessage};

use super::{
    Bench, IMPI, REALM, Register, answer, credentials, gm_flow, grant, header, lines, mw_flow, remote, text,
};

const UE: &str = "127.0.1.10";
/// The Contact and Via of protected messages.
const US: &str = "127.0.1.10:44062";
const CONTACT: &str = "sip:001010000000001@127.0.1.10:44062";
const SCSCF: &str = "127.0.1.4:5060";
/// What a response says that answers a challenge.
const RESPONSE: &str = "1affab8730666a619c19fbcaa1aed411";
const SEC_AGREE: &str = "Require: sec-agree\r\nProxy-Require: sec-agree\r\n";
/// Keys as the S-CSCF writes them.
const CK: &str = "b40ba9a3c58b2a05bbf0d987b21bf8cb";
const IK: &str = "f769bcd751044604127672711c6d3441";

fn bench() -> Bench {
    Bench::with(", security: ipsec", "")
}

/// The nth Security-Client of the phone: the server port stays.
fn security_client(nth: u16) -> String {
    let (spi_c, spi_s) = (1_000 + 2 * nth, 1_001 + 2 * nth);
    let port_c = 45_000 + nth;
    format!(
        "ipsec-3gpp; alg=hmac-sha-1-96; ealg=null; prot=esp; mod=trans; spi-c={spi_c}; spi-s={spi_s}; port-c={port_c}; port-s=44062"
    )
}

fn offering(nth: u16) -> String {
    format!("{SEC_AGREE}Security-Client: {}\r\n", security_client(nth))
}

/// From the phone's nth client port to our server port.
fn uplink(nth: u16) -> Flow {
    Flow {
        interface: Interface::GmProtected,
        transport: Transport::Udp,
        local: "127.0.1.1:6101".parse().unwrap(),
        remote: format!("{UE}:{}", 45_000 + nth).parse().unwrap(),
        connection: None,
    }
}

fn over_tcp(flow: Flow, connection: u64) -> Flow {
    Flow {
        transport: Transport::Tcp,
        connection: Some(ConnectionId(connection)),
        ..flow
    }
}

/// From our client port of this set to the phone's server port.
fn downlink(set: &SaSet) -> Flow {
    Flow {
        interface: Interface::GmProtected,
        transport: Transport::Udp,
        local: set.states[2].source,
        remote: set.states[2].destination,
        connection: None,
    }
}

fn challenge() -> String {
    format!(
        "WWW-Authenticate: Digest realm=\"{REALM}\",nonce=\"I1U8vpY3\",algorithm=AKAv1-MD5,qop=\"auth\",ck=\"{CK}\",ik=\"{IK}\"\r\n"
    )
}

/// A first REGISTER in clear with the nth offer.
fn first(cseq: u32, nth: u16) -> Register {
    Register {
        cseq,
        further: offering(nth),
        ..Register::default()
    }
}

/// A REGISTER inside security associations.
fn protected(cseq: u32, response: &str, further: &str) -> Register {
    Register {
        from: US,
        cseq,
        authorization: Some(credentials(response, "")),
        contact: Some(format!("<{CONTACT}>;expires=600000")),
        further: further.to_owned(),
        ..Register::default()
    }
}

/// Security-Client and Security-Verify of the answer to a challenge.
fn confirming(nth: u16, challenged: &Response) -> String {
    let server = header(challenged, HeaderName::SecurityServer).expect("Security-Server");
    format!("{}Security-Verify: {server}\r\n", offering(nth))
}

impl Bench {
    /// Sends a REGISTER and challenges it; gives the 401 and the way that it took.
    fn challenged(&mut self, flow: Flow, register: &Register) -> (Flow, Response) {
        self.receive(flow, &register.text());
        let request = self.request();
        self.home_answers(&request, 401, &challenge());
        let (flow, response) = self.response_on();
        assert_eq!(response.status().as_u16(), 401);
        (flow, response)
    }

    /// The response that left last, and along which flow.
    fn response_on(&mut self) -> (Flow, Response) {
        match self.next() {
            (Destination::Flow(flow), SipMessage::Response(response)) => (flow, response),
            other => panic!("{other:?}"),
        }
    }

    /// The request that left last, and along which flow.
    fn request_on(&mut self) -> (Flow, Request) {
        match self.next() {
            (Destination::Flow(flow), SipMessage::Request(request)) => (flow, request),
            other => panic!("{other:?}"),
        }
    }

    /// A whole initial registration with the nth offer, over UDP. Gives the Path.
    fn registers(&mut self, cseq: u32, nth: u16, expires: u32) -> String {
        let (_, challenged) = self.challenged(gm_flow("127.0.1.10:5060"), &first(cseq, nth));
        self.confirms(uplink(nth), cseq + 1, nth, &challenged, expires)
    }

    /// Answers a challenge and is granted a registration. Gives the Path.
    fn confirms(&mut self, flow: Flow, cseq: u32, nth: u16, challenged: &Response, expires: u32) -> String {
        let mut register = protected(cseq, RESPONSE, &confirming(nth, challenged));
        register.connection = flow.connection.map(|connection| connection.0);
        self.receive(flow, &register.text());
        let request = self.request();
        let route = format!("sip:orig@{SCSCF};lr");
        self.home_answers(&request, 200, &grant(CONTACT, expires, &route));
        assert_eq!(self.response().status().as_u16(), 200);
        header(&request, HeaderName::Path).unwrap()
    }

    /// The home network sends a request along a Path.
    fn home_sends(&mut self, method: &str, branch: &str, path: &str, further: &str) {
        let text = format!(
            "{method} {CONTACT} SIP/2.0\r\nVia: SIP/2.0/UDP {SCSCF};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:+15550002@{REALM}>;tag=a\r\nTo: <{CONTACT}>\r\nCall-ID: {branch}@home\r\nCSeq: 1 {method}\r\n\
             Route: {path}\r\n{further}Content-Length: 0\r\n\r\n"
        );
        self.receive(mw_flow(SCSCF), &text);
    }
}

/// A request of the phone.
fn of_the_phone(method: &str, branch: &str, further: &str) -> String {
    format!(
        "{method} tel:+15550002 SIP/2.0\r\nVia: SIP/2.0/UDP {US};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:+15550001@{REALM}>;tag=a\r\nTo: <tel:+15550002>\r\nCall-ID: {branch}@ue\r\nCSeq: 1 {method}\r\n\
         {further}Content-Length: 0\r\n\r\n"
    )
}

fn mark(request: &Request) -> String {
    let seen = request.authorization().unwrap().unwrap();
    String::from_utf8_lossy(&seen.integrity_protected().unwrap()).into_owned()
}
