//! Codec: the keys that a challenge brings to the P-CSCF and to nobody else (TS 24.229 5.2.2.2, 7.2A.1).

use ims_common::aka::Secret;
use ims_common::aka::hex::from_hex;
use ims_common::sip::Response;

/// CK and IK of a challenge of IMS AKA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChallengeKeys {
    /// `ck`.
    pub ck: Secret<[u8; 16]>,
    /// `ik`.
    pub ik: Secret<[u8; 16]>,
}

/// A challenge of IMS AKA without two keys of 128 bits: no security association can be made of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeysMissing;

impl ChallengeKeys {
    /// The keys in WWW-Authenticate of a 401. `None`: SIP Digest, which has none, or no challenge at all.
    pub fn of(response: &Response) -> Result<Option<Self>, KeysMissing> {
        let Some(challenge) = response.www_authenticate().map_err(|_| KeysMissing)? else {
            return Ok(None);
        };
        let key = |text: Option<_>| text.and_then(|text: std::borrow::Cow<'_, [u8]>| key(&text));
        match (key(challenge.ck()), key(challenge.ik())) {
            (Some(ck), Some(ik)) => Ok(Some(Self { ck, ik })),
            _ if is_aka(challenge.algorithm().as_deref()) => Err(KeysMissing),
            _ => Ok(None),
        }
    }
}

fn is_aka(algorithm: Option<&[u8]>) -> bool {
    let head = algorithm.and_then(|name| name.get(..3));
    head.is_some_and(|head| head.eq_ignore_ascii_case(b"AKA"))
}

/// 32 hexadecimal digits.
fn key(text: &[u8]) -> Option<Secret<[u8; 16]>> {
    let octets = Secret::new(from_hex(std::str::from_utf8(text).ok()?)?);
    let octets: &[u8] = octets.expose();
    octets.try_into().ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ims_common::limits::SipLimits;
    use ims_common::sip::{Message, SipMessage};

    fn keys_of(www_authenticate: &str) -> Result<Option<ChallengeKeys>, KeysMissing> {
        let text = format!(
            "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@h.test>;tag=1\r\n\
             To: <sip:a@h.test>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n{www_authenticate}Content-Length: 0\r\n\r\n"
        );
        let message = Message::parse(text.into_bytes().into(), &SipLimits::default()).unwrap();
        match message.into_parts() {
            SipMessage::Response(response) => ChallengeKeys::of(&response),
            SipMessage::Request(_) => unreachable!("a status line"),
        }
    }

    const DIGEST: &str = "WWW-Authenticate: Digest realm=\"h.test\",nonce=\"I1U8\",";

    #[test]
    fn an_aka_challenge_brings_both_keys() {
        let keys = keys_of(&format!(
            "{DIGEST}algorithm=AKAv1-MD5,qop=\"auth\",ck=\"b40ba9a3c58b2a05bbf0d987b21bf8cb\",IK=F769BCD751044604127672711C6D3441\r\n"
        ));
        let keys = keys.unwrap().unwrap();
        assert_eq!(
            keys.ck.expose().as_slice(),
            from_hex("b40ba9a3c58b2a05bbf0d987b21bf8cb").unwrap()
        );
        assert_eq!(
            keys.ik.expose().as_slice(),
            from_hex("f769bcd751044604127672711c6d3441").unwrap()
        );
        assert_eq!(
            format!("{keys:?}"),
            "ChallengeKeys { ck: <redacted>, ik: <redacted> }"
        );
    }

    #[test]
    fn an_aka_challenge_without_two_whole_keys_is_an_error() {
        for keys in [
            "",
            ",ck=\"b40ba9a3c58b2a05bbf0d987b21bf8cb\"",
            ",ik=\"b40ba9a3c58b2a05bbf0d987b21bf8cb\"",
            ",ck=\"b40ba9a3c58b2a05bbf0d987b21bf8cb\",ik=\"\"",
            ",ck=\"b40ba9a3c58b2a05bbf0d987b21bf8cb\",ik=\"f769bcd751044604127672711c6d34\"",
            ",ck=\"b40ba9a3c58b2a05bbf0d987b21bf8cb\",ik=\"f769bcd751044604127672711c6d34411\"",
            ",ck=\"b40ba9a3c58b2a05bbf0d987b21bf8cb\",ik=\"x769bcd751044604127672711c6d3441\"",
        ] {
            let answer = keys_of(&format!("{DIGEST}algorithm=akav1-md5{keys}\r\n"));
            assert_eq!(answer, Err(KeysMissing), "{keys}");
        }
        assert_eq!(
            keys_of("WWW-Authenticate: Digest realm=\"h\" ck=\"0\"\r\n"),
            Err(KeysMissing)
        );
    }

    #[test]
    fn sip_digest_has_no_keys() {
        assert_eq!(
            keys_of(&format!("{DIGEST}algorithm=MD5,qop=\"auth\"\r\n")),
            Ok(None)
        );
        assert_eq!(keys_of(&format!("{DIGEST}qop=\"auth\"\r\n")), Ok(None));
        assert_eq!(keys_of("WWW-Authenticate: Bearer realm=\"h\"\r\n"), Ok(None));
        assert_eq!(keys_of(""), Ok(None));
    }
}
