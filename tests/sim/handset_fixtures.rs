//! Testkit: twenty-four handsets register, register again and leave inside security associations.

use std::net::IpAddr;
use std::time::Duration;

use ims_common::net::{Interface, Transport};
use ims_tests::milenage::Sqn;
use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::{HOME, Site};
use ims_tests::text::SipText;
use ims_tests::ue::fixtures::{ALL, Fixture, Step};
use ims_tests::ue::identity::Secret;
use ims_tests::ue::security::{Misdeed, UeSecurity};
use ims_tests::ue::{UeCommand, UeEvent};
use ims_tests::world::record::What;

fn site(fixture: &Fixture) -> Site {
    let mut site = match fixture.ipv6 {
        true => Site::on_ipv6_network(),
        false => Site::on_network([192, 0, 2]),
    }
    .with_ipsec();
    if let Some(algorithms) = fixture.algorithms {
        site.pcscf_more = format!("  ipsec: {{algorithms: {algorithms}}}\n");
    }
    site.allow_unprotected = !fixture.agrees;
    let unprotected = if fixture.agrees { "refuse" } else { "accept" };
    site.scscf_more = format!(
        "  registration: {{reauthenticate: {}, unprotected_response: {unprotected}}}\n",
        fixture.reauthenticate
    );
    site
}

pub(crate) fn scene(fixture: &Fixture, seed: u64) -> Scene {
    let mut scene = Scene::with(seed, site(fixture), vec![subscriber(1), subscriber(2)]);
    scene.phone_with("UE", 1, |config| {
        let mut config = config.shape(fixture.shape).transport(fixture.transport);
        config.security = fixture.agrees.then(|| security(fixture, Misdeed::None));
        config
    });
    scene
}

fn security(fixture: &Fixture, misdeed: Misdeed) -> UeSecurity {
    UeSecurity {
        misdeed,
        initial_inside: fixture.name == "register_in_stale_sa",
        ..UeSecurity::default()
    }
}

/// The number of the last message: with it what follows can be told from what was.
fn count(scene: &Scene) -> usize {
    scene.world.record().entries().len()
}

/// Everything on Gm since then was inside; `false` when nothing was there.
fn all_inside(scene: &Scene, since: usize) -> bool {
    let entries = scene.world.record().entries().iter().skip(since);
    let mut flows = entries.filter_map(|entry| match &entry.what {
        What::Sip { flow, .. } if entry.from == "UE" || entry.to == "UE" => Some(flow.interface),
        _ => None,
    });
    let inside: Vec<_> = flows
        .by_ref()
        .map(|interface| interface == Interface::GmProtected)
        .collect();
    !inside.is_empty() && inside.iter().all(|inside| *inside)
}

fn told(scene: &mut Scene, fixture: &Fixture, command: UeCommand) -> Vec<UeEvent> {
    let events = scene.tell("UE", command.clone());
    let done = events.iter().any(|event| {
        matches!(
            event,
            UeEvent::Registered(_) | UeEvent::Deregistered | UeEvent::Answered(_)
        )
    });
    assert!(
        done,
        "{} {command:?}: {events:?}\n{}",
        fixture.name,
        scene.ladder()
    );
    events
}

fn take(scene: &mut Scene, fixture: &Fixture, step: Step) {
    let since = count(scene);
    match step {
        Step::Again | Step::Anew => {
            let anew = matches!(step, Step::Anew);
            let command = if anew {
                UeCommand::Register
            } else {
                UeCommand::Refresh
            };
            told(scene, fixture, command);
            let inside = step_is_inside(fixture, step);
            assert_eq!(
                all_inside(scene, since),
                inside,
                "{} {step:?}\n{}",
                fixture.name,
                scene.ladder()
            );
        }
        Step::LeaveAll => {}
        Step::RunAhead => scene.ue("UE", |_, ue| {
            if let Secret::Aka(usim) = &mut ue.config_mut().secret {
                let sqn = usim.sqn_ms();
                *usim = usim.clone().with_sqn(Sqn::of(sqn.seq() + 1_000, 0));
            }
        }),
        Step::Ignore => {
            set_misdeed(scene, fixture, Misdeed::NeverAnswers);
            let is_registered = scene.ue("UE", |_, ue| ue.is_registered());
            let command = if is_registered {
                UeCommand::Refresh
            } else {
                UeCommand::Register
            };
            let events = scene.tell("UE", command);
            assert!(
                matches!(events.last(), Some(UeEvent::SaInstalled(_))),
                "{events:?}"
            );
            set_misdeed(scene, fixture, Misdeed::None);
        }
        Step::Ask(transport, text, intact) => {
            scene.ue("UE", |_, ue| ue.config_mut().transport = transport);
            let events = told(scene, fixture, UeCommand::Request(text));
            assert!(all_inside(scene, since), "{}\n{}", fixture.name, scene.ladder());
            let sent = scene.world.record().sip("P-CSCF", "S-CSCF");
            let mut requests = sent.iter().rev().filter(|text| !text.starts_with("ACK"));
            let sent = match intact {
                // Answered by the P-CSCF.
                [] => "",
                _ => requests
                    .next()
                    .unwrap_or_else(|| panic!("{}: {events:?}", fixture.name)),
            };
            for line in intact {
                let line = line.replace("{home}", HOME);
                assert!(sent.contains(&line), "{}: {line} is not in\n{sent}", fixture.name);
            }
            assert_answer_came_back(scene, fixture, transport);
            scene.ue("UE", |_, ue| ue.config_mut().transport = fixture.transport);
        }
    }
}

/// UDP: from the client port of the P-CSCF to the server port of the phone; TCP: on the phone's connection.
fn assert_answer_came_back(scene: &Scene, fixture: &Fixture, transport: Transport) {
    let mut entries = scene.world.record().entries().iter().rev();
    let last = entries.find(|entry| entry.to == "UE").map(|entry| &entry.what);
    let Some(What::Sip { flow, bytes, .. }) = last else {
        panic!("nothing came back")
    };
    let status = SipText::new(bytes).and_then(|text| text.status());
    assert!(status >= Some(300), "{}", fixture.name);
    assert_eq!(flow.transport, transport, "{}", fixture.name);
    let us = fixture.shape.dialect.port_us;
    match transport {
        Transport::Udp => assert_eq!(flow.local.port(), us, "{}", fixture.name),
        Transport::Tcp => assert!(flow.remote.port() == 6_101 && flow.local.port() != us, "{flow:?}"),
    }
}

/// Initial registrations begin in clear, and so do those of phones without an agreement.
fn step_is_inside(fixture: &Fixture, step: Step) -> bool {
    let is_inside = matches!(step, Step::Again) || fixture.name == "register_in_stale_sa";
    fixture.agrees && is_inside
}

fn set_misdeed(scene: &mut Scene, fixture: &Fixture, misdeed: Misdeed) {
    let security = security(fixture, misdeed);
    scene.ue("UE", |_, ue| ue.config_mut().security = Some(security));
}

fn live(fixture: &Fixture, seed: u64) -> Scene {
    let mut scene = scene(fixture, seed);
    // These begin with something else than a good registration.
    let begins_badly = matches!(fixture.story.first(), Some(Step::RunAhead | Step::Ignore));
    if !begins_badly {
        told(&mut scene, fixture, UeCommand::Register);
    }
    for step in fixture.story {
        take(&mut scene, fixture, *step);
        scene.world.advance(Duration::from_secs(5));
        if let Some(set) = scene.world.kernel("UE").sets().last() {
            assert_eq!(set.suite, fixture.chosen, "{}", fixture.name);
        }
    }
    assert_eq!(
        scene.world.kernel("UE").states() > 0,
        fixture.agrees,
        "{}",
        fixture.name
    );
    scene
}

#[test]
fn each_handset_registers_registers_again_and_leaves_over_security_associations() {
    for (seed, fixture) in (2_800..).zip(&ALL) {
        let mut scene = live(fixture, seed);
        let since = count(&scene);
        let leaves_all = matches!(fixture.story.last(), Some(Step::LeaveAll));
        let farewell = if leaves_all {
            UeCommand::DeregisterAll
        } else {
            UeCommand::Deregister
        };
        let events = told(&mut scene, fixture, farewell);
        assert!(
            events.contains(&UeEvent::Deregistered),
            "{}: {events:?}",
            fixture.name
        );
        assert_eq!(
            all_inside(&scene, since),
            fixture.agrees,
            "{}\n{}",
            fixture.name,
            scene.ladder()
        );
        scene.assert_empty();
    }
}

#[test]
fn what_a_handset_says_of_its_access_reaches_the_core_as_it_is() {
    for (name, lines) in [
        (
            "vowifi_pani_cni",
            &[
                "P-Access-Network-Info: IEEE-802.11;i-wlan-node-id=0a1b2c3d4e5f",
                "Cellular-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000101;cell-info-age=57",
            ][..],
        ),
        (
            "nr_pani_long_cellid",
            &["P-Access-Network-Info: 3GPP-NR-TDD;utran-cell-id-3gpp=00101000001ABCDEF01234"],
        ),
    ] {
        let fixture = ALL.iter().find(|fixture| fixture.name == name).unwrap();
        let scene = live(fixture, 2_830);
        let register = scene.world.record().sip("P-CSCF", "I-CSCF").pop().unwrap();
        for line in lines {
            assert!(register.contains(line), "{name}: {register}");
        }
    }
}

#[test]
fn a_nonce_is_used_five_times_with_one_cnonce_and_new_spis_each_time() {
    let fixture = ALL
        .iter()
        .find(|fixture| fixture.name.starts_with("rereg_nc5"))
        .unwrap();
    let scene = live(fixture, 2_831);
    let registers = scene.world.record().sip("UE", "P-CSCF");
    let last = registers.last().unwrap();
    assert!(last.contains("nc=00000005"), "{last}");
    let of = |name: &str| -> Vec<String> {
        let values = registers.iter().filter_map(|text| {
            let at = text.find(name)? + name.len();
            Some(text[at..].split([';', ',', '"']).next()?.to_owned())
        });
        values.collect()
    };
    let (mut cnonces, mut spis) = (of("cnonce=\""), of("spi-c="));
    cnonces.dedup();
    assert_eq!(cnonces.len(), 1);
    spis.dedup();
    assert_eq!(spis.len(), 5, "one for challenge and answer, then four: {spis:?}");
}

#[test]
fn the_fixtures_are_all_there_and_in_the_manual_and_some_have_ipv6() {
    let mut names: Vec<_> = ALL.iter().map(|fixture| fixture.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 24);
    let manual = include_str!("../../common/src/manual/handsets.md");
    for fixture in &ALL {
        let row = manual
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", fixture.name)));
        let row = row.unwrap_or_else(|| panic!("{} is not in the manual", fixture.name));
        let about = fixture.about.split_at(1).1;
        assert!(row.contains(about), "{row}");
    }
    let addresses = ALL
        .iter()
        .filter(|fixture| fixture.ipv6)
        .map(|fixture| site(fixture).gm.ip());
    assert!(addresses.clone().count() >= 2 && addresses.into_iter().all(|ip| matches!(ip, IpAddr::V6(_))));
}
