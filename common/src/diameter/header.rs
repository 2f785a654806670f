//! Codec: the Diameter header (RFC 6733 3).

/// Command flags (RFC 6733 3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CommandFlags(pub u8);

impl CommandFlags {
    /// R: this is a request.
    pub const REQUEST: u8 = 0x80;
    /// P: may be relayed.
    pub const PROXIABLE: u8 = 0x40;
    /// E: an answer with a protocol error.
    pub const ERROR: u8 = 0x20;
    /// T: sent again after a failover.
    pub const RETRANSMITTED: u8 = 0x10;

    /// Whether R is set.
    #[must_use]
    pub fn is_request(self) -> bool {
        self.0 & Self::REQUEST != 0
    }

    /// Whether P is set.
    #[must_use]
    pub fn is_proxiable(self) -> bool {
        self.0 & Self::PROXIABLE != 0
    }

    /// Whether E is set.
    #[must_use]
    pub fn is_error(self) -> bool {
        self.0 & Self::ERROR != 0
    }

    /// Whether T is set.
    #[must_use]
    pub fn is_retransmitted(self) -> bool {
        self.0 & Self::RETRANSMITTED != 0
    }
}

/// The header without its version and length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Command flags.
    pub flags: CommandFlags,
    /// Command code, 24 bits.
    pub code: u32,
    /// Application-Id.
    pub application: u32,
    /// Hop-by-Hop Identifier: joins an answer to its request on one connection.
    pub hop_by_hop: u32,
    /// End-to-End Identifier: the same in every copy of a request.
    pub end_to_end: u32,
}

impl Header {
    /// Octets of a header.
    pub const LEN: usize = 20;
    /// The only version.
    pub const VERSION: u8 = 1;

    /// Reads a header, without a check of version and length.
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        let (head, _) = octets.split_first_chunk::<{ Self::LEN }>()?;
        let [_, _, _, _, flags, code @ ..] = head;
        let (code, rest) = code.split_first_chunk::<3>()?;
        let (application, rest) = rest.split_first_chunk::<4>()?;
        let (hop_by_hop, rest) = rest.split_first_chunk::<4>()?;
        let (end_to_end, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            flags: CommandFlags(*flags),
            code: u24(*code),
            application: u32::from_be_bytes(*application),
            hop_by_hop: u32::from_be_bytes(*hop_by_hop),
            end_to_end: u32::from_be_bytes(*end_to_end),
        })
    }

    /// The header of the answer: R and T cleared, P kept (RFC 6733 6.2), E as told.
    #[must_use]
    pub fn answer(&self, error: bool) -> Self {
        let kept = self.flags.0 & CommandFlags::PROXIABLE;
        let flags = if error { kept | CommandFlags::ERROR } else { kept };
        Self {
            flags: CommandFlags(flags),
            ..*self
        }
    }

    /// Prints the header for a message of `length` octets.
    #[must_use]
    pub fn print(&self, length: u32) -> [u8; Self::LEN] {
        let [_, l1, l2, l3] = length.to_be_bytes();
        let [_, c1, c2, c3] = self.code.to_be_bytes();
        let [a1, a2, a3, a4] = self.application.to_be_bytes();
        let [h1, h2, h3, h4] = self.hop_by_hop.to_be_bytes();
        let [e1, e2, e3, e4] = self.end_to_end.to_be_bytes();
        [
            Self::VERSION,
            l1,
            l2,
            l3,
            self.flags.0,
            c1,
            c2,
            c3,
            a1,
            a2,
            a3,
            a4,
            h1,
            h2,
            h3,
            h4,
            e1,
            e2,
            e3,
            e4,
        ]
    }
}

/// A 24-bit number.
pub(crate) fn u24([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DWR: [u8; 20] = [
        1, 0, 0, 20, 0x80, 0, 1, 0x18, 0, 0, 0, 0, 0xAA, 0xBB, 0xCC, 0xDD, 1, 2, 3, 4,
    ];

    #[test]
    fn header_reads_and_prints_the_same_octets() {
        let header = Header::read(&DWR).unwrap();
        assert_eq!(header.code, 280);
        assert!(header.flags.is_request() && !header.flags.is_proxiable());
        assert_eq!((header.hop_by_hop, header.end_to_end), (0xAABB_CCDD, 0x0102_0304));
        assert_eq!(header.print(20), DWR);
        assert_eq!(Header::read(&DWR[..19]), None);
    }

    #[test]
    fn answer_keeps_the_p_bit_and_clears_r_and_t() {
        let mut header = Header::read(&DWR).unwrap();
        header.flags = CommandFlags(0xD0);
        assert_eq!(header.answer(false).flags.0, 0x40);
        assert_eq!(header.answer(true).flags.0, 0x60);
        header.flags = CommandFlags(0x80);
        assert_eq!(header.answer(false).flags.0, 0x00);
    }
}
