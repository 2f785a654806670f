//! Testkit: digits, two in an octet, the first one in its low bits (ETSI TS 102 221 13.2, TS 24.008 10.5.4.7, TS 23.040 9.1.2.3).

/// The digits before the first F. Behind it is only F.
pub(crate) fn decode(octets: &[u8]) -> Result<String, String> {
    decode_with(octets, "0123456789")
}

/// The same with the characters that a number may have besides.
pub(crate) fn decode_number(octets: &[u8]) -> Result<String, String> {
    decode_with(octets, "0123456789*#")
}

/// Digits, with F behind them when they are odd in number. What is no digit is left out.
pub(crate) fn encode(digits: &str) -> Vec<u8> {
    let nibbles: Vec<u8> = digits.bytes().filter_map(nibble).collect();
    let octet = |pair: &[u8]| match pair {
        [low, high] => high << 4 | low,
        [low] => 0xF0 | low,
        _ => 0xFF,
    };
    nibbles.chunks(2).map(octet).collect()
}

fn decode_with(octets: &[u8], characters: &str) -> Result<String, String> {
    let nibbles: Vec<u8> = octets
        .iter()
        .flat_map(|octet| [octet & 0x0F, octet >> 4])
        .collect();
    let end = nibbles
        .iter()
        .position(|nibble| *nibble == 0x0F)
        .unwrap_or(nibbles.len());
    let (written, rest) = nibbles.split_at(end);
    if rest.iter().any(|nibble| *nibble != 0x0F) {
        return Err("its digits go on behind the F that ends them".to_owned());
    }
    let digit = |nibble: &u8| {
        let digit = characters.chars().nth(usize::from(*nibble));
        digit.ok_or_else(|| format!("{nibble:X} is no digit"))
    };
    written.iter().map(digit).collect()
}

const fn nibble(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'*' => Some(0x0A),
        b'#' => Some(0x0B),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_end_with_the_octets_or_with_f() {
        assert_eq!(decode(&[0x21, 0x43]), Ok("1234".to_owned()));
        assert_eq!(decode(&[0x21, 0xF3, 0xFF]), Ok("123".to_owned()));
        assert_eq!(decode(&[0xFF]), Ok(String::new()));
        assert_eq!(encode("123"), [0x21, 0xF3]);
    }

    #[test]
    fn what_is_no_digit_is_named() {
        assert_eq!(decode(&[0xA1]), Err("A is no digit".to_owned()));
        assert_eq!(decode_number(&[0xA1, 0xFB]), Ok("1*#".to_owned()));
        assert_eq!(decode_number(&[0xC1]), Err("C is no digit".to_owned()));
        let behind = Err("its digits go on behind the F that ends them".to_owned());
        assert_eq!(decode(&[0x1F]), behind);
        assert_eq!(decode(&[0xF1, 0x22]), behind);
    }

    proptest! {
        #[test]
        fn digits_go_both_ways(digits in "[0-9*#]{0,30}") {
            prop_assert_eq!(decode_number(&encode(&digits)), Ok(digits));
        }
    }
}
