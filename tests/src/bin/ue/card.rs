//! Shell: `ue card …`: what is on the card in a reader.

use anyhow::{Context as _, Result};
use clap::Subcommand;

/// What to do with the card.
#[derive(Subcommand)]
pub(crate) enum CardCommand {
    /// List the card readers.
    Readers,
}

impl CardCommand {
    /// Does it.
    ///
    /// # Errors
    /// When the readers, or the card, are not there.
    pub(crate) fn run(&self) -> Result<()> {
        match self {
            Self::Readers => readers(),
        }
    }
}

fn readers() -> Result<()> {
    let context = pcsc::Context::establish(pcsc::Scope::User).context("the PC/SC service does not run")?;
    for name in context.list_readers_owned()? {
        println!("{}", name.to_string_lossy());
    }
    Ok(())
}
