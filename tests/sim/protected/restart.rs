//! Testkit: a P-CSCF that was killed and comes back (GM-45).

use std::time::Duration;

use ims_tests::kernel::Dropped;
use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::{UeCommand, UeEvent};

use super::{is_registered, register, sets};

#[test]
fn states_that_a_killed_p_cscf_left_are_gone_when_it_serves_again_and_phones_come_back() {
    let mut scene = Scene::protected(2_701, "never");
    for (name, number) in [("UE", 1), ("UE2", 2)] {
        scene.phone(name, number);
        let events = scene.tell(name, UeCommand::Register);
        assert!(is_registered(&events), "{events:?}");
    }
    scene.world.crash("P-CSCF");
    assert_eq!(sets(&scene), 2, "kill -9 takes nothing with it");
    scene.restart("P-CSCF");
    assert_eq!(sets(&scene), 0);
    // The phone still speaks inside its set, and hears nothing; then it begins anew.
    let events = scene.tell("UE", UeCommand::Refresh);
    assert!(events.contains(&UeEvent::NoAnswer), "{events:?}");
    assert!(scene.world.kernel("P-CSCF").dropped(Dropped::NoState) > 0);
    register(&mut scene, UeCommand::Register);
    assert_eq!(sets(&scene), 1);
    scene.assert_quiet();
}

#[test]
fn a_crash_between_challenge_and_answer_costs_the_phone_one_try() {
    let mut scene = Scene::protected(2_702, "never");
    scene.phone("UE", 1);
    scene.ue("UE", |now, ue| ue.command(now, UeCommand::Register));
    let has_states = |world: &mut ims_tests::world::World| world.kernel("UE").states() > 0;
    assert!(scene.world.run_until(Duration::from_secs(5), has_states));
    scene.world.crash("P-CSCF");
    scene.restart("P-CSCF");
    scene.world.advance(Duration::from_secs(200));
    register(&mut scene, UeCommand::Register);
    assert_eq!(sets(&scene), 1);
    scene.assert_quiet();
}

/// Each phone speaks inside its set at first, hears nothing until its timer F, and begins anew.
#[test]
fn two_hundred_phones_come_back_to_a_p_cscf_that_was_killed() {
    const PHONES: u8 = 200;
    let name = |number: u8| format!("UE{number}");
    let site = Site::on_network([192, 0, 2]).with_ipsec();
    let mut scene = Scene::with(2_703, site, (1..=PHONES).map(subscriber).collect());
    for number in 1..=PHONES {
        scene.phone(&name(number), number);
        scene.ue(&name(number), |now, ue| ue.command(now, UeCommand::Register));
    }
    scene.world.advance(Duration::from_secs(10));
    assert_eq!(sets(&scene), usize::from(PHONES));
    scene.world.crash("P-CSCF");
    scene.restart("P-CSCF");
    assert_eq!(scene.world.kernel("P-CSCF").states(), 0);
    for number in 1..=PHONES {
        scene.ue(&name(number), |now, ue| {
            ue.command(now, UeCommand::Refresh);
            ue.command(now, UeCommand::Register);
        });
    }
    scene.world.advance(Duration::from_secs(140));
    assert_eq!(sets(&scene), usize::from(PHONES));
    assert_eq!(scene.bindings("S-CSCF"), u64::from(PHONES));
    scene.assert_quiet();
}
