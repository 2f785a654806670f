//! Testkit: AUTHENTICATE and what a card answers to it (TS 31.102 7.1.2, TS 31.103 7.1.2, TS 33.102 6.3.3).

use std::fmt;

use ims_common::aka::{Auts, Secret};

use super::Card;
use super::pin::Unlocking;
use crate::card::apdu::{Command, StatusWord};
use crate::card::channel::{CardError, Transmit, broken};
use crate::usim::Res;

/// Why a card gives no RES.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AkaFailure {
    /// MAC-A is wrong.
    #[error(
        "MAC failure: this challenge was not made with the card's K and OPc; compare them, or OP and OPc, with what the HSS has"
    )]
    Mac,
    /// SQN is out of range; the AUTS tells the network where the card stands.
    #[error(
        "synchronisation failure: the card has seen this SQN or a later one, or it is too far ahead of the card; the HSS has \
         to follow its AUTS"
    )]
    Sync(Auts),
    /// The card refused, or is gone.
    #[error("{0}{remedy}", remedy = Remedy(.0))]
    Card(#[from] CardError),
}

impl<T: Transmit> Card<T> {
    /// Runs AUTHENTICATE on the ISIM, or on the USIM of a card without one.
    ///
    /// # Errors
    /// When the card does not accept the challenge, or does not answer.
    pub fn authenticate(&mut self, rand: &[u8; 16], autn: &[u8; 16]) -> Result<Res, AkaFailure> {
        let selected = self.select_used()?;
        let command = Command::authenticate(rand, autn);
        let mut reply = self.channel.send(WHAT, &command)?;
        if reply.status == StatusWord::SECURITY_STATUS
            && Unlocking::of(&mut self.pin, &selected).say_again(&mut self.channel)?
        {
            reply = self.channel.send(WHAT, &command)?;
        }
        match reply.status {
            status if status.is_ok() => decode(&reply.data),
            StatusWord::WRONG_MAC => Err(AkaFailure::Mac),
            status => Err(CardError::Refused { what: WHAT, status }.into()),
        }
    }
}

const WHAT: &str = "AUTHENTICATE";

/// A good answer: RES, CK, IK, and of some USIMs Kc, each with its length.
const SUCCESS: u8 = 0xDB;
/// The answer to a challenge that is out of range: AUTS with its length.
const SYNCHRONISATION_FAILURE: u8 = 0xDC;

fn decode(answer: &[u8]) -> Result<Res, AkaFailure> {
    let broken = |why: &str| AkaFailure::Card(broken(WHAT, why.to_owned()));
    let (tag, rest) = answer.split_first().ok_or_else(|| broken("it is empty"))?;
    match *tag {
        SUCCESS => decode_res(rest).map_err(broken),
        SYNCHRONISATION_FAILURE => {
            let (auts, _) = field(rest).ok_or_else(|| broken("it ends within AUTS"))?;
            let auts = auts.try_into().map_err(|_| broken("AUTS has not 14 octets"))?;
            Err(AkaFailure::Sync(Auts(auts)))
        }
        other => Err(broken(&format!("it begins with {other:02X}, not with DB or DC"))),
    }
}

fn decode_res(octets: &[u8]) -> Result<Res, &'static str> {
    let (res, rest) = field(octets).ok_or("it ends within RES")?;
    let (ck, rest) = field(rest).ok_or("it ends within CK")?;
    let (ik, _) = field(rest).ok_or("it ends within IK")?;
    if !(4..=16).contains(&res.len()) {
        return Err("RES has not 4 to 16 octets");
    }
    Ok(Res {
        res: Secret::new(res.to_vec()),
        ck: Secret::new(ck.try_into().map_err(|_| "CK has not 16 octets")?),
        ik: Secret::new(ik.try_into().map_err(|_| "IK has not 16 octets")?),
    })
}

/// A length and so many octets, and what is behind them.
fn field(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// What to do about a refusal, as the end of the sentence that tells it.
struct Remedy<'a>(&'a CardError);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CardError::Refused { status, .. } = self.0 else {
            return Ok(());
        };
        f.write_str(match *status {
            StatusWord::SECURITY_STATUS => "; the card wants its PIN first: say it (UE_PIN; sudo keeps it with --preserve-env=UE_PIN)",
            StatusWord::BLOCKED => "; the card wants its PUK, in a phone",
            StatusWord::CONDITIONS => {
                "; the application may not be activated on this card, which is for its vendor or operator to do"
            }
            StatusWord::NO_CONTEXT => {
                "; the application does not do AKA: it may have no algorithm or no key programmed"
            }
            StatusWord(0x6A88) => "; no key is programmed into the application",
            StatusWord(0x6D00 | 0x6E00) => "; this is no card for 3G or IMS authentication",
            _ => return Ok(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::files::octets;

    const CK: &str = "10 C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0";
    const IK: &str = "10 1B1B1B1B1B1B1B1B1B1B1B1B1B1B1B1B";

    fn decoded(parts: &[&str]) -> Result<Res, AkaFailure> {
        decode(&octets(&parts.concat()))
    }

    fn told(parts: &[&str]) -> String {
        decoded(parts).unwrap_err().to_string()
    }

    #[test]
    fn keys_are_read_with_kc_and_without_it() {
        for res in [
            "04 A1A2A3A4",
            "08 A1A2A3A4A5A6A7A8",
            "10 A1A2A3A4A5A6A7A8A1A2A3A4A5A6A7A8",
        ] {
            for kc in ["", "08 0102030405060708"] {
                let keys = decoded(&["DB", res, CK, IK, kc]).unwrap();
                assert_eq!(keys.res.expose()[..], octets(res)[1..]);
                assert_eq!((keys.ck.expose(), keys.ik.expose()), (&[0xC0; 16], &[0x1B; 16]));
                assert!(!format!("{keys:?}").contains("192"), "{keys:?}");
            }
        }
    }

    #[test]
    fn auts_is_read() {
        let failure = decoded(&["DC 0E 0102030405060708090A0B0C0D0E"]);
        let auts = Auts([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!(failure, Err(AkaFailure::Sync(auts)));
    }

    /// delta of TS 33.102 C.2.1 ends in an AUTS too.
    #[test]
    fn a_synchronisation_failure_says_that_sqn_may_be_too_far_ahead() {
        let told = AkaFailure::Sync(Auts([0; 14])).to_string();
        assert!(told.contains("or it is too far ahead"), "{told}");
    }

    #[test]
    fn an_answer_of_wrong_lengths_is_broken() {
        const BROKEN: &str = "the card's answer to AUTHENTICATE is broken: ";
        let rows = [
            (told(&[""]), "it is empty"),
            (told(&["DB"]), "it ends within RES"),
            (told(&["DB 08 A1A2"]), "it ends within RES"),
            (told(&["DB 04 A1A2A3A4"]), "it ends within CK"),
            (told(&["DB 04 A1A2A3A4", CK, "10 1B1B"]), "it ends within IK"),
            (told(&["DB 03 A1A2A3", CK, IK]), "RES has not 4 to 16 octets"),
            (
                told(&["DB 11 A1A2A3A4A5A6A7A8A1A2A3A4A5A6A7A8A9", CK, IK]),
                "RES has not 4 to 16 octets",
            ),
            (
                told(&["DB 04 A1A2A3A4", "08 C0C0C0C0C0C0C0C0", IK]),
                "CK has not 16 octets",
            ),
            (told(&["DB 04 A1A2A3A4", CK, "00"]), "IK has not 16 octets"),
            (
                told(&["DC 0D 0102030405060708090A0B0C0D"]),
                "AUTS has not 14 octets",
            ),
            (told(&["DC 0E 01"]), "it ends within AUTS"),
            (told(&["04 A1A2A3A4"]), "it begins with 04, not with DB or DC"),
        ];
        for (told, why) in rows {
            assert_eq!(told, format!("{BROKEN}{why}"));
        }
    }
}
