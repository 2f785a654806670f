//! Testkit: any set of nodes on one virtual clock, joined by simulated links.
//!
//! The world owns time and the wires. It delivers one input at a time, drains the node to `None`, writes
//! every message down for the ladder ([`crate::ladder`]) and checks what must always hold
//! ([`invariants`]). Two worlds made alike behave alike: order is by time, then by age.

pub mod charged;
mod faults;
pub mod invariants;
mod ipsec;
pub mod links;
pub mod record;
mod traffic;
mod why;
mod wires;

use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ims_common::limits::SipLimits;
use ims_common::net::{
    Command, DiameterInput, Interface, Naptr, NetInput, NetOutput, ResolvedTarget, SipInput, SipOutput,
    Transport,
};
use ims_common::node::{Metrics, Node, Seed, earliest};
use ims_common::operate::{Question, Report};
use rand::rngs::StdRng;

use self::charged::Charged;
use self::invariants::Invariants;
use self::links::Links;
use self::record::{Entry, Record};
use self::wires::Wires;
use crate::kernel::{Envelope, Kernel};

/// Lines of the ladder that a failure shows.
const LADDER_MAX: usize = 120;

/// A node of the world, by its place in it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeId(pub(crate) usize);

/// What the simulator can run: every [`Node`] of the network, still recognisable by its type.
pub trait SimNode: Node<Input = NetInput, Output = NetOutput> {
    /// The node as itself.
    fn as_any(&mut self) -> &mut dyn Any;
}

impl<N: Node<Input = NetInput, Output = NetOutput> + 'static> SimNode for N {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// What a node is to the invariants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// A phone: nothing that belongs to the network may reach it.
    Ue,
    /// A network function.
    Network,
}

/// A socket of a node: on which side it is, and where.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    /// The side.
    pub interface: Interface,
    /// The address.
    pub address: SocketAddr,
    /// TCP listens there beside UDP.
    pub streams: bool,
}

struct Slot {
    name: String,
    role: Role,
    node: Box<dyn SimNode>,
    kernel: Kernel,
    sockets: Vec<Socket>,
    state: State,
    deaf: bool,
    drained: bool,
    /// How often it was started: what was meant for an earlier life is not for this one.
    life: u32,
    /// Its files of charging data records, which outlive it.
    charged: Charged,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Up,
    /// The process is gone; its host tells whoever asks.
    Down,
    /// The host is gone; nobody tells anything.
    Dark,
}

/// A node that is to be added to the world.
pub struct NodeSpec {
    name: String,
    role: Role,
    sockets: Vec<Socket>,
    diameter: Option<SocketAddr>,
}

impl NodeSpec {
    /// A network function called `name` in the ladder.
    #[must_use]
    pub fn network(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            role: Role::Network,
            sockets: Vec::new(),
            diameter: None,
        }
    }

    /// A phone called `name` in the ladder, at `address` on Gm.
    #[must_use]
    pub fn ue(name: &str, address: SocketAddr) -> Self {
        Self {
            role: Role::Ue,
            ..Self::network(name)
        }
        .socket(Interface::Gm, address)
    }

    /// Adds a SIP socket.
    #[must_use]
    pub fn socket(mut self, interface: Interface, address: SocketAddr) -> Self {
        self.sockets.push(Socket {
            interface,
            address,
            streams: true,
        });
        self
    }

    /// Adds a SIP socket on a port that the host's kernel protects (TS 33.203 7.1).
    #[must_use]
    pub fn protected(mut self, address: SocketAddr, streams: bool) -> Self {
        self.sockets.push(Socket {
            interface: Interface::GmProtected,
            address,
            streams,
        });
        self
    }

    /// Adds a Diameter listener.
    #[must_use]
    pub fn diameter(mut self, address: SocketAddr) -> Self {
        self.diameter = Some(address);
        self
    }
}

/// Something that will happen.
enum Event {
    /// A datagram arrives.
    Datagram {
        to: NodeId,
        input: NetInput,
        packet: Box<Packet>,
    },
    /// The shell tells this life of a node something.
    News { to: NodeId, life: u32, input: NetInput },
    /// Something arrives at an end of a connection.
    Chunk { end: ims_common::net::ConnectionId },
}

/// The outside of a datagram: what a kernel looks at.
#[derive(Clone, Debug)]
struct Packet {
    source: SocketAddr,
    destination: SocketAddr,
    envelope: Option<Envelope>,
    octets: usize,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Turn {
    /// A lifetime ends in a kernel.
    Kernel(NodeId),
    /// A timer of a node.
    Timer(NodeId),
}

/// The virtual world. See the module.
pub struct World {
    epoch: Instant,
    now: Instant,
    seed: u64,
    restarts: u64,
    rng: StdRng,
    slots: Vec<Slot>,
    queue: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    wires: Wires,
    /// Delays, losses and cuts.
    pub links: Links,
    dns: BTreeMap<String, Vec<ResolvedTarget>>,
    naptr: BTreeMap<String, Vec<Naptr>>,
    record: Record,
    record_from: Instant,
    invariants: Invariants,
    limits: SipLimits,
    why: why::Recorders,
}

impl World {
    /// An empty world; `seed` makes every chance in it.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let epoch = epoch();
        Self {
            epoch,
            now: epoch,
            seed,
            restarts: 0,
            rng: Seed::from_number(seed).rng(77),
            slots: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            wires: Wires::default(),
            links: Links::default(),
            dns: BTreeMap::new(),
            naptr: BTreeMap::new(),
            record: Record::default(),
            record_from: epoch,
            invariants: Invariants::default(),
            limits: SipLimits::default(),
            why: why::Recorders::default(),
        }
    }

    /// The seed of the next node: of this world, of its place in it, and of how many started again before.
    #[must_use]
    pub fn next_seed(&self) -> Seed {
        let number = self
            .seed
            .wrapping_mul(1_000)
            .wrapping_add(self.slots.len() as u64);
        let mut seed = Seed::from_number(number.wrapping_add(self.restarts << 40));
        seed.boot_unix_secs += self.elapsed().as_secs();
        seed
    }

    /// The present instant of the virtual clock.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.duration_since(self.epoch)
    }

    /// Adds a node and lets it say its first words.
    pub fn add(&mut self, spec: NodeSpec, node: impl SimNode + 'static) -> NodeId {
        let id = NodeId(self.slots.len());
        let mut kernel = Kernel::default();
        for socket in &spec.sockets {
            self.wires.listen(socket, id);
            if socket.interface == Interface::GmProtected {
                kernel.protect(socket.address);
            }
        }
        if let Some(address) = spec.diameter {
            self.wires.listen_diameter(address, id);
        }
        self.slots.push(Slot {
            name: spec.name,
            role: spec.role,
            node: Box::new(node),
            kernel,
            sockets: spec.sockets,
            state: State::Up,
            deaf: false,
            drained: false,
            life: 0,
            charged: Charged::default(),
        });
        let now = self.now;
        self.slots[id.0].node.handle_timeout(now);
        self.drain(id);
        id
    }

    /// How many nodes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no node yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The names of all nodes.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.slots.iter().map(|slot| slot.name.clone()).collect()
    }

    /// Lets a name be served at these places.
    pub fn serve_name(&mut self, host: &str, targets: Vec<ResolvedTarget>) {
        self.dns.insert(host.to_ascii_lowercase(), targets);
    }

    /// Lets a name have these NAPTR records.
    pub fn serve_naptr(&mut self, name: &str, records: Vec<Naptr>) {
        self.naptr.insert(name.to_ascii_lowercase(), records);
    }

    /// The node called `name`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn id(&self, name: &str) -> NodeId {
        self.slots
            .iter()
            .position(|slot| slot.name == name)
            .map_or_else(|| panic!("no node is called {name}"), NodeId)
    }

    /// Acts on a node as its concrete type, then lets it speak.
    ///
    /// # Panics
    /// When the node is of another type.
    pub fn with<N: 'static, R>(&mut self, name: &str, act: impl FnOnce(Instant, &mut N) -> R) -> R {
        let id = self.id(name);
        let now = self.now;
        let any = self.slots[id.0].node.as_any();
        let Some(node) = any.downcast_mut::<N>() else {
            panic!("{name} is of another type")
        };
        let result = act(now, node);
        self.drain(id);
        result
    }

    /// Gives a node an operator's command.
    pub fn command(&mut self, name: &str, command: Command) {
        let id = self.id(name);
        self.deliver(id, NetInput::Command(command));
    }

    /// Whether a node has said that it is drained.
    #[must_use]
    pub fn is_drained(&self, name: &str) -> bool {
        self.slots[self.id(name).0].drained
    }

    /// What a node counts.
    #[must_use]
    pub fn metrics(&self, name: &str) -> Metrics {
        let mut metrics = Metrics::default();
        self.slots[self.id(name).0].node.metrics(&mut metrics);
        metrics
    }

    /// What a node tells an operator.
    #[must_use]
    pub fn report(&self, name: &str, question: &Question) -> Report {
        let mut report = Report::default();
        let node = &self.slots[self.id(name).0].node;
        node.report(self.now, question, &mut report);
        report
    }

    /// The gauges of a node.
    #[must_use]
    pub fn gauges(&self, id: NodeId) -> Metrics {
        let mut metrics = Metrics::gauges();
        self.slots[id.0].node.metrics(&mut metrics);
        metrics
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, id: NodeId) -> &str {
        &self.slots[id.0].name
    }

    /// Everything that was sent so far, in order.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Forgets what was sent so far: the next ladder begins here, at 0.000.
    pub fn forget_record(&mut self) {
        self.record = Record::default();
        self.record_from = self.now;
    }

    /// The time since the record began.
    fn recorded(&self) -> Duration {
        self.now.duration_since(self.record_from)
    }

    /// Writes a sentence into the record.
    pub fn note(&mut self, text: &str) {
        let at = self.recorded();
        self.record.push(Entry::note(at, text));
    }

    /// Lets `duration` pass.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step_until(until) {}
        self.now = until;
    }

    /// Goes on until nothing is in flight. Timers that are due meanwhile fire; later ones wait.
    pub fn run_until_idle(&mut self) {
        while let Some((&(at, _), _)) = self.queue.first_key_value() {
            self.step_until(at);
        }
    }

    /// Goes on until `done` says so, at most for `limit`; whether it did.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step_until(until) {
                return false;
            }
        }
    }

    /// Does the next thing that is due at `until` or before; false when there is none.
    fn step_until(&mut self, until: Instant) -> bool {
        self.step(until).is_some()
    }

    /// Does the next thing that is due at `until` or before, and says to which node; `None` when there is none. Then
    /// the clock stands where it stood.
    pub fn step(&mut self, until: Instant) -> Option<NodeId> {
        let timer = self.next_timer();
        let event = self.queue.first_key_value().map(|(&(at, _), _)| at);
        let at = earliest(timer.map(|(at, _)| at), event).filter(|at| *at <= until)?;
        self.now = self.now.max(at);
        if event == Some(at) {
            let (_, event) = self.queue.pop_first()?;
            return Some(self.happen(event));
        }
        let (_, turn) = timer?;
        Some(match turn {
            Turn::Kernel(id) => self.expire(id),
            Turn::Timer(id) => {
                let now = self.now;
                self.slots[id.0].node.handle_timeout(now);
                self.drain(id);
                id
            }
        })
    }

    /// Lets the clock stand at `until`, where nothing happens before.
    ///
    /// # Panics
    /// When something is due before.
    pub fn sleep_until(&mut self, until: Instant) {
        let due = earliest(
            self.next_timer().map(|(at, _)| at),
            self.queue.first_key_value().map(|(&(at, _), _)| at),
        );
        assert!(due.is_none_or(|due| due > until), "something happens before");
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) -> NodeId {
        match event {
            Event::Datagram { to, input, packet } => {
                let Packet {
                    source,
                    destination,
                    envelope,
                    octets,
                } = *packet;
                let kernel = &mut self.slots[to.0].kernel;
                if kernel
                    .open(source, destination, envelope.as_ref(), octets)
                    .is_ok()
                {
                    self.deliver(to, input);
                } else {
                    self.kernel_dropped(to);
                }
                to
            }
            Event::News { to, life, input } => {
                if self.slots[to.0].life == life {
                    self.deliver(to, input);
                }
                to
            }
            Event::Chunk { end } => self.arrive(end),
        }
    }

    fn next_timer(&self) -> Option<(Instant, Turn)> {
        let slots = || self.slots.iter().enumerate();
        let timers = slots()
            .filter(|(_, slot)| slot.state == State::Up)
            .filter_map(|(index, slot)| Some((slot.node.poll_timeout()?, Turn::Timer(NodeId(index)))));
        let kernels = slots()
            .filter_map(|(index, slot)| Some((slot.kernel.next_expiry()?, Turn::Kernel(NodeId(index)))));
        timers.chain(kernels).min()
    }

    fn deliver(&mut self, to: NodeId, input: NetInput) {
        let now = self.now;
        let slot = &mut self.slots[to.0];
        if slot.state != State::Up || (slot.deaf && is_message(&input)) {
            return;
        }
        if let NetInput::Sip(SipInput::Received { message, .. }) = &input {
            self.invariants.on_arrival(to, message);
        }
        self.why.heard(to, now, &input);
        slot.node.handle(now, input);
        self.drain(to);
    }

    fn drain(&mut self, id: NodeId) {
        while let Some(output) = self.slots[id.0].node.poll_output() {
            self.why.said(id, self.now, &output);
            match output {
                NetOutput::Sip(SipOutput::Transmit(transmit)) => self.transmit(id, &transmit),
                NetOutput::Sip(SipOutput::Resolve(request)) => self.resolve(id, &request),
                NetOutput::Sip(SipOutput::Naptr(request)) => self.answer_naptr(id, &request),
                NetOutput::Sip(SipOutput::Close(connection)) => {
                    self.close(connection);
                    self.wires.remove(connection);
                }
                NetOutput::Diameter(output) => self.diameter(id, output),
                NetOutput::Xfrm(request) => self.ask_kernel(id, &request),
                NetOutput::Cdr(event) => self.write_record(id, &event),
                NetOutput::Drained => self.slots[id.0].drained = true,
            }
        }
        self.drain_notes(id);
    }

    /// Ends the run: something is not as it must be.
    ///
    /// # Panics
    /// Always.
    pub fn fail(&self, wrong: &str) -> ! {
        let ladder = crate::ladder::last(&self.record, LADDER_MAX);
        panic!("{wrong}\nSEED={}\n{ladder}", self.seed);
    }

    fn news(&mut self, delay: Duration, to: NodeId, input: NetInput) {
        let life = self.slots[to.0].life;
        self.schedule(self.now + delay, Event::News { to, life, input });
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    /// This node is known to answer nothing: what it owes is not counted.
    pub fn excuse(&mut self, name: &str) {
        let id = self.id(name);
        self.invariants.excuse(id);
    }

    /// What phones answered to INVITEs and nobody acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> Vec<String> {
        self.invariants.unacknowledged()
    }

    /// The requests that arrived and were never finally answered, as sentences.
    #[must_use]
    pub fn unanswered(&self) -> Vec<String> {
        self.invariants.unanswered()
    }
}

const fn is_message(input: &NetInput) -> bool {
    matches!(
        input,
        NetInput::Sip(SipInput::Received { .. } | SipInput::Malformed(_))
            | NetInput::Diameter(DiameterInput::Message { .. })
    )
}

/// Some instant to count from: only differences to it are ever used.
#[allow(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made in any other way; virtual time only adds to it"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

/// The name of a transport in the ladder.
#[must_use]
pub const fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    }
}

#[cfg(test)]
mod tests;
