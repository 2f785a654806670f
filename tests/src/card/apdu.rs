//! Testkit: command and response APDUs (ETSI TS 102 221 10.1, 10.2).

use std::fmt;

/// The longest answer that a command of short length can ask for.
pub const EXPECTED_MAX: u16 = 256;

/// The instructions that are used (ETSI TS 102 221 table 10.5; AUTHENTICATE is TS 31.102 7.1).
pub mod instruction {
    /// SELECT
    pub const SELECT: u8 = 0xA4;
    /// READ BINARY
    pub const READ_BINARY: u8 = 0xB0;
    /// READ RECORD
    pub const READ_RECORD: u8 = 0xB2;
    /// VERIFY PIN
    pub const VERIFY: u8 = 0x20;
    /// AUTHENTICATE, even instruction code
    pub const AUTHENTICATE: u8 = 0x88;
    /// GET RESPONSE (T=0)
    pub const GET_RESPONSE: u8 = 0xC0;
    /// STATUS
    pub const STATUS: u8 = 0xF2;
}

/// A command APDU of short length. Its `Debug` hides the data: a PIN may be in it.
#[derive(Clone, Eq, PartialEq)]
pub struct Command {
    /// CLA
    pub class: u8,
    /// INS
    pub instruction: u8,
    /// P1
    pub p1: u8,
    /// P2
    pub p2: u8,
    /// At most 255 octets.
    pub data: Vec<u8>,
    /// Le: how many octets are expected, 1 to 256; `None` when no answer is expected.
    pub expected: Option<u16>,
}

impl Command {
    const fn new(instruction: u8, p1: u8, p2: u8) -> Self {
        Self {
            class: 0,
            instruction,
            p1,
            p2,
            data: Vec::new(),
            expected: None,
        }
    }

    /// SELECT by file identifier; the answer is the FCP template.
    #[must_use]
    pub fn select_file(file: u16) -> Self {
        Self {
            data: file.to_be_bytes().to_vec(),
            expected: Some(EXPECTED_MAX),
            ..Self::new(instruction::SELECT, 0x00, 0x04)
        }
    }

    /// SELECT of an application by the first octets of its AID; the answer is the FCP template.
    #[must_use]
    pub fn select_application(aid: &[u8]) -> Self {
        Self {
            data: aid.to_vec(),
            expected: Some(EXPECTED_MAX),
            ..Self::new(instruction::SELECT, 0x04, 0x04)
        }
    }

    /// READ BINARY of the selected file from an offset on, below 0x8000.
    #[must_use]
    pub fn read_binary(offset: u16, expected: u16) -> Self {
        let [high, low] = (offset & 0x7FFF).to_be_bytes();
        Self {
            expected: Some(expected),
            ..Self::new(instruction::READ_BINARY, high, low)
        }
    }

    /// READ RECORD of the selected file, absolute mode, records counted from 1.
    #[must_use]
    pub const fn read_record(record: u8, expected: u16) -> Self {
        let mut command = Self::new(instruction::READ_RECORD, record, 0x04);
        command.expected = Some(expected);
        command
    }

    /// VERIFY PIN without a PIN: asks for the remaining tries (ETSI TS 102 221 11.1.9).
    #[must_use]
    pub const fn pin_tries(reference: u8) -> Self {
        Self::new(instruction::VERIFY, 0x00, reference)
    }

    /// VERIFY PIN; the PIN is padded to eight octets (ETSI TS 102 221 11.1.9, 9.5.1).
    #[must_use]
    pub fn verify(reference: u8, pin: &[u8]) -> Self {
        let mut data = pin.to_vec();
        data.resize(8, 0xFF);
        Self {
            data,
            ..Self::new(instruction::VERIFY, 0x00, reference)
        }
    }

    /// AUTHENTICATE in the 3G security context of a USIM, the IMS AKA context of an ISIM: both are P2 = 81
    /// (TS 31.102 7.1.2, TS 31.103 7.1.2).
    #[must_use]
    pub fn authenticate(rand: &[u8; 16], autn: &[u8; 16]) -> Self {
        let mut data = vec![16];
        data.extend(rand);
        data.push(16);
        data.extend(autn);
        Self {
            data,
            expected: Some(EXPECTED_MAX),
            ..Self::new(instruction::AUTHENTICATE, 0x00, 0x81)
        }
    }

    /// GET RESPONSE: fetches what a 61xx has announced (ETSI TS 102 221 7.3.1.1.3).
    #[must_use]
    pub const fn get_response(expected: u16) -> Self {
        let mut command = Self::new(instruction::GET_RESPONSE, 0x00, 0x00);
        command.expected = Some(expected);
        command
    }

    /// The octets for the card. By T=0 a command with data says nothing about the answer: it is fetched (case 4).
    #[must_use]
    pub fn encode(&self, is_t0: bool) -> Vec<u8> {
        let mut octets = vec![self.class, self.instruction, self.p1, self.p2];
        if let Ok(length) = u8::try_from(self.data.len())
            && length > 0
        {
            octets.push(length);
            octets.extend(&self.data);
        }
        match self.expected {
            // 256 is 00.
            Some(expected) if !is_t0 || self.data.is_empty() => octets.push(expected.to_be_bytes()[1]),
            // Case 1 by T=0 has a P3 of 00.
            None if is_t0 && self.data.is_empty() => octets.push(0),
            _ => {}
        }
        octets
    }

    /// The command that these octets are, of short length.
    ///
    /// # Errors
    /// When Lc and the number of octets contradict each other.
    pub fn parse(octets: &[u8]) -> Result<Self, ApduError> {
        let [class, instruction, p1, p2, rest @ ..] = octets else {
            return Err(ApduError::Short);
        };
        let expected = |le: u8| if le == 0 { EXPECTED_MAX } else { u16::from(le) };
        let (data, expected) = match rest {
            [] => (&[][..], None),
            [le] => (&[][..], Some(expected(*le))),
            [0, ..] => return Err(ApduError::Extended),
            [lc, rest @ ..] => match (rest.split_at_checked(usize::from(*lc)), rest.len()) {
                (Some((data, [])), _) => (data, None),
                (Some((data, [le])), _) => (data, Some(expected(*le))),
                (_, octets) => return Err(ApduError::Length { lc: *lc, octets }),
            },
        };
        Ok(Self {
            class: *class,
            instruction: *instruction,
            p1: *p1,
            p2: *p2,
            data: data.to_vec(),
            expected,
        })
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02X} {:02X} {:02X} {:02X}, {} octets of data, {:?} expected",
            self.class,
            self.instruction,
            self.p1,
            self.p2,
            self.data.len(),
            self.expected
        )
    }
}

/// Why octets are no APDU.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ApduError {
    /// Shorter than a header, or than a status word.
    #[error("too short for an APDU")]
    Short,
    /// An APDU of extended length.
    #[error("an APDU of extended length")]
    Extended,
    /// Lc says another length than there is.
    #[error("Lc says {lc} octets, {octets} follow it")]
    Length {
        /// Lc
        lc: u8,
        /// What follows it.
        octets: usize,
    },
}

/// A response APDU. Its `Debug` hides the data: keys may be in it.
#[derive(Clone, Eq, PartialEq)]
pub struct Reply {
    /// What comes before the status word.
    pub data: Vec<u8>,
    /// SW1 SW2
    pub status: StatusWord,
}

impl Reply {
    /// Reads what a card has sent.
    ///
    /// # Errors
    /// When there is no status word.
    pub fn parse(octets: &[u8]) -> Result<Self, ApduError> {
        let (data, status) = octets.split_last_chunk::<2>().ok_or(ApduError::Short)?;
        Ok(Self {
            data: data.to_vec(),
            status: StatusWord(u16::from_be_bytes(*status)),
        })
    }

    /// The octets as a card sends them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = self.data.clone();
        octets.extend(self.status.0.to_be_bytes());
        octets
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets, {}", self.data.len(), self.status)
    }
}

/// SW1 SW2 (ETSI TS 102 221 10.2).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StatusWord(pub u16);

impl StatusWord {
    /// 9000
    pub const OK: Self = Self(0x9000);
    /// 6983
    pub const BLOCKED: Self = Self(0x6983);
    /// 6982
    pub const SECURITY_STATUS: Self = Self(0x6982);
    /// 6984
    pub const DEACTIVATED: Self = Self(0x6984);
    /// 6985
    pub const CONDITIONS: Self = Self(0x6985);
    /// 6282
    pub const ENDED_EARLY: Self = Self(0x6282);
    /// 6A82
    pub const NOT_FOUND: Self = Self(0x6A82);
    /// 6A83
    pub const NO_RECORD: Self = Self(0x6A83);
    /// There is no such key or PIN (referenced data not found).
    pub const NO_SUCH_KEY: Self = Self(0x6A88);
    /// 9862
    pub const WRONG_MAC: Self = Self(0x9862);
    /// 9864
    pub const NO_CONTEXT: Self = Self(0x9864);

    /// The command was done: 9000, or 91xx and 92xx of a card that has something to say besides.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self.0 >> 8, 0x90..=0x92)
    }

    /// 61xx: so many octets are to be fetched (T=0), 256 for 6100.
    #[must_use]
    pub const fn to_fetch(self) -> Option<u16> {
        self.counted(0x61)
    }

    /// 6Cxx: the command is to be said again with this Le, 256 for 6C00.
    #[must_use]
    pub const fn right_length(self) -> Option<u16> {
        self.counted(0x6C)
    }

    /// 63Cx: so many tries of a PIN remain.
    #[must_use]
    pub const fn tries(self) -> Option<u8> {
        let [high, low] = self.0.to_be_bytes();
        match (high, low) {
            (0x63, 0xC0..=0xCF) => Some(low & 0x0F),
            _ => None,
        }
    }

    const fn counted(self, first: u8) -> Option<u16> {
        let [high, low] = self.0.to_be_bytes();
        match low {
            _ if high != first => None,
            0 => Some(EXPECTED_MAX),
            count => Some(count as u16),
        }
    }

    /// What it means, in plain words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self.0 {
            0x9000 => "done",
            0x6282 => "the file ended early",
            0x6283 => "the file is deactivated",
            0x6285 => "the application is terminated",
            0x6581 => "the card's memory is failing",
            0x6700 => "wrong length of the command",
            0x6881 => "logical channels are not supported",
            0x6882 => "secure messaging is not supported",
            0x6981 => "the command does not fit the structure of the file",
            0x6982 => "not allowed: the PIN (or an ADM key) has not been verified",
            0x6983 => "the PIN is blocked: it was wrong too often",
            0x6984 => "the PIN, or what it protects, is deactivated",
            0x6985 => "conditions of use not satisfied: not selected, not activated, or in the wrong state",
            0x6986 => "no file is selected",
            0x6A80 => "wrong parameters in the data",
            0x6A81 => "the card does not support this function",
            0x6A82 => "no such file or application",
            0x6A83 => "no such record",
            0x6A86 => "wrong P1 or P2",
            0x6A87 => "Lc does not fit P1 and P2",
            0x6A88 => "no such key or PIN",
            0x6B00 => "wrong P1 or P2, or an offset behind the end of the file",
            0x6D00 => "the card does not know this instruction",
            0x6E00 => "the card does not know this class of instructions",
            0x6F00 => "the card has a technical problem and does not say which",
            0x9850 => "the value cannot be increased",
            0x9862 => "authentication error: MAC-A of the challenge is wrong for this card's key",
            0x9863 => "security session or association expired",
            0x9864 => "authentication error: this security context is not supported",
            0x9865 => "key freshness failure",
            0x9866 => "authentication error: no memory left",
            _ => self.class(),
        }
    }

    const fn class(self) -> &'static str {
        match self.0 >> 8 {
            0x61 => "more is to be fetched",
            0x62 => "done, with a warning",
            0x63 if self.tries().is_some() => "wrong PIN; the last digit says how many tries remain",
            0x63 => "done, with a warning",
            0x64 | 0x65 => "an error in the card",
            0x6C => "wrong length expected; the right one is in the status",
            0x91 | 0x92 => "done, and the card has something to say",
            0x93 => "the card is busy",
            0x98 => "an error of security",
            _ => "a status that no specification of this kind of card names",
        }
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X} ({})", self.0, self.meaning())
    }
}

impl fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_cases_are_written_as_each_protocol_wants_them() {
        let case1 = Command::pin_tries(0x01);
        assert_eq!(case1.encode(true), [0x00, 0x20, 0x00, 0x01, 0x00]);
        assert_eq!(case1.encode(false), [0x00, 0x20, 0x00, 0x01]);
        let case2 = Command::read_binary(0x0102, 256);
        assert_eq!(case2.encode(true), [0x00, 0xB0, 0x01, 0x02, 0x00]);
        assert_eq!(case2.encode(false), case2.encode(true));
        let case3 = Command::verify(0x01, b"1234");
        let verify = [
            0x00, 0x20, 0x00, 0x01, 8, 0x31, 0x32, 0x33, 0x34, 0xFF, 0xFF, 0xFF, 0xFF,
        ];
        assert_eq!(case3.encode(true), verify);
        assert_eq!(case3.encode(false), verify);
        let case4 = Command::select_file(0x3F00);
        assert_eq!(case4.encode(true), [0x00, 0xA4, 0x00, 0x04, 2, 0x3F, 0x00]);
        assert_eq!(case4.encode(false), [0x00, 0xA4, 0x00, 0x04, 2, 0x3F, 0x00, 0x00]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let commands = [
            Command::select_file(0x6F02),
            Command::select_application(&[0xA0, 0, 0, 0, 0x87, 0x10, 0x04]),
            Command::read_record(3, 38),
            Command::verify(0x81, b"00000000"),
            Command::authenticate(&[1; 16], &[2; 16]),
            Command::pin_tries(0x01),
        ];
        for command in commands {
            assert_eq!(Command::parse(&command.encode(false)), Ok(command));
        }
    }

    #[test]
    fn a_length_that_is_not_there_is_an_error() {
        let parse = |octets: &[u8]| Command::parse(octets).unwrap_err();
        assert_eq!(parse(&[0, 0xA4, 0]), ApduError::Short);
        assert_eq!(
            parse(&[0, 0xA4, 0, 4, 2, 0x3F]),
            ApduError::Length { lc: 2, octets: 1 }
        );
        assert_eq!(
            parse(&[0, 0xA4, 0, 4, 1, 1, 2, 3]),
            ApduError::Length { lc: 1, octets: 3 }
        );
        assert_eq!(parse(&[0, 0xA4, 0, 4, 0, 1, 0]), ApduError::Extended);
        assert_eq!(Reply::parse(&[0x90]), Err(ApduError::Short));
    }

    #[test]
    fn neither_a_pin_nor_a_key_is_shown() {
        let shown = format!("{:?}", Command::verify(1, b"1234"));
        assert_eq!(shown, "00 20 00 01, 8 octets of data, None expected");
        let reply = Reply {
            data: vec![0xDB; 40],
            status: StatusWord::OK,
        };
        assert_eq!(format!("{reply:?}"), "40 octets, 9000 (done)");
    }

    #[test]
    fn counts_are_read_from_status_words() {
        assert_eq!(StatusWord(0x6100).to_fetch(), Some(256));
        assert_eq!(StatusWord(0x6135).to_fetch(), Some(0x35));
        assert_eq!(StatusWord(0x6C10).right_length(), Some(0x10));
        assert_eq!(StatusWord(0x63C2).tries(), Some(2));
        assert_eq!(StatusWord(0x6300).tries(), None);
        assert!(StatusWord(0x910B).is_ok());
        assert!(!StatusWord(0x9862).is_ok());
    }
}
