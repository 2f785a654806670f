//! Codec: the configuration of a P-CSCF, and what it becomes.

pub(crate) mod emergency;
mod guard;
mod ipsec;
mod sessions;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use ims_common::config::{
    AdminConfig, Cidr, ConfigError, DaemonConfig, DomainName, DurationText, ExportConfig, Harden,
    HostsConfig, LimitsConfig, ListenAddress, LogConfig, MwConfig, NextHop, ShardCount, ShellConfig,
    SipListener, SipTimersConfig, Surroundings, WhyConfig, default_drain_timeout, sip_uri,
};
use ims_common::net::Interface;
use ims_common::node::Seed;
use ims_common::proxy::{InterfaceConfig, ProxyCore, ProxyCoreConfig};
use ims_common::sip::UriBuf;
use ims_common::steering::{ShardPlace, SteeringRule};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::emergency::EmergencyConfig;
pub use self::guard::{Banned, GuardConfig, RegisterStormConfig};
use self::ipsec::Taken;
pub use self::ipsec::{AlgorithmsText, IpsecConfig};
pub use self::sessions::{EarlyMedia, SessionsConfig};
use crate::contacts::ContactTable;
use crate::guard::Guard;
use crate::ipsec::policy::IpsecPolicy;
use crate::node::{Pcscf, Settings};
use crate::protection::Protection;
use crate::sessions::Sessions;

/// Keeps the stream that draws SPIs apart from the core's.
const SPI_STREAM: u8 = 0x53;

/// The file's `pcscf` section.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PcscfConfig {
    /// Domain of the home network.
    pub home_realm: DomainName,
    /// The side towards UEs.
    pub gm: GmConfig,
    /// The security associations with UEs, where `gm.security` says so.
    #[serde(default)]
    pub ipsec: IpsecConfig,
    /// The side towards the other CSCFs.
    pub mw: MwConfig,
    /// Entry points of the home network.
    #[serde(default)]
    pub icscf: EntryPointsConfig,
    /// Calls for help.
    #[serde(default)]
    pub emergency: EmergencyConfig,
    /// Our own subscriptions to registrations.
    #[serde(default)]
    pub reg_event: RegEventConfig,
    /// Text of P-Visited-Network-ID and orig-ioi; the home realm unless set.
    #[serde(default)]
    pub visited_network: Option<String>,
    /// Host names that mean this P-CSCF.
    #[serde(default)]
    pub names: Vec<DomainName>,
    /// Blocks of UE addresses.
    #[serde(default)]
    pub ue_pool: Vec<Cidr>,
    /// Limits of sources, and bans.
    #[serde(default)]
    pub guard: GuardConfig,
    /// Phones that come all at once.
    #[serde(default)]
    pub register_storm: RegisterStormConfig,
    /// UE contacts at a time.
    #[serde(default = "default_contacts")]
    pub contacts: usize,
    /// Calls and subscriptions.
    #[serde(default)]
    pub sessions: SessionsConfig,
    /// Names that are answered from here.
    #[serde(default)]
    pub hosts: HostsConfig,
    /// Where the operator's HTTP is served.
    #[serde(default)]
    pub admin: Option<AdminConfig>,
    /// Threads that share the work.
    #[serde(default)]
    pub shards: ShardCount,
    /// How long a drain may take.
    #[serde(default = "default_drain_timeout")]
    pub drain_timeout: DurationText,
    /// What is logged.
    #[serde(default)]
    pub log: LogConfig,
    /// Whether the process locks itself in.
    #[serde(default)]
    pub harden: Harden,
    /// What is kept for whoever asks why something failed.
    #[serde(default)]
    pub why: WhyConfig,
    /// Where copies of messages go.
    #[serde(default)]
    pub export: ExportConfig,
    /// Timers of both sides.
    #[serde(default)]
    pub sip_timers: SipTimersConfig,
    /// Limits of messages, transactions and connections.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// The side towards UEs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GmConfig {
    /// Address of SIP, UDP and TCP; port 5060 unless said.
    pub address: ListenAddress,
    /// The security agreement with UEs.
    #[serde(default)]
    pub security: GmSecurity,
    /// With `security: ipsec`, whether UEs without a security agreement are served too.
    #[serde(default)]
    pub allow_unprotected: bool,
    /// What a request of a UE without a registration gets.
    #[serde(default)]
    pub unregistered_requests: UnregisteredRequests,
}

/// Our own subscriptions to registrations (TS 24.229 5.2.3).
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RegEventConfig {
    /// Whether there are any.
    #[serde(default = "default_subscribe")]
    pub subscribe: bool,
}

impl Default for RegEventConfig {
    fn default() -> Self {
        Self {
            subscribe: default_subscribe(),
        }
    }
}

fn default_subscribe() -> bool {
    true
}

/// The security agreement with UEs (TS 33.203 7).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GmSecurity {
    /// None is made.
    None,
    /// ipsec-3gpp: four security associations for each registered contact.
    #[default]
    Ipsec,
}

/// What a request of a UE without a registration gets (TS 24.229 5.2.1, 5.2.6.3.2A).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnregisteredRequests {
    /// 403 (Forbidden).
    #[default]
    Reject,
    /// Nothing at all.
    Drop,
}

/// Entry points of the home network (TS 24.229 5.2.2.1).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum EntryPointsConfig {
    /// What DNS says of the home realm (RFC 3263).
    #[default]
    Dns,
    /// These SIP URIs, in the order in which to try.
    Uris(Vec<String>),
}

fn default_contacts() -> usize {
    200_000
}

impl DaemonConfig for PcscfConfig {
    type Node = Pcscf;
    const NAME: &'static str = "pcscf";
    const DEFAULTS: &'static str = include_str!("defaults.yaml");

    const STEERING: SteeringRule = SteeringRule::Source;

    const LIVE: &'static [&'static str] = &[
        "gm.unregistered_requests",
        "icscf",
        "emergency",
        "reg_event",
        "sessions.early_media",
        "sessions.media",
        "drain_timeout",
        "log.level",
    ];

    fn reconfigure(&self, node: &mut Pcscf, _: ShardPlace) -> Result<(), ConfigError> {
        let policy = self.ipsec_policy()?;
        let settings = self.settings(policy.as_ref())?;
        node.reconfigure(settings, self.emergency.priorities());
        Ok(())
    }

    fn shards(&self) -> u8 {
        self.shards.get()
    }

    fn build_shard(mut self, seed: Seed, place: ShardPlace) -> Result<(Pcscf, ShellConfig), ConfigError> {
        if self.gm.address == self.mw.address {
            let problem = "is the address and port of `gm` too";
            return Err(ConfigError::invalid(
                "pcscf.mw.address",
                problem,
                "another address or port",
            ));
        }
        let policy = self.ipsec_policy()?;
        if policy.is_some() && self.shards.get() > 1 {
            let problem = "shards cannot share the security associations of UEs yet";
            return Err(ConfigError::invalid(
                "pcscf.shards",
                problem,
                "1 with IPsec on Gm",
            ));
        }
        self.limits = self.limits.part_of(place);
        let settings = self.settings(policy.as_ref())?;
        let core = ProxyCoreConfig {
            shard: place.shard,
            ..self.core(policy.as_ref())
        };
        let contacts = ContactTable::new(place.part_of(self.contacts));
        let protection = policy
            .clone()
            .map(|policy| Protection::new(policy, seed.rng(SPI_STREAM)));
        let sessions = Sessions::new(self.sessions.limits(place));
        let mut core = ProxyCore::new(core, &seed);
        let guard = self.guard.policy(&self.ue_pool, place)?.map(Guard::new);
        core.put_off_registers(self.register_storm.limits(place));
        core.prioritise(self.emergency.priorities());
        let mut node = Pcscf::new(core, settings, contacts, sessions, protection);
        node.guard = guard;
        let mut listeners = vec![
            SipListener::new(Interface::Gm, self.gm.address, "pcscf.gm.address"),
            SipListener::new(Interface::Mw, self.mw.address, "pcscf.mw.address"),
        ];
        listeners.extend(policy.iter().flat_map(ipsec::listeners));
        let mut shell = ShellConfig::new(Self::NAME, listeners);
        shell.protected = policy.as_ref().map(|policy| self.ipsec.protected(policy));
        shell.surroundings = self.surroundings()?;
        shell.ue_pools = self.ue_pool;
        shell.admin = self.admin;
        shell.log = self.log;
        shell.why = self.why;
        shell.harden = self.harden;
        shell.export = self.export;
        shell.limits = self.limits;
        shell.drain_timeout = self.drain_timeout.get();
        Ok((node, shell))
    }
}

impl PcscfConfig {
    /// What is wanted of IPsec; `None`: nothing. A wrong section is refused even where it is not used.
    fn ipsec_policy(&self) -> Result<Option<IpsecPolicy>, ConfigError> {
        let mut taken = vec![
            Taken::new("pcscf.gm.address", self.gm.address.socket()),
            Taken::new("pcscf.mw.address", self.mw.address.socket()),
        ];
        let admin = self.admin.as_ref().and_then(|admin| admin.listen);
        taken.extend(admin.map(|address| Taken::new("pcscf.admin", address)));
        let policy = |taken: &[Taken]| {
            let (address, clear) = (self.gm.address.ip(), self.gm.allow_unprotected);
            self.ipsec.policy(address, clear, taken)
        };
        match self.gm.security {
            GmSecurity::None => policy(&[]).map(|_| None),
            GmSecurity::Ipsec => policy(&taken).map(Some),
        }
    }

    fn settings(&self, policy: Option<&IpsecPolicy>) -> Result<Settings, ConfigError> {
        let network = self
            .visited_network
            .as_deref()
            .unwrap_or(self.home_realm.as_str());
        if network.is_empty() || network.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
            return Err(ConfigError::invalid(
                "pcscf.visited_network",
                "cannot stand in a header",
                "a domain name, or a text without quotes",
            ));
        }
        let hosts = [self.gm.address.host_port(), self.mw.address.host_port()];
        let names = self.names.iter().map(|name| name.as_str().to_owned());
        // What a UE learnt from Record-Route and writes into Route names the protected server port.
        let protected = policy.map(IpsecPolicy::server_host_port);
        let own_uris = hosts.into_iter().chain(names).chain(protected);
        let own_uris: Result<Vec<UriBuf>, _> = own_uris
            .map(|host| sip_uri("pcscf.names", &format!("sip:{host}")))
            .collect();
        Ok(Settings {
            visited_network: quoted_unless_token(network),
            network: network.to_owned(),
            gm_host: self.gm.address.host_port(),
            protected_host: policy.map(IpsecPolicy::server_host_port),
            mw_host: self.mw.address.host_port(),
            mw_address: bracketed(self.mw.address),
            own_uris: own_uris?,
            entry_points: self.entry_points()?,
            unregistered_requests: self.gm.unregistered_requests,
            emergency: self.emergency.policy(self.home_realm.as_str())?,
            reg_event: self.reg_event.subscribe,
            early_media: self.sessions.early_media.policy(),
            media: self.sessions.media_profile()?,
        })
    }

    fn entry_points(&self) -> Result<Vec<UriBuf>, ConfigError> {
        match &self.icscf {
            EntryPointsConfig::Dns => Ok(vec![sip_uri(
                "pcscf.home_realm",
                &format!("sip:{}", self.home_realm.as_str()),
            )?]),
            EntryPointsConfig::Uris(uris) => uris.iter().map(|text| sip_uri("pcscf.icscf", text)).collect(),
        }
    }

    fn surroundings(&self) -> Result<Surroundings, ConfigError> {
        let hop = |uri| NextHop {
            role: "I-CSCF",
            key: "pcscf.icscf",
            uri,
        };
        Ok(Surroundings {
            home_realm: self.home_realm.as_str().to_owned(),
            shards: self.shards.get(),
            next_hops: self.entry_points()?.into_iter().map(hop).collect(),
            hosts: self.hosts.targets(),
            ..Surroundings::default()
        })
    }

    fn core(&self, policy: Option<&IpsecPolicy>) -> ProxyCoreConfig {
        let mut interfaces = vec![
            self.sip_timers.interface(Interface::Gm, self.gm.address),
            self.mw.interface(&self.sip_timers),
        ];
        interfaces.extend(policy.map(|policy| self.protected_interface(policy)));
        ProxyCoreConfig::of(interfaces, &self.hosts, &self.limits)
    }

    /// TS 24.229 5.2.2.2: Via and Record-Route towards a UE name the protected server port.
    fn protected_interface(&self, policy: &IpsecPolicy) -> InterfaceConfig {
        let server = SocketAddr::new(policy.address, policy.port_ps);
        InterfaceConfig {
            tcp_above_bytes: PROTECTED_TCP_ABOVE_BYTES,
            ..self.sip_timers.interface(Interface::GmProtected, server.into())
        }
    }
}

/// ESP adds up to 57 octets to a packet, and a path may have the least MTU of IPv6, 1280 octets.
const PROTECTED_TCP_ABOVE_BYTES: usize = 1_200;

/// `icid-generated-at` is a host without a port (RFC 7315 5.6).
fn bracketed(address: ListenAddress) -> String {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// RFC 7315 5.3: a token stands as it is, all else as quoted string.
fn quoted_unless_token(text: &str) -> String {
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    if text.chars().all(token) {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}

impl Serialize for EntryPointsConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Dns => serializer.serialize_str("dns"),
            Self::Uris(uris) => serializer.collect_seq(uris),
        }
    }
}

impl<'de> Deserialize<'de> for EntryPointsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryPointsVisitor)
    }
}

struct EntryPointsVisitor;

impl<'de> Visitor<'de> for EntryPointsVisitor {
    type Value = EntryPointsConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dns, a SIP URI, or a list of SIP URIs")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<EntryPointsConfig, E> {
        match text {
            "dns" => Ok(EntryPointsConfig::Dns),
            uri => Ok(EntryPointsConfig::Uris(vec![uri.to_owned()])),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<EntryPointsConfig, A::Error> {
        let mut uris = Vec::new();
        while let Some(text) = seq.next_element::<Cow<'_, str>>()? {
            uris.push(text.into_owned());
        }
        if uris.is_empty() {
            return Err(A::Error::custom(
                "has no entry point; expected a SIP URI or a list of them",
            ));
        }
        Ok(EntryPointsConfig::Uris(uris))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ims_common::config::{check_documented, parse};

    #[test]
    fn the_documented_file_states_the_defaults_and_names_every_key() {
        check_documented::<PcscfConfig>().unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn entry_points_are_dns_one_uri_or_a_list() {
        let with = |line: &str| {
            let text = format!(
                "pcscf: {{home_realm: h.test, gm: {{address: 127.0.1.1}}, mw: {{address: 127.0.1.2}}, icscf: {line}}}"
            );
            let config: PcscfConfig = parse("pcscf", &text).map_err(|e| e.to_string())?;
            let list = config.entry_points().map_err(|e| e.to_string())?;
            Ok::<Vec<String>, String>(list.iter().map(ToString::to_string).collect())
        };
        assert_eq!(with("dns").unwrap(), ["sip:h.test"]);
        assert_eq!(with("\"sip:127.0.1.3:5060\"").unwrap(), ["sip:127.0.1.3:5060"]);
        assert_eq!(
            with("[\"sip:a.test\", \"sip:b.test\"]").unwrap(),
            ["sip:a.test", "sip:b.test"]
        );
        assert!(with("[]").is_err());
        assert!(with("\"mailto:a\"").is_err());
    }

    #[test]
    fn both_sides_on_one_address_and_port_are_refused() {
        let text = "pcscf: {home_realm: h.test, gm: {address: 127.0.1.1}, mw: {address: 127.0.1.1}}";
        let config: PcscfConfig = parse("pcscf", text).unwrap();
        let error = config.build(Seed::from_number(1)).err().unwrap().to_string();
        assert!(error.contains("pcscf.mw.address"), "{error}");
    }

    #[test]
    fn protected_ports_are_listened_on_and_named_to_the_kernel_only_where_ipsec_is_wanted() {
        let built = |security: &str| {
            let text = format!(
                "pcscf: {{home_realm: h.test, gm: {{address: 192.0.2.5, security: {security}}}, mw: {{address: 192.0.2.6}},
                 ipsec: {{algorithms: [hmac-md5-96/null]}}}}"
            );
            let config: PcscfConfig = parse("pcscf", &text).unwrap();
            config.build(Seed::from_number(1)).unwrap().1
        };
        let clear = built("none");
        assert_eq!((clear.protected, clear.sip.len()), (None, 2));
        let protected = built("ipsec");
        let ports = protected.protected.unwrap();
        let listed: Vec<String> = ports.local.iter().map(ToString::to_string).collect();
        assert_eq!(
            listed,
            [
                "192.0.2.5:6101",
                "192.0.2.5:6100",
                "192.0.2.5:6102",
                "192.0.2.5:6103",
                "192.0.2.5:6104"
            ]
        );
        assert_eq!(ports.suites, ["hmac-md5-96/null".parse().unwrap()]);
        assert_eq!(
            (
                ports.reqid,
                ports.priority,
                ports.replay_window,
                ports.requests_max
            ),
            (4_803_923, 2_080, 64, 1_024)
        );
        let listening: Vec<_> = protected.sip[2..]
            .iter()
            .map(|it| (it.address, it.accepts_streams))
            .collect();
        let expected: Vec<_> = ports.local.iter().map(|at| (*at, at.port() == 6101)).collect();
        assert_eq!(listening, expected);
        assert!(
            protected.sip[2..]
                .iter()
                .all(|it| it.interface == Interface::GmProtected)
        );
    }

    #[test]
    fn towards_protected_ues_via_names_the_server_port_and_what_names_it_is_ours() {
        let text = "pcscf: {home_realm: h.test, gm: {address: \"[2001:db8::5]\", security: ipsec}, mw: {address: \"[2001:db8::6]\"}}";
        let config: PcscfConfig = parse("pcscf", text).unwrap();
        let policy = config.ipsec_policy().unwrap();
        let core = config.core(policy.as_ref());
        let side = core
            .interfaces
            .iter()
            .find(|it| it.interface == Interface::GmProtected)
            .unwrap();
        assert_eq!(
            (
                side.sent_by.as_str(),
                side.local_v.to_string(),
                side.tcp_above_bytes
            ),
            ("[2001:db8::5]:6101", "[2001:db8::5]:6101".to_owned(), 1_200)
        );
        let settings = config.settings(policy.as_ref()).unwrap();
        let uri: UriBuf = "sip:[2001:db8::5]:6101;lr".parse().unwrap();
        assert!(settings.is_own(&uri.as_uri()));
    }

    #[test]
    fn a_visited_network_is_quoted_only_when_it_is_no_token() {
        assert_eq!(
            quoted_unless_token("ims.mnc001.mcc001.3gppnetwork.org"),
            "ims.mnc001.mcc001.3gppnetwork.org"
        );
        assert_eq!(quoted_unless_token("Visited network 1"), "\"Visited network 1\"");
    }
}
