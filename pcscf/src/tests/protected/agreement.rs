//! Testkit: what the security agreement asks of a REGISTER (checklist GM-07, 08, 22 to 27, 39).

use std::time::Duration;

use super::*;

const CLEAR: &str = "127.0.1.10:5060";

/// A bench whose phone is challenged, and the 401.
fn challenged() -> (Bench, Response) {
    let mut bench = bench();
    let (_, response) = bench.challenged(gm_flow(CLEAR), &first(1, 1));
    (bench, response)
}

fn refused(bench: &mut Bench, flow: Flow, register: &Register) -> Response {
    bench.receive(flow, &register.text());
    let (_, response) = bench.response_on();
    assert!(bench.is_quiet(), "nothing is forwarded");
    response
}

#[test]
fn a_register_in_clear_without_an_offer_needs_the_extension() {
    let mut bench = bench();
    let response = refused(&mut bench, gm_flow(CLEAR), &Register::nth(1));
    assert_eq!(response.status().as_u16(), 421);
    assert_eq!(lines(&response, HeaderName::Require), ["sec-agree"]);
}

#[test]
fn a_client_without_security_is_served_where_the_operator_allows_it() {
    let mut bench = Bench::with(", security: ipsec, allow_unprotected: true", "");
    let contact = "sip:001010000000001@127.0.1.10:5060";
    bench.register(&Register::nth(1), &grant(contact, 3600, "sip:s.home.test;lr"));
    assert_eq!(bench.node.contact_count(), 1);
    // A challenge makes no associations with it.
    bench.receive(gm_flow(CLEAR), &Register::nth(2).text());
    let request = bench.request();
    bench.home_answers(&request, 401, &challenge());
    let response = bench.response();
    assert_eq!(response.status().as_u16(), 401);
    assert!(!text(&response).contains(CK));
    assert_eq!(bench.kernel.len(), 0);
}

#[test]
fn without_a_common_mechanism_the_ue_is_told_ours() {
    let mut bench = bench();
    let mut register = first(1, 1);
    register.further = offering(1).replace("ealg=null", "ealg=des-ede3-cbc");
    let response = refused(&mut bench, gm_flow(CLEAR), &register);
    assert_eq!(response.status().as_u16(), 494);
    let ours = header(&response, HeaderName::SecurityServer).unwrap();
    assert!(
        ours.contains("alg=hmac-sha-1-96") && ours.contains("q="),
        "{ours}"
    );
}

#[test]
fn an_answer_without_one_of_the_two_headers_is_a_400() {
    let (mut bench, challenged) = challenged();
    let both = confirming(1, &challenged);
    for (cseq, missing) in [(2, "Security-Client"), (3, "Security-Verify")] {
        let further = both.replace(missing, "X-Nothing");
        let response = refused(&mut bench, uplink(1), &protected(cseq, RESPONSE, &further));
        assert_eq!(response.status().as_u16(), 400, "{missing}");
    }
    assert_eq!(bench.kernel.len(), 1, "it may do better");
    bench.confirms(uplink(1), 4, 1, &challenged, 3600);
}

#[test]
fn an_answer_that_does_not_repeat_what_was_said_is_refused_and_its_set_goes() {
    for (said, forged) in [
        ("port-s=6101", "port-s=6102"),
        ("mod=trans; spi-c=1002", "mod=trans; spi-c=1003"),
        ("; ealg=null", "; ealg=aes-cbc"),
    ] {
        let (mut bench, challenged) = challenged();
        let further = confirming(1, &challenged);
        assert!(further.contains(said), "{further}");
        let register = protected(2, RESPONSE, &further.replace(said, forged));
        let response = refused(&mut bench, uplink(1), &register);
        assert_eq!(response.status().as_u16(), 494, "{said}");
        assert!(response.header(HeaderName::SecurityServer).is_some());
        bench.advance(Duration::from_secs(128));
        assert_eq!(bench.kernel.len(), 0);
    }
}

#[test]
fn a_resynchronisation_that_does_not_help_and_a_refused_answer_are_told() {
    let mut bench = bench();
    let mut register = first(1, 1);
    let told = |bench: &Bench| {
        ["resynchronises", "resynchronises_again", "answer_refused"]
            .map(|signal| bench.count("ims_pcscf_ue_signals_total", signal))
    };
    for nth in 1..=2 {
        register.cseq = nth;
        register.further = offering(u16::try_from(nth).unwrap());
        register.authorization = Some(credentials("", ",auts=\"AAAAAAAAAAAAAAAAAAAA\""));
        bench.challenged(gm_flow(CLEAR), &register);
    }
    assert_eq!(told(&bench), [2, 1, 0]);
    let (_, challenged) = bench.challenged(gm_flow(CLEAR), &first(3, 3));
    bench.receive(
        uplink(3),
        &protected(4, RESPONSE, &confirming(3, &challenged)).text(),
    );
    let request = bench.request();
    bench.home_answers(&request, 403, "");
    assert_eq!(told(&bench), [2, 1, 1]);
}

#[test]
fn order_and_case_of_what_is_repeated_do_not_matter() {
    let (mut bench, challenged) = challenged();
    let server = header(&challenged, HeaderName::SecurityServer).unwrap();
    let mut parameters: Vec<&str> = server.split(';').skip(1).collect();
    parameters.reverse();
    let further = format!(
        "{}Security-Verify: IPSEC-3GPP ; {}\r\n",
        offering(1),
        parameters.join(" ; ").to_uppercase()
    );
    bench.receive(uplink(1), &protected(2, RESPONSE, &further).text());
    assert_eq!(mark(&bench.request()), "yes");
}

#[test]
fn an_answer_with_nothing_in_it_is_not_vouched_for() {
    let (mut bench, challenged) = challenged();
    bench.receive(uplink(1), &protected(2, "", &confirming(1, &challenged)).text());
    assert_eq!(mark(&bench.request()), "no");
}

#[test]
fn another_users_register_over_a_set_is_forbidden() {
    let (mut bench, challenged) = challenged();
    let mut register = protected(2, RESPONSE, &confirming(1, &challenged));
    let other = IMPI.replace("000000001@", "000000002@");
    register.authorization = Some(credentials(RESPONSE, "").replace(IMPI, &other));
    let response = refused(&mut bench, uplink(1), &register);
    assert_eq!(response.status().as_u16(), 403);
}

#[test]
fn over_an_established_set_no_verify_is_asked_for_and_the_register_is_vouched_for() {
    for (authorization, further) in [
        (credentials(RESPONSE, ""), offering(2)),
        // After a failure of the SQN, or of the MAC, or from a phone that forgot that it has associations.
        (credentials("", ",auts=\"AAAAAAAAAAAAAAAAAAAA\""), offering(2)),
        (credentials("", ""), offering(2)),
        (
            credentials(RESPONSE, ",integrity-protected=no"),
            format!("{}Security-Verify: tls;q=0.1\r\n", offering(2)),
        ),
    ] {
        let mut bench = bench();
        bench.registers(1, 1, 3600);
        let mut register = protected(3, "", &further);
        register.authorization = Some(authorization);
        bench.receive(uplink(1), &register.text());
        let request = bench.request();
        assert_eq!(mark(&request), "yes");
        assert!(request.header(HeaderName::SecurityVerify).is_none());
    }
}

#[test]
fn a_re_registration_without_an_offer_is_a_400() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let response = refused(&mut bench, uplink(1), &protected(3, RESPONSE, ""));
    assert_eq!(response.status().as_u16(), 400);
}

#[test]
fn ports_of_another_users_live_set_at_the_same_address_are_refused_before_anything_is_forwarded() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let other = IMPI.replace("000000001@", "000000002@");
    let mut register = first(1, 9);
    register.authorization = Some(credentials("", "").replace(IMPI, &other));
    let text = register
        .text()
        .replace("c1@ue", "c2@ue")
        .replace("z9hG4bK-", "z9hG4bK+");
    bench.receive(gm_flow(CLEAR), &text);
    assert_eq!(bench.response().status().as_u16(), 400);
    assert!(bench.is_quiet());
    assert_eq!(bench.kernel.len(), 1);
}

#[test]
fn more_sets_than_the_limit_are_a_503_with_a_time() {
    let mut bench = Bench::with(", security: ipsec", ", ipsec: {sets_max: 1}");
    bench.challenged(gm_flow(CLEAR), &first(1, 1));
    let other = IMPI.replace("000000001@", "000000002@");
    let mut register = first(1, 2);
    register.from = "127.0.1.11:5060";
    register.authorization = Some(credentials("", "").replace(IMPI, &other));
    let response = refused(&mut bench, gm_flow("127.0.1.11:5060"), &register);
    assert_eq!(response.status().as_u16(), 503);
    assert!(response.header(HeaderName::RetryAfter).is_some());
}

#[test]
fn an_address_in_the_contact_that_is_not_the_source_is_a_sign_of_nat_and_no_more() {
    let mut bench = bench();
    let mut register = first(1, 1);
    register.contact = Some("<sip:001010000000001@192.0.2.7:5060>".to_owned());
    bench.challenged(gm_flow(CLEAR), &register);
    assert_eq!(bench.count("ims_pcscf_ue_signals_total", "address_differs"), 1);
    // The associations are between the addresses of the packets.
    let states = bench.kernel.newest().states;
    assert_eq!(states[0].source.ip(), gm_flow(CLEAR).remote.ip());
}
