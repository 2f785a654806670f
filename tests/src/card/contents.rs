//! Testkit: what was read from a card.

use std::net::IpAddr;

use super::apdu::StatusWord;

/// What became of reading a file, or a record of one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Read<T> {
    /// It is there and means this.
    Is(T),
    /// It is there and nothing is written in it: all its octets are FF, or its value is empty.
    Empty,
    /// There is no such file.
    Absent,
    /// The card did not let it be read.
    Refused(StatusWord),
    /// What is written in it does not have the form that its specification gives.
    Malformed {
        /// What is wrong with it.
        why: String,
        /// What is written.
        octets: Vec<u8>,
    },
}

/// A file of records, in their order.
pub type Records<T> = Read<Vec<Read<T>>>;

impl<T> Read<T> {
    /// Its meaning, when it has one.
    pub const fn is(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Empty | Self::Absent | Self::Refused(_) | Self::Malformed { .. } => None,
        }
    }

    /// Turns the meaning into another.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Read<U> {
        match self {
            Self::Is(value) => Read::Is(turn(value)),
            Self::Empty => Read::Empty,
            Self::Absent => Read::Absent,
            Self::Refused(status) => Read::Refused(status),
            Self::Malformed { why, octets } => Read::Malformed { why, octets },
        }
    }
}

impl<T> Read<Vec<Read<T>>> {
    /// The records that mean something, with their numbers, which begin with 1.
    pub fn records(&self) -> impl Iterator<Item = (usize, &T)> {
        let records = self.is().map(Vec::as_slice).unwrap_or_default();
        (1..)
            .zip(records)
            .filter_map(|(number, record)| Some((number, record.is()?)))
    }
}

/// A card.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CardContents {
    /// What it said when it was switched on.
    pub atr: Vec<u8>,
    /// Its number (`EF_ICCID`, ETSI TS 102 221 13.2).
    pub iccid: Read<String>,
    /// Its applications (`EF_DIR`, ETSI TS 102 221 13.1).
    pub applications: Records<Application>,
    /// Its PIN of the application that is used.
    pub pin: Option<Pin>,
    /// What its ISIM says; `None`: the card has none.
    pub isim: Option<Isim>,
    /// What its USIM says; `None`: the card has none.
    pub usim: Option<Usim>,
}

/// An entry of `EF_DIR`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Application {
    /// Its identifier (ETSI TS 101 220).
    pub aid: Vec<u8>,
    /// Its name.
    pub label: Option<String>,
}

impl Application {
    /// First octets of the AID of each ISIM (ETSI TS 101 220 annex E).
    pub const ISIM: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x04];
    /// First octets of the AID of each USIM.
    pub const USIM: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02];
}

/// A PIN of the card.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pin {
    /// Its key reference: 01 to 08 for the applications, 11 for the universal PIN (ETSI TS 102 221 9.4.1).
    pub reference: u8,
    /// Whether it must be said.
    pub state: PinState,
}

/// Whether a PIN must be said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PinState {
    /// It is disabled.
    Disabled,
    /// It has been said.
    Verified,
    /// It must be said; so many tries remain.
    Wanted {
        /// Tries that remain.
        tries: u8,
    },
    /// It was wrong too often.
    Blocked,
    /// The card says something else.
    Unknown(StatusWord),
}

/// What an ISIM says (TS 31.103 4.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Isim {
    /// Its whole AID.
    pub aid: Vec<u8>,
    /// `EF_IMPI`, 6F02
    pub impi: Read<String>,
    /// `EF_DOMAIN`, 6F03
    pub domain: Read<String>,
    /// `EF_IMPU`, 6F04
    pub impus: Records<String>,
    /// `EF_AD`, 6FAD
    pub ad: Read<AdministrativeData>,
    /// `EF_IST`, 6F07
    pub ist: Read<ServiceTable>,
    /// `EF_P-CSCF`, 6F09
    pub pcscfs: Records<PcscfAddress>,
    /// `EF_SMSP`, 6F42
    pub smsp: Records<ShortMessageParameters>,
    /// `EF_PSISMSC`, 6FE5, of the ISIM or of `DF_TELECOM`
    pub psismsc: Records<String>,
}

/// What a USIM says (TS 31.102 4.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Usim {
    /// Its whole AID.
    pub aid: Vec<u8>,
    /// `EF_IMSI`, 6F07
    pub imsi: Read<String>,
    /// `EF_AD`, 6FAD
    pub ad: Read<AdministrativeData>,
    /// `EF_UST`, 6F38
    pub ust: Read<ServiceTable>,
    /// `EF_MSISDN`, 6F40: numbers, with `+` when they are international
    pub msisdns: Records<String>,
    /// `EF_SMSP`, 6F42
    pub smsp: Records<ShortMessageParameters>,
    /// `EF_PSISMSC`, 6FE5, of the USIM or of `DF_TELECOM`
    pub psismsc: Records<String>,
}

/// `EF_AD` (TS 31.102 4.2.18, TS 31.103 4.2.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdministrativeData {
    /// 00: normal operation; 80: type approval; others: see TS 31.102 4.2.18.
    pub operation: u8,
    /// Digits of the MNC in the IMSI, 2 or 3; an ISIM and old cards do not say it.
    pub mnc_digits: Option<u8>,
}

/// Numbers of the services that are available, of `EF_IST` or `EF_UST` (TS 31.103 4.2.7, TS 31.102 4.2.8).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServiceTable(pub Vec<u8>);

impl ServiceTable {
    /// P-CSCF address, of an ISIM.
    pub const ISIM_PCSCF_ADDRESS: usize = 1;
    /// P-CSCF discovery for IMS local breakout, of an ISIM.
    pub const ISIM_PCSCF_DISCOVERY: usize = 5;
    /// Support of SM-over-IP, of an ISIM.
    pub const ISIM_SM_OVER_IP: usize = 8;

    /// The service with this number, which begin with 1, is available.
    #[must_use]
    pub fn has(&self, service: usize) -> bool {
        let Some(index) = service.checked_sub(1) else {
            return false;
        };
        let octet = self.0.get(index / 8).copied().unwrap_or_default();
        octet >> (index % 8) & 1 == 1
    }

    /// The numbers of all services that are available.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        (1..=self.0.len() * 8).filter(|service| self.has(*service))
    }
}

/// A record of `EF_P-CSCF` (TS 31.103 4.2.8).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PcscfAddress {
    /// A name for DNS.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

/// A record of `EF_SMSP` (TS 31.102 4.2.27): what of it is used here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ShortMessageParameters {
    /// TS-Service Centre Address, with `+` when it is international.
    pub service_centre: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_counted_from_one_by_the_low_bit() {
        let table = ServiceTable(vec![0x91, 0x01]);
        assert_eq!(table.numbers().collect::<Vec<_>>(), [1, 5, 8, 9]);
        assert!(table.has(ServiceTable::ISIM_PCSCF_ADDRESS) && !table.has(2));
        assert!(!table.has(0) && !table.has(17));
    }

    #[test]
    fn records_keep_their_numbers() {
        let records: Records<u8> = Read::Is(vec![Read::Empty, Read::Is(7), Read::Absent, Read::Is(9)]);
        assert_eq!(records.records().collect::<Vec<_>>(), [(2, &7), (4, &9)]);
    }
}
