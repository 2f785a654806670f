//! Testkit: ways in which K and an operator's value may be meant, and the functions of each.

use std::fmt;

use ims_common::aka::{Auts, Secret};

use super::input::{Keys, Operator};
use crate::milenage::{Milenage, Sqn};
use crate::usim::Res;

/// How keys are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reading {
    /// As they were said.
    AsSaid,
    /// What was said to be OPc is OP.
    OpcIsOp,
    /// What was said to be OP is OPc.
    OpIsOpc,
    /// What was said to be K is OPc, and the other way round.
    Exchanged,
    /// K alone, with the test algorithm of TS 34.108 8.1.2.
    Xor,
}

/// Keys, read in one way.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) reading: Reading,
    pub(super) suite: Suite,
}

/// f1 to f5*.
#[derive(Clone)]
pub(super) enum Suite {
    Milenage(Milenage),
    Xor(Secret<[u8; 16]>),
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milenage(_) => "Milenage(<redacted>)",
            Self::Xor(_) => "Xor(<redacted>)",
        })
    }
}

impl Keys {
    /// All ways to read them, the plain one first.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let k = self.k.expose();
        let (said, other_reading) = match &self.operator {
            Operator::Opc(_) => (self.opc(), Reading::OpcIsOp),
            Operator::Op(_) => (self.opc(), Reading::OpIsOpc),
        };
        let other = match &self.operator {
            Operator::Opc(value) => Milenage::with_op(k, value.expose()),
            Operator::Op(value) => Milenage::new(k, value.expose()),
        };
        let milenage = [
            (Reading::AsSaid, Milenage::new(k, said.expose())),
            (other_reading, other),
            (Reading::Exchanged, Milenage::new(said.expose(), k)),
        ];
        let milenage = milenage.map(|(reading, functions)| Candidate {
            reading,
            suite: Suite::Milenage(functions),
        });
        let xor = Candidate {
            reading: Reading::Xor,
            suite: Suite::Xor(self.k.clone()),
        };
        milenage.into_iter().chain([xor]).collect()
    }
}

impl Suite {
    /// What a network sends.
    pub(super) fn autn(&self, rand: &[u8; 16], sqn: Sqn, amf: [u8; 2]) -> [u8; 16] {
        let mut autn = [0; 16];
        let (hidden, rest) = autn.split_at_mut(6);
        let (in_clear, mac) = rest.split_at_mut(2);
        hidden.copy_from_slice(&xor(sqn.octets(), self.ak(rand)));
        in_clear.copy_from_slice(&amf);
        mac.copy_from_slice(&self.mac(rand, sqn, amf));
        autn
    }

    /// SQN of a challenge that was made with these keys.
    pub(super) fn sqn_of(&self, rand: &[u8; 16], autn: &[u8; 16]) -> Option<Sqn> {
        let sqn = Sqn::from_octets(xor(part(autn, 0), self.ak(rand)));
        let is_right = self.mac(rand, sqn, part(autn, 6)) == part::<8>(autn, 8);
        is_right.then_some(sqn)
    }

    /// SQN_MS of an AUTS that was made with these keys (TS 33.102 6.3.5).
    pub(super) fn open(&self, rand: &[u8; 16], auts: &Auts) -> Option<Sqn> {
        match self {
            Self::Milenage(functions) => functions.open_auts(rand, auts),
            // f1* and f5* are f1 and f5 (TS 34.108 8.1.2).
            Self::Xor(_) => {
                let sqn = Sqn::from_octets(xor(part(&auts.0, 0), self.ak(rand)));
                let is_right = self.mac(rand, sqn, [0; 2]) == part::<8>(&auts.0, 6);
                is_right.then_some(sqn)
            }
        }
    }

    /// Octets to which a card has shortened RES that it computes so (TS 33.102 6.3.7: 4 to 16 octets are allowed). Milenage
    /// alone has a length of its own.
    pub(super) fn shortens(&self, rand: &[u8; 16], answer: &Res) -> Option<usize> {
        let res = answer.res.expose();
        let Self::Milenage(functions) = self else {
            return None;
        };
        is_shortened(res, &functions.f2345(rand).res).then_some(res.len())
    }

    /// Whether a card that computes so gives this answer, RES maybe shortened: RES, CK, IK.
    pub(super) fn agrees(&self, rand: &[u8; 16], answer: &Res) -> [bool; 3] {
        let res = answer.res.expose();
        let (ck, ik) = (answer.ck.expose(), answer.ik.expose());
        match self {
            Self::Milenage(functions) => {
                let keys = functions.f2345(rand);
                let is_res = res[..] == keys.res[..] || is_shortened(res, &keys.res);
                [is_res, *ck == keys.ck, *ik == keys.ik]
            }
            Self::Xor(k) => {
                let out = xor(*k.expose(), *rand);
                let turned = |octets| {
                    let mut turned = out;
                    turned.rotate_left(octets);
                    turned
                };
                [out.starts_with(res), *ck == turned(1), *ik == turned(2)]
            }
        }
    }

    /// MAC-A.
    fn mac(&self, rand: &[u8; 16], sqn: Sqn, amf: [u8; 2]) -> [u8; 8] {
        match self {
            Self::Milenage(functions) => functions.f1(rand, sqn, amf).mac_a,
            Self::Xor(k) => {
                let mut clear = [0; 8];
                let (number, rest) = clear.split_at_mut(6);
                number.copy_from_slice(&sqn.octets());
                rest.copy_from_slice(&amf);
                xor(part(&xor(*k.expose(), *rand), 0), clear)
            }
        }
    }

    /// f5
    fn ak(&self, rand: &[u8; 16]) -> [u8; 6] {
        match self {
            Self::Milenage(functions) => functions.f2345(rand).ak,
            Self::Xor(k) => part(&xor(*k.expose(), *rand), 3),
        }
    }
}

/// The card gives the first octets of RES, four at least.
pub(super) fn is_shortened(res: &[u8], whole: &[u8]) -> bool {
    (4..whole.len()).contains(&res.len()) && whole.starts_with(res)
}

fn xor<const N: usize>(a: [u8; N], b: [u8; N]) -> [u8; N] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// So many octets from this one on; zeros where there are none.
fn part<const N: usize>(octets: &[u8], from: usize) -> [u8; N] {
    std::array::from_fn(|i| octets.get(from + i).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: [u8; 16] = [0x0F; 16];
    const RAND: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    /// TS 34.108 8.1.2.1: AK is XDOUT from bit 24 on, CK and IK are XDOUT turned left by one and two octets.
    #[test]
    fn the_test_algorithm_is_an_exclusive_or() {
        let suite = Suite::Xor(Secret::new(K));
        let sqn = Sqn::of(1, 0);
        let autn = suite.autn(&RAND, sqn, [0x80, 0]);
        assert_eq!(autn[..6], [0x0C, 0x0B, 0x0A, 0x09, 0x08, 0x07 ^ 0x20]);
        assert_eq!(
            autn[8..],
            [0x0F, 0x0E, 0x0D, 0x0C, 0x0B, 0x0A ^ 0x20, 0x09 ^ 0x80, 0x08]
        );
        assert_eq!(suite.sqn_of(&RAND, &autn), Some(sqn));
        let out: [u8; 16] = std::array::from_fn(|i| 0x0F ^ RAND[i]);
        let mut turned = [out; 2];
        turned[0].rotate_left(1);
        turned[1].rotate_left(2);
        let answer = Res {
            res: Secret::new(out[..8].to_vec()),
            ck: Secret::new(turned[0]),
            ik: Secret::new(turned[1]),
        };
        assert_eq!(suite.agrees(&RAND, &answer), [true; 3]);
    }

    #[test]
    fn each_reading_knows_its_own_challenges_and_no_others() {
        let keys = Keys {
            whose: "given".to_owned(),
            k: Secret::new(K),
            operator: Operator::Opc(Secret::new([0x22; 16])),
            amf: None,
            sqn: None,
        };
        let candidates = keys.candidates();
        let sqn = Sqn::of(7, 3);
        for candidate in &candidates {
            let autn = candidate.suite.autn(&RAND, sqn, [0x80, 0]);
            let knowing: Vec<_> = candidates
                .iter()
                .filter(|other| other.suite.sqn_of(&RAND, &autn) == Some(sqn))
                .map(|other| other.reading)
                .collect();
            assert_eq!(knowing, [candidate.reading]);
        }
        let readings: Vec<_> = candidates.iter().map(|candidate| candidate.reading).collect();
        assert_eq!(
            readings,
            [
                Reading::AsSaid,
                Reading::OpcIsOp,
                Reading::Exchanged,
                Reading::Xor
            ]
        );
    }
}
