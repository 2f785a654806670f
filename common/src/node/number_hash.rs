//! Table: maps by numbers that we count ourselves, and the room that large maps give back.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

/// Odd, and without a pattern: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
/// Maps with room for fewer entries are not worth shrinking.
const SMALL: usize = 1_024;

/// A map by numbers of our own. Its order means nothing: look things up, do not walk it.
pub type NumberMap<K, V> = HashMap<K, V, NumberHash>;

/// Builds the hasher of a [`NumberMap`].
pub type NumberHash = BuildHasherDefault<NumberHasher>;

/// A hasher for keys that nobody outside can choose: counted numbers, and keys that are keyed hashes themselves.
/// It is an order of magnitude faster than the general one, and not safe against chosen keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(29) ^ number).wrapping_mul(MULTIPLIER);
    }
}

/// Gives back the room of a map that was much fuller once, after a removal. Costs nothing most of the time.
pub fn give_back<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.capacity() > SMALL && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len().saturating_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_was_full_once_gives_its_room_back() {
        let mut map: NumberMap<u64, u64> = NumberMap::default();
        for number in 0..100_000 {
            map.insert(number, number);
        }
        for number in 0..99_900 {
            map.remove(&number);
            give_back(&mut map);
        }
        assert_eq!(map.len(), 100);
        assert!(map.capacity() <= 2 * SMALL, "{}", map.capacity());
    }

    #[test]
    fn counted_numbers_spread_over_all_bits_that_a_map_looks_at() {
        let mut low = std::collections::BTreeSet::new();
        let mut high = std::collections::BTreeSet::new();
        for number in 0_u64..4_096 {
            let hash = NumberHash::default().hash_one(number << 5);
            low.insert(hash & 0xfff);
            high.insert(hash >> 57);
        }
        assert!(low.len() > 1_500, "{}", low.len());
        assert_eq!(high.len(), 128);
    }
}
