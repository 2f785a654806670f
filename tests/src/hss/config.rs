//! Testkit: the embedded HSS and its subscribers as a YAML file.

use std::net::SocketAddr;

use hss_client::user_data::PublicIdentity;
use ims_common::aka::Secret;
use ims_common::aka::hex::from_hex;
use ims_common::config::{
    ConfigError, DaemonConfig, LimitsConfig, ListenAddress, LogConfig, ShellConfig, WhyConfig,
};
use ims_common::identity::{Impi, Impu};
use ims_common::node::Seed;
use ims_common::steering::ShardPlace;
use serde::{Deserialize, Serialize};

use super::subscribers::{Subscriber, TEST_K, TEST_OPC, parse_ifcs};
use super::{Hss, HssConfig, Personality};
use crate::milenage::{Milenage, Sqn};

/// The file of the program `hss`: the value below the key `hss`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HssFile {
    /// Address and port for Diameter.
    listen: SocketAddr,
    /// Origin-Host.
    #[serde(default = "default_origin_host")]
    origin_host: String,
    /// Origin-Realm.
    #[serde(default = "default_origin_realm")]
    origin_realm: String,
    /// CSCFs that the HSS dials, `IP:port`.
    #[serde(default)]
    peers: Vec<String>,
    /// Address of the operator's HTTP.
    admin: Option<ListenAddress>,
    /// What is logged.
    #[serde(default)]
    log: LogConfig,
    /// What is kept for whoever asks why something failed.
    #[serde(default)]
    why: WhyConfig,
    /// Limits of messages and connections.
    #[serde(default)]
    limits: LimitsConfig,
    /// The users.
    #[serde(default)]
    subscribers: Vec<SubscriberConfig>,
    /// Which HSS it imitates: standard, pyhss1, pyhss2 or open5gs.
    #[serde(default)]
    personality: Personality,
    /// The S-CSCF that a personality names for users that have none.
    scscf_pool: Option<String>,
    /// The IP-SM-GW to which open5gs sends short messages.
    sms_over_ims: Option<String>,
    /// Further users that differ by their IMSI only.
    range: Option<SubscriberRange>,
}

/// Users of consecutive IMSIs with the same keys, for load.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SubscriberRange {
    /// The first IMSI, in quotes.
    first_imsi: String,
    /// How many.
    count: u32,
    /// K, 32 hex digits; a test key when absent.
    k: Option<HexKey>,
    /// OPc, 32 hex digits.
    opc: Option<HexKey>,
    /// Each has a number: this, and the last ten digits of its IMSI.
    msisdn_prefix: Option<String>,
    /// Initial filter criteria of each, XML.
    ifcs: Option<String>,
}

impl SubscriberRange {
    fn build(&self) -> Result<Vec<Subscriber>, String> {
        let wrong = || "first_imsi: expected 15 digits in quotes, so that the last one of the range has 15";
        let first = Some(&self.first_imsi).filter(|text| text.len() == 15);
        let first: u64 = first.and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        let end = first + u64::from(self.count);
        if end > 1_000_000_000_000_000 {
            return Err(wrong().into());
        }
        let k = self.k.as_ref().map_or(TEST_K, |k| *k.0.expose());
        let opc = self.opc.as_ref().map_or(TEST_OPC, |opc| *opc.0.expose());
        let criteria =
            parse_ifcs(self.ifcs.as_deref().unwrap_or_default()).map_err(|error| format!("ifcs: {error}"))?;
        let subscriber = |imsi| {
            let mut subscriber = Subscriber::new(&format!("{imsi:015}")).key(k, opc);
            if let Some(prefix) = &self.msisdn_prefix {
                subscriber = subscriber.msisdn(&format!("{prefix}{:010}", imsi % 10_000_000_000));
            }
            criteria.iter().cloned().fold(subscriber, Subscriber::ifc)
        };
        Ok((first..end).map(subscriber).collect())
    }
}

impl HssFile {
    /// Its users.
    ///
    /// # Errors
    /// With the key of the one that makes no sense.
    pub fn subscribers(&self) -> Result<Vec<Subscriber>, ConfigError> {
        let mut all = Vec::with_capacity(self.subscribers.len());
        for (index, subscriber) in self.subscribers.iter().enumerate() {
            let subscriber = subscriber.build().map_err(|problem| {
                ConfigError::invalid(&format!("hss.subscribers.{index}"), problem, "a subscriber")
            })?;
            all.push(subscriber);
        }
        if let Some(range) = &self.range {
            let range = range
                .build()
                .map_err(|problem| ConfigError::invalid("hss.range", problem, "a range of subscribers"))?;
            all.extend(range);
        }
        Ok(all)
    }
}

fn default_origin_host() -> String {
    HssConfig::default().origin_host
}

fn default_origin_realm() -> String {
    HssConfig::default().origin_realm
}

impl DaemonConfig for HssFile {
    type Node = Hss;
    const NAME: &'static str = "hss";
    const DEFAULTS: &'static str = "\
hss:
  ## Address and port for Diameter.
  listen: 127.0.1.5:3868
  ## Which HSS of the field it imitates: standard, pyhss1, pyhss2 or open5gs.
  # personality: standard
  ## The S-CSCF that pyhss1 and pyhss2 name for users that have none.
  # scscf_pool: scscf.ims.mnc001.mcc001.3gppnetwork.org
  ## Users; impi, keys and public identities follow from the IMSI when absent.
  # subscribers: [{imsi: \"001010000000001\", msisdn: \"+15550001\"}]
  ## Further users of consecutive IMSIs with the same keys, for load.
  # range: {first_imsi: \"001010000100000\", count: 1000}
";

    fn build_shard(self, seed: Seed, _: ShardPlace) -> Result<(Hss, ShellConfig), ConfigError> {
        let config = HssConfig {
            subscribers: self.subscribers()?,
            origin_host: self.origin_host,
            origin_realm: self.origin_realm,
            peers: self.peers,
            personality: self.personality,
            scscf_pool: self.scscf_pool,
            sms_over_ims: self.sms_over_ims,
            ..HssConfig::default()
        };
        let mut shell = ShellConfig::new(Self::NAME, Vec::new());
        shell.diameter_listen = Some(self.listen);
        shell.diameter_local = Some(self.listen.ip());
        shell.admin = self.admin.map(|admin| admin.socket().into());
        shell.log = self.log;
        shell.why = self.why;
        shell.limits = self.limits;
        Ok((Hss::new(config, seed), shell))
    }
}

/// A subscriber in a YAML file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriberConfig {
    /// IMSI, in quotes.
    imsi: String,
    /// Private identity; derived from the IMSI when absent.
    impi: Option<String>,
    /// K, 32 hex digits; a test key when absent.
    k: Option<HexKey>,
    /// OPc, 32 hex digits.
    opc: Option<HexKey>,
    /// OP, 32 hex digits, instead of OPc.
    op: Option<HexKey>,
    /// AMF, 4 hex digits, in quotes.
    amf: Option<String>,
    /// Sequence number given out last.
    #[serde(default)]
    sqn: Sqn,
    /// Password of SIP Digest, instead of keys.
    digest_password: Option<Password>,
    /// Number: makes a SIP and a tel identity of it and bars the IMSI-derived one.
    msisdn: Option<String>,
    /// Further public identities; one that is there already is replaced.
    #[serde(default)]
    impus: Vec<ImpuConfig>,
    /// Initial filter criteria, XML.
    ifcs: Option<String>,
    /// S-CSCF that is assigned beforehand.
    scscf: Option<String>,
    /// Capabilities that the S-CSCF must have.
    #[serde(default)]
    mandatory_capabilities: Vec<u32>,
    /// Capabilities that the S-CSCF should have.
    #[serde(default)]
    optional_capabilities: Vec<u32>,
    /// Visited networks that are allowed; all when absent.
    visited_networks: Option<Vec<String>>,
}

/// A public identity in a YAML file: its text, or a mapping.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum ImpuConfig {
    Plain(String),
    Entry(ImpuEntry),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ImpuEntry {
    identity: String,
    #[serde(default)]
    barred: bool,
    alias_group: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct HexKey(Secret<[u8; 16]>);

impl TryFrom<String> for HexKey {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let octets = from_hex(&text).and_then(|octets| octets.try_into().ok());
        octets
            .map(|octets: [u8; 16]| Self(Secret::new(octets)))
            .ok_or("a key has 32 hex digits")
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(from = "String", into = "String")]
struct Password(Secret<String>);

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

/// Secrets are not shown in the effective configuration.
impl From<HexKey> for String {
    fn from(_: HexKey) -> Self {
        "<redacted>".into()
    }
}

impl From<Password> for String {
    fn from(_: Password) -> Self {
        "<redacted>".into()
    }
}

impl SubscriberConfig {
    /// The subscriber, or what is wrong with it.
    ///
    /// # Errors
    /// A text that names the key.
    pub fn build(&self) -> Result<Subscriber, String> {
        let is_imsi = (6..=15).contains(&self.imsi.len()) && self.imsi.bytes().all(|b| b.is_ascii_digit());
        if !is_imsi {
            return Err("imsi: expected 6 to 15 digits in quotes".into());
        }
        let mut subscriber = Subscriber::new(&self.imsi);
        if let Some(impi) = &self.impi {
            subscriber.impi = Impi::parse(impi).map_err(|e| format!("impi: {e}"))?;
        }
        subscriber = self.build_authentication(subscriber)?;
        if let Some(msisdn) = &self.msisdn {
            if msisdn.trim_start_matches('+').is_empty()
                || !msisdn.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit())
            {
                return Err("msisdn: expected digits in quotes".into());
            }
            subscriber = subscriber.msisdn(msisdn);
        }
        for impu in &self.impus {
            subscriber = subscriber.public_identity(impu.entry()?);
        }
        if let Some(xml) = &self.ifcs {
            let criteria = parse_ifcs(xml).map_err(|e| format!("ifcs: {e}"))?;
            subscriber.profile().filter_criteria = criteria;
        }
        subscriber.server_name.clone_from(&self.scscf);
        subscriber.visited_networks.clone_from(&self.visited_networks);
        if !self.mandatory_capabilities.is_empty() || !self.optional_capabilities.is_empty() {
            subscriber = subscriber.capabilities(&self.mandatory_capabilities, &self.optional_capabilities);
        }
        Ok(subscriber)
    }

    fn build_authentication(&self, subscriber: Subscriber) -> Result<Subscriber, String> {
        if let Some(password) = &self.digest_password {
            return Ok(subscriber.digest_password(password.0.expose()));
        }
        let amf = match &self.amf {
            None => [0x80, 0],
            Some(text) => from_hex(text)
                .and_then(|octets| octets.try_into().ok())
                .ok_or("amf: expected 4 hex digits in quotes")?,
        };
        let k = self.k.as_ref().map_or(TEST_K, |k| *k.0.expose());
        let opc = match (&self.opc, &self.op) {
            (Some(_), Some(_)) => return Err("op: expected only one of op and opc".into()),
            (Some(opc), None) => *opc.0.expose(),
            (None, Some(op)) => Milenage::opc(&k, op.0.expose()),
            (None, None) => TEST_OPC,
        };
        Ok(subscriber.key(k, opc).amf(amf).sqn(self.sqn))
    }
}

impl ImpuConfig {
    fn entry(&self) -> Result<PublicIdentity, String> {
        let parse = |text: &str| Impu::parse(text).map_err(|e| format!("impus: {e}"));
        Ok(match self {
            Self::Plain(text) => PublicIdentity::new(parse(text)?),
            Self::Entry(entry) => PublicIdentity {
                barred: entry.barred,
                alias_group: entry.alias_group.clone(),
                ..PublicIdentity::new(parse(&entry.identity)?)
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impus(subscriber: &Subscriber) -> Vec<(&str, bool)> {
        subscriber
            .public_identities()
            .map(|i| (i.impu.as_str(), i.barred))
            .collect()
    }

    #[test]
    fn a_yaml_subscriber_is_read_and_a_bad_one_names_its_key() {
        let read = |text: &str| -> Result<Subscriber, String> {
            let config: SubscriberConfig = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
            config.build()
        };
        let subscriber = read(
            "imsi: \"001010000000001\"\n\
             k: 465b5ce8b199b49faa5f0a2ee238a6bc\n\
             op: cdc202d5123e20f62b6d676ac72cb318\n\
             amf: \"b9b9\"\nsqn: 64\nmsisdn: \"+15550001\"\n\
             impus: [\"sip:alice@home.example\", {identity: \"tel:+15550009\", barred: true}]\n\
             scscf: sip:scscf.example\nmandatory_capabilities: [1]\n\
             ifcs: |\n  <InitialFilterCriteria><Priority>1</Priority><ApplicationServer>\n  \
             <ServerName>sip:as.example</ServerName></ApplicationServer></InitialFilterCriteria>\n",
        )
        .unwrap();
        let (k, opc, amf, sqn) = subscriber.aka();
        assert_eq!((k, opc, amf, sqn), (TEST_K, TEST_OPC, [0xB9, 0xB9], Sqn::new(64)));
        assert_eq!(
            impus(&subscriber)[3..],
            [("sip:alice@home.example", false), ("tel:+15550009", true)]
        );
        assert_eq!(subscriber.implicit_sets[0][0].filter_criteria.len(), 1);
        for (text, key) in [
            ("imsi: \"00101x\"", "imsi"),
            ("imsi: \"001010000000001\"\namf: \"8\"", "amf"),
            ("imsi: \"001010000000001\"\nmsisdn: abc", "msisdn"),
            (
                "imsi: \"001010000000001\"\nifcs: <InitialFilterCriteria/>",
                "ifcs",
            ),
            ("imsi: \"001010000000001\"\nk: 00", "32 hex digits"),
            ("imsi: \"001010000000001\"\nkey: 00", "key"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(key), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_file_of_the_program_is_read_and_shows_no_key() {
        let text = "hss:\n  listen: 127.0.1.5:3868\n  subscribers:\n    - {imsi: \"001010000000001\", k: \
                    465b5ce8b199b49faa5f0a2ee238a6bc}\n";
        let file: HssFile = ims_common::config::parse("hss", text).unwrap();
        let printed = serde_json::to_string(&file).unwrap();
        assert!(
            !printed.contains("465b5ce8") && printed.contains("<redacted>"),
            "{printed}"
        );
        let (_, shell) = file.build(Seed::from_number(1)).unwrap();
        assert_eq!(
            shell.diameter_listen,
            Some(SocketAddr::from(([127, 0, 1, 5], 3868)))
        );
    }

    #[test]
    fn all_of_a_range_have_numbers_and_the_same_criteria() {
        let text = "first_imsi: \"001010000100009\"\ncount: 2\nmsisdn_prefix: \"+1555\"\n\
                    ifcs: '<InitialFilterCriteria><Priority>3</Priority><ApplicationServer><ServerName>sip:as.example\
                    </ServerName></ApplicationServer></InitialFilterCriteria>'\n";
        let range: SubscriberRange = serde_saphyr::from_str(text).unwrap();
        let mut all = range.build().unwrap();
        let numbers: Vec<_> = all
            .iter()
            .filter_map(|one| one.public_identities().last())
            .map(|identity| identity.impu.as_str())
            .collect();
        assert_eq!(numbers, ["tel:+15550000100009", "tel:+15550000100010"]);
        assert!(all.iter_mut().all(|one| one.profile().filter_criteria.len() == 1));
    }

    #[test]
    fn a_range_makes_subscribers_of_consecutive_imsis() {
        let range = |first: &str, count| {
            let text = format!("first_imsi: \"{first}\"\ncount: {count}\n");
            let range: SubscriberRange = serde_saphyr::from_str(&text).unwrap();
            range.build()
        };
        let all = range("001010000100009", 3).unwrap();
        let names: Vec<_> = all
            .iter()
            .map(|one| &one.private_identity().as_str()[..15])
            .collect();
        assert_eq!(names, ["001010000100009", "001010000100010", "001010000100011"]);
        assert!(range("00101", 3).unwrap_err().contains("first_imsi"));
        assert!(range("999999999999999", 2).is_err());
    }

    #[test]
    fn a_bad_subscriber_is_named_by_its_place() {
        let text =
            "hss:\n  listen: 127.0.1.5:3868\n  personality: pyhss1\n  subscribers:\n    - {imsi: \"001\"}\n";
        let file: HssFile = ims_common::config::parse("hss", text).unwrap();
        assert_eq!(file.personality, Personality::PyHss1);
        let error = file.build(Seed::from_number(1)).err().unwrap();
        assert!(error.to_string().contains("hss.subscribers.0"), "{error}");
    }
}
