//! Shell: `ue card …`: what is on the card in a reader, and whether it fits.

mod aka;
mod virtual_card;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use ims_tests::card::core::Core;
use ims_tests::card::reader::readers;
use ims_tests::card::show::Report;
use ims_tests::card::wording::printable;

use self::aka::{AuthOptions, CheckOptions};
use self::virtual_card::VirtualOptions;
use crate::out;
use crate::slot::{PinOptions, Slot};

/// What to do with the card.
#[derive(Subcommand)]
pub(crate) enum CardCommand {
    /// List the card readers.
    Readers,
    /// Show what is on the card, what a phone will do with it, and what does not fit a core.
    Show(ShowOptions),
    /// Have the card answer a challenge, and say what its answer means.
    Auth(AuthOptions),
    /// Find out which of card, HSS and known keys is wrong. A challenge that the card accepts moves its SQN.
    Check(CheckOptions),
    /// Be a card: in the virtual reader of vsmartcard-vpcd, for people without a card, until interrupted.
    Virtual(Box<VirtualOptions>),
}

/// Which card, and how its PIN is said.
#[derive(Args)]
pub(crate) struct ReaderOptions {
    /// The reader, or a part of its name; without it the first one with a card.
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
    #[command(flatten)]
    pin: PinOptions,
}

impl ReaderOptions {
    /// The card, with its PIN said when there is one to say.
    fn open(&self) -> Result<Slot> {
        Slot::open(self.reader.as_deref(), &self.pin)
    }
}

#[derive(Args)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    reader: ReaderOptions,
    /// A configuration file of the core: of pcscf, icscf, scscf or hss. May be said several times.
    #[arg(long = "core", value_name = "FILE")]
    cores: Vec<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl CardCommand {
    /// Does it.
    ///
    /// # Errors
    /// When the readers, or the card, are not there, or something is wrong with the card.
    pub(crate) fn run(&self) -> Result<()> {
        match self {
            Self::Readers => list(),
            Self::Show(options) => show(options),
            Self::Auth(options) => options.run(),
            Self::Check(options) => options.run(),
            Self::Virtual(options) => options.run(),
        }
    }
}

fn list() -> Result<()> {
    for name in readers()? {
        out::line(printable(&name));
    }
    Ok(())
}

fn show(options: &ShowOptions) -> Result<()> {
    // A mistake in a file is told before the card is touched.
    let core = match options.cores.is_empty() {
        true => None,
        false => Some(Core::load(&options.cores)?),
    };
    let Slot { reader, mut card } = options.reader.open()?;
    let contents = card.read()?;
    let report = Report::new(&reader, &contents, core.as_ref());
    match options.json {
        true => out::line(serde_json::to_string_pretty(&report.json())?),
        false => out::text(&report),
    }
    if report.is_wrong() {
        bail!("something is wrong with this card, see above");
    }
    Ok(())
}
