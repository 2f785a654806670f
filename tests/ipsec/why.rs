//! Testkit: what a real kernel counts becomes a sentence.

use std::time::{Duration, Instant};

use ims_tests::ue::UeCommand;
use ims_tests::ue::security::{Misdeed, UeSecurity};

use crate::network::Network;
use crate::space::ue_address;

/// The kernel is looked at every ten seconds, and a story when it is twelve seconds old.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
#[ignore = "cargo ci ipsec"]
fn esp_that_fails_the_check_of_a_real_kernel_is_explained_with_the_address_it_comes_from() {
    let network = Network::start(true, "");
    let security = UeSecurity {
        misdeed: Misdeed::WrongKey,
        ..UeSecurity::default()
    };
    let handset = network.phone(1, |config| config.security(security));
    handset.phone.tell(UeCommand::Register);
    let end = Instant::now() + PATIENCE;
    let found = loop {
        let found = network.ask("/api/v1/findings");
        if found.contains("esp-fails-authentication") {
            break found;
        }
        assert!(Instant::now() < end, "{found}\n{}", network.about());
        std::thread::sleep(Duration::from_millis(500));
    };
    let from = format!("from {} since the challenge", ue_address(true, 1));
    assert!(found.contains(&from), "{from}: {found}\n{}", network.about());
    network.stop();
}
