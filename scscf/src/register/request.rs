//! Codec: a REGISTER, read once into what the registrar decides on (RFC 3261 10.3; TS 24.229 5.4.1.2).

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use ims_common::aka::Auts;
use ims_common::identity::{Impi, Impu};
use ims_common::sip::{Contacts, Credentials, HeaderName, Request};

use crate::registrar::{BindingSource, ContactAddress};
use crate::reject::RegisterReject;

/// Path values of one REGISTER at most.
const PATHS_MAX: usize = 16;
/// Contacts of one REGISTER at most; the configured limit per identity is checked later.
const CONTACTS_MAX: usize = 32;

/// How the REGISTER came to the P-CSCF: `integrity-protected` (TS 24.229 7.2A.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protection {
    /// Absent, `no`, or a value that we do not serve: nothing is proved.
    Unprotected,
    /// `ip-assoc-*`, `tls-pending`, `tls-yes`: SIP Digest is expected.
    Association,
    /// `yes`: over an IPsec SA of this private identity.
    Protected,
}

/// What the Authorization header says in answer to a challenge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ChallengeAnswer {
    /// No Authorization, or an empty nonce and an empty response.
    None,
    /// The nonce with `auts` (TS 24.229 5.1.1.5.3).
    Auts { nonce: Vec<u8>, auts: Auts },
    /// The nonce without a response: the UE does not believe the network.
    Refusal { nonce: Vec<u8> },
    /// The nonce with a response.
    Response { nonce: Vec<u8>, response: Vec<u8> },
}

impl ChallengeAnswer {
    /// The nonce, when there is one.
    pub(crate) fn nonce(&self) -> Option<&[u8]> {
        match self {
            Self::None => None,
            Self::Auts { nonce, .. } | Self::Refusal { nonce } | Self::Response { nonce, .. } => Some(nonce),
        }
    }
}

/// One Contact value with the lifetime it asks for.
#[derive(Clone, Debug)]
pub(crate) struct ContactRequest {
    pub(crate) contact: ContactAddress,
    /// `expires` of the contact, else the Expires header; `None` leaves it to us.
    pub(crate) requested: Option<Duration>,
}

/// What the UE wants (RFC 3261 10.2).
#[derive(Clone, Debug)]
pub(crate) enum Intent {
    /// No Contact: tell the bindings.
    Query,
    /// `Contact: *`.
    RemoveAll,
    /// Every contact has expires 0.
    Remove(Vec<ContactRequest>),
    /// At least one contact is to be bound.
    Bind(Vec<ContactRequest>),
}

/// A REGISTER.
#[derive(Debug)]
pub(crate) struct Register {
    pub(crate) request: Request,
    pub(crate) impi: Impi,
    pub(crate) impu: Impu,
    pub(crate) call_id: Bytes,
    pub(crate) cseq: u32,
    pub(crate) protection: Protection,
    pub(crate) answer: ChallengeAnswer,
    /// The Authorization header names a plain digest algorithm, or there is none: UEs with AKA always send one
    /// (TS 24.229 5.1.1.2.2).
    pub(crate) plain_digest: bool,
    pub(crate) intent: Intent,
    pub(crate) path: Vec<String>,
    pub(crate) visited_network: Option<String>,
}

impl Register {
    /// Reads a REGISTER that the transaction layer has validated.
    pub(crate) fn read(request: Request) -> Result<Self, RegisterReject> {
        if let Some(require) = request.tokens(HeaderName::Require).find(|t| !is_supported(t)) {
            tracing::debug!(bytes = require.len(), "unsupported extension required");
            return Err(RegisterReject::UnsupportedExtension);
        }
        let to = request.to().map_err(|_| RegisterReject::Malformed("To"))?;
        let impu = Impu::from_bytes(to.uri.as_bytes()).map_err(|_| RegisterReject::Malformed("To URI"))?;
        let call_id = request.call_id().ok_or(RegisterReject::Malformed("Call-ID"))?;
        let call_id = Bytes::copy_from_slice(call_id);
        let cseq = request
            .cseq()
            .map_err(|_| RegisterReject::Malformed("CSeq"))?
            .number;
        let credentials = request
            .authorization()
            .map_err(|_| RegisterReject::Malformed("Authorization"))?;
        let impi = Impi::of_register(credentials.as_ref(), &impu)
            .map_err(|_| RegisterReject::Malformed("username"))?;
        let (protection, answer, plain_digest) = match &credentials {
            Some(c) => (protection_of(c), answer_of(c), is_plain_digest(c)),
            None => (Protection::Unprotected, ChallengeAnswer::None, true),
        };
        Ok(Self {
            impi,
            impu,
            call_id,
            cseq,
            protection,
            answer,
            plain_digest,
            intent: intent_of(&request)?,
            path: path_of(&request)?,
            visited_network: visited_network_of(&request),
            request,
        })
    }

    /// What all contacts of this REGISTER share.
    pub(crate) fn source(&self, offers_gruus: bool) -> BindingSource {
        BindingSource {
            impi: self.impi.clone(),
            impu: self.impu.clone(),
            path: self.path.clone(),
            call_id: self.call_id.clone(),
            cseq: self.cseq,
            gruu: offers_gruus && self.request.has_token(HeaderName::Supported, "gruu"),
        }
    }
}

/// The extensions that a registrar of ours has: `path` (RFC 3327). `sec-agree` is the P-CSCF's to remove,
/// but one that forgets it does no harm.
const SUPPORTED: [&str; 2] = ["path", "sec-agree"];

pub(super) fn is_supported(token: &[u8]) -> bool {
    SUPPORTED.iter().any(|s| token.eq_ignore_ascii_case(s.as_bytes()))
}

fn protection_of(credentials: &Credentials<'_>) -> Protection {
    let Some(value) = credentials.integrity_protected() else {
        return Protection::Unprotected;
    };
    let is = |text: &str| value.eq_ignore_ascii_case(text.as_bytes());
    if is("yes") {
        Protection::Protected
    } else if ["ip-assoc-yes", "ip-assoc-pending", "tls-yes", "tls-pending"]
        .into_iter()
        .any(is)
    {
        Protection::Association
    } else {
        Protection::Unprotected
    }
}

fn answer_of(credentials: &Credentials<'_>) -> ChallengeAnswer {
    let nonce = credentials.nonce().map(Cow::into_owned).unwrap_or_default();
    let auts = credentials.auts().and_then(|auts| Auts::from_base64(&auts));
    let response = credentials.response().map(Cow::into_owned).unwrap_or_default();
    match (nonce.is_empty(), auts, response.is_empty()) {
        (true, _, _) => ChallengeAnswer::None,
        (false, Some(auts), _) => ChallengeAnswer::Auts { nonce, auts },
        (false, None, true) => ChallengeAnswer::Refusal { nonce },
        (false, None, false) => ChallengeAnswer::Response { nonce, response },
    }
}

fn is_plain_digest(credentials: &Credentials<'_>) -> bool {
    credentials
        .algorithm()
        .is_some_and(|a| a.eq_ignore_ascii_case(b"MD5") || a.eq_ignore_ascii_case(b"SHA-256"))
}

/// RFC 3261 10.2.1, 10.2.2, 10.2.3.
fn intent_of(request: &Request) -> Result<Intent, RegisterReject> {
    let header = request.expires();
    let contacts = match request.contacts() {
        Ok(Contacts::None) => return Ok(Intent::Query),
        Ok(Contacts::Star) if header == Some(0) => return Ok(Intent::RemoveAll),
        Ok(Contacts::Star) => return Err(RegisterReject::BadContactStar),
        Ok(Contacts::List(contacts)) => contacts,
        Err(_) => return Err(RegisterReject::Malformed("Contact")),
    };
    if contacts.len() > CONTACTS_MAX {
        return Err(RegisterReject::TooManyBindings);
    }
    let mut requests: Vec<ContactRequest> = Vec::with_capacity(contacts.len());
    for contact in &contacts {
        let address = ContactAddress::from_contact(contact);
        let seconds = contact.expires().or(header);
        if !requests.iter().any(|r| r.contact.has_uri_of(&address)) {
            requests.push(ContactRequest {
                contact: address,
                requested: seconds.map(|s| Duration::from_secs(s.into())),
            });
        }
    }
    let removes = |r: &ContactRequest| r.requested == Some(Duration::ZERO);
    Ok(if requests.iter().all(removes) {
        Intent::Remove(requests)
    } else {
        Intent::Bind(requests)
    })
}

/// RFC 3327 5.3: the whole values, in order.
fn path_of(request: &Request) -> Result<Vec<String>, RegisterReject> {
    let values = request
        .name_addrs(HeaderName::Path)
        .map_err(|_| RegisterReject::Malformed("Path"))?;
    if values.len() > PATHS_MAX {
        return Err(RegisterReject::Malformed("Path"));
    }
    let text = |raw: &[u8]| std::str::from_utf8(raw).map(str::to_owned);
    values
        .iter()
        .map(|value| text(value.raw()).map_err(|_| RegisterReject::Malformed("Path")))
        .collect()
}

/// The first P-Visited-Network-ID without quotes (RFC 7315 4.3).
fn visited_network_of(request: &Request) -> Option<String> {
    let value = request.values(HeaderName::PVisitedNetworkId).next()?;
    let text = std::str::from_utf8(value).ok()?.trim();
    let text = match text.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => text.split(';').next().unwrap_or_default().trim(),
    };
    Some(text.to_owned())
}
