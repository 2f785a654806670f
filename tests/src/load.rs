//! Shell: very many phones in one thread, at a rate that no answer slows down (open loop), or so many at a time.
#![allow(clippy::disallowed_methods, reason = "shell")]

mod answer;
pub mod bench;
pub mod comeback;
pub mod figures;
mod kamailio;
mod maximum;
mod phone;
pub mod protected;
mod protection;
mod relay;
mod report;
pub mod responder;
mod run;
pub mod scaling;
mod stub;
mod system;
pub(crate) mod talk;
mod watched;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use report::Report;
pub use run::run;
pub use system::System;

/// The first IMSI of the phones, unless said.
pub const FIRST_IMSI: u64 = 1_010_000_100_000;

/// What the phones do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Initial registrations with a challenge.
    Register,
    /// Registrations again of registered phones.
    Reregister,
    /// Registered phones leave.
    Deregister,
    /// Of ten that are registered, seven register again and three leave; the others register.
    Mixed,
    /// Registered phones call each other: INVITE with an offer, 180, 200, ACK, `--hold`, BYE, 200.
    Calls,
    /// Registered phones write to each other: MESSAGE, 200.
    Messages,
}

impl Scenario {
    /// What phones say to each other, if anything.
    const fn talk(self) -> Option<talk::Kind> {
        match self {
            Self::Register | Self::Reregister | Self::Deregister | Self::Mixed => None,
            Self::Calls => Some(talk::Kind::Call),
            Self::Messages => Some(talk::Kind::Message),
        }
    }
}

/// What to do, and to whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Plan {
    /// Address and port of the P-CSCF.
    #[arg(long, default_value = "127.0.1.1:5060")]
    pub pcscf: SocketAddr,
    /// The first address of the phones; the others follow.
    #[arg(long, default_value = "127.66.0.1")]
    pub base: Ipv4Addr,
    /// How many addresses (and sockets) the phones share.
    #[arg(long, default_value_t = 1_000)]
    pub addresses: u32,
    /// The port at each address.
    #[arg(long, default_value_t = 5060)]
    pub port: u16,
    /// The first IMSI, as a number.
    #[arg(long, default_value_t = FIRST_IMSI)]
    pub first_imsi: u64,
    /// How many phones.
    #[arg(long, default_value_t = 1_000)]
    pub users: u32,
    /// Operations a second.
    #[arg(long, default_value_t = 100.0)]
    pub rate: f64,
    /// How many operations; one of each phone unless said.
    #[arg(long)]
    pub operations: Option<u64>,
    /// Registrations a second before the scenarios that begin with registered phones.
    #[arg(long, default_value_t = 200.0)]
    pub prepare_rate: f64,
    /// The seconds that the phones ask for.
    #[arg(long, default_value_t = 600_000)]
    pub expires: u32,
    /// Seconds after which an operation has failed.
    #[arg(long, default_value_t = 32)]
    pub patience: u64,
    /// Seconds between ACK and BYE of a call.
    #[arg(long, default_value_t = 0.1)]
    pub hold: f64,
    /// Filter criteria of each user that look at its calls and messages and match none; of `bench`.
    #[arg(long, default_value_t = 0)]
    pub criteria: u32,
    /// Application servers in the way of each call and message, which give it back; of `bench` of ours.
    #[arg(long, default_value_t = 0)]
    pub app_servers: u32,
    /// Seconds of rest before memory is read at the end.
    #[arg(long, default_value_t = 0)]
    pub settle: u64,
    /// K, 32 hex digits; a test key unless said.
    #[arg(long)]
    pub k: Option<String>,
    /// OPc, 32 hex digits.
    #[arg(long)]
    pub opc: Option<String>,
    /// Processes whose time and memory count, `name=pid`.
    #[arg(long)]
    pub watch: Vec<String>,
    /// Shards of each daemon of ours.
    #[arg(long, default_value_t = 1)]
    pub shards: u8,
    /// So many operations at a time, each begun when one has ended, but no faster than the rate (a closed loop).
    #[arg(long)]
    pub window: Option<usize>,
    /// With security associations in the kernel of this network namespace, which has the policies already.
    #[arg(long)]
    pub ipsec: bool,
    /// What the phones do.
    #[arg(long, value_enum, default_value = "register")]
    pub scenario: Scenario,
}

impl Plan {
    /// The plan of an empty command line.
    fn default_values() -> Self {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            plan: Plan,
        }
        <Line as clap::Parser>::parse_from(["load"]).plan
    }

    const fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}
