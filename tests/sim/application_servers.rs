//! Testkit: application servers in calls (TS 23.218 5.2, TS 24.229 5.4.3.2 to 5.4.3.4 and 5.7).

mod bad;
mod dead;
mod diversion;
mod originating;

use ims_common::sip::{HeaderName, Method, Request};
use ims_tests::app_server::AsBehaviour;
use ims_tests::hss::{Ifc, Subscriber};
use ims_tests::ladder::assert_golden;
use ims_tests::scene::calls::tel;
use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::{HOME, Site};
use ims_tests::ue::talk::{CallEvent, Cause, Manner, Plan};
use ims_tests::ue::{UeCommand, UeConfig};

fn site() -> Site {
    Site::on_network([192, 0, 2])
}

/// Asks the application server with this number.
fn ask(number: u8, priority: u32) -> Ifc {
    Ifc::to(&site().app_server_uri(number), priority).method(&["INVITE", "MESSAGE"])
}

fn simple(_: &str, config: UeConfig) -> UeConfig {
    config.manner(Manner::SIMPLE)
}

/// Phones `A` and `B`, whose profiles have these criteria, and the application servers 1, 2, … that do this.
fn scene(seed: u64, ifcs: [Vec<Ifc>; 2], servers: &[AsBehaviour]) -> Scene {
    let [of_a, of_b] = ifcs;
    let with = |number, ifcs: Vec<Ifc>| ifcs.into_iter().fold(subscriber(number), Subscriber::ifc);
    let subscribers = vec![with(1, of_a), with(2, of_b), subscriber(3)];
    let mut scene = Scene::talking_with(seed, site(), subscribers, simple);
    for (number, behaviour) in (1..).zip(servers) {
        scene.app_server(number, behaviour.clone());
    }
    scene
}

/// `A` calls `B` by the application server of `A`.
fn originating(seed: u64, behaviour: AsBehaviour) -> Scene {
    scene(seed, [vec![ask(1, 1).originating()], Vec::new()], &[behaviour])
}

/// The initial requests that an application server got.
fn initial(scene: &mut Scene, number: u8, method: &Method) -> Vec<Request> {
    scene.with_app_server(number, |_, server| server.initial(method).cloned().collect())
}

fn invites(scene: &mut Scene, number: u8) -> usize {
    initial(scene, number, &Method::Invite).len()
}

fn text(request: &Request, name: HeaderName) -> String {
    String::from_utf8_lossy(request.header(name).unwrap_or_default()).into_owned()
}

fn assert_refused(scene: &Scene, events: &[CallEvent], status: u16) {
    let last = Some(&CallEvent::Ended(Cause::Refused(status)));
    assert_eq!(events.last(), last, "\n{}", scene.ladder());
}

#[test]
fn a_server_lets_a_call_pass_and_stays_in_its_path() {
    let mut scene = originating(6_000, AsBehaviour::Continue { record_route: true });
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    assert_golden("call_as_continue", &scene.ladder());
    let methods = scene.with_app_server(1, |_, server| {
        let methods = server
            .requests()
            .iter()
            .map(|request| request.method().to_string());
        methods.collect::<Vec<_>>()
    });
    assert_eq!(methods, ["INVITE", "BYE"]);
    let invite = initial(&mut scene, 1, &Method::Invite).remove(0);
    let served = text(&invite, HeaderName::PServedUser);
    assert!(served.contains(";sescase=orig;regstate=reg"), "{served}");
    // The alias identity too, and the charging vector of ISC.
    assert_eq!(invite.values(HeaderName::PAssertedIdentity).count(), 2);
    let vector = text(&invite, HeaderName::PChargingVector);
    assert!(
        vector.contains("icid-value=") && vector.contains("orig-ioi="),
        "{vector}"
    );
    scene.assert_quiet();
}

#[test]
fn a_server_takes_a_call_itself() {
    let mut scene = originating(6_001, AsBehaviour::Answer);
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    assert_golden("call_as_terminates", &scene.ladder());
    assert_eq!(scene.calls_of("B"), []);
    scene.assert_quiet();
}

#[test]
fn a_server_redirects_a_call() {
    let mut scene = originating(6_002, AsBehaviour::Redirect("tel:+15550003".to_owned()));
    let events = scene.call("A", 2);
    assert_golden("call_as_redirects", &scene.ladder());
    assert_refused(&scene, &events, 302);
    scene.assert_quiet();
}

#[test]
fn a_server_makes_another_call_of_a_call() {
    let mut scene = originating(6_003, AsBehaviour::B2bua);
    scene.talk("A", 2);
    let invite = initial(&mut scene, 1, &Method::Invite).remove(0);
    let called = scene.world.record().sip("P-CSCF", "B").remove(0);
    let own = String::from_utf8_lossy(invite.call_id().unwrap_or_default()).into_owned();
    assert!(!called.contains(&own), "{called}");
    scene.tell("A", UeCommand::Hold);
    scene.tell("B", UeCommand::HangUp);
    assert_golden("call_as_b2bua", &scene.ladder());
    assert_eq!(scene.end_of_call("A"), Some(Cause::PeerHungUp(None)));
    scene.with_app_server(1, |_, server| assert!(server.bridges().is_empty()));
    scene.assert_quiet();
}

/// Preconditions, PRACK, UPDATE and forked tags cross a B2BUA.
#[test]
fn a_call_with_preconditions_crosses_a_b2bua() {
    let subscribers = vec![subscriber(1).ifc(ask(1, 1).originating()), subscriber(2)];
    let mut scene = Scene::talking_with(6_004, site(), subscribers, |_, config| config);
    scene.app_server(1, AsBehaviour::B2bua);
    let events = scene.call("A", 2);
    assert_eq!(
        events,
        [CallEvent::Progress(183), CallEvent::Ringing, CallEvent::Begun],
        "\n{}",
        scene.ladder()
    );
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

#[test]
fn a_cancelled_call_is_cancelled_behind_the_servers_too() {
    for (seed, behaviour) in [
        (6_005, AsBehaviour::Continue { record_route: true }),
        (6_006, AsBehaviour::B2bua),
    ] {
        let mut scene = originating(seed, behaviour);
        scene.ring("A", 2, 0);
        scene.world.advance(std::time::Duration::from_millis(500));
        scene.tell("A", UeCommand::HangUp);
        assert_eq!(
            scene.end_of_call("B"),
            Some(Cause::Cancelled),
            "\n{}",
            scene.ladder()
        );
        scene.assert_quiet();
    }
}

#[test]
fn servers_are_asked_in_the_order_of_priority_on_both_sides() {
    let pass = AsBehaviour::Continue { record_route: false };
    let of_a = vec![ask(2, 20).originating(), ask(1, 10).originating()];
    let of_b = vec![ask(3, 5).terminating()];
    let servers = [pass.clone(), AsBehaviour::B2bua, pass];
    let mut scene = scene(6_007, [of_a, of_b], &servers);
    scene.talk("A", 2);
    scene.tell("B", UeCommand::HangUp);
    assert_golden("call_as_two_in_order", &scene.ladder());
    for number in 1..=3 {
        assert_eq!(invites(&mut scene, number), 1, "AS{number}");
    }
    let served = |scene: &mut Scene, number| {
        text(
            &initial(scene, number, &Method::Invite)[0],
            HeaderName::PServedUser,
        )
    };
    assert!(served(&mut scene, 2).contains("sescase=orig"));
    assert!(served(&mut scene, 3).contains("sescase=term"));
    scene.assert_quiet();
}

#[test]
fn criteria_of_shared_sets_are_among_those_of_the_profile() {
    let xml = |number: u8, priority| {
        format!(
            "<InitialFilterCriteria><Priority>{priority}</Priority><TriggerPoint><ConditionTypeCNF>1</ConditionTypeCNF>\
             <SPT><ConditionNegated>0</ConditionNegated><Group>0</Group><Method>INVITE</Method></SPT>\
             <SPT><ConditionNegated>0</ConditionNegated><Group>1</Group><SessionCase>0</SessionCase></SPT>\
             </TriggerPoint><ApplicationServer><ServerName>{}</ServerName></ApplicationServer>\
             </InitialFilterCriteria>",
            site().app_server_uri(number)
        )
    };
    let mut site = site();
    site.scscf_more += &format!(
        "  shared_ifc_sets:\n    - {{id: 7, xml: \"{}{}\"}}\n",
        xml(1, 1),
        xml(3, 3)
    );
    let caller = subscriber(1).ifc(ask(2, 2).originating()).shared_ifc_sets(&[7]);
    let mut scene = Scene::talking_with(6_008, site, vec![caller, subscriber(2)], simple);
    for number in 1..=3 {
        scene.app_server(number, AsBehaviour::Continue { record_route: false });
    }
    scene.talk("A", 2);
    let order: Vec<String> = scene
        .world
        .record()
        .entries()
        .iter()
        .filter(|entry| entry.from == "S-CSCF" && entry.to.starts_with("AS"))
        .map(|entry| entry.to.clone())
        .collect();
    let first_three: Vec<&str> = order.iter().map(String::as_str).take(3).collect();
    assert_eq!(first_three, ["AS1", "AS2", "AS3"], "\n{}", scene.ladder());
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

/// TS 24.229 5.4.3.3: who is not registered has services too.
#[test]
fn a_server_answers_for_who_is_not_registered() {
    let callee = subscriber(2).ifc(ask(1, 1).terminating_unregistered());
    let mut scene = Scene::with(6_009, site(), vec![subscriber(1), callee]);
    scene.phone_with("A", 1, |config| config.manner(Manner::SIMPLE));
    scene.register("A");
    scene.app_server(1, AsBehaviour::Answer);
    scene.world.forget_record();
    scene.talk("A", 2);
    scene.tell("A", UeCommand::HangUp);
    assert_golden("call_as_for_unregistered", &scene.ladder());
    let invite = initial(&mut scene, 1, &Method::Invite).remove(0);
    let served = text(&invite, HeaderName::PServedUser);
    assert!(served.contains(";sescase=term;regstate=unreg"), "{served}");
}

/// TS 24.229 7.2A.4, 7.2.15: what a phone on WiFi says of its access reaches the servers.
#[test]
fn a_server_learns_that_the_phone_is_on_wifi() {
    const WIFI: &str = "IEEE-802.11;i-wlan-node-id=020000000001";
    const CELL: &str = "3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000101;cell-info-age=5";
    let mut scene = originating(6_010, AsBehaviour::Answer);
    scene.ue("A", |_, ue| ue.config_mut().manner.access = WIFI);
    let plan = Plan::to(&tel(2)).line(&format!("Cellular-Network-Info: {CELL}"));
    scene.tell("A", UeCommand::Call(plan));
    let invite = initial(&mut scene, 1, &Method::Invite).remove(0);
    assert!(
        text(&invite, HeaderName::PAccessNetworkInfo).contains(WIFI),
        "\n{}",
        scene.ladder()
    );
    assert_eq!(text(&invite, HeaderName::CellularNetworkInfo), CELL);
    scene.tell("A", UeCommand::HangUp);
    scene.assert_quiet();
}

/// TS 24.390: a dialstring is a service of the caller's, and its bodies are nobody else's business.
#[test]
fn a_ussd_request_and_what_follows_reach_the_server_octet_by_octet() {
    const USSD: &str = "application/vnd.3gpp.ussd+xml";
    let body =
        b"<?xml version=\"1.0\"?>\r\n<ussd-data><ussd-string>1</ussd-string></ussd-data>\r\n\0".to_vec();
    let ifc = ask(1, 1).originating().request_uri("user=dialstring");
    let mut scene = scene(6_011, [vec![ifc], Vec::new()], &[AsBehaviour::Answer]);
    let uri = format!("sip:*100%23;phone-context={HOME}@{HOME};user=dialstring");
    let plan = Plan::to(&uri).line("Recv-Info: g.3gpp.ussd");
    scene.tell("A", UeCommand::Call(plan));
    scene.tell("A", UeCommand::Info(USSD, body.clone()));
    scene.tell("A", UeCommand::HangUp);
    let seen = scene.with_app_server(1, |_, server| server.requests().to_vec());
    assert_eq!(seen.len(), 3, "\n{}", scene.ladder());
    assert_eq!(seen[0].request_uri_bytes(), uri.as_bytes());
    assert_eq!(seen[0].header_named("Recv-Info"), Some(&b"g.3gpp.ussd"[..]));
    assert_eq!(seen[1].body(), body);
    assert_eq!(text(&seen[1], HeaderName::ContentType), USSD);
    scene.assert_quiet();
}
