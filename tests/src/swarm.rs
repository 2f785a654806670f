//! Testkit: bad days of a whole network, each made of one number.
//!
//! A seed chooses the site (phones, HSS personality, limits, timers), which troubles happen on that day, and what
//! happens when. Then all troubles end, and every phone has to get registered within a bounded time; then all phones
//! lose power, and after the last expiry nothing may be left anywhere. What must hold is checked after every step of
//! the world ([`checks`]), not only at the end.

mod acts;
pub mod checks;
mod junk;
mod log_watch;
mod plan;
mod talk;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ims_common::node::MetricKind;
use ims_common::node::Seed;
use rand::Rng as _;
use rand::rngs::StdRng;

use self::checks::Checks;
pub use self::log_watch::watch_logs;
use self::plan::{PHONE_LIFETIME_MAX, Plan};
use crate::hss::Hss;
use crate::ladder;
use crate::scene::{self, Scene};
use crate::ue::security::Misdeed;
use crate::ue::talk::CallEvent;
use crate::ue::{Behaviour, Ue, UeCommand, UeEvent};
use crate::world::NodeId;
use crate::world::links::Link;

/// Within this time after all troubles every phone is registered: a phone's own timer F, the longest lifetime that
/// an old contact may take up a place, and a pause of every kind of back-off.
const RECOVERY_MAX: Duration = Duration::from_secs(PHONE_LIFETIME_MAX as u64 + 400);
/// A phone that was refused tries again after this time (TS 24.229 5.1.1.2 leaves it to the phone).
const RETRY: Duration = Duration::from_secs(20);
/// The last transaction on Gm ends 2 * 128 s after the last binding.
const END: Duration = Duration::from_secs(PHONE_LIFETIME_MAX as u64 + 400);

/// What a seed was good for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// 200s to registrations that phones heard.
    pub registrations: u64,
    /// Messages that were sent.
    pub messages: u64,
    /// Calls that began, and at the end of each day one that had to.
    pub calls: u64,
    /// Steps of the world, each checked.
    pub steps: u64,
    /// Seconds of virtual time.
    pub seconds: u64,
    /// Sets of security associations that the P-CSCF installed.
    pub sets: u64,
    /// Charging data records of calls and texts, each closed once.
    pub records: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.registrations += other.registrations;
        self.messages += other.messages;
        self.calls += other.calls;
        self.steps += other.steps;
        self.seconds += other.seconds;
        self.sets += other.sets;
        self.records += other.records;
    }
}

/// A seed that broke a rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub what: String,
    /// What was switched on.
    pub plan: String,
    /// The last messages.
    pub ladder: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            seed,
            what,
            plan,
            ladder,
        } = self;
        writeln!(f, "{ladder}\n{plan}\nSEED={seed}: {what}")?;
        write!(
            f,
            "again: SEED={seed} cargo test -p ims-tests --test sim swarm -- --nocapture"
        )
    }
}

/// Lives through the day of one seed.
///
/// # Errors
/// When a rule is broken or something panics.
pub fn run(seed: u64) -> Result<Tally, Box<Failure>> {
    let mut rng = Seed::from_number(seed).rng(b'w');
    let plan = Plan::draw(&mut rng);
    let mut swarm = Swarm::new(seed, plan, rng);
    let lived = catch_unwind(AssertUnwindSafe(|| swarm.live()));
    lived.map(|()| swarm.tally).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        let what = text.unwrap_or("a panic without words");
        let what = what.split("\nSEED=").next().unwrap_or(what).to_owned();
        Box::new(Failure {
            seed,
            what,
            plan: format!("{:?}", swarm.plan),
            ladder: ladder::last(swarm.scene.world.record(), ladder_lines()),
        })
    })
}

/// The whole ladder of one seed, whether it breaks a rule or not.
#[must_use]
pub fn ladder(seed: u64) -> String {
    let mut rng = Seed::from_number(seed).rng(b'w');
    let plan = Plan::draw(&mut rng);
    let mut swarm = Swarm::new(seed, plan, rng);
    let _ = catch_unwind(AssertUnwindSafe(|| swarm.live()));
    ladder::of(swarm.scene.world.record())
}

/// Lines of the ladder of a failed seed: `LADDER=…`, or what fits on a large screen.
fn ladder_lines() -> usize {
    let asked = std::env::var("LADDER").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(120)
}

/// A phone of the swarm.
struct Phone {
    name: String,
    number: u8,
    /// Whether it began to register since the troubles ended.
    is_trying: bool,
    /// Whether that was answered with 200.
    is_content: bool,
}

/// One day.
struct Swarm {
    plan: Plan,
    rng: StdRng,
    scene: Scene,
    phones: Vec<Phone>,
    checks: Checks,
    tally: Tally,
    /// The next address that no phone has had.
    next_place: u8,
    /// CSCFs that take no new work, until they start again.
    draining: BTreeSet<String>,
}

impl Swarm {
    fn new(seed: u64, plan: Plan, mut rng: StdRng) -> Self {
        let site = plan.site();
        let config = scene::personal_config_of(&site, plan.personality, plan.subscribers(&site));
        let mut scene = Scene::with_hss(seed, site, config);
        if let Some(talk) = plan.talk {
            talk.serve(&mut scene);
        }
        let phones = (1..=plan.phones).map(|number| {
            let name = format!("UE{number}");
            let wishes = plan.wishes(&mut rng);
            scene.phone_with(&name, number, |config| wishes.of(config));
            Phone {
                name,
                number,
                is_trying: false,
                is_content: false,
            }
        });
        let phones = phones.collect();
        Self {
            checks: Checks::new(&plan),
            next_place: 100,
            draining: BTreeSet::new(),
            phones,
            plan,
            rng,
            scene,
            tally: Tally::default(),
        }
    }

    fn live(&mut self) {
        self.checks.before(&self.scene.world);
        if self.plan.talk.is_some() {
            self.switch_on();
        }
        let link = self.plan.link;
        self.scene.world.links.set_default(link);
        for _ in 0..self.plan.acts {
            self.act();
            let pause = self.rng.random_range(0..=self.plan.pause_max_ms);
            self.pass(Duration::from_millis(pause));
        }
        self.end_troubles();
        self.recover();
        self.call_somebody();
        self.switch_off();
        self.tally.seconds = self.scene.world.elapsed().as_secs();
        self.tally.sets = self.scene.world.kernel("P-CSCF").installs();
        self.tally.messages = self.scene.world.record().entries().len() as u64;
    }

    /// On a day of calls all phones register before anything happens.
    fn switch_on(&mut self) {
        for index in 0..self.phones.len() {
            let name = self.phones[index].name.clone();
            self.scene
                .ue(&name, |now, ue| ue.command(now, UeCommand::Register));
        }
        self.pass(Duration::from_secs(2));
    }

    /// Lets time pass, and looks after every step whether all is as it must be.
    fn pass(&mut self, duration: Duration) {
        let until = self.scene.world.now() + duration;
        while let Some(node) = self.scene.world.step(until) {
            self.look(node);
        }
        self.scene.world.sleep_until(until);
    }

    fn look(&mut self, node: NodeId) {
        self.tally.steps += 1;
        if let Some(wrong) = self.checks.after_step(&mut self.scene.world, node) {
            panic!("{wrong}");
        }
    }

    /// All links are good, all nodes are up, all phones are honest.
    fn end_troubles(&mut self) {
        self.scene.world.note("all troubles end");
        self.scene.world.links.set_default(Link::default());
        self.scene.world.links.heal();
        for name in self.scene.world.names() {
            if !self.scene.world.is_up(&name) || self.draining.contains(&name) {
                self.bring_back(&name);
            }
            self.scene.world.undeafen(&name);
        }
        self.scene.hss(|_, hss| hss.clear_faults());
        self.calm_app_server();
        for name in self.scene.world.names() {
            self.scene.world.kernel_mut(&name).heal();
        }
        self.checks.remember_bound();
        for index in 0..self.phones.len() {
            let name = self.phones[index].name.clone();
            self.scene.ue(&name, |_, ue| {
                ue.config_mut().behaviour = Behaviour::Honest;
                if let Some(security) = &mut ue.config_mut().security {
                    security.misdeed = Misdeed::None;
                }
                ue.config_mut().refreshes = false;
            });
            self.right_key(index);
            self.take_events(index);
            self.phones[index].is_content = false;
        }
    }

    /// Liveness: everybody gets registered.
    fn recover(&mut self) {
        let since = self.scene.world.elapsed();
        while self.phones.iter().any(|phone| !phone.is_content) {
            let waited = self.scene.world.elapsed() - since;
            assert!(
                waited < RECOVERY_MAX,
                "{} is not registered {waited:?} after all troubles ended",
                self.unhappy()
            );
            (0..self.phones.len()).for_each(|index| self.try_to_register(index));
            self.pass(RETRY);
            for index in 0..self.phones.len() {
                let was_content = self.phones[index].is_content;
                self.take_events(index);
                if self.phones[index].is_content && !was_content {
                    self.assert_bound(index);
                }
            }
        }
    }

    /// A phone that is idle and not content begins anew; what it began before all troubles ended does not count.
    fn try_to_register(&mut self, index: usize) {
        self.take_events(index);
        let name = self.phones[index].name.clone();
        let is_content = self.phones[index].is_content;
        let began = self.scene.ue(&name, |now, ue| {
            let begins = ue.is_free() && !is_content;
            if begins {
                ue.command(now, UeCommand::Register);
            }
            begins
        });
        self.phones[index].is_trying |= began;
    }

    /// Who has just been told that it is registered is registered.
    fn assert_bound(&self, index: usize) {
        let phone = &self.phones[index];
        let is_bound = self.checks.was_bound(&scene::impi(phone.number));
        assert!(
            is_bound,
            "{} was told that it is registered, but is not",
            phone.name
        );
    }

    fn unhappy(&self) -> String {
        let unhappy = self.phones.iter().filter(|phone| !phone.is_content);
        unhappy
            .map(|phone| phone.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Counts what a phone saw.
    fn take_events(&mut self, index: usize) {
        let name = self.phones[index].name.clone();
        let events = self.scene.ue(&name, |_, ue| ue.take_events());
        let registered = events
            .iter()
            .filter(|e| matches!(e, UeEvent::Registered(_)))
            .count();
        self.tally.registrations += registered as u64;
        let begun = |event: &&UeEvent| {
            matches!(
                event,
                UeEvent::Call {
                    what: CallEvent::Begun,
                    ..
                }
            )
        };
        self.tally.calls += events.iter().filter(begun).count() as u64;
        let phone = &mut self.phones[index];
        phone.is_content |= phone.is_trying && registered > 0;
    }

    /// All phones lose power: the network has to find out by itself.
    fn switch_off(&mut self) {
        for index in 0..self.phones.len() {
            let name = self.phones[index].name.clone();
            self.scene.world.darken(&name);
        }
        self.pass(END);
        let unanswered = self.scene.world.unanswered();
        assert!(unanswered.is_empty(), "never answered: {unanswered:?}");
        for name in self.scene.world.names() {
            if self.scene.world.is_up(&name) {
                self.assert_nothing_is_left(&name);
            }
        }
        for name in self.scene.world.names() {
            let open = self.scene.world.open_records(&name);
            assert!(open == 0, "{name} has left {open} charging data records open");
            self.tally.records += self.scene.world.records(&name).len() as u64;
        }
        let states = self.scene.world.states();
        assert!(states.is_empty(), "states are left: {states:?}");
    }

    fn assert_nothing_is_left(&self, name: &str) {
        for (gauge, labels, kind, value) in self.scene.world.metrics(name).iter() {
            let is_excepted = ["peers_open", "changes_unread"]
                .iter()
                .any(|part| gauge.contains(part));
            assert!(
                kind != MetricKind::Gauge || is_excepted || value == 0,
                "{gauge}{labels:?} of {name} is {value} after everything has ended"
            );
        }
    }

    /// A phone, an HSS or a CSCF starts again.
    fn bring_back(&mut self, name: &str) {
        if self.scene.world.is_up(name) {
            self.scene.world.crash(name);
        }
        self.draining.remove(name);
        match name {
            "HSS" => self.bring_back_hss(),
            _ if name.starts_with("UE") => self.bring_back_phone(name),
            _ if name.starts_with("AS") => self.bring_back_app_server(),
            _ => self.scene.restart(name),
        }
        if let Some(wrong) = self.checks.after_restart(&self.scene.world, name) {
            panic!("{wrong}");
        }
    }

    /// It has its data base, unless the plan says that this HSS has lost it.
    fn bring_back_hss(&mut self) {
        let site = &self.scene.site;
        let config = scene::personal_config_of(site, self.plan.personality, self.plan.subscribers(site));
        let mut hss = Hss::new(config, self.scene.world.next_seed());
        if !self.plan.hss_forgets {
            self.scene
                .hss(|_, old| std::mem::swap(&mut old.subscribers, &mut hss.subscribers));
        }
        self.scene.world.restart("HSS", hss);
    }

    /// The card is the same; all else is new.
    fn bring_back_phone(&mut self, name: &str) {
        let mut config = self.scene.ue(name, |_, ue| ue.config_mut().clone());
        if self.rng.random_bool(0.5) && self.next_place < 240 {
            config.local = self.scene.site.ue(self.next_place);
            self.next_place += 1;
            self.scene.world.relocate(name, config.local);
        }
        let seed = self.scene.world.next_seed();
        self.scene.world.restart(name, Ue::new(config, &seed));
    }
}
