//! Testkit: many phones that come, stay, leave and vanish over bad links: whatever happens, the invariants of the
//! world hold and nothing is left.

use std::time::Duration;

use ims_common::net::Transport;
use ims_common::node::Seed;
use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::{Behaviour, UeCommand, shape};
use ims_tests::world::links::Link;
use rand::Rng as _;
use rand::rngs::StdRng;

const PHONES: u8 = 12;
const STEPS: usize = 60;

/// `SEED=…` runs one seed only.
fn seeds() -> Vec<u64> {
    match std::env::var("SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => vec![seed],
        None => (9_000..9_010).collect(),
    }
}

#[test]
fn nothing_is_answered_twice_and_nothing_is_left_after_a_swarm() {
    for seed in seeds() {
        let mut rng = Seed::from_number(seed).rng(1);
        let mut scene = swarm(seed, &mut rng);
        scene.world.links.set_default(Link {
            loss: rng.random_range(0..150),
            duplicates: rng.random_range(0..100),
            ..Link::default()
        });
        for _ in 0..STEPS {
            let name = format!("UE{}", rng.random_range(1..=PHONES));
            step(&mut scene, &name, &mut rng);
            scene
                .world
                .advance(Duration::from_millis(rng.random_range(0..20_000)));
        }
        scene.world.links.set_default(Link::default());
        // The longest registration, and all that may follow it.
        scene.world.advance(Duration::from_secs(3_600 + 600));
        println!("SEED={seed}");
        scene.assert_empty();
    }
}

fn swarm(seed: u64, rng: &mut StdRng) -> Scene {
    let subscribers = (1..=PHONES).map(subscriber).collect();
    let mut scene = Scene::with(seed, Site::on_network([192, 0, 2]), subscribers);
    for number in 1..=PHONES {
        let shape = shape::ALL[rng.random_range(0..shape::ALL.len())];
        let tcp = rng.random_bool(0.3);
        scene.phone_with(&format!("UE{number}"), number, |config| {
            let transport = if tcp { Transport::Tcp } else { Transport::Udp };
            config.shape(shape).transport(transport).expires(3_600)
        });
    }
    scene
}

fn step(scene: &mut Scene, name: &str, rng: &mut StdRng) {
    let behaviour = match rng.random_range(0..10) {
        0 => Behaviour::WrongResponse,
        1 => Behaviour::IgnoreChallenge,
        2 => Behaviour::MacFailure,
        3 => Behaviour::NewCallId,
        _ => Behaviour::Honest,
    };
    let command = match rng.random_range(0..10) {
        0..4 => UeCommand::Register,
        4..7 => UeCommand::Refresh,
        7 => UeCommand::Query,
        8 => UeCommand::DeregisterAll,
        _ => UeCommand::Deregister,
    };
    scene.ue(name, |now, ue| {
        ue.config_mut().behaviour = behaviour;
        if ue.is_idle() && (ue.is_registered() || command == UeCommand::Register) {
            ue.command(now, command);
        }
    });
}
