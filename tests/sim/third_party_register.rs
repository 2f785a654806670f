//! Testkit: application servers learn who registers and who leaves (TS 24.229 5.4.1.7, 5.4.1.7A).

use std::time::Duration;

use hss_client::user_data::RegistrationType;
use ims_tests::app_server::own::OwnRequest;
use ims_tests::app_server::{AsBehaviour, RegisterAnswer};
use ims_tests::hss::{Fault, Faulty, Ifc};
use ims_tests::scene::calls::sip;
use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::UeCommand;

fn site() -> Site {
    Site::on_network([192, 0, 2])
}

/// Phone `A`, whose registrations AS1 learns of by this criterion.
fn scene(seed: u64, change: impl FnOnce(Ifc) -> Ifc) -> Scene {
    let ifc = change(Ifc::to(&site().app_server_uri(1), 1).registers(&[]));
    let mut scene = Scene::with(seed, site(), vec![subscriber(1).ifc(ifc)]);
    scene.app_server(1, AsBehaviour::Answer);
    scene.phone("A", 1);
    scene
}

fn settle(scene: &mut Scene) {
    scene.world.advance(Duration::from_secs(10));
}

#[test]
fn a_server_hears_of_a_registration_its_refresh_and_its_end() {
    let change = |ifc: Ifc| ifc.service_info("<service a=\"1\"/> & more").with_registers();
    let mut scene = scene(6_700, change);
    scene.register("A");
    settle(&mut scene);
    scene.tell("A", UeCommand::Refresh);
    settle(&mut scene);
    scene.tell("A", UeCommand::Deregister);
    settle(&mut scene);
    let seen = scene.third_party(1);
    assert_eq!(seen.len(), 3, "\n{}", scene.ladder());
    let expires: Vec<bool> = seen.iter().map(|one| one.expires > 0).collect();
    assert_eq!(expires, [true, true, false]);
    let uri = Site::server_name(0);
    for one in &seen {
        assert_eq!(one.impu, sip(1));
        assert_eq!(one.scscf.split(';').next(), Some(uri.as_str()), "{one:?}");
        assert_eq!(
            one.request.from().unwrap().uri.to_string().split(';').next(),
            Some(uri.as_str())
        );
        assert!(one.request.header_named("P-Charging-Vector").is_some());
        let (content_type, body) = one.body.clone().unwrap();
        assert!(content_type.starts_with("multipart/mixed"), "{content_type}");
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(
            body.contains("application/3gpp-ims+xml") && body.contains("<service-info>"),
            "{body}"
        );
        // The user's own REGISTER and what it was answered.
        assert_eq!(body.matches("Content-Type: message/sip").count(), 2, "{body}");
        assert!(
            body.contains("\r\nREGISTER sip:") && body.contains("\r\nSIP/2.0 200 OK\r\n"),
            "{body}"
        );
        assert!(!body.contains("ck=\"") && !body.contains("ik=\""), "{body}");
    }
}

#[test]
fn a_server_hears_of_the_kinds_of_registration_that_it_asks_for() {
    for (seed, kind, expected) in [
        (6_701, RegistrationType::Initial, 1),
        (6_702, RegistrationType::Reregistration, 2),
        (6_703, RegistrationType::Deregistration, 1),
    ] {
        let ifc = Ifc::to(&site().app_server_uri(1), 1).registers(&[kind]);
        let mut scene = scene(seed, |_| ifc);
        scene.register("A");
        for command in [UeCommand::Refresh, UeCommand::Refresh, UeCommand::Deregister] {
            scene.tell("A", command);
            settle(&mut scene);
        }
        let seen = scene.third_party(1);
        assert_eq!(seen.len(), expected, "{kind:?}\n{}", scene.ladder());
    }
}

/// TS 24.229 5.4.1.7: with default handling to continue, a dead server changes nothing; to terminate: it ends the
/// registration.
#[test]
fn a_server_that_refuses_or_is_silent_ends_the_registration_only_when_the_criterion_says_so() {
    for (seed, answer) in [
        (6_710, RegisterAnswer::Refuse(500)),
        (6_712, RegisterAnswer::Refuse(408)),
        (6_714, RegisterAnswer::Silent),
    ] {
        for (seed, terminates, left) in [(seed, false, 1), (seed + 1, true, 0)] {
            let mut scene = scene(seed, |ifc| if terminates { ifc.terminates() } else { ifc });
            scene.world.excuse("AS1");
            scene.with_app_server(1, |_, server| server.answer_registers(answer));
            scene.register("A");
            scene.world.advance(Duration::from_secs(120));
            assert_eq!(
                scene.bindings("S-CSCF"),
                left,
                "{answer:?} {terminates}\n{}",
                scene.ladder()
            );
        }
    }
}

#[test]
fn a_server_hears_of_a_registration_that_expires() {
    let mut scene = scene(6_720, |ifc| ifc);
    scene.ue("A", |_, ue| ue.config_mut().expires = 60);
    scene.register("A");
    scene.world.advance(Duration::from_secs(200));
    let expires: Vec<u32> = scene.third_party(1).iter().map(|one| one.expires).collect();
    assert_eq!(expires, [60, 0], "\n{}", scene.ladder());
}

/// The 200 to the user does not wait for the server, nor for the HSS once the profile is there.
#[test]
fn the_user_does_not_wait_for_the_server() {
    let mut scene = scene(6_721, |ifc| ifc);
    scene.world.excuse("AS1");
    scene.with_app_server(1, |_, server| server.answer_registers(RegisterAnswer::Silent));
    scene.register("A");
    let at = scene.world.elapsed();
    assert!(at < Duration::from_secs(3), "{at:?}");
    scene.hss(|_, hss| hss.set_fault(Faulty::All, Fault::Silent));
    settle(&mut scene);
    assert_eq!(scene.bindings("S-CSCF"), 1);
}

/// An application server of the user's criteria may watch; another may not (TS 24.229 5.4.2.1.1).
#[test]
fn an_application_server_watches_the_users_that_have_it() {
    let site = site();
    let ifc = Ifc::to(&site.app_server_uri(1), 1).registers(&[]);
    let with = |number| subscriber(number).ifc(ifc.clone());
    let mut scene = Scene::with(6_604, site, vec![with(1), subscriber(2)]);
    for number in [1, 2] {
        scene.app_server(number, AsBehaviour::Answer);
    }
    scene.phone_with("A", 1, |config| config);
    scene.register("A");
    settle(&mut scene);
    let scscf = scene.third_party(1).remove(0).scscf;
    for number in [1, 2] {
        let own = OwnRequest::subscription(&scscf, &sip(1), 3_600);
        let uri = scene.site.app_server_uri(number);
        let own = own.header("P-Asserted-Identity", format!("<{uri}>"));
        scene.with_app_server(number, |now, server| server.begin(now, own));
    }
    settle(&mut scene);
    let answered = |scene: &mut Scene, number| {
        scene.with_app_server(number, |_, server| {
            server.answers().iter().map(|(_, s)| *s).collect::<Vec<_>>()
        })
    };
    assert_eq!(answered(&mut scene, 1), [200], "\n{}", scene.ladder());
    assert_eq!(answered(&mut scene, 2), [403], "\n{}", scene.ladder());
    scene.tell("A", UeCommand::Deregister);
    settle(&mut scene);
    let notified = scene.with_app_server(1, |_, server| server.notified().to_vec());
    assert_eq!(notified.len(), 2, "\n{}", scene.ladder());
    assert!(notified[0].state.starts_with("active") && notified[0].body.contains("state=\"active\""));
    assert!(notified[1].state.starts_with("terminated") && notified[1].body.contains("unregistered"));
}
