//! Table: who watches which registrations, in which dialog, until when, and what is owed to them (RFC 6665 4.2).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use ims_common::identity::Impu;
use ims_common::node::{NumberHash, NumberMap, TimerTable, give_back};
use ims_common::sip::UriBuf;
use smallvec::SmallVec;

use super::authorisation::is_in_path;
use super::subscribe::Subscribe;
use crate::registrar::{BindingId, ImplicitRegistrationSet, SetId};
use crate::registration_change::{ContactChange, ContactEvent, RegistrationChange};
use crate::reject::SubscribeReject;

/// Contacts and identities that have gone since the last NOTIFY and are told in the next one, at most.
const DEPARTURES_MAX: usize = 32;

/// How large the table may grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubscriptionLimits {
    pub(crate) subscriptions: usize,
    pub(crate) per_set: usize,
}

/// Number of a subscription, unique in one table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct SubscriptionId(u64);

/// Who watches (TS 24.229 5.4.2.1.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Subscriber {
    /// The user, from this contact when it is known.
    Ue(Option<BindingId>),
    /// The P-CSCF at this host.
    Pcscf(Box<str>),
    /// An application server.
    Server,
}

impl Subscriber {
    /// Whether it has nothing more to do with the contacts of the set.
    pub(super) fn is_gone_from(&self, set: &ImplicitRegistrationSet) -> bool {
        match self {
            Self::Ue(Some(binding)) => set.bindings().iter().all(|b| b.id != *binding),
            Self::Pcscf(host) => !is_in_path(set, host),
            Self::Ue(None) | Self::Server => false,
        }
    }

    fn is_of_the_kind_of(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// What RFC 3261 12 keeps of a dialog, as its UAS.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(super) call_id: Box<[u8]>,
    /// From of our requests, with our tag.
    pub(super) local: Box<str>,
    pub(super) local_tag: Box<str>,
    /// To of our requests.
    pub(super) remote: Box<str>,
    pub(super) target: UriBuf,
    pub(super) route: Box<[Box<str>]>,
    pub(super) remote_cseq: u32,
    pub(super) local_cseq: u32,
}

/// Why a subscription ends (RFC 6665 4.1.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum EndReason {
    /// Not refreshed in time, or ended by the subscriber.
    Timeout,
    /// There is nothing more to watch.
    NoResource,
}

/// Whether a NOTIFY is under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flight {
    Landed,
    UnderWay,
    /// The subscriber wants none before this (Retry-After).
    Held(Instant),
}

/// What the subscriber is to be told as soon as possible.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owed {
    Nothing,
    Update,
    End(EndReason),
}

/// What has gone and is to be told once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departures {
    pub(super) contacts: Vec<(ContactChange, ContactEvent)>,
    /// Of these identities, nothing is left.
    pub(super) identities: Vec<(Impu, ContactEvent)>,
}

impl Departures {
    pub(super) fn of(change: &RegistrationChange, is_set_gone: bool) -> Self {
        if !change.event.is_end() {
            return Self::default();
        }
        let with_event = |identity: &Impu| (identity.clone(), change.event);
        // Identities go alone when the HSS takes them out of the set.
        let are_identities_gone = is_set_gone || change.contacts.is_empty();
        let identities = change.identities.iter().filter(|_| are_identities_gone);
        Self {
            contacts: change
                .contacts
                .iter()
                .map(|c| (c.clone(), change.event))
                .collect(),
            identities: identities.map(with_event).collect(),
        }
    }

    fn extend(&mut self, other: &Self) {
        let room = |length: usize| DEPARTURES_MAX.saturating_sub(length);
        let contacts = other.contacts.iter().take(room(self.contacts.len()));
        self.contacts.extend(contacts.cloned());
        let identities = other.identities.iter().take(room(self.identities.len()));
        self.identities.extend(identities.cloned());
    }
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(super) set: SetId,
    pub(super) subscriber: Subscriber,
    pub(super) event: Box<str>,
    pub(super) dialog: Dialog,
    pub(super) token: Arc<str>,
    pub(super) expires_at: Instant,
    /// Of the next document (RFC 3680 5.2): one more each time, per subscription.
    pub(super) version: u32,
    pub(super) flight: Flight,
    pub(super) owed: Owed,
    pub(super) departures: Departures,
}

impl Subscription {
    /// The state for Subscription-State; the departures are told with it.
    pub(super) fn is_ending(&self) -> Option<EndReason> {
        match self.owed {
            Owed::End(reason) => Some(reason),
            Owed::Nothing | Owed::Update => None,
        }
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    limits: SubscriptionLimits,
    by_id: NumberMap<SubscriptionId, Box<Subscription>>,
    by_token: HashMap<Arc<str>, SubscriptionId>,
    by_set: NumberMap<SetId, SmallVec<[SubscriptionId; 2]>>,
    /// When a subscription expires, or a held NOTIFY may be sent.
    timers: TimerTable<SubscriptionId, NumberHash>,
    /// Those that may be owed a NOTIFY that can be sent.
    ready: VecDeque<SubscriptionId>,
    last_id: u64,
}

impl Subscriptions {
    pub(crate) fn new(limits: SubscriptionLimits) -> Self {
        Self {
            limits,
            by_id: NumberMap::default(),
            by_token: HashMap::new(),
            by_set: NumberMap::default(),
            timers: TimerTable::default(),
            ready: VecDeque::new(),
            last_id: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(super) fn get(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.by_id.get(&id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.by_id.get_mut(&id).map(Box::as_mut)
    }

    /// The subscription whose Contact has this token, unless it is ending.
    pub(super) fn by_token(&self, token: &str) -> Option<SubscriptionId> {
        let id = *self.by_token.get(token)?;
        self.get(id).filter(|s| s.is_ending().is_none()).map(|_| id)
    }

    pub(super) fn of_set(&self, set: SetId) -> SmallVec<[SubscriptionId; 2]> {
        self.by_set.get(&set).cloned().unwrap_or_default()
    }

    /// Drops what the same subscriber has installed from the same contact in another dialog: it has forgotten it
    /// (TS 24.229 5.4.2.1.1).
    pub(super) fn replace(&mut self, set: SetId, subscriber: &Subscriber, contact: &UriBuf) -> bool {
        let is_same = |id: &SubscriptionId| {
            self.get(*id).is_some_and(|known| {
                known.subscriber.is_of_the_kind_of(subscriber)
                    && known.dialog.target.as_uri().equivalent(&contact.as_uri())
            })
        };
        let old: Vec<SubscriptionId> = self.of_set(set).into_iter().filter(is_same).collect();
        old.iter().for_each(|id| self.remove(*id));
        !old.is_empty()
    }

    pub(super) fn insert(&mut self, subscription: Subscription) -> Result<SubscriptionId, SubscribeReject> {
        let of_set = self.by_set.get(&subscription.set).map_or(0, SmallVec::len);
        if self.len() >= self.limits.subscriptions || of_set >= self.limits.per_set {
            return Err(SubscribeReject::Full);
        }
        self.last_id += 1;
        let id = SubscriptionId(self.last_id);
        self.by_token.insert(subscription.token.clone(), id);
        self.by_set.entry(subscription.set).or_default().push(id);
        self.timers.set(id, subscription.expires_at);
        self.by_id.insert(id, Box::new(subscription));
        Ok(id)
    }

    /// A SUBSCRIBE in the dialog: target and lifetime are new (RFC 3261 12.2.2).
    pub(super) fn refresh(&mut self, id: SubscriptionId, subscribe: Subscribe, expires_at: Instant) {
        if let Some(known) = self.get_mut(id) {
            known.dialog.remote_cseq = subscribe.cseq;
            known.dialog.target = subscribe.contact;
            known.event = subscribe.event;
            known.expires_at = expires_at;
        }
        self.rearm(id);
    }

    /// Adds to what the next NOTIFY tells as gone.
    pub(super) fn depart(&mut self, id: SubscriptionId, departures: &Departures) {
        if let Some(known) = self.get_mut(id) {
            known.departures.extend(departures);
        }
    }

    /// A NOTIFY is owed.
    pub(super) fn owe(&mut self, id: SubscriptionId) {
        if let Some(known) = self.get_mut(id)
            && known.owed == Owed::Nothing
        {
            known.owed = Owed::Update;
            self.ready.push_back(id);
        }
    }

    /// The last NOTIFY is owed.
    pub(super) fn end(&mut self, id: SubscriptionId, reason: EndReason) {
        if let Some(known) = self.get_mut(id)
            && known.is_ending().is_none()
        {
            known.owed = Owed::End(reason);
            self.timers.cancel(&id);
            self.ready.push_back(id);
        }
    }

    /// The next one that a NOTIFY can be sent to. One that is under way or held comes again later.
    pub(super) fn pop_ready(&mut self) -> Option<SubscriptionId> {
        loop {
            let id = self.ready.pop_front()?;
            let is_ready = |s: &Subscription| match s.flight {
                Flight::Landed => s.owed != Owed::Nothing,
                // The last word does not wait.
                Flight::Held(_) => s.is_ending().is_some(),
                Flight::UnderWay => false,
            };
            if self.get(id).is_some_and(is_ready) {
                return Some(id);
            }
        }
    }

    /// The NOTIFY was taken: what happened since is told now.
    pub(super) fn landed(&mut self, id: SubscriptionId) {
        if let Some(known) = self.get_mut(id) {
            known.flight = Flight::Landed;
            if known.owed != Owed::Nothing {
                self.ready.push_back(id);
            }
        }
    }

    /// The subscriber wants no NOTIFY before `until`; then it gets one (RFC 6665 4.2.2).
    pub(super) fn hold(&mut self, id: SubscriptionId, until: Instant) {
        if let Some(known) = self.get_mut(id) {
            known.flight = Flight::Held(until);
            match known.owed {
                Owed::Nothing => known.owed = Owed::Update,
                Owed::Update => {}
                // The last word does not wait.
                Owed::End(_) => self.ready.push_back(id),
            }
        }
        self.rearm(id);
    }

    pub(super) fn remove(&mut self, id: SubscriptionId) {
        let Some(gone) = self.by_id.remove(&id) else {
            return;
        };
        give_back(&mut self.by_id);
        self.timers.cancel(&id);
        self.by_token.remove(&gone.token);
        give_back(&mut self.by_token);
        if let Some(ids) = self.by_set.get_mut(&gone.set) {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                self.by_set.remove(&gone.set);
                give_back(&mut self.by_set);
            }
        }
    }

    /// Drops all that watch a set, without a word.
    pub(super) fn forget_set(&mut self, set: SetId) {
        for id in self.of_set(set) {
            self.remove(id);
        }
    }

    /// Does what time does: subscriptions end, held NOTIFYs become ready. Says how many ended.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let mut ended = 0;
        while let Some(id) = self.timers.pop_expired(now) {
            let Some(known) = self.get_mut(id) else { continue };
            if known.expires_at <= now {
                ended += 1;
                self.end(id, EndReason::Timeout);
                continue;
            }
            known.flight = Flight::Landed;
            self.ready.push_back(id);
            self.rearm(id);
        }
        ended
    }

    fn rearm(&mut self, id: SubscriptionId) {
        let Some(known) = self.get(id) else { return };
        let at = match known.flight {
            Flight::Held(until) => until.min(known.expires_at),
            Flight::Landed | Flight::UnderWay => known.expires_at,
        };
        if known.is_ending().is_none() {
            self.timers.set(id, at);
        }
    }
}
