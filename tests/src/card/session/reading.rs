//! Testkit: reading the files of a card (ETSI TS 102 221 11.1.3, 11.1.5).

use super::pin::{PinCode, Unlocking};
use super::{Adf, Card, SELECT_MF, select};
use crate::card::apdu::{Command, EXPECTED_MAX, Reply, StatusWord};
use crate::card::channel::{CardError, Channel, Transmit};
use crate::card::contents::{CardContents, Isim, Read, Records, Usim};
use crate::card::files::fcp::{Fcp, Structure};
use crate::card::files::{self, administrative_data, iccid, imsi, msisdn, pcscf, service_table, smsp, text};

/// Octets of a file; a larger one is not read. Those that are read here have a hundred or two.
const FILE_OCTETS_MAX: usize = 1_024;
/// Without a size, one command reads all: the card corrects its length, or ends early.
const SIZE_UNTOLD: usize = 256;
/// Records of a file that are read. Cards have ten or so.
const RECORDS_MAX: u8 = 64;

const SELECT: &str = "SELECT";
const READ_BINARY: &str = "READ BINARY";
const READ_RECORD: &str = "READ RECORD";

impl<T: Transmit> Card<T> {
    /// Reads what a phone reads. What cannot be read, and why, is in its place.
    ///
    /// # Errors
    /// When the card or the reader is gone.
    pub fn read(&mut self) -> Result<CardContents, CardError> {
        let (channel, pin) = (&mut self.channel, &mut self.pin);
        let mut mf = Directory::enter(channel, SELECT_MF, files::MF)?;
        let iccid = mf.transparent(files::EF_ICCID, iccid::decode)?;
        let usim = self
            .usim
            .as_ref()
            .map(|adf| read_usim(channel, pin, adf))
            .transpose()?;
        let isim = self
            .isim
            .as_ref()
            .map(|adf| read_isim(channel, pin, adf))
            .transpose()?;
        Ok(CardContents {
            atr: self.channel.atr().to_vec(),
            iccid,
            applications: self.applications.clone(),
            pin: match self.select_and_ask_pin() {
                Ok(pin) => Some(pin),
                Err(error @ CardError::Reader(_)) => return Err(error),
                // An application that cannot be selected has said so in each of its files.
                Err(_) => None,
            },
            isim,
            usim,
        })
    }
}

/// TS 31.103 4.2
fn read_isim<T: Transmit>(
    channel: &mut Channel<T>,
    pin: &mut Option<PinCode>,
    adf: &Adf,
) -> Result<Isim, CardError> {
    let mut directory = Directory::of_application(channel, pin, adf)?;
    Ok(Isim {
        aid: adf.aid.clone(),
        impi: directory.transparent(files::EF_IMPI, text::decode)?,
        domain: directory.transparent(files::EF_DOMAIN, text::decode)?,
        impus: directory.records(files::EF_IMPU, text::decode_uri)?,
        ad: directory.transparent(files::EF_AD, administrative_data::decode_isim)?,
        ist: directory.transparent(files::EF_IST, service_table::decode)?,
        pcscfs: directory.records(files::EF_PCSCF, pcscf::decode)?,
        smsp: directory.records(files::EF_SMSP, smsp::decode)?,
        psismsc: directory.psismsc()?,
    })
}

/// TS 31.102 4.2
fn read_usim<T: Transmit>(
    channel: &mut Channel<T>,
    pin: &mut Option<PinCode>,
    adf: &Adf,
) -> Result<Usim, CardError> {
    let mut directory = Directory::of_application(channel, pin, adf)?;
    Ok(Usim {
        aid: adf.aid.clone(),
        imsi: directory.transparent(files::EF_IMSI, imsi::decode)?,
        ad: directory.transparent(files::EF_AD, administrative_data::decode_usim)?,
        ust: directory.transparent(files::EF_UST, service_table::decode)?,
        msisdns: directory.records(files::EF_MSISDN, msisdn::decode)?,
        smsp: directory.records(files::EF_SMSP, smsp::decode)?,
        psismsc: directory.psismsc()?,
    })
}

/// A directory whose files are read.
pub(super) struct Directory<'a, T> {
    channel: &'a mut Channel<T>,
    /// Why it could not be selected: then this is what each of its files says.
    refusal: Option<CardError>,
    /// For a card that has forgotten its PIN, once.
    unlocking: Option<Unlocking<'a>>,
}

impl<'a, T: Transmit> Directory<'a, T> {
    /// An application's, or why it cannot be selected.
    fn of_application(
        channel: &'a mut Channel<T>,
        pin: &'a mut Option<PinCode>,
        adf: &Adf,
    ) -> Result<Self, CardError> {
        let (selected, refusal) = refusal_of(adf.select(channel))?;
        let unlocking = selected.map(|fcp| Unlocking::of(pin, &fcp));
        Ok(Self {
            channel,
            refusal,
            unlocking,
        })
    }

    /// Selects one by its identifier.
    pub(super) fn enter(
        channel: &'a mut Channel<T>,
        what: &'static str,
        file: u16,
    ) -> Result<Self, CardError> {
        let (_, refusal) = refusal_of(select(channel, what, &Command::select_file(file)))?;
        Ok(Self {
            channel,
            refusal,
            unlocking: None,
        })
    }

    /// A file that is one row of octets.
    fn transparent<V>(&mut self, file: u16, decode: fn(&[u8]) -> Read<V>) -> Result<Read<V>, CardError> {
        self.unless_forgotten(|directory| {
            let octets = directory.octets(file);
            octets.map(|octets| decode(&octets)).or_else(Unread::told)
        })
    }

    /// A file of records.
    pub(super) fn records<V>(
        &mut self,
        file: u16,
        decode: fn(&[u8]) -> Read<V>,
    ) -> Result<Records<V>, CardError> {
        self.unless_forgotten(|directory| directory.records_once(file, decode))
    }

    /// Reads something; when the card has forgotten the PIN that was said, once again with it.
    fn unless_forgotten<V>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<Read<V>, CardError>,
    ) -> Result<Read<V>, CardError> {
        let found = read(self)?;
        if matches!(found, Read::Refused(StatusWord::SECURITY_STATUS))
            && let Some(mut unlocking) = self.unlocking.take()
            && unlocking.say_again(self.channel)?
        {
            return read(self);
        }
        Ok(found)
    }

    fn records_once<V>(&mut self, file: u16, decode: fn(&[u8]) -> Read<V>) -> Result<Records<V>, CardError> {
        let (length, count) = match self.record_format(file) {
            Ok(format) => format,
            Err(why) => return why.told(),
        };
        let mut records = Vec::new();
        for number in 1..=count.min(RECORDS_MAX) {
            let command = Command::read_record(number, length.clamp(1, EXPECTED_MAX));
            match self.channel.ask(READ_RECORD, &command) {
                Ok(record) => records.push(decode(&record)),
                Err(CardError::Refused { status, .. }) if status == StatusWord::NO_RECORD => break,
                // What is refused of the first one is refused of all.
                Err(error) if records.is_empty() => return Unread::Card(error).told(),
                Err(error) => records.push(Unread::Card(error).told()?),
            }
        }
        if count > RECORDS_MAX {
            let why = format!("the file has {count} records; only {RECORDS_MAX} are read");
            records.push(Unread::Form(why).told()?);
        }
        Ok(if records.is_empty() {
            Read::Empty
        } else {
            Read::Is(records)
        })
    }

    /// `EF_PSISMSC` is in the application, or in `DF_TELECOM` for all of them. Nothing more is read of this directory.
    fn psismsc(mut self) -> Result<Records<String>, CardError> {
        let own = self.records(files::EF_PSISMSC, text::decode_uri)?;
        if own != Read::Absent {
            return Ok(own);
        }
        let mf = Self::enter(self.channel, SELECT_MF, files::MF)?;
        let mut telecom = Directory::enter(mf.channel, "SELECT DF_TELECOM", files::DF_TELECOM)?;
        telecom.records(files::EF_PSISMSC, text::decode_uri)
    }

    fn octets(&mut self, file: u16) -> Result<Vec<u8>, Unread> {
        let size = self.select(file)?.size.unwrap_or(SIZE_UNTOLD);
        if size > FILE_OCTETS_MAX {
            let why = format!("the file has {size} octets, which is too many to be true; it is not read");
            return Err(Unread::Form(why));
        }
        let mut octets = Vec::new();
        while octets.len() < size {
            let expected = u16::try_from(size - octets.len())
                .unwrap_or(EXPECTED_MAX)
                .min(EXPECTED_MAX);
            let offset = u16::try_from(octets.len()).unwrap_or(u16::MAX);
            let piece = self.piece(&Command::read_binary(offset, expected))?;
            octets.extend(&piece);
            if piece.len() < usize::from(expected) {
                break;
            }
        }
        octets.truncate(size);
        Ok(octets)
    }

    fn piece(&mut self, command: &Command) -> Result<Vec<u8>, CardError> {
        let Reply { data, status } = self.channel.send(READ_BINARY, command)?;
        if status.is_ok() || status == StatusWord::ENDED_EARLY {
            return Ok(data);
        }
        let what = READ_BINARY;
        Err(CardError::Refused { what, status })
    }

    /// Octets of a record, and how many there are.
    fn record_format(&mut self, file: u16) -> Result<(u16, u8), Unread> {
        match self.select(file)?.structure {
            Some(Structure::Linear { length, count }) => Ok((length, count)),
            _ => Err(Unread::Form(
                "the file has no records, and it has to be one of records".to_owned(),
            )),
        }
    }

    fn select(&mut self, file: u16) -> Result<Fcp, CardError> {
        match &self.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => select(self.channel, SELECT, &Command::select_file(file)),
        }
    }
}

/// Why a file, or a record, was not read.
enum Unread {
    /// The card does not give it.
    Card(CardError),
    /// It is not what it has to be.
    Form(String),
}

impl From<CardError> for Unread {
    fn from(error: CardError) -> Self {
        Self::Card(error)
    }
}

impl Unread {
    /// As what it is told in the place of the file, or of the record. Only that the card is gone ends the reading.
    fn told<V>(self) -> Result<Read<V>, CardError> {
        let why = match self {
            Self::Card(CardError::Refused { status, .. }) if status == StatusWord::NOT_FOUND => {
                return Ok(Read::Absent);
            }
            Self::Card(CardError::Refused { status, .. }) => return Ok(Read::Refused(status)),
            Self::Card(error @ (CardError::Reader(_) | CardError::NoApplication)) => return Err(error),
            Self::Card(error @ CardError::Broken { .. }) => error.to_string(),
            Self::Form(why) => why,
        };
        Ok(Read::Malformed {
            why,
            octets: Vec::new(),
        })
    }
}

/// What a directory that was selected says of itself, or why it was not selected.
fn refusal_of(selected: Result<Fcp, CardError>) -> Result<(Option<Fcp>, Option<CardError>), CardError> {
    match selected {
        Ok(fcp) => Ok((Some(fcp), None)),
        Err(error @ CardError::Reader(_)) => Err(error),
        Err(error) => Ok((None, Some(error))),
    }
}
