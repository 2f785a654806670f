//! Testkit: any set of nodes on one virtual clock, joined by simulated links.
//!
//! The world owns time and the wires. It delivers one input at a time, drains the node to `None`, writes
//! every message down for the ladder ([`crate::ladder`]) and checks what must always hold
//! ([`invariants`]). Two worlds made alike behave alike: order is by time, then by age.

pub mod invariants;
pub mod links;
pub mod record;
mod wires;

use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::net::{
    Command, DiameterInput, DiameterOutput, Flow, Interface, Malformed, NetInput, NetOutput, ResolveRequest,
    ResolvedTarget, SipInput, SipOutput, Transmit, Transport,
};
use ims_common::node::{Metrics, Node, Seed, earliest};
use ims_common::sip::Message;
use rand::rngs::StdRng;

use self::invariants::Invariants;
use self::links::{Fate, Links};
use self::record::{Entry, Record};
use self::wires::Wires;

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
    /// The address; UDP and TCP both listen there.
    pub address: SocketAddr,
}

struct Slot {
    name: String,
    role: Role,
    node: Box<dyn SimNode>,
    sockets: Vec<Socket>,
    alive: bool,
    deaf: bool,
    drained: bool,
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
        self.sockets.push(Socket { interface, address });
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
    Deliver { to: NodeId, input: NetInput },
}

/// The virtual world. See the module.
pub struct World {
    epoch: Instant,
    now: Instant,
    seed: u64,
    rng: StdRng,
    slots: Vec<Slot>,
    queue: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    wires: Wires,
    /// Delays, losses and cuts.
    pub links: Links,
    dns: BTreeMap<String, Vec<ResolvedTarget>>,
    record: Record,
    record_from: Instant,
    invariants: Invariants,
    limits: SipLimits,
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
            rng: Seed::from_number(seed).rng(77),
            slots: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            wires: Wires::default(),
            links: Links::default(),
            dns: BTreeMap::new(),
            record: Record::default(),
            record_from: epoch,
            invariants: Invariants::default(),
            limits: SipLimits::default(),
        }
    }

    /// The seed of the next node: of this world and of its place in it.
    #[must_use]
    pub fn next_seed(&self) -> Seed {
        Seed::from_number(
            self.seed
                .wrapping_mul(1_000)
                .wrapping_add(self.slots.len() as u64),
        )
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
        for socket in &spec.sockets {
            self.wires.listen(socket.address, id, socket.interface);
        }
        if let Some(address) = spec.diameter {
            self.wires.listen_diameter(address, id);
        }
        self.slots.push(Slot {
            name: spec.name,
            role: spec.role,
            node: Box::new(node),
            sockets: spec.sockets,
            alive: true,
            deaf: false,
            drained: false,
        });
        let now = self.now;
        self.slots[id.0].node.handle_timeout(now);
        self.drain(id);
        id
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
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

    /// A node hears nothing from now on, though its connections stay up. Timers go on.
    pub fn deafen(&mut self, name: &str) {
        let id = self.id(name);
        self.slots[id.0].deaf = true;
    }

    /// Ends [`World::deafen`].
    pub fn undeafen(&mut self, name: &str) {
        let id = self.id(name);
        self.slots[id.0].deaf = false;
    }

    /// A node dies: its connections break, nothing reaches it.
    pub fn crash(&mut self, name: &str) {
        let id = self.id(name);
        self.slots[id.0].alive = false;
        for (peer, input) in self.wires.break_all(id) {
            self.schedule(Duration::from_millis(5), peer, input);
        }
        self.note(&format!("{name} is down"));
    }

    /// A dead node comes back as `node`, at the same addresses.
    pub fn restart(&mut self, name: &str, node: impl SimNode + 'static) {
        let id = self.id(name);
        let slot = &mut self.slots[id.0];
        slot.node = Box::new(node);
        slot.alive = true;
        slot.drained = false;
        let now = self.now;
        slot.node.handle_timeout(now);
        self.note(&format!("{name} is up again"));
        self.drain(id);
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
        let timer = self.next_timer();
        let event = self.queue.first_key_value().map(|(&(at, _), _)| at);
        let Some(at) = earliest(timer.map(|(at, _)| at), event).filter(|at| *at <= until) else {
            return false;
        };
        self.now = self.now.max(at);
        if event == Some(at) {
            if let Some((_, Event::Deliver { to, input })) = self.queue.pop_first() {
                self.deliver(to, input);
            }
        } else if let Some((_, id)) = timer {
            let now = self.now;
            self.slots[id.0].node.handle_timeout(now);
            self.drain(id);
        }
        true
    }

    fn next_timer(&self) -> Option<(Instant, NodeId)> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.alive)
            .filter_map(|(index, slot)| Some((slot.node.poll_timeout()?, NodeId(index))))
            .min()
    }

    fn deliver(&mut self, to: NodeId, input: NetInput) {
        let now = self.now;
        let slot = &mut self.slots[to.0];
        if !slot.alive || (slot.deaf && is_message(&input)) {
            return;
        }
        slot.node.handle(now, input);
        self.drain(to);
    }

    fn drain(&mut self, id: NodeId) {
        while let Some(output) = self.slots[id.0].node.poll_output() {
            match output {
                NetOutput::Sip(SipOutput::Transmit(transmit)) => self.transmit(id, &transmit),
                NetOutput::Sip(SipOutput::Resolve(request)) => self.resolve(id, &request),
                NetOutput::Sip(SipOutput::Close(connection)) => {
                    let closed = self.wires.close_stream(connection);
                    self.schedule_all(closed);
                }
                NetOutput::Diameter(output) => self.diameter(id, output),
                NetOutput::Drained => self.slots[id.0].drained = true,
            }
        }
    }

    fn transmit(&mut self, from: NodeId, transmit: &Transmit) {
        let alive = |id: NodeId| self.slots[id.0].alive;
        let Some(route) = self
            .wires
            .route(from, &self.slots[from.0].sockets, transmit, alive)
        else {
            let input = NetInput::Sip(SipInput::SendFailed(transmit.tag));
            return self.schedule(Duration::from_millis(1), from, input);
        };
        let Some(to) = route.to else { return };
        let fate = self.links.fate(
            &self.slots[from.0].name,
            &self.slots[to.0].name,
            route.transport,
            &mut self.rng,
        );
        self.write_down(from, to, route.flow, &transmit.bytes, fate == Fate::Lost);
        let (delay, copies) = match fate {
            Fate::Lost => return,
            Fate::Arrives(delay) => (delay, 1),
            Fate::ArrivesTwice(delay) => (delay, 2),
        };
        for _ in 0..copies {
            let input = self.received(route.flow, transmit.bytes.clone());
            self.schedule(delay, to, NetInput::Sip(input));
        }
    }

    fn received(&self, flow: Flow, bytes: Bytes) -> SipInput {
        match Message::parse(bytes.clone(), &self.limits) {
            Ok(message) => SipInput::Received { flow, message },
            Err(_) => SipInput::Malformed(Malformed {
                flow,
                reason: "malformed",
                bytes,
            }),
        }
    }

    fn write_down(&mut self, from: NodeId, to: NodeId, flow: Flow, bytes: &Bytes, lost: bool) {
        let entry = Entry::sip(
            self.recorded(),
            (&self.slots[from.0].name, &self.slots[to.0].name),
            flow,
            bytes.clone(),
            lost,
        );
        let wrong = self
            .invariants
            .on_sip((from, to), self.slots[to.0].role, &entry, &self.limits);
        self.record.push(entry);
        if let Some(wrong) = wrong {
            panic!("{wrong}\nSEED={}\n{}", self.seed, crate::ladder::of(&self.record));
        }
    }

    fn resolve(&mut self, id: NodeId, request: &ResolveRequest) {
        let mut targets = self
            .dns
            .get(&request.host.to_ascii_lowercase())
            .cloned()
            .unwrap_or_default();
        if let Some(transport) = request.transport {
            targets.retain(|target| target.transport == transport);
        }
        if let Some(port) = request.port {
            targets.iter_mut().for_each(|target| target.remote.set_port(port));
        }
        let input = SipInput::Resolved {
            id: request.id,
            targets,
        };
        self.schedule(Duration::from_millis(2), id, NetInput::Sip(input));
    }

    fn diameter(&mut self, from: NodeId, output: DiameterOutput) {
        match output {
            DiameterOutput::Connect { attempt, address } => {
                let alive = |id: NodeId| self.slots[id.0].alive;
                let inputs = self.wires.connect_diameter(from, attempt, &address, alive);
                self.schedule_all(inputs);
            }
            DiameterOutput::Send { connection, bytes } => {
                let Some((to, peer)) = self.wires.diameter_peer(connection) else {
                    return;
                };
                let names = (self.slots[from.0].name.as_str(), self.slots[to.0].name.as_str());
                let delay = self.links.delay(names.0, names.1);
                let at = self.now.duration_since(self.record_from);
                self.record.push(Entry::diameter(at, names, bytes.clone()));
                let input = DiameterInput::Message {
                    connection: peer,
                    bytes,
                };
                self.schedule(delay, to, NetInput::Diameter(input));
            }
            DiameterOutput::Close { connection } => {
                let closed = self.wires.close_diameter(connection);
                self.schedule_all(closed);
            }
        }
    }

    fn schedule_all(&mut self, inputs: Vec<(NodeId, NetInput)>) {
        for (to, input) in inputs {
            self.schedule(Duration::from_millis(5), to, input);
        }
    }

    fn schedule(&mut self, delay: Duration, to: NodeId, input: NetInput) {
        self.sequence += 1;
        self.queue
            .insert((self.now + delay, self.sequence), Event::Deliver { to, input });
    }

    /// The requests that nobody has finally answered, as sentences.
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
