//! Shell: which shard serves which identity, for all shards of one process to read.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::node::{NumberHash, give_back};
use crate::steering::{Directory, IdentityKey};
use crate::token::ShardId;

/// Parts with a lock of their own: shards seldom meet in one.
const PARTS: usize = 64;

type Part = HashMap<u64, ShardId, NumberHash>;

/// The directory. It is read for each request and written when an identity comes or goes.
#[derive(Debug)]
pub(super) struct SharedDirectory {
    parts: Vec<RwLock<Part>>,
}

impl SharedDirectory {
    pub(super) fn new() -> Self {
        Self {
            parts: std::iter::repeat_with(RwLock::default).take(PARTS).collect(),
        }
    }

    /// A shard serves an identity from now on.
    pub(super) fn insert(&self, key: IdentityKey, shard: ShardId) {
        if self.shard_of(key) == Some(shard) {
            return;
        }
        if let Some(part) = self.part(key) {
            let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
            part.insert(key.0, shard);
        }
    }

    /// A shard serves an identity no longer. What another one serves meanwhile stays.
    pub(super) fn remove(&self, key: IdentityKey, shard: ShardId) {
        if self.shard_of(key) != Some(shard) {
            return;
        }
        if let Some(part) = self.part(key) {
            let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
            part.remove(&key.0);
            give_back(&mut part);
        }
    }

    fn part(&self, key: IdentityKey) -> Option<&RwLock<Part>> {
        let [first, ..] = key.0.to_be_bytes();
        self.parts.get(usize::from(first) % PARTS)
    }
}

impl Directory for SharedDirectory {
    fn shard_of(&self, key: IdentityKey) -> Option<ShardId> {
        let part = self.part(key)?.read().unwrap_or_else(PoisonError::into_inner);
        part.get(&key.0).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_where_it_came_last_until_it_leaves_there() {
        let directory = SharedDirectory::new();
        let (key, other) = (IdentityKey(7 << 56 | 1), IdentityKey(7 << 56 | 2));
        directory.insert(key, ShardId(1));
        directory.insert(key, ShardId(2));
        directory.remove(key, ShardId(1));
        assert_eq!(directory.shard_of(key), Some(ShardId(2)));
        assert_eq!(directory.shard_of(other), None);
        directory.remove(key, ShardId(2));
        assert_eq!(directory.shard_of(key), None);
    }
}
