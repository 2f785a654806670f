//! Codec: Digest credentials and challenges (RFC 3261 20.7, 20.44, RFC 7616, RFC 3310, TS 24.229 7.2A.1, 7.2A.2).

use std::borrow::Cow;
use std::fmt;

use super::error::HeaderError;
use super::params::{find_named, split_param};
use super::text::{self, ByteSet, after, cut};

/// The `Authorization` of a request: Digest credentials, parameters in any order, quoted or not.
#[derive(Clone, Copy)]
pub struct Credentials<'a>(AuthParams<'a>);

/// The `WWW-Authenticate` of a 401: a Digest challenge. It may hold CK and IK, which never get printed.
#[derive(Clone, Copy)]
pub struct Challenge<'a>(AuthParams<'a>);

/// `scheme LWS name=value *(, name=value)`.
#[derive(Clone, Copy)]
struct AuthParams<'a> {
    raw: &'a [u8],
    params: &'a [u8],
    /// The values, as written, of the first of each of [`KNOWN`]: a REGISTER's Authorization is asked for a dozen.
    known: [Option<&'a [u8]>; KNOWN.len()],
}

/// The parameters that somebody asks for.
const KNOWN: [&str; 16] = [
    "username",
    "realm",
    "nonce",
    "uri",
    "response",
    "algorithm",
    "qop",
    "nc",
    "cnonce",
    "opaque",
    "auts",
    "integrity-protected",
    "stale",
    "domain",
    "ck",
    "ik",
];

fn place_of(name: &[u8]) -> Option<usize> {
    let first = name.first()?.to_ascii_lowercase();
    KNOWN.iter().position(|known| {
        let known = known.as_bytes();
        known.len() == name.len() && known.first() == Some(&first) && known.eq_ignore_ascii_case(name)
    })
}

/// Whether what may be Digest credentials seem to answer a challenge: with a response that is not empty, or with the
/// `auts` that asks for another challenge. A guess, in one walk over the names.
pub(crate) fn seem_to_answer(credentials: &[u8]) -> bool {
    let scheme = credentials.iter().position(|b| text::is_lws(*b));
    let mut rest = scheme.map(|scheme| after(credentials, scheme));
    while let Some(list) = rest {
        let (param, tail) = text::next_part(list, b',');
        rest = tail;
        // No other name that is in use begins so, but for algorithm and realm.
        if matches!(param.first(), Some(b'r' | b'R' | b'a' | b'A')) {
            let (name, value) = split_param(param);
            let is_response =
                || name.eq_ignore_ascii_case(b"response") && !matches!(value, Some(b"" | b"\"\""));
            if value.is_some() && (is_response() || name.eq_ignore_ascii_case(b"auts")) {
                return true;
            }
        }
    }
    false
}

impl<'a> AuthParams<'a> {
    /// `None` for another scheme than Digest.
    fn parse(value: &'a [u8]) -> Result<Option<Self>, HeaderError> {
        let raw = text::trim(value);
        let scheme_len = raw.iter().take_while(|b| !text::is_lws(**b)).count();
        if !cut(raw, 0, scheme_len).eq_ignore_ascii_case(b"Digest") {
            return Ok(None);
        }
        // RFC 3261 25.1: quoted strings are UTF-8. What is not could not be sent on as it came.
        if std::str::from_utf8(raw).is_err() {
            return Err(HeaderError::new("digest_not_utf8"));
        }
        let params = text::trim_start(after(raw, scheme_len));
        let mut parsed = Self {
            raw,
            params,
            known: [None; KNOWN.len()],
        };
        let mut count = 0;
        let mut rest = Some(params);
        while let Some(text) = rest {
            let element = Element::first(text).ok_or(HeaderError::new("digest_parameter"))?;
            rest = element.tail;
            let Some((name, value)) = element.param else {
                continue;
            };
            count += 1;
            if let Some(slot) = place_of(name).and_then(|at| parsed.known.get_mut(at)) {
                *slot = slot.or(Some(value));
            }
        }
        (count > 0)
            .then_some(Some(parsed))
            .ok_or(HeaderError::new("digest_parameter"))
    }

    fn get(self, name: &str) -> Option<Cow<'a, [u8]>> {
        match place_of(name.as_bytes()) {
            Some(at) => self.known.get(at).copied().flatten(),
            None => find_named(self.params, b',', name).flatten(),
        }
        .map(text::unquote)
    }

    /// The same text without the parameters that `drop` names, everything else byte-exact.
    fn without(self, drop: &[&str]) -> String {
        let dropped = |param: &[u8]| {
            let (name, _) = split_param(param);
            drop.iter().any(|d| name.eq_ignore_ascii_case(d.as_bytes()))
        };
        if drop.iter().all(|name| self.get(name).is_none()) {
            return text::lossy(self.raw).into_owned();
        }
        let head = self.raw.len() - self.params.len();
        let mut out = text::lossy(cut(self.raw, 0, head)).into_owned();
        let mut first = true;
        for piece in pieces(self.params) {
            let param = text::trim(piece);
            if dropped(param) {
                continue;
            }
            if first {
                out.push_str(&text::lossy(text::trim_start(piece)));
            } else {
                out.push(',');
                out.push_str(&text::lossy(piece));
            }
            first = false;
        }
        out
    }
}

/// The comma-separated pieces with their white space.
fn pieces(params: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(params);
    std::iter::from_fn(move || {
        let text = rest?;
        match text::find_outside(text, b',') {
            None => rest.take(),
            Some(at) => {
                rest = text.get(at + 1..);
                Some(cut(text, 0, at))
            }
        }
    })
}

/// One element of a list of parameters, and what comes after its comma.
struct Element<'a> {
    /// Name and value as written; `None` when the element is empty.
    param: Option<(&'a [u8], &'a [u8])>,
    tail: Option<&'a [u8]>,
}

/// What an unquoted value ends at. Brackets would hide what follows them from us and not from others, who see commas
/// only; they and white space may not be in a value.
static VALUE_END: ByteSet = ByteSet::of(b", \t\r\n\"<>");

impl<'a> Element<'a> {
    /// `None` when it is not `token = (value / quoted-string)`.
    fn first(list: &'a [u8]) -> Option<Self> {
        let text = text::trim_start(list);
        let name = cut(text, 0, text::token_len(text));
        if name.is_empty() {
            return Self::ended(None, text);
        }
        let [b'=', value @ ..] = text::trim_start(after(text, name.len())) else {
            return None;
        };
        let value = text::trim_start(value);
        let length = match value {
            [b'"', ..] => text::quoted_end(value)?,
            _ => VALUE_END.gap(value),
        };
        let param = (name, cut(value, 0, length));
        Self::ended(Some(param), text::trim_start(after(value, length)))
    }

    fn ended(param: Option<(&'a [u8], &'a [u8])>, rest: &'a [u8]) -> Option<Self> {
        let tail = match rest {
            [] => None,
            [b',', tail @ ..] => Some(tail),
            _ => return None,
        };
        Some(Self { param, tail })
    }
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $method:ident $name:literal)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $method(&self) -> Option<Cow<'a, [u8]>> {
                self.0.get($name)
            }
        )*

        /// A parameter's value, quotes undone, by name in any case.
        #[must_use]
        pub fn param(&self, name: &str) -> Option<Cow<'a, [u8]>> {
            self.0.get(name)
        }

        /// The header's value as written.
        #[must_use]
        pub fn raw(&self) -> &'a [u8] {
            self.0.raw
        }
    };
}

impl<'a> Credentials<'a> {
    /// Reads the value of an Authorization or Proxy-Authorization header.
    ///
    /// # Errors
    /// When the scheme is not Digest, or a parameter is malformed.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        Self::parse_digest(value)?.ok_or(HeaderError::new("digest_scheme"))
    }

    pub(crate) fn parse_digest(value: &'a [u8]) -> Result<Option<Self>, HeaderError> {
        Ok(AuthParams::parse(value)?.map(Self))
    }

    accessors! {
        /// The private identity, in IMS (TS 24.229 5.1.1.2).
        username "username"
        /// The protection domain.
        realm "realm"
        /// The challenge answered; empty in a first REGISTER.
        nonce "nonce"
        /// The digest-uri.
        uri "uri"
        /// The request-digest, hex; empty in a first REGISTER.
        response "response"
        /// `MD5`, `SHA-256`, `AKAv1-MD5` …; MD5 when absent.
        algorithm "algorithm"
        /// The chosen quality of protection.
        qop "qop"
        /// The nonce count, eight hex digits.
        nc "nc"
        /// The client's nonce.
        cnonce "cnonce"
        /// The challenge's opaque, given back.
        opaque "opaque"
        /// The resynchronisation token, base64 (RFC 3310 3.4).
        auts "auts"
        /// What the P-CSCF says about protection (TS 24.229 7.2A.2).
        integrity_protected "integrity-protected"
    }

    /// The same text with `integrity-protected="value"` replaced, or added at the end; other parameters byte-exact
    /// (TS 24.229 5.2.2.2).
    #[must_use]
    pub fn with_integrity_protected(&self, value: &str) -> String {
        let kept = self.0.without(&["integrity-protected"]);
        // White space of ASCII only: any other stands in a value.
        let kept = kept.trim_ascii_end();
        let only_scheme = kept.eq_ignore_ascii_case("Digest");
        let separator = if only_scheme { " " } else { "," };
        format!(
            "{}{separator}integrity-protected=\"{value}\"",
            kept.trim_end_matches(',')
        )
    }
}

impl<'a> Challenge<'a> {
    /// Reads the value of a WWW-Authenticate or Proxy-Authenticate header.
    ///
    /// # Errors
    /// When the scheme is not Digest, or a parameter is malformed.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        Self::parse_digest(value)?.ok_or(HeaderError::new("digest_scheme"))
    }

    pub(crate) fn parse_digest(value: &'a [u8]) -> Result<Option<Self>, HeaderError> {
        Ok(AuthParams::parse(value)?.map(Self))
    }

    accessors! {
        /// The protection domain.
        realm "realm"
        /// The challenge; for AKA base64 of RAND, AUTN and server data (RFC 3310 3.2).
        nonce "nonce"
        /// `MD5`, `SHA-256`, `AKAv1-MD5` …; MD5 when absent.
        algorithm "algorithm"
        /// The qualities of protection offered.
        qop "qop"
        /// To be given back.
        opaque "opaque"
        /// `true`: the response was right, the nonce too old.
        stale "stale"
        /// The URIs that share the credentials.
        domain "domain"
        /// The cipher key, hex, from S-CSCF to P-CSCF only (TS 24.229 7.2A.1).
        ck "ck"
        /// The integrity key, hex, from S-CSCF to P-CSCF only (TS 24.229 7.2A.1).
        ik "ik"
    }

    /// The same text without `ck` and `ik`; other parameters byte-exact (TS 24.229 5.2.2.2).
    #[must_use]
    pub fn without_keys(&self) -> String {
        self.0.without(&["ck", "ik"])
    }
}

/// Shows the length only.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} octets)", self.0.raw.len())
    }
}

/// Shows the length only: there may be keys in it.
impl fmt::Debug for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({} octets)", self.0.raw.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_in_any_order_quoted_or_not() {
        let value = br#"digest  response="", nc=00000001 ,QOP="auth",uri="sip:ims.example,x", username = "a\"b" , algorithm=AKAv1-MD5"#;
        let credentials = Credentials::parse(value).unwrap();
        let text = |value: Option<Cow<'_, [u8]>>| String::from_utf8(value.unwrap().into_owned()).unwrap();
        assert_eq!(text(credentials.response()), "");
        assert_eq!(text(credentials.nc()), "00000001");
        assert_eq!(text(credentials.qop()), "auth");
        assert_eq!(text(credentials.uri()), "sip:ims.example,x");
        assert_eq!(text(credentials.username()), "a\"b");
        assert_eq!(text(credentials.algorithm()), "AKAv1-MD5");
        assert_eq!(credentials.nonce(), None);
    }

    #[test]
    fn integrity_protected_is_replaced_or_added_and_the_rest_kept() {
        let add = Credentials::parse(br#"Digest username="u",  realm=r"#).unwrap();
        assert_eq!(
            add.with_integrity_protected("no"),
            r#"Digest username="u",  realm=r,integrity-protected="no""#
        );
        let replace =
            Credentials::parse(br#"Digest Integrity-Protected="yes", username="u", realm=r"#).unwrap();
        assert_eq!(
            replace.with_integrity_protected("no"),
            r#"Digest username="u", realm=r,integrity-protected="no""#
        );
        let twice =
            Credentials::parse(br#"Digest a=b, integrity-protected=yes, c=d,integrity-protected="yes""#)
                .unwrap();
        assert_eq!(
            twice.with_integrity_protected("no"),
            r#"Digest a=b, c=d,integrity-protected="no""#
        );
        let odd = Credentials::parse("Digest a=\u{2028}".as_bytes()).unwrap();
        assert_eq!(
            odd.with_integrity_protected("no"),
            "Digest a=\u{2028},integrity-protected=\"no\""
        );
        let alone = Credentials::parse(b"Digest integrity-protected=yes").unwrap();
        assert_eq!(
            alone.with_integrity_protected("no"),
            r#"Digest integrity-protected="no""#
        );
    }

    #[test]
    fn keys_are_cut_out_and_never_shown() {
        let value = br#"Digest realm="r", nonce="n=", CK="00112233", algorithm=AKAv1-MD5,ik="44", qop="auth,auth-int""#;
        let challenge = Challenge::parse(value).unwrap();
        assert_eq!(challenge.ck().unwrap().as_ref(), b"00112233");
        assert_eq!(
            challenge.without_keys(),
            r#"Digest realm="r", nonce="n=", algorithm=AKAv1-MD5, qop="auth,auth-int""#
        );
        assert!(!format!("{challenge:?}").contains("0011"));
        let first = Challenge::parse(br#"Digest ck="1",ik="2",realm="r""#).unwrap();
        assert_eq!(first.without_keys(), r#"Digest realm="r""#);
    }

    #[test]
    fn what_is_not_utf8_is_refused_since_it_could_not_be_sent_on_as_it_came() {
        let error = Credentials::parse(b"Digest username=\"caf\xe9\",realm=r").unwrap_err();
        assert_eq!(error.reason, "digest_not_utf8");
        let value = "Digest username=\"caf\u{e9}\",realm=r".as_bytes();
        assert!(Credentials::parse(value).is_ok());
    }

    #[test]
    fn other_schemes_and_broken_parameters_are_refused() {
        assert!(Credentials::parse_digest(b"Basic YQ==").unwrap().is_none());
        for value in [
            "Digest",
            "Digest x",
            "Digest a=\"b",
            "Digest a=b c",
            "Digest =b",
            "Digest a=\"b\"c",
            "Digest a=<",
            "Digest a=<,integrity-protected=yes>",
            "Digest a=<,ck=00>,b=c",
        ] {
            assert!(Credentials::parse(value.as_bytes()).is_err(), "{value}");
        }
        assert!(Credentials::parse(b"").is_err());
    }
}
