//! Table: requests that wait for their answers (RFC 6733 3, 6.1.2, 6.2.1).

use std::collections::BTreeMap;
use std::time::Instant;

use super::header::Header;
use crate::net::ConnectionId;
use crate::node::TimerTable;

/// One request on its way.
#[derive(Clone, Debug)]
pub struct Pending<T> {
    /// The connection on which it went.
    pub connection: ConnectionId,
    /// Its command code.
    pub code: u32,
    /// Until when its answer counts.
    pub expires_at: Instant,
    /// What its owner needs to go on.
    pub context: T,
}

/// The table is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many requests wait for their answers")]
pub struct PendingFull;

/// Requests that wait, by Hop-by-Hop Identifier.
///
/// Answers are matched by connection, Hop-by-Hop Identifier and command code. The application id does
/// not count: there are peers that answer Cx with that of Sh.
#[derive(Clone, Debug)]
pub struct PendingRequests<T> {
    requests: BTreeMap<u32, Pending<T>>,
    timers: TimerTable<u32>,
    /// How many wait on each connection.
    counts: BTreeMap<ConnectionId, usize>,
    requests_max: usize,
}

impl<T> PendingRequests<T> {
    /// An empty table for at most so many.
    #[must_use]
    pub fn new(requests_max: usize) -> Self {
        Self {
            requests: BTreeMap::new(),
            timers: TimerTable::default(),
            counts: BTreeMap::new(),
            requests_max,
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// How many wait on one connection.
    #[must_use]
    pub fn len_on(&self, connection: ConnectionId) -> usize {
        self.counts.get(&connection).copied().unwrap_or(0)
    }

    /// Whether one more fits.
    ///
    /// # Errors
    /// When it does not.
    pub fn admit(&self) -> Result<(), PendingFull> {
        if self.requests.len() < self.requests_max {
            return Ok(());
        }
        Err(PendingFull)
    }

    /// Adds a request. The identifier is new: the generator counts 2^24 before it repeats.
    pub fn insert(&mut self, hop_by_hop: u32, pending: Pending<T>) {
        self.timers.set(hop_by_hop, pending.expires_at);
        *self.counts.entry(pending.connection).or_insert(0) += 1;
        self.requests.insert(hop_by_hop, pending);
    }

    /// Takes the request that this answer belongs to.
    pub fn take(&mut self, connection: ConnectionId, answer: &Header) -> Option<Pending<T>> {
        let pending = self.requests.get(&answer.hop_by_hop)?;
        if pending.connection != connection || pending.code != answer.code {
            return None;
        }
        self.remove(answer.hop_by_hop)
    }

    /// Takes every request that went on this connection, oldest identifier first.
    pub fn take_on(&mut self, connection: ConnectionId) -> Vec<Pending<T>> {
        let on = |(_, pending): &(&u32, &Pending<T>)| pending.connection == connection;
        let ids: Vec<u32> = self.requests.iter().filter(on).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Takes the next request whose time is over.
    pub fn pop_expired(&mut self, now: Instant) -> Option<Pending<T>> {
        let hop_by_hop = self.timers.pop_expired(now)?;
        self.remove(hop_by_hop)
    }

    /// When the next request's time is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn remove(&mut self, hop_by_hop: u32) -> Option<Pending<T>> {
        self.timers.cancel(&hop_by_hop);
        let pending = self.requests.remove(&hop_by_hop)?;
        if let Some(count) = self.counts.get_mut(&pending.connection) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&pending.connection);
            }
        }
        Some(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diameter::CommandFlags;
    use crate::diameter::testing::{secs, start};

    fn pending(connection: u64, expires_at: Instant) -> Pending<&'static str> {
        Pending {
            connection: ConnectionId(connection),
            code: 300,
            expires_at,
            context: "uar",
        }
    }

    fn answer(hop_by_hop: u32, code: u32, application: u32) -> Header {
        Header {
            flags: CommandFlags(0x40),
            code,
            application,
            hop_by_hop,
            end_to_end: 0,
        }
    }

    #[test]
    fn answer_is_matched_by_connection_identifier_and_code_but_not_by_application() {
        let now = start();
        let mut table = PendingRequests::new(2);
        table.insert(7, pending(1, now));
        assert!(table.take(ConnectionId(1), &answer(8, 300, 16_777_216)).is_none());
        assert!(table.take(ConnectionId(2), &answer(7, 300, 16_777_216)).is_none());
        assert!(table.take(ConnectionId(1), &answer(7, 301, 16_777_216)).is_none());
        assert!(table.take(ConnectionId(1), &answer(7, 300, 16_777_217)).is_some());
        assert!(table.is_empty() && table.poll_timeout().is_none());
    }

    #[test]
    fn full_table_admits_no_request() {
        let now = start();
        let mut table = PendingRequests::new(1);
        assert_eq!(table.admit(), Ok(()));
        table.insert(1, pending(1, now));
        assert_eq!(table.admit(), Err(PendingFull));
    }

    #[test]
    fn requests_expire_in_order_of_time() {
        let now = start();
        let mut table = PendingRequests::new(9);
        table.insert(1, pending(2, now + secs(5)));
        table.insert(2, pending(1, now + secs(4)));
        assert_eq!(table.poll_timeout(), Some(now + secs(4)));
        assert!(table.pop_expired(now + secs(3)).is_none());
        let first = table.pop_expired(now + secs(5)).unwrap();
        assert_eq!(first.connection, ConnectionId(1));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn requests_of_a_lost_connection_are_taken_together() {
        let now = start();
        let mut table = PendingRequests::new(9);
        table.insert(1, pending(1, now));
        table.insert(2, pending(2, now));
        table.insert(3, pending(1, now));
        assert_eq!(table.len_on(ConnectionId(1)), 2);
        assert_eq!(table.take_on(ConnectionId(1)).len(), 2);
        assert_eq!(table.len(), 1);
        assert_eq!(
            (table.len_on(ConnectionId(1)), table.len_on(ConnectionId(2))),
            (0, 1)
        );
    }
}
