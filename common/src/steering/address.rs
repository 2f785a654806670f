//! Engine: the hash of an address, and the same hash as a program of the kernel's socket filter.

use std::net::IpAddr;

use crate::token::ShardId;

/// Where the kernel's filter finds the header of IP (`SKF_NET_OFF`).
const NETWORK_HEADER: u32 = 0xFFF0_0000;
/// The sender's address in the header of IPv4 and of IPv6.
const SOURCE_V4: u32 = NETWORK_HEADER + 12;
const SOURCE_V6: u32 = NETWORK_HEADER + 8;
/// How far the better half of a product is shifted.
const FOLD: u32 = 15;
const TOP: u32 = 16;

/// Bits without a pattern: a secret of few bits still mixes.
const FACTOR: u32 = 0x9E37_79B9;
const LAST_FACTOR: u32 = 0x85EB_CA6B;

/// One step of a classic BPF program. None jumps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FilterStep {
    /// What to do.
    pub code: u16,
    /// With what.
    pub k: u32,
}

/// Classic BPF (linux/bpf_common.h).
const LOAD_WORD: u16 = 0x20;
const XOR_K: u16 = 0xA4;
const XOR_X: u16 = 0xAC;
const MUL_K: u16 = 0x24;
const RIGHT_SHIFT_K: u16 = 0x74;
const MOD_K: u16 = 0x94;
const COPY_TO_X: u16 = 0x07;
const RETURN_A: u16 = 0x16;

/// A keyed hash of 32 bits that a program without loops can do.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressHash {
    start: u32,
    factor: u32,
    last_factor: u32,
    shards: u32,
}

impl AddressHash {
    #[allow(clippy::cast_possible_truncation, reason = "each half of a secret is one")]
    pub(super) const fn new(secret: (u64, u64), shards: u8) -> Self {
        Self {
            start: secret.0 as u32,
            // Odd, so that no bit is lost.
            factor: (secret.0 >> 32) as u32 ^ FACTOR | 1,
            last_factor: secret.1 as u32 ^ LAST_FACTOR | 1,
            shards: if shards == 0 { 1 } else { shards as u32 },
        }
    }

    pub(super) fn shard(self, address: IpAddr) -> ShardId {
        let hash = match address {
            IpAddr::V4(ip) => self.mix(self.start, ip.to_bits()),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                let words = [bits >> 96, bits >> 64, bits >> 32, bits];
                words.iter().fold(self.start, |hash, word| {
                    let word = u32::try_from(word & u128::from(u32::MAX)).unwrap_or(0);
                    self.mix(hash, word)
                })
            }
        };
        let number = (hash.wrapping_mul(self.last_factor) >> TOP) % self.shards;
        ShardId(u8::try_from(number).unwrap_or(0))
    }

    fn mix(self, hash: u32, word: u32) -> u32 {
        let product = (hash ^ word).wrapping_mul(self.factor);
        product ^ (product >> FOLD)
    }

    /// The same as a program that returns the number of the socket.
    pub(super) fn filter(self, is_ipv4: bool) -> Vec<FilterStep> {
        let words = match is_ipv4 {
            true => vec![SOURCE_V4],
            false => (0..4).map(|word| SOURCE_V6 + 4 * word).collect(),
        };
        let step = |code, k| FilterStep { code, k };
        let mut steps = Vec::new();
        for (number, offset) in words.into_iter().enumerate() {
            // X holds the hash of the words before.
            steps.push(step(LOAD_WORD, offset));
            steps.push(match number {
                0 => step(XOR_K, self.start),
                _ => step(XOR_X, 0),
            });
            steps.extend([
                step(MUL_K, self.factor),
                step(COPY_TO_X, 0),
                step(RIGHT_SHIFT_K, FOLD),
                step(XOR_X, 0),
                step(COPY_TO_X, 0),
            ]);
        }
        steps.extend([
            step(MUL_K, self.last_factor),
            step(RIGHT_SHIFT_K, TOP),
            step(MOD_K, self.shards),
            step(RETURN_A, 0),
        ]);
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does.
    fn run(steps: &[FilterStep], address: IpAddr) -> u32 {
        let octets = match address {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let first = if address.is_ipv4() { SOURCE_V4 } else { SOURCE_V6 };
        let (mut a, mut x) = (0_u32, 0_u32);
        for FilterStep { code, k } in steps {
            match *code {
                LOAD_WORD => {
                    let at = usize::try_from(k - first).unwrap();
                    a = u32::from_be_bytes(octets[at..at + 4].try_into().unwrap());
                }
                XOR_K => a ^= k,
                XOR_X => a ^= x,
                MUL_K => a = a.wrapping_mul(*k),
                RIGHT_SHIFT_K => a >>= k,
                MOD_K => a %= k,
                COPY_TO_X => x = a,
                RETURN_A => return a,
                other => panic!("{other:#x}"),
            }
        }
        panic!("no return");
    }

    #[test]
    fn the_kernel_finds_the_shards_that_we_find() {
        for shards in [2, 3, 64] {
            let hash = AddressHash::new((0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3211), shards);
            let mut counts = vec![0_u32; usize::from(shards)];
            for number in 0..6_400_u32 {
                let v4 = IpAddr::from((0xC000_0200_u32 + number).to_be_bytes());
                let bits = 0x2001_0db8_u128 << 96 | u128::from(number) << 64 | 1;
                let v6 = IpAddr::from(bits.to_be_bytes());
                for address in [v4, v6] {
                    let ShardId(shard) = hash.shard(address);
                    assert_eq!(run(&hash.filter(address.is_ipv4()), address), u32::from(shard));
                    counts[usize::from(shard)] += 1;
                }
            }
            let even = 12_800 / u32::from(shards);
            let fair = even * 2 / 3..even * 3 / 2;
            assert!(counts.iter().all(|count| fair.contains(count)), "{counts:?}");
        }
    }
}
