//! Machine: a node that may run as several shards, each in its own thread, which tell each other values.

use std::fmt::Debug;
use std::time::Instant;

use super::Node;
use crate::identity::Impu;
use crate::net::{NetInput, NetOutput};
use crate::token::ShardId;

/// A network function of which several shards may run beside each other.
///
/// A shard is a node like any other, and knows nothing of threads: what it has to tell other shards are values too.
/// **The rule of [`Node`] holds for [`poll_spoken`](Self::poll_spoken) as for `poll_output`.** A node whose shards have
/// nothing to tell each other says so with [`Infallible`](std::convert::Infallible), and needs no method.
pub trait Sharded: Node<Input = NetInput, Output = NetOutput> {
    /// What one shard tells another.
    type Word: Debug + Send + 'static;

    /// Takes a word of another shard. They come in the order in which that one spoke.
    fn hear(&mut self, _now: Instant, _word: Self::Word) {}

    /// The next thing that this shard has to tell, or `None` when all has been said.
    fn poll_spoken(&mut self) -> Option<Spoken<Self::Word>> {
        None
    }
}

/// What a shard tells.
#[derive(Clone, Debug)]
pub enum Spoken<W> {
    /// To one other shard.
    To(ShardId, W),
    /// To whoever asks where an identity is served: here.
    Serves(Impu),
    /// The same: no longer here.
    Leaves(Impu),
}
