//! Shell: `ue card auth` and `ue card check`: what the card answers to challenges, and what that means.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use ims_common::aka::Secret;
use ims_tests::card::check::{self, BadInput, Keys, Operator, Question, Shown, Vector};
use ims_tests::card::core::Core;
use ims_tests::card::reader::PcscReader;
use ims_tests::card::session::Card;
use ims_tests::card::wording::printable;
use ims_tests::milenage::Sqn;
use rand::Rng as _;
use serde_json::json;

use super::ReaderOptions;
use crate::out;
use crate::slot::Slot;
use crate::usage::Usage;

/// What the card should have, and how the outcome is shown.
#[derive(Args)]
struct KnownOptions {
    /// K (Ki), 32 hex digits.
    #[arg(long, value_name = "HEX")]
    k: Option<String>,
    /// OPc, 32 hex digits.
    #[arg(long, value_name = "HEX", conflicts_with = "op")]
    opc: Option<String>,
    /// OP, 32 hex digits, instead of OPc.
    #[arg(long, value_name = "HEX")]
    op: Option<String>,
    /// AMF that the HSS is to use, 4 hex digits.
    #[arg(long, value_name = "HEX")]
    amf: Option<String>,
    /// A configuration file of the core: instead of --k and --opc, those of the subscriber with the card's IMPI in the file
    /// of the HSS. May be said several times.
    #[arg(long = "core", value_name = "FILE", conflicts_with = "k")]
    cores: Vec<PathBuf>,
    /// Show RES, CK, IK and OPc.
    #[arg(long)]
    show_keys: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Has the card answer one challenge.
#[derive(Args)]
pub(crate) struct AuthOptions {
    #[command(flatten)]
    reader: ReaderOptions,
    /// RAND, 32 hex digits.
    #[arg(long, value_name = "HEX")]
    rand: String,
    /// AUTN, 32 hex digits.
    #[arg(long, value_name = "HEX")]
    autn: String,
    #[command(flatten)]
    known: KnownOptions,
}

/// Compares card, HSS and keys.
#[derive(Args)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    reader: ReaderOptions,
    /// A vector of the HSS, in hex: RAND,AUTN or RAND,AUTN,XRES or RAND,AUTN,XRES,CK,IK.
    #[arg(long, value_name = "VECTOR")]
    hss_vector: Option<String>,
    /// SQN for a challenge made here, a number or 0x and 12 hex digits; without it the card is asked where it stands.
    #[arg(long, value_name = "SQN", conflicts_with = "hss_vector")]
    sqn: Option<String>,
    #[command(flatten)]
    known: KnownOptions,
}

impl AuthOptions {
    /// Does it.
    ///
    /// # Errors
    /// When there is no card, or something is wrong with it.
    pub(super) fn run(&self) -> Result<()> {
        let rand = check::key("--rand", &self.rand).map_err(usage)?;
        let autn = check::key("--autn", &self.autn).map_err(usage)?;
        let vector = Some(Vector::challenge(rand, autn));
        run(&self.reader, &self.known, vector, None)
    }
}

impl CheckOptions {
    /// Does it.
    ///
    /// # Errors
    /// When there is no card, or something is wrong with it.
    pub(super) fn run(&self) -> Result<()> {
        let vector = self.hss_vector.as_deref().map(str::parse).transpose();
        let sqn = self.sqn.as_deref().map(check::sqn).transpose();
        let sqn = sqn.map_err(usage)?;
        if sqn.is_some() && self.known.k.is_none() && self.known.cores.is_empty() {
            return Err(Usage::error(
                "--sqn is for a challenge made with keys: --k and --opc, or --core",
            ));
        }
        run(&self.reader, &self.known, vector.map_err(usage)?, sqn)
    }
}

fn usage(error: BadInput) -> anyhow::Error {
    Usage::error(error.to_string())
}

fn run(reader: &ReaderOptions, known: &KnownOptions, vector: Option<Vector>, sqn: Option<Sqn>) -> Result<()> {
    // Mistakes in options and files are told before the card is touched.
    let typed = known.typed()?;
    let amf = known.amf()?;
    let core = (!known.cores.is_empty()).then(|| Core::load(&known.cores));
    let core = core.transpose()?;
    let mut slot = reader.open()?;
    slot.ensure_unlocked()?;
    let Slot { reader, mut card } = slot;
    let application = card.application();
    let application = application.context("the card has neither an ISIM nor a USIM")?;
    let keys = match (typed, core) {
        (None, Some(core)) => Some(of_hss(&core, &mut card)?),
        (typed, _) => typed,
    };
    let keys = keys.map(|keys| Keys {
        amf: amf.or(keys.amf),
        ..keys
    });
    let mut chance = ims_common::shell::seed()?.rng(0);
    let question = Question { keys, vector, sqn };
    let check = check::run(&mut card, &question, &mut || chance.random());
    let shown = match known.show_keys {
        true => Shown::Keys,
        false => Shown::Outcome,
    };
    match known.json {
        true => {
            let check = serde_json::to_value(check.json(shown))?;
            let all = json!({"reader": reader, "application": application.to_string(), "check": check});
            out::line(serde_json::to_string_pretty(&all)?);
        }
        false => {
            out::line(format_args!(
                "Card        {application} in {}",
                printable(&reader)
            ));
            out::text(check.text(shown));
        }
    }
    if check.is_wrong() {
        bail!("something is wrong, see above");
    }
    Ok(())
}

impl KnownOptions {
    /// The keys of the command line.
    fn typed(&self) -> Result<Option<Keys>> {
        let secret = |name, text: &str| check::key(name, text).map(Secret::new).map_err(usage);
        let operator = match (&self.opc, &self.op) {
            (Some(opc), _) => Some(Operator::Opc(secret("--opc", opc)?)),
            (None, Some(op)) => Some(Operator::Op(secret("--op", op)?)),
            (None, None) => None,
        };
        match (&self.k, operator) {
            (Some(k), Some(operator)) => Ok(Some(Keys {
                whose: "given".to_owned(),
                k: secret("--k", k)?,
                operator,
                amf: None,
                sqn: None,
            })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Usage::error("--k is of no use without --opc or --op")),
            (None, Some(_)) => Err(Usage::error("--opc and --op are of no use without --k")),
        }
    }

    /// That of the command line, which goes before that of a file.
    fn amf(&self) -> Result<Option<[u8; 2]>> {
        let amf = self.amf.as_deref().map(check::amf).transpose().map_err(usage)?;
        if amf.is_some() && self.k.is_none() && self.cores.is_empty() {
            return Err(Usage::error(
                "--amf is of no use without keys: --k and --opc, or --core",
            ));
        }
        Ok(amf)
    }
}

/// Those of the subscriber that the card is.
fn of_hss(core: &Core, card: &mut Card<PcscReader>) -> Result<Keys> {
    let file = core.hss_in_words();
    if core.subscribers().is_none() {
        bail!("no file of an HSS is among those of --core: say --k and --opc instead");
    }
    let contents = card.read()?;
    let identity = contents
        .identity()
        .context("the HSS knows subscribers by names, and this card has none; `ue card show` says more")?;
    let impi = printable(&identity.names.impi);
    let subscriber = core
        .subscriber(&identity.names.impi)
        .with_context(|| format!("{file} has no subscriber with IMPI {impi}; `ue card show` says more"))?;
    Keys::of_subscriber(subscriber, &file)
        .with_context(|| format!("{file} has a password for IMPI {impi}, and no keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(amf: &str, cores: &[&str]) -> Result<Option<[u8; 2]>, String> {
        let known = KnownOptions {
            k: None,
            opc: None,
            op: None,
            amf: Some(amf.to_owned()),
            cores: cores.iter().map(PathBuf::from).collect(),
            show_keys: false,
            json: false,
        };
        known.amf().map_err(|error| error.to_string())
    }

    #[test]
    fn an_amf_that_is_none_or_is_not_used_is_told_by_the_options_alone() {
        assert_eq!(said("8000", &["hss.yaml"]), Ok(Some([0x80, 0])));
        assert_eq!(said("80", &["hss.yaml"]), Err("AMF has 4 hex digits".to_owned()));
        let unused = "--amf is of no use without keys: --k and --opc, or --core";
        assert_eq!(said("8000", &[]), Err(unused.to_owned()));
    }
}
