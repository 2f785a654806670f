//! Testkit: who a phone is, by ISIM or by IMSI, and what it proves it with.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ims_common::identity::{IdentityError, Impi, Impu, Realm};

use crate::card::session::{Aka, AkaFailure};
use crate::usim::{Res, Usim};

/// The names of a phone (TS 23.003 13).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UeIdentity {
    /// Private identity, the digest's username.
    pub impi: String,
    /// The public identity it registers.
    pub impu: String,
    /// The home network's domain, the Request-URI and the realm.
    pub home: String,
}

impl UeIdentity {
    /// Names from an ISIM.
    #[must_use]
    pub fn isim(impi: &str, impu: &str, home: &str) -> Self {
        Self {
            impi: impi.to_owned(),
            impu: impu.to_owned(),
            home: home.to_owned(),
        }
    }

    /// Names derived from an IMSI whose MNC has `mnc_digits` digits (TS 23.003 13.2, 13.3, 13.4B).
    #[must_use]
    pub fn from_imsi(imsi: &str, mnc_digits: usize) -> Self {
        let mcc = imsi.get(..3).unwrap_or_default();
        let mnc = imsi.get(3..3 + mnc_digits).unwrap_or_default();
        let home = format!("ims.mnc{mnc:0>3}.mcc{mcc}.3gppnetwork.org");
        Self {
            impi: format!("{imsi}@{home}"),
            impu: format!("sip:{imsi}@{home}"),
            home,
        }
    }

    /// That these names can stand in a REGISTER: what a card or a user says need not.
    ///
    /// # Errors
    /// Which of them cannot.
    pub fn check(&self) -> Result<(), BadName> {
        let named = |what, name: &str, error| BadName {
            what,
            name: name.to_owned(),
            error,
        };
        let Self { impi, impu, home } = self;
        Impi::parse(impi).map_err(|error| named("private identity", impi, error))?;
        Impu::parse(impu).map_err(|error| named("public identity", impu, error))?;
        Realm::parse(home).map_err(|error| named("home domain", home, error))?;
        Ok(())
    }

    /// The part of the private identity before the `@`.
    #[must_use]
    pub fn user(&self) -> &str {
        self.impi.split('@').next().unwrap_or_default()
    }
}

/// A name that cannot stand in a REGISTER.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the {what} {name:?} cannot stand in a REGISTER: {error}")]
pub struct BadName {
    /// What it should be.
    pub what: &'static str,
    /// What it is.
    pub name: String,
    /// Why it cannot.
    pub error: IdentityError,
}

/// What a phone proves its names with.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A USIM: IMS AKA.
    Aka(Usim),
    /// A card in a reader, or a virtual one: IMS AKA, and the keys are where nobody reads them.
    Card(SharedCard),
    /// A password: SIP Digest (TS 33.203 Annex N).
    Digest(String),
}

/// A card that answers challenges. Copies of it are the same card.
#[derive(Clone)]
pub struct SharedCard(Arc<Mutex<Box<dyn Aka>>>);

impl SharedCard {
    /// This card.
    pub fn new(card: impl Aka + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(card))))
    }

    /// Runs AUTHENTICATE on it.
    ///
    /// # Errors
    /// When the card refuses the challenge, or does not answer.
    pub fn authenticate(&self, rand: &[u8; 16], autn: &[u8; 16]) -> Result<Res, AkaFailure> {
        let mut card = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        card.authenticate(rand, autn)
    }
}

impl fmt::Debug for SharedCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a card")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_two_digit_mnc_gets_a_leading_zero() {
        let identity = UeIdentity::from_imsi("001010000000001", 2);
        assert_eq!(identity.home, "ims.mnc001.mcc001.3gppnetwork.org");
        assert_eq!(
            identity.impu,
            "sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org"
        );
        assert_eq!(identity.user(), "001010000000001");
    }

    #[test]
    fn names_that_would_break_a_register_are_told() {
        let fine = UeIdentity::from_imsi("001010000000001", 2);
        assert_eq!(fine.check(), Ok(()));
        let wrong = |change: fn(&mut UeIdentity)| {
            let mut names = fine.clone();
            change(&mut names);
            names.check().map_err(|bad| bad.what)
        };
        assert_eq!(wrong(|names| names.impi.push('"')), Err("private identity"));
        assert_eq!(
            wrong(|names| names.impu = "sip:a>b@h".to_owned()),
            Err("public identity")
        );
        assert_eq!(
            wrong(|names| names.home = "h:1 SIP/2.0".to_owned()),
            Err("home domain")
        );
        assert_eq!(wrong(|names| names.home.clear()), Err("home domain"));
    }
}
