//! Table: transactions that have their final response and absorb retransmissions (timers J and K), in little room.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::net::Interface;
use crate::node::{NumberMap, give_back};
use crate::transaction::key::{ClientKey, ServerKey};
use crate::transaction::{ClientTransactionId, ServerTransactionId};

/// What an entry takes besides its response: key, indexes, place in the queue, the allocator's own.
const OVERHEAD_OCTETS: usize = 256;
/// Room of a queue that is not worth giving back.
const SMALL: usize = 1_024;

/// A completed non-INVITE server transaction. Those on streams do not linger, so the way back is one of datagrams.
pub(super) struct LingeringServer {
    pub(super) key: ServerKey,
    pub(super) interface: Interface,
    pub(super) remote: SocketAddr,
    pub(super) response: Box<[u8]>,
}

impl LingeringServer {
    fn octets(&self) -> usize {
        self.response.len() + OVERHEAD_OCTETS
    }
}

/// Timers that only ever start anew with one of few durations: those of one duration end in the order in which they
/// began.
struct Queues<T> {
    queues: SmallVec<[Queue<T>; 2]>,
}

struct Queue<T> {
    wait: Duration,
    entries: VecDeque<(Instant, T)>,
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self {
            queues: SmallVec::new(),
        }
    }
}

impl<T> Queues<T> {
    fn push(&mut self, now: Instant, wait: Duration, entry: T) {
        let at = self.queues.iter().position(|queue| queue.wait == wait);
        let at = at.unwrap_or_else(|| {
            self.queues.push(Queue {
                wait,
                entries: VecDeque::new(),
            });
            self.queues.len() - 1
        });
        if let Some(queue) = self.queues.get_mut(at) {
            queue.entries.push_back((now + wait, entry));
        }
    }

    fn next(&self) -> Option<Instant> {
        let firsts = self.queues.iter().filter_map(|queue| queue.entries.front());
        firsts.map(|(at, _)| *at).min()
    }

    fn pop_expired(&mut self, now: Instant) -> Option<T> {
        let is_due = |queue: &&mut Queue<T>| queue.entries.front().is_some_and(|(at, _)| *at <= now);
        self.queues.iter_mut().find(is_due)?.pop()
    }

    /// The one that began first.
    fn pop_oldest(&mut self) -> Option<T> {
        let began = |queue: &&mut Queue<T>| Some(queue.entries.front()?.0 - queue.wait);
        let filled = self.queues.iter_mut().filter(|queue| !queue.entries.is_empty());
        filled.min_by_key(began)?.pop()
    }

    /// Takes entries that are void away from the front.
    fn drop_void(&mut self, is_void: impl Fn(&T) -> bool) {
        for queue in &mut self.queues {
            while queue.entries.front().is_some_and(|(_, entry)| is_void(entry)) {
                queue.pop();
            }
        }
    }
}

impl<T> Queue<T> {
    fn pop(&mut self) -> Option<T> {
        let (_, entry) = self.entries.pop_front()?;
        if self.entries.capacity() > SMALL && self.entries.len() < self.entries.capacity() / 8 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        Some(entry)
    }
}

/// Server transactions in wait of timer J, within a limit of octets.
pub(super) struct LingeringServers {
    by_id: NumberMap<ServerTransactionId, LingeringServer>,
    queues: Queues<ServerTransactionId>,
    octets: usize,
    octets_max: usize,
}

impl LingeringServers {
    pub(super) fn new(octets_max: usize) -> Self {
        Self {
            by_id: NumberMap::default(),
            queues: Queues::default(),
            octets: 0,
            octets_max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn get(&self, id: ServerTransactionId) -> Option<&LingeringServer> {
        self.by_id.get(&id)
    }

    pub(super) fn push(
        &mut self,
        now: Instant,
        wait: Duration,
        id: ServerTransactionId,
        server: LingeringServer,
    ) {
        self.octets += server.octets();
        self.by_id.insert(id, server);
        self.queues.push(now, wait, id);
    }

    /// Takes one away before its time.
    pub(super) fn remove(&mut self, id: ServerTransactionId) -> Option<LingeringServer> {
        let server = self.take(id)?;
        let by_id = &self.by_id;
        self.queues.drop_void(|id| !by_id.contains_key(id));
        Some(server)
    }

    /// The next one whose timer J fires.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<(ServerTransactionId, ServerKey)> {
        while let Some(id) = self.queues.pop_expired(now) {
            if let Some(server) = self.take(id) {
                return Some((id, server.key));
            }
        }
        None
    }

    /// The oldest one, as long as there are too many octets.
    pub(super) fn pop_above_limit(&mut self) -> Option<(ServerTransactionId, ServerKey)> {
        while self.octets > self.octets_max {
            let id = self.queues.pop_oldest()?;
            if let Some(server) = self.take(id) {
                return Some((id, server.key));
            }
        }
        None
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queues.next()
    }

    fn take(&mut self, id: ServerTransactionId) -> Option<LingeringServer> {
        let server = self.by_id.remove(&id)?;
        give_back(&mut self.by_id);
        self.octets -= server.octets();
        Some(server)
    }
}

/// Client transactions in wait of timer K: only keys.
#[derive(Default)]
pub(super) struct LingeringClients {
    queues: Queues<(ClientTransactionId, ClientKey)>,
}

impl LingeringClients {
    pub(super) fn push(&mut self, now: Instant, wait: Duration, id: ClientTransactionId, key: ClientKey) {
        self.queues.push(now, wait, (id, key));
    }

    /// The next one whose timer K fires.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<(ClientTransactionId, ClientKey)> {
        self.queues.pop_expired(now)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queues.next()
    }
}
