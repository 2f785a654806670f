//! Codec: whom the guard counts by.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ims_common::identity::Impi;

/// Who sends: an address, for whoever has one of IPv6 has its whole /64; or a subscriber whose security associations say
/// who it is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Source {
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6(u64),
    Subscriber(u64),
}

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(network_of(address)),
        }
    }

    /// Whoever speaks over security associations of this private identity.
    pub(crate) fn of_subscriber(impi: &Impi) -> Self {
        let mut hasher = DefaultHasher::new();
        impi.hash(&mut hasher);
        Self::Subscriber(hasher.finish())
    }
}

/// The /64 of an address.
pub(crate) fn network_of(address: Ipv6Addr) -> u64 {
    u64::try_from(address.to_bits() >> 64).unwrap_or(u64::MAX)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(network) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*network) << 64)),
            Self::Subscriber(_) => f.write_str("a subscriber"),
        }
    }
}
