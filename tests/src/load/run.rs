//! Shell: the sockets, the clock and the timers of many phones.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ims_common::aka::hex::from_hex;
use ims_common::ipsec::{SaSet, XfrmInput, XfrmOutput};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::UnboundedSender;

use super::answer::{Answer, Ticket};
use super::phone::{Operation, Phone, Step};
use super::protection::Protection;
use super::report::{Report, Tally, Used};
use super::talk::{Ended, Heard, Talk};
use super::watched::{Usage, Watched};
use super::{Plan, Scenario, protected};
use crate::hss::{TEST_K, TEST_OPC};
use crate::usim::Usim;

/// How long the kernel keeps a phone's states, should the program die.
const LIFETIME: Duration = Duration::from_secs(3_600);
/// How long phones try to register before what is measured.
const PREPARE_PATIENCE: Duration = Duration::from_secs(150);
/// What follows a registration has this time to end: SUBSCRIBE and NOTIFY of its state.
const CALM: Duration = Duration::from_millis(700);
/// The longest rest between two looks at the clock.
const TICK: Duration = Duration::from_millis(2);
/// Our responses have less.
const DATAGRAM_MAX: usize = 4_096;

/// Runs a plan to its end.
///
/// # Errors
/// When a socket or a watched process is not there.
pub fn run(plan: &Plan) -> Result<Report> {
    ensure!(
        plan.users > 0 && plan.addresses > 0,
        "there must be a phone and an address"
    );
    ensure!(plan.rate > 0.0 && plan.prepare_rate > 0.0, "a rate is above zero");
    let has_addresses = plan.scenario.talk().is_none() || (2..=plan.addresses).contains(&plan.users);
    ensure!(
        has_addresses,
        "who is to be called needs an address of its own, and somebody who calls"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, all(plan))
}

async fn all(plan: &Plan) -> Result<Report> {
    let watched: Vec<Watched> = plan
        .watch
        .iter()
        .map(|text| Watched::parse(text))
        .collect::<Result<_>>()?;
    let usages = || watched.iter().map(Watched::usage).collect::<Result<Vec<Usage>>>();
    let own = Watched::parse(&format!("load={}", std::process::id()))?;
    let load = Rc::new(RefCell::new(Load::new(plan).await?));
    listen(&load);
    let kernel = match plan.ipsec {
        true => Some(protected::attend(plan, &load).await?),
        false => None,
    };
    let idle = usages()?;
    prepare(plan, &load).await?;
    let (before, own_before) = (usages()?, own.usage()?);
    let operations = plan.operations.unwrap_or_else(|| u64::from(plan.users));
    let mut busiest = None;
    let tally = phase_until(&load, operations, plan.rate, plan.scenario, &mut |under_way| {
        busiest = Some((under_way, usages()));
    })
    .await;
    let (under_way, busiest) = busiest.context("a phase begins all of its operations")?;
    let busiest = busiest?;
    let (after, own_after) = (usages()?, own.usage()?);
    tokio::time::sleep(Duration::from_secs(plan.settle)).await;
    let settled = usages()?;
    if let Some(kernel) = kernel {
        load.borrow_mut().kernel = None;
        kernel.await?;
    }

    let mut report = Report::of(plan.scenario, plan.rate, tally);
    report.users = plan.users;
    report.addresses = plan.addresses.min(plan.users);
    report.generator_cpu_seconds = own_after.cpu_seconds - own_before.cpu_seconds;
    let registered = load
        .borrow()
        .phones
        .iter()
        .filter(|phone| phone.is_registered)
        .count();
    report.registered_users = u64::try_from(registered)?;
    report.cores = std::thread::available_parallelism().map_or(1, usize::from);
    report.load_average = fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .trim()
        .to_owned();
    report.under_way_at_most = under_way;
    for (index, process) in watched.iter().enumerate() {
        let at = |usages: &[Usage]| usages.get(index).copied().unwrap_or_default();
        let cpu_seconds = at(&after).cpu_seconds - at(&before).cpu_seconds;
        let (memory_before, memory_after) = (at(&idle).memory_bytes, at(&settled).memory_bytes);
        let used = Used {
            cpu_seconds,
            cpu_seconds_per_1000: cpu_seconds * 1_000.0 / report.attempted.max(1) as f64,
            memory_bytes_before: memory_before,
            memory_bytes_after: memory_after,
            memory_bytes_per_user: memory_after
                .saturating_sub(memory_before)
                .checked_div(report.registered_users),
            memory_bytes_per_operation_under_way: at(&busiest)
                .memory_bytes
                .saturating_sub(at(&before).memory_bytes)
                .checked_div(u64::try_from(under_way)?),
        };
        report.watched.insert(process.name.clone(), used);
    }
    Ok(report)
}

/// Registers all phones when the scenario begins with registered ones.
async fn prepare(plan: &Plan, load: &Rc<RefCell<Load>>) -> Result<()> {
    if plan.scenario == Scenario::Register {
        return Ok(());
    }
    // Who is refused comes again after up to a minute.
    load.borrow_mut().patience = plan.patience().max(PREPARE_PATIENCE);
    let tally = phase(load, u64::from(plan.users), plan.prepare_rate, Scenario::Register).await;
    load.borrow_mut().patience = plan.patience();
    ensure!(
        tally.failures.is_empty(),
        "not all phones could register beforehand: {:?}",
        tally.failures
    );
    if plan.scenario.talk().is_some() {
        load.borrow_mut().meet(plan);
        tokio::time::sleep(CALM).await;
    }
    Ok(())
}

/// Starts `operations` at `rate` and waits for all ends.
pub(super) async fn phase(load: &Rc<RefCell<Load>>, operations: u64, rate: f64, scenario: Scenario) -> Tally {
    phase_until(load, operations, rate, scenario, &mut |_| ()).await
}

/// The same; says how many are under way once all have begun.
async fn phase_until(
    load: &Rc<RefCell<Load>>,
    operations: u64,
    rate: f64,
    scenario: Scenario,
    on_all_begun: &mut dyn FnMut(usize),
) -> Tally {
    let began = Instant::now();
    let planned = Duration::from_secs_f64(operations as f64 / rate);
    load.borrow_mut().tally = Tally::default();
    load.borrow_mut().last_intended = began + planned;
    load.borrow_mut().began = began;
    let window = load.borrow().window;
    let mut on_all_begun = Some(on_all_begun);
    let mut started = 0;
    loop {
        let now = Instant::now();
        let due = |number: u64| began + Duration::from_secs_f64(number as f64 / rate);
        while started < operations
            && due(started) <= now
            && load.borrow().under_way < window.unwrap_or(usize::MAX)
        {
            let intended = window.map_or_else(|| due(started), |_| now);
            load.borrow_mut().begin(started, scenario, intended);
            started += 1;
        }
        load.borrow_mut().expire(now);
        if started == operations
            && let Some(on_all_begun) = on_all_begun.take()
        {
            let under_way = load.borrow().under_way;
            on_all_begun(under_way);
        }
        if started == operations && load.borrow().under_way == 0 {
            let mut tally = load.borrow_mut().close(began);
            tally.planned = planned;
            return tally;
        }
        let tick = now + TICK;
        let may_begin = started < operations && window.is_none_or(|window| load.borrow().under_way < window);
        let until = if may_begin { due(started).min(tick) } else { tick };
        tokio::time::sleep_until(until.into()).await;
    }
}

/// All sockets are read from now on.
pub(super) fn listen(load: &Rc<RefCell<Load>>) {
    for (index, socket) in load.borrow().sockets.iter().enumerate() {
        tokio::task::spawn_local(read(Rc::clone(socket), index, Rc::clone(load)));
    }
}

/// Everything that a socket hears goes to its phone.
pub(super) async fn read(socket: Rc<UdpSocket>, index: usize, load: Rc<RefCell<Load>>) {
    while socket.readable().await.is_ok() {
        let mut buffer = [0; DATAGRAM_MAX];
        while let Ok(length) = socket.try_recv(&mut buffer) {
            load.borrow_mut()
                .receive(index, buffer.get(..length).unwrap_or_default());
        }
    }
}

pub(super) struct Load {
    pub(super) sockets: Vec<Rc<UdpSocket>>,
    pub(super) phones: Vec<Phone>,
    /// Each phone's protected client port, with IPsec.
    pub(super) protected: Vec<Rc<UdpSocket>>,
    /// Where sets are asked for, with IPsec.
    pub(super) kernel: Option<UnboundedSender<XfrmOutput>>,
    /// Calls or messages, in the scenarios of them.
    talk: Option<Talk>,
    window: Option<usize>,
    /// Timer E of requests, some of them answered long ago.
    timers: BinaryHeap<Reverse<(Instant, u32, u32)>>,
    tally: Tally,
    under_way: usize,
    last_end: Instant,
    /// When the plan begins its last operation.
    last_intended: Instant,
    patience: Duration,
    /// The phones that take their turns, one after the other.
    turns: Vec<usize>,
    /// When the phase began.
    began: Instant,
}

impl Load {
    pub(super) async fn new(plan: &Plan) -> Result<Self> {
        let mut sockets = Vec::new();
        let mut addresses = Vec::new();
        for index in 0..plan.addresses.min(plan.users) {
            let address = SocketAddr::from((Ipv4Addr::from_bits(plan.base.to_bits() + index), plan.port));
            let socket = UdpSocket::bind(address)
                .await
                .with_context(|| format!("cannot have {address} (see `ulimit -n`)"))?;
            socket.connect(plan.pcscf).await?;
            socket.writable().await?;
            sockets.push(Rc::new(socket));
            addresses.push(address);
        }
        let k = key("k", plan.k.as_deref(), TEST_K)?;
        let opc = key("opc", plan.opc.as_deref(), TEST_OPC)?;
        // Call-IDs of an earlier run are not to come again.
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed()?;
        let run = u32::try_from(since.as_millis() % u128::from(u32::MAX))?;
        let phones = (0..plan.users)
            .zip(addresses.iter().cycle())
            .map(|(index, address)| {
                let imsi = plan.first_imsi + u64::from(index);
                let mut phone = Phone::new(run, index, imsi, *address, Usim::new(&k, &opc), plan.expires);
                phone.can_talk = plan.scenario.talk().is_some();
                phone.protection = plan.ipsec.then(|| Protection::new(address.ip(), plan.pcscf.ip()));
                phone
            })
            .collect();
        let hold = Duration::from_secs_f64(plan.hold);
        let talk = |kind| Talk::new(kind, run, hold, plan.patience());
        Ok(Self {
            sockets,
            phones,
            talk: plan.scenario.talk().map(talk),
            protected: Vec::new(),
            kernel: None,
            window: plan.window,
            timers: BinaryHeap::new(),
            tally: Tally::default(),
            under_way: 0,
            last_end: Instant::now(),
            last_intended: Instant::now(),
            patience: plan.patience(),
            turns: (0..usize::try_from(plan.users)?).collect(),
            began: Instant::now(),
        })
    }

    /// Begins the operation of this number.
    fn begin(&mut self, number: u64, scenario: Scenario, intended: Instant) {
        self.tally.attempted += 1;
        if scenario.talk().is_some() {
            let now = Instant::now();
            self.tally.lag_max = self.tally.lag_max.max(now - intended);
            self.under_way += 1;
            return self.talk(now, &mut |talk| talk.begin(now, number, intended));
        }
        let turns = u64::try_from(self.turns.len()).unwrap_or(1).max(1);
        let turn = usize::try_from(number % turns).unwrap_or_default();
        let index = self.turns.get(turn).copied().unwrap_or_default();
        let Some(phone) = self.phones.get_mut(index) else {
            return;
        };
        if phone.pending.is_some() {
            return self.failed("phone still busy".to_owned());
        }
        let operation = match scenario {
            Scenario::Register => Operation::Register,
            Scenario::Reregister => Operation::Reregister,
            Scenario::Deregister => Operation::Deregister,
            Scenario::Mixed if !phone.is_registered => Operation::Register,
            Scenario::Mixed if number % 10 < 7 => Operation::Reregister,
            Scenario::Mixed => Operation::Deregister,
            Scenario::Calls | Scenario::Messages => return,
        };
        phone.start(operation, intended);
        self.under_way += 1;
        let now = Instant::now();
        self.tally.lag_max = self.tally.lag_max.max(now - intended);
        self.send(index, now);
    }

    /// Lets phones talk to each other once they are registered.
    fn meet(&mut self, plan: &Plan) {
        if let Some(talk) = &mut self.talk {
            talk.meet(self.phones.iter().map(|phone| phone.party(plan.pcscf)).collect());
        }
    }

    /// Does something with the calls, and what follows from it.
    fn talk(&mut self, now: Instant, act: &mut dyn FnMut(&mut Talk)) {
        let Some(mut talk) = self.talk.take() else { return };
        act(&mut talk);
        while let Some((phone, octets)) = talk.poll_sent() {
            let socket = self.sockets.get(phone % self.sockets.len());
            let _ = socket.map(|socket| socket.try_send(&octets));
        }
        while let Some(Ended { intended, outcome }) = talk.poll_ended() {
            self.end(now);
            match outcome {
                Ok(latency) => self.succeeded(now, intended + latency, intended),
                Err(kind) => self.failed(kind),
            }
        }
        self.tally.retransmissions += std::mem::take(&mut talk.retransmissions);
        self.talk = Some(talk);
    }

    fn succeeded(&mut self, now: Instant, answered: Instant, intended: Instant) {
        self.tally.latencies.push(answered - intended);
        self.tally.in_time += u64::from(now <= self.last_intended);
        self.tally.last_success = now - self.began;
    }

    /// Sends the request of a phone and starts Timer E. What the kernel refuses is lost, as on a wire.
    fn send(&mut self, index: usize, now: Instant) {
        let Some(phone) = self.phones.get_mut(index) else {
            return;
        };
        match phone.protection.as_ref().filter(|it| it.is_inside) {
            Some(protection) => {
                let socket = self.protected.get(index);
                let _ = socket.map(|socket| socket.try_send_to(phone.request(), protection.next_hop()));
            }
            None => {
                let socket = self.sockets.get(index % self.sockets.len());
                let _ = socket.map(|socket| socket.try_send(phone.request()));
            }
        }
        let Ticket {
            phone: number, cseq, ..
        } = phone.ticket();
        self.timers.push(Reverse((now + phone.next_wait(), number, cseq)));
    }

    /// Lets timers fire that are due.
    fn expire(&mut self, now: Instant) {
        self.talk(now, &mut |talk| talk.expire(now));
        while let Some(Reverse((at, number, cseq))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            let index = usize::try_from(number).unwrap_or(usize::MAX);
            let Some(phone) = self.phones.get_mut(index) else {
                continue;
            };
            let Some(pending) = phone.pending.filter(|_| phone.ticket().cseq == cseq) else {
                continue;
            };
            if now >= pending.intended + self.patience {
                let kind = if pending.is_refused { "refused" } else { "timeout" };
                phone.fail(String::new());
                self.end(now);
                self.failed(kind.to_owned());
            } else if pending.is_refused {
                phone.begin_again();
                self.send(index, now);
            } else {
                self.tally.retransmissions += 1;
                self.send(index, now);
            }
        }
    }

    fn receive(&mut self, socket: usize, datagram: &[u8]) {
        if self.talk.is_some()
            && let Some(heard) = Heard::read(datagram)
            && !heard.is_of_a_registration()
        {
            let now = Instant::now();
            return self.talk(now, &mut |talk| talk.receive(now, socket, &heard));
        }
        let Some(answer) = Answer::read(datagram) else {
            return;
        };
        let index = usize::try_from(answer.ticket.phone).unwrap_or(usize::MAX);
        let Some(phone) = self.phones.get_mut(index) else {
            return;
        };
        let Some(pending) = phone.pending else { return };
        let step = phone.on_answer(&answer);
        if matches!(step, Step::Nothing) {
            return;
        }
        let now = Instant::now();
        match step {
            Step::Nothing => {}
            Step::Send => {
                let is_second = phone.pending.is_some_and(|pending| pending.challenges > 1);
                self.tally.challenged_again += u64::from(is_second);
                self.send(index, now);
            }
            Step::Install(set) => self.install(set),
            Step::Wait(wait) => {
                self.tally.refusals += 1;
                // Nobody waits for longer than it is patient.
                let at = (now + wait).min(pending.intended + self.patience);
                let Ticket { phone, cseq, .. } = phone.ticket();
                self.timers.push(Reverse((at, phone, cseq)));
            }
            Step::Done => {
                self.succeeded(now, now, pending.intended);
                self.end(now);
            }
            Step::Failed(kind) => {
                self.end(now);
                self.failed(kind);
            }
        }
    }

    fn install(&self, set: Arc<SaSet>) {
        let lifetime = LIFETIME;
        // The kernel's thread ends after the last phone.
        let _ = self
            .kernel
            .as_ref()
            .map(|kernel| kernel.send(XfrmOutput::Install { set, lifetime }));
    }

    /// The kernel has answered for a phone.
    pub(super) fn on_kernel(&mut self, answer: &XfrmInput) {
        let now = Instant::now();
        let phone = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        match answer {
            XfrmInput::Installed { id } => {
                let index = phone(id.0);
                if self.phones.get_mut(index).is_some_and(Phone::on_installed) {
                    self.send(index, now);
                }
            }
            XfrmInput::InstallFailed { id, failure } => {
                if let Some(phone) = self.phones.get_mut(phone(id.0)) {
                    phone.fail(String::new());
                    self.end(now);
                    self.failed(format!("set not installed: {}", failure.label()));
                }
            }
            XfrmInput::Extended { .. } | XfrmInput::Removed { .. } | XfrmInput::Gone { .. } => {}
        }
    }

    /// Nobody has succeeded in what comes.
    pub(super) fn everybody_is_due(&mut self) {
        for phone in &mut self.phones {
            phone.is_registered = false;
        }
    }

    /// Lets those who have not succeeded take turns: how many they are.
    pub(super) fn take_turns_of_those_due(&mut self) -> u64 {
        let phones = self.phones.iter().enumerate();
        self.turns = phones
            .filter(|(_, phone)| !phone.is_registered)
            .map(|(index, _)| index)
            .collect();
        u64::try_from(self.turns.len()).unwrap_or(u64::MAX)
    }

    /// The findings of the phase that began then.
    fn close(&mut self, began: Instant) -> Tally {
        self.tally.lasted = self.last_end.saturating_duration_since(began);
        std::mem::take(&mut self.tally)
    }

    const fn end(&mut self, now: Instant) {
        self.under_way -= 1;
        self.last_end = now;
    }

    fn failed(&mut self, kind: String) {
        *self.tally.failures.entry(kind).or_default() += 1;
    }
}

fn key(name: &str, text: Option<&str>, default: [u8; 16]) -> Result<[u8; 16]> {
    let Some(text) = text else { return Ok(default) };
    let octets = from_hex(text).and_then(|octets| octets.try_into().ok());
    octets.with_context(|| format!("--{name}: expected 32 hex digits"))
}
