//! Codec: `EF_IST` and `EF_UST`, the services that are available (TS 31.103 4.2.7, TS 31.102 4.2.8).

use crate::card::contents::{Read, ServiceTable};

/// The file.
#[must_use]
pub fn decode(octets: &[u8]) -> Read<ServiceTable> {
    super::read(octets, |octets| Ok(Some(ServiceTable(octets.to_vec()))))
}

/// The file with the services of these numbers, which begin with 1.
#[must_use]
pub fn encode(services: &[usize]) -> Vec<u8> {
    let last = services.iter().copied().max().unwrap_or(1);
    let mut octets = vec![0; last.div_ceil(8)];
    for bit in services.iter().filter_map(|service| service.checked_sub(1)) {
        if let Some(octet) = octets.get_mut(bit / 8) {
            *octet |= 1 << (bit % 8);
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_become_bits_from_the_low_one_on() {
        assert_eq!(encode(&[1, 5, 8, 9]), [0x91, 0x01]);
        assert_eq!(encode(&[]), [0x00]);
        assert_eq!(encode(&[0, 3]), [0x04]);
        assert_eq!(decode(&[0x91, 0x01]), Read::Is(ServiceTable(vec![0x91, 0x01])));
    }
}
