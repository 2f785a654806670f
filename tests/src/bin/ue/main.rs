//! Shell: a phone on the command line, and the card in it.
#![allow(clippy::disallowed_methods, reason = "shell")]

mod card;
mod identity;
mod letter;
mod network;
mod number;
mod options;
mod out;
mod phone;
mod slot;
mod teller;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ims_tests::card::wording::printable;

use self::card::CardCommand;
use self::phone::PhoneCommand;
use self::usage::Usage;

/// A VoLTE phone: registers with a P-CSCF, calls, texts, is called, leaves, and prints what was said.
///
/// Exit status: 0 when all went well, 1 when not, 2 when the command line is wrong.
#[derive(Parser)]
#[command(name = "ue", version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Phone(PhoneCommand),
    /// Look at the card in a reader.
    Card {
        #[command(subcommand)]
        command: CardCommand,
    },
}

fn main() -> ExitCode {
    let done = match Program::parse().command {
        Command::Phone(command) => command.run(),
        Command::Card { command } => command.run(),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    // What a card or a network says is no command for a terminal.
    out::beside(format_args!("ue: {}", printable(&format!("{error:#}"))));
    match error.is::<Usage>() {
        true => ExitCode::from(2),
        false => ExitCode::FAILURE,
    }
}
