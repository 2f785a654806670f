//! Testkit: what a seed chooses before its day begins.
//!
//! Not everything at once: a day on which all goes wrong hides what goes wrong when little does. Each trouble is
//! there on some days and not on others.

use std::collections::BTreeSet;
use std::time::Duration;

use ims_common::net::Transport;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::talk::Talk;
use crate::hss::{Personality, Subscriber};
use crate::scene;
use crate::site::Site;
use crate::ue::security::{UeSecurity, Verify};
use crate::ue::talk::Manner;
use crate::ue::{UeConfig, shape};
use crate::world::links::Link;

/// Longest lifetime that the S-CSCF of a swarm grants.
pub(super) const PHONE_LIFETIME_MAX: u32 = 300;

/// Something that may go wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Trouble {
    /// Two nodes do not reach each other, in one or both directions, until it heals.
    Partition,
    /// A CSCF crashes.
    CscfCrash,
    /// A CSCF or the HSS loses power.
    PowerCut,
    /// The HSS crashes.
    HssCrash,
    /// The HSS is silent, late, refuses or talks nonsense.
    HssFault,
    /// The HSS takes users away (RTR) or changes profiles (PPR).
    HssPush,
    /// A CSCF is drained and started again.
    Drain,
    /// Connections are reset.
    Reset,
    /// A node hears nothing.
    Deafness,
    /// Datagrams that are no SIP, or nearly.
    Junk,
    /// Requests of strangers and other users.
    Strangers,
    /// Phones lose power and come back, perhaps elsewhere.
    Vanishing,
    /// Phones answer challenges wrongly or not at all.
    Misbehaviour,
    /// Cards with another key.
    WrongKey,
    /// Cards whose sequence numbers ran ahead.
    Resync,
    /// Kernels refuse, are full or slow, or lose sets; only where Gm is protected.
    Kernel,
    /// Phones do wrong with their security associations; only where Gm is protected.
    Misdeed,
    /// The application server fails, loops, refuses or dies; only where there is one.
    AppServer,
}

const TROUBLES: [Trouble; 15] = [
    Trouble::Partition,
    Trouble::CscfCrash,
    Trouble::PowerCut,
    Trouble::HssCrash,
    Trouble::HssFault,
    Trouble::HssPush,
    Trouble::Drain,
    Trouble::Reset,
    Trouble::Deafness,
    Trouble::Junk,
    Trouble::Strangers,
    Trouble::Vanishing,
    Trouble::Misbehaviour,
    Trouble::WrongKey,
    Trouble::Resync,
];

/// All choices of a seed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) phones: u8,
    pub(super) acts: usize,
    pub(super) pause_max_ms: u64,
    pub(super) personality: Personality,
    pub(super) second_scscf: bool,
    pub(super) link: Link,
    pub(super) troubles: BTreeSet<Trouble>,
    pub(super) hss_forgets: bool,
    pub(super) limits: Limits,
    /// Gm is protected.
    pub(super) ipsec: bool,
    /// Phones call and write.
    pub(super) talk: Option<Talk>,
    phones_refresh: bool,
    lines: Lines,
}

/// Limits small enough to be reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bindings: usize,
    pub(super) challenges: usize,
    pub(super) contacts: usize,
    pub(super) outstanding: usize,
}

/// What the configuration files have more.
#[derive(Clone, Debug)]
struct Lines {
    registration: String,
    cx: String,
}

/// What one phone is like.
pub(super) struct Wishes {
    shape: shape::Shape,
    transport: Transport,
    expires: u32,
    refreshes: bool,
    security: Option<UeSecurity>,
    manner: Option<Manner>,
}

impl Plan {
    pub(super) fn draw(rng: &mut StdRng) -> Self {
        let phones = rng.random_range(1..=5);
        let likelihood = any(rng, &[0.0, 0.1, 0.3, 0.3, 0.5, 1.0]);
        let mut troubles: BTreeSet<Trouble> = TROUBLES
            .into_iter()
            .filter(|_| rng.random_bool(likelihood))
            .collect();
        let personality = any(rng, &Personality::ALL);
        let tight = rng.random_bool(0.2);
        let places = usize::from(phones);
        let limits = Limits {
            bindings: if tight { places } else { 1_000 },
            challenges: if tight { places.max(2) } else { 1_000 },
            contacts: if tight { places + 1 } else { 1_000 },
            outstanding: if tight { 2 } else { 1_000 },
        };
        let mut plan = Self {
            phones,
            acts: rng.random_range(5..=40),
            pause_max_ms: any(rng, &[50, 1_000, 5_000, 20_000]),
            personality,
            second_scscf: rng.random_bool(0.3),
            link: link(rng),
            troubles: BTreeSet::new(),
            ipsec: false,
            talk: None,
            hss_forgets: rng.random_bool(0.3),
            phones_refresh: rng.random_bool(0.3),
            lines: Lines {
                registration: registration(limits, rng),
                cx: cx(limits, personality, rng),
            },
            limits,
        };
        // Drawn last: the days of old without protection stay as they are.
        plan.ipsec = rng.random_bool(0.4);
        if plan.ipsec {
            let more = [Trouble::Kernel, Trouble::Misdeed];
            troubles.extend(more.into_iter().filter(|_| rng.random_bool(likelihood)));
            plan.lines.registration = plan.lines.registration.replace("accept", "refuse");
        }
        // And the days of old without a word.
        if rng.random_bool(0.6) {
            let talk = Talk::draw(rng);
            if talk.served && rng.random_bool(likelihood) {
                troubles.insert(Trouble::AppServer);
            }
            plan.talk = Some(talk);
            plan.pause_max_ms = plan.pause_max_ms.max(1_000);
        }
        plan.troubles = troubles;
        plan
    }

    pub(super) fn site(&self) -> Site {
        let mut site = Site::on_network([192, 0, 2]);
        if self.second_scscf {
            site = site.with_second_scscf();
        }
        if self.ipsec {
            site = site.with_ipsec();
        }
        site.reg_event = self.talk.is_some_and(|talk| talk.subscribes);
        site.pcscf_more = format!("  contacts: {}\n", self.limits.contacts);
        site.icscf_more.clone_from(&self.lines.cx);
        let records = "  cdr: {directory: /var/lib/ims/cdr}\n";
        site.scscf_more = format!("{}{}{records}", self.lines.registration, self.lines.cx);
        site
    }

    pub(super) fn subscribers(&self, site: &Site) -> Vec<Subscriber> {
        let subscriber = |number| match self.talk {
            Some(talk) => talk.subscriber(site, number),
            None => scene::subscriber(number),
        };
        (1..=self.phones).map(subscriber).collect()
    }

    pub(super) fn wishes(&self, rng: &mut StdRng) -> Wishes {
        Wishes {
            shape: any(rng, &shape::ALL),
            transport: any(rng, &[Transport::Udp, Transport::Udp, Transport::Tcp]),
            expires: any(rng, &[30, 60, 90, 200, 600_000]),
            refreshes: self.phones_refresh,
            security: self.ipsec.then(|| UeSecurity {
                verify: any(rng, &[Verify::AsSent, Verify::AsSent, Verify::Reordered]),
                initial_inside: rng.random_bool(0.2),
                ..UeSecurity::default()
            }),
            manner: self.talk.map(|talk| talk.manner(rng)),
        }
    }
}

impl Wishes {
    pub(super) fn of(&self, config: UeConfig) -> UeConfig {
        UeConfig {
            refreshes: self.refreshes,
            security: self.security,
            manner: self.manner.unwrap_or(config.manner),
            ..config
                .shape(self.shape)
                .transport(self.transport)
                .expires(self.expires)
        }
    }
}

fn link(rng: &mut StdRng) -> Link {
    Link {
        delay: Duration::from_millis(any(rng, &[1, 5, 30])),
        jitter: Duration::from_millis(any(rng, &[0, 0, 20, 300, 1_500])),
        loss: any(rng, &[0, 0, 20, 150, 300]),
        duplicates: any(rng, &[0, 0, 50, 300]),
        pieces: any(rng, &[0, 300, 1_000]),
        octets_max: None,
        cut: false,
    }
}

fn registration(limits: Limits, rng: &mut StdRng) -> String {
    let await_auth = any(rng, &["10s", "40s", "240s"]);
    let reauthenticate = any(rng, &["never", "always", "40s"]);
    let akav2 = rng.random_bool(0.2);
    format!(
        "  registration: {{unprotected_response: accept, expires_min: 60s, expires_max: {PHONE_LIFETIME_MAX}s, \
         expires_default: 200s, reg_await_auth: {await_auth}, reauthenticate: {reauthenticate}, akav2: {akav2}, \
         bindings: {}, challenges: {}}}\n",
        limits.bindings, limits.challenges
    )
}

fn cx(limits: Limits, personality: Personality, rng: &mut StdRng) -> String {
    let timeout = any(rng, &["1s", "3s", "5s"]);
    let watchdog = any(rng, &["6s", "30s"]);
    let in_flight = match personality {
        // It loses the second of two messages that come together.
        Personality::PyHss1 => 1,
        _ => any(rng, &[1, 1_000, 1_000]),
    };
    format!(
        "  cx: {{request_timeout: {timeout}, watchdog: {watchdog}, outstanding: {}, in_flight: {in_flight}}}\n",
        limits.outstanding
    )
}

/// One of these.
pub(super) fn any<T: Copy, const N: usize>(rng: &mut StdRng, choices: &[T; N]) -> T {
    choices[rng.random_range(0..N)]
}
