//! Codec: `EF_P-CSCF` (TS 31.103 4.2.8).

use std::net::IpAddr;

use super::text;
use crate::card::contents::{PcscfAddress, Read};
use crate::card::tlv;

const ADDRESS: u16 = 0x80;
const NAME: u8 = 0x00;
const IPV4: u8 = 0x01;
const IPV6: u8 = 0x02;

/// A record.
#[must_use]
pub fn decode(record: &[u8]) -> Read<PcscfAddress> {
    super::read(record, |record| match text::value(record)?.split_first() {
        None => Ok(None),
        Some((&NAME, name)) => Ok(text::text(name)?.map(PcscfAddress::Name)),
        Some((&IPV4, address)) => ip::<4>(address),
        Some((&IPV6, address)) => ip::<16>(address),
        Some((other, _)) => Err(format!(
            "its type is {other:02X}, where 00 is a name, 01 an IPv4 address and 02 an IPv6 address"
        )),
    })
}

/// A record, without what fills it.
#[must_use]
pub fn encode(address: &PcscfAddress) -> Vec<u8> {
    let value = match address {
        PcscfAddress::Name(name) => [&[NAME], name.as_bytes()].concat(),
        PcscfAddress::Ip(IpAddr::V4(ip)) => [&[IPV4][..], &ip.octets()].concat(),
        PcscfAddress::Ip(IpAddr::V6(ip)) => [&[IPV6][..], &ip.octets()].concat(),
    };
    tlv::object(ADDRESS, &value)
}

fn ip<const N: usize>(address: &[u8]) -> Result<Option<PcscfAddress>, String>
where
    IpAddr: From<[u8; N]>,
{
    <[u8; N]>::try_from(address)
        .map(|octets| Some(PcscfAddress::Ip(octets.into())))
        .map_err(|_| {
            format!(
                "an address of its type has {N} octets, and this one has {}",
                address.len()
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::files::{octets, padded, why};

    #[test]
    fn a_name_and_both_sorts_of_addresses_go_both_ways() {
        let name = PcscfAddress::Name("pcscf.ims.example".to_owned());
        let v4 = PcscfAddress::Ip("192.0.2.5".parse().unwrap());
        let v6 = PcscfAddress::Ip("2001:db8::5".parse().unwrap());
        let rows = [
            (
                "80 12 00 70 63 73 63 66 2E 69 6D 73 2E 65 78 61 6D 70 6C 65",
                name,
            ),
            ("80 05 01 C0 00 02 05", v4),
            ("80 11 02 20 01 0D B8 00 00 00 00 00 00 00 00 00 00 00 05", v6),
        ];
        for (hex, address) in rows {
            assert_eq!(encode(&address), octets(hex));
            assert_eq!(decode(&padded(octets(hex), 40)), Read::Is(address));
        }
    }

    #[test]
    fn a_type_or_a_length_that_does_not_exist_is_malformed() {
        assert_eq!(
            why(decode(&octets("80 05 03 C0 00 02 05"))),
            "its type is 03, where 00 is a name, 01 an IPv4 address and 02 an IPv6 address"
        );
        assert_eq!(
            why(decode(&octets("80 06 01 C0 00 02 05 00"))),
            "an address of its type has 4 octets, and this one has 5"
        );
        assert_eq!(
            why(decode(&octets("80 05 02 C0 00 02 05"))),
            "an address of its type has 16 octets, and this one has 4"
        );
        assert_eq!(
            why(decode(&octets("80 03 00 61 0A"))),
            "octet 2 of the text is the control character U+000A"
        );
        // The name without a type: its first letter is taken for one.
        assert!(why(decode(&octets("80 03 70 63 73"))).starts_with("its type is 70"));
    }

    #[test]
    fn a_record_without_an_address_is_empty() {
        assert_eq!(decode(&octets("80 00 FF FF")), Read::Empty);
        assert_eq!(decode(&octets("80 01 00 FF")), Read::Empty);
    }
}
