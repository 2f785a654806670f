//! Testkit: the session with a card: what a phone asks of it, in the order of a phone (ETSI TS 102 221 14, TS 31.103 5).

use std::fmt;

use self::reading::Directory;
use super::apdu::Command;
use super::channel::{CardError, Channel, Transmit, broken};
use super::contents::{Application, Read, Records};
use super::files::fcp::Fcp;
use super::files::{self, dir};
use crate::usim::Res;

mod aka;
mod pin;
mod reading;
#[cfg(test)]
mod tests;

pub use aka::AkaFailure;
pub use pin::{NoPinCode, PinCode, PinError};

/// What proves an identity to a network: a card in a reader, whatever the reader is.
pub trait Aka: Send {
    /// Runs AUTHENTICATE.
    ///
    /// # Errors
    /// When the card does not accept the challenge, or does not answer.
    fn authenticate(&mut self, rand: &[u8; 16], autn: &[u8; 16]) -> Result<Res, AkaFailure>;
}

/// A card, with its applications known.
#[derive(Debug)]
pub struct Card<T> {
    channel: Channel<T>,
    applications: Records<Application>,
    isim: Option<Adf>,
    usim: Option<Adf>,
    /// The PIN that was right in this session: some cards forget it when they are asked to select an application.
    pin: Option<PinCode>,
}

/// An application that a phone uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// IMS SIM (TS 31.103).
    Isim,
    /// Universal SIM (TS 31.102).
    Usim,
}

impl Kind {
    const fn prefix(self) -> [u8; 7] {
        match self {
            Self::Isim => Application::ISIM,
            Self::Usim => Application::USIM,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Isim => "ISIM",
            Self::Usim => "USIM",
        })
    }
}

/// An application's directory on the card.
#[derive(Clone, Debug)]
struct Adf {
    kind: Kind,
    aid: Vec<u8>,
}

impl Adf {
    fn select<T: Transmit>(&self, channel: &mut Channel<T>) -> Result<Fcp, CardError> {
        let what = match self.kind {
            Kind::Isim => "SELECT ADF.ISIM",
            Kind::Usim => "SELECT ADF.USIM",
        };
        let answer = channel.ask(what, &Command::select_application(&self.aid))?;
        // It is selected, whether or not it tells of itself in the way of a UICC.
        Ok(Fcp::decode(&answer).unwrap_or_default())
    }
}

const SELECT_MF: &str = "SELECT MF";

fn select<T: Transmit>(
    channel: &mut Channel<T>,
    what: &'static str,
    command: &Command,
) -> Result<Fcp, CardError> {
    let answer = channel.ask(what, command)?;
    Fcp::decode(&answer).map_err(|error| broken(what, error.to_string()))
}

impl<T: Transmit> Card<T> {
    /// Finds the applications of a card: by `EF_DIR`, or by their first octets when it says nothing.
    ///
    /// # Errors
    /// When the card or the reader is gone. That a card has no application is no error yet.
    pub fn open(transmit: T) -> Result<Self, CardError> {
        let mut card = Self {
            channel: Channel::new(transmit),
            applications: Read::Absent,
            isim: None,
            usim: None,
            pin: None,
        };
        card.find_applications()?;
        Ok(card)
    }

    /// The application that a phone uses for the IMS: the ISIM when there is one, else the USIM (TS 24.229 5.1.1.1A).
    pub fn application(&self) -> Option<Kind> {
        self.isim.as_ref().or(self.usim.as_ref()).map(|adf| adf.kind)
    }

    fn find_applications(&mut self) -> Result<(), CardError> {
        let mut mf = Directory::enter(&mut self.channel, SELECT_MF, files::MF)?;
        self.applications = mf.records(files::EF_DIR, dir::decode)?;
        self.isim = self.find(Kind::Isim)?;
        self.usim = self.find(Kind::Usim)?;
        Ok(())
    }

    /// The first application of a kind that the card says it has; of a card that says nothing, the one that can be
    /// selected.
    fn find(&mut self, kind: Kind) -> Result<Option<Adf>, CardError> {
        let Some((aid, is_listed)) = self.listed(kind) else {
            return Ok(None);
        };
        let mut adf = Adf { kind, aid };
        let selected = adf.select(&mut self.channel);
        if is_listed && matches!(selected, Err(CardError::Refused { .. })) {
            // What follows the first octets may be wrong in EF_DIR.
            let aid = kind.prefix().to_vec();
            let short = Adf { kind, aid };
            if short.select(&mut self.channel).is_ok() {
                return Ok(Some(short));
            }
        }
        match selected {
            Ok(fcp) => {
                let whole = fcp.name.filter(|name| name.starts_with(&adf.aid));
                adf.aid = whole.unwrap_or(adf.aid);
                Ok(Some(adf))
            }
            Err(CardError::Refused { .. }) if !is_listed => Ok(None),
            // It is there and cannot be used: whoever uses it is told why.
            Err(CardError::Refused { .. } | CardError::Broken { .. }) => Ok(Some(adf)),
            Err(error @ (CardError::Reader(_) | CardError::NoApplication)) => Err(error),
        }
    }

    /// The AID of the first application of a kind in `EF_DIR`, and that it stands there; its first octets when nothing
    /// is in `EF_DIR`.
    fn listed(&self, kind: Kind) -> Option<(Vec<u8>, bool)> {
        let prefix = kind.prefix();
        let mut aids = self
            .applications
            .records()
            .map(|(_, listed)| &listed.aid)
            .peekable();
        match aids.peek() {
            None => Some((prefix.to_vec(), false)),
            Some(_) => {
                let aid = aids.find(|aid| aid.starts_with(&prefix));
                aid.map(|aid| (aid.clone(), true))
            }
        }
    }

    /// Selects the application that is used.
    fn select_used(&mut self) -> Result<Fcp, CardError> {
        let used = self.isim.as_ref().or(self.usim.as_ref());
        used.ok_or(CardError::NoApplication)?.select(&mut self.channel)
    }
}

impl<T: Transmit + Send> Aka for Card<T> {
    fn authenticate(&mut self, rand: &[u8; 16], autn: &[u8; 16]) -> Result<Res, AkaFailure> {
        Self::authenticate(self, rand, autn)
    }
}
