//! Codec: CSeq (RFC 3261 20.16).

use std::fmt;

use super::error::HeaderError;
use super::method::Method;
use super::text::{self, after, cut};

/// The sequence number and method of a request, repeated in its responses.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CSeq {
    /// Below 2^31 (RFC 3261 8.1.1.5).
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl CSeq {
    /// Reads `1*DIGIT LWS Method`.
    ///
    /// # Errors
    /// When it is malformed, or the number is 2^31 or more.
    pub fn parse(value: &[u8]) -> Result<Self, HeaderError> {
        const MALFORMED: HeaderError = HeaderError::new("cseq");
        let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
        let number = text::number_clamped(cut(value, 0, digits)).ok_or(MALFORMED)?;
        if number >= 1 << 31 {
            return Err(HeaderError::new("cseq_number"));
        }
        let rest = after(value, digits);
        let method = text::trim(rest);
        if method.len() == rest.len() {
            return Err(MALFORMED);
        }
        let method = Method::from_bytes(method).ok_or(MALFORMED)?;
        Ok(Self { number, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_method_are_read_and_printed() {
        let cseq = CSeq::parse(b"0009\r\n  INVITE").unwrap();
        assert_eq!((cseq.number, cseq.method.clone()), (9, Method::Invite));
        assert_eq!(cseq.to_string(), "9 INVITE");
        assert_eq!(CSeq::parse(b"2147483647 FOO").unwrap().number, 0x7fff_ffff);
    }

    #[test]
    fn numbers_of_2_to_the_31_and_junk_are_refused() {
        assert_eq!(
            CSeq::parse(b"2147483648 INVITE").unwrap_err().reason,
            "cseq_number"
        );
        for value in [
            "",
            "1",
            "INVITE",
            "1INVITE",
            "-1 INVITE",
            "1 IN VITE",
            "99999999999999999999 X",
        ] {
            assert!(CSeq::parse(value.as_bytes()).is_err(), "{value}");
        }
    }
}
