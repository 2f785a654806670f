//! I-CSCF: finds the S-CSCF (TS 24.229 5.3).
//!
//! * [`config`]: the file and what it becomes
//! * [`node`]: [`Icscf`], the one node
//! * `register`: REGISTER; `terminating`, `passage`: other initial requests
//! * `target`: whom a Request-URI means; `selection`: which S-CSCF; `reject`: refusals and their status codes

pub mod config;
pub mod node;
mod passage;
mod register;
mod reject;
mod selection;
mod target;
mod terminating;

#[cfg(test)]
mod tests;

pub use config::IcscfConfig;
pub use node::Icscf;
