//! Shell: Diameter over TCP and SCTP (RFC 6733 2.1): dial, accept, frame by the length field, one write per message.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::dns::Dns;
use super::sctp;
use super::stream::{Ended, Framed, Framing, Link, LinkEnd, NotTaken, Patience, Sink, Write, link, serve};
use super::tcp::dial;
use super::{Context, Event};
use crate::config::SCTP_SCHEME;
use crate::diameter::framing::{FrameError, split};
use crate::net::{ConnectionId, DiameterInput, NetInput};

/// Connections that peers may hold with us.
const ACCEPTED_MAX: usize = 64;
/// How long a closing connection may still flush before a new dial stops waiting for it.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// All Diameter connections of a node.
pub(crate) struct DiameterLinks {
    context: Context,
    local: Option<IpAddr>,
    links: BTreeMap<ConnectionId, DiameterLink>,
    closing: Vec<(ConnectionId, JoinHandle<()>)>,
}

struct DiameterLink {
    accepted: bool,
    link: Link,
    task: JoinHandle<()>,
}

impl DiameterLinks {
    pub(crate) const fn new(context: Context, local: Option<IpAddr>) -> Self {
        Self {
            context,
            local,
            links: BTreeMap::new(),
            closing: Vec::new(),
        }
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether a close is still under way.
    pub(crate) const fn is_closing(&self) -> bool {
        !self.closing.is_empty()
    }

    /// Dials in a task of its own. What was closed before is really closed first: a peer that sees the new
    /// connection before the end of the old one refuses it or starts an election (RFC 6733 5.6.4).
    pub(crate) fn connect(&mut self, attempt: u64, address: String, dns: Dns) {
        let closing = std::mem::take(&mut self.closing);
        let (context, local) = (self.context.clone(), self.local);
        tokio::spawn(async move {
            for (_, mut task) in closing {
                // A peer that reads nothing keeps the last writes waiting: then they are lost.
                if tokio::time::timeout(CLOSE_PATIENCE, &mut task).await.is_err() {
                    task.abort();
                }
            }
            let event = match dial_name(&address, local, &dns, context.limits.connect.get()).await {
                Ok(stream) => Event::DiameterUp {
                    attempt: Some(attempt),
                    stream,
                },
                Err(error) => {
                    context.counters.diameter_connect_failed.count();
                    Event::Net(NetInput::Diameter(DiameterInput::ConnectFailed {
                        attempt,
                        reason: error.to_string(),
                    }))
                }
            };
            context.report(event).await;
        });
    }

    /// Takes a connection that is up, and says so to the node; `None` when it is one too many or gone already.
    pub(crate) fn up(&mut self, attempt: Option<u64>, stream: TcpStream) -> Option<DiameterInput> {
        let accepted = attempt.is_none();
        if accepted && self.links.values().filter(|l| l.accepted).count() >= ACCEPTED_MAX {
            self.context.counters.diameter_refused.count();
            return None;
        }
        // What we dialled has it already, or has no such option: SCTP.
        let nodelay = if accepted {
            stream.set_nodelay(true)
        } else {
            Ok(())
        };
        let ends = nodelay.and_then(|()| Ok((stream.local_addr()?, stream.peer_addr()?)));
        let (local, remote) = match (ends, attempt) {
            (Ok(ends), _) => ends,
            (Err(error), Some(attempt)) => {
                let reason = error.to_string();
                return Some(DiameterInput::ConnectFailed { attempt, reason });
            }
            (Err(_), None) => return None,
        };
        let counters = &self.context.counters;
        if accepted {
            counters.diameter_accepted.count();
        } else {
            counters.diameter_dialled.count();
        }
        let connection = self.context.next_connection();
        let (link, end) = link();
        let task = tokio::spawn(attend(connection, stream, end, self.context.clone()));
        self.links
            .insert(connection, DiameterLink { accepted, link, task });
        Some(DiameterInput::Connected {
            connection,
            attempt,
            local,
            remote,
        })
    }

    /// Queues one message; a connection that takes no more ends, which the node hears as `Closed`.
    pub(crate) fn send(&self, connection: ConnectionId, bytes: Bytes) {
        let Some(link) = self.links.get(&connection) else {
            return;
        };
        let write = Write { bytes, tag: None };
        match link.link.push(write, self.context.limits.connection_write_bytes) {
            Ok(()) => self.context.counters.diameter_sent.count(),
            Err(NotTaken::Full | NotTaken::Gone) => {}
        }
    }

    /// Closes after what is queued has been written.
    pub(crate) fn close(&mut self, connection: ConnectionId) {
        if let Some(link) = self.links.remove(&connection) {
            self.closing.push((connection, link.task));
        }
    }

    /// Closes all.
    pub(crate) fn close_all(&mut self) {
        for (connection, link) in std::mem::take(&mut self.links) {
            self.closing.push((connection, link.task));
        }
    }

    /// The connection's task has ended. `Closed` is told once, also of connections that the node closed.
    pub(crate) fn ended(&mut self, connection: ConnectionId) -> DiameterInput {
        self.links.remove(&connection);
        self.closing.retain(|(closing, _)| *closing != connection);
        DiameterInput::Closed { connection }
    }
}

/// `IP:port`, or `name:port` by A and AAAA: the first address that answers.
pub(crate) async fn dial_name(
    address: &str,
    local: Option<IpAddr>,
    dns: &Dns,
    patience: Duration,
) -> io::Result<TcpStream> {
    let (is_sctp, address) = match address.strip_prefix(SCTP_SCHEME) {
        Some(address) => (true, address),
        None => (false, address),
    };
    let open = async |remote: SocketAddr| {
        let local = same_family(local, remote);
        match is_sctp {
            true => sctp::dial(local, remote, patience).await,
            false => dial(local.map(|ip| SocketAddr::new(ip, 0)), remote, None, patience).await,
        }
    };
    if let Ok(remote) = address.parse::<SocketAddr>() {
        return open(remote).await;
    }
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "neither IP:port nor name:port");
    let (name, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for ip in dns.addresses(name).await {
        let remote = SocketAddr::new(ip, port);
        match open(remote).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn same_family(local: Option<IpAddr>, remote: SocketAddr) -> Option<IpAddr> {
    local.filter(|l| l.is_ipv4() == remote.is_ipv4())
}

/// The task of one connection.
async fn attend(connection: ConnectionId, stream: TcpStream, mut end: LinkEnd, context: Context) {
    let framing = DiameterFraming {
        buffer: BytesMut::new(),
        bytes_max: context.limits.diameter_message_bytes,
    };
    // Silence is the watchdog's business (RFC 3539), not the socket's.
    let patience = Patience {
        slow: context.limits.slow_message.get(),
        idle: None,
    };
    let sink = DiameterSink {
        connection,
        context: &context,
    };
    let counters = &context.counters;
    match serve(stream, &mut end, framing, patience, &sink).await {
        Ended::Peer | Ended::Idle | Ended::Error => counters.diameter_closed.count(),
        Ended::Node => counters.diameter_closed_node.count(),
        Ended::Framing | Ended::Slow => counters.diameter_closed_framing.count(),
        Ended::WriteLimit => counters.diameter_closed_write_limit.count(),
    }
    end.fail_all();
    context.report(Event::DiameterEnded(connection)).await;
}

struct DiameterSink<'a> {
    connection: ConnectionId,
    context: &'a Context,
}

impl Sink for DiameterSink<'_> {
    async fn message(&self, bytes: Bytes) -> Result<(), ()> {
        self.context.counters.diameter_received.count();
        let input = NetInput::Diameter(DiameterInput::Message {
            connection: self.connection,
            bytes,
        });
        self.context.events.send(Event::Net(input)).await.map_err(|_| ())
    }

    fn keep_alive(&self) {}
}

struct DiameterFraming {
    buffer: BytesMut,
    bytes_max: usize,
}

impl Framing for DiameterFraming {
    fn feed(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    fn next_frame(&mut self) -> Result<Option<Framed>, &'static str> {
        match split(&mut self.buffer, self.bytes_max) {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => Ok(Some(Framed::Message(bytes))),
            Err(FrameError::Version) => Err("version is not 1"),
            Err(FrameError::Length) => Err("message length is impossible"),
            Err(FrameError::TooLong) => Err("message is too long"),
        }
    }

    fn in_message(&self) -> bool {
        !self.buffer.is_empty()
    }
}
