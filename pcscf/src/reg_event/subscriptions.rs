//! Table: our subscriptions to registrations, one for each default public identity (TS 24.229 5.2.3; RFC 6665 4.1).
//!
//! One token is the user part of our Contact, the Call-ID and the tag of a subscription: it cannot be guessed, has the
//! shard of its owner, and takes no more room than it must.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ims_common::identity::Impu;
use ims_common::node::{NumberHash, NumberMap, TimerTable, give_back};
use ims_common::proxy::ForwardId;
use ims_common::sip::{Contacts, HeaderName, Message, NameAddr, Request, Response, UriBuf};
use smallvec::SmallVec;

use crate::contacts::FlowToken;

/// Longer than any registration (TS 24.229 5.2.3).
pub(super) const EXPIRES_SECS: u32 = 600_000;
/// SUBSCRIBEs without an answer at a time; others wait for their turn.
const ASKED_MAX: usize = 256;
/// How long a subscription outlives the last contact that it is for; the notifier ends it before that as a rule.
const IDLE: Duration = Duration::from_secs(32);
/// Routes of a dialog at most.
const ROUTES_MAX: usize = 8;

/// Number of a subscription, unique in one table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct SubscriptionId(u64);

/// How far a subscription is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It waits for its turn to ask.
    Queued,
    /// A SUBSCRIBE is under way.
    Asked,
    /// A SUBSCRIBE that ends it is under way.
    Leaving,
    /// Nothing is under way, until the timer.
    Resting,
}

/// The other side of a subscription.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) remote_tag: Box<str>,
    pub(super) target: UriBuf,
    pub(super) route: Vec<Box<str>>,
    /// Of the last NOTIFY.
    remote_cseq: u32,
    /// Of the last document.
    version: Option<u32>,
}

/// One of our subscriptions.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) impu: Impu,
    pub(super) token: Arc<str>,
    /// The contacts that it is for.
    pub(super) contacts: SmallVec<[FlowToken; 1]>,
    pub(super) stage: Stage,
    pub(super) cseq: u32,
    /// Asked for in vain so many times, one after the other.
    pub(super) failures: u8,
    pub(super) dialog: Option<Box<Dialog>>,
    /// When to ask again.
    ask_at: Instant,
    /// When to see whether it is for anybody still.
    check_at: Instant,
}

impl Subscription {
    /// Call-ID, for as long as this dialog lives.
    pub(super) fn call_id(&self) -> &str {
        &self.token
    }

    /// Our tag.
    pub(super) fn tag(&self) -> &str {
        self.token.get(..10).unwrap_or_default()
    }
}

/// What a version number says about a document (RFC 3680 5.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// It is the next one.
    Next,
    /// Others are missing before it.
    Gap,
    /// It says nothing new.
    Stale,
}

/// Why a NOTIFY is not of a subscription of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NotifyFault {
    /// RFC 6665 4.1.3: 481.
    NoSuchSubscription,
    /// RFC 3261 12.2.2: 500.
    OutOfOrder,
}

/// All subscriptions, limited in number.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    limit: usize,
    by_id: NumberMap<SubscriptionId, Box<Subscription>>,
    by_impu: HashMap<Impu, SubscriptionId>,
    by_token: HashMap<Arc<str>, SubscriptionId>,
    by_forward: BTreeMap<ForwardId, SubscriptionId>,
    timers: TimerTable<SubscriptionId, NumberHash>,
    queue: VecDeque<SubscriptionId>,
    last_id: u64,
}

impl Subscriptions {
    /// An empty table.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            by_id: NumberMap::default(),
            by_impu: HashMap::new(),
            by_token: HashMap::new(),
            by_forward: BTreeMap::new(),
            timers: TimerTable::default(),
            queue: VecDeque::new(),
            last_id: 0,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many SUBSCRIBEs are under way.
    pub(crate) fn asked(&self) -> usize {
        self.by_forward.len()
    }

    /// When something is to be done next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(super) fn get(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.by_id.get(&id).map(Box::as_ref)
    }

    fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.by_id.get_mut(&id).map(Box::as_mut)
    }

    /// A contact with this default identity was registered, until a certain time. What begins a registration asks anew
    /// even where there is a subscription: the notifier may have lost it with the registration. `false`: no place is left.
    pub(super) fn want(
        &mut self,
        now: Instant,
        impu: &Impu,
        contact: &FlowToken,
        until: Instant,
        is_initial: bool,
        token: impl FnOnce() -> Arc<str>,
    ) -> bool {
        if let Some(id) = self.by_impu.get(impu).copied() {
            if let Some(subscription) = self.get_mut(id) {
                if !subscription.contacts.contains(contact) {
                    subscription.contacts.push(contact.clone());
                }
                subscription.check_at = subscription.check_at.max(until + IDLE);
            }
            if is_initial {
                self.ask(id);
            }
            return true;
        }
        if self.by_id.len() >= self.limit {
            return false;
        }
        self.last_id += 1;
        let id = SubscriptionId(self.last_id);
        let token = token();
        self.by_impu.insert(impu.clone(), id);
        self.by_token.insert(token.clone(), id);
        let subscription = Subscription {
            impu: impu.clone(),
            token,
            contacts: SmallVec::from_iter([contact.clone()]),
            stage: Stage::Resting,
            cseq: 0,
            failures: 0,
            dialog: None,
            ask_at: now,
            check_at: until + IDLE,
        };
        self.by_id.insert(id, Box::new(subscription));
        self.ask(id);
        true
    }

    /// Puts a resting subscription in the queue.
    pub(super) fn ask(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.get_mut(id).filter(|it| it.stage == Stage::Resting) {
            subscription.stage = Stage::Queued;
            self.timers.cancel(&id);
            self.queue.push_back(id);
        }
    }

    /// A contact is gone: its subscription is looked at before long.
    pub(super) fn contact_left(&mut self, now: Instant, impu: &Impu) {
        let Some(id) = self.by_impu.get(impu).copied() else {
            return;
        };
        if let Some(subscription) = self.get_mut(id) {
            subscription.check_at = subscription.check_at.min(now + IDLE);
            self.arm(id);
        }
    }

    /// The next one whose turn it is to ask.
    pub(super) fn pop_queued(&mut self) -> Option<SubscriptionId> {
        if self.by_forward.len() >= ASKED_MAX {
            return None;
        }
        while let Some(id) = self.queue.pop_front() {
            if self.get(id).is_some_and(|it| it.stage == Stage::Queued) {
                return Some(id);
            }
        }
        None
    }

    /// The next one whose timer has run out.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<SubscriptionId> {
        self.timers.pop_expired(now)
    }

    /// What a resting subscription whose timer has run out is to do, with the contacts that it has left.
    pub(super) fn due(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        alive: SmallVec<[FlowToken; 1]>,
        until: Option<Instant>,
    ) -> Due {
        let Some(subscription) = self.get_mut(id).filter(|it| it.stage == Stage::Resting) else {
            return Due::Nothing;
        };
        subscription.contacts = alive;
        let Some(until) = until else {
            return match subscription.dialog {
                Some(_) => Due::Leave,
                None => Due::Forget,
            };
        };
        subscription.check_at = until + IDLE;
        if now >= subscription.ask_at {
            self.ask(id);
            return Due::Nothing;
        }
        self.arm(id);
        Due::Nothing
    }

    fn arm(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.by_id.get(&id).filter(|it| it.stage == Stage::Resting) {
            self.timers
                .set(id, subscription.ask_at.min(subscription.check_at));
        }
    }

    /// A SUBSCRIBE is about to leave: its CSeq.
    pub(super) fn asks(&mut self, id: SubscriptionId, stage: Stage) -> Option<u32> {
        let subscription = self.get_mut(id)?;
        subscription.stage = stage;
        subscription.cseq = subscription.cseq.wrapping_add(1) & 0x7fff_ffff;
        let cseq = subscription.cseq;
        self.timers.cancel(&id);
        Some(cseq)
    }

    /// A SUBSCRIBE has left.
    pub(super) fn asked_by(&mut self, forward: ForwardId, id: SubscriptionId) {
        self.by_forward.insert(forward, id);
    }

    /// The subscription whose SUBSCRIBE is answered with a final response, or not at all.
    pub(super) fn take_asked(&mut self, forward: ForwardId) -> Option<SubscriptionId> {
        self.by_forward.remove(&forward)
    }

    /// Whether this is a SUBSCRIBE of ours.
    pub(crate) fn is_asked(&self, forward: ForwardId) -> bool {
        self.by_forward.contains_key(&forward)
    }

    /// RFC 6665 4.1.2.2, TS 24.229 5.2.3: a 2xx. Refreshed 600 seconds before the end, or at half of a short time.
    pub(super) fn granted(&mut self, now: Instant, id: SubscriptionId, response: &Response) {
        let Some(subscription) = self.get_mut(id) else {
            return;
        };
        let granted = response.expires().unwrap_or(EXPIRES_SECS).clamp(1, EXPIRES_SECS);
        let wait = match granted {
            0..=1_200 => Duration::from_secs(granted.into()) / 2,
            secs => Duration::from_secs((secs - 600).into()),
        };
        subscription.stage = Stage::Resting;
        subscription.failures = 0;
        subscription.ask_at = now + wait;
        let tag = response.to().ok().and_then(|to| text(to.tag()?));
        match &mut subscription.dialog {
            // RFC 6665 4.4.1: refreshes may move the notifier.
            Some(dialog) => {
                if let Some(target) = target_of(response) {
                    dialog.target = target;
                }
            }
            None => {
                if let Some((remote_tag, target)) = tag.zip(target_of(response)) {
                    let mut route = route_set(response);
                    route.reverse();
                    subscription.dialog = Some(Box::new(Dialog::new(remote_tag, target, route)));
                }
            }
        }
        self.arm(id);
    }

    /// The subscription does not exist, or not any more: it is asked for anew, under another token, after a while.
    pub(super) fn lost(&mut self, now: Instant, id: SubscriptionId, wait: Duration, token: Arc<str>) {
        let Some(subscription) = self.by_id.get_mut(&id) else {
            return;
        };
        self.by_token.remove(&subscription.token);
        self.by_token.insert(token.clone(), id);
        subscription.token = token;
        subscription.cseq = 0;
        subscription.dialog = None;
        subscription.stage = Stage::Resting;
        subscription.ask_at = now + wait;
        // What is said of the old dialog counts no more.
        self.by_forward.retain(|_, asked| *asked != id);
        self.arm(id);
    }

    /// It was asked for in vain.
    pub(super) fn count_failure(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.get_mut(id) {
            subscription.failures = subscription.failures.saturating_add(1);
        }
    }

    /// Forgets a subscription.
    pub(super) fn remove(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.by_id.remove(&id) else {
            return;
        };
        self.by_impu.remove(&subscription.impu);
        self.by_token.remove(&subscription.token);
        self.timers.cancel(&id);
        give_back(&mut self.by_id);
        give_back(&mut self.by_impu);
        give_back(&mut self.by_token);
    }

    /// The subscription of a NOTIFY. The first one may come before the 2xx, and makes the dialog then (RFC 6665 4.4.1).
    pub(super) fn notified(&mut self, token: &str, notify: &Request) -> Result<SubscriptionId, NotifyFault> {
        const UNKNOWN: NotifyFault = NotifyFault::NoSuchSubscription;
        let id = self.by_token.get(token).copied().ok_or(UNKNOWN)?;
        let subscription = self.get_mut(id).ok_or(UNKNOWN)?;
        let to_tag = notify.to().ok().and_then(|to| to.tag());
        let is_ours = notify.call_id() == Some(subscription.call_id().as_bytes())
            && to_tag == Some(subscription.tag().as_bytes());
        let from_tag = notify.from().ok().and_then(|from| text(from.tag()?));
        let from_tag = from_tag.filter(|_| is_ours).ok_or(UNKNOWN)?;
        let cseq = notify.cseq().map_err(|_| UNKNOWN)?.number;
        match &mut subscription.dialog {
            Some(dialog) if dialog.remote_tag != from_tag => return Err(UNKNOWN),
            Some(dialog) if cseq <= dialog.remote_cseq && dialog.version.is_some() => {
                return Err(NotifyFault::OutOfOrder);
            }
            Some(dialog) => {
                dialog.remote_cseq = cseq;
                if let Some(target) = target_of(notify) {
                    dialog.target = target;
                }
            }
            None => {
                let target = target_of(notify).ok_or(UNKNOWN)?;
                let mut dialog = Dialog::new(from_tag, target, route_set(notify));
                dialog.remote_cseq = cseq;
                subscription.dialog = Some(Box::new(dialog));
            }
        }
        Ok(id)
    }

    /// RFC 3680 5.1: "it is increased by 1 … If the version … is lower or equal, the document is discarded."
    pub(super) fn order(&mut self, id: SubscriptionId, version: u32) -> Order {
        let Some(dialog) = self.get_mut(id).and_then(|it| it.dialog.as_mut()) else {
            return Order::Stale;
        };
        let last = dialog.version;
        if last.is_some_and(|last| version <= last) {
            return Order::Stale;
        }
        dialog.version = Some(version);
        match last {
            Some(last) if version > last.saturating_add(1) => Order::Gap,
            Some(_) | None => Order::Next,
        }
    }
}

/// What is to be done about a subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// It sees to itself.
    Nothing,
    /// Nobody needs it: it is ended with a SUBSCRIBE.
    Leave,
    /// Nobody needs it, and the notifier knows nothing of it.
    Forget,
}

impl Dialog {
    fn new(remote_tag: Box<str>, target: UriBuf, route: Vec<Box<str>>) -> Self {
        Self {
            remote_tag,
            target,
            route,
            remote_cseq: 0,
            version: None,
        }
    }
}

fn text(tag: &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(tag).ok().map(Into::into)
}

fn target_of(message: &Message) -> Option<UriBuf> {
    match message.contacts() {
        Ok(Contacts::List(list)) => list.first().map(|contact| UriBuf::from(contact.uri)),
        Ok(Contacts::None | Contacts::Star) | Err(_) => None,
    }
}

/// As it stands.
fn route_set(message: &Message) -> Vec<Box<str>> {
    message
        .values(HeaderName::RecordRoute)
        .filter(|value| NameAddr::parse(value).is_ok())
        .take(ROUTES_MAX)
        .filter_map(text)
        .collect()
}
