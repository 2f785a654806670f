//! Testkit: what is known of the core that a card is for, from the files that configure its daemons.
//!
//! A foreign core has no such files, or other ones: then only what is known is compared, and who compares says so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use hss_client::user_data::PublicIdentity;
use icscf::IcscfConfig;
use ims_common::config::{self, ConfigError, HostsConfig};
use ims_common::identity::Impu;
use pcscf::PcscfConfig;
use scscf::ScscfConfig;

use super::contents::PcscfAddress;
use crate::hss::{HssFile, Subscriber};

/// What is known of a core.
#[derive(Clone, Debug, Default)]
pub struct Core {
    /// Domains that it serves, each with the file that said so first.
    realms: Vec<Said<String>>,
    /// Where its P-CSCFs wait for phones.
    gm: Vec<Said<SocketAddr>>,
    /// Names of its P-CSCFs.
    pcscf_names: Vec<String>,
    /// Names that its files give addresses to.
    hosts: BTreeMap<String, Vec<SocketAddr>>,
    hss: Option<Hss>,
    files: Vec<String>,
}

/// Something that a file says.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Said<T> {
    what: T,
    file: String,
}

/// Its HSS, when a file of one is among them.
#[derive(Clone, Debug, Default)]
struct Hss {
    files: Vec<String>,
    subscribers: Vec<Subscriber>,
}

/// Whose file it is: each has one top-level key, the daemon's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Pcscf,
    Icscf,
    Scscf,
    Hss,
}

const KINDS: [(&str, Kind); 4] = [
    ("pcscf", Kind::Pcscf),
    ("icscf", Kind::Icscf),
    ("scscf", Kind::Scscf),
    ("hss", Kind::Hss),
];

impl Core {
    /// Reads files of daemons, of any kind and in any order.
    ///
    /// # Errors
    /// As the daemon itself would complain: file, line, column, key.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Self, ConfigError> {
        let mut core = Self::default();
        for path in paths {
            let path = path.as_ref();
            core = core.with_file(&path.display().to_string(), &config::read(path)?)?;
        }
        Ok(core)
    }

    /// With what one more file says.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn with_file(mut self, file: &str, text: &str) -> Result<Self, ConfigError> {
        self.read(file, text).map_err(|error| error.located(file, text))?;
        self.files.push(file.to_owned());
        Ok(self)
    }

    fn read(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        match kind(text)? {
            Kind::Pcscf => {
                let config: PcscfConfig = config::parse("pcscf", text)?;
                self.add_realm(config.home_realm.as_str(), file);
                self.gm.push(Said {
                    what: config.gm.address.socket(),
                    file: file.to_owned(),
                });
                let names = config.names.iter().map(|name| name.as_str().to_owned());
                self.pcscf_names.extend(names);
                self.add_hosts(&config.hosts);
            }
            Kind::Icscf => {
                let config: IcscfConfig = config::parse("icscf", text)?;
                self.add_realm(config.home_realm.as_str(), file);
                self.add_hosts(&config.hosts);
            }
            Kind::Scscf => {
                let config: ScscfConfig = config::parse("scscf", text)?;
                self.add_realm(config.home_realm.as_str(), file);
                self.add_hosts(&config.hosts);
            }
            Kind::Hss => {
                let config: HssFile = config::parse("hss", text)?;
                let hss = self.hss.get_or_insert_default();
                hss.subscribers.extend(config.subscribers()?);
                hss.files.push(file.to_owned());
            }
        }
        Ok(())
    }

    fn add_realm(&mut self, realm: &str, file: &str) {
        if !self
            .realms
            .iter()
            .any(|said| said.what.eq_ignore_ascii_case(realm))
        {
            self.realms.push(Said {
                what: realm.to_owned(),
                file: file.to_owned(),
            });
        }
    }

    fn add_hosts(&mut self, hosts: &HostsConfig) {
        for (name, targets) in hosts.targets() {
            let addresses = targets.into_iter().map(|target| target.remote);
            self.hosts.entry(name).or_default().extend(addresses);
        }
    }

    /// The files that were read, in their order.
    #[must_use]
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The domains that it serves.
    pub fn realms(&self) -> impl Iterator<Item = &str> {
        self.realms.iter().map(|said| said.what.as_str())
    }

    /// Whether it serves a domain; `None` when no file says what it serves.
    #[must_use]
    pub fn serves(&self, domain: &str) -> Option<bool> {
        let mut realms = self.realms();
        (!self.realms.is_empty()).then(|| realms.any(|realm| realm.eq_ignore_ascii_case(domain)))
    }

    /// The domains that it serves, with the file of each: `ims.example (pcscf.yaml)`.
    #[must_use]
    pub fn realms_in_words(&self) -> String {
        in_words(&self.realms)
    }

    /// Where its P-CSCFs wait for phones.
    pub fn pcscfs(&self) -> impl Iterator<Item = SocketAddr> {
        self.gm.iter().map(|said| said.what)
    }

    /// The same with the file of each.
    #[must_use]
    pub fn pcscfs_in_words(&self) -> String {
        in_words(&self.gm)
    }

    /// Whether this is a P-CSCF of it; `None` when no file says, as of a name that DNS alone knows.
    #[must_use]
    pub fn is_pcscf(&self, address: &PcscfAddress) -> Option<bool> {
        if self.gm.is_empty() {
            return None;
        }
        let is_gm = |ip| self.gm.iter().any(|said| said.what.ip() == ip);
        match address {
            PcscfAddress::Ip(ip) => Some(is_gm(*ip)),
            PcscfAddress::Name(name) => {
                let name = name.to_ascii_lowercase();
                let known = self.hosts.get(&name);
                match known {
                    _ if self.pcscf_names.contains(&name) => Some(true),
                    Some(addresses) => Some(addresses.iter().any(|address| is_gm(address.ip()))),
                    None => None,
                }
            }
        }
    }

    /// Its subscribers; `None` when no file of an HSS was given.
    #[must_use]
    pub fn subscribers(&self) -> Option<&[Subscriber]> {
        self.hss.as_ref().map(|hss| hss.subscribers.as_slice())
    }

    /// The files of its HSS: `hss.yaml`.
    #[must_use]
    pub fn hss_in_words(&self) -> String {
        self.hss
            .as_ref()
            .map(|hss| hss.files.join(", "))
            .unwrap_or_default()
    }

    /// The subscriber with this private identity. It is compared octet by octet, as an HSS does.
    #[must_use]
    pub fn subscriber(&self, impi: &str) -> Option<&Subscriber> {
        let mut all = self.subscribers()?.iter();
        all.find(|subscriber| subscriber.private_identity().as_str() == impi)
    }

    /// The implicit registration set in which a subscriber has a public identity.
    #[must_use]
    pub fn implicit_set<'a>(subscriber: &'a Subscriber, impu: &Impu) -> Option<Vec<&'a PublicIdentity>> {
        subscriber.implicit_sets().find_map(|set| {
            let set: Vec<_> = set.collect();
            set.iter().any(|identity| identity.impu == *impu).then_some(set)
        })
    }
}

fn in_words<T: ToString>(all: &[Said<T>]) -> String {
    let words: Vec<_> = all
        .iter()
        .map(|said| format!("{} ({})", said.what.to_string(), said.file))
        .collect();
    super::wording::and(&words)
}

/// By the first line that begins with a key.
fn kind(text: &str) -> Result<Kind, ConfigError> {
    let is_key = |line: &str| !line.starts_with([' ', '\t', '#', '-', '%']) && !line.trim().is_empty();
    let (number, first) = (1..)
        .zip(text.lines())
        .find(|(_, line)| is_key(line))
        .unwrap_or((1, ""));
    let key = first
        .split(':')
        .next()
        .unwrap_or_default()
        .trim()
        .trim_matches('"');
    let kind = KINDS.iter().find(|(name, _)| *name == key);
    kind.map(|(_, kind)| *kind).ok_or_else(|| {
        let expected = "the file of a daemon: pcscf, icscf, scscf or hss alone at the top level";
        let mut error = ConfigError::invalid(key, "unknown key", expected);
        error.position = Some((number, 1));
        error
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const PCSCF: &str = "pcscf:\n  home_realm: ims.example\n  gm: {address: 192.0.2.5}\n  mw: {address: 127.0.1.2}\n  \
                         names: [pcscf.ims.example]\n  hosts: {icscf.ims.example: 127.0.1.3}\n";
    const HSS: &str = "# users\nhss:\n  listen: 127.0.1.5:3868\n  subscribers:\n    - {imsi: \"001010000000001\", \
                       msisdn: \"15550001\"}\n";

    fn ip(text: &str) -> PcscfAddress {
        PcscfAddress::Ip(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn files_of_daemons_tell_realm_addresses_and_subscribers() {
        let core = Core::default()
            .with_file("pcscf.yaml", PCSCF)
            .and_then(|core| core.with_file("hss.yaml", HSS))
            .unwrap();
        assert_eq!(core.serves("IMS.example"), Some(true));
        assert_eq!(core.serves("other.example"), Some(false));
        assert_eq!(core.realms_in_words(), "ims.example (pcscf.yaml)");
        assert_eq!(core.pcscfs_in_words(), "192.0.2.5:5060 (pcscf.yaml)");
        assert_eq!(core.is_pcscf(&ip("192.0.2.5")), Some(true));
        assert_eq!(core.is_pcscf(&ip("192.0.2.6")), Some(false));
        let name = |name: &str| core.is_pcscf(&PcscfAddress::Name(name.to_owned()));
        assert_eq!(name("PCSCF.ims.example"), Some(true));
        assert_eq!(name("icscf.ims.example"), Some(false));
        assert_eq!(name("pcscf.other.example"), None);
        let home = "ims.mnc001.mcc001.3gppnetwork.org";
        let subscriber = core.subscriber(&format!("001010000000001@{home}")).unwrap();
        let number = Impu::parse("tel:+15550001").unwrap();
        let set = Core::implicit_set(subscriber, &number).unwrap();
        assert_eq!(set.len(), 3);
        assert!(core.subscriber("nobody").is_none());
    }

    #[test]
    fn without_files_nothing_is_known() {
        let core = Core::default();
        assert_eq!(core.serves("ims.example"), None);
        assert_eq!(core.is_pcscf(&ip("192.0.2.5")), None);
        assert!(core.subscribers().is_none());
    }

    #[test]
    fn complaints_are_those_of_the_daemons() {
        let complaint = |text: &str| {
            let core = Core::default().with_file("core.yaml", text);
            core.unwrap_err().to_string()
        };
        assert_eq!(
            complaint("pcscf:\n  gm: {adress: 192.0.2.5}\n"),
            "core.yaml:2:8: pcscf.gm.adress: unknown key; expected one of address, security, allow_unprotected, \
             unregistered_requests"
        );
        let wrong = complaint("hss:\n  listen: 127.0.1.5:3868\n  subscribers:\n    - {imsi: \"00101x\"}\n");
        assert_eq!(
            wrong,
            "core.yaml:4:7: hss.subscribers.0: imsi: expected 6 to 15 digits in quotes; expected a subscriber"
        );
        let wrong = complaint("# Open5GS\nmme:\n  freeDiameter: x\n");
        assert_eq!(
            wrong,
            "core.yaml:2:1: mme: unknown key; expected the file of a daemon: pcscf, icscf, scscf or hss alone at the top \
             level"
        );
    }
}
