//! Codec: the values that an entry of a timeline has, by name.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Octets of one value; what is longer is cut.
const VALUE_MAX: usize = 160;
/// Values of one entry.
const FACTS_MAX: usize = 16;

/// The name of a value.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// Request-URI.
    RequestUri,
    /// Host of the Request-URI.
    RequestHost,
    /// URI of From.
    From,
    /// URI of To.
    To,
    /// First URI of P-Asserted-Identity or P-Preferred-Identity.
    Identity,
    /// Host of the first Contact.
    ContactHost,
    /// Host of the sender's own Via.
    ViaHost,
    /// Expires, in seconds: asked for in a request, granted in an answer.
    Expires,
    /// Algorithm of credentials or of a challenge.
    Algorithm,
    /// A mark of the nonce that tells two nonces apart, and nothing else of it.
    NonceMark,
    /// A REGISTER has credentials with `auts`.
    Auts,
    /// A REGISTER has credentials with a response.
    Response,
    /// Pairs of alg/ealg of Security-Client.
    SecurityClient,
    /// Pairs of alg/ealg of Security-Server.
    SecurityServer,
    /// Security-Verify is there.
    SecurityVerify,
    /// URIs of P-Associated-URI, with a blank between.
    AssociatedUris,
    /// Reason (RFC 3326).
    Reason,
    /// Warning (RFC 3261 20.43).
    Warning,
    /// Retry-After, in seconds.
    RetryAfter,
    /// Reason phrase of an answer that is not a success.
    Phrase,
    /// Content-Type.
    ContentType,
    /// Event (RFC 6665).
    Event,
    /// Subscription-State (RFC 6665).
    SubscriptionState,
    /// User-Agent.
    UserAgent,
    /// P-Access-Network-Info.
    AccessNetwork,
    /// User-Name of Cx: the IMPI.
    Impi,
    /// Public-Identity of Cx: the IMPU.
    Impu,
    /// Server-Name of Cx.
    ServerName,
    /// SIP-Authentication-Scheme of Cx.
    Scheme,
    /// Server-Assignment-Type of Cx.
    AssignmentType,
    /// How many authentication vectors there are.
    Vectors,
    /// Destination-Realm.
    Realm,
    /// Error-Message.
    ErrorMessage,
    /// Origin-Host of the peer.
    Peer,
    /// What a node says about it, in words.
    Words,
    /// An application server's URI.
    AppServer,
    /// Default handling of an application server that did not answer.
    DefaultHandling,
    /// A number as it was dialled.
    Dialled,
    /// A number as it was looked up.
    LookedUp,
    /// Numbers or identities that are allowed or expected.
    Expected,
    /// How often, how many.
    Count,
    /// Seconds.
    Seconds,
    /// A limit.
    Limit,
    /// An address with or without a port.
    Address,
    /// Another address.
    OtherAddress,
    /// Security parameter index.
    Spi,
}

/// The values of one entry, few and short. Control characters of strangers never enter.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts(Vec<(Fact, Box<str>)>);

impl Facts {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a value; of two with one name the last one holds.
    pub fn put(&mut self, name: Fact, value: &str) {
        let value = clean(value);
        match self.0.binary_search_by_key(&name, |(known, _)| *known) {
            Ok(at) => {
                if let Some((_, old)) = self.0.get_mut(at) {
                    *old = value;
                }
            }
            Err(at) if self.0.len() < FACTS_MAX => self.0.insert(at, (name, value)),
            Err(_) => {}
        }
    }

    /// Adds octets of a message, when they are there.
    pub(super) fn put_octets(&mut self, name: Fact, value: Option<&[u8]>) {
        if let Some(value) = value {
            let cut = value.get(..VALUE_MAX * 2).unwrap_or(value);
            self.put(name, &String::from_utf8_lossy(cut));
        }
    }

    /// The same with a value added.
    #[must_use]
    pub fn with(mut self, name: Fact, value: impl Display) -> Self {
        self.put(name, &value.to_string());
        self
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: Fact) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| &**value)
    }

    /// Whether there is a value of this name.
    #[must_use]
    pub fn has(&self, name: Fact) -> bool {
        self.get(name).is_some()
    }

    /// A value that is a number.
    #[must_use]
    pub fn number(&self, name: Fact) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (Fact, &str)> {
        self.0.iter().map(|(name, value)| (*name, &**value))
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Printable, and not too long.
pub(super) fn clean(value: &str) -> Box<str> {
    let is_clean = value.len() <= VALUE_MAX && !value.chars().any(char::is_control);
    if is_clean {
        return value.into();
    }
    let mut text = String::with_capacity(VALUE_MAX);
    for letter in value.chars() {
        if text.len() + letter.len_utf8() > VALUE_MAX {
            break;
        }
        text.push(if letter.is_control() { ' ' } else { letter });
    }
    text.into()
}

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = BTreeMap::<Fact, String>::deserialize(deserializer)?;
        let mut facts = Self::new();
        for (name, value) in read {
            facts.put(name, &value);
        }
        Ok(facts)
    }
}
