//! Testkit: re-registration over a set (checklist GM-19, 33 to 38, 40).

use std::time::Duration;

use super::*;

/// Renews the registration with a challenge; gives the set that carried it, and the new one.
fn renewed(bench: &mut Bench, cseq: u32, old: u16, new: u16) -> (SaSet, SaSet) {
    let before = SaSet::clone(bench.kernel.newest());
    let register = protected(cseq, RESPONSE, &offering(new));
    let (flow, challenged) = bench.challenged(uplink(old), &register);
    // Under the keys that the phone has, not under those that it is about to make.
    assert_eq!(flow, downlink(&before));
    bench.confirms(uplink(new), cseq + 1, new, &challenged, 3600);
    (before, SaSet::clone(bench.kernel.newest()))
}

#[test]
fn the_401_comes_over_the_set_that_carried_the_register_and_the_200_over_the_new_one() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let old = SaSet::clone(bench.kernel.newest());
    let (_, challenged) = bench.challenged(uplink(1), &protected(3, RESPONSE, &offering(2)));
    let new = SaSet::clone(bench.kernel.newest());
    assert_ne!(
        old.states[2].source, new.states[2].source,
        "our client port differs"
    );
    bench.receive(
        uplink(2),
        &protected(4, RESPONSE, &confirming(2, &challenged)).text(),
    );
    let request = bench.request();
    bench.home_answers(&request, 200, &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    assert_eq!(bench.response_on().0, downlink(&new));
    assert_eq!(bench.kernel.len(), 2);
    assert_eq!(bench.node.contact_count(), 1);
}

#[test]
fn requests_to_the_phone_use_the_old_set_until_it_speaks_over_the_new_one() {
    let mut bench = bench();
    let path = bench.registers(1, 1, 3600);
    let (old, new) = renewed(&mut bench, 3, 1, 2);
    bench.home_sends("MESSAGE", "m1", &path, "");
    assert_eq!(bench.request_on().0, downlink(&old));
    bench.receive(uplink(2), &of_the_phone("MESSAGE", "u1", ""));
    bench.flush();
    bench.home_sends("MESSAGE", "m2", &path, "");
    assert_eq!(bench.request_on().0, downlink(&new));
}

#[test]
fn messages_over_the_old_set_are_served_for_64_t1_and_answered_over_the_new_one() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let (_, new) = renewed(&mut bench, 3, 1, 2);
    bench.receive(uplink(2), &of_the_phone("MESSAGE", "u1", ""));
    bench.flush();
    bench.receive(uplink(1), &of_the_phone("MESSAGE", "u2", ""));
    let request = bench.request();
    bench.receive(mw_flow(SCSCF), &answer(&request, 200, ""));
    assert_eq!(bench.response_on().0, downlink(&new));
    bench.advance(Duration::from_secs(127));
    assert_eq!(bench.kernel.len(), 2);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.kernel.len(), 1);
    bench.flush();
    bench.receive(uplink(1), &of_the_phone("MESSAGE", "u3", ""));
    assert!(bench.is_quiet());
    assert_eq!(bench.count("ims_pcscf_protected_dropped_total", "no_set"), 1);
}

#[test]
fn an_unchallenged_refresh_lets_the_set_live_as_long_as_the_registration() {
    let mut bench = bench();
    bench.registers(1, 1, 600);
    let set = bench.kernel.newest().id;
    bench.advance(Duration::from_secs(300));
    bench.receive(uplink(1), &protected(3, RESPONSE, &offering(2)).text());
    let request = bench.request();
    bench.home_answers(&request, 200, &grant(CONTACT, 600, "sip:s.home.test;lr"));
    assert_eq!(bench.response().status().as_u16(), 200);
    assert!(bench.kernel.lifetimes[&set] >= Duration::from_secs(630));
    bench.advance(Duration::from_secs(629));
    assert_eq!(bench.kernel.len(), 1);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.kernel.len(), 0);
}

#[test]
fn the_same_offer_again_is_no_error_as_long_as_nobody_challenges_it() {
    let mut bench = bench();
    bench.registers(1, 1, 600);
    bench.receive(uplink(1), &protected(3, RESPONSE, &offering(1)).text());
    let request = bench.request();
    bench.home_answers(&request, 200, &grant(CONTACT, 600, "sip:s.home.test;lr"));
    assert_eq!(bench.response().status().as_u16(), 200);
    bench.receive(uplink(1), &protected(4, RESPONSE, &offering(1)).text());
    let request = bench.request();
    bench.home_answers(&request, 401, &challenge());
    assert_eq!(bench.response().status().as_u16(), 500);
    assert_eq!(bench.kernel.len(), 1);
}

#[test]
fn fifty_re_registrations_leave_one_set() {
    let mut bench = bench();
    let path = bench.registers(1, 1, 3600);
    for nth in 1..=50 {
        renewed(&mut bench, u32::from(nth) * 2 + 1, nth, nth + 1);
        bench.receive(uplink(nth + 1), &of_the_phone("OPTIONS", &format!("o{nth}"), ""));
        bench.flush();
        assert!(bench.kernel.len() <= 3);
    }
    bench.advance(Duration::from_secs(129));
    bench.flush();
    assert_eq!(bench.kernel.len(), 1);
    let newest = SaSet::clone(bench.kernel.newest());
    bench.home_sends("MESSAGE", "last", &path, "");
    assert_eq!(bench.request_on().0, downlink(&newest));
}

#[test]
fn a_register_in_a_stale_set_is_challenged_inside_it() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let old = SaSet::clone(bench.kernel.newest());
    let mut register = protected(100, "", &offering(7));
    register.contact = Some("<sip:001010000000001@127.0.1.10:5060>".to_owned());
    let (flow, challenged) = bench.challenged(uplink(1), &register);
    assert_eq!(flow, downlink(&old));
    bench.confirms(uplink(7), 101, 7, &challenged, 3600);
    assert_eq!(bench.node.contact_count(), 1);
}

#[test]
fn a_phone_that_keeps_its_client_port_renews_over_udp() {
    let mut bench = bench();
    let path = bench.registers(1, 1, 3600);
    let old = SaSet::clone(bench.kernel.newest());
    let same_port = |further: String| further.replace("port-c=45002", "port-c=45001");
    let register = protected(3, RESPONSE, &same_port(offering(2)));
    let (flow, challenged) = bench.challenged(uplink(1), &register);
    assert_eq!(flow, downlink(&old));
    let new = SaSet::clone(bench.kernel.newest());
    assert_eq!(new.states[0].source, old.states[0].source);
    // What is no answer to the challenge belongs to the old set.
    bench.receive(uplink(1), &of_the_phone("MESSAGE", "u1", ""));
    assert_eq!(bench.request().method().as_str(), "MESSAGE");
    let register = protected(4, RESPONSE, &same_port(confirming(2, &challenged)));
    bench.receive(uplink(1), &register.text());
    let request = bench.request();
    bench.home_answers(
        &request,
        200,
        &grant(CONTACT, 3600, &format!("sip:orig@{SCSCF};lr")),
    );
    assert_eq!(bench.response_on().0, downlink(&new));
    bench.receive(uplink(1), &of_the_phone("MESSAGE", "u2", ""));
    bench.flush();
    bench.home_sends("MESSAGE", "m1", &path, "");
    assert_eq!(bench.request_on().0, downlink(&new));
    bench.advance(Duration::from_secs(128));
    assert_eq!(bench.kernel.len(), 1);
}
