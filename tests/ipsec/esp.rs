//! Testkit: states and policies by `ip xfrm`, as the kernel facts want them and without any code of the product.

use std::net::{IpAddr, SocketAddr};

use crate::space::{Net, pcscf_address, ue_address};

/// Marks the P-CSCF's states in these tests.
pub(crate) const PCSCF_REQID: u32 = 33_203;
/// Marks the UEs' states.
pub(crate) const UE_REQID: u32 = 7;

/// One protection of the policy, in the kernel's words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protection {
    /// As it is called in TS 33.203.
    pub(crate) name: &'static str,
    text: &'static str,
}

/// All that a P-CSCF may choose.
pub(crate) const PROTECTIONS: [Protection; 8] = [
    Protection {
        name: "hmac-sha-1-96 null",
        text: "auth-trunc hmac(sha1) 0x{20} 96 enc ecb(cipher_null) \"\"",
    },
    Protection {
        name: "hmac-sha-1-96 aes-cbc",
        text: "auth-trunc hmac(sha1) 0x{20} 96 enc cbc(aes) 0x{16}",
    },
    Protection {
        name: "hmac-sha-1-96 des-ede3-cbc",
        text: "auth-trunc hmac(sha1) 0x{20} 96 enc cbc(des3_ede) 0x{24}",
    },
    Protection {
        name: "hmac-md5-96 null",
        text: "auth-trunc hmac(md5) 0x{16} 96 enc ecb(cipher_null) \"\"",
    },
    Protection {
        name: "hmac-md5-96 aes-cbc",
        text: "auth-trunc hmac(md5) 0x{16} 96 enc cbc(aes) 0x{16}",
    },
    Protection {
        name: "hmac-md5-96 des-ede3-cbc",
        text: "auth-trunc hmac(md5) 0x{16} 96 enc cbc(des3_ede) 0x{24}",
    },
    Protection {
        name: "null aes-gcm",
        text: "aead rfc4106(gcm(aes)) 0x{20} 128",
    },
    Protection {
        name: "aes-gmac null",
        text: "aead rfc4543(gcm(aes)) 0x{20} 128",
    },
];

impl Protection {
    /// With keys that grow out of `seed`.
    fn text(self, seed: u8) -> String {
        [16, 20, 24].iter().fold(self.text.to_owned(), |text, length| {
            let key: String = (0..*length)
                .map(|at| format!("{:02x}", seed ^ (at * 7 + 1)))
                .collect();
            text.replace(&format!("{{{length}}}"), &key)
        })
    }
}

/// The four security associations of a UE, in the order of TS 33.203 7.1: UE's client port to our server port, and
/// back; our client port to the UE's server port, and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Four {
    pub(crate) ue: IpAddr,
    pub(crate) pcscf: IpAddr,
    pub(crate) uc: u16,
    pub(crate) us: u16,
    pub(crate) pc: u16,
    pub(crate) ps: u16,
    /// In the order of the states.
    pub(crate) spis: [u32; 4],
    pub(crate) seed: u8,
    pub(crate) protection: Protection,
}

impl Four {
    /// Those of a UE, numbers and keys as that of the UE.
    pub(crate) fn new(v4: bool, number: u16, protection: Protection) -> Self {
        let base = 0x1000 * (u32::from(number) + 1);
        Self {
            ue: ue_address(v4, number),
            pcscf: pcscf_address(v4),
            uc: 40_001,
            us: 40_000,
            pc: 6102,
            ps: 6101,
            spis: [base + 1, base + 2, base + 3, base + 4],
            seed: u8::try_from(number).expect("few UEs"),
            protection,
        }
    }

    /// Source and destination of each.
    pub(crate) fn flows(&self) -> [(SocketAddr, SocketAddr); 4] {
        let ue = |port| SocketAddr::new(self.ue, port);
        let pcscf = |port| SocketAddr::new(self.pcscf, port);
        [
            (ue(self.uc), pcscf(self.ps)),
            (pcscf(self.ps), ue(self.uc)),
            (pcscf(self.pc), ue(self.us)),
            (ue(self.us), pcscf(self.pc)),
        ]
    }

    /// The commands that add the states, on the side with this reqid.
    pub(crate) fn add(&self, reqid: u32) -> String {
        self.add_with(reqid, &self.protection.text(self.seed))
    }

    /// The same with these algorithms and keys.
    pub(crate) fn add_with(&self, reqid: u32, algorithms: &str) -> String {
        let mut lines = String::new();
        for (spi, (from, to)) in self.spis.iter().zip(self.flows()) {
            lines += &format!(
                "xfrm state add src {} dst {} proto esp spi {spi:#x} reqid {reqid} mode transport replay-window 32 \
                 {algorithms} sel src {} dst {} sport {} dport {} limit time-hard 600\n",
                from.ip(),
                to.ip(),
                from.ip(),
                to.ip(),
                from.port(),
                to.port(),
            );
        }
        lines
    }

    /// Adds them on both sides.
    pub(crate) fn install(&self, net: &Net) {
        net.pcscf.batch(&self.add(PCSCF_REQID));
        net.ue.batch(&self.add(UE_REQID));
    }
}

/// The commands that make ports of an address protected: clear text to and from them is dropped.
pub(crate) fn protect(address: IpAddr, ports: &[u16], reqid: u32) -> String {
    let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
    let template = format!("priority 1000 tmpl src {any} dst {any} proto esp reqid {reqid} mode transport");
    let mut lines = String::new();
    for port in ports {
        lines += &format!("xfrm policy add src {any}/0 dst {address} dport {port} dir in {template}\n");
        lines += &format!("xfrm policy add src {address} dst {any}/0 sport {port} dir out {template}\n");
    }
    lines
}

/// Takes away all that these tests add.
pub(crate) fn clear(net: &Net) {
    for space in [&net.pcscf, &net.ue] {
        space.ip("xfrm state deleteall");
        space.ip("xfrm policy deleteall");
    }
}

/// A security association as the kernel shows it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct State {
    pub(crate) spi: u32,
    pub(crate) reqid: u32,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Name and key of each algorithm, as in `hmac(sha1) 0x…`.
    pub(crate) algorithms: Vec<String>,
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
}

impl State {
    /// Reads what `ip -s xfrm state` prints.
    pub(crate) fn all(text: &str) -> Vec<Self> {
        let mut states: Vec<Self> = Vec::new();
        let mut current = false;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let (true, ["src", from, "dst", to]) = (line.starts_with("src"), words.as_slice()) {
                states.push(Self {
                    from: (*from).to_owned(),
                    to: (*to).to_owned(),
                    ..Self::default()
                });
            }
            let Some(state) = states.last_mut() else { continue };
            match words.as_slice() {
                ["proto", "esp", "spi", spi, "reqid", reqid, ..] => {
                    state.spi = within(spi);
                    state.reqid = reqid
                        .split('(')
                        .next()
                        .and_then(|text| text.parse().ok())
                        .unwrap_or(0);
                }
                ["auth-trunc" | "aead" | "enc", name, key, ..] => {
                    let key = if key.starts_with("0x") { *key } else { "" };
                    state.algorithms.push(format!("{name} {key}").trim().to_owned());
                }
                ["enc", name] => state.algorithms.push((*name).to_owned()),
                ["lifetime", "current:"] => current = true,
                [bytes, packets, ..] if current => {
                    state.bytes = number(bytes);
                    state.packets = number(packets);
                    current = false;
                }
                _ => {}
            }
        }
        states
    }
}

/// `4097` of `0x00001001(4097)`.
fn within(text: &str) -> u32 {
    let inner = text.split(['(', ')']).nth(1);
    inner.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// `84` of `84(bytes),`.
fn number(text: &str) -> u64 {
    text.split('(')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
