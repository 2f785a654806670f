//! Codec: Security-Client, Security-Server and Security-Verify values (RFC 3329 2.2, TS 33.203 Annex H).

use std::borrow::Cow;
use std::fmt;

use super::name_addr::thousandths;
use super::params::Params;
use super::text::{self, after, cut};

/// One mechanism of a security agreement. Junk among the parameters is skipped, since handsets send it.
#[derive(Clone, Copy)]
pub struct SecurityMechanism<'a> {
    name: &'a [u8],
    params: Params<'a>,
    raw: &'a [u8],
}

impl<'a> SecurityMechanism<'a> {
    /// Reads `mechanism-name *(;param)`; `None` when there is no mechanism name.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let raw = text::trim(value);
        let end = memchr::memchr(b';', raw).unwrap_or(raw.len());
        let name = text::trim(cut(raw, 0, end));
        text::is_token(name).then_some(Self {
            name,
            params: Params::new((end < raw.len()).then(|| after(raw, end + 1))),
            raw,
        })
    }

    /// The value as written.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The mechanism name as written: `ipsec-3gpp`, `tls` …
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Is it ipsec-3gpp for signalling?
    #[must_use]
    pub fn is_ipsec_3gpp(&self) -> bool {
        self.name.eq_ignore_ascii_case(b"ipsec-3gpp") && !self.is_mediasec()
    }

    /// Is it about media, not signalling (TS 24.229 7.2A.7)?
    #[must_use]
    pub fn is_mediasec(&self) -> bool {
        self.params.has("mediasec")
    }

    /// The preference in thousandths.
    #[must_use]
    pub fn q(&self) -> Option<u16> {
        thousandths(&self.param("q")?)
    }

    /// The integrity algorithm, `alg`.
    #[must_use]
    pub fn alg(&self) -> Option<Cow<'a, [u8]>> {
        self.param("alg")
    }

    /// The encryption algorithm, `ealg`; `null` when absent (TS 33.203 Annex H).
    #[must_use]
    pub fn ealg(&self) -> Cow<'a, [u8]> {
        self.param("ealg").unwrap_or(Cow::Borrowed(b"null"))
    }

    /// The protocol, `prot`; `esp` when absent (TS 33.203 Annex H).
    #[must_use]
    pub fn prot(&self) -> Cow<'a, [u8]> {
        self.param("prot").unwrap_or(Cow::Borrowed(b"esp"))
    }

    /// The mode, `mod`; `trans` when absent (TS 33.203 Annex H).
    #[must_use]
    pub fn mode(&self) -> Cow<'a, [u8]> {
        self.param("mod").unwrap_or(Cow::Borrowed(b"trans"))
    }

    /// The SPI of the inbound SA at the client port.
    #[must_use]
    pub fn spi_c(&self) -> Option<u32> {
        self.spi("spi-c")
    }

    /// The SPI of the inbound SA at the server port.
    #[must_use]
    pub fn spi_s(&self) -> Option<u32> {
        self.spi("spi-s")
    }

    /// The protected client port.
    #[must_use]
    pub fn port_c(&self) -> Option<u16> {
        text::port(&self.param("port-c")?)
    }

    /// The protected server port.
    #[must_use]
    pub fn port_s(&self) -> Option<u16> {
        text::port(&self.param("port-s")?)
    }

    /// A parameter's value, quotes undone, by name in any case.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.params.unquoted(name)
    }

    /// All parameters.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    fn spi(&self, name: &str) -> Option<u32> {
        u32::try_from(text::number(&self.param(name)?)?).ok()
    }
}

/// Shows the value as written: SPIs and ports are no secrets.
impl fmt::Debug for SecurityMechanism<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecurityMechanism({:?})", text::lossy(self.raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handset_offer_is_read_whole() {
        let m = SecurityMechanism::parse(
            b"ipsec-3gpp; alg=HMAC-SHA-1-96 ;ealg=aes-cbc;prot=esp;mod=trans;spi-c=0011;spi-s=4294967295;port-c=45061;port-s=45062;q=0.1",
        )
        .unwrap();
        assert!(m.is_ipsec_3gpp());
        assert_eq!(m.alg().unwrap().as_ref(), b"HMAC-SHA-1-96");
        assert_eq!((m.spi_c(), m.spi_s()), (Some(11), Some(u32::MAX)));
        assert_eq!(
            (m.port_c(), m.port_s(), m.q()),
            (Some(45_061), Some(45_062), Some(100))
        );
    }

    #[test]
    fn absent_parameters_have_their_defaults() {
        let m = SecurityMechanism::parse(b"ipsec-3gpp").unwrap();
        assert_eq!(
            (m.ealg().as_ref(), m.prot().as_ref(), m.mode().as_ref()),
            (&b"null"[..], &b"esp"[..], &b"trans"[..])
        );
        assert_eq!((m.alg(), m.spi_c(), m.q()), (None, None, None));
    }

    #[test]
    fn trailing_junk_and_oversize_numbers_do_no_harm() {
        let m = SecurityMechanism::parse(b"ipsec-3gpp;alg=hmac-md5-96;;spi-c=4294967296;port-c=70000; \"")
            .unwrap();
        assert_eq!(m.alg().unwrap().as_ref(), b"hmac-md5-96");
        assert_eq!((m.spi_c(), m.port_c()), (None, None));
        assert!(SecurityMechanism::parse(b"").is_none());
        assert!(SecurityMechanism::parse(b";alg=x").is_none());
    }

    #[test]
    fn media_mechanisms_are_not_signalling() {
        assert!(
            SecurityMechanism::parse(b"sdes-srtp;mediasec")
                .unwrap()
                .is_mediasec()
        );
        assert!(
            !SecurityMechanism::parse(b"ipsec-3gpp;mediasec")
                .unwrap()
                .is_ipsec_3gpp()
        );
    }
}
