//! Testkit: what a phone makes of a challenge (TS 24.229 5.1.1.5, TS 33.203 6.1).

use ims_common::aka::Auts;

use super::digest::Asked;
use crate::card::channel::CardError;
use crate::card::session::AkaFailure;
use crate::ue::identity::Secret;
use crate::ue::{Behaviour, UeConfig, UeEvent};
use crate::usim::{Res, UsimError};

/// What a phone makes of a challenge.
pub(super) enum Judgement {
    /// It is answered with a password.
    Password(String),
    /// It is answered with RES, and there are keys.
    Good(Res),
    /// AUTN did not verify.
    Foreign,
    /// SQN was out of range.
    OutOfRange(Auts),
    /// The card has not judged it: nothing can be said to the network.
    CardFailed(CardError),
}

impl Judgement {
    /// Has the USIM, or the card, check the network's proof and give ours.
    pub(super) fn of(asked: Asked, config: &mut UeConfig) -> Self {
        let (rand, autn) = match asked {
            Asked::Password(password) => return Self::Password(password),
            Asked::Vector { rand, autn } => (rand, autn),
        };
        let result = match (config.behaviour, &mut config.secret) {
            (_, Secret::Digest(_)) => unreachable!("a phone with a password is asked for it"),
            (Behaviour::MacFailure, _) => Err(AkaFailure::Mac),
            (Behaviour::AlwaysResync, Secret::Aka(usim)) => Err(AkaFailure::Sync(usim.auts(&rand))),
            (_, Secret::Aka(usim)) => usim.authenticate(&rand, &autn).map_err(|error| match error {
                UsimError::MacFailure => AkaFailure::Mac,
                UsimError::SyncFailure(auts) => AkaFailure::Sync(auts),
            }),
            // A card's AUTS is the card's own: it is honest.
            (_, Secret::Card(card)) => card.authenticate(&rand, &autn),
        };
        match result {
            Ok(res) => Self::Good(res),
            Err(AkaFailure::Mac) => Self::Foreign,
            Err(AkaFailure::Sync(auts)) => Self::OutOfRange(auts),
            Err(AkaFailure::Card(error)) => Self::CardFailed(error),
        }
    }

    /// What the phone saw.
    pub(super) fn event(&self) -> Option<UeEvent> {
        match self {
            Self::Password(_) => None,
            Self::Good(_) => Some(UeEvent::NetworkAuthentic),
            Self::Foreign => Some(UeEvent::MacFailure),
            Self::OutOfRange(_) => Some(UeEvent::SyncFailure),
            Self::CardFailed(error) => Some(UeEvent::CardFailed(error.clone())),
        }
    }
}
