//! Testkit: the first registration: 401, four associations, 200 (checklist GM-15, 16, 19, 20, 21, 25 to 29, 31, 47).

use std::time::Duration;

use ims_common::ipsec::XfrmFailure;

use super::*;

const CLEAR: &str = "127.0.1.10:5060";

#[test]
fn the_401_leaves_in_clear_and_not_before_the_kernel_has_the_four_associations() {
    let mut bench = bench();
    bench.kernel.is_silent = true;
    let register = first(1, 1);
    bench.receive(gm_flow(CLEAR), &register.text());
    let request = bench.request();
    bench.home_answers(&request, 401, &challenge());
    // The phone repeats itself meanwhile.
    bench.receive(gm_flow(CLEAR), &register.text());
    assert!(
        bench.is_quiet(),
        "it would answer over associations that are not there"
    );
    bench.kernel_says(None);
    let (flow, response) = bench.response_on();
    assert_eq!(flow, gm_flow(CLEAR));
    assert_eq!(response.status().as_u16(), 401);
    let states = bench.kernel.newest().states;
    let server = header(&response, HeaderName::SecurityServer).unwrap();
    for said in [
        "ipsec-3gpp;".to_owned(),
        ";prot=esp".to_owned(),
        ";mod=trans".to_owned(),
        ";alg=hmac-sha-1-96".to_owned(),
        ";ealg=null".to_owned(),
        format!(";spi-c={}", states[3].spi),
        format!(";spi-s={}", states[0].spi),
        format!(";port-c={}", states[2].source.port()),
        ";port-s=6101".to_owned(),
    ] {
        assert!(server.contains(&said), "{said} is not in {server}");
    }
    assert!(!text(&response).contains(CK) && !text(&response).contains(IK));
    assert_eq!(bench.kernel.newest().keys.integrity.expose().len(), 20);
    assert!(bench.is_quiet());
}

#[test]
fn associations_that_cannot_be_had_are_a_500_or_503_and_nothing_is_left() {
    for (failure, status) in [
        (XfrmFailure::NotPermitted, 500),
        (XfrmFailure::Unsupported, 500),
        (XfrmFailure::KernelFull, 500),
        (XfrmFailure::Busy, 503),
    ] {
        let mut bench = bench();
        bench.kernel.failures.push_back(failure);
        bench.receive(gm_flow(CLEAR), &first(1, 1).text());
        let request = bench.request();
        bench.home_answers(&request, 401, &challenge());
        let (flow, response) = bench.response_on();
        assert_eq!((flow, response.status().as_u16()), (gm_flow(CLEAR), status));
        assert!(response.header(HeaderName::WwwAuthenticate).is_none());
        assert_eq!(response.header(HeaderName::RetryAfter).is_some(), status == 503);
        assert!(bench.is_quiet());
        assert_eq!(bench.kernel.len(), 0);
        assert_eq!(
            bench.count("ims_pcscf_sa_install_failures_total", failure.label()),
            1
        );
    }
}

#[test]
fn spis_that_somebody_else_has_are_replaced_before_the_401_says_them() {
    let mut bench = bench();
    bench.kernel.failures.push_back(XfrmFailure::Exists);
    let (_, response) = bench.challenged(gm_flow(CLEAR), &first(1, 1));
    let server = header(&response, HeaderName::SecurityServer).unwrap();
    let spi = bench.kernel.newest().states[0].spi;
    assert!(server.contains(&format!(";spi-s={spi}")), "{server}");
}

#[test]
fn a_kernel_that_says_nothing_makes_a_500_in_time() {
    let mut bench = bench();
    bench.kernel.is_silent = true;
    bench.receive(gm_flow(CLEAR), &first(1, 1).text());
    let request = bench.request();
    bench.home_answers(&request, 401, &challenge());
    bench.advance(Duration::from_secs(10));
    let statuses: Vec<u16> = std::iter::from_fn(|| (!bench.is_quiet()).then(|| bench.response()))
        .map(|response| response.status().as_u16())
        .collect();
    assert_eq!(statuses.last(), Some(&500), "{statuses:?}");
    bench.kernel_says(None);
    assert_eq!(bench.kernel.len(), 0, "what it did late is undone");
    assert!(bench.is_quiet());
}

#[test]
fn a_challenge_without_keys_is_a_500() {
    let mut bench = bench();
    bench.receive(gm_flow(CLEAR), &first(1, 1).text());
    let request = bench.request();
    let keyless = challenge().replace(&format!(",ik=\"{IK}\""), "");
    bench.home_answers(&request, 401, &keyless);
    assert_eq!(bench.response().status().as_u16(), 500);
    assert_eq!(bench.kernel.len(), 0);
}

#[test]
fn a_challenge_of_sip_digest_passes_without_associations() {
    let mut bench = bench();
    bench.receive(gm_flow(CLEAR), &first(1, 1).text());
    let request = bench.request();
    let digest =
        format!("WWW-Authenticate: Digest realm=\"{REALM}\",nonce=\"n\",algorithm=MD5,qop=\"auth\"\r\n");
    bench.home_answers(&request, 401, &digest);
    let response = bench.response();
    assert_eq!(response.status().as_u16(), 401);
    assert!(response.header(HeaderName::SecurityServer).is_none());
    assert_eq!(bench.kernel.len(), 0);
}

#[test]
fn the_answer_to_the_challenge_is_vouched_for_and_its_200_comes_over_its_set_between_the_ports_of_udp() {
    let mut bench = bench();
    let (_, challenged) = bench.challenged(gm_flow(CLEAR), &first(1, 1));
    let set = bench.kernel.newest().clone();
    let register = protected(2, RESPONSE, &confirming(1, &challenged));
    bench.receive(uplink(1), &register.text());
    let request = bench.request();
    assert_eq!(mark(&request), "yes");
    for name in [
        HeaderName::SecurityClient,
        HeaderName::SecurityVerify,
        HeaderName::ProxyRequire,
    ] {
        assert!(request.header(name).is_none());
    }
    assert_eq!(lines(&request, HeaderName::Require), ["path"]);
    bench.home_answers(&request, 200, &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    let (flow, response) = bench.response_on();
    assert_eq!(response.status().as_u16(), 200);
    // Not to the port that it came from, and not to the one of rport.
    assert_eq!(flow, downlink(&set));
    assert_eq!(remote(&Destination::Flow(flow)), US.parse().unwrap());
    assert_eq!(bench.node.contact_count(), 1);
    let lifetime = bench.kernel.lifetimes[&set.id];
    assert!(lifetime >= Duration::from_secs(3630), "{lifetime:?}");
}

#[test]
fn over_tcp_the_200_stays_on_the_phones_connection() {
    let mut bench = bench();
    let (_, challenged) = bench.challenged(gm_flow(CLEAR), &first(1, 1));
    let flow = over_tcp(uplink(1), 9);
    let mut register = protected(2, RESPONSE, &confirming(1, &challenged));
    register.connection = Some(9);
    bench.receive(flow, &register.text());
    let request = bench.request();
    bench.home_answers(&request, 200, &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    assert_eq!(bench.response_on().0, flow);
}

#[test]
fn an_unanswered_challenge_leaves_nothing_after_four_minutes() {
    let mut bench = bench();
    bench.challenged(gm_flow(CLEAR), &first(1, 1));
    bench.advance(Duration::from_secs(10));
    let signal = "challenge_unanswered";
    assert_eq!(bench.count("ims_pcscf_ue_signals_total", signal), 1);
    bench.advance(Duration::from_secs(229));
    assert_eq!(bench.kernel.len(), 1);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.kernel.len(), 0);
    assert_eq!(
        bench.count("ims_pcscf_sa_removed_total", "challenge_unanswered"),
        1
    );
}

#[test]
fn another_challenge_replaces_the_set_of_the_first() {
    let mut bench = bench();
    bench.challenged(gm_flow(CLEAR), &first(1, 1));
    // After a failure of the SQN: a new offer, no Security-Verify.
    let mut again = first(2, 2);
    again.authorization = Some(credentials("", ",auts=\"AAAAAAAAAAAAAAAAAAAA\""));
    let (flow, challenged) = bench.challenged(gm_flow(CLEAR), &again);
    assert_eq!(flow, gm_flow(CLEAR));
    assert_eq!(bench.kernel.len(), 1);
    assert_eq!(bench.kernel.newest().states[0].source, uplink(2).remote);
    bench.confirms(uplink(2), 3, 2, &challenged, 3600);
    assert_eq!(bench.node.contact_count(), 1);
}

#[test]
fn the_offer_of_an_earlier_register_that_is_not_answered_counts_no_more() {
    let mut bench = bench();
    bench.receive(gm_flow(CLEAR), &first(1, 1).text());
    let early = bench.request();
    bench.receive(gm_flow(CLEAR), &first(2, 2).text());
    let late = bench.request();
    bench.home_answers(&late, 401, &challenge());
    assert_eq!(bench.response().status().as_u16(), 401);
    bench.home_answers(&early, 401, &challenge());
    assert_eq!(bench.response().status().as_u16(), 500);
    assert_eq!(bench.kernel.newest().states[0].source, uplink(2).remote);
    assert_eq!(bench.kernel.len(), 1);
}

#[test]
fn a_refused_answer_takes_its_set_along_when_the_refusal_has_arrived() {
    let mut bench = bench();
    let (_, challenged) = bench.challenged(gm_flow(CLEAR), &first(1, 1));
    let set = bench.kernel.newest().clone();
    bench.receive(
        uplink(1),
        &protected(2, RESPONSE, &confirming(1, &challenged)).text(),
    );
    let request = bench.request();
    bench.home_answers(&request, 403, "");
    let (flow, response) = bench.response_on();
    assert_eq!((flow, response.status().as_u16()), (downlink(&set), 403));
    bench.advance(Duration::from_secs(128));
    assert_eq!(bench.kernel.len(), 0);
    assert_eq!(bench.node.contact_count(), 0);
}

#[test]
fn a_phone_that_restarts_registers_anew_with_the_same_numbers() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let before = bench.kernel.newest().id;
    bench.registers(11, 1, 3600);
    assert_eq!(bench.kernel.len(), 1);
    assert!(bench.kernel.newest().id > before);
    assert_eq!(bench.node.contact_count(), 1);
}

#[test]
fn an_initial_registration_deletes_the_sets_before_it_at_its_200() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let (_, challenged) = bench.challenged(gm_flow(CLEAR), &first(11, 2));
    assert_eq!(bench.kernel.len(), 2);
    bench.confirms(uplink(2), 12, 2, &challenged, 3600);
    assert_eq!(bench.kernel.len(), 1);
}

#[test]
fn what_a_phone_does_after_its_200_tells_whether_it_is_content() {
    let signals = |bench: &Bench| {
        ["answer_not_heard", "nothing_follows", "registers_again_at_once"]
            .map(|signal| bench.count("ims_pcscf_ue_signals_total", signal))
    };
    let mut content = bench();
    content.registers(1, 1, 3600);
    content.receive(uplink(1), &of_the_phone("SUBSCRIBE", "s1", "Event: reg\r\n"));
    content.advance(Duration::from_secs(60));
    content.flush();
    content.receive(uplink(1), &protected(3, RESPONSE, &offering(2)).text());
    let request = content.request();
    content.home_answers(&request, 200, &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    assert_eq!(signals(&content), [0, 0, 0]);
    let mut puzzled = bench();
    let (_, challenged) = puzzled.challenged(gm_flow(CLEAR), &first(1, 1));
    puzzled.confirms(uplink(1), 2, 1, &challenged, 3600);
    let repeated = protected(2, RESPONSE, &confirming(1, &challenged));
    puzzled.receive(uplink(1), &repeated.text());
    assert_eq!(signals(&puzzled), [1, 0, 0]);
    puzzled.advance(Duration::from_secs(10));
    assert_eq!(signals(&puzzled), [1, 1, 0]);
    puzzled.flush();
    puzzled.receive(uplink(1), &protected(3, RESPONSE, &offering(2)).text());
    let request = puzzled.request();
    puzzled.home_answers(&request, 200, &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    assert_eq!(signals(&puzzled), [1, 1, 1]);
}

#[test]
fn a_grant_in_clear_without_a_challenge_makes_nobody_reachable_in_clear() {
    let mut bench = bench();
    bench.receive(gm_flow(CLEAR), &first(1, 1).text());
    let request = bench.request();
    bench.home_answers(&request, 200, &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    assert_eq!(bench.response().status().as_u16(), 500);
    assert_eq!(bench.node.contact_count(), 0);
}
