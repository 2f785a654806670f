//! Codec: `application/reginfo+xml` as a subscriber reads it (RFC 3680 5).
//!
//! The document comes from another node and is read within limits of size, depth and number; what the schema does not
//! know is skipped, a document type is refused.

use std::fmt;

use ims_common::identity::Impu;
use ims_common::sip::UriBuf;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

/// Largest document, in octets.
pub const OCTETS_MAX: usize = 256 * 1024;
/// Deepest nesting of elements.
pub const DEPTH_MAX: usize = 16;
/// Most `registration` elements.
pub const REGISTRATIONS_MAX: usize = 256;
/// Most `contact` elements in all.
pub const CONTACTS_MAX: usize = 4_096;
/// Most attributes of one element.
const ATTRIBUTES_MAX: usize = 32;
/// Longest URI of a contact, in octets.
const URI_MAX: usize = 2_048;

/// A document that is not taken. Never quotes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RegInfoError {
    /// Larger than [`OCTETS_MAX`].
    #[error("document is too large")]
    TooLarge,
    /// Deeper than [`DEPTH_MAX`].
    #[error("elements are nested too deep")]
    TooDeep,
    /// More elements than the limits allow.
    #[error("too many {0} elements")]
    TooMany(&'static str),
    /// Not UTF-8, or no XML.
    #[error("document is not well-formed")]
    NotWellFormed,
    /// A document type: entities could be defined there.
    #[error("document type is not allowed")]
    DocType,
    /// The root is not `reginfo`, or has no version or state.
    #[error("no reginfo with version and state")]
    NoRegInfo,
}

/// What a notifier says of registrations (RFC 3680 5.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegInfo {
    /// Counts the documents of one subscription.
    pub version: u32,
    /// Whether all registrations are in it; else those that changed.
    pub is_full: bool,
    /// Those with an identity that can be read.
    pub registrations: Vec<RegistrationInfo>,
}

/// A `registration` element (RFC 3680 5.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegistrationInfo {
    /// `aor`.
    pub impu: Impu,
    /// `state`.
    pub state: RegistrationState,
    /// Those with a URI that can be read.
    pub contacts: Vec<ContactInfo>,
}

/// State of a registration (RFC 3680 4.7.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegistrationState {
    /// There is no contact.
    Init,
    /// There is one at least.
    Active,
    /// The last one is gone.
    Terminated,
}

/// A `contact` element (RFC 3680 5.3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContactInfo {
    /// `uri`.
    pub uri: UriBuf,
    /// `state` is `active`.
    pub is_active: bool,
    /// `event`.
    pub event: ContactEvent,
    /// `expires`, in seconds.
    pub expires: Option<u32>,
    /// `callid` of the REGISTER.
    pub call_id: Option<String>,
    /// `cseq` of the REGISTER.
    pub cseq: Option<u32>,
}

/// What happened to a contact (RFC 3680 5.3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ContactEvent {
    /// By a REGISTER for this identity.
    Registered,
    /// By the network, or with another identity.
    Created,
    /// By a further REGISTER.
    Refreshed,
    /// The network wants a REGISTER soon (TS 24.229 5.4.1.6).
    Shortened,
    /// Without a refresh.
    Expired,
    /// By the network; the UE may register again.
    Deactivated,
    /// By the network, for a while.
    Probation,
    /// By the UE.
    Unregistered,
    /// By the network; the UE must not register again.
    Rejected,
    /// Not of this version of the schema.
    Other,
}

impl ContactEvent {
    fn of(text: &str) -> Self {
        match text {
            "registered" => Self::Registered,
            "created" => Self::Created,
            "refreshed" => Self::Refreshed,
            "shortened" => Self::Shortened,
            "expired" => Self::Expired,
            "deactivated" => Self::Deactivated,
            "probation" => Self::Probation,
            "unregistered" => Self::Unregistered,
            "rejected" => Self::Rejected,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for ContactEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registered => "registered",
            Self::Created => "created",
            Self::Refreshed => "refreshed",
            Self::Shortened => "shortened",
            Self::Expired => "expired",
            Self::Deactivated => "deactivated",
            Self::Probation => "probation",
            Self::Unregistered => "unregistered",
            Self::Rejected => "rejected",
            Self::Other => "other",
        })
    }
}

impl RegInfo {
    /// Reads a document. What has no readable identity, URI or state is left out.
    ///
    /// # Errors
    /// When it is no XML, no reginfo, or beyond a limit.
    pub fn parse(document: &[u8]) -> Result<Self, RegInfoError> {
        if document.len() > OCTETS_MAX {
            return Err(RegInfoError::TooLarge);
        }
        let text = std::str::from_utf8(document).map_err(|_| RegInfoError::NotWellFormed)?;
        let text = text.trim_start_matches('\u{feff}');
        let mut walk = Walk::new(text);
        let root = walk.child()?.filter(|start| is_named(start, "reginfo"));
        let root = root.ok_or(RegInfoError::NoRegInfo)?;
        let attributes = Attributes::of(&root)?;
        let version = attributes.number("version").ok_or(RegInfoError::NoRegInfo)?;
        let is_full = match attributes.get("state") {
            Some("full") => true,
            Some("partial") => false,
            Some(_) | None => return Err(RegInfoError::NoRegInfo),
        };
        let mut registrations = Vec::new();
        let mut contacts_left = CONTACTS_MAX;
        while let Some(start) = walk.child()? {
            if !is_named(&start, "registration") {
                walk.skip()?;
                continue;
            }
            if registrations.len() >= REGISTRATIONS_MAX {
                return Err(RegInfoError::TooMany("registration"));
            }
            registrations.extend(registration(&mut walk, &start, &mut contacts_left)?);
        }
        walk.end()?;
        Ok(Self {
            version,
            is_full,
            registrations,
        })
    }
}

fn registration(
    walk: &mut Walk<'_>,
    start: &BytesStart<'_>,
    contacts_left: &mut usize,
) -> Result<Option<RegistrationInfo>, RegInfoError> {
    let attributes = Attributes::of(start)?;
    let impu = attributes.get("aor").and_then(|aor| Impu::parse(aor).ok());
    let state = match attributes.get("state") {
        Some("init") => Some(RegistrationState::Init),
        Some("active") => Some(RegistrationState::Active),
        Some("terminated") => Some(RegistrationState::Terminated),
        Some(_) | None => None,
    };
    let mut contacts = Vec::new();
    while let Some(start) = walk.child()? {
        if !is_named(&start, "contact") {
            walk.skip()?;
            continue;
        }
        *contacts_left = contacts_left
            .checked_sub(1)
            .ok_or(RegInfoError::TooMany("contact"))?;
        contacts.extend(contact(walk, &start)?);
    }
    Ok(impu.zip(state).map(|(impu, state)| RegistrationInfo {
        impu,
        state,
        contacts,
    }))
}

fn contact(walk: &mut Walk<'_>, start: &BytesStart<'_>) -> Result<Option<ContactInfo>, RegInfoError> {
    let attributes = Attributes::of(start)?;
    let mut uri: Option<UriBuf> = None;
    while let Some(start) = walk.child()? {
        if uri.is_none() && is_named(&start, "uri") {
            uri = walk.text()?.parse().ok();
        } else {
            walk.skip()?;
        }
    }
    let is_active = match attributes.get("state") {
        Some("active") => Some(true),
        Some("terminated") => Some(false),
        Some(_) | None => None,
    };
    let contact = uri.zip(is_active).map(|(uri, is_active)| ContactInfo {
        uri,
        is_active,
        event: ContactEvent::of(attributes.get("event").unwrap_or_default()),
        expires: attributes.number("expires"),
        call_id: attributes.get("callid").map(str::to_owned),
        cseq: attributes.number("cseq"),
    });
    Ok(contact)
}

fn is_named(start: &BytesStart<'_>, name: &str) -> bool {
    start.local_name().as_ref() == name
}

/// Names and values of an element, those without a prefix.
struct Attributes(Vec<(String, String)>);

impl Attributes {
    fn of(start: &BytesStart<'_>) -> Result<Self, RegInfoError> {
        let mut all = Vec::new();
        for attribute in start.attributes() {
            // The reader compares each with all before it.
            if all.len() >= ATTRIBUTES_MAX {
                return Err(RegInfoError::TooMany("attribute"));
            }
            let attribute = attribute.map_err(|_| RegInfoError::NotWellFormed)?;
            let value = unescape(&attribute.value).ok_or(RegInfoError::NotWellFormed)?;
            all.push((attribute.key.as_ref().to_owned(), value));
        }
        Ok(Self(all))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.trim())
    }

    fn number(&self, name: &str) -> Option<u32> {
        let text = self.get(name)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // More than fits is as much as fits.
        digits.then(|| text.parse().unwrap_or(u32::MAX))
    }
}

/// Text with the entities that XML itself has.
fn unescape(text: &str) -> Option<String> {
    quick_xml::escape::unescape(text)
        .ok()
        .map(std::borrow::Cow::into_owned)
}

/// Position in a document. Each element that [`Walk::child`] enters must be left by [`Walk::text`], [`Walk::skip`], or
/// by asking for children until there are no more.
struct Walk<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_end_names = true;
        Self { reader, depth: 0 }
    }

    /// Enters the next child of the present element, or leaves the element when there is none.
    fn child(&mut self) -> Result<Option<BytesStart<'a>>, RegInfoError> {
        loop {
            match self.event()? {
                Event::Start(start) => {
                    self.enter()?;
                    return Ok(Some(start));
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(None);
                }
                Event::Eof if self.depth == 0 => return Ok(None),
                Event::Eof => return Err(RegInfoError::NotWellFormed),
                _ => {}
            }
        }
    }

    /// The text of the present element, without white space around it. Elements inside are skipped.
    fn text(&mut self) -> Result<String, RegInfoError> {
        let mut text = String::new();
        loop {
            match self.event()? {
                Event::Text(part) => text.push_str(&part.xml10_content()),
                Event::CData(part) => text.push_str(&part.xml10_content()),
                Event::GeneralRef(reference) => text.push(resolve(&reference)?),
                Event::Start(_) => {
                    self.enter()?;
                    self.skip()?;
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(text.trim().to_owned());
                }
                Event::Eof => return Err(RegInfoError::NotWellFormed),
                _ => {}
            }
            if text.len() > URI_MAX {
                return Err(RegInfoError::TooMany("character"));
            }
        }
    }

    /// Leaves the present element, whatever it holds.
    fn skip(&mut self) -> Result<(), RegInfoError> {
        let target = self.depth.saturating_sub(1);
        while self.depth > target {
            self.child()?;
        }
        Ok(())
    }

    /// After the root element nothing may follow but comments and white space.
    fn end(&mut self) -> Result<(), RegInfoError> {
        match self.child()? {
            None => Ok(()),
            Some(_) => Err(RegInfoError::NotWellFormed),
        }
    }

    fn enter(&mut self) -> Result<(), RegInfoError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(RegInfoError::TooDeep);
        }
        Ok(())
    }

    fn event(&mut self) -> Result<Event<'a>, RegInfoError> {
        match self.reader.read_event() {
            Ok(Event::DocType(_)) => Err(RegInfoError::DocType),
            Ok(event) => Ok(event),
            Err(_) => Err(RegInfoError::NotWellFormed),
        }
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, RegInfoError> {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return Ok(c);
    }
    match &**reference {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(RegInfoError::NotWellFormed),
    }
}

#[cfg(test)]
mod tests;
