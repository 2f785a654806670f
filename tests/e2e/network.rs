//! Testkit: the three real binaries and the embedded HSS, running.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ims_tests::daemons::{self, Daemons};
use ims_tests::host::{self, Phone};
use ims_tests::hss::{Hss, Subscriber};
use ims_tests::scene::{hss, phone_config};
use ims_tests::site::Site;
use ims_tests::ue::remote::{Handle, Seen};
use ims_tests::ue::{UeCommand, UeConfig, UeEvent};

/// Enough on a busy machine; far below timer F.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running network. It ends with this value.
pub(crate) struct Network {
    pub(crate) site: Site,
    pub(crate) daemons: Daemons,
    pub(crate) hss: Handle<Hss>,
}

impl Network {
    /// Starts all on `site`.
    pub(crate) fn start(site: Site, subscribers: Vec<Subscriber>) -> Self {
        let peers = 1 + site.scscfs.len();
        Self::start_watched(site, subscribers, peers, |_, _| {})
    }

    /// Starts all on `site` with somebody who sees what the HSS sees, and waits until the HSS has so many peers.
    pub(crate) fn start_watched(
        site: Site,
        subscribers: Vec<Subscriber>,
        peers: usize,
        watch: impl FnMut(Instant, Seen<'_>) + Send + 'static,
    ) -> Self {
        // The HSS draws the same challenges in every run: SIPp cuts RES at an octet of zero, which one of 32 random
        // challenges has, and is then refused as it should be.
        let seed = ims_common::node::Seed {
            entropy: [1; 32],
            ..ims_common::shell::seed().expect("a clock")
        };
        let (hss, _) =
            host::host(hss(subscribers, seed), host::hss_sockets(site.hss), watch).expect("the HSS");
        let daemons = Daemons::start(&site, &binaries()).expect("the daemons");
        host::wait_for_peers(&hss, peers).expect("connections with the HSS");
        Self { site, daemons, hss }
    }

    /// Switches a phone on.
    pub(crate) fn phone(&self, number: u8, change: impl FnOnce(UeConfig) -> UeConfig) -> Phone {
        let config = change(phone_config(&self.site, number, number));
        Phone::start(&format!("phone {number}"), config, |_, _| {}).expect("the phone")
    }

    /// Tells a phone something that must end well.
    pub(crate) fn must(&self, phone: &Phone, command: UeCommand) -> Vec<UeEvent> {
        let events = phone.tell_and_wait(command.clone(), PATIENCE).expect("an end");
        let done = |event: &UeEvent| {
            matches!(
                event,
                UeEvent::Registered(_) | UeEvent::Deregistered | UeEvent::Bindings(_)
            )
        };
        assert!(
            events.iter().any(done),
            "{} {command:?}: {events:?}\n{}",
            phone.name(),
            self.daemons.tails(40)
        );
        events
    }

    /// Ends all daemons with SIGTERM; each must exit with 0.
    pub(crate) fn stop(mut self) {
        if let Err(error) = self.daemons.stop() {
            panic!("{error:#}\n{}", self.daemons.tails(40));
        }
    }
}

/// Where the three binaries are.
pub(crate) fn binaries() -> PathBuf {
    daemons::built()
}
