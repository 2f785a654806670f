//! Testkit: several phones whose numbers are alike (TS 33.203 7.1).

use std::net::SocketAddr;

use bytes::Bytes;
use ims_tests::scene::Scene;
use ims_tests::ue::security::UeSecurity;
use ims_tests::ue::{UeCommand, shape};

use super::{is_registered, last_sent, sent, sets};

fn register(scene: &mut Scene, name: &str) {
    let events = scene.tell(name, UeCommand::Register);
    assert!(is_registered(&events), "{name}: {events:?}\n{}", scene.ladder());
}

#[test]
fn equal_ports_and_spis_on_different_addresses_are_no_collision() {
    let mut scene = Scene::protected(2_501, "always");
    for (name, number) in [("UE", 1), ("UE2", 2)] {
        // Samsung's SPIs are the same in every phone.
        scene.phone_with(name, number, |config| config.shape(shape::SAMSUNG));
        register(&mut scene, name);
    }
    assert_eq!(sets(&scene), 2);
    for name in ["UE", "UE2"] {
        scene.send_to_phone(name, "OPTIONS");
        assert!(
            last_sent(&scene, name, "P-CSCF").1.starts_with("SIP/2.0 200"),
            "{}",
            scene.ladder()
        );
        let events = scene.tell(name, UeCommand::Refresh);
        assert!(is_registered(&events), "{events:?}");
    }
    scene.tell("UE", UeCommand::Deregister);
    scene.send_to_phone("UE2", "OPTIONS");
    assert!(
        last_sent(&scene, "UE2", "P-CSCF").1.starts_with("SIP/2.0 200"),
        "{}",
        scene.ladder()
    );
    scene.assert_quiet();
}

#[test]
fn two_users_on_one_address_with_other_ports_keep_separate_sets() {
    let mut scene = Scene::protected(2_502, "never");
    scene.phone("UE", 1);
    let local = scene.ue("UE", |_, ue| ue.config_mut().local);
    scene.phone_with("UE2", 2, |mut config| {
        config.local = SocketAddr::new(local.ip(), 5_070);
        config.security(UeSecurity {
            port_offset: 100,
            ..UeSecurity::default()
        })
    });
    for name in ["UE", "UE2"] {
        register(&mut scene, name);
    }
    for name in ["UE", "UE2"] {
        scene.send_to_phone(name, "OPTIONS");
        assert!(
            last_sent(&scene, name, "P-CSCF").1.starts_with("SIP/2.0 200"),
            "{}",
            scene.ladder()
        );
    }
    assert_eq!(sets(&scene), 2);
    scene.assert_quiet();
}

#[test]
fn the_ports_of_a_live_set_cannot_be_had_by_another_user() {
    let mut scene = Scene::protected(2_503, "never");
    scene.phone("UE", 1);
    scene.phone("UE2", 2);
    register(&mut scene, "UE");
    register(&mut scene, "UE2");
    let (flow, mut stolen) = sent(&scene, "UE2", "P-CSCF").remove(0);
    // The first REGISTER of UE2, as if from the address of UE.
    let victim = scene.ue("UE", |_, ue| ue.config_mut().local);
    let thief = SocketAddr::new(victim.ip(), 5_099);
    stolen = stolen.replace(&flow.remote.to_string(), &thief.to_string());
    stolen = stolen
        .replace("Call-ID: ", "Call-ID: thief")
        .replace("branch=z9hG4bK", "branch=z9hG4bKthief");
    let before = scene
        .world
        .kernel("P-CSCF")
        .sets()
        .map(|set| set.states)
        .collect::<Vec<_>>();
    scene.world.forget_record();
    scene.world.inject(thief, scene.site.gm, Bytes::from(stolen));
    scene.world.run_until_idle();
    let (_, answer) = last_sent(&scene, "P-CSCF", "nobody");
    let status: u16 = answer[8..11].parse().unwrap();
    assert!(status >= 400 && status != 401, "{answer}");
    let after = scene
        .world
        .kernel("P-CSCF")
        .sets()
        .map(|set| set.states)
        .collect::<Vec<_>>();
    assert_eq!(before, after);
    scene.send_to_phone("UE", "OPTIONS");
    assert!(
        last_sent(&scene, "UE", "P-CSCF").1.starts_with("SIP/2.0 200"),
        "{}",
        scene.ladder()
    );
}

#[test]
fn a_phone_that_was_switched_off_may_have_its_old_ports_again() {
    let mut scene = Scene::protected(2_504, "always");
    scene.phone_with("UE", 1, |config| config.shape(shape::SAMSUNG));
    register(&mut scene, "UE");
    for _ in 0..3 {
        scene.world.darken("UE");
        let config = scene.ue("UE", |_, ue| ue.config_mut().clone());
        let seed = scene.world.next_seed();
        // With the same ports, and the same SPIs.
        scene.world.restart("UE", ims_tests::ue::Ue::new(config, &seed));
        register(&mut scene, "UE");
        assert_eq!(sets(&scene), 1);
        let of = |name: &str| scene.world.kernel(name).sets().next().unwrap().states;
        assert_eq!(of("P-CSCF"), of("UE"));
    }
    scene.assert_quiet();
}

#[test]
fn a_user_who_moved_has_sets_where_he_is() {
    let mut scene = Scene::protected(2_505, "never");
    scene.phone("UE", 1);
    register(&mut scene, "UE");
    let mut config = scene.ue("UE", |_, ue| ue.config_mut().clone());
    scene.world.darken("UE");
    config.local = scene.site.ue(99);
    scene.world.relocate("UE", config.local);
    let seed = scene.world.next_seed();
    scene.world.restart("UE", ims_tests::ue::Ue::new(config, &seed));
    register(&mut scene, "UE");
    scene.send_to_phone("UE", "OPTIONS");
    assert!(
        last_sent(&scene, "UE", "P-CSCF").1.starts_with("SIP/2.0 200"),
        "{}",
        scene.ladder()
    );
    scene.assert_quiet();
}
