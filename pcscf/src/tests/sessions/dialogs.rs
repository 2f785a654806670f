//! Testkit: requests within dialogs: parties, order, route sets (checklist PC-06, PC-07, PC-22, PC-25).

use std::time::Duration;

use super::*;
use crate::tests::remote;

#[test]
fn a_call_of_the_ue_goes_both_ways_along_its_route_set() {
    let (mut bench, _) = registered();
    let invite = bench.calls();
    bench.ue_says(&mo("INFO", 2, Some("home"), &own_route(&invite)));
    let (to, message) = bench.next();
    let SipMessage::Request(info) = message else {
        panic!("refused");
    };
    assert_eq!(remote(&to), SCSCF.parse().unwrap());
    assert_eq!(values(&info, HeaderName::Route), [SCSCF_ROUTE]);
    assert_eq!(info.request_uri_bytes(), FAR.as_bytes());
    bench.home_answers(&info, 200, "");
    bench.hears(200);
    let bye = mt("BYE", 1, Some("a"), &route_towards_ue(&invite))
        .replace("tag=far", "tag=home")
        .replace("call@far", "call@ue");
    bench.receive(mw_flow(SCSCF), &bye);
    let (to, message) = bench.next();
    let SipMessage::Request(bye) = message else {
        panic!("refused");
    };
    assert_eq!(remote(&to), UE.parse().unwrap());
    assert!(bye.header(HeaderName::Route).is_none());
    bench.ue_says(&answer(&bye, 200, ""));
    bench.hears(200);
    bench.ue_says(&mo("INFO", 3, Some("home"), &own_route(&invite)));
    bench.hears(481);
    bench.advance(Duration::from_secs(200));
    assert_eq!(
        (
            bench.node.sessions.dialogs.len(),
            bench.node.sessions.dialogs.setup_count()
        ),
        (0, 0)
    );
}

/// A UE chose the next hop of its requests within dialogs.
#[test]
fn no_ue_chooses_where_its_request_goes() {
    let (mut bench, _) = registered();
    let invite = bench.calls();
    let mut ours = values(&invite, HeaderName::RecordRoute);
    ours.reverse();
    let ours = ours.join(", ");
    for (nth, route) in [
        format!("Route: {ours}, <sip:victim@198.51.100.7;lr>\r\n"),
        format!("Route: {ours}\r\n"),
        "Route: <sip:victim@198.51.100.7;lr>\r\n".to_owned(),
        String::new(),
        format!("Route: {ours}, <sip:victim@198.51.100.7;lr>, {SCSCF_ROUTE}\r\n"),
    ]
    .iter()
    .enumerate()
    {
        let cseq = 2 + u32::try_from(nth).unwrap();
        bench.ue_says(&mo("INFO", cseq, Some("home"), route));
        let (to, message) = bench.next();
        let SipMessage::Request(info) = message else {
            panic!("{route}");
        };
        assert_eq!(remote(&to), SCSCF.parse().unwrap(), "{route}");
        assert_eq!(values(&info, HeaderName::Route), [SCSCF_ROUTE], "{route}");
        assert_eq!(
            bench.count("ims_pcscf_route_replaced_total", "dialog"),
            nth as u64 + 1
        );
    }
}

#[test]
fn a_dialog_of_others_is_closed_to_a_ue_and_one_of_nobody_does_not_exist() {
    let (mut bench, _) = registered();
    bench.second_ue();
    let invite = bench.calls();
    let bye = mo("BYE", 2, Some("home"), "").replace(UE, "127.0.1.11:5060");
    bench.receive(gm_flow("127.0.1.11:5060"), &bye);
    bench.hears(403);
    assert_eq!(bench.count("ims_pcscf_rejected_total", "not-a-party"), 1);
    bench.ue_says(&mo("BYE", 2, Some("other"), &own_route(&invite)));
    bench.hears(481);
    let elsewhere = mo("BYE", 3, Some("home"), &own_route(&invite)).replace("call@ue", "other@ue");
    bench.ue_says(&elsewhere);
    bench.hears(481);
    assert_eq!(bench.count("ims_pcscf_rejected_total", "no-such-dialog"), 2);
    assert_eq!(bench.node.sessions.dialogs.len(), 1);
}

#[test]
fn what_comes_too_late_in_a_dialog_is_refused() {
    let (mut bench, _) = registered();
    let invite = bench.calls();
    bench.ue_says(&mo("INFO", 5, Some("home"), &own_route(&invite)));
    bench.forwarded();
    for (cseq, method) in [(4, "UPDATE"), (3, "BYE"), (1, "INVITE")] {
        let late = mo(method, cseq, Some("home"), &own_route(&invite));
        bench.ue_says(&late.replace("z9hG4bKo", "z9hG4bKlate"));
        let refused = bench.response();
        assert_eq!(refused.status().as_u16(), 500, "{method}");
    }
    assert_eq!(bench.count("ims_pcscf_rejected_total", "cseq-too-low"), 3);
}

#[test]
fn methods_that_need_a_dialog_get_481_without_one() {
    let (mut bench, path) = registered();
    for method in ["BYE", "PRACK", "UPDATE", "INFO"] {
        bench.ue_says(&mo(method, 1, None, ""));
        bench.hears(481);
        let stray = mt(method, 1, Some("x"), &format!("Route: {path}\r\n"));
        bench.receive(mw_flow(SCSCF), &stray);
        bench.hears(481);
    }
}

#[test]
fn an_unknown_method_passes_as_a_request_of_its_own() {
    let (mut bench, path) = registered();
    bench.ue_says(&mo("SERVICE", 1, None, ""));
    let sent = bench.forwarded();
    assert!(sent.header(HeaderName::RecordRoute).is_none());
    assert_eq!(values(&sent, HeaderName::Route), [format!("<{SERVICE_ROUTE}>")]);
    bench.home_answers(&sent, 200, "");
    bench.hears(200);
    bench.receive(
        mw_flow(SCSCF),
        &mt("SERVICE", 1, None, &format!("Route: {path}\r\n")),
    );
    assert_eq!(bench.forwarded().method().as_str(), "SERVICE");
}

#[test]
fn the_path_token_of_another_ue_in_a_route_is_refused() {
    let (mut bench, _) = registered();
    let other = bench.second_ue();
    let token_only = format!("Route: {other}\r\n");
    bench.ue_says(&mo("MESSAGE", 1, None, &token_only));
    bench.hears(403);
    let invite = bench.calls();
    bench.ue_says(&mo(
        "BYE",
        2,
        Some("home"),
        &format!("Route: {other}, {SCSCF_ROUTE}\r\n"),
    ));
    bench.hears(403);
    assert_eq!(bench.count("ims_pcscf_rejected_total", "foreign-token"), 2);
    bench.ue_says(&mo("BYE", 3, Some("home"), &own_route(&invite)));
    assert_eq!(bench.forwarded().method().as_str(), "BYE");
}

/// What a restart forgets: the UE registers anew and hangs up.
#[test]
fn after_a_restart_the_route_set_decides_and_leads_to_the_scscf_alone() {
    let (mut before, _) = registered();
    let invite = before.calls();
    let stale = own_route(&invite);
    let mut bench = Bench::new();
    bench.advance(Duration::from_secs(1));
    bench.node.core.fresh_token();
    bench.grants(&Register::default(), CONTACT);
    let bye = |cseq, route: &str| mo("BYE", cseq, Some("home"), route);
    bench.ue_says(&bye(2, &stale));
    let sent = bench.forwarded();
    assert_eq!(values(&sent, HeaderName::Route), [SCSCF_ROUTE]);
    assert_eq!(bench.count("ims_pcscf_dialogs_total", "by-route-set"), 1);
    for (cseq, route) in [
        (3, stale.replace("127.0.1.4:5060", "198.51.100.7")),
        (4, stale.replace(&format!(", {SCSCF_ROUTE}"), "")),
        (5, format!("Route: {SCSCF_ROUTE}\r\n")),
        (6, String::new()),
    ] {
        bench.ue_says(&bye(cseq, &route));
        bench.hears(481);
    }
    let towards = mt("BYE", 1, Some("a"), &route_towards_ue(&invite)).replace("call@far", "call@ue");
    bench.receive(mw_flow(SCSCF), &towards);
    bench.hears(481);
}

#[test]
fn early_dialogs_of_a_fork_each_take_their_prack() {
    let (mut bench, _) = registered();
    bench.ue_says(&mo(
        "INVITE",
        1,
        None,
        &format!("Contact: <{CONTACT}>\r\nSupported: 100rel\r\n"),
    ));
    let invite = bench.forwarded();
    for tag in ["one", "two"] {
        let further = format!(
            "Contact: <{FAR}>\r\nRequire: 100rel\r\nRSeq: 1\r\n{}",
            recorded(&invite)
        );
        bench.home_says(&answer(&invite, 183, &further).replace("tag=home", &format!("tag={tag}")));
        bench.hears(183);
    }
    assert_eq!(bench.node.sessions.dialogs.len(), 2);
    for (cseq, tag) in [(2, "two"), (2, "one")] {
        let prack = mo(
            "PRACK",
            cseq,
            Some(tag),
            &format!("{}RAck: 1 1 INVITE\r\n", own_route(&invite)),
        );
        bench.ue_says(&prack.replace("z9hG4bKoPRACK", &format!("z9hG4bK{tag}")));
        let sent = bench.forwarded();
        assert_eq!(header(&sent, HeaderName::RAck).unwrap(), "1 1 INVITE");
        bench.home_answers(&sent, 200, "");
        bench.hears(200);
    }
    bench.home_says(&answer(&invite, 486, "").replace("tag=home", "tag=one"));
    assert_eq!(bench.forwarded().method().as_str(), "ACK");
    bench.hears(486);
    assert_eq!(
        (
            bench.node.sessions.dialogs.len(),
            bench.node.sessions.dialogs.setup_count()
        ),
        (0, 0)
    );
}

#[test]
fn a_notify_that_overtakes_the_answer_to_its_subscribe_passes() {
    let (mut bench, _) = registered();
    bench.ue_says(&mo(
        "SUBSCRIBE",
        1,
        None,
        &format!("Event: presence\r\nContact: <{CONTACT}>\r\n"),
    ));
    let subscribe = bench.forwarded();
    let notify = |cseq, to_tag: &str| {
        let further = format!(
            "{}Event: presence\r\nSubscription-State: active;expires=60\r\nContact: <{FAR}>\r\n",
            route_towards_ue(&subscribe)
        );
        mt("NOTIFY", cseq, Some(to_tag), &further)
            .replace("tag=far", "tag=home")
            .replace("call@far", "call@ue")
    };
    bench.receive(mw_flow(SCSCF), &notify(1, "nobody"));
    bench.hears(481);
    bench.receive(mw_flow(SCSCF), &notify(2, "a"));
    let sent = bench.forwarded();
    bench.ue_says(&answer(&sent, 200, ""));
    bench.hears(200);
    bench.home_answers(
        &subscribe,
        200,
        &format!("Expires: 600\r\nContact: <{FAR}>\r\n{}", recorded(&subscribe)),
    );
    bench.hears(200);
    assert_eq!(bench.node.sessions.dialogs.len(), 1);
    bench.advance(Duration::from_secs(700));
    assert_eq!(bench.node.sessions.dialogs.len(), 0);
}

#[test]
fn a_session_that_is_not_refreshed_in_time_is_forgotten() {
    let (mut bench, _) = registered();
    let invite = bench.calls_with("Session-Expires: 1800;refresher=uac\r\n");
    bench.advance(Duration::from_secs(1_000));
    bench.ue_says(&mo("UPDATE", 2, Some("home"), &own_route(&invite)));
    let update = bench.forwarded();
    bench.home_answers(
        &update,
        200,
        &format!("Contact: <{FAR}>\r\nSession-Expires: 1800;refresher=uac\r\n"),
    );
    bench.hears(200);
    bench.advance(Duration::from_secs(1_700));
    assert_eq!(bench.node.sessions.dialogs.len(), 1);
    bench.advance(Duration::from_secs(101));
    assert_eq!(bench.node.sessions.dialogs.len(), 0);
    assert_eq!(bench.count("ims_pcscf_dialogs_total", "expired"), 1);
    bench.ue_says(&mo("INFO", 3, Some("home"), &own_route(&invite)));
    bench.hears(481);
}

#[test]
fn a_full_table_of_dialogs_refuses_what_would_begin_and_nothing_else() {
    let (mut bench, path) = registered_with(", sessions: {dialogs: 1}");
    let invite = bench.calls();
    let second = mo("INVITE", 1, None, "")
        .replace("call@ue", "second@ue")
        .replace("z9hG4bKo", "z9hG4bK2");
    bench.ue_says(&second);
    let refused = bench.hears(503);
    assert!(refused.header(HeaderName::RetryAfter).is_some());
    bench.receive(
        mw_flow(SCSCF),
        &mt("INVITE", 1, None, &format!("Route: {path}\r\n")),
    );
    bench.hears(503);
    assert_eq!(bench.count("ims_pcscf_rejected_total", "dialogs-full"), 2);
    bench.ue_says(&mo("MESSAGE", 1, None, "").replace("call@ue", "third@ue"));
    assert_eq!(bench.forwarded().method().as_str(), "MESSAGE");
    bench.ue_says(&mo("BYE", 2, Some("home"), &own_route(&invite)));
    assert_eq!(bench.forwarded().method().as_str(), "BYE");
}

#[test]
fn no_ue_fills_the_table_of_dialogs_alone() {
    let (mut bench, _) = registered();
    let subscribe = |nth: u32| {
        let text = mo(
            "SUBSCRIBE",
            1,
            None,
            &format!("Event: presence\r\nContact: <{CONTACT}>\r\n"),
        );
        text.replace("call@ue", &format!("s{nth}@ue"))
            .replace("z9hG4bKo", &format!("z9hG4bKs{nth}"))
    };
    for nth in 0..64 {
        bench.ue_says(&subscribe(nth));
        let sent = bench.forwarded();
        bench.home_answers(
            &sent,
            200,
            &format!("Expires: 600\r\nContact: <{FAR}>\r\n{}", recorded(&sent)),
        );
        bench.hears(200);
    }
    bench.ue_says(&subscribe(64));
    bench.hears(503);
    bench.advance(Duration::from_secs(700));
    bench.ue_says(&subscribe(65));
    assert_eq!(bench.forwarded().method().as_str(), "SUBSCRIBE");
}

#[test]
fn a_cancel_from_another_flow_ends_nothing() {
    let (mut bench, _) = registered();
    bench.second_ue();
    bench.ue_says(&mo("INVITE", 1, None, &format!("Contact: <{CONTACT}>\r\n")));
    let invite = bench.forwarded();
    bench.home_answers(
        &invite,
        180,
        &format!("Contact: <{FAR}>\r\n{}", recorded(&invite)),
    );
    bench.hears(180);
    let cancel = mo("CANCEL", 1, None, "").replace("z9hG4bKoCANCEL1", "z9hG4bKoINVITE1");
    bench.receive(gm_flow("127.0.1.11:5060"), &cancel);
    assert!(bench.is_quiet());
    assert_eq!(bench.count("ims_sip_refusals_total", "cancel_from_elsewhere"), 1);
    bench.ue_says(&cancel);
    bench.hears(200);
    assert_eq!(bench.forwarded().method().as_str(), "CANCEL");
}

#[test]
fn an_invite_hears_100_at_once() {
    let (mut bench, path) = registered();
    bench.ue_says(&mo("INVITE", 1, None, ""));
    bench.hears(100);
    bench.forwarded();
    bench.receive(
        mw_flow(SCSCF),
        &mt("INVITE", 1, None, &format!("Route: {path}\r\n")),
    );
    bench.hears(100);
}
