//! Codec: SIP messages (RFC 3261 7, 25).

use bytes::Bytes;

/// One SIP message, scanned once over the bytes that came.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Bytes,
}

impl Message {
    /// The message exactly as it came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
