//! Shell: who the phone is: by the card in a reader, or by an IMSI with its keys.

use anyhow::{Context as _, Result};
use ims_tests::card::contents::{CardContents, PinState};
use ims_tests::card::identity::{CardPcscfs, ServiceCentre};
use ims_tests::milenage::Sqn;
use ims_tests::ue::identity::{Secret, SharedCard, UeIdentity};
use ims_tests::ue::verdict::Prover;
use ims_tests::usim::Usim;
use serde_json::json;

use crate::options::{ProofOptions, key};
use crate::slot::Slot;
use crate::teller::Teller;
use crate::usage::Usage;

/// Who the phone is, and what it proves that with.
pub(crate) struct Identity {
    /// Its names.
    pub(crate) names: UeIdentity,
    /// What it proves them with.
    pub(crate) secret: Secret,
    /// What that is, in words.
    pub(crate) prover: Prover,
    /// The P-CSCFs that the card names.
    pub(crate) pcscfs: CardPcscfs,
    /// The service centre that the card names.
    pub(crate) service_centre: Option<ServiceCentre>,
}

impl Identity {
    /// By the options. Tells what it finds.
    ///
    /// # Errors
    /// One sentence with the remedy.
    pub(crate) fn find(options: &ProofOptions, teller: &Teller) -> Result<Self> {
        let (identity, origin) = match &options.card {
            Some(reader) => by_card(reader.as_deref(), options, teller)?,
            None => (by_keys(options)?, "IMSI".to_owned()),
        };
        identity.names.check()?;
        let UeIdentity { impi, impu, home } = &identity.names;
        teller.fact(
            &format!("identity by {origin}: {impi}, registers {impu} at {home}"),
            &json!({"event": "identity", "by": origin, "impi": impi, "impu": impu, "home": home}),
        );
        Ok(identity)
    }
}

fn by_keys(options: &ProofOptions) -> Result<Identity> {
    let imsi = options.imsi.as_deref().context("--imsi is missing")?;
    let is_imsi = (6..=15).contains(&imsi.len()) && imsi.bytes().all(|digit| digit.is_ascii_digit());
    if !is_imsi {
        return Err(Usage::error(
            "--imsi: an IMSI has up to 15 digits, of MCC, MNC and subscriber",
        ));
    }
    let k = key(options.k.as_deref(), "--k")?;
    let opc = key(options.opc.as_deref(), "--opc")?;
    Ok(Identity {
        names: UeIdentity::from_imsi(imsi, options.mnc_digits),
        secret: Secret::Aka(Usim::new(&k, &opc).with_sqn(Sqn::new(options.sqn))),
        prover: Prover::Keys,
        pcscfs: CardPcscfs::Used(Vec::new()),
        service_centre: None,
    })
}

fn by_card(reader: Option<&str>, options: &ProofOptions, teller: &Teller) -> Result<(Identity, String)> {
    let mut slot = Slot::open(reader, &options.pin)?;
    slot.ensure_unlocked()?;
    let Slot { reader, mut card } = slot;
    let contents = card.read()?;
    tell_card(&reader, &contents, teller);
    let found = contents
        .identity()
        .context("no phone registers with this card; `ue card show` says what is on it")?;
    let origin = found.origin_in_words();
    let identity = Identity {
        names: found.names,
        secret: Secret::Card(SharedCard::new(card)),
        prover: Prover::Card,
        pcscfs: found.pcscfs,
        service_centre: contents.service_centre(),
    };
    Ok((identity, origin))
}

fn tell_card(reader: &str, contents: &CardContents, teller: &Teller) {
    let atr: String = contents.atr.iter().map(|octet| format!("{octet:02X}")).collect();
    let iccid = contents.iccid.is();
    let applications = match (&contents.isim, &contents.usim) {
        (Some(_), Some(_)) => "ISIM and USIM",
        (Some(_), None) => "ISIM",
        (None, Some(_)) => "USIM",
        (None, None) => "no application of a phone",
    };
    let pin = contents.pin.map(|pin| match pin.state {
        PinState::Disabled => "disabled",
        PinState::Verified => "verified",
        PinState::Wanted { .. } => "wanted",
        PinState::Blocked => "blocked",
        PinState::Unknown(_) => "unknown",
    });
    let number = iccid.map_or_else(String::new, |iccid| format!(" {iccid}"));
    let of_pin = pin.map_or_else(String::new, |pin| format!(", PIN {pin}"));
    teller.fact(
        &format!("card{number} in {reader}: {applications}{of_pin}, ATR {atr}"),
        &json!({
            "event": "card", "reader": reader, "atr": atr, "iccid": iccid, "isim": contents.isim.is_some(),
            "usim": contents.usim.is_some(), "pin": pin,
        }),
    );
}
