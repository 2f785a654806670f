//! Machine: what the operator is told of the sets of a UE: addresses, ports and SPIs, never keys.

use ims_common::ipsec::SaSetId;
use ims_common::why::{Fact, Facts, Note, NoteKind};

use super::SaManager;
use super::table::{Entry, UeKey};

impl SaManager {
    /// The next note.
    pub(crate) fn poll_note(&mut self) -> Option<Note> {
        self.notes.poll()
    }

    /// Something about a set.
    pub(super) fn note(&mut self, kind: NoteKind, id: SaSetId, words: &'static str) {
        if let Some(entry) = self.table.get(id) {
            self.notes.make(|| note_of(kind, entry, words));
        }
    }

    /// A set went, and its UE has none left.
    pub(super) fn note_gone(&mut self, entry: &Entry, words: &'static str) {
        if entry.stage.is_established() && self.table.of_ue(&entry.key).next().is_none() {
            self.notes
                .make(|| note_of(NoteKind::AssociationsGone, entry, words));
        }
    }
}

fn note_of(kind: NoteKind, entry: &Entry, words: &str) -> Note {
    let (UeKey { impi, ip }, end, own) = (&entry.key, &entry.end, &entry.own);
    let ports = format!(
        "uc {} us {} pc {} ps {}",
        end.port_uc, end.port_us, own.port_pc, own.port_ps
    );
    let spis = format!(
        "uc {:#010x} us {:#010x} pc {:#010x} ps {:#010x}",
        end.spi_uc, end.spi_us, own.spi_pc, own.spi_ps
    );
    let facts = Facts::new()
        .with(Fact::Address, ip)
        .with(Fact::Ports, ports)
        .with(Fact::Spi, spis)
        .with(Fact::Algorithm, entry.set.suite);
    Note::of(kind, impi.as_str(), facts).saying(words)
}
