//! Engine: IMS AKA and SIP Digest: vectors, nonces, responses (RFC 3310, RFC 4169, RFC 7616; TS 33.203).

mod secret;
mod vector;

pub use secret::Secret;
pub use vector::{AuthVector, Auts, VectorError};
