//! Codec: one Diameter message over the bytes that came (RFC 6733 3).

use std::fmt;

use bytes::Bytes;

use super::avp::{Avp, Avps};
use super::builder::MessageBuilder;
use super::grammar::{self, AvpDef, avp, result_code};
use super::header::{CommandFlags, Header, u24};

/// One message: the header is read, the lengths of its outermost AVPs are right. `Debug` prints no AVP.
#[derive(Clone)]
pub struct Message {
    header: Header,
    bytes: Bytes,
}

/// Why octets are no message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// Less than a header, or the length field is not the number of octets: framing is lost.
    #[error("message length does not fit")]
    Length,
    /// The version is not 1: framing is lost.
    #[error("version is not 1")]
    Version,
    /// The framing holds but an AVP does not fit into the message (RFC 6733 7.1.5, 5014).
    #[error("an AVP does not fit into the message")]
    Avp {
        /// Of the message, for the answer.
        header: Header,
        /// What to answer if it was a request.
        refusal: Refusal,
    },
}

/// What to answer to a request that cannot be served: Result-Code and Failed-AVP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Result-Code.
    pub code: u32,
    /// The AVP inside Failed-AVP, printed without padding.
    pub failed_avp: Option<Bytes>,
}

impl Refusal {
    /// A refusal without Failed-AVP.
    #[must_use]
    pub fn new(code: u32) -> Self {
        Self {
            code,
            failed_avp: None,
        }
    }

    /// A refusal because of this AVP.
    #[must_use]
    pub fn of(code: u32, avp: &Avp<'_>) -> Self {
        let failed_avp = Some(Bytes::copy_from_slice(avp.raw));
        Self { code, failed_avp }
    }

    /// Whether it is a protocol error, which is answered with E set (RFC 6733 7.1.3).
    #[must_use]
    pub fn is_protocol_error(&self) -> bool {
        (3000..4000).contains(&self.code)
    }
}

impl Message {
    /// Reads the header and checks that the outermost AVPs fill the message.
    ///
    /// # Errors
    /// When they do not. Only [`ParseError::Avp`] leaves the connection usable.
    pub fn parse(bytes: Bytes) -> Result<Self, ParseError> {
        let header = Header::read(&bytes).ok_or(ParseError::Length)?;
        let (head, _) = bytes.split_first_chunk::<4>().ok_or(ParseError::Length)?;
        let [version, length @ ..] = *head;
        if version != Header::VERSION {
            return Err(ParseError::Version);
        }
        if usize::try_from(u24(length)) != Ok(bytes.len()) || !bytes.len().is_multiple_of(4) {
            return Err(ParseError::Length);
        }
        let message = Self { header, bytes };
        match message.avps().find_map(Result::err) {
            None => Ok(message),
            Some(bad) => Err(ParseError::Avp {
                header,
                refusal: Refusal {
                    code: result_code::INVALID_AVP_LENGTH,
                    failed_avp: grammar::example_of_broken(bad.rest, &[avp::ALL]),
                },
            }),
        }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether R is set.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.header.flags.is_request()
    }

    /// The whole message as it came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The outermost AVPs.
    #[must_use]
    pub fn avps(&self) -> Avps<'_> {
        Avps::new(self.bytes.get(Header::LEN..).unwrap_or_default())
    }

    /// The first outermost AVP of that name.
    #[must_use]
    pub fn find(&self, def: &AvpDef) -> Option<Avp<'_>> {
        self.avps().find(def)
    }

    /// Text of the first outermost AVP of that name.
    #[must_use]
    pub fn text(&self, def: &AvpDef) -> Option<&str> {
        self.find(def)?.text()
    }

    /// Number of the first outermost AVP of that name.
    #[must_use]
    pub fn u32(&self, def: &AvpDef) -> Option<u32> {
        self.find(def)?.u32()
    }

    /// Result-Code.
    #[must_use]
    pub fn result_code(&self) -> Option<u32> {
        self.u32(&avp::RESULT_CODE)
    }

    /// A part of this message as bytes that share its memory.
    #[must_use]
    pub fn slice(&self, part: &[u8]) -> Bytes {
        self.bytes.slice_ref(part)
    }

    /// The same request for another peer: another Hop-by-Hop Identifier.
    #[must_use]
    pub fn redirection(&self, hop_by_hop: u32) -> Bytes {
        self.copy(hop_by_hop, 0)
    }

    /// The same request once more: another Hop-by-Hop Identifier, T set (RFC 6733 3, 5.5.4).
    #[must_use]
    pub fn retransmission(&self, hop_by_hop: u32) -> Bytes {
        self.copy(hop_by_hop, CommandFlags::RETRANSMITTED)
    }

    fn copy(&self, hop_by_hop: u32, more_flags: u8) -> Bytes {
        let mut header = self.header;
        header.hop_by_hop = hop_by_hop;
        header.flags.0 |= more_flags;
        let mut builder = MessageBuilder::new(header);
        builder.raw(self.bytes.get(Header::LEN..).unwrap_or_default());
        builder.finish()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("header", &self.header)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
