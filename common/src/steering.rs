//! Engine: which shard of a node owns a message (the manual's architecture, Shards).
//!
//! A message belongs to the shard that holds what it is about: the transaction of a response, the contact of a UE, the
//! registration of an identity. What we have printed ourselves and comes back says so in its token ([`crate::token`]);
//! for all else a hash decides, of something that stays the same in retransmissions, in the CANCEL and in the ACK of a
//! request. The hash is keyed, so that nobody outside can choose the shard that he burdens.

mod address;

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use self::address::AddressHash;
pub use self::address::FilterStep;
use crate::identity::{Impi, Impu};
use crate::net::{Flow, Interface};
use crate::sip::{HeaderName, Message, NameAddr, Uri};
use crate::token::{self, ShardId};
use crate::transaction::key::MAGIC_COOKIE;

/// Shards of one node at most.
pub const SHARDS_MAX: u8 = 64;

/// What a node goes by for a request that names no shard.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SteeringRule {
    /// The IP address that it came from on Gm, all that comes from one UE; the Call-ID on Mw. For a P-CSCF.
    Source,
    /// The Call-ID. For a node that keeps nothing between transactions, as an I-CSCF.
    #[default]
    CallId,
    /// The identity that is served: of a REGISTER the public one when it is served already, else the private one; of
    /// another request the one in the Request-URI, or the one that an application server speaks for. For an S-CSCF.
    Identity,
}

/// The number under which a served identity is looked up. Two spellings of a number, with and without a plus, have one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IdentityKey(pub u64);

/// Which shard serves an identity now.
pub trait Directory {
    /// The shard; `None` when the identity is not served.
    fn shard_of(&self, key: IdentityKey) -> Option<ShardId>;
}

/// The place of one shard among all of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShardPlace {
    /// This one.
    pub shard: ShardId,
    /// How many there are.
    pub of: u8,
}

impl ShardPlace {
    /// The one shard of a node that has no others.
    pub const ALONE: Self = Self {
        shard: ShardId(0),
        of: 1,
    };

    /// Whether there is no other.
    #[must_use]
    pub const fn is_alone(self) -> bool {
        self.of <= 1
    }

    /// The part of a limit of the whole node that is this shard's, rounded up.
    #[must_use]
    pub fn part_of(self, limit: usize) -> usize {
        limit.div_ceil(usize::from(self.of.max(1)))
    }
}

/// Finds the owner of a message.
#[derive(Clone, Copy, Debug)]
pub struct Steering {
    rule: SteeringRule,
    shards: u8,
    secret: (u64, u64),
    address: AddressHash,
}

/// Of how many hashes [`first_part`] speaks.
const HASHES: u64 = 1_024;
/// The client of the HSS takes one part in so many of the processor time of all else; it lives in the first shard.
const CLIENT_PART: u64 = 4;

/// Of all hashes, how many are the first shard's, so that all shards have as much to do.
fn first_part(rule: SteeringRule, others: u64) -> u64 {
    match rule {
        SteeringRule::Source => HASHES / (others + 1),
        SteeringRule::CallId | SteeringRule::Identity => {
            HASHES * CLIENT_PART.saturating_sub(others) / (CLIENT_PART * (others + 1))
        }
    }
}

/// So that no two sorts of values have one hash.
#[derive(Clone, Copy)]
enum Sort {
    CallId,
    Impi,
    Impu,
}

impl Steering {
    /// Between so many shards. Each process has a secret of its own.
    #[must_use]
    pub const fn new(rule: SteeringRule, shards: u8, secret: (u64, u64)) -> Self {
        Self {
            rule,
            shards,
            secret,
            address: AddressHash::new(secret, shards),
        }
    }

    /// What tells the kernel the owners of datagrams on an interface, where the addresses decide.
    #[must_use]
    pub fn kernel_filter(&self, interface: Interface, is_ipv4: bool) -> Option<Vec<FilterStep>> {
        let by_address = self.rule == SteeringRule::Source && interface != Interface::Mw;
        by_address.then(|| self.address.filter(is_ipv4))
    }

    /// The owner of a message that came along a flow.
    #[must_use]
    pub fn owner(&self, flow: &Flow, message: &Message, directory: &impl Directory) -> ShardId {
        if !message.is_request() {
            return self.of_branch(message).unwrap_or_else(|| self.of_call(message));
        }
        if self.rule == SteeringRule::Source && flow.interface != Interface::Mw {
            return self.of_address(flow.remote.ip());
        }
        if let Some(owner) = self.of_tokens(message) {
            return owner;
        }
        let identity = match self.rule {
            SteeringRule::Identity => self.of_identity(message, directory),
            SteeringRule::Source | SteeringRule::CallId => None,
        };
        identity.unwrap_or_else(|| self.of_call(message))
    }

    /// The owner of connections that an address opens.
    #[must_use]
    pub fn of_address(&self, remote: IpAddr) -> ShardId {
        self.address.shard(remote)
    }

    /// The key of an identity.
    #[must_use]
    pub fn key_of(&self, impu: &Impu) -> IdentityKey {
        let text = impu.as_str();
        let key = match text.split_once(":+") {
            Some((scheme, digits)) => self.hash(Sort::Impu, &[scheme.as_bytes(), b":", digits.as_bytes()]),
            None => self.hash(Sort::Impu, &[text.as_bytes()]),
        };
        IdentityKey(key)
    }

    /// RFC 3261 18.1.2: the topmost Via of a response is ours.
    fn of_branch(&self, response: &Message) -> Option<ShardId> {
        let via = response.top_via().ok()?;
        let token = via.branch()?.get(MAGIC_COOKIE.len()..)?;
        self.of_token(token.get(..token::LENGTH)?)
    }

    /// Path, Service-Route and Record-Route come back as Route, the topmost of them ours; the Request-URI is ours for
    /// those that know no loose routing.
    fn of_tokens(&self, request: &Message) -> Option<ShardId> {
        match request.values(HeaderName::Route).next() {
            Some(route) => self.of_user(&NameAddr::parse(route).ok()?.uri),
            None => self.of_user(&Uri::parse(request.request_uri_octets()).ok()?),
        }
    }

    /// The user part of a URI of ours is a token, or ends with one behind a mark.
    fn of_user(&self, uri: &Uri<'_>) -> Option<ShardId> {
        let user = uri.user()?;
        let start = user.len().checked_sub(token::LENGTH)?;
        let is_marked = start == 0 || user.get(start - 1) == Some(&b'-');
        self.of_token(user.get(start..).filter(|_| is_marked)?)
    }

    fn of_token(&self, token: &[u8]) -> Option<ShardId> {
        token::shard_of(token).filter(|shard| shard.0 < self.shards)
    }

    fn of_identity(&self, request: &Message, directory: &impl Directory) -> Option<ShardId> {
        if request.request_method() != Some(b"REGISTER") {
            let impu = match speaks_for(request) {
                Some(served) => served,
                None => Impu::from_bytes(request.request_uri_octets()).ok()?,
            };
            let key = self.key_of(&impu);
            return Some(directory.shard_of(key).unwrap_or_else(|| self.number(key.0)));
        }
        let impu = Impu::from_bytes(request.to().ok()?.uri.as_bytes()).ok()?;
        if let Some(owner) = directory.shard_of(self.key_of(&impu)) {
            return Some(owner);
        }
        let credentials = request.authorization().ok()?;
        let impi = Impi::of_register(credentials.as_ref(), &impu).ok()?;
        Some(self.pick(Sort::Impi, impi.as_str().as_bytes()))
    }

    fn of_call(&self, message: &Message) -> ShardId {
        self.pick(Sort::CallId, message.call_id().unwrap_or_default())
    }

    fn pick(&self, sort: Sort, value: &[u8]) -> ShardId {
        self.number(self.hash(sort, &[value]))
    }

    fn number(&self, hash: u64) -> ShardId {
        let others = u64::from(self.shards.saturating_sub(1));
        let (for_first, rest) = (hash >> 32, hash & u64::from(u32::MAX));
        if others == 0 || for_first % HASHES < first_part(self.rule, others) {
            return ShardId(0);
        }
        ShardId(u8::try_from(1 + rest % others).unwrap_or(0))
    }

    fn hash(&self, sort: Sort, parts: &[&[u8]]) -> u64 {
        use std::hash::Hasher as _;
        let mut hasher = SipHasher24::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(&[sort as u8]);
        for part in parts {
            hasher.write(part);
        }
        hasher.finish()
    }
}

/// The user that an application server originates a request for: `orig` in our Route says that it does (TS 24.229
/// 5.4.3.2).
fn speaks_for(request: &Message) -> Option<Impu> {
    let route = NameAddr::parse(request.values(HeaderName::Route).next()?).ok()?;
    route.uri.param("orig")?;
    [HeaderName::PServedUser, HeaderName::PAssertedIdentity]
        .into_iter()
        .find_map(|name| {
            let value = NameAddr::parse(request.values(name).next()?).ok()?;
            Impu::from_bytes(value.uri.as_bytes()).ok()
        })
}

#[cfg(test)]
mod tests;
