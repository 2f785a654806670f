//! Shell: the one driver: gives a node its inputs and the time, and does what it asks.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::sync::mpsc;

use super::Event;
use super::admin::{AdminRequest, DRAINING, Health, SERVING};
use super::bound::Shell;
use super::signals::Signals;
use super::stream::until;
use super::tcp::{NotSent, sip_write};
use crate::net::{
    Command, ConnectionId, Destination, DiameterInput, DiameterOutput, Interface, NetInput, NetOutput,
    ResolveRequest, SipInput, SipOutput, Transmit, Transport,
};
use crate::node::{Metrics, Node};
use crate::telemetry::metrics::prometheus_text;

/// Inputs that are taken before timers and signals get their turn again.
const BATCH: usize = 64;
/// How long the last writes may take after the node has ended.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// Whether new work is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Serving,
    Draining { until: Instant },
    Over,
}

pub(super) struct Driver<N> {
    node: N,
    shell: Shell,
    /// What failed at once while the node spoke; told after it has said all.
    failed: VecDeque<NetInput>,
    started: Instant,
    phase: Phase,
}

impl<N: Node<Input = NetInput, Output = NetOutput>> Driver<N> {
    pub(super) fn new(node: N, shell: Shell) -> Self {
        Self {
            node,
            shell,
            failed: VecDeque::new(),
            started: Instant::now(),
            phase: Phase::Serving,
        }
    }

    /// Until the node is over.
    pub(super) async fn run(mut self, mut signals: Signals) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut admin = self.shell.admin.take();
        self.speak();
        while self.phase != Phase::Over {
            let drain_deadline = match self.phase {
                Phase::Draining { until } => Some(until),
                Phase::Serving | Phase::Over => None,
            };
            tokio::select! {
                _ = self.shell.events.recv_many(&mut batch, BATCH) => {
                    for event in batch.drain(..) {
                        self.on_event(event);
                    }
                }
                Some(request) = next_request(&mut admin) => self.on_admin(request),
                signal = signals.next() => self.on_signal(signal),
                () = until(self.node.poll_timeout()) => {}
                () = until(drain_deadline) => {
                    tracing::warn!("drain timed out: ending with work in progress");
                    self.phase = Phase::Over;
                }
            }
            let now = Instant::now();
            if self.node.poll_timeout().is_some_and(|at| at <= now) {
                self.node.handle_timeout(now);
                self.speak();
            }
        }
        self.flush().await;
        tracing::info!(node = self.shell.name, "ended");
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Net(input) => self.tell(input),
            Event::SipAccepted { interface, stream } => self.shell.streams.accepted(interface, stream),
            Event::SendFailed(tag) => self.tell(NetInput::Sip(SipInput::SendFailed(tag))),
            Event::SipEnded(id) => {
                self.shell.streams.ended(id);
                self.tell(NetInput::Sip(SipInput::ConnectionClosed(id)));
            }
            Event::DiameterUp { attempt, stream } => {
                if let Some(input) = self.shell.diameter.up(attempt, stream) {
                    self.tell(NetInput::Diameter(input));
                }
            }
            Event::DiameterEnded(connection) => {
                let input: DiameterInput = self.shell.diameter.ended(connection);
                self.tell(NetInput::Diameter(input));
            }
        }
    }

    fn on_admin(&mut self, request: AdminRequest) {
        // Whoever asked may have gone meanwhile.
        match request {
            AdminRequest::Health(answer) => drop(answer.send(self.health())),
            AdminRequest::Metrics(answer) => drop(answer.send(prometheus_text(self.metrics()))),
            AdminRequest::Drain(answer) => {
                self.begin_drain("POST /drain");
                drop(answer.send(self.health()));
            }
        }
    }

    fn on_signal(&mut self, signal: &'static str) {
        match self.phase {
            Phase::Serving => self.begin_drain(signal),
            Phase::Draining { .. } => {
                tracing::warn!(signal, "second signal: ending with work in progress");
                self.phase = Phase::Over;
            }
            Phase::Over => {}
        }
    }

    fn begin_drain(&mut self, cause: &'static str) {
        if self.phase != Phase::Serving {
            return;
        }
        tracing::info!(cause, timeout = ?self.shell.drain_timeout, "draining");
        self.phase = Phase::Draining {
            until: Instant::now() + self.shell.drain_timeout,
        };
        self.tell(NetInput::Command(Command::Drain));
    }

    /// One input, and everything that comes of it.
    fn tell(&mut self, input: NetInput) {
        self.node.handle(Instant::now(), input);
        self.speak();
    }

    /// Does all that the node asks, and tells it what failed at once.
    fn speak(&mut self) {
        loop {
            while let Some(output) = self.node.poll_output() {
                self.perform(output);
            }
            let Some(failed) = self.failed.pop_front() else {
                return;
            };
            self.node.handle(Instant::now(), failed);
        }
    }

    fn perform(&mut self, output: NetOutput) {
        match output {
            NetOutput::Sip(SipOutput::Transmit(transmit)) => self.transmit(transmit),
            NetOutput::Sip(SipOutput::Resolve(question)) => self.resolve(question),
            NetOutput::Sip(SipOutput::Close(id)) => self.shell.streams.close(id),
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
            NetOutput::Drained => {
                if self.phase != Phase::Serving {
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
            self.failed.push_back(NetInput::Sip(SipInput::SendFailed(tag)));
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
        let write = sip_write(transmit.bytes, transmit.tag);
        self.count_tcp(self.shell.streams.send_on(id, write))
    }

    fn send_tcp(&mut self, interface: Interface, remote: SocketAddr, transmit: Transmit) -> Result<(), ()> {
        let side = self
            .shell
            .udp
            .iter()
            .find(|side| side.serves(interface, remote, None));
        let Some(local) = side.map(|side| side.local().ip()) else {
            self.shell.context.counters.send_no_socket.count();
            return Err(());
        };
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

    fn health(&self) -> Health {
        Health {
            status: match self.phase {
                Phase::Serving => SERVING,
                Phase::Draining { .. } | Phase::Over => DRAINING,
            },
            node: self.shell.name,
            version: env!("CARGO_PKG_VERSION"),
            uptime_secs: self.started.elapsed().as_secs(),
        }
    }

    fn metrics(&self) -> Metrics {
        let mut all = Metrics::default();
        self.node.metrics(&mut all);
        self.shell.context.counters.export(&mut all);
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        all.gauge(
            "ims_connections",
            &[("protocol", "sip")],
            count(self.shell.streams.len()),
        );
        all.gauge(
            "ims_connections",
            &[("protocol", "diameter")],
            count(self.shell.diameter.len()),
        );
        all.gauge("ims_queue_length", &[], count(self.shell.events.len()));
        all.counter("ims_log_lines_left_out_total", &[], self.shell.left_out.get());
        all.gauge("ims_draining", &[], u64::from(self.phase != Phase::Serving));
        all.gauge("ims_uptime_seconds", &[], self.started.elapsed().as_secs());
        all
    }

    /// Lets the last writes out, then ends.
    async fn flush(&mut self) {
        self.shell.streams.close_all();
        self.shell.diameter.close_all();
        let deadline = Instant::now() + FLUSH_PATIENCE;
        while self.shell.streams.len() > 0 || self.shell.diameter.is_closing() {
            tokio::select! {
                event = self.shell.events.recv() => match event {
                    Some(Event::SipEnded(id)) => self.shell.streams.ended(id),
                    Some(Event::DiameterEnded(connection)) => drop(self.shell.diameter.ended(connection)),
                    // Nobody listens any more.
                    Some(_) => {}
                    None => return,
                },
                () = until(Some(deadline)) => return,
            }
        }
    }
}

/// The next request; never when there is no HTTP.
async fn next_request(requests: &mut Option<mpsc::Receiver<AdminRequest>>) -> Option<AdminRequest> {
    match requests {
        Some(requests) => requests.recv().await,
        None => std::future::pending().await,
    }
}
