//! Testkit: why something failed, in one sentence, as an operator would read it.

mod calls;
mod healthy;
mod manual;
mod network;
mod protected;
mod registration;

use ims_tests::scene::Scene;
use ims_tests::site::Site;

fn site() -> Site {
    Site::on_network([192, 0, 2])
}

/// The detectors that have found something at one node by itself, once all that looked like trouble was ripe.
fn found_by(scene: &mut Scene, node: &str) -> Vec<String> {
    let found = scene.world.found_by(node).into_iter();
    let mut names: Vec<String> = found.map(|(_, finding)| finding.detector).collect();
    names.sort();
    names.dedup();
    names
}
