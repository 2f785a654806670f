//! Codec: Via (RFC 3261 20.42, RFC 3581, RFC 5118 4.5).

use std::fmt;
use std::net::IpAddr;

use memchr::memchr;

use super::error::HeaderError;
use super::params::Params;
use super::text::{self, after, cut};
use super::uri::Host;

/// One Via value.
#[derive(Clone, Copy)]
pub struct Via<'a> {
    transport: &'a [u8],
    sent_by: &'a [u8],
    host: Host<'a>,
    port: Option<u16>,
    params: Params<'a>,
    raw: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads `SIP / 2.0 / transport LWS host [: port] *(;param)`.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        const PROTOCOL: HeaderError = HeaderError::new("via_protocol");
        let raw = text::trim(value);
        let end = memchr(b';', raw).unwrap_or(raw.len());
        let (name, rest) = split_slash(cut(raw, 0, end)).ok_or(PROTOCOL)?;
        let (version, rest) = split_slash(rest).ok_or(PROTOCOL)?;
        if !name.eq_ignore_ascii_case(b"SIP") || version != b"2.0" {
            return Err(PROTOCOL);
        }
        let rest = text::trim(rest);
        let transport_len = rest.iter().take_while(|b| !text::is_lws(**b)).count();
        let transport = cut(rest, 0, transport_len);
        if !text::is_token(transport) {
            return Err(PROTOCOL);
        }
        let sent_by = text::trim(after(rest, transport_len));
        let (host, port) = parse_sent_by(sent_by).ok_or(HeaderError::new("via_sent_by"))?;
        let params = Params::new(raw.get(end + 1..));
        if !params.is_well_formed() {
            return Err(HeaderError::new("via_parameter"));
        }
        Ok(Self {
            transport,
            sent_by,
            host,
            port,
            params,
            raw,
        })
    }

    /// The whole value as written.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The transport as written: `UDP`, `TCP` …
    #[must_use]
    pub fn transport(&self) -> &'a [u8] {
        self.transport
    }

    /// Does it say UDP?
    #[must_use]
    pub fn is_udp(&self) -> bool {
        self.transport.eq_ignore_ascii_case(b"UDP")
    }

    /// Does it say TCP?
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.transport.eq_ignore_ascii_case(b"TCP")
    }

    /// `host [: port]` as written.
    #[must_use]
    pub fn sent_by(&self) -> &'a [u8] {
        self.sent_by
    }

    /// The host of sent-by.
    #[must_use]
    pub fn host(&self) -> Host<'a> {
        self.host
    }

    /// The port of sent-by, if it says one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The branch (RFC 3261 8.1.1.7).
    #[must_use]
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.params.get("branch").flatten()
    }

    /// `received`, an IPv6 address with or without brackets (RFC 5118 4.5).
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.params.unquoted("received")?;
        let value = std::str::from_utf8(&value).ok()?;
        value.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// `rport` (RFC 3581 3). `Some(None)`: asked for, not filled in (or not a port).
    #[must_use]
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(|value| value.and_then(text::port))
    }

    /// `maddr` as written (RFC 3261 18.2.2).
    #[must_use]
    pub fn maddr(&self) -> Option<&'a [u8]> {
        self.params.get("maddr").flatten()
    }

    /// A parameter's value as written. `Some(None)`: there, without a value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.params.get(name)
    }

    /// All parameters.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        self.params
    }
}

/// SLASH with white space around it (RFC 3261 25.1).
fn split_slash(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr(b'/', text)?;
    Some((
        text::trim(cut(text, 0, at)),
        text::trim_start(after(text, at + 1)),
    ))
}

/// `host [COLON port]`; COLON may have white space around it.
fn parse_sent_by(sent_by: &[u8]) -> Option<(Host<'_>, Option<u16>)> {
    let host_len = match sent_by {
        [b'[', ..] => memchr(b']', sent_by)? + 1,
        _ => memchr(b':', sent_by).unwrap_or(sent_by.len()),
    };
    let host = Host::parse(text::trim_end(cut(sent_by, 0, host_len)))?;
    let port = match text::trim_start(after(sent_by, host_len)) {
        [] => None,
        [b':', port @ ..] => Some(text::port(text::trim(port))?),
        _ => return None,
    };
    Some((host, port))
}

/// Shows the whole value as written.
impl fmt::Debug for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Via({:?})", text::lossy(self.raw))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn parse(value: &str) -> Via<'_> {
        Via::parse(value.as_bytes()).unwrap_or_else(|e| panic!("{value}: {e}"))
    }

    #[test]
    fn every_part_is_read() {
        let via = parse("SIP/2.0/UDP [2001:db8::10]:5061;branch=z9hG4bK1a;rport;keep;received=2001:db8::11");
        assert!(via.is_udp() && !via.is_tcp());
        assert_eq!(via.host(), Host::V6("2001:db8::10".parse().unwrap()));
        assert_eq!(via.port(), Some(5061));
        assert_eq!(via.sent_by(), b"[2001:db8::10]:5061");
        assert_eq!(via.branch(), Some(&b"z9hG4bK1a"[..]));
        assert_eq!(via.rport(), Some(None));
        assert_eq!(via.param("keep"), Some(None));
        let received: Ipv6Addr = "2001:db8::11".parse().unwrap();
        assert_eq!(via.received(), Some(IpAddr::V6(received)));
    }

    #[test]
    fn white_space_is_allowed_where_the_grammar_has_it() {
        let via = parse("SIP  / 2.0\r\n /UDP\r\n    192.0.2.2 : 5070 ; branch = 390skdjuw");
        assert_eq!((via.port(), via.branch()), (Some(5070), Some(&b"390skdjuw"[..])));
        assert_eq!(via.host(), Host::V4("192.0.2.2".parse().unwrap()));
    }

    #[test]
    fn received_is_taken_with_and_without_brackets() {
        let received = |value: &str| parse(&format!("SIP/2.0/UDP h.example;received={value}")).received();
        assert_eq!(received("[2001:db8::9:255]"), received("2001:db8::9:255"));
        assert!(received("192.0.2.1").is_some());
        assert_eq!(received("nonsense"), None);
    }

    #[test]
    fn malformed_vias_are_refused() {
        for value in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 UDP h",
            "SIP/1.0/UDP h.example",
            "HTTP/2.0/UDP h.example",
            "SIP/2.0/UDP h.example:0",
            "SIP/2.0/UDP h.example:65536",
            "SIP/2.0/UDP 2001:db8::1",
            "SIP/2.0/UDP [2001:db8::1",
            "SIP/2.0/UDP h.example;;x",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP ;branch=x",
            "SIP/2.0/U@P h.example",
        ] {
            assert!(Via::parse(value.as_bytes()).is_err(), "{value}");
        }
    }
}
