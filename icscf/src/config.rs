//! Codec: the configuration of an I-CSCF, and what it becomes.

use std::collections::BTreeSet;

use hss_client::client::{HssClient, HssClientConfig};
use hss_client::with_hss::WithHss;
use ims_common::config::{
    AdminConfig, ConfigError, CxConfig, DaemonConfig, DomainName, DurationText, ExportConfig, Harden,
    HostsConfig, HssConfig, LimitsConfig, LogConfig, MwConfig, NextHop, ShardCount, ShellConfig, SipListener,
    SipTimersConfig, Surroundings, TrustedPeers, WhyConfig, default_drain_timeout, sip_uri,
};
use ims_common::net::Interface;
use ims_common::node::Seed;
use ims_common::proxy::{ProxyCore, ProxyCoreConfig};
use ims_common::sip::UriBuf;
use ims_common::steering::ShardPlace;
use serde::{Deserialize, Serialize};

use crate::node::{Icscf, Settings};
use crate::selection::Scscf;

/// The file's `icscf` section.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IcscfConfig {
    /// Domain of the home network.
    pub home_realm: DomainName,
    /// Where SIP is spoken.
    pub mw: MwConfig,
    /// The Diameter side.
    pub hss: HssConfig,
    /// S-CSCFs for users without one.
    #[serde(default)]
    pub scscfs: Vec<ScscfConfig>,
    /// How long one S-CSCF may take to answer a REGISTER.
    #[serde(default = "default_scscf_timeout")]
    pub scscf_timeout: DurationText,
    /// The trust domain.
    #[serde(default)]
    pub trusted_peers: TrustedPeers,
    /// Domains of public services that are found by DNS, without the HSS.
    #[serde(default)]
    pub psi_domains: Vec<DomainName>,
    /// Whether S-CSCFs are told which HSS answered.
    #[serde(default)]
    pub p_user_database: bool,
    /// Host names that mean this I-CSCF.
    #[serde(default)]
    pub names: Vec<DomainName>,
    /// Timers and limits of Cx.
    #[serde(default)]
    pub cx: CxConfig,
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
    /// Timers of SIP.
    #[serde(default)]
    pub sip_timers: SipTimersConfig,
    /// Limits of messages, transactions and connections.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// An S-CSCF that may be chosen.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ScscfConfig {
    /// Its name: a SIP URI.
    pub uri: String,
    /// What it can do, in the operator's own numbers.
    #[serde(default)]
    pub capabilities: BTreeSet<u32>,
}

fn default_scscf_timeout() -> DurationText {
    DurationText::secs(10)
}

impl DaemonConfig for IcscfConfig {
    type Node = WithHss<Icscf>;
    const NAME: &'static str = "icscf";
    const DEFAULTS: &'static str = include_str!("defaults.yaml");

    const LIVE: &'static [&'static str] = &[
        "scscfs",
        "scscf_timeout",
        "trusted_peers",
        "psi_domains",
        "p_user_database",
        "drain_timeout",
        "log.level",
    ];

    fn reconfigure(&self, node: &mut Self::Node, _: ShardPlace) -> Result<(), ConfigError> {
        node.cscf_mut().settings = self.settings()?;
        Ok(())
    }

    fn shards(&self) -> u8 {
        self.shards.get()
    }

    fn build_shard(
        mut self,
        seed: Seed,
        place: ShardPlace,
    ) -> Result<(WithHss<Icscf>, ShellConfig), ConfigError> {
        self.limits = self.limits.part_of(place);
        let core = ProxyCoreConfig {
            shard: place.shard,
            ..self.core()
        };
        let cscf = Icscf::new(ProxyCore::new(core, &seed), self.settings()?);
        let node = WithHss::of_shard(cscf, place, || HssClient::new(self.hss_client(), &seed));
        let listener = SipListener::new(Interface::Mw, self.mw.address, "icscf.mw.address");
        let mut shell = ShellConfig::new(Self::NAME, vec![listener]);
        shell.surroundings = self.surroundings()?;
        shell.diameter_listen = self.hss.listen;
        shell.diameter_local = Some(self.mw.address.ip());
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

impl IcscfConfig {
    /// The I-CSCF alone, without its HSS client.
    ///
    /// # Errors
    /// As [`DaemonConfig::build`].
    pub fn cscf(&self, seed: &Seed) -> Result<Icscf, ConfigError> {
        let settings = self.settings()?;
        Ok(Icscf::new(ProxyCore::new(self.core(), seed), settings))
    }

    fn settings(&self) -> Result<Settings, ConfigError> {
        let names = self.names.iter().map(|name| name.as_str().to_owned());
        let own = std::iter::once(self.mw.address.host_port()).chain(names);
        let own_uris: Result<Vec<UriBuf>, _> = own
            .map(|host| sip_uri("icscf.names", &format!("sip:{host}")))
            .collect();
        let scscfs: Result<Vec<Scscf>, ConfigError> = self
            .scscfs
            .iter()
            .map(|scscf| {
                Ok(Scscf {
                    uri: sip_uri("icscf.scscfs", &scscf.uri)?,
                    capabilities: scscf.capabilities.clone(),
                })
            })
            .collect();
        Ok(Settings {
            home_realm: self.home_realm.as_str().to_owned(),
            own_uris: own_uris?,
            scscfs: scscfs?,
            scscf_timeout: self.scscf_timeout.get(),
            trusted_peers: self.trusted_peers.clone(),
            psi_domains: self
                .psi_domains
                .iter()
                .map(|name| name.as_str().to_owned())
                .collect(),
            p_user_database: self.p_user_database,
        })
    }

    fn surroundings(&self) -> Result<Surroundings, ConfigError> {
        let hss = self.hss_client();
        let scscfs = self.scscfs.iter().map(|scscf| {
            Ok(NextHop {
                role: "S-CSCF",
                key: "icscf.scscfs",
                uri: sip_uri("icscf.scscfs", &scscf.uri)?,
            })
        });
        Ok(Surroundings {
            home_realm: self.home_realm.as_str().to_owned(),
            shards: self.shards.get(),
            hss: Some(hss.surroundings()),
            server_names: self.scscfs.iter().map(|scscf| scscf.uri.clone()).collect(),
            next_hops: scscfs.collect::<Result<_, ConfigError>>()?,
            hosts: self.hosts.targets(),
        })
    }

    fn hss_client(&self) -> HssClientConfig {
        let realm = |name: &Option<DomainName>| name.as_ref().unwrap_or(&self.home_realm).as_str().to_owned();
        HssClientConfig {
            origin_host: self.hss.origin_host.as_str().to_owned(),
            origin_realm: realm(&self.hss.origin_realm),
            destination_realm: realm(&self.hss.destination_realm),
            peers: self
                .hss
                .peers
                .iter()
                .map(|peer| peer.as_str().to_owned())
                .collect(),
            request_timeout: self.cx.request_timeout.get(),
            watchdog: self.cx.watchdog.get(),
            reconnect: self.cx.reconnect.get(),
            outstanding_max: self.cx.outstanding,
            in_flight_max: self.cx.in_flight.max(1),
            ..HssClientConfig::default()
        }
    }

    fn core(&self) -> ProxyCoreConfig {
        let mw = self.mw.interface(&self.sip_timers);
        ProxyCoreConfig::of(vec![mw], &self.hosts, &self.limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ims_common::config::{check_documented, parse};

    #[test]
    fn the_documented_file_states_the_defaults_and_names_every_key() {
        check_documented::<IcscfConfig>().unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn the_trust_domain_is_everybody_or_blocks() {
        let with = |value: &str| {
            let text = format!(
                "icscf: {{home_realm: h.test, mw: {{address: 127.0.1.3}}, hss: {{origin_host: i.h.test}}, trusted_peers: {value}}}"
            );
            parse::<IcscfConfig>("icscf", &text).map(|config| config.trusted_peers)
        };
        assert_eq!(with("any").unwrap(), TrustedPeers::Any);
        assert_eq!(
            with("[127.0.1.0/24, \"2001:db8::/32\"]").unwrap(),
            TrustedPeers::Blocks(vec![
                "127.0.1.0/24".parse().unwrap(),
                "2001:db8::/32".parse().unwrap()
            ])
        );
        assert!(with("[nobody]").is_err());
    }

    #[test]
    fn an_scscf_that_is_no_uri_is_named_in_the_complaint() {
        let text = "icscf: {home_realm: h.test, mw: {address: 127.0.1.3}, hss: {origin_host: i.h.test}, scscfs: [{uri: scscf1}]}";
        let config: IcscfConfig = parse("icscf", text).unwrap();
        let error = config.cscf(&Seed::from_number(1)).err().unwrap().to_string();
        assert!(error.contains("icscf.scscfs"), "{error}");
    }
}
