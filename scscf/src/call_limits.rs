//! Table: how many calls each subscriber and each trunk has, exactly, where the operator limits them.
//!
//! A call counts from its INVITE to its end: a final answer other than 2xx, a CANCEL, a BYE of either side, its session
//! timer (RFC 4028), or twelve hours without any sign of it. Of a subscriber it counts at the leg next to the UE, of a
//! trunk when it leaves there. Where nothing is limited nothing is kept.

use std::collections::BTreeMap;
use std::time::Instant;

use ims_common::dialog::{Beginning, DialogLimits, DialogTable, SetupKey, Side};
use ims_common::node::Metrics;
use ims_common::proxy::ServerTransactionId;
use ims_common::sip::{HeaderName, Method, Request, Response, UriBuf};

use crate::registrar::SetId;
use crate::release::agreed;

/// What is limited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Maxima {
    /// Calls of one implicit registration set.
    pub(crate) per_subscriber: Option<usize>,
    /// Calls to each of these next hops.
    pub(crate) trunks: Vec<(UriBuf, usize)>,
    /// Calls that are known.
    pub(crate) calls: usize,
}

/// Which of the trunks.
pub(crate) type TrunkId = usize;

/// Why a call has no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Full {
    /// The subscriber has as many as allowed.
    Subscriber,
    /// Too many calls are known.
    Table,
}

/// Who has a call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Holders {
    /// The subscriber of ours, and whether he calls or is called.
    pub(crate) subscriber: Option<(SetId, Side)>,
    pub(crate) trunk: Option<TrunkId>,
}

/// Number of a call, unique in one table.
type CallNumber = u64;

#[derive(Debug)]
struct Call {
    holders: Holders,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Only a final answer ends it.
    SetUp,
    /// It lasts as long as its dialogs.
    Answered,
}

/// The calls that count.
#[derive(Debug)]
pub(crate) struct CallLimits {
    maxima: Maxima,
    dialogs: DialogTable<CallNumber>,
    setups: BTreeMap<ServerTransactionId, (CallNumber, SetupKey)>,
    calls: BTreeMap<CallNumber, Call>,
    of_subscriber: BTreeMap<SetId, usize>,
    of_trunk: BTreeMap<TrunkId, usize>,
    last: CallNumber,
}

impl CallLimits {
    pub(crate) fn new(maxima: Maxima) -> Self {
        Self {
            dialogs: DialogTable::new(DialogLimits {
                dialogs_max: maxima.calls,
                ..DialogLimits::default()
            }),
            maxima,
            setups: BTreeMap::new(),
            calls: BTreeMap::new(),
            of_subscriber: BTreeMap::new(),
            of_trunk: BTreeMap::new(),
            last: 0,
        }
    }

    /// The trunk that a next hop is, if its calls are limited.
    pub(crate) fn trunk_of(&self, hop: &UriBuf) -> Option<TrunkId> {
        let is_it = |(trunk, _): &(UriBuf, usize)| trunk.as_uri().equivalent(&hop.as_uri());
        self.maxima.trunks.iter().position(is_it)
    }

    /// Whether one more call may go to a trunk.
    pub(crate) fn has_room(&self, trunk: TrunkId) -> bool {
        let max = self.maxima.trunks.get(trunk).map_or(usize::MAX, |(_, max)| *max);
        self.of_trunk.get(&trunk).copied().unwrap_or(0) < max
    }

    /// An INVITE goes on, for the first time or elsewhere than before. `sent` is what left, with our Record-Route.
    pub(crate) fn begin(
        &mut self,
        transaction: ServerTransactionId,
        holders: Holders,
        received: &Request,
        sent: &Request,
    ) -> Result<(), Full> {
        if let Some((number, _)) = self.setups.get(&transaction) {
            let number = *number;
            self.move_to(number, holders.trunk);
            return Ok(());
        }
        let subscriber = holders
            .subscriber
            .filter(|_| self.maxima.per_subscriber.is_some());
        let holders = Holders {
            subscriber,
            ..holders
        };
        if holders == Holders::default() {
            return Ok(());
        }
        if let (Some((set, _)), Some(max)) = (subscriber, self.maxima.per_subscriber)
            && self.of_subscriber.get(&set).copied().unwrap_or(0) >= max
        {
            return Err(Full::Subscriber);
        }
        let recorded = |request: &Request| request.values(HeaderName::RecordRoute).count();
        let number = self.last + 1;
        let key = self.dialogs.begin(Beginning {
            owner: number,
            // The owner of a call that only a trunk has is the trunk: it is called.
            caller: subscriber.map_or(Side::Peer, |(_, caller)| caller),
            request: received,
            own_record_routes: recorded(sent).saturating_sub(recorded(received)),
            icid: "",
        });
        let key = key.map_err(|_| Full::Table)?;
        self.last = number;
        self.setups.insert(transaction, (number, key));
        self.take(holders);
        let stage = Stage::SetUp;
        self.calls.insert(number, Call { holders, stage });
        Ok(())
    }

    /// A provisional or 2xx response to an INVITE came.
    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        response: &Response,
    ) {
        let status = response.status();
        let Some((number, key)) = self.setups.get(&transaction) else {
            return;
        };
        if !status.is_provisional() && !status.is_success() {
            return;
        }
        self.dialogs.on_response(now, *key, response);
        if status.is_success()
            && let Some(call) = self.calls.get_mut(number)
        {
            call.stage = Stage::Answered;
        }
    }

    /// No further response to the INVITE will come.
    pub(crate) fn end(&mut self, transaction: ServerTransactionId) {
        let Some((number, key)) = self.setups.remove(&transaction) else {
            return;
        };
        self.dialogs.end(key);
        if let Some(call) = self.calls.get_mut(&number) {
            call.stage = Stage::Answered;
        }
        self.settle(number);
    }

    /// A request in a dialog passes. A BYE ends the call at once: its answer is not seen here.
    pub(crate) fn on_request(&mut self, now: Instant, request: &Request) {
        if self.calls.is_empty() {
            return;
        }
        for from in [Side::Owner, Side::Peer] {
            let Ok(key) = self.dialogs.validate(from, request, |_| true) else {
                continue;
            };
            let number = self.dialogs.owner(key).copied();
            self.dialogs.on_request(now, key, from, request);
            match request.method() {
                Method::Bye => {
                    self.dialogs.forget(key);
                    if let Some(number) = number {
                        self.settle(number);
                    }
                }
                Method::Invite | Method::Update => {
                    let taken = agreed(request);
                    self.dialogs.on_answer(now, key, from, request, Some(&taken));
                }
                _ => {}
            }
        }
    }

    /// Calls whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(number) = self.dialogs.pop_expired(now) {
            self.settle(number);
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.dialogs.poll_timeout()
    }

    /// How many calls count.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn export_metrics(&self, out: &mut Metrics) {
        let on_trunks: usize = self.of_trunk.values().sum();
        out.gauge("ims_scscf_trunk_calls", &[], on_trunks as u64);
        out.gauge("ims_scscf_limited_calls", &[], self.len() as u64);
    }

    /// Another trunk has a call now.
    fn move_to(&mut self, number: CallNumber, trunk: Option<TrunkId>) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let before = std::mem::replace(&mut call.holders.trunk, trunk);
        if before == trunk {
            return;
        }
        let of = |trunk| Holders {
            trunk,
            subscriber: None,
        };
        self.give_back(of(before));
        self.take(of(trunk));
    }

    /// Lets go of a call that is over.
    fn settle(&mut self, number: CallNumber) {
        let is_over =
            |call: &Call| call.stage == Stage::Answered && self.dialogs.count_of_owner(&number) == 0;
        if self.calls.get(&number).is_some_and(is_over)
            && let Some(call) = self.calls.remove(&number)
        {
            self.give_back(call.holders);
        }
    }

    fn take(&mut self, holders: Holders) {
        if let Some((set, _)) = holders.subscriber {
            *self.of_subscriber.entry(set).or_default() += 1;
        }
        if let Some(trunk) = holders.trunk {
            *self.of_trunk.entry(trunk).or_default() += 1;
        }
    }

    fn give_back(&mut self, holders: Holders) {
        if let Some((set, _)) = holders.subscriber {
            one_less(&mut self.of_subscriber, set);
        }
        if let Some(trunk) = holders.trunk {
            one_less(&mut self.of_trunk, trunk);
        }
    }
}

fn one_less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
