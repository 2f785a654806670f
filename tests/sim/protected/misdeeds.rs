//! Testkit: phones that do wrong with their agreement, and men in the middle (TS 24.229 5.2.2.2, 33.203 7.3).

use ims_tests::kernel::Dropped;
use ims_tests::scene::Scene;
use ims_tests::ue::security::{Misdeed, UeSecurity};
use ims_tests::ue::{UeCommand, UeEvent};

use super::{header, is_registered, last_sent, register, sent, sets};

/// What a misdeed is answered with; the core hears nothing of it.
fn refused_with(misdeed: Misdeed) -> String {
    let mut scene = Scene::protected(2_301, "never");
    scene.misdoer("UE", 1, misdeed);
    let events = scene.tell("UE", UeCommand::Register);
    assert!(!is_registered(&events), "{misdeed:?}: {events:?}");
    assert_eq!(
        sent(&scene, "P-CSCF", "I-CSCF").len(),
        1,
        "{misdeed:?}\n{}",
        scene.ladder()
    );
    let (_, refusal) = last_sent(&scene, "P-CSCF", "UE");
    // Honest again, it is served: nothing of before is in its way.
    scene.ue("UE", |_, ue| {
        ue.config_mut().security = Some(UeSecurity::default())
    });
    register(&mut scene, UeCommand::Register);
    assert_eq!(sets(&scene), 1, "{misdeed:?}");
    scene.assert_quiet();
    refusal
}

#[test]
fn an_answer_that_differs_from_what_was_agreed_is_refused_before_the_core() {
    for (misdeed, status) in [
        (Misdeed::WrongVerify, "494"),
        (Misdeed::ChangedClient, "494"),
        (Misdeed::NoVerify, "400"),
        (Misdeed::NoClient, "400"),
        (Misdeed::OtherImpi, "403"),
    ] {
        let refusal = refused_with(misdeed);
        let expected = format!("SIP/2.0 {status} ");
        assert!(refusal.starts_with(&expected), "{misdeed:?}: {refusal}");
        let lists_ours = header(&refusal, "Security-Server").is_some();
        assert_eq!(lists_ours, status == "494", "{refusal}");
    }
}

#[test]
fn an_answer_with_wrong_keys_or_in_clear_never_reaches_sip() {
    for (misdeed, why) in [
        (Misdeed::WrongKey, Dropped::Integrity),
        (Misdeed::InClear, Dropped::Clear),
    ] {
        let mut scene = Scene::protected(2_302, "never");
        scene.misdoer("UE", 1, misdeed);
        let events = scene.tell("UE", UeCommand::Register);
        assert!(events.contains(&UeEvent::NoAnswer), "{misdeed:?}: {events:?}");
        assert!(scene.world.kernel("P-CSCF").dropped(why) > 3, "{misdeed:?}");
        assert_eq!(sent(&scene, "P-CSCF", "I-CSCF").len(), 1, "{misdeed:?}");
        scene.assert_empty();
    }
}

#[test]
fn an_answer_outside_of_its_set_is_not_believed() {
    let mut scene = Scene::protected(2_303, "never");
    scene.misdoer("UE", 1, Misdeed::AnswerUnprotected);
    let events = scene.tell("UE", UeCommand::Register);
    assert!(!is_registered(&events), "{events:?}\n{}", scene.ladder());
    assert_eq!(scene.bindings("S-CSCF"), 0);
    scene.assert_empty();
}

#[test]
fn nothing_but_a_register_is_taken_from_a_temporary_set() {
    let mut scene = Scene::protected(2_304, "never");
    scene.misdoer("UE", 1, Misdeed::MessageOnTemporarySet);
    register(&mut scene, UeCommand::Register);
    let first = sent(&scene, "UE", "P-CSCF").into_iter().map(|(_, text)| text);
    let methods: Vec<_> = first
        .map(|text| text.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(methods[..3], ["REGISTER", "MESSAGE", "REGISTER"]);
    // It is not refused either: whoever is not authenticated hears nothing.
    let heard = sent(&scene, "P-CSCF", "UE").into_iter().map(|(_, text)| text);
    let mut before_ok = heard.take_while(|text| !text.starts_with("SIP/2.0 200"));
    assert!(
        before_ok.all(|text| header(&text, "CSeq").unwrap().ends_with("REGISTER")),
        "{}",
        scene.ladder()
    );
    let dropped = scene.world.metrics("P-CSCF").sum(
        "ims_pcscf_protected_dropped_total",
        &[("reason", "non_register_on_temporary")],
    );
    assert!(dropped > 0, "{}", scene.ladder());
}

#[test]
fn a_wrong_response_inside_the_set_ends_the_set() {
    let mut scene = Scene::protected(2_305, "never");
    scene.phone_with("UE", 1, |config| {
        config.behaviour(ims_tests::ue::Behaviour::WrongResponse)
    });
    let events = scene.tell("UE", UeCommand::Register);
    assert!(!is_registered(&events), "{events:?}");
    scene.assert_empty();
}

#[test]
fn a_phone_without_an_offer_gets_421_unless_the_operator_allows_it() {
    let mut scene = Scene::protected(2_306, "never");
    scene.phone_with("UE", 1, |mut config| {
        config.security = None;
        config
    });
    scene.tell("UE", UeCommand::Register);
    assert!(scene.is_rejected("UE", 421), "{}", scene.ladder());
    let (_, refusal) = last_sent(&scene, "P-CSCF", "UE");
    assert_eq!(header(&refusal, "Require").as_deref(), Some("sec-agree"));
    assert_eq!(sent(&scene, "P-CSCF", "I-CSCF").len(), 0);
    scene.assert_empty();
}
