//! Shell: two sockets of XFRM's netlink: one for requests, which the kernel serves at once, and one for notices.

use std::io::{self, Read as _};
use std::time::Duration;

use netlink_packet_xfrm::constants::{
    XFRM_MSG_DELSA, XFRM_MSG_EXPIRE, XFRM_MSG_FLUSHSA, XFRMNLGRP_EXPIRE, XFRMNLGRP_SA,
};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_XFRM;
use socket2::{SockFilter, SockRef};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zeroize::{Zeroize, Zeroizing};

use super::message::{Notice, Request, Segment, notice, segments};

/// The kernel fills datagrams of a list up to 32 KiB.
const BUFFER: usize = 64 * 1024;
/// Requests that go with one write.
const PIPELINED: usize = 32;
/// The kernel has answered before a write returns; this only keeps a broken one from stopping us.
const PATIENCE: Duration = Duration::from_secs(10);
/// For notices that come while we are busy. The kernel gives less when `net.core.rmem_max` says so.
const NOTICES_BUFFER: usize = 8 << 20;

/// That notices were lost is an error of the socket, which may have nothing to read besides.
const NOTICED: Interest = Interest::READABLE.add(Interest::ERROR);

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ack {
    Done,
    /// The number of the error.
    Refused(i32),
    /// Its answer was lost: it may have been done.
    Unknown,
}

/// The socket for requests. Answers are read into memory that is wiped: lists of states contain keys.
pub(super) struct Netlink {
    socket: Socket,
    port: u32,
    sequence: u32,
    buffer: Zeroizing<Vec<u8>>,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_XFRM)?;
        let port = socket.bind_auto()?.port_number();
        // A refusal would else quote the whole request, keys and all.
        socket.set_cap_ack(true)?;
        SockRef::from(&socket).set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            port,
            sequence: 0,
            buffer: Zeroizing::new(vec![0; BUFFER]),
        })
    }

    /// Its number, which notices of what we ask ourselves bear.
    pub(super) const fn port(&self) -> u32 {
        self.port
    }

    /// Many requests at once; the answers are in their order.
    pub(super) fn exchange(&mut self, requests: &mut [Request]) -> Vec<Ack> {
        let mut acks = Vec::with_capacity(requests.len());
        for some in requests.chunks_mut(PIPELINED) {
            acks.extend(self.exchange_some(some, |_| {}));
        }
        acks
    }

    /// Many questions at once: what is answered with a message, message by message.
    pub(super) fn ask_all(&mut self, questions: &mut [Request], mut each: impl FnMut(&[u8])) {
        for some in questions.chunks_mut(PIPELINED) {
            self.exchange_some(some, &mut each);
        }
    }

    fn exchange_some(&mut self, requests: &mut [Request], mut each: impl FnMut(&[u8])) -> Vec<Ack> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Zeroizing::new(Vec::with_capacity(requests.len() * 512));
        for request in requests.iter_mut() {
            self.sequence = self.sequence.wrapping_add(1);
            datagram.extend_from_slice(request.addressed(self.sequence, self.port));
        }
        let mut acks = vec![Ack::Unknown; requests.len()];
        if self.socket.send(&datagram, 0).is_err() {
            return acks;
        }
        while acks.contains(&Ack::Unknown) {
            let Ok(length) = self.read() else { break };
            let datagram = self.buffer.get_mut(..length).unwrap_or_default();
            for segment in segments(datagram) {
                let (sequence, ack) = match segment {
                    Segment::Answer { sequence, errno: 0 } => (sequence, Ack::Done),
                    Segment::Answer { sequence, errno } => (sequence, Ack::Refused(errno)),
                    Segment::Message { sequence, body, .. } => {
                        each(body);
                        (sequence, Ack::Done)
                    }
                    Segment::Done { .. } => continue,
                };
                // Answers that came too late for an earlier exchange have other numbers.
                let index = usize::try_from(sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                if let Some(place) = acks.get_mut(index) {
                    *place = ack;
                }
            }
            datagram.zeroize();
        }
        acks
    }

    /// One request.
    pub(super) fn ask(&mut self, request: Request) -> Ack {
        let acks = self.exchange(&mut [request]);
        acks.first().copied().unwrap_or(Ack::Unknown)
    }

    /// A list, message by message.
    pub(super) fn dump(&mut self, mut request: Request, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let ours = self.sequence;
        self.socket.send(request.addressed(ours, self.port), 0)?;
        loop {
            let length = self.read()?;
            let datagram = self.buffer.get_mut(..length).unwrap_or_default();
            let mut end = None;
            for segment in segments(datagram) {
                match segment {
                    Segment::Message { sequence, body, .. } if sequence == ours => each(body),
                    Segment::Done { sequence, errno } | Segment::Answer { sequence, errno }
                        if sequence == ours =>
                    {
                        end = Some(errno);
                    }
                    _ => {}
                }
            }
            datagram.zeroize();
            match end {
                None => {}
                Some(0) => return Ok(()),
                Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        loop {
            match (&*SockRef::from(&self.socket)).read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

/// The socket for notices of what happened without our asking.
pub(super) struct Notices {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
}

/// What a read of notices brought.
pub(super) enum Heard {
    Notices(Vec<Notice>),
    /// Some were lost: only a list of the states tells what happened.
    Lost,
}

impl Notices {
    /// Hears nothing of what the socket with this port asks. Needs a tokio runtime.
    pub(super) fn watch(socket: Socket) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, and asks for what holds here: the socket keeps its descriptor"
        )]
        let socket = AsyncFd::with_interest(socket, NOTICED)?;
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER],
        })
    }

    /// Until there are some.
    pub(super) async fn hear(&mut self) -> io::Result<Heard> {
        loop {
            let mut ready = self.socket.ready(NOTICED).await?;
            let buffer = &mut self.buffer;
            let read = ready.try_io(|socket| (&*SockRef::from(socket.get_ref())).read(buffer));
            match read {
                Err(_would_block) => {}
                Ok(Ok(length)) => {
                    let datagram = self.buffer.get(..length).unwrap_or_default();
                    let heard = segments(datagram).filter_map(|segment| match segment {
                        Segment::Message { kind, body, .. } => notice(kind, body),
                        Segment::Answer { .. } | Segment::Done { .. } => None,
                    });
                    return Ok(Heard::Notices(heard.collect()));
                }
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Heard::Lost),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
            }
        }
    }
}

/// A socket that collects notices from now on.
pub(super) fn notices(port_of_requests: u32, buffer: Option<usize>) -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_XFRM)?;
    SockRef::from(&socket).attach_filter(&filter(port_of_requests))?;
    SockRef::from(&socket).set_recv_buffer_size(buffer.unwrap_or(NOTICES_BUFFER))?;
    socket.set_non_blocking(true)?;
    socket.bind_auto()?;
    socket.add_membership(XFRMNLGRP_EXPIRE)?;
    socket.add_membership(XFRMNLGRP_SA)?;
    Ok(socket)
}

/// Lets through: states that expire or are deleted, by others than ourselves. Notices of new states, which bear keys,
/// stay in the kernel.
fn filter(port_of_requests: u32) -> Vec<SockFilter> {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // Loads are in network order, netlink is in the order of the machine.
    let word = |n: u32| u32::from_be_bytes(n.to_ne_bytes());
    let half = |n: u16| u32::from(u16::from_be_bytes(n.to_ne_bytes()));
    vec![
        SockFilter::new(LOAD_WORD, 0, 0, 12),
        SockFilter::new(JUMP_IF_EQUAL, 4, 0, word(port_of_requests)),
        SockFilter::new(LOAD_HALF, 0, 0, 4),
        SockFilter::new(JUMP_IF_EQUAL, 3, 0, half(XFRM_MSG_DELSA)),
        SockFilter::new(JUMP_IF_EQUAL, 2, 0, half(XFRM_MSG_EXPIRE)),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, half(XFRM_MSG_FLUSHSA)),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
}
