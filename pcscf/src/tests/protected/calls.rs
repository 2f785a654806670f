//! Testkit: calls of a phone inside security associations (checklist PC-03, PC-08, PC-10, PC-26, PC-28, PC-30).

use std::time::Duration;

use super::*;
use crate::tests::{answer, remote};

const FAR: &str = "sip:far@127.0.1.9:5070";

fn invited(bench: &mut Bench, flow: Flow) -> Request {
    let contact = format!("Contact: <{CONTACT}>\r\n");
    bench.receive(flow, &of_the_phone("INVITE", "call", &contact));
    forwarded(bench)
}

fn forwarded(bench: &mut Bench) -> Request {
    loop {
        if let SipMessage::Request(request) = bench.next().1 {
            return request;
        }
    }
}

/// In the dialog of that INVITE.
fn in_call(method: &str, branch: &str, cseq: u32, further: &str) -> String {
    of_the_phone(method, branch, further)
        .replace(&format!("{branch}@ue"), "call@ue")
        .replace("CSeq: 1 ", &format!("CSeq: {cseq} "))
        .replace("To: <tel:+15550002>", "To: <tel:+15550002>;tag=home")
}

fn early(invite: &Request) -> String {
    let ours = lines(invite, HeaderName::RecordRoute).join(", ");
    answer(
        invite,
        183,
        &format!("Contact: <{FAR}>\r\nRecord-Route: <sip:rr@{SCSCF};lr>, {ours}\r\n"),
    )
}

/// Some phones send the first PRACK over TCP and the next request over UDP.
#[test]
fn a_phone_may_change_the_transport_from_request_to_request_of_a_call() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let invite = invited(&mut bench, uplink(1));
    bench.receive(mw_flow(SCSCF), &early(&invite));
    bench.flush();
    let tcp = over_tcp(uplink(1), 9);
    for (cseq, flow, method) in [
        (2, tcp, "PRACK"),
        (3, uplink(1), "PRACK"),
        (4, tcp, "UPDATE"),
        (5, uplink(1), "INFO"),
    ] {
        let text = in_call(method, &format!("b{cseq}"), cseq, "");
        let text = match flow.connection {
            Some(_) => text.replace("SIP/2.0/UDP", "SIP/2.0/TCP"),
            None => text,
        };
        bench.receive(flow, &text);
        let sent = forwarded(&mut bench);
        assert_eq!(sent.method().as_str(), method);
        assert_eq!(lines(&sent, HeaderName::Route), [format!("<sip:rr@{SCSCF};lr>")]);
        bench.home_answers(&sent, 200, "");
        let (back, response) = bench.response_on();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(
            (back.transport, back.connection),
            (flow.transport, flow.connection)
        );
        assert_eq!(
            back.remote.port() == 44_062,
            flow.connection.is_none(),
            "{back:?}"
        );
    }
}

/// The INVITE was too long for a datagram, its CANCEL is not.
#[test]
fn a_phone_may_cancel_over_udp_what_it_sent_over_tcp() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let contact = format!("Contact: <{CONTACT}>\r\n");
    let text = of_the_phone("INVITE", "call", &contact).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    bench.receive(over_tcp(uplink(1), 9), &text);
    let invite = forwarded(&mut bench);
    bench.receive(mw_flow(SCSCF), &early(&invite));
    bench.flush();
    bench.receive(uplink(1), &of_the_phone("CANCEL", "call", ""));
    assert_eq!(forwarded(&mut bench).method().as_str(), "CANCEL");
}

#[test]
fn a_long_request_of_the_phone_goes_on_over_tcp() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let long = format!("Contact: <{CONTACT}>\r\nSubject: {}\r\n", "x".repeat(2_000));
    bench.receive(uplink(1), &of_the_phone("INVITE", "call", &long));
    loop {
        if let (
            Destination::Address {
                transport, remote, ..
            },
            SipMessage::Request(invite),
        ) = bench.next()
        {
            assert_eq!((transport, remote), (Transport::Tcp, SCSCF.parse().unwrap()));
            assert!(text(&invite).contains(&"x".repeat(2_000)));
            break;
        }
    }
}

#[test]
fn an_invite_to_a_silent_phone_ends_after_128_s() {
    let mut bench = bench();
    let path = bench.registers(1, 1, 3600);
    bench.home_sends("INVITE", "call", &path, "Contact: <sip:far@127.0.1.9>\r\n");
    bench.flush();
    bench.advance(Duration::from_millis(127_900));
    let repeated = bench.flush();
    // T1 is 2 s towards the phone: 2, 6, 14, 30, 62 and 126 s.
    assert_eq!(repeated.len(), 6, "{repeated:?}");
    bench.advance(Duration::from_millis(200));
    let (to, message) = bench.next();
    let SipMessage::Response(response) = message else {
        panic!("a request");
    };
    assert_eq!(
        (remote(&to), response.status().as_u16()),
        (SCSCF.parse().unwrap(), 408)
    );
    bench.advance(Duration::from_secs(200));
    assert_eq!(
        bench.node.sessions.dialogs.setup_count() + bench.node.passages.len(),
        0
    );
}

#[test]
fn a_request_without_the_headers_of_the_agreement_is_no_error_and_its_via_may_name_anything() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let plain = of_the_phone("MESSAGE", "m1", "");
    for (branch, text) in [
        ("m1", plain.clone()),
        (
            "m2",
            plain
                .replace(&format!("UDP {US}"), "UDP phone.invalid:5060")
                .replace(";rport", ""),
        ),
    ] {
        bench.receive(uplink(1), &text.replace("z9hG4bKm1", &format!("z9hG4bK{branch}")));
        let sent = forwarded(&mut bench);
        let vias = lines(&sent, HeaderName::Via);
        assert_eq!(
            vias[1].contains("received=127.0.1.10"),
            branch == "m2" || plain.contains("rport"),
            "{vias:?}"
        );
        bench.home_answers(&sent, 200, "");
        let (back, response) = bench.response_on();
        assert_eq!(
            (back.remote, response.status().as_u16()),
            (US.parse().unwrap(), 200)
        );
    }
}

#[test]
fn towards_a_phone_the_protected_server_port_is_recorded() {
    let mut bench = bench();
    let path = bench.registers(1, 1, 3600);
    bench.home_sends("INVITE", "call", &path, "Contact: <sip:far@127.0.1.9>\r\n");
    let invite = forwarded(&mut bench);
    let recorded = lines(&invite, HeaderName::RecordRoute);
    assert!(
        recorded[0].ends_with("@127.0.1.1:6101;lr>") && recorded[1].ends_with("@127.0.1.2;lr>"),
        "{recorded:?}"
    );
}
