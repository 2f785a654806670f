//! Codec: tokens that come back to us carry their shard in a fixed place.
//!
//! Layout: two hex digits of the shard, then random letters. Every Via branch, Path, Service-Route and
//! Record-Route token of ours has it, so that any receiving thread finds the owner without parsing further.

use rand::Rng;

/// Which shard of a node owns something.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShardId(pub u8);

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Characters of a token after its shard, of five random bits each.
const RANDOM: usize = 26;

/// Characters of a token.
pub(crate) const LENGTH: usize = 2 + RANDOM;

/// A fresh unguessable token of 2 + 26 characters (130 random bits) in `[0-9a-z]`.
pub fn fresh(shard: ShardId, rng: &mut impl Rng) -> String {
    let mut random = [0_u8; RANDOM];
    rng.fill(&mut random[..]);
    let mut text = String::with_capacity(LENGTH);
    text.push(hex_digit(shard.0 >> 4));
    text.push(hex_digit(shard.0 & 15));
    text.extend(random.iter().map(|byte| {
        ALPHABET
            .get(usize::from(byte & 31))
            .map_or('a', |b| char::from(*b))
    }));
    text
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

/// The shard of a token, or `None` when it is not one of ours.
#[must_use]
pub fn shard_of(token: &[u8]) -> Option<ShardId> {
    let head = std::str::from_utf8(token.get(..2)?).ok()?;
    (token.len() == LENGTH && token.iter().all(u8::is_ascii_alphanumeric)).then_some(())?;
    u8::from_str_radix(head, 16).ok().map(ShardId)
}
