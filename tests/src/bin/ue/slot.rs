//! Shell: the card in a reader, and its PIN.

use anyhow::{Result, bail};
use clap::Args;
use ims_tests::card::contents::PinState;
use ims_tests::card::reader::PcscReader;
use ims_tests::card::session::{Card, PinCode};

use crate::usage::Usage;

/// How the PIN of a card is said.
#[derive(Args)]
pub(crate) struct PinOptions {
    /// PIN of the card, 4 to 8 digits. Better in the environment variable UE_PIN, for others see command
    /// lines; sudo keeps it with --preserve-env=UE_PIN.
    #[arg(long, value_name = "DIGITS")]
    pin: Option<String>,
    /// Say the PIN also when only one try remains: a wrong one blocks the card.
    #[arg(long)]
    pin_last_try: bool,
}

impl PinOptions {
    fn code(&self) -> Result<Option<PinCode>> {
        let said = self.pin.clone().or_else(|| std::env::var("UE_PIN").ok());
        let said = said.filter(|text| !text.is_empty());
        let code = said.map(|text| text.parse::<PinCode>()).transpose();
        code.map_err(|error| Usage::error(error.to_string()))
    }
}

/// A card that can be used.
pub(crate) struct Slot {
    /// The reader's name.
    pub(crate) reader: String,
    /// The card.
    pub(crate) card: Card<PcscReader>,
}

impl Slot {
    /// Opens the card in the reader with this name, or in the first one that has a card, and says its PIN when there is
    /// one to say.
    ///
    /// # Errors
    /// One sentence with the remedy.
    pub(crate) fn open(reader: Option<&str>, pin: &PinOptions) -> Result<Self> {
        let code = pin.code()?;
        let transmit = PcscReader::open(reader)?;
        let reader = transmit.name();
        let mut card = Card::open(transmit)?;
        if let Some(code) = code {
            card.verify(&code, pin.pin_last_try)?;
        }
        Ok(Self { reader, card })
    }

    /// Nothing stands between a phone and the card: it wants no PIN, or has been told it.
    ///
    /// # Errors
    /// One sentence with the remedy.
    pub(crate) fn ensure_unlocked(&mut self) -> Result<()> {
        match self.card.pin()?.map(|pin| pin.state) {
            None | Some(PinState::Disabled | PinState::Verified) => Ok(()),
            // AUTHENTICATE says by itself when it wants the PIN, and that costs no try.
            Some(PinState::Unknown(_)) => Ok(()),
            Some(PinState::Wanted { tries }) => bail!(
                "the card wants its PIN ({tries} tries remain): say it in the environment variable UE_PIN (with sudo: sudo \
                 --preserve-env=UE_PIN ue …, for sudo drops it), or turn it off in a phone"
            ),
            Some(PinState::Blocked) => bail!(
                "the card's PIN is blocked, for it was wrong too often: a phone can unblock it with the PUK of the card"
            ),
        }
    }
}
