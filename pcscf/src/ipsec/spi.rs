//! Table: the SPIs of our inbound security associations (TS 33.203 7.1, RFC 4303 2.1).
//!
//! A number that counts up and wraps would come back to live users; these are drawn, and none that is in use is drawn.

use std::collections::HashSet;

use rand::Rng;

/// An SPI is written with ten digits (RFC 3329 2.2), and some readers take a leading zero for octal. Values 0 to 255 are
/// reserved anyway (RFC 4303 2.1).
const FIRST: u32 = 1_000_000_000;
/// Draws for one number. With a million in use a draw fails once in four thousand times.
const DRAWS: usize = 16;

/// The two SPIs of one set that we choose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct OwnSpis {
    /// Of the association that ends at our client port.
    pub(crate) pc: u32,
    /// Of the association that ends at our server port.
    pub(crate) ps: u32,
}

/// SPIs in use, of sets that live and of sets that the kernel has not yet said to have removed.
#[derive(Debug, Default)]
pub(crate) struct SpiTable {
    used: HashSet<u32>,
}

impl SpiTable {
    /// TS 33.203 7.1: two SPIs that are not in use, not the same, and neither of the UE's (reflection).
    pub(crate) fn allocate(&mut self, rng: &mut impl Rng, of_the_ue: [u32; 2]) -> Option<OwnSpis> {
        let pc = self.draw(rng, of_the_ue)?;
        self.used.insert(pc);
        let Some(ps) = self.draw(rng, of_the_ue) else {
            self.used.remove(&pc);
            return None;
        };
        self.used.insert(ps);
        Some(OwnSpis { pc, ps })
    }

    /// They may be drawn again.
    pub(crate) fn free(&mut self, spis: OwnSpis) {
        self.used.remove(&spis.pc);
        self.used.remove(&spis.ps);
        if self.used.capacity() > 1_024 && self.used.len() < self.used.capacity() / 8 {
            self.used.shrink_to(self.used.len() * 2);
        }
    }

    /// How many are in use.
    pub(crate) fn len(&self) -> usize {
        self.used.len()
    }

    fn draw(&self, rng: &mut impl Rng, of_the_ue: [u32; 2]) -> Option<u32> {
        (0..DRAWS)
            .map(|_| rng.random_range(FIRST..=u32::MAX))
            .find(|spi| !of_the_ue.contains(spi) && !self.used.contains(spi))
    }
}

#[cfg(test)]
mod tests {
    use ims_common::node::Seed;
    use rand::RngCore;

    use super::*;

    /// Draws what it is given, in turn.
    struct Drawn(Vec<u32>);

    impl RngCore for Drawn {
        fn next_u32(&mut self) -> u32 {
            if self.0.len() > 1 {
                self.0.remove(0)
            } else {
                self.0[0]
            }
        }

        fn next_u64(&mut self) -> u64 {
            let high = u64::from(self.next_u32());
            high << 32 | high
        }

        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn spis_are_not_reserved_not_the_same_and_not_in_use() {
        let mut rng = Seed::from_number(3).rng(0);
        let mut table = SpiTable::default();
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let spis = table.allocate(&mut rng, [0; 2]).unwrap();
            assert!(spis.pc >= FIRST && spis.ps >= FIRST);
            assert!(seen.insert(spis.pc) && seen.insert(spis.ps));
        }
        assert_eq!(table.len(), 20_000);
    }

    #[test]
    fn an_spi_of_the_ue_or_of_a_live_set_is_not_taken() {
        let mut table = SpiTable::default();
        let first = table.allocate(&mut Seed::from_number(5).rng(0), [0; 2]).unwrap();
        let again = SpiTable::default()
            .allocate(&mut Seed::from_number(5).rng(0), [first.pc, first.ps])
            .unwrap();
        assert!(![first.pc, first.ps].contains(&again.pc) && ![first.pc, first.ps].contains(&again.ps));
        let second = table.allocate(&mut Seed::from_number(5).rng(0), [0; 2]).unwrap();
        assert!(![first.pc, first.ps].contains(&second.pc) && ![first.pc, first.ps].contains(&second.ps));
        table.free(first);
        let third = table.allocate(&mut Seed::from_number(5).rng(0), [0; 2]).unwrap();
        assert_eq!(third, first);
    }

    #[test]
    fn when_nothing_is_free_nothing_is_kept() {
        let mut table = SpiTable::default();
        assert_eq!(table.allocate(&mut Drawn(vec![0x8000_0000]), [0; 2]), None);
        assert_eq!(table.len(), 0);
    }
}
