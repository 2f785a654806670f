//! Shell: the lab: three real daemons, the embedded HSS, two phones, and a live ladder.
#![allow(clippy::disallowed_methods, reason = "shell")]

use clap::Parser;
use ims_tests::lab::{self, Place};

/// Starts the P-CSCF, the I-CSCF and the S-CSCF with an embedded HSS on loopback, and lets two phones register,
/// refresh and leave. Without `--once` the phones stay and refresh until Ctrl-C.
#[derive(Parser)]
#[command(name = "lab", version)]
struct Arguments {
    /// One round, then exit: 0 when every step held. The environment variable ONCE does the same.
    #[arg(long)]
    once: bool,
    /// First three numbers of the loopback addresses, for a second lab on one machine.
    #[arg(long, default_value = "127.0.1", value_parser = network)]
    network: [u8; 3],
    /// With Gm protected by IPsec, in two network namespaces; wants privileges and a kernel with ESP, as the program
    /// `vm` brings them.
    #[arg(long)]
    ipsec: bool,
}

fn network(text: &str) -> Result<[u8; 3], String> {
    let numbers: Vec<u8> = text.split('.').map_while(|number| number.parse().ok()).collect();
    match numbers.as_slice() {
        [127, b, c] if text.split('.').count() == 3 => Ok([127, *b, *c]),
        _ => Err("expected three numbers, the first 127, as in 127.0.1".to_owned()),
    }
}

fn main() {
    let arguments = Arguments::parse();
    let once = arguments.once || std::env::var("ONCE").is_ok_and(|value| !value.is_empty() && value != "0");
    let place = match arguments.ipsec {
        true => Place::Namespaces,
        false => Place::Loopback(arguments.network),
    };
    if let Err(error) = lab::run(place, once) {
        eprintln!("lab: {error:#}");
        std::process::exit(1);
    }
}
