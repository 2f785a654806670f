//! Table: tests of the dialogs on a proxy's path.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::limits::SipLimits;
use crate::proxy::route;
use crate::sip::{HeaderName, Message, Request, Response, SipMessage};

use super::*;

type Table = DialogTable<&'static str>;

#[allow(
    clippy::disallowed_methods,
    reason = "any instant serves as the origin of virtual time"
)]
fn origin() -> Instant {
    Instant::now()
}

fn request(text: &str) -> Request {
    match scanned(text) {
        SipMessage::Request(request) => request,
        SipMessage::Response(_) => panic!("a request is wanted"),
    }
}

fn response(text: &str) -> Response {
    match scanned(text) {
        SipMessage::Response(response) => response,
        SipMessage::Request(_) => panic!("a response is wanted"),
    }
}

fn scanned(text: &str) -> SipMessage {
    let text = text.replace('\n', "\r\n") + "Content-Length: 0\r\n\r\n";
    Message::parse(Bytes::from(text), &SipLimits::default())
        .expect("a message")
        .into_parts()
}

const INVITE: &str = "INVITE tel:+15550002 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\nMax-Forwards: 70\n\
    Record-Route: <sip:up2@192.0.2.12;lr>, <sip:up1@192.0.2.11;lr>\nFrom: \"A\" <sip:a@home.example>;tag=fa\n\
    To: <tel:+15550002>\nCall-ID: c1@192.0.2.1\nCSeq: 7 INVITE\nContact: <sip:a@192.0.2.1:5060>\n";

/// Of the callee, with two Record-Route values below ours.
fn answer(status: &str, tag: &str, more: &str) -> Response {
    response(&format!(
        "SIP/2.0 {status}\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\n\
         Record-Route: <sip:down2@192.0.2.22;lr>\nRecord-Route: <sip:down1@192.0.2.21;lr>, <sip:own@192.0.2.20;lr>\n\
         Record-Route: <sip:up2@192.0.2.12;lr>, <sip:up1@192.0.2.11;lr>\n\
         From: \"A\" <sip:a@home.example>;tag=fa\nTo: <tel:+15550002>;tag={tag}\nCall-ID: c1@192.0.2.1\nCSeq: 7 INVITE\n\
         Contact: <sip:b@192.0.2.2:5070>;+g.3gpp.smsip\n{more}"
    ))
}

fn from_caller(method: &str, cseq: u32, to_tag: &str) -> Request {
    request(&format!(
        "{method} sip:b@192.0.2.2:5070 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{cseq}\n\
         From: <sip:a@home.example>;tag=fa\nTo: <tel:+15550002>;tag={to_tag}\nCall-ID: c1@192.0.2.1\nCSeq: {cseq} {method}\n"
    ))
}

fn from_callee(method: &str, cseq: u32, more: &str) -> Request {
    request(&format!(
        "{method} sip:a@192.0.2.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKb{cseq}\n\
         From: <tel:+15550002>;tag=tb\nTo: <sip:a@home.example>;tag=fa\nCall-ID: c1@192.0.2.1\nCSeq: {cseq} {method}\n{more}"
    ))
}

fn begun(table: &mut Table, caller: Side) -> SetupKey {
    let beginning = Beginning {
        owner: "alice",
        caller,
        request: &request(INVITE),
        own_record_routes: 1,
        icid: "icid1",
    };
    table.begin(beginning).expect("a place")
}

/// A confirmed call whose caller is the owner.
fn call(now: Instant) -> (Table, DialogKey) {
    let mut table = Table::new(DialogLimits::default());
    let setup = begun(&mut table, Side::Owner);
    let key = table
        .on_response(now, setup, &answer("200 OK", "tb", ""))
        .expect("a dialog");
    table.end(setup);
    (table, key)
}

fn values(message: &Message, name: HeaderName) -> Vec<String> {
    message
        .values(name)
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

#[test]
fn a_2xx_makes_a_dialog_with_both_ways_as_seen_from_here() {
    let (table, key) = call(origin());
    assert_eq!(table.state(key), Some(DialogState::Confirmed));
    let towards = |side| table.route_towards(key, side).collect::<Vec<_>>();
    assert_eq!(
        towards(Side::Peer),
        ["<sip:down1@192.0.2.21;lr>", "<sip:down2@192.0.2.22;lr>"]
    );
    assert_eq!(
        towards(Side::Owner),
        ["<sip:up2@192.0.2.12;lr>", "<sip:up1@192.0.2.11;lr>"]
    );
    assert_eq!(
        table.target(key, Side::Peer).unwrap().as_bytes(),
        b"sip:b@192.0.2.2:5070"
    );
    assert_eq!(table.icid(key), Some("icid1"));
}

#[test]
fn a_bye_of_the_network_is_one_of_the_other_party_with_the_next_number() {
    let (mut table, key) = call(origin());
    table.on_request(origin(), key, Side::Owner, &from_caller("INFO", 9, "tb"));
    let bye = table
        .bye_towards(key, Side::Peer, "SIP;cause=503")
        .expect("a BYE");
    assert_eq!(bye.request_uri_bytes(), b"sip:b@192.0.2.2:5070");
    assert_eq!(bye.cseq().unwrap().to_string(), "10 BYE");
    assert_eq!(
        bye.header(HeaderName::From).unwrap(),
        b"\"A\" <sip:a@home.example>;tag=fa"
    );
    assert_eq!(bye.header(HeaderName::To).unwrap(), b"<tel:+15550002>;tag=tb");
    assert_eq!(bye.call_id().unwrap(), b"c1@192.0.2.1");
    assert_eq!(values(&bye, HeaderName::Reason), ["SIP;cause=503"]);
    assert_eq!(route::next_hop(&bye).unwrap().as_str(), "sip:down1@192.0.2.21;lr");
    let back = table
        .bye_towards(key, Side::Owner, "SIP;cause=503")
        .expect("a BYE");
    assert_eq!(
        (back.cseq().unwrap().number, back.request_uri_bytes()),
        (1, &b"sip:a@192.0.2.1:5060"[..])
    );
    assert_eq!(
        values(&back, HeaderName::Route),
        ["<sip:up2@192.0.2.12;lr>", "<sip:up1@192.0.2.11;lr>"]
    );
}

#[test]
fn only_a_party_speaks_in_a_dialog_and_only_in_order() {
    let (mut table, key) = call(origin());
    let bye = from_caller("BYE", 8, "tb");
    assert_eq!(
        table.validate(Side::Owner, &bye, |owner| *owner == "alice"),
        Ok(key)
    );
    let stranger = table.validate(Side::Owner, &bye, |owner| *owner == "mallory");
    assert_eq!(stranger, Err(DialogFault::WrongParty));
    let unknown = table.validate(Side::Owner, &from_caller("BYE", 8, "other"), |_| true);
    assert_eq!(unknown, Err(DialogFault::NoSuchDialog));
    let old = table.validate(Side::Owner, &from_caller("INFO", 6, "tb"), |_| true);
    assert_eq!(old, Err(DialogFault::CseqTooLow));
    assert_eq!(
        table.validate(Side::Owner, &from_caller("ACK", 7, "tb"), |_| true),
        Ok(key)
    );
    table.on_request(origin(), key, Side::Owner, &bye);
    let again = table.validate(Side::Owner, &from_caller("BYE", 8, "tb"), |_| true);
    assert_eq!(again, Ok(key), "its transaction may be over here, and not there");
    let late = table.validate(Side::Owner, &from_caller("INFO", 7, "tb"), |_| true);
    assert_eq!(late, Err(DialogFault::CseqTooLow));
    assert_eq!(
        table.validate(Side::Peer, &from_callee("BYE", 1, ""), |_| true),
        Ok(key)
    );
}

#[test]
fn a_request_of_one_side_is_none_of_the_other() {
    let (table, _) = call(origin());
    let wrong = table.validate(Side::Peer, &from_caller("BYE", 8, "tb"), |_| true);
    assert_eq!(wrong, Err(DialogFault::NoSuchDialog));
}

#[test]
fn both_legs_of_a_call_within_one_proxy_are_dialogs_of_their_own() {
    let (mut table, originating) = call(origin());
    let beginning = Beginning {
        owner: "bob",
        caller: Side::Peer,
        request: &request(INVITE),
        own_record_routes: 3,
        icid: "icid2",
    };
    let setup = table.begin(beginning).unwrap();
    let terminating = table
        .on_response(origin(), setup, &answer("200 OK", "tb", ""))
        .unwrap();
    let bye = from_caller("BYE", 8, "tb");
    assert_eq!(
        table.validate(Side::Owner, &bye, |owner| *owner == "alice"),
        Ok(originating)
    );
    assert_eq!(
        table.validate(Side::Peer, &bye, |owner| *owner == "bob"),
        Ok(terminating)
    );
    assert_eq!(
        table.route_towards(terminating, Side::Owner).count(),
        0,
        "nobody is below"
    );
}

#[test]
fn the_route_set_of_the_dialog_is_known_whatever_a_request_says() {
    let (table, key) = call(origin());
    let with = |route: &str| {
        let text = format!(
            "BYE sip:b@192.0.2.2:5070 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\n{route}\
             From: <sip:a@home.example>;tag=fa\nTo: <tel:+15550002>;tag=tb\nCall-ID: c1@192.0.2.1\nCSeq: 8 BYE\n"
        );
        table.follows_route_set(key, Side::Owner, &request(&text), 1)
    };
    assert!(with(
        "Route: <sip:own@192.0.2.20;lr>, <sip:down1@192.0.2.21;LR>\nRoute: <sip:down2@192.0.2.22;lr>\n"
    ));
    assert!(!with(
        "Route: <sip:own@192.0.2.20;lr>, <sip:down2@192.0.2.22;lr>, <sip:down1@192.0.2.21;lr>\n"
    ));
    assert!(!with(
        "Route: <sip:own@192.0.2.20;lr>, <sip:evil@198.51.100.1;lr>\n"
    ));
    assert!(!with(
        "Route: <sip:own@192.0.2.20;lr>, <sip:down1@192.0.2.21;lr>\n"
    ));
    assert!(!with(""));
}

#[test]
fn each_to_tag_is_an_early_dialog_until_the_transaction_ends() {
    let now = origin();
    let mut table = Table::new(DialogLimits::default());
    let setup = begun(&mut table, Side::Owner);
    assert_eq!(
        table
            .on_response(now, setup, &answer("183 Session Progress", "t1", ""))
            .map(|_| ()),
        Some(())
    );
    let first = table
        .validate(Side::Owner, &from_caller("PRACK", 8, "t1"), |_| true)
        .unwrap();
    table.on_response(now, setup, &answer("180 Ringing", "t2", ""));
    table.on_response(now, setup, &answer("180 Ringing", "t1", ""));
    assert_eq!((table.len(), table.state(first)), (2, Some(DialogState::Early)));
    let winner = table
        .on_response(now, setup, &answer("200 OK", "t2", ""))
        .unwrap();
    table.end(setup);
    assert_eq!(table.of_owner(&"alice"), [winner]);
    assert_eq!(table.setup_count(), 0);
}

#[test]
fn a_refused_invite_leaves_nothing() {
    let mut table = Table::new(DialogLimits::default());
    let setup = begun(&mut table, Side::Owner);
    table.on_response(origin(), setup, &answer("180 Ringing", "t1", ""));
    table.on_response(origin(), setup, &answer("486 Busy Here", "t1", ""));
    assert!(table.is_empty() && table.setup_count() == 0 && table.poll_timeout().is_none());
    assert!(table.by_names.is_empty() && table.of_owner.is_empty());
}

#[test]
fn a_199_ends_its_early_dialog_alone() {
    let mut table = Table::new(DialogLimits::default());
    let setup = begun(&mut table, Side::Owner);
    table.on_response(origin(), setup, &answer("180 Ringing", "t1", ""));
    table.on_response(origin(), setup, &answer("180 Ringing", "t2", ""));
    table.on_response(origin(), setup, &answer("199 Early Dialog Terminated", "t1", ""));
    assert_eq!(table.len(), 1);
}

#[test]
fn the_2xx_decides_route_set_and_target() {
    let now = origin();
    let mut table = Table::new(DialogLimits::default());
    let setup = begun(&mut table, Side::Owner);
    let bare = "SIP/2.0 180 Ringing\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\nFrom: <sip:a@home.example>;tag=fa\n\
                To: <tel:+15550002>;tag=tb\nCall-ID: c1@192.0.2.1\nCSeq: 7 INVITE\n";
    let key = table.on_response(now, setup, &response(bare)).unwrap();
    assert_eq!(table.route_towards(key, Side::Peer).count(), 0);
    assert_eq!(
        table.on_response(now, setup, &answer("200 OK", "tb", "")),
        Some(key)
    );
    assert_eq!(table.route_towards(key, Side::Peer).count(), 2);
    table.on_response(now, setup, &response(bare));
    assert_eq!(
        table.route_towards(key, Side::Peer).count(),
        2,
        "a late 180 changes nothing"
    );
}

#[test]
fn a_bye_ends_the_dialog_with_its_final_answer_or_without_any() {
    for status in [Some("200 OK"), Some("481 Gone"), None] {
        let (mut table, key) = call(origin());
        let bye = from_caller("BYE", 8, "tb");
        table.on_request(origin(), key, Side::Owner, &bye);
        assert_eq!(table.len(), 1, "until it is answered");
        let answer = status.map(|status| answer(status, "tb", ""));
        table.on_answer(origin(), key, Side::Owner, &bye, answer.as_ref());
        assert!(table.is_empty(), "{status:?}");
    }
}

/// A call that was over within timer M came back to life by its 200 (OK), sent once more.
#[test]
fn a_late_copy_of_the_answer_does_not_bring_a_dialog_back() {
    let now = origin();
    let mut table = Table::new(DialogLimits::default());
    let setup = begun(&mut table, Side::Owner);
    table.on_response(now, setup, &answer("200 OK", "tb", ""));
    let bye = from_caller("BYE", 8, "tb");
    let key = table.validate(Side::Owner, &bye, |_| true).unwrap();
    table.on_answer(now, key, Side::Owner, &bye, Some(&answer("200 OK", "tb", "")));
    assert_eq!(table.on_response(now, setup, &answer("200 OK", "tb", "")), None);
    assert!(table.is_empty());
    assert!(
        table
            .on_response(now, setup, &answer("200 OK", "other", ""))
            .is_some()
    );
}

#[test]
fn a_challenged_bye_comes_again() {
    let (mut table, key) = call(origin());
    let bye = from_caller("BYE", 8, "tb");
    table.on_request(origin(), key, Side::Owner, &bye);
    let challenge = answer("407 Proxy Authentication Required", "tb", "");
    table.on_answer(origin(), key, Side::Owner, &bye, Some(&challenge));
    assert_eq!(table.len(), 1);
}

#[test]
fn a_transfer_notifies_after_the_bye() {
    let (mut table, key) = call(origin());
    let refer = from_callee("REFER", 1, "Contact: <sip:b@192.0.2.2:5070>\n");
    table.on_request(origin(), key, Side::Peer, &refer);
    table.on_answer(
        origin(),
        key,
        Side::Peer,
        &refer,
        Some(&answer("202 Accepted", "fa", "")),
    );
    let bye = from_callee("BYE", 2, "");
    table.on_request(origin(), key, Side::Peer, &bye);
    table.on_answer(origin(), key, Side::Peer, &bye, Some(&answer("200 OK", "fa", "")));
    assert!(!table.is_session(key));
    assert!(table.bye_towards(key, Side::Peer, "SIP;cause=503").is_none());
    let notify = from_caller("NOTIFY", 8, "tb");
    assert_eq!(table.validate(Side::Owner, &notify, |_| true), Ok(key));
    let text = "NOTIFY sip:b@192.0.2.2:5070 SIP/2.0\nFrom: <sip:a@home.example>;tag=fa\nTo: <tel:+15550002>;tag=tb\n\
                Call-ID: c1@192.0.2.1\nCSeq: 9 NOTIFY\nSubscription-State: terminated;reason=noresource\n";
    table.on_answer(
        origin(),
        key,
        Side::Owner,
        &request(text),
        Some(&answer("200 OK", "tb", "")),
    );
    assert!(table.is_empty());
}

#[test]
fn a_target_refresh_moves_the_targets_of_both_sides() {
    let (mut table, key) = call(origin());
    let update = from_callee("UPDATE", 1, "Contact: <sip:b@192.0.2.2:5099>\n");
    table.on_request(origin(), key, Side::Peer, &update);
    let ok = response(
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKb\nFrom: <tel:+15550002>;tag=tb\n\
         To: <sip:a@home.example>;tag=fa\nCall-ID: c1@192.0.2.1\nCSeq: 1 UPDATE\nContact: <sip:a@192.0.2.1:5088>\n",
    );
    table.on_answer(origin(), key, Side::Peer, &update, Some(&ok));
    assert_eq!(
        table.target(key, Side::Peer).unwrap().as_bytes(),
        b"sip:b@192.0.2.2:5099"
    );
    assert_eq!(
        table.target(key, Side::Owner).unwrap().as_bytes(),
        b"sip:a@192.0.2.1:5088"
    );
    let refused = from_callee("UPDATE", 2, "Contact: <sip:b@192.0.2.2:1>\n");
    table.on_answer(
        origin(),
        key,
        Side::Peer,
        &refused,
        Some(&answer("488 No", "fa", "")),
    );
    assert_eq!(table.target(key, Side::Peer).unwrap().port(), Some(5099));
}

#[test]
fn a_session_timer_that_is_not_refreshed_ends_the_dialog() {
    let start = origin();
    let after = |secs| start + Duration::from_secs(secs);
    let mut table = Table::new(DialogLimits::default());
    let setup = begun(&mut table, Side::Owner);
    let timed = answer("200 OK", "tb", "Session-Expires: 1800 ;refresher=uac\n");
    let key = table.on_response(start, setup, &timed).unwrap();
    table.end(setup);
    assert_eq!(table.poll_timeout(), Some(after(1800)));
    let update = from_caller("UPDATE", 8, "tb");
    table.on_request(after(900), key, Side::Owner, &update);
    assert_eq!(
        table.poll_timeout(),
        Some(after(1800)),
        "the 2xx counts, not the request"
    );
    table.on_answer(after(900), key, Side::Owner, &update, Some(&timed));
    assert_eq!(table.pop_expired(after(2699)), None);
    assert_eq!(table.pop_expired(after(2700)), Some("alice"));
    assert!(table.is_empty() && table.pop_expired(after(9999)).is_none());
}

#[test]
fn a_call_without_a_session_timer_ends_when_nothing_was_heard_for_very_long() {
    let start = origin();
    let (mut table, key) = call(start);
    let idle = DialogLimits::default().idle_max;
    table.on_request(start + idle / 2, key, Side::Owner, &from_caller("INFO", 8, "tb"));
    assert_eq!(table.pop_expired(start + idle), None);
    assert_eq!(table.pop_expired(start + idle + idle / 2), Some("alice"));
}

#[test]
fn a_full_table_takes_no_further_setup() {
    let mut table = Table::new(DialogLimits {
        dialogs_max: 1,
        ..DialogLimits::default()
    });
    let setup = begun(&mut table, Side::Owner);
    table.on_response(origin(), setup, &answer("200 OK", "tb", ""));
    table.end(setup);
    let beginning = Beginning {
        owner: "bob",
        caller: Side::Peer,
        request: &request(INVITE),
        own_record_routes: 1,
        icid: "",
    };
    assert_eq!(table.begin(beginning), Err(TableFull));
}

#[test]
fn forks_above_the_limit_are_not_known() {
    let mut table = Table::new(DialogLimits {
        forks_max: 2,
        ..DialogLimits::default()
    });
    let setup = begun(&mut table, Side::Owner);
    for tag in ["t1", "t2", "t3"] {
        table.on_response(origin(), setup, &answer("180 Ringing", tag, ""));
    }
    assert_eq!(table.len(), 2);
}

const SUBSCRIBE: &str = "SUBSCRIBE sip:b@home.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKs\n\
    From: <sip:a@home.example>;tag=fa\nTo: <sip:b@home.example>\nCall-ID: c1@192.0.2.1\nCSeq: 1 SUBSCRIBE\n\
    Contact: <sip:a@192.0.2.1:5060>\n";

fn subscribed(table: &mut Table) -> SetupKey {
    let beginning = Beginning {
        owner: "alice",
        caller: Side::Owner,
        request: &request(SUBSCRIBE),
        own_record_routes: 1,
        icid: "icid1",
    };
    table.begin(beginning).expect("a place")
}

#[test]
fn a_notify_before_the_2xx_makes_the_dialog() {
    let now = origin();
    let mut table = Table::new(DialogLimits::default());
    let setup = subscribed(&mut table);
    let notify = from_callee(
        "NOTIFY",
        1,
        "Contact: <sip:n@192.0.2.9>\nSubscription-State: active;expires=60\n",
    );
    assert!(table.validate(Side::Peer, &notify, |_| true).is_err());
    assert_eq!(
        table.adopt_notify(now, Side::Owner, &notify),
        None,
        "not of the subscriber"
    );
    let key = table.adopt_notify(now, Side::Peer, &notify).expect("a dialog");
    assert_eq!(table.validate(Side::Peer, &notify, |_| true), Ok(key));
    assert_eq!(
        table.on_response(now, setup, &answer("200 OK", "tb", "Expires: 600\n")),
        Some(key)
    );
    table.end(setup);
    assert_eq!(table.poll_timeout(), Some(now + Duration::from_secs(632)));
    let late = from_callee("NOTIFY", 2, "Contact: <sip:n@192.0.2.9>\n");
    assert_eq!(table.adopt_notify(now, Side::Peer, &late), None);
}

#[test]
fn a_subscription_ends_with_its_last_notify_or_its_time() {
    let now = origin();
    let mut table = Table::new(DialogLimits::default());
    let setup = subscribed(&mut table);
    let key = table
        .on_response(now, setup, &answer("200 OK", "tb", "Expires: 600\n"))
        .unwrap();
    table.end(setup);
    let notify = |cseq, state: &str| {
        from_callee(
            "NOTIFY",
            cseq,
            &format!("Contact: <sip:n@192.0.2.9>\nSubscription-State: {state}\n"),
        )
    };
    let ok = answer("200 OK", "fa", "");
    table.on_answer(now, key, Side::Peer, &notify(1, "active;expires=100"), Some(&ok));
    assert_eq!(table.poll_timeout(), Some(now + Duration::from_secs(132)));
    table.on_answer(
        now,
        key,
        Side::Peer,
        &notify(2, "terminated;reason=timeout"),
        Some(&ok),
    );
    assert!(table.is_empty());
}
