//! Testkit: a USIM: MAC check, sequence number array, AUTS (TS 33.102 6.3.3, Annex C.2).

use ims_common::aka::{AkaKeys, Auts, Secret};

use crate::milenage::{Milenage, Sqn};

/// The largest jump of SEQ that is accepted, Delta of TS 33.102 C.2.1 with the value of C.3.1.
pub(crate) const SEQ_DELTA_MAX: u64 = 1 << 28;

/// A USIM with the application of TS 31.102.
#[derive(Clone, Debug)]
pub struct Usim {
    milenage: Milenage,
    /// Highest SEQ accepted, by IND.
    seq_by_ind: [u64; Sqn::IND_COUNT],
    /// Highest SQN accepted.
    sqn_ms: Sqn,
    /// Age limit L of TS 33.102 C.2.2: how far SEQ may lie behind the highest one.
    age_max: Option<u64>,
}

/// What a USIM gives for a good challenge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Res {
    /// The response.
    pub res: Secret<Vec<u8>>,
    /// Confidentiality key.
    pub ck: Secret<[u8; 16]>,
    /// Integrity key.
    pub ik: Secret<[u8; 16]>,
}

impl Res {
    /// The keys as the digest needs them.
    #[must_use]
    pub fn keys(&self) -> AkaKeys<'_> {
        AkaKeys {
            res: self.res.expose(),
            ck: self.ck.expose(),
            ik: self.ik.expose(),
        }
    }
}

/// Why a USIM refuses a challenge.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UsimError {
    /// MAC-A is wrong: this network does not know K.
    #[error("MAC failure")]
    MacFailure,
    /// SQN is out of range; the AUTS tells the network where the USIM stands.
    #[error("synchronisation failure")]
    SyncFailure(Auts),
}

impl Usim {
    /// A USIM that has accepted nothing yet.
    #[must_use]
    pub fn new(k: &[u8; 16], opc: &[u8; 16]) -> Self {
        Self {
            milenage: Milenage::new(k, opc),
            seq_by_ind: [0; Sqn::IND_COUNT],
            sqn_ms: Sqn::default(),
            age_max: None,
        }
    }

    /// A USIM that has accepted this sequence number, and before it its predecessors at the other indices.
    #[must_use]
    pub fn with_sqn(mut self, sqn: Sqn) -> Self {
        for (index, seq) in (0_u64..).zip(&mut self.seq_by_ind) {
            let age = (u64::from(sqn.ind()) + 32 - index) % 32;
            *seq = sqn.seq().saturating_sub(age);
        }
        self.sqn_ms = sqn;
        self
    }

    /// Refuses SEQ that lies more than `age_max` behind the highest one, even when its IND is unused.
    #[must_use]
    pub fn with_age_max(mut self, age_max: u64) -> Self {
        self.age_max = Some(age_max);
        self
    }

    /// The highest sequence number accepted.
    #[must_use]
    pub fn sqn_ms(&self) -> Sqn {
        self.sqn_ms
    }

    /// The AUTS that says where this USIM stands.
    #[must_use]
    pub fn auts(&self, rand: &[u8; 16]) -> Auts {
        self.milenage.auts(rand, self.sqn_ms)
    }

    /// Runs AUTHENTICATE (TS 33.102 6.3.3): MAC first, then SQN, then the keys.
    ///
    /// # Errors
    /// When MAC-A is wrong or SQN is not acceptable.
    pub fn authenticate(&mut self, rand: &[u8; 16], autn: &[u8; 16]) -> Result<Res, UsimError> {
        let keys = self.milenage.f2345(rand);
        let sqn = Sqn::from_octets(std::array::from_fn(|i| autn[i] ^ keys.ak[i]));
        let macs = self.milenage.f1(rand, sqn, [autn[6], autn[7]]);
        if macs.mac_a != autn[8..] {
            return Err(UsimError::MacFailure);
        }
        if !self.is_acceptable(sqn) {
            return Err(UsimError::SyncFailure(self.auts(rand)));
        }
        self.accept(sqn);
        Ok(Res {
            res: Secret::new(keys.res.to_vec()),
            ck: Secret::new(keys.ck),
            ik: Secret::new(keys.ik),
        })
    }

    /// TS 33.102 C.2.1 to C.2.3: no jump too far, not too old, and new at its index.
    fn is_acceptable(&self, sqn: Sqn) -> bool {
        let highest = self.sqn_ms.seq();
        let too_far = sqn.seq().saturating_sub(highest) > SEQ_DELTA_MAX;
        let too_old = self
            .age_max
            .is_some_and(|age_max| highest.saturating_sub(sqn.seq()) > age_max);
        let fresh = sqn.seq() > self.seq_by_ind[usize::from(sqn.ind())];
        fresh && !too_far && !too_old
    }

    fn accept(&mut self, sqn: Sqn) {
        self.seq_by_ind[usize::from(sqn.ind())] = sqn.seq();
        self.sqn_ms = self.sqn_ms.max(sqn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: [u8; 16] = [0x11; 16];
    const OPC: [u8; 16] = [0x22; 16];
    const RAND: [u8; 16] = [0x33; 16];

    fn challenge(sqn: Sqn) -> [u8; 16] {
        Milenage::new(&K, &OPC).vector(RAND, sqn, [0x80, 0]).autn
    }

    fn sqn_of_failure(result: Result<Res, UsimError>) -> Option<Sqn> {
        match result {
            Err(UsimError::SyncFailure(auts)) => Milenage::new(&K, &OPC).open_auts(&RAND, &auts),
            _ => None,
        }
    }

    #[test]
    fn a_fresh_challenge_gives_the_keys_of_the_vector() {
        let vector = Milenage::new(&K, &OPC).vector(RAND, Sqn::of(1, 1), [0x80, 0]);
        let res = Usim::new(&K, &OPC)
            .authenticate(&vector.rand, &vector.autn)
            .unwrap();
        assert_eq!((res.res, res.ck, res.ik), (vector.xres, vector.ck, vector.ik));
    }

    #[test]
    fn a_challenge_of_a_foreign_network_is_a_mac_failure_and_changes_nothing() {
        let mut usim = Usim::new(&K, &OPC);
        let mut autn = challenge(Sqn::of(5, 0));
        autn[15] ^= 1;
        assert_eq!(usim.authenticate(&RAND, &autn), Err(UsimError::MacFailure));
        assert_eq!(usim.sqn_ms(), Sqn::default());
        let foreign = Milenage::new(&[0x44; 16], &OPC)
            .vector(RAND, Sqn::of(5, 0), [0x80, 0])
            .autn;
        assert_eq!(usim.authenticate(&RAND, &foreign), Err(UsimError::MacFailure));
    }

    #[test]
    fn a_replayed_challenge_is_a_synchronisation_failure_with_the_highest_sqn() {
        let mut usim = Usim::new(&K, &OPC);
        usim.authenticate(&RAND, &challenge(Sqn::of(9, 1))).unwrap();
        let replay = usim.authenticate(&RAND, &challenge(Sqn::of(9, 1)));
        assert_eq!(sqn_of_failure(replay), Some(Sqn::of(9, 1)));
    }

    #[test]
    fn an_older_seq_is_accepted_at_another_index_only() {
        let mut usim = Usim::new(&K, &OPC).with_sqn(Sqn::of(100, 4));
        assert!(usim.authenticate(&RAND, &challenge(Sqn::of(90, 5))).is_ok());
        assert_eq!(usim.sqn_ms(), Sqn::of(100, 4));
        let old = usim.authenticate(&RAND, &challenge(Sqn::of(90, 4)));
        assert_eq!(sqn_of_failure(old), Some(Sqn::of(100, 4)));
    }

    #[test]
    fn a_seq_older_than_the_age_limit_is_refused() {
        let mut usim = Usim::new(&K, &OPC).with_age_max(32);
        usim.authenticate(&RAND, &challenge(Sqn::of(100, 4))).unwrap();
        assert!(usim.authenticate(&RAND, &challenge(Sqn::of(68, 5))).is_ok());
        let old = usim.authenticate(&RAND, &challenge(Sqn::of(67, 6)));
        assert_eq!(sqn_of_failure(old), Some(Sqn::of(100, 4)));
    }

    #[test]
    fn a_usim_with_a_history_refuses_what_lies_before_it_at_any_index() {
        let mut usim = Usim::new(&K, &OPC).with_sqn(Sqn::of(1000, 31));
        for ind in 0..32 {
            let old = usim.authenticate(&RAND, &challenge(Sqn::of(969, ind)));
            assert_eq!(sqn_of_failure(old), Some(Sqn::of(1000, 31)), "{ind}");
        }
    }

    #[test]
    fn a_jump_beyond_delta_is_refused_and_one_of_delta_is_accepted() {
        let mut usim = Usim::new(&K, &OPC).with_sqn(Sqn::of(10, 0));
        let far = usim.authenticate(&RAND, &challenge(Sqn::of(11 + SEQ_DELTA_MAX, 1)));
        assert_eq!(sqn_of_failure(far), Some(Sqn::of(10, 0)));
        assert!(
            usim.authenticate(&RAND, &challenge(Sqn::of(10 + SEQ_DELTA_MAX, 1)))
                .is_ok()
        );
    }

    #[test]
    fn after_the_network_follows_auts_the_next_challenge_is_accepted() {
        let mut usim = Usim::new(&K, &OPC).with_sqn(Sqn::of(1000, 31));
        let behind = usim.authenticate(&RAND, &challenge(Sqn::of(3, 31)));
        let sqn_he = sqn_of_failure(behind).unwrap();
        assert!(usim.authenticate(&RAND, &challenge(sqn_he.next())).is_ok());
    }
}
