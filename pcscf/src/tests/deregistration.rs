//! Testkit: de-registration clears what was kept, after the 200 and not before (checklist GM-52).

use super::{Bench, IMPI, Register, grant};

const CONTACT: &str = "sip:001010000000001@127.0.1.10:5060";

fn registered() -> Bench {
    let mut bench = Bench::new();
    bench.register(&Register::nth(1), &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    assert_eq!(bench.node.contact_count(), 1);
    bench
}

fn leaving(contact: &str, further: &str) -> Register {
    Register {
        cseq: 2,
        contact: Some(contact.to_owned()),
        further: further.to_owned(),
        ..Register::default()
    }
}

#[test]
fn a_contact_that_is_no_longer_listed_is_gone_after_the_200() {
    for register in [
        leaving(&format!("<{CONTACT}>;expires=0"), ""),
        leaving(&format!("<{CONTACT}>"), "Expires: 0\r\n"),
        leaving("*", "Expires: 0\r\n"),
    ] {
        let mut bench = registered();
        bench.ue_says(&register.text());
        let request = bench.request();
        assert_eq!(bench.node.contact_count(), 1, "before the answer");
        bench.home_answers(&request, 200, "");
        assert_eq!(bench.response().status().as_u16(), 200);
        assert_eq!(bench.node.contact_count(), 0);
    }
}

#[test]
fn a_contact_listed_with_expires_0_is_gone_too() {
    let mut bench = registered();
    bench.ue_says(&leaving(&format!("<{CONTACT}>;expires=0"), "").text());
    let request = bench.request();
    bench.home_answers(&request, 200, &format!("Contact: <{CONTACT}>;expires=0\r\n"));
    assert_eq!(bench.node.contact_count(), 0);
}

#[test]
fn another_identity_of_the_implicit_set_takes_the_whole_set_along() {
    let mut bench = registered();
    let leaving = leaving(&format!("<{CONTACT}>;expires=0"), "");
    let named = leaving
        .text()
        .replace(&format!("To: <sip:{IMPI}>"), "To: <tel:+1-555-0001>");
    bench.ue_says(&named);
    let request = bench.request();
    bench.home_answers(&request, 200, "");
    assert_eq!(bench.node.contact_count(), 0);
}

#[test]
fn a_refused_deregistration_leaves_the_contact() {
    let mut bench = registered();
    bench.ue_says(&leaving("*", "Expires: 0\r\n").text());
    let request = bench.request();
    bench.home_answers(&request, 403, "");
    assert_eq!(bench.response().status().as_u16(), 403);
    assert_eq!(bench.node.contact_count(), 1);
}

#[test]
fn a_query_for_bindings_changes_nothing() {
    let mut bench = registered();
    bench.ue_says(
        &Register {
            cseq: 2,
            contact: None,
            ..Register::default()
        }
        .text(),
    );
    let request = bench.request();
    bench.home_answers(&request, 200, "");
    assert_eq!(bench.response().status().as_u16(), 200);
    assert_eq!(bench.node.contact_count(), 1);
}

#[test]
fn a_ue_that_comes_back_on_another_port_leaves_no_second_contact() {
    let mut bench = registered();
    let register = Register {
        from: "127.0.1.10:6060",
        cseq: 2,
        ..Register::default()
    };
    bench.register(&register, &grant(CONTACT, 3600, "sip:s.home.test;lr"));
    assert_eq!(bench.node.contact_count(), 1);
    let flow = register.flow();
    assert!(
        bench
            .node
            .contacts
            .behind(&flow)
            .iter()
            .any(|(_, c)| c.flow == flow)
    );
}
