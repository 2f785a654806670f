//! Codec: the `ipsec` section of a P-CSCF's configuration, and the policy that it becomes (TS 33.203 7).

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use ims_common::config::{ConfigError, DurationText, ListenAddress, SipListener};
use ims_common::ipsec::{ProtectedPorts, Suite};
use ims_common::net::Interface;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ipsec::policy::IpsecPolicy;

/// Client ports that one UE may need at a time: a temporary, an established and an old set (TS 33.203 7.4.2a).
const CLIENT_PORTS_MIN: usize = 3;
/// Each is a socket and two policies of the kernel.
const CLIENT_PORTS_MAX: usize = 64;
/// Smaller windows lose packets that only changed places.
const REPLAY_WINDOW_MIN: u32 = 32;
/// What the kernel takes (`XFRMA_REPLAY_ESN_MAX`, in bits).
const REPLAY_WINDOW_MAX: u32 = 4_096;

/// The file's `pcscf.ipsec` section.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IpsecConfig {
    /// Our protected server port.
    pub port_ps: u16,
    /// Our protected client ports, in turns.
    pub port_pc: Vec<u16>,
    /// What is accepted, the first that a UE offers too is taken.
    pub algorithms: Vec<AlgorithmsText>,
    /// How long a UE may take to answer a challenge (TS 24.229 7.8, reg-await-auth).
    pub reg_await_auth: DurationText,
    /// How long an old set lives on beside the one that replaced it, and the last one after the farewell.
    pub overlap: DurationText,
    /// Sets of four associations at a time.
    pub sets_max: usize,
    /// Requests that may wait for the kernel at a time.
    pub requests_max: usize,
    /// Marks our states and policies in the kernel.
    pub reqid: u32,
    /// Of our policies; lower is stronger.
    pub priority: u32,
    /// Packets that the replay check looks back.
    pub replay_window: u32,
}

impl Default for IpsecConfig {
    fn default() -> Self {
        Self {
            port_ps: 6_101,
            port_pc: vec![6_100, 6_102, 6_103, 6_104],
            algorithms: DEFAULT_ALGORITHMS.map(AlgorithmsText).to_vec(),
            reg_await_auth: DurationText::secs(240),
            overlap: DurationText::secs(128),
            sets_max: 300_000,
            requests_max: 1_024,
            reqid: 4_803_923,
            priority: 2_080,
            replay_window: 64,
        }
    }
}

/// All that handsets offer but triple DES.
const DEFAULT_ALGORITHMS: [Suite; 4] = [Suite::ALL[0], Suite::ALL[2], Suite::ALL[3], Suite::ALL[5]];

/// A pair of algorithms, `alg/ealg`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AlgorithmsText(pub Suite);

impl Serialize for AlgorithmsText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AlgorithmsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// An address of this P-CSCF that a protected port must not share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    key: &'static str,
    address: SocketAddr,
}

impl Taken {
    pub(super) fn new(key: &'static str, address: SocketAddr) -> Self {
        Self { key, address }
    }
}

impl IpsecConfig {
    /// What the section means to a P-CSCF whose UEs reach it at `address`.
    pub(super) fn policy(
        &self,
        address: IpAddr,
        allow_unprotected: bool,
        taken: &[Taken],
    ) -> Result<IpsecPolicy, ConfigError> {
        self.check_ports(address, taken)?;
        self.check_algorithms()?;
        self.check_numbers()?;
        Ok(IpsecPolicy {
            address,
            port_ps: self.port_ps,
            port_pc: self.port_pc.clone(),
            algorithms: self.algorithms.iter().map(|pair| pair.0).collect(),
            allow_unprotected,
            reg_await_auth: self.reg_await_auth.get(),
            overlap: self.overlap.get(),
            sets_max: self.sets_max,
        })
    }

    fn check_ports(&self, address: IpAddr, taken: &[Taken]) -> Result<(), ConfigError> {
        const PS: &str = "pcscf.ipsec.port_ps";
        const PC: &str = "pcscf.ipsec.port_pc";
        let refuse = |key, problem: String, expected| Err(ConfigError::invalid(key, problem, expected));
        let count = self.port_pc.len();
        if !(CLIENT_PORTS_MIN..=CLIENT_PORTS_MAX).contains(&count) {
            let expected =
                "a list of 3 to 64 ports: a UE may have a temporary, an established and an old set";
            return refuse(PC, format!("has {count} ports"), expected);
        }
        let ports = std::iter::once((PS, self.port_ps)).chain(self.port_pc.iter().map(|port| (PC, *port)));
        for (nth, (key, port)) in ports.clone().enumerate() {
            if port == 0 {
                return refuse(
                    key,
                    "0 is no port".to_owned(),
                    "a port of 1 to 65535 that UEs are told",
                );
            }
            if ports.clone().take(nth).any(|(_, other)| other == port) {
                let problem = format!("{port} is there twice");
                return refuse(key, problem, "different ports, port_ps and all of port_pc");
            }
            if let Some(taken) = taken
                .iter()
                .find(|taken| taken.address == SocketAddr::new(address, port))
            {
                let problem = format!("{port} is the port of `{}` too", taken.key);
                return refuse(key, problem, "a port for protected messages alone");
            }
        }
        Ok(())
    }

    fn check_algorithms(&self) -> Result<(), ConfigError> {
        const KEY: &str = "pcscf.ipsec.algorithms";
        if self.algorithms.is_empty() {
            let expected = "a list of pairs such as [hmac-sha-1-96/aes-cbc, hmac-sha-1-96/null]";
            return Err(ConfigError::invalid(KEY, "names no algorithms", expected));
        }
        for (nth, pair) in self.algorithms.iter().enumerate() {
            if self.algorithms.iter().take(nth).any(|other| other == pair) {
                let problem = format!("`{}` is there twice", pair.0);
                return Err(ConfigError::invalid(
                    KEY,
                    problem,
                    "each pair once, the preferred first",
                ));
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        let window = REPLAY_WINDOW_MIN..=REPLAY_WINDOW_MAX;
        let wrong = [
            (
                self.reg_await_auth.get().as_secs() == 0,
                "reg_await_auth",
                "a second or more, as 4m",
            ),
            (
                self.overlap.get().as_secs() == 0,
                "overlap",
                "a second or more, as 128s",
            ),
            (self.sets_max == 0, "sets_max", "one or more"),
            (self.requests_max == 0, "requests_max", "one or more"),
            (self.reqid == 0, "reqid", "1 or more: 0 means any to the kernel"),
            (
                !window.contains(&self.replay_window),
                "replay_window",
                "32 to 4096",
            ),
        ];
        match wrong.into_iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, key, expected)) => {
                let key = format!("pcscf.ipsec.{key}");
                Err(ConfigError::invalid(&key, "is out of range", expected))
            }
            None => Ok(()),
        }
    }

    /// What the protected ports need of the kernel.
    pub(super) fn protected(&self, policy: &IpsecPolicy) -> ProtectedPorts {
        ProtectedPorts {
            local: policy.protected_addresses().collect(),
            reqid: self.reqid,
            priority: self.priority,
            replay_window: self.replay_window,
            requests_max: self.requests_max,
            suites: policy.algorithms.clone(),
        }
    }
}

/// The server port accepts connections; from the client ports we only open them (TS 33.203 7.1).
pub(super) fn listeners(policy: &IpsecPolicy) -> Vec<SipListener> {
    let at = |port| ListenAddress::from(SocketAddr::new(policy.address, port));
    let server = SipListener::new(Interface::GmProtected, at(policy.port_ps), "pcscf.ipsec.port_ps");
    let client = |port: &u16| {
        SipListener::new(Interface::GmProtected, at(*port), "pcscf.ipsec.port_pc").datagrams_only()
    };
    std::iter::once(server)
        .chain(policy.port_pc.iter().map(client))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PcscfConfig;
    use ims_common::config::{DaemonConfig, parse};
    use ims_common::node::Seed;

    const HEAD: &str = "pcscf:\n  home_realm: h.test\n  gm: {address: 192.0.2.5, security: ipsec}\n  mw: {address: 192.0.2.5:5070}\n  admin: 192.0.2.5:9090\n  ipsec:\n";

    /// The complaint about a file whose `ipsec` section is this line, line 7 of the file.
    fn complaint(line: &str) -> String {
        let text = format!("{HEAD}    {line}\n");
        let built =
            parse::<PcscfConfig>("pcscf", &text).and_then(|config| config.build(Seed::from_number(1)));
        built.err().unwrap().located("pcscf.yaml", &text).to_string()
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_key_and_line() {
        for (line, key, complaint_of) in [
            (
                "port_ps: 5060",
                "port_ps",
                "5060 is the port of `pcscf.gm.address` too; expected a port for protected messages alone",
            ),
            (
                "port_ps: 9090",
                "port_ps",
                "9090 is the port of `pcscf.admin` too",
            ),
            (
                "port_ps: 6102",
                "port_pc",
                "6102 is there twice; expected different ports",
            ),
            ("port_ps: 0", "port_ps", "0 is no port"),
            ("port_ps: 65536", "port_ps", "expected a value of type u16"),
            (
                "port_pc: [6100, 6102, 5070]",
                "port_pc",
                "5070 is the port of `pcscf.mw.address` too",
            ),
            ("port_pc: [6100, 6102, 6100]", "port_pc", "6100 is there twice"),
            (
                "port_pc: [6100, 6102]",
                "port_pc",
                "has 2 ports; expected a list of 3 to 64 ports",
            ),
            ("port_pc: [6100, 6102, 0]", "port_pc", "0 is no port"),
            ("algorithms: []", "algorithms", "names no algorithms"),
            (
                "algorithms: [hmac-sha-256/null]",
                "algorithms[0]",
                "`hmac-sha-256/null` is no pair of algorithms; expected one of",
            ),
            (
                "algorithms: [hmac-sha-1-96/null, aes-gmac/aes-cbc]",
                "algorithms[1]",
                "`aes-gmac/aes-cbc` is no pair",
            ),
            (
                "algorithms: [hmac-sha-1-96/null, HMAC-SHA-1-96/null]",
                "algorithms",
                "`hmac-sha-1-96/null` is there twice",
            ),
            (
                "reg_await_auth: 0s",
                "reg_await_auth",
                "is out of range; expected a second or more",
            ),
            ("overlap: 500ms", "overlap", "is out of range"),
            ("overlap: 128", "overlap", "`128` has no unit"),
            ("sets_max: 0", "sets_max", "is out of range"),
            ("requests_max: 0", "requests_max", "is out of range"),
            ("reqid: 0", "reqid", "0 means any to the kernel"),
            ("replay_window: 0", "replay_window", "expected 32 to 4096"),
            ("replay_window: 5000", "replay_window", "expected 32 to 4096"),
            ("ports: 5", "ports", "unknown key"),
        ] {
            let said = complaint(line);
            assert!(said.starts_with("pcscf.yaml:7:"), "{line}: {said}");
            assert!(said.contains(&format!(": pcscf.ipsec.{key}: ")), "{line}: {said}");
            assert!(said.contains(complaint_of), "{line}: {said}");
        }
    }

    #[test]
    fn ports_of_other_sides_do_not_matter_where_no_ipsec_is_wanted() {
        let text = HEAD.replace("security: ipsec", "security: none") + "    port_ps: 5070\n";
        let config: PcscfConfig = parse("pcscf", &text).unwrap();
        assert!(config.build(Seed::from_number(1)).is_ok());
    }

    #[test]
    fn the_section_becomes_the_policy() {
        let text = format!(
            "{HEAD}    port_ps: 5063\n    port_pc: [5064, 5065, 5066]\n    algorithms: [null/aes-gcm, hmac-md5-96/null]\n    reg_await_auth: 1m\n    overlap: 32s\n    sets_max: 7\n"
        )
        .replace("security: ipsec", "security: ipsec, allow_unprotected: true");
        let config: PcscfConfig = parse("pcscf", &text).unwrap();
        let address = config.gm.address.ip();
        let policy = config
            .ipsec
            .policy(address, config.gm.allow_unprotected, &[])
            .unwrap();
        let expected = IpsecPolicy {
            address,
            port_ps: 5063,
            port_pc: vec![5064, 5065, 5066],
            algorithms: vec![
                "null/aes-gcm".parse().unwrap(),
                "hmac-md5-96/null".parse().unwrap(),
            ],
            allow_unprotected: true,
            reg_await_auth: std::time::Duration::from_secs(60),
            overlap: std::time::Duration::from_secs(32),
            sets_max: 7,
        };
        assert_eq!(policy, expected);
        assert_eq!(policy.server_host_port(), "192.0.2.5:5063");
    }
}
