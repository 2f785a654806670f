//! Machine: the one HSS client of a node, at which all its shards ask.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use ims_common::node::Spoken;
use ims_common::token::ShardId;

use super::{CxWord, DESK};
use crate::client::{HssClient, HssClientInput};
use crate::cx::{CxInput, CxOutput, CxPushAnswer, CxPushId, CxRequestId};

/// The shard stands in the top octet of a number; a shard counts below.
const SHARD_SHIFT: u32 = 56;

/// An output of a shard, with the shard in the number of its request. That of the first one stays as it is.
pub(super) fn number_of(shard: ShardId, output: CxOutput) -> CxOutput {
    match output {
        CxOutput::Request { id, request } => CxOutput::Request {
            id: CxRequestId(id.0 | u64::from(shard.0) << SHARD_SHIFT),
            request,
        },
        CxOutput::PushAnswer { id, answer } => CxOutput::PushAnswer { id, answer },
    }
}

/// Whose request it is, and its number there.
fn owner_of(id: CxRequestId) -> (ShardId, CxRequestId) {
    let [shard, ..] = id.0.to_be_bytes();
    (ShardId(shard), CxRequestId(id.0 & ((1 << SHARD_SHIFT) - 1)))
}

/// The client, and what it needs to know of the shards.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) client: HssClient,
    shards: u8,
    /// Those that have something in progress.
    at_work: u8,
    /// What was said last.
    is_behind: bool,
    /// Requests of the HSS that went to all shards. At most as many as the client lets wait.
    pushes: BTreeMap<CxPushId, Collection>,
}

/// Answers of the shards to one request of the HSS.
#[derive(Debug)]
struct Collection {
    missing: u8,
    best: Option<CxPushAnswer>,
}

impl Desk {
    pub(super) const fn new(client: HssClient, shards: u8) -> Self {
        Self {
            client,
            shards,
            at_work: shards,
            is_behind: false,
            pushes: BTreeMap::new(),
        }
    }

    /// What a shard has to say to the HSS, when it is to be said now.
    pub(super) fn asked(&mut self, output: CxOutput) -> Option<HssClientInput> {
        let CxOutput::PushAnswer { id, answer } = output else {
            return Some(HssClientInput::Cx(output));
        };
        let answer = match self.pushes.get_mut(&id) {
            None => answer,
            Some(collection) => {
                collection.missing -= 1;
                // One shard knows the user, the others do not.
                let best = match collection.best.take() {
                    Some(best) if !answer.result().is_success() => best,
                    Some(_) | None => answer,
                };
                if collection.missing > 0 {
                    collection.best = Some(best);
                    return None;
                }
                self.pushes.remove(&id);
                best
            }
        };
        Some(HssClientInput::Cx(CxOutput::PushAnswer { id, answer }))
    }

    /// What the HSS says: given back when it is for the shard of the desk too.
    pub(super) fn told(&mut self, input: CxInput, spoken: &mut VecDeque<Spoken<CxWord>>) -> Option<CxInput> {
        match input {
            CxInput::Answer { id, answer } => {
                let (shard, id) = owner_of(id);
                let input = CxInput::Answer { id, answer };
                if shard == DESK {
                    return Some(input);
                }
                spoken.push_back(Spoken::To(shard, CxWord::Tell(input)));
                None
            }
            // The private identities that it names may be of several shards.
            CxInput::Push { id, .. } => {
                if self.shards > 1 {
                    let collection = Collection {
                        missing: self.shards,
                        best: None,
                    };
                    self.pushes.insert(id, collection);
                }
                self.tell_others(&CxWord::Tell(input.clone()), spoken);
                Some(input)
            }
        }
    }

    /// One shard more has nothing in progress; after the last one the client says goodbye.
    pub(super) fn one_has_drained(&mut self) -> Option<HssClientInput> {
        self.at_work = self.at_work.saturating_sub(1);
        (self.at_work == 0).then_some(HssClientInput::Stop)
    }

    /// Says to the others when it begins and when it ends that too much waits for the HSS.
    pub(super) fn tell_whether_behind(&mut self, now: Instant, spoken: &mut VecDeque<Spoken<CxWord>>) {
        if self.shards <= 1 {
            return;
        }
        let is_behind = self.client.is_behind(now);
        if is_behind != self.is_behind {
            self.is_behind = is_behind;
            self.tell_others(&CxWord::Behind(is_behind), spoken);
        }
    }

    fn tell_others(&self, word: &CxWord, spoken: &mut VecDeque<Spoken<CxWord>>) {
        let others = (DESK.0 + 1..self.shards).map(ShardId);
        spoken.extend(others.map(|shard| Spoken::To(shard, word.clone())));
    }
}
