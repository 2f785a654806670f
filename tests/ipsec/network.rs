//! Testkit: a whole network with Gm protected: the real daemons and an HSS in one namespace, phones in the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ims_common::net::{Interface, NetInput, NetOutput, SipInput, SipOutput};
use ims_tests::daemons::{Daemons, binaries, http_get};
use ims_tests::host::{self, Phone};
use ims_tests::scene::{hss, phone_config, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::remote::Seen;
use ims_tests::ue::security::UeSecurity;
use ims_tests::ue::{UeCommand, UeConfig, UeEvent};

use crate::esp::State;
use crate::space::{Net, pcscf_address, ue_address};

/// Enough on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The mark of the P-CSCF's states unless its file says another.
pub(crate) const REQID: u32 = 4_803_923;
/// The operators' ports of P-, I- and S-CSCF.
const ADMIN: [SocketAddr; 3] = [admin(2), admin(3), admin(4)];

const fn admin(last: u8) -> SocketAddr {
    SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, last)),
        9_091,
    )
}

/// What passed between a phone and its sockets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Passed {
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

/// A phone, and how many messages passed.
pub(crate) struct Handset {
    pub(crate) phone: Phone,
    passed: Arc<Mutex<Passed>>,
}

impl Handset {
    pub(crate) fn passed(&self) -> Passed {
        *self.passed.lock().expect("no panic")
    }
}

/// All of it. It ends with this value.
pub(crate) struct Network {
    pub(crate) net: Net,
    pub(crate) site: Site,
    pub(crate) daemons: Daemons,
    v4: bool,
}

impl Network {
    /// Starts a network with subscribers 1 to 9. `ipsec` are lines of the P-CSCF's section `ipsec`.
    pub(crate) fn start(v4: bool, ipsec: &str) -> Self {
        let net = Net::new();
        let mut site = Site::on_network([127, 0, 0]).with_ipsec();
        site.gm = SocketAddr::new(pcscf_address(v4), 5060);
        site.admin = Some(ADMIN);
        site.pcscf_more =
            format!("  ipsec:\n    overlap: 1s\n    port_pc: [6100, 6102, 6103, 6104, 6105, 6106]\n{ipsec}");
        site.scscf_more = "  registration: {reauthenticate: always}\n".to_owned();
        let daemons = net.pcscf.inside(|| {
            let seed = ims_common::shell::seed().expect("a clock");
            let subscribers = (1..10).map(subscriber).collect();
            let (hss, _) =
                host::host(hss(subscribers, seed), host::hss_sockets(site.hss), |_, _| {}).expect("the HSS");
            let daemons =
                Daemons::start(&site, &binaries().expect("our own directory")).expect("the daemons");
            host::wait_for_peers(&hss, 2).expect("connections with the HSS");
            daemons
        });
        Self {
            net,
            site,
            daemons,
            v4,
        }
    }

    /// Switches a phone on, with IPsec.
    pub(crate) fn phone(&self, number: u8, change: impl FnOnce(UeConfig) -> UeConfig) -> Handset {
        let mut config = phone_config(&self.site, number, 0).security(UeSecurity::default());
        config.local = SocketAddr::new(ue_address(self.v4, u16::from(number)), 5060);
        let config = change(config);
        let passed = Arc::new(Mutex::new(Passed::default()));
        let counter = Arc::clone(&passed);
        let watch = move |_: Instant, seen: Seen<'_>| {
            let mut passed = counter.lock().expect("no panic");
            match seen {
                Seen::Output(NetOutput::Sip(SipOutput::Transmit(_))) => passed.sent += 1,
                Seen::Input(NetInput::Sip(SipInput::Received { flow, .. }))
                    if flow.interface == Interface::GmProtected =>
                {
                    passed.received += 1;
                }
                _ => {}
            }
        };
        let name = format!("phone {number}");
        let phone = self
            .net
            .ue
            .inside(|| Phone::start(&name, config, watch))
            .expect("the phone");
        Handset { phone, passed }
    }

    /// Tells a phone something: what it saw until it was done.
    pub(crate) fn tell(&self, handset: &Handset, command: UeCommand) -> Vec<UeEvent> {
        let phone = &handset.phone;
        phone
            .tell_and_wait(command.clone(), PATIENCE)
            .unwrap_or_else(|error| panic!("{} {command:?}: {error:#}\n{}", phone.name(), self.about()))
    }

    /// Tells a phone something that must end well.
    pub(crate) fn must(&self, handset: &Handset, command: UeCommand) -> Vec<UeEvent> {
        let events = self.tell(handset, command.clone());
        let is_done = |event: &UeEvent| matches!(event, UeEvent::Registered(_) | UeEvent::Deregistered);
        assert!(
            events.iter().any(is_done),
            "{} {command:?}: {events:?}\n{}",
            handset.phone.name(),
            self.about()
        );
        events
    }

    /// What helps to find out why.
    pub(crate) fn about(&self) -> String {
        format!(
            "drops: P-CSCF {:?}, UEs {:?}\n{}",
            self.net.pcscf.drops(),
            self.net.ue.drops(),
            self.daemons.tails(25)
        )
    }

    /// The P-CSCF's security associations, in the order of their SPIs' directions: to the P-CSCF first.
    pub(crate) fn states(&self) -> Vec<State> {
        let states = self.net.pcscf.states();
        states.into_iter().filter(|state| state.reqid == REQID).collect()
    }

    /// Waits until the P-CSCF holds so many sets.
    pub(crate) fn wait_for_sets(&self, count: usize) {
        let end = Instant::now() + PATIENCE;
        loop {
            let states = self.states();
            if states.len() == 4 * count {
                return;
            }
            assert!(
                Instant::now() < end,
                "the P-CSCF does not come to {count} sets: {states:#?}\n{}",
                self.about()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What the P-CSCF's operator port answers.
    pub(crate) fn ask(&self, path: &str) -> String {
        let answer = self.net.pcscf.inside(|| http_get(ADMIN[0], path));
        answer.expect("the operator's port").1
    }

    /// A metric of the P-CSCF: all series with this beginning.
    pub(crate) fn metric(&self, series: &str) -> BTreeMap<String, u64> {
        let text = self.ask("/metrics");
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect()
    }

    /// Ends the daemons; nothing of IPsec is left at the P-CSCF.
    pub(crate) fn stop(mut self) {
        if let Err(error) = self.daemons.stop() {
            panic!("{error:#}\n{}", self.daemons.tails(40));
        }
        self.net.pcscf.assert_no_xfrm();
    }
}
