//! Testkit: the Milenage functions f1 to f5* (TS 35.206 4.1), as a test HSS and a test USIM need them.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use ims_common::aka::{AuthVector, Auts, Secret};
use serde::{Deserialize, Serialize};

/// A sequence number of 48 bits: SEQ of 43 bits, then IND of 5 bits (TS 33.102 C.1.1.1, C.3).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Sqn(u64);

impl Sqn {
    /// Bits of IND.
    pub const IND_BITS: u32 = 5;
    /// How many values IND has.
    pub const IND_COUNT: usize = 1 << Self::IND_BITS;
    const MASK: u64 = (1 << 48) - 1;

    /// The lower 48 bits of a number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number & Self::MASK)
    }

    /// Of SEQ and IND.
    #[must_use]
    pub fn of(seq: u64, ind: u8) -> Self {
        Self::new((seq << Self::IND_BITS) | (u64::from(ind) % (1 << Self::IND_BITS)))
    }

    /// As a number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The part that grows.
    #[must_use]
    pub fn seq(self) -> u64 {
        self.0 >> Self::IND_BITS
    }

    /// The index into the USIM's array.
    #[must_use]
    pub fn ind(self) -> u8 {
        u8::try_from(self.0 % (1 << Self::IND_BITS)).unwrap_or_default()
    }

    /// The next one that an HSS gives out: SEQ and IND each grow by one (TS 33.102 C.1.2, C.3.1).
    #[must_use]
    pub fn next(self) -> Self {
        Self::of(self.seq() + 1, (self.ind() + 1) % 32)
    }

    /// Of six octets.
    #[must_use]
    pub fn from_octets(octets: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = octets;
        Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// As six octets.
    #[must_use]
    pub fn octets(self) -> [u8; 6] {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        [a, b, c, d, e, f]
    }
}

/// The functions, bound to one subscriber's K and OPc.
#[derive(Clone)]
pub struct Milenage {
    cipher: Aes128,
    opc: [u8; 16],
}

/// f1 and f1* of one input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Macs {
    /// f1: MAC-A, of the network.
    pub mac_a: [u8; 8],
    /// f1*: MAC-S, of a resynchronisation.
    pub mac_s: [u8; 8],
}

/// f2 to f5 of one RAND.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keys {
    /// f2.
    pub res: [u8; 8],
    /// f3.
    pub ck: [u8; 16],
    /// f4.
    pub ik: [u8; 16],
    /// f5.
    pub ak: [u8; 6],
}

impl std::fmt::Debug for Milenage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Milenage(<redacted>)")
    }
}

impl Milenage {
    /// Of K and OPc.
    #[must_use]
    pub fn new(k: &[u8; 16], opc: &[u8; 16]) -> Self {
        Self {
            cipher: Aes128::new(&(*k).into()),
            opc: *opc,
        }
    }

    /// Of K and the operator's OP.
    #[must_use]
    pub fn with_op(k: &[u8; 16], op: &[u8; 16]) -> Self {
        Self::new(k, &Self::opc(k, op))
    }

    /// OPc = AES_K(OP) xor OP.
    #[must_use]
    pub fn opc(k: &[u8; 16], op: &[u8; 16]) -> [u8; 16] {
        xor(encrypt(&Aes128::new(&(*k).into()), *op), *op)
    }

    /// f1 and f1*.
    #[must_use]
    pub fn f1(&self, rand: &[u8; 16], sqn: Sqn, amf: [u8; 2]) -> Macs {
        let mut in1 = [0; 16];
        for half in in1.chunks_exact_mut(8) {
            half[..6].copy_from_slice(&sqn.octets());
            half[6..].copy_from_slice(&amf);
        }
        let temp = self.temp(rand);
        let out = xor(
            encrypt(&self.cipher, xor(temp, rotate(xor(in1, self.opc), 8))),
            self.opc,
        );
        let (mac_a, mac_s) = (head(&out), head(&out[8..]));
        Macs { mac_a, mac_s }
    }

    /// f2, f3, f4 and f5.
    #[must_use]
    pub fn f2345(&self, rand: &[u8; 16]) -> Keys {
        let out2 = self.out(rand, 0, 1);
        Keys {
            res: head(&out2[8..]),
            ak: head(&out2),
            ck: self.out(rand, 4, 2),
            ik: self.out(rand, 8, 4),
        }
    }

    /// f5*: the AK of a resynchronisation.
    #[must_use]
    pub fn f5_star(&self, rand: &[u8; 16]) -> [u8; 6] {
        head(&self.out(rand, 12, 8))
    }

    /// What an HSS gives out (TS 33.102 6.3.2).
    #[must_use]
    pub fn vector(&self, rand: [u8; 16], sqn: Sqn, amf: [u8; 2]) -> AuthVector {
        let keys = self.f2345(&rand);
        let mut autn = [0; 16];
        autn[..6].copy_from_slice(&xor(sqn.octets(), keys.ak));
        autn[6..8].copy_from_slice(&amf);
        autn[8..].copy_from_slice(&self.f1(&rand, sqn, amf).mac_a);
        AuthVector {
            rand,
            autn,
            xres: Secret::new(keys.res.to_vec()),
            ck: Secret::new(keys.ck),
            ik: Secret::new(keys.ik),
        }
    }

    /// What a USIM answers to a SQN that it does not accept (TS 33.102 6.3.3): AMF* is zero.
    #[must_use]
    pub fn auts(&self, rand: &[u8; 16], sqn_ms: Sqn) -> Auts {
        let mut auts = [0; 14];
        auts[..6].copy_from_slice(&xor(sqn_ms.octets(), self.f5_star(rand)));
        auts[6..].copy_from_slice(&self.f1(rand, sqn_ms, [0; 2]).mac_s);
        Auts(auts)
    }

    /// SQN_MS of an AUTS whose MAC-S is right (TS 33.102 6.3.5).
    #[must_use]
    pub fn open_auts(&self, rand: &[u8; 16], auts: &Auts) -> Option<Sqn> {
        let sqn_ms = Sqn::from_octets(xor(head(&auts.0), self.f5_star(rand)));
        let mac_s = self.f1(rand, sqn_ms, [0; 2]).mac_s;
        (mac_s == auts.0[6..]).then_some(sqn_ms)
    }

    fn temp(&self, rand: &[u8; 16]) -> [u8; 16] {
        encrypt(&self.cipher, xor(*rand, self.opc))
    }

    /// OUT2 to OUT5: rotation in octets, constant in the last octet.
    fn out(&self, rand: &[u8; 16], rotation: usize, constant: u8) -> [u8; 16] {
        let mut block = rotate(xor(self.temp(rand), self.opc), rotation);
        block[15] ^= constant;
        xor(encrypt(&self.cipher, block), self.opc)
    }
}

fn encrypt(cipher: &Aes128, block: [u8; 16]) -> [u8; 16] {
    let mut block = block.into();
    cipher.encrypt_block(&mut block);
    block.into()
}

fn xor<const N: usize>(a: [u8; N], b: [u8; N]) -> [u8; N] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// The block turned left by whole octets.
fn rotate(mut block: [u8; 16], octets: usize) -> [u8; 16] {
    block.rotate_left(octets);
    block
}

fn head<const N: usize>(octets: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| octets[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_number_is_seq_then_ind() {
        let sqn = Sqn::of(0x0123_4567, 31);
        assert_eq!((sqn.seq(), sqn.ind()), (0x0123_4567, 31));
        assert_eq!(Sqn::from_octets(sqn.octets()), sqn);
        assert_eq!(sqn.next(), Sqn::of(0x0123_4568, 0));
        assert_eq!(Sqn::new(u64::MAX).octets(), [0xFF; 6]);
        assert_eq!(Sqn::new(u64::MAX).next(), Sqn::of(0, 0));
    }

    #[test]
    fn auts_with_any_changed_octet_is_refused() {
        let milenage = Milenage::with_op(&[1; 16], &[2; 16]);
        let auts = milenage.auts(&[3; 16], Sqn::of(7, 3));
        assert_eq!(milenage.open_auts(&[3; 16], &auts), Some(Sqn::of(7, 3)));
        assert_eq!(milenage.open_auts(&[4; 16], &auts), None);
        for position in 0..14 {
            let mut forged = auts;
            forged.0[position] ^= 1;
            assert_eq!(milenage.open_auts(&[3; 16], &forged), None, "{position}");
        }
    }
}
