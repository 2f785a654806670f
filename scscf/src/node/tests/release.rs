//! Testkit: calls end with the registration under which they were made (RG-16; TS 24.229 5.4.5.1).

use super::originating::originating;
use super::requests::request;
use super::*;
use hss_client::cx::{DeregistrationReason, ReasonCode, Rtr};
use ims_common::identity::{Impi, Impu};
use ims_common::net::{Command, RegistrationCommand};
use ims_common::sip::StatusCode;

const BOB: &str = "sip:bob@ims.mnc001.mcc001.3gppnetwork.org";
const CALLER: &str = "Contact: <sip:001010000000001@192.0.2.10:5060>\r\n\
                      Record-Route: <sip:mo-1@192.0.2.20:5060;lr>\r\n";
const CALLEE: &str = "Contact: <sip:bob@192.0.2.50:5060>\r\n";

fn rtr() -> CxPush {
    CxPush::Rtr(Rtr {
        user_name: Impi::parse(IMPI).unwrap(),
        public_identities: Vec::new(),
        associated_identities: Vec::new(),
        reason: DeregistrationReason {
            code: ReasonCode::PermanentTermination,
            info: None,
        },
    })
}

/// A BYE that came out: Request-URI, Route, From tag, To tag, CSeq, hop.
type Bye = (String, Vec<String>, String, String, u32, String);

impl Rig {
    /// The usual UE calls; the far end says `code`.
    fn calls(&mut self, code: u16) -> Request {
        let route = self.service_route();
        self.receive(originating(&route, "INVITE", BOB, CALLER));
        let (sent, _) = self.sent();
        self.answer_over(&sent, code, "<sip:far@192.0.2.40:5060;lr>", CALLEE);
        self.responses.clear();
        sent
    }

    /// The usual UE is called; it says `code`.
    fn is_called(&mut self, code: u16) -> Request {
        let more = "Contact: <sip:bob@192.0.2.50:5060>\r\nRecord-Route: <sip:far@192.0.2.40:5060;lr>\r\n";
        self.receive(request("INVITE", IMPU, more));
        let (sent, _) = self.sent();
        let contact = "Contact: <sip:001010000000001@192.0.2.10:5060>\r\n";
        self.answer_over(&sent, code, "<sip:mt-1@192.0.2.20:5060;lr>", contact);
        self.responses.clear();
        sent
    }

    /// The answer of who is called, behind a proxy that has recorded itself.
    fn answer_over(&mut self, sent: &Request, code: u16, proxy: &str, contact: &str) {
        let mut recorded = vec![proxy.to_owned()];
        recorded.extend(values(sent, HeaderName::RecordRoute));
        let reply = sent
            .reply(StatusCode::new(code).unwrap())
            .to_tag(&format!("t{code}"))
            .header(HeaderName::RecordRoute, recorded.join(", "))
            .header(
                HeaderName::Contact,
                contact.trim_start_matches("Contact: ").trim_end(),
            );
        self.receive(String::from_utf8(reply.finish().bytes().to_vec()).unwrap());
    }

    fn byes(&mut self) -> Vec<Bye> {
        let mut byes = Vec::new();
        while !self.requests.is_empty() {
            let (bye, hop) = self.sent();
            assert_eq!(bye.method().as_str(), "BYE");
            let tag =
                |address: Option<&[u8]>| String::from_utf8_lossy(address.unwrap_or_default()).into_owned();
            let reason = values(&bye, HeaderName::Reason);
            assert_eq!(reason, ["SIP;cause=480;text=\"Registration ended\""]);
            byes.push((
                String::from_utf8_lossy(bye.request_uri_bytes()).into_owned(),
                values(&bye, HeaderName::Route),
                tag(bye.from().unwrap().tag()),
                tag(bye.to().unwrap().tag()),
                bye.cseq().unwrap().number,
                hop,
            ));
        }
        byes
    }
}

/// A request within the call from the caller, as it comes to us.
fn within(sent: &Request, method: &str, cseq: u32, more: &str) -> String {
    let own = values(sent, HeaderName::RecordRoute).remove(0);
    format!(
        "{method} sip:bob@192.0.2.50:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.6:5060;branch=z9hG4bKw{method}{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@home.example>;tag=f2\r\nTo: <{BOB}>;tag=t200\r\nCall-ID: r1\r\n\
         CSeq: {cseq} {method}\r\nRoute: {own}, <sip:far@192.0.2.40:5060;lr>\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

#[test]
fn end_of_a_registration_says_bye_to_both_sides_of_a_call() {
    let mut rig = Rig::registered();
    rig.calls(200);
    assert_eq!(rig.gauge("ims_scscf_dialogs"), 1);
    rig.push(rtr());
    let to_ue = (
        "sip:001010000000001@192.0.2.10:5060".to_owned(),
        vec!["<sip:mo-1@192.0.2.20:5060;lr>".to_owned()],
        "t200".to_owned(),
        "f2".to_owned(),
        1,
        "192.0.2.20:5060".to_owned(),
    );
    let to_peer = (
        "sip:bob@192.0.2.50:5060".to_owned(),
        vec!["<sip:far@192.0.2.40:5060;lr>".to_owned()],
        "f2".to_owned(),
        "t200".to_owned(),
        2,
        "192.0.2.40:5060".to_owned(),
    );
    assert_eq!(rig.byes(), [to_ue, to_peer]);
    assert_eq!(rig.gauge("ims_scscf_dialogs"), 0);
}

#[test]
fn called_user_whose_registration_ends_is_released_too() {
    let mut rig = Rig::registered();
    rig.is_called(200);
    rig.node.handle(
        rig.now,
        CscfInput::Command(Command::Registration(RegistrationCommand::Deregister {
            impu: Impu::parse(IMPU).unwrap(),
            again: false,
        })),
    );
    rig.drain();
    let byes = rig.byes();
    let whereto: Vec<&str> = byes.iter().map(|bye| &*bye.0).collect();
    assert_eq!(
        whereto,
        ["sip:001010000000001@192.0.2.10:5060", "sip:bob@192.0.2.50:5060"]
    );
    assert_eq!(byes[0].1, ["<sip:mt-1@192.0.2.20:5060;lr>"]);
    assert_eq!(byes[1].1, ["<sip:far@192.0.2.40:5060;lr>"]);
}

#[test]
fn sequence_numbers_and_targets_of_the_byes_follow_the_call() {
    let mut rig = Rig::registered();
    let sent = rig.calls(200);
    let moved = "Contact: <sip:001010000000001@192.0.2.10:5066>\r\n";
    rig.receive(within(&sent, "UPDATE", 7, moved));
    let (update, _) = rig.sent();
    rig.answer(&update, 200, "");
    rig.push(rtr());
    let byes = rig.byes();
    assert_eq!(
        (&*byes[0].0, byes[0].4),
        ("sip:001010000000001@192.0.2.10:5066", 1)
    );
    assert_eq!(byes[1].4, 8);
}

#[test]
fn call_that_has_ended_is_not_released_again() {
    let mut rig = Rig::registered();
    let sent = rig.calls(200);
    rig.receive(within(&sent, "BYE", 2, ""));
    let (bye, _) = rig.sent();
    rig.answer(&bye, 200, "");
    assert_eq!(rig.gauge("ims_scscf_dialogs"), 0);
    rig.push(rtr());
    assert!(rig.byes().is_empty());
}

#[test]
fn call_that_is_being_set_up_is_cancelled_and_refused() {
    for is_called in [false, true] {
        let mut rig = Rig::registered();
        match is_called {
            false => rig.calls(180),
            true => rig.is_called(180),
        };
        rig.push(rtr());
        let (cancel, _) = rig.sent();
        assert_eq!(cancel.method().as_str(), "CANCEL");
        assert_eq!(
            values(&cancel, HeaderName::Reason),
            ["SIP;cause=480;text=\"Registration ended\""]
        );
        assert!(rig.requests.is_empty());
        assert_eq!(status(&rig.responses.pop_front().unwrap()), 480);
        assert_eq!(rig.gauge("ims_scscf_sessions"), 0);
        assert_eq!(rig.gauge("ims_scscf_dialogs"), 0);
    }
}

#[test]
fn refused_call_leaves_no_dialog_behind() {
    for code in [404, 486, 603] {
        let mut rig = Rig::registered();
        rig.calls(code);
        assert_eq!(rig.gauge("ims_scscf_dialogs"), 0, "{code}");
        rig.requests.clear();
        rig.push(rtr());
        assert!(rig.requests.is_empty(), "{code}");
    }
}

#[test]
fn only_calls_of_the_contact_that_goes_are_released() {
    let mut rig = Rig::registered();
    rig.register_second();
    rig.hss.user_data = None;
    rig.calls(200);
    rig.push(CxPush::Rtr(Rtr {
        user_name: Impi::parse(SECOND_IMPI).unwrap(),
        public_identities: Vec::new(),
        associated_identities: Vec::new(),
        reason: DeregistrationReason {
            code: ReasonCode::ServerChange,
            info: None,
        },
    }));
    assert!(rig.byes().is_empty());
    assert_eq!(rig.gauge("ims_scscf_dialogs"), 1);
    rig.push(rtr());
    assert_eq!(rig.byes().len(), 2);
}

#[test]
fn call_of_a_user_who_has_moved_to_another_server_goes_on() {
    let mut rig = Rig::registered();
    rig.calls(200);
    rig.push(CxPush::Rtr(Rtr {
        user_name: Impi::parse(IMPI).unwrap(),
        public_identities: Vec::new(),
        associated_identities: Vec::new(),
        reason: DeregistrationReason {
            code: ReasonCode::NewServerAssigned,
            info: None,
        },
    }));
    assert!(rig.byes().is_empty());
}
