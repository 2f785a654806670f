//! Testkit: registering again inside security associations (TS 24.229 table 5.2.2-1).

use std::time::Duration;

use ims_common::net::{Interface, Transport};
use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::ue::UeCommand;

use super::{in_clear, last_sent, register, sent, sets};

/// A request that says nothing else than that the phone is there.
const OPTIONS: UeCommand = UeCommand::Request(
    "OPTIONS sip:{home} SIP/2.0\nMax-Forwards: 70\nFrom: <{impu}>;tag={tag}\nTo: <sip:{home}>\n\
     Call-ID: o-{call_id}\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n",
);

#[test]
fn a_challenge_comes_over_the_old_set_and_the_answer_goes_over_the_new_one() {
    for (transport, golden) in [
        (Transport::Udp, "protected_reregister"),
        (Transport::Tcp, "protected_reregister_tcp"),
    ] {
        let mut scene = Scene::protected(2_101, "always");
        scene.phone_with("UE", 1, |config| config.transport(transport));
        register(&mut scene, UeCommand::Register);
        scene.world.advance(Duration::from_secs(1_000));
        scene.world.forget_record();
        register(&mut scene, UeCommand::Refresh);
        assert_golden(golden, &scene.ladder());
        assert_eq!(in_clear(&scene), Vec::<String>::new());
        let kernel = scene.world.kernel("P-CSCF");
        let [old, new] = kernel.sets().map(|set| set.states).collect::<Vec<_>>()[..] else {
            panic!("{} states\n{}", kernel.states(), scene.ladder())
        };
        assert_eq!(old[2].destination, new[2].destination, "port-us stays");
        assert_ne!(old[0].source, new[0].source, "port-uc is new");
        assert_ne!(old[2].source, new[2].source, "port-pc is new");
        let ways: Vec<_> = sent(&scene, "UE", "P-CSCF")
            .iter()
            .map(|(flow, _)| flow.remote)
            .collect();
        assert_eq!(ways, [old[0].source, new[0].source]);
        scene.assert_quiet();
    }
}

#[test]
fn the_new_set_is_taken_into_use_with_the_first_message_over_it_and_the_old_one_ends_128_s_later() {
    let mut scene = Scene::protected(2_102, "always");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    register(&mut scene, UeCommand::Refresh);
    let ports: Vec<_> = scene
        .world
        .kernel("P-CSCF")
        .sets()
        .map(|set| set.states[2].source)
        .collect();
    scene.send_to_phone("UE", "OPTIONS");
    assert_eq!(
        last_sent(&scene, "P-CSCF", "UE").0.remote,
        ports[0],
        "the phone has not used the new one"
    );
    // Its answer comes over the new set.
    scene.send_to_phone("UE", "OPTIONS");
    assert_eq!(
        last_sent(&scene, "P-CSCF", "UE").0.remote,
        ports[1],
        "{}",
        scene.ladder()
    );
    scene.world.advance(Duration::from_secs(126));
    assert_eq!(sets(&scene), 2);
    scene.world.advance(Duration::from_secs(4));
    assert_eq!(sets(&scene), 1);
    scene.send_to_phone("UE", "OPTIONS");
    assert_eq!(last_sent(&scene, "P-CSCF", "UE").0.remote, ports[1]);
    scene.assert_quiet();
}

#[test]
fn fifty_registrations_in_a_row_leave_exactly_one_set_on_each_side() {
    let mut scene = Scene::protected(2_103, "always");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    for round in 0..50 {
        register(&mut scene, UeCommand::Refresh);
        assert!(sets(&scene) <= 3, "{round}: {}", sets(&scene));
        scene.world.advance(Duration::from_secs(round % 7));
    }
    scene.tell("UE", OPTIONS);
    scene.send_to_phone("UE", "OPTIONS");
    scene.world.advance(Duration::from_secs(300));
    assert_eq!(
        scene.world.states(),
        [("P-CSCF".to_owned(), 4), ("UE".to_owned(), 4)]
    );
    let of = |name: &str| scene.world.kernel(name).sets().next().unwrap().states;
    assert_eq!(of("P-CSCF"), of("UE"));
    scene.assert_quiet();
}

#[test]
fn refreshes_without_a_challenge_keep_one_set_as_long_as_the_phone_stays() {
    let mut scene = Scene::protected(2_104, "never");
    scene.phone_with("UE", 1, |config| config.expires(3_600));
    register(&mut scene, UeCommand::Register);
    for _ in 0..5 {
        scene.world.advance(Duration::from_secs(3_000));
        register(&mut scene, UeCommand::Refresh);
        let id = scene.world.kernel("P-CSCF").sets().next().unwrap().id;
        let left = scene
            .world
            .kernel("P-CSCF")
            .lifetime(scene.world.now(), id)
            .unwrap();
        assert!(left >= Duration::from_secs(3_600 + 29), "{left:?}");
    }
    assert_eq!(sets(&scene), 1);
    assert_eq!(
        in_clear(&scene).len(),
        2,
        "only the first two: {}",
        scene.ladder()
    );
    scene.world.advance(Duration::from_secs(3_600 + 29));
    assert_eq!(sets(&scene), 1);
    scene.world.advance(Duration::from_secs(70));
    assert_eq!(scene.world.states(), Vec::new());
    scene.assert_empty();
}

#[test]
fn an_initial_registration_ends_all_sets_of_before() {
    let mut scene = Scene::protected(2_105, "always");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    register(&mut scene, UeCommand::Refresh);
    register(&mut scene, UeCommand::Register);
    assert_eq!(sets(&scene), 1);
    let of = |name: &str| scene.world.kernel(name).sets().next().unwrap().states;
    assert_eq!(of("P-CSCF"), of("UE"));
    scene.assert_quiet();
}

#[test]
fn an_initial_register_inside_a_set_that_is_left_is_served() {
    let mut scene = Scene::protected(2_106, "always");
    scene.phone_with("UE", 1, |mut config| {
        if let Some(security) = &mut config.security {
            security.initial_inside = true;
        }
        config
    });
    register(&mut scene, UeCommand::Register);
    scene.world.forget_record();
    register(&mut scene, UeCommand::Register);
    assert_eq!(in_clear(&scene), Vec::<String>::new(), "{}", scene.ladder());
    scene.send_to_phone("UE", "OPTIONS");
    assert!(
        last_sent(&scene, "UE", "P-CSCF").1.starts_with("SIP/2.0 200"),
        "{}",
        scene.ladder()
    );
    scene.assert_quiet();
}

#[test]
fn auts_inside_the_old_set_is_answered_there() {
    let mut scene = Scene::protected(2_107, "always");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    scene.ue("UE", |_, ue| {
        let config = super::ahead_of_the_hss(ue.config_mut().clone());
        *ue.config_mut() = config;
    });
    scene.world.forget_record();
    register(&mut scene, UeCommand::Refresh);
    assert_eq!(in_clear(&scene), Vec::<String>::new());
    let ways = sent(&scene, "UE", "P-CSCF");
    assert_eq!(ways.len(), 3, "{}", scene.ladder());
    assert_eq!(ways[0].0.remote, ways[1].0.remote, "AUTS over the old set");
    assert_ne!(ways[0].0.remote, ways[2].0.remote, "the answer over the new one");
    scene.assert_quiet();
}

#[test]
fn no_message_is_lost_while_the_phone_registers_again() {
    let mut scene = Scene::protected(2_108, "always");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    scene.world.forget_record();
    for _ in 0..10 {
        scene.ue("UE", |now, ue| ue.command(now, UeCommand::Refresh));
        for _ in 0..6 {
            scene.send_to_phone("UE", "OPTIONS");
            scene.world.advance(Duration::from_millis(7));
        }
        scene.world.advance(Duration::from_secs(1));
    }
    let asked = sent(&scene, "P-CSCF", "UE");
    let asked = asked
        .iter()
        .filter(|(_, text)| text.starts_with("OPTIONS"))
        .count();
    assert_eq!(asked, 60, "none twice: {}", scene.ladder());
    let answered = sent(&scene, "P-CSCF", "S-CSCF");
    let answered = answered
        .iter()
        .filter(|(_, text)| text.starts_with("SIP/2.0 200"))
        .count();
    assert_eq!(answered, 60, "{}", scene.ladder());
    assert!(
        sent(&scene, "UE", "P-CSCF")
            .iter()
            .all(|(flow, _)| flow.interface == Interface::GmProtected)
    );
    scene.assert_quiet();
}
