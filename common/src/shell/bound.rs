//! Shell: the sockets of a node, bound before it runs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::admin;
use super::cdr_writer::CdrWriter;
use super::counters::Counters;
use super::crew::{Crew, first_connection};
use super::diameter::DiameterLinks;
use super::dns::{Dns, Families};
use super::driver::Driver;
use super::export::Exports;
use super::reload::Reloading;
use super::rest::Rest;
use super::signals::Signals;
use super::supervisor::Supervisor;
use super::tcp::{self, SipStreams};
use super::udp::{self, UdpSide};
use super::xfrm::Xfrm;
use super::{Context, Event, doctor, seed};
use crate::config::{LimitsConfig, ShellConfig, SipListener, WhyConfig};
use crate::ifc_test::{IfcTest, IfcTestAnswer, IfcTestError};
use crate::net::{Flow, Interface, NetInput, NetOutput};
use crate::node::{Metrics, Node, Sharded};
use crate::operate::{Question, Report};
use crate::overload::Work;
use crate::sip::Message;
use crate::steering::{ShardPlace, Steering};
use crate::telemetry::log::LeftOut;
use crate::token::ShardId;
use crate::why::Note;

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
    /// `harden: require`, and the system does not let us.
    #[error("harden: require, but {0}; without that: harden: auto")]
    Harden(String),
    /// No runtime or no signals.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Inputs that may wait at most, whatever the configuration says.
const QUEUE_MAX: usize = 1 << 20;

/// Bound sockets, ready to run one node.
pub struct Shell {
    pub(super) name: &'static str,
    pub(super) place: ShardPlace,
    /// The ways to the drivers of all shards, this one among them.
    pub(super) all: Vec<mpsc::Sender<Event>>,
    pub(super) context: Context,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) udp: Vec<UdpSide>,
    pub(super) streams: SipStreams,
    pub(super) xfrm: Option<Xfrm>,
    /// What accepts on protected ports.
    pub(super) protected_accepts: Vec<JoinHandle<()>>,
    pub(super) diameter: DiameterLinks,
    pub(super) diameter_address: Option<SocketAddr>,
    pub(super) dns: Dns,
    pub(super) rng: StdRng,
    pub(super) admin_address: Option<SocketAddr>,
    /// The file goes with the shell.
    pub(super) admin_socket: Option<admin::SocketFile>,
    pub(super) drain_timeout: Duration,
    /// Where charging data records go.
    pub(super) cdr: Option<CdrWriter>,
    pub(super) left_out: LeftOut,
    pub(super) rest: Rest,
    pub(super) why: WhyConfig,
    pub(super) supervisor: Supervisor,
    pub(super) exports: Exports,
}

/// Where the events of one shard arrive.
pub(super) struct Post {
    place: ShardPlace,
    all: Vec<mpsc::Sender<Event>>,
    events: mpsc::Receiver<Event>,
}

impl Post {
    /// Of all shards, in order. Each has its part of the queue.
    pub(super) fn all(shards: u8, config: &ShellConfig) -> Vec<Self> {
        let queue = queue_of(config);
        let (all, ends): (Vec<_>, Vec<_>) = (0..shards).map(|_| mpsc::channel(queue)).unzip();
        let shard = |(number, events)| Self {
            place: ShardPlace {
                shard: ShardId(number),
                of: shards,
            },
            all: all.clone(),
            events,
        };
        (0..shards).zip(ends).map(shard).collect()
    }

    fn context(&self, config: &ShellConfig, limits: LimitsConfig) -> Context {
        let own = self.all.get(usize::from(self.place.shard.0)).cloned();
        let Some(events) = own else {
            unreachable!("a post is among all posts");
        };
        Context {
            events,
            counters: Arc::new(Counters::default()),
            limits: Arc::new(limits),
            connections: Arc::new(AtomicU64::new(first_connection(self.place.shard))),
            device: config.device.as_deref().map(Arc::from),
        }
    }
}

/// Inputs that may wait for one shard.
pub(super) fn queue_of(config: &ShellConfig) -> usize {
    config.limits.queue.clamp(1, QUEUE_MAX)
}

impl Shell {
    /// Checks the machine and binds every socket. Needs a tokio runtime.
    ///
    /// # Errors
    /// A missing address or route, or a socket that cannot be had.
    pub async fn bind(config: &ShellConfig) -> Result<Self, ShellError> {
        let (sender, events) = mpsc::channel(queue_of(config));
        let post = Post {
            place: ShardPlace::ALONE,
            all: vec![sender],
            events,
        };
        Self::bind_first(config, post).await
    }

    /// Binds the sockets of the first shard, and those that only that one has.
    pub(super) async fn bind_first(config: &ShellConfig, post: Post) -> Result<Self, ShellError> {
        let found = doctor::at_start(config).await.map_err(ShellError::Preflight)?;
        let place = post.place;
        let shards = usize::from(place.of);
        let wanted = config.limits.connections.saturating_mul(shards);
        let limits = LimitsConfig {
            connections: doctor::connections(wanted) / shards,
            ..config.limits.clone()
        };
        let context = post.context(config, limits);
        let (protected, clear): (Vec<_>, Vec<_>) = config
            .sip
            .iter()
            .enumerate()
            .partition(|(_, listener)| listener.interface == Interface::GmProtected);
        let mut udp = BTreeMap::new();
        for (order, listener) in clear {
            udp.insert(order, bind_sip(listener, place, &context)?.0);
        }
        let diameter_address = match config.diameter_listen {
            Some(address) => Some(bind_diameter(config.name, address, &context)?),
            None => None,
        };
        let exports = Exports::start(config.name, &config.export);
        let (admin_address, admin_socket) = match &config.admin {
            Some(wanted) => {
                let served = admin::serve(config, wanted, post.all.clone(), exports.pcap().cloned()).await?;
                (served.address, served.socket)
            }
            None => (None, None),
        };
        // After the others: whoever runs twice by mistake ends there, and does not take the policies from the first.
        // Before the protected ones: clear text must not reach them.
        let xfrm = match &config.protected {
            Some(ports) => Some(Xfrm::start(ports).map_err(ShellError::Preflight)?),
            None => None,
        };
        let bound = protected.into_iter().map(|(order, listener)| {
            let (side, accept) = bind_sip(listener, place, &context)?;
            udp.insert(order, side);
            Ok(accept)
        });
        let protected_accepts = match bound.collect::<Result<Vec<_>, _>>() {
            Ok(accepts) => accepts.into_iter().flatten().collect(),
            Err(error) => {
                // Whoever has the port must not meet our policies.
                if let Some(xfrm) = xfrm {
                    xfrm.remove_policies().await;
                }
                return Err(error);
            }
        };
        tokio::spawn(doctor::watch(config.clone(), found, context.events.clone()));
        let shell = Self::assemble(config, context, post, udp.into_values().collect())?;
        Ok(Self {
            xfrm,
            protected_accepts,
            diameter_address,
            admin_address,
            admin_socket,
            exports,
            ..shell
        })
    }

    /// Another shard: its shell, with sockets from [`Self::more_sockets`]. Needs the tokio runtime of its thread.
    pub(super) fn join(
        config: &ShellConfig,
        limits: LimitsConfig,
        post: Post,
        sockets: Vec<(Interface, UdpSocket)>,
    ) -> Result<Self, ShellError> {
        let context = post.context(config, limits);
        let sides = sockets
            .into_iter()
            .map(|(interface, socket)| UdpSide::new(interface, socket))
            .collect::<io::Result<Vec<_>>>()?;
        Self::assemble(config, context, post, sides)
    }

    /// The sockets of another shard beside this one.
    pub(super) fn more_sockets(
        &self,
        config: &ShellConfig,
        place: ShardPlace,
    ) -> Result<Vec<(Interface, UdpSocket)>, ShellError> {
        let listeners = config.sip.iter().zip(&self.udp);
        let sockets = listeners.map(|(listener, side)| {
            let refused = |error| refused(listener.key, listener.address, error);
            let socket = udp::open(side.local(), place, self.context.device.as_deref()).map_err(refused)?;
            Ok((listener.interface, socket))
        });
        sockets.collect()
    }

    /// Has the kernel give datagrams to their owners where it can, once all shards have bound their sockets. Where it
    /// does not, those are handed over.
    pub(super) fn steer_in_kernel(&self, steering: &Steering) {
        for side in &self.udp {
            let Some(filter) = steering.kernel_filter(side.interface(), side.local().is_ipv4()) else {
                continue;
            };
            if let Err(error) = side.steer(&filter) {
                tracing::info!(%error, address = %side.local(), "the kernel does not choose the shard");
            }
        }
    }

    fn assemble(
        config: &ShellConfig,
        context: Context,
        post: Post,
        udp: Vec<UdpSide>,
    ) -> Result<Self, ShellError> {
        let Post { place, all, events } = post;
        let families = Families {
            v4: udp.iter().any(|u| u.local().is_ipv4()),
            v6: udp.iter().any(|u| u.local().is_ipv6()),
        };
        let cdr = config.cdr.as_ref();
        let cdr = cdr.map(|files| CdrWriter::open(files, config.name, place));
        let cdr = cdr.transpose().map_err(ShellError::Preflight)?;
        Ok(Self {
            cdr,
            name: config.name,
            place,
            all,
            events,
            udp,
            streams: SipStreams::new(context.clone()),
            xfrm: None,
            protected_accepts: Vec::new(),
            diameter: DiameterLinks::new(context.clone(), config.diameter_local),
            diameter_address: None,
            dns: Dns::new(&config.dns_servers, families, context.clone()),
            rng: StdRng::from_seed(seed()?.entropy),
            context,
            admin_address: None,
            admin_socket: None,
            drain_timeout: config.drain_timeout,
            left_out: LeftOut::default(),
            rest: Rest::default(),
            why: config.why,
            supervisor: Supervisor::from_environment(),
            exports: Exports::default(),
        })
    }

    /// Reports what the log of this process leaves out.
    #[must_use]
    pub fn with_log(mut self, left_out: LeftOut) -> Self {
        self.left_out = left_out;
        self
    }

    /// Gives copies of messages to those of the first shard.
    #[must_use]
    pub(super) fn with_exports(mut self, exports: Exports) -> Self {
        self.exports = exports;
        self
    }

    /// Tells these rests what is served.
    #[must_use]
    pub(super) fn with_rest(mut self, rest: Rest) -> Self {
        self.rest = rest;
        self
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

    /// Runs the node until it has drained after SIGTERM, SIGINT or the operator's drain, or the drain timed out.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub async fn drive<N>(self, node: N) -> Result<(), ShellError>
    where
        N: Node<Input = NetInput, Output = NetOutput>,
    {
        self.drive_first(Alone(node), None, None).await
    }

    /// Runs the first shard of a node.
    pub(super) async fn drive_first<N: Sharded>(
        self,
        node: N,
        crew: Option<Crew<N::Word>>,
        reloading: Option<Reloading<N>>,
    ) -> Result<(), ShellError> {
        let signals = Signals::listen()?;
        tracing::info!(
            node = self.name,
            version = env!("CARGO_PKG_VERSION"),
            sip = ?self.sip_addresses(),
            diameter = ?self.diameter_address,
            admin = ?self.admin_address,
            shards = self.place.of,
            "ready"
        );
        self.supervisor.ready(self.name);
        self.supervisor.keep_alive();
        Driver::new(node, self, crew, reloading).run(Some(signals)).await;
        Ok(())
    }
}

/// A node that nobody asked whether it may have shards.
struct Alone<N>(N);

impl<N: Node> Node for Alone<N> {
    type Input = N::Input;
    type Output = N::Output;

    fn handle(&mut self, now: Instant, input: N::Input) {
        self.0.handle(now, input);
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }
    fn poll_output(&mut self) -> Option<N::Output> {
        self.0.poll_output()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
    fn metrics(&self, out: &mut Metrics) {
        self.0.metrics(out);
    }
    fn work_of(&self, flow: &Flow, message: &Message) -> Work {
        self.0.work_of(flow, message)
    }
    fn turns_away(&mut self, now: Instant, flow: &Flow) -> bool {
        self.0.turns_away(now, flow)
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.0.poll_note()
    }
    fn report(&self, now: Instant, question: &Question, out: &mut Report) {
        self.0.report(now, question, out);
    }
    fn ifc_test(&self, test: &IfcTest) -> Option<Result<IfcTestAnswer, IfcTestError>> {
        self.0.ifc_test(test)
    }
}

impl<N: Node<Input = NetInput, Output = NetOutput>> Sharded for Alone<N> {
    type Word = Infallible;
}

/// UDP and TCP of one listener, on one port; and the task that accepts.
fn bind_sip(
    listener: &SipListener,
    place: ShardPlace,
    context: &Context,
) -> Result<(UdpSide, Option<JoinHandle<()>>), ShellError> {
    let refused = |error| refused(listener.key, listener.address, error);
    let device = context.device.as_deref();
    let socket = udp::open(listener.address, place, device).map_err(refused)?;
    let udp = UdpSide::new(listener.interface, socket).map_err(refused)?;
    if !listener.accepts_streams {
        return Ok((udp, None));
    }
    let accepting = tcp::listen(udp.local(), device).map_err(refused)?;
    let interface = listener.interface;
    let event = move |stream| Event::SipAccepted { interface, stream };
    let accept = tokio::spawn(tcp::accept(accepting, context.clone(), event));
    Ok((udp, Some(accept)))
}

fn bind_diameter(name: &str, address: SocketAddr, context: &Context) -> Result<SocketAddr, ShellError> {
    let refused = |error| refused(&format!("{name}.hss.listen"), address, error);
    let accepting = tcp::listen(address, None).map_err(refused)?;
    let bound = accepting.local_addr().map_err(refused)?;
    let event = |stream| Event::DiameterUp {
        attempt: None,
        stream,
    };
    tokio::spawn(tcp::accept(accepting, context.clone(), event));
    Ok(bound)
}

pub(super) fn refused(key: &str, address: SocketAddr, error: io::Error) -> ShellError {
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
