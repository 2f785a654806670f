//! Shell: what the command line says of a phone.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use ims_common::net::Transport;
use ims_tests::milenage::Sqn;
use ims_tests::ue::identity::{Secret, UeIdentity};
use ims_tests::ue::security::{Misdeed, UeSecurity, Verify};
use ims_tests::ue::talk::{Answer, Manner};
use ims_tests::ue::{UeConfig, shape};
use ims_tests::usim::Usim;

/// What every command of a phone takes.
#[derive(Args)]
pub(crate) struct PhoneOptions {
    /// Address of the P-CSCF; port 5060 unless said.
    #[arg(long)]
    pcscf: String,
    /// Our own address; port 5060 unless said.
    #[arg(long, default_value = "127.0.1.20")]
    local: String,
    /// IMSI.
    #[arg(long)]
    imsi: String,
    /// Digits of the MNC in the IMSI.
    #[arg(long, default_value_t = 2)]
    mnc_digits: usize,
    /// K, 32 hex digits.
    #[arg(long)]
    k: String,
    /// OPc, 32 hex digits.
    #[arg(long)]
    opc: String,
    /// Highest sequence number that the USIM has seen (48 bits); one above the HSS's makes it ask for resynchronisation.
    #[arg(long, default_value_t = 0)]
    sqn: u64,
    /// Over TCP.
    #[arg(long)]
    tcp: bool,
    /// The seconds to ask for.
    #[arg(long, default_value_t = 600_000)]
    expires: u32,
    /// The phone family whose messages to send.
    #[arg(long, default_value = "plain")]
    shape: String,
    /// With security associations in the kernel; needs CAP_NET_ADMIN. Use a network namespace: the policies of the phone's
    /// ports stay in the kernel when it ends, until it starts again at this address.
    #[arg(long)]
    ipsec: bool,
    /// With --ipsec: Security-Verify is not a copy of Security-Server but says the same in other words.
    #[arg(long)]
    reordered_verify: bool,
    /// With --ipsec: what the phone does wrong.
    #[arg(long, value_enum, default_value = "none")]
    misdeed: Misdemeanour,
    /// So many registrations more after the first one.
    #[arg(long, default_value_t = 0)]
    pub(crate) again: u32,
    /// Seconds between them, and before the end.
    #[arg(long, default_value_t = 0)]
    pub(crate) pause: u64,
    /// Print what happened as JSON, one object in a line, instead of a ladder.
    #[arg(long)]
    pub(crate) json: bool,
    /// Calls without preconditions and reliable provisional answers.
    #[arg(long)]
    simple: bool,
    /// Subscribe to the registration state.
    #[arg(long)]
    subscribe: bool,
    /// When it is called: refuse with this status, instead of answering after a second.
    #[arg(long)]
    refuse: Option<u16>,
}

/// Of `ue call`.
#[derive(Args)]
pub(crate) struct CallOptions {
    /// Whom to call, a URI.
    #[arg(long)]
    pub(crate) to: String,
    /// Seconds to talk.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    #[command(flatten)]
    pub(crate) phone: PhoneOptions,
}

/// Of `ue message`.
#[derive(Args)]
pub(crate) struct MessageOptions {
    /// To whom, a URI.
    #[arg(long)]
    pub(crate) to: String,
    /// What to write.
    #[arg(long, default_value = "Hello")]
    pub(crate) text: String,
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

/// What a phone can be told to do wrong.
#[derive(Clone, Copy, ValueEnum)]
enum Misdemeanour {
    None,
    WrongVerify,
    NoVerify,
    ChangedClient,
    NoClient,
    OtherImpi,
    WrongKey,
    MessageOnTemporarySet,
    AnswerUnprotected,
    NeverAnswers,
}

/// The phone that the options describe.
///
/// # Errors
/// When an option is not what it should be.
pub(crate) fn config(arguments: &PhoneOptions) -> Result<UeConfig> {
    let usim = Usim::new(&key(&arguments.k, "--k")?, &key(&arguments.opc, "--opc")?)
        .with_sqn(Sqn::new(arguments.sqn));
    let shape = shape::ALL
        .into_iter()
        .find(|shape| shape.name == arguments.shape)
        .with_context(|| format!("no phone family is called {}", arguments.shape))?;
    let identity = UeIdentity::from_imsi(&arguments.imsi, arguments.mnc_digits);
    let transport = if arguments.tcp {
        Transport::Tcp
    } else {
        Transport::Udp
    };
    let (local, pcscf) = (address(&arguments.local)?, address(&arguments.pcscf)?);
    let config = UeConfig::new(identity, Secret::Aka(usim), local, pcscf)
        .shape(shape)
        .transport(transport)
        .expires(arguments.expires)
        .manner(manner(arguments));
    Ok(match arguments.ipsec {
        true => config.security(security(arguments)),
        false => config,
    })
}

fn manner(arguments: &PhoneOptions) -> Manner {
    let manner = match arguments.simple {
        true => Manner::SIMPLE,
        false => Manner::VOLTE,
    };
    Manner {
        subscribes: arguments.subscribe,
        answer: arguments.refuse.map_or(manner.answer, Answer::Refuse),
        ..manner
    }
}

fn security(arguments: &PhoneOptions) -> UeSecurity {
    UeSecurity {
        verify: match arguments.reordered_verify {
            true => Verify::Reordered,
            false => Verify::AsSent,
        },
        misdeed: match arguments.misdeed {
            Misdemeanour::None => Misdeed::None,
            Misdemeanour::WrongVerify => Misdeed::WrongVerify,
            Misdemeanour::NoVerify => Misdeed::NoVerify,
            Misdemeanour::ChangedClient => Misdeed::ChangedClient,
            Misdemeanour::NoClient => Misdeed::NoClient,
            Misdemeanour::OtherImpi => Misdeed::OtherImpi,
            Misdemeanour::WrongKey => Misdeed::WrongKey,
            Misdemeanour::MessageOnTemporarySet => Misdeed::MessageOnTemporarySet,
            Misdemeanour::AnswerUnprotected => Misdeed::AnswerUnprotected,
            Misdemeanour::NeverAnswers => Misdeed::NeverAnswers,
        },
        ..UeSecurity::default()
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse()
        .or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 5060)))
        .with_context(|| format!("{text} is not an address"))
}

fn key(text: &str, option: &str) -> Result<[u8; 16]> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
    Ok(number
        .with_context(|| format!("{option}: a key has 32 hex digits"))?
        .to_be_bytes())
}
