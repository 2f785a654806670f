//! Codec: the values that an entry of a timeline has, by name.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

/// Octets of one value; what is longer is cut.
const VALUE_MAX: usize = 160;
/// Values of one entry.
const FACTS_MAX: usize = 16;
/// Octets of all values of an entry, as a rule.
const TEXT_USUAL: usize = 112;

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
    /// The result is an Experimental-Result of 3GPP, not a Result-Code of RFC 6733: their numbers overlap.
    ResultOf3gpp,
    /// Visited-Network-Identifier of Cx.
    VisitedNetwork,
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
    /// Security parameter index, or several.
    Spi,
    /// Name of a check of the doctor.
    Check,
    /// Ports of a set of security associations.
    Ports,
}

/// The values of one entry, few and short. Control characters of strangers never enter.
///
/// All are in one text, so that an entry costs one allocation.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    text: String,
    /// The name of each value, and where it ends; it begins where the one before ends.
    ends: SmallVec<[(Fact, u16); 8]>,
}

impl Facts {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            text: String::new(),
            ends: SmallVec::new_const(),
        }
    }

    /// Adds a value; of two with one name the last one holds.
    pub fn put(&mut self, name: Fact, value: &str) {
        self.put_value(name, &value);
    }

    /// The same of something that can be printed.
    pub(super) fn put_value(&mut self, name: Fact, value: &dyn Display) {
        if self.has(name) {
            let others = self.iter().filter(|(known, _)| *known != name);
            *self = others.fold(Self::new(), |mut all, (known, value)| {
                all.put(known, value);
                all
            });
        }
        if self.ends.len() >= FACTS_MAX {
            return;
        }
        if self.text.capacity() == 0 {
            self.text.reserve(TEXT_USUAL);
        }
        let begin = self.text.len();
        let mut clean = Clean {
            text: &mut self.text,
            room: VALUE_MAX,
        };
        // It ends early when there is no room left.
        let _ = write!(clean, "{value}");
        match u16::try_from(self.text.len()) {
            Ok(end) => self.ends.push((name, end)),
            Err(_) => self.text.truncate(begin),
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
        self.put_value(name, &value);
        self
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: Fact) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Whether there is a value of this name.
    #[must_use]
    pub fn has(&self, name: Fact) -> bool {
        self.ends.iter().any(|(known, _)| *known == name)
    }

    /// A value that is a number.
    #[must_use]
    pub fn number(&self, name: Fact) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// All, in the order in which they were put.
    pub fn iter(&self) -> impl Iterator<Item = (Fact, &str)> {
        let mut begin = 0;
        self.ends.iter().map(move |(name, end)| {
            let end = usize::from(*end);
            let value = self.text.get(begin..end).unwrap_or_default();
            begin = end;
            (*name, value)
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl PartialEq for Facts {
    fn eq(&self, other: &Self) -> bool {
        self.ends.len() == other.ends.len() && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl Eq for Facts {}

/// Writes what is printable, while there is room.
struct Clean<'a> {
    text: &'a mut String,
    room: usize,
}

impl fmt::Write for Clean<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if part.len() <= self.room && part.bytes().all(|it| matches!(it, b' '..=b'~')) {
            self.text.push_str(part);
            self.room -= part.len();
            return Ok(());
        }
        for letter in part.chars() {
            let letter = if letter.is_control() { ' ' } else { letter };
            self.room = self.room.checked_sub(letter.len_utf8()).ok_or(fmt::Error)?;
            self.text.push(letter);
        }
        Ok(())
    }
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
