//! Codec: a challenge as a UE may see it. The keys of the security association have no place in the type.
//!
//! TS 24.229 5.2.2.2, 7.2A.1: `ck` and `ik` come from the S-CSCF in WWW-Authenticate and end at the P-CSCF.
//! What is not a well-formed challenge loses everything that could be one of them.

use std::fmt;

/// One WWW-Authenticate value for a UE: the scheme and its parameters, without `ck` and `ik`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct UeChallenge {
    scheme: String,
    parameters: Vec<String>,
}

impl UeChallenge {
    /// Takes from a header value what a UE may see, byte for byte.
    pub(crate) fn of(value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value);
        let text = text.trim();
        let (scheme, rest) = text
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or((text, ""));
        if scheme.contains(['=', ',', '"']) || rest.trim_start().starts_with('=') {
            // No scheme at all: nothing in here is trusted to be what it looks like.
            return Self {
                scheme: String::new(),
                parameters: cautiously(text),
            };
        }
        Self {
            scheme: scheme.to_owned(),
            parameters: by_the_grammar(rest).unwrap_or_else(|| cautiously(rest)),
        }
    }
}

impl fmt::Display for UeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scheme)?;
        for (nth, parameter) in self.parameters.iter().enumerate() {
            let before = if nth > 0 {
                ","
            } else if self.scheme.is_empty() {
                ""
            } else {
                " "
            };
            write!(f, "{before}{parameter}")?;
        }
        Ok(())
    }
}

/// The parameters but the keys, or `None` when one of them is not `name=token` or `name="string"`, or may hide one.
fn by_the_grammar(rest: &str) -> Option<Vec<String>> {
    let mut kept = Vec::new();
    for piece in split_outside_quotes(rest)? {
        let (name, value) = piece.split_once('=')?;
        // A lost quote may have drawn a key into the value before it.
        if !is_token(name.trim()) || !is_value(value.trim()) || mentions_key(value.as_bytes(), Ending::More) {
            return None;
        }
        if !is_key(name) {
            kept.push(piece.to_owned());
        }
    }
    Some(kept)
}

/// Splits at every comma, quoted or not, and drops whatever mentions a key.
fn cautiously(rest: &str) -> Vec<String> {
    rest.split(',')
        .filter(|piece| !mentions_key(piece.as_bytes(), Ending::Any))
        .map(str::to_owned)
        .collect()
}

/// The pieces between commas outside quoted strings, or `None` when a quoted string does not end.
fn split_outside_quotes(text: &str) -> Option<Vec<&str>> {
    let mut pieces = Vec::with_capacity(16);
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                pieces.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(text.get(start..)?);
    (!quoted).then_some(pieces)
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
}

/// A token (also a bare base64 nonce, which handsets and cores send), or one quoted string.
fn is_value(text: &str) -> bool {
    match text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
        Some(inner) => {
            let mut escaped = false;
            for byte in inner.bytes() {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => return false,
                    _ => {}
                }
            }
            !escaped
        }
        None => !text.is_empty() && !text.contains(['"', ' ', '\t', '=']) || is_base64(text),
    }
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    !digits.is_empty()
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

/// `ck`, `ik`, and names that end so: no parameter of a challenge does, and a lost separator makes such names.
fn is_key(name: &str) -> bool {
    let end = name.trim().as_bytes().last_chunk::<2>();
    matches!(end, Some([b'c' | b'C' | b'i' | b'I', b'k' | b'K']))
}

/// What must follow the equals sign behind the name of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// Anything or nothing.
    Any,
    /// A value: base64 may end in `ck=`, and then nothing follows.
    More,
}

/// Whether `ck` or `ik` stands before an equals sign, anywhere, be it the end of a longer word.
fn mentions_key(text: &[u8], ending: Ending) -> bool {
    // Both names end in a k.
    memchr::memchr2_iter(b'k', b'K', text).any(|at| {
        let letter = at.checked_sub(1).and_then(|before| text.get(before));
        let is_key = letter.is_some_and(|letter| matches!(letter, b'c' | b'C' | b'i' | b'I'));
        is_key && {
            let after = text.get(at + 1..).unwrap_or_default();
            let mut after = after
                .iter()
                .filter(|byte| !byte.is_ascii_whitespace() && **byte != b'"' && **byte != b'\\');
            after.next() == Some(&b'=') && (ending == Ending::Any || after.any(|byte| *byte != b'='))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn keys_of_a_well_formed_challenge_are_gone_and_the_rest_stays_byte_exact() {
        let value = br#"Digest realm="home.test", nonce="abc,ck=",algorithm=AKAv1-MD5,ck="00112233445566778899aabbccddeeff", IK = "ffeeddccbbaa99887766554433221100",qop="auth""#;
        assert_eq!(
            UeChallenge::of(value).to_string(),
            r#"Digest realm="home.test", nonce="abc,ck=",algorithm=AKAv1-MD5,qop="auth""#
        );
    }

    #[test]
    fn a_key_right_after_the_scheme_is_gone_too() {
        assert_eq!(
            UeChallenge::of(br#"Digest ck="00",realm="home.test",nonce="n",ik="11""#).to_string(),
            r#"Digest realm="home.test",nonce="n""#
        );
    }

    #[test]
    fn a_nonce_that_ends_like_the_name_of_a_key_stays() {
        for value in [
            r#"Digest realm="h",nonce="AAAAck=",ck="0badc0de""#,
            r#"Digest ik="0badc0de",realm="h",nonce="AAAAik=""#,
            r#"Digest realm="h",nonce=AAAAck=,ik=0badc0de"#,
        ] {
            let printed = UeChallenge::of(value.as_bytes()).to_string();
            assert!(
                printed.contains("AAAA") && printed.contains("realm=\"h\""),
                "{printed}"
            );
            assert!(!printed.contains("0badc0de"), "{printed}");
        }
    }

    #[test]
    fn no_order_of_broken_pieces_lets_a_key_through() {
        const PIECES: [&str; 16] = [
            "Digest ",
            "Digest",
            "realm=\"h\"",
            "nonce=\"n",
            "opaque=",
            "\"",
            "\\",
            ",",
            ", ",
            " ",
            ";",
            "=",
            "ck=\"0badc0de\"",
            "ik=0badc0de",
            "CK = \"0badc0de\"",
            "\"ik\"=\"0badc0de",
        ];
        let mut rng = ims_common::node::Seed::from_number(14).rng(0);
        for _ in 0..20_000 {
            let count = rng.random_range(1..10);
            let value: String = (0..count)
                .filter_map(|_| PIECES.get(rng.random_range(0..PIECES.len())))
                .copied()
                .collect();
            let printed = UeChallenge::of(value.as_bytes()).to_string();
            assert!(!printed.contains("0badc0de"), "{value} became {printed}");
        }
    }

    #[test]
    fn malformed_challenges_lose_everything_that_could_be_a_key() {
        let malformed: [&[u8]; 9] = [
            br#"Digest realm="home.test, nonce="n", ck="0badc0de", ik="0badc0de""#,
            br#"Digest nonce="abc, x, ck="0badc0de", ik="0badc0de"#,
            br#"Digest realm="h";ck="0badc0de";ik="0badc0de""#,
            br#"ck="0badc0de",ik="0badc0de""#,
            br#"Digest,ck="0badc0de",ik="0badc0de""#,
            br#"Digest realm="h" ck="0badc0de" ik="0badc0de""#,
            b"Digest realm=\"h\", CK=0badc0de, Ik\t= 0badc0de, =, ,,",
            br#"Digest realm="h", "ck"="0badc0de", "ik" ="0badc0de""#,
            br#"Digest realm="h", Digest realm="i", ck="0badc0de", ik="0badc0de""#,
        ];
        for value in malformed {
            let printed = UeChallenge::of(value).to_string();
            assert!(!printed.contains("0badc0de"), "{printed}");
        }
    }
}
