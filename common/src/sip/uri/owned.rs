//! Codec: a URI that owns its text, checked once.

use std::fmt;
use std::str::FromStr;

use super::Uri;
use crate::sip::error::UriError;
use crate::telemetry::redact::Redacted;

/// An owned, checked URI. Equality and order are those of the text; for sameness by the RFCs see [`Uri::equivalent`].
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UriBuf(Box<str>);

impl UriBuf {
    /// Reads a URI and keeps it.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, UriError> {
        let uri = Uri::parse(bytes)?;
        let text = std::str::from_utf8(uri.as_bytes()).map_err(|_| UriError::Character)?;
        Ok(Self(text.into()))
    }

    /// The borrowed view.
    #[must_use]
    pub fn as_uri(&self) -> Uri<'_> {
        match Uri::parse(self.0.as_bytes()) {
            Ok(uri) => uri,
            Err(_) => unreachable!("a UriBuf is only made of a URI that parses"),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Uri<'_>> for UriBuf {
    fn from(uri: Uri<'_>) -> Self {
        // Checked URIs are ASCII, so nothing is lost.
        Self(String::from_utf8_lossy(uri.as_bytes()).into())
    }
}

impl FromStr for UriBuf {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for UriBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UriBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A user part is an identity, and Debug is what ends up in a log unawares.
        write!(f, "UriBuf({})", Redacted(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_identity() {
        let uri: UriBuf = "sip:001010000000001@ims.example;x=+15550100".parse().unwrap();
        assert_eq!(format!("{uri:?}"), "UriBuf(sip:00101…01@ims…)");
    }
}
