//! Testkit: the commands of a virtual card (ETSI TS 102 221 11.1, TS 31.102 7.1, TS 31.103 7.1).

use ims_common::aka::Auts;

use super::super::apdu::{Command, EXPECTED_MAX, Reply, StatusWord, instruction};
use super::super::tlv;
use super::files::{Access, Body, Dir, PinShown, Tree};
use crate::usim::{Res, Usim, UsimError};

const WRONG_LENGTH: StatusWord = StatusWord(0x6700);
const NO_LOGICAL_CHANNEL: StatusWord = StatusWord(0x6881);
const NO_SECURE_MESSAGING: StatusWord = StatusWord(0x6882);
const WRONG_STRUCTURE: StatusWord = StatusWord(0x6981);
const NO_FILE_SELECTED: StatusWord = StatusWord(0x6986);
const PIN_DISABLED: StatusWord = StatusWord(0x6984);
const WRONG_DATA: StatusWord = StatusWord(0x6A80);
const WRONG_PARAMETERS: StatusWord = StatusWord(0x6A86);
const NO_SUCH_PIN: StatusWord = StatusWord(0x6A88);
const WRONG_OFFSET: StatusWord = StatusWord(0x6B00);
const UNKNOWN_INSTRUCTION: StatusWord = StatusWord(0x6D00);
const UNKNOWN_CLASS: StatusWord = StatusWord(0x6E00);

/// The PIN of all applications of the card.
#[derive(Clone)]
pub(super) struct PinLock {
    pub(super) reference: u8,
    /// Its digits, as VERIFY says them; `None`: it is disabled.
    pub(super) pin: Option<[u8; 8]>,
    pub(super) tries: u8,
    pub(super) tries_max: u8,
    pub(super) is_verified: bool,
}

impl PinLock {
    const fn is_open(&self) -> bool {
        self.pin.is_none() || self.is_verified
    }

    const fn shown(&self) -> PinShown {
        PinShown {
            reference: self.reference,
            is_enabled: self.pin.is_some(),
        }
    }
}

/// What is selected (ETSI TS 102 221 8.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Selection {
    dir: Dir,
    /// The application that is active; it stays so when another directory is selected.
    application: Option<Dir>,
    file: Option<u16>,
    /// The record pointer, counted from 1.
    record: Option<usize>,
}

impl Selection {
    const MF: Self = Self {
        dir: Dir::Mf,
        application: None,
        file: None,
        record: None,
    };
}

/// What a command gives.
enum Outcome {
    /// Nothing but success.
    Done,
    /// An answer to a command with data: by T=0 it is fetched, else it follows as long as is asked for.
    Answer(Vec<u8>),
    /// What is read: it comes in the length that is asked for, or the right length is said. `true`: all of it or
    /// nothing, which is how a record is read.
    Read(Vec<u8>, bool),
}

/// The working part of a card.
#[derive(Clone)]
pub(super) struct Uicc {
    pub(super) tree: Tree,
    pub(super) lock: PinLock,
    pub(super) usim: Usim,
    pub(super) is_t0: bool,
    selection: Selection,
    /// What GET RESPONSE fetches.
    pending: Vec<u8>,
}

type Outcomes = Result<Outcome, StatusWord>;

impl Uicc {
    pub(super) const fn new(tree: Tree, lock: PinLock, usim: Usim, is_t0: bool) -> Self {
        Self {
            tree,
            lock,
            usim,
            is_t0,
            selection: Selection::MF,
            pending: Vec::new(),
        }
    }

    /// After power on and after a reset.
    pub(super) fn reset(&mut self) {
        self.selection = Selection::MF;
        self.pending.clear();
        self.lock.is_verified = false;
    }

    /// Does what a command says.
    pub(super) fn answer(&mut self, command: &Command) -> Reply {
        if let Err(status) = class(command) {
            return refused(status);
        }
        if command.instruction == instruction::GET_RESPONSE {
            return self.get_response(command);
        }
        self.pending.clear();
        let outcome = match command.instruction {
            instruction::SELECT => self.select(command),
            instruction::READ_BINARY => self.read_binary(command),
            instruction::READ_RECORD => self.read_record(command),
            instruction::STATUS => self.status(command),
            instruction::VERIFY => self.verify(command),
            instruction::AUTHENTICATE => self.authenticate(command),
            _ => Err(UNKNOWN_INSTRUCTION),
        };
        match outcome {
            Ok(Outcome::Done) => refused(StatusWord::OK),
            Ok(Outcome::Answer(data)) => self.deliver(data, command.expected),
            Ok(Outcome::Read(data, is_whole)) => self.read(data, is_whole, command.expected),
            Err(status) => refused(status),
        }
    }

    /// An answer to a command with data (ETSI TS 102 221 7.3.1.1.4, 7.3.1.1.5).
    fn deliver(&mut self, data: Vec<u8>, expected: Option<u16>) -> Reply {
        self.pending = data;
        match expected {
            Some(expected) if !self.is_t0 => self.fetch(usize::from(expected)),
            _ => refused(announced(0x61, self.pending.len())),
        }
    }

    fn get_response(&mut self, command: &Command) -> Reply {
        if self.pending.is_empty() {
            return refused(StatusWord::CONDITIONS);
        }
        let expected = usize::from(command.expected.unwrap_or(EXPECTED_MAX));
        if expected > self.pending.len() {
            return refused(announced(0x6C, self.pending.len()));
        }
        self.fetch(expected)
    }

    /// At most so many octets of what is to be fetched.
    fn fetch(&mut self, at_most: usize) -> Reply {
        let rest = self.pending.split_off(at_most.min(self.pending.len()));
        let data = std::mem::replace(&mut self.pending, rest);
        let status = match self.pending.len() {
            0 => StatusWord::OK,
            more => announced(0x61, more),
        };
        Reply { data, status }
    }

    /// What is read, in the length that is asked for (ETSI TS 102 221 7.3.1.1.2).
    fn read(&self, mut data: Vec<u8>, is_whole: bool, expected: Option<u16>) -> Reply {
        let Some(expected) = expected else {
            return refused(WRONG_LENGTH);
        };
        let asked = usize::from(expected);
        // Le of 00 means, by T=1 only, whatever there is.
        let is_any = expected == EXPECTED_MAX && !self.is_t0;
        let is_wrong = asked > data.len() || is_whole && asked != data.len();
        if is_wrong && !is_any {
            return refused(announced(0x6C, data.len()));
        }
        data.truncate(asked);
        Reply {
            data,
            status: StatusWord::OK,
        }
    }

    /// SELECT (ETSI TS 102 221 11.1.1).
    fn select(&mut self, command: &Command) -> Outcomes {
        // 04 to 07: the FCP template is the answer; 0C to 0F: there is none. The low bits: which occurrence of an AID.
        let is_fcp = match command.p2 {
            0x04..=0x07 => true,
            0x0C..=0x0F => false,
            _ => return Err(WRONG_PARAMETERS),
        };
        let selection = match command.p1 {
            0x00 if command.data.is_empty() => Ok(self.at(Dir::Mf)),
            0x00 => self.path(self.selection.dir, &command.data, 1),
            0x08 => self.path(Dir::Mf, &command.data, usize::MAX),
            0x09 => self.path(self.selection.dir, &command.data, usize::MAX),
            0x04 => self.by_name(&command.data, command.p2 & 0x03),
            _ => return Err(WRONG_PARAMETERS),
        }?;
        self.selection = selection;
        if !is_fcp {
            return Ok(Outcome::Done);
        }
        Ok(Outcome::Answer(self.fcp()?))
    }

    /// The same with no file selected, in this directory.
    const fn at(&self, dir: Dir) -> Selection {
        Selection {
            dir,
            file: None,
            record: None,
            ..self.selection
        }
    }

    /// Follows the file identifiers of a path, at most so many.
    fn path(&self, from: Dir, path: &[u8], steps: usize) -> Result<Selection, StatusWord> {
        let (identifiers, rest) = path.as_chunks::<2>();
        if !rest.is_empty() || identifiers.is_empty() || identifiers.len() > steps {
            return Err(WRONG_LENGTH);
        }
        let mut selection = self.at(from);
        for identifier in identifiers {
            // A file has nothing under it.
            if selection.file.is_some() {
                return Err(StatusWord::NOT_FOUND);
            }
            selection = self.step(selection.dir, u16::from_be_bytes(*identifier))?;
        }
        Ok(selection)
    }

    fn step(&self, from: Dir, file: u16) -> Result<Selection, StatusWord> {
        if self.tree.files.contains_key(&(from, file)) {
            return Ok(Selection {
                file: Some(file),
                ..self.at(from)
            });
        }
        let dir = self.tree.reached(from, self.selection.application, file);
        Ok(self.at(dir.ok_or(StatusWord::NOT_FOUND)?))
    }

    /// The first, last, next or previous application whose AID begins so (ETSI TS 102 221 8.4.4).
    fn by_name(&self, name: &[u8], occurrence: u8) -> Result<Selection, StatusWord> {
        if name.is_empty() || name.len() > 16 {
            return Err(WRONG_LENGTH);
        }
        let fitting = self.tree.applications.iter();
        let fitting: Vec<Dir> = fitting
            .filter(|(_, aid)| aid.starts_with(name))
            .map(|(dir, _)| *dir)
            .collect();
        let now = self.selection.application;
        let at = fitting.iter().position(|dir| Some(*dir) == now);
        let index = match (occurrence, at) {
            (0, _) | (2, None) => Some(0),
            (1, _) | (3, None) => fitting.len().checked_sub(1),
            (2, Some(at)) => at.checked_add(1),
            (_, Some(at)) => at.checked_sub(1),
            (_, None) => None,
        };
        let dir = index.and_then(|index| fitting.get(index).copied());
        let dir = dir.ok_or(StatusWord::NOT_FOUND)?;
        Ok(Selection {
            application: Some(dir),
            ..self.at(dir)
        })
    }

    /// Of what is selected.
    fn fcp(&self) -> Result<Vec<u8>, StatusWord> {
        let Selection { dir, file, .. } = self.selection;
        match file {
            None => Ok(self.tree.directory_fcp(dir, self.lock.shown())),
            Some(file) => self.tree.file_fcp(dir, file).ok_or(StatusWord::NOT_FOUND),
        }
    }

    /// STATUS (ETSI TS 102 221 11.1.2).
    fn status(&self, command: &Command) -> Outcomes {
        if command.p1 > 2 {
            return Err(WRONG_PARAMETERS);
        }
        let dir = self.selection.dir;
        match command.p2 {
            0x00 => {
                let fcp = self.tree.directory_fcp(dir, self.lock.shown());
                Ok(Outcome::Read(fcp, false))
            }
            0x01 => {
                let mut applications = self.tree.applications.iter();
                let aid = applications
                    .find(|(of, _)| Some(*of) == self.selection.application)
                    .map(|(_, aid)| aid.as_slice());
                let name = tlv::object(0x84, aid.ok_or(StatusWord::CONDITIONS)?);
                Ok(Outcome::Read(name, false))
            }
            0x0C => Ok(Outcome::Done),
            _ => Err(WRONG_PARAMETERS),
        }
    }

    /// What may be read in the file that is meant: the one with the short identifier, which is selected by that, else
    /// the one that is selected.
    fn readable(&mut self, sfi: Option<u8>) -> Result<&Body, StatusWord> {
        let dir = self.selection.dir;
        if let Some(sfi) = sfi {
            let file = self.tree.by_sfi(dir, sfi).ok_or(StatusWord::NOT_FOUND)?;
            self.selection = Selection {
                file: Some(file),
                ..self.at(dir)
            };
        }
        let file = self.selection.file.ok_or(NO_FILE_SELECTED)?;
        let file = self.tree.files.get(&(dir, file)).ok_or(NO_FILE_SELECTED)?;
        match file.access {
            Access::Never => Err(StatusWord::SECURITY_STATUS),
            Access::Pin if !self.lock.is_open() => Err(StatusWord::SECURITY_STATUS),
            Access::Pin | Access::Always => Ok(&file.body),
        }
    }

    /// READ BINARY (ETSI TS 102 221 11.1.3).
    fn read_binary(&mut self, command: &Command) -> Outcomes {
        let (sfi, offset) = match command.p1 {
            high @ 0x00..=0x7F => (None, u16::from_be_bytes([high, command.p2])),
            0x80..=0x9F => (Some(command.p1 & 0x1F), u16::from(command.p2)),
            _ => return Err(WRONG_PARAMETERS),
        };
        let Body::Transparent(octets) = self.readable(sfi)? else {
            return Err(WRONG_STRUCTURE);
        };
        match octets.get(usize::from(offset)..) {
            None | Some([]) => Err(WRONG_OFFSET),
            Some(octets) => Ok(Outcome::Read(octets.to_vec(), false)),
        }
    }

    /// READ RECORD (ETSI TS 102 221 11.1.5).
    fn read_record(&mut self, command: &Command) -> Outcomes {
        let sfi = match command.p2 >> 3 {
            0 => None,
            0x1F => return Err(WRONG_PARAMETERS),
            sfi => Some(sfi),
        };
        let Body::Records(records) = self.readable(sfi)? else {
            return Err(WRONG_STRUCTURE);
        };
        let records = records.clone();
        let pointer = self.selection.record;
        // Next and previous without a pointer begin at the one end and at the other.
        let (number, is_moving) = match (command.p2 & 0x07, command.p1) {
            (0x04, 0) => (pointer, false),
            (0x04, number) => (Some(usize::from(number)), false),
            (0x02, 0) => (Some(pointer.map_or(1, |at| at + 1)), true),
            (0x03, 0) => (Some(pointer.map_or(records.len(), |at| at - 1)), true),
            _ => return Err(WRONG_PARAMETERS),
        };
        let number = number.ok_or(StatusWord::NO_RECORD)?;
        let record = number.checked_sub(1).and_then(|index| records.get(index));
        let record = record.ok_or(StatusWord::NO_RECORD)?;
        let is_right = command.expected.is_some_and(|expected| {
            usize::from(expected) == record.len() || (expected == EXPECTED_MAX && !self.is_t0)
        });
        // With a wrong length nothing is read, and the pointer stays.
        if is_moving && is_right {
            self.selection.record = Some(number);
        }
        Ok(Outcome::Read(record.clone(), true))
    }

    /// VERIFY PIN (ETSI TS 102 221 11.1.9).
    fn verify(&mut self, command: &Command) -> Outcomes {
        if command.p1 != 0 {
            return Err(WRONG_PARAMETERS);
        }
        if command.p2 != self.lock.reference {
            return Err(NO_SUCH_PIN);
        }
        if self.lock.tries == 0 {
            return Err(StatusWord::BLOCKED);
        }
        if command.data.is_empty() {
            return Err(StatusWord(0x63C0 | u16::from(self.lock.tries & 0x0F)));
        }
        let said: &[u8; 8] = command.data.as_slice().try_into().map_err(|_| WRONG_LENGTH)?;
        let pin = self.lock.pin.ok_or(PIN_DISABLED)?;
        if *said == pin {
            self.lock.tries = self.lock.tries_max;
            self.lock.is_verified = true;
            return Ok(Outcome::Done);
        }
        self.lock.tries -= 1;
        self.lock.is_verified &= self.lock.tries > 0;
        Err(StatusWord(0x63C0 | u16::from(self.lock.tries & 0x0F)))
    }

    /// AUTHENTICATE: the 3G security context of a USIM (TS 31.102 7.1.1.1, 7.1.2.1), the IMS AKA context of an ISIM
    /// (TS 31.103 7.1.1.1, 7.1.2.1).
    fn authenticate(&mut self, command: &Command) -> Outcomes {
        if command.p1 != 0 {
            return Err(WRONG_PARAMETERS);
        }
        let dir = self.selection.dir;
        if !matches!(dir, Dir::Usim | Dir::Isim) {
            return Err(StatusWord::CONDITIONS);
        }
        if !self.lock.is_open() {
            return Err(StatusWord::SECURITY_STATUS);
        }
        match command.p2 {
            0x81 => {}
            // Contexts that there are, and that this card does not have: GSM, VGCS, GBA, HTTP Digest, local key.
            0x80 | 0x82 | 0x84..=0x86 => return Err(StatusWord::NO_CONTEXT),
            _ => return Err(WRONG_PARAMETERS),
        }
        if command.data.len() != 34 {
            return Err(WRONG_LENGTH);
        }
        let (rand, autn) = challenge(&command.data).ok_or(WRONG_DATA)?;
        match self.usim.authenticate(&rand, &autn) {
            Ok(res) => Ok(Outcome::Answer(keys(&res, dir))),
            Err(UsimError::SyncFailure(Auts(auts))) => Ok(Outcome::Answer(tagged(0xDC, &[&auts]))),
            Err(UsimError::MacFailure) => Err(StatusWord::WRONG_MAC),
        }
    }
}

fn refused(status: StatusWord) -> Reply {
    Reply {
        data: Vec::new(),
        status,
    }
}

/// 61xx or 6Cxx with a count; 256 and more is 00.
fn announced(first: u8, count: usize) -> StatusWord {
    let count = u8::try_from(count).unwrap_or_default();
    StatusWord(u16::from_be_bytes([first, count]))
}

/// The basic logical channel, without secure messaging (ETSI TS 102 221 10.1.1); STATUS alone has the class 80.
const fn class(command: &Command) -> Result<(), StatusWord> {
    let base = if command.instruction == instruction::STATUS {
        0x80
    } else {
        0x00
    };
    match command.class ^ base {
        0x00 => Ok(()),
        0x01..=0x03 | 0x40..=0x4F => Err(NO_LOGICAL_CHANNEL),
        0x04..=0x0F => Err(NO_SECURE_MESSAGING),
        _ => Err(UNKNOWN_CLASS),
    }
}

/// RAND and AUTN, each behind its length.
fn challenge(data: &[u8]) -> Option<([u8; 16], [u8; 16])> {
    let (16, rest) = data.split_first()? else {
        return None;
    };
    let (rand, rest) = rest.split_first_chunk::<16>()?;
    let (16, rest) = rest.split_first()? else {
        return None;
    };
    Some((*rand, rest.try_into().ok()?))
}

/// The answer to a good challenge. A USIM of which GSM access is a service (27) adds Kc.
fn keys(res: &Res, dir: Dir) -> Vec<u8> {
    let (ck, ik) = (res.ck.expose(), res.ik.expose());
    if dir == Dir::Isim {
        return tagged(0xDB, &[res.res.expose(), ck, ik]);
    }
    // Conversion function c3 (TS 33.102 6.8.1.2).
    let kc: [u8; 8] = std::array::from_fn(|i| ck[i] ^ ck[i + 8] ^ ik[i] ^ ik[i + 8]);
    tagged(0xDB, &[res.res.expose(), ck, ik, &kc])
}

/// A tag, then each value behind its length.
fn tagged(tag: u8, values: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![tag];
    for value in values {
        out.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        out.extend(*value);
    }
    out
}
