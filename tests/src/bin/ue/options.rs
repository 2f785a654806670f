//! Shell: what the command line says of a phone.

use anyhow::{Context as _, Result};
use clap::Args;
use ims_common::net::Transport;
use ims_tests::ue::UeConfig;
use ims_tests::ue::security::{Misdeed, UeSecurity, Verify};
use ims_tests::ue::shape::{self, Shape};
use ims_tests::ue::talk::{Answer, Manner};

use crate::network::{Host, parse_host, parse_local};
use crate::number::Target;
use crate::slot::PinOptions;
use crate::usage::Usage;

/// What every command of a phone takes.
#[derive(Args)]
pub(crate) struct PhoneOptions {
    #[command(flatten)]
    pub(crate) network: NetworkOptions,
    #[command(flatten)]
    pub(crate) proof: ProofOptions,
    #[command(flatten)]
    pub(crate) security: SecurityOptions,
    #[command(flatten)]
    pub(crate) manner: MannerOptions,
    #[command(flatten)]
    pub(crate) course: CourseOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

/// Where the phone is, and where its network.
#[derive(Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkOptions {
    /// The P-CSCF: an address (IPv6 in brackets when a port follows) or a name; port 5060 unless said. Without, that of the
    /// card (EF_P-CSCF).
    #[arg(long, value_name = "HOST[:PORT]", value_parser = parse_host, required_unless_present = "card")]
    pub(crate) pcscf: Option<Host>,
    /// Our own address; port 5060 unless said. Without, the one by which the system reaches the P-CSCF.
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = parse_local)]
    pub(crate) local: Option<std::net::SocketAddr>,
    /// The network namespace to be in, as `ip netns` names it.
    #[arg(long, value_name = "NAME")]
    pub(crate) netns: Option<String>,
    /// The network interface to go by, whatever the routes say.
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Over TCP.
    #[arg(long)]
    pub(crate) tcp: bool,
}

impl NetworkOptions {
    pub(crate) const fn transport(&self) -> Transport {
        if self.tcp { Transport::Tcp } else { Transport::Udp }
    }
}

/// Who the phone is: by a card, or by an IMSI with its keys.
#[derive(Args)]
#[command(next_help_heading = "Identity")]
pub(crate) struct ProofOptions {
    /// By the card in this reader (part of its name is enough), or in the first reader that has one.
    #[arg(long, value_name = "READER", num_args = 0..=1, conflicts_with_all = ["imsi", "k", "opc", "sqn", "mnc_digits"])]
    pub(crate) card: Option<Option<String>>,
    #[command(flatten)]
    pub(crate) pin: PinOptions,
    /// By this IMSI.
    #[arg(long, required_unless_present = "card", requires = "k", requires = "opc")]
    pub(crate) imsi: Option<String>,
    /// Digits of the MNC in the IMSI.
    #[arg(long, default_value_t = 2, value_parser = parse_mnc_digits)]
    pub(crate) mnc_digits: usize,
    /// K, 32 hex digits.
    #[arg(long, value_name = "HEX")]
    pub(crate) k: Option<String>,
    /// OPc, 32 hex digits.
    #[arg(long, value_name = "HEX")]
    pub(crate) opc: Option<String>,
    /// Highest sequence number that the USIM has seen (48 bits); one above the HSS's makes it ask for resynchronisation.
    #[arg(long, default_value_t = 0)]
    pub(crate) sqn: u64,
}

/// How Gm is protected.
#[derive(Args)]
#[command(next_help_heading = "Security")]
pub(crate) struct SecurityOptions {
    /// With security associations in the kernel, as a phone with a card does anyway; needs CAP_NET_ADMIN. Use a network
    /// namespace where a P-CSCF or another phone is on this machine.
    #[arg(long)]
    ipsec: bool,
    /// With a card, too, without IPsec.
    #[arg(long, conflicts_with = "ipsec")]
    clear: bool,
    /// With IPsec: Security-Verify is not a copy of Security-Server but says the same in other words.
    #[arg(long)]
    reordered_verify: bool,
    /// With IPsec: what the phone does wrong.
    #[arg(long, value_enum, default_value = "none")]
    misdeed: Misdeed,
}

/// How the phone speaks.
#[derive(Args)]
#[command(next_help_heading = "Manner")]
pub(crate) struct MannerOptions {
    /// The phone family whose messages to send.
    #[arg(long, default_value = "volte", value_parser = parse_shape)]
    shape: Shape,
    /// The seconds to ask for.
    #[arg(long, default_value_t = 600_000)]
    expires: u32,
    /// Calls without preconditions and reliable provisional answers.
    #[arg(long)]
    simple: bool,
    /// Subscribe to the registration state.
    #[arg(long)]
    subscribe: bool,
    /// When it is called: refuse with this status, instead of answering after a second.
    #[arg(long, value_name = "STATUS")]
    refuse: Option<u16>,
}

/// How the registration goes on.
#[derive(Args)]
#[command(next_help_heading = "Course")]
pub(crate) struct CourseOptions {
    /// So many registrations more after the first one.
    #[arg(long, default_value_t = 0)]
    pub(crate) again: u32,
    /// Seconds between them, and before the end.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub(crate) pause: u64,
    /// Seconds to wait for a registration; a phone of its own would wait 128 for each answer.
    #[arg(long, default_value_t = 40, value_name = "SECONDS")]
    pub(crate) patience: u64,
}

/// What is printed.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// Print one JSON object a line, for programs.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print each message, not only when something failed.
    #[arg(long)]
    pub(crate) ladder: bool,
}

/// Of `ue call`.
#[derive(Args)]
pub(crate) struct CallOptions {
    /// Whom to call: a SIP or tel URI, or a number.
    #[arg(long)]
    pub(crate) to: Target,
    /// Seconds to talk.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    #[command(flatten)]
    pub(crate) phone: PhoneOptions,
}

/// Of `ue message`.
#[derive(Args)]
pub(crate) struct MessageOptions {
    /// To whom: a SIP or tel URI, or a number.
    #[arg(long)]
    pub(crate) to: Target,
    /// What to write.
    #[arg(long, default_value = "Hello")]
    pub(crate) text: String,
    /// As a short message over IP (RP-DATA), through the service centre that the card names.
    #[arg(long)]
    pub(crate) sms: bool,
    /// Through this service centre: its number, or the URI of its public service identity.
    #[arg(long, value_name = "NUMBER|URI", requires = "sms")]
    pub(crate) service_centre: Option<Target>,
    #[command(flatten)]
    pub(crate) phone: PhoneOptions,
}

/// Of `ue wait`.
#[derive(Args)]
pub(crate) struct WaitOptions {
    /// Seconds to wait for calls and texts.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    #[command(flatten)]
    pub(crate) phone: PhoneOptions,
}

impl PhoneOptions {
    /// Whether Gm is to be protected: as a phone does that has a card.
    pub(crate) const fn is_protected(&self) -> bool {
        self.security.ipsec || (self.proof.card.is_some() && !self.security.clear)
    }

    /// The same phone, as the options want it.
    pub(crate) fn shaped(&self, config: UeConfig) -> UeConfig {
        let config = config
            .shape(self.manner.shape)
            .transport(self.network.transport())
            .expires(self.manner.expires)
            .manner(self.manner.manner());
        match self.is_protected() {
            true => config.security(self.security.security()),
            false => config,
        }
    }
}

impl MannerOptions {
    fn manner(&self) -> Manner {
        let manner = match self.simple {
            true => Manner::SIMPLE,
            false => Manner::VOLTE,
        };
        Manner {
            subscribes: self.subscribe,
            answer: self.refuse.map_or(manner.answer, Answer::Refuse),
            ..manner
        }
    }
}

impl SecurityOptions {
    fn security(&self) -> UeSecurity {
        UeSecurity {
            verify: match self.reordered_verify {
                true => Verify::Reordered,
                false => Verify::AsSent,
            },
            misdeed: self.misdeed,
            ..UeSecurity::default()
        }
    }
}

fn parse_mnc_digits(text: &str) -> Result<usize, String> {
    match text {
        "2" => Ok(2),
        "3" => Ok(3),
        _ => Err("an MNC has 2 or 3 digits".to_owned()),
    }
}

fn parse_shape(text: &str) -> Result<Shape, String> {
    let known = || std::iter::once(shape::VOLTE).chain(shape::ALL);
    let found = known().find(|shape| shape.name == text);
    found.ok_or_else(|| {
        let names: Vec<&str> = known().map(|shape| shape.name).collect();
        format!("the phone families are {}", names.join(", "))
    })
}

/// A key. What is wrong with it is told without it.
pub(crate) fn key(text: Option<&str>, option: &str) -> Result<[u8; 16]> {
    let text = text.with_context(|| format!("{option} is missing"))?;
    let number = u128::from_str_radix(text, 16).ok();
    let number = number.filter(|_| text.len() == 32 && !text.starts_with('+'));
    let number = number.ok_or_else(|| Usage::error(format!("{option}: a key has 32 hex digits")))?;
    Ok(number.to_be_bytes())
}
