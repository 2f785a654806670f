//! Testkit: requests and responses over sets (checklist GM-29 to 32, 41, 43, 44, 58).

use super::*;

#[test]
fn a_request_to_the_phone_goes_between_the_ports_of_udp_and_names_the_server_port() {
    let mut bench = bench();
    let path = bench.registers(1, 1, 3600);
    let set = SaSet::clone(bench.kernel.newest());
    bench.home_sends("INVITE", "i1", &path, "Contact: <sip:s>\r\n");
    let (flow, request) = loop {
        match bench.next() {
            (Destination::Flow(flow), SipMessage::Request(request)) => break (flow, request),
            (_, SipMessage::Response(trying)) => assert_eq!(trying.status().as_u16(), 100),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(flow, downlink(&set));
    let via = lines(&request, HeaderName::Via).remove(0);
    assert!(via.starts_with("SIP/2.0/UDP 127.0.1.1:6101;"), "{via}");
    let route = lines(&request, HeaderName::RecordRoute).remove(0);
    assert!(route.ends_with("@127.0.1.1:6101;lr>"), "{route}");
    // The phone answers from its client port to our server port.
    bench.receive(uplink(1), &answer(&request, 180, ""));
    assert_eq!(bench.response().status().as_u16(), 180);
    // Some answer where the request came from.
    let mut stray = downlink(&set);
    (stray.local, stray.remote) = (set.states[3].destination, set.states[3].source);
    bench.receive(stray, &answer(&request, 200, "Contact: <sip:u>\r\n"));
    assert_eq!(bench.response().status().as_u16(), 200);
}

#[test]
fn a_phone_that_registered_over_tcp_is_reached_over_a_connection_of_ours_and_may_speak_over_udp() {
    let mut bench = bench();
    let (_, challenged) = bench.challenged(gm_flow("127.0.1.10:5060"), &first(1, 1));
    let path = bench.confirms(over_tcp(uplink(1), 9), 2, 1, &challenged, 3600);
    let set = SaSet::clone(bench.kernel.newest());
    bench.home_sends("MESSAGE", "m1", &path, "");
    let ours = Flow {
        transport: Transport::Tcp,
        ..downlink(&set)
    };
    assert_eq!(bench.request_on().0, ours, "not on the phone's own connection");
    // One set serves UDP and TCP.
    bench.receive(uplink(1), &of_the_phone("MESSAGE", "u1", ""));
    let request = bench.request();
    bench.receive(mw_flow(SCSCF), &answer(&request, 202, ""));
    assert_eq!(bench.response_on().0, downlink(&set));
}

#[test]
fn a_long_request_to_the_phone_goes_over_tcp_of_the_same_set() {
    let mut bench = bench();
    let path = bench.registers(1, 1, 3600);
    let long = format!("Subject: {}\r\n", "x".repeat(1_200));
    bench.home_sends("MESSAGE", "m1", &path, &long);
    let (flow, _) = bench.request_on();
    assert_eq!(flow.transport, Transport::Tcp);
    assert_eq!((flow.remote, flow.connection), (US.parse().unwrap(), None));
}

#[test]
fn the_set_says_who_speaks_whatever_the_request_claims() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let claims =
        "P-Preferred-Identity: <sip:+15559999@h.test>\r\nP-Asserted-Identity: <sip:+15559999@h.test>\r\n";
    bench.receive(uplink(1), &of_the_phone("MESSAGE", "u1", claims));
    let (_, request) = match bench.next() {
        (to, SipMessage::Request(request)) => (to, request),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        lines(&request, HeaderName::PAssertedIdentity),
        [format!("<sip:+15550001@{REALM}>")]
    );
    assert_eq!(
        lines(&request, HeaderName::Route),
        [format!("<sip:orig@{SCSCF};lr>")]
    );
}

#[test]
fn a_dialog_of_the_phone_comes_back_by_the_server_port() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let further = "Event: reg\r\nContact: <sip:u@127.0.1.10:44062>\r\n";
    bench.receive(uplink(1), &of_the_phone("SUBSCRIBE", "s1", further));
    let request = bench.request();
    let routes = lines(&request, HeaderName::RecordRoute);
    assert!(routes[1].ends_with("@127.0.1.1:6101;lr>"), "{routes:?}");
    let recorded = format!("Record-Route: {}, {}\r\n", routes[0], routes[1]);
    let ok =
        format!("Record-Route: <sip:{SCSCF};lr>\r\n{recorded}Contact: <sip:{SCSCF}>\r\nExpires: 600\r\n");
    bench.home_answers(&request, 200, &ok);
    assert_eq!(bench.response().status().as_u16(), 200);
    // What the phone sends in the dialog is taken off its Route.
    let further = format!(
        "Route: {}, {}, <sip:s.home.test:5060;lr>\r\nEvent: reg\r\n",
        routes[1], routes[0]
    );
    let next = of_the_phone("SUBSCRIBE", "s2", &further)
        .replace("To: <tel:+15550002>", "To: <tel:+15550002>;tag=home");
    let next = next
        .replace("s.home.test:5060", SCSCF)
        .replace("CSeq: 1 ", "CSeq: 2 ")
        .replace("s2@ue", "s1@ue");
    bench.receive(uplink(1), &next);
    let (to, request) = match bench.next() {
        (to, SipMessage::Request(request)) => (remote(&to), request),
        other => panic!("{other:?}"),
    };
    assert_eq!(to, SCSCF.parse().unwrap());
    assert_eq!(lines(&request, HeaderName::Route), [format!("<sip:{SCSCF};lr>")]);
}

#[test]
fn over_a_temporary_set_nothing_passes_but_register() {
    let mut bench = bench();
    bench.challenged(gm_flow("127.0.1.10:5060"), &first(1, 1));
    for method in ["MESSAGE", "INVITE", "SUBSCRIBE", "OPTIONS"] {
        bench.receive(uplink(1), &of_the_phone(method, method, ""));
    }
    assert!(bench.is_quiet());
    let reason = "non_register_on_temporary";
    assert_eq!(bench.count("ims_pcscf_protected_dropped_total", reason), 4);
}

#[test]
fn what_comes_to_a_protected_port_over_no_set_is_dropped_and_its_stream_closed() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let clear = Flow {
        remote: "127.0.1.10:5060".parse().unwrap(),
        ..uplink(1)
    };
    let spoofed = Flow {
        remote: "127.0.1.66:45001".parse().unwrap(),
        ..uplink(1)
    };
    for flow in [clear, spoofed] {
        bench.receive(flow, &first(9, 9).text());
        bench.receive(flow, &of_the_phone("MESSAGE", "u1", ""));
    }
    bench.receive(over_tcp(clear, 4), &first(9, 9).text().replace("/UDP", "/TCP"));
    assert!(bench.is_quiet());
    assert_eq!(bench.closed, [ConnectionId(4)]);
    assert_eq!(bench.count("ims_pcscf_protected_dropped_total", "no_set"), 5);
}

#[test]
fn in_clear_a_protected_phone_has_nothing_to_say() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    for from in ["127.0.1.10:5060", US] {
        let flow = gm_flow(from);
        bench.receive(flow, &of_the_phone("MESSAGE", &from.replace([':', '.'], ""), ""));
        let (_, response) = bench.response_on();
        assert_eq!(response.status().as_u16(), 403);
        assert!(bench.is_quiet());
    }
    let mut bench = Bench::with(", security: ipsec, unregistered_requests: drop", "");
    bench.registers(1, 1, 3600);
    bench.receive(gm_flow(US), &of_the_phone("MESSAGE", "u1", ""));
    assert!(bench.is_quiet());
}

#[test]
fn two_users_at_one_address_speak_for_themselves() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let other = IMPI.replace("000000001@", "000000002@");
    let theirs = |nth: u16| offering(nth).replace("port-s=44062", "port-s=44064");
    let mine = |register: Register| {
        register
            .text()
            .replace(IMPI, &other)
            .replace("c1@ue", "c2@ue")
            .replace("z9hG4bK-", "z9hG4bK+")
    };
    let mut register = first(1, 30);
    register.further = theirs(30);
    bench.receive(gm_flow("127.0.1.10:5062"), &mine(register));
    let request = bench.request();
    bench.home_answers(&request, 401, &challenge());
    let server = header(&bench.response(), HeaderName::SecurityServer).unwrap();
    let contact = CONTACT.replace("44062", "44064");
    let mut register = protected(
        2,
        RESPONSE,
        &format!("{}Security-Verify: {server}\r\n", theirs(30)),
    );
    register.contact = Some(format!("<{contact}>"));
    bench.receive(uplink(30), &mine(register));
    let request = bench.request();
    let granted = grant(&contact, 3600, "sip:other@127.0.1.4:5060;lr").replace("+15550001", "+15550003");
    bench.home_answers(&request, 200, &granted);
    assert_eq!(bench.response().status().as_u16(), 200);
    assert_eq!((bench.node.contact_count(), bench.kernel.len()), (2, 2));
    for (nth, number) in [(1, "+15550001"), (30, "+15550003")] {
        bench.receive(uplink(nth), &of_the_phone("MESSAGE", &format!("u{nth}"), ""));
        let request = bench.request();
        let asserted = lines(&request, HeaderName::PAssertedIdentity);
        assert_eq!(asserted, [format!("<sip:{number}@{REALM}>")]);
    }
}

#[test]
fn a_drain_refuses_new_registrations_and_lets_the_sets_be() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    bench.drain();
    bench.receive(gm_flow("127.0.1.10:5060"), &first(20, 4).text());
    assert_eq!(bench.response().status().as_u16(), 503);
    assert_eq!(bench.kernel.len(), 1);
}

#[test]
fn what_the_phone_repeats_of_the_agreement_in_its_requests_ends_here() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let further = "Require: sec-agree, precondition\r\nProxy-Require: sec-agree\r\nSupported: 100rel, sec-agree\r\n\
         Security-Verify: ipsec-3gpp;q=0.1;alg=hmac-sha-1-96\r\n";
    bench.receive(uplink(1), &of_the_phone("MESSAGE", "u1", further));
    let request = bench.request();
    assert_eq!(lines(&request, HeaderName::Require), ["precondition"]);
    assert_eq!(lines(&request, HeaderName::Supported), ["100rel"]);
    assert!(request.header(HeaderName::ProxyRequire).is_none());
    assert!(request.header(HeaderName::SecurityVerify).is_none());
}
