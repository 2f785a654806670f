//! Testkit: MESSAGEs between phones, octet by octet (RFC 3428, TS 24.229 5.4.3, TS 24.341).

use ims_tests::ladder::assert_golden;
use ims_tests::scene::Scene;
use ims_tests::scene::calls::tel;
use ims_tests::ue::message::SMS;
use ims_tests::ue::talk::Text;
use ims_tests::ue::{UeCommand, UeEvent};

#[test]
fn a_text_reaches_the_other_and_is_answered() {
    let mut scene = Scene::talking(5_060);
    let events = scene.tell("A", UeCommand::Message(Text::plain(&tel(2), "Hello")));
    assert_eq!(
        events.last(),
        Some(&UeEvent::Answered(200)),
        "\n{}",
        scene.ladder()
    );
    assert_golden("message", &scene.ladder());
    let received = scene.messages_of("B").remove(0);
    assert_eq!(received.body, b"Hello");
    assert!(received.from.contains("+15550001"), "{received:?}");
    scene.assert_quiet();
}

#[test]
fn octets_of_all_kinds_arrive_as_they_were_sent() {
    let mut scene = Scene::talking(5_061);
    scene.ue("B", |_, ue| ue.config_mut().manner.acknowledges_sms = false);
    let octets: Vec<u8> = (0..=255).chain([13, 10, 13, 10, 0, 0]).collect();
    let text = Text {
        content_type: SMS.to_owned(),
        body: octets.clone(),
        ..Text::plain(&tel(2), "")
    };
    scene.tell("A", UeCommand::Message(text));
    let received = scene.messages_of("B").remove(0);
    assert_eq!((received.body, received.content_type.as_str()), (octets, SMS));
}

#[test]
fn a_text_to_nobody_and_one_to_somebody_who_is_away_are_refused() {
    let mut scene = Scene::talking(5_062);
    scene.tell("B", UeCommand::Deregister);
    for (to, status) in [
        (tel(2), 480),
        ("sip:nobody@ims.mnc001.mcc001.3gppnetwork.org".to_owned(), 404),
    ] {
        let events = scene.tell("A", UeCommand::Message(Text::plain(&to, "Hello")));
        assert_eq!(
            events.last(),
            Some(&UeEvent::Answered(status)),
            "\n{}",
            scene.ladder()
        );
    }
    scene.assert_quiet();
}
