//! Shell: the shards of one node beside each other, and what they hand over.
//!
//! Messages and connections go over a bounded channel: when it is full, its shard has too much to do. All else is an
//! answer, or as rare as the end of a connection, and may not be lost: it goes over a channel without a limit of its own,
//! in which no more can wait than the node's limits of transactions, connections and requests to the HSS let begin.

use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context as TaskContext;

use tokio::sync::mpsc;

use super::directory::SharedDirectory;
use crate::net::{ConnectionId, Flow, Interface, SendTag, Transmit};
use crate::node::Spoken;
use crate::sip::Message;
use crate::steering::{ShardPlace, Steering};
use crate::token::ShardId;

/// What is taken of one channel in one turn.
const BATCH: usize = 256;
/// A number of a shell has its shard in its top octet.
const SHARD_SHIFT: u32 = 56;

/// The first number of a connection of a shard; the others follow.
pub(super) const fn first_connection(shard: ShardId) -> u64 {
    (shard.0 as u64) << SHARD_SHIFT | 1
}

/// The shard that holds a connection.
pub(super) const fn holder(connection: ConnectionId) -> ShardId {
    let [shard, ..] = connection.0.to_be_bytes();
    ShardId(shard)
}

/// A transmission's tag with the shard that wants to know of a failure: one more than its number, so that a tag of the
/// transmitting shard itself stays as it is.
const fn with_origin(tag: SendTag, shard: ShardId) -> SendTag {
    SendTag(tag.0 | (shard.0 as u64 + 1) << SHARD_SHIFT)
}

/// The shard in a tag, and the tag as that one knows it.
pub(super) const fn origin_of(tag: SendTag) -> (Option<ShardId>, SendTag) {
    let [shard, ..] = tag.0.to_be_bytes();
    let origin = match shard {
        0 => None,
        number => Some(ShardId(number - 1)),
    };
    (origin, SendTag(tag.0 & ((1 << SHARD_SHIFT) - 1)))
}

/// What a shard may have too much of.
#[derive(Debug)]
pub(super) enum Handed {
    /// A message that is yours.
    Received { flow: Flow, message: Message },
    /// Write this on a connection of yours.
    Transmit(Transmit),
    /// A connection that is yours.
    Accepted { interface: Interface, stream: TcpStream },
}

/// What must arrive.
#[derive(Debug)]
pub(super) enum Call<W> {
    /// The node says so.
    Word(W),
    /// What you had handed over was not sent.
    SendFailed(SendTag),
    /// A connection of another shard is gone.
    ConnectionClosed(ConnectionId),
    /// Close a connection of yours.
    Close(ConnectionId),
    /// No shard has anything in progress any more.
    AllDrained,
}

#[derive(Debug)]
struct Mate<W> {
    handed: mpsc::Sender<Handed>,
    calls: mpsc::UnboundedSender<Call<W>>,
}

impl<W> Clone for Mate<W> {
    fn clone(&self) -> Self {
        Self {
            handed: self.handed.clone(),
            calls: self.calls.clone(),
        }
    }
}

/// One shard's ways to the others.
#[derive(Debug)]
pub(super) struct Crew<W> {
    place: ShardPlace,
    steering: Steering,
    directory: Arc<SharedDirectory>,
    mates: Vec<Mate<W>>,
    at_work: Arc<AtomicUsize>,
    handed: mpsc::Receiver<Handed>,
    calls: mpsc::UnboundedReceiver<Call<W>>,
    pub(super) taken: Vec<Handed>,
    pub(super) heard: Vec<Call<W>>,
}

impl<W> Crew<W> {
    /// All shards of a node, in order; `queue` is how much one may be handed that it has not taken.
    pub(super) fn all(steering: Steering, shards: u8, queue: usize) -> Vec<Self> {
        let directory = Arc::new(SharedDirectory::new());
        let at_work = Arc::new(AtomicUsize::new(usize::from(shards)));
        let (mates, ends): (Vec<_>, Vec<_>) = (0..shards)
            .map(|_| {
                let (handed, taken) = mpsc::channel(queue);
                let (calls, heard) = mpsc::unbounded_channel();
                (Mate { handed, calls }, (taken, heard))
            })
            .unzip();
        let places = (0..shards).map(|number| ShardPlace {
            shard: ShardId(number),
            of: shards,
        });
        let crew = places.zip(ends).map(|(place, (handed, calls))| Self {
            place,
            steering,
            directory: Arc::clone(&directory),
            mates: mates.clone(),
            at_work: Arc::clone(&at_work),
            handed,
            calls,
            taken: Vec::with_capacity(BATCH),
            heard: Vec::with_capacity(BATCH),
        });
        crew.collect()
    }

    pub(super) const fn place(&self) -> ShardPlace {
        self.place
    }

    /// Whether something has come, which is then in `taken` and `heard`; if not, the task is woken when it has.
    pub(super) fn poll(&mut self, task: &mut TaskContext<'_>, may_take: bool) -> bool {
        let mut is_ready = self.calls.poll_recv_many(task, &mut self.heard, BATCH).is_ready();
        if may_take {
            is_ready |= self
                .handed
                .poll_recv_many(task, &mut self.taken, BATCH)
                .is_ready();
        }
        is_ready
    }

    /// Another shard that owns a message.
    pub(super) fn other_owner(&self, flow: &Flow, message: &Message) -> Option<ShardId> {
        let owner = self.steering.owner(flow, message, &*self.directory);
        Some(owner).filter(|owner| *owner != self.place.shard)
    }

    /// Another shard that owns the connections of an address.
    pub(super) fn other_owner_of(&self, remote: IpAddr) -> Option<ShardId> {
        let owner = self.steering.of_address(remote);
        Some(owner).filter(|owner| *owner != self.place.shard)
    }

    /// Another shard that holds a connection.
    pub(super) fn other_holder(&self, connection: ConnectionId) -> Option<ShardId> {
        Some(holder(connection)).filter(|holder| *holder != self.place.shard)
    }

    /// Hands something over. What comes back has found the other one with too much already.
    pub(super) fn hand(&self, to: ShardId, handed: Handed) -> Option<Handed> {
        let Some(mate) = self.mate(to) else {
            return Some(handed);
        };
        let sent = mate.handed.try_send(handed);
        sent.err().map(|error| match error {
            mpsc::error::TrySendError::Full(handed) | mpsc::error::TrySendError::Closed(handed) => handed,
        })
    }

    /// Has another shard write on a connection that it holds.
    pub(super) fn transmit(&self, to: ShardId, mut transmit: Transmit) -> Result<(), ()> {
        transmit.tag = with_origin(transmit.tag, self.place.shard);
        match self.hand(to, Handed::Transmit(transmit)) {
            None => Ok(()),
            Some(_) => Err(()),
        }
    }

    /// Calls another shard. One that has ended needs nothing.
    pub(super) fn call(&self, to: ShardId, call: Call<W>) {
        if let Some(mate) = self.mate(to) {
            let _ = mate.calls.send(call);
        }
    }

    /// Says what the node has to say.
    pub(super) fn say(&self, spoken: Spoken<W>) {
        match spoken {
            Spoken::To(shard, word) => self.call(shard, Call::Word(word)),
            Spoken::Serves(impu) => self
                .directory
                .insert(self.steering.key_of(&impu), self.place.shard),
            Spoken::Leaves(impu) => self
                .directory
                .remove(self.steering.key_of(&impu), self.place.shard),
        }
    }

    /// Tells the others that a connection of this shard is gone.
    pub(super) fn connection_closed(&self, connection: ConnectionId) {
        self.call_others(|| Call::ConnectionClosed(connection));
    }

    /// This shard has nothing in progress any more. Says whether none has; then all are told.
    pub(super) fn has_drained(&self) -> bool {
        let is_last = self.at_work.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last {
            self.call_others(|| Call::AllDrained);
        }
        is_last
    }

    fn call_others(&self, call: impl Fn() -> Call<W>) {
        let others = (0..self.place.of).map(ShardId);
        for shard in others.filter(|shard| *shard != self.place.shard) {
            self.call(shard, call());
        }
    }

    fn mate(&self, shard: ShardId) -> Option<&Mate<W>> {
        self.mates.get(usize::from(shard.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_back_to_the_shard_that_sent_it() {
        let tag = SendTag(0x00FF_FFFF_FFFF_FFFE);
        assert_eq!(origin_of(tag), (None, tag));
        assert_eq!(origin_of(with_origin(tag, ShardId(0))), (Some(ShardId(0)), tag));
        assert_eq!(origin_of(with_origin(tag, ShardId(63))), (Some(ShardId(63)), tag));
    }

    #[test]
    fn a_connection_says_who_holds_it() {
        assert_eq!(holder(ConnectionId(first_connection(ShardId(0)) + 9)), ShardId(0));
        assert_eq!(holder(ConnectionId(first_connection(ShardId(63)))), ShardId(63));
    }
}
