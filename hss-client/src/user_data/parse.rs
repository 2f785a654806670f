//! Codec: the XML of User-Data, read by schema and not by example (TS 29.228 Annex E).
//!
//! Tolerant where HSSs differ: order of elements, namespaces, white space, CDATA, comments, booleans,
//! and unknown elements at any depth. An `Extension` is read like the element it extends, so that its
//! fields are found at whatever depth a release put them. Strict where it matters: a missing mandatory
//! element or a value out of range is an error that names the element. Entities other than the five of
//! XML are refused, so nothing expands.

mod fields;
mod walk;

use super::profile::ImsSubscription;
use walk::Walk;

/// Bounds of what is accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UserDataLimits {
    /// Size of the document.
    pub octets_max: usize,
    /// Nesting of elements.
    pub depth_max: usize,
    /// Size of one text.
    pub text_max: usize,
    /// `ServiceProfile` elements.
    pub profiles_max: usize,
    /// `PublicIdentity` elements of one profile.
    pub identities_max: usize,
    /// `InitialFilterCriteria` elements of one profile.
    pub criteria_max: usize,
    /// `SPT` elements of one trigger point, and entries of any other list.
    pub entries_max: usize,
}

impl Default for UserDataLimits {
    fn default() -> Self {
        Self {
            octets_max: 512 * 1024,
            depth_max: 32,
            text_max: 4096,
            profiles_max: 32,
            identities_max: 128,
            criteria_max: 64,
            entries_max: 64,
        }
    }
}

/// Why a document is no usable User-Data. It never quotes the document.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UserDataError {
    /// More than [`UserDataLimits::octets_max`].
    #[error("user data is too large")]
    TooLarge,
    /// Deeper than [`UserDataLimits::depth_max`].
    #[error("user data is nested too deeply")]
    TooDeep,
    /// A text is longer than [`UserDataLimits::text_max`].
    #[error("text in {0} is too long")]
    TextTooLong(&'static str),
    /// More of an element than the limit allows.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// Not UTF-8.
    #[error("user data is not UTF-8")]
    NotUtf8,
    /// Not well-formed.
    #[error("user data is not well-formed XML at octet {0}")]
    NotWellFormed(u64),
    /// A document type declaration.
    #[error("user data has a document type declaration")]
    DocType,
    /// An entity other than the five of XML and character references.
    #[error("unknown entity in user data at octet {0}")]
    UnknownEntity(u64),
    /// The root element is another one.
    #[error("root element is not IMSSubscription")]
    NoSubscription,
    /// A mandatory element is missing.
    #[error("{parent} has no usable {element}")]
    Missing {
        /// Where.
        parent: &'static str,
        /// What.
        element: &'static str,
    },
    /// A value is out of range or no value of its type.
    #[error("bad value in {0}")]
    BadValue(&'static str),
}

/// Reads User-Data within the default limits.
///
/// # Errors
/// When the document is not well-formed, misses a mandatory element, or exceeds a limit.
pub fn parse(octets: &[u8]) -> Result<ImsSubscription, UserDataError> {
    parse_within(octets, &UserDataLimits::default())
}

/// Reads User-Data within the given limits.
///
/// # Errors
/// When the document is not well-formed, misses a mandatory element, or exceeds a limit.
pub fn parse_within(octets: &[u8], limits: &UserDataLimits) -> Result<ImsSubscription, UserDataError> {
    if octets.len() > limits.octets_max {
        return Err(UserDataError::TooLarge);
    }
    let text = std::str::from_utf8(octets).map_err(|_| UserDataError::NotUtf8)?;
    // AVP padding or a C string's end sometimes comes along.
    let text = text.trim_start_matches('\u{FEFF}').trim_end_matches('\0');
    let mut walk = Walk::new(text, limits);
    walk.root()?;
    let subscription = fields::subscription(&mut walk)?;
    walk.end_of_document()?;
    Ok(subscription)
}

#[cfg(test)]
mod tests;
