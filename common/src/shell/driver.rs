//! Shell: the one driver: gives a node its inputs and the time, and does what it asks.

mod alarm;
mod beside;
mod copies;
mod ending;
mod figures;
mod news;
mod tap;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use self::alarm::Alarm;
use self::tap::Tap;
use super::Event;
use super::admin::AdminRequest;
use super::bound::Shell;
use super::crew::Crew;
use super::reload::Reloading;
use super::signals::{self, Signals};
use super::tcp::{NotSent, sip_write};
use super::xfrm::{Ends, without_ipsec};
use crate::ipsec::XfrmOutput;
use crate::net::{
    ConnectionId, Destination, DiameterInput, DiameterOutput, Flow, Interface, NaptrRequest, NetInput,
    NetOutput, ResolveRequest, SipInput, SipOutput, Transmit, Transport,
};
use crate::node::{Histogram, Sharded, earliest};
use crate::overload::{Excess, Next, Waiting, Work};
use crate::sip::Message;
use crate::token::ShardId;

/// Messages that are served, and events that are taken, before others and timers get their turn again.
const BATCH: usize = 32;
/// Datagrams of one socket that are taken in one turn.
const DATAGRAMS: usize = 256;
/// How much later than due a timer may fire, so that those of a moment fire together, as a rule when the thread is
/// awake anyway. The timers of SIP and Diameter are of half a second and more.
const TIMER_SLACK: Duration = Duration::from_millis(5);

/// Whether new work is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Serving,
    /// With a signal already: the next one ends all.
    Draining {
        until: Instant,
        signalled: bool,
    },
    Over,
}

/// A message that waits.
struct Parcel {
    flow: Flow,
    message: Message,
}

impl Parcel {
    fn received(self) -> NetInput {
        let Self { flow, message } = self;
        NetInput::Sip(SipInput::Received { flow, message })
    }

    fn excess(self) -> NetInput {
        let Self { flow, message } = self;
        NetInput::Sip(SipInput::Excess { flow, message })
    }
}

pub(super) struct Driver<N: Sharded> {
    node: N,
    shell: Shell,
    /// The other shards of the node, when there are any.
    crew: Option<Crew<N::Word>>,
    /// What failed at once while the node spoke; told after it has said all.
    failed: VecDeque<NetInput>,
    started: Instant,
    phase: Phase,
    waiting: Waiting<Parcel>,
    /// What sees all that the node is told and says.
    tap: Tap,
    /// How another configuration is taken.
    reloading: Option<Reloading<N>>,
    /// How long each turn lasts.
    turns: Histogram,
    /// How long what is served had waited.
    waits: Histogram,
}

impl<N: Sharded> Driver<N> {
    pub(super) fn new(
        node: N,
        mut shell: Shell,
        crew: Option<Crew<N::Word>>,
        reloading: Option<Reloading<N>>,
    ) -> Self {
        Self {
            reloading,
            waiting: Waiting::new(shell.context.limits.waiting()),
            tap: Tap::new(&mut shell),
            node,
            shell,
            crew,
            failed: VecDeque::new(),
            started: Instant::now(),
            phase: Phase::Serving,
            turns: Histogram::new(figures::TURNS),
            waits: Histogram::new(figures::WAITS),
        }
    }

    /// Until the node is over.
    pub(super) async fn run(mut self, signals: Option<Signals>) {
        if let Some(signals) = signals {
            signals.report_to(self.shell.all.clone());
        }
        let mut batch = Vec::with_capacity(BATCH);
        let mut alarm = Alarm::new();
        self.speak(self.started);
        while self.phase != Phase::Over {
            let is_behind = self.wait(&mut batch, &mut alarm).await;
            self.turn(&mut batch);
            if is_behind {
                // Connections, DNS and HTTP have tasks in this thread.
                tokio::task::yield_now().await;
            }
        }
        // Nobody is led to a node that ends.
        drop(self.shell.admin_socket.take());
        self.flush().await;
        self.end_protection().await;
        if self.is_first() {
            tracing::info!(node = self.shell.name, "ended");
        }
    }

    /// Sleeps until there is something to do. Says whether messages wait.
    async fn wait(&mut self, batch: &mut Vec<Event>, alarm: &mut Alarm) -> bool {
        let drain_deadline = match self.phase {
            Phase::Draining { until, .. } => Some(until),
            Phase::Serving | Phase::Over => None,
        };
        let timer = self.node.poll_timeout().map(|at| at + TIMER_SLACK);
        let deadline = earliest(earliest(timer, self.tap.poll_timeout()), drain_deadline);
        let is_behind = !self.waiting.is_empty();
        let may_read = !self.waiting.is_half_full();
        poll_fn(|task| {
            let mut is_awake = is_behind;
            for side in &self.shell.udp {
                is_awake |= side.poll_readable(task);
            }
            if may_read {
                is_awake |= self.shell.events.poll_recv_many(task, batch, BATCH).is_ready();
            }
            if let Some(xfrm) = &mut self.shell.xfrm {
                is_awake |= xfrm.poll(task);
            }
            if let Some(crew) = &mut self.crew {
                is_awake |= crew.poll(task, may_read);
            }
            is_awake |= alarm.poll(task, deadline);
            if is_awake { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        is_behind
    }

    /// Takes all that is there, serves some of it, then the timers that are due.
    fn turn(&mut self, batch: &mut Vec<Event>) {
        let now = Instant::now();
        for event in batch.drain(..) {
            self.on_event(now, event);
        }
        self.hear_xfrm(now);
        self.on_crew(now);
        for side in 0..self.shell.udp.len() {
            self.receive(now, side);
        }
        self.serve(now);
        if self.node.poll_timeout().is_some_and(|at| at <= now) {
            self.tap.timer();
            self.node.handle_timeout(now);
            self.speak(now);
        }
        self.tap.handle_timeout(now);
        if matches!(self.phase, Phase::Draining { until, .. } if until <= now) {
            tracing::warn!("drain timed out: ending with work in progress");
            self.phase = Phase::Over;
        }
        self.turns.observe(now.elapsed());
    }

    /// Datagrams of one socket. They are taken faster than served, so that what waits does so here, where it is
    /// known what it is, and not in the kernel.
    fn receive(&mut self, now: Instant, side: usize) {
        for _ in 0..DATAGRAMS {
            let (context, node) = (&self.shell.context, &mut self.node);
            let side = self.shell.udp.get_mut(side);
            let input = side.and_then(|side| side.receive(context, |flow| node.turns_away(now, flow)));
            match input {
                Some(input) => self.take(now, input),
                None => return,
            }
        }
    }

    /// What the kernel's IPsec says: it ends what is in progress, and waits for nothing.
    fn hear_xfrm(&mut self, now: Instant) {
        while let Some((answer, ended)) = self.shell.xfrm.as_mut().and_then(|xfrm| xfrm.next()) {
            self.close_protected(ended);
            self.tell(now, NetInput::Xfrm(answer));
        }
        while let Some(growth) = self.shell.xfrm.as_mut().and_then(|xfrm| xfrm.next_growth()) {
            self.tap.kernel(now, growth);
        }
    }

    fn ask_xfrm(&mut self, request: XfrmOutput) {
        match &mut self.shell.xfrm {
            Some(xfrm) => {
                let ended = xfrm.ask(request);
                self.close_protected(ended);
            }
            None => self.failed.push_back(NetInput::Xfrm(without_ipsec(&request))),
        }
    }

    fn close_protected(&mut self, ended: Vec<Ends>) {
        for ends in ended {
            self.shell.streams.close_protected(ends);
        }
    }

    /// A message waits for its turn; all else is told at once.
    fn take(&mut self, now: Instant, input: NetInput) {
        let NetInput::Sip(SipInput::Received { flow, message }) = input else {
            return self.tell(now, input);
        };
        let owner = self
            .crew
            .as_ref()
            .and_then(|crew| crew.other_owner(&flow, &message));
        match owner {
            None => self.line_up(now, Parcel { flow, message }),
            Some(owner) => self.hand_over(now, owner, Parcel { flow, message }),
        }
    }

    /// A message of our own waits.
    fn line_up(&mut self, now: Instant, parcel: Parcel) {
        let work = self.node.work_of(&parcel.flow, &parcel.message);
        if work == Work::New
            && let Some(cdr) = &self.shell.cdr
            && cdr.refuses(&parcel.message)
        {
            return self.tell(now, parcel.excess());
        }
        match self.waiting.push(now, work, parcel) {
            None => {}
            Some(Excess::Refuse(parcel)) => self.tell(now, parcel.excess()),
            Some(Excess::Drop(_)) => self.shell.context.counters.dropped_queue_full.count(),
        }
    }

    /// Whether this is the first shard, which speaks for the process.
    fn is_first(&self) -> bool {
        self.shell.place.shard == ShardId(0)
    }

    /// Some of what waits.
    fn serve(&mut self, now: Instant) {
        for _ in 0..BATCH {
            match self.waiting.pop(now) {
                Some(Next::Serve(parcel)) => {
                    self.waits.observe(self.waiting.delay());
                    self.tell(now, parcel.received());
                }
                Some(Next::Refuse(parcel)) => self.tell(now, parcel.excess()),
                None => return,
            }
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Net(input) => self.take(now, input),
            Event::Admin(request) => self.on_admin(now, request),
            Event::Signal(signals::RELOAD) => self.reload(None),
            Event::Signal(signal) => self.on_signal(now, signal),
            Event::Reconfigure(news, done) => self.reconfigure(now, &news, done),
            Event::Noted(note) => self.tap.noted(now, note),
            Event::SipAccepted { interface, stream } => {
                if !self.turns_away(now, interface, &stream) {
                    self.accepted(interface, stream);
                }
            }
            Event::SendFailed(tag) => {
                self.send_failed(tag);
                self.speak(now);
            }
            Event::SipEnded(id) => {
                let opened_to = self.shell.streams.ended(id);
                if let Some(crew) = &self.crew {
                    crew.connection_closed(id);
                }
                self.tell(now, NetInput::Sip(SipInput::ConnectionClosed(id, opened_to)));
            }
            Event::DiameterUp { attempt, stream } => {
                if let Some(input) = self.shell.diameter.up(attempt, stream) {
                    self.tell(now, NetInput::Diameter(input));
                }
            }
            Event::DiameterEnded(connection) => {
                let input: DiameterInput = self.shell.diameter.ended(connection);
                self.tell(now, NetInput::Diameter(input));
            }
        }
    }

    fn on_admin(&mut self, now: Instant, request: AdminRequest) {
        // Whoever asked may have gone meanwhile.
        match request {
            AdminRequest::Health(answer) => drop(answer.send(self.health())),
            AdminRequest::Metrics(answer) => drop(answer.send(self.metrics())),
            AdminRequest::Report(question, answer) => drop(answer.send(self.report(now, &question))),
            AdminRequest::Sas(answer) => match &self.shell.xfrm {
                Some(xfrm) => xfrm.list(answer),
                None => drop(answer.send(Vec::new())),
            },
            AdminRequest::Command(command, answer) => {
                self.tell(now, NetInput::Command(command));
                drop(answer.send(self.health()));
            }
            AdminRequest::IfcTest(test, answer) => drop(answer.send(self.node.ifc_test(&test))),
            AdminRequest::Why(who, answer) => drop(answer.send(self.tap.case(&who, now))),
            AdminRequest::Findings(answer) => drop(answer.send(self.tap.findings())),
            AdminRequest::Follow(who, entries) => self.tap.follow(who, entries),
            AdminRequest::Reload(answer) => self.reload(Some(answer)),
            AdminRequest::Drain(answer) => {
                self.begin_drain(now, "operator");
                drop(answer.send(self.health()));
            }
        }
    }

    /// One input, and everything that comes of it.
    fn tell(&mut self, now: Instant, input: NetInput) {
        self.shell.rest.count();
        self.tap.heard(now, &input);
        self.node.handle(now, input);
        self.speak(now);
    }

    /// Does all that the node asks, and tells it what failed at once.
    fn speak(&mut self, now: Instant) {
        loop {
            while let Some(output) = self.node.poll_output() {
                self.tap.said(now, &output);
                self.perform(output);
            }
            while let Some(note) = self.tap.wants_notes().then(|| self.node.poll_note()).flatten() {
                self.tap.noted(now, note);
            }
            if let Some(crew) = &self.crew {
                while let Some(spoken) = self.node.poll_spoken() {
                    crew.say(spoken);
                }
            }
            let Some(failed) = self.failed.pop_front() else {
                return;
            };
            self.node.handle(now, failed);
        }
    }

    fn perform(&mut self, output: NetOutput) {
        match output {
            NetOutput::Sip(SipOutput::Transmit(transmit)) => self.transmit(transmit),
            NetOutput::Sip(SipOutput::Resolve(question)) => self.resolve(question),
            NetOutput::Sip(SipOutput::Naptr(question)) => self.ask_naptr(question),
            NetOutput::Sip(SipOutput::Close(id)) => self.close(id),
            NetOutput::Diameter(DiameterOutput::Connect { attempt, address }) => {
                let dns = self.shell.dns.clone();
                self.shell.diameter.connect(attempt, address, dns);
            }
            NetOutput::Diameter(DiameterOutput::Send { connection, bytes }) => {
                self.shell.diameter.send(connection, bytes);
            }
            NetOutput::Diameter(DiameterOutput::Close { connection }) => {
                self.shell.diameter.close(connection)
            }
            NetOutput::Xfrm(request) => self.ask_xfrm(request),
            // Written before what comes after it is sent.
            NetOutput::Cdr(event) => {
                if let Some(cdr) = &self.shell.cdr {
                    cdr.write(&event);
                }
            }
            // With other shards, it serves their messages until the last one has drained.
            NetOutput::Drained => {
                let is_last = self.crew.as_ref().is_none_or(Crew::has_drained);
                if is_last {
                    self.phase = Phase::Over;
                }
            }
        }
    }

    fn transmit(&mut self, transmit: Transmit) {
        let tag = transmit.tag;
        let sent = match transmit.destination {
            Destination::Flow(flow) => match flow.connection {
                Some(id) => self.send_on(id, transmit),
                None if flow.transport == Transport::Tcp => {
                    self.send_stream(flow.interface, flow.local, flow.remote, transmit)
                }
                None => self.send_udp(flow.interface, flow.remote, Some(flow.local), &transmit),
            },
            Destination::Address {
                interface,
                transport: Transport::Udp,
                remote,
            } => self.send_udp(interface, remote, None, &transmit),
            Destination::Address {
                interface,
                transport: Transport::Tcp,
                remote,
            } => self.send_tcp(interface, remote, transmit),
        };
        if sent.is_err() {
            self.send_failed(tag);
        }
    }

    fn send_udp(
        &self,
        interface: Interface,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        transmit: &Transmit,
    ) -> Result<(), ()> {
        let counters = &self.shell.context.counters;
        let side = self
            .shell
            .udp
            .iter()
            .find(|side| side.serves(interface, remote, local));
        let Some(side) = side else {
            counters.send_no_socket.count();
            return Err(());
        };
        match side.send(&transmit.bytes, remote) {
            Ok(()) => counters.udp_sent.count(),
            // Lost as on a wire: the transaction's timers repeat it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                counters.udp_dropped_send_buffer.count()
            }
            Err(error) => {
                tracing::debug!(%error, "datagram not sent");
                counters.send_error.count();
                return Err(());
            }
        }
        Ok(())
    }

    fn send_on(&self, id: ConnectionId, transmit: Transmit) -> Result<(), ()> {
        if let Some(crew) = &self.crew
            && let Some(holder) = crew.other_holder(id)
        {
            return crew
                .transmit(holder, transmit)
                .inspect_err(|()| self.shell.context.counters.handed_over_full.count());
        }
        let write = sip_write(transmit.bytes, transmit.tag);
        self.count_tcp(self.shell.streams.send_on(id, write))
    }

    fn send_tcp(&mut self, interface: Interface, remote: SocketAddr, transmit: Transmit) -> Result<(), ()> {
        let side = self
            .shell
            .udp
            .iter()
            .find(|side| side.serves(interface, remote, None));
        let Some(local) = side.map(|side| SocketAddr::new(side.local().ip(), 0)) else {
            self.shell.context.counters.send_no_socket.count();
            return Err(());
        };
        self.send_stream(interface, local, remote, transmit)
    }

    /// Over a connection of ours from `local`, whose port may be 0.
    fn send_stream(
        &mut self,
        interface: Interface,
        local: SocketAddr,
        remote: SocketAddr,
        transmit: Transmit,
    ) -> Result<(), ()> {
        let write = sip_write(transmit.bytes, transmit.tag);
        let sent = self.shell.streams.send_to(interface, local, remote, write);
        self.count_tcp(sent)
    }

    fn count_tcp(&self, sent: Result<(), NotSent>) -> Result<(), ()> {
        let counters = &self.shell.context.counters;
        match sent {
            Ok(()) => counters.tcp_sent.count(),
            Err(NotSent::Gone) => counters.send_no_connection.count(),
            Err(NotSent::TooMany) => counters.send_connections_full.count(),
            Err(NotSent::WriteLimit) => counters.send_write_limit.count(),
        }
        sent.map_err(|_| ())
    }

    fn resolve(&mut self, question: ResolveRequest) {
        let dns = self.shell.dns.clone();
        let rng = StdRng::seed_from_u64(self.shell.rng.next_u64());
        let context = self.shell.context.clone();
        tokio::spawn(async move {
            let targets = dns.resolve(&question, rng).await;
            let answer = SipInput::Resolved {
                id: question.id,
                targets,
            };
            context.report(Event::Net(NetInput::Sip(answer))).await;
        });
    }

    fn ask_naptr(&mut self, question: NaptrRequest) {
        let dns = self.shell.dns.clone();
        let context = self.shell.context.clone();
        tokio::spawn(async move {
            let records = dns.naptr(&question).await;
            let answer = SipInput::Naptr {
                id: question.id,
                records,
            };
            context.report(Event::Net(NetInput::Sip(answer))).await;
        });
    }
}
