//! Testkit: calls that fail, and the sentence that says why.

use ims_tests::hss::Subscriber;
use ims_tests::scene::{Scene, imsi, subscriber};
use ims_tests::site::Site;

/// Only phone `A`, and these subscribers.
fn alone(seed: u64, others: Vec<Subscriber>) -> Scene {
    let subscribers = std::iter::once(subscriber(1)).chain(others).collect();
    let mut scene = Scene::with(seed, Site::on_network([192, 0, 2]), subscribers);
    scene.world.record_why();
    scene.phone("A", 1);
    scene.register("A");
    scene
}

#[test]
fn a_callee_that_nobody_knows_is_named() {
    let mut scene = alone(6_001, Vec::new());
    scene.call("A", 9);
    scene.world.assert_explained(&imsi(1), "callee-unknown");
}

#[test]
fn a_callee_that_is_not_registered_is_named() {
    let mut scene = alone(6_002, vec![subscriber(2)]);
    scene.call("A", 2);
    assert_eq!(
        scene.world.why(&imsi(1)),
        "tel:+15550002 is known and not registered (5003 to the LIR); the phone has to register first; look at its own \
         registrations."
    );
    let found = scene.world.found_by("I-CSCF");
    assert_eq!(
        found.iter().map(|it| &*it.1.detector).collect::<Vec<_>>(),
        ["callee-unknown"; 2]
    );
}
