//! Shell: SIP over UDP (RFC 3261 18): one socket per listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TrySendError;

use super::scan::{is_keep_alive, scan};
use super::{Context, Event};
use crate::config::SipListener;
use crate::net::{Flow, Interface, Transport};

/// Asked of the kernel for what arrives while the node is busy; the kernel may give less.
const RECEIVE_BUFFER: usize = 4 << 20;
/// The largest datagram of UDP.
const DATAGRAM_MAX: usize = 65_535;
/// Rest after a receive error, so that a broken socket does not eat a core.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// One bound socket.
pub(crate) struct UdpSide {
    interface: Interface,
    local: SocketAddr,
    socket: Arc<UdpSocket>,
}

impl UdpSide {
    /// Binds the listener's address.
    pub(crate) fn bind(listener: &SipListener) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(listener.address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if listener.address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_nonblocking(true)?;
        socket.bind(&listener.address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok(Self {
            interface: listener.interface,
            local,
            socket: Arc::new(socket),
        })
    }

    /// Where it is bound (the port, when the configuration said 0).
    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether packets of `interface` to `remote` leave here; `local` narrows to one socket.
    pub(crate) fn serves(&self, interface: Interface, remote: SocketAddr, local: Option<SocketAddr>) -> bool {
        self.interface == interface
            && self.local.is_ipv4() == remote.is_ipv4()
            && local.is_none_or(|local| local == self.local)
    }

    /// One datagram, at once. `WouldBlock`: the send buffer is full and the datagram is lost, as on a wire.
    pub(crate) fn send(&self, bytes: &[u8], remote: SocketAddr) -> io::Result<()> {
        // Past tokio's readiness: a datagram either goes now or is lost.
        SockRef::from(&*self.socket).send_to(bytes, &remote.into())?;
        Ok(())
    }

    /// The task that reads: every datagram becomes an input, or is counted away.
    pub(crate) async fn read(socket: Arc<UdpSocket>, flow_base: Flow, context: Context) {
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            let (length, remote) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(_) => {
                    context.counters.udp_receive_errors.count();
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            context.counters.udp_received.count();
            if is_keep_alive(datagram) {
                context.counters.keep_alive.count();
                continue;
            }
            let flow = Flow { remote, ..flow_base };
            let input = scan(flow, Bytes::copy_from_slice(datagram), &context);
            // UDP's back-pressure is loss: the sender's timers bring it again.
            match context.events.try_send(Event::Net(input)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => context.counters.udp_dropped_queue_full.count(),
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }

    /// Starts the reading task.
    pub(crate) fn start(&self, context: &Context) {
        let flow = Flow {
            interface: self.interface,
            transport: Transport::Udp,
            local: self.local,
            remote: self.local,
            connection: None,
        };
        tokio::spawn(Self::read(Arc::clone(&self.socket), flow, context.clone()));
    }
}
