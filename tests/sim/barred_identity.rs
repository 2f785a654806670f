//! Testkit: barred identities (TS 23.228 5.2.1a, TS 29.228 6.1.1).

use hss_client::cx::CxResult;
use ims_tests::hss::{Fault, Faulty, Subscriber};
use ims_tests::ladder::assert_golden;
use ims_tests::scene::{Scene, imsi};
use ims_tests::site::{HOME, Site};
use ims_tests::ue::UeCommand;

#[test]
fn a_set_with_nothing_but_barred_identities_gets_403() {
    let identity = format!("sip:{}@{HOME}", imsi(1));
    let barred = Subscriber::new(&imsi(1)).without_impus().barred_impu(&identity);
    let mut scene = Scene::with(401, Site::on_network([192, 0, 2]), vec![barred]);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    assert_golden("register_barred_identity", &scene.ladder());
    assert!(scene.is_rejected("UE", 403), "{}", scene.ladder());
    scene.assert_empty();
}

#[test]
fn a_user_who_may_not_roam_here_gets_403() {
    let at_home_only = ims_tests::scene::subscriber(1).allowed_in(&["elsewhere.example"]);
    let mut scene = Scene::with(402, Site::on_network([192, 0, 2]), vec![at_home_only]);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    assert!(scene.is_rejected("UE", 403), "{}", scene.ladder());
    assert!(scene.ladder().contains("experimental=5004"), "{}", scene.ladder());
    scene.assert_empty();
}

#[test]
fn each_refusal_of_a_uar_is_mapped_as_the_specification_says() {
    let refusals = [
        (CxResult::Experimental(5001), 403),
        (CxResult::Experimental(5002), 403),
        (CxResult::Experimental(5003), 403),
        (CxResult::Experimental(5004), 403),
        (CxResult::Base(5003), 403),
    ];
    for (seed, (result, status)) in (410..).zip(refusals) {
        let mut scene = Scene::new(seed);
        scene.phone("UE", 1);
        scene.hss(|_, hss| hss.set_fault(Faulty::Uar, Fault::Answer(result)));
        scene.tell("UE", UeCommand::Register);
        assert!(scene.is_rejected("UE", status), "{result:?}\n{}", scene.ladder());
        scene.assert_empty();
    }
}
