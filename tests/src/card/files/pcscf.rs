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
