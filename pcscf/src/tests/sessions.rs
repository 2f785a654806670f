//! Testkit: calls and subscriptions of a UE in clear: who speaks, which way, until when (checklist PC-01 to PC-25).

mod border;
mod dialogs;
mod release;

use ims_common::sip::{HeaderName, Message, Request, Response, SipMessage};

use super::{Bench, REALM, Register, UE, answer, credentials, gm_flow, grant, header, lines, mw_flow};

const CONTACT: &str = "sip:001010000000001@127.0.1.10:5060";
const SCSCF: &str = "127.0.1.4:5060";
/// Where the other party is.
const FAR: &str = "sip:far@127.0.1.9:5070";
/// What the S-CSCF records.
const SCSCF_ROUTE: &str = "<sip:rr-1@127.0.1.4:5060;lr>";
const SERVICE_ROUTE: &str = "sip:orig@127.0.1.4:5060;lr";

/// A UE that is registered, and what its Path is.
fn registered() -> (Bench, String) {
    registered_with("")
}

fn registered_with(further: &str) -> (Bench, String) {
    let mut bench = Bench::with("", further);
    let path = bench.grants(&Register::default(), CONTACT);
    (bench, path)
}

impl Bench {
    /// Registers, and gives the Path.
    fn grants(&mut self, register: &Register, contact: &str) -> String {
        self.receive(register.flow(), &register.text());
        let request = self.request();
        self.home_answers(&request, 200, &grant(contact, 3600, SERVICE_ROUTE));
        self.flush();
        header(&request, HeaderName::Path).unwrap()
    }

    /// A second UE at another address.
    fn second_ue(&mut self) -> String {
        let mut register = Register {
            from: "127.0.1.11:5060",
            authorization: Some(credentials("", "").replace("000000001@", "000000002@")),
            contact: Some("<sip:other@127.0.1.11:5060>;expires=600000".to_owned()),
            ..Register::default()
        };
        register.further = "X: 1\r\n".to_owned();
        self.grants(&register, "sip:other@127.0.1.11:5060")
    }

    /// The next message, which is a response with this status.
    fn hears(&mut self, code: u16) -> Response {
        let response = self.response();
        assert_eq!(response.status().as_u16(), code, "{}", super::text(&response));
        response
    }

    /// The next request, beyond any 100 (Trying).
    fn forwarded(&mut self) -> Request {
        loop {
            match self.next().1 {
                SipMessage::Request(request) => return request,
                SipMessage::Response(response) if response.status().as_u16() == 100 => {}
                SipMessage::Response(response) => panic!("{}", super::text(&response)),
            }
        }
    }

    /// The UE calls and the other party answers. Gives the INVITE as it went on.
    fn calls(&mut self) -> Request {
        self.calls_with("")
    }

    fn calls_with(&mut self, agreed: &str) -> Request {
        self.ue_says(&mo("INVITE", 1, None, &format!("Contact: <{CONTACT}>\r\n")));
        let invite = self.forwarded();
        let ok = format!("Contact: <{FAR}>\r\n{}{agreed}", recorded(&invite));
        self.home_answers(&invite, 200, &ok);
        self.hears(200);
        self.ue_says(&mo("ACK", 1, Some("home"), &own_route(&invite)));
        self.forwarded();
        invite
    }

    /// The UE is called. Gives the INVITE as the UE sees it.
    fn is_called(&mut self, path: &str, further: &str) -> Request {
        let further =
            format!("Route: {path}\r\nRecord-Route: {SCSCF_ROUTE}\r\nContact: <{FAR}>\r\n{further}");
        self.receive(mw_flow(SCSCF), &mt("INVITE", 1, None, &further));
        self.forwarded()
    }
}

/// Record-Route of an answer from the home network: the S-CSCF's and ours.
fn recorded(request: &Request) -> String {
    let ours = lines(request, HeaderName::RecordRoute).join(", ");
    format!("Record-Route: {SCSCF_ROUTE}, {ours}\r\n")
}

/// Route of the UE in its dialog.
fn own_route(invite: &Request) -> String {
    let mut ours = values(invite, HeaderName::RecordRoute);
    ours.reverse();
    format!("Route: {}, {SCSCF_ROUTE}\r\n", ours.join(", "))
}

/// Route of the home network in a dialog of the UE.
fn route_towards_ue(invite: &Request) -> String {
    let ours = values(invite, HeaderName::RecordRoute);
    format!("Route: {}\r\n", ours.join(", "))
}

fn values(message: &Message, name: HeaderName) -> Vec<String> {
    let values = message.values(name);
    values
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// A request of the UE, in its call where it has a tag for To.
fn mo(method: &str, cseq: u32, to_tag: Option<&str>, further: &str) -> String {
    let tag = to_tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
    let uri = if to_tag.is_some() { FAR } else { "tel:+15550002" };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {UE};branch=z9hG4bKo{method}{cseq}\r\nMax-Forwards: 70\r\n\
         From: <sip:+15550001@{REALM}>;tag=a\r\nTo: <tel:+15550002>{tag}\r\nCall-ID: call@ue\r\nCSeq: {cseq} {method}\r\n\
         {further}Content-Length: 0\r\n\r\n"
    )
}

/// A request of the home network to the UE.
fn mt(method: &str, cseq: u32, to_tag: Option<&str>, further: &str) -> String {
    let tag = to_tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
    format!(
        "{method} {CONTACT} SIP/2.0\r\nVia: SIP/2.0/UDP {SCSCF};branch=z9hG4bKt{method}{cseq}\r\nMax-Forwards: 70\r\n\
         From: <tel:+15550002>;tag=far\r\nTo: <sip:+15550001@{REALM}>{tag}\r\nCall-ID: call@far\r\nCSeq: {cseq} {method}\r\n\
         {further}Content-Length: 0\r\n\r\n"
    )
}

/// With a body in place of none.
fn with_body(message: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = message.strip_suffix("Content-Length: 0\r\n\r\n").unwrap();
    let head = format!(
        "{head}Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
