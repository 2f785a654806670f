//! Codec: the S-CSCF's configuration: a typed promise with its defaults in one place.

mod enum_lookup;
mod limits;
mod reg_event;
mod routing;
mod services;
mod sessions;
mod shared_ifc_sets;

use std::str::FromStr;
use std::time::Duration;

use hss_client::client::{HssClient, HssClientConfig};
use hss_client::with_hss::WithHss;
use ims_common::config::{
    AdminConfig, CdrConfig, ConfigError, CxConfig, DaemonConfig, DomainName, DurationText, ExportConfig,
    Harden, HostsConfig, HssConfig, LimitsConfig, LogConfig, MwConfig, NextHop, ShardCount, ShellConfig,
    SipListener, SipTimersConfig, Surroundings, WhyConfig, default_drain_timeout, sip_uri,
};
use ims_common::net::Interface;
use ims_common::node::Seed;
use ims_common::proxy::ProxyCoreConfig;
use ims_common::sip::UriBuf;
use ims_common::steering::{ShardPlace, SteeringRule};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::enum_lookup::EnumConfig;
pub use self::limits::{BlockedPrefixConfig, BlockingConfig, CallLimitsConfig};
pub(crate) use self::routing::RouteKey;
pub use self::routing::{NumbersConfig, RouteConfig};
pub use self::services::{MediaProfileConfig, NotSubscribed, ServiceIdsConfig};
pub use self::sessions::{EntryPointConfig, IscConfig, RedirectPolicy, SessionsConfig};
pub use self::shared_ifc_sets::SharedIfcSetConfig;
use crate::breakout::Breakout;
use crate::node::{Scscf, ScscfSettings};
use crate::numbers::Normaliser;
pub use reg_event::RegEventConfig;

/// Configuration of one S-CSCF: the value below `scscf:`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ScscfConfig {
    /// The home network.
    pub home_realm: DomainName,
    /// Towards I-CSCF and P-CSCF.
    pub mw: MwConfig,
    /// SIP URI of this server, as the HSS stores it.
    pub server_name: ServerName,
    /// The HSS.
    pub hss: HssConfig,
    /// Timers and limits of Cx.
    #[serde(default)]
    pub cx: CxConfig,
    /// Policy of the registrar.
    #[serde(default)]
    pub registration: RegistrationConfig,
    /// Policy of the reg event package.
    #[serde(default)]
    pub reg_event: RegEventConfig,
    /// Visited networks that count as home: their P-CSCFs learn the charging addresses.
    #[serde(default)]
    pub home_networks: Vec<DomainName>,
    /// Filter criteria that profiles name by number.
    #[serde(default)]
    pub shared_ifc_sets: Vec<SharedIfcSetConfig>,
    /// How numbers are dialled at home.
    #[serde(default)]
    pub numbers: NumbersConfig,
    /// Next hops for numbers and domains that this network does not serve.
    #[serde(default)]
    pub routes: Vec<RouteConfig>,
    /// Whether numbers are looked up in DNS.
    #[serde(default)]
    pub r#enum: EnumConfig,
    /// What may be offered, by the media profiles of subscriptions.
    #[serde(default)]
    pub media_profiles: Vec<MediaProfileConfig>,
    /// What happens with services that a user has not subscribed to.
    #[serde(default)]
    pub service_ids: ServiceIdsConfig,
    /// Where requests to users of the home network go.
    #[serde(default)]
    pub icscf: EntryPointConfig,
    /// Application servers.
    #[serde(default)]
    pub isc: IscConfig,
    /// Calls, messages and subscriptions.
    #[serde(default)]
    pub sessions: SessionsConfig,
    /// Where charging data records go.
    #[serde(default)]
    pub cdr: CdrConfig,
    /// Who may not call whom.
    #[serde(default)]
    pub blocking: BlockingConfig,
    /// Calls at a time.
    #[serde(default)]
    pub call_limits: CallLimitsConfig,
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

/// Policy of the registrar (TS 24.229 5.4.1).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationConfig {
    /// Shortest lifetime; a shorter wish gets 423.
    pub expires_min: DurationText,
    /// Longest lifetime; a longer wish is shortened.
    pub expires_max: DurationText,
    /// Lifetime when the UE names none.
    pub expires_default: DurationText,
    /// How long a challenge waits for its answer (TS 24.229 7.8).
    pub reg_await_auth: DurationText,
    /// When a protected re-REGISTER is challenged.
    pub reauthenticate: ReauthenticatePolicy,
    /// What to do with a right AKA response that came without IPsec.
    pub unprotected_response: UnprotectedResponse,
    /// Whether AKAv2-SHA-256 is offered before AKAv1-MD5.
    pub akav2: bool,
    /// Whether phones that support GRUUs get public ones (RFC 5627).
    pub gruu: bool,
    /// How long a SIP Digest nonce may be used.
    pub digest_nonce_lifetime: DurationText,
    /// Contacts of one identity; above: 403.
    pub bindings_per_impu: usize,
    /// Contacts in all; above: 503.
    pub bindings: usize,
    /// Challenges at a time; above: 503.
    pub challenges: usize,
    /// Filter criteria of one service profile; above, the profile is refused.
    pub ifc_per_profile: usize,
}

impl Default for RegistrationConfig {
    fn default() -> Self {
        Self {
            expires_min: DurationText::secs(60),
            expires_max: DurationText::secs(600_000),
            expires_default: DurationText::secs(3_600),
            reg_await_auth: DurationText::secs(240),
            reauthenticate: ReauthenticatePolicy::Never,
            unprotected_response: UnprotectedResponse::Refuse,
            akav2: false,
            gruu: false,
            digest_nonce_lifetime: DurationText::secs(3_600),
            bindings_per_impu: 8,
            bindings: 400_000,
            challenges: 200_000,
            ifc_per_profile: 64,
        }
    }
}

/// When a protected re-REGISTER is challenged (TS 24.229 5.4.1.2.2): `never`, `always`, or a duration since
/// the last right response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReauthenticatePolicy {
    /// The SA is proof enough.
    Never,
    /// Each time.
    Always,
    /// When the last right response is this old.
    Interval(Duration),
}

impl FromStr for ReauthenticatePolicy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            "always" => Ok(Self::Always),
            other => other
                .parse::<DurationText>()
                .map(|interval| Self::Interval(interval.get()))
                .map_err(|_| format!("`{text}` is no policy; expected never, always or a duration as 12h")),
        }
    }
}

impl<'de> Deserialize<'de> for ReauthenticatePolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for ReauthenticatePolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => serializer.serialize_str("never"),
            Self::Always => serializer.serialize_str("always"),
            Self::Interval(interval) => serializer.collect_str(&DurationText(*interval)),
        }
    }
}

/// What to do with a right AKA response that came without IPsec: it proves who the subscriber is, but not
/// that the keys are in use (TS 24.229 5.4.1.2.1).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnprotectedResponse {
    /// Challenge again.
    #[default]
    Refuse,
    /// Let the subscriber in: for access networks without IPsec, and for laboratories.
    Accept,
}

/// The SIP URI of this server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerName(UriBuf);

impl ServerName {
    /// The URI.
    #[must_use]
    pub fn uri(&self) -> &UriBuf {
        &self.0
    }
}

impl<'de> Deserialize<'de> for ServerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let is_sip = text.starts_with("sip:");
        match text.parse::<UriBuf>() {
            Ok(uri) if is_sip => Ok(Self(uri)),
            _ => Err(serde::de::Error::custom(format!(
                "`{text}` is not a SIP URI; expected one as sip:scscf1.example:5060"
            ))),
        }
    }
}

impl Serialize for ServerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl DaemonConfig for ScscfConfig {
    type Node = WithHss<Scscf>;
    const NAME: &'static str = "scscf";
    const DEFAULTS: &'static str = include_str!("defaults.yaml");

    const STEERING: SteeringRule = SteeringRule::Identity;

    const LIVE: &'static [&'static str] = &[
        "registration.expires_min",
        "registration.expires_max",
        "registration.expires_default",
        "registration.reauthenticate",
        "registration.unprotected_response",
        "registration.akav2",
        "registration.gruu",
        "registration.ifc_per_profile",
        "reg_event.expires_min",
        "reg_event.expires_max",
        "reg_event.trusted",
        "reg_event.reauthenticate_within",
        "home_networks",
        "numbers",
        "routes",
        "enum",
        "media_profiles",
        "service_ids",
        "icscf",
        "isc.response_timeout",
        "isc.trusted",
        "sessions.redirects",
        "sessions.contact_time",
        "sessions.trusted_domains",
        "sessions.ecscf",
        "drain_timeout",
        "log.level",
    ];

    fn reconfigure(&self, node: &mut Self::Node, place: ShardPlace) -> Result<(), ConfigError> {
        let settings = self.clone().part_of(place).settings()?;
        node.cscf_mut().reconfigure(settings, place);
        Ok(())
    }

    fn shards(&self) -> u8 {
        self.shards.get()
    }

    fn build_shard(
        mut self,
        seed: Seed,
        place: ShardPlace,
    ) -> Result<(Self::Node, ShellConfig), ConfigError> {
        self.check()?;
        self = self.part_of(place);
        let mut settings = self.settings()?;
        settings.core.shard = place.shard;
        settings.call_maxima = self.call_limits.maxima(place, self.sessions.dialogs)?;
        let mut cscf = Scscf::new(settings, &seed);
        if !place.is_alone() {
            cscf.announce_identities();
        }
        let node = WithHss::of_shard(cscf, place, || HssClient::new(self.hss_client(), &seed));
        Ok((node, self.shell()?))
    }
}

impl ScscfConfig {
    /// The part of one shard: of what the node has in all.
    fn part_of(mut self, place: ShardPlace) -> Self {
        self.limits = self.limits.part_of(place);
        self.registration.bindings = place.part_of(self.registration.bindings);
        self.registration.challenges = place.part_of(self.registration.challenges);
        self.reg_event = self.reg_event.part_of(place);
        self.sessions.dialogs = place.part_of(self.sessions.dialogs);
        self.isc.dialog_ids = place.part_of(self.isc.dialog_ids);
        self.sessions.unregistered_profiles = place.part_of(self.sessions.unregistered_profiles);
        self
    }

    /// What one value alone cannot know.
    fn check(&self) -> Result<(), ConfigError> {
        self.numbers.check()?;
        self.cdr.check("scscf.cdr")?;
        if self.cdr.directory.is_some() && self.shards.get() > 1 {
            // A BYE passes the shard of one of two users only, and the record of the other one would stay open.
            let problem = "shards cannot share the charging data records of a call yet";
            return Err(ConfigError::invalid(
                "scscf.shards",
                problem,
                "1 with cdr.directory",
            ));
        }
        let r = &self.registration;
        if r.expires_min > r.expires_max {
            return Err(ConfigError::invalid(
                "scscf.registration.expires_min",
                format!("{} is longer than expires_max, {}", r.expires_min, r.expires_max),
                "at most expires_max",
            ));
        }
        if r.expires_default < r.expires_min || r.expires_default > r.expires_max {
            return Err(ConfigError::invalid(
                "scscf.registration.expires_default",
                format!("{} is outside expires_min and expires_max", r.expires_default),
                format!("{} to {}", r.expires_min, r.expires_max),
            ));
        }
        if r.expires_min.get() < Duration::from_secs(1) || r.reg_await_auth.get().is_zero() {
            return Err(ConfigError::invalid(
                "scscf.registration",
                "expires_min and reg_await_auth cannot be 0",
                "at least 1s",
            ));
        }
        Ok(())
    }

    fn hss_client(&self) -> HssClientConfig {
        let home = self.home_realm.as_str();
        let realm = |given: &Option<DomainName>| given.as_ref().map_or(home, DomainName::as_str).to_owned();
        HssClientConfig {
            origin_host: self.hss.origin_host.as_str().to_owned(),
            origin_realm: realm(&self.hss.origin_realm),
            destination_realm: realm(&self.hss.destination_realm),
            peers: self.hss.peers.iter().map(|p| p.as_str().to_owned()).collect(),
            request_timeout: self.cx.request_timeout.get(),
            watchdog: self.cx.watchdog.get(),
            reconnect: self.cx.reconnect.get(),
            outstanding_max: self.cx.outstanding,
            in_flight_max: self.cx.in_flight.max(1),
            host_ip_addresses: vec![self.mw.address.ip()],
            shared_ifc: !self.shared_ifc_sets.is_empty(),
            ..HssClientConfig::default()
        }
    }

    fn surroundings(&self) -> Result<Surroundings, ConfigError> {
        let icscf = NextHop {
            role: "I-CSCF",
            key: "scscf.icscf",
            uri: self.icscf.uri(&self.home_realm)?,
        };
        Ok(Surroundings {
            home_realm: self.home_realm.as_str().to_owned(),
            shards: self.shards.get(),
            hss: Some(self.hss_client().surroundings()),
            server_names: vec![self.server_name.uri().to_string()],
            next_hops: vec![icscf],
            hosts: self.hosts.targets(),
        })
    }

    fn shell(&self) -> Result<ShellConfig, ConfigError> {
        let listener = SipListener::new(Interface::Mw, self.mw.address, "scscf.mw.address");
        Ok(ShellConfig {
            surroundings: self.surroundings()?,
            diameter_listen: self.hss.listen,
            diameter_local: Some(self.mw.address.ip()),
            admin: self.admin.clone(),
            writes: self.cdr.directory.iter().cloned().collect(),
            cdr: self.cdr.when_on(),
            log: self.log.clone(),
            why: self.why,
            harden: self.harden,
            export: self.export.clone(),
            limits: self.limits.clone(),
            drain_timeout: self.drain_timeout.get(),
            ..ShellConfig::new(Self::NAME, vec![listener])
        })
    }

    /// What the node alone needs.
    ///
    /// # Errors
    /// When a value is of no use.
    pub fn settings(&self) -> Result<ScscfSettings, ConfigError> {
        let mw = self.mw.interface(&self.sip_timers);
        let core = ProxyCoreConfig::of(vec![mw], &self.hosts, &self.limits);
        let ecscf = self.sessions.ecscf.as_deref();
        Ok(ScscfSettings {
            core,
            icscf: self.icscf.uri(&self.home_realm)?,
            isc: self.isc.clone(),
            ecscf: ecscf
                .map(|uri| sip_uri("scscf.sessions.ecscf", uri))
                .transpose()?,
            sessions: self.sessions.clone(),
            home_realm: self.home_realm.as_str().to_owned(),
            home_networks: self.home_networks.iter().map(|n| n.as_str().to_owned()).collect(),
            server_name: self.server_name.uri().clone(),
            address: self.mw.address.socket(),
            registration: self.registration.clone(),
            normaliser: Normaliser::new(&self.numbers, self.home_realm.as_str()),
            media_policy: services::media_policy(&self.media_profiles)?,
            service_ids: self.service_ids.clone(),
            enum_lookup: self.r#enum.lookup()?,
            blocking: self.blocking.read()?,
            call_limits: self.call_limits.clone(),
            call_maxima: self
                .call_limits
                .maxima(ShardPlace::ALONE, self.sessions.dialogs)?,
            breakout: Breakout::new(routing::routes(&self.routes)?),
            reg_event: self.reg_event.clone(),
            records: self.cdr.directory.is_some(),
            shared_ifc_sets: shared_ifc_sets::read(&self.shared_ifc_sets)?,
        })
    }
}

#[cfg(test)]
mod tests;
