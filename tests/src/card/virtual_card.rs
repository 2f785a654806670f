//! Testkit: a virtual card: an ISIM and a USIM that answer APDUs (ETSI TS 102 221, TS 31.102, TS 31.103).
//!
//! What is on it is a [`CardProfile`], which people write as a [`CardDescription`]. It answers in process, as a [`Transmit`], or behind a virtual reader.

mod commands;
mod description;
mod files;
mod profile;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use description::{CardDescription, DescriptionError, FileDescription};
pub use files::Dir;
pub use profile::{CardProfile, Protocol};

use self::commands::Uicc;
use super::apdu::{Command, StatusWord, instruction};
use super::channel::{ReaderError, Transmit};
use crate::milenage::Sqn;

/// What goes wrong with a card, on purpose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It is taken out while it works on AUTHENTICATE: the answer never comes.
    RemovedAtAuthenticate,
    /// It answers this instruction so, and does nothing.
    StatusAt(u8, StatusWord),
    /// It answers this instruction with these octets, and does nothing.
    Garbage(u8, Vec<u8>),
    /// It forgets that its PIN was verified when an application is selected.
    PinForgottenAtSelect,
}

/// A card that is no card. Whatever octets it gets, it answers as a card does.
#[derive(Clone)]
pub struct VirtualCard {
    uicc: Uicc,
    atr: Vec<u8>,
    faults: Vec<Fault>,
    counts: BTreeMap<u8, u32>,
    resets: u32,
    is_removed: bool,
}

/// What a card says to a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// These octets.
    Octets(Vec<u8>),
    /// Nothing: it is not there any more.
    Gone,
}

impl VirtualCard {
    /// The card of a profile, switched on.
    #[must_use]
    pub fn new(profile: CardProfile) -> Self {
        let protocol = profile.protocol_offered();
        let (uicc, faults) = profile.build();
        Self {
            uicc,
            atr: atr(protocol),
            faults,
            counts: BTreeMap::new(),
            resets: 0,
            is_removed: false,
        }
    }

    /// What it says to a command.
    pub fn answer(&mut self, command: &[u8]) -> Answer {
        if self.is_removed {
            return Answer::Gone;
        }
        let command = match Command::parse(command) {
            Ok(command) => command,
            Err(_) => return Answer::Octets(StatusWord(0x6700).0.to_be_bytes().to_vec()),
        };
        let instruction = command.instruction;
        *self.counts.entry(instruction).or_default() += 1;
        match self.fault_at(&command) {
            None => Answer::Octets(self.uicc.answer(&command).encode()),
            Some(Fault::RemovedAtAuthenticate) => {
                self.remove();
                Answer::Gone
            }
            Some(Fault::StatusAt(_, status)) => Answer::Octets(status.0.to_be_bytes().to_vec()),
            Some(Fault::Garbage(_, octets)) => Answer::Octets(octets),
            Some(Fault::PinForgottenAtSelect) => {
                let answer = self.uicc.answer(&command);
                self.uicc.lock.is_verified = false;
                Answer::Octets(answer.encode())
            }
        }
    }

    fn fault_at(&self, command: &Command) -> Option<Fault> {
        let instruction = command.instruction;
        let is_at = |fault: &&Fault| match fault {
            Fault::RemovedAtAuthenticate => instruction == instruction::AUTHENTICATE,
            Fault::StatusAt(at, _) | Fault::Garbage(at, _) => *at == instruction,
            Fault::PinForgottenAtSelect => instruction == instruction::SELECT && command.p1 == 0x04,
        };
        self.faults.iter().find(is_at).cloned()
    }

    /// Switches it off and on, or resets it: nothing is selected, and no PIN is verified.
    pub fn reset(&mut self) {
        self.resets += 1;
        self.uicc.reset();
    }

    /// Takes it out.
    pub fn remove(&mut self) {
        self.is_removed = true;
    }

    /// Puts it in again.
    pub fn insert(&mut self) {
        self.is_removed = false;
        self.reset();
    }

    /// Whether it is out.
    #[must_use]
    pub const fn is_removed(&self) -> bool {
        self.is_removed
    }

    /// From now on this goes wrong with it, and nothing else does.
    pub fn set_faults(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults = faults.into_iter().collect();
    }

    /// How many commands with this instruction it got.
    #[must_use]
    pub fn counted(&self, instruction: u8) -> u32 {
        self.counts.get(&instruction).copied().unwrap_or_default()
    }

    /// How often it was switched on or off, or reset.
    #[must_use]
    pub const fn resets(&self) -> u32 {
        self.resets
    }

    /// The highest sequence number that it has accepted.
    #[must_use]
    pub fn sqn(&self) -> Sqn {
        self.uicc.usim.sqn_ms()
    }

    /// How many tries its PIN has.
    #[must_use]
    pub const fn tries(&self) -> u8 {
        self.uicc.lock.tries
    }

    /// What it says when it is switched on.
    #[must_use]
    pub fn atr(&self) -> &[u8] {
        &self.atr
    }
}

impl Transmit for VirtualCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ReaderError> {
        match self.answer(command) {
            Answer::Octets(octets) => Ok(octets),
            Answer::Gone => Err(ReaderError::Removed),
        }
    }

    fn atr(&self) -> &[u8] {
        &self.atr
    }

    fn is_t0(&self) -> bool {
        self.uicc.is_t0
    }
}

impl std::fmt::Debug for VirtualCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VirtualCard")
            .field("faults", &self.faults)
            .field("counts", &self.counts)
            .field("is_removed", &self.is_removed)
            .finish_non_exhaustive()
    }
}

/// The ATR of a UICC with one protocol (ETSI TS 102 221 6.3.2, 6.3.3; ISO/IEC 7816-3 8.2).
fn atr(protocol: Protocol) -> Vec<u8> {
    // Category; card service data: selection by AID, `EF_DIR`; capabilities: no logical channels.
    const HISTORICAL: [u8; 7] = [0x80, 0x31, 0xE0, 0x73, 0xFE, 0x21, 0x00];
    // TS; T0: TD1 and so many historical octets.
    let mut atr = vec![0x3B, 0x80 | 7];
    // TD1: the protocol, TD2 follows. TD2: T=15, TA3 follows. TA3: clock stop, classes A, B and C.
    atr.extend([0x80 | protocol as u8, 0x1F, 0xC7]);
    atr.extend(HISTORICAL);
    // TCK: together with all from T0 on it is zero.
    let check = atr.iter().skip(1).fold(0, |sum, octet| sum ^ octet);
    atr.push(check);
    atr
}
