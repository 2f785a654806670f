//! Testkit: Gm protected by IPsec (TS 33.203 7, TS 24.229 5.1.1, 5.2.2.2), with the kernels of the virtual world.

mod bad_offers;
mod kernel_faults;
mod leaving;
mod misdeeds;
mod registration;
mod reregistration;
mod restart;
mod several;
mod size;
mod strangers;

use ims_common::net::{Flow, Interface};
use ims_tests::milenage::Sqn;
use ims_tests::scene::Scene;
use ims_tests::text::SipText;
use ims_tests::ue::identity::Secret;
use ims_tests::ue::{UeCommand, UeConfig, UeEvent};
use ims_tests::world::record::What;

/// Tells the phone to register, in one way or another; it has to be told 200.
fn register(scene: &mut Scene, command: UeCommand) {
    let events = scene.tell("UE", command);
    assert!(is_registered(&events), "{events:?}\n{}", scene.ladder());
}

pub(crate) fn is_registered(events: &[UeEvent]) -> bool {
    events.iter().any(|event| matches!(event, UeEvent::Registered(_)))
}

/// What went from one to the other: the way as the receiver sees it, and the message.
pub(crate) fn sent(scene: &Scene, from: &str, to: &str) -> Vec<(Flow, String)> {
    let entries = scene.world.record().entries().iter();
    entries
        .filter(|entry| entry.from == from && entry.to == to)
        .filter_map(|entry| match &entry.what {
            What::Sip { flow, bytes, .. } => Some((*flow, String::from_utf8_lossy(bytes).into_owned())),
            What::Diameter { .. } | What::Note(_) => None,
        })
        .collect()
}

/// The last of them.
fn last_sent(scene: &Scene, from: &str, to: &str) -> (Flow, String) {
    sent(scene, from, to)
        .pop()
        .unwrap_or_else(|| panic!("nothing\n{}", scene.ladder()))
}

pub(crate) fn header(text: &str, name: &str) -> Option<String> {
    SipText::new(text.as_bytes())?.header(name).map(ToOwned::to_owned)
}

/// The start lines of what was readable on Gm.
pub(crate) fn in_clear(scene: &Scene) -> Vec<String> {
    let both = [("UE", "P-CSCF"), ("P-CSCF", "UE")];
    let all = both.iter().flat_map(|(from, to)| sent(scene, from, to));
    let clear = all.filter(|(flow, _)| flow.interface == Interface::Gm);
    clear
        .map(|(_, text)| text.lines().next().unwrap_or_default().to_owned())
        .collect()
}

/// Sets in the kernel of the P-CSCF.
pub(crate) fn sets(scene: &Scene) -> usize {
    scene.world.kernel("P-CSCF").sets().count()
}

/// The same phone with a USIM whose sequence number ran ahead of the HSS.
fn ahead_of_the_hss(mut config: UeConfig) -> UeConfig {
    if let Secret::Aka(usim) = &mut config.secret {
        *usim = usim.clone().with_sqn(Sqn::of(1 << 20, 0));
    }
    config
}
