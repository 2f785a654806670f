//! Codec: explicit limits. Every one has a metric and a defined refusal.

/// Limits of SIP messages, checked while scanning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SipLimits {
    /// Octets of one message, head and body. Above: 513 for requests on datagrams, close on streams.
    pub message_bytes_max: usize,
    /// Header lines. Above: 400.
    pub headers_max: usize,
    /// Octets of one header line. Above: 400.
    pub header_bytes_max: usize,
    /// Octets of a URI. Above: 414.
    pub uri_bytes_max: usize,
    /// Via values. Above: 400 (RFC 5393).
    pub vias_max: usize,
}

impl Default for SipLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 65_535,
            headers_max: 256,
            header_bytes_max: 8_192,
            uri_bytes_max: 2_048,
            vias_max: 70,
        }
    }
}
