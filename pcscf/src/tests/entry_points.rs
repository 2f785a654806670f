//! Testkit: entry points of the home network are tried one after the other (checklist GM-51).

use std::time::Duration;

use ims_common::sip::{Request, SipMessage};

use super::{Bench, ICSCF, OTHER_ICSCF, Register, remote};

fn asked(bench: &mut Bench) -> (String, Request) {
    let (destination, message) = bench.next();
    match message {
        SipMessage::Request(request) => (remote(&destination).to_string(), request),
        SipMessage::Response(response) => panic!("{:?}", response.status()),
    }
}

#[test]
fn a_redirecting_or_unavailable_entry_point_is_passed_over() {
    for code in [302, 480] {
        let mut bench = Bench::new();
        bench.ue_says(&Register::default().text());
        let (first, request) = asked(&mut bench);
        assert_eq!(first, ICSCF);
        bench.home_answers(&request, code, "");
        let (second, request) = asked(&mut bench);
        assert_eq!(second, OTHER_ICSCF);
        bench.home_answers(
            &request,
            401,
            "WWW-Authenticate: Digest realm=\"h\",nonce=\"n\"\r\n",
        );
        assert_eq!(bench.response().status().as_u16(), 401);
    }
}

#[test]
fn a_silent_entry_point_is_passed_over_and_504_ends_the_search() {
    let mut bench = Bench::new();
    bench.ue_says(&Register::default().text());
    let (first, _) = asked(&mut bench);
    assert_eq!(first, ICSCF);
    bench.advance(Duration::from_secs(33));
    let others: Vec<String> = bench.flush().iter().map(ToString::to_string).collect();
    assert!(others.contains(&OTHER_ICSCF.to_owned()), "{others:?}");
    bench.advance(Duration::from_secs(30));
    bench.advance(Duration::from_secs(3));
    bench.flush_requests();
    assert_eq!(bench.response().status().as_u16(), 504);
    assert!(bench.is_quiet());
}

#[test]
fn redirections_alone_end_in_504() {
    let mut bench = Bench::new();
    bench.ue_says(&Register::default().text());
    for _ in 0..2 {
        let (_, request) = asked(&mut bench);
        bench.home_answers(&request, 302, "Contact: <sip:elsewhere.test>\r\n");
    }
    assert_eq!(bench.response().status().as_u16(), 504);
}

#[test]
fn a_480_that_nobody_outdoes_is_the_answer() {
    let mut bench = Bench::new();
    bench.ue_says(&Register::default().text());
    for _ in 0..2 {
        let (_, request) = asked(&mut bench);
        bench.home_answers(&request, 480, "P-Charging-Vector: icid-value=x\r\n");
    }
    let response = bench.response();
    assert_eq!(response.status().as_u16(), 480);
    assert!(!super::text(&response).contains("P-Charging"));
}
