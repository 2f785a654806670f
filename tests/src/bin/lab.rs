//! Shell: the lab: three real daemons, the embedded HSS, two phones, and a live ladder.
#![allow(clippy::disallowed_methods, reason = "shell")]

use clap::Parser;
use ims_tests::lab;

/// Starts the P-CSCF, the I-CSCF and the S-CSCF with an embedded HSS on loopback, and lets two phones register,
/// refresh and leave. Without `--once` the phones stay and refresh until Ctrl-C.
#[derive(Parser)]
#[command(name = "lab", version)]
struct Arguments {
    /// One round, then exit: 0 when every step held. The environment variable ONCE does the same.
    #[arg(long)]
    once: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let once = arguments.once || std::env::var("ONCE").is_ok_and(|value| !value.is_empty() && value != "0");
    if let Err(error) = lab::run(once) {
        eprintln!("lab: {error:#}");
        std::process::exit(1);
    }
}
