//! Testkit: the first registration with a security agreement.

use std::time::Duration;

use ims_common::net::{Interface, Transport};
use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::text::param_of;
use ims_tests::ue::security::{Misdeed, UeSecurity, Verify};
use ims_tests::ue::{UeCommand, UeEvent, shape};

use super::{header, in_clear, last_sent, register, sent, sets};

#[test]
fn nothing_but_the_first_register_and_its_challenge_is_readable_and_both_kernels_agree() {
    let mut scene = Scene::protected(2_001, "never");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    assert_golden("protected_register", &scene.ladder());
    assert_eq!(
        in_clear(&scene),
        [
            "REGISTER sip:ims.mnc001.mcc001.3gppnetwork.org SIP/2.0",
            "SIP/2.0 401 Unauthorized"
        ]
    );
    let (ours, theirs) = (scene.world.kernel("P-CSCF"), scene.world.kernel("UE"));
    let (ours, theirs) = (ours.sets().next().unwrap(), theirs.sets().next().unwrap());
    assert!(ours.keys == theirs.keys, "one key on both sides");
    assert_eq!((ours.suite, ours.states), (theirs.suite, theirs.states));
    assert_eq!(ours.suite, shape::PLAIN.dialect.suites[0]);
    let traffic = scene.world.kernel("P-CSCF").traffic(ours.id).unwrap();
    let packets = traffic.map(|state| state.packets);
    assert_eq!(
        packets,
        [1, 0, 1, 0],
        "UDP: one state each way, client port to server port"
    );
    scene.assert_quiet();
    assert_eq!(scene.world.kernel("P-CSCF").states(), 4);
}

#[test]
fn over_tcp_the_answer_comes_back_on_the_connection_of_the_phone() {
    let mut scene = Scene::protected(2_002, "never");
    scene.phone_with("UE", 1, |config| config.transport(Transport::Tcp));
    register(&mut scene, UeCommand::Register);
    let (flow, ok) = last_sent(&scene, "P-CSCF", "UE");
    assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
    assert_eq!(
        (flow.transport, flow.interface),
        (Transport::Tcp, Interface::GmProtected)
    );
    assert_eq!((flow.remote.port(), flow.local.port()), (6_101, 45_061));
    let id = scene.world.kernel("P-CSCF").sets().next().unwrap().id;
    let packets = scene
        .world
        .kernel("P-CSCF")
        .traffic(id)
        .unwrap()
        .map(|state| state.packets > 0);
    assert_eq!(packets, [true, true, false, false]);
    scene.assert_quiet();
}

#[test]
fn the_core_hears_of_protection_and_not_of_the_agreement() {
    let mut scene = Scene::protected(2_003, "never");
    scene.phone("UE", 1);
    register(&mut scene, UeCommand::Register);
    let all = sent(&scene, "P-CSCF", "I-CSCF");
    let marks: Vec<_> = all
        .iter()
        .map(|(_, text)| {
            let value = header(text, "Authorization").unwrap();
            param_of(&value, "integrity-protected").unwrap().to_owned()
        })
        .collect();
    assert_eq!(marks, ["no", "yes"]);
    for (_, text) in all {
        for name in [
            "Security-Client",
            "Security-Verify",
            "Security-Server",
            "Proxy-Require",
        ] {
            assert_eq!(header(&text, name), None, "{text}");
        }
        assert!(!header(&text, "Require").unwrap().contains("sec-agree"), "{text}");
    }
}

#[test]
fn the_challenge_names_numbers_that_can_be_used() {
    for seed in 2_010..2_020 {
        let mut scene = Scene::protected(seed, "never");
        scene.phone("UE", 1);
        register(&mut scene, UeCommand::Register);
        let challenge = sent(&scene, "P-CSCF", "UE").remove(0).1;
        let server = header(&challenge, "Security-Server").unwrap();
        let number = |name| param_of(&server, name).unwrap().parse::<u32>().unwrap();
        let set = scene.world.kernel("UE").sets().next().unwrap();
        let mut spis = vec![
            number("spi-c"),
            number("spi-s"),
            set.states[1].spi,
            set.states[2].spi,
        ];
        assert!(spis.iter().all(|spi| *spi >= 256), "{spis:?}");
        spis.sort_unstable();
        spis.dedup();
        assert_eq!(spis.len(), 4, "{server}");
        assert_eq!(number("port-s"), 6_101);
        assert_ne!(number("port-c"), 6_101);
        for (name, value) in [
            ("prot", "esp"),
            ("mod", "trans"),
            ("alg", "hmac-sha-1-96"),
            ("ealg", "aes-cbc"),
        ] {
            assert_eq!(param_of(&server, name), Some(value), "{server}");
        }
        assert!(server.starts_with("ipsec-3gpp;"), "{server}");
    }
}

#[test]
fn the_challenge_waits_until_the_kernel_has_all_four_states() {
    let mut scene = Scene::protected(2_004, "never");
    scene.phone("UE", 1);
    scene
        .world
        .kernel_mut("P-CSCF")
        .set_answer_after(Duration::from_secs(2));
    scene.ue("UE", |now, ue| ue.command(now, UeCommand::Register));
    scene.world.advance(Duration::from_millis(1_900));
    assert_eq!(scene.world.kernel("P-CSCF").states(), 4);
    assert!(sent(&scene, "P-CSCF", "UE").is_empty(), "{}", scene.ladder());
    scene.world.advance(Duration::from_secs(8));
    assert!(scene.ue("UE", |_, ue| ue.is_registered()), "{}", scene.ladder());
}

#[test]
fn a_challenge_that_nobody_answers_leaves_no_state_after_four_minutes() {
    let mut scene = Scene::protected(2_005, "never");
    scene.misdoer("UE", 1, Misdeed::NeverAnswers);
    scene.tell("UE", UeCommand::Register);
    scene.world.advance(Duration::from_secs(239));
    assert_eq!(scene.world.kernel("P-CSCF").states(), 4);
    scene.world.advance(Duration::from_secs(3));
    assert_eq!(scene.world.kernel("P-CSCF").states(), 0);
    scene.assert_empty();
}

#[test]
fn another_challenge_takes_the_place_of_one_that_was_not_answered() {
    let mut scene = Scene::protected(2_006, "never");
    scene.misdoer("UE", 1, Misdeed::NeverAnswers);
    scene.tell("UE", UeCommand::Register);
    let first = scene.world.kernel("P-CSCF").sets().next().unwrap().states;
    scene.tell("UE", UeCommand::Register);
    assert_eq!(sets(&scene), 1);
    assert_ne!(scene.world.kernel("P-CSCF").sets().next().unwrap().states, first);
    scene.ue("UE", |_, ue| {
        ue.config_mut().security = Some(UeSecurity::default())
    });
    register(&mut scene, UeCommand::Register);
    assert_eq!(sets(&scene), 1);
    scene.assert_quiet();
}

#[test]
fn security_verify_in_other_words_is_the_same() {
    let mut scene = Scene::protected(2_007, "never");
    scene.phone_with("UE", 1, |config| {
        config.security(UeSecurity {
            verify: Verify::Reordered,
            ..UeSecurity::default()
        })
    });
    register(&mut scene, UeCommand::Register);
}

#[test]
fn auts_comes_in_clear_with_new_numbers_and_its_challenge_makes_the_set() {
    let mut scene = Scene::protected(2_008, "never");
    scene.phone_with("UE", 1, super::ahead_of_the_hss);
    let events = scene.tell("UE", UeCommand::Register);
    assert!(events.contains(&UeEvent::SyncFailure), "{events:?}");
    assert!(super::is_registered(&events), "{events:?}\n{}", scene.ladder());
    assert_golden("protected_resync", &scene.ladder());
    assert_eq!(in_clear(&scene).len(), 4, "{}", scene.ladder());
    let registers = sent(&scene, "UE", "P-CSCF");
    assert_eq!(header(&registers[1].1, "Security-Verify"), None);
    assert_ne!(
        header(&registers[0].1, "Security-Client"),
        header(&registers[1].1, "Security-Client")
    );
    assert_eq!(sets(&scene), 1);
    let ours = scene.world.kernel("P-CSCF").sets().next().unwrap().states;
    assert_eq!(
        ours,
        scene.world.kernel("UE").sets().next().unwrap().states,
        "of the second offer"
    );
    scene.assert_quiet();
}

#[test]
fn what_goes_to_the_phone_leaves_the_client_port_and_names_the_server_port() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut scene = Scene::protected(2_009, "never");
        scene.phone_with("UE", 1, |config| config.transport(transport));
        register(&mut scene, UeCommand::Register);
        let pc = scene.world.kernel("UE").sets().next().unwrap().states[2].source;
        scene.send_to_phone("UE", "OPTIONS");
        let (flow, options) = last_sent(&scene, "P-CSCF", "UE");
        assert!(options.starts_with("OPTIONS"), "{options}");
        assert_eq!(
            (flow.remote, flow.local.port()),
            (pc, 45_062),
            "{}",
            scene.ladder()
        );
        assert!(
            header(&options, "Via").unwrap().contains("192.0.2.1:6101;"),
            "{options}"
        );
        let (flow, answer) = last_sent(&scene, "UE", "P-CSCF");
        assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
        match flow.transport {
            Transport::Udp => assert_eq!((flow.remote.port(), flow.local.port()), (45_061, 6_101)),
            Transport::Tcp => assert_eq!((flow.remote.port(), flow.local), (45_062, pc)),
        }
        scene.assert_quiet();
    }
}
