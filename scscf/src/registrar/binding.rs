//! Codec: one contact address of one private identity, with all that a terminating request needs.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ims_common::identity::{Impi, Impu};
use ims_common::sip::{NameAddr, Params, UriBuf};
use ims_common::telemetry::redact::Redacted;
use smallvec::SmallVec;

use crate::registration_change::ContactEvent;

/// Number of a binding, unique in one registrar.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BindingId(pub(crate) u64);

/// A Contact value as the UE sent it, without its `expires` (RFC 3261 20.10).
#[derive(Clone, Eq, PartialEq)]
pub struct ContactAddress {
    uri: UriBuf,
    /// `;name=value` for every header parameter but `expires`, byte for byte (TS 24.229 5.4.1.2.2F).
    parameters: Box<str>,
}

impl ContactAddress {
    /// Takes the address out of a Contact value.
    pub(crate) fn from_contact(contact: &NameAddr<'_>) -> Self {
        let mut parameters = String::new();
        for (name, value) in contact.params.iter() {
            let name = String::from_utf8_lossy(name);
            if name.eq_ignore_ascii_case("expires") {
                continue;
            }
            parameters.push(';');
            parameters.push_str(&name);
            if let Some(value) = value {
                parameters.push('=');
                parameters.push_str(&String::from_utf8_lossy(value));
            }
        }
        Self {
            uri: UriBuf::from(contact.uri),
            parameters: parameters.into_boxed_str(),
        }
    }

    /// All header parameters but `expires`.
    pub(crate) fn params(&self) -> Params<'_> {
        Params::new(self.parameters.strip_prefix(';').map(str::as_bytes))
    }

    /// `q` in thousandths.
    pub(crate) fn q(&self) -> Option<u16> {
        let contact = format!(
            "<{}>;q={}",
            self.uri,
            String::from_utf8_lossy(self.params().get("q")??)
        );
        NameAddr::parse(contact.as_bytes()).ok()?.q()
    }

    /// The header parameters, lent to `read`.
    pub(crate) fn with_parameters<T>(&self, read: impl FnOnce(Params<'_>) -> T) -> T {
        read(self.params())
    }

    /// `+sip.instance` (RFC 5626 4.1), unquoted.
    pub(crate) fn instance(&self) -> Option<Cow<'_, [u8]>> {
        self.params().unquoted("+sip.instance")
    }

    /// Whether `+sip.instance` is this one.
    pub(crate) fn is_instance(&self, wanted: &[u8]) -> bool {
        self.instance().is_some_and(|instance| *instance == *wanted)
    }

    /// Whether both are flows (`reg-id`) of one instance (RFC 5626 4.2).
    pub(crate) fn is_flow_of_same_instance(&self, other: &Self) -> bool {
        let instance = self.instance().filter(|_| self.params().has("reg-id"));
        instance.is_some_and(|instance| other.params().has("reg-id") && other.is_instance(&instance))
    }

    /// Whether it is bound for emergency calls only: URI parameter `sos` (TS 24.229 5.1.6.2).
    pub(crate) fn is_for_emergency(&self) -> bool {
        self.uri.as_uri().param("sos").is_some()
    }

    /// The contact URI.
    #[must_use]
    pub fn uri(&self) -> &UriBuf {
        &self.uri
    }

    /// Which of the bindings this address means: that of an equivalent URI (RFC 3261 10.3 step 7, 19.1.4),
    /// else that of the same `+sip.instance`, whose address has changed. An emergency registration is another binding
    /// than an ordinary one of the same UE (TS 24.229 5.4.8.2).
    pub(crate) fn position_in<'a>(
        &self,
        mut bindings: impl Iterator<Item = &'a Binding> + Clone,
    ) -> Option<usize> {
        let same_uri = bindings.clone().position(|b| self.has_uri_of(&b.contact));
        same_uri.or_else(|| {
            let own = self.instance()?;
            let is_same = |b: &Binding| b.contact.instance().is_some_and(|other| other == own);
            bindings.position(|b| self.is_of_sort_of(&b.contact) && is_same(b))
        })
    }

    /// Whether both URIs are equivalent, and for the same purpose.
    pub(crate) fn has_uri_of(&self, other: &Self) -> bool {
        self.is_of_sort_of(other) && self.uri.as_uri().equivalent(&other.uri.as_uri())
    }

    /// Whether both are for emergency calls, or neither.
    pub(crate) fn is_of_sort_of(&self, other: &Self) -> bool {
        self.is_for_emergency() == other.is_for_emergency()
    }

    /// The value of a Contact header that lists this address with `expires`.
    pub(crate) fn to_contact(&self, expires_secs: u64) -> String {
        format!("<{}>{};expires={expires_secs}", self.uri, self.parameters)
    }
}

impl fmt::Debug for ContactAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContactAddress({})", Redacted(self.uri.to_string()))
    }
}

/// A contact address bound to the identities of an implicit registration set.
#[derive(Clone, Debug)]
pub struct Binding {
    pub(crate) id: BindingId,
    pub(crate) impi: Impi,
    /// The identity that was registered.
    pub(crate) impu: Impu,
    pub(crate) contact: ContactAddress,
    /// The Path values in order: the preloaded Route of requests to this contact (RFC 3327 5.3).
    pub(crate) path: SmallVec<[Box<str>; 1]>,
    pub(crate) call_id: Box<[u8]>,
    pub(crate) cseq: u32,
    pub(crate) expires_at: Instant,
    /// When its private identity has last proved itself.
    pub(crate) authenticated_at: Option<Instant>,
    /// What has last happened to it: registered, refreshed or shortened.
    pub(crate) event: ContactEvent,
    /// The phone wants GRUUs, and gets them (RFC 5627 5.1).
    pub(crate) gruu: bool,
    /// The token in the user part of this binding's Service-Route.
    pub(crate) service_route: Arc<str>,
}

impl Binding {
    /// Whole seconds left, for `expires` parameters: at least 1 while the binding lives.
    pub(crate) fn expires_secs(&self, now: Instant) -> u64 {
        let left = self.expires_at.saturating_duration_since(now);
        (left + Duration::from_millis(999)).as_secs().max(1)
    }
}

/// What the REGISTER says once for all of its contacts.
#[derive(Clone, Debug)]
pub(crate) struct BindingSource {
    pub(crate) impi: Impi,
    pub(crate) impu: Impu,
    pub(crate) path: Vec<String>,
    pub(crate) call_id: Bytes,
    pub(crate) cseq: u32,
    /// The UE supports GRUUs, and the operator wants them.
    pub(crate) gruu: bool,
}

/// One contact and how long it may be bound; `None` removes it (RFC 3261 10.2.2).
#[derive(Clone, Debug)]
pub(crate) struct ContactGrant {
    pub(crate) contact: ContactAddress,
    pub(crate) expires: Option<Duration>,
}
