//! Codec: lower-case hexadecimal text.

/// The octets as lower-case hex.
#[must_use]
pub fn to_hex(octets: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    octets
        .iter()
        .flat_map(|o| [digit(o >> 4), digit(o & 0x0F)])
        .collect()
}

/// The octets that a hex text of either case means; `None` when it is no hex or of odd length.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let (pairs, rest) = nibbles.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        assert_eq!(to_hex(&[0x00, 0x9A, 0xFF]), "009aff");
        assert_eq!(from_hex("009aFF"), Some(vec![0x00, 0x9A, 0xFF]));
        assert_eq!(from_hex(""), Some(vec![]));
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("+1"), None);
        assert_eq!(from_hex("é1"), None);
    }
}
