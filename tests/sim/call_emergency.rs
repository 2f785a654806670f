//! Testkit: calls for help by phones with an ordinary registration (TS 24.229 5.1.6.8, 5.2.10.4, 7.6.1).

use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::ue::UeCommand;
use ims_tests::ue::talk::{CallEvent, Cause};

#[test]
fn a_call_for_help_is_answered_with_an_alternative_service() {
    let mut scene = Scene::talking(5_110);
    let events = scene.tell_of_calls("A", UeCommand::call("urn:service:sos"));
    assert_golden("call_emergency", &scene.ladder());
    assert_eq!(
        events,
        [CallEvent::Ended(Cause::Refused(380))],
        "\n{}",
        scene.ladder()
    );
    let answer = scene.world.record().sip("P-CSCF", "A").pop().unwrap();
    for part in [
        "P-Asserted-Identity: ",
        "Content-Type: application/3gpp-ims+xml",
        "<alternative-service>",
        "<type>emergency",
        "emergency-registration",
    ] {
        assert!(answer.contains(part), "no {part} in\n{answer}");
    }
    scene.assert_quiet();
}

#[test]
fn numbers_for_help_are_known_in_every_spelling() {
    let mut scene = Scene::talking(5_111);
    for uri in [
        "tel:112",
        "tel:911;phone-context=ims.mnc001.mcc001.3gppnetwork.org",
        "sip:112@ims.mnc001.mcc001.3gppnetwork.org;user=phone",
        "sip:112;phone-context=+1@ims.mnc001.mcc001.3gppnetwork.org;user=phone",
        "urn:service:sos.fire",
    ] {
        let events = scene.tell_of_calls("A", UeCommand::call(uri));
        assert_eq!(
            events,
            [CallEvent::Ended(Cause::Refused(380))],
            "{uri}\n{}",
            scene.ladder()
        );
    }
    assert!(scene.world.record().sip("P-CSCF", "S-CSCF").is_empty());
    scene.assert_quiet();
}
