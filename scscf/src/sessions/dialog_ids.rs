//! Table: original dialog identifiers: by what application servers send requests back (TS 24.229 5.4.3.4).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ims_common::node::{TimerTable, give_back};
use ims_common::proxy::ServerTransactionId;

use super::chain::Chain;

/// An application server that lets a phone ring, or talks to a caller first, comes back late.
const LIFETIME: Duration = Duration::from_secs(600);

/// What it sends back after it has answered is late already.
const LINGER: Duration = Duration::from_secs(64);

/// Where a request was when an application server got it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) chain: Chain,
    /// Of the request that the server got.
    pub(super) transaction: ServerTransactionId,
    /// How often it came back.
    pub(super) returns: u8,
}

impl Place {
    pub(super) fn new(chain: Chain, transaction: ServerTransactionId) -> Self {
        Self {
            chain,
            transaction,
            returns: 0,
        }
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct DialogIds {
    by_token: HashMap<Arc<str>, Place>,
    timers: TimerTable<Arc<str>>,
    max: usize,
}

impl DialogIds {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            by_token: HashMap::new(),
            timers: TimerTable::default(),
            max: max.max(1),
        }
    }

    /// Keeps a place under a new identifier; the oldest one goes when there are too many.
    pub(super) fn insert(&mut self, now: Instant, token: &str, place: Place) {
        if self.by_token.len() >= self.max
            && let Some(oldest) = self.timers.pop_expired(now + LIFETIME)
        {
            self.by_token.remove(&oldest);
        }
        let token: Arc<str> = token.into();
        self.timers.set(token.clone(), now + LIFETIME);
        self.by_token.insert(token, place);
    }

    /// The place of an identifier that comes back once more.
    pub(super) fn come_back(&mut self, token: &str) -> Option<&Place> {
        let place = self.by_token.get_mut(token)?;
        place.returns = place.returns.saturating_add(1);
        Some(place)
    }

    /// The server has answered with success: it may have something under way, and nothing after that.
    pub(super) fn answered(&mut self, now: Instant, token: &str) {
        if let Some((token, _)) = self.by_token.get_key_value(token) {
            self.timers.set(token.clone(), now + LINGER);
        }
    }

    /// What comes back by this identifier from now on is not known.
    pub(super) fn remove(&mut self, token: &str) {
        if let Some((token, _)) = self.by_token.remove_entry(token) {
            self.timers.cancel(&token);
            give_back(&mut self.by_token);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_token.len()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(token) = self.timers.pop_expired(now) {
            self.by_token.remove(&token);
            give_back(&mut self.by_token);
        }
    }
}
