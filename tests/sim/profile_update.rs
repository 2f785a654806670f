//! Testkit: the HSS changes a profile (PPR, TS 29.228 6.2.2).

use std::time::Duration;

use hss_client::cx::CxPushAnswer;
use ims_tests::scene::{Scene, impi, impu};
use ims_tests::site::HOME;
use ims_tests::ue::UeCommand;

#[test]
fn a_pushed_identity_is_listed_at_the_next_registration() {
    let mut scene = Scene::new(701);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    let own = impu("tel:+15550001");
    let new = format!("sip:alice@{HOME}");
    let sent = scene.hss(|now, hss| {
        hss.subscribers
            .update(&impi(1), |subscriber| subscriber.impu(&new))
            && hss.send_ppr(now, &impi(1), &own)
    });
    assert!(sent, "sent");
    scene.world.advance(Duration::from_secs(5));
    let answers = scene.hss(|_, hss| hss.push_answers().to_vec());
    assert!(
        matches!(answers.as_slice(), [CxPushAnswer::Ppa(ppa)] if ppa.result.is_success()),
        "{answers:?}"
    );
    scene.tell("UE", UeCommand::Refresh);
    let associated = scene.granted("UE").associated;
    assert!(associated.iter().any(|uri| uri.contains(&new)), "{associated:?}");
}

#[test]
fn a_push_for_a_user_who_is_not_here_is_refused() {
    let mut scene = Scene::new(702);
    scene.phone("UE", 1);
    scene.tell("UE", UeCommand::Register);
    scene.tell("UE", UeCommand::Deregister);
    let sent = scene.hss(|now, hss| hss.send_ppr(now, &impi(1), &impu("tel:+15550001")));
    scene.world.advance(Duration::from_secs(5));
    let answers = scene.hss(|_, hss| hss.push_answers().to_vec());
    let refused = answers
        .iter()
        .all(|a| matches!(a, CxPushAnswer::Ppa(ppa) if !ppa.result.is_success()));
    assert!(refused && sent != answers.is_empty(), "sent: {sent}, {answers:?}");
}
