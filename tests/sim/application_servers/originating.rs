//! Testkit: what application servers begin by themselves (TS 24.229 5.7.3).

use ims_tests::app_server::own::OwnRequest;
use ims_tests::scene::calls::sip;

use super::*;

fn scscf(scene: &Scene) -> String {
    format!("sip:{}", scene.site.scscf())
}

fn begin(scene: &mut Scene, own: OwnRequest) {
    scene.with_app_server(1, |now, server| {
        server.begin(now, own);
    });
    scene.world.advance(std::time::Duration::from_secs(3));
}

fn answers(scene: &mut Scene) -> Vec<u16> {
    scene.with_app_server(1, |_, server| {
        server.answers().iter().map(|(_, status)| *status).collect()
    })
}

#[test]
fn a_server_calls_on_behalf_of_a_user() {
    let of_a = vec![ask(2, 1).originating()];
    let pass = AsBehaviour::Continue { record_route: false };
    let mut scene = scene(6_300, [of_a, Vec::new()], &[pass.clone(), pass]);
    let own = OwnRequest::call(&scscf(&scene), &sip(1), &tel(2));
    begin(&mut scene, own);
    scene.with_app_server(1, |now, server| server.hang_up(now));
    scene.world.advance(std::time::Duration::from_secs(1));
    assert_golden("call_as_originated", &scene.ladder());
    let calls = scene.calls_of("B");
    assert!(
        matches!(calls.first(), Some(CallEvent::Incoming { from, .. }) if from.contains("+15550001")),
        "{calls:?}\n{}",
        scene.ladder()
    );
    assert_eq!(calls.last(), Some(&CallEvent::Ended(Cause::PeerHungUp(None))));
    assert_eq!(answers(&mut scene), [180, 200, 200]);
    assert_eq!(invites(&mut scene, 2), 1, "the user's own services");
    scene.assert_quiet();
}

#[test]
fn a_server_texts_on_behalf_of_a_user() {
    let mut scene = scene(6_301, [Vec::new(), Vec::new()], &[AsBehaviour::Answer]);
    let own = OwnRequest::message(&scscf(&scene), &sip(1), &tel(2), "Hello");
    begin(&mut scene, own);
    assert_eq!(answers(&mut scene), [200], "\n{}", scene.ladder());
    let received = scene.messages_of("B").remove(0);
    assert!(received.from.contains("+15550001"), "{received:?}");
    assert_eq!(received.body, b"Hello");
    scene.assert_quiet();
}

#[test]
fn a_server_speaks_for_no_stranger() {
    let mut scene = scene(6_302, [Vec::new(), Vec::new()], &[AsBehaviour::Answer]);
    let own = OwnRequest::message(&scscf(&scene), "sip:stranger@other.example", &tel(2), "Hello");
    begin(&mut scene, own);
    let answered = answers(&mut scene);
    assert!(
        answered.iter().all(|status| (400..500).contains(status)) && !answered.is_empty(),
        "{answered:?}\n{}",
        scene.ladder()
    );
    assert_eq!(scene.messages_of("B"), []);
    scene.assert_quiet();
}
