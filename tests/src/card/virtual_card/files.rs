//! Testkit: the files of a virtual card, and what it says of them (ETSI TS 102 221 8, 11.1.1).

use std::collections::BTreeMap;

use super::super::files::fcp::{Fcp, PinStatus, Structure};
use super::super::{files as ef, tlv};

/// A directory of the card (ETSI TS 102 221 8.1, 13).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Deserialize)]
pub enum Dir {
    /// The MF, 3F00.
    Mf,
    /// `DF_TELECOM`, 7F10, under the MF.
    Telecom,
    /// The ADF of the USIM.
    Usim,
    /// The ADF of the ISIM.
    Isim,
}

/// The identifier of the ADF of the application that is active (ETSI TS 102 221 8.3).
pub(super) const ADF: u16 = 0x7FFF;
/// Security attributes in the compact format, in an FCP template.
const SECURITY_COMPACT: u16 = 0x8C;
/// Short file identifier, in an FCP template.
const SHORT_IDENTIFIER: u16 = 0x88;

/// What is in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Body {
    Transparent(Vec<u8>),
    /// Records of one length.
    Records(Vec<Vec<u8>>),
}

/// Who may read a file (ETSI TS 102 221 9.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    Always,
    Pin,
    Never,
}

/// A file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct File {
    pub(super) body: Body,
    pub(super) access: Access,
}

impl File {
    /// A file in its place: in an application only administrative data is read by everybody (TS 31.102 4.2.18,
    /// TS 31.103 4.2.6), outside of them all is.
    pub(super) fn new(dir: Dir, file: u16, body: Body) -> Self {
        let is_free = dir == Dir::Mf || file == 0x6FAD;
        Self {
            body,
            access: if is_free { Access::Always } else { Access::Pin },
        }
    }

    pub(super) fn transparent(dir: Dir, file: u16, octets: Vec<u8>) -> Self {
        Self::new(dir, file, Body::Transparent(octets))
    }

    /// Records of the length of the longest, at most 255 octets, for the length is one octet in READ RECORD.
    pub(super) fn records(dir: Dir, file: u16, mut records: Vec<Vec<u8>>) -> Self {
        let longest = records.iter().map(Vec::len).max().unwrap_or_default();
        for record in &mut records {
            record.resize(longest.min(255), 0xFF);
        }
        records.truncate(254);
        Self::new(dir, file, Body::Records(records))
    }
}

/// All files of a card.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<(Dir, u16), File>,
    /// The AIDs of the applications, in the order of `EF_DIR`.
    pub(super) applications: Vec<(Dir, Vec<u8>)>,
}

/// The PIN as the FCP of a directory shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PinShown {
    pub(super) reference: u8,
    pub(super) is_enabled: bool,
}

impl Tree {
    pub(super) fn put(&mut self, dir: Dir, file: u16, is: File) {
        self.files.insert((dir, file), is);
    }

    /// The file with this short identifier (ETSI TS 102 221 8.4.2).
    pub(super) fn by_sfi(&self, dir: Dir, sfi: u8) -> Option<u16> {
        self.files
            .keys()
            .filter(|(of, _)| *of == dir)
            .map(|(_, file)| *file)
            .find(|file| short_identifier(dir, *file) == Some(sfi))
    }

    /// The directory with this identifier that can be reached from here by it (ETSI TS 102 221 8.4.1): the MF, the ADF
    /// of the application that is active, a child, a sibling, this one.
    pub(super) fn reached(&self, from: Dir, active: Option<Dir>, file: u16) -> Option<Dir> {
        match (file, from) {
            (ef::MF, _) => Some(Dir::Mf),
            (ADF, _) => active,
            (ef::DF_TELECOM, Dir::Mf | Dir::Telecom) => self.has(Dir::Telecom).then_some(Dir::Telecom),
            _ => None,
        }
    }

    fn has(&self, dir: Dir) -> bool {
        self.files.keys().any(|(of, _)| *of == dir)
    }

    fn aid(&self, dir: Dir) -> Option<&[u8]> {
        let of = self.applications.iter().find(|(of, _)| *of == dir);
        of.map(|(_, aid)| aid.as_slice())
    }

    /// The FCP template of a directory (ETSI TS 102 221 11.1.1.3.1).
    pub(super) fn directory_fcp(&self, dir: Dir, pin: PinShown) -> Vec<u8> {
        let (file, name) = match dir {
            Dir::Mf => (Some(ef::MF), None),
            Dir::Telecom => (Some(ef::DF_TELECOM), None),
            Dir::Usim | Dir::Isim => (None, self.aid(dir).map(<[u8]>::to_vec)),
        };
        let status = |reference, enabled| PinStatus {
            reference,
            enabled,
            usage: None,
        };
        let fcp = Fcp {
            structure: Some(Structure::Directory),
            file,
            name,
            // The PIN, and PIN2 of the application, which is not used.
            pins: vec![
                status(pin.reference, pin.is_enabled),
                status(pin.reference | 0x80, false),
            ],
            // UICC characteristics: the clock may be stopped, whichever way.
            others: vec![(0xA5, tlv::object(0x80, &[0x71])), (SECURITY_COMPACT, vec![0x00])],
            size: None,
        };
        fcp.encode()
    }

    /// The FCP template of a file (ETSI TS 102 221 11.1.1.3.2).
    pub(super) fn file_fcp(&self, dir: Dir, file: u16) -> Option<Vec<u8>> {
        let is = self.files.get(&(dir, file))?;
        let (structure, size) = match &is.body {
            Body::Transparent(octets) => (Structure::Transparent, octets.len()),
            Body::Records(records) => {
                let length = u8::try_from(records.first().map_or(0, Vec::len)).unwrap_or(u8::MAX);
                let count = u8::try_from(records.len()).unwrap_or(u8::MAX);
                let size = usize::from(length) * usize::from(count);
                let length = length.into();
                (Structure::Linear { length, count }, size)
            }
        };
        // READ alone: always, by the PIN, never (ETSI TS 102 221 11.1.1.4.7.1).
        let condition = match is.access {
            Access::Always => 0x00,
            Access::Pin => 0x90,
            Access::Never => 0xFF,
        };
        // Without a value: the file has no short identifier (ETSI TS 102 221 11.1.1.4.8).
        let sfi = short_identifier(dir, file).map(|sfi| sfi << 3);
        let fcp = Fcp {
            structure: Some(structure),
            size: Some(size),
            file: Some(file),
            others: vec![
                (SECURITY_COMPACT, vec![0x01, condition]),
                (SHORT_IDENTIFIER, sfi.as_slice().to_vec()),
            ],
            ..Fcp::default()
        };
        Some(fcp.encode())
    }
}

/// The short identifiers that the specifications give to the files (ETSI TS 102 221 13, TS 31.102 annex H,
/// TS 31.103 4.2).
const fn short_identifier(dir: Dir, file: u16) -> Option<u8> {
    match (dir, file) {
        (Dir::Mf, 0x2F00) => Some(0x1E),
        (Dir::Mf, 0x2FE2) | (Dir::Isim, 0x6F02) => Some(0x02),
        (Dir::Usim | Dir::Isim, 0x6FAD) => Some(0x03),
        (Dir::Usim, 0x6F38) | (Dir::Isim, 0x6F04) => Some(0x04),
        (Dir::Isim, 0x6F03) => Some(0x05),
        (Dir::Usim | Dir::Isim, 0x6F07) => Some(0x07),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_get_one_length_and_a_number_that_can_be_said() {
        let file = File::records(Dir::Isim, 0x6F04, vec![vec![1], vec![2; 300], Vec::new()]);
        let Body::Records(records) = &file.body else {
            panic!("records are records")
        };
        assert!(records.iter().all(|record| record.len() == 255));
        assert_eq!(records[0][..2], [1, 0xFF]);
        assert_eq!(
            File::records(Dir::Isim, 0x6F04, vec![vec![1]; 300]).access,
            Access::Pin
        );
    }

    #[test]
    fn the_fcp_of_a_file_says_its_structure_and_size() {
        let mut tree = Tree::default();
        let records = File::records(Dir::Isim, 0x6F04, vec![vec![7; 20]; 3]);
        tree.put(Dir::Isim, 0x6F04, records);
        let fcp = tree.file_fcp(Dir::Isim, 0x6F04).unwrap();
        let inner = tlv::find(&fcp, 0x62).unwrap();
        assert_eq!(tlv::find(inner, 0x82), Ok(&[0x42, 0x21, 0, 20, 3][..]));
        assert_eq!(tlv::find(inner, 0x80), Ok(&[0, 60][..]));
        assert_eq!(tlv::find(inner, 0x88), Ok(&[0x20][..]));
        assert_eq!(tree.file_fcp(Dir::Isim, 0x6F05), None);
    }

    #[test]
    fn a_directory_is_reached_only_from_beside_or_above_it() {
        let mut tree = Tree::default();
        tree.put(Dir::Telecom, 0x6FE5, File::records(Dir::Telecom, 0x6FE5, vec![]));
        let usim = Some(Dir::Usim);
        assert_eq!(tree.reached(Dir::Mf, None, ef::DF_TELECOM), Some(Dir::Telecom));
        assert_eq!(tree.reached(Dir::Usim, usim, ef::DF_TELECOM), None);
        assert_eq!(tree.reached(Dir::Telecom, usim, ADF), usim);
        assert_eq!(tree.reached(Dir::Telecom, None, ADF), None);
        assert_eq!(tree.reached(Dir::Isim, usim, ef::MF), Some(Dir::Mf));
    }
}
