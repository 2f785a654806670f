//! Testkit: limits of calls, and who may not call whom.

use super::originating::originating;
use super::requests::request;
use super::*;
use ims_common::sip::StatusCode;

const TRUNKS: &str = "  numbers: {country_code: \"1\"}\n  routes:\n    \
    - {prefix: \"+49\", to: [\"sip:192.0.2.90\", \"sip:192.0.2.91\"]}\n  \
    call_limits: {trunks: {\"sip:192.0.2.90\": 2, \"sip:192.0.2.91\": 1}}\n";
const SUBSCRIBER: &str = "  call_limits: {per_subscriber: 2}\n";
const NUMBER: &str = "tel:+4930123456";
const BOB: &str = "sip:bob@ims.mnc001.mcc001.3gppnetwork.org";
const CONTACT: &str = "Contact: <sip:001010000000001@192.0.2.10:5060>\r\n";

/// The usual UE, registered, and its calls.
struct Calls {
    rig: Rig,
    route: String,
    last: u32,
}

impl Calls {
    fn new(more: &str) -> Self {
        let mut rig = Rig::with_config(more);
        rig.register_over_ipsec();
        let route = rig.service_route();
        Self { rig, route, last: 0 }
    }

    /// It calls; where the call goes, or the answer.
    fn make(&mut self, uri: &str) -> Result<(Request, String), Response> {
        let text = originating(&self.route, "INVITE", uri, CONTACT);
        self.invite(&text)
    }

    /// It is called.
    fn get(&mut self, more: &str) -> Result<(Request, String), Response> {
        let text = request(
            "INVITE",
            IMPU,
            &format!("Contact: <sip:bob@192.0.2.50:5060>\r\n{more}"),
        );
        self.invite(&text)
    }

    fn invite(&mut self, text: &str) -> Result<(Request, String), Response> {
        self.last += 1;
        let call = self.last;
        self.rig.responses.clear();
        let text = text
            .replace("Call-ID: r1", &format!("Call-ID: call-{call}"))
            .replace("branch=z9hG4bK", &format!("branch=z9hG4bKc{call}"));
        self.rig.receive(text);
        match self.rig.requests.is_empty() {
            false => Ok(self.rig.sent()),
            true => {
                let mut answers = self.rig.responses.drain(..);
                Err(answers.find(|it| it.status().is_final()).expect("an answer"))
            }
        }
    }

    /// The far end says so.
    fn says(&mut self, sent: &Request, code: u16) {
        let reply = sent.reply(StatusCode::new(code).unwrap()).to_tag("far");
        let mut reply = reply.header(HeaderName::Contact, "<sip:far@192.0.2.50:5060>");
        for value in values(sent, HeaderName::RecordRoute) {
            reply = reply.header(HeaderName::RecordRoute, value);
        }
        let text = String::from_utf8(reply.finish().bytes().to_vec()).unwrap();
        self.rig.receive(text);
    }

    /// The caller, or else the callee, ends a call.
    fn bye(&mut self, sent: &Request, is_of_caller: bool) {
        let own = values(sent, HeaderName::RecordRoute).remove(0);
        let call = String::from_utf8_lossy(sent.call_id().unwrap()).into_owned();
        let caller = values(sent, HeaderName::From).remove(0);
        let callee = values(sent, HeaderName::To).remove(0) + ";tag=far";
        let (from, to) = match is_of_caller {
            true => (caller, callee),
            false => (callee, caller),
        };
        self.rig.receive(format!(
            "BYE sip:x@192.0.2.50:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.6:5060;branch=z9hG4bKbye{call}\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: 9 BYE\r\nRoute: {own}\r\n\
             Content-Length: 0\r\n\r\n"
        ));
        self.rig.requests.clear();
        self.rig.hops.clear();
    }

    fn cancel(&mut self, text_of: &Request, uri: &str) {
        let call = String::from_utf8_lossy(text_of.call_id().unwrap()).into_owned();
        let number = call.trim_start_matches("call-");
        self.rig.receive(format!(
            "CANCEL {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.6:5060;branch=z9hG4bKc{number}rINVITE\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bob@home.example>;tag=f2\r\nTo: <{uri}>\r\nCall-ID: {call}\r\n\
             CSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n"
        ));
        self.rig.requests.clear();
        self.rig.hops.clear();
    }

    fn counted(&self) -> (u64, u64) {
        let gauge = |name| self.rig.gauge(name);
        (gauge("ims_scscf_limited_calls"), gauge("ims_scscf_trunk_calls"))
    }
}

#[test]
fn a_full_trunk_is_passed_over_and_when_all_are_full_a_call_gets_503_with_retry_after() {
    let mut calls = Calls::new(TRUNKS);
    let mut made = Vec::new();
    for hop in ["192.0.2.90:5060", "192.0.2.90:5060", "192.0.2.91:5060"] {
        let (sent, to) = calls.make(NUMBER).unwrap();
        assert_eq!(to, hop);
        calls.says(&sent, 200);
        made.push(sent);
    }
    let refused = calls.make(NUMBER).unwrap_err();
    assert_eq!(status(&refused), 503);
    assert!(!header(&refused, HeaderName::RetryAfter).is_empty());
    assert_eq!(calls.counted(), (3, 3));
    calls.bye(&made[1], false);
    assert_eq!(calls.counted(), (2, 2));
    assert_eq!(calls.make(NUMBER).unwrap().1, "192.0.2.90:5060");
}

#[test]
fn a_call_counts_until_its_end_whichever_that_is() {
    for end in [
        "refused",
        "cancelled",
        "bye of the caller",
        "bye of the callee",
        "dead",
        "timer",
    ] {
        let mut calls = Calls::new(TRUNKS);
        for _ in 0..4 {
            let (sent, _) = calls.make(NUMBER).unwrap();
            assert_eq!(calls.counted(), (1, 1), "{end}");
            match end {
                "refused" => calls.says(&sent, 486),
                "cancelled" => {
                    calls.says(&sent, 180);
                    calls.cancel(&sent, NUMBER);
                    calls.says(&sent, 487);
                }
                "dead" => calls.rig.advance(secs(600)),
                "timer" => {
                    calls.says(&sent, 200);
                    calls.rig.advance(secs(13 * 3_600));
                }
                _ => {
                    calls.says(&sent, 180);
                    calls.says(&sent, 200);
                    calls.bye(&sent, end == "bye of the caller");
                }
            }
            calls.rig.requests.clear();
            calls.rig.hops.clear();
            assert_eq!(calls.counted(), (0, 0), "{end}");
            if end == "timer" || end == "dead" {
                break;
            }
        }
    }
}

#[test]
fn a_call_that_moves_to_the_next_trunk_leaves_the_first() {
    let mut calls = Calls::new(TRUNKS);
    let (sent, _) = calls.make(NUMBER).unwrap();
    calls.says(&sent, 500);
    let (ack, _) = calls.rig.sent();
    assert_eq!(ack.method().as_str(), "ACK");
    let (sent, to) = calls.rig.sent();
    assert_eq!(to, "192.0.2.91:5060");
    calls.says(&sent, 200);
    assert_eq!(calls.counted(), (1, 1));
    // Both places of the first are free.
    for _ in 0..2 {
        assert_eq!(calls.make(NUMBER).unwrap().1, "192.0.2.90:5060");
    }
    assert_eq!(status(&calls.make(NUMBER).unwrap_err()), 503);
}

#[test]
fn a_subscriber_has_as_many_calls_as_he_may_made_and_received() {
    let mut calls = Calls::new(SUBSCRIBER);
    let (first, _) = calls.make(BOB).unwrap();
    calls.says(&first, 200);
    let (second, _) = calls.get("").unwrap();
    calls.says(&second, 180);
    assert_eq!(status(&calls.get("").unwrap_err()), 486);
    assert_eq!(status(&calls.make(BOB).unwrap_err()), 486);
    assert_eq!(calls.counted(), (2, 0));
    calls.says(&second, 603);
    calls.bye(&first, true);
    assert_eq!(calls.counted(), (0, 0));
    assert!(calls.make(BOB).is_ok());
    assert!(calls.get("").is_ok());
}

#[test]
fn calls_for_help_and_messages_do_not_count() {
    let mut calls =
        Calls::new("  call_limits: {per_subscriber: 0}\n  sessions: {ecscf: \"sip:192.0.2.99\"}\n");
    assert_eq!(calls.make("urn:service:sos").unwrap().1, "192.0.2.99:5060");
    assert_eq!(status(&calls.make(BOB).unwrap_err()), 486);
    let route = calls.route.clone();
    calls.rig.receive(originating(&route, "MESSAGE", BOB, ""));
    assert_eq!(calls.rig.sent().0.method().as_str(), "MESSAGE");
}

/// A bug: the E-CSCF, where it counted as a trunk, was full for calls for help too.
#[test]
fn no_trunk_is_full_for_a_call_for_help() {
    let mut calls = Calls::new(
        "  call_limits: {trunks: {\"sip:192.0.2.99\": 0}}\n  sessions: {ecscf: \"sip:192.0.2.99\"}\n",
    );
    assert_eq!(calls.make("urn:service:sos").unwrap().1, "192.0.2.99:5060");
    assert_eq!(calls.counted(), (0, 0));
}

#[test]
fn where_nothing_is_limited_nothing_is_kept() {
    let mut calls = Calls::new("");
    let (sent, _) = calls.make(BOB).unwrap();
    calls.says(&sent, 200);
    assert_eq!(calls.counted(), (0, 0));
}

/// As many random lives of calls as fit: what counts is what goes on, at each moment and at the end.
#[test]
fn no_order_of_answers_cancels_and_byes_leaks_a_place() {
    use rand::Rng as _;
    let mut rng = Seed::from_number(77).rng(3);
    let mut calls = Calls::new(TRUNKS);
    let (mut early, mut begun): (Vec<Request>, Vec<Request>) = (Vec::new(), Vec::new());
    let mut refused = 0;
    for _ in 0..400 {
        match rng.random_range(0..5) {
            0 | 1 => match calls.make(NUMBER) {
                Ok((sent, _)) => early.push(sent),
                Err(answer) => {
                    assert_eq!((status(&answer), early.len() + begun.len()), (503, 3));
                    refused += 1;
                }
            },
            2 if !early.is_empty() => {
                let sent = early.remove(rng.random_range(0..early.len()));
                calls.says(&sent, if rng.random() { 486 } else { 603 });
            }
            3 if !early.is_empty() => {
                let sent = early.remove(rng.random_range(0..early.len()));
                calls.says(&sent, 180);
                calls.says(&sent, 200);
                begun.push(sent);
            }
            4 if !begun.is_empty() => {
                let sent = begun.remove(rng.random_range(0..begun.len()));
                calls.bye(&sent, rng.random());
            }
            _ => calls.rig.advance(secs(1)),
        }
        calls.rig.requests.clear();
        calls.rig.hops.clear();
        let going_on = (early.len() + begun.len()) as u64;
        assert_eq!(calls.counted(), (going_on, going_on));
    }
    assert!(refused > 10, "{refused}");
    calls.rig.advance(secs(14 * 3_600));
    assert_eq!(calls.counted(), (0, 0));
}

#[test]
fn a_blocked_number_is_refused_in_words() {
    let mut calls = Calls::new(
        "  numbers: {country_code: \"1\"}\n  blocking: {called: [{prefix: \"+1900\", reason: \"Premium numbers are blocked\"}]}\n",
    );
    let refused = calls.make("tel:+19001234567").unwrap_err();
    let line = String::from_utf8_lossy(refused.bytes())
        .lines()
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(line, "SIP/2.0 603 Premium numbers are blocked");
    assert!(header(&refused, HeaderName::Warning).ends_with("\"Premium numbers are blocked\""));
    assert!(calls.make("tel:+12025550101").is_ok());
}

#[test]
fn callers_who_do_not_say_who_they_are_and_blocked_callers_do_not_reach_who_does_not_want_them() {
    let more = format!(
        "  blocking: {{anonymous_to: [\"{IMPU}\"], calling: [{{prefix: \"+882\", status: 403, reason: \"No\"}}]}}\n"
    );
    let mut calls = Calls::new(&more);
    let asserted = "P-Asserted-Identity: <tel:+4930123456>\r\n";
    assert!(calls.get(asserted).is_ok());
    let anonymous = calls.get(&format!("{asserted}Privacy: id\r\n")).unwrap_err();
    assert_eq!(status(&anonymous), 433);
    let blocked = calls.get("P-Asserted-Identity: <tel:+88212345>\r\n").unwrap_err();
    assert_eq!(status(&blocked), 403);
}
