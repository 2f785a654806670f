//! Table: requests whose answers are awaited, by their transactions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ims_common::node::TimerTable;
use ims_common::proxy::ServerTransactionId;

use super::{Answered, Await, Session};

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
    /// INVITEs that may have further 2xx.
    answered: BTreeMap<ServerTransactionId, Answered>,
    timers: TimerTable<ServerTransactionId>,
    patience: Patience,
}

impl Running {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            sessions: BTreeMap::new(),
            answered: BTreeMap::new(),
            timers: TimerTable::default(),
            patience,
        }
    }

    /// Of those that begin to wait from now on.
    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// INVITEs that were answered 2xx lately.
    pub(crate) fn answered_len(&self) -> usize {
        self.answered.len()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn take(&mut self, transaction: ServerTransactionId) -> Option<Box<Session>> {
        let session = self.sessions.remove(&transaction)?;
        self.timers.cancel(&transaction);
        Some(session)
    }

    /// Keeps what further 2xx need.
    pub(crate) fn put_answered(&mut self, now: Instant, answered: Answered) {
        self.timers.set(answered.transaction, now + TIMER_M);
        self.answered.insert(answered.transaction, answered);
    }

    /// An INVITE that was answered 2xx before; its time goes on.
    pub(crate) fn take_answered(&mut self, transaction: ServerTransactionId) -> Option<Answered> {
        self.answered.remove(&transaction)
    }

    pub(crate) fn put_back(&mut self, answered: Answered) {
        self.answered.insert(answered.transaction, answered);
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

    /// Something whose time is over.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Expired> {
        loop {
            let transaction = self.timers.pop_expired(now)?;
            if let Some(session) = self.sessions.remove(&transaction) {
                return Some(Expired::Session(session));
            }
            if self.answered.remove(&transaction).is_some() {
                return Some(Expired::Answered(transaction));
            }
        }
    }
}

/// What [`Running::pop_expired`] takes.
#[derive(Debug)]
pub(crate) enum Expired {
    /// Somebody is silent.
    Session(Box<Session>),
    /// No further 2xx will come.
    Answered(ServerTransactionId),
}
