//! Testkit: a whole network in the virtual world, ready for phones.

pub mod calls;
mod servers;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ims_common::config::DaemonConfig;
use ims_common::identity::{Impi, Impu};
use ims_common::net::Interface;
use ims_common::node::{MetricKind, Seed};
use ims_common::telemetry::catalogue;

use crate::busy::Busy;
use crate::hss::{Hss, HssConfig, Personality, Subscriber};
use crate::site::{self, HOME, Site};
use crate::ue::identity::{Secret, UeIdentity};
use crate::ue::security::{Misdeed, UeSecurity};
use crate::ue::{Granted, Ue, UeCommand, UeConfig, UeEvent};
use crate::world::{NodeSpec, World};
use icscf::IcscfConfig;
use pcscf::PcscfConfig;
use scscf::ScscfConfig;

/// Longer than a phone waits for anything: timer F on Gm is 128 s, and a resynchronisation takes three of them.
const PATIENCE: Duration = Duration::from_secs(600);

/// P-CSCF, I-CSCF, S-CSCF and HSS in one world, connected, with nothing in the record yet.
pub struct Scene {
    /// The world.
    pub world: World,
    /// Where everything is.
    pub site: Site,
}

/// The subscriber with this number: IMSI 00101000000000N and number +1555000N.
#[must_use]
pub fn subscriber(number: u8) -> Subscriber {
    Subscriber::new(&imsi(number)).msisdn(&format!("1555{number:04}"))
}

/// The IMSI of the subscriber with this number.
#[must_use]
pub fn imsi(number: u8) -> String {
    format!("0010100000{number:05}")
}

/// The private identity of the subscriber with this number.
///
/// # Panics
/// Never: the names are ours.
#[must_use]
pub fn impi(number: u8) -> Impi {
    Impi::parse(&UeIdentity::from_imsi(&imsi(number), 2).impi)
        .unwrap_or_else(|_| unreachable!("a private identity"))
}

/// A public identity.
///
/// # Panics
/// When the text is none.
#[must_use]
pub fn impu(text: &str) -> Impu {
    Impu::parse(text).unwrap_or_else(|_| panic!("{text} is no public identity"))
}

/// The embedded HSS of a site.
#[must_use]
pub fn hss(subscribers: Vec<Subscriber>, seed: Seed) -> Hss {
    Hss::new(hss_config(subscribers), seed)
}

fn hss_config(subscribers: Vec<Subscriber>) -> HssConfig {
    HssConfig {
        origin_host: format!("hss.{HOME}"),
        origin_realm: HOME.to_owned(),
        subscribers,
        ..HssConfig::default()
    }
}

/// An HSS of this personality with subscribers 1 and 2, which dials the CSCFs if that is its way.
#[must_use]
pub fn personal_config(site: &Site, personality: Personality) -> HssConfig {
    personal_config_of(site, personality, vec![subscriber(1), subscriber(2)])
}

/// An HSS of this personality with these subscribers, which dials the CSCFs if that is its way.
#[must_use]
pub fn personal_config_of(site: &Site, personality: Personality, subscribers: Vec<Subscriber>) -> HssConfig {
    let cscfs = std::iter::once(&site.icscf).chain(&site.scscfs);
    let dialled = |ip: IpAddr| SocketAddr::new(ip, 3868).to_string();
    HssConfig {
        personality,
        // Without a scheme, as it comes with a fresh installation.
        scscf_pool: Some(format!("scscf1.{HOME}")),
        peers: match personality {
            Personality::Standard => Vec::new(),
            _ => cscfs.map(|address| dialled(address.ip())).collect(),
        },
        ..hss_config(subscribers)
    }
}

impl Scene {
    /// The default site with subscribers 1 and 2.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(
            seed,
            Site::on_network([192, 0, 2]),
            vec![subscriber(1), subscriber(2)],
        )
    }

    /// The default site with Gm protected and subscribers 1 and 2, whose S-CSCF challenges REGISTERs that come over
    /// security associations `reauthenticate`: `always` or `never`.
    #[must_use]
    pub fn protected(seed: u64, reauthenticate: &str) -> Self {
        let mut site = Site::on_network([192, 0, 2]).with_ipsec();
        site.scscf_more = format!("  registration: {{reauthenticate: {reauthenticate}}}\n");
        Self::with(seed, site, vec![subscriber(1), subscriber(2)])
    }

    /// A site with these subscribers.
    #[must_use]
    pub fn with(seed: u64, site: Site, subscribers: Vec<Subscriber>) -> Self {
        Self::with_hss(seed, site, hss_config(subscribers))
    }

    /// A site with subscribers 1 and 2 and an HSS of this personality.
    #[must_use]
    pub fn personal(seed: u64, site: Site, personality: Personality) -> Self {
        let config = personal_config(&site, personality);
        Self::with_hss(seed, site, config)
    }

    /// A site with these subscribers, in which each message takes each CSCF so long.
    #[must_use]
    pub fn busy(seed: u64, site: Site, subscribers: Vec<Subscriber>, service: Duration) -> Self {
        Self::on_machines(seed, site, hss_config(subscribers), Some(service))
    }

    /// A site with this HSS.
    #[must_use]
    pub fn with_hss(seed: u64, site: Site, config: HssConfig) -> Self {
        Self::on_machines(seed, site, config, None)
    }

    fn on_machines(seed: u64, site: Site, config: HssConfig, service: Option<Duration>) -> Self {
        let mut world = World::seeded(seed);
        let hss = Hss::new(config, world.next_seed());
        world.add(NodeSpec::network("HSS").diameter(site.hss), hss);
        for index in 0..site.scscfs.len() {
            let name = scscf_name(index);
            let address = site.scscfs[index];
            let spec = NodeSpec::network(&name)
                .socket(Interface::Mw, address)
                .diameter(SocketAddr::new(address.ip(), 3868));
            add::<ScscfConfig>(&mut world, spec, &site.scscf_file(index), service);
        }
        let spec = NodeSpec::network("I-CSCF")
            .socket(Interface::Mw, site.icscf)
            .diameter(SocketAddr::new(site.icscf.ip(), 3868));
        add::<IcscfConfig>(&mut world, spec, &site.icscf_file(), service);
        let spec = NodeSpec::network("P-CSCF")
            .socket(Interface::Gm, site.gm)
            .socket(Interface::Mw, site.pcscf);
        add::<PcscfConfig>(&mut world, spec, &site.pcscf_file(), service);
        world.advance(Duration::from_secs(1));
        world.forget_record();
        Self { world, site }
    }

    /// A CSCF comes back with nothing, as its daemon does.
    ///
    /// # Panics
    /// When the name is that of no CSCF.
    pub fn restart(&mut self, name: &str) {
        let index = (0..self.site.scscfs.len()).find(|index| scscf_name(*index) == name);
        match (name, index) {
            ("P-CSCF", _) => {
                let node = build::<PcscfConfig>(&self.site.pcscf_file(), &self.world);
                self.world.restart(name, node);
            }
            ("I-CSCF", _) => {
                let node = build::<IcscfConfig>(&self.site.icscf_file(), &self.world);
                self.world.restart(name, node);
            }
            (_, Some(index)) => {
                let node = build::<ScscfConfig>(&self.site.scscf_file(index), &self.world);
                self.world.restart(name, node);
            }
            (other, None) => panic!("{other} is no CSCF"),
        }
    }

    /// Adds the honest phone of the subscriber with this number.
    pub fn phone(&mut self, name: &str, number: u8) {
        self.phone_with(name, number, |config| config);
    }

    /// Adds a phone of the subscriber with this number, changed by `change`.
    pub fn phone_with(&mut self, name: &str, number: u8, change: impl FnOnce(UeConfig) -> UeConfig) {
        let place = u8::try_from(self.world.len()).unwrap_or(u8::MAX);
        let config = change(phone_config(&self.site, number, place));
        let spec = phone_spec(name, &config);
        let seed = self.world.next_seed();
        self.world.add(spec, Ue::new(config, &seed));
    }

    /// Adds a phone with IPsec that does this wrong.
    pub fn misdoer(&mut self, name: &str, number: u8, misdeed: Misdeed) {
        self.phone_with(name, number, |config| {
            config.security(UeSecurity {
                misdeed,
                ..UeSecurity::default()
            })
        });
        if misdeed == Misdeed::InClear {
            let ports = self.ue(name, |_, ue| ue.config_mut().protected_ports());
            let kernel = self.world.kernel_mut(name);
            ports.into_iter().for_each(|port| kernel.unprotect(port));
        }
    }

    /// A datagram from the network, in the words of somebody who knows the phone's Path.
    pub fn send_to_phone(&mut self, name: &str, method: &str) {
        self.send_octets_to_phone(name, method, 0);
    }

    /// The same with a body of so many octets.
    pub fn send_octets_to_phone(&mut self, name: &str, method: &str, octets: usize) {
        let granted = self.granted(name);
        let path = granted.path.first().cloned().unwrap_or_default();
        let count = self.world.record().entries().len();
        let (to, from) = (self.site.pcscf, self.site.scscf());
        let text = format!(
            "{method} sip:{name}@phone.test SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKt{count}\r\n\
             Max-Forwards: 70\r\nRoute: {path}\r\nFrom: <sip:as@{HOME}>;tag=t{count}\r\nTo: <sip:{name}@{HOME}>\r\n\
             Call-ID: t{count}\r\nCSeq: 1 {method}\r\nContent-Length: {octets}\r\n\r\n{}",
            "x".repeat(octets)
        );
        self.world.inject_as(from, to, bytes::Bytes::from(text));
        self.world.run_until_idle();
    }

    /// Acts on a phone.
    pub fn ue<R>(&mut self, name: &str, act: impl FnOnce(std::time::Instant, &mut Ue) -> R) -> R {
        self.world.with(name, act)
    }

    /// Tells a phone something, waits until it is done, and a little for what follows in the core: what it has seen
    /// since.
    pub fn tell(&mut self, name: &str, command: UeCommand) -> Vec<UeEvent> {
        let before = self.ue(name, |_, ue| ue.events().len());
        self.ue(name, |now, ue| ue.command(now, command));
        let name_owned = name.to_owned();
        self.world.run_until(PATIENCE, |world| {
            world.with(&name_owned, |_, ue: &mut Ue| ue.is_idle())
        });
        self.world.run_until_idle();
        self.events_from(name, before)
    }

    /// Tells a phone something and lets so many seconds pass.
    pub fn tell_for(&mut self, name: &str, command: UeCommand, seconds: u64) -> Vec<UeEvent> {
        let before = self.ue(name, |_, ue| ue.events().len());
        self.ue(name, |now, ue| ue.command(now, command));
        self.world.advance(Duration::from_secs(seconds));
        self.events_from(name, before)
    }

    fn events_from(&mut self, name: &str, before: usize) -> Vec<UeEvent> {
        self.ue(name, |_, ue| {
            ue.events().get(before..).unwrap_or_default().to_vec()
        })
    }

    /// What the last 200 gave to a phone.
    ///
    /// # Panics
    /// When it was never registered.
    pub fn granted(&mut self, name: &str) -> Granted {
        let granted = self.ue(name, |_, ue| {
            ue.events().iter().rev().find_map(|event| match event {
                UeEvent::Registered(granted) => Some(granted.clone()),
                _ => None,
            })
        });
        granted.unwrap_or_else(|| panic!("{name} was never registered\n{}", self.ladder()))
    }

    /// Whether the last thing a phone heard is this refusal.
    pub fn is_rejected(&mut self, name: &str, status: u16) -> bool {
        self.ue(
            name,
            |_, ue| matches!(ue.events().last(), Some(UeEvent::Rejected { status: s, .. }) if *s == status),
        )
    }

    /// The contacts that a node holds, as its metrics say.
    #[must_use]
    pub fn bindings(&self, name: &str) -> u64 {
        let metrics = self.world.metrics(name);
        metrics.sum("ims_scscf_bindings", &[]) + metrics.sum("ims_pcscf_contacts", &[])
    }

    /// Acts on the HSS.
    pub fn hss<R>(&mut self, act: impl FnOnce(std::time::Instant, &mut Hss) -> R) -> R {
        self.world.with("HSS", act)
    }

    /// What was sent so far.
    #[must_use]
    pub fn ladder(&self) -> String {
        crate::ladder::of(self.world.record())
    }

    /// Lets all transactions end: every request has had its one answer, and none is left in a table.
    ///
    /// # Panics
    /// When a request is unanswered or a transaction is left.
    pub fn assert_quiet(&mut self) {
        self.world.advance(Duration::from_secs(300));
        assert_eq!(
            self.world.unanswered(),
            Vec::<String>::new(),
            "\n{}",
            self.ladder()
        );
        assert_eq!(
            self.world.unacknowledged(),
            Vec::<String>::new(),
            "\n{}",
            self.ladder()
        );
        // Profiles of the unregistered are kept for long, and subscriptions last as long as registrations.
        self.assert_gauges_are_zero(&[
            "bindings",
            "contacts",
            "registration_sets",
            "sa_s",
            "held_profiles",
            "reg_subscriptions",
        ]);
        self.assert_sets_have_contacts();
    }

    /// Of a contact there is one set, or two while the UE has not used the new one; nothing is pending.
    fn assert_sets_have_contacts(&self) {
        let metrics = self.world.metrics("P-CSCF");
        let contacts = metrics.sum("ims_pcscf_contacts", &[]);
        let states = self.world.kernel("P-CSCF").states() as u64;
        let sets = metrics.sum("ims_pcscf_sa_sets", &[]);
        let pending: u64 = ["preparing", "temporary", "ending"]
            .iter()
            .map(|state| metrics.sum("ims_pcscf_sa_sets", &[("state", state)]))
            .sum();
        assert_eq!(
            (states, pending),
            (sets * 4, 0),
            "states of sets, and what is pending\n{}",
            self.ladder()
        );
        assert!(
            sets <= 2 * contacts,
            "{sets} sets of {contacts} contacts\n{}",
            self.ladder()
        );
    }

    /// Nobody tells a number that is not in the catalogue, or with a label that is not bounded there.
    fn assert_metrics_are_known(&self) {
        for name in self.world.names() {
            let complaints = catalogue::complaints(&self.world.metrics(&name));
            let ours = complaints
                .iter()
                .filter(|complaint| !complaint.starts_with("ims_hss_"));
            assert_eq!(ours.count(), 0, "{name}: {complaints:?}");
        }
    }

    /// Every gauge but those whose names contain one of `except`, those of open connections, and the bounded list of
    /// changes that nobody reads yet.
    fn assert_gauges_are_zero(&self, except: &[&str]) {
        self.assert_metrics_are_known();
        let up = self
            .world
            .names()
            .into_iter()
            .filter(|name| self.world.is_up(name));
        for name in up {
            for (gauge, labels, kind, value) in self.world.metrics(&name).iter() {
                let excepted = ["peers_open", "changes_unread"]
                    .iter()
                    .chain(except)
                    .any(|part| gauge.contains(part));
                if kind != MetricKind::Counter && !excepted {
                    assert_eq!(value, 0, "{gauge}{labels:?} of {name}\n{}", self.ladder());
                }
            }
        }
    }

    /// Lets all transactions end: nothing is left of anybody anywhere.
    ///
    /// # Panics
    /// When something is left.
    pub fn assert_empty(&mut self) {
        self.assert_quiet();
        self.assert_gauges_are_zero(&[]);
        assert_eq!(
            self.world.states(),
            Vec::new(),
            "states are left\n{}",
            self.ladder()
        );
    }
}

/// The phone of the subscriber with this number, at the UE address with the number `place`.
#[must_use]
pub fn phone_config(site: &Site, number: u8, place: u8) -> UeConfig {
    let identity = UeIdentity::from_imsi(&imsi(number), 2);
    let secret = Secret::Aka(subscriber(number).usim());
    let mut config = UeConfig::new(identity, secret, site.ue(place), site.gm);
    config.security = site.ipsec.then(UeSecurity::default);
    config
}

/// The sockets of a phone.
#[must_use]
pub fn phone_spec(name: &str, config: &UeConfig) -> NodeSpec {
    let ports = config.protected_ports().into_iter().enumerate();
    ports.fold(NodeSpec::ue(name, config.local), |spec, (index, address)| {
        spec.protected(address, index == 0 && config.accepts_streams())
    })
}

/// What the S-CSCF with this index is called.
#[must_use]
pub fn scscf_name(index: usize) -> String {
    match index {
        0 => "S-CSCF".to_owned(),
        _ => format!("S-CSCF{}", index + 1),
    }
}

fn build<T: DaemonConfig>(file: &str, world: &World) -> T::Node {
    match site::read::<T>(file).build(world.next_seed()) {
        Ok((node, _)) => node,
        Err(error) => panic!("{error}\n{file}"),
    }
}

fn add<T: DaemonConfig>(world: &mut World, mut spec: NodeSpec, file: &str, service: Option<Duration>) {
    let (node, shell) = match site::read::<T>(file).build(world.next_seed()) {
        Ok(built) => built,
        Err(error) => panic!("{error}\n{file}"),
    };
    // The first protected port is the server's: TCP listens there only.
    let protected = shell.sip.iter().filter(|l| l.interface == Interface::GmProtected);
    for (index, listener) in protected.enumerate() {
        spec = spec.protected(listener.address, index == 0);
    }
    match service {
        None => world.add(spec, node),
        Some(service) => {
            let node = Busy::new(world.now(), node, service, shell.limits.waiting());
            world.add(spec, node)
        }
    };
}
