//! Shell: SIP over TCP (RFC 3261 18.1.1, RFC 5626 4.4.1): accepted and opened connections, reuse, limits.
//!
//! Connections inside security associations differ: ours come from a port of ours, which many UEs share (TS 33.203 7.1),
//! and they end with a reset, so that nothing of them is sent again once their security associations are gone.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::scan::scan;
use super::stream::{Ended, Framed, Framing, Link, LinkEnd, NotTaken, Patience, Sink, Write, link, serve};
use super::xfrm::Ends;
use super::{Context, Event};
use crate::net::{ConnectionId, Flow, Interface, SendTag, Transport};
use crate::sip::{Frame, Framer};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;
/// Rest after a failed accept (no descriptors left), so that it does not eat a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listening socket bound to one address.
pub(crate) fn listen(address: SocketAddr, device: Option<&str>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Restarting must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if let Some(device) = device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The task that accepts; it waits while the driver is busy.
pub(crate) async fn accept(listener: TcpListener, context: Context, event: impl Fn(TcpStream) -> Event) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if context.events.send(event(stream)).await.is_err() {
                    return;
                }
            }
            Err(_) => {
                context.counters.accept_errors.count();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Opens a connection from one of our addresses; from any port where it says 0.
pub(crate) async fn dial(
    local: Option<SocketAddr>,
    remote: SocketAddr,
    device: Option<&str>,
    patience: Duration,
) -> io::Result<TcpStream> {
    let socket = match remote {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(device) = device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    if let Some(local) = local {
        // Connections to other UEs have the same port.
        socket.set_reuseaddr(local.port() != 0)?;
        socket.bind(local)?;
    }
    let stream = tokio::time::timeout(patience, socket.connect(remote)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// All SIP connections of a node.
pub(crate) struct SipStreams {
    context: Context,
    connections: BTreeMap<ConnectionId, Connection>,
    by_route: BTreeMap<Route, ConnectionId>,
    accepted_from: BTreeMap<IpAddr, usize>,
}

/// Which messages a connection may carry.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Route {
    interface: Interface,
    /// Any of our ports, or this one: then it is of one set of security associations.
    local: Option<SocketAddr>,
    remote: SocketAddr,
}

impl Route {
    fn new(interface: Interface, local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            interface,
            local: (interface == Interface::GmProtected).then_some(local),
            remote,
        }
    }
}

struct Connection {
    route: Route,
    accepted: bool,
    /// `None` once it is being closed.
    link: Option<Link>,
}

/// Why a message was not taken, for the counters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotSent {
    /// The flow's connection is gone.
    Gone,
    /// More connections are not allowed.
    TooMany,
    /// Too much waits to be written.
    WriteLimit,
}

impl SipStreams {
    pub(crate) const fn new(context: Context) -> Self {
        Self {
            context,
            connections: BTreeMap::new(),
            by_route: BTreeMap::new(),
            accepted_from: BTreeMap::new(),
        }
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Takes an accepted connection, or closes it when there are too many.
    pub(crate) fn accepted(&mut self, interface: Interface, stream: TcpStream) {
        let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else {
            return;
        };
        let limits = &self.context.limits;
        let origin = origin(remote.ip());
        let from = self.accepted_from.get(&origin).copied().unwrap_or(0);
        // The rest is for connections that we open: whoever connects to us must not keep us from others.
        let for_accepted = limits.connections - limits.connections / 8;
        if self.connections.len() >= for_accepted {
            self.context.counters.refused_total.count();
            return;
        }
        if from >= limits.connections_per_address {
            self.context.counters.refused_address.count();
            return;
        }
        self.context.counters.tcp_accepted.count();
        self.accepted_from.insert(origin, from + 1);
        let (id, end) = self.insert(Route::new(interface, local, remote), true);
        let context = self.context.clone();
        tokio::spawn(async move {
            let stream = stream.set_nodelay(true).map(|()| stream);
            attend(id, interface, stream, end, context).await;
        });
    }

    /// Along a flow: only its own connection will do.
    pub(crate) fn send_on(&self, id: ConnectionId, write: Write) -> Result<(), NotSent> {
        let link = self.connections.get(&id).and_then(|c| c.link.as_ref());
        let link = link.ok_or(NotSent::Gone)?;
        self.push(link, write)
    }

    /// To an address: over the connection there is, or a new one from `local`, whose port may be 0.
    pub(crate) fn send_to(
        &mut self,
        interface: Interface,
        local: SocketAddr,
        remote: SocketAddr,
        write: Write,
    ) -> Result<(), NotSent> {
        let route = Route::new(interface, local, remote);
        if let Some(id) = self.by_route.get(&route).copied() {
            let again = Write {
                bytes: write.bytes.clone(),
                tag: write.tag,
            };
            match self.send_on(id, again) {
                Err(NotSent::Gone) => self.forget_route(id),
                done => return done,
            }
        }
        if self.connections.len() >= self.context.limits.connections {
            return Err(NotSent::TooMany);
        }
        self.context.counters.tcp_dialled.count();
        let (id, end) = self.insert(route, false);
        let context = self.context.clone();
        tokio::spawn(async move {
            let stream = tokio::select! {
                stream = dial(Some(local), remote, context.device.as_deref(), context.limits.connect.get()) => stream,
                () = end.killed() => Err(io::ErrorKind::ConnectionAborted.into()),
            };
            attend(id, interface, stream, end, context).await;
        });
        self.send_on(id, write)
    }

    /// Closes after what is queued has been written; inside security associations at once.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        self.forget_route(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            let link = connection.link.take();
            if connection.route.interface == Interface::GmProtected
                && let Some(link) = link
            {
                link.abort();
            }
        }
    }

    /// Closes the connection between these ends, if there is one, for its security associations are gone.
    pub(crate) fn close_protected(&mut self, ends: Ends) {
        let route = Route::new(Interface::GmProtected, ends.local, ends.remote);
        if let Some(id) = self.by_route.get(&route).copied() {
            self.close(id);
        }
    }

    /// Closes all.
    pub(crate) fn close_all(&mut self) {
        self.by_route.clear();
        for connection in self.connections.values_mut() {
            connection.link = None;
        }
    }

    /// The connection's task has ended.
    pub(crate) fn ended(&mut self, id: ConnectionId) -> Option<SocketAddr> {
        self.forget_route(id);
        let connection = self.connections.remove(&id)?;
        let origin = origin(connection.route.remote.ip());
        if let Some(count) = self
            .accepted_from
            .get_mut(&origin)
            .filter(|_| connection.accepted)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.accepted_from.remove(&origin);
            }
        }
        (!connection.accepted).then_some(connection.route.remote)
    }

    fn insert(&mut self, route: Route, accepted: bool) -> (ConnectionId, LinkEnd) {
        let id = self.context.next_connection();
        let (link, end) = link();
        self.by_route.insert(route, id);
        let connection = Connection {
            route,
            accepted,
            link: Some(link),
        };
        self.connections.insert(id, connection);
        (id, end)
    }

    fn push(&self, link: &Link, write: Write) -> Result<(), NotSent> {
        link.push(write, self.context.limits.connection_write_bytes)
            .map_err(|not_taken| match not_taken {
                NotTaken::Full => NotSent::WriteLimit,
                NotTaken::Gone => NotSent::Gone,
            })
    }

    fn forget_route(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if self.by_route.get(&connection.route) == Some(&id) {
            self.by_route.remove(&connection.route);
        }
    }
}

/// Whose connections are counted together: an IPv4 address, or a /64 of IPv6, which is what one UE has
/// (RFC 6459 5.2) and in which it may take as many addresses as it likes.
pub(super) fn origin(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

/// The task of one connection: serves it, then reports what was not written and that it is gone.
async fn attend(
    id: ConnectionId,
    interface: Interface,
    stream: io::Result<TcpStream>,
    mut end: LinkEnd,
    context: Context,
) {
    let stream = stream.and_then(|stream| match interface {
        Interface::GmProtected => protect(&stream, context.limits.slow_message.get()).map(|()| stream),
        Interface::Gm | Interface::Mw => Ok(stream),
    });
    let ends = stream.and_then(|s| Ok((s.local_addr()?, s.peer_addr()?, s)));
    let counters = &context.counters;
    match ends {
        Err(error) => {
            tracing::debug!(%error, "no connection");
            counters.send_connect_failed.count();
        }
        Ok((local, remote, stream)) => {
            let flow = Flow {
                interface,
                transport: Transport::Tcp,
                local,
                remote,
                connection: Some(id),
            };
            let patience = Patience {
                slow: context.limits.slow_message.get(),
                idle: Some(context.limits.idle_connection.get()),
            };
            let framing = SipFraming(Framer::new(context.limits.sip()));
            let sink = SipSink {
                flow,
                context: &context,
            };
            match serve(stream, &mut end, framing, patience, &sink).await {
                Ended::Peer => counters.closed_peer.count(),
                Ended::Node => counters.closed_node.count(),
                Ended::Framing => counters.closed_framing.count(),
                Ended::Slow => counters.closed_slow.count(),
                Ended::Idle => counters.closed_idle.count(),
                Ended::WriteLimit => counters.closed_write_limit.count(),
                Ended::Error => counters.closed_error.count(),
            }
        }
    }
    for tag in end.fail_all() {
        context.report(Event::SendFailed(tag)).await;
    }
    context.report(Event::SipEnded(id)).await;
}

/// However it ends, the kernel forgets at once what was not acknowledged, and sends a reset: it would else try again
/// when the security associations are gone, and once the policies are, in clear. A UE that is silent is given up.
fn protect(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_user_timeout(Some(patience))
}

struct SipSink<'a> {
    flow: Flow,
    context: &'a Context,
}

impl Sink for SipSink<'_> {
    async fn message(&self, bytes: Bytes) -> Result<(), ()> {
        self.context.counters.tcp_received.count();
        let input = scan(self.flow, bytes, self.context);
        self.context.events.send(Event::Net(input)).await.map_err(|_| ())
    }

    fn keep_alive(&self) {
        self.context.counters.keep_alive.count();
    }
}

struct SipFraming(Framer);

impl Framing for SipFraming {
    fn feed(&mut self, octets: &[u8]) {
        self.0.push(octets);
    }

    fn next_frame(&mut self) -> Result<Option<Framed>, &'static str> {
        match self.0.next() {
            Ok(None) => Ok(None),
            Ok(Some(Frame::Message(bytes))) => Ok(Some(Framed::Message(bytes))),
            Ok(Some(Frame::KeepAlivePing)) => Ok(Some(Framed::Ping)),
            Ok(Some(Frame::KeepAlivePong)) => Ok(Some(Framed::Pong)),
            Err(_) => Err("no SIP message"),
        }
    }

    fn in_message(&self) -> bool {
        self.0.buffered() > 0
    }
}

/// One message of SIP for a connection.
pub(crate) const fn sip_write(bytes: Bytes, tag: SendTag) -> Write {
    Write {
        bytes,
        tag: Some(tag),
    }
}
