//! Testkit: charging data records of calls and messages (TS 32.260 5.2): one per served side, whatever happens.

use std::time::Duration;

use hss_client::cx::ReasonCode;
use ims_common::cdr::{CdrCase, CdrEnding, CdrKind, CdrLine, CdrParty, CdrService};
use ims_tests::app_server::AsBehaviour;
use ims_tests::hss::{Ifc, Subscriber};
use ims_tests::scene::calls::{sip, tel};
use ims_tests::scene::{Scene, impi, subscriber};
use ims_tests::site::{HOME, Site};
use ims_tests::ue::talk::{Answer, CallEvent, Manner, Text};
use ims_tests::ue::{UeCommand, UeConfig};

fn site() -> Site {
    let mut site = Site::on_network([192, 0, 2]);
    site.scscf_more += "  cdr: {directory: /var/lib/ims/cdr}\n";
    site
}

/// Phones `A` and `B`, whose profiles have these criteria; `B` does this when it is called.
fn scene_with(seed: u64, ifcs: [Vec<Ifc>; 2], answer: Answer) -> Scene {
    let [of_a, of_b] = ifcs;
    let with = |number, ifcs: Vec<Ifc>| ifcs.into_iter().fold(subscriber(number), Subscriber::ifc);
    let change = |name: &str, config: UeConfig| match name {
        "B" => config.manner(Manner::SIMPLE).answer(answer),
        _ => config.manner(Manner::SIMPLE),
    };
    let subscribers = vec![with(1, of_a), with(2, of_b), subscriber(3)];
    Scene::talking_with(seed, site(), subscribers, change)
}

fn scene(seed: u64, answer: Answer) -> Scene {
    scene_with(seed, [Vec::new(), Vec::new()], answer)
}

fn soon() -> Answer {
    Answer::Ring(Duration::from_secs(2))
}

fn ask(number: u8) -> Ifc {
    Ifc::to(&site().app_server_uri(number), 1).method(&["INVITE", "MESSAGE"])
}

/// The whole records, in the order in which they were closed; none is open.
fn records(scene: &Scene) -> Vec<CdrLine> {
    assert_eq!(scene.world.open_records("S-CSCF"), 0, "\n{}", scene.ladder());
    scene.world.records("S-CSCF")
}

/// The one record of this case.
fn only(records: &[CdrLine], case: CdrCase) -> CdrLine {
    let found: Vec<_> = records.iter().filter(|line| line.record.case == case).collect();
    assert_eq!(found.len(), 1, "{case:?} in {records:#?}");
    found[0].clone()
}

fn both(scene: &Scene) -> [CdrLine; 2] {
    let records = records(scene);
    assert_eq!(records.len(), 2, "{records:#?}");
    [CdrCase::Originating, CdrCase::Terminating].map(|case| only(&records, case))
}

fn assert_ended(line: &CdrLine, ending: CdrEnding, by: CdrParty, status: Option<u16>) {
    let cause = line.record.cause.clone().expect("a cause");
    assert_eq!(
        (cause.ending, cause.by, cause.status),
        (ending, by, status),
        "{line:#?}"
    );
}

#[test]
fn a_call_has_a_record_for_each_side() {
    let mut scene = scene(9_000, soon());
    scene.talk("A", 2);
    scene.world.advance(Duration::from_secs(60));
    scene.tell("B", UeCommand::HangUp);
    for line in both(&scene) {
        assert_eq!(line.kind, CdrKind::Stop);
        assert_ended(&line, CdrEnding::Released, CdrParty::Called, None);
        let times = line.times;
        let (ring, answer, end) = (
            times.ring.expect("it is known"),
            times.answer.expect("it is known"),
            times.end.expect("it is known"),
        );
        assert!(times.start < ring && ring < answer, "{line:#?}");
        assert!(answer.since(ring) >= 2_000, "{line:#?}");
        assert!((60_000..62_000).contains(&end.since(answer)), "{line:#?}");
        assert_eq!(line.duration_ms, Some(end.since(answer)));
        let record = line.record;
        assert_eq!(record.service, CdrService::Session);
        assert_eq!(record.node, format!("sip:scscf1.{HOME}"));
        assert_eq!(record.dialled, tel(2));
        assert!(
            record.calling.contains(&sip(1)) && record.calling.contains(&tel(1)),
            "{record:#?}"
        );
        assert!(record.called.contains(&tel(2)), "{record:#?}");
        assert_eq!(record.media, ["audio"]);
        assert!(record.icid.is_some() && record.orig_ioi.is_some() && record.term_ioi.is_some());
        assert!(!record.access.is_empty(), "{record:#?}");
        assert_eq!(record.call_ids.len(), 1);
        assert!(
            record.trunk.is_none() && record.app_servers.is_empty(),
            "{record:#?}"
        );
    }
    let [caller, callee] = both(&scene);
    assert_eq!((caller.record.served, callee.record.served), (sip(1), tel(2)));
    assert_eq!(caller.record.icid, callee.record.icid);
    assert_ne!(caller.record.id, callee.record.id);
}

/// What is written before the 200 leaves is what a crash cannot take.
#[test]
fn a_record_is_opened_before_the_answer_leaves_and_closed_before_the_bye_does() {
    let mut scene = scene(9_001, soon());
    scene.ue("A", |now, ue| ue.command(now, UeCommand::call(&tel(2))));
    let is_said = |scene: &Scene, to: &str, start: &str| {
        let said = scene.world.record().sip("S-CSCF", to);
        said.iter()
            .any(|text| text.starts_with(start) && (start == "BYE" || text.contains("INVITE\r\n")))
    };
    let (mut seen, until) = (0, scene.world.now() + Duration::from_secs(30));
    while scene.world.step(until).is_some() {
        let lines = scene.world.record_lines("S-CSCF").len();
        let says_200 = is_said(&scene, "P-CSCF", "SIP/2.0 200") || is_said(&scene, "I-CSCF", "SIP/2.0 200");
        assert!(!says_200 || lines > 0, "\n{}", scene.ladder());
        seen += usize::from(says_200);
    }
    assert!(seen > 0 && scene.world.open_records("S-CSCF") == 2);
    scene.ue("A", |now, ue| ue.command(now, UeCommand::HangUp));
    let until = scene.world.now() + Duration::from_secs(30);
    while scene.world.step(until).is_some() {
        let says_bye = is_said(&scene, "P-CSCF", "BYE");
        assert!(
            !says_bye || scene.world.records("S-CSCF").len() == 2,
            "\n{}",
            scene.ladder()
        );
    }
    both(&scene);
}

#[test]
fn a_call_that_is_given_up_was_cancelled_by_the_caller() {
    let mut scene = scene(9_002, Answer::RingForEver);
    scene.ring("A", 2, 3);
    scene.tell("A", UeCommand::HangUp);
    for line in both(&scene) {
        assert_eq!(line.kind, CdrKind::Event);
        assert_ended(&line, CdrEnding::Cancelled, CdrParty::Calling, Some(487));
        assert!(line.times.ring.is_some() && line.times.answer.is_none() && line.duration_ms.is_none());
    }
}

#[test]
fn a_call_to_who_is_busy_was_refused_by_the_callee() {
    let mut scene = scene(9_003, Answer::Refuse(486));
    scene.call("A", 2);
    for line in both(&scene) {
        assert_eq!(line.kind, CdrKind::Event);
        assert_ended(&line, CdrEnding::Refused, CdrParty::Called, Some(486));
    }
}

#[test]
fn a_call_to_who_is_away_was_refused_by_the_network() {
    let mut scene = scene(9_004, soon());
    scene.tell("B", UeCommand::Deregister);
    scene.call("A", 2);
    let records = records(&scene);
    let caller = only(&records, CdrCase::Originating);
    assert_ended(&caller, CdrEnding::Refused, CdrParty::Called, Some(480));
}

#[test]
fn a_forked_call_has_one_record_for_the_callee_and_its_media_are_those_of_the_answer() {
    let third = Subscriber::new(&ims_tests::scene::imsi(3)).msisdn("15550002");
    let mut scene = Scene::with(9_005, site(), vec![subscriber(1), subscriber(2), third]);
    for (name, number, seconds) in [("A", 1, 1), ("B", 2, 2), ("C", 3, 20)] {
        let answer = Answer::Ring(Duration::from_secs(seconds));
        scene.phone_with(name, number, |config| config.answer(answer));
        scene.register(name);
    }
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    for line in both(&scene) {
        assert_ended(&line, CdrEnding::Released, CdrParty::Calling, None);
    }
}

/// Both answer, and the caller ends one of the two calls: that is not the end of the record.
#[test]
fn a_record_of_two_answers_ends_with_the_last_of_them() {
    let third = Subscriber::new(&ims_tests::scene::imsi(3)).msisdn("15550002");
    let mut scene = Scene::with(9_006, site(), vec![subscriber(1), subscriber(2), third]);
    for (name, number) in [("A", 1), ("B", 2), ("C", 3)] {
        scene.phone_with(name, number, |config| {
            config.manner(Manner::SIMPLE).answer(soon())
        });
        scene.register(name);
    }
    scene.talk("A", 2);
    scene.world.advance(Duration::from_secs(30));
    assert_eq!(scene.world.open_records("S-CSCF"), 2, "\n{}", scene.ladder());
    scene.tell("A", UeCommand::HangUp);
    for line in both(&scene) {
        assert!(line.duration_ms >= Some(30_000), "{line:#?}");
    }
}

#[test]
fn servers_of_a_call_are_in_the_record_of_the_side_that_they_serve() {
    let ifcs = [vec![ask(1).originating()], Vec::new()];
    let mut scene = scene_with(9_007, ifcs, soon());
    scene.app_server(1, AsBehaviour::Continue { record_route: true });
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    let [caller, callee] = both(&scene);
    let uri = site().app_server_uri(1);
    assert!(caller.record.app_servers[0].uri.starts_with(&uri), "{caller:#?}");
    assert!(!caller.record.app_servers[0].failed && caller.record.app_servers.len() == 1);
    assert!(callee.record.app_servers.is_empty());
}

#[test]
fn a_call_over_a_b2bua_is_one_record_with_two_call_ids() {
    let ifcs = [vec![ask(1).originating()], Vec::new()];
    let mut scene = scene_with(9_008, ifcs, soon());
    scene.app_server(1, AsBehaviour::B2bua);
    scene.talk("A", 2);
    scene.tell("B", UeCommand::HangUp);
    let [caller, callee] = both(&scene);
    assert_eq!(caller.record.call_ids.len(), 2, "{caller:#?}");
    assert_eq!(callee.record.call_ids, caller.record.call_ids[1..]);
    assert_eq!(callee.record.icid, caller.record.icid);
    for line in [caller, callee] {
        assert_ended(&line, CdrEnding::Released, CdrParty::Called, None);
    }
}

#[test]
fn a_server_that_is_dead_is_marked_in_the_record() {
    let ifcs = [vec![ask(1).originating()], Vec::new()];
    let mut scene = scene_with(9_009, ifcs, soon());
    scene.app_server(1, AsBehaviour::Answer);
    scene.world.darken("AS1");
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    let [caller, _] = both(&scene);
    assert!(caller.record.app_servers[0].failed, "{caller:#?}");
}

/// RFC 8498: the callee is called, and calls on.
#[test]
fn who_diverts_a_call_has_two_records() {
    let ifcs = [Vec::new(), vec![ask(1).terminating()]];
    let mut scene = scene_with(9_010, ifcs, soon());
    scene.app_server(
        1,
        AsBehaviour::Retarget {
            uri: tel(3),
            diverts: true,
        },
    );
    scene.phone_with("C", 3, |config| config.manner(Manner::SIMPLE).answer(soon()));
    scene.register("C");
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    let records = records(&scene);
    let served = |case| only(&records, case).record.served;
    assert_eq!(served(CdrCase::Originating), sip(1));
    assert_eq!(served(CdrCase::OriginatingDiverted), tel(2));
    let terminating: Vec<_> = records
        .iter()
        .filter(|line| line.record.case == CdrCase::Terminating)
        .collect();
    let served: Vec<_> = terminating
        .iter()
        .map(|line| line.record.served.as_str())
        .collect();
    assert_eq!(served.len(), 2, "{records:#?}");
    assert!(served.contains(&tel(2).as_str()) && served.contains(&tel(3).as_str()));
    for line in &records {
        assert!(line.duration_ms.is_some());
        assert_eq!(line.record.icid, records[0].record.icid);
    }
}

#[test]
fn a_call_that_the_network_releases_says_so() {
    let mut scene = scene(9_011, soon());
    scene.talk("A", 2);
    let end = ReasonCode::PermanentTermination;
    assert!(scene.hss(|now, hss| hss.send_rtr(now, &impi(2), &[], end)));
    scene.world.advance(Duration::from_secs(10));
    for line in both(&scene) {
        assert_ended(&line, CdrEnding::Released, CdrParty::Network, None);
        let reason = line
            .record
            .cause
            .expect("it is known")
            .reason
            .expect("it is known");
        assert!(reason.contains("Registration ended"), "{reason}");
    }
}

#[test]
fn a_call_in_which_the_s_cscf_dies_is_closed_when_it_starts_again() {
    let mut scene = scene(9_012, soon());
    scene.talk("A", 2);
    scene.world.advance(Duration::from_secs(20));
    scene.world.crash("S-CSCF");
    assert_eq!(scene.world.open_records("S-CSCF"), 2);
    scene.restart("S-CSCF");
    scene.world.advance(Duration::from_secs(2));
    // The phones have not noticed, and the BYE passes.
    scene.tell("A", UeCommand::HangUp);
    for line in both(&scene) {
        assert_ended(&line, CdrEnding::NodeRestarted, CdrParty::Network, None);
        assert!(line.times.end >= line.times.answer);
    }
}

#[test]
fn a_call_whose_phones_vanish_ends_with_its_session_timer() {
    let mut scene = scene(9_013, soon());
    scene.talk("A", 2);
    scene.world.darken("A");
    scene.world.darken("B");
    scene.world.advance(Duration::from_secs(13 * 3_600));
    for line in both(&scene) {
        assert!(
            line.duration_ms.expect("it is known") < 3_600_000 * 2,
            "{line:#?}"
        );
    }
}

#[test]
fn a_message_has_a_record_for_each_side() {
    let mut scene = scene(9_014, soon());
    scene.tell("A", UeCommand::Message(Text::plain(&tel(2), "Hello")));
    for line in both(&scene) {
        assert_eq!(
            (line.kind, line.record.service),
            (CdrKind::Event, CdrService::Message)
        );
        assert_ended(&line, CdrEnding::Delivered, CdrParty::Called, Some(200));
        assert_eq!(line.record.content_type.as_deref(), Some("text/plain"));
        assert_eq!(line.record.content_octets, Some(5));
        assert!(line.duration_ms.is_none());
    }
}

#[test]
fn media_that_come_later_are_in_the_record() {
    let mut scene = scene(9_015, soon());
    scene.talk("A", 2);
    scene.tell("A", UeCommand::Hold);
    scene.tell("A", UeCommand::HangUp);
    // To hold a call adds nothing.
    let lines = scene.world.record_lines("S-CSCF");
    assert!(
        lines.iter().all(|line| line.kind != CdrKind::Interim),
        "{lines:#?}"
    );
    both(&scene);
}

#[test]
fn without_a_directory_there_are_no_records() {
    let mut scene = Scene::talking(9_016);
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    assert!(scene.world.record_lines("S-CSCF").is_empty());
    assert_eq!(
        scene
            .calls_of("A")
            .last()
            .map(|event| matches!(event, CallEvent::Ended(_))),
        Some(true)
    );
}
