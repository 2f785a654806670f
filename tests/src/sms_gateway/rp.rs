//! Testkit: the layers of a short message that a gateway must understand: RP (TS 24.011 7.3 and 8.2) and as much of
//! TP (TS 23.040 9.2.2) as makes a delivery of a submission.

use crate::bcd;

/// The content type of all of them (TS 24.341 5.3.1.2).
pub const CONTENT_TYPE: &str = "application/vnd.3gpp.sms";

/// Type of number and numbering plan: international, E.164 (TS 24.011 8.2.5.1).
const INTERNATIONAL: u8 = 0x91;
/// TP-Data-Coding-Scheme of UCS-2 (TS 23.038 4).
const UCS2: u8 = 0x08;
/// Octets of TP-User-Data (TS 23.040 9.2.3.24).
const DATA_OCTETS_MAX: usize = 140;
/// IEI of RP-User-Data where it is optional (TS 24.011 8.2.5.3).
const USER_DATA: u8 = 0x41;

/// An RPDU. `reference` is RP-Message-Reference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rp {
    /// RP-DATA: a TPDU and, in the direction of the network, the number of the service centre.
    Data {
        /// Whether the phone sends it.
        from_ms: bool,
        /// RP-Message-Reference.
        reference: u8,
        /// RP-Destination Address or RP-Originator Address: digits.
        service_centre: String,
        /// RP-User Data.
        tpdu: Vec<u8>,
    },
    /// RP-ACK.
    Ack {
        /// Whether the phone sends it.
        from_ms: bool,
        /// RP-Message-Reference of the RP-DATA.
        reference: u8,
    },
    /// RP-ERROR.
    Error {
        /// Whether the phone sends it.
        from_ms: bool,
        /// RP-Message-Reference of the RP-DATA.
        reference: u8,
        /// RP-Cause.
        cause: u8,
    },
    /// RP-SMMA: the phone has memory again.
    MemoryAvailable {
        /// RP-Message-Reference.
        reference: u8,
    },
}

impl Rp {
    /// Reads an RPDU; `None` when it is none.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let [kind, reference, rest @ ..] = octets else {
            return None;
        };
        let (from_ms, reference) = (kind & 1 == 0, *reference);
        match kind {
            0 | 1 => {
                let (originator, rest) = value(rest)?;
                let (destination, rest) = value(rest)?;
                let (tpdu, _) = value(rest)?;
                let address = if from_ms { destination } else { originator };
                Some(Self::Data {
                    from_ms,
                    reference,
                    service_centre: digits(address.get(1..).unwrap_or_default()),
                    tpdu: tpdu.to_vec(),
                })
            }
            2 | 3 => Some(Self::Ack { from_ms, reference }),
            4 | 5 => {
                let (cause, _) = value(rest)?;
                let cause = cause.first()? & 0x7F;
                Some(Self::Error {
                    from_ms,
                    reference,
                    cause,
                })
            }
            6 => Some(Self::MemoryAvailable { reference }),
            _ => None,
        }
    }

    /// Prints it.
    #[must_use]
    pub fn print(&self) -> Vec<u8> {
        match self {
            Self::Data {
                from_ms,
                reference,
                service_centre,
                tpdu,
            } => {
                let mut address = vec![INTERNATIONAL];
                address.extend(bcd::encode(service_centre));
                let mut octets = vec![u8::from(!from_ms), *reference];
                let (originator, destination): (&[u8], &[u8]) = match from_ms {
                    true => (&[], &address),
                    false => (&address, &[]),
                };
                for part in [originator, destination, tpdu] {
                    octets.push(length(part));
                    octets.extend(part);
                }
                octets
            }
            // RP-User Data of an RP-ACK is a report without failure (TS 23.040 9.2.2.1a): PI only.
            Self::Ack { from_ms, reference } => {
                vec![2 + u8::from(!from_ms), *reference, USER_DATA, 2, 0, 0]
            }
            Self::Error {
                from_ms,
                reference,
                cause,
            } => vec![4 + u8::from(!from_ms), *reference, 1, *cause],
            Self::MemoryAvailable { reference } => vec![6, *reference],
        }
    }
}

/// SMS-SUBMIT, as far as a gateway reads it (TS 23.040 9.2.2.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Submit {
    /// TP-Destination-Address: digits.
    pub to: String,
    /// TP-Data-Coding-Scheme.
    pub coding: u8,
    /// TP-User-Data-Length: septets or octets.
    pub length: u8,
    /// TP-User-Data.
    pub data: Vec<u8>,
}

impl Submit {
    /// A submission of octets (TS 23.038 4: 8 bit data).
    #[must_use]
    pub fn of_octets(to: &str, data: &[u8]) -> Self {
        Self {
            to: to.trim_start_matches('+').to_owned(),
            coding: 0x04,
            length: length(data),
            data: data.to_vec(),
        }
    }

    /// A submission of text, in UCS-2, which each phone can show (TS 23.038 4); `None` when it is too long for one.
    #[must_use]
    pub fn of_text(to: &str, text: &str) -> Option<Self> {
        let data: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        (data.len() <= DATA_OCTETS_MAX).then(|| Self {
            coding: UCS2,
            ..Self::of_octets(to, &data)
        })
    }

    /// Reads a TPDU; `None` when it is no SMS-SUBMIT.
    #[must_use]
    pub fn parse(tpdu: &[u8]) -> Option<Self> {
        let [first, _reference, count, _kind, rest @ ..] = tpdu else {
            return None;
        };
        if first & 3 != 1 {
            return None;
        }
        let octets = usize::from(*count).div_ceil(2);
        let to = digits(rest.get(..octets)?);
        let [_protocol, coding, rest @ ..] = rest.get(octets..)? else {
            return None;
        };
        // TP-Validity-Period-Format: none, enhanced, relative, absolute.
        let validity = match (first >> 3) & 3 {
            0 => 0,
            2 => 1,
            _ => 7,
        };
        let [length, data @ ..] = rest.get(validity..)? else {
            return None;
        };
        Some(Self {
            to,
            coding: *coding,
            length: *length,
            data: data.to_vec(),
        })
    }

    /// Prints the TPDU with this TP-Message-Reference.
    #[must_use]
    pub fn print(&self, reference: u8) -> Vec<u8> {
        let mut octets = vec![1, reference];
        octets.extend(address(&self.to));
        octets.extend([0, self.coding, self.length]);
        octets.extend(&self.data);
        octets
    }

    /// The SMS-DELIVER that it becomes (TS 23.040 9.2.2.1).
    #[must_use]
    pub fn delivery(&self, from: &str) -> Vec<u8> {
        // SMS-DELIVER, no more messages.
        let mut octets = vec![4];
        octets.extend(address(from));
        octets.extend([0, self.coding]);
        // TP-Service-Centre-Time-Stamp: 2026-01-01 00:00:00, semi-octets swapped.
        octets.extend([0x62, 0x10, 0x10, 0, 0, 0, 0]);
        octets.push(self.length);
        octets.extend(&self.data);
        octets
    }
}

/// Where the text of an SMS-DELIVER is.
#[must_use]
pub fn delivered_data(tpdu: &[u8]) -> Option<&[u8]> {
    let [first, count, _kind, rest @ ..] = tpdu else {
        return None;
    };
    if first & 3 != 0 {
        return None;
    }
    let octets = usize::from(*count).div_ceil(2);
    // PID, DCS, time stamp, length.
    rest.get(octets + 2 + 7 + 1..)
}

/// The text of an SMS-DELIVER in UCS-2 that is no part of a longer one.
#[must_use]
pub fn delivered_text(tpdu: &[u8]) -> Option<String> {
    /// TP-User-Data-Header-Indication: a header stands in the data.
    const HEADER: u8 = 0x40;
    let [first, count, ..] = tpdu else {
        return None;
    };
    let coding = tpdu.get(3 + usize::from(*count).div_ceil(2) + 1)?;
    let data = delivered_data(tpdu)?;
    if first & HEADER != 0 || *coding != UCS2 {
        return None;
    }
    let (units, _) = data.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_be_bytes(*unit));
    Some(
        char::decode_utf16(units)
            .map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
    )
}

/// An address of TP: count of digits, kind, digits (TS 23.040 9.1.2.5).
fn address(number: &str) -> Vec<u8> {
    let number = number.trim_start_matches('+');
    let mut octets = vec![length(number.as_bytes()), INTERNATIONAL];
    octets.extend(bcd::encode(number));
    octets
}

fn digits(octets: &[u8]) -> String {
    let nibbles = octets.iter().flat_map(|octet| [octet & 0xF, octet >> 4]);
    nibbles
        .filter(|nibble| *nibble < 10)
        .map(|nibble| char::from(b'0' + nibble))
        .collect()
}

fn value(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn length(octets: &[u8]) -> u8 {
    u8::try_from(octets.len()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TS 24.011 7.3.1.2 and TS 23.040 9.2.2.2, octet by octet.
    #[test]
    fn submission_is_printed_as_the_specifications_say() {
        let tpdu = Submit::of_octets("+15550002", b"\0\r\n").print(7);
        let rp = Rp::Data {
            from_ms: true,
            reference: 5,
            service_centre: "15550099".to_owned(),
            tpdu,
        };
        let octets = rp.print();
        assert_eq!(
            octets,
            [
                0, 5, 0, 5, 0x91, 0x51, 0x55, 0x00, 0x99, 14, 1, 7, 8, 0x91, 0x51, 0x55, 0x00, 0x20, 0, 4, 3,
                0, 13, 10
            ]
        );
        assert_eq!(Rp::parse(&octets), Some(rp));
    }

    #[test]
    fn submission_becomes_a_delivery_with_the_same_data() {
        let submit = Submit::parse(&Submit::of_octets("15550002", b"\0hello\xFF").print(7)).unwrap();
        assert_eq!(submit.to, "15550002");
        let delivery = submit.delivery("+155500011");
        assert_eq!(delivered_data(&delivery), Some(&b"\0hello\xFF"[..]));
        assert_eq!(delivered_data(&submit.print(1)), None);
    }

    #[test]
    fn answers_read_back() {
        for rp in [
            Rp::Ack {
                from_ms: true,
                reference: 1,
            },
            Rp::Ack {
                from_ms: false,
                reference: 255,
            },
            Rp::Error {
                from_ms: true,
                reference: 3,
                cause: 22,
            },
            Rp::MemoryAvailable { reference: 4 },
        ] {
            assert_eq!(Rp::parse(&rp.print()), Some(rp));
        }
        for octets in [&[][..], &[0], &[0, 1, 9], &[9, 1], &[4, 1]] {
            assert_eq!(Rp::parse(octets), None, "{octets:?}");
        }
    }
}
