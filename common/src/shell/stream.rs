//! Shell: one stream connection: a task that reads frames and writes messages until one of both ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};

use crate::net::SendTag;

/// Octets of one read.
const READ_CHUNK: usize = 16_384;

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
    queued: Arc<AtomicUsize>,
    kill: Arc<Notify>,
}

/// The task's end of a connection.
pub(crate) struct LinkEnd {
    writes: mpsc::UnboundedReceiver<Write>,
    current: Option<Write>,
    queued: Arc<AtomicUsize>,
    kill: Arc<Notify>,
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
    let queued = Arc::new(AtomicUsize::new(0));
    let kill = Arc::new(Notify::new());
    let link = Link {
        writes: sender,
        queued: Arc::clone(&queued),
        kill: Arc::clone(&kill),
    };
    let end = LinkEnd {
        writes: receiver,
        current: None,
        queued,
        kill,
    };
    (link, end)
}

impl Link {
    /// Queues one message; over `limit` octets the connection is torn down.
    pub(crate) fn push(&self, write: Write, limit: usize) -> Result<(), NotTaken> {
        let length = write.bytes.len();
        if self.queued.load(Relaxed).saturating_add(length) > limit {
            self.kill.notify_one();
            return Err(NotTaken::Full);
        }
        self.queued.fetch_add(length, Relaxed);
        self.writes.send(write).map_err(|_| NotTaken::Gone)
    }
}

impl LinkEnd {
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
    let kill = Arc::clone(&end.kill);
    let pong = Notify::new();
    let activity = Activity::new();
    let (read_half, write_half) = stream.into_split();
    let reader = Reader {
        half: read_half,
        framing,
        patience,
        sink,
        pong: &pong,
        activity: &activity,
    };
    tokio::select! {
        ended = reader.run() => ended,
        ended = write_all(write_half, end, &pong, &activity, patience.slow) => ended,
        () = kill.notified() => Ended::WriteLimit,
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
    half: OwnedReadHalf,
    framing: F,
    patience: Patience,
    sink: &'a S,
    pong: &'a Notify,
    activity: &'a Activity,
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
                ready = self.half.readable() => if ready.is_err() { return Ended::Error },
                () = until(deadline) => {
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
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ended::Peer,
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

    /// One read without waiting. The chunk lives on the stack here, so that silent connections hold none.
    fn read_some(&mut self) -> std::io::Result<usize> {
        let mut chunk = [0; READ_CHUNK];
        let length = self.half.try_read(&mut chunk)?;
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
    mut half: OwnedWriteHalf,
    end: &mut LinkEnd,
    pong: &Notify,
    activity: &Activity,
    patience: Duration,
) -> Ended {
    loop {
        tokio::select! {
            write = end.writes.recv() => {
                let Some(write) = write else {
                    let _ = half.shutdown().await;
                    return Ended::Node;
                };
                let bytes = write.bytes.clone();
                end.current = Some(write);
                if let Err(ended) = write_one(&mut half, &bytes, patience).await {
                    return ended;
                }
                end.current = None;
                end.queued.fetch_sub(bytes.len(), Relaxed);
            }
            () = pong.notified() => {
                if let Err(ended) = write_one(&mut half, b"\r\n", patience).await {
                    return ended;
                }
            }
        }
        activity.touch();
    }
}

async fn write_one(half: &mut OwnedWriteHalf, bytes: &[u8], patience: Duration) -> Result<(), Ended> {
    match tokio::time::timeout(patience, half.write_all(bytes)).await {
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
