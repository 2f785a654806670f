//! Shell: the one driver: gives a node its inputs and the time, and does what it asks.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::sync::mpsc;

use super::admin::{self, AdminRequest, DRAINING, Health, SERVING};
use super::counters::Counters;
use super::diameter::DiameterLinks;
use super::dns::{Dns, Families};
use super::signals::Signals;
use super::stream::until;
use super::tcp::{self, NotSent, SipStreams, sip_write};
use super::udp::UdpSide;
use super::{Context, Event, preflight, seed};
use crate::config::{ShellConfig, SipListener};
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

/// Why a daemon cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// This machine lacks what the configuration needs.
    #[error("{0}")]
    Preflight(String),
    /// A socket cannot be had.
    #[error("{key} {address}: cannot listen ({error}); {remedy}")]
    Bind {
        /// The configuration key.
        key: String,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
        /// What the operator may do.
        remedy: &'static str,
    },
    /// No entropy.
    #[error("the operating system gives no entropy: {0}")]
    Entropy(String),
    /// No runtime or no signals.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Bound sockets, ready to run one node.
pub struct Shell {
    name: &'static str,
    pub(super) context: Context,
    events: mpsc::Receiver<Event>,
    pub(super) udp: Vec<UdpSide>,
    streams: SipStreams,
    diameter: DiameterLinks,
    diameter_address: Option<SocketAddr>,
    dns: Dns,
    rng: StdRng,
    admin: Option<mpsc::Receiver<AdminRequest>>,
    admin_address: Option<SocketAddr>,
    drain_timeout: Duration,
}

impl Shell {
    /// Checks the machine and binds every socket. Needs a tokio runtime.
    ///
    /// # Errors
    /// A missing address or route, or a socket that cannot be had.
    pub async fn bind(config: &ShellConfig) -> Result<Self, ShellError> {
        preflight::check(config).await.map_err(ShellError::Preflight)?;
        let (sender, events) = mpsc::channel(config.limits.queue.max(1));
        let context = Context {
            events: sender,
            counters: Arc::new(Counters::default()),
            limits: Arc::new(config.limits.clone()),
            connections: Arc::new(AtomicU64::new(1)),
        };
        let mut udp = Vec::new();
        for listener in &config.sip {
            udp.push(bind_sip(listener, &context)?);
        }
        let diameter_address = match config.diameter_listen {
            Some(address) => Some(bind_diameter(config.name, address, &context)?),
            None => None,
        };
        let (admin_address, admin) = match config.admin {
            Some(address) => {
                let key = format!("{}.admin", config.name);
                let (bound, requests) = admin::serve(address)
                    .await
                    .map_err(|e| refused(&key, address, e))?;
                (Some(bound), Some(requests))
            }
            None => (None, None),
        };
        let families = Families {
            v4: udp.iter().any(|u| u.local().is_ipv4()),
            v6: udp.iter().any(|u| u.local().is_ipv6()),
        };
        Ok(Self {
            name: config.name,
            events,
            udp,
            streams: SipStreams::new(context.clone()),
            diameter: DiameterLinks::new(context.clone(), config.diameter_local),
            diameter_address,
            dns: Dns::new(&config.dns_servers, families, context.clone()),
            rng: StdRng::from_seed(seed()?.entropy),
            context,
            admin,
            admin_address,
            drain_timeout: config.drain_timeout,
        })
    }

    /// Where SIP is spoken, in the order of the configuration; with the real port where it said 0.
    #[must_use]
    pub fn sip_addresses(&self) -> Vec<SocketAddr> {
        self.udp.iter().map(UdpSide::local).collect()
    }

    /// Where Diameter connections are accepted.
    #[must_use]
    pub const fn diameter_address(&self) -> Option<SocketAddr> {
        self.diameter_address
    }

    /// Where the operator's HTTP is served.
    #[must_use]
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Runs the node until it has drained after SIGTERM, SIGINT or POST /drain, or the drain timed out.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub async fn drive<N>(self, node: N) -> Result<(), ShellError>
    where
        N: Node<Input = NetInput, Output = NetOutput>,
    {
        let signals = Signals::listen()?;
        for side in &self.udp {
            side.start(&self.context);
        }
        tracing::info!(
            node = self.name,
            version = env!("CARGO_PKG_VERSION"),
            sip = ?self.sip_addresses(),
            diameter = ?self.diameter_address,
            admin = ?self.admin_address,
            "ready"
        );
        let driver = Driver {
            node,
            shell: self,
            failed: VecDeque::new(),
            started: Instant::now(),
            phase: Phase::Serving,
        };
        driver.run(signals).await;
        Ok(())
    }
}

/// UDP and TCP of one listener, on one port.
fn bind_sip(listener: &SipListener, context: &Context) -> Result<UdpSide, ShellError> {
    let refused = |error| refused(listener.key, listener.address, error);
    let udp = UdpSide::bind(listener).map_err(refused)?;
    let accepting = tcp::listen(udp.local()).map_err(refused)?;
    let interface = listener.interface;
    let event = move |stream| Event::SipAccepted { interface, stream };
    tokio::spawn(tcp::accept(accepting, context.clone(), event));
    Ok(udp)
}

fn bind_diameter(name: &str, address: SocketAddr, context: &Context) -> Result<SocketAddr, ShellError> {
    let refused = |error| refused(&format!("{name}.hss.listen"), address, error);
    let accepting = tcp::listen(address).map_err(refused)?;
    let bound = accepting.local_addr().map_err(refused)?;
    let event = |stream| Event::DiameterUp {
        attempt: None,
        stream,
    };
    tokio::spawn(tcp::accept(accepting, context.clone(), event));
    Ok(bound)
}

fn refused(key: &str, address: SocketAddr, error: io::Error) -> ShellError {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "stop what uses it (ss -lunpt) or choose another port",
        io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "no interface has this address",
        _ => "see the system's message",
    };
    ShellError::Bind {
        key: key.to_owned(),
        address,
        error,
        remedy,
    }
}

/// Whether new work is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Serving,
    Draining { until: Instant },
    Over,
}

struct Driver<N> {
    node: N,
    shell: Shell,
    /// What failed at once while the node spoke; told after it has said all.
    failed: VecDeque<NetInput>,
    started: Instant,
    phase: Phase,
}

impl<N: Node<Input = NetInput, Output = NetOutput>> Driver<N> {
    async fn run(mut self, mut signals: Signals) {
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
                event = self.shell.events.recv() => if let Some(Event::SipEnded(id)) = event {
                    self.shell.streams.ended(id);
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
