//! Table: who is registered through this P-CSCF, and over which flow (TS 24.229 5.2.2.1, 5.2.5.1).
//!
//! One contact is one flow token, that is, one user part in the Path of one UE's contact address. It holds one
//! registration per public identity that was registered with it, replaced whole by each 200 (OK).

mod report;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use ims_common::identity::{Impi, Impu};
use ims_common::net::{Flow, Interface};
use ims_common::node::{NumberHash, NumberMap, TimerTable, give_back};
use ims_common::sip::{Uri, UriBuf};
use smallvec::SmallVec;

use crate::guard::network_of;
use crate::reg_event::changes::RegisterStamp;

/// Public identities that one contact may have registered one by one. The oldest gives way.
const REGISTRATIONS_PER_CONTACT: usize = 8;

/// The user part of our Path URI for one contact.
pub(crate) type FlowToken = Arc<str>;

/// Number of a contact, unique in one table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct ContactId(u64);

/// URIs in order, in one text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct UriList(Box<str>);

impl UriList {
    /// Stands in no URI.
    const SEPARATOR: char = '\n';

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Uri<'_>> {
        let texts = self.0.split(Self::SEPARATOR);
        texts.filter_map(|text| Uri::parse(text.as_bytes()).ok())
    }
}

impl UriList {
    /// Each of them, as it was written.
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.split(Self::SEPARATOR).filter(|text| !text.is_empty())
    }
}

impl<'a> FromIterator<Uri<'a>> for UriList {
    fn from_iter<I: IntoIterator<Item = Uri<'a>>>(uris: I) -> Self {
        let mut text = String::new();
        for uri in uris {
            if !text.is_empty() {
                text.push(Self::SEPARATOR);
            }
            text.push_str(&String::from_utf8_lossy(uri.as_bytes()));
        }
        Self(text.into_boxed_str())
    }
}

/// What one 200 (OK) granted.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// The identity in To. Registered even where `associated` lacks it: then it is barred, good for REGISTER only.
    pub(crate) impu: Impu,
    /// P-Associated-URI in order; the first is the default public identity.
    pub(crate) associated: UriList,
    /// Service-Route in order, each value as it came.
    pub(crate) service_route: SmallVec<[Box<str>; 1]>,
    /// When it ends without a refresh.
    pub(crate) expires_at: Instant,
    /// Of the REGISTER that was granted.
    pub(crate) stamp: RegisterStamp,
}

impl Registration {
    /// The first of its associated identities.
    pub(crate) fn default_identity(&self) -> Option<Impu> {
        let first = self.associated.iter().next()?;
        Impu::from_bytes(first.as_bytes()).ok()
    }

    /// The identity in To and those of its implicit set.
    pub(crate) fn identities(&self) -> impl Iterator<Item = Impu> {
        let associated = self
            .associated
            .iter()
            .filter_map(|uri| Impu::from_bytes(uri.as_bytes()).ok());
        std::iter::once(self.impu.clone()).chain(associated)
    }
}

/// A UE's contact address behind one flow.
#[derive(Clone, Debug)]
pub(crate) struct Contact {
    token: FlowToken,
    /// The way to the UE.
    pub(crate) flow: Flow,
    /// Who registered.
    pub(crate) impi: Impi,
    /// The address as the UE wrote it.
    pub(crate) address: UriBuf,
    device: Option<Device>,
    registrations: Vec<Registration>,
}

impl Contact {
    /// What was granted, the latest last.
    pub(crate) fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    /// TS 24.229 5.1.6.2: whether this is an emergency registration.
    pub(crate) fn is_emergency(&self) -> bool {
        is_sos(&self.address)
    }

    fn next_expiry(&self) -> Option<Instant> {
        self.registrations.iter().map(|r| r.expires_at).min()
    }
}

/// Whose REGISTER it is and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct ContactKey {
    /// The private identity, or what stands for it where no Authorization is (TS 24.229 5.2.2.6).
    pub(crate) impi: Impi,
    /// Where the REGISTER came from.
    pub(crate) flow: Flow,
    /// Which phone it is.
    pub(crate) device: Option<Device>,
}

/// Stands for `+sip.instance` of a contact that is no flow of RFC 5626: a phone has one of them at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Device(NonZeroU64);

impl Device {
    /// Of the value of `+sip.instance`.
    pub(crate) fn of(instance: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        instance.to_ascii_lowercase().hash(&mut hasher);
        Self(NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN))
    }
}

/// Numbers of contacts in order. Most keys have one.
type ContactIds = SmallVec<[ContactId; 2]>;

/// All contacts of this P-CSCF, limited in number.
#[derive(Debug)]
pub(crate) struct ContactTable {
    limit: usize,
    contacts: NumberMap<ContactId, Box<Contact>>,
    by_token: HashMap<FlowToken, ContactId>,
    by_address: HashMap<IpAddr, ContactIds>,
    by_impi: HashMap<Impi, ContactIds>,
    /// How many contacts each /64 of IPv6 has.
    neighbours: HashMap<u64, usize>,
    expiries: TimerTable<ContactId, NumberHash>,
    /// Of contacts that ended without a farewell.
    departed: Vec<(Impi, IpAddr)>,
    /// Contacts that went and whose sessions are to be ended.
    gone: Vec<FlowToken>,
    last_id: u64,
}

impl ContactTable {
    /// An empty table.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            contacts: NumberMap::default(),
            by_token: HashMap::new(),
            by_address: HashMap::new(),
            by_impi: HashMap::new(),
            neighbours: HashMap::new(),
            expiries: TimerTable::default(),
            departed: Vec::new(),
            gone: Vec::new(),
            last_id: 0,
        }
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How many contacts are registered.
    pub(crate) fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Whether a further contact has no place. `pending` REGISTERs may each become one. Emergency registrations have
    /// some places more.
    pub(crate) fn is_full(&self, pending: usize, address: &UriBuf) -> bool {
        let spare = if is_sos(address) { self.limit / 8 + 1 } else { 0 };
        self.contacts.len().saturating_add(pending) >= self.limit + spare
    }

    /// The contact of a token.
    pub(crate) fn get(&self, token: &str) -> Option<&Contact> {
        self.contacts.get(self.by_token.get(token)?).map(Box::as_ref)
    }

    /// The token of this private identity's contact behind this flow, or else with this contact address:
    /// a UE that comes back keeps its Path. An emergency registration is another contact than an ordinary one of the
    /// same UE (TS 24.229 5.4.8.2).
    pub(crate) fn token_of(&self, key: &ContactKey, address: Option<&UriBuf>) -> Option<&FlowToken> {
        let sort = |c: &&Contact| address.is_none_or(|address| c.is_emergency() == is_sos(address));
        let mut behind = self
            .of_impi(&key.impi)
            .filter(sort)
            .filter(|c| same_way(&c.flow, &key.flow));
        let mut with = self
            .of_impi(&key.impi)
            .filter(|c| address.is_some_and(|address| same_contact(&c.address, address)));
        behind.next().or_else(|| with.next()).map(|c| &c.token)
    }

    /// Whether a registration of this private identity stands for exactly this address and port
    /// (the IP association of TS 24.229 5.2.2.3).
    pub(crate) fn vouches_for(&self, key: &ContactKey) -> bool {
        self.of_impi(&key.impi).any(|c| same_way(&c.flow, &key.flow))
    }

    /// Contacts of a private identity that were registered over security associations from this address: a set speaks
    /// for them alone. Those of emergency registrations come last.
    pub(crate) fn protected(&self, impi: &Impi, ue: IpAddr) -> impl Iterator<Item = (&FlowToken, &Contact)> {
        let ordinary = self.of_impi(impi).filter(|contact| !contact.is_emergency());
        ordinary
            .chain(self.of_impi(impi).filter(|contact| contact.is_emergency()))
            .filter(move |contact| contact.flow.interface == Interface::GmProtected)
            .filter(move |contact| contact.flow.remote.ip() == ue)
            .map(|contact| (&contact.token, contact))
    }

    /// When the last registration of those ends.
    pub(crate) fn protected_until(&self, impi: &Impi, ue: IpAddr) -> Option<Instant> {
        let registrations = self.protected(impi, ue).flat_map(|(_, c)| &c.registrations);
        registrations.map(|registration| registration.expires_at).max()
    }

    /// Addresses from which a private identity is registered over security associations.
    pub(crate) fn protected_addresses(&self, impi: &Impi) -> SmallVec<[IpAddr; 2]> {
        let contacts = self.of_impi(impi);
        contacts
            .filter(|contact| contact.flow.interface == Interface::GmProtected)
            .map(|contact| contact.flow.remote.ip())
            .collect()
    }

    /// Contacts behind a flow in clear: those at exactly this address and port first, then others of the same address.
    /// (A handset registers on TCP and subscribes on UDP, from another port.) Emergency registrations come last.
    pub(crate) fn behind(&self, flow: &Flow) -> Vec<(&FlowToken, &Contact)> {
        let mut found: Vec<_> = self
            .all(self.by_address.get(&flow.remote.ip()))
            .filter(|contact| contact.flow.interface == flow.interface)
            .map(|contact| (&contact.token, contact))
            .collect();
        found.sort_by_key(|(_, contact)| (contact.is_emergency(), contact.flow.remote != flow.remote));
        found
    }

    /// Keeps what a 200 (OK) granted; everything known of this identity before is replaced.
    pub(crate) fn bind(
        &mut self,
        token: &FlowToken,
        key: ContactKey,
        address: UriBuf,
        registration: Registration,
    ) {
        let id = self.by_token.get(token).copied().unwrap_or_else(|| {
            self.last_id += 1;
            ContactId(self.last_id)
        });
        let earlier = self.take(id);
        let stale: ContactIds = self
            .ids_of_impi(&key.impi)
            .into_iter()
            .filter(|other| {
                self.contacts
                    .get(other)
                    .is_some_and(|c| same_contact(&c.address, &address))
            })
            .collect();
        for other in stale {
            self.lose(other);
        }
        let mut registrations = match earlier {
            Some(contact) if contact.impi == key.impi => contact.registrations,
            Some(_) | None => Vec::new(),
        };
        registrations.retain(|r| r.impu != registration.impu);
        if registrations.len() >= REGISTRATIONS_PER_CONTACT {
            registrations.remove(0);
        }
        // Most contacts have one registration: no room is taken for more.
        registrations.reserve_exact(1);
        registrations.push(registration);
        let contact = Contact {
            token: token.clone(),
            flow: key.flow,
            impi: key.impi,
            address,
            device: key.device,
            registrations,
        };
        self.put(id, Box::new(contact));
    }

    /// De-registration of an identity of one contact, with its implicit set; the contact goes with its last.
    pub(crate) fn unbind(&mut self, token: &str, impu: &Impu) {
        if let Some(id) = self.by_token.get(token) {
            self.unbind_id(*id, impu);
        }
    }

    /// De-registration of an identity of every contact of a private identity (Contact `*`).
    pub(crate) fn unbind_all(&mut self, impi: &Impi, impu: &Impu) {
        for id in self.ids_of_impi(impi) {
            self.unbind_id(id, impu);
        }
    }

    /// TS 33.203 7.5: a phone that comes over security associations from another address or port than before is not at
    /// that one any more. Says which addresses those were. (An emergency registration has an address of its own.)
    pub(crate) fn moved(&mut self, key: &ContactKey, address: &UriBuf) -> SmallVec<[IpAddr; 2]> {
        let was_here = |contact: &Contact| {
            contact.flow.interface == Interface::GmProtected
                && contact.is_emergency() == is_sos(address)
                && key.device.is_some()
                && contact.device == key.device
                && contact.flow.remote != key.flow.remote
        };
        let left: ContactIds = self
            .ids_of_impi(&key.impi)
            .into_iter()
            .filter(|id| self.contacts.get(id).is_some_and(|contact| was_here(contact)))
            .collect();
        let taken = left.into_iter().filter_map(|id| self.lose(id));
        taken.map(|contact| contact.flow.remote.ip()).collect()
    }

    fn unbind_id(&mut self, id: ContactId, impu: &Impu) {
        let Some(mut contact) = self.take(id) else {
            return;
        };
        // TS 24.229 5.2.5.1: an identity goes with its implicit set, whichever of the set was named.
        let mut set = vec![impu.clone()];
        for registration in &contact.registrations {
            let identities: Vec<Impu> = registration.identities().collect();
            if identities.contains(impu) {
                set.extend(identities);
            }
        }
        contact
            .registrations
            .retain(|registration| !set.contains(&registration.impu));
        self.put_unless_over(id, contact);
    }

    fn put_unless_over(&mut self, id: ContactId, contact: Box<Contact>) {
        if contact.registrations.is_empty() {
            self.gone.push(contact.token);
        } else {
            self.put(id, contact);
        }
    }

    /// The network changes the registrations of a contact.
    pub(crate) fn revise(&mut self, token: &str, revise: impl FnMut(&mut Registration)) {
        let id = self.by_token.get(token).copied();
        let taken = id.and_then(|id| Some((id, self.take(id)?)));
        if let Some((id, mut contact)) = taken {
            contact.registrations.iter_mut().for_each(revise);
            self.put(id, contact);
        }
    }

    /// A contact that went since the last time, whatever ended it.
    pub(crate) fn poll_gone(&mut self) -> Option<FlowToken> {
        self.gone.pop()
    }

    /// When the next registration ends.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.expiries.next()
    }

    /// Drops what ended without a refresh; says how many registrations that were. No message goes to the UE
    /// (TS 24.229 5.2.2.1).
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let mut ended = 0;
        while let Some(id) = self.expiries.pop_expired(now) {
            let Some(mut contact) = self.take(id) else {
                continue;
            };
            let before = contact.registrations.len();
            contact.registrations.retain(|r| r.expires_at > now);
            ended += before - contact.registrations.len();
            if contact.registrations.is_empty() && contact.flow.interface == Interface::GmProtected {
                let ended = (contact.impi.clone(), contact.flow.remote.ip());
                self.departed.push(ended);
            }
            self.put_unless_over(id, contact);
        }
        ended
    }

    /// Who had security associations for a contact that has ended without a farewell, and where.
    pub(crate) fn poll_departed(&mut self) -> Option<(Impi, IpAddr)> {
        self.departed.pop()
    }

    /// The default identities of all registrations of a private identity.
    pub(crate) fn default_identities(&self, impi: &Impi) -> SmallVec<[Impu; 2]> {
        let registrations = self.of_impi(impi).flat_map(|contact| &contact.registrations);
        registrations.filter_map(Registration::default_identity).collect()
    }

    fn of_impi(&self, impi: &Impi) -> impl Iterator<Item = &Contact> {
        self.all(self.by_impi.get(impi))
    }

    /// How many contacts are registered behind an address, or of IPv6, in its /64.
    pub(crate) fn count_behind(&self, address: IpAddr) -> usize {
        match address {
            IpAddr::V4(_) => self.by_address.get(&address).map_or(0, SmallVec::len),
            IpAddr::V6(address) => self.neighbours.get(&network_of(address)).copied().unwrap_or(0),
        }
    }

    fn ids_of_impi(&self, impi: &Impi) -> ContactIds {
        self.by_impi.get(impi).cloned().unwrap_or_default()
    }

    fn all<'a>(&'a self, ids: Option<&'a ContactIds>) -> impl Iterator<Item = &'a Contact> {
        let ids = ids.into_iter().flatten();
        ids.filter_map(|id| self.contacts.get(id).map(Box::as_ref))
    }

    fn put(&mut self, id: ContactId, contact: Box<Contact>) {
        remember(&mut self.by_address, contact.flow.remote.ip(), id);
        if let IpAddr::V6(address) = contact.flow.remote.ip() {
            *self.neighbours.entry(network_of(address)).or_default() += 1;
        }
        remember(&mut self.by_impi, contact.impi.clone(), id);
        if let Some(at) = contact.next_expiry() {
            self.expiries.set(id, at);
        }
        self.by_token.insert(contact.token.clone(), id);
        self.contacts.insert(id, contact);
    }

    fn forget_neighbour(&mut self, address: IpAddr) {
        let IpAddr::V6(address) = address else { return };
        let network = network_of(address);
        if let Some(count) = self.neighbours.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.neighbours.remove(&network);
                give_back(&mut self.neighbours);
            }
        }
    }

    /// Takes a contact for good.
    fn lose(&mut self, id: ContactId) -> Option<Box<Contact>> {
        let contact = self.take(id)?;
        self.gone.push(contact.token.clone());
        Some(contact)
    }

    fn take(&mut self, id: ContactId) -> Option<Box<Contact>> {
        let contact = self.contacts.remove(&id)?;
        give_back(&mut self.contacts);
        self.by_token.remove(&contact.token);
        give_back(&mut self.by_token);
        forget(&mut self.by_address, &contact.flow.remote.ip(), id);
        self.forget_neighbour(contact.flow.remote.ip());
        forget(&mut self.by_impi, &contact.impi, id);
        self.expiries.cancel(&id);
        Some(contact)
    }
}

/// TS 24.229 5.1.6.2: the URI parameter of a contact that is registered for emergencies.
pub(crate) fn is_sos(address: &UriBuf) -> bool {
    address.as_uri().param("sos").is_some()
}

/// The same address (RFC 3261 19.1.4), registered for the same purpose.
pub(crate) fn same_contact(a: &UriBuf, b: &UriBuf) -> bool {
    is_sos(a) == is_sos(b) && a.as_uri().equivalent(&b.as_uri())
}

/// The same transport between the same addresses: for a stream, also the same connection. Inside security associations
/// the UE's address and server port: one set serves UDP and TCP, and our port changes with each set.
fn same_way(a: &Flow, b: &Flow) -> bool {
    if a.interface == Interface::GmProtected {
        return a.interface == b.interface && a.remote == b.remote;
    }
    a.interface == b.interface
        && a.transport == b.transport
        && a.remote == b.remote
        && a.connection == b.connection
}

fn remember<K: Eq + Hash>(index: &mut HashMap<K, ContactIds>, key: K, id: ContactId) {
    let ids = index.entry(key).or_default();
    if let Err(at) = ids.binary_search(&id) {
        ids.insert(at, id);
    }
}

fn forget<K: Eq + Hash>(index: &mut HashMap<K, ContactIds>, key: &K, id: ContactId) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|known| *known != id);
        if ids.is_empty() {
            index.remove(key);
            give_back(index);
        }
    }
}
