//! Shell: `ue card virtual`: a card that is none, for people without one.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use ims_tests::card::virtual_card::{CardDescription, Protocol, VirtualCard};
use ims_tests::card::vpcd;

use crate::out;
use crate::usage::Usage;

/// What is on the card. It is new each time: what it has accepted and how often its PIN was wrong is forgotten at the end.
#[derive(Args)]
pub(crate) struct VirtualOptions {
    /// All of it from a YAML file, whose keys are these: imsi, mnc_digits, isim, usim, impi, domain, impus, pcscfs, ist,
    /// msisdn, smsc, psismsc, k, opc, sqn, pin, tries, protocol, files, removed_at_authenticate, authenticate_status.
    #[arg(
        value_name = "FILE",
        conflicts_with = "imsi",
        required_unless_present = "imsi"
    )]
    file: Option<PathBuf>,
    /// Address of the virtual reader.
    #[arg(long, value_name = "IP:PORT", default_value = vpcd::ADDRESS)]
    at: SocketAddr,
    /// IMSI, with the names of TS 23.003 for an MNC of two digits.
    #[arg(long)]
    imsi: Option<String>,
    /// K, 32 hex digits; without it that of the testkit's subscribers.
    #[arg(long, value_name = "HEX", requires = "imsi")]
    k: Option<String>,
    /// OPc, 32 hex digits.
    #[arg(long, value_name = "HEX", requires = "imsi")]
    opc: Option<String>,
    /// The highest SQN that it has accepted.
    #[arg(long, requires = "imsi")]
    sqn: Option<u64>,
    /// A P-CSCF that it names, a name or an address. May be said several times.
    #[arg(long = "pcscf", value_name = "NAME", requires = "imsi")]
    pcscfs: Vec<String>,
    /// The number of its subscriber.
    #[arg(long, value_name = "NUMBER", requires = "imsi")]
    msisdn: Option<String>,
    /// It wants this PIN.
    #[arg(long, value_name = "DIGITS", requires = "imsi")]
    pin: Option<String>,
    /// It has no ISIM.
    #[arg(long, requires = "imsi")]
    usim_only: bool,
    /// It speaks T=1 instead of T=0.
    #[arg(long, requires = "imsi")]
    t1: bool,
}

impl VirtualOptions {
    /// Does it.
    ///
    /// # Errors
    /// When what is to be on the card makes none.
    pub(super) fn run(&self) -> Result<()> {
        let profile = match &self.file {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                let text = text.with_context(|| format!("cannot read {}", file.display()))?;
                let card: Result<CardDescription, _> = text.parse();
                let profile = card.and_then(|card| card.profile());
                profile.with_context(|| file.display().to_string())?
            }
            None => {
                let profile = self.described().profile();
                profile.map_err(|error| Usage::error(error.to_string()))?
            }
        };
        vpcd::serve(self.at, VirtualCard::new(profile), |said| out::line(said))
    }

    fn described(&self) -> CardDescription {
        CardDescription {
            imsi: self.imsi.clone().unwrap_or_default(),
            k: self.k.clone(),
            opc: self.opc.clone(),
            sqn: self.sqn,
            pcscfs: (!self.pcscfs.is_empty()).then(|| self.pcscfs.clone()),
            msisdn: self.msisdn.clone(),
            pin: self.pin.clone(),
            isim: Some(!self.usim_only),
            protocol: self.t1.then_some(Protocol::T1),
            ..CardDescription::default()
        }
    }
}
