//! Table: requests whose answers are awaited, by their transactions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ims_common::node::TimerTable;
use ims_common::proxy::ServerTransactionId;

use super::{Await, Session};

/// How long further 2xx of an INVITE may come (timer M of RFC 6026 7.2).
const TIMER_M: Duration = Duration::from_secs(32);

/// How long others may take to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// An application server, before it has shown any sign of life.
    pub(super) app_server: Duration,
    /// DNS, about a number.
    pub(super) lookup: Duration,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Running {
    sessions: BTreeMap<ServerTransactionId, Box<Session>>,
    timers: TimerTable<ServerTransactionId>,
    patience: Patience,
}

impl Running {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            sessions: BTreeMap::new(),
            timers: TimerTable::default(),
            patience,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn take(&mut self, transaction: ServerTransactionId) -> Option<Box<Session>> {
        self.timers.cancel(&transaction);
        self.sessions.remove(&transaction)
    }

    pub(crate) fn get_mut(&mut self, transaction: ServerTransactionId) -> Option<&mut Session> {
        self.sessions.get_mut(&transaction).map(Box::as_mut)
    }

    /// Keeps a session until its next event, or for as long as that may take.
    pub(crate) fn put(&mut self, now: Instant, session: Box<Session>) {
        let time = match &session.awaits {
            Await::Answer | Await::Saa => None,
            Await::AppServer(visit) => visit.patience().map(|times| self.patience.app_server * times),
            Await::Naptr => Some(self.patience.lookup),
            Await::FurtherAnswers => Some(TIMER_M),
        };
        if let Some(time) = time {
            self.timers.set(session.transaction, now + time);
        }
        self.sessions.insert(session.transaction, session);
    }

    /// The application server that has this request is alive: the request came back.
    pub(super) fn show_life(&mut self, transaction: ServerTransactionId) {
        if let Some(Await::AppServer(visit)) = self.get_mut(transaction).map(|session| &mut session.awaits) {
            visit.show_life();
            self.timers.cancel(&transaction);
        }
    }

    /// A session whose time is over.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Box<Session>> {
        let transaction = self.timers.pop_expired(now)?;
        self.sessions.remove(&transaction)
    }
}
