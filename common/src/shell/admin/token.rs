//! Shell: tokens that let operators in.

use std::fmt;
use std::io;
use std::path::Path;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Fewer octets can be guessed.
const OCTETS_MIN: usize = 16;
/// More are no token.
const OCTETS_MAX: usize = 1_024;

/// A secret that lets in whoever has it.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl Token {
    /// Checks a token; white space around it does not count.
    ///
    /// # Errors
    /// It is too short, too long, or cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.len() < OCTETS_MIN {
            return Err(
                "has fewer than 16 characters; expected a token, as `openssl rand -hex 32` makes one",
            );
        }
        if text.len() > OCTETS_MAX || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err("is no token; expected one line of at most 1024 letters, digits and signs");
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Reads the token in a file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let text = Zeroizing::new(std::fs::read_to_string(path)?);
        Self::new(&text).map_err(io::Error::other)
    }

    /// Whether this is it. The time that it takes does not tell how much of it is.
    pub(super) fn is(&self, presented: &str) -> bool {
        self.0.as_bytes().ct_eq(presented.as_bytes()).into()
    }

    /// The value of an Authorization header (RFC 6750 2.1).
    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_enough_fits_into_a_header_and_is_never_shown() {
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        assert!(token.is("0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!token.is(wrong), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "<redacted>");
        for wrong in [
            "short",
            "0123456789 abcdef",
            "0123456789abcdef\r\nX: y",
            "0123456789äbcdef",
        ] {
            assert!(Token::new(wrong).is_err(), "{wrong}");
        }
    }
}
