//! Table: the dialogs that a proxy has on its path (RFC 3261 12, RFC 6665 4.4, TS 24.229 5.2.6 to 5.2.8, 5.4.3).
//!
//! A dialog here is one leg of a call or subscription as the proxy sees it: on one side the party that the proxy
//! serves, the *owner* (the UE behind a P-CSCF, the served user of an S-CSCF), on the other side the rest of the world,
//! the *peer*. A call between two users of one proxy is two dialogs here, of one Call-ID and the same tags.
//!
//! A node tells the table
//!
//! 1. of a request that may make dialogs ([`DialogTable::begin`]), of every response to it
//!    ([`DialogTable::on_response`]) and of the end of its transaction ([`DialogTable::end`]);
//! 2. of every request in a dialog: it asks [`DialogTable::validate`], sends the request on, and says so with
//!    [`DialogTable::on_request`]; the final response goes to [`DialogTable::on_answer`].
//!
//! In return the table knows who is a party, which way a request in the dialog goes ([`DialogTable::route_towards`]),
//! and what a BYE looks like that the network sends for one of the parties ([`DialogTable::bye_towards`]). Nothing of
//! it is I/O. Dialogs end by BYE, by the end of a subscription, by their session timer (RFC 4028) or when nothing was
//! heard of them for very long.
//!
//! * `learn`: what requests and responses tell; `validate`: whether a request belongs to a dialog
//! * `release`: requests of the network's own; `record`: one dialog, packed; `report`: dialogs for operators

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::node::{NumberHash, NumberMap, TimerTable, give_back};
use crate::sip::Request;

mod learn;
mod record;
mod release;
mod report;
mod validate;

#[cfg(test)]
mod tests;

use record::{Dialog, Field};

pub use validate::DialogFault;

/// A side of a dialog as the proxy sees it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Side {
    /// The party that the proxy serves.
    Owner,
    /// The other party, and all between it and the proxy.
    Peer,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Owner => Self::Peer,
            Self::Peer => Self::Owner,
        }
    }
}

/// Number of a dialog, unique in one table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DialogKey(u64);

/// Number of a request that may make dialogs, unique in one table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SetupKey(u64);

/// How far a dialog is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DialogState {
    /// Made by a provisional response (RFC 3261 12).
    Early,
    /// Made, or confirmed, by a 2xx or a NOTIFY.
    Confirmed,
}

/// Limits of one table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DialogLimits {
    /// Dialogs, and separately requests that may make some. Above: [`TableFull`], a 503 with Retry-After.
    pub dialogs_max: usize,
    /// Dialogs that one request may make by the tags of its responses. Above: the further ones are not known, so
    /// that requests in them are refused.
    pub forks_max: usize,
    /// After this time without any request a dialog without a session timer is forgotten.
    pub idle_max: Duration,
}

impl Default for DialogLimits {
    fn default() -> Self {
        Self {
            dialogs_max: 200_000,
            forks_max: 16,
            idle_max: Duration::from_secs(12 * 3600),
        }
    }
}

/// No further dialog has a place. RFC 3261 21.5.4.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the table of dialogs has no place left")]
pub struct TableFull;

/// A request that makes a dialog, as far as it came.
#[derive(Clone, Debug)]
struct Setup<O> {
    owner: O,
    caller: Side,
    request: Request,
    icid: Box<str>,
    /// Record-Route values of the request as it left, ours included.
    record_routes: usize,
    /// Those that it made, by the callee's tag, hashed; also those that are over: no late copy of an answer makes one anew.
    dialogs: SmallVec<[(u64, DialogKey); 1]>,
}

/// Whose request it is that makes a dialog, and what this proxy adds to it.
#[derive(Clone, Debug)]
pub struct Beginning<'a, O> {
    /// Whose dialogs these will be.
    pub owner: O,
    /// Which side calls.
    pub caller: Side,
    /// The request as it came.
    pub request: &'a Request,
    /// Record-Route values that this proxy puts into it.
    pub own_record_routes: usize,
    /// The charging identifier of the dialog (RFC 7315 4.6).
    pub icid: &'a str,
}

/// Numbers of dialogs. Most keys have one.
type DialogKeys = SmallVec<[DialogKey; 2]>;

/// The dialogs of a proxy, limited in number. See the [module](self).
#[derive(Debug)]
pub struct DialogTable<O> {
    limits: DialogLimits,
    hasher: RandomState,
    dialogs: NumberMap<DialogKey, Dialog<O>>,
    setups: NumberMap<SetupKey, Setup<O>>,
    /// By Call-ID, the owner's tag and the peer's, hashed.
    by_names: NumberMap<u64, DialogKeys>,
    /// Setups of subscriptions by Call-ID and the caller's tag, hashed: a NOTIFY may come before the 2xx.
    subscriptions: NumberMap<u64, SetupKey>,
    of_owner: HashMap<O, DialogKeys>,
    expiries: TimerTable<DialogKey, NumberHash>,
    last: u64,
}

impl<O: Clone + Eq + Hash> DialogTable<O> {
    /// An empty table.
    #[must_use]
    pub fn new(limits: DialogLimits) -> Self {
        Self {
            limits,
            hasher: RandomState::new(),
            dialogs: NumberMap::default(),
            setups: NumberMap::default(),
            by_names: NumberMap::default(),
            subscriptions: NumberMap::default(),
            of_owner: HashMap::new(),
            expiries: TimerTable::default(),
            last: 0,
        }
    }

    /// How many dialogs there are, early ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dialogs.len()
    }

    /// How many there may be.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limits.dialogs_max
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dialogs.is_empty()
    }

    /// How many requests that may make a dialog await their end.
    #[must_use]
    pub fn setup_count(&self) -> usize {
        self.setups.len()
    }

    /// Whose dialog it is.
    #[must_use]
    pub fn owner(&self, key: DialogKey) -> Option<&O> {
        self.dialogs.get(&key).map(|dialog| &dialog.owner)
    }

    /// The dialogs of an owner, in the order in which they were made.
    #[must_use]
    pub fn of_owner(&self, owner: &O) -> Vec<DialogKey> {
        self.of_owner
            .get(owner)
            .map(|keys| keys.to_vec())
            .unwrap_or_default()
    }

    /// How many dialogs an owner has.
    #[must_use]
    pub fn count_of_owner(&self, owner: &O) -> usize {
        self.of_owner.get(owner).map_or(0, |keys| keys.len())
    }

    /// How far a dialog is.
    #[must_use]
    pub fn state(&self, key: DialogKey) -> Option<DialogState> {
        self.dialogs.get(&key).map(|dialog| dialog.state)
    }

    /// Whether it is (also) a session, to be ended with BYE.
    #[must_use]
    pub fn is_session(&self, key: DialogKey) -> bool {
        self.dialogs.get(&key).is_some_and(|dialog| dialog.session)
    }

    /// The charging identifier: one for the life of a dialog (TS 24.229 5.2.6.3.5, 5.2.6.3.9).
    #[must_use]
    pub fn icid(&self, key: DialogKey) -> Option<&str> {
        std::str::from_utf8(self.dialogs.get(&key)?.get(Field::Icid)).ok()
    }

    /// The Call-ID.
    #[must_use]
    pub fn call_id(&self, key: DialogKey) -> Option<&[u8]> {
        Some(self.dialogs.get(&key)?.get(Field::CallId))
    }

    /// When the next dialog ends by itself.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.expiries.next()
    }

    /// Forgets the next dialog whose time is over (RFC 4028 10, TS 24.229 5.2.8.3), and says whose it was. To be
    /// called until it gives nothing.
    pub fn pop_expired(&mut self, now: Instant) -> Option<O> {
        while let Some(key) = self.expiries.pop_expired(now) {
            if let Some(dialog) = self.remove(key) {
                return Some(dialog.owner);
            }
        }
        None
    }

    /// Forgets a dialog. Requests in it are refused from now on.
    pub fn forget(&mut self, key: DialogKey) {
        self.remove(key);
    }

    fn hash_of(&self, call_id: &[u8], owner_tag: &[u8], peer_tag: &[u8]) -> u64 {
        self.hasher.hash_one((call_id, owner_tag, peer_tag))
    }

    fn hash_of_dialog(&self, dialog: &Dialog<O>) -> u64 {
        let (owner, peer) = (dialog.tag(Side::Owner), dialog.tag(Side::Peer));
        self.hash_of(dialog.get(Field::CallId), owner, peer)
    }

    fn insert(&mut self, now: Instant, mut dialog: Dialog<O>) -> DialogKey {
        dialog.since = Some(now);
        self.last += 1;
        let key = DialogKey(self.last);
        let hash = self.hash_of_dialog(&dialog);
        self.by_names.entry(hash).or_default().push(key);
        self.of_owner.entry(dialog.owner.clone()).or_default().push(key);
        self.expiries.set(key, now + self.limits.idle_max);
        self.dialogs.insert(key, dialog);
        key
    }

    fn remove(&mut self, key: DialogKey) -> Option<Dialog<O>> {
        let dialog = self.dialogs.remove(&key)?;
        give_back(&mut self.dialogs);
        self.expiries.cancel(&key);
        let hash = self.hash_of_dialog(&dialog);
        drop_from(&mut self.by_names, &hash, key);
        drop_from(&mut self.of_owner, &dialog.owner, key);
        Some(dialog)
    }
}

fn drop_from<K: Eq + Hash, S: BuildHasher>(index: &mut HashMap<K, DialogKeys, S>, at: &K, key: DialogKey) {
    if let Some(keys) = index.get_mut(at) {
        keys.retain(|other| *other != key);
        if keys.is_empty() {
            index.remove(at);
            give_back(index);
        }
    }
}
