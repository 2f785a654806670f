//! Testkit: the PIN of a card: asked for without costing a try, and never said blindly (ETSI TS 102 221 9, 11.1.9).

use std::fmt;
use std::str::FromStr;

use ims_common::aka::Secret;

use super::Card;
use crate::card::apdu::{Command, StatusWord};
use crate::card::channel::{CardError, Channel, Transmit};
use crate::card::contents::{Pin, PinState};
use crate::card::files::fcp::{Fcp, PinStatus};

/// A PIN as a user says it: 4 to 8 digits.
#[derive(Clone, Debug)]
pub struct PinCode(Secret<Vec<u8>>);

/// A text is no PIN.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a PIN has 4 to 8 digits; nothing was said to the card")]
pub struct NoPinCode;

impl FromStr for PinCode {
    type Err = NoPinCode;

    fn from_str(text: &str) -> Result<Self, NoPinCode> {
        let is_pin = (4..=8).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
        is_pin.then(|| Self(Secret::new(text.into()))).ok_or(NoPinCode)
    }
}

/// Why a PIN was not accepted, or not said.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PinError {
    /// It is wrong.
    #[error("the PIN is wrong; {}", Tries(*.tries))]
    Wrong {
        /// Tries that remain.
        tries: u8,
    },
    /// It was wrong too often, now or before.
    #[error(
        "the PIN is blocked, for it was wrong too often: a phone can unblock it with the PUK of the card"
    )]
    Blocked,
    /// One try remains, and it was not allowed to use it.
    #[error(
        "the PIN was not said: only one try remains, and a wrong PIN would block the card; if you are sure of it, allow the last try"
    )]
    LastTry,
    /// The card does not tell how many tries remain.
    #[error(
        "the PIN was not said: the card does not tell how many tries remain, but {0}; if you are sure of the PIN, allow the last try"
    )]
    Unknown(StatusWord),
    /// The card refused otherwise, or is gone.
    #[error(transparent)]
    Card(#[from] CardError),
}

struct Tries(u8);

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("one try remains, and then the card is blocked"),
            tries => write!(f, "{tries} tries remain"),
        }
    }
}

const WHAT: &str = "VERIFY PIN";

impl<T: Transmit> Card<T> {
    /// The PIN of the application that a phone uses. It costs no try to ask for it.
    ///
    /// # Errors
    /// When the card is gone, or does not let the application be selected.
    pub fn pin(&mut self) -> Result<Option<Pin>, CardError> {
        match self.select_and_ask_pin() {
            Err(CardError::NoApplication) => Ok(None),
            asked => asked.map(Some),
        }
    }

    /// Says the PIN, when the card wants it: once, and only when more than one try remains or `last_try` is allowed.
    ///
    /// # Errors
    /// When it was wrong, or was not said.
    pub fn verify(&mut self, pin: &PinCode, last_try: bool) -> Result<(), PinError> {
        let wanted = self.pin()?.ok_or(CardError::NoApplication)?;
        match wanted.state {
            PinState::Disabled | PinState::Verified => return Ok(()),
            PinState::Blocked | PinState::Wanted { tries: 0 } => return Err(PinError::Blocked),
            PinState::Wanted { tries: 1 } if !last_try => return Err(PinError::LastTry),
            PinState::Unknown(status) if !last_try => return Err(PinError::Unknown(status)),
            PinState::Wanted { .. } | PinState::Unknown(_) => {}
        }
        let command = Command::verify(wanted.reference, pin.0.expose());
        let status = self.channel.send_once(WHAT, &command)?;
        match (status, status.tries()) {
            (StatusWord::BLOCKED, _) | (_, Some(0)) => Err(PinError::Blocked),
            (_, Some(tries)) => Err(PinError::Wrong { tries }),
            _ if status.is_ok() => {
                self.pin = Some(pin.clone());
                Ok(())
            }
            _ => Err(CardError::Refused { what: WHAT, status }.into()),
        }
    }

    /// What the card has said of the PIN when it was selected goes first: to the question for the tries, many cards tell
    /// them of a PIN that is disabled or has been said, too.
    pub(super) fn select_and_ask_pin(&mut self) -> Result<Pin, CardError> {
        let told = self.select_used()?.pin();
        let reference = told.map_or(PinStatus::FIRST, |pin| pin.reference);
        let state = match told {
            Some(pin) if !pin.enabled => PinState::Disabled,
            _ if self.pin.is_some() => PinState::Verified,
            _ => self.ask_pin(reference, told.is_some())?,
        };
        Ok(Pin { reference, state })
    }

    fn ask_pin(&mut self, reference: u8, is_enabled: bool) -> Result<PinState, CardError> {
        let status = self.channel.send_once(WHAT, &Command::pin_tries(reference))?;
        Ok(match (status, status.tries()) {
            (StatusWord::BLOCKED, _) | (_, Some(0)) => PinState::Blocked,
            (_, Some(tries)) => PinState::Wanted { tries },
            (StatusWord::DEACTIVATED, _) => PinState::Disabled,
            // ETSI TS 102 221 10.2.1.5: there is no such PIN, and the card has not said that one is enabled.
            (StatusWord::NO_SUCH_KEY, _) if !is_enabled => PinState::Disabled,
            _ if !status.is_ok() => PinState::Unknown(status),
            _ if is_enabled => PinState::Verified,
            _ => PinState::Disabled,
        })
    }
}

/// The PIN that was right in this session, for a card that has forgotten it.
pub(super) struct Unlocking<'a> {
    pin: &'a mut Option<PinCode>,
    reference: u8,
}

impl<'a> Unlocking<'a> {
    /// For the application that is selected.
    pub(super) fn of(pin: &'a mut Option<PinCode>, selected: &Fcp) -> Self {
        let reference = selected.pin().map_or(PinStatus::FIRST, |pin| pin.reference);
        Self { pin, reference }
    }

    /// Says it once more, while more than one try remains; whether the card took it. One that was not taken is not kept.
    pub(super) fn say_again<T: Transmit>(&mut self, channel: &mut Channel<T>) -> Result<bool, CardError> {
        let Some(pin) = self.pin.take() else {
            return Ok(false);
        };
        let asked = channel.send_once(WHAT, &Command::pin_tries(self.reference))?;
        if !matches!(asked.tries(), Some(2..)) {
            return Ok(false);
        }
        let said = channel.send_once(WHAT, &Command::verify(self.reference, pin.0.expose()))?;
        if said.is_ok() {
            *self.pin = Some(pin);
        }
        Ok(said.is_ok())
    }
}
