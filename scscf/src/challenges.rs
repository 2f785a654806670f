//! Table: challenges that wait for their answer, one per private identity (TS 24.229 5.4.1.2, 7.8).
//!
//! An AKA challenge lives until it is answered or reg-await-auth ends. A SIP Digest nonce lives on after
//! the first answer, with the nonce count that was used last (TS 24.229 5.4.1.2.1B; RFC 7616 3.4).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ims_common::aka::{AuthVector, Ha1};
use ims_common::identity::{Impi, Impu};
use ims_common::node::TimerTable;

use crate::register::ChallengeAnswer;

/// What is compared with the answer.
#[derive(Clone, Debug)]
pub(crate) enum Secret {
    /// IMS AKA.
    Aka(AuthVector),
    /// SIP Digest: one H(A1) per algorithm, the most preferred first (RFC 8760 2.4).
    Digest { realm: String, ha1s: Vec<Ha1> },
}

/// How far a challenge has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// No right answer yet.
    Unanswered,
    /// A SIP Digest nonce in use.
    InUse { nonce_count: u32, fresh_until: Instant },
}

/// How often this registration attempt has gone round already.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Attempts {
    /// Synchronisation failures, answered with a new vector.
    pub(crate) resynchronisations: u8,
    /// Answers without a response: the UE does not believe the network.
    pub(crate) refusals: u8,
}

/// One challenge.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub(crate) impu: Impu,
    pub(crate) call_id: Bytes,
    pub(crate) cseq: u32,
    /// What the challenged REGISTER itself had carried. It came before the challenge, so it is no answer to
    /// it, not even when the HSS gives the same nonce again.
    pub(crate) carried: ChallengeAnswer,
    pub(crate) nonce: String,
    pub(crate) secret: Secret,
    pub(crate) attempts: Attempts,
    /// The nonce before this one was right but too old (RFC 7616 3.3).
    pub(crate) stale: bool,
    pub(crate) progress: Progress,
    /// Origin-Host of the HSS that gave the secret.
    pub(crate) hss_host: Option<String>,
}

/// How long challenges live, and how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChallengeLimits {
    pub(crate) reg_await_auth: Duration,
    pub(crate) digest_nonce_lifetime: Duration,
    pub(crate) challenges: usize,
}

/// The table of challenges is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ChallengesFull;

/// The table.
#[derive(Debug)]
pub(crate) struct Challenges {
    limits: ChallengeLimits,
    by_impi: BTreeMap<Impi, Challenge>,
    timers: TimerTable<Impi>,
}

impl Challenges {
    pub(crate) fn new(limits: ChallengeLimits) -> Self {
        Self {
            limits,
            by_impi: BTreeMap::new(),
            timers: TimerTable::default(),
        }
    }

    pub(crate) fn get(&self, impi: &Impi) -> Option<&Challenge> {
        self.by_impi.get(impi)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_impi.len()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Starts reg-await-auth for a new challenge; the one before it is void (TS 24.229 5.4.1.2.1).
    pub(crate) fn issue(
        &mut self,
        now: Instant,
        impi: &Impi,
        challenge: Challenge,
    ) -> Result<(), ChallengesFull> {
        if self.by_impi.len() >= self.limits.challenges && !self.by_impi.contains_key(impi) {
            return Err(ChallengesFull);
        }
        self.timers.set(impi.clone(), now + self.limits.reg_await_auth);
        self.by_impi.insert(impi.clone(), challenge);
        Ok(())
    }

    /// Takes a challenge out: it was answered, or its IMPI is gone.
    pub(crate) fn take(&mut self, impi: &Impi) -> Option<Challenge> {
        self.timers.cancel(impi);
        self.by_impi.remove(impi)
    }

    /// Keeps a SIP Digest nonce after a right answer. It is remembered for a while after it went stale, so
    /// that a right answer to it can be told `stale=TRUE`.
    pub(crate) fn keep_in_use(&mut self, now: Instant, impi: &Impi, count: u32) {
        let Some(challenge) = self.by_impi.get_mut(impi) else {
            return;
        };
        let lifetime = self.limits.digest_nonce_lifetime;
        let fresh_until = match challenge.progress {
            Progress::Unanswered => now + lifetime,
            Progress::InUse { fresh_until, .. } => fresh_until,
        };
        challenge.progress = Progress::InUse {
            nonce_count: count,
            fresh_until,
        };
        self.timers.set(impi.clone(), fresh_until + lifetime);
    }

    /// Takes one challenge whose time is over.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<(Impi, Challenge)> {
        loop {
            let impi = self.timers.pop_expired(now)?;
            if let Some(challenge) = self.by_impi.remove(&impi) {
                return Some((impi, challenge));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Challenges {
        Challenges::new(ChallengeLimits {
            reg_await_auth: Duration::from_secs(240),
            digest_nonce_lifetime: Duration::from_secs(600),
            challenges: 1,
        })
    }

    fn impi(text: &str) -> Impi {
        Impi::parse(text).unwrap()
    }

    fn challenge(nonce: &str) -> Challenge {
        Challenge {
            impu: Impu::parse("sip:alice@home.example").unwrap(),
            call_id: Bytes::from_static(b"c1"),
            cseq: 1,
            carried: ChallengeAnswer::None,
            nonce: nonce.to_owned(),
            secret: Secret::Digest {
                realm: String::new(),
                ha1s: Vec::new(),
            },
            attempts: Attempts::default(),
            stale: false,
            progress: Progress::Unanswered,
            hss_host: None,
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "any instant serves as the origin of virtual time"
    )]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_challenge_expires_after_reg_await_auth_and_a_new_one_restarts_the_timer() {
        let (mut table, now) = (table(), origin());
        let alice = impi("alice@home.example");
        table.issue(now, &alice, challenge("n1")).unwrap();
        let later = now + Duration::from_secs(200);
        table.issue(later, &alice, challenge("n2")).unwrap();
        assert!(table.pop_expired(now + Duration::from_secs(240)).is_none());
        let (who, expired) = table.pop_expired(later + Duration::from_secs(240)).unwrap();
        assert_eq!((who, expired.nonce.as_str()), (alice, "n2"));
        assert_eq!(table.next_timeout(), None);
    }

    #[test]
    fn a_full_table_refuses_another_identity_but_not_a_restart_of_the_same_one() {
        let (mut table, now) = (table(), origin());
        let alice = impi("alice@home.example");
        table.issue(now, &alice, challenge("n1")).unwrap();
        assert_eq!(
            table.issue(now, &impi("bob@home.example"), challenge("n2")),
            Err(ChallengesFull)
        );
        assert_eq!(table.issue(now, &alice, challenge("n3")), Ok(()));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_digest_nonce_in_use_outlives_reg_await_auth_but_not_twice_its_lifetime() {
        let (mut table, now) = (table(), origin());
        let alice = impi("alice@home.example");
        table.issue(now, &alice, challenge("n1")).unwrap();
        table.keep_in_use(now, &alice, 1);
        table.keep_in_use(now + Duration::from_secs(500), &alice, 2);
        assert!(table.pop_expired(now + Duration::from_secs(1199)).is_none());
        assert!(table.pop_expired(now + Duration::from_secs(1200)).is_some());
    }
}
