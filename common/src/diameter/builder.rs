//! Codec: messages printed into one buffer (RFC 6733 3, 4).

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};

use super::avp::AvpFlags;
use super::grammar::{AvpDef, AvpType};
use super::header::Header;

/// Prints one message. AVPs stand in the order of the calls; the caller follows the command's ABNF.
#[derive(Debug)]
pub struct MessageBuilder {
    header: Header,
    buffer: BytesMut,
}

impl MessageBuilder {
    /// Starts a message.
    #[must_use]
    pub fn new(header: Header) -> Self {
        let mut buffer = BytesMut::with_capacity(512);
        buffer.put_slice(&[0; Header::LEN]);
        Self { header, buffer }
    }

    /// Adds an AVP of octets.
    pub fn octets(&mut self, def: &AvpDef, data: &[u8]) -> &mut Self {
        let start = self.open(def, def.flags);
        self.buffer.put_slice(data);
        self.close(start);
        self
    }

    /// Adds an AVP of text.
    pub fn text(&mut self, def: &AvpDef, data: &str) -> &mut Self {
        self.octets(def, data.as_bytes())
    }

    /// Adds an Unsigned32 or Enumerated.
    pub fn u32(&mut self, def: &AvpDef, value: u32) -> &mut Self {
        self.octets(def, &value.to_be_bytes())
    }

    /// Adds an Unsigned64.
    pub fn u64(&mut self, def: &AvpDef, value: u64) -> &mut Self {
        self.octets(def, &value.to_be_bytes())
    }

    /// Adds an Address.
    pub fn address(&mut self, def: &AvpDef, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                self.octets(def, &[0, 1, a, b, c, d])
            }
            IpAddr::V6(v6) => {
                let mut data = [0; 18];
                data[1] = 2;
                data[2..].copy_from_slice(&v6.octets());
                self.octets(def, &data)
            }
        }
    }

    /// Adds a Grouped AVP; `members` adds what is in it.
    pub fn group(&mut self, def: &AvpDef, members: impl FnOnce(&mut Self)) -> &mut Self {
        debug_assert!(
            matches!(def.kind, AvpType::Grouped(_)),
            "{} is no group",
            def.name
        );
        let start = self.open(def, def.flags);
        members(self);
        self.close(start);
        self
    }

    /// Adds an AVP that is printed already, without padding.
    pub fn raw(&mut self, avp: &[u8]) -> &mut Self {
        self.buffer.put_slice(avp);
        self.pad();
        self
    }

    /// Octets so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there is no AVP yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.len() <= Header::LEN
    }

    /// The message.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        let header = self.header.print(length24(self.buffer.len()));
        if let Some(slot) = self.buffer.first_chunk_mut::<{ Header::LEN }>() {
            *slot = header;
        }
        self.buffer.freeze()
    }

    fn open(&mut self, def: &AvpDef, flags: u8) -> usize {
        let start = self.buffer.len();
        self.buffer.put_u32(def.code);
        self.buffer.put_u32(u32::from(flags) << 24);
        if flags & AvpFlags::VENDOR != 0 {
            self.buffer.put_u32(def.vendor);
        }
        start
    }

    fn close(&mut self, start: usize) {
        let [_, length @ ..] = length24(self.buffer.len() - start).to_be_bytes();
        if let Some(slot) = self.buffer.get_mut(start + 5..start + 8) {
            slot.copy_from_slice(&length);
        }
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.buffer.len().next_multiple_of(4);
        self.buffer.resize(padded, 0);
    }
}

/// Lengths have 24 bits. Our own messages are bounded far below by the limits of what they carry.
fn length24(length: usize) -> u32 {
    debug_assert!(length < 1 << 24, "message of {length} octets");
    u32::try_from(length).unwrap_or(u32::MAX) & 0x00FF_FFFF
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diameter::grammar::{avp, command};
    use crate::diameter::{CommandFlags, Message};

    fn header() -> Header {
        Header {
            flags: CommandFlags(CommandFlags::REQUEST),
            code: command::CAPABILITIES_EXCHANGE,
            application: 0,
            hop_by_hop: 1,
            end_to_end: 2,
        }
    }

    #[test]
    fn padding_is_zero_and_not_counted() {
        let mut builder = MessageBuilder::new(header());
        builder.text(&avp::ORIGIN_HOST, "abcde");
        let bytes = builder.finish();
        assert_eq!(bytes[3], 20 + 16);
        assert_eq!(
            bytes[20..],
            [0, 0, 1, 8, 0x40, 0, 0, 13, b'a', b'b', b'c', b'd', b'e', 0, 0, 0]
        );
    }

    #[test]
    fn groups_nest_and_read_back() {
        let mut builder = MessageBuilder::new(header());
        builder.group(&avp::VENDOR_SPECIFIC_APPLICATION_ID, |b| {
            b.u32(&avp::VENDOR_ID, 10415)
                .u32(&avp::AUTH_APPLICATION_ID, 16_777_216);
        });
        builder.address(&avp::HOST_IP_ADDRESS, IpAddr::from([192, 0, 2, 9]));
        let message = Message::parse(builder.finish()).unwrap();
        let group = message.find(&avp::VENDOR_SPECIFIC_APPLICATION_ID).unwrap();
        assert_eq!(group.raw.len(), 32);
        let app = group
            .members()
            .find(&avp::AUTH_APPLICATION_ID)
            .and_then(|a| a.u32());
        assert_eq!(app, Some(16_777_216));
        let address = message.find(&avp::HOST_IP_ADDRESS).and_then(|a| a.address());
        assert_eq!(address, Some(IpAddr::from([192, 0, 2, 9])));
    }
}
