//! Testkit: de-registration, loss of sets, end of streams (checklist GM-46, GM-52).

use std::time::Duration;

use ims_common::ipsec::{GoneCause, XfrmInput};

use super::*;

fn leaving(cseq: u32, further: &str) -> Register {
    Register {
        contact: Some(format!("<{CONTACT}>;expires=0")),
        ..protected(cseq, RESPONSE, further)
    }
}

#[test]
fn a_farewell_is_answered_over_the_set_which_ends_64_t1_later() {
    for register in [
        leaving(3, &offering(2)),
        // Several handsets offer nothing when they leave.
        leaving(3, ""),
        Register {
            contact: Some("*".to_owned()),
            ..protected(3, RESPONSE, "Expires: 0\r\n")
        },
    ] {
        let mut bench = bench();
        bench.registers(1, 1, 3600);
        let set = SaSet::clone(bench.kernel.newest());
        bench.receive(uplink(1), &register.text());
        let request = bench.request();
        assert_eq!(mark(&request), "yes");
        bench.home_answers(&request, 200, "");
        assert_eq!(bench.response_on().0, downlink(&set));
        assert_eq!(bench.node.contact_count(), 0);
        // A 200 that was lost can be had again.
        bench.receive(uplink(1), &register.text());
        assert_eq!(bench.response_on().0, downlink(&set));
        bench.advance(Duration::from_secs(127));
        assert_eq!(bench.kernel.len(), 1);
        bench.advance(Duration::from_secs(1));
        assert_eq!(bench.kernel.len(), 0);
    }
}

#[test]
fn a_challenged_farewell_is_answered_over_the_temporary_set_and_both_end() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    let (_, challenged) = bench.challenged(uplink(1), &leaving(3, &offering(2)));
    let new = SaSet::clone(bench.kernel.newest());
    bench.receive(uplink(2), &leaving(4, &confirming(2, &challenged)).text());
    let request = bench.request();
    assert_eq!(mark(&request), "yes");
    bench.home_answers(&request, 200, "");
    assert_eq!(bench.response_on().0, downlink(&new));
    bench.advance(Duration::from_secs(127));
    assert_eq!(bench.kernel.len(), 2);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.kernel.len(), 0);
}

#[test]
fn a_challenge_to_a_farewell_without_an_offer_cannot_be_met() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    bench.receive(uplink(1), &leaving(3, "").text());
    let request = bench.request();
    bench.home_answers(&request, 401, &challenge());
    assert_eq!(bench.response().status().as_u16(), 400);
    assert_eq!(bench.kernel.len(), 1);
}

#[test]
fn a_contact_whose_set_the_kernel_lost_stays_registered_and_is_out_of_reach() {
    let mut bench = bench();
    let path = bench.registers(1, 1, 3600);
    let id = bench.kernel.newest().id;
    let cause = GoneCause::Deleted;
    bench.kernel_says(Some(XfrmInput::Gone { id, cause }));
    assert_eq!(bench.node.contact_count(), 1);
    bench.home_sends("MESSAGE", "m1", &path, "");
    assert_eq!(bench.response().status().as_u16(), 430);
    assert_eq!(bench.count("ims_pcscf_sa_gone_total", "deleted"), 1);
    // It comes back with a new registration.
    bench.registers(11, 2, 3600);
    bench.home_sends("MESSAGE", "m2", &path, "");
    assert_eq!(bench.request_on().0.remote, US.parse().unwrap());
}

#[test]
fn a_response_whose_set_is_gone_leaves_on_no_other_way() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    bench.receive(uplink(1), &of_the_phone("MESSAGE", "u1", ""));
    let request = bench.request();
    let id = bench.kernel.newest().id;
    let cause = GoneCause::Expired;
    bench.kernel_says(Some(XfrmInput::Gone { id, cause }));
    bench.receive(mw_flow(SCSCF), &answer(&request, 200, ""));
    assert!(bench.is_quiet());
    assert_eq!(bench.count("ims_pcscf_protected_dropped_total", "no_way"), 1);
}

#[test]
fn the_end_of_a_set_closes_the_phones_connection() {
    let mut bench = bench();
    let (_, challenged) = bench.challenged(gm_flow("127.0.1.10:5060"), &first(1, 1));
    bench.confirms(over_tcp(uplink(1), 9), 2, 1, &challenged, 600);
    bench.advance(Duration::from_secs(630));
    assert_eq!(bench.closed, [ConnectionId(9)]);
    assert_eq!(bench.kernel.len(), 0);
}

/// The subscription of the usual phone registers from another address, with further Contact parameters.
fn registers_elsewhere(bench: &mut Bench, parameters: &str) {
    let there = |nth| Flow {
        remote: format!("127.0.1.20:{}", 45_000 + nth).parse().unwrap(),
        ..uplink(nth)
    };
    let clear = "127.0.1.20:5060";
    let mut register = first(1, 5);
    register.from = clear;
    bench.receive(gm_flow(clear), &register.text().replace("c1@ue", "c9@ue"));
    let request = bench.request();
    bench.home_answers(&request, 401, &challenge());
    let challenged = bench.response();
    let contact = CONTACT.replace("127.0.1.10", "127.0.1.20");
    let mut register = protected(2, RESPONSE, &confirming(5, &challenged));
    register.from = "127.0.1.20:44062";
    register.contact = Some(format!("<{contact}>{parameters}"));
    bench.receive(there(5), &register.text().replace("c1@ue", "c9@ue"));
    let request = bench.request();
    bench.home_answers(&request, 200, &grant(&contact, 3600, "sip:s.home.test;lr"));
    bench.flush();
}

#[test]
fn a_farewell_elsewhere_that_takes_all_contacts_takes_their_sets() {
    let mut bench = bench();
    bench.registers(1, 1, 3600);
    // The same subscription in another phone.
    registers_elsewhere(&mut bench, "");
    assert_eq!((bench.node.contact_count(), bench.kernel.len()), (2, 2));
    let mut register = protected(3, RESPONSE, "Expires: 0\r\n");
    register.from = "127.0.1.20:44062";
    register.contact = Some("*".to_owned());
    let there = Flow {
        remote: "127.0.1.20:45005".parse().unwrap(),
        ..uplink(5)
    };
    bench.receive(there, &register.text().replace("c1@ue", "c9@ue"));
    let request = bench.request();
    bench.home_answers(&request, 200, "");
    assert_eq!(bench.node.contact_count(), 0);
    bench.advance(Duration::from_secs(128));
    assert_eq!(bench.kernel.len(), 0);
}

#[test]
fn a_phone_that_comes_from_another_address_leaves_nothing_at_the_one_before() {
    const PHONE: &str = ";+sip.instance=\"<urn:gsma:imei:35622410-483840-0>\"";
    for (parameters, left) in [
        (PHONE.to_owned(), 1),
        (format!("{PHONE};reg-id=1"), 2),
        (PHONE.replace("483840", "483841"), 2),
    ] {
        let mut bench = bench();
        let (_, challenged) = bench.challenged(gm_flow("127.0.1.10:5060"), &first(1, 1));
        let mut register = protected(2, RESPONSE, &confirming(1, &challenged));
        register.contact = Some(format!("<{CONTACT}>{PHONE}"));
        bench.receive(uplink(1), &register.text());
        let request = bench.request();
        bench.home_answers(&request, 200, &grant(CONTACT, 3600, "sip:s.home.test;lr"));
        assert_eq!(bench.response().status().as_u16(), 200);
        registers_elsewhere(&mut bench, &parameters);
        assert_eq!(bench.node.contact_count(), left);
        bench.advance(Duration::from_secs(128));
        assert_eq!(bench.kernel.len(), left);
    }
}
