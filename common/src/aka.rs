//! Engine: IMS AKA and SIP Digest: vectors, nonces, responses (RFC 3310, RFC 4169, RFC 7616; TS 33.203).
//!
//! * [`AuthVector`], [`Auts`], [`Secret`]: what the HSS and the USIM exchange
//! * [`DigestInput`]: credentials as the UE sent them; [`Ha1`]: what they are checked against
//! * [`verify_aka`], [`verify_digest`]: the two checks

mod akav;
mod digest;
pub mod hex;
mod secret;
mod vector;

pub use akav::{AkaKeys, AkaVersion, decode_nonce, verify_aka};
pub use digest::{DigestHash, DigestInput, DigestReject, Ha1, Qop, verify_digest};
pub use secret::Secret;
pub use vector::{AuthVector, Auts, VectorError};
