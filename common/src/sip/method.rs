//! Codec: request methods (RFC 3261 7.1). Unknown ones are carried, not refused.

use std::fmt;

use bytes::Bytes;

use super::text;

/// A request method. Case-sensitive.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Method {
    /// RFC 3261 10.
    Register,
    /// RFC 3261 13.
    Invite,
    /// RFC 3261 13.2.2.4.
    Ack,
    /// RFC 3261 15.
    Bye,
    /// RFC 3261 9.
    Cancel,
    /// RFC 3261 11.
    Options,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 6086.
    Info,
    /// RFC 3428.
    Message,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3903.
    Publish,
    /// RFC 3515.
    Refer,
    /// A token that is none of the above.
    Other(Bytes),
}

impl Method {
    /// The method that `token` names, or `None` when it is not a token.
    #[must_use]
    pub fn from_bytes(token: &[u8]) -> Option<Self> {
        Self::known(token)
            .or_else(|| text::is_token(token).then(|| Self::Other(Bytes::copy_from_slice(token))))
    }

    /// The method that the first `length` octets of a request name, without a copy.
    pub(crate) fn of_start_line(request: &Bytes, length: usize) -> Self {
        let end = length.min(request.len());
        Self::known(text::cut(request, 0, end)).unwrap_or_else(|| Self::Other(request.slice(..end)))
    }

    fn known(token: &[u8]) -> Option<Self> {
        Some(match token {
            b"REGISTER" => Self::Register,
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"MESSAGE" => Self::Message,
            b"SUBSCRIBE" => Self::Subscribe,
            b"NOTIFY" => Self::Notify,
            b"PUBLISH" => Self::Publish,
            b"REFER" => Self::Refer,
            _ => return None,
        })
    }

    /// The method's text; `UNKNOWN` for another method whose bytes are not a token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(token) if text::is_token(token) => std::str::from_utf8(token).unwrap_or("UNKNOWN"),
            known => known.known_name().unwrap_or("UNKNOWN"),
        }
    }

    /// The text of a method that is known here.
    pub(crate) fn known_name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Register => "REGISTER",
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Message => "MESSAGE",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Publish => "PUBLISH",
            Self::Refer => "REFER",
            Self::Other(_) => return None,
        })
    }

    /// The method's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_method_prints_as_it_was_read() {
        for name in [
            "REGISTER",
            "INVITE",
            "ACK",
            "BYE",
            "CANCEL",
            "OPTIONS",
            "PRACK",
            "UPDATE",
            "INFO",
            "MESSAGE",
            "SUBSCRIBE",
            "NOTIFY",
            "PUBLISH",
            "REFER",
        ] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(method.to_string(), name);
            assert!(!matches!(method, Method::Other(_)));
        }
    }

    #[test]
    fn methods_are_case_sensitive_and_unknown_ones_are_carried() {
        let method = Method::from_bytes(b"invite").unwrap();
        assert_ne!(method, Method::Invite);
        assert_eq!(method.as_bytes(), b"invite");
        assert_eq!(Method::from_bytes(b"NO SPACE"), None);
        assert_eq!(Method::from_bytes(b""), None);
    }
}
