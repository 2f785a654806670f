//! Shell: one stream connection: a task that reads frames and writes messages until one of both ends it.

use std::io::{self, Read as _};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::net::SendTag;

/// Octets of one read.
const READ_CHUNK: usize = 4_096;
/// RFC 5626 4.4.1: the answer to a ping.
const PONG: &[u8] = b"\r\n";
/// So much is said to be queued on a connection that is being torn down.
const CLOSED_FOR_WRITES: usize = usize::MAX / 2;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// The peer closed or reset it.
    Peer,
    /// We closed it, after all writes.
    Node,
    /// It is no stream of messages any more.
    Framing,
    /// A started message did not become complete, or a write did not move, in time.
    Slow,
    /// Silent for too long.
    Idle,
    /// Too much waits to be written.
    WriteLimit,
    /// Anything else that the socket said.
    Error,
}

/// One message to write.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) bytes: Bytes,
    pub(crate) tag: Option<SendTag>,
}

/// The driver's end of a connection. Dropped: what is queued is still written, then the connection closes.
pub(crate) struct Link {
    writes: mpsc::UnboundedSender<Write>,
    shared: Arc<Shared>,
}

/// The task's end of a connection.
pub(crate) struct LinkEnd {
    writes: mpsc::UnboundedReceiver<Write>,
    current: Option<Write>,
    shared: Arc<Shared>,
}

/// What both ends see.
#[derive(Default)]
struct Shared {
    /// Octets that the task still has to write. At zero the driver may write by itself.
    queued: AtomicUsize,
    /// Whether the driver has written since this was last asked.
    has_written: AtomicBool,
    kill: Notify,
    /// Whether it is killed because the node wants so.
    is_aborted: AtomicBool,
    /// Once it is open, and as long as the task serves it.
    socket: OnceLock<Weak<TcpStream>>,
}

/// Why a message was not taken for writing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotTaken {
    /// The limit is reached; the connection is being torn down.
    Full,
    /// The connection is gone.
    Gone,
}

/// Both ends of a new connection.
pub(crate) fn link() -> (Link, LinkEnd) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::default());
    let link = Link {
        writes: sender,
        shared: Arc::clone(&shared),
    };
    let end = LinkEnd {
        writes: receiver,
        current: None,
        shared,
    };
    (link, end)
}

impl Link {
    /// Writes one message with one write if the socket takes it, or else queues it; over `limit` octets the connection
    /// is torn down.
    pub(crate) fn push(&self, mut write: Write, limit: usize) -> Result<(), NotTaken> {
        let queued = self.shared.queued.load(Relaxed);
        if queued == 0 && !write.bytes.is_empty() {
            let written = self.shared.write_now(&write.bytes);
            if written == write.bytes.len() {
                return Ok(());
            }
            write.bytes.advance(written);
        }
        if queued.saturating_add(write.bytes.len()) > limit {
            // A part of a message may be out: nothing may follow it.
            self.shared.queued.store(CLOSED_FOR_WRITES, Relaxed);
            self.shared.kill.notify_one();
            return Err(NotTaken::Full);
        }
        self.shared.queued.fetch_add(write.bytes.len(), Relaxed);
        self.writes.send(write).map_err(|_| NotTaken::Gone)
    }

    /// Ends the connection now, or the attempt to open it; what is queued is not written.
    pub(crate) fn abort(self) {
        self.shared.is_aborted.store(true, Relaxed);
        self.shared.queued.store(CLOSED_FOR_WRITES, Relaxed);
        self.shared.kill.notify_one();
    }
}

impl Shared {
    /// What the socket takes at once. What is wrong with it, the task finds out.
    fn write_now(&self, bytes: &[u8]) -> usize {
        let socket = self.socket.get().and_then(Weak::upgrade);
        let written = socket
            .and_then(|socket| socket.try_write(bytes).ok())
            .unwrap_or(0);
        if written > 0 {
            self.has_written.store(true, Relaxed);
        }
        written
    }
}

impl LinkEnd {
    /// Until the connection is to end at once.
    pub(crate) async fn killed(&self) {
        self.shared.kill.notified().await;
    }

    /// Takes no more, and gives back the tags of all that was not written.
    pub(crate) fn fail_all(&mut self) -> Vec<SendTag> {
        self.writes.close();
        let mut tags: Vec<_> = self.current.take().and_then(|w| w.tag).into_iter().collect();
        while let Ok(write) = self.writes.try_recv() {
            tags.extend(write.tag);
        }
        tags
    }
}

/// How messages are cut out of a stream.
pub(crate) trait Framing {
    /// More octets.
    fn feed(&mut self, octets: &[u8]);
    /// The next frame, or `None` until more octets are there. An error: the framing is lost.
    fn next_frame(&mut self) -> Result<Option<Framed>, &'static str>;
    /// Whether a message has begun and is not complete.
    fn in_message(&self) -> bool;
}

/// One piece of a stream.
#[derive(Debug)]
pub(crate) enum Framed {
    /// A whole message.
    Message(Bytes),
    /// RFC 5626 4.4.1, CRLF CRLF: wants a CRLF.
    Ping,
    /// The answer to a ping of ours.
    Pong,
}

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a started message to become complete, and for one write to get through.
    pub(crate) slow: Duration,
    /// Between messages, either way; for ever when `None`.
    pub(crate) idle: Option<Duration>,
}

/// What a frame becomes. An error ends the connection.
pub(crate) trait Sink {
    /// Gives one whole message to the driver, waiting while it is busy: that is the back-pressure.
    fn message(&self, bytes: Bytes) -> impl Future<Output = Result<(), ()>> + Send;
    /// Counts one keep-alive.
    fn keep_alive(&self);
}

/// Serves a connection until it ends.
pub(crate) async fn serve(
    stream: TcpStream,
    end: &mut LinkEnd,
    framing: impl Framing,
    patience: Patience,
    sink: &impl Sink,
) -> Ended {
    let shared = Arc::clone(&end.shared);
    let pong = Notify::new();
    let activity = Activity::new();
    let stream = Arc::new(stream);
    // Each link serves one connection.
    let _ = shared.socket.set(Arc::downgrade(&stream));
    let reader = Reader {
        stream: &stream,
        framing,
        patience,
        sink,
        pong: &pong,
        activity: &activity,
        has_written: &shared.has_written,
    };
    tokio::select! {
        // Before the last words of a link that is dropped.
        biased;
        () = shared.kill.notified() => match shared.is_aborted.load(Relaxed) {
            true => Ended::Node,
            false => Ended::WriteLimit,
        },
        ended = reader.run() => ended,
        ended = write_all(&stream, end, &pong, &activity, patience.slow) => ended,
    }
}

/// When something last moved, seen by both halves.
struct Activity {
    base: Instant,
    millis: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self {
            base: Instant::now(),
            millis: AtomicU64::new(0),
        }
    }

    fn touch(&self) {
        let millis = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Relaxed);
    }

    fn last(&self) -> Instant {
        self.base + Duration::from_millis(self.millis.load(Relaxed))
    }
}

struct Reader<'a, F, S> {
    stream: &'a TcpStream,
    framing: F,
    patience: Patience,
    sink: &'a S,
    pong: &'a Notify,
    activity: &'a Activity,
    has_written: &'a AtomicBool,
}

impl<F: Framing, S: Sink> Reader<'_, F, S> {
    async fn run(mut self) -> Ended {
        let mut started: Option<Instant> = None;
        loop {
            let deadline = match started {
                Some(at) => Some(at + self.patience.slow),
                None => self.patience.idle.map(|idle| self.activity.last() + idle),
            };
            tokio::select! {
                biased;
                ready = self.stream.readable() => if ready.is_err() { return Ended::Error },
                () = until(deadline) => {
                    if self.has_written.swap(false, Relaxed) {
                        self.activity.touch();
                    }
                    let still = self.patience.idle.is_some_and(|idle| self.activity.last() + idle > Instant::now());
                    match started {
                        Some(_) => return Ended::Slow,
                        None if still => continue,
                        None => return Ended::Idle,
                    }
                }
            }
            match self.read_some() {
                Ok(0) => return Ended::Peer,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ended::Peer,
                Err(_) => return Ended::Error,
            }
            self.activity.touch();
            match self.take_frames().await {
                Err(ended) => return ended,
                Ok(_) if !self.framing.in_message() => started = None,
                // What has begun now is a new message; its time begins now too.
                Ok(true) => started = Some(Instant::now()),
                Ok(false) => started = started.or_else(|| Some(Instant::now())),
            }
        }
    }

    /// One read without waiting. The chunk lives on the stack here, so that silent connections hold none. When it is
    /// not filled nothing more is there, and no second read needs to tell.
    fn read_some(&mut self) -> io::Result<usize> {
        let mut chunk = [0; READ_CHUNK];
        let mut not_filled = None;
        let read = self.stream.try_io(Interest::READABLE, || {
            let length = (&*SockRef::from(self.stream)).read(&mut chunk)?;
            if length == 0 || length == chunk.len() {
                return Ok(length);
            }
            not_filled = Some(length);
            Err(io::ErrorKind::WouldBlock.into())
        });
        let length = match not_filled {
            Some(length) => length,
            None => read?,
        };
        self.framing.feed(chunk.get(..length).unwrap_or_default());
        Ok(length)
    }

    /// Hands on all whole frames; says whether a message was among them.
    async fn take_frames(&mut self) -> Result<bool, Ended> {
        let mut completed = false;
        loop {
            match self.framing.next_frame() {
                Ok(None) => return Ok(completed),
                Ok(Some(Framed::Message(bytes))) => {
                    completed = true;
                    self.sink.message(bytes).await.map_err(|()| Ended::Node)?;
                }
                Ok(Some(Framed::Ping)) => {
                    self.sink.keep_alive();
                    self.pong.notify_one();
                }
                Ok(Some(Framed::Pong)) => self.sink.keep_alive(),
                Err(reason) => {
                    tracing::debug!(reason, "framing lost");
                    return Err(Ended::Framing);
                }
            }
        }
    }
}

/// Writes what is queued, one write per message, and pongs.
async fn write_all(
    stream: &TcpStream,
    end: &mut LinkEnd,
    pong: &Notify,
    activity: &Activity,
    patience: Duration,
) -> Ended {
    let shared = Arc::clone(&end.shared);
    loop {
        tokio::select! {
            // The rest of a message that the driver has begun goes before a pong.
            biased;
            write = end.writes.recv() => {
                let Some(write) = write else {
                    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
                    return Ended::Node;
                };
                let bytes = write.bytes.clone();
                end.current = Some(write);
                if let Err(ended) = write_one(stream, &bytes, patience).await {
                    return ended;
                }
                end.current = None;
                shared.queued.fetch_sub(bytes.len(), Relaxed);
            }
            () = pong.notified() => {
                shared.queued.fetch_add(PONG.len(), Relaxed);
                if let Err(ended) = write_one(stream, PONG, patience).await {
                    return ended;
                }
                shared.queued.fetch_sub(PONG.len(), Relaxed);
            }
        }
        activity.touch();
    }
}

async fn write_one(stream: &TcpStream, bytes: &[u8], patience: Duration) -> Result<(), Ended> {
    let write = async {
        let mut rest = bytes;
        while !rest.is_empty() {
            stream.writable().await?;
            match stream.try_write(rest) {
                Ok(length) => rest = rest.get(length..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    match tokio::time::timeout(patience, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ended::Peer),
        Err(_) => Err(Ended::Slow),
    }
}

/// Sleeps until then; for ever when `None`.
pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
