//! Testkit: what one of very many phones says and knows of its security associations (TS 33.203 7): one set, one suite.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ims_common::ipsec::{Encryption, Integrity, SaSet, SaSetId, SaState, Suite};

use crate::text::param_of;
use crate::ue::esp_keys::esp_keys;
use crate::usim::Res;

/// Ports of each phone.
pub(super) const PORT_UC: u16 = 40_001;
/// That where it is reached.
pub(super) const PORT_US: u16 = 40_000;
/// SPIs are the receiver's own affair: each phone is alone at its address.
const SPI_UC: u32 = 4_097;
const SPI_US: u32 = 4_098;
/// What most phones and networks agree on.
const SUITE: Suite = Suite {
    integrity: Integrity::HmacSha1_96,
    encryption: Encryption::AesCbc,
};

/// The protection of one phone.
#[derive(Clone, Debug)]
pub(super) struct Protection {
    ue: IpAddr,
    pcscf: IpAddr,
    /// Security-Server as it came.
    agreed: Option<String>,
    /// The protected server port of the P-CSCF.
    port_ps: u16,
    /// The kernel has the set: requests go through it.
    pub(super) is_inside: bool,
}

impl Protection {
    pub(super) const fn new(ue: IpAddr, pcscf: IpAddr) -> Self {
        Self {
            ue,
            pcscf,
            agreed: None,
            port_ps: 0,
            is_inside: false,
        }
    }

    /// An initial registration begins in clear.
    pub(super) fn begin(&mut self) {
        self.agreed = None;
        self.is_inside = false;
    }

    /// Where the phone is reached.
    pub(super) const fn server(&self) -> SocketAddr {
        SocketAddr::new(self.ue, PORT_US)
    }

    /// Where protected requests go.
    pub(super) const fn next_hop(&self) -> SocketAddr {
        SocketAddr::new(self.pcscf, self.port_ps)
    }

    /// The set that a challenge makes; `None` when it does not agree to ours.
    pub(super) fn on_challenge(&mut self, server: &str, res: &Res, number: u32) -> Option<Arc<SaSet>> {
        let is_ours = param_of(server, "alg")? == SUITE.integrity.token()
            && param_of(server, "ealg").unwrap_or("null") == SUITE.encryption.token();
        let port = |name| param_of(server, name)?.parse::<u16>().ok();
        let spi = |name| param_of(server, name)?.parse::<u32>().ok();
        let (pc, ps) = (port("port-c")?, port("port-s")?);
        let ue = |port| SocketAddr::new(self.ue, port);
        let pcscf = |port| SocketAddr::new(self.pcscf, port);
        let state = |spi, source, destination| SaState {
            spi,
            source,
            destination,
        };
        let states = [
            state(spi("spi-s")?, ue(PORT_UC), pcscf(ps)),
            state(SPI_UC, pcscf(ps), ue(PORT_UC)),
            state(SPI_US, pcscf(pc), ue(PORT_US)),
            state(spi("spi-c")?, ue(PORT_US), pcscf(pc)),
        ];
        self.agreed = Some(server.to_owned());
        self.port_ps = ps;
        is_ours.then(|| {
            Arc::new(SaSet {
                id: SaSetId(u64::from(number)),
                suite: SUITE,
                keys: Arc::new(esp_keys(SUITE, res.ck.expose(), res.ik.expose())),
                states,
            })
        })
    }

    /// The header fields of RFC 3329; the line before them has no end yet, nor has the last one.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        // Writing to a vector does not fail.
        let _ = write!(
            out,
            "\r\nRequire: sec-agree\r\nProxy-Require: sec-agree\r\n\
             Security-Client: ipsec-3gpp;alg={};ealg={};prot=esp;mod=trans;spi-c={SPI_UC};spi-s={SPI_US};\
             port-c={PORT_UC};port-s={PORT_US}",
            SUITE.integrity.token(),
            SUITE.encryption.token()
        );
        if let Some(agreed) = &self.agreed {
            let _ = write!(out, "\r\nSecurity-Verify: {agreed}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ims_common::aka::Secret;

    #[test]
    fn a_set_is_what_both_sides_chose() {
        let mut protection = Protection::new([192, 0, 2, 9].into(), [192, 0, 2, 1].into());
        let res = Res {
            res: Secret::new(vec![0; 8]),
            ck: Secret::new([1; 16]),
            ik: Secret::new([2; 16]),
        };
        let text = |ealg: &str| {
            format!("ipsec-3gpp;q=0.5;alg=hmac-sha-1-96;ealg={ealg};spi-c=7;spi-s=8;port-c=6100;port-s=6101")
        };
        assert!(protection.on_challenge(&text("null"), &res, 3).is_none());
        let set = protection.on_challenge(&text("aes-cbc"), &res, 3).unwrap();
        let rows: Vec<String> = set
            .states
            .iter()
            .map(|state| format!("{} {} {}", state.spi, state.source, state.destination))
            .collect();
        assert_eq!(
            rows,
            [
                "8 192.0.2.9:40001 192.0.2.1:6101",
                "4097 192.0.2.1:6101 192.0.2.9:40001",
                "4098 192.0.2.1:6100 192.0.2.9:40000",
                "7 192.0.2.9:40000 192.0.2.1:6100",
            ]
        );
        let mut out = Vec::new();
        protection.write(&mut out);
        let said = String::from_utf8(out).unwrap();
        assert!(
            said.ends_with(&format!("\r\nSecurity-Verify: {}", text("aes-cbc"))),
            "{said}"
        );
    }
}
