//! Shell: SIP over UDP (RFC 3261 18): one socket per listener.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::AttachReusePortCbpf;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Context;
use super::scan::{is_keep_alive, scan};
use crate::net::{Flow, Interface, NetInput, Transport};
use crate::steering::{FilterStep, ShardPlace};
use crate::token::ShardId;

/// Asked of the kernel for what arrives while the node is busy; the kernel may give less.
const RECEIVE_BUFFER: usize = 4 << 20;
/// The largest datagram of UDP.
const DATAGRAM_MAX: usize = 65_535;
/// Keep-alives that are passed over in one look.
const KEEP_ALIVES: usize = 64;

/// Binds an address, and to a network device where one is named. With other shards, each of which binds it too, the kernel gives each sender's datagrams to one of them.
pub(crate) fn open(address: SocketAddr, place: ShardPlace, device: Option<&str>) -> io::Result<UdpSocket> {
    let open = |is_shared: bool| {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_port(is_shared)?;
        if let Some(device) = device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        socket.bind(&address.into())?;
        Ok::<Socket, io::Error>(socket)
    };
    if place.shard == ShardId(0) {
        // Fails when another process has the address, which it might share.
        let alone = open(false)?;
        if place.is_alone() {
            return Ok(alone.into());
        }
    }
    open(true).map(UdpSocket::from)
}

/// One bound socket. The driver reads it: no task and no channel stands between a datagram and the node.
pub(crate) struct UdpSide {
    local: SocketAddr,
    /// What a datagram has come by, but for its sender.
    flow: Flow,
    /// Watched for reading only: with writing, each datagram that leaves would wake the driver once more.
    socket: AsyncFd<UdpSocket>,
    buffer: Vec<u8>,
}

impl UdpSide {
    /// Takes a socket that was opened, in the thread that will read it.
    pub(crate) fn new(interface: Interface, socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let flow = Flow {
            interface,
            transport: Transport::Udp,
            local,
            remote: local,
            connection: None,
        };
        #[expect(
            deprecated,
            reason = "its successor is unsafe, and asks for what holds here: the socket keeps its descriptor"
        )]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self {
            local,
            flow,
            socket,
            buffer: vec![0; DATAGRAM_MAX],
        })
    }

    /// Has the kernel choose among this socket and those that other shards have bound after it.
    pub(crate) fn steer(&self, steps: &[FilterStep]) -> io::Result<()> {
        let step = |step: &FilterStep| libc::sock_filter {
            code: step.code,
            jt: 0,
            jf: 0,
            k: step.k,
        };
        let mut filter: Vec<libc::sock_filter> = steps.iter().map(step).collect();
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).map_err(io::Error::other)?,
            filter: filter.as_mut_ptr(),
        };
        setsockopt(self.socket.get_ref(), AttachReusePortCbpf, &program)?;
        Ok(())
    }

    /// Where it is bound (the port, when the configuration said 0).
    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The side of the node.
    pub(crate) const fn interface(&self) -> Interface {
        self.flow.interface
    }

    /// Whether packets of `interface` to `remote` leave here; `local` narrows to one socket.
    pub(crate) fn serves(&self, interface: Interface, remote: SocketAddr, local: Option<SocketAddr>) -> bool {
        self.flow.interface == interface
            && self.local.is_ipv4() == remote.is_ipv4()
            && local.is_none_or(|local| local == self.local)
    }

    /// One datagram, at once. `WouldBlock`: the send buffer is full and the datagram is lost, as on a wire.
    pub(crate) fn send(&self, bytes: &[u8], remote: SocketAddr) -> io::Result<()> {
        self.socket.get_ref().send_to(bytes, remote)?;
        Ok(())
    }

    /// Whether there may be something to read; if not, the task is woken when there is.
    pub(crate) fn poll_readable(&self, task: &mut TaskContext<'_>) -> bool {
        match self.socket.poll_read_ready(task) {
            Poll::Pending => false,
            Poll::Ready(Ok(mut guard)) => {
                guard.retain_ready();
                true
            }
            // The reactor is gone: the process ends.
            Poll::Ready(Err(_)) => false,
        }
    }

    /// The next datagram that is there; `None` when there is none. Keep-alives are counted away, and what is turned away
    /// is not looked at.
    pub(crate) fn receive(
        &mut self,
        context: &Context,
        mut turns_away: impl FnMut(&Flow) -> bool,
    ) -> Option<NetInput> {
        let counters = &context.counters;
        for _ in 0..KEEP_ALIVES {
            let buffer = &mut self.buffer;
            let received = self
                .socket
                .try_io(Interest::READABLE, |socket| socket.recv_from(buffer));
            let (length, remote) = match received {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {
                    counters.udp_receive_errors.count();
                    return None;
                }
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            counters.udp_received.count();
            if is_keep_alive(datagram) {
                counters.keep_alive.count();
                continue;
            }
            let flow = Flow { remote, ..self.flow };
            if turns_away(&flow) {
                continue;
            }
            return Some(scan(flow, Bytes::copy_from_slice(datagram), context));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_a_device_hears_by_that_device_and_one_that_is_not_there_is_refused() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let open = |device| open(loopback, ShardPlace::ALONE, device);
        let (bound, other) = (open(Some("lo")).unwrap(), open(None).unwrap());
        let device = socket2::SockRef::from(&bound).device().unwrap();
        assert_eq!(device.as_deref(), Some(&b"lo"[..]));
        other.send_to(b"hello", bound.local_addr().unwrap()).unwrap();
        let (length, from) = bound.recv_from(&mut [0; 16]).unwrap();
        assert_eq!((length, from), (5, other.local_addr().unwrap()));
        let nowhere = open(Some("nowhere0")).unwrap_err();
        assert_eq!(nowhere.raw_os_error(), Some(libc::ENODEV));
    }
}
