//! Testkit: who a phone is by its card (TS 24.229 5.1.1.1A, TS 23.003 13).

use super::contents::{CardContents, Isim, PcscfAddress, Read, ServiceTable, Usim};
use super::session::Kind;
use crate::ue::identity::UeIdentity;

/// Who a phone is by its card.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CardIdentity {
    /// Its names.
    pub names: UeIdentity,
    /// Where they come from.
    pub origin: Origin,
    /// The card does not say how many digits the MNC of its IMSI has: the names are made with two.
    pub is_mnc_guessed: bool,
    /// P-CSCFs that the card names; a phone asks them when the network names none.
    pub pcscfs: CardPcscfs,
}

/// Through whom a phone sends short messages over IP (TS 24.341 5.3.1.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceCentre {
    /// Its public service identity, a URI: the Request-URI of the MESSAGE.
    pub psi: String,
    /// Its number, for the RP-DATA in it; empty when the card does not say it.
    pub number: String,
    /// The file that names it.
    pub file: &'static str,
    /// The application that this file is of.
    pub owner: Kind,
}

/// P-CSCFs of `EF_P-CSCF`, in their order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CardPcscfs {
    /// A phone looks at them; there may be none.
    Used(Vec<PcscfAddress>),
    /// A phone need not look at them, for the service table has neither service 1 nor service 5.
    Unused(Vec<PcscfAddress>),
}

/// Where a phone's names come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// From the ISIM; the public identity from this record of `EF_IMPU`.
    Isim {
        /// Record, from 1.
        record: usize,
    },
    /// Derived from the IMSI of the USIM, for the card has no ISIM.
    Usim,
}

/// Why a phone has no names by its card.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoIdentity {
    /// There is an ISIM, and it does not say this.
    #[error("the ISIM has no usable {0}")]
    Isim(&'static str),
    /// There is no ISIM, and the USIM does not say this.
    #[error("the card has no ISIM, and its USIM has no usable {0}")]
    Usim(&'static str),
    /// There is neither.
    #[error("the card has neither an ISIM nor a USIM")]
    NoApplication,
}

impl CardContents {
    /// Who a phone is by this card: by its ISIM when it has one, else by the IMSI of its USIM. The public identity is
    /// the first SIP URI of `EF_IMPU`: a REGISTER cannot be for a tel URI.
    ///
    /// # Errors
    /// What is missing.
    pub fn identity(&self) -> Result<CardIdentity, NoIdentity> {
        match (&self.isim, &self.usim) {
            (Some(isim), _) => {
                let impi = isim.impi.is().ok_or(NoIdentity::Isim("EF_IMPI"))?;
                let home = isim.domain.is().ok_or(NoIdentity::Isim("EF_DOMAIN"))?;
                let mut impus = isim.impus.records();
                let (record, impu) = impus
                    .find(|(_, impu)| is_sip(impu))
                    .ok_or(NoIdentity::Isim("EF_IMPU"))?;
                Ok(CardIdentity {
                    names: UeIdentity::isim(impi, impu, home),
                    origin: Origin::Isim { record },
                    is_mnc_guessed: false,
                    pcscfs: isim.pcscfs_of_phone(),
                })
            }
            (None, Some(usim)) => {
                let imsi = usim.imsi.is().ok_or(NoIdentity::Usim("EF_IMSI"))?;
                Ok(CardIdentity {
                    names: UeIdentity::from_imsi(imsi, usim.mnc_digits()),
                    origin: Origin::Usim,
                    is_mnc_guessed: usim.said_mnc_digits().is_none(),
                    pcscfs: CardPcscfs::Used(Vec::new()),
                })
            }
            (None, None) => Err(NoIdentity::NoApplication),
        }
    }
}

impl CardIdentity {
    /// Where its names come from, in words.
    #[must_use]
    pub fn origin_in_words(&self) -> String {
        match (self.origin, self.is_mnc_guessed) {
            (Origin::Isim { record }, _) => format!("the ISIM (EF_IMPU record {record})"),
            (Origin::Usim, false) => "the IMSI of the USIM".to_owned(),
            (Origin::Usim, true) => {
                "the IMSI of the USIM (with an MNC of 2 digits, which is a guess: EF_AD does not say it)"
                    .to_owned()
            }
        }
    }
}

impl Isim {
    /// What a phone takes of `EF_P-CSCF`: the file counts when service 1 or 5 of `EF_IST` is available (TS 31.103 4.2.7,
    /// 4.2.8).
    #[must_use]
    pub fn pcscfs_of_phone(&self) -> CardPcscfs {
        let is_on = |service| self.ist.is().is_some_and(|table| table.has(service));
        let named = self.pcscfs.records().map(|(_, address)| address.clone());
        let named = named.collect();
        match is_on(ServiceTable::ISIM_PCSCF_ADDRESS) || is_on(ServiceTable::ISIM_PCSCF_DISCOVERY) {
            true => CardPcscfs::Used(named),
            false => CardPcscfs::Unused(named),
        }
    }
}

impl Usim {
    /// Digits of the MNC; two when the card does not say it.
    #[must_use]
    pub fn mnc_digits(&self) -> usize {
        self.said_mnc_digits().unwrap_or(2)
    }

    /// Digits of the MNC as the card says them.
    #[must_use]
    pub fn said_mnc_digits(&self) -> Option<usize> {
        match &self.ad {
            Read::Is(ad) => ad.mnc_digits.map(usize::from),
            Read::Empty | Read::Absent | Read::Refused(_) | Read::Malformed { .. } => None,
        }
    }
}

impl CardContents {
    /// Through whom a phone with this card sends short messages over IP: the URI of the ISIM, that of the USIM, or the
    /// number of `EF_SMSP`.
    #[must_use]
    pub fn service_centre(&self) -> Option<ServiceCentre> {
        let (isim, usim) = (self.isim.as_ref(), self.usim.as_ref());
        let uris = [
            (Kind::Isim, isim.map(|isim| &isim.psismsc)),
            (Kind::Usim, usim.map(|usim| &usim.psismsc)),
        ];
        let numbers = [
            (Kind::Usim, usim.map(|usim| &usim.smsp)),
            (Kind::Isim, isim.map(|isim| &isim.smsp)),
        ];
        let number = numbers.into_iter().find_map(|(owner, file)| {
            let mut parameters = file?.records();
            let number = parameters.find_map(|(_, parameters)| parameters.service_centre.clone());
            Some((owner, number?))
        });
        let uri = uris.into_iter().find_map(|(owner, file)| {
            let (_, uri) = file?.records().next()?;
            Some((owner, uri.clone()))
        });
        match (uri, number) {
            (Some((owner, psi)), number) => Some(ServiceCentre {
                number: number.map_or_else(|| number_in(&psi), |(_, number)| number),
                psi,
                file: "EF_PSISMSC",
                owner,
            }),
            (None, Some((owner, number))) => Some(ServiceCentre {
                psi: format!("tel:{number}"),
                number,
                file: "EF_SMSP",
                owner,
            }),
            (None, None) => None,
        }
    }
}

/// The international number that a URI is of; empty when it is of none.
fn number_in(uri: &str) -> String {
    let (_, rest) = uri.split_once(":+").unwrap_or_default();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    match digits.is_empty() {
        true => digits,
        false => format!("+{digits}"),
    }
}

fn is_sip(impu: &str) -> bool {
    let scheme = impu.split(':').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips")
}

#[cfg(test)]
mod tests {
    use super::super::contents::AdministrativeData;
    use super::*;

    fn isim() -> Isim {
        Isim {
            aid: Vec::new(),
            impi: Read::Is("alice@ims.example".to_owned()),
            domain: Read::Is("ims.example".to_owned()),
            impus: Read::Is(vec![
                Read::Empty,
                Read::Is("tel:+15550001".to_owned()),
                Read::Is("sip:alice@ims.example".to_owned()),
            ]),
            ad: Read::Absent,
            ist: Read::Absent,
            pcscfs: Read::Absent,
            smsp: Read::Absent,
            psismsc: Read::Absent,
        }
    }

    fn usim(imsi: &str, mnc_digits: Option<u8>) -> Usim {
        Usim {
            aid: Vec::new(),
            imsi: Read::Is(imsi.to_owned()),
            ad: Read::Is(AdministrativeData {
                operation: 0,
                mnc_digits,
            }),
            ust: Read::Absent,
            msisdns: Read::Absent,
            smsp: Read::Absent,
            psismsc: Read::Absent,
        }
    }

    fn card(isim: Option<Isim>, usim: Option<Usim>) -> CardContents {
        CardContents {
            atr: Vec::new(),
            iccid: Read::Absent,
            applications: Read::Absent,
            pin: None,
            isim,
            usim,
        }
    }

    #[test]
    fn the_isim_goes_before_the_usim_and_a_sip_identity_before_a_number() {
        let card = card(Some(isim()), Some(usim("001010000000001", Some(2))));
        let identity = card.identity().unwrap();
        assert_eq!(identity.origin, Origin::Isim { record: 3 });
        let names = UeIdentity::isim("alice@ims.example", "sip:alice@ims.example", "ims.example");
        assert_eq!(identity.names, names);
    }

    #[test]
    fn without_an_isim_all_is_derived_from_the_imsi_and_the_length_of_its_mnc() {
        let home = |digits| {
            let card = card(None, Some(usim("001010000000001", digits)));
            card.identity().unwrap().names.home
        };
        assert_eq!(home(Some(2)), "ims.mnc001.mcc001.3gppnetwork.org");
        assert_eq!(home(Some(3)), "ims.mnc010.mcc001.3gppnetwork.org");
        assert_eq!(home(None), "ims.mnc001.mcc001.3gppnetwork.org");
    }

    #[test]
    fn a_length_of_the_mnc_that_the_card_does_not_say_is_said_to_be_a_guess() {
        let identity = |ad: Read<AdministrativeData>| {
            let mut usim = usim("001010000000001", None);
            usim.ad = ad;
            card(None, Some(usim)).identity().unwrap()
        };
        let data = |mnc_digits| AdministrativeData {
            operation: 0,
            mnc_digits,
        };
        let malformed = Read::Malformed {
            why: "it is short".to_owned(),
            octets: vec![0],
        };
        for silent in [Read::Is(data(None)), Read::Absent, malformed] {
            let words = identity(silent).origin_in_words();
            assert!(words.contains("2 digits, which is a guess"), "{words}");
        }
        let said = identity(Read::Is(data(Some(2))));
        assert_eq!(said.origin_in_words(), "the IMSI of the USIM");
    }

    #[test]
    fn a_p_cscf_of_the_card_is_for_a_phone_when_its_service_is_on() {
        let address = PcscfAddress::Name("pcscf.ims.example".to_owned());
        let of = |ist| {
            let mut isim = isim();
            isim.pcscfs = Read::Is(vec![Read::Is(address.clone())]);
            isim.ist = ist;
            card(Some(isim), None).identity().unwrap().pcscfs
        };
        let is_on = |octet| of(Read::Is(ServiceTable(vec![octet])));
        let named = vec![address.clone()];
        assert_eq!(is_on(0x01), CardPcscfs::Used(named.clone()));
        assert_eq!(is_on(0x10), CardPcscfs::Used(named.clone()));
        assert_eq!(is_on(0x80), CardPcscfs::Unused(named.clone()));
        assert_eq!(of(Read::Absent), CardPcscfs::Unused(named));
    }

    #[test]
    fn an_isim_that_is_there_and_empty_is_no_reason_to_take_the_usim() {
        let mut empty = isim();
        empty.impi = Read::Empty;
        let failed = card(Some(empty), Some(usim("001010000000001", Some(2)))).identity();
        assert_eq!(failed, Err(NoIdentity::Isim("EF_IMPI")));
        assert_eq!(card(None, None).identity(), Err(NoIdentity::NoApplication));
    }
}
