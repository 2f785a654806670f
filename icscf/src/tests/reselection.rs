//! Testkit: S-CSCFs that do not serve (checklist IC-06, IC-07).

use std::time::Duration;

use hss_client::cx::{CxError, CxResult, UserAuthorizationType};

use super::{Bench, CONTACT, REALM, S1, S2, S3, authorization, first_register, register_text, uaa};

fn protected_register() -> String {
    register_text(&format!("{CONTACT}{}", authorization("yes")))
}

fn assigned(register: &str) -> Bench {
    let mut bench = Bench::new();
    bench.register(register, uaa(CxResult::SUBSEQUENT_REGISTRATION, Some(S1)));
    bench
}

#[test]
fn a_refusing_scscf_makes_the_icscf_ask_for_capabilities_and_choose_another() {
    for code in [302, 480] {
        let mut bench = assigned(&first_register());
        let (remote, request) = bench.request();
        bench.reply(remote, &request, code, "");
        let (id, uar) = bench.uar();
        assert_eq!(
            uar.authorization_type,
            UserAuthorizationType::RegistrationAndCapabilities
        );
        // PyHSS names the same S-CSCF again.
        bench.hss_answers(id, uaa(CxResult::SUCCESS, Some(S1)));
        let (remote, request) = bench.request();
        assert_eq!(request.request_uri_bytes(), S2.as_bytes());
        bench.reply(remote, &request, 200, "");
        assert_eq!(bench.final_status(), 200);
    }
}

#[test]
fn a_silent_scscf_has_its_time_and_no_more() {
    let mut bench = assigned(&first_register());
    bench.advance(Duration::from_millis(9_900));
    bench.flush();
    assert!(bench.is_quiet());
    bench.advance(Duration::from_millis(200));
    let (id, _) = bench.uar();
    bench.hss_answers(id, uaa(CxResult::SUCCESS, None));
    let (_, request) = bench.request();
    assert_eq!(request.request_uri_bytes(), S2.as_bytes());
}

#[test]
fn when_nobody_answers_504_comes_before_the_pcscf_gives_up() {
    let mut bench = assigned(&first_register());
    bench.advance(Duration::from_millis(10_100));
    let (id, _) = bench.uar();
    bench.hss_answers(id, uaa(CxResult::SUCCESS, None));
    bench.advance(Duration::from_secs(18));
    bench.flush_requests();
    assert_eq!(bench.final_status(), 504);
    bench.advance(Duration::from_secs(60));
    bench.flush_requests();
    assert!(bench.is_quiet());
}

#[test]
fn the_last_refusal_is_the_answer_when_no_candidate_is_left() {
    let mut bench = assigned(&first_register());
    let (remote, request) = bench.request();
    bench.reply(remote, &request, 480, "");
    let (id, _) = bench.uar();
    bench.hss_answers(id, uaa(CxResult::SUCCESS, None));
    for expected in [S2, S3] {
        let (remote, request) = bench.request();
        assert_eq!(request.request_uri_bytes(), expected.as_bytes());
        bench.reply(remote, &request, 480, "");
    }
    assert_eq!(bench.final_status(), 480);
}

#[test]
fn a_protected_register_stays_with_its_scscf() {
    let mut bench = assigned(&protected_register());
    let (remote, request) = bench.request();
    bench.reply(remote, &request, 480, "");
    assert_eq!(bench.final_status(), 480);
    let mut bench = assigned(&protected_register());
    bench.advance(Duration::from_millis(10_100));
    bench.flush_requests();
    assert_eq!(bench.final_status(), 504);
    assert!(bench.is_quiet());
}

#[test]
fn a_deregistration_is_not_taken_elsewhere() {
    let further = format!("Contact: *\r\nExpires: 0\r\n{}", authorization("no"));
    let mut bench = assigned(&register_text(&further));
    bench.advance(Duration::from_millis(10_100));
    bench.flush_requests();
    assert_eq!(bench.final_status(), 504);
}

#[test]
fn other_refusals_are_the_users_own() {
    for code in [400, 401, 403, 423, 500] {
        let mut bench = assigned(&first_register());
        let (remote, request) = bench.request();
        bench.reply(remote, &request, code, "");
        assert_eq!(bench.final_status(), code);
        assert!(bench.is_quiet());
    }
}

#[test]
fn an_hss_that_fails_at_reselection_leaves_504() {
    let mut bench = assigned(&first_register());
    bench.advance(Duration::from_millis(10_100));
    let (id, _) = bench.uar();
    bench.flush();
    bench.hss_answers(id, Err(CxError::Timeout));
    assert_eq!(bench.final_status(), 504);
}

#[test]
fn a_late_answer_of_an_abandoned_scscf_finds_nobody() {
    let mut bench = assigned(&first_register());
    let (remote, request) = bench.request();
    bench.advance(Duration::from_millis(10_100));
    let (id, _) = bench.uar();
    bench.hss_answers(id, uaa(CxResult::SUCCESS, None));
    bench.flush();
    bench.reply(
        remote,
        &request,
        200,
        &format!("Service-Route: <sip:{REALM};lr>\r\n"),
    );
    assert!(bench.is_quiet());
}
