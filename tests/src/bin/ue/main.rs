//! Shell: a phone on the command line, and the card in it.
#![allow(clippy::disallowed_methods, reason = "shell")]

mod card;
mod options;
mod phone;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::card::CardCommand;
use self::options::{CallOptions, MessageOptions, PhoneOptions, WaitOptions};

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
    /// Register and end.
    Register(PhoneOptions),
    /// Register, then leave at once.
    Deregister(PhoneOptions),
    /// Register, call, talk, hang up, and leave.
    Call(CallOptions),
    /// Register, send a text, and leave.
    Message(MessageOptions),
    /// Register, be there for calls and texts, and leave.
    Wait(WaitOptions),
    /// Look at the card in a reader.
    Card {
        #[command(subcommand)]
        command: CardCommand,
    },
}

fn main() -> ExitCode {
    let done = match Program::parse().command {
        Command::Register(options) => phone::register(&options),
        Command::Deregister(options) => phone::deregister(&options),
        Command::Call(options) => phone::call(&options),
        Command::Message(options) => phone::message(&options),
        Command::Wait(options) => phone::wait(&options),
        Command::Card { command } => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ue: {error:#}");
            ExitCode::FAILURE
        }
    }
}
