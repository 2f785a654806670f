//! Codec: AVPs, walked without copying and with every length checked (RFC 6733 4.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::grammar::AvpDef;
use super::header::u24;

/// Deepest nesting of grouped AVPs that is looked at.
pub const DEPTH_MAX: usize = 8;

/// AVP flags (RFC 6733 4.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AvpFlags(pub u8);

impl AvpFlags {
    /// V: a vendor id follows.
    pub const VENDOR: u8 = 0x80;
    /// M: who does not know this AVP must refuse the request.
    pub const MANDATORY: u8 = 0x40;

    /// Whether V is set.
    #[must_use]
    pub fn has_vendor(self) -> bool {
        self.0 & Self::VENDOR != 0
    }

    /// Whether M is set.
    #[must_use]
    pub fn is_mandatory(self) -> bool {
        self.0 & Self::MANDATORY != 0
    }
}

/// One AVP in a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Avp<'a> {
    /// The code; a name only together with `vendor`.
    pub code: u32,
    /// The vendor; 0 when V is clear.
    pub vendor: u32,
    /// The flags.
    pub flags: AvpFlags,
    /// The data without padding.
    pub data: &'a [u8],
    /// Header and data without padding, for Failed-AVP.
    pub raw: &'a [u8],
}

impl<'a> Avp<'a> {
    /// Whether this is the AVP that the dictionary names.
    #[must_use]
    pub fn is(&self, def: &AvpDef) -> bool {
        self.code == def.code && self.vendor == def.vendor
    }

    /// Unsigned32, Enumerated.
    #[must_use]
    pub fn u32(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.data.try_into().ok()?))
    }

    /// Unsigned64.
    #[must_use]
    pub fn u64(&self) -> Option<u64> {
        Some(u64::from_be_bytes(self.data.try_into().ok()?))
    }

    /// UTF8String, DiameterIdentity, DiameterURI.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.data).ok()
    }

    /// Address, of the families 1 and 2 (RFC 6733 4.3.1).
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let (family, octets) = self.data.split_first_chunk::<2>()?;
        match u16::from_be_bytes(*family) {
            1 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into()),
            2 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into()),
            _ => None,
        }
    }

    /// The members of a Grouped AVP.
    #[must_use]
    pub fn members(&self) -> Avps<'a> {
        Avps::new(self.data)
    }
}

/// AVPs one after the other. A broken one is the last thing that comes.
#[derive(Clone, Debug)]
pub struct Avps<'a> {
    rest: &'a [u8],
}

/// An AVP that does not fit: its header, or what is left of it (RFC 6733 7.1.5, 5014).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadLength<'a> {
    /// What is left of the message.
    pub rest: &'a [u8],
}

impl<'a> Avps<'a> {
    /// Walks the AVPs of a message without its header, or of a group.
    #[must_use]
    pub fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// The first AVP of that name; broken ones end the search.
    #[must_use]
    pub fn find(self, def: &AvpDef) -> Option<Avp<'a>> {
        self.all(def).next()
    }

    /// Every AVP of that name; broken ones end the walk.
    pub fn all(self, def: &AvpDef) -> impl Iterator<Item = Avp<'a>> {
        let (code, vendor) = (def.code, def.vendor);
        self.map_while(Result::ok)
            .filter(move |avp| avp.code == code && avp.vendor == vendor)
    }

    fn take(&mut self) -> Option<Avp<'a>> {
        let octets = self.rest;
        let (code, rest) = octets.split_first_chunk::<4>()?;
        let (flags, rest) = rest.split_first()?;
        let (length, rest) = rest.split_first_chunk::<3>()?;
        let flags = AvpFlags(*flags);
        let length = usize::try_from(u24(*length)).ok()?;
        let (vendor, header) = if flags.has_vendor() {
            (u32::from_be_bytes(*rest.first_chunk::<4>()?), 12)
        } else {
            (0, 8)
        };
        let raw = octets.get(..length)?;
        let data = raw.get(header..)?;
        // RFC 6733 4.1: the padding is no part of the length. A last AVP without padding is accepted.
        let padded = length.next_multiple_of(4).min(octets.len());
        self.rest = octets.get(padded..)?;
        Some(Avp {
            code: u32::from_be_bytes(*code),
            vendor,
            flags,
            data,
            raw,
        })
    }
}

impl<'a> Iterator for Avps<'a> {
    type Item = Result<Avp<'a>, BadLength<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let octets = self.rest;
        Some(self.take().ok_or_else(|| {
            self.rest = &[];
            BadLength { rest: octets }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diameter::grammar::avp;

    #[test]
    fn avps_are_walked_over_their_padding() {
        let octets = [
            0, 0, 0, 1, 0x40, 0, 0, 9, b'a', 0, 0, 0, // User-Name "a", three octets of padding
            0, 0, 2, 0x59, 0xC0, 0, 0, 14, 0, 0, 0x28, 0xAF, b'h', b'i', 0, 0, // Public-Identity "hi"
        ];
        let list: Vec<_> = Avps::new(&octets).map(Result::unwrap).collect();
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].code, list[0].vendor, list[0].text()), (1, 0, Some("a")));
        assert_eq!(
            (list[1].code, list[1].vendor, list[1].data),
            (601, 10415, &b"hi"[..])
        );
        assert_eq!(list[1].raw.len(), 14);
    }

    #[test]
    fn length_below_the_header_or_beyond_the_end_is_refused_once() {
        for length in [0_u8, 7, 13, 255] {
            let octets = [0, 0, 0, 1, 0x40, 0, 0, length, b'a', b'b', b'c', b'd'];
            let list: Vec<_> = Avps::new(&octets).collect();
            assert_eq!(list, [Err(BadLength { rest: &octets[..] })], "length {length}");
        }
        // With V the header has 12 octets.
        let octets = [0, 0, 0, 1, 0xC0, 0, 0, 11, 0, 0, 0x28, 0xAF];
        assert!(Avps::new(&octets).next().unwrap().is_err());
        assert!(Avps::new(&octets[..3]).next().unwrap().is_err());
    }

    #[test]
    fn same_code_of_another_vendor_is_another_avp() {
        // OC-Supported-Features (621, IETF) is not Primary-Charging-Collection-Function-Name (621, 3GPP).
        let octets = [0, 0, 2, 0x6D, 0x40, 0, 0, 8];
        let def = AvpDef {
            vendor: 10415,
            ..avp::OC_SUPPORTED_FEATURES
        };
        assert!(Avps::new(&octets).find(&avp::OC_SUPPORTED_FEATURES).is_some());
        assert!(Avps::new(&octets).find(&def).is_none());
    }

    #[test]
    fn addresses_of_both_families_are_read_and_others_are_not() {
        let data: [&[u8]; 4] = [&[0, 1, 192, 0, 2, 1], &[0, 2, 1], &[0, 8, 1], &[0]];
        let read = |data| {
            Avp {
                code: 257,
                vendor: 0,
                flags: AvpFlags(0x40),
                data,
                raw: data,
            }
            .address()
        };
        assert_eq!(read(data[0]), Some(IpAddr::from([192, 0, 2, 1])));
        assert!(data[1..].iter().all(|data| read(data).is_none()));
    }
}
