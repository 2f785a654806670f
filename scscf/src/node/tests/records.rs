//! Testkit: how long a charging data record of a session stays open.

use super::originating::originating;
use super::*;

const BOB: &str = "sip:bob@ims.mnc001.mcc001.3gppnetwork.org";

/// A call that has been answered with this Session-Expires, and what the S-CSCF sent of it.
fn answered_call(session_expires: &str) -> (Rig, Request) {
    let mut rig = Rig::with_config("  cdr: {directory: /var/lib/ims/cdr}\n");
    rig.register_over_ipsec();
    let route = rig.service_route();
    rig.receive(originating(
        &route,
        "INVITE",
        BOB,
        "Contact: <sip:001010000000001@192.0.2.10:5060>\r\n",
    ));
    let (sent, _) = rig.sent();
    let more = format!("Contact: <sip:bob@192.0.2.50:5060>\r\n{session_expires}");
    rig.answer(&sent, 200, &more);
    assert_eq!(rig.gauge("ims_scscf_open_records"), 1);
    (rig, sent)
}

/// The caller sends a request in the dialog.
fn in_dialog(rig: &mut Rig, sent: &Request, method: &str, more: &str) {
    let own = values(sent, HeaderName::RecordRoute).remove(0);
    let call = String::from_utf8_lossy(sent.call_id().unwrap()).into_owned();
    let caller = values(sent, HeaderName::From).remove(0);
    let answer = rig.responses.back().expect("the call was answered");
    let callee = header(answer, HeaderName::To);
    rig.receive(format!(
        "{method} sip:bob@192.0.2.50:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.6:5060;branch=z9hG4bKin{method}\r\n\
         Max-Forwards: 70\r\nFrom: {caller}\r\nTo: {callee}\r\nCall-ID: {call}\r\nCSeq: 9 {method}\r\n\
         Route: {own}\r\n{more}Content-Length: 0\r\n\r\n"
    ));
}

/// Whether it is open so many seconds later.
fn is_open_after(rig: &mut Rig, seconds: u64) -> bool {
    rig.advance(secs(seconds));
    rig.gauge("ims_scscf_open_records") == 1
}

/// A bug: an UPDATE with `Session-Expires: 1` closed the record of a call a second later, and the call went on.
#[test]
fn an_update_with_a_tiny_session_interval_does_not_close_the_record() {
    let (mut rig, sent) = answered_call("Session-Expires: 1800\r\n");
    in_dialog(&mut rig, &sent, "UPDATE", "Session-Expires: 1\r\n");
    assert!(is_open_after(&mut rig, 1_790));
    assert!(!is_open_after(&mut rig, 20));
}

#[test]
fn an_answer_with_a_tiny_session_interval_leaves_the_record_open_for_the_minimum() {
    let (mut rig, _) = answered_call("Session-Expires: 1\r\n");
    assert!(is_open_after(&mut rig, 89));
    assert!(!is_open_after(&mut rig, 2));
}

/// RFC 4028 7.2. A bug: the record was closed when the interval of before was over.
#[test]
fn an_update_without_session_expires_leaves_the_session_without_timer() {
    let (mut rig, sent) = answered_call("Session-Expires: 90\r\n");
    in_dialog(&mut rig, &sent, "INFO", "");
    assert!(is_open_after(&mut rig, 80));
    in_dialog(&mut rig, &sent, "UPDATE", "");
    assert!(is_open_after(&mut rig, 11 * 3_600));
    assert!(!is_open_after(&mut rig, 2 * 3_600));
}
